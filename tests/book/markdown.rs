//! Markdown pages of the tree: their prose, headings, links and blocks of code.

use std::{
    collections::BTreeSet,
    fs, iter,
    path::{Path, PathBuf},
};

/// A block of code.
pub(crate) struct Block {
    /// The word behind its fence: `sh`, `python`, …
    pub(crate) language: String,
    /// Its lines, without the indent of its fence.
    pub(crate) text: String,
}

/// A Markdown file of the tree.
pub(crate) struct Page {
    /// The file, with links of the path resolved.
    pub(crate) path: PathBuf,
    /// Blocks of code, in their order.
    pub(crate) blocks: Vec<Block>,
    /// The lines outside of these.
    prose: Vec<String>,
}

impl Page {
    fn open(path: &Path) -> Self {
        let path = path.canonicalize().expect("the page is there");
        let text = fs::read_to_string(&path).expect("the page can be read");
        let mut page = Self { path, blocks: Vec::new(), prose: Vec::new() };
        let mut begun: Option<(usize, Block)> = None;
        for line in text.lines() {
            let indent = line.len() - line.trim_start().len();
            match (line.trim_start().strip_prefix("```"), begun.take()) {
                (Some(language), None) => {
                    let language = language.trim().to_owned();
                    begun = Some((indent, Block { language, text: String::new() }));
                }
                (Some(_), Some((_, block))) => page.blocks.push(block),
                (None, Some((outer, mut block))) => {
                    block.text += &line[outer.min(indent)..];
                    block.text.push('\n');
                    begun = Some((outer, block));
                }
                (None, None) => page.prose.push(line.to_owned()),
            }
        }
        assert!(begun.is_none(), "a block of code does not end: {}", page.name());
        page
    }

    /// Its place in the checkout.
    pub(crate) fn name(&self) -> String {
        let path = self.path.strip_prefix(root()).unwrap_or(&self.path);
        path.display().to_string()
    }

    /// The folder that its links count from.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().expect("a file lies in a folder")
    }

    /// `true` for a page of the book.
    pub(crate) fn is_of_the_book(&self) -> bool {
        self.path.starts_with(root().join("docs"))
    }

    /// `true` for the README of a crate, whose links rustdoc checks.
    pub(crate) fn is_of_a_crate(&self) -> bool {
        self.folder() != root() && self.folder().join("Cargo.toml").exists()
    }

    /// Its title.
    pub(crate) fn title(&self) -> Option<&str> {
        self.prose.first()?.strip_prefix("# ")
    }

    /// `true` if a line of it begins with a text.
    pub(crate) fn says(&self, text: &str) -> bool {
        self.prose.iter().any(|line| line.starts_with(text))
    }

    /// Targets of its links and pictures.
    pub(crate) fn links(&self) -> Vec<String> {
        let prose = self.prose.join("\n");
        // Between two backticks lies code.
        let words: Vec<&str> = prose.split('`').step_by(2).collect();
        let words = words.join(" ");
        let behind = words.split("](").skip(1);
        behind.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned()).collect()
    }

    /// Anchors of its headings, as GitHub and mdBook make them.
    pub(crate) fn anchors(&self) -> BTreeSet<String> {
        let mut anchors = BTreeSet::new();
        for heading in self.prose.iter().filter(|line| line.starts_with('#')) {
            let first = anchor(heading.trim_start_matches('#').trim());
            let others = (1..).map(|number| format!("{first}-{number}"));
            let free = iter::once(first.clone()).chain(others).find(|name| !anchors.contains(name));
            anchors.extend(free);
        }
        anchors
    }
}

/// The anchor of a heading: small letters, digits and hyphens in the place of spaces.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || c.is_whitespace() || "-_".contains(*c));
    kept.map(|c| if c.is_whitespace() { '-' } else { c }).collect::<String>().to_lowercase()
}

/// The checkout, with links of the path resolved.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().expect("the checkout is there")
}

/// All pages of the checkout.
pub(crate) fn pages() -> Vec<Page> {
    let entries = walkdir::WalkDir::new(root()).sort_by_file_name().into_iter().filter_entry(is_ours);
    entries
        .map(|entry| entry.expect("the checkout can be listed").into_path())
        .filter(|path| path.extension().is_some_and(|suffix| suffix == "md"))
        .map(|path| Page::open(&path))
        .collect()
}

/// `false` for what is built, fetched or private.
fn is_ours(entry: &walkdir::DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    let is_made = name.starts_with('.') || ["node_modules", "slidemill-demo", "target"].contains(&&*name);
    entry.depth() == 0 || !is_made
}

#[test]
fn anchors_are_those_of_github() {
    assert_eq!(anchor("If you have QuPath"), "if-you-have-qupath");
    assert_eq!(anchor("`eval` against references"), "eval-against-references");
    assert_eq!(anchor("What is read, and what is not"), "what-is-read-and-what-is-not");
}
