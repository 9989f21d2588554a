//! The snippets of Python and R on the pages of the book, run on a fresh dataset.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use super::{
    markdown::{Page, pages, root},
    support::{accounts, python, run, slidemill, small_slide, stderr},
};

/// Settings of the runs: small windows, and measures and columns to read.
const SETTINGS: [&str; 8] =
    ["--window", "512", "--threads", "2", "--measure", "neuroendocrine-who-2019", "--features", "neighbours"];

/// A folder with `slide.svs`, `slides`, `results` of both of them, and the exports that the pages read.
struct Workplace {
    folder: tempfile::TempDir,
    /// Id of `slide.svs`.
    slide: String,
}

impl Workplace {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let slides = folder.path().join("slides");
        fs::create_dir(&slides).expect("a folder can be made");
        small_slide(&slides.join("a.svs"), 71);
        fs::copy(slides.join("a.svs"), folder.path().join("slide.svs")).expect("a file can be copied");
        let slide = analyse(folder.path());
        // It comes later, so that the first is known to be `slide.svs`.
        small_slide(&slides.join("b.svs"), 72);
        analyse(folder.path());
        let workplace = Self { folder, slide };
        workplace.export(&["--as", "geojson"]);
        workplace.export(&["--as", "label-studio", "--into", "."]);
        workplace
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn export(&self, more: &[&str]) {
        let mut command = slidemill();
        command.args(["export", "results"]).args(more).current_dir(self.path());
        let output = command.output().expect("the command starts");
        assert!(output.status.success(), "{}", stderr(&output));
    }
}

/// Runs `slides` of a folder into its `results`; returns the id of the first slide.
fn analyse(folder: &Path) -> String {
    let results = folder.join("results");
    let output = run(&[&folder.join("slides")], &results, &SETTINGS);
    assert!(output.status.success(), "{}", stderr(&output));
    accounts(&results)[0].slide.to_string()
}

/// Pages of the book with a block in a language.
fn pages_with(language: &str) -> Vec<Page> {
    let of_the_book = pages().into_iter().filter(Page::is_of_the_book);
    of_the_book.filter(|page| page.blocks.iter().any(|block| block.language == language)).collect()
}

#[test]
fn the_python_of_the_book_runs_as_it_stands() {
    let Some(python) = python() else { return };
    let workplace = Workplace::new();
    let pages: Vec<PathBuf> = pages_with("python").into_iter().map(|page| page.path).collect();
    assert!(pages.len() > 3, "{pages:?}");
    let output = Command::new(python)
        .arg(root().join("tests/python/run_page.py"))
        .args(["--id", &workplace.slide])
        .args(&pages)
        .current_dir(workplace.path())
        .env("PYTHONPATH", root().join("python/src"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SLIDEMILL_PROGRAM", env!("CARGO_BIN_EXE_slidemill"))
        .output()
        .expect("Python starts");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", stderr(&output));
    for page in pages {
        let name = page.file_name().expect("a name").to_string_lossy();
        assert!(told.contains(&format!("{name}, block ")), "{name}: {told}");
    }
    println!("{told}");
}

/// Runs R; `None` if it is not installed.
fn rscript(code: &str, folder: &Path) -> Option<Output> {
    let mut command = Command::new("Rscript");
    command.args(["--vanilla", "-e", code]).current_dir(folder).stdin(Stdio::null());
    command.output().ok()
}

/// `true` if R has a package.
fn is_installed(package: &str, folder: &Path) -> bool {
    let asked = format!("quit(status = as.integer(!requireNamespace(\"{package}\", quietly = TRUE)))");
    rscript(&asked, folder).is_some_and(|output| output.status.success())
}

/// The packages that a block of R loads.
fn packages(block: &str) -> impl Iterator<Item = &str> {
    block.lines().filter_map(|line| line.strip_prefix("library(")?.strip_suffix(')'))
}

#[test]
fn the_r_of_the_book_runs_as_it_stands() {
    let pages = pages_with("r");
    assert!(!pages.is_empty(), "the book has no R");
    if rscript("quit()", &root()).is_none_or(|output| !output.status.success()) {
        eprintln!("SKIPPED: R is not installed");
        return;
    }
    let workplace = Workplace::new();
    let blocks = pages.iter().flat_map(|page| &page.blocks).filter(|block| block.language == "r");
    for block in blocks {
        if let Some(name) = packages(&block.text).find(|name| !is_installed(name, workplace.path())) {
            eprintln!("SKIPPED: R has no package {name}");
            continue;
        }
        let code = block.text.replace("<id>", &workplace.slide);
        let output = rscript(&code, workplace.path()).expect("R starts");
        assert!(output.status.success(), "{code}\n{}", stderr(&output));
        println!("{}", String::from_utf8_lossy(&output.stdout));
    }
}
