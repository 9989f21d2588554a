//! The page of cases from the field: all cases are on it, and the tests that it names are there.

use std::{collections::BTreeSet, fs};

use super::{markdown::root, support::shared};

/// Rows of the tables of the page, by column.
fn rows() -> Vec<Vec<String>> {
    let page = fs::read_to_string(root().join("docs/cases.md")).expect("the page is there");
    let lines = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| case |"));
    let rows = lines.filter(|line| !line.starts_with("| ---"));
    rows.map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

/// What stands between two backticks.
fn code(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// `true` for names as the files have them: `r00_reference.svs`.
fn is_numbered(name: &str) -> bool {
    let digits = name.strip_prefix(['e', 'm', 'r']);
    digits.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

#[test]
fn every_case_is_on_the_page() {
    let Some(folder) = shared("cases") else { return };
    let folders = ["reading", "models", "annotations", "lists"].map(|part| folder.join(part));
    let entries = folders.iter().flat_map(|part| fs::read_dir(part).expect("a folder of cases"));
    let cases: BTreeSet<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    let rows = rows();
    let named: BTreeSet<&str> = rows.iter().flat_map(|row| code(&row[0])).collect();
    let missing: Vec<&String> = cases.iter().filter(|case| !named.contains(case.as_str())).collect();
    assert!(missing.is_empty(), "not on docs/cases.md: {missing:?}");
    // Further cases are made by their tests, and are no names of files.
    let gone: Vec<&&str> = named.iter().filter(|name| is_numbered(name) && !cases.contains(**name)).collect();
    assert!(gone.is_empty(), "on docs/cases.md and nowhere else: {gone:?}");
}

#[test]
fn every_case_is_held_by_a_test_that_is_there() {
    for row in rows() {
        assert_eq!(row.len(), 4, "{row:?}");
        let held_by = code(&row[3]).next().expect("a test");
        let (file, test) = held_by.split_once(": ").expect("a file and a test of it");
        let text = fs::read_to_string(root().join(file)).expect("the file is there");
        assert!(text.contains(&format!("fn {test}(")), "{held_by} is not there: {row:?}");
    }
}
