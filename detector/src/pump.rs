//! Running and decoding at once, results in order.
//!
//! ```text
//! batches ─► lane 0 (model) ─┐
//!        └─► lane 1 (model) ─┴─► decode ─► results, in the order the batches came
//! ```
//!
//! One named thread per device runs the model, one decodes; the caller fills the next batch meanwhile. A batch goes to
//! whichever device is free. A batch comes back with its results, so its buffers can be filled again. At most a few
//! batches are in flight: a slow reader of the results stops the lanes, not the machine's memory.
//!
//! A device on which the model fails is retired, and its batch goes to another. When the last is retired its error is
//! the next result, and there are no more.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select, unbounded};

use wsi_types::DetectorIndex;

use crate::{Answers, BatchView, Detector, DetectorError, WindowResult};

/// Function that shows a `B` as a batch: `|batch| BatchView { windows: &batch.windows, … }`.
pub type View<B> = for<'a> fn(&'a B) -> BatchView<'a>;

/// Function that names the detector of a `B`. Batches never mix detectors.
pub type Route<B> = fn(&B) -> DetectorIndex;

/// A batch that has been through the model.
#[derive(Debug)]
pub struct Done<B> {
    /// The batch, with its buffers.
    pub batch: B,
    /// Place among [`Pump::devices`] of the device that had it.
    pub device: usize,
    /// One result per window, in the order of the batch; or the error of the last device: there are no more results.
    pub results: Result<Vec<WindowResult>, DetectorError>,
}

/// Result of waiting for a pump for a limited time.
#[derive(Debug)]
pub enum Received<B> {
    /// The next finished batch.
    Done(Done<B>),
    /// There are no more.
    End,
    /// Nothing came: batches are late, or their source hangs.
    Silent,
}

/// A device of a pump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceAtWork {
    /// Its name, as [`Detector::device_used`] gives it.
    pub name: String,
    /// Reason that it was retired: it gets no more batches.
    pub retired: Option<String>,
}

/// Batches that may be in flight at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlight {
    /// The most for which there is memory.
    pub most: usize,
}

impl InFlight {
    /// One runs and one waits for decoding, per lane: with fewer a lane would idle.
    const LEAST_PER_LANE: usize = 2;
    /// With so many a device that is a few times slower than the others does not hold them up: theirs wait for its own.
    const PER_ONE_OF_SEVERAL: usize = 4;

    fn of_lanes(self, lanes: usize) -> usize {
        let least = lanes * Self::LEAST_PER_LANE;
        if lanes < 2 { least } else { self.most.clamp(least, lanes * Self::PER_ONE_OF_SEVERAL) }
    }
}

/// A detector at work. Dropping it stops the threads after the batches in flight.
pub struct Pump<B> {
    results: Receiver<Done<B>>,
    roll: Roll,
    in_flight: usize,
    threads: Vec<(&'static str, JoinHandle<()>)>,
}

impl<B: Send + 'static> Pump<B> {
    /// Starts the threads over `batches`, each seen through `view`. They end when `batches` is closed and
    /// empty, or when the pump is dropped.
    ///
    /// # Errors
    ///
    /// [`DetectorError::Thread`] when the system gives no thread.
    pub fn start(
        detector: Box<dyn Detector>,
        batches: Receiver<B>,
        view: View<B>,
    ) -> Result<Self, DetectorError> {
        let in_flight = InFlight { most: usize::MAX };
        Self::start_several(vec![detector], batches, view, |_| DetectorIndex::FIRST, in_flight)
    }

    /// The same for several detectors on the same devices: each batch goes to the one that `route` names. A
    /// number past the last detector names the last.
    ///
    /// # Errors
    ///
    /// [`DetectorError::Thread`] when the system gives no thread.
    pub fn start_several(
        detectors: Vec<Box<dyn Detector>>,
        batches: Receiver<B>,
        view: View<B>,
        route: Route<B>,
        in_flight: InFlight,
    ) -> Result<Self, DetectorError> {
        let lanes = lanes_of(detectors);
        let in_flight = in_flight.of_lanes(lanes.len());
        let (permit_in, permits) = bounded(in_flight);
        for _ in 0..in_flight {
            // There is room for each.
            let _ = permit_in.send(());
        }
        let (raw_in, raw) = bounded(in_flight);
        let (results_in, results) = bounded(1);
        let source = Arc::new(Mutex::new(Source::new(batches, permits)));
        let roll = Roll::new(&lanes);
        let mut threads = vec![spawn("decode", move || decode(&raw, &results_in, &permit_in))?];
        for (number, detectors) in lanes.into_iter().enumerate() {
            let (source, raw_in) = (Arc::clone(&source), raw_in.clone());
            let lane = Lane { detectors, roll: roll.clone(), number };
            threads.push(spawn("infer", move || infer(lane, view, route, &source, &raw_in))?);
        }
        Ok(Self { results, roll, in_flight, threads })
    }

