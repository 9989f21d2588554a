//! Answers of a run, where they lie in memory, and reasons why there are none.

use std::borrow::Cow;

use half::slice::HalfFloatSliceExt;
use ort::value::{DynValue, PrimitiveTensorElementType, TensorElementType, ValueType};

use super::proto::element;

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
    /// `true` if it is the same output, and each number has the same bits.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.shape == other.shape
            && self
                .floats()
                .iter()
                .map(|number| number.to_bits())
                .eq(other.floats().iter().map(|number| number.to_bits()))
    }

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
            | TensorElementType::Int32
            | TensorElementType::Int16
            | TensorElementType::Int8
            | TensorElementType::Uint64
            | TensorElementType::Uint32
            | TensorElementType::Uint16
            | TensorElementType::Uint8 => {
                Ok(Output { name: name.to_owned(), shape, data: Data::Ort(Self(value)) })
            }
            other => Err(RunError::Other(format!("output {name} is {other}, expected {}", element::READ))),
        }
    }

    /// The numbers as f32, exact for whole numbers below 2^24, and none of 2^24 and more becomes one below; empty only
    /// for tensors that [`OrtTensor::output`] does not take.
    pub(crate) fn floats(&self) -> Cow<'_, [f32]> {
        if let Ok((_, values)) = self.0.try_extract_tensor::<f32>() {
            return Cow::Borrowed(values);
        }
        let whole = [
            self.whole(|value: i64| value as f32),
            self.whole(|value: i32| value as f32),
            self.whole(|value: i16| f32::from(value)),
            self.whole(|value: i8| f32::from(value)),
            self.whole(|value: u64| value as f32),
            self.whole(|value: u32| value as f32),
            self.whole(|value: u16| f32::from(value)),
            self.whole(|value: u8| f32::from(value)),
        ];
        if let Some(floats) = whole.into_iter().flatten().next() {
            return Cow::Owned(floats);
        }
        let halves = self.0.try_extract_tensor::<half::f16>().map_or(&[][..], |(_, values)| values);
        let mut floats = vec![0.0; halves.len()];
        halves.convert_to_f32_slice(&mut floats);
        Cow::Owned(floats)
    }

    /// The numbers if they are of type `T`.
    fn whole<T: PrimitiveTensorElementType + Copy>(&self, float: fn(T) -> f32) -> Option<Vec<f32>> {
        let (_, values) = self.0.try_extract_tensor::<T>().ok()?;
        Some(values.iter().map(|&value| float(value)).collect())
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

impl RunError {
    /// The reason, in words.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::OutOfMemory(reason) | Self::Other(reason) => reason,
        }
    }
}
