//! A service whose jobs follow a script, and just enough of a client.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses a part of it; these are tests")]

pub(crate) mod pacs;

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use dataset::{Dataset, RunAccount, SlideId};
use merger::{Cell, TableContext, write_cells};
use serde_json::{Value, json};
use service::{
    DicomObject, Event, Format, JobOptions, Lane, Measured, ModelCard, RunEnd, Runner, Service, Settings,
    Stop, Stopping, Task,
};
use wsi_types::{ClassId, Level0Box, Level0Point, Mpp, Score};

/// A job layer without a model. What an upload begins with says what becomes of it.
pub(crate) struct Script {
    cards: Vec<ModelCard>,
    /// Jobs of the large lane that may end.
    released: Mutex<usize>,
    more: Condvar,
    pub(crate) runs: AtomicUsize,
}

impl Script {
    pub(crate) fn new() -> Arc<Self> {
        let card = |name: &str| ModelCard {
            name: name.into(),
            model: name.into(),
            version: Some("1".into()),
            sha256: "0".repeat(64),
            classes: vec!["nucleus".into()],
            mpp: Some(0.5),
            licence: None,
            description: None,
            outlines: false,
        };
        Arc::new(Self {
            cards: vec![card("first"), card("second")],
            released: Mutex::new(0),
            more: Condvar::new(),
            runs: AtomicUsize::new(0),
        })
    }

    /// Lets a job of the large lane end.
    pub(crate) fn release(&self) {
        *self.released.lock().unwrap() += 1;
        self.more.notify_all();
    }

    /// Waits for a release; false when it was stopped before.
    fn wait(&self, stop: &Stop) -> bool {
        let mut released = self.released.lock().unwrap();
        while *released == 0 {
            if stop.is_asked() {
                return false;
            }
            released = self.more.wait_timeout(released, Duration::from_millis(5)).unwrap().0;
        }
        *released -= 1;
        true
    }
}

fn event(value: Value) -> Event {
    value.as_object().unwrap().clone()
}

impl Runner for Script {
    fn models(&self) -> &[ModelCard] {
        &self.cards
    }

    fn prepare(&self, _: Lane) {}

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn measure(&self, slide: &Path, _: &JobOptions) -> Result<Measured, String> {
        if slide.is_dir() {
            let files = fs::read_dir(slide).unwrap().count() as u32;
            return Ok(Measured { size_px: [100 * files, 100], is_dicom: true, ..Measured::default() });
        }
        let content = fs::read(slide).map_err(|error| error.kind().to_string())?;
        if let Some(study) = content.strip_prefix(b"dicom ") {
            let study_id = Some(String::from_utf8_lossy(study).into_owned());
            return Ok(Measured { size_px: [1000, 1000], is_dicom: true, study_id, series_id: None });
        }
        let side = if content.starts_with(b"large") { 10_000 } else { 1_000 };
        if content.starts_with(b"bad") {
            return Err("this is no slide".to_owned());
        }
        Ok(Measured { size_px: [side, side], ..Measured::default() })
    }

    /// `DICM class instance series` is an object, and so are results; all are of the study 1.5.
    fn identify(&self, files: &[PathBuf]) -> Result<Vec<Option<DicomObject>>, String> {
        let object = |file: &PathBuf| {
            let text = fs::read_to_string(file).ok()?;
            let text = match text.as_str() {
                "DicomAnn" => "DICM ann 7.1 7",
                "DicomSr" => "DICM sr 7.2 7",
                text => text,
            };
            let mut words = text.strip_prefix("DICM ")?.split(' ').map(str::to_owned);
            let mut next = || words.next();
            Some(DicomObject {
                class_uid: next()?,
                instance_uid: next()?,
                study_uid: "1.5".into(),
                series_uid: next()?,
            })
        };
        Ok(files.iter().map(object).collect())
    }

    fn run(&self, lane: Lane, task: &Task, tell: &mut dyn FnMut(Event), stop: &Stop) -> RunEnd {
        self.runs.fetch_add(1, Ordering::Relaxed);
        tell(event(json!({"event": "slide_started", "slide": "s1", "windows": 2, "resumed": 0})));
        tell(event(json!({"event": "windows", "done": 1, "windows": 2, "failed": 0, "cells": 1})));
        if fs::read(&task.slide).is_ok_and(|content| content.starts_with(b"panic")) {
            panic!("as the script says");
        }
        if lane == Lane::Large && !self.wait(stop) {
            return RunEnd::Stopped;
        }
        write_results(&task.out(), 3);
        tell(event(json!({"event": "slide_finished", "slide": "s1", "cells": 3})));
        RunEnd::Ended
    }

    fn look(&self, task: &Task) -> Result<bool, String> {
        write_results(&task.so_far(), 1);
        Ok(true)
    }

    fn export(&self, task: &Task, format: Format) -> Result<PathBuf, String> {
        if format == Format::DicomSeg {
            return Err("there are no regions".to_owned());
        }
        let path = task.exports().join(format!("{format:?}"));
        fs::create_dir_all(task.exports()).unwrap();
        fs::write(&path, format!("{format:?}")).unwrap();
        Ok(path)
    }
}

