//! Stretching of colours between two percentiles of a slide.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Rgb;

/// Which percentiles of the px of a slide become 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Percentile that becomes 0, from 0 to below `high`.
    pub low: f64,
    /// Percentile that becomes 1, at most 100.
    pub high: f64,
    /// Whether each channel has its own.
    pub channels: StretchedChannels,
    /// Added to the distance between the two, which is divided by: some frameworks do so; 0 to 1, in values of bytes.
    pub epsilon: f64,
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { low, high, channels, epsilon } = self;
        let of = match channels {
            StretchedChannels::Each => "each channel",
            StretchedChannels::Together => "all channels together",
        };
        write!(f, "percentiles {low} and {high} of {of} of the slide's tissue")?;
        if *epsilon > 0.0 { write!(f, ", over their distance and {epsilon}") } else { Ok(()) }
    }
}

/// Whether channels are stretched by one pair of numbers, or each by its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StretchedChannels {
    /// Each has its own percentiles.
    Each,
    /// All have those of all their values.
    Together,
}

/// The values, from 0 to 255, that become 0 and 1 in each channel, red first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stretch {
    /// Become 0.
    pub low: [f32; 3],
    /// Become 1; each is greater than that of `low`.
    pub high: [f32; 3],
}

impl Stretch {
    /// Bytes over 255.
    pub const BYTES: Self = Self { low: [0.0; 3], high: [255.0; 3] };

    /// The stretch of px that were counted by their value; `None` where there are none, or where a channel has one value
    /// at both percentiles.
    #[must_use]
    pub fn of(counts: &ValueCounts, percentiles: &Percentiles) -> Option<Self> {
        let channels = match percentiles.channels {
            StretchedChannels::Each => counts.0,
            StretchedChannels::Together => {
                let all = |value: usize| counts.0.iter().map(|channel| channel[value]).sum();
                [std::array::from_fn(all); 3]
            }
        };
        let mut stretch = Self::BYTES;
        for (place, channel) in channels.iter().enumerate() {
            let (low, high) = (percentile(channel, percentiles.low)?, percentile(channel, percentiles.high)?);
            if low >= high {
                return None;
            }
            (stretch.low[place], stretch.high[place]) = (low, high);
        }
        Some(stretch)
    }
}

impl fmt::Display for Stretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from {:?} to {:?}", self.low, self.high)
    }
}

/// Numbers of px by their value, for each channel, red first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueCounts([[u64; 256]; 3]);

impl Default for ValueCounts {
    fn default() -> Self {
        Self([[0; 256]; 3])
    }
}

impl ValueCounts {
    /// Counts one more px.
    pub fn add(&mut self, pixel: Rgb) {
        for (channel, value) in self.0.iter_mut().zip(pixel) {
            channel[usize::from(value)] += 1;
        }
    }

    /// Px that were counted.
    #[must_use]
    pub fn pixels(&self) -> u64 {
        self.0[0].iter().sum()
    }
}

/// The value below which a percentage of all lies, between two of them by the share of the way, as `numpy.percentile` has
/// it; `None` where there are none.
fn percentile(counts: &[u64; 256], percent: f64) -> Option<f32> {
    let last = counts.iter().sum::<u64>().checked_sub(1)?;
    let place = percent / 100.0 * last as f64;
    let [below, above] = [place.floor(), place.ceil()].map(|rank| f64::from(value_at(counts, rank as u64)));
    Some((below + (above - below) * place.fract()) as f32)
}

/// The value at a rank of all in order; ranks past the end have the largest.
fn value_at(counts: &[u64; 256], rank: u64) -> u8 {
    let mut before = 0;
    let reaches = (0..=u8::MAX).find(|&value| {
        before += counts[usize::from(value)];
        before > rank
    });
    reaches.unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(pixels: &[Rgb]) -> ValueCounts {
        let mut counts = ValueCounts::default();
        pixels.iter().for_each(|&pixel| counts.add(pixel));
        counts
    }

    const fn wanted(low: f64, high: f64, channels: StretchedChannels) -> Percentiles {
        Percentiles { low, high, channels, epsilon: 0.0 }
    }

    /// `numpy.percentile([0, 10, 20, 40], [10, 90])` is `[3, 34]`.
    #[test]
    fn percentiles_are_those_of_numpy() {
        let counts = counted(&[[0, 5, 100], [40, 5, 101], [10, 6, 102], [20, 7, 103]]);
        let stretch = Stretch::of(&counts, &wanted(10.0, 90.0, StretchedChannels::Each)).unwrap();
        assert_eq!((stretch.low[0], stretch.high[0]), (3.0, 34.0));
        let ends = Stretch::of(&counts, &wanted(0.0, 100.0, StretchedChannels::Each)).unwrap();
        assert_eq!((ends.low, ends.high), ([0.0, 5.0, 100.0], [40.0, 7.0, 103.0]));
        let all = Stretch::of(&counts, &wanted(0.0, 100.0, StretchedChannels::Together)).unwrap();
        assert_eq!((all.low, all.high), ([0.0; 3], [103.0; 3]));
        assert_eq!(counts.pixels(), 4);
    }

    #[test]
    fn nothing_is_stretched_between_equal_values() {
        let each = wanted(1.0, 99.8, StretchedChannels::Each);
        assert_eq!(Stretch::of(&ValueCounts::default(), &each), None);
        assert_eq!(Stretch::of(&counted(&[[1, 7, 3], [2, 7, 9]]), &each), None);
    }

    #[test]
    fn both_are_said_in_words() {
        let each = wanted(1.0, 99.8, StretchedChannels::Each);
        assert_eq!(each.to_string(), "percentiles 1 and 99.8 of each channel of the slide's tissue");
        assert_eq!(Stretch::BYTES.to_string(), "from [0.0, 0.0, 0.0] to [255.0, 255.0, 255.0]");
    }
}
