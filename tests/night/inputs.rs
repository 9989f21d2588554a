//! The inputs of a command stay as they were, whatever name its output is given.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use dataset::Dataset;

use super::support::{SMALL_WINDOWS, accounts, run, slidemill, small_slide, stderr};

/// Returns every file below a folder with its bytes, without the private ones, which include the status of
/// jobs.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let is_public = |entry: &walkdir::DirEntry| entry.file_name() != ".slidemill";
    let all = walkdir::WalkDir::new(folder).into_iter().filter_entry(is_public).filter_map(Result::ok);
    let files = all.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path);
    files.map(|path| (path.clone(), fs::read(&path).expect("a file can be read"))).collect()
}

/// Checks that the command refuses to write over its inputs, and changes nothing below `folder`.
fn assert_refused(folder: &Path, arguments: &[OsString]) {
    let before = files(folder);
    let output = slidemill().args(arguments).output().expect("the command starts");
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(64), "{arguments:?}: {text}");
    assert!(text.contains("that is read"), "{arguments:?}: {text}");
    assert!(files(folder) == before, "{arguments:?} changed a file");
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

#[test]
fn no_command_writes_over_what_it_reads() {
    let folder = tempfile::tempdir().unwrap();
    let text = |path: &Path| path.to_str().expect("a temporary path is text").to_owned();
    let at = |name: &str| text(&folder.path().join(name));
    small_slide(&folder.path().join("slide.tif"), 300);
    fs::hard_link(at("slide.tif"), at("hard.png")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(at("slide.tif"), at("soft.png")).unwrap();
    #[cfg(not(unix))]
    fs::hard_link(at("slide.tif"), at("soft.png")).unwrap();
    let (slide, out) = (at("slide.tif"), at("out"));
    let done = run(&[slide.as_ref()], out.as_ref(), &SMALL_WINDOWS);
    assert!(done.status.success(), "{}", stderr(&done));
    let dataset = Dataset::at(&out);
    let id = accounts(out.as_ref())[0].slide.clone();
    let cells = text(&dataset.cells(&id));
    let truth = at("truth/slide.csv");
    fs::create_dir(at("truth")).unwrap();
    fs::write(&truth, "x,y\n10,20\n").unwrap();
    fs::write(at("truth/slide.geojson"), r#"{"type":"FeatureCollection","features":[]}"#).unwrap();

    for other in [&at("hard.png"), &at("soft.png")] {
        for command in ["thumbnail", "tissue"] {
            assert_refused(folder.path(), &words(&[command, &slide, "-o", other]));
        }
    }
    assert_refused(folder.path(), &words(&["draw", &out, &slide, "-o", &at("hard.png")]));
    for option in ["--html", "--parquet"] {
        for written in [&truth, &cells] {
            let judge = ["eval", "--truth", &at("truth"), "--pred", &out, option, written];
            assert_refused(folder.path(), &words(&judge));
        }
    }
    let judge = ["eval", "--truth", &at("truth/slide.geojson"), "--pred", &truth, "--mpp", "0.5"];
    let mistakes = ["--match", "distance:3um", "--mistakes", &at("truth")];
    assert_refused(folder.path(), &words(&[judge.as_slice(), &mistakes].concat()));

    // A slide, a list and a settings file at places where results are written.
    let taken = dataset.overview(&dataset::SlideId::new("x").unwrap());
    fs::copy(&slide, &taken).unwrap();
    fs::write(at("list.csv"), format!("path,id\n{},x\n", taken.display())).unwrap();
    fs::write(at("out/summary.csv"), format!("path\n{slide}\n")).unwrap();
    for read in [&text(&taken), &at("list.csv"), &at("out/summary.csv")] {
        let more = words(&[&["run", read, "-o", &out], SMALL_WINDOWS.as_slice()].concat());
        assert_refused(folder.path(), &more);
    }
}
