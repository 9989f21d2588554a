//! ONNX Runtime on a device.
//!
//! The library is opened while the program runs (crate `native` says where it is); one environment serves
//! the process. What was measured and why the options are as they are: `docs/decisions/0006`.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use ort::{
    environment::Environment,
    ep::{self, ExecutionProvider, ExecutionProviderDispatch},
    session::{Session, builder::GraphOptimizationLevel},
    value::TensorRef,
};

use super::{
    Model,
    output::{OrtTensor, Output, RunError},
    preprocess::StretchInputs,
    quiet,
    run::Runner,
};
use crate::{BatchView, DetectorError, Device, Manifest, manifest::Dim};

/// Settings for running a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSettings {
    /// Threads of the CPU kernels; results do not depend on it. At least 1.
    pub threads: usize,
    /// Windows at once on a GPU, at most; halved when they cannot be run at once. The CPU runs one by one.
    pub batch: usize,
    /// Width and height of the windows, px.
    pub window: (usize, usize),
    /// Folder that keeps engines built for one GPU and model between runs (TensorRT, OpenVINO); `None`: they
    /// are built again for each run.
    pub cache_dir: Option<PathBuf>,
    /// Bytes of each NVIDIA GPU that the model may take; `None`: all that is free.
    pub gpu_memory: Option<u64>,
}

impl Default for SessionSettings {
    /// As many threads as the machine has, batches of 4, windows of 2048 px, no cache, all memory.
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { threads, batch: 4, window: (2048, 2048), cache_dir: None, gpu_memory: None }
    }
}

/// ONNX Runtime's process-wide state, or why there is none.
static ENVIRONMENT: OnceLock<Result<Environment, String>> = OnceLock::new();

/// Devices that this ONNX Runtime was built for, the CPU first; a driver or a library of them may still be missing.
pub(super) fn built_for() -> Result<Vec<Device>, DetectorError> {
    environment()?;
    let has = |answer: ort::Result<bool>| answer.unwrap_or(false);
    let optional = [
        (has(ep::CUDA::is_available()), Device::Cuda(vec![0])),
        (has(ep::TensorRT::is_available()), Device::TensorRt(vec![0])),
        (has(ep::OpenVINO::is_available()), Device::OpenVino),
        (has(ep::CoreML::is_available()), Device::CoreMl),
    ];
    let built = optional.into_iter().filter_map(|(is_built, device)| is_built.then_some(device));
    Ok(std::iter::once(Device::Cpu).chain(built).collect())
}

pub(super) fn environment() -> Result<&'static Environment, DetectorError> {
    let opened = ENVIRONMENT.get_or_init(|| {
        let path = native::find(native::Library::OnnxRuntime).map_err(|e| e.to_string())?;
        quiet::send_nothing_home();
        let builder = ort::init_from(&path).map_err(|e| load_reason(&e))?;
        builder.with_name("slidemill").with_telemetry(false).build().map_err(|e| e.to_string())
    });
    opened.as_ref().map_err(|reason| DetectorError::Runtime { reason: reason.clone() })
}

/// Reason given by the dynamic loader, from the source of its error, which `ort` does not pass on.
fn load_reason(error: &ort::LoadDynamicError) -> String {
    use std::error::Error;
    match error {
        ort::LoadDynamicError::Dlopen { error: dlopen, path } => {
            let reason = dlopen.source().map_or_else(|| dlopen.to_string(), ToString::to_string);
            format!("{reason}: {}", path.display())
        }
        other => other.to_string(),
    }
}

/// A session and the names of its inputs and outputs.
pub(crate) struct OrtRunner {
    session: Session,
    input: String,
    stretch: Option<StretchInputs>,
    outputs: Vec<String>,
    /// Why a better device was not taken, in words.
    pub(super) passed_over: Option<String>,
}

