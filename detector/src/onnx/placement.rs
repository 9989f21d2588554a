//! Where the nodes of a model run: a device may lack operators, and then the processor takes their nodes, and the data go to
//! and fro. ONNX Runtime tells it only in the profile of a session.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;
use wsi_types::{Stretch, WindowIndex};

use super::{
    load::{Model, read_manifest_beside, read_model},
    run::Runner,
    session::{OrtRunner, SessionSettings},
};
use crate::{BatchView, DetectorError, Device, Manifest, manifest::ManifestFile};

/// Where the nodes of a model run on a device, and how long they take.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    /// The device that was asked for.
    pub device: Device,
    /// By what runs them, most time first.
    pub providers: Vec<Provider>,
    /// The model's opset.
    pub opset: Option<i64>,
}

/// Part of ONNX Runtime that runs nodes of a model, such as `CUDAExecutionProvider`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// Its name.
    pub name: String,
    /// Nodes that it has.
    pub nodes: usize,
    /// Time that they took in the second run, µs, which the device may spend otherwise than the profile sees.
    pub micros: u64,
    /// Its nodes by operator, most nodes first.
    pub operators: Vec<(String, usize)>,
}

/// Name of the processor's own kernels.
const CPU: &str = "CPUExecutionProvider";
/// Share of the time that the processor may take: that of arithmetic with shapes, which ONNX Runtime leaves to it.
const USUAL_SHARE: f64 = 0.2;
/// Operators over whole pictures, which a device should run however short they take.
const HEAVY: [&str; 12] = [
    "AveragePool",
    "Conv",
    "ConvInteger",
    "ConvTranspose",
    "FusedConv",
    "Gemm",
    "GridSample",
    "MatMul",
    "MaxPool",
    "NonMaxSuppression",
    "QLinearConv",
    "Resize",
];

impl Placement {
    /// Number of all nodes.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.providers.iter().map(|provider| provider.nodes).sum()
    }

    /// Share of the time that a provider takes, at most 1.
    #[must_use]
    pub fn share(&self, provider: &Provider) -> f64 {
        let micros: u64 = self.providers.iter().map(|provider| provider.micros).sum();
        provider.micros as f64 / micros.max(1) as f64
    }

    /// Nodes that the processor has though another device was asked for.
    #[must_use]
    pub fn left_to_the_cpu(&self) -> Option<&Provider> {
        let asked_for_it = self.device.may_be_cpu();
        self.providers.iter().find(|provider| provider.name == CPU && !asked_for_it)
    }

    /// What the user should know and can do about nodes that the processor has; `None` if all is as it should be: on the
    /// processor are none, or small ones that take little of the time.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let left = self.left_to_the_cpu()?;
        let names: Vec<&str> = left.operators.iter().map(|(operator, _)| operator.as_str()).collect();
        let heavy: Vec<&str> = names.iter().copied().filter(|operator| HEAVY.contains(operator)).collect();
        let share = self.share(left);
        if share <= USUAL_SHARE && heavy.is_empty() {
            return None;
        }
        let named = if heavy.is_empty() { &names[..names.len().min(6)] } else { &heavy[..] };
        let fix = match self.opset {
            Some(opset) if opset > Manifest::BEST_OPSET => {
                format!("export it with opset {}", Manifest::BEST_OPSET)
            }
            _ => "export it with other operators, or use --device cpu".to_owned(),
        };
        Some(format!(
            "{} of {} nodes run on the processor though {} was asked for, {:.0} % of the time, among them {}: each costs a \
             copy there and back; {fix}",
            left.nodes,
            self.nodes(),
            self.device,
            100.0 * share,
            named.join(", ")
        ))
    }
}

