//! Colours out of stored samples.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_file::Items;

use super::form::{Form, broken, unsupported};
use crate::{backend::tiff::rgb_from_ycc, error::OpenError};

/// RGB of pairs of px that share their differences of colour: two of brightness, one of each difference.
pub(super) fn of_halved(samples: &[u8]) -> Vec<u8> {
    let pairs = samples.as_chunks::<4>().0;
    pairs
        .iter()
        .flat_map(|&[one, other, cb, cr]| [one, other].map(|y| rgb_from_ycc(y, cb, cr)))
        .flatten()
        .collect()
}

/// Turns brightness and differences into RGB where they are.
pub(super) fn from_ycc(samples: &mut [u8]) {
    samples.as_chunks_mut::<3>().0.iter_mut().for_each(|px| *px = rgb_from_ycc(px[0], px[1], px[2]));
}

/// Samples of one kind after the other, px by px.
pub(super) fn interleaved(planes: &[u8], px: usize) -> Vec<u8> {
    (0..px).flat_map(|at| [planes[at], planes[px + at], planes[2 * px + at]]).collect()
}

/// A table of colours (PS3.3, C.7.6.3.1.5).
pub(super) struct Palette {
    /// The sample of the first colour.
    first: u32,
    colours: Vec<[u8; 3]>,
}

/// Descriptor, table, and table in segments of red, green and blue.
const TABLES: [(Tag, Tag, Tag); 3] = [
    (
        tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    ),
    (
        tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::SEGMENTED_GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    ),
    (
        tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::SEGMENTED_BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    ),
];

impl Palette {
    pub(super) fn of(items: &Items, form: &Form) -> Result<Self, OpenError> {
        let mut descriptors = Vec::new();
        let mut channels = Vec::new();
        for (descriptor, table, segmented) in TABLES {
            if items.get(table).is_none() && items.get(segmented).is_some() {
                return Err(unsupported("a DICOM palette in segments; plain tables are read"));
            }
            let numbers: Option<[i64; 3]> = items
                .get(descriptor)
                .and_then(|element| element.to_multi_int().ok())
                .and_then(|numbers| numbers.try_into().ok());
            let [entries, first, bits] =
                numbers.ok_or_else(|| broken("its palette has no descriptors of three whole numbers"))?;
            // 65,536 does not fit, and a negative number was read as one of two bytes with a sign.
            let entries = if entries & 0xffff == 0 { 1 << 16 } else { entries & 0xffff };
            let first = u32::try_from(first & 0xffff).unwrap_or_default();
            let bytes = items.get(table).and_then(|element| element.to_bytes().ok());
            let bytes = bytes.ok_or_else(|| broken("its palette has no table for one of its colours"))?;
            channels.push(channel(&bytes, entries as usize, bits)?);
            descriptors.push((entries, first));
        }
        if descriptors.iter().any(|descriptor| *descriptor != descriptors[0]) {
            return Err(broken("the tables of its palette differ in length or begin"));
        }
        let first = descriptors[0].1;
        if first >= 1 << form.bits {
            return Err(broken(format!(
                "its palette begins at {first}, beyond samples of {} bits",
                form.bits
            )));
        }
        let colours =
            (0..channels[0].len()).map(|at| [channels[0][at], channels[1][at], channels[2][at]]).collect();
        Ok(Self { first, colours })
    }

    /// RGB of samples; what lies before or behind the table has its first or last colour.
    pub(super) fn paint(&self, samples: &[u16]) -> Vec<u8> {
        samples.iter().flat_map(|&sample| self.colours[self.place(sample)]).collect()
    }

    fn place(&self, sample: u16) -> usize {
        (u32::from(sample).saturating_sub(self.first) as usize).min(self.colours.len() - 1)
    }
}

/// 8 bits for each entry. A table of 8 bits may have a byte or a word for each.
fn channel(bytes: &[u8], entries: usize, bits: i64) -> Result<Vec<u8>, OpenError> {
    let is_bytes = (bits == 8) && bytes.len().abs_diff(entries) <= 1 && bytes.len() >= entries;
    let words = bytes.as_chunks::<2>().0.iter().map(|word| u16::from_le_bytes(*word));
    match bits {
        8 if is_bytes => Ok(bytes[..entries].to_vec()),
        8 if bytes.len() == 2 * entries => Ok(words.map(|word| word as u8).collect()),
        16 if bytes.len() == 2 * entries => Ok(words.map(|word| (word >> 8) as u8).collect()),
        8 | 16 => {
            Err(broken(format!("a table of its palette has {} bytes for {entries} colours", bytes.len())))
        }
        other => Err(broken(format!("its palette has colours of {other} bits, expected 8 or 16"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_bytes_or_words() {
        assert_eq!(channel(&[1, 2, 3, 0], 3, 8).unwrap(), [1, 2, 3]);
        assert_eq!(channel(&[1, 0, 2, 0, 3, 0], 3, 8).unwrap(), [1, 2, 3]);
        assert_eq!(channel(&[9, 1, 9, 2, 9, 3], 3, 16).unwrap(), [1, 2, 3]);
        for (bytes, bits) in [(&[1, 2][..], 8), (&[1; 9], 8), (&[1; 3], 16), (&[1; 3], 12)] {
            assert!(channel(bytes, 3, bits).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn samples_beyond_a_palette_have_its_ends() {
        let palette = Palette { first: 2, colours: vec![[1; 3], [2; 3]] };
        assert_eq!(
            palette.paint(&[0, 2, 3, 4, 65535]).as_chunks::<3>().0.concat(),
            [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2]
        );
    }

    #[test]
    fn two_px_share_their_colour() {
        assert_eq!(of_halved(&[10, 200, 128, 128]), [10, 10, 10, 200, 200, 200]);
    }
}