impl OrtRunner {
    /// Opens `model` on `device`; returns also the device taken, which is another only for `auto`.
    pub(crate) fn open(
        model: &Model,
        device: &Device,
        settings: &SessionSettings,
    ) -> Result<(Self, Device), DetectorError> {
        let (session, device, passed_over) = match device {
            Device::Auto => open_auto(model, settings)?,
            device => (open_session(model, device, settings)?, device.clone(), None),
        };
        Ok((Self { passed_over, ..Self::of(session, model) }, device))
    }

    /// Runs `model` in a session of it.
    fn of(session: Session, model: &Model) -> Self {
        let outputs = model.manifest.outputs.iter().map(|(name, _)| name.clone()).collect();
        let (input, stretch) = (model.input.clone(), model.stretch.clone());
        Self { session, input, stretch, outputs, passed_over: None }
    }

    /// Opens `model` on a device other than `auto`, for a profile of its nodes beside `profile`.
    pub(super) fn open_profiled(
        model: &Model,
        device: &Device,
        settings: &SessionSettings,
        profile: &Path,
    ) -> Result<Self, DetectorError> {
        Ok(Self::of(open_profiled(model, device, settings, Some(profile))?, model))
    }

    /// Ends the profile; gives the path of its file.
    pub(super) fn end_profile(mut self) -> Result<PathBuf, DetectorError> {
        let ended = self.session.end_profiling();
        ended.map(PathBuf::from).map_err(|e| DetectorError::Run { reason: e.to_string() })
    }
}

impl Runner for OrtRunner {
    fn run(&mut self, batch: BatchView<'_>) -> Result<Vec<Output>, RunError> {
        let shape = [batch.windows.len(), batch.height, batch.width, 3];
        // The kernels read our bytes where they are: nothing is copied on the way to a CPU.
        let pixels = TensorRef::from_array_view((shape, batch.pixels)).map_err(run_error)?;
        let mut inputs = ort::inputs![self.input.as_str() => pixels];
        let ends = self.stretch.as_ref().map(|stretch| ends(stretch, batch)).transpose()?;
        if let (Some(StretchInputs { low, span, shape, .. }), Some(ends)) = (&self.stretch, &ends) {
            for (name, values) in [low, span].into_iter().zip(ends) {
                let tensor = TensorRef::from_array_view((*shape, &values[..])).map_err(run_error)?;
                inputs.extend(ort::inputs![name.as_str() => tensor]);
            }
        }
        let mut answered = self.session.run(inputs).map_err(run_error)?;
        let outputs = self.outputs.iter().map(|name| match answered.remove(name) {
            Some(value) => OrtTensor::output(name, value),
            None => Err(RunError::Other(format!("there is no output {name}"))),
        });
        outputs.collect()
    }
}

/// The ends between which the pixels of a batch are stretched.
fn ends(stretch: &StretchInputs, batch: BatchView<'_>) -> Result<[[f32; 3]; 2], RunError> {
    let of_slide = batch.stretch.as_ref().ok_or_else(|| {
        RunError::Other(
            "the model wants percentiles of the slide, and the windows came without them".to_owned(),
        )
    })?;
    Ok(stretch.filled(of_slide))
}

fn run_error(error: ort::Error) -> RunError {
    const SIGNS: [&str; 5] =
        ["out of memory", "failed to allocate memory", "bfcarena", "bad_alloc", "cudaerrormemoryallocation"];
    let reason = error.to_string();
    let lower = reason.to_ascii_lowercase();
    if SIGNS.iter().any(|sign| lower.contains(sign)) {
        RunError::OutOfMemory(reason)
    } else {
        RunError::Other(reason)
    }
}

/// Opens CUDA if it works, else the CPU, with the reason why CUDA was not taken if the runtime has it.
fn open_auto(
    model: &Model,
    settings: &SessionSettings,
) -> Result<(Session, Device, Option<String>), DetectorError> {
    environment()?;
    let mut passed_over = None;
    if ep::CUDA::is_available().unwrap_or(false) {
        let cuda = Device::Cuda(vec![0]);
        match open_session(model, &cuda, settings) {
            Ok(session) => return Ok((session, cuda, None)),
            Err(error) => {
                passed_over = Some(format!(
                    "the ONNX Runtime here has CUDA, which cannot be used: {error}; --device auto takes the cpu"
                ));
            }
        }
    }
    Ok((open_session(model, &Device::Cpu, settings)?, Device::Cpu, passed_over))
}

