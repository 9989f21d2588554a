//! Models in ONNX files, run by ONNX Runtime.

mod devices;
mod foreign;
mod load;
mod output;
#[cfg(test)]
mod parity;
mod placement;
mod preprocess;
pub(crate) mod proto;
mod quiet;
mod run;
mod session;
#[cfg(test)]
mod tests;
mod wire;

use std::{path::Path, sync::Arc};

use wsi_types::{Stretch, WindowIndex};

pub use self::devices::{DeviceState, devices};
pub(crate) use self::load::{Model, read_contract, read_manifest_beside, read_model};
pub use self::placement::{Placement, Provider, placement, placement_bytes};
pub use self::session::SessionSettings;
use self::{
    output::Output,
    run::Lane,
    session::{OrtRunner, is_past_the_last},
};
use crate::{
    Answers, BatchView, DetectSettings, Detector, DetectorError, Device, Manifest, WindowFault, WindowResult,
    manifest::ManifestFile,
    yolo::{Decoder, Found, TensorView},
};

/// A model on a device, or on several devices of one kind.
///
/// # Examples
///
/// ```no_run
/// use std::path::Path;
/// use detector::{BatchView, DetectSettings, Detector, Device, OnnxDetector, SessionSettings};
/// use wsi_types::WindowIndex;
///
/// let session = SessionSettings { threads: 2, window: (2048, 2048), ..SessionSettings::default() };
/// let mut detector = OnnxDetector::open(
///     Path::new("nuclei.onnx"),
///     &Device::Cpu,
///     &DetectSettings::default(),
///     &session,
/// )?;
/// let pixels = vec![255; 2048 * 2048 * 3];
/// let windows = [WindowIndex(0)];
/// let batch = BatchView { height: 2048, width: 2048, windows: &windows, pixels: &pixels, stretch: None };
/// for result in detector.detect(batch)? {
///     println!("{:?}: {} cells", result.window, result.outcome.map_or(0, |cells| cells.len()));
/// }
/// # Ok::<(), detector::DetectorError>(())
/// ```
pub struct OnnxDetector {
    manifest: Arc<Manifest>,
    decoder: Arc<Decoder>,
    /// One per device; at least one.
    lanes: Vec<Lane>,
    notes: Vec<String>,
}

/// A session on one device, warmed up where the first windows would take longer.
fn open_lane(model: &Model, device: &Device, session: &SessionSettings) -> Result<Lane, DetectorError> {
    let (width, height) = session.window;
    let (runner, device) = OrtRunner::open(model, device, session)?;
    let passed_over = runner.passed_over.clone();
    let lane = Lane::new(Box::new(runner), &model.manifest, &device, session.batch);
    let mut lane = lane.with_note(passed_over);
    if !device.is_cpu() {
        lane.warm_up(width, height)?;
    }
    Ok(lane)
}

/// A session for each device that is asked for. One that cannot be had is an error, as the run would be slower than it
/// was promised to be.
fn open_lanes(model: &Model, device: &Device, session: &SessionSettings) -> Result<Vec<Lane>, DetectorError> {
    if *device == Device::CudaAll {
        return open_all_cards(model, session);
    }
    let each = device.each();
    let sharing = if device.is_cpu() { each.len() } else { 1 };
    let session = SessionSettings { threads: (session.threads / sharing).max(1), ..session.clone() };
    let lanes = each
        .iter()
        .map(|one| open_lane(model, one, &session).map_err(|error| error.of_one_device(device, one)));
    lanes.collect()
}

/// A session on each card that the runtime sees, which tells their number only by refusing the next.
fn open_all_cards(model: &Model, session: &SessionSettings) -> Result<Vec<Lane>, DetectorError> {
    const MOST: u32 = 64;
    let mut lanes = Vec::new();
    for number in 0..MOST {
        let card = Device::Cuda(vec![number]);
        match open_lane(model, &card, session) {
            Ok(lane) => lanes.push(lane),
            Err(error) if number > 0 && is_past_the_last(&error) => break,
            Err(error) => return Err(error.of_one_device(&Device::CudaAll, &card)),
        }
    }
    Ok(lanes)
}

