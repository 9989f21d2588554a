//! Detectors that are opened once and lent to jobs, one after the other or several at once.

use std::sync::{Arc, Mutex, PoisonError};

use detector::{Answers, BatchView, Detector, DetectorError, Manifest, WindowResult};

/// The part of a detector that one device runs.
type Part = Arc<Mutex<Box<dyn Detector>>>;

/// A detector that an engine keeps. Each job gets a [`Lent`] one.
pub(crate) struct Shared {
    manifest: Arc<Manifest>,
    device: String,
    parts: Vec<Part>,
}

impl Shared {
    pub(crate) fn new(detector: Box<dyn Detector>) -> Self {
        let (manifest, device) = (Arc::new(detector.manifest().clone()), detector.device_used());
        let parts = detector.split().into_iter().map(|part| Arc::new(Mutex::new(part)));
        Self { manifest, device, parts: parts.collect() }
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(crate) fn device(&self) -> &str {
        &self.device
    }

    pub(crate) fn lend(&self) -> Box<dyn Detector> {
        let (manifest, device) = (Arc::clone(&self.manifest), self.device.clone());
        Box::new(Lent { manifest, device, parts: self.parts.clone() })
    }
}

/// A shared detector as one job has it. Two jobs at once take turns, batch by batch.
struct Lent {
    manifest: Arc<Manifest>,
    device: String,
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
        work(&mut **part.lock().unwrap_or_else(PoisonError::into_inner))
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
        let Self { manifest, device, parts } = *self;
        let lend = |part| -> Box<dyn Detector> {
            let (manifest, device) = (Arc::clone(&manifest), device.clone());
            Box::new(Self { manifest, device, parts: vec![part] })
        };
        parts.into_iter().map(lend).collect()
    }

    fn device_used(&self) -> String {
        self.device.clone()
    }
}
