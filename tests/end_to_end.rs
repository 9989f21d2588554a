//! The command as a user runs it: painted slides in, a dataset out.

mod support;

use std::{fs, path::Path};

use slidemill::{account::Outcome, cells::read_cells, dataset::Dataset, demo};
use support::{SMALL_WINDOWS, accounts, run, slidemill, small_slide, stderr, tables};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn painted_cells_are_found_once_each() {
    let folder = folder();
    let slide = folder.path().join("slide.tif");
    let truth = small_slide(&slide, 5);
    let out = folder.path().join("out");
    let output = run(&[&slide], &out, &SMALL_WINDOWS);
    assert!(output.status.success(), "{}", stderr(&output));

    let account = &accounts(&out)[0];
    let analysis = account.analysis.as_ref().expect("the slide was analysed");
    assert_eq!((account.outcome, analysis.windows.failed), (Outcome::Done, 0));
    assert_eq!(analysis.tiles.decoded, analysis.tiles.needed, "each tile is decoded once");
    let cells = read_cells(&Dataset::at(&out).cells(&account.slide)).expect("cells can be read");
    assert_eq!(cells.len() as u64, account.cells());
    let found: Vec<_> = cells.iter().map(|cell| cell.centroid).collect();
    let score = demo::score(&truth, &found);
    assert!(score.all.recall() > 0.8 && score.all.precision() > 0.8, "{score}");
}

#[test]
fn threads_batch_and_a_second_run_change_no_byte() {
    let folder = folder();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 6);
    let results: Vec<_> = [("1", "1"), ("2", "4"), ("2", "3")]
        .iter()
        .map(|(threads, batch)| {
            let out = folder.path().join(format!("out-{threads}-{batch}"));
            let output = run(&[&slide], &out, &["--window", "512", "--threads", threads, "--batch", batch]);
            assert!(output.status.success(), "{}", stderr(&output));
            tables(&out)
        })
        .collect();
    assert!(!results[0].is_empty());
    assert!(results.iter().all(|tables| *tables == results[0]));
}

#[test]
fn a_finished_slide_is_skipped_and_other_settings_are_refused() {
    let folder = folder();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 7);
    let out = folder.path().join("out");
    assert!(run(&[&slide], &out, &SMALL_WINDOWS).status.success());
    let before = tables(&out);

    let again = run(&[&slide], &out, &SMALL_WINDOWS);
    assert!(again.status.success() && stderr(&again).contains("done before"), "{}", stderr(&again));

    let other = run(&[&slide], &out, &["--window", "512", "--min-score", "0.9"]);
    assert_eq!(other.status.code(), Some(65));
    assert!(
        stderr(&other).contains("min_score was") && stderr(&other).contains("--redo"),
        "{}",
        stderr(&other)
    );
    assert_eq!(tables(&out), before, "results are not touched");

    let redone = run(&[&slide], &out, &["--window", "512", "--min-score", "0.9", "--redo"]);
    assert!(redone.status.success(), "{}", stderr(&redone));
    assert_ne!(tables(&out), before);
}

#[test]
fn a_bad_slide_costs_itself_and_is_named() {
    let folder = folder();
    let slides = folder.path().join("slides with ünïcode ' and spaces");
    fs::create_dir(&slides).unwrap();
    let good = slides.join("good.tif");
    small_slide(&good, 8);
    fs::write(slides.join("empty.svs"), b"").unwrap();
    fs::write(slides.join("text.svs"), b"this is no slide").unwrap();
    let whole = fs::read(&good).unwrap();
    fs::write(slides.join("cut.tif"), &whole[..whole.len() / 20]).unwrap();

    let out = folder.path().join("out");
    let output = run(&[&slides, Path::new("not-there.svs")], &out, &SMALL_WINDOWS);
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    for name in ["empty.svs", "text.svs", "cut.tif", "not-there.svs"] {
        let named = stderr(&output).lines().any(|line| line.contains(name) && line.contains("FAILED"));
        assert!(named, "{name} is named: {}", stderr(&output));
    }
    let done = accounts(&out).iter().filter(|account| account.outcome == Outcome::Done).count();
    assert_eq!((done, tables(&out).len()), (1, 1));
}

#[test]
fn shared_outputs_hold_no_file_name() {
    let folder = folder();
    let slide = folder.path().join("Muster-Erika-1964.tif");
    small_slide(&slide, 9);
    let out = folder.path().join("out");
    assert!(run(&[&slide], &out, &SMALL_WINDOWS).status.success());
    for entry in walkdir::WalkDir::new(&out).into_iter().map(Result::unwrap) {
        let private = entry.path().starts_with(out.join(".slidemill"));
        if entry.file_type().is_file() && !private {
            let bytes = fs::read(entry.path()).unwrap();
            assert!(!bytes.windows(12).any(|part| part == b"Muster-Erika"), "{}", entry.path().display());
            assert!(!entry.path().to_string_lossy().contains("Muster"));
        }
    }
    let names = fs::read_to_string(out.join(".slidemill/slides.csv")).unwrap();
    assert!(names.contains("Muster-Erika-1964.tif"));
}

#[test]
fn wrong_usage_says_what_is_expected() {
    let folder = folder();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 10);
    let out = folder.path().join("out");
    for (more, expected) in [
        (&["--overlap", "120%"][..], "--overlap"),
        (&["--mpp", "0"], "--mpp"),
        (&["--device", "abacus"], "--device"),
        (&["--batch", "0"], "--batch is 0, expected 1"),
        (&["--min-score", "2"], "--min-score"),
        (&["--mem", "lots"], "--mem"),
        (&["--model", "not-there.onnx"], "not-there.onnx"),
        (&["--no-such-flag"], "--no-such-flag"),
    ] {
        let output = run(&[&slide], &out, more);
        assert_eq!(output.status.code(), Some(64), "{more:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{more:?}: {}", stderr(&output));
    }
    assert_eq!(slidemill().output().unwrap().status.code(), Some(64));
    assert!(slidemill().arg("--help").output().unwrap().status.success());
}

#[test]
fn an_output_that_cannot_be_written_is_code_73() {
    let folder = folder();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 11);
    let file = folder.path().join("a-file");
    fs::write(&file, b"in the way").unwrap();
    let output = run(&[&slide], &file.join("out"), &SMALL_WINDOWS);
    assert_eq!(output.status.code(), Some(73), "{}", stderr(&output));
}

#[test]
fn the_same_content_twice_is_one_slide() {
    let folder = folder();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    fs::create_dir(&a).unwrap();
    fs::create_dir(&b).unwrap();
    small_slide(&a.join("001.tif"), 12);
    fs::copy(a.join("001.tif"), b.join("copy.tif")).unwrap();
    small_slide(&b.join("001.tif"), 13);
    let out = folder.path().join("out");
    let output = run(&[&a, &b], &out, &SMALL_WINDOWS);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(tables(&out).len(), 2, "two slides of one name, one copy");
    let named = stderr(&output).lines().any(|line| line.contains("copy.tif") && line.contains("001.tif"));
    assert!(named, "{}", stderr(&output));
}
