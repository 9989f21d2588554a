//! Fusion of the cells of several scales, such as 20x and 40x, or of two models, found on the same slide.
//!
//! Each scale has been merged on its own, so it holds an object once. Cells of different scales are the same
//! object when they agree by IoU or lie near each other; the best pairs are taken first, and an object has at
//! most one cell of each scale. Decisions depend on content alone, so order cannot matter.

use rstar::primitives::{GeomWithData, Rectangle};
use rstar::{AABB, RTree};
use serde::{Deserialize, Serialize};
use wsi_types::{ClassId, Level0Box, Mpp, Score};

use crate::MergeError;
use crate::cell::{Cell, content_order};
use crate::geometry::{box_area, shared_area};
use crate::settings::check;

/// Rule for making one score of those of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fuse {
    /// Weighted boxes fusion (Solovyev, Wang and Gabruseva 2021): scores and
    /// boxes are weighted means; a scale that saw nothing counts as 0, by its
    /// own weight.
    #[default]
    Wbf,
    /// 1 − Π(1 − score)^weight: each scale that sees the object raises the score.
    NoisyOr,
    /// The best weighted score, with weights scaled to at most 1.
    Max,
}

/// Settings of the fusion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FusionSettings {
    /// Rule for making one score.
    pub fuse: Fuse,
    /// One per scale, above 0.
    pub weights: Vec<f64>,
    /// Cells that agree at least this much are one object, 0 to 1.
    pub iou: f64,
    /// Cells whose centroids are at most this far apart, µm, are also one object; 0: only by IoU.
    pub distance_um: f64,
    /// Fused cells below this score are left out.
    pub min_score: f32,
}

impl Default for FusionSettings {
    fn default() -> Self {
        Self { fuse: Fuse::Wbf, weights: vec![1.0, 1.0], iou: 0.3, distance_um: 0.0, min_score: 0.0 }
    }
}

impl FusionSettings {
    /// Checks every number once, for `scales` scales.
    ///
    /// # Errors
    ///
    /// [`MergeError::Setting`] names the first that is out of range.
    pub fn validate(&self, scales: usize) -> Result<(), MergeError> {
        let are_usable = self.weights.iter().all(|weight| *weight > 0.0 && weight.is_finite());
        check(
            self.weights.len() == scales && are_usable,
            "weights",
            format!("{:?}", self.weights),
            "one number above 0 for each scale",
        )?;
        check(self.iou > 0.0 && self.iou <= 1.0, "iou", self.iou.to_string(), "above 0, at most 1")?;
        let distance = self.distance_um;
        check(distance >= 0.0 && distance.is_finite(), "distance_um", distance.to_string(), "0 or more")?;
        let score = self.min_score;
        check((0.0..=1.0).contains(&score), "min_score", score.to_string(), "between 0 and 1")
    }

    fn weight(&self, scale: usize) -> f64 {
        self.weights.get(scale).copied().unwrap_or(1.0)
    }
}

/// An object, and the scales that saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct FusedCell {
    /// The object; its id, outline and windows are those of the surest view.
    pub cell: Cell,
    /// Its score at each scale, `None` for one that did not see it.
    pub scores: Vec<Option<Score>>,
}

/// Fuses the cells of several scales, each merged on its own. `settings` must
/// have been [validated](FusionSettings::validate). Cells come in
/// [`content_order`].
#[must_use]
pub fn fuse_scales(scales: &[Vec<Cell>], mpp: Mpp, settings: &FusionSettings) -> Vec<FusedCell> {
    let mut views: Vec<View<'_>> = Vec::new();
    for (scale, cells) in scales.iter().enumerate() {
        views.extend(cells.iter().map(|cell| View { scale, cell }));
    }
    views.sort_by(|a, b| content_order(a.cell, b.cell).then_with(|| a.scale.cmp(&b.scale)));
    let groups = group(&views, mpp, settings);
    let mut fused: Vec<FusedCell> =
        groups.iter().map(|members| fuse(members, &views, scales.len(), settings)).collect();
    fused.retain(|fused| fused.cell.score.get() >= settings.min_score);
    fused.sort_by(|a, b| content_order(&a.cell, &b.cell));
    fused
}

