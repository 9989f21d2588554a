//! The engine as another program uses it: slides in memory, detectors of its own, no terminal.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    sync::{Arc, Mutex, mpsc},
    thread,
};

use dataset::{Dataset, Outcome, SlideId, read_cells};
use detector::{BatchView, BlobDetector, Detector, DetectorError, Manifest, ScriptedDetector, WindowResult};
use engine::{Engine, Event, Job, JobError, Model, RunOptions, Settings, SlideEntry, Stop, Watch};
use wsi_reader::{MemorySlide, Slide};
use wsi_types::Mpp;

const MPP: f64 = 0.5;

/// Dark squares of `SIDE` px every `STEP` px, so that some cross each border between windows.
const STEP: u32 = 50;
const SIDE: u32 = 12;

/// A slide of 1000 × 600 px with 20 × 12 squares.
fn squares() -> Arc<dyn Slide> {
    let dark = |at: u32| at % STEP >= 20 && at % STEP < 20 + SIDE;
    let paint = move |_, x, y| if dark(x) && dark(y) { [40; 3] } else { [230; 3] };
    Arc::new(MemorySlide::painted(&[(1000, 600)], (200, 200), Mpp::new(MPP).ok(), paint).unwrap())
}

const SQUARES: usize = 20 * 12;

fn entry(id: &str) -> SlideEntry {
    SlideEntry::from_slide(SlideId::new(id).unwrap(), squares())
}

fn settings() -> Settings {
    let options = RunOptions {
        window: Some(256),
        threads: Some(2),
        no_tissue_mask: Some(true),
        min_score: Some(0.4),
        keep_raw: Some(true),
        ..RunOptions::default()
    };
    Settings::new(options).unwrap()
}

fn blobs() -> Model {
    let manifest = Manifest::without_model("blobs", &["blob"], Mpp::new(MPP).ok());
    Model::Detector(Box::new(BlobDetector::with_manifest(manifest, 300)))
}

fn engine() -> Engine {
    Engine::with_models(&settings(), [blobs()]).unwrap()
}

#[test]
fn a_slide_in_memory_is_answered_in_memory() {
    let mut events = Vec::new();
    let answer = engine().analyse(entry("a"), &mut events).unwrap();
    assert_eq!((answer.cells.len(), answer.outcome()), (SQUARES, Outcome::Done));
    assert!(answer.cells.iter().all(|cell| {
        let (size, corner) = (cell.bbox.size(), cell.bbox.min);
        size.width == f64::from(SIDE) && size.height == f64::from(SIDE) && corner.x % 50.0 == 20.0
    }));
    let mm2 = 1000.0 * 600.0 * MPP * MPP / 1e6;
    assert!((answer.coverage.analysed_mm2 - mm2).abs() < 1e-12);
    assert_eq!(answer.regions.len(), 1, "the whole slide is tissue");
    assert!(matches!(events[0], Event::SlideStarted { windows: 28, resumed: 0, .. }), "{:?}", events[0]);
    assert!(matches!(events.last(), Some(Event::SlideFinished { cells: 240, .. })), "{:?}", events.last());
}

#[test]
fn a_job_writes_what_is_answered_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = Dataset::at(folder.path());
    let engine = engine();
    let end =
        Job::new(&engine, dataset.clone()).run(&[entry("a"), entry("b")], &mut (), &Stop::new()).unwrap();
    assert!(end.is_complete && !end.was_stopped);
    assert_eq!((end.totals.done, end.totals.cells), (2, 2 * SQUARES as u64));
    let mut answer = engine.analyse(entry("a"), &mut ()).unwrap();
    answer.cells.sort_by_key(|cell| cell.id);
    let mut stored = read_cells(&dataset.cells(&SlideId::new("a").unwrap())).unwrap();
    stored.sort_by_key(|cell| cell.cell_id);
    let ids = |cell: &merger::Cell| (cell.id, cell.centroid);
    assert_eq!(
        stored.iter().map(|cell| (cell.cell_id, cell.centroid)).collect::<Vec<_>>(),
        answer.cells.iter().map(ids).collect::<Vec<_>>()
    );
    let private = dataset.private();
    let again = Job::new(&engine, dataset).run(&[entry("a")], &mut (), &Stop::new()).unwrap();
    assert_eq!((again.totals.skipped, again.is_complete), (1, true));
    let left = std::fs::read_dir(private).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with("in-hand")).collect();
    assert!(left.is_empty(), "marks of slides at work that nobody is at: {left:?}");
}

