//! Detectors without a model, so that everything downstream tests without ONNX Runtime.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use wsi_types::{Detection, ModelClass, Score, WindowBox, WindowIndex};

use crate::{Answers, BatchView, Detector, DetectorError, Manifest, WindowResult};

/// Answers from a function of the window's place and its pixels (`height × width × 3`, red first).
pub struct ScriptedDetector<F> {
    manifest: Manifest,
    answer: F,
}

impl<F> ScriptedDetector<F>
where
    F: FnMut(WindowIndex, &[u8]) -> Vec<Detection> + Send + 'static,
{
    /// A detector of these classes.
    pub fn new(classes: &[&str], answer: F) -> Self {
        Self::with_manifest(Manifest::without_model("scripted", classes, None), answer)
    }

    /// A detector with the contract `manifest`.
    pub fn with_manifest(manifest: Manifest, answer: F) -> Self {
        Self { manifest, answer }
    }
}

impl<F> Detector for ScriptedDetector<F>
where
    F: FnMut(WindowIndex, &[u8]) -> Vec<Detection> + Send + 'static,
{
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn detect(&mut self, batch: BatchView<'_>) -> Result<Vec<WindowResult>, DetectorError> {
        batch.check()?;
        let answers =
            batch.iter().map(|(window, pixels)| WindowResult::new(window, Ok((self.answer)(window, pixels))));
        Ok(answers.collect())
    }

    fn split(self: Box<Self>) -> Vec<Box<dyn Detector>> {
        vec![self]
    }
}

/// What a scripted device does before it runs its batch of that number, the first being 0: it may wait, fail or panic.
pub type Script = Box<dyn FnMut(usize) -> Result<(), DetectorError> + Send>;

/// A device that does what a [`Script`] says.
pub struct ScriptedDevice {
    name: String,
    detector: Box<dyn Detector>,
    script: Script,
    /// Batches with windows that it was given.
    batches: usize,
}

impl ScriptedDevice {
    /// A device of that name, on which `detector` runs.
    pub fn new(name: &str, detector: impl Detector + 'static, script: Script) -> Self {
        Self { name: name.to_owned(), detector: Box::new(detector), script, batches: 0 }
    }

    fn infer(&mut self, batch: BatchView<'_>) -> Result<Box<dyn Answers>, DetectorError> {
        if !batch.windows.is_empty() {
            self.batches += 1;
            (self.script)(self.batches - 1)?;
        }
        self.detector.infer(batch)
    }
}

/// A detector on several scripted devices. What is not split runs on the first.
pub struct ScriptedDevices {
    manifest: Manifest,
    devices: Vec<ScriptedDevice>,
}

impl ScriptedDevices {
    /// A detector with the contract `manifest` on these devices, of which there is at least one.
    #[must_use]
    pub fn new(manifest: Manifest, devices: Vec<ScriptedDevice>) -> Self {
        Self { manifest, devices }
    }
}

impl Detector for ScriptedDevices {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn detect(&mut self, batch: BatchView<'_>) -> Result<Vec<WindowResult>, DetectorError> {
        self.infer(batch).map(Answers::decode)
    }

    fn infer(&mut self, batch: BatchView<'_>) -> Result<Box<dyn Answers>, DetectorError> {
        let device = self.devices.first_mut().ok_or(DetectorError::Thread { thread: "scripted" })?;
        device.infer(batch)
    }

    fn split(self: Box<Self>) -> Vec<Box<dyn Detector>> {
        let Self { manifest, devices } = *self;
        let each = devices.into_iter().map(|device| -> Box<dyn Detector> {
            Box::new(Self { manifest: manifest.clone(), devices: vec![device] })
        });
        each.collect()
    }

    fn device_used(&self) -> String {
        let names: Vec<&str> = self.devices.iter().map(|device| device.name.as_str()).collect();
        names.join(" + ")
    }
}

/// Two devices, the first of which runs `ratio` batches in the time of one of the second. No clock runs: each waits for
/// the other's turns, so there must be a multiple of `ratio + 1` batches.
#[must_use]
pub fn fast_and_slow(ratio: usize) -> [Script; 2] {
    let turns = Arc::new(Turns::default());
    let of_slow = Arc::clone(&turns);
    let fast: Script = Box::new(move |batch| {
        turns.wait(|begun| begun[1] > batch / ratio);
        turns.begin(0);
        Ok(())
    });
    let slow: Script = Box::new(move |batch| {
        of_slow.begin(1);
        of_slow.wait(|begun| begun[0] >= ratio * (batch + 1));
        Ok(())
    });
    [fast, slow]
}

/// Batches that each of two devices began.
#[derive(Default)]
struct Turns(Mutex<[usize; 2]>, Condvar);

impl Turns {
    fn begin(&self, device: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[device] += 1;
        self.1.notify_all();
    }