#[derive(Clone, Copy)]
struct View<'a> {
    scale: usize,
    cell: &'a Cell,
}

/// Fit of two cells: by IoU, or, below its threshold, by nearness of their centroids. Larger is better;
/// `None`: not the same object.
fn fit(a: &Cell, b: &Cell, mpp: Mpp, settings: &FusionSettings) -> Option<f64> {
    let shared = shared_area(&a.bbox, &b.bbox);
    let iou = shared / (box_area(&a.bbox) + box_area(&b.bbox) - shared).max(f64::MIN_POSITIVE);
    if iou >= settings.iou {
        return Some(1.0 + iou);
    }
    let apart_um = (a.centroid - b.centroid).length() * mpp.get();
    let near = settings.distance_um > 0.0 && apart_um <= settings.distance_um;
    near.then(|| 1.0 - apart_um / settings.distance_um)
}

/// Members of each object, as places in `views`.
fn group(views: &[View<'_>], mpp: Mpp, settings: &FusionSettings) -> Vec<Vec<usize>> {
    let leaves = views.iter().enumerate().map(|(index, view)| {
        let Level0Box { min, max } = view.cell.bbox;
        GeomWithData::new(Rectangle::from_corners(min.to_array(), max.to_array()), index)
    });
    let tree = RTree::bulk_load(leaves.collect::<Vec<_>>());
    let reach = settings.distance_um / mpp.get();
    let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
    for (low, view) in views.iter().enumerate() {
        let near = tree.locate_in_envelope_intersecting(around(&view.cell.bbox, reach));
        pairs.extend(near.map(|found| found.data).filter(|&high| high > low).filter_map(|high| {
            let other = &views[high];
            let fit = fit(view.cell, other.cell, mpp, settings)?;
            (view.scale != other.scale).then_some((fit, low, high))
        }));
    }
    pairs.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2))));
    let mut groups: Vec<Vec<usize>> = (0..views.len()).map(|index| vec![index]).collect();
    let mut of: Vec<usize> = (0..views.len()).collect();
    for (_, low, high) in pairs {
        let (a, b) = (of[low].min(of[high]), of[low].max(of[high]));
        if a != b && !share_a_scale(&groups[a], &groups[b], views) {
            let moved = std::mem::take(&mut groups[b]);
            moved.iter().for_each(|&index| of[index] = a);
            groups[a].extend(moved);
        }
    }
    groups.retain(|members| !members.is_empty());
    groups
}

fn around(bbox: &Level0Box, reach: f64) -> AABB<[f64; 2]> {
    AABB::from_corners([bbox.min.x - reach, bbox.min.y - reach], [bbox.max.x + reach, bbox.max.y + reach])
}

