//! Links lead somewhere, and the book lists all of its pages.

use std::{collections::BTreeSet, fs, path::PathBuf};

use super::markdown::{Page, pages, root};

/// The reason why a link cannot be followed, if it cannot.
fn fault(page: &Page, link: &str, pages: &[Page]) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let named = if file.is_empty() { page.path.clone() } else { page.folder().join(file) };
    let Ok(target) = named.canonicalize() else { return Some("no such file".to_owned()) };
    if page.is_of_the_book() && !target.starts_with(root().join("docs")) {
        return Some("it leaves the book: name the file in words".to_owned());
    }
    let anchor = anchor?;
    let linked = pages.iter().find(|page| page.path == target);
    let is_there = linked.is_some_and(|page| page.anchors().contains(anchor));
    (!is_there).then(|| "no such heading".to_owned())
}

#[test]
fn every_link_leads_to_a_file_or_a_heading() {
    let pages = pages();
    let linking = pages.iter().filter(|page| !page.is_of_a_crate());
    let links: Vec<(&Page, String)> =
        linking.flat_map(|page| page.links().into_iter().map(move |link| (page, link))).collect();
    assert!(links.len() > 150, "{} links", links.len());
    let broken: Vec<String> = links
        .iter()
        .filter_map(|(page, link)| {
            fault(page, link, &pages).map(|reason| format!("{}: {link}: {reason}", page.name()))
        })
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_summary_lists_every_page_of_the_book_once() {
    let docs = root().join("docs");
    let (summary, pages): (Vec<Page>, Vec<Page>) = pages()
        .into_iter()
        .filter(Page::is_of_the_book)
        .partition(|page| page.path == docs.join("SUMMARY.md"));
    let links = summary.iter().flat_map(Page::links).collect::<Vec<_>>();
    let listed: BTreeSet<PathBuf> = links.iter().map(|link| docs.join(link)).collect();
    assert_eq!(listed.len(), links.len(), "a page is listed twice");
    let there: BTreeSet<PathBuf> = pages.iter().map(|page| page.path.clone()).collect();
    let unlisted: Vec<_> = there.difference(&listed).collect();
    assert!(unlisted.is_empty(), "docs/SUMMARY.md does not list {unlisted:?}");
    let absent: Vec<_> = listed.difference(&there).collect();
    assert!(absent.is_empty(), "docs/SUMMARY.md lists {absent:?}, which are no pages");
}

#[test]
fn every_page_of_the_book_begins_with_its_title() {
    let untitled: Vec<String> = pages()
        .iter()
        .filter(|page| page.is_of_the_book() && page.title().is_none())
        .map(Page::name)
        .collect();
    assert!(untitled.is_empty(), "{untitled:?}");
}

/// `true` if one row of the table of decisions has number, title and date of a decision. The table may shorten the title.
fn is_told(decision: &Page, table: &str) -> bool {
    let place = format!("]({})", decision.path.file_name().expect("a name").to_string_lossy());
    let mut rows = table.lines().filter(|row| row.contains(&place));
    let (Some(row), None) = (rows.next(), rows.next()) else { return false };
    let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
    let [number, title, _, date, _] = cells[..] else { return false };
    let number = number.trim_start_matches(" [").split(']').next().unwrap_or_default();
    decision.title().is_some_and(|full| full.starts_with(&format!("{number}. {title}")))
        && decision.says(&format!("Date: {date}."))
}

#[test]
fn the_table_of_decisions_says_what_their_pages_say() {
    let folder = root().join("docs/decisions");
    let list = folder.join("README.md");
    let table = fs::read_to_string(&list).expect("the table is there");
    let pages = pages();
    let decisions = pages.iter().filter(|page| page.folder() == folder && page.path != list);
    let untold: Vec<String> = decisions.filter(|page| !is_told(page, &table)).map(Page::name).collect();
    assert!(
        untold.is_empty(),
        "docs/decisions/README.md has no row with number, title and date of {untold:?}"
    );
}
