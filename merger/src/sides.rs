//! Sets of the four sides of a box.

use serde::{Deserialize, Serialize};

/// Some of left, top, right and bottom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sides(u8);

impl Sides {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// The side of the smallest x.
    pub const LEFT: Self = Self(1);
    /// The side of the smallest y.
    pub const TOP: Self = Self(2);
    /// The side of the largest x.
    pub const RIGHT: Self = Self(4);
    /// The side of the largest y.
    pub const BOTTOM: Self = Self(8);
    /// All four, clockwise from the left.
    pub const EACH: [Self; 4] = [Self::LEFT, Self::TOP, Self::RIGHT, Self::BOTTOM];

    /// From one flag per side.
    #[must_use]
    pub fn from_flags(left: bool, top: bool, right: bool, bottom: bool) -> Self {
        Self(u8::from(left) | u8::from(top) << 1 | u8::from(right) << 2 | u8::from(bottom) << 3)
    }

    /// From the low four bits, in the order of the constants.
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        Self(bits & 15)
    }

    /// The low four bits, in the order of the constants.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }

    /// `true` if it holds no side.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// `true` if it holds every side of `other`.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that are not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Each side it holds.
    pub fn iter(self) -> impl Iterator<Item = Self> {
        Self::EACH.into_iter().filter(move |&side| self.contains(side))
    }
}