fn fuse(members: &[usize], views: &[View<'_>], scales: usize, settings: &FusionSettings) -> FusedCell {
    let mut seen: Vec<View<'_>> = members.iter().map(|&index| views[index]).collect();
    seen.sort_by_key(|view| view.scale);
    let mut scores = vec![None; scales];
    seen.iter().for_each(|view| scores[view.scale] = Some(view.cell.score));
    let mut cell = best_of(&seen, settings).cell.clone();
    let (class, runner_up) = classes(&seen, settings);
    cell.class = class;
    cell.runner_up = runner_up.or(cell.runner_up.filter(|(other, _)| *other != class));
    cell.score = Score::new(fused_score(&scores, settings) as f32).unwrap_or_default();
    cell.score_min = seen.iter().map(|view| view.cell.score_min).min().unwrap_or_default();
    cell.score_max = seen.iter().map(|view| view.cell.score_max).max().unwrap_or_default();
    cell.n_merged = seen.iter().fold(0, |sum: u16, view| sum.saturating_add(view.cell.n_merged));
    if settings.fuse == Fuse::Wbf && cell.outline.is_none() {
        cell.bbox = mean_box(&seen, settings);
        cell.centroid = cell.bbox.center();
    }
    cell.detector_scores = scores.clone().into();
    FusedCell { cell, scores }
}

fn fused_score(scores: &[Option<Score>], settings: &FusionSettings) -> f64 {
    let weights: Vec<f64> = (0..scores.len()).map(|scale| settings.weight(scale)).collect();
    let values = scores.iter().map(|score| score.map_or(0.0, |score| f64::from(score.get())));
    let largest = weights.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    match settings.fuse {
        Fuse::Wbf => {
            values.zip(&weights).map(|(value, weight)| value * weight).sum::<f64>()
                / weights.iter().sum::<f64>()
        }
        Fuse::NoisyOr => {
            1.0 - values.zip(&weights).map(|(value, weight)| (1.0 - value).powf(*weight)).product::<f64>()
        }
        Fuse::Max => values.zip(&weights).map(|(value, weight)| value * weight / largest).fold(0.0, f64::max),
    }
}

/// `true` if each of the two groups holds a cell of the same scale.
fn share_a_scale(a: &[usize], b: &[usize], views: &[View<'_>]) -> bool {
    b.iter().any(|index| a.iter().any(|other| views[*index].scale == views[*other].scale))
}

/// The view of the highest weighted score; the first of equals, as the sharper scales come first in the settings.
fn best_of<'a>(seen: &[View<'a>], settings: &FusionSettings) -> View<'a> {
    let weighted = seen.iter().map(|view| {
        let score = settings.weight(view.scale) * f64::from(view.cell.score.get());
        (*view, score)
    });
    let best = weighted.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map_or(seen[0], |(view, _)| view)
}

