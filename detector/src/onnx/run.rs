//! Running batches that fit: in parts when the model, the device or its memory wants smaller ones.

use wsi_types::Stretch;

use super::{
    Part,
    output::{Output, RunError},
};
use crate::{BatchView, DetectorError, Device, Manifest};

/// Runs a model over as many windows as it is given.
pub(crate) trait Runner: Send {
    fn run(&mut self, batch: BatchView<'_>) -> Result<Vec<Output>, RunError>;
}

/// A model on one device, with the batch that it can take.
pub(crate) struct Lane {
    runner: Box<dyn Runner>,
    device: String,
    /// Windows at once, at most; halved when a batch cannot be run.
    limit: usize,
    /// Windows at once, exactly: short batches are filled up with black ones.
    fixed: Option<usize>,
    padded: Vec<u8>,
    /// What the user should know of it, in words.
    notes: Vec<String>,
}

impl Lane {
    pub(crate) fn new(runner: Box<dyn Runner>, manifest: &Manifest, device: &Device, batch: usize) -> Self {
        let fixed = manifest.input.batch.fixed().map(|batch| (batch as usize).max(1));
        // On the CPU one window keeps every core busy, needs the least memory, and makes it plain that the
        // batch cannot change a result.
        let limit = if device.is_cpu() { 1 } else { batch.max(1) };
        let (device, limit) = (device.to_string(), fixed.unwrap_or(limit));
        Self { runner, device, limit, fixed, padded: Vec::new(), notes: Vec::new() }
    }

    /// With what was found when it was opened.
    pub(crate) fn with_note(mut self, note: Option<String>) -> Self {
        self.notes.extend(note);
        self
    }

    /// What the user should know of it, in words.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    pub(crate) fn device(&self) -> &str {
        &self.device
    }

    /// Runs black windows once, so that what a device does on the first run (choosing kernels, building
    /// engines, reserving memory) is done, and failed, before the night begins.
    pub(crate) fn warm_up(&mut self, width: usize, height: usize) -> Result<(), DetectorError> {
        let windows = vec![wsi_types::WindowIndex(0); self.limit];
        let pixels = vec![0; self.limit * width * height * 3];
        self.run(BatchView {
            height,
            width,
            windows: &windows,
            pixels: &pixels,
            stretch: Some(Stretch::BYTES),
        })
        .map(drop)
    }

    /// Runs every window of `batch`, in order, in as many parts as it takes.
    pub(crate) fn run(&mut self, batch: BatchView<'_>) -> Result<Vec<Part>, DetectorError> {
        let mut parts = Vec::new();
        let mut start = 0;
        while start < batch.windows.len() {
            let end = (start + self.limit).min(batch.windows.len());
            let part = batch.part(start..end);
            match self.run_part(part) {
                Ok(outputs) => {
                    parts.push(Part { windows: part.windows.to_vec(), outputs });
                    start = end;
                }
                Err(error) => self.halve(&part, error)?,
            }
        }
        Ok(parts)
    }

    fn run_part(&mut self, part: BatchView<'_>) -> Result<Vec<Output>, RunError> {
        match self.fixed {
            Some(fixed) if fixed > part.windows.len() => {
                self.padded.clear();
                self.padded.extend_from_slice(part.pixels);
                self.padded.resize(fixed * part.window_bytes(), 0);
                let windows = vec![wsi_types::WindowIndex(0); fixed];
                self.runner.run(BatchView { windows: &windows, pixels: &self.padded, ..part })
            }
            _ => self.runner.run(part),
        }
    }

    /// Halves the limit after `part` could not be run: its memory may have run out, or a tensor of it has more
    /// numbers than a kernel can count (2^31). What one window alone does not survive is an error.
    fn halve(&mut self, part: &BatchView<'_>, error: RunError) -> Result<(), DetectorError> {
        let windows = part.windows.len();
        if windows <= 1 || self.fixed.is_some() {
            return Err(self.failed(part, error));
        }
        self.limit = windows / 2;
        let (why, reason) = match error {
            RunError::OutOfMemory(reason) => ("the memory does not do for", reason),
            RunError::Other(reason) => ("it cannot run", reason),
        };
        self.notes.push(format!(
            "{}: {why} {windows} windows at once: {} from now on ({reason})",
            self.device, self.limit
        ));
        Ok(())
    }

    fn failed(&self, part: &BatchView<'_>, error: RunError) -> DetectorError {
        match error {
            RunError::OutOfMemory(reason) => {
                let (width, height) = (part.width, part.height);
                DetectorError::OutOfMemory { width, height, device: self.device.clone(), reason }
            }
            RunError::Other(reason) => DetectorError::Run { reason },
        }
    }
}

#[cfg(test)]
mod tests {
    use wsi_types::WindowIndex;

    use super::*;
    use crate::onnx::output::Data;

