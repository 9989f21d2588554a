//! Attributes of a DICOM object, put in and looked up by tag.

use dicom_core::{
    DataElement, PrimitiveValue, Tag, VR,
    value::{DataSetSequence, Value},
};
use dicom_object::{InMemDicomObject, mem::InMemElement};

/// Elements that belong together: an item, or a whole object.
pub type Items = InMemDicomObject;

/// Puts values in and takes them out; text is UTF-8 on our side.
pub trait Attributes {
    /// Text of one value; what is longer than its kind may be is cut, and a backslash, which would divide it into
    /// several values, becomes a slash.
    fn text(&mut self, tag: Tag, vr: VR, text: &str) -> &mut Self;

    /// Several texts as one value; none of them holds a backslash.
    fn texts(&mut self, tag: Tag, vr: VR, texts: &[&str]) -> &mut Self;

    /// Numbers as text, to nine digits at least.
    fn decimals(&mut self, tag: Tag, values: &[f64]) -> &mut Self;

    /// A whole number of 16 bits.
    fn u16(&mut self, tag: Tag, value: u16) -> &mut Self;

    /// A whole number of 32 bits.
    fn u32(&mut self, tag: Tag, value: u32) -> &mut Self;

    /// A number of 64 bits.
    fn f64(&mut self, tag: Tag, value: f64) -> &mut Self;

    /// Numbers of 32 bits.
    fn f32s(&mut self, tag: Tag, values: &[f32]) -> &mut Self;

    /// Items in their order.
    fn sequence(&mut self, tag: Tag, items: Vec<Items>) -> &mut Self;

    /// The elements whose tags belong.
    fn part(&self, belongs: impl Fn(Tag) -> bool) -> Items;

    /// Text without what fills it up; `None` where it is absent or empty.
    fn text_of(&self, tag: Tag) -> Option<String>;

    /// The items of a sequence; none where it is absent.
    fn items_of(&self, tag: Tag) -> &[Items];

    /// A whole number; `None` where it is absent, or of a kind the file does not say.
    fn u32_of(&self, tag: Tag) -> Option<u32>;

    /// Whole numbers of 32 bits; `None` where there are none of this kind.
    fn u32s_of(&self, tag: Tag) -> Option<&[u32]>;

    /// Numbers of 32 bits; `None` where there are none of this kind.
    fn f32s_of(&self, tag: Tag) -> Option<&[f32]>;

    /// Numbers of 64 bits; `None` where there are none of this kind.
    fn f64s_of(&self, tag: Tag) -> Option<&[f64]>;

    /// Numbers written as text; `None` where there are not `N`, or one is none.
    fn decimals_of<const N: usize>(&self, tag: Tag) -> Option<[f64; N]>;
}

impl Attributes for Items {
    fn text(&mut self, tag: Tag, vr: VR, text: &str) -> &mut Self {
        let text: String = text.chars().take(longest_text(vr)).collect();
        let text = if has_one_value(vr) { text } else { text.replace('\\', "/") };
        put(self, tag, vr, PrimitiveValue::from(text))
    }

    fn texts(&mut self, tag: Tag, vr: VR, texts: &[&str]) -> &mut Self {
        put(self, tag, vr, PrimitiveValue::Strs(texts.iter().map(|&text| text.to_owned()).collect()))
    }

    fn decimals(&mut self, tag: Tag, values: &[f64]) -> &mut Self {
        put(self, tag, VR::DS, PrimitiveValue::Strs(values.iter().map(|&value| decimal(value)).collect()))
    }

    fn u16(&mut self, tag: Tag, value: u16) -> &mut Self {
        put(self, tag, VR::US, PrimitiveValue::from(value))
    }

    fn u32(&mut self, tag: Tag, value: u32) -> &mut Self {
        put(self, tag, VR::UL, PrimitiveValue::from(value))
    }

    fn f64(&mut self, tag: Tag, value: f64) -> &mut Self {
        put(self, tag, VR::FD, PrimitiveValue::from(value))
    }

    fn f32s(&mut self, tag: Tag, values: &[f32]) -> &mut Self {
        put(self, tag, VR::FL, PrimitiveValue::F32(values.into()))
    }

    fn sequence(&mut self, tag: Tag, items: Vec<Items>) -> &mut Self {
        self.put(DataElement::new(tag, VR::SQ, DataSetSequence::from(items)));
        self
    }

    fn part(&self, belongs: impl Fn(Tag) -> bool) -> Items {
        Items::from_element_iter(self.iter().filter(|element| belongs(element.header().tag)).cloned())
    }

    fn text_of(&self, tag: Tag) -> Option<String> {
        let text = self.get(tag)?.to_str().ok()?;
        let text = text.trim_matches([' ', '\0']);
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn items_of(&self, tag: Tag) -> &[Items] {
        self.get(tag).and_then(InMemElement::items).unwrap_or_default()
    }

    fn u32_of(&self, tag: Tag) -> Option<u32> {
        self.get(tag).filter(|element| element.vr() != VR::UN)?.to_int().ok()
    }

    fn u32s_of(&self, tag: Tag) -> Option<&[u32]> {
        match primitive(self, tag)? {
            PrimitiveValue::U32(values) => Some(values),
            _ => None,
        }
    }

    fn f32s_of(&self, tag: Tag) -> Option<&[f32]> {
        match primitive(self, tag)? {
            PrimitiveValue::F32(values) => Some(values),
            _ => None,
        }
    }

    fn f64s_of(&self, tag: Tag) -> Option<&[f64]> {
        match primitive(self, tag)? {
            PrimitiveValue::F64(values) => Some(values),
            _ => None,
        }
    }

    fn decimals_of<const N: usize>(&self, tag: Tag) -> Option<[f64; N]> {
        let values = self.get(tag)?.to_multi_float64().ok()?;
        let values: [f64; N] = values.try_into().ok()?;
        values.iter().all(|value| value.is_finite()).then_some(values)
    }
}

/// A number in at most 16 characters, as decimal strings are.
fn decimal(value: f64) -> String {
    const MOST: usize = 16;
    let plain = value.to_string();
    let shorter = (0..MOST).rev().map(|digits| format!("{value:.digits$e}"));
    std::iter::once(plain).chain(shorter).find(|text| text.len() <= MOST).unwrap_or_default()
}

fn put(items: &mut Items, tag: Tag, vr: VR, value: PrimitiveValue) -> &mut Items {
    items.put(DataElement::new(tag, vr, value));
    items
}

fn primitive(items: &Items, tag: Tag) -> Option<&PrimitiveValue> {
    match items.get(tag)?.value() {
        Value::Primitive(value) => Some(value),
        Value::Sequence(_) | Value::PixelSequence(_) => None,
    }
}

/// Most characters of a text of this kind (PS3.5 table 6.2-1).
fn longest_text(vr: VR) -> usize {
    match vr {
        VR::SH | VR::CS | VR::DS => 16,
        VR::LO | VR::PN | VR::UI => 64,
        VR::ST => 1024,
        _ => usize::MAX,
    }
}

/// `true` if a text of this kind is never divided by a backslash.
fn has_one_value(vr: VR) -> bool {
    matches!(vr, VR::LT | VR::ST | VR::UT | VR::UR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_fit_and_mean_the_same() {
        for value in [0.0, 12.3, 1234.0, 1.0 / 3.0, 123_456_789.123_456_79, 1e-30, -2.0 / 3e9] {
            let text = decimal(value);
            assert!(text.len() <= 16, "{text}");
            let back: f64 = text.parse().unwrap();
            assert!((back - value).abs() <= value.abs() * 1e-8, "{text} for {value}");
        }
    }
}
