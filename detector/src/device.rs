//! Where a model runs.

use std::{fmt, str::FromStr};

/// Where a model runs, as `--device` says it.
///
/// A device that was asked for and cannot be had is an error; only `auto` chooses.
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

    /// Whether windows are run one by one in our own threads' time: then batches gain nothing.
    pub(crate) fn is_cpu(&self) -> bool {
        matches!(self, Self::Cpu)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbered = |f: &mut fmt::Formatter<'_>, name: &str, numbers: &[u32]| {
            let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
            write!(f, "{name}:{}", numbers.join(","))
        };
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(numbers) => numbered(f, "cuda", numbers),
            Self::TensorRt(numbers) => numbered(f, "tensorrt", numbers),
            Self::OpenVino => f.write_str("openvino"),
            Self::CoreMl => f.write_str("coreml"),
        }
    }
}

/// A text that names no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown device {0:?}, expected auto, cpu, cuda[:0[,1…]], tensorrt[:0[,1…]], openvino or coreml")]
pub struct DeviceError(String);

impl FromStr for Device {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let error = || DeviceError(text.to_owned());
        let lower = text.trim().to_ascii_lowercase();
        let (name, numbers) = match lower.split_once(':') {
            Some((name, numbers)) => (name, Some(gpu_numbers(numbers).ok_or_else(error)?)),
            None => (lower.as_str(), None),
        };
        match (name, numbers) {
            ("cuda", numbers) => Ok(Self::Cuda(numbers.unwrap_or_else(|| vec![0]))),
            ("tensorrt", numbers) => Ok(Self::TensorRt(numbers.unwrap_or_else(|| vec![0]))),
            ("auto", None) => Ok(Self::Auto),
            ("cpu", None) => Ok(Self::Cpu),
            ("openvino", None) => Ok(Self::OpenVino),
            ("coreml", None) => Ok(Self::CoreMl),
            _ => Err(error()),
        }
    }
}

/// `0,1`: at least one, none twice.
fn gpu_numbers(text: &str) -> Option<Vec<u32>> {
    let numbers: Vec<u32> = text.split(',').map(|n| n.trim().parse().ok()).collect::<Option<_>>()?;
    let twice = (1..numbers.len()).any(|i| numbers[..i].contains(&numbers[i]));
    (!twice).then_some(numbers)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
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
