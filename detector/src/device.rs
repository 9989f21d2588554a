//! Devices that models run on.

use std::{fmt, str::FromStr};

/// Device that a model runs on, as `--device` names it: one, or several of one kind.
///
/// A device that was asked for and is not available is an error; only `auto` chooses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Device {
    /// CUDA when the runtime has it and a GPU answers, else the CPU; [`crate::Detector::device_used`] says
    /// which.
    #[default]
    Auto,
    /// ONNX Runtime's own kernels.
    Cpu,
    /// The same in so many sessions, which run at once and share the threads; at least two.
    Cpus(usize),
    /// NVIDIA GPUs, by number; never empty.
    Cuda(Vec<u32>),
    /// Every NVIDIA GPU that the runtime sees.
    CudaAll,
    /// NVIDIA GPUs through TensorRT, by number; never empty.
    TensorRt(Vec<u32>),
    /// Intel CPUs and GPUs through OpenVINO.
    OpenVino,
    /// Apple's GPU and neural engine.
    CoreMl,
}

impl Device {
    /// One device for each session; itself for those that have one, and for all GPUs, whose number only the runtime
    /// knows.
    #[must_use]
    pub fn each(&self) -> Vec<Device> {
        match self {
            Self::Cpus(sessions) => vec![Self::Cpu; *sessions],
            Self::Cuda(numbers) => numbers.iter().map(|&n| Self::Cuda(vec![n])).collect(),
            Self::TensorRt(numbers) => numbers.iter().map(|&n| Self::TensorRt(vec![n])).collect(),
            other => vec![other.clone()],
        }
    }

    /// `true` if it is the processor, or may be.
    #[must_use]
    pub fn may_be_cpu(&self) -> bool {
        matches!(self, Self::Auto | Self::Cpu | Self::Cpus(_))
    }

    /// `true` if windows are run one by one in our own threads' time: then batches gain nothing.
    pub(crate) fn is_cpu(&self) -> bool {
        matches!(self, Self::Cpu | Self::Cpus(_))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cpus(sessions) => f.write_str(&vec!["cpu"; *sessions].join(",")),
            Self::Cuda(numbers) => write!(f, "cuda:{}", listed(numbers)),
            Self::CudaAll => f.write_str("cuda:all"),
            Self::TensorRt(numbers) => write!(f, "tensorrt:{}", listed(numbers)),
            Self::OpenVino => f.write_str("openvino"),
            Self::CoreMl => f.write_str("coreml"),
        }
    }
}

fn listed(numbers: &[u32]) -> String {
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    numbers.join(",")
}

/// A text that names no device, or devices that cannot share a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Something in it is no device.
    #[error(
        "unknown device {0:?}, expected auto, cpu[,cpu…], cuda[:0[,1…]], cuda:all, tensorrt[:0[,1…]], openvino or coreml"
    )]
    Unknown(String),
    /// Devices of several kinds.
    #[error(
        "{0:?} names devices of several kinds, expected one kind: a window goes to whichever is free, and two kinds do \
         not give the same numbers"
    )]
    Mixed(String),
    /// A device that is named twice, though it can be there once.
    #[error(
        "{0:?} names a device twice, expected each once; only the cpu can have several sessions: cpu,cpu"
    )]
    Twice(String),
}

/// One part of a text between commas: `cuda`, `cuda:1`, or `1` after such a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Named<'t> {
    kind: &'t str,
    /// What is behind the colon.
    which: Option<&'t str>,
}

impl<'t> Named<'t> {
    /// The parts of a text; numbers alone are of the kind before.
    fn each(text: &'t str) -> Option<Vec<Self>> {
        let mut parts: Vec<Self> = Vec::new();
        for part in text.split(',').map(str::trim) {
            let named = match (part.split_once(':'), parts.last()) {
                (Some((kind, which)), _) => Self { kind: kind.trim(), which: Some(which.trim()) },
                (None, Some(Self { kind, which: Some(_) })) if part.parse::<u32>().is_ok() => {
                    Self { kind, which: Some(part) }
                }
                (None, _) => Self { kind: part, which: None },
            };
            parts.push(named);
        }
        (!parts.is_empty()).then_some(parts)
    }