    /// Answers the first byte of each window; fails so above `fits` windows.
    struct Fake {
        fits: usize,
        fails: fn(String) -> RunError,
        ran: std::sync::Arc<std::sync::Mutex<Vec<usize>>>,
    }

    impl Runner for Fake {
        fn run(&mut self, batch: BatchView<'_>) -> Result<Vec<Output>, RunError> {
            self.ran.lock().unwrap().push(batch.windows.len());
            if batch.windows.len() > self.fits {
                return Err((self.fails)("too many".to_owned()));
            }
            let data = batch.iter().map(|(_, pixels)| f32::from(pixels[0])).collect();
            let shape = vec![batch.windows.len(), 1];
            Ok(vec![Output { name: "y".to_owned(), shape, data: Data::Owned(data) }])
        }
    }

    /// A lane whose model fails above `fits` windows, and the sizes of its runs.
    fn lane(
        fails: fn(String) -> RunError,
        fits: usize,
        batch: usize,
        fixed: Option<u64>,
    ) -> (Lane, std::sync::Arc<std::sync::Mutex<Vec<usize>>>) {
        let mut manifest = Manifest::without_model("fake", &["a"], None);
        manifest.input.batch = fixed.map_or(crate::manifest::Dim::Unknown, crate::manifest::Dim::Fixed);
        let ran: std::sync::Arc<_> = std::sync::Arc::default();
        let fake = Box::new(Fake { fits, fails, ran: std::sync::Arc::clone(&ran) });
        (Lane::new(fake, &manifest, &Device::Cuda(vec![0]), batch), ran)
    }

    /// The values answered for `windows` windows where memory runs out, and the sizes of the runs.
    fn answered(
        fits: usize,
        batch: usize,
        fixed: Option<u64>,
        windows: usize,
    ) -> (Result<Vec<f32>, DetectorError>, Vec<usize>) {
        answered_failing(RunError::OutOfMemory, fits, batch, fixed, windows)
    }

    fn answered_failing(
        fails: fn(String) -> RunError,
        fits: usize,
        batch: usize,
        fixed: Option<u64>,
        windows: usize,
    ) -> (Result<Vec<f32>, DetectorError>, Vec<usize>) {
        let (mut lane, ran) = lane(fails, fits, batch, fixed);
        let indices: Vec<_> = (0..windows as u32).map(WindowIndex).collect();
        let pixels: Vec<u8> = (0..windows).flat_map(|i| [i as u8; 3]).collect();
        let parts =
            lane.run(BatchView { height: 1, width: 1, windows: &indices, pixels: &pixels, stretch: None });
        let values = parts.map(|parts| {
            parts.iter().flat_map(|part| part.outputs[0].floats()[..part.windows.len()].to_vec()).collect()
        });
        let ran = ran.lock().unwrap().clone();
        (values, ran)
    }

    #[test]
    fn out_of_memory_halves_the_batch_and_goes_on() {
        let (values, ran) = answered(3, 8, None, 9);
        assert_eq!(values.unwrap(), [0., 1., 2., 3., 4., 5., 6., 7., 8.]);
        assert_eq!(ran, [8, 4, 2, 2, 2, 2, 1]);
    }

    #[test]
    fn smaller_batches_and_what_was_found_before_are_told() {
        let (lane, _) = lane(RunError::OutOfMemory, 3, 8, None);
        let mut lane = lane.with_note(Some("another device was passed over".into()));
        lane.warm_up(1, 1).unwrap();
        let expected = [
            "another device was passed over",
            "cuda:0: the memory does not do for 8 windows at once: 4 from now on (too many)",
            "cuda:0: the memory does not do for 4 windows at once: 2 from now on (too many)",
        ];
        assert_eq!(lane.notes(), expected);
    }

    #[test]
    fn a_batch_with_too_many_numbers_is_halved_too() {
        let (values, ran) = answered_failing(RunError::Other, 4, 16, None, 6);
        assert_eq!(values.unwrap(), [0., 1., 2., 3., 4., 5.]);
        assert_eq!(ran, [6, 3, 3]);
        let (values, ran) = answered_failing(RunError::Other, 0, 2, None, 2);
        assert!(matches!(values, Err(DetectorError::Run { reason }) if reason == "too many"));
        assert_eq!(ran, [2, 1]);
    }

    #[test]
    fn one_window_that_does_not_fit_is_an_error() {
        let (values, ran) = answered(0, 4, None, 4);
        assert!(matches!(values, Err(DetectorError::OutOfMemory { width: 1, height: 1, .. })));
        assert_eq!(ran, [4, 2, 1]);
    }

    #[test]
    fn a_fixed_batch_is_filled_up_and_never_halved() {
        let (values, ran) = answered(4, 1, Some(4), 6);
        assert_eq!((values.unwrap(), ran), (vec![0., 1., 2., 3., 4., 5.], vec![4, 4]));
        assert!(matches!(answered(3, 1, Some(4), 6).0, Err(DetectorError::OutOfMemory { .. })));
    }
}
