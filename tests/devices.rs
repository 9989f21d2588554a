//! Several devices in one run: scripted ones, and several sessions on the CPU.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Barrier},
};

use dataset::{Dataset, DeviceShare, SlideId};
use detector::{
    BlobDetector, DetectorError, Manifest, ScriptedDevice, ScriptedDevices,
    scripted::{Script, fast_and_slow},
};
use engine::{Engine, Event, Job, JobEnd, JobError, Model, RunOptions, Settings, SlideEntry, Stop};
use support::{accounts, any_file, run, run_until, small_slide, stderr, tables};
use wsi_reader::{MemorySlide, Slide};
use wsi_types::Mpp;

/// Windows, and batches, of [`squares`].
const WINDOWS: usize = 28;

/// A slide of 1000 × 600 px with dark squares, some of which cross borders between windows.
fn squares() -> Arc<dyn Slide> {
    let slide = MemorySlide::painted(&[(1000, 600)], (200, 200), Mpp::new(0.5).ok(), |_, x, y| {
        if [x, y].iter().all(|at| (20..32).contains(&(at % 50))) { [40; 3] } else { [230; 3] }
    });
    Arc::new(slide.unwrap())
}

fn entry(id: &str) -> SlideEntry {
    SlideEntry::from_slide(SlideId::new(id).unwrap(), squares())
}

/// An engine on devices `a`, `b` and so on, which do what these scripts say.
fn engine_on(scripts: impl IntoIterator<Item = Script>) -> Engine {
    let options = RunOptions {
        window: Some(256),
        threads: Some(2),
        batch: Some(1),
        no_tissue_mask: Some(true),
        min_score: Some(0.4),
        ..RunOptions::default()
    };
    let manifest = Manifest::without_model("blobs", &["blob"], Mpp::new(0.5).ok());
    let devices = scripts.into_iter().zip(["a", "b", "c"]).map(|(script, name)| {
        ScriptedDevice::new(name, BlobDetector::with_manifest(manifest.clone(), 300), script)
    });
    let detector = ScriptedDevices::new(manifest.clone(), devices.collect());
    Engine::with_models(&Settings::new(options).unwrap(), [Model::Detector(Box::new(detector))]).unwrap()
}

fn run_on(
    scripts: impl IntoIterator<Item = Script>,
    out: &Path,
    slides: &[&str],
) -> (Result<JobEnd, JobError>, Vec<Event>) {
    let slides: Vec<_> = slides.iter().map(|id| entry(id)).collect();
    let mut events = Vec::new();
    let ended = Job::new(&engine_on(scripts), Dataset::at(out)).run(&slides, &mut events, &Stop::new());
    (ended, events)
}

fn works() -> Script {
    Box::new(|_| Ok(()))
}

/// Fails before its batch of that number.
fn fails_at(number: usize) -> Script {
    Box::new(move |batch| {
        let reason = "the cable is out".to_owned();
        if batch < number { Ok(()) } else { Err(DetectorError::Run { reason }) }
    })
}

/// These scripts, each of which begins with its batch of that number when all others are at theirs.
fn together<const N: usize>(number: usize, scripts: [Script; N]) -> [Script; N] {
    let begun = Arc::new(Barrier::new(N));
    scripts.map(|mut script| -> Script {
        let begun = Arc::clone(&begun);
        Box::new(move |batch| {
            if batch == number {
                begun.wait();
            }
            script(batch)
        })
    })
}

/// The tables of a run on one device.
fn on_one(out: &Path, slides: &[&str]) -> BTreeMap<PathBuf, Vec<u8>> {
    let (ended, _) = run_on([works()], out, slides);
    assert!(ended.unwrap().is_complete);
    assert!(accounts(out)[0].devices.is_empty());
    tables(out)
}

fn shares(out: &Path, slide: &str) -> Vec<DeviceShare> {
    accounts(out).into_iter().find(|account| account.slide.to_string() == slide).unwrap().devices
}

fn windows_of(shares: &[DeviceShare]) -> Vec<usize> {
    shares.iter().map(|share| share.windows).collect()
}

/// What the user is told of devices.
fn warnings(events: &[Event]) -> Vec<&str> {
    let said = events.iter().filter_map(|event| match event {
        Event::Warning { message, .. } if message.starts_with("device ") => Some(message.as_str()),
        _ => None,
    });
    said.collect()
}

#[test]
fn a_fast_and_a_slow_device_share_a_slide_and_give_the_bytes_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let [one, both] = ["one", "both"].map(|name| folder.path().join(name));
    let (ended, events) = run_on(fast_and_slow(3), &both, &["s"]);
    assert!(ended.unwrap().is_complete);
    assert!(warnings(&events).is_empty());
    assert!(matches!(&events[0], Event::JobStarted { device, .. } if device == "a + b"));
    assert_eq!(windows_of(&shares(&both, "s")), [WINDOWS * 3 / 4, WINDOWS / 4]);
    assert_eq!(tables(&both), on_one(&one, &["s"]));
}