    /// Its devices, as they are now.
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceAtWork> {
        self.roll.entries().iter().map(|entry| entry.device.clone()).collect()
    }

    /// Batches that are taken before the first of them is given, at most.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The next finished batch, in the order the batches were given; `None` after the last.
    ///
    /// # Errors
    ///
    /// [`DetectorError::Thread`] when one of the threads panicked: batches are missing.
    pub fn recv(&mut self) -> Result<Option<Done<B>>, DetectorError> {
        match self.results.recv() {
            Ok(done) => Ok(Some(done)),
            Err(_) => self.join().map(|()| None),
        }
    }

    /// The same, waiting no longer than `patience`.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, patience: Duration) -> Result<Received<B>, DetectorError> {
        match self.results.recv_timeout(patience) {
            Ok(done) => Ok(Received::Done(done)),
            Err(RecvTimeoutError::Timeout) => Ok(Received::Silent),
            Err(RecvTimeoutError::Disconnected) => self.join().map(|()| Received::End),
        }
    }

    /// `true` if a model has had a batch for at least `patience`.
    #[must_use]
    pub fn is_model_silent(&self, patience: Duration) -> bool {
        self.roll.longest_at_work().is_some_and(|time| time >= patience)
    }

    fn join(&mut self) -> Result<(), DetectorError> {
        let joined = self
            .threads
            .drain(..)
            .map(|(thread, handle)| handle.join().map_err(|_| DetectorError::Thread { thread }));
        // Join them all before reporting one.
        joined.fold(Ok(()), Result::and)
    }
}

fn spawn(
    name: &'static str,
    work: impl FnOnce() + Send + 'static,
) -> Result<(&'static str, JoinHandle<()>), DetectorError> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map(|handle| (name, handle)).map_err(|_| DetectorError::Thread { thread: name })
}

/// The device of each lane.
#[derive(Debug, Clone)]
struct Roll(Arc<Mutex<Vec<Entry>>>);

/// The device of a lane, and what it does.
#[derive(Debug)]
struct Entry {
    device: DeviceAtWork,
    /// Instant at which its model got its batch; `None` while it has none.
    since: Option<Instant>,
}

impl Roll {
    fn new(lanes: &[Vec<Box<dyn Detector>>]) -> Self {
        let entries = lanes.iter().map(|detectors| {
            let name = detectors.first().map_or_else(String::new, |detector| detector.device_used());
            Entry { device: DeviceAtWork { name, retired: None }, since: None }
        });
        Self(Arc::new(Mutex::new(entries.collect())))
    }

    /// Notes that a lane begins with a batch, or ended it.
    fn note(&self, lane: usize, since: Option<Instant>) {
        if let Some(entry) = self.entries().get_mut(lane) {
            entry.since = since;
        }
    }

    /// Notes that a lane gets no more batches; `true` if others do.
    fn retire(&self, lane: usize, reason: String) -> bool {
        let mut entries = self.entries();
        if let Some(entry) = entries.get_mut(lane) {
            entry.device.retired = Some(reason);
        }
        entries.iter().any(|entry| entry.device.retired.is_none())
    }

