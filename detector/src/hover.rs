//! Hover heads: nuclei as maps, cut where they touch by the offsets of their places from their centres (HoVer-Net,
//! Graham et al. 2019; CellViT, HistoPLUS, NuLite, MONAI's HoVerNet).
//!
//! | output | numbers of each place |
//! | --- | --- |
//! | nuclei `[B, 2, H, W]` | scores of background and nucleus; it is one if that is not less |
//! | offsets `[B, 2, H, W]` | from the centre of its nucleus, across and down, -1 to 1 |
//! | types `[B, T, H, W]`, or none | scores of types; it is of the largest, the first of equals |
//!
//! An instance is of the type of most of its places, background aside, the first of equals; its score is their share of
//! its places, as these models' own code has it. One without a place of a type is none. Without types the score is the
//! mean probability of its places to be nuclear.

mod bits;
mod instances;
#[cfg(test)]
mod parity;
mod slopes;

use wsi_types::Score;

use self::instances::{Numbered, Sizes};
use crate::{
    Manifest, WindowFault,
    manifest::{Activation, Head, Hover, HoverScores},
    objects::Object,
    yolo::{Candidate, Instances, TensorView, all_finite, check_probability, first_largest, nms, sigmoid},
};

/// Rule that makes instances of the maps of a window.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HoverRule {
    sizes: Sizes,
    scores: HoverScores,
    classes: usize,
}

impl HoverRule {
    /// The rule of a model with a hover head; `None` for others.
    pub(crate) fn of(manifest: &Manifest) -> Option<Self> {
        let Head::Hover { scores } = manifest.head else { return None };
        Some(Self::new(manifest.hover.as_ref()?, scores, manifest.classes.len()))
    }

    fn new(hover: &Hover, scores: HoverScores, classes: usize) -> Self {
        let sizes = Sizes { sobel: hover.sobel_px as usize, least: hover.min_px as usize };
        Self { sizes, scores, classes }
    }

    /// The instances of the window at `place`, of `size` (width, height) px, with a score greater than `floor`, best
    /// first, each with its mask.
    ///
    /// # Errors
    ///
    /// [`WindowFault`] when a map has another shape or a number that cannot be.
    pub(crate) fn instances(
        &self,
        outputs: &[TensorView<'_>],
        place: usize,
        size: (usize, usize),
        floor: f32,
    ) -> Result<Instances, WindowFault> {
        let maps = Maps::new(self, outputs, place, size)?;
        let Numbered { numbers, runs } =
            instances::instances(maps.nuclear(), maps.offsets(), size.0, self.sizes);
        let mut each = Vec::new();
        for object in Object::all(&numbers, &runs, size.0) {
            let Some((class, score)) = maps.judged(object.places(&numbers))? else { continue };
            let Some(score) = Score::new(score).filter(|score| score.get() > floor) else { continue };
            let candidate = Candidate { bbox: object.bbox(), score, class, anchor: object.number };
            each.push((candidate, Some(object.mask(&numbers))));
        }
        each.sort_unstable_by(|(a, _), (b, _)| nms::best_first(a, b));
        Ok(Instances { each, is_full: false })
    }
}

/// Offsets farther than this are none: models overshoot 1, but not as far.
const FARTHEST: f32 = 10.0;

/// The maps of one window, one after the other, row by row.
struct Maps<'a> {
    nuclei: &'a [f32],
    offsets: &'a [f32],
    judge: Judge<'a>,
    /// Places of each map.
    places: usize,
}

/// The maps that tell class and score of an instance.
enum Judge<'a> {
    /// A map per type, of which the classes are those from `first` on.
    Types { maps: &'a [f32], first: usize, classes: usize },
    /// The maps of nuclei.
    Nuclei(Activation),
}