impl OnnxDetector {
    /// Opens a model file, with the TOML beside it if there is one.
    ///
    /// # Errors
    ///
    /// When the model cannot be read or understood, the device is not available, or the windows have a size
    /// the model does not take.
    pub fn open(
        model: &Path,
        device: &Device,
        settings: &DetectSettings,
        session: &SessionSettings,
    ) -> Result<Self, DetectorError> {
        let name = model.file_stem().unwrap_or_default().to_string_lossy();
        let loaded = read_manifest_beside(model).and_then(|file| {
            let bytes = read_model(model).map_err(|e| e.of_file(model))?;
            Model::read(&bytes, &file, &name).map_err(|e| e.of_file(model))
        })?;
        // A missing runtime or device is not the file's fault.
        Self::from_model(&loaded, device, settings, session)
    }

    /// Opens a model held in memory. `manifest` is the text of its TOML, empty for none; `name` is used
    /// when neither says one.
    ///
    /// # Errors
    ///
    /// As [`OnnxDetector::open`].
    pub fn from_bytes(
        name: &str,
        model: &[u8],
        manifest: &str,
        device: &Device,
        settings: &DetectSettings,
        session: &SessionSettings,
    ) -> Result<Self, DetectorError> {
        let model = Model::read(model, &ManifestFile::parse(manifest)?, name)?;
        Self::from_model(&model, device, settings, session)
    }

    fn from_model(
        model: &Model,
        device: &Device,
        settings: &DetectSettings,
        session: &SessionSettings,
    ) -> Result<Self, DetectorError> {
        let (width, height) = session.window;
        model.manifest.check_window(width, height)?;
        let decoder = Decoder::new(&model.manifest, settings);
        // One thread is what was asked for.
        let decoder = if session.threads > 1 { decoder.shared() } else { decoder };
        let mut detector = Self {
            manifest: Arc::new(model.manifest.clone()),
            decoder: Arc::new(decoder),
            lanes: open_lanes(model, device, session)?,
            notes: Vec::new(),
        };
        detector.probe(width, height)?;
        Ok(detector)
    }

    /// Gives the model a window of background on each device, so that an answer that is not what its head promises, or
    /// not the same on all, is found before a slide is read. Where the model takes any size, a small window will do.
    fn probe(&mut self, width: usize, height: usize) -> Result<(), DetectorError> {
        const SIDE: usize = 256;
        let stride = self.manifest.stride.max(1) as usize;
        let input = &self.manifest.input;
        let [small_width, small_height] =
            [(width, &input.width), (height, &input.height)].map(|(size, dim)| {
                if dim.fixed().is_some() { size } else { size.min(SIDE.next_multiple_of(stride)) }
            });
        let pixels = vec![u8::MAX; small_width * small_height * 3];
        let windows = [WindowIndex(0)];
        let batch = BatchView {
            height: small_height,
            width: small_width,
            windows: &windows,
            pixels: &pixels,
            stretch: Some(Stretch::BYTES),
        };
        let parts = match self.run_each(batch) {
            Ok(parts) => parts,
            // A graph may take windows of its own size only, and not say so.
            Err(reason) if (small_width, small_height) != (width, height) => {
                tracing::debug!(%reason, "the model does not run on a small window");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.compare(&parts);
        let first = parts.into_iter().next().unwrap_or_default();
        let fault = self.answers(first, batch).decode().into_iter().find_map(|result| result.outcome.err());
        match fault.filter(WindowFault::breaks_contract) {
            Some(fault) => Err(DetectorError::Answer { fault }),
            None => Ok(()),
        }
    }

    /// Runs all windows on each lane.
    fn run_each(&mut self, batch: BatchView<'_>) -> Result<Vec<Vec<Part>>, DetectorError> {
        self.manifest.check_window(batch.width, batch.height)?;
        self.lanes.iter_mut().map(|lane| lane.run(batch)).collect()
    }

    /// Notes devices that answer the same windows otherwise than the first.
    fn compare(&mut self, of_lanes: &[Vec<Part>]) {
        let Some((first, others)) = of_lanes.split_first() else { return };
        for (lane, parts) in self.lanes.iter().skip(1).zip(others) {
            if first != parts {
                self.notes.push(format!(
                    "{} does not give the same numbers as {}, as another kind of card may: two runs may differ in their \
                     last digits; name devices of one kind for results that can be repeated",
                    lane.device(),
                    self.lanes[0].device()
                ));
            }
        }
    }

    fn answers(&self, parts: Vec<Part>, batch: BatchView<'_>) -> Box<RawAnswers> {
        let (width, height, decoder) = (batch.width, batch.height, Arc::clone(&self.decoder));
        Box::new(RawAnswers { parts, width, height, decoder })
    }

    /// Runs each lane's share of the windows at once.
    fn run_lanes(&mut self, batch: BatchView<'_>) -> Result<Vec<Part>, DetectorError> {
        if let [lane] = &mut self.lanes[..] {
            return lane.run(batch);
        }
        let share = batch.windows.len().div_ceil(self.lanes.len()).max(1);
        let shares = (0..batch.windows.len()).step_by(share);
        let shares = shares.map(|start| batch.part(start..(start + share).min(batch.windows.len())));
        std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .lanes
                .iter_mut()
                .zip(shares)
                .map(|(lane, share)| scope.spawn(move || lane.run(share)))
                .collect();
            let mut parts = Vec::new();
            for thread in threads {
                parts.extend(thread.join().map_err(|_| DetectorError::Thread { thread: "device" })??);
            }
            Ok(parts)
        })
    }
}

