//! Slides that are copied to a disk of the machine before they are read.

use std::{
    fs,
    path::{Path, PathBuf},
};

use dataset::{Dataset, Outcome};

use crate::{
    SECRET, files_with, folder,
    range_server::{RangeServer, Wrong},
    served,
    support::{
        SMALL_WINDOWS, accounts, any_file, run, run_until, slidemill, small_slide, stderr, tables,
        tiny_slides,
    },
};

/// Arguments of a run that copies slides to a folder.
fn staged<'a>(stage: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let stage = ["--stage", stage.to_str().expect("a plain path")];
    [&SMALL_WINDOWS[..], &stage, more].concat()
}

/// Folders of copies that are there.
fn copies(stage: &Path) -> Vec<String> {
    let entries = fs::read_dir(stage.join("slidemill-copies")).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name != "locks").collect()
}

#[test]
fn copied_slides_give_the_same_tables_and_are_noted_where_they_lie() {
    let folder = folder();
    let (_, server) = served(folder.path());
    let mut slides = tiny_slides(folder.path(), 3, 40);
    slides.push(server.url("slide.tif").into());
    let slides: Vec<&Path> = slides.iter().map(PathBuf::as_path).collect();
    let [calm, out, stage] = ["calm", "out", "stage"].map(|name| folder.path().join(name));
    let output = run(&slides, &calm, &SMALL_WINDOWS);
    assert!(output.status.success(), "{}", stderr(&output));
    // Room for two of them.
    let output = run(&slides, &out, &staged(&stage, &["--stage-budget", "1500K"]));
    assert!(output.status.success() && !stderr(&output).contains(SECRET), "{}", stderr(&output));
    assert_eq!(tables(&calm), tables(&out), "every table, byte by byte");
    let [listed, expected] = [&out, &calm].map(|out| fs::read_to_string(Dataset::at(out).names()).unwrap());
    assert_eq!(listed, expected, "the copies are named nowhere");
    let mut expected = accounts(&calm);
    for (account, calm) in accounts(&out).iter().zip(&mut expected) {
        assert_eq!((&account.slide, &account.settings), (&calm.slide, &calm.settings));
        assert_eq!((&account.warnings, &account.doubts), (&calm.warnings, &calm.doubts));
    }
    assert!(copies(&stage).is_empty() && files_with(&out, "slidemill-copies").is_empty());

    let output = run(&slides, &out, &staged(&stage, &[]));
    assert!(output.status.success() && stderr(&output).contains("4 done before"), "{}", stderr(&output));
}

#[test]
fn a_slide_larger_than_the_budget_is_refused_and_stops_no_other() {
    let folder = folder();
    let large = folder.path().join("large.tif");
    small_slide(&large, 5);
    let tiny = tiny_slides(folder.path(), 1, 50).remove(0);
    let [out, stage] = ["out", "stage"].map(|name| folder.path().join(name));
    let budget = fs::metadata(&large).unwrap().len() - 1;
    let budget = budget.to_string();
    let with_budget = staged(&stage, &["--stage-budget", &budget]);
    let output = run(&[&large, &tiny], &out, &with_budget);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(65), "{said}");
    assert!(
        said.contains("large.tif: FAILED: the slide has") && said.contains("--stage-budget allows"),
        "{said}"
    );
    let mut outcomes: Vec<_> = accounts(&out).iter().map(|account| account.outcome).collect();
    outcomes.sort_by_key(|outcome| *outcome != Outcome::Done);
    assert_eq!(outcomes, [Outcome::Done, Outcome::Failed]);

    let planned = slidemill()
        .arg("plan")
        .arg(&large)
        .arg("-o")
        .arg(folder.path().join("plan"))
        .args(&with_budget)
        .output();
    let planned = planned.unwrap();
    let told = String::from_utf8_lossy(&planned.stdout);
    assert!(told.contains("WILL FAIL") && told.contains("--stage-budget allows"), "{told}");
    let alone = run(&[&tiny], &folder.path().join("alone"), &["--stage-budget", "1G"]);
    assert_eq!(alone.status.code(), Some(64), "{}", stderr(&alone));
}