    fn wait(&self, is_due: impl Fn(&[usize; 2]) -> bool) {
        let begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.1.wait_while(begun, |begun| !is_due(begun));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Finds dark blobs: pixels whose channels add up to less than a limit, joined over edges and corners.
///
/// A test aid for painted slides: its counts are exact, its boxes tight (whole pixels), its score 1 for
/// blobs that do not touch the window's border and 0.5 for those that do, as a model is less sure of what
/// it sees cut.
pub struct BlobDetector {
    manifest: Manifest,
    /// A pixel is dark when red + green + blue is less.
    darkness: u16,
}

impl BlobDetector {
    /// One class, `blob`; a pixel is dark when red + green + blue is less than `darkness`.
    #[must_use]
    pub fn new(darkness: u16) -> Self {
        Self::with_manifest(Manifest::without_model("blobs", &["blob"], None), darkness)
    }

    /// A detector with the contract `manifest`; its blobs are of the first class.
    #[must_use]
    pub fn with_manifest(manifest: Manifest, darkness: u16) -> Self {
        Self { manifest, darkness }
    }

    fn blobs(&self, pixels: &[u8], width: usize, height: usize) -> Vec<Detection> {
        let sums =
            pixels.as_chunks::<3>().0.iter().map(|pixel| pixel.iter().copied().map(u16::from).sum::<u16>());
        let mut dark: Vec<bool> = sums.map(|sum| sum < self.darkness).collect();
        let mut found = Vec::new();
        for start in 0..dark.len() {
            if dark[start] {
                found.extend(detection(take_blob(&mut dark, width, height, start), width, height));
            }
        }
        found
    }
}

/// Clears the blob that `start` is in; returns its first and last column and row.
fn take_blob(dark: &mut [bool], width: usize, height: usize, start: usize) -> [usize; 4] {
    let [mut x0, mut y0, mut x1, mut y1] = [start % width, start / width, start % width, start / width];
    let mut open = vec![start];
    dark[start] = false;
    while let Some(at) = open.pop() {
        let (x, y) = (at % width, at / width);
        (x0, y0, x1, y1) = (x0.min(x), y0.min(y), x1.max(x), y1.max(y));
        for ny in y.saturating_sub(1)..=(y + 1).min(height - 1) {
            for nx in x.saturating_sub(1)..=(x + 1).min(width - 1) {
                if std::mem::take(&mut dark[ny * width + nx]) {
                    open.push(ny * width + nx);
                }
            }
        }
    }
    [x0, y0, x1, y1]
}

fn detection([x0, y0, x1, y1]: [usize; 4], width: usize, height: usize) -> Option<Detection> {
    let cut = x0 == 0 || y0 == 0 || x1 + 1 == width || y1 + 1 == height;
    let [x0, y0, x1, y1] = [x0, y0, x1 + 1, y1 + 1].map(|side| side as f32);
    Some(Detection {
        bbox: WindowBox::new(euclid::point2(x0, y0), euclid::point2(x1, y1)),
        class: ModelClass(0),
        score: Score::new(if cut { 0.5 } else { 1.0 })?,
        outline: None,
    })
}

impl Detector for BlobDetector {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn detect(&mut self, batch: BatchView<'_>) -> Result<Vec<WindowResult>, DetectorError> {
        batch.check()?;
        let answers = batch.iter().map(|(window, pixels)| {
            WindowResult::new(window, Ok(self.blobs(pixels, batch.width, batch.height)))
        });
        Ok(answers.collect())
    }

    fn split(self: Box<Self>) -> Vec<Box<dyn Detector>> {
        vec![self]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Dark squares (x, y, side) on white, 32 × 24 px.
    fn painted(squares: &[(usize, usize, usize)]) -> Vec<u8> {
        let mut pixels = vec![255; 32 * 24 * 3];
        for &(x, y, side) in squares {
            for row in y..y + side {
                pixels[(row * 32 + x) * 3..(row * 32 + x + side) * 3].fill(40);
            }
        }
        pixels
    }

    fn blobs(pixels: &[u8]) -> Vec<([f32; 4], f32)> {
        let windows = [WindowIndex(7)];
        let batch = BatchView { height: 24, width: 32, windows: &windows, pixels, stretch: None };
        let results = BlobDetector::new(300).detect(batch).unwrap();
        let boxes = results[0].outcome.as_ref().unwrap().iter();
        boxes.map(|d| ([d.bbox.min.x, d.bbox.min.y, d.bbox.max.x, d.bbox.max.y], d.score.get())).collect()
    }

    #[test]
    fn blobs_are_counted_and_boxed() {
        let found = blobs(&painted(&[(2, 3, 4), (20, 10, 6), (28, 0, 4)]));
        assert_eq!(found, [([28., 0., 32., 4.], 0.5), ([2., 3., 6., 7.], 1.0), ([20., 10., 26., 16.], 1.0),]);
    }

    #[test]
    fn corners_join() {
        assert_eq!(blobs(&painted(&[(2, 2, 2), (4, 4, 2)])).len(), 1);
        assert_eq!(blobs(&painted(&[(2, 2, 2), (5, 4, 2)])).len(), 2);
    }

    #[test]
    fn a_wrong_batch_is_refused() {
        let windows = [WindowIndex(0)];
        let batch = BatchView { height: 24, width: 32, windows: &windows, pixels: &[0; 10], stretch: None };
        assert!(matches!(
            BlobDetector::new(300).detect(batch),
            Err(DetectorError::BatchSize { bytes: 10, .. })
        ));
    }
}