impl Detector for OnnxDetector {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn detect(&mut self, batch: BatchView<'_>) -> Result<Vec<WindowResult>, DetectorError> {
        self.infer(batch).map(Answers::decode)
    }

    fn infer(&mut self, batch: BatchView<'_>) -> Result<Box<dyn Answers>, DetectorError> {
        batch.check()?;
        if !batch.windows.is_empty() {
            self.manifest.check_window(batch.width, batch.height)?;
        }
        let parts = self.run_lanes(batch)?;
        Ok(self.answers(parts, batch))
    }

    fn split(self: Box<Self>) -> Vec<Box<dyn Detector>> {
        let Self { manifest, decoder, lanes, .. } = *self;
        let each = lanes.into_iter().map(|lane| -> Box<dyn Detector> {
            let (manifest, decoder) = (Arc::clone(&manifest), Arc::clone(&decoder));
            Box::new(Self { manifest, decoder, lanes: vec![lane], notes: Vec::new() })
        });
        each.collect()
    }

    fn device_used(&self) -> String {
        let names: Vec<&str> = self.lanes.iter().map(Lane::device).collect();
        names.join(" + ")
    }

    fn notes(&self) -> Vec<String> {
        let of_lanes = self.lanes.iter().flat_map(Lane::notes);
        of_lanes.chain(&self.notes).cloned().collect()
    }
}

/// The outputs of one run, and the windows they are of.
pub(crate) struct Part {
    windows: Vec<WindowIndex>,
    outputs: Vec<Output>,
}

/// Equal where each number has the same bits.
impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        self.windows == other.windows
            && self.outputs.len() == other.outputs.len()
            && self.outputs.iter().zip(&other.outputs).all(|(output, other)| output.is_same(other))
    }
}

/// Answers of a model to a batch: the parts it was run in, in order.
struct RawAnswers {
    parts: Vec<Part>,
    width: usize,
    height: usize,
    decoder: Arc<Decoder>,
}

impl Answers for RawAnswers {
    fn decode(self: Box<Self>) -> Vec<WindowResult> {
        self.parts.iter().flat_map(|part| self.decode_part(part)).collect()
    }
}

impl RawAnswers {
    fn decode_part(&self, part: &Part) -> Vec<WindowResult> {
        let floats: Vec<_> = part.outputs.iter().map(Output::floats).collect();
        let views: Vec<TensorView<'_>> = std::iter::zip(&part.outputs, &floats)
            .map(|(output, data)| TensorView { name: &output.name, shape: &output.shape, data })
            .collect();
        let found = self.decoder.windows(&views, part.windows.len(), (self.width, self.height));
        std::iter::zip(&part.windows, found)
            .map(|(&window, found)| match found {
                Ok(Found { detections, is_full, map, embedding }) => {
                    WindowResult { window, outcome: Ok(detections), is_full, map, embedding }
                }
                Err(fault) => WindowResult::new(window, Err(fault)),
            })
            .collect()
    }
}
