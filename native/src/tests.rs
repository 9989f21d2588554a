use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// A machine that holds only the files that the test puts into a temporary folder.
struct Machine {
    root: tempfile::TempDir,
    environment: Environment,
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let environment = Environment {
            variables: BTreeMap::new(),
            program: Some(root.path().join("usr/bin/slidemill")),
            system_folders: vec![root.path().join("system")],
            platform: Platform::Linux,
        };
        Self { root, environment }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn file(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, b"").unwrap();
        path
    }

    fn set(&mut self, name: &str, value: impl AsRef<Path>) {
        self.environment.variables.insert(name.into(), value.as_ref().into());
    }

    fn find(&self, library: Library) -> Result<PathBuf, NotFound> {
        find_in(library, &self.environment)
    }
}

#[test]
fn each_place_yields_to_the_one_before_it() {
    let mut machine = Machine::new();
    machine.set("VIRTUAL_ENV", machine.path("venv"));
    machine.set("CONDA_PREFIX", machine.path("conda"));
    machine.set("CARGO_MANIFEST_DIR", machine.path("checkout/native"));
    machine.file("checkout/Cargo.toml");
    let last_to_first = [
        "system/libonnxruntime.so.1.30.0",
        "conda/lib/libonnxruntime.so.1.25.0",
        "venv/lib/python3.11/site-packages/onnxruntime/capi/libonnxruntime.so.1.26.0",
        "checkout/.native/libonnxruntime.so.1.31.1",
        "usr/lib/python3.11/site-packages/slidemill/native/libonnxruntime.so.1.31.0",
        "usr/lib/python3.11/site-packages/onnxruntime/capi/libonnxruntime.so.1.23.2",
        "usr/lib/slidemill/libonnxruntime.so",
        "usr/bin/native/libonnxruntime.so.1.22.0",
        "usr/bin/libonnxruntime.so.1",
    ];
    for name in last_to_first {
        let file = machine.file(name);
        assert_eq!(machine.find(Library::OnnxRuntime), Ok(file));
    }

    let folder = machine.file("named/libonnxruntime.so.1.24.0");
    machine.set("SLIDEMILL_NATIVE_DIR", machine.path("named"));
    assert_eq!(machine.find(Library::OnnxRuntime), Ok(folder));

    let file = machine.file("elsewhere/my-runtime");
    machine.set("ORT_DYLIB_PATH", &file);
    assert_eq!(machine.find(Library::OnnxRuntime), Ok(file));

    let found = find_all_in(Library::OnnxRuntime, &machine.environment);
    let held = found.iter().filter(|look| matches!(look.outcome, Outcome::Found(_))).count();
    assert_eq!(held, last_to_first.len() + 2);
}

#[test]
fn a_variable_that_names_nothing_is_the_error_though_the_system_has_the_library() {
    for (variable, library) in [
        ("ORT_DYLIB_PATH", Library::OnnxRuntime),
        ("OPENSLIDE_LIB", Library::OpenSlide),
        ("SLIDEMILL_NATIVE_DIR", Library::OpenSlide),
    ] {
        let mut machine = Machine::new();
        machine.file("system/libonnxruntime.so.1.31.1");
        machine.file("system/libopenslide.so.1");
        machine.set(variable, machine.path("absent"));
        let error = machine.find(library).unwrap_err();
        assert_eq!(error.variable(), Some(variable));
        assert_eq!(error.looked.len(), 1);
        assert!(error.to_string().contains(&format!("correct or unset {variable}")), "{error}");
        assert!(error.to_string().contains("absent"), "{error}");
    }
}

#[test]
fn a_folder_that_a_variable_names_must_hold_the_library() {
    let mut machine = Machine::new();
    machine.file("system/libopenslide.so.1");
    machine.file("named/libonnxruntime.so");
    machine.set("SLIDEMILL_NATIVE_DIR", machine.path("named"));
    assert!(machine.find(Library::OnnxRuntime).is_ok());
    let error = machine.find(Library::OpenSlide).unwrap_err();
    assert_eq!(error.looked[0].outcome, Outcome::Without);
}

#[test]
fn a_file_variable_must_name_a_file() {
    let mut machine = Machine::new();
    machine.file("named/libonnxruntime.so");
    machine.set("ORT_DYLIB_PATH", machine.path("named"));
    let error = machine.find(Library::OnnxRuntime).unwrap_err();
    assert!(error.to_string().ends_with("(ORT_DYLIB_PATH): is no file"), "{error}");
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let mut machine = Machine::new();
    let file = machine.file("system/libopenslide.so.1");
    machine.set("OPENSLIDE_LIB", "");
    machine.set("SLIDEMILL_NATIVE_DIR", "");
    assert_eq!(machine.find(Library::OpenSlide), Ok(file));
}

