//! Maps of points: `[B, K, rows, columns]`, one map per class, whose peaks are objects.
//!
//! A peak is a place of a map whose value is above the threshold and the largest within a distance, counted along each
//! axis (as `peak_local_max` of scikit-image has it, borders included); of equal neighbours the first in row order. Each
//! becomes a box of a nominal side around the centre of its place: models of this kind (KongNet, MapDe, SCCNN) say
//! where an object is and not how large.

use wsi_types::{Mpp, Score, WindowBox};

use crate::{
    WindowFault,
    manifest::{Activation, Points},
    yolo::{Candidate, TensorView, all_finite, check_probability, sigmoid},
};

/// Rule that makes candidates of peaks, in px of the window.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PeakRule {
    activation: Activation,
    /// The map of each class.
    channels: Vec<usize>,
    distance: f64,
    side: f32,
}

impl PeakRule {
    /// For windows of `mpp`.
    pub(crate) fn new(points: &Points, activation: Activation, mpp: Mpp) -> Self {
        Self {
            activation,
            channels: points.channels.clone(),
            distance: points.min_distance_um / mpp.get(),
            side: (points.diameter_um / mpp.get()) as f32,
        }
    }
}

/// The maps of one window.
pub(crate) struct Maps<'a> {
    rule: &'a PeakRule,
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// Px of the window per place of a map, down and across.
    stride: (f32, f32),
}

impl<'a> Maps<'a> {
    /// The maps of the window at `place`, which has `width` × `height` px.
    ///
    /// # Errors
    ///
    /// [`WindowFault::Shape`] when a class has no map.
    pub(crate) fn new(
        output: &TensorView<'a>,
        place: usize,
        rule: &'a PeakRule,
        (width, height): (usize, usize),
    ) -> Result<Self, WindowFault> {
        let needed = rule.channels.iter().max().map_or(0, |last| last + 1);
        match output.window(place) {
            Some((&[maps, rows, columns], values)) if maps >= needed && rows > 0 && columns > 0 => {
                let stride = (height as f32 / rows as f32, width as f32 / columns as f32);
                Ok(Self { rule, values, rows, columns, stride })
            }
            _ => Err(output.fault(format!("[batch, {needed} or more, rows, columns]"))),
        }
    }

    /// Appends each peak whose score is greater than `floor` to `found`, class by class, in row order.
    ///
    /// # Errors
    ///
    /// [`WindowFault`] when a number of a map is NaN or infinite, or no probability where it should be one.
    pub(crate) fn candidates(&self, floor: f32, found: &mut Vec<Candidate>) -> Result<(), WindowFault> {
        let size = self.rows * self.columns;
        for (class, &channel) in (0u16..).zip(&self.rule.channels) {
            let map = Map { values: &self.values[channel * size..][..size], columns: self.columns };
            if !all_finite(map.values) {
                return Err(WindowFault::NotFinite { part: "maps" });
            }
            if self.rule.activation == Activation::None {
                map.values.iter().try_for_each(|&value| check_probability(value))?;
            }
            self.peaks(&map, class, floor, found);
        }
        Ok(())
    }

    fn peaks(&self, map: &Map<'_>, class: u16, floor: f32, found: &mut Vec<Candidate>) {
        let reach = (self.reach(self.stride.0), self.reach(self.stride.1));
        let least = self.least(floor);
        for (place, &value) in map.values.iter().enumerate() {
            if value < least || !map.is_peak(place, reach) {
                continue;
            }
            let score = self.probability(value);
            let Some(score) = Score::new(score).filter(|_| score > floor) else { continue };
            let bbox = self.bbox(place / self.columns, place % self.columns);
            found.push(Candidate { bbox, score, class, anchor: place as u32 });
        }
    }

    /// Places of a map that the distance spans; at least its neighbours.
    fn reach(&self, stride: f32) -> usize {
        ((self.rule.distance / f64::from(stride)).round() as usize).max(1)
    }

    /// A value below which no score is above `floor`.
    fn least(&self, floor: f32) -> f32 {
        match self.rule.activation {
            // A little lower than where the sigmoid is the floor, as both are rounded.
            Activation::Sigmoid => (floor / (1.0 - floor)).ln() - 1e-3,
            Activation::Softmax | Activation::None => floor,
        }
    }

    fn probability(&self, value: f32) -> f32 {
        match self.rule.activation {
            Activation::Sigmoid => sigmoid(value),
            Activation::Softmax | Activation::None => value,
        }
    }

    fn bbox(&self, row: usize, column: usize) -> WindowBox {
        let centre =
            euclid::point2((column as f32 + 0.5) * self.stride.1, (row as f32 + 0.5) * self.stride.0);
        let half = euclid::vec2(self.rule.side, self.rule.side) * 0.5;
        WindowBox::new(centre - half, centre + half)
    }
}

