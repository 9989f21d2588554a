//! Slides on a server that gives parts of them, from the command to the tables.

#[path = "stores/again.rs"]
mod again;
#[path = "../wsi-reader/tests/support/azure_store.rs"]
mod azure_store;
#[path = "stores/elsewhere.rs"]
mod elsewhere;
#[path = "stores/forecast.rs"]
mod forecast;
#[path = "../wsi-reader/tests/support/google_store.rs"]
mod google_store;
#[path = "../wsi-reader/tests/support/range_server.rs"]
mod range_server;
#[path = "../wsi-reader/tests/support/s3_store.rs"]
mod s3_store;
#[path = "stores/staged.rs"]
mod staged;
#[path = "stores/store.rs"]
mod store;
mod support;
#[path = "../wsi-reader/tests/support/told_store.rs"]
mod told_store;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use dataset::{Dataset, Outcome};
use range_server::{RangeServer, Wrong};
use support::{SMALL_WINDOWS, accounts, run, slidemill, small_slide, stderr, tables};
use walkdir::{DirEntry, WalkDir};

/// Stands in every address that [`RangeServer::url`] gives.
const SECRET: &str = "sesame";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A painted slide, on the disk and on a server.
fn served(folder: &Path) -> (PathBuf, RangeServer) {
    let slide = folder.join("slide.tif");
    small_slide(&slide, 5);
    let server = RangeServer::new(fs::read(&slide).expect("the slide is there"));
    (slide, server)
}

/// A painted slide that is not kept whole when its id is made, on the disk and on a server.
fn larger_served(folder: &Path) -> (PathBuf, RangeServer) {
    let slide = folder.join("larger.tif");
    support::paint(&slide, 8, 1280.0, 1024.0);
    let server = RangeServer::new(fs::read(&slide).expect("the slide is there"));
    (slide, server)
}

/// Files under `out`, private ones included, that hold a secret.
fn files_with(out: &Path, secret: &str) -> Vec<PathBuf> {
    let entries = WalkDir::new(out).into_iter().map(|entry| entry.expect("the output can be listed"));
    let files = entries.filter(|entry| entry.file_type().is_file()).map(DirEntry::into_path);
    files.filter(|file| holds(file, secret)).collect()
}

/// Asserts that no file under `out`, private ones included, holds a secret.
fn assert_not_told(secrets: &[&str], out: &Path) {
    for secret in secrets {
        let told = files_with(out, secret);
        assert!(told.is_empty(), "{told:?}");
    }
}

/// What a command said, none of it secret.
fn said_by(secrets: &[&str], output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(output);
    for secret in secrets {
        assert!(!said.contains(secret), "{said}");
    }
    said
}

/// The command as a process that knows these settings of stores, and no others.
fn knowing(variables: &[(&str, &str)], home: &Path) -> Command {
    const OF_STORES: [&str; 5] = ["AWS_", "GOOGLE_", "CLOUDSDK_", "STORAGE_", "AZURE_"];
    let mut command = slidemill();
    for (name, _) in env::vars_os() {
        if OF_STORES.iter().any(|start| name.to_string_lossy().starts_with(start)) {
            command.env_remove(name);
        }
    }
    command.env("HOME", home).env("USERPROFILE", home).env("APPDATA", home);
    command.envs(variables.iter().copied());
    command
}

fn holds(file: &Path, secret: &str) -> bool {
    let bytes = fs::read(file).expect("a file of the dataset");
    bytes.windows(secret.len()).any(|bytes| bytes == secret.as_bytes())
}

#[test]
fn a_slide_on_a_server_gives_the_same_tables_as_on_the_disk() {
    let folder = folder();
    let (slide, server) = served(folder.path());
    let url = PathBuf::from(server.url("slide.tif"));
    let outs = ["disk", "server"].map(|name| folder.path().join(name));
    for (slide, out) in [&slide, &url].into_iter().zip(&outs) {
        let output = run(&[slide], out, &SMALL_WINDOWS);
        assert!(output.status.success() && !stderr(&output).contains(SECRET), "{}", stderr(&output));
    }
    let [disk, remote] = outs.each_ref().map(|out| tables(out));
    assert!(!disk.is_empty() && disk == remote, "every table, byte by byte");
    let [disk, remote] = outs.each_ref().map(|out| accounts(out).remove(0));
    assert_eq!((disk.slide, disk.outcome), (remote.slide, remote.outcome));

    let dataset = Dataset::at(&outs[1]);
    let told = files_with(&outs[1], SECRET);
    assert!(told.is_empty(), "{told:?}");
    let names = fs::read_to_string(dataset.names()).unwrap();
    assert!(names.contains("/slides/slide.tif"), "{names}");
}