#[test]
fn the_newest_version_wins_by_number_not_by_text() {
    let machine = Machine::new();
    for version in ["", ".1", ".1.9.9", ".1.22.1", ".1.31.1", ".1.4"] {
        machine.file(&format!("system/libonnxruntime.so{version}"));
    }
    machine.file("system/libonnxruntime.so.old");
    machine.file("system/libonnxruntime_providers_shared.so");
    fs::create_dir(machine.path("system/libonnxruntime.so.2.0.0")).unwrap();
    assert_eq!(machine.find(Library::OnnxRuntime), Ok(machine.path("system/libonnxruntime.so.1.31.1")));
}

#[test]
fn packages_of_the_newest_python_come_first() {
    let machine = Machine::new();
    let folder = "dist-packages/openslide_bin/libopenslide.so.1";
    machine.file(&format!("usr/lib/python3.9/{folder}"));
    let newest = machine.file(&format!("usr/lib/python3.12/{folder}"));
    machine.file(&format!("usr/lib/python3/{folder}"));
    assert_eq!(machine.find(Library::OpenSlide), Ok(newest));
}

#[test]
fn too_old_a_library_is_passed_over_and_said_so() {
    let machine = Machine::new();
    machine.file("system/libopenslide.so.0.4.1");
    machine.file("usr/lib/python3.11/site-packages/onnxruntime/capi/libonnxruntime.so.1.19.2");
    let text = machine.find(Library::OpenSlide).unwrap_err().to_string();
    assert!(text.contains("OpenSlide 4 is needed"), "{text}");
    let text = machine.find(Library::OnnxRuntime).unwrap_err().to_string();
    assert!(text.contains("ONNX Runtime 1.22 is needed"), "{text}");

    let newer = machine.file("system/libonnxruntime.so.1.22.0");
    assert_eq!(machine.find(Library::OnnxRuntime), Ok(newer));
}

#[cfg(unix)]
#[test]
fn a_link_has_the_version_of_what_it_leads_to() {
    let machine = Machine::new();
    machine.file("system/libopenslide.so.0.4.1");
    std::os::unix::fs::symlink("libopenslide.so.0.4.1", machine.path("system/libopenslide.so")).unwrap();
    assert!(machine.find(Library::OpenSlide).is_err());
}

#[test]
fn the_remedy_depends_on_where_the_program_runs() {
    let mut machine = Machine::new();
    let text = machine.find(Library::OnnxRuntime).unwrap_err().to_string();
    assert!(text.starts_with("cannot find ONNX Runtime (libonnxruntime.so): run `pip install onnxruntime`"));
    assert!(text.contains(&machine.path("system").display().to_string()), "{text}");

    machine.file("checkout/Cargo.toml");
    machine.environment.program = Some(machine.path("checkout/target/release/slidemill"));
    let text = machine.find(Library::OpenSlide).unwrap_err().to_string();
    assert!(text.contains("run `cargo xtask natives`"), "{text}");
    assert!(text.contains(&machine.path("checkout/.native").display().to_string()), "{text}");
}

#[test]
fn only_a_folder_with_a_manifest_is_a_checkout() {
    let machine = Machine::new();
    machine.file(".native/libopenslide.so.1");
    assert!(machine.find(Library::OpenSlide).is_err());
    machine.file("Cargo.toml");
    assert_eq!(machine.find(Library::OpenSlide), Ok(machine.path(".native/libopenslide.so.1")));
}

#[test]
fn names_are_read_as_each_platform_writes_them() {
    use Library::{OnnxRuntime, OpenSlide};
    use Platform::{Linux, MacOs, Windows};
    let version = |library: Library, name, platform| library.version_in(name, platform).map(|found| found.0);
    assert_eq!(version(OnnxRuntime, "libonnxruntime.1.31.1.dylib", MacOs), Some(vec![1, 31, 1]));
    assert_eq!(version(OpenSlide, "libopenslide.1.dylib", MacOs), Some(vec![1]));
    assert_eq!(version(OnnxRuntime, "onnxruntime.dll", Windows), Some(vec![]));
    assert_eq!(version(OpenSlide, "libopenslide-1.dll", Windows), Some(vec![1]));
    assert_eq!(version(OnnxRuntime, "onnxruntime_providers_shared.dll", Windows), None);
    assert_eq!(version(OpenSlide, "libopenslide.so", Linux), Some(vec![]));
    assert_eq!(version(OpenSlide, "libopenslide.so.1", MacOs), None);
}

#[test]
fn windows_own_runtime_is_not_taken() {
    let mut machine = Machine::new();
    machine.environment.platform = Platform::Windows;
    machine.file("Windows/System32/onnxruntime.dll");
    machine.set("SystemRoot", machine.path("Windows"));
    machine.set("PATH", machine.path("Windows/System32"));
    assert!(machine.find(Library::OnnxRuntime).is_err());
    let own = machine.file("tools/onnxruntime.dll");
    machine.set("PATH", machine.path("tools"));
    assert_eq!(machine.find(Library::OnnxRuntime), Ok(own));
}