#[test]
fn a_device_that_faults_is_retired_for_all_slides_and_the_others_do_its_windows() {
    let folder = tempfile::tempdir().unwrap();
    let expected = on_one(&folder.path().join("one"), &["s", "t"]);
    for number in [0, 2] {
        let out = folder.path().join(number.to_string());
        let scripts = together(number, [works(), fails_at(number), works()]);
        let (ended, events) = run_on(scripts, &out, &["s", "t"]);
        assert!(ended.unwrap().is_complete);
        assert_eq!(tables(&out), expected);

        let [of_s, of_t] = ["s", "t"].map(|slide| shares(&out, slide));
        assert_eq!(windows_of(&of_s).iter().sum::<usize>(), WINDOWS);
        assert_eq!(windows_of(&of_t).iter().sum::<usize>(), WINDOWS);
        assert_eq!((of_s[1].windows, of_t[1].windows), (number, 0));
        for shares in [&of_s, &of_t] {
            assert_eq!(shares[1].retired.as_deref(), Some("running the model failed: the cable is out"));
        }
        assert!(of_t[0].retired.is_none() && of_t[2].retired.is_none());
        let said = warnings(&events);
        let expected =
            "device b is retired, its windows go to the others: running the model failed: the cable is out";
        assert_eq!(said, [expected]);
    }
}

#[test]
fn a_device_without_memory_for_a_window_leaves_it_to_one_that_has() {
    let folder = tempfile::tempdir().unwrap();
    let [one, both] = ["one", "both"].map(|name| folder.path().join(name));
    let full: Script = Box::new(|_| {
        let (reason, device) = ("allocation failed".to_owned(), "a".to_owned());
        Err(DetectorError::OutOfMemory { width: 256, height: 256, device, reason })
    });
    let (ended, _) = run_on(together(0, [full, works()]), &both, &["s"]);
    assert!(ended.unwrap().is_complete);
    let shares = shares(&both, "s");
    assert_eq!(windows_of(&shares), [0, WINDOWS]);
    assert!(shares[0].retired.as_ref().unwrap().contains("does not fit in the memory of a"));
    assert_eq!(tables(&both), on_one(&one, &["s"]));
}

#[test]
fn when_all_devices_fault_the_job_ends_and_goes_on_with_others() {
    let folder = tempfile::tempdir().unwrap();
    let [one, out] = ["one", "out"].map(|name| folder.path().join(name));
    let (ended, _) = run_on([fails_at(4), fails_at(3)], &out, &["s"]);
    let Err(JobError::Again(reason)) = ended else { panic!("{ended:?}") };
    for part in ["the model stopped on every device", "a: running", "b: running", "the same command goes on"]
    {
        assert!(reason.contains(part), "{reason}");
    }
    assert!(accounts(&out).is_empty());

    let (ended, events) = run_on(together(0, [works(), works(), works()]), &out, &["s"]);
    assert!(ended.unwrap().is_complete);
    let resumed = events.iter().find_map(|event| match event {
        Event::SlideStarted { resumed, .. } => Some(*resumed),
        _ => None,
    });
    let resumed = resumed.filter(|windows| (1..=7).contains(windows)).unwrap();
    assert_eq!(windows_of(&shares(&out, "s")).iter().sum::<usize>(), WINDOWS - resumed);
    assert_eq!(tables(&out), on_one(&one, &["s"]));
}

#[test]
fn an_answer_in_memory_says_which_device_was_retired() {
    let mut events = Vec::new();
    let answer = engine_on(together(1, [fails_at(1), works()])).analyse(entry("s"), &mut events).unwrap();
    let alone = engine_on([works()]).analyse(entry("s"), &mut ()).unwrap();
    assert_eq!(answer.cells.len(), alone.cells.len());
    assert!(warnings(&events)[0].starts_with("device a is retired"), "{events:?}");
}

/// Settings for a run on that device.
fn on(device: &str) -> [&str; 6] {
    ["--window", "256", "--threads", "2", "--device", device]
}

/// Kills a run on one set of devices, and lets another go on.
#[test]
fn sessions_on_the_cpu_give_the_bytes_of_one_whatever_set_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 77);
    let slides = [slide.as_path()];
    let one = folder.path().join("one");
    assert!(run(&slides, &one, &on("cpu")).status.success());

    let two = folder.path().join("two");
    let output = run(&slides, &two, &on("cpu,cpu"));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("on cpu + cpu"), "{}", stderr(&output));
    assert_eq!(tables(&two), tables(&one));
    let account = &accounts(&two)[0];
    assert_eq!(account.device, "cpu + cpu");
    let planned = account.analysis.as_ref().unwrap().windows.planned;
    assert_eq!(windows_of(&account.devices).iter().sum::<usize>(), planned);

    for (name, first, then) in [("fewer", "cpu,cpu", "cpu"), ("more", "cpu", "cpu,cpu,cpu")] {
        let out = folder.path().join(name);
        run_until(&slides, &out, &on(first), || any_file(&out.join(".slidemill/ledger"), "windows.bin"));
        let last = run(&slides, &out, &on(then));
        assert!(last.status.success(), "{}", stderr(&last));
        assert!(stderr(&last).contains("already done"), "{}", stderr(&last));
        assert_eq!(tables(&out), tables(&one), "{name}");
    }
}

#[test]
fn devices_that_cannot_be_had_together_are_refused_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let slide = folder.path().join("slide.tif");
    small_slide(&slide, 78);
    let out = folder.path().join("out");
    for (device, expected) in [
        ("cpu,cuda:0", "names devices of several kinds, expected one kind"),
        ("cuda:1,cuda:1", "names a device twice"),
        ("cpu:2", "unknown device \"cpu:2\", expected auto, cpu[,cpu…]"),
        ("cuda:all", "device cuda:all cannot be used: cuda:0: "),
        ("cuda:0,cuda:1", "device cuda:0,1 cannot be used: cuda:"),
    ] {
        let output = run(&[&slide], &out, &["--device", device]);
        let said = stderr(&output);
        // A machine with cards runs on them.
        if output.status.success() && said.contains("on cuda:0") {
            continue;
        }
        assert_eq!(output.status.code(), Some(64), "{device}: {said}");
        assert!(said.contains(expected), "{device}: {said}");
    }
}
