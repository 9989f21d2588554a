//! Answers of a run, where they lie in memory, and reasons why there are none.

use std::borrow::Cow;

use half::slice::HalfFloatSliceExt;
use ort::value::{DynValue, TensorElementType, ValueType};

/// One output of one run.
pub(crate) struct Output {
    pub name: String,
    pub shape: Vec<usize>,
    pub data: Data,
}

/// Numbers of an output, by the memory they are in.
pub(crate) enum Data {
    /// In memory of ONNX Runtime.
    Ort(OrtTensor),
    /// In our own memory.
    #[cfg(test)]
    Owned(Vec<f32>),
}

impl Output {
    /// The numbers as f32; converted only when the model answers in fp16.
    pub(crate) fn floats(&self) -> Cow<'_, [f32]> {
        match &self.data {
            Data::Ort(tensor) => tensor.floats(),
            #[cfg(test)]
            Data::Owned(values) => Cow::Borrowed(values),
        }
    }
}

/// Floats in memory of ONNX Runtime, given back when dropped.
pub(crate) struct OrtTensor(DynValue);

impl OrtTensor {
    pub(super) fn output(name: &str, value: DynValue) -> Result<Output, RunError> {
        let (kind, shape) = match value.dtype() {
            ValueType::Tensor { ty, shape, .. } => {
                (*ty, shape.iter().map(|&side| side.max(0) as usize).collect())
            }
            other => return Err(RunError::Other(format!("output {name} is {other:?}, expected a tensor"))),
        };
        match kind {
            TensorElementType::Float32
            | TensorElementType::Float16
            | TensorElementType::Int64
            | TensorElementType::Int32 => {
                Ok(Output { name: name.to_owned(), shape, data: Data::Ort(Self(value)) })
            }
            other => {
                let expected = "expected float, float16, int64 or int32";
                Err(RunError::Other(format!("output {name} is {other}, {expected}")))
            }
        }
    }

    /// The numbers as f32, exact for whole numbers below 2^24; empty only for tensors that
    /// [`OrtTensor::output`] does not take.
    pub(crate) fn floats(&self) -> Cow<'_, [f32]> {
        if let Ok((_, values)) = self.0.try_extract_tensor::<f32>() {
            return Cow::Borrowed(values);
        }
        if let Ok((_, values)) = self.0.try_extract_tensor::<i64>() {
            return values.iter().map(|&value| value as f32).collect();
        }
        if let Ok((_, values)) = self.0.try_extract_tensor::<i32>() {
            return values.iter().map(|&value| value as f32).collect();
        }
        let halves = self.0.try_extract_tensor::<half::f16>().map_or(&[][..], |(_, values)| values);
        let mut floats = vec![0.0; halves.len()];
        halves.convert_to_f32_slice(&mut floats);
        Cow::Owned(floats)
    }
}

/// Reasons that a run failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunError {
    /// A smaller batch may do.
    OutOfMemory(String),
    /// Nothing we know of helps.
    Other(String),
}