impl<'a> Maps<'a> {
    fn new(
        rule: &HoverRule,
        outputs: &[TensorView<'a>],
        place: usize,
        size: (usize, usize),
    ) -> Result<Self, WindowFault> {
        let [nuclei, offsets, types @ ..] = outputs else { return Err(WindowFault::NoOutput) };
        let judge = match rule.scores {
            HoverScores::Nuclei { activation } => Judge::Nuclei(activation),
            HoverScores::Types { background } => {
                let types = types.first().ok_or(WindowFault::NoOutput)?;
                let maps = planes(types, place, rule.classes + background.scores(), size)?;
                Judge::Types { maps, first: background.first_class(), classes: rule.classes }
            }
        };
        let (nuclei, offsets) = (planes(nuclei, place, 2, size)?, planes(offsets, place, 2, size)?);
        if let Some(&offset) = offsets.iter().find(|offset| offset.abs() > FARTHEST) {
            return Err(WindowFault::Offset { offset });
        }
        Ok(Self { nuclei, offsets, judge, places: size.0 * size.1 })
    }

    /// `true` for each place that is at least as much nucleus as background.
    fn nuclear(&self) -> Vec<bool> {
        let (background, nucleus) = self.nuclei.split_at(self.places);
        background.iter().zip(nucleus).map(|(background, nucleus)| nucleus >= background).collect()
    }

    /// Offsets across and down.
    fn offsets(&self) -> [&'a [f32]; 2] {
        let (across, down) = self.offsets.split_at(self.places);
        [across, down]
    }

    /// The class and score of an instance of these places; `None` if none of them is of a class.
    fn judged(&self, places: impl Iterator<Item = usize>) -> Result<Option<(u16, f32)>, WindowFault> {
        match self.judge {
            Judge::Types { maps, first, classes } => Ok(self.most_frequent(places, maps, first, classes)),
            Judge::Nuclei(activation) => Ok(Some((0, self.mean_probability(places, activation)?))),
        }
    }

    fn most_frequent(
        &self,
        places: impl Iterator<Item = usize>,
        maps: &[f32],
        first: usize,
        classes: usize,
    ) -> Option<(u16, f32)> {
        let mut votes = vec![0_u32; maps.len() / self.places];
        for place in places {
            let of_place = maps.iter().skip(place).step_by(self.places).copied();
            votes[first_largest(of_place)?] += 1;
        }
        let all: u32 = votes.iter().sum();
        let of_classes = &votes[first..first + classes];
        // Of equals `max_by_key` gives the last.
        let best = (0..classes).rev().max_by_key(|&class| of_classes[class])?;
        (of_classes[best] > 0).then(|| (best as u16, of_classes[best] as f32 / all as f32))
    }

    fn mean_probability(
        &self,
        places: impl Iterator<Item = usize>,
        activation: Activation,
    ) -> Result<f32, WindowFault> {
        let (mut sum, mut count) = (0.0, 0_u32);
        for place in places {
            sum += f64::from(self.probability(place, activation)?);
            count += 1;
        }
        Ok((sum / f64::from(count)) as f32)
    }

    /// Probability that a place is one of a nucleus.
    fn probability(&self, place: usize, activation: Activation) -> Result<f32, WindowFault> {
        let (background, nucleus) = (self.nuclei[place], self.nuclei[self.places + place]);
        if activation == Activation::Softmax {
            return Ok(sigmoid(nucleus - background));
        }
        check_probability(nucleus)?;
        Ok(nucleus)
    }
}

/// The `count` maps of the window at `place`: one number per px each, all finite.
fn planes<'a>(
    output: &TensorView<'a>,
    place: usize,
    count: usize,
    (width, height): (usize, usize),
) -> Result<&'a [f32], WindowFault> {
    match output.window(place) {
        Some((&[found, rows, columns], values)) if (found, rows, columns) == (count, height, width) => {
            if all_finite(values) {
                Ok(values)
            } else {
                Err(WindowFault::NotFinite { part: "maps" })
            }
        }
        _ => {
            Err(output
                .fault(format!("[batch, {count}, {height}, {width}], a place for each px of the window")))
        }
    }
}

#[cfg(test)]
mod tests {
    use wsi_types::WindowBox;

    use super::*;
    use crate::manifest::Background;

    const SIDE: usize = 24;

    fn rule(scores: HoverScores, classes: usize) -> HoverRule {
        HoverRule::new(&Hover { sobel_px: 5, min_px: 4 }, scores, classes)
    }

    const TYPES: HoverScores = HoverScores::Types { background: Background::First };
    const RAW: HoverScores = HoverScores::Nuclei { activation: Activation::Softmax };
    const PROBABILITIES: HoverScores = HoverScores::Nuclei { activation: Activation::None };

    /// `true` in two rectangles of 8 × 10 px that touch, from column 4 to 20 of rows 6 to 16.
    fn is_nuclear(place: usize) -> bool {
        (4..20).contains(&(place % SIDE)) && (6..16).contains(&(place / SIDE))
    }