/// Asks a job to stop when the first windows have ended.
struct StopSoon(Stop, Vec<Event>);

impl Watch for StopSoon {
    fn tell(&mut self, event: &Event) {
        self.1.push(event.clone());
        if matches!(event, Event::Windows { .. }) {
            self.0.ask();
        }
    }
}

#[test]
fn a_stopped_job_goes_on_from_its_last_window() {
    let folder = tempfile::tempdir().unwrap();
    let (dataset, engine) = (Dataset::at(folder.path()), engine());
    let stop = Stop::new();
    let mut watch = StopSoon(stop.clone(), Vec::new());
    let end = Job::new(&engine, dataset.clone()).run(&[entry("a")], &mut watch, &stop).unwrap();
    assert!(end.was_stopped && !end.is_complete);
    assert!(matches!(watch.1.last(), Some(Event::JobFinished(totals)) if totals.interrupted));

    let mut events = Vec::new();
    let end = Job::new(&engine, dataset).run(&[entry("a")], &mut events, &Stop::new()).unwrap();
    assert_eq!(end.totals.cells, SQUARES as u64);
    let resumed = events.iter().find_map(|event| match event {
        Event::SlideStarted { resumed, .. } => Some(*resumed),
        _ => None,
    });
    assert!(resumed.unwrap() > 0);
}

#[test]
fn two_engines_in_one_process_do_not_disturb_each_other() {
    let folder = tempfile::tempdir().unwrap();
    // The second sees nothing: its threshold is above the scores of the blobs.
    let strict = RunOptions { min_score: Some(1.0), window: Some(512), ..settings().options };
    let strict = Settings::new(strict).unwrap();
    let scripted = || {
        let manifest = Manifest::without_model("nothing", &["a", "b"], Mpp::new(1.0).ok());
        let nothing = ScriptedDetector::new(&["a", "b"], |_, _| Vec::new());
        Model::Detector(Box::new(Promising(manifest, nothing)))
    };
    let run = |settings: &Settings, model: Model, name: &str| {
        let engine = Engine::with_models(settings, [model]).unwrap();
        let dataset = Dataset::at(folder.path().join(name));
        let slides: Vec<_> = (0..4).map(|slide| entry(&format!("s{slide}"))).collect();
        let end = Job::new(&engine, dataset.clone()).run(&slides, &mut (), &Stop::new()).unwrap();
        assert!(end.is_complete);
        let tables = slides.iter().map(|slide| dataset.cells(slide.id.as_ref().unwrap()));
        tables.map(|table| std::fs::read(table).unwrap()).collect::<Vec<_>>()
    };
    let (settings, strict) = (settings(), strict);
    let alone = (run(&settings, blobs(), "one"), run(&strict, scripted(), "two"));
    let together = thread::scope(|scope| {
        let one = scope.spawn(|| run(&settings, blobs(), "one beside"));
        let two = scope.spawn(|| run(&strict, scripted(), "two beside"));
        (one.join().unwrap(), two.join().unwrap())
    });
    assert!(alone == together, "tables differ");
}

/// A detector that promises another manifest.
struct Promising<D>(Manifest, D);

impl<D: Detector + 'static> Detector for Promising<D> {
    fn manifest(&self) -> &Manifest {
        &self.0
    }

    fn detect(&mut self, batch: BatchView<'_>) -> Result<Vec<WindowResult>, DetectorError> {
        self.1.detect(batch)
    }

    fn split(self: Box<Self>) -> Vec<Box<dyn Detector>> {
        vec![self]
    }
}

