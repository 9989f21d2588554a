//! Slides in a store that speaks S3 and checks every signature, from the command to the tables.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use super::{
    assert_not_told, folder, knowing,
    range_server::RangeServer,
    s3_store::S3Store,
    said_by,
    support::{SMALL_WINDOWS, run, small_slide, stderr, tables},
};

/// The command as a process that knows a store at this endpoint, and nothing else of stores.
fn at(endpoint: &str, home: &Path) -> Command {
    knowing(&[("AWS_ENDPOINT_URL", endpoint)], home)
}

/// Serves files as `s3://hospital/slides/NAME`; `None`, with a note, where the store is not installed.
fn store_of(files: &[&Path]) -> Option<S3Store> {
    S3Store::of(Path::new(env!("CARGO_MANIFEST_DIR")), files)
}

/// The command, with the keys of the role in its environment.
fn as_role(store: &S3Store, home: &Path) -> Command {
    let mut command = at(store.endpoint(), home);
    command.env("AWS_ACCESS_KEY_ID", store.text("/role/id"));
    command.env("AWS_SECRET_ACCESS_KEY", store.text("/role/secret"));
    command.env("AWS_SESSION_TOKEN", store.text("/role/token"));
    command
}

/// The command, with the keys of the user in the shared file.
fn as_user(store: &S3Store, home: &Path) -> Command {
    let (id, secret) = (store.text("/user/id"), store.text("/user/secret"));
    let text = format!("[lab]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    fs::create_dir_all(home.join(".aws")).expect("a folder can be made");
    fs::write(home.join(".aws/credentials"), text).expect("the shared file can be written");
    let mut command = at(store.endpoint(), home);
    command.env("AWS_PROFILE", "lab");
    command
}

#[test]
fn a_slide_in_a_store_gives_the_same_tables_as_on_the_disk() {
    let folder = folder();
    let slide = folder.path().join("case 1 (ü).tif");
    small_slide(&slide, 5);
    let Some(store) = store_of(&[&slide]) else { return };
    let home = folder.path();
    let [disk, out] = ["disk", "store"].map(|name| home.join(name));
    let output = run(&[&slide], &disk, &SMALL_WINDOWS);
    assert!(output.status.success(), "{}", stderr(&output));

    let address = "s3://hospital/slides/case 1 (ü).tif";
    for (arguments, expected) in [
        (vec!["info", address], "server      all of level 0 is "),
        (vec!["doctor", "--quick", address], "case 1 (ü).tif"),
        (vec!["plan", address, "-o", out.to_str().unwrap()], "1 slide"),
    ] {
        let output = as_user(&store, home).args(&arguments).args(windows_of(&arguments)).output().unwrap();
        let said = said_by(&store.secrets(), &output);
        assert!(output.status.success() && said.contains(expected), "{arguments:?}: {said}");
    }
    let output = as_role(&store, home).args(["run", "--threads", "2", "-o"]).arg(&out).output().unwrap();
    assert!(output.status.success(), "a planned job finds the slide: {}", said_by(&store.secrets(), &output));
    let [disk, remote] = [&disk, &out].map(|out| tables(out));
    assert!(!disk.is_empty() && disk == remote, "every table, byte by byte");
    assert_not_told(&store.secrets(), &out);
}

/// A plan is of the windows that the run on the disk had.
pub(super) fn windows_of(arguments: &[&str]) -> &'static [&'static str] {
    if arguments[0] == "plan" { &SMALL_WINDOWS[..2] } else { &[] }
}

#[test]
fn what_a_store_refuses_is_told_with_the_credentials_that_were_found() {
    let folder = folder();
    let slide = folder.path().join("a.tif");
    small_slide(&slide, 5);
    let Some(store) = store_of(&[&slide]) else { return };
    let home = folder.path();
    let (id, there) = (store.text("/user/id"), "s3://hospital/slides/a.tif");
    let used = "the credentials used are those of the environment";
    for (keys, address, expected) in [
        (Some((id, "wrong")), there, vec!["the secret does not belong to the access key", used]),
        (Some(("AKNONE", "wrong")), there, vec!["the store does not know the access key", used]),
        (None, there, vec!["(the store answers 403", "the credentials used are none"]),
        (None, "s3://hospital/", vec!["folders of a store are not listed"]),
    ] {
        let mut command = at(store.endpoint(), home);
        if let Some((id, secret)) = keys {
            command.env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", secret);
        }
        let output = command.args(["info", address]).output().unwrap();
        let said = said_by(&store.secrets(), &output);
        assert!(!output.status.success() && expected.iter().all(|part| said.contains(part)), "{said}");
    }
    for (address, expected) in [
        ("s3://hospital/slides/A.tif", "the bucket has no object of this name"),
        ("s3://elsewhere/a.tif", "the store has no bucket of this name"),
    ] {
        let output = as_user(&store, home).args(["info", address]).output().unwrap();
        let said = said_by(&store.secrets(), &output);
        assert!(!output.status.success() && said.contains(expected) && said.contains(address), "{said}");
    }
}

fn run_at(endpoint: &str, out: &Path) -> Output {
    let home = out.parent().expect("it lies in a folder");
    let mut command = at(endpoint, home);
    command.args(["run", "s3://any/slide.tif", "-o"]).arg(out).args(SMALL_WINDOWS);
    command.output().expect("the command starts")
}

fn tables_of_cells(out: &Path) -> Vec<Vec<u8>> {
    let tables = tables(out).into_iter().filter(|(path, _)| path.starts_with("cells"));
    tables.map(|(_, bytes)| bytes).collect()
}

/// Without signatures, so that it needs no store that checks them.
#[test]
fn an_object_that_changes_while_it_is_read_never_gives_tables_of_two_versions() {
    let folder = folder();
    let slides = [5, 6].map(|seed| {
        let path = folder.path().join(format!("{seed}/slide.tif"));
        fs::create_dir(path.parent().unwrap()).unwrap();
        small_slide(&path, seed);
        path
    });
    let expected = slides.each_ref().map(|slide| {
        let out = slide.with_extension("disk");
        let output = run(&[slide], &out, &SMALL_WINDOWS);
        assert!(output.status.success(), "{}", stderr(&output));
        tables_of_cells(&out)
    });
    let versions = slides.each_ref().map(|slide| fs::read(slide).expect("the slide is there"));
    let server = RangeServer::new(versions[0].clone());
    let endpoint = server.endpoint();
    assert!(run_at(&endpoint, &folder.path().join("first")).status.success());
    let requests = server.asked().requests;
    let mut refused = 0;
    for after in 1..requests {
        server.replace(versions[0].clone(), Some("\"one\""));
        server.replace_after(after, versions[1].clone(), "\"two\"");
        let out = folder.path().join(format!("after-{after}"));
        let output = run_at(&endpoint, &out);
        let said = stderr(&output);
        if !output.status.success() {
            refused += 1;
            assert!(said.contains("replaced or changed"), "after {after}: {said}");
            assert!(run_at(&endpoint, &out).status.success(), "the same command reads the new version");
        }
        let is_whole = tables_of_cells(&out).iter().all(|table| expected.concat().contains(table));
        assert!(is_whole && !tables_of_cells(&out).is_empty(), "after {after}: {said}");
    }
    assert!(refused > 0, "of {requests} requests");
}
