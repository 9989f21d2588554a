//! Devices that models run on.

use std::{fmt, str::FromStr};

/// Device that a model runs on, as `--device` names it.
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
    /// NVIDIA GPUs, by number; never empty.
    Cuda(Vec<u32>),
    /// NVIDIA GPUs through TensorRT, by number; never empty.
    TensorRt(Vec<u32>),
    /// Intel CPUs and GPUs through OpenVINO.
    OpenVino,
    /// Apple's GPU and neural engine.
    CoreMl,
}

impl Device {
    /// One device for each GPU named; itself for the others.
    #[must_use]
    pub fn each(&self) -> Vec<Device> {
        match self {
            Self::Cuda(numbers) => numbers.iter().map(|&n| Self::Cuda(vec![n])).collect(),
            Self::TensorRt(numbers) => numbers.iter().map(|&n| Self::TensorRt(vec![n])).collect(),
            other => vec![other.clone()],
        }
    }

    /// `true` if windows are run one by one in our own threads' time: then batches gain nothing.
    pub(crate) fn is_cpu(&self) -> bool {
        matches!(self, Self::Cpu)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, numbers) = match self {
            Self::Auto => ("auto", None),
            Self::Cpu => ("cpu", None),
            Self::Cuda(numbers) => ("cuda", Some(numbers)),
            Self::TensorRt(numbers) => ("tensorrt", Some(numbers)),
            Self::OpenVino => ("openvino", None),
            Self::CoreMl => ("coreml", None),
        };
        f.write_str(name)?;
        let Some(numbers) = numbers else { return Ok(()) };
        let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
        write!(f, ":{}", numbers.join(","))
    }
}

/// A text that names no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown device {0:?}, expected auto, cpu, cuda[:0[,1…]], tensorrt[:0[,1…]], openvino or coreml")]
pub struct DeviceError(String);

impl Device {
    fn parse(text: &str) -> Option<Self> {
        let lower = text.trim().to_ascii_lowercase();
        let (name, numbers) = match lower.split_once(':') {
            Some((name, numbers)) => (name, Some(gpu_numbers(numbers)?)),
            None => (lower.as_str(), None),
        };
        match (name, numbers) {
            ("cuda", numbers) => Some(Self::Cuda(numbers.unwrap_or_else(|| vec![0]))),
            ("tensorrt", numbers) => Some(Self::TensorRt(numbers.unwrap_or_else(|| vec![0]))),
            ("auto", None) => Some(Self::Auto),
            ("cpu", None) => Some(Self::Cpu),
            ("openvino", None) => Some(Self::OpenVino),
            ("coreml", None) => Some(Self::CoreMl),
            _ => None,
        }
    }
}

impl FromStr for Device {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        Self::parse(text).ok_or_else(|| DeviceError(text.to_owned()))
    }
}

/// Reads numbers such as `0,1`: at least one, none twice.
fn gpu_numbers(text: &str) -> Option<Vec<u32>> {
    let numbers: Vec<u32> = text.split(',').map(|n| n.trim().parse().ok()).collect::<Option<_>>()?;
    let twice = (1..numbers.len()).any(|i| numbers[..i].contains(&numbers[i]));
    (!twice).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_reads_back_as_it_is_shown() {
        for text in ["auto", "cpu", "cuda:0", "cuda:0,1", "tensorrt:3", "openvino", "coreml"] {
            assert_eq!(text.parse::<Device>().unwrap().to_string(), text);
        }
        assert_eq!("CUDA".parse(), Ok(Device::Cuda(vec![0])));
        assert_eq!(
            "cuda:2, 0".parse::<Device>().unwrap().each(),
            [Device::Cuda(vec![2]), Device::Cuda(vec![0])]
        );
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "gpu", "cuda:", "cuda:x", "cuda:0,0", "cpu:1", "cuda:-1"] {
            assert!(text.parse::<Device>().is_err(), "{text}");
        }
    }
}