fn open_session(
    model: &Model,
    device: &Device,
    settings: &SessionSettings,
) -> Result<Session, DetectorError> {
    open_profiled(model, device, settings, None)
}

/// The same; it writes down beside `profile` what each of its nodes does.
pub(super) fn open_profiled(
    model: &Model,
    device: &Device,
    settings: &SessionSettings,
    profile: Option<&Path>,
) -> Result<Session, DetectorError> {
    let environment = environment()?;
    let load = |e: &dyn std::fmt::Display| DetectorError::Load { reason: e.to_string() };
    let mut builder = Session::builder(environment)
        .map_err(|e| load(&e))?
        // Not `Level3`: older libraries do not know it.
        .with_optimization_level(GraphOptimizationLevel::All)
        .map_err(|e| load(&e))?
        .with_intra_threads(settings.threads.max(1))
        .map_err(|e| load(&e))?
        .with_deterministic_compute(true)
        .map_err(|e| load(&e))?
        // Idle kernel threads sleep: the cores belong to the stages before and after.
        .with_intra_op_spinning(false)
        .map_err(|e| load(&e))?;
    if let Some(profile) = profile {
        builder = builder.with_profiling(profile).map_err(|e| load(&e))?;
    }
    for provider in providers(model, device, settings)? {
        builder = builder
            .with_execution_providers([provider.error_on_failure()])
            .map_err(|e| unavailable(device, e.to_string()))?;
    }
    builder.commit_from_memory(&model.bytes).map_err(|e| match device {
        Device::Cpu | Device::Cpus(_) => {
            DetectorError::Load { reason: with_advice(&e.to_string(), model.manifest.opset) }
        }
        // Drivers and memory of a device are first touched here.
        _ => unavailable(device, e.to_string()),
    })
}

/// Adds advice when a library older than the model refuses it, whose own words do not say what to do.
fn with_advice(reason: &str, opset: Option<i64>) -> String {
    match opset {
        Some(opset) if opset > Manifest::BEST_OPSET => {
            format!("{reason}; its opset is {opset}: exporting it with opset 17 or 18 may help")
        }
        _ => reason.to_owned(),
    }
}

/// Execution providers to register for `device`, in order; none for the CPU.
fn providers(
    model: &Model,
    device: &Device,
    settings: &SessionSettings,
) -> Result<Vec<ExecutionProviderDispatch>, DetectorError> {
    match device {
        Device::Auto | Device::Cpu | Device::Cpus(_) => Ok(vec![]),
        // Those of all cards have their numbers by now; a session runs on one.
        Device::CudaAll => {
            need(device, ep::CUDA::is_available())?;
            Ok(vec![cuda(0, settings)])
        }
        Device::Cuda(numbers) => {
            need(device, ep::CUDA::is_available())?;
            Ok(vec![cuda(first_of(numbers), settings)])
        }
        Device::TensorRt(numbers) => {
            need(device, ep::TensorRT::is_available())?;
            let number = first_of(numbers);
            // Nodes that TensorRT cannot run stay on the same GPU.
            Ok(vec![tensorrt(model, number, settings), cuda(number, settings)])
        }
        Device::OpenVino => {
            need(device, ep::OpenVINO::is_available())?;
            Ok(vec![openvino(settings)])
        }
        Device::CoreMl => {
            need(device, ep::CoreML::is_available())?;
            Ok(vec![ep::CoreML::default().build()])
        }
    }
}

fn need(device: &Device, available: ort::Result<bool>) -> Result<(), DetectorError> {
    match available {
        Ok(true) => Ok(()),
        Ok(false) => Err(unavailable(device, "this ONNX Runtime was built without it".to_owned())),
        Err(e) => Err(unavailable(device, e.to_string())),
    }
}