    /// Number of a GPU; the first, if none is said.
    fn number(&self) -> Option<u32> {
        self.which.map_or(Some(0), |which| which.parse().ok())
    }

    fn is_known(&self) -> bool {
        match self.kind {
            "cuda" if self.which == Some("all") => true,
            "cuda" | "tensorrt" => self.number().is_some(),
            "auto" | "cpu" | "openvino" | "coreml" => self.which.is_none(),
            _ => false,
        }
    }
}

impl FromStr for Device {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let lower = text.trim().to_ascii_lowercase();
        let parts = Named::each(&lower).filter(|parts| parts.iter().all(Named::is_known));
        let Some(parts) = parts else { return Err(DeviceError::Unknown(text.to_owned())) };
        if parts.iter().any(|part| part.kind != parts[0].kind) {
            return Err(DeviceError::Mixed(text.to_owned()));
        }
        let device = match (parts[0].kind, parts.len()) {
            ("cpu", 1) => Some(Self::Cpu),
            ("cpu", sessions) => Some(Self::Cpus(sessions)),
            ("auto", 1) => Some(Self::Auto),
            ("openvino", 1) => Some(Self::OpenVino),
            ("coreml", 1) => Some(Self::CoreMl),
            ("cuda", 1) if parts[0].which == Some("all") => Some(Self::CudaAll),
            ("cuda", _) => numbers(&parts).map(Self::Cuda),
            ("tensorrt", _) => numbers(&parts).map(Self::TensorRt),
            _ => None,
        };
        device.ok_or_else(|| DeviceError::Twice(text.to_owned()))
    }
}

/// Numbers of GPUs; `None` if one of them is named twice, be it as one of all.
fn numbers(parts: &[Named<'_>]) -> Option<Vec<u32>> {
    let numbers: Vec<u32> = parts.iter().map(Named::number).collect::<Option<_>>()?;
    let is_twice = (1..numbers.len()).any(|i| numbers[..i].contains(&numbers[i]));
    (!is_twice).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_reads_back_as_it_is_shown() {
        let shown =
            ["auto", "cpu", "cpu,cpu", "cuda:0", "cuda:0,1", "cuda:all", "tensorrt:3", "openvino", "coreml"];
        for text in shown {
            assert_eq!(text.parse::<Device>().unwrap().to_string(), text);
        }
        assert_eq!("CUDA".parse(), Ok(Device::Cuda(vec![0])));
        assert_eq!(
            "cuda:2, 0".parse::<Device>().unwrap().each(),
            [Device::Cuda(vec![2]), Device::Cuda(vec![0])]
        );
        assert_eq!("cuda:0,cuda:1".parse(), Ok(Device::Cuda(vec![0, 1])));
        assert_eq!("cuda,cuda:1,2".parse(), Ok(Device::Cuda(vec![0, 1, 2])));
        assert_eq!("cpu, CPU,cpu".parse::<Device>().unwrap().each(), vec![Device::Cpu; 3]);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", "gpu", "cuda:", "cuda:x", "cpu:1", "cuda:-1", "1", "cpu,2", "cuda,1", "cpu,", "cpu:all"]
        {
            assert!(matches!(text.parse::<Device>(), Err(DeviceError::Unknown(_))), "{text}");
        }
        for text in ["cuda:0,0", "cuda,cuda", "cuda:0,cuda:0", "cuda:all,1", "cuda:all,cuda:all", "auto,auto"]
        {
            assert!(matches!(text.parse::<Device>(), Err(DeviceError::Twice(_))), "{text}");
        }
        for text in ["cpu,cuda:0", "cuda:0,tensorrt:1", "auto,cpu"] {
            assert!(matches!(text.parse::<Device>(), Err(DeviceError::Mixed(_))), "{text}");
        }
    }
}
