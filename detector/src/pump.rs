//! Running and decoding at once, results in order.
//!
//! ```text
//! batches ─► lane 0 (model) ─┐
//!        └─► lane 1 (model) ─┴─► decode ─► results, in the order the batches came
//! ```
//!
//! One named thread per device runs the model, one decodes; the caller fills the next batch meanwhile.
//! A batch comes back with its results, so its buffers can be filled again. At most a few batches are in
//! flight: a slow reader of the results stops the lanes, not the machine's memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

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
    /// One result per window, in the order of the batch; or why the batch as a whole was not run.
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

/// A detector at work. Dropping it stops the threads after the batches in flight.
pub struct Pump<B> {
    results: Receiver<Done<B>>,
    at_work: AtWork,
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
        Self::start_several(vec![detector], batches, view, |_| DetectorIndex::FIRST)
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
    ) -> Result<Self, DetectorError> {
        let lanes = lanes_of(detectors);
        // One batch runs and one waits for decoding, per lane.
        let in_flight = lanes.len() * 2;
        let (permit_in, permits) = bounded(in_flight);
        for _ in 0..in_flight {
            // There is room for each.
            let _ = permit_in.send(());
        }
        let (raw_in, raw) = bounded(in_flight);
        let (results_in, results) = bounded(1);
        let source = Arc::new(Mutex::new(Source { batches, next: 0 }));
        let at_work = AtWork::new(lanes.len());
        let mut threads = vec![spawn("decode", move || decode(&raw, &results_in, &permit_in))?];
        for (number, detectors) in lanes.into_iter().enumerate() {
            let (source, permits, raw_in) = (Arc::clone(&source), permits.clone(), raw_in.clone());
            let lane = Lane { detectors, at_work: at_work.clone(), number };
            threads.push(spawn("infer", move || infer(lane, view, route, &source, &permits, &raw_in))?);
        }
        Ok(Self { results, at_work, threads })
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
        self.at_work.longest().is_some_and(|time| time >= patience)
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

/// Instant at which the model of each lane got its batch; `None` while it has none.
#[derive(Debug, Clone)]
struct AtWork(Arc<Mutex<Vec<Option<Instant>>>>);

impl AtWork {
    fn new(lanes: usize) -> Self {
        Self(Arc::new(Mutex::new(vec![None; lanes])))
    }

    /// Notes that a lane begins with a batch, or ended it.
    fn note(&self, lane: usize, since: Option<Instant>) {
        if let Some(of_lane) = self.lanes().get_mut(lane) {
            *of_lane = since;
        }
    }

    fn longest(&self) -> Option<Duration> {
        self.lanes().iter().flatten().map(Instant::elapsed).max()
    }

    fn lanes(&self) -> MutexGuard<'_, Vec<Option<Instant>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One part of each detector.
struct Lane {
    detectors: Vec<Box<dyn Detector>>,
    at_work: AtWork,
    number: usize,
}

/// Source of the lanes' batches, numbered in the order taken.
struct Source<B> {
    batches: Receiver<B>,
    next: u64,
}

/// A batch that was run, with its number.
struct Raw<B> {
    number: u64,
    batch: B,
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

fn infer<B>(
    mut lane: Lane,
    view: View<B>,
    route: Route<B>,
    source: &Mutex<Source<B>>,
    permits: &Receiver<()>,
    raw: &Sender<Raw<B>>,
) {
    while permits.recv().is_ok() {
        // A lane that waits for a batch holds the lock, so numbers follow the order of batches. Nothing
        // in here can panic and leave it poisoned.
        let taken = {
            let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
            source.next += 1;
            source.batches.recv().map(|batch| (source.next - 1, batch))
        };
        let Ok((number, batch)) = taken else { return };
        let place = route(&batch).place().min(lane.detectors.len().saturating_sub(1));
        let Some(detector) = lane.detectors.get_mut(place) else { return };
        lane.at_work.note(lane.number, Some(Instant::now()));
        let answers = detector.infer(view(&batch));
        lane.at_work.note(lane.number, None);
        if raw.send(Raw { number, batch, answers }).is_err() {
            return;
        }
    }
}

fn decode<B>(raw: &Receiver<Raw<B>>, results: &Sender<Done<B>>, permits: &Sender<()>) {
    let mut early = BTreeMap::new();
    let mut next = 0;
    for Raw { number, batch, answers } in raw {
        let results_of_batch = answers.map(Answers::decode);
        early.insert(number, Done { batch, results: results_of_batch });
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
    use crate::{Manifest, ScriptedDetector};

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
        let mut pump = Pump::start_several(both.into(), send_all(6), view, |batch: &OnePixel| {
            DetectorIndex((batch.0[0].0 % 2) as u8)
        })
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
}