/// The class with the largest sum of weighted scores, and the second with its
/// best score; of equals the one with the smaller number.
fn classes(seen: &[View<'_>], settings: &FusionSettings) -> (ClassId, Option<(ClassId, Score)>) {
    let mut sums: std::collections::BTreeMap<ClassId, (f64, Score)> = std::collections::BTreeMap::new();
    for view in seen {
        let sum = sums.entry(view.cell.class).or_default();
        sum.0 += settings.weight(view.scale) * f64::from(view.cell.score.get());
        sum.1 = sum.1.max(view.cell.score);
    }
    let mut ranked: Vec<(ClassId, f64, Score)> =
        sums.into_iter().map(|(class, (sum, best))| (class, sum, best)).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    (ranked[0].0, ranked.get(1).map(|&(class, _, best)| (class, best)))
}

fn mean_box(seen: &[View<'_>], settings: &FusionSettings) -> Level0Box {
    let weighted = seen.iter().map(|view| {
        let score = f64::from(view.cell.score.get()).max(f64::from(f32::MIN_POSITIVE));
        (&view.cell.bbox, settings.weight(view.scale) * score)
    });
    let total: f64 = weighted.clone().map(|(_, weight)| weight).sum();
    let origin = seen[0].cell.bbox;
    let start = (euclid::Vector2D::zero(), euclid::Vector2D::zero());
    let (min, max) = weighted.fold(start, |(min, max), (bbox, weight)| {
        let by = weight / total;
        (min + (bbox.min - origin.min) * by, max + (bbox.max - origin.max) * by)
    });
    Level0Box::new(origin.min + min, origin.max + max)
}

/// A region found at a coarse scale, as context for the cells in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Context {
    /// Confidence of the region, 0 to 1.
    pub score: Score,
}

/// Lets regions of a coarse scale weigh the cells of a fine one: a cell's score becomes score^(1 − weight) ·
/// region^weight, where `region` is the score of the best region that holds its centroid, or `outside` if
/// there is none. With weight 1 and `outside` 0 regions veto. Removes cells below `min_score` and returns
/// their number.
pub fn apply_context(
    cells: &mut Vec<Cell>,
    regions: &[crate::Region],
    contexts: &[Context],
    weight: f64,
    outside: f64,
    min_score: f32,
) -> u64 {
    let finder = crate::regions::RegionFinder::new(regions);
    let before = cells.len();
    for cell in cells.iter_mut() {
        let holding = finder.all_at(cell.centroid).into_iter();
        let best = holding.filter_map(|index| contexts.get(index)).map(|context| context.score).max();
        let around = best.map_or(outside, |score| f64::from(score.get()));
        let own = f64::from(cell.score.get());
        let weighed = own.powf(1.0 - weight) * around.powf(weight);
        cell.score = Score::new(weighed as f32).unwrap_or_default();
    }
    cells.retain(|cell| cell.score.get() >= min_score);
    (before - cells.len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cell, level0};

    fn mpp() -> Mpp {
        Mpp::new(0.25).unwrap()
    }

    fn fused(scales: &[Vec<Cell>], settings: &FusionSettings) -> Vec<(f64, f32, [bool; 2])> {
        settings.validate(scales.len()).unwrap();
        let all = fuse_scales(scales, mpp(), settings);
        let by_cell = all.iter().map(|FusedCell { cell, scores }| {
            (cell.bbox.min.x, cell.score.get(), [scores[0].is_some(), scores[1].is_some()])
        });
        by_cell.collect()
    }

    #[test]
    fn a_pair_is_one_and_the_lonely_are_less_sure() {
        let sharp =
            vec![cell(level0(0.0, 0.0, 20.0, 20.0), 0, 0.8), cell(level0(100.0, 0.0, 108.0, 8.0), 0, 0.6)];
        let coarse =
            vec![cell(level0(2.0, 0.0, 22.0, 20.0), 0, 0.4), cell(level0(300.0, 0.0, 500.0, 200.0), 1, 0.9)];
        let found = fused(&[sharp.clone(), coarse.clone()], &FusionSettings::default());
        let expected =
            [(2.0 / 3.0, 0.6, [true, true]), (100.0, 0.3, [true, false]), (300.0, 0.45, [false, true])];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found.0 - expected.0).abs() < 1e-6 && (found.1 - expected.1).abs() < 1e-6, "{found:?}");
            assert_eq!(found.2, expected.2);
        }
        let noisy = FusionSettings { fuse: Fuse::NoisyOr, ..FusionSettings::default() };
        let scores: Vec<f32> = fused(&[sharp, coarse], &noisy).iter().map(|found| found.1).collect();
        assert!(scores.iter().zip([0.88, 0.6, 0.9]).all(|(a, b)| (a - b).abs() < 1e-6), "{scores:?}");
    }

    #[test]
    fn weights_count_in_every_rule() {
        let sharp = vec![cell(level0(0.0, 0.0, 20.0, 20.0), 0, 0.8)];
        let coarse = vec![cell(level0(2.0, 0.0, 22.0, 20.0), 1, 0.4)];
        // Boxes are weighed by score as well: 2 px · 1.2 / (0.8 + 1.2).
        for (fuse, score, left) in [
            (Fuse::Wbf, (0.8 + 3.0 * 0.4) / 4.0, 2.0 * 1.2 / 2.0),
            (Fuse::NoisyOr, 1.0 - 0.2 * (0.6 * 0.6 * 0.6), 2.0),
            (Fuse::Max, 0.4, 2.0),
        ] {
            let settings = FusionSettings { fuse, weights: vec![1.0, 3.0], ..FusionSettings::default() };
            let found = fuse_scales(&[sharp.clone(), coarse.clone()], mpp(), &settings);
            let [FusedCell { cell, .. }] = found.as_slice() else { panic!("one object, found {found:?}") };
            assert!((f64::from(cell.score.get()) - score).abs() < 1e-6, "{fuse:?}: {}", cell.score.get());
            assert!((cell.bbox.min.x - left).abs() < 1e-6, "{fuse:?}: {}", cell.bbox.min.x);
            // 1.2 for class 1, 0.8 for class 0.
            assert_eq!((cell.class, cell.runner_up.map(|(other, _)| other)), (ClassId(1), Some(ClassId(0))));
        }
    }

    #[test]
    fn a_cell_within_another_is_another_unless_nearness_is_asked_for() {
        let scales = [
            vec![cell(level0(0.0, 0.0, 40.0, 40.0), 0, 0.8)],
            vec![cell(level0(15.0, 15.0, 25.0, 25.0), 0, 0.8)],
        ];
        assert_eq!(fused(&scales, &FusionSettings::default()).len(), 2);
        let near = FusionSettings { distance_um: 0.1, ..FusionSettings::default() };
        assert_eq!(fused(&scales, &near).len(), 1);
    }

    #[test]
    fn two_touching_cells_at_one_scale_stay_two() {
        let sharp =
            vec![cell(level0(0.0, 0.0, 20.0, 20.0), 0, 0.8), cell(level0(12.0, 0.0, 32.0, 20.0), 0, 0.7)];
        let coarse = vec![cell(level0(6.0, 0.0, 26.0, 20.0), 0, 0.9)];
        assert_eq!(fused(&[sharp, coarse], &FusionSettings::default()).len(), 2);
    }

    #[test]
    fn nearness_joins_what_iou_does_not() {
        let sharp = vec![cell(level0(0.0, 0.0, 8.0, 8.0), 0, 0.8)];
        let coarse = vec![cell(level0(6.0, 0.0, 18.0, 8.0), 0, 0.8)];
        let near = FusionSettings { distance_um: 3.0, ..FusionSettings::default() };
        assert_eq!(fused(&[sharp.clone(), coarse.clone()], &FusionSettings::default()).len(), 2);
        assert_eq!(fused(&[sharp, coarse], &near).len(), 1);
    }

    #[test]
    fn order_of_cells_does_not_matter() {
        let scales = [0.0, 2.5].map(|by| {
            let cells = (0..40).map(|step| {
                let x = f64::from(step * 7 % 50) * 9.0 + by;
                let score = 0.3 + f64::from(step % 5) as f32 / 10.0;
                cell(level0(x, 0.0, x + 14.0, 14.0), (step % 3) as u16, score)
            });
            cells.collect::<Vec<_>>()
        });
        let mut scales = scales.to_vec();
        let expected = fuse_scales(&scales, mpp(), &FusionSettings::default());
        scales.iter_mut().for_each(|cells| cells.reverse());
        assert_eq!(fuse_scales(&scales, mpp(), &FusionSettings::default()), expected);
    }

    #[test]
    fn a_region_vetoes_what_lies_outside_it() {
        use crate::mask::Mask;
        use crate::regions::{MaskFrame, RegionSettings, regions_from_mask};
        let frame = MaskFrame {
            origin: wsi_types::Level0Point::zero(),
            level0_per_px: (16.0, 16.0),
            mpp: mpp(),
            slide_end: wsi_types::Level0Point::new(1600.0, 1600.0),
        };
        let mask = Mask::from_fn(100, 100, |x, _| x < 50);
        let regions = regions_from_mask(&mask, &frame, "tumour", &RegionSettings::default(), 1);
        let mut cells = vec![
            cell(level0(100.0, 800.0, 120.0, 820.0), 0, 0.8),
            cell(level0(1200.0, 800.0, 1220.0, 820.0), 0, 0.8),
        ];
        let contexts = [Context { score: Score::new(0.9).unwrap() }];
        assert_eq!(apply_context(&mut cells, &regions, &contexts, 0.5, 0.0, 0.1), 1);
        assert!((cells[0].score.get() - 0.72_f32.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn a_weight_for_each_scale_is_asked_for() {
        let settings = FusionSettings { weights: vec![1.0], ..FusionSettings::default() };
        assert!(settings.validate(2).unwrap_err().to_string().contains("`weights` is [1.0]"));
    }
}
