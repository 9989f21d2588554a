//! Grey values as a reader of the picture is to see them: stored samples to modality values to the window
//! (PS3.3, C.11.1 and C.11.2).

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_file::{Attributes as _, Items};
use wsi_types::wording::number;

use super::form::{Colours, Form, broken, decimals, of_frame, unsupported};
use crate::{error::OpenError, mapping::LinearMapping};

/// 8 bits for each stored sample of an object.
pub(super) struct Greys {
    /// By the bits of the sample that count.
    of_sample: Vec<u8>,
    /// How they were made, for people.
    pub(super) remark: Option<String>,
    /// The caller's line, where it was used.
    pub(super) mapping: Option<LinearMapping>,
}

impl Greys {
    /// Those of a frame, counted from 1. `mapping`, which is the user's word, counts before a window.
    pub(super) fn of(
        items: &Items,
        form: &Form,
        frame: u32,
        mapping: Option<LinearMapping>,
    ) -> Result<Self, OpenError> {
        let modality = Modality::of(items, frame)?;
        let (bits, is_narrow) = (form.bits, form.bits <= 8);
        let mapping = mapping.filter(|_| !is_narrow);
        let windows = Window::all(items, frame)?;
        let has_table = of_frame(items, frame, tags::FRAME_VOILUT_SEQUENCE, tags::VOILUT_SEQUENCE)
            .get(tags::VOILUT_SEQUENCE)
            .is_some();
        let (shade, remark) = match (mapping, windows.first()) {
            (Some(mapping), _) => (
                Shade::Mapped(mapping),
                Some(format!("its samples of {bits} bits are mapped by {mapping}, as given")),
            ),
            (None, Some(&window)) => {
                let which = if windows.len() > 1 {
                    format!(", the first of {}", windows.len())
                } else {
                    String::new()
                };
                let table = if has_table { "; it has a table of values too, which is not used" } else { "" };
                (
                    Shade::Window(window),
                    Some(format!("its grey values are seen through its window {window}{which}{table}")),
                )
            }
            (None, None) if has_table => {
                return Err(unsupported(
                    "a DICOM picture whose greys are told by a table (VOILUTSequence) alone; windows are read",
                ));
            }
            (None, None) if is_narrow => (Shade::AsStored, None),
            (None, None) => {
                return Err(unsupported(format!(
                    "a DICOM picture of {bits}-bit samples without a window (WindowCenter, WindowWidth): which of them is black and \
                     which white is not said, and is not guessed; give it with --map-range LOW:HIGH"
                )));
            }
        };
        let is_inverted = form.colours == (Colours::Grey { is_inverted: true });
        let of_sample = (0..1_u32 << bits).map(|sample| {
            let value = signed(sample, form);
            let grey = match shade {
                Shade::AsStored => as_stored(value, form),
                Shade::Window(window) => window.apply(modality.apply(value)),
                Shade::Mapped(mapping) => mapping.apply(modality.apply(value)),
            };
            if is_inverted { 255 - grey } else { grey }
        });
        Ok(Self { of_sample: of_sample.collect(), remark, mapping })
    }

    /// RGB of samples, of which only the bits that count are set.
    pub(super) fn paint(&self, samples: &[u16]) -> Vec<u8> {
        samples.iter().flat_map(|sample| [self.of_sample(*sample); 3]).collect()
    }

    fn of_sample(&self, sample: u16) -> u8 {
        self.of_sample.get(usize::from(sample)).copied().unwrap_or_default()
    }
}

/// Way from values to 8 bits.
#[derive(Clone, Copy)]
enum Shade {
    AsStored,
    Window(Window),
    Mapped(LinearMapping),
}

fn signed(sample: u32, form: &Form) -> f64 {
    let is_negative = form.is_signed && sample >> (form.bits - 1) == 1;
    f64::from(sample) - if is_negative { f64::from(1_u32 << form.bits) } else { 0.0 }
}

/// The least value that can be stored is black, the greatest white.
fn as_stored(value: f64, form: &Form) -> u8 {
    let span = f64::from((1_u32 << form.bits) - 1);
    let least = if form.is_signed { -f64::from(1_u32 << (form.bits - 1)) } else { 0.0 };
    rounded((value - least) / span * 255.0)
}

fn rounded(grey: f64) -> u8 {
    (grey + 0.5).floor().clamp(0.0, 255.0) as u8
}

/// The straight line from stored values to those of the modality.
struct Modality {
    slope: f64,
    intercept: f64,
}