#[test]
fn commands_take_addresses_and_tell_no_secret() {
    let folder = folder();
    let (_, server) = served(folder.path());
    let url = server.url("slide.tif");
    let list = folder.path().join("list.csv");
    fs::write(&list, format!("path,id\n{url},one\n")).unwrap();
    let picture = folder.path().join("small.png");
    let out = folder.path().join("out");
    let [picture, list, out] = [&picture, &list, &out].map(|path| path.to_str().unwrap());
    for (arguments, expected) in [
        (vec!["info", &url], "server      all of level 0 is "),
        (vec!["info", "--json", &url], "\"level_0_from_server\": {"),
        (vec!["thumbnail", &url, "-o", picture], ""),
        (vec!["doctor", "--quick", list], "slide.tif"),
        (vec!["plan", list, "-o", out], "1 slide"),
    ] {
        let output = slidemill().args(&arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output);
        assert!(output.status.success() && told.contains(expected), "{arguments:?}: {told}");
        assert!(!told.contains(SECRET), "{arguments:?}: {told}");
    }
    let output = slidemill().args(["run", "-o", out]).output().unwrap();
    assert!(output.status.success(), "a planned job finds the slide: {}", stderr(&output));
}

#[test]
fn copies_and_contradictions_are_told_without_secrets() {
    let folder = folder();
    let (_, server) = served(folder.path());
    let slides = ["a.tif", "b.tif"].map(|name| PathBuf::from(server.url(name)));
    let output = run(&[&slides[0], &slides[1]], &folder.path().join("out"), &SMALL_WINDOWS);
    let said = stderr(&output);
    assert!(output.status.success() && said.contains("a copy of ") && !said.contains(SECRET), "{said}");

    let list = folder.path().join("list.csv");
    fs::write(&list, format!("path,patient\n{0},P1\n{0},P2\n", slides[0].display())).unwrap();
    let output = run(&[&list], &folder.path().join("other"), &SMALL_WINDOWS);
    let said = stderr(&output);
    assert!(!output.status.success() && said.contains("a.tif is given twice"), "{said}");
    assert!(!said.contains(SECRET), "{said}");
}

#[test]
fn a_slide_that_its_server_does_not_give_is_named_and_stops_no_other() {
    let folder = folder();
    let (slide, server) = served(folder.path());
    server.always(Some(Wrong::Status(404)));
    let out = folder.path().join("out");
    let url = PathBuf::from(server.url("gone.tif"));
    let output = run(&[&url, &slide], &out, &SMALL_WINDOWS);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(65), "{said}");
    assert!(said.contains("gone.tif: ") && said.contains("nothing is at this address"), "{said}");
    assert!(!said.contains(SECRET), "{said}");
    let mut outcomes: Vec<_> = accounts(&out).iter().map(|account| account.outcome).collect();
    outcomes.sort_by_key(|outcome| *outcome != Outcome::Done);
    assert_eq!(outcomes, [Outcome::Done, Outcome::Failed]);

    server.always(None);
    let output = run(&[&url, &slide], &out, &SMALL_WINDOWS);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn what_is_read_from_the_disk_alone_is_refused_with_what_to_do() {
    let server = RangeServer::new(b"\x89PNG\r\n\x1a\n and so on".to_vec());
    let output = slidemill().args(["info", &server.url("a.png")]).output().unwrap();
    let said = stderr(&output);
    assert!(said.contains("is not read from a server") && said.contains("copy it to a disk first"), "{said}");
    assert!(!output.status.success() && !said.contains(SECRET), "{said}");
}
