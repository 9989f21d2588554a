//! Keys for several detectors over one slide: the detector, the window of its plan, and the list of classes
//! that a number belongs to.

use serde::{Deserialize, Serialize};

use crate::WindowIndex;

/// One of the detectors of a job, by its place among them; the first is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DetectorIndex(pub u8);

impl DetectorIndex {
    /// The first detector, or the only one.
    pub const FIRST: Self = Self(0);
    /// Number of detectors that a [`WindowKey`] can tell apart.
    pub const MOST: usize = 1 << (u32::BITS - WindowKey::WINDOW_BITS);

    /// All detectors of a job of `count`, in order.
    pub fn all(count: usize) -> impl Iterator<Item = Self> {
        (0..count.min(Self::MOST)).map(|index| Self(index as u8))
    }

    /// Its place in a list that holds one entry per detector.
    #[must_use]
    pub fn place(self) -> usize {
        usize::from(self.0)
    }
}

/// A window of one detector's plan. Ordered by detector, then by place in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowKey {
    /// The detector that the plan belongs to.
    pub detector: DetectorIndex,
    /// The window of the plan.
    pub window: WindowIndex,
}

impl WindowKey {
    /// Bits of a window's place in its plan in [`to_bits`](Self::to_bits).
    const WINDOW_BITS: u32 = 26;
    /// Largest number of windows in one plan.
    pub const MOST_WINDOWS: u32 = 1 << Self::WINDOW_BITS;

    /// The window `window` of the plan of `detector`.
    #[must_use]
    pub fn new(detector: DetectorIndex, window: WindowIndex) -> Self {
        Self { detector, window }
    }

    /// The key as ledgers hold it: the detector in the upper 6 bits, the place in its plan in the lower 26. A
    /// key of the first detector is its window's index.
    #[must_use]
    pub fn to_bits(self) -> u32 {
        u32::from(self.detector.0) << Self::WINDOW_BITS | self.window.0
    }

    /// The key for the number of [`to_bits`](Self::to_bits).
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        let detector = DetectorIndex((bits >> Self::WINDOW_BITS) as u8);
        Self { detector, window: WindowIndex(bits & (Self::MOST_WINDOWS - 1)) }
    }
}

/// The place of a class in one model's own list of names. The classes of all detectors of a job are one list,
/// whose places are [`ClassId`](crate::ClassId)s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelClass(pub u16);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_of_the_first_detector_is_its_windows_index() {
        let window = WindowIndex(123_456);
        assert_eq!(WindowKey::new(DetectorIndex::FIRST, window).to_bits(), 123_456);
        assert_eq!(WindowKey::new(DetectorIndex(3), window).to_bits(), (3 << 26) + 123_456);
    }

    #[test]
    fn detectors_are_counted_from_the_first() {
        let all: Vec<_> = DetectorIndex::all(3).map(DetectorIndex::place).collect();
        assert_eq!((all, DetectorIndex::MOST), (vec![0, 1, 2], 64));
    }

    proptest! {
        #[test]
        fn keys_survive_their_bits_and_keep_their_order(bits: u32, other: u32) {
            let key = WindowKey::from_bits(bits);
            prop_assert_eq!(key.to_bits(), bits);
            prop_assert!(key.window.0 < WindowKey::MOST_WINDOWS);
            prop_assert_eq!(key.cmp(&WindowKey::from_bits(other)), bits.cmp(&other));
        }
    }
}