impl Modality {
    fn of(items: &Items, frame: u32) -> Result<Self, OpenError> {
        if items.get(tags::MODALITY_LUT_SEQUENCE).is_some() {
            return Err(unsupported(
                "a DICOM picture whose values are told by a table (ModalityLUTSequence)",
            ));
        }
        let slope = number_of(items, frame, (tags::RESCALE_SLOPE, "RescaleSlope"))?.unwrap_or(1.0);
        let intercept =
            number_of(items, frame, (tags::RESCALE_INTERCEPT, "RescaleIntercept"))?.unwrap_or(0.0);
        if slope == 0.0 {
            return Err(broken("its RescaleSlope is 0: all its values would be one"));
        }
        Ok(Self { slope, intercept })
    }

    fn apply(&self, stored: f64) -> f64 {
        stored * self.slope + self.intercept
    }
}

fn number_of(items: &Items, frame: u32, (tag, name): (Tag, &str)) -> Result<Option<f64>, OpenError> {
    let place = of_frame(items, frame, tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, tag);
    Ok(decimals(place, tag, name)?.first().copied())
}

/// The values between black and white.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Window {
    centre: f64,
    width: f64,
    curve: Curve,
}

/// `VOILUTFunction`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Curve {
    Linear,
    LinearExact,
    Sigmoid,
}

impl Window {
    fn all(items: &Items, frame: u32) -> Result<Vec<Self>, OpenError> {
        let place = of_frame(items, frame, tags::FRAME_VOILUT_SEQUENCE, tags::WINDOW_CENTER);
        let centres = decimals(place, tags::WINDOW_CENTER, "WindowCenter")?;
        let widths = decimals(place, tags::WINDOW_WIDTH, "WindowWidth")?;
        if centres.len() != widths.len() {
            let (centres, widths) = (centres.len(), widths.len());
            return Err(broken(format!("it has {centres} centres of windows and {widths} widths")));
        }
        let curve = match place.text_of(tags::VOILUT_FUNCTION).as_deref() {
            None | Some("LINEAR") => Curve::Linear,
            Some("LINEAR_EXACT") => Curve::LinearExact,
            Some("SIGMOID") => Curve::Sigmoid,
            Some(other) => {
                let other: String = other.chars().take(16).collect();
                return Err(unsupported(format!(
                    "a DICOM picture with windows of the kind {other:?}; LINEAR, LINEAR_EXACT and SIGMOID are read"
                )));
            }
        };
        let windows = centres.into_iter().zip(widths).map(|(centre, width)| {
            let is_usable = if curve == Curve::Linear { width >= 1.0 } else { width > 0.0 };
            if is_usable {
                return Ok(Self { centre, width, curve });
            }
            let least = if curve == Curve::Linear { "1 or more" } else { "more than 0" };
            Err(broken(format!("its WindowWidth is {}, expected {least}", number(width))))
        });
        windows.collect()
    }

    /// PS3.3, C.11.2.1.2 and C.11.2.1.3.
    fn apply(self, value: f64) -> u8 {
        let Self { centre, width, curve } = self;
        let share = match curve {
            Curve::Linear if width > 1.0 => (value - (centre - 0.5)) / (width - 1.0) + 0.5,
            Curve::Linear if value <= centre - 0.5 => 0.0,
            Curve::Linear => 1.0,
            Curve::LinearExact => (value - centre) / width + 0.5,
            Curve::Sigmoid => 1.0 / (1.0 + (-4.0 * (value - centre) / width).exp()),
        };
        rounded(share * 255.0)
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "of centre {} and width {}", number(self.centre), number(self.width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(centre: f64, width: f64, curve: Curve) -> Window {
        Window { centre, width, curve }
    }

    #[test]
    fn a_window_is_as_the_standard_has_it() {
        // Note 3 of C.11.2.1.2.1: centre 2048 and width 4096 leave 0 to 4095 as they are.
        let whole = window(2048.0, 4096.0, Curve::Linear);
        assert_eq!([0.0, 4095.0, 2047.5].map(|value| whole.apply(value)), [0, 255, 128]);
        // Width 1 cuts at the centre less one half.
        let cut = window(100.0, 1.0, Curve::Linear);
        assert_eq!([99.0, 99.5, 99.6, 100.0].map(|value| cut.apply(value)), [0, 0, 255, 255]);
        let exact = window(127.5, 255.0, Curve::LinearExact);
        assert!((0..=255).all(|value| exact.apply(f64::from(value)) == value as u8));
        let curved = window(0.0, 100.0, Curve::Sigmoid);
        assert_eq!([0.0, 1e9, -1e9, 25.0].map(|value| curved.apply(value)), [128, 255, 0, 186]);
    }
}