#[test]
fn two_jobs_of_one_process_on_one_dataset_do_each_slide_once() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = Dataset::at(folder.path());
    let slides: Vec<_> = (0..6).map(|slide| entry(&format!("s{slide}"))).collect();
    let run = |name: &str| {
        let (engine, dataset) = (engine(), dataset.clone().written_by(name));
        Job::new(&engine, dataset).run(&slides, &mut (), &Stop::new()).unwrap().totals
    };
    let (one, two) = thread::scope(|scope| {
        let (one, two) = (scope.spawn(|| run("one")), scope.spawn(|| run("two")));
        (one.join().unwrap(), two.join().unwrap())
    });
    assert_eq!((one.done + two.done, one.failed + two.failed), (6, 0), "{one:?} {two:?}");
    assert_eq!((one.ended(), two.ended()), (6, 6));
}

#[test]
fn one_engine_serves_two_threads() {
    let engine = engine();
    let count = || engine.analyse(entry("a"), &mut ()).unwrap().cells.len();
    let counts = thread::scope(|scope| {
        let threads = [scope.spawn(count), scope.spawn(count)];
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(counts, [SQUARES; 2]);
}

/// A detector that never comes back.
struct Hangs(Manifest, Mutex<mpsc::Receiver<()>>);

impl Detector for Hangs {
    fn manifest(&self) -> &Manifest {
        &self.0
    }

    fn detect(&mut self, _: BatchView<'_>) -> Result<Vec<WindowResult>, DetectorError> {
        let _ = self.1.lock().unwrap().recv();
        Ok(Vec::new())
    }

    fn split(self: Box<Self>) -> Vec<Box<dyn Detector>> {
        vec![self]
    }
}

#[test]
fn a_model_that_never_comes_back_is_to_blame() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = Dataset::at(folder.path());
    let settings = Settings::new(RunOptions { slide_timeout: Some(1), ..settings().options }).unwrap();
    let (_never, waits) = mpsc::channel();
    let manifest = Manifest::without_model("hangs", &["a"], Mpp::new(MPP).ok());
    let hangs = Model::Detector(Box::new(Hangs(manifest, Mutex::new(waits))));
    let engine = Engine::with_models(&settings, [hangs]).unwrap();
    let ended = Job::new(&engine, dataset.clone()).run(&[entry("a")], &mut (), &Stop::new());
    let Err(error @ JobError::SilentModel { .. }) = ended else { panic!("{ended:?}") };
    assert!(error.to_string().starts_with("the model did not answer within 1 s"), "{error}");
}

#[test]
fn what_cannot_be_used_is_refused_with_its_reason() {
    let refused = |options: RunOptions, models: Vec<Model>| {
        let settings = Settings::new(options).unwrap();
        Engine::with_models(&settings, models).err().expect("it is refused").to_string()
    };
    let nameless = || {
        let manifest = Manifest::without_model("blobs", &["blob"], None);
        Model::Detector(Box::new(BlobDetector::with_manifest(manifest, 300)))
    };
    assert!(refused(RunOptions::default(), vec![nameless()]).contains("does not say at which µm/px"));
    assert!(refused(RunOptions::default(), vec![blobs(), blobs()]).contains("2 models for 1 detectors"));
    let class = RunOptions { class_score: Some(vec!["blop=0.3".into()]), ..RunOptions::default() };
    assert!(refused(class, vec![blobs()]).contains("did you mean \"blob\"?"));
    let bytes = Model::Bytes { name: "m".into(), onnx: b"no model".to_vec(), manifest: String::new() };
    assert!(!refused(RunOptions::default(), vec![bytes]).is_empty());

    let missing = engine().analyse(std::path::Path::new("not there.svs"), &mut ()).unwrap_err();
    assert!(matches!(missing, JobError::Input(_)) && missing.to_string().ends_with(": not there.svs"));
    let coarse = MemorySlide::painted(&[(600, 600)], (200, 200), None, |_, _, _| [230; 3]).unwrap();
    let coarse: Arc<dyn Slide> = Arc::new(coarse);
    let unscaled = engine().analyse(coarse, &mut ()).unwrap_err();
    assert!(unscaled.to_string().contains("does not say its microns per pixel"), "{unscaled}");
}
