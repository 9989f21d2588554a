//! Detectors that are opened once and lent to jobs, one after the other or several at once.

use std::sync::{Arc, Mutex, PoisonError};

use detector::{Answers, BatchView, Detector, DetectorError, Manifest, WindowResult};

/// The part of a detector that one device runs.
#[derive(Clone)]
struct Part {
    device: Arc<str>,
    detector: Arc<Mutex<Box<dyn Detector>>>,
}

impl Part {
    fn new(detector: Box<dyn Detector>) -> Self {
        Self { device: detector.device_used().into(), detector: Arc::new(Mutex::new(detector)) }
    }
}

/// A detector that an engine keeps. Each job gets a [`Lent`] one.
pub(crate) struct Shared {
    manifest: Arc<Manifest>,
    device: String,
    notes: Vec<String>,
    parts: Vec<Part>,
}

impl Shared {
    pub(crate) fn new(detector: Box<dyn Detector>) -> Self {
        let (manifest, device) = (Arc::new(detector.manifest().clone()), detector.device_used());
        let notes = detector.notes();
        Self { manifest, device, notes, parts: detector.split().into_iter().map(Part::new).collect() }
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(crate) fn device(&self) -> &str {
        &self.device
    }

    /// What was found about its devices while they were opened.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    pub(crate) fn lend(&self) -> Box<dyn Detector> {
        Box::new(Lent { manifest: Arc::clone(&self.manifest), parts: self.parts.clone() })
    }
}

/// A shared detector as one job has it. Two jobs at once take turns, batch by batch.
struct Lent {
    manifest: Arc<Manifest>,
    /// Its parts, at least one.
    parts: Vec<Part>,
}

impl Lent {
    /// Runs `work` on the first part, which is the only one once the detector is split.
    fn run<T>(
        &self,
        work: impl FnOnce(&mut dyn Detector) -> Result<T, DetectorError>,
    ) -> Result<T, DetectorError> {
        let part = self.parts.first().ok_or(DetectorError::Thread { thread: "infer" })?;
        // A panic in a batch of another job does not affect this one.
        work(&mut **part.detector.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Detector for Lent {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn detect(&mut self, batch: BatchView<'_>) -> Result<Vec<WindowResult>, DetectorError> {
        self.run(|part| part.detect(batch))
    }

    fn infer(&mut self, batch: BatchView<'_>) -> Result<Box<dyn Answers>, DetectorError> {
        self.run(|part| part.infer(batch))
    }

    fn split(self: Box<Self>) -> Vec<Box<dyn Detector>> {
        let Self { manifest, parts } = *self;
        let each = parts.into_iter().map(|part| -> Box<dyn Detector> {
            Box::new(Self { manifest: Arc::clone(&manifest), parts: vec![part] })
        });
        each.collect()
    }

    fn device_used(&self) -> String {
        let names: Vec<&str> = self.parts.iter().map(|part| &*part.device).collect();
        names.join(" + ")
    }
}