    /// Maps of nuclei, of offsets and of types: the left is of type 2, the right of none but for its last column, which is of
    /// type 1.
    fn maps(background: f32, nucleus: f32) -> [Vec<f32>; 3] {
        let places = || 0..SIDE * SIDE;
        let nuclei = places().map(|place| if is_nuclear(place) { background } else { 1.0 });
        let nuclei = nuclei.chain(places().map(|place| if is_nuclear(place) { nucleus } else { 0.0 }));
        let across = places().map(|place| if is_nuclear(place) { ((place % SIDE) % 8) as f32 } else { 0.0 });
        let across = across.zip(places()).map(|(step, place)| {
            // Columns 4 to 11 and 12 to 19 rise from -1 to 1.
            if is_nuclear(place) { ((step + 4.0) % 8.0 - 3.5) / 3.5 } else { 0.0 }
        });
        let down = places()
            .map(|place| if is_nuclear(place) { (place / SIDE) as f32 / 4.5 - 10.5 / 4.5 } else { 0.0 });
        let types =
            (0..3).flat_map(|kind| places().map(move |place| f32::from(u8::from(type_of(place) == kind))));
        [nuclei.collect(), across.chain(down).collect(), types.collect()]
    }

    fn type_of(place: usize) -> usize {
        match place % SIDE {
            4..12 => 2,
            19 => 1,
            _ => 0,
        }
    }

    fn found(
        rule: &HoverRule,
        maps: &[Vec<f32>; 3],
        floor: f32,
    ) -> Result<Vec<(WindowBox, f32, u16)>, WindowFault> {
        let shapes = [2, 2, 3].map(|count| [1, count, SIDE, SIDE]);
        let view = |map: usize| TensorView { name: "map", shape: &shapes[map], data: &maps[map] };
        let outputs = [view(0), view(1), view(2)];
        let found = rule.instances(&outputs, 0, (SIDE, SIDE), floor)?.each;
        Ok(found.into_iter().map(|(found, _)| (found.bbox, found.score.get(), found.class)).collect())
    }

    fn bbox(left: f32, right: f32) -> WindowBox {
        WindowBox::new(euclid::point2(left, 6.0), euclid::point2(right, 16.0))
    }

    #[test]
    fn nuclei_that_touch_are_two_each_of_the_type_of_most_of_its_places() {
        let maps = maps(0.0, 3.0);
        let both = [(bbox(4.0, 12.0), 1.0, 1), (bbox(12.0, 20.0), 0.125, 0)];
        assert_eq!(found(&rule(TYPES, 2), &maps, 0.1).unwrap(), both);
        assert_eq!(found(&rule(TYPES, 2), &maps, 0.125).unwrap(), both[..1]);
    }

    #[test]
    fn without_types_the_score_is_the_mean_probability() {
        let scores = |scores, maps: [Vec<f32>; 3]| -> Result<Vec<f32>, WindowFault> {
            Ok(found(&rule(scores, 1), &maps, 0.5)?.into_iter().map(|(_, score, _)| score).collect())
        };
        let raw = scores(RAW, maps(0.0, 3.0)).unwrap();
        assert!(raw.len() == 2 && raw.iter().all(|score| (score - 0.952_574_1).abs() < 1e-6), "{raw:?}");
        assert_eq!(scores(PROBABILITIES, maps(0.25, 0.75)).unwrap(), [0.75, 0.75]);
        assert_eq!(scores(PROBABILITIES, maps(0.0, 3.0)), Err(WindowFault::ScoreRange { score: 3.0 }));
    }

    #[test]
    fn a_nucleus_without_a_type_or_without_a_sure_place_is_none() {
        let mut maps = maps(0.0, 3.0);
        // Each place of the first type, the background.
        maps[2][..SIDE * SIDE].fill(9.0);
        assert_eq!(found(&rule(TYPES, 2), &maps, 0.0).unwrap(), []);
        maps[1].fill(0.0);
        assert_eq!(found(&rule(RAW, 1), &maps, 0.0).unwrap(), []);
    }

    #[test]
    fn maps_of_other_sizes_and_wild_numbers_are_faults() {
        let mut maps = maps(0.0, 3.0);
        maps[1][7] = f32::NAN;
        assert_eq!(found(&rule(RAW, 1), &maps, 0.0), Err(WindowFault::NotFinite { part: "maps" }));
        maps[1][7] = -12.5;
        let fault = found(&rule(RAW, 1), &maps, 0.0).unwrap_err();
        assert!(fault == WindowFault::Offset { offset: -12.5 } && fault.breaks_contract());
        let output = TensorView { name: "np", shape: &[1, 2, 16, 16], data: &[0.0; 512] };
        let fault =
            rule(RAW, 1).instances(&[output, output], 0, (SIDE, SIDE), 0.0).err().unwrap().to_string();
        assert!(fault.contains("expected [batch, 2, 24, 24], a place for each px of the window"), "{fault}");
        assert_eq!(rule(RAW, 1).instances(&[output], 0, (16, 16), 0.0).err(), Some(WindowFault::NoOutput));
    }
}