/// One map.
struct Map<'a> {
    values: &'a [f32],
    columns: usize,
}

impl Map<'_> {
    /// `true` if no place within `reach` (down, across) has a larger value, nor an earlier one an equal one.
    fn is_peak(&self, place: usize, (down, across): (usize, usize)) -> bool {
        let (row, column) = (place / self.columns, place % self.columns);
        let value = self.values[place];
        let rows = self.values.len() / self.columns;
        let columns = column.saturating_sub(across)..(column + across + 1).min(self.columns);
        (row.saturating_sub(down)..(row + down + 1).min(rows)).all(|row| {
            let first = row * self.columns;
            let near = &self.values[first + columns.start..first + columns.end];
            (first + columns.start..)
                .zip(near)
                .all(|(other, &found)| found < value || found == value && other >= place)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(distance_um: f64, activation: Activation) -> PeakRule {
        let points = Points { min_distance_um: distance_um, diameter_um: 4.0, channels: vec![1] };
        PeakRule::new(&points, activation, Mpp::new(0.5).unwrap())
    }

    fn peaks(
        map: &[f32],
        columns: usize,
        rule: &PeakRule,
        scale: usize,
    ) -> Result<Vec<Candidate>, WindowFault> {
        let rows = map.len() / columns;
        let both = [vec![9.0; map.len()], map.to_vec()].concat();
        let shape = [1, 2, rows, columns];
        let output = TensorView { name: "maps", shape: &shape, data: &both };
        let maps = Maps::new(&output, 0, rule, (columns * scale, rows * scale))?;
        let mut found = Vec::new();
        maps.candidates(0.5, &mut found).map(|()| found)
    }

    #[test]
    fn a_peak_becomes_a_box_of_the_nominal_size_around_its_place() {
        let mut map = vec![0.1; 8 * 6];
        map[2 * 8 + 5] = 0.9;
        map[2 * 8 + 6] = 0.8;
        let found = peaks(&map, 8, &rule(0.5, Activation::None), 2).unwrap();
        // Place 5 of 8 spans px 10 to 12 of 16; 4 µm are 8 px.
        let bbox = WindowBox::new(euclid::point2(7.0, 1.0), euclid::point2(15.0, 9.0));
        let expected = Candidate { bbox, score: Score::new(0.9).unwrap(), class: 0, anchor: 21 };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn of_equal_neighbours_the_first_is_the_peak() {
        let found = peaks(&[0.7; 12], 4, &rule(1.0, Activation::None), 1).unwrap();
        assert_eq!(found.iter().map(|candidate| candidate.anchor).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn logits_and_wild_numbers_are_faults() {
        let wild = |value, activation| peaks(&[value, 0.1], 2, &rule(1.0, activation), 1);
        assert_eq!(wild(7.0, Activation::None), Err(WindowFault::ScoreRange { score: 7.0 }));
        assert_eq!(wild(f32::NAN, Activation::Sigmoid), Err(WindowFault::NotFinite { part: "maps" }));
        let found = wild(2.0, Activation::Sigmoid).unwrap();
        assert!((found[0].score.get() - 0.880_797).abs() < 1e-6);
        let output = TensorView { name: "maps", shape: &[1, 1, 1, 2], data: &[0.0; 2] };
        let fault = Maps::new(&output, 0, &rule(1.0, Activation::None), (2, 1)).err().unwrap().to_string();
        assert!(fault.contains("expected [batch, 2 or more, rows, columns]"), "{fault}");
    }

    proptest! {
        /// Peaks keep their distance, and the highest place above the threshold is as high as one of them.
        #[test]
        fn peaks_keep_their_distance_and_hold_the_highest_place(
            values in proptest::collection::vec(0u8..12, 80), reach in 1usize..4,
        ) {
            let map: Vec<f32> = values.iter().map(|&value| f32::from(value) / 12.0).collect();
            let found = peaks(&map, 10, &rule(reach as f64 * 0.5, Activation::None), 1).unwrap();
            let at: Vec<(usize, usize)> =
                found.iter().map(|peak| (peak.anchor as usize / 10, peak.anchor as usize % 10)).collect();
            for (place, a) in at.iter().enumerate() {
                for b in &at[place + 1..] {
                    prop_assert!(a.0.abs_diff(b.0) > reach || a.1.abs_diff(b.1) > reach);
                }
            }
            let highest = map.iter().copied().fold(0.0, f32::max);
            prop_assert!(highest <= 0.5 || found.iter().any(|peak| peak.score.get() == highest));
        }
    }
}
