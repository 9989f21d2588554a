//! What a DICOM object says of its pixels (PS3.3, C.7.6.3).

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_file::{Attributes as _, Items};

use crate::error::OpenError;

pub(super) fn broken(what: impl Into<String>) -> OpenError {
    OpenError::Broken { what: what.into() }
}

pub(super) fn unsupported(feature: impl Into<String>) -> OpenError {
    OpenError::Unsupported { feature: feature.into() }
}

/// Meaning of the samples of a px.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colours {
    /// One sample; `is_inverted`: the least is white.
    Grey { is_inverted: bool },
    /// One sample, a place in a table of colours.
    Palette,
    /// Red, green and blue.
    Rgb,
    /// Brightness and two differences, of which `is_halved` has one pair for two px.
    Ycc { is_halved: bool },
    /// The same, made and undone by JPEG 2000 itself.
    OfJpeg2000,
}

impl Colours {
    fn named(name: &str) -> Result<Self, OpenError> {
        Ok(match name {
            "MONOCHROME1" => Self::Grey { is_inverted: true },
            "MONOCHROME2" => Self::Grey { is_inverted: false },
            "PALETTE COLOR" => Self::Palette,
            "RGB" => Self::Rgb,
            "YBR_FULL" => Self::Ycc { is_halved: false },
            "YBR_FULL_422" => Self::Ycc { is_halved: true },
            "YBR_ICT" | "YBR_RCT" => Self::OfJpeg2000,
            other => {
                let other: String = other.chars().take(16).collect();
                return Err(unsupported(format!(
                    "DICOM pixels of {other:?}; MONOCHROME1 and 2, PALETTE COLOR, RGB, YBR_FULL, YBR_FULL_422, YBR_ICT and \
                     YBR_RCT are read"
                )));
            }
        })
    }

    fn samples(self) -> u32 {
        match self {
            Self::Grey { .. } | Self::Palette => 1,
            Self::Rgb | Self::Ycc { .. } | Self::OfJpeg2000 => 3,
        }
    }
}

/// Shape of the pixels of an object, the same for all its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) frames: u32,
    pub(super) colours: Colours,
    /// Bytes of a sample: 1 or 2.
    pub(super) bytes: usize,
    /// Bits of a sample that count, the lowest ones.
    pub(super) bits: u32,
    pub(super) is_signed: bool,
    /// `true` if all samples of one kind come before those of the next.
    pub(super) is_planar: bool,
}

impl Form {
    pub(super) fn of(items: &Items, max_pixels: u64) -> Result<Self, OpenError> {
        let [rows, columns] = [(tags::ROWS, "Rows"), (tags::COLUMNS, "Columns")].map(|of| number(items, of));
        let (height, width) = (rows?, columns?);
        if width == 0 || height == 0 {
            return Err(broken(format!("its picture has {width} x {height} px")));
        }
        if u64::from(width) * u64::from(height) > max_pixels {
            return Err(OpenError::TooLarge {
                what: format!(
                    "a picture of {width} x {height} px, at most {max_pixels} px are decoded at once"
                ),
            });
        }
        let photometric = items.text_of(tags::PHOTOMETRIC_INTERPRETATION);
        let photometric = photometric.ok_or_else(|| broken("it has no PhotometricInterpretation"))?;
        let colours = Colours::named(&photometric)?;
        let samples = number(items, (tags::SAMPLES_PER_PIXEL, "SamplesPerPixel"))?;
        if samples != colours.samples() {
            return Err(broken(format!(
                "its SamplesPerPixel is {samples}, expected {} of {photometric}",
                colours.samples()
            )));
        }
        let allocated = number(items, (tags::BITS_ALLOCATED, "BitsAllocated"))?;
        let bits = number(items, (tags::BITS_STORED, "BitsStored"))?;
        let most = if samples == 1 { 16 } else { 8 };
        if allocated != 8 && allocated != most {
            return Err(unsupported(format!(
                "DICOM samples of {photometric} in {allocated} bits; 8 {}are read",
                if most == 16 { "and 16 " } else { "" }
            )));
        }
        if bits == 0 || bits > allocated || (samples == 3 && bits != 8) {
            return Err(broken(format!("its BitsStored is {bits}, of {allocated} that are allocated")));
        }
        let high = items.u32_of(tags::HIGH_BIT).unwrap_or(bits - 1);
        if high != bits - 1 {
            return Err(unsupported(format!("DICOM samples of {bits} bits whose highest is bit {high}")));
        }
        let is_signed = match number(items, (tags::PIXEL_REPRESENTATION, "PixelRepresentation"))? {
            0 => false,
            1 if matches!(colours, Colours::Grey { .. }) => true,
            other => return Err(broken(format!("its PixelRepresentation is {other}, expected 0"))),
        };
        let is_planar = match items.u32_of(tags::PLANAR_CONFIGURATION).unwrap_or_default() {
            0 => false,
            1 => samples == 3,
            other => return Err(broken(format!("its PlanarConfiguration is {other}, expected 0 or 1"))),
        };
        let (width, height) = (width as usize, height as usize);
        if colours == (Colours::Ycc { is_halved: true }) && width % 2 == 1 {
            return Err(broken(format!("its width is {width} px, expected an even number of YBR_FULL_422")));
        }
        let (frames, bytes) = (frames(items)?, allocated as usize / 8);
        Ok(Self { width, height, frames, colours, bytes, bits, is_signed, is_planar })
    }

    /// Px of a frame.
    pub(super) fn px(&self) -> usize {
        self.width * self.height
    }

    pub(super) fn samples(&self) -> usize {
        self.colours.samples() as usize
    }

    /// Bytes of a frame that is not compressed.
    pub(super) fn frame_bytes(&self) -> usize {
        match self.colours {
            Colours::Ycc { is_halved: true } => self.px() * 2,
            _ => self.px() * self.samples() * self.bytes,
        }
    }
}

fn number(items: &Items, (tag, name): (Tag, &str)) -> Result<u32, OpenError> {
    items.u32_of(tag).ok_or_else(|| broken(format!("its {name} is missing or no whole number")))
}

fn frames(items: &Items) -> Result<u32, OpenError> {
    let Some(text) = items.text_of(tags::NUMBER_OF_FRAMES) else { return Ok(1) };
    let frames = text.parse().ok().filter(|frames| *frames > 0);
    frames.ok_or_else(|| {
        let text: String = text.chars().take(20).collect();
        broken(format!("its NumberOfFrames is {text:?}, expected 1 or more"))
    })
}

/// The item of a functional group that is about a frame, counted from 1; the object itself where it has none with this
/// attribute.
pub(super) fn of_frame(items: &Items, frame: u32, group: Tag, attribute: Tag) -> &Items {
    let of_frame = items.items_of(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).get(frame as usize - 1);
    let of_all = items.items_of(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).first();
    let groups = [of_frame, of_all].into_iter().flatten();
    let mut found = groups.filter_map(|groups| groups.items_of(group).first());
    found.find(|item| item.get(attribute).is_some()).unwrap_or(items)
}

/// Numbers written as text; none where the attribute is absent or empty.
pub(super) fn decimals(items: &Items, tag: Tag, name: &str) -> Result<Vec<f64>, OpenError> {
    let Some(element) = items.get(tag) else { return Ok(Vec::new()) };
    if items.text_of(tag).is_none() {
        return Ok(Vec::new());
    }
    let values = element.to_multi_float64().ok();
    let values = values.filter(|values| values.iter().all(|value| value.is_finite()));
    values.ok_or_else(|| broken(format!("its {name} holds something that is no number")))
}
