//! Checks of a dataset against its accounts.

use std::{fs, path::Path};

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

#[test]
fn nothing_to_verify_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = verify(folder.path());
    assert_eq!(code, Some(65), "{text}");
    assert!(text.contains("no run account is here"), "{text}");
}
