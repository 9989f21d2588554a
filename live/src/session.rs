//! A source, a watcher and a clock.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use wsi_types::RgbBuffer;

use crate::{
    Frame, LiveError, Located, Seen, Watcher,
    slot::{Slot, Taken},
    source::Source,
};

/// Speed of a session.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Each frame is looked at, however long that takes: for pictures and slides. No times are told, so that the results
    /// are the same every time.
    EachFrame,
    /// The source has its own speed, as cameras have: the newest frame is looked at, the others are dropped.
    Camera,
    /// The same at this time between frames, from a source that could be quicker.
    Every(Duration),
}

/// Result of one frame, with what a session knows of it.
#[derive(Debug)]
pub struct Observed<'a> {
    /// Cells and counts.
    pub seen: Seen,
    /// Frames that were dropped so far.
    pub dropped: u64,
    /// Time from the whole frame to here; `None` where frames have no times.
    pub latency: Option<Duration>,
    /// What the model was shown; the field lies in its upper left corner.
    pub field: &'a RgbBuffer,
    /// Width and height of the field, px.
    pub size: (u32, u32),
}

/// Figures of a session that has ended.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ended {
    /// Frames looked at.
    pub frames: u64,
    /// Frames dropped.
    pub dropped: u64,
    /// Frames whose place was not known.
    pub lost: u64,
    /// Cells of each segment, each once.
    pub segments: Vec<u64>,
}

type Offered = Result<Frame, LiveError>;

/// Ends a session from another thread.
#[derive(Debug, Clone)]
pub struct Stopper(Arc<Slot<Offered>>);

impl Stopper {
    /// Asks for the end. A frame that is looked at is finished.
    pub fn stop(&self) {
        self.0.close();
    }
}

/// Frames from a source, looked at as they come.
#[derive(Debug)]
pub struct Session {
    slot: Arc<Slot<Offered>>,
    pace: Pace,
}

impl Session {
    /// Starts `source` on a thread of its own.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub fn start(source: Box<dyn Source>, pace: Pace) -> Result<Self, LiveError> {
        let slot = Arc::new(Slot::new());
        let filled = Arc::clone(&slot);
        // It is not waited for: it may be in a read that never returns.
        thread::Builder::new().name("frames".into()).spawn(move || fill(source, pace, &filled))?;
        Ok(Self { slot, pace })
    }

    /// Returns what ends this session from elsewhere.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.slot))
    }

    /// Looks at frames until the last, or until it is stopped, and gives each result to `out`. Returns the figures up to
    /// there, and the reason if it ended early: a fault of the source, of the watcher or of `out`.
    pub fn run(
        &self,
        watcher: &mut Watcher,
        mut out: impl FnMut(&Observed<'_>) -> Result<(), LiveError>,
    ) -> (Ended, Result<(), LiveError>) {
        let mut ended = Ended::default();
        while let Some(taken) = self.slot.take() {
            if let Err(error) = self.observe(taken, watcher, &mut ended, &mut out) {
                self.slot.close();
                return (ended, Err(error));
            }
        }
        (ended, Ok(()))
    }

    fn observe(
        &self,
        Taken { newest, dropped }: Taken<Offered>,
        watcher: &mut Watcher,
        ended: &mut Ended,
        out: &mut impl FnMut(&Observed<'_>) -> Result<(), LiveError>,
    ) -> Result<(), LiveError> {
        let frame = newest?;
        let seen = watcher.see(&frame)?;
        ended.note(&seen, dropped);
        let latency = (self.pace != Pace::EachFrame).then(|| frame.captured.elapsed());
        let size = watcher.size().unwrap_or_default();
        out(&Observed { seen, dropped, latency, field: watcher.field(), size })
    }
}

impl Ended {
    fn note(&mut self, seen: &Seen, dropped: u64) {
        self.frames += 1;
        self.dropped = dropped;
        match seen.located {
            Located::Lost { .. } => self.lost += 1,
            Located::At(place) => {
                self.segments.resize(place.segment as usize + 1, 0);
                self.segments[place.segment as usize] = seen.mosaic.values().sum();
            }
        }
    }
}

/// Gives the frames of `source` until it ends or nobody takes them.
fn fill(mut source: Box<dyn Source>, pace: Pace, slot: &Slot<Offered>) {
    // Nobody sends: it is a clock.
    let (_open, clock) = mpsc::channel::<()>();
    let mut due = Instant::now();
    loop {
        let offered = match source.next() {
            Ok(None) => break,
            Ok(Some(frame)) => Ok(frame),
            Err(error) => Err(error),
        };
        let is_last = offered.is_err();
        let is_taken = match (pace, offered) {
            (Pace::Camera, Ok(frame)) => slot.replace(Ok(frame)),
            (Pace::Every(step), Ok(frame)) => {
                let _ = clock.recv_timeout(due.saturating_duration_since(Instant::now()));
                due += step;
                slot.replace(Ok(Frame { captured: Instant::now(), ..frame }))
            }
            (_, offered) => slot.hand_over(offered),
        };
        if !is_taken || is_last {
            break;
        }
    }
    slot.close();
}