/// Opens a model file, with the TOML beside it, on a device, runs it over one window of background, and
/// says where its nodes ran. `scratch` is an empty folder for the profile.
///
/// # Errors
///
/// When the model cannot be used, the device is not available, or there is no profile.
pub fn placement(
    model: &Path,
    device: &Device,
    session: &SessionSettings,
    scratch: &Path,
) -> Result<Placement, DetectorError> {
    let name = model.file_stem().unwrap_or_default().to_string_lossy();
    let loaded = read_manifest_beside(model).and_then(|file| {
        let bytes = read_model(model).map_err(|e| e.of_file(model))?;
        Model::read(&bytes, &file, &name).map_err(|e| e.of_file(model))
    })?;
    place(&loaded, device, session, scratch)
}

/// The same for a model in memory; `manifest` is the text of its TOML.
///
/// # Errors
///
/// As [`placement`].
pub fn placement_bytes(
    name: &str,
    model: &[u8],
    manifest: &str,
    device: &Device,
    session: &SessionSettings,
    scratch: &Path,
) -> Result<Placement, DetectorError> {
    place(&Model::read(model, &ManifestFile::parse(manifest)?, name)?, device, session, scratch)
}

fn place(
    model: &Model,
    device: &Device,
    session: &SessionSettings,
    scratch: &Path,
) -> Result<Placement, DetectorError> {
    let (width, height) = session.window;
    model.manifest.check_window(width, height)?;
    let device = match device {
        Device::Auto => &OrtRunner::open(model, device, session)?.1,
        device => device,
    };
    let mut runner = OrtRunner::open_profiled(model, device, session, &scratch.join("profile"))?;
    let windows =
        vec![WindowIndex(0); model.manifest.input.batch.fixed().map_or(1, |batch| batch.max(1) as usize)];
    let pixels = vec![u8::MAX; windows.len() * width * height * 3];
    let batch =
        BatchView { height, width, windows: &windows, pixels: &pixels, stretch: Some(Stretch::BYTES) };
    // The first run chooses kernels.
    for _ in 0..2 {
        runner.run(batch).map_err(|error| DetectorError::Run { reason: error.reason().to_owned() })?;
    }
    let file = runner.end_profile()?;
    let text = fs::read_to_string(&file).map_err(|error| DetectorError::Run {
        reason: format!("the profile of its nodes cannot be read: {error}"),
    })?;
    let providers = providers(&text)
        .ok_or_else(|| DetectorError::Run { reason: "the profile of its nodes names none".to_owned() })?;
    Ok(Placement { device: device.clone(), providers, opset: model.manifest.opset })
}

/// The providers that the text of a profile names; `None` if it is no profile, or names none.
fn providers(text: &str) -> Option<Vec<Provider>> {
    let events: Vec<Value> = serde_json::from_str(text).ok()?;
    // By provider: by node, its operator, and the time of its last run.
    let mut found: BTreeMap<String, BTreeMap<String, (String, u64)>> = BTreeMap::new();
    for event in &events {
        let (Some(provider), Some(name), Some(operator)) = (
            event["args"]["provider"].as_str().filter(|provider| !provider.is_empty()),
            event["name"].as_str().filter(|name| name.ends_with("_kernel_time")),
            event["args"]["op_name"].as_str(),
        ) else {
            continue;
        };
        let micros = event["dur"].as_u64().unwrap_or(0);
        found.entry(provider.to_owned()).or_default().insert(name.to_owned(), (operator.to_owned(), micros));
    }
    let mut providers: Vec<Provider> =
        found.into_iter().map(|(name, nodes)| Provider::new(name, &nodes)).collect();
    providers.sort_by_key(|provider| std::cmp::Reverse(provider.micros));
    (!providers.is_empty()).then_some(providers)
}

impl Provider {
    fn new(name: String, nodes: &BTreeMap<String, (String, u64)>) -> Self {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (operator, _) in nodes.values() {
            *counts.entry(operator).or_default() += 1;
        }
        let mut operators: Vec<_> =
            counts.into_iter().map(|(operator, count)| (operator.to_owned(), count)).collect();
        operators.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Self { name, nodes: nodes.len(), micros: nodes.values().map(|(_, micros)| micros).sum(), operators }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, operator: &str, provider: &str, micros: u64) -> String {
        format!(
            r#"{{"cat":"Node","name":"{name}_kernel_time","dur":{micros},"args":{{"op_name":"{operator}","provider":"{provider}"}}}}"#
        )
    }

