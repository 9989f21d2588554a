//! Ids of cells and regions: whole numbers that every reader can hold exactly.
//!
//! A number of double precision holds each whole number up to 2^53, and no more:
//! pandas turns a column of whole numbers with gaps into doubles, and R, JavaScript
//! and GeoJSON know no other numbers. Ids stay below that, and are signed in the
//! tables, as GDAL's are.

use arrow_array::{
    Array, UInt64Array,
    cast::AsArray as _,
    types::{Int64Type, UInt64Type},
};
use sha2::{Digest as _, Sha256};

/// The largest id.
pub const MAX_ID: u64 = (1 << 53) - 1;

/// The id for a hash of 64 evenly spread bits.
#[must_use]
pub fn id_from(hash: u64) -> u64 {
    hash >> 11
}

/// Returns the start of the ids of a slide's cells and regions; `content` is a hash of the slide's content,
/// not a file name, so that different slides have different ids, and any program gives the same place of the
/// same slide the same id.
#[must_use]
pub fn slide_key(content: &str) -> u64 {
    first_bits(&Sha256::digest(content.as_bytes()))
}

/// The first 64 bits of a hash.
pub(crate) fn first_bits(hash: &[u8]) -> u64 {
    hash.iter().take(8).fold(0, |bits, &byte| (bits << 8) | u64::from(byte))
}

/// The id to try when `id` is taken: far away, since neighbours of a taken one may be taken too. Repeated use
/// reaches every id, since the step is odd.
pub(crate) fn next_id(id: u64) -> u64 {
    /// The golden section of all ids.
    const STEP: u64 = 0x13_C6EF_372F_E951;
    (id + STEP) & MAX_ID
}

/// The ids or counts of a column: signed, or unsigned as tables of version 1 have them. `None` for another type, and for
/// numbers below 0.
#[must_use]
pub fn whole_numbers(array: &dyn Array) -> Option<UInt64Array> {
    if let Some(unsigned) = array.as_primitive_opt::<UInt64Type>() {
        return Some(unsigned.clone());
    }
    let signed = array.as_primitive_opt::<Int64Type>()?;
    signed.iter().map(|number| number.map(u64::try_from).transpose().ok()).collect()
}

#[cfg(test)]
mod tests {
    use arrow_array::{Float64Array, Int64Array};

    use super::*;

    #[test]
    fn whole_numbers_are_read_signed_and_unsigned() {
        let signed = Int64Array::from(vec![Some(7), None]);
        let unsigned = UInt64Array::from(vec![Some(7), None]);
        assert_eq!(whole_numbers(&signed), Some(unsigned.clone()));
        assert_eq!(whole_numbers(&unsigned), Some(unsigned));
        assert_eq!(whole_numbers(&Int64Array::from(vec![-1])), None);
        assert_eq!(whole_numbers(&Float64Array::from(vec![1.0])), None);
    }

    #[test]
    fn ids_are_whole_as_doubles() {
        for id in [id_from(u64::MAX), id_from(0x9E37_79B9_7F4A_7C15), MAX_ID, 0] {
            assert!(id <= MAX_ID);
            assert_eq!(id as f64 as u64, id);
        }
        let met: std::collections::BTreeSet<u64> =
            std::iter::successors(Some(7), |&id| Some(next_id(id))).take(10_000).collect();
        assert!(met.len() == 10_000 && met.iter().all(|&id| id <= MAX_ID));
    }
}