#[test]
fn a_run_that_is_killed_leaves_nothing_that_is_read_and_nothing_that_stays() {
    let folder = folder();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 5);
    // What is behind the last tile is copied too, which takes a while.
    let file = fs::File::options().write(true).open(&slide).unwrap();
    file.set_len(64 << 20).unwrap();
    let [calm, out, stage] = ["calm", "out", "stage"].map(|name| folder.path().join(name));
    assert!(run(&[&slide], &calm, &SMALL_WINDOWS).status.success());
    run_until(&[&slide], &out, &staged(&stage, &[]), || any_file(&stage, ".tif"));
    assert_eq!(copies(&stage).len(), 1, "the copy is still there");
    let theirs = stage.join("slidemill-copies/job-of-somebody");
    fs::create_dir(&theirs).unwrap();
    let output = run(&[&slide], &out, &staged(&stage, &[]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(tables(&calm), tables(&out), "every table, byte by byte");
    assert_eq!(copies(&stage), ["job-of-somebody"]);
}

#[test]
fn a_slide_that_changes_or_ends_on_the_way_is_told_and_read_by_the_next_run() {
    let folder = folder();
    let (slide, server) = served(folder.path());
    let url = PathBuf::from(server.url("slide.tif"));
    let [calm, out, stage] = ["calm", "out", "stage"].map(|name| folder.path().join(name));
    assert!(run(&[&slide], &calm, &SMALL_WINDOWS).status.success());
    let mut other = fs::read(&slide).unwrap();
    other.extend([0; 5]);
    // The id is made, then the slide is copied.
    server.asked();
    wsi_reader::content_id(&url).unwrap();
    let for_id = server.asked().requests;
    server.replace_after(for_id + 1, other, "\"two\"");
    let output = run(&[&url], &out, &staged(&stage, &[]));
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(65), "{said}");
    assert!(said.contains("was replaced or changed while it was"), "{said}");
    assert!(copies(&stage).is_empty());

    server.replace(fs::read(&slide).unwrap(), Some("\"three\""));
    server.always_after(for_id + 1, Wrong::CutShort);
    let output = run(&[&url], &out, &staged(&stage, &[]));
    assert_eq!(output.status.code(), Some(75), "{}", stderr(&output));
    assert!(copies(&stage).is_empty() && !stderr(&output).contains(SECRET));

    server.always(None);
    let output = run(&[&url], &out, &staged(&stage, &[]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(tables(&calm), tables(&out), "every table, byte by byte");
}

#[test]
fn what_is_not_read_in_parts_is_copied_from_its_address_and_once_only() {
    let folder = folder();
    let (slide, picture) = (folder.path().join("slide.tif"), folder.path().join("picture.png"));
    small_slide(&slide, 5);
    let drawn = slidemill().arg("thumbnail").arg(&slide).arg("-o").arg(&picture).output().unwrap();
    assert!(drawn.status.success(), "{}", stderr(&drawn));
    let server = RangeServer::new(fs::read(&picture).unwrap());
    let url = PathBuf::from(server.url("picture.png"));
    let [calm, out, plan, stage] = ["calm", "out", "plan", "stage"].map(|name| folder.path().join(name));
    let more = ["--mpp", "0.5"];
    let output = run(&[&picture], &calm, &[&SMALL_WINDOWS[..], &more].concat());
    assert!(output.status.success(), "{}", stderr(&output));

    let planned =
        slidemill().arg("plan").arg(&url).arg("-o").arg(&plan).args(staged(&stage, &more)).output().unwrap();
    let told = String::from_utf8_lossy(&planned.stdout).into_owned();
    assert!(planned.status.success(), "{told}{}", stderr(&planned));
    assert!(
        told.contains("copies    ") && told.contains("of 1 slide to ") && !told.contains(SECRET),
        "{told}"
    );
    let output = slidemill().args(["run", "-o"]).arg(&plan).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(tables(&calm), tables(&plan), "every table, byte by byte");

    let output = run(&[&url], &out, &staged(&stage, &more));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(tables(&calm), tables(&out), "every table, byte by byte");
    let asked = server.asked().requests;
    let output = run(&[&url], &out, &staged(&stage, &more));
    let said = stderr(&output);
    assert!(said.contains("1 done before"), "{said}");
    assert!(server.asked().requests < asked, "it is not copied to see that it is done");
    assert!(copies(&stage).is_empty());
}