/// A dataset of one slide with some cells.
fn write_results(out: &Path, cells: u64) {
    let (dataset, id) = (Dataset::at(out), SlideId::new("s1").unwrap());
    let mut rows: Vec<Cell> = (0..cells).map(cell).collect();
    let context = TableContext {
        slide_id: id.to_string(),
        mpp: Mpp::new(0.5).unwrap(),
        class_names: ["nucleus".to_owned()].into_iter().collect(),
        provenance: Vec::new(),
    };
    let table = dataset.cells(&id);
    fs::create_dir_all(table.parent().unwrap()).unwrap();
    write_cells(&table, &mut rows, &context).unwrap();
    let account: RunAccount = serde_json::from_value(json!({
        "slide": "s1", "outcome": "done", "slidemill": "0", "device": "a script", "fingerprint": "f", "settings": {},
        "model": {"name": "first", "version": "1", "sha256": ""}, "warnings": ["as the script says"],
        "elapsed_secs": 1.5,
        "analysis": {
            "slide_px": [1000, 1000], "mpp": 0.5, "mpp_source": "the script", "model_mpp": 0.5,
            "windows": {"planned": 2, "done": 2, "failed": 0}, "failures": [],
            "coverage": {"tissue_mm2": 0.25, "analysed_mm2": 0.25, "fraction": 1.0},
            "cells": {"nucleus": cells}, "dropped": {}, "seam_audit": null,
            "tiles": {"needed": 1, "decoded": 1, "failed": 0}, "files": [],
        },
    }))
    .unwrap();
    dataset.write(&dataset.account(&id), &dataset::sealed(&account).unwrap()).unwrap();
}

fn cell(number: u64) -> Cell {
    let corner = Level0Point::new(10.0 + 40.0 * number as f64, 20.0);
    let bbox = Level0Box::new(corner, corner + euclid::vec2(20.0, 10.0));
    Cell {
        id: number + 1,
        class: ClassId(0),
        score: Score::new(0.75).unwrap(),
        bbox,
        centroid: bbox.center(),
        outline: None,
        stains: None,
        texture: None,
        runner_up: None,
        n_merged: 1,
        score_min: Score::new(0.5).unwrap(),
        score_max: Score::new(0.9).unwrap(),
        windows: vec![0],
        seam_dist_um: f32::INFINITY,
        edge_flag: 0,
        region: None,
        distance_um: None,
        detector_scores: Box::default(),
    }
}

/// A service that answers on a port of its own.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) data: PathBuf,
    pub(crate) script: Arc<Script>,
    stopping: Stopping,
    thread: Option<JoinHandle<usize>>,
}

impl Served {
    /// With the settings of a service of this machine.
    pub(crate) fn start(data: &Path) -> Self {
        Self::with(Settings::local(data))
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let (script, data) = (Script::new(), settings.data.clone());
        let service = Service::open(settings, Arc::clone(&script) as Arc<_>).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, stopping) = (listener.local_addr().unwrap(), service.stopping());
        let thread = std::thread::spawn(move || service.run(listener).unwrap());
        Self { address, data, script, stopping, thread: Some(thread) }
    }

    /// Asks it to stop; jobs that have not ended.
    pub(crate) fn stop(mut self) -> usize {
        self.stopping.ask();
        self.thread.take().unwrap().join().unwrap()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).unwrap()
    }

    /// A request with these further lines of its head.
    pub(crate) fn ask(&self, request: &str, head: &[&str], body: &[u8]) -> Answer {
        let mut stream = self.connect();
        let mut text = format!("{request} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for line in head {
            text.push_str(&format!("{line}\r\n"));
        }
        if !body.is_empty() {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        // It may answer, and close, before all is sent.
        let _ = stream.write_all(&[text.as_bytes(), b"\r\n", body].concat());
        Answer::read(stream)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), &[], b"")
    }

    /// A picture or slide as a body.
    pub(crate) fn detect(&self, head: &[&str], content: &[u8]) -> Answer {
        let head = [&["Content-Type: image/png"], head].concat();
        self.ask("POST /v1/detect", &head, content)
    }

    /// Asks for a job until it is in this state.
    pub(crate) fn wait_for(&self, place: &str, state: &str) -> Value {
        let (_keep, never) = std::sync::mpsc::channel::<()>();
        loop {
            let view = self.get(place).json();
            if view["state"] == state {
                return view;
            }
            let _ = never.recv_timeout(Duration::from_millis(2));
        }
    }

    /// Entries of a folder of its data.
    pub(crate) fn entries(&self, folder: &str) -> usize {
        fs::read_dir(self.data.join(folder)).unwrap().count()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stopping.ask();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// An answer that came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// All that comes until the other side closes.
    pub(crate) fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A connection that is reset has said what it had to say.
        let _ = stream.read_to_end(&mut bytes);
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(&bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let head: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let body = bytes[end + 4..].to_vec();
        let is_chunked = head.get("transfer-encoding").is_some_and(|coding| coding == "chunked");
        Self { status, body: if is_chunked { joined(&body) } else { body }, head }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// Checks that it is a refusal in words, and gives them.
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.head["content-type"], "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(problem["type"].as_str().unwrap().starts_with("urn:slidemill:problem:"));
        problem["detail"].as_str().unwrap().to_owned()
    }
}

/// The content of chunks.
fn joined(mut chunks: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(end) = chunks.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&chunks[..end]).unwrap(), 16).unwrap();
        all.extend_from_slice(&chunks[end + 2..end + 2 + size]);
        chunks = &chunks[(end + 4 + size).min(chunks.len())..];
    }
    all
}