    fn longest_at_work(&self) -> Option<Duration> {
        self.entries().iter().filter_map(|entry| entry.since).map(|since| since.elapsed()).max()
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One part of each detector.
struct Lane {
    detectors: Vec<Box<dyn Detector>>,
    roll: Roll,
    number: usize,
}

/// Reason that a model gave no answers to a batch.
enum Fault {
    Error(DetectorError),
    /// It panicked, with this.
    Panic(Box<dyn std::any::Any + Send>),
}

impl Fault {
    fn reason(&self) -> String {
        match self {
            Self::Error(error) => error.to_string(),
            // Its message was printed when it happened.
            Self::Panic(_) => "the thread that runs it panicked".to_owned(),
        }
    }
}

impl Lane {
    /// Runs the model over a batch. After a panic the lane is not used again.
    fn run(&mut self, detector: DetectorIndex, batch: BatchView<'_>) -> Result<Box<dyn Answers>, Fault> {
        let place = detector.place().min(self.detectors.len().saturating_sub(1));
        let Some(detector) = self.detectors.get_mut(place) else {
            return Err(Fault::Error(DetectorError::Thread { thread: "infer" }));
        };
        self.roll.note(self.number, Some(Instant::now()));
        let ended = catch_unwind(AssertUnwindSafe(|| detector.infer(batch)));
        self.roll.note(self.number, None);
        match ended {
            Ok(answers) => answers.map_err(Fault::Error),
            Err(panic) => Err(Fault::Panic(panic)),
        }
    }
}

/// A batch that a lane has, with its number in the order of batches.
struct Taken<B> {
    number: u64,
    batch: B,
    /// The way on which it goes back if the lane cannot run it. It is closed once no batch can come back.
    way_back: Sender<Taken<B>>,
}

/// Source of the lanes' batches.
struct Source<B> {
    batches: Receiver<B>,
    /// Number of the next batch.
    next: u64,
    /// Leave to take one batch more.
    permits: Receiver<()>,
    has_permit: bool,
    /// Batches of retired lanes. They have their number, and need no permit.
    returned: Receiver<Taken<B>>,
    /// Given to each new batch; `None` once there are no more.
    way_back: Option<Sender<Taken<B>>>,
}

impl<B> Source<B> {
    fn new(batches: Receiver<B>, permits: Receiver<()>) -> Self {
        let (way_back, returned) = unbounded();
        Self { batches, next: 0, permits, has_permit: false, returned, way_back: Some(way_back) }
    }

    /// The next batch: one that came back, or a new one. `None` when all batches were run, or nobody reads the
    /// results.
    fn take(&mut self) -> Option<Taken<B>> {
        while !self.has_permit && self.way_back.is_some() {
            select! {
                recv(self.returned) -> returned => return returned.ok(),
                recv(self.permits) -> permit => {
                    permit.ok()?;
                    self.has_permit = true;
                }
            }
        }
        if let Some(way_back) = self.way_back.clone() {
            select! {
                recv(self.returned) -> returned => return returned.ok(),
                recv(self.batches) -> batch => if let Ok(batch) = batch {
                    self.has_permit = false;
                    self.next += 1;
                    return Some(Taken { number: self.next - 1, batch, way_back });
                }
            }
        }
        self.way_back = None;
        // Until the last lane is through with its batch, that one may still come back.
        self.returned.recv().ok()
    }
}

/// A batch that was run, with its number.
struct Raw<B> {
    number: u64,
    batch: B,
    device: usize,
    /// An error is that of the last device.
    answers: Result<Box<dyn Answers>, DetectorError>,
}

/// One part of each detector per lane. A detector with fewer parts than another bounds their number: a lane must
/// be able to take any batch.
fn lanes_of(detectors: Vec<Box<dyn Detector>>) -> Vec<Vec<Box<dyn Detector>>> {
    let parts: Vec<_> = detectors.into_iter().map(Detector::split).collect();
    let count = parts.iter().map(Vec::len).min().unwrap_or(0);
    let mut lanes: Vec<Vec<_>> = std::iter::repeat_with(Vec::new).take(count).collect();
    for of_detector in parts {
        lanes.iter_mut().zip(of_detector).for_each(|(lane, part)| lane.push(part));
    }
    lanes
}

fn infer<B>(mut lane: Lane, view: View<B>, route: Route<B>, source: &Mutex<Source<B>>, raw: &Sender<Raw<B>>) {
    let device = lane.number;
    loop {
        // A lane that waits for a batch holds the lock, so numbers follow the order of batches. Nothing
        // in here can panic and leave it poisoned.
        let taken = source.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Taken { number, batch, way_back }) = taken else { return };
        let answers = match lane.run(route(&batch), view(&batch)) {
            Ok(answers) => Ok(answers),
            Err(fault) if lane.roll.retire(device, fault.reason()) => {
                let back = way_back.clone();
                // The source is there as long as this lane is.
                let _ = way_back.send(Taken { number, batch, way_back: back });
                return;
            }
            Err(Fault::Error(error)) => Err(error),
            Err(Fault::Panic(panic)) => resume_unwind(panic),
        };
        let is_last = answers.is_err();
        drop(way_back);
        if raw.send(Raw { number, batch, device, answers }).is_err() || is_last {
            return;
        }
    }
}

fn decode<B>(raw: &Receiver<Raw<B>>, results: &Sender<Done<B>>, permits: &Sender<()>) {
    let mut early = BTreeMap::new();
    let mut next = 0;
    for Raw { number, batch, device, answers } in raw {
        let answers = match answers {
            Ok(answers) => answers,
            // Batches before it may have gone back to a device that is no more.
            Err(error) => {
                let _ = results.send(Done { batch, device, results: Err(error) });
                return;
            }
        };
        early.insert(number, Done { batch, device, results: Ok(answers.decode()) });
        while let Some(done) = early.remove(&next) {
            next += 1;
            if results.send(done).is_err() {
                return;
            }
            // No lane is left to take it when the batches have ended.
            let _ = permits.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use wsi_types::WindowIndex;

    use super::*;
    use crate::{
        Manifest, ScriptedDetector, ScriptedDevice, ScriptedDevices,
        scripted::{Script, fast_and_slow},
    };

    struct OnePixel([WindowIndex; 1], [u8; 3]);

    fn view(batch: &OnePixel) -> BatchView<'_> {
        BatchView { height: 1, width: 1, windows: &batch.0, pixels: &batch.1, stretch: None }
    }

    fn send_all(count: u32) -> Receiver<OnePixel> {
        let (sender, receiver) = bounded(count as usize);
        for i in 0..count {
            sender.send(OnePixel([WindowIndex(i)], [0; 3])).unwrap();
        }
        receiver
    }

    /// Several lanes that finish out of order: even windows wait for the odd one after them.
    struct Uneven(Manifest, usize, Arc<(Mutex<u32>, std::sync::Condvar)>);

    impl Detector for Uneven {
        fn manifest(&self) -> &Manifest {
            &self.0
        }
        fn detect(&mut self, batch: BatchView<'_>) -> Result<Vec<WindowResult>, DetectorError> {
            let window = batch.windows[0];
            let (seen, changed) = &*self.2;
            let mut seen = seen.lock().unwrap();
            *seen += 1;
            changed.notify_all();
            if window.0.is_multiple_of(2) {
                drop(changed.wait_while(seen, |seen| *seen < window.0 + 2).unwrap());
            }
            Ok(vec![WindowResult::new(window, Ok(vec![]))])
        }
        fn split(self: Box<Self>) -> Vec<Box<dyn Detector>> {
            (0..self.1)
                .map(|_| Box::new(Self(self.0.clone(), 1, Arc::clone(&self.2))) as Box<dyn Detector>)
                .collect()
        }
    }

    #[test]
    fn results_leave_in_the_order_of_batches() {
        let manifest = Manifest::without_model("uneven", &["a"], None);
        let detector = Box::new(Uneven(manifest, 2, Arc::default()));
        let mut pump = Pump::start(detector, send_all(40), view).unwrap();
        for i in 0..40 {
            let done = pump.recv().unwrap().unwrap();
            assert_eq!(done.results.unwrap()[0].window, WindowIndex(i));
        }
        assert!(pump.recv().unwrap().is_none());
    }

    #[test]
    fn a_batch_goes_to_the_detector_it_is_for() {
        let both = [3.0, 7.0].map(|x| -> Box<dyn Detector> {
            Box::new(ScriptedDetector::new(&["cell"], move |_, _: &[u8]| {
                let corner = wsi_types::WindowPoint::new(x, 0.0);
                let bbox = wsi_types::WindowBox::new(corner, corner + euclid::vec2(1.0, 1.0));
                let (class, score) = (wsi_types::ModelClass(0), wsi_types::Score::new(0.5).unwrap());
                vec![wsi_types::Detection { bbox, class, score, outline: None }]
            }))
        });
        let mut pump = Pump::start_several(
            both.into(),
            send_all(6),
            view,
            |batch: &OnePixel| DetectorIndex((batch.0[0].0 % 2) as u8),
            InFlight { most: usize::MAX },
        )
        .unwrap();
        for expected in [3.0, 7.0, 3.0, 7.0, 3.0, 7.0] {
            let results = pump.recv().unwrap().unwrap().results.unwrap();
            assert_eq!(results[0].outcome.as_ref().unwrap()[0].bbox.min.x, expected);
        }
        assert!(pump.recv().unwrap().is_none());
    }

    #[test]
    fn a_reader_that_waits_too_long_is_told_and_may_go_on() {
        let (go_in, go) = bounded::<()>(1);
        let detector = ScriptedDetector::new(&["a"], move |_, _| {
            let _ = go.recv();
            vec![]
        });
        let mut pump = Pump::start(Box::new(detector), send_all(1), view).unwrap();
        let soon = Duration::from_millis(20);
        assert!(matches!(pump.recv_timeout(soon).unwrap(), Received::Silent));
        assert!(pump.is_model_silent(Duration::ZERO) && !pump.is_model_silent(Duration::MAX));
        go_in.send(()).unwrap();
        assert!(pump.recv().unwrap().is_some());
        assert!(!pump.is_model_silent(Duration::ZERO));
        assert!(matches!(pump.recv_timeout(Duration::from_secs(60)).unwrap(), Received::End));
    }

    #[test]
    fn a_reader_that_stops_stops_the_lanes() {
        let ran = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&ran);
        let detector = ScriptedDetector::new(&["a"], move |_, _| {
            counter.fetch_add(1, Ordering::SeqCst);
            vec![]
        });
        let mut pump = Pump::start(Box::new(detector), send_all(100), view).unwrap();
        pump.recv().unwrap().unwrap();
        let threads = std::mem::take(&mut pump.threads);
        drop(pump);
        for (_, thread) in threads {
            thread.join().unwrap();
        }
        assert!(ran.load(Ordering::SeqCst) < 10);
    }

    #[test]
    fn a_panic_is_an_error_not_an_end() {
        let detector = ScriptedDetector::new(&["a"], |window, _| match window.0 {
            0 => vec![],
            _ => panic!("on purpose"),
        });
        let mut pump = Pump::start(Box::new(detector), send_all(2), view).unwrap();
        assert!(pump.recv().unwrap().is_some());
        assert!(matches!(pump.recv(), Err(DetectorError::Thread { thread: "infer" })));
    }

    /// Answers nothing, on devices `a`, `b`, … with these scripts.
    fn on_devices(scripts: impl IntoIterator<Item = Script>) -> Box<dyn Detector> {
        let manifest = Manifest::without_model("scripted", &["a"], None);
        let devices = scripts.into_iter().zip(["a", "b", "c"]).map(|(script, name)| {
            let detector = ScriptedDetector::with_manifest(manifest.clone(), |_, _: &[u8]| vec![]);
            ScriptedDevice::new(name, detector, script)
        });
        Box::new(ScriptedDevices::new(manifest.clone(), devices.collect()))
    }

    fn fails(reason: &str) -> DetectorError {
        DetectorError::Run { reason: reason.to_owned() }
    }

    fn works() -> Script {
        Box::new(|_| Ok(()))
    }

    /// Fails before its batch of that number.
    fn fails_at(number: usize) -> Script {
        Box::new(move |batch| if batch < number { Ok(()) } else { Err(fails("unplugged")) })
    }

    /// The device of each batch, all of which are answered, in order.
    fn devices_of(pump: &mut Pump<OnePixel>, count: u32) -> Vec<usize> {
        let devices = (0..count).map(|i| {
            let done = pump.recv().unwrap().unwrap();
            assert_eq!(done.results.unwrap()[0].window, WindowIndex(i));
            done.device
        });
        let devices = devices.collect();
        assert!(pump.recv().unwrap().is_none());
        devices
    }

    fn share(devices: &[usize], device: usize) -> usize {
        devices.iter().filter(|&&of_batch| of_batch == device).count()
    }

    fn retired(pump: &Pump<OnePixel>) -> Vec<(String, Option<String>)> {
        pump.devices().into_iter().map(|device| (device.name, device.retired)).collect()
    }

    #[test]
    fn devices_share_the_batches_by_their_speed() {
        for ratio in [1, 2, 3, 5] {
            let batches = 6 * (ratio + 1);
            let mut pump =
                Pump::start(on_devices(fast_and_slow(ratio)), send_all(batches as u32), view).unwrap();
            let devices = devices_of(&mut pump, batches as u32);
            assert_eq!((share(&devices, 0), share(&devices, 1)), (6 * ratio, 6), "{ratio}");
        }
    }

    #[test]
    fn a_device_that_faults_is_retired_and_the_others_do_its_batch() {
        for number in [0, 1, 7] {
            let scripts = [works(), fails_at(number), works()];
            let mut pump = Pump::start(on_devices(scripts), send_all(60), view).unwrap();
            let devices = devices_of(&mut pump, 60);
            assert!(share(&devices, 1) <= number);
            // It may not have had so many.
            if let Some(reason) = &pump.devices()[1].retired {
                assert_eq!((share(&devices, 1), reason.contains("unplugged")), (number, true), "{reason}");
            }
            assert!(pump.devices()[0].retired.is_none() && pump.devices()[2].retired.is_none());
        }
    }

    #[test]
    fn a_batch_that_comes_back_after_the_last_is_taken_is_run_all_the_same() {
        // `a` has its only batch until all others are taken, and then fails.
        let (begun_in, begun) = bounded::<()>(1);
        let (taken_in, taken) = bounded::<()>(4);
        let a: Script = Box::new(move |_| {
            begun_in.send(()).unwrap();
            for _ in 0..3 {
                taken.recv().unwrap();
            }
            Err(fails("unplugged"))
        });
        let b: Script = Box::new(move |batch| {
            if batch == 0 {
                begun.recv().unwrap();
            }
            // Nobody counts the one that comes back.
            let _ = taken_in.send(());
            Ok(())
        });
        let mut pump = Pump::start(on_devices([a, b]), send_all(4), view).unwrap();
        assert_eq!(devices_of(&mut pump, 4), [1; 4]);
        let reason = Some("running the model failed: unplugged".to_owned());
        assert_eq!(retired(&pump), [("a".to_owned(), reason), ("b".to_owned(), None)]);
    }

    #[test]
    fn the_error_of_the_last_device_is_the_last_result() {
        for numbers in [[0, 0], [3, 0], [2, 9]] {
            let mut pump = Pump::start(on_devices(numbers.map(fails_at)), send_all(60), view).unwrap();
            let mut next = 0;
            let error = loop {
                match pump.recv().unwrap().unwrap().results {
                    Ok(results) => assert_eq!(results[0].window, WindowIndex(next)),
                    Err(error) => break error,
                }
                next += 1;
            };
            assert_eq!(error.to_string(), "running the model failed: unplugged");
            assert!(next as usize <= numbers[0] + numbers[1], "{next}");
            assert!(pump.recv().unwrap().is_none());
            assert!(pump.devices().iter().all(|device| device.retired.is_some()));
        }
    }

    #[test]
    fn a_device_without_memory_for_one_window_is_retired() {
        let begun = Arc::new(std::sync::Barrier::new(2));
        let of_b = Arc::clone(&begun);
        let a: Script = Box::new(move |_| {
            begun.wait();
            let (reason, device) = ("full".to_owned(), "a".to_owned());
            Err(DetectorError::OutOfMemory { width: 1, height: 1, device, reason })
        });
        let b: Script = Box::new(move |batch| {
            if batch == 0 {
                of_b.wait();
            }
            Ok(())
        });
        let mut pump = Pump::start(on_devices([a, b]), send_all(9), view).unwrap();
        assert_eq!(devices_of(&mut pump, 9), [1; 9]);
        let reason = pump.devices().remove(0).retired.unwrap();
        assert!(reason.contains("does not fit in the memory of a"), "{reason}");
    }

    #[test]
    fn a_panic_on_one_device_retires_it_and_on_the_last_is_an_error() {
        let begun = Arc::new(std::sync::Barrier::new(2));
        let of_b = Arc::clone(&begun);
        let a: Script = Box::new(move |_| {
            begun.wait();
            panic!("on purpose")
        });
        let b: Script = Box::new(move |batch| match batch {
            0 => {
                of_b.wait();
                Ok(())
            }
            4 => panic!("on purpose"),
            _ => Ok(()),
        });
        let mut pump = Pump::start(on_devices([a, b]), send_all(9), view).unwrap();
        let ended = loop {
            match pump.recv() {
                Ok(done) => assert!(done.is_some_and(|done| done.device == 1)),
                Err(error) => break error,
            }
        };
        assert!(matches!(ended, DetectorError::Thread { thread: "infer" }));
        assert!(pump.devices().iter().all(|device| device.retired.is_some()));
    }

    #[test]
    fn batches_in_flight_are_bounded_by_lanes_and_by_memory() {
        for (most, lanes, expected) in [(99, 1, 2), (0, 1, 2), (99, 2, 8), (5, 2, 5), (0, 3, 6)] {
            assert_eq!(InFlight { most }.of_lanes(lanes), expected);
        }
    }
}
