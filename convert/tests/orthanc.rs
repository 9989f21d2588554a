//! DICOM exports through a PACS: stored in Orthanc by STOW-RS, taken back by WADO-RS, the same in every element.
//!
//! Orthanc is started here, on a free port of this machine. Where it is not installed the test says that it skips
//! (Debian: `apt-get install orthanc orthanc-dicomweb`).

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use convert::{Choice, Format, Settings};
use serde_json::{Value, json};
use support::{Painted, ellipses, python};

const PLUGIN: &str = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so";

/// A running server; gone with it.
struct Orthanc {
    process: Child,
    port: u16,
    /// Its storage.
    _folder: tempfile::TempDir,
}

impl Orthanc {
    /// `None` where it is not installed, which is told.
    fn start() -> Option<Self> {
        if !Path::new(PLUGIN).exists() {
            eprintln!("skipped: there is no Orthanc (Debian: apt-get install orthanc orthanc-dicomweb)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let settings = json!({
            "StorageDirectory": folder.path(), "IndexDirectory": folder.path(), "Plugins": [PLUGIN],
            "HttpPort": port, "RemoteAccessAllowed": false, "AuthenticationEnabled": false, "DicomServerEnabled": false,
            "DicomWeb": {"Enable": true, "Root": "/dicom-web/"},
        });
        let path = folder.path().join("orthanc.json");
        fs::write(&path, settings.to_string()).unwrap();
        let mut process = Command::new("Orthanc").arg(&path).stderr(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(process.stderr.take().unwrap()).lines();
        let started = told.by_ref().any(|line| line.unwrap().contains("Orthanc has started"));
        assert!(started, "Orthanc ended before it had started");
        // It stops when nobody reads what it says.
        std::thread::spawn(move || told.for_each(drop));
        Some(Self { process, port, _folder: folder })
    }
}

impl Drop for Orthanc {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn annotations_report_and_segmentation_come_back_from_a_server_as_they_were() {
    let Some(python) = python(".venv-exports") else { return };
    let Some(orthanc) = Orthanc::start() else { return };
    let painted = Painted::new(ellipses(2_000));
    let files = [Format::DicomAnn, Format::DicomSr, Format::DicomSeg]
        .map(|format| painted.export(format, &Choice::default(), &Settings::default()).1);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("tests/python/orthanc_loop.py");
    let address = format!("http://127.0.0.1:{}/dicom-web", orthanc.port);
    let output = Command::new(python).arg(script).arg(address).args(&files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    for file in &files {
        assert_eq!(told[file.to_str().unwrap()], json!([]), "{}", file.display());
    }
}