    fn placed(device: Device, opset: i64, nodes: &[(&str, &str, u64)]) -> Placement {
        let nodes: Vec<String> = nodes
            .iter()
            .enumerate()
            .flat_map(|(i, (operator, provider, micros))| {
                // The first run is slower.
                [micros * 9, *micros].map(|micros| node(&format!("node {i}"), operator, provider, micros))
            })
            .collect();
        let session = r#"{"cat":"Session","name":"session_initialization","dur":7,"args":{}}"#;
        let text = format!("[{session},{}]", nodes.join(","));
        Placement { device, providers: providers(&text).unwrap(), opset: Some(opset) }
    }

    #[test]
    fn nodes_are_counted_by_what_ran_them_and_timed_by_their_last_run() {
        let placement = placed(
            Device::Cuda(vec![0]),
            17,
            &[
                ("Conv", "CUDAExecutionProvider", 30),
                ("Conv", "CUDAExecutionProvider", 20),
                ("Shape", CPU, 1),
            ],
        );
        let [cuda, cpu] = &placement.providers[..] else { panic!("{placement:?}") };
        assert_eq!((cuda.name.as_str(), cuda.nodes, cuda.micros), ("CUDAExecutionProvider", 2, 50));
        assert_eq!((cpu.nodes, &cpu.operators), (1, &vec![("Shape".to_owned(), 1)]));
        assert_eq!(placement.left_to_the_cpu(), Some(cpu));
    }

    #[test]
    fn heavy_operators_on_the_processor_are_told_with_advice() {
        let mut nodes = vec![("Conv", "CUDAExecutionProvider", 10); 17];
        nodes.extend([("Gather", CPU, 1), ("Gather", CPU, 1), ("Resize", CPU, 1)]);
        let advice = placed(Device::Cuda(vec![0]), 20, &nodes).advice().unwrap();
        assert!(
            advice.starts_with(
                "3 of 20 nodes run on the processor though cuda:0 was asked for, 2 % of the time, among them Resize: "
            ),
            "{advice}"
        );
        assert!(advice.ends_with("export it with opset 18"), "{advice}");
        let advice = placed(Device::Cuda(vec![0]), 17, &nodes).advice().unwrap();
        assert!(advice.ends_with("or use --device cpu"), "{advice}");
        // Whoever asks for the processor gets it.
        assert_eq!(placed(Device::Cpu, 20, &nodes).advice(), None);
    }

    #[test]
    fn arithmetic_with_shapes_is_no_reason_for_advice_unless_it_takes_long() {
        let mut nodes = vec![("Conv", "CUDAExecutionProvider", 8); 5];
        nodes.extend([
            ("Gather", CPU, 2),
            ("Gather", CPU, 2),
            ("Add", CPU, 2),
            ("Cast", CPU, 2),
            ("Div", CPU, 2),
        ]);
        let usual = placed(Device::Cuda(vec![0]), 17, &nodes);
        assert_eq!(usual.advice(), None);
        let left = usual.left_to_the_cpu().unwrap();
        assert_eq!((left.nodes, usual.share(left)), (5, 0.2), "half of the nodes, a fifth of the time");
        nodes.push(("Gather", CPU, 1));
        let advice = placed(Device::Cuda(vec![0]), 17, &nodes).advice().unwrap();
        assert!(advice.contains("22 % of the time, among them Gather, Add, Cast, Div: "), "{advice}");
    }

    #[test]
    fn what_is_no_profile_is_none() {
        for text in ["", "{}", "[]", "[1]", r#"[{"name":"a_kernel_time"}]"#] {
            assert_eq!(providers(text), None, "{text}");
        }
    }
}
