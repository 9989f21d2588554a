//! Checks of a dataset against its accounts.

use std::{fs, path::Path};

use dataset::{Dataset, Findings};

use super::support::{SMALL_WINDOWS, run, slidemill, small_slide, stderr};

fn verify(out: &Path) -> (Option<i32>, String) {
    let output = slidemill().arg("verify").arg(out).output().expect("the command starts");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output))
}

#[test]
fn what_failed_is_named_and_what_changed_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (folder.path().join("good.tif"), folder.path().join("bad.svs"));
    small_slide(&good, 170);
    fs::write(&bad, "no slide").unwrap();
    let out = folder.path().join("out");
    assert_eq!(run(&[&good, &bad], &out, &SMALL_WINDOWS).status.code(), Some(65));

    let (code, text) = verify(&out);
    assert_eq!(code, Some(0), "a bad slide is no fault of the dataset: {text}");
    assert!(text.contains("no results, not a slide") && text.contains("every file is as it was"), "{text}");
    assert!(!text.contains("problem"), "{text}");

    let pictures: Vec<_> =
        fs::read_dir(out.join("overviews")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(pictures.len(), 2);
    for picture in &pictures {
        let whole = fs::read(picture).unwrap();
        fs::write(picture, &whole[..whole.len() / 2]).unwrap();
        let (code, text) = verify(&out);
        assert_eq!(code, Some(65), "{text}");
        assert!(text.contains("overviews/") && text.contains("has changed"), "{text}");
        fs::write(picture, whole).unwrap();
    }
    fs::write(out.join("overviews/other.jpg"), "x").unwrap();
    let (code, text) = verify(&out);
    assert_eq!(code, Some(65), "{text}");
    assert!(text.contains("overviews/other.jpg belongs to no account"), "{text}");
    fs::remove_file(out.join("overviews/other.jpg")).unwrap();
    assert_eq!(verify(&out).0, Some(0));
}

/// A slide that was incomplete is completed in its ledger, which the manifest of the night before has.
#[test]
fn the_ledger_of_a_slide_at_work_is_no_problem() {
    let folder = tempfile::tempdir().unwrap();
    let (slide, out) = (folder.path().join("slide.tif"), folder.path().join("out"));
    small_slide(&slide, 170);
    let kept = [&SMALL_WINDOWS[..], &["--keep-raw"]].concat();
    assert!(run(&[&slide], &out, &kept).status.success());
    let dataset = Dataset::at(&out);
    let id = Findings::collect(&dataset).unwrap().slides.remove(0);
    let records = dataset.ledger(&id).join("windows.bin");
    let whole = fs::read(&records).unwrap();
    fs::write(&records, &whole[..whole.len() - 7]).unwrap();
    let (code, text) = verify(&out);
    assert!(code == Some(65) && text.contains("windows.bin is not as it was written"), "{text}");

    fs::create_dir_all(dataset.locks()).unwrap();
    fs::write(dataset.lock(&id), "{}").unwrap();
    let (code, text) = verify(&out);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("a job is at work on it or was cut off"), "{text}");
}

#[test]
fn nothing_to_verify_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = verify(folder.path());
    assert_eq!(code, Some(65), "{text}");
    assert!(text.contains("no run account is here"), "{text}");
}