/// Number of the first GPU given: a session runs on one.
fn first_of(numbers: &[u32]) -> i32 {
    numbers.first().map_or(0, |&n| i32::try_from(n).unwrap_or(i32::MAX))
}

fn cuda(number: i32, settings: &SessionSettings) -> ExecutionProviderDispatch {
    let mut provider = ep::CUDA::default();
    if let Some(bytes) = settings.gpu_memory {
        provider = provider.with_memory_limit(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
    provider
        .with_device_id(number)
        // TF32 would cut the mantissa to 10 bits: other boxes than the trainer's.
        .with_tf32(false)
        .with_arena_extend_strategy(ep::ArenaExtendStrategy::SameAsRequested)
        // The default tries every algorithm on the first batch of each shape, and may choose another one each time.
        .with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic)
        .build()
}

fn tensorrt(model: &Model, number: i32, settings: &SessionSettings) -> ExecutionProviderDispatch {
    let mut provider = ep::TensorRT::default().with_device_id(number);
    if let Some(folder) = &settings.cache_dir {
        let folder = folder.to_string_lossy();
        provider = provider
            .with_engine_cache(true)
            .with_engine_cache_path(&folder)
            .with_timing_cache(true)
            .with_timing_cache_path(&folder);
    }
    // One engine for all batches up to the largest; without it, each new size builds another.
    if model.manifest.input.batch == Dim::Fixed(1) {
        return provider.build();
    }
    let (width, height) = settings.window;
    let most = model.manifest.input.batch.fixed().map_or(settings.batch.max(1), |batch| batch as usize);
    let [least, most] = [1, most].map(|batch| format!("{}:{batch}x{height}x{width}x3", model.input));
    provider
        .with_profile_min_shapes(least)
        .with_profile_opt_shapes(&most)
        .with_profile_max_shapes(&most)
        .build()
}

fn openvino(settings: &SessionSettings) -> ExecutionProviderDispatch {
    let mut provider = ep::OpenVINO::default()
        .with_device_type("CPU")
        .with_num_threads(settings.threads.max(1))
        // Its own choice on CPUs that can is bf16: faster, but other boxes than the trainer's.
        .with_precision("FP32");
    if let Some(folder) = &settings.cache_dir {
        provider = provider.with_cache_dir(folder.to_string_lossy());
    }
    provider.build()
}

/// `true` if a card cannot be used because there are not so many, in the words of ONNX Runtime or of CUDA.
pub(super) fn is_past_the_last(error: &DetectorError) -> bool {
    const SIGNS: [&str; 2] = ["invalid device id", "invalid device ordinal"];
    let lower = error.to_string().to_ascii_lowercase();
    matches!(error, DetectorError::Device { .. }) && SIGNS.iter().any(|sign| lower.contains(sign))
}

fn unavailable(device: &Device, reason: String) -> DetectorError {
    let fix = match device {
        Device::Cuda(_) | Device::CudaAll => {
            "install an ONNX Runtime with CUDA (pip install 'onnxruntime-gpu[cuda,cudnn]'), name its library in \
             ORT_DYLIB_PATH, and check that nvidia-smi lists the GPU; or use --device cpu"
        }
        Device::TensorRt(_) => {
            "install onnxruntime-gpu and TensorRT (pip install onnxruntime-gpu tensorrt), name the former's library \
             in ORT_DYLIB_PATH, and check that nvidia-smi lists the GPU; or use --device cpu"
        }
        Device::OpenVino => {
            "install onnxruntime-openvino (pip install onnxruntime-openvino) and name its library in \
             ORT_DYLIB_PATH; or use --device cpu"
        }
        Device::CoreMl => "CoreML is on macOS only; use --device cpu",
        Device::Auto | Device::Cpu | Device::Cpus(_) => "use another device",
    };
    DetectorError::Device {
        device: device.to_string(),
        reason: reason.trim().to_owned(),
        fix: fix.to_owned(),
    }
}
