//! Slides in stores as Google's and Azure's, from the command to the tables.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    assert_not_told,
    azure_store::AzureStore,
    folder,
    google_store::GoogleStore,
    knowing, said_by,
    store::windows_of,
    support::{SMALL_WINDOWS, run, small_slide, stderr, tables},
};

/// The slide on a disk and the tables of a run there.
fn on_disk(folder: &Path) -> (PathBuf, Vec<(PathBuf, Vec<u8>)>) {
    let slide = folder.join("case 1 (ü).tif");
    small_slide(&slide, 5);
    let out = folder.join("disk");
    let output = run(&[&slide], &out, &SMALL_WINDOWS);
    assert!(output.status.success(), "{}", stderr(&output));
    let tables = tables(&out).into_iter().collect();
    (slide, tables)
}

/// Asserts that a slide at an address, read with these variables, gives these tables, and that no secret is told: planned and
/// run, and copied first.
fn assert_same(
    address: &str,
    variables: &[(&str, &str)],
    secrets: &[&str],
    home: &Path,
    expected: &[(PathBuf, Vec<u8>)],
) {
    let [planned, staged, copies] = ["planned", "staged", "copies"].map(|name| home.join(name));
    let list = home.join("slides.csv");
    fs::write(&list, format!("path\n{address}\n")).expect("a list can be written");
    let [planned_at, staged_at, copies_at, list] =
        [&planned, &staged, &copies, &list].map(|path| path.to_str().expect("a plain name"));
    for arguments in [
        vec!["info", address],
        vec!["doctor", "--quick", address],
        vec!["plan", list, "-o", planned_at],
        vec!["run", "--threads", "2", "-o", planned_at],
        vec!["run", address, "-o", staged_at, "--stage", copies_at],
    ] {
        let windows =
            if arguments.contains(&"--stage") { &SMALL_WINDOWS[..] } else { windows_of(&arguments) };
        let output =
            knowing(variables, home).args(&arguments).args(windows).output().expect("the command starts");
        let said = said_by(secrets, &output);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
    for out in [&planned, &staged] {
        let found: Vec<(PathBuf, Vec<u8>)> = tables(out).into_iter().collect();
        assert!(!found.is_empty() && found == expected, "every table, byte by byte");
        assert_not_told(secrets, out);
    }
}

#[test]
fn a_slide_at_google_gives_the_same_tables_as_on_the_disk() {
    let folder = folder();
    let (slide, tables) = on_disk(folder.path());
    let store = GoogleStore::new(fs::read(slide).unwrap());
    let file = folder.path().join("credentials.json");
    fs::write(&file, store.account()).unwrap();
    let endpoint = store.endpoint();
    let variables = [
        ("STORAGE_EMULATOR_HOST", endpoint.as_str()),
        ("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().unwrap()),
    ];
    // It stands in every token.
    assert_same("gs://hospital/slides/case 1 (ü).tif", &variables, &["sesame"], folder.path(), &tables);
}

#[test]
fn a_slide_at_azure_gives_the_same_tables_as_on_the_disk() {
    let folder = folder();
    let slide = folder.path().join("case 1 (ü).tif");
    small_slide(&slide, 5);
    let Some(store) = AzureStore::of(Path::new(env!("CARGO_MANIFEST_DIR")), &[&slide]) else { return };
    let (_, tables) = on_disk(folder.path());
    let connection = store.connection(&format!("SharedAccessSignature={}", store.text("/signature")));
    let variables = [("AZURE_STORAGE_CONNECTION_STRING", connection.as_str())];
    let address = "az://hospital/slides/case 1 (ü).tif";
    assert_same(address, &variables, &store.secrets(), folder.path(), &tables);
}

#[test]
fn what_is_refused_names_the_credentials_that_were_found() {
    let folder = folder();
    let home = folder.path();
    let store = GoogleStore::new(vec![0; 10]);
    let endpoint = store.endpoint();
    let emulator = ("STORAGE_EMULATOR_HOST", endpoint.as_str());
    for (address, variables, expected) in [
        ("gs://hospital/slides/case 1 (ü).tif", vec![emulator], "the credentials used are none"),
        (
            "gs://hospital/a.tif",
            vec![emulator, ("GOOGLE_OAUTH_ACCESS_TOKEN", "sesame")],
            "the credentials used are the token of GOOGLE_OAUTH_ACCESS_TOKEN",
        ),
        ("gs://hospital/", vec![emulator], "folders of a store are not listed"),
        ("az://c/a.tif", vec![], "the account is not told; set AZURE_STORAGE_ACCOUNT"),
        ("abfss://c@lab.dfs.core.windows.net/", vec![], "folders of a store are not listed"),
    ] {
        let output = knowing(&variables, home).args(["info", address]).output().unwrap();
        let said = said_by(&["sesame"], &output);
        assert!(!output.status.success() && said.contains(expected) && said.contains(address), "{said}");
    }
}
