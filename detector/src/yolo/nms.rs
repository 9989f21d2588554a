//! Non-maximum suppression within one window.
//!
//! Greedy, best first: a candidate is dropped when its IoU with a kept one is *greater* than the limit.
//! The order is total (score, then box, then class), so neither anchor order nor threads can matter.
//!
//! Near linear: a grid per size class finds the kept boxes that could overlap enough. It rests on
//! `IoU(a, b) <= min(side) / max(side)`, for each axis: boxes of very different size never suppress each
//! other, and only few kept boxes of like size, their centres close together, fit around one place.

use std::cmp::Ordering;

use wsi_types::WindowBox;

use super::Candidate;

/// Sorts `candidates` best first and drops those a better one suppresses, class by class unless
/// `class_agnostic`. `width` and `height` of the window, px, only steer the grid: boxes may lie anywhere.
pub fn suppress(
    candidates: &mut Vec<Candidate>,
    iou: f32,
    class_agnostic: bool,
    width: usize,
    height: usize,
) {
    candidates.sort_unstable_by(best_first);
    if iou >= 1.0 {
        return;
    }
    let mut order: Vec<u32> = (0..candidates.len() as u32).collect();
    if !class_agnostic {
        // Stable, so each class stays best first.
        order.sort_by_key(|&i| candidates[i as usize].class);
    }
    let mut keep = vec![false; candidates.len()];
    let mut grid = Grid::new(width, height);
    let mut class = None;
    for &i in &order {
        let candidate = &candidates[i as usize];
        if !class_agnostic && class.replace(candidate.class) != Some(candidate.class) {
            grid.clear();
        }
        if !grid.suppresses(&candidate.bbox, iou) {
            grid.insert(&candidate.bbox);
            keep[i as usize] = true;
        }
    }
    let mut kept = keep.iter();
    candidates.retain(|_| kept.next().copied().unwrap_or_default());
}

/// Best score first; then top to bottom, left to right, small before large, class.
#[must_use]
pub fn best_first(a: &Candidate, b: &Candidate) -> Ordering {
    b.score.cmp(&a.score).then_with(|| by_box(a, b)).then_with(|| a.class.cmp(&b.class))
}

fn by_box(a: &Candidate, b: &Candidate) -> Ordering {
    let [a, b] = [a, b].map(|c| [c.bbox.min.y, c.bbox.min.x, c.bbox.max.y, c.bbox.max.x]);
    a.iter().zip(&b).fold(Ordering::Equal, |order, (x, y)| order.then_with(|| x.total_cmp(y)))
}

/// Intersection over union, 0 to 1; 0 for boxes that only touch, and for two empty boxes.
#[must_use]
pub fn overlap(a: &WindowBox, b: &WindowBox) -> f32 {
    let shared = area(a.min.x.max(b.min.x), a.min.y.max(b.min.y), a.max.x.min(b.max.x), a.max.y.min(b.max.y));
    let [first, second] = [a, b].map(|c| area(c.min.x, c.min.y, c.max.x, c.max.y));
    let union = first + second - shared;
    if union > 0.0 { shared / union } else { 0.0 }
}

/// Area of a box; 0 for one that is inside out.
fn area(x0: f32, y0: f32, x1: f32, y1: f32) -> f32 {
    (x1 - x0).max(0.0) * (y1 - y0).max(0.0)
}

/// Kept boxes by size class and place. Size class `k` holds boxes whose longer side is in
/// `[2^k, 2^(k+1))`, in cells of `2^k` px by their centre; the smallest class takes all smaller boxes.
struct Grid {
    levels: Vec<Level>,
    kept: Vec<Kept>,
    /// Cells in use, to be emptied: (level, cell).
    used: Vec<(u8, u32)>,
}

/// A kept box and the one inserted into the same cell before it.
struct Kept {
    bbox: WindowBox,
    next: u32,
}

struct Level {
    cell: f32,
    columns: usize,
    rows: usize,
    /// By cell: the box inserted last.
    heads: Vec<u32>,
}

const NONE: u32 = u32::MAX;
/// The finest cells are 8 px: finer ones would cost memory for boxes of a few px.
const FINEST: u32 = 3;
/// The coarsest cells are 4096 px; larger boxes share them.
const COARSEST: u32 = 12;

impl Grid {
    fn new(width: usize, height: usize) -> Self {
        let levels = (FINEST..=COARSEST).map(|k| {
            let cell = (1usize << k) as f32;
            // Boxes outside the window are clamped into the border cells.
            let [columns, rows] = [width, height].map(|side| (side >> k).clamp(1, 1024));
            Level { cell, columns, rows, heads: vec![NONE; columns * rows] }
        });
        Self { levels: levels.collect(), kept: Vec::new(), used: Vec::new() }
    }

    fn clear(&mut self) {
        for (level, cell) in self.used.drain(..) {
            self.levels[usize::from(level)].heads[cell as usize] = NONE;
        }
        self.kept.clear();
    }

    fn insert(&mut self, bbox: &WindowBox) {
        let index = level_of(longer_side(bbox));
        let level = &mut self.levels[index];
        let (x, y) = centre(bbox);
        let cell = level.row(y) * level.columns + level.column(x);
        let head = &mut level.heads[cell];
        if *head == NONE {
            self.used.push((index as u8, cell as u32));
        }
        let next = std::mem::replace(head, self.kept.len() as u32);
        self.kept.push(Kept { bbox: *bbox, next });
    }

    /// `true` if any kept box has an IoU above `iou` with `bbox`.
    fn suppresses(&self, bbox: &WindowBox, iou: f32) -> bool {
        let (x, y) = centre(bbox);
        let (width, height) = (bbox.max.x - bbox.min.x, bbox.max.y - bbox.min.y);
        // IoU > t needs side ratios of at least t.
        let side = width.max(height).max(0.0);
        let (lowest, highest) = (level_of(side * iou), level_of(side / iou.max(f32::MIN_POSITIVE)));
        self.levels[lowest..=highest].iter().any(|level| {
            let (across, down) = (level.reach(width, iou), level.reach(height, iou));
            let columns = level.column(x - across)..=level.column(x + across);
            (level.row(y - down)..=level.row(y + down)).any(|row| {
                let heads = &level.heads[row * level.columns..][columns.clone()];
                heads.iter().any(|&head| self.chain(head).any(|kept| overlap(&kept.bbox, bbox) > iou))
            })
        })
    }

    fn chain(&self, head: u32) -> impl Iterator<Item = &Kept> {
        std::iter::successors(self.kept.get(head as usize), |kept| self.kept.get(kept.next as usize))
    }
}

impl Level {
    fn column(&self, x: f32) -> usize {
        // `as` takes negative numbers to 0.
        ((x / self.cell) as usize).min(self.columns - 1)
    }

    fn row(&self, y: f32) -> usize {
        ((y / self.cell) as usize).min(self.rows - 1)
    }

    /// Greatest distance on one axis between the centres of a box with this side and one of this level whose
    /// IoU is above `iou`.
    ///
    /// The IoU is at most (shared length) / (longer side) on either axis, and boxes of sides `a` and `b`
    /// whose centres are `d` apart share at most `(a + b) / 2 - d`: so `d < (a + b) / 2 - iou * max(a, b)`.
    /// Over the sides `b` that a box here can have, that is greatest at the longest or at `b = a`.
    fn reach(&self, side: f32, iou: f32) -> f32 {
        let side = side.max(0.0);
        let like = (side / iou.max(f32::MIN_POSITIVE)).min(f32::MAX);
        let is_coarsest = self.cell >= (1u32 << COARSEST) as f32;
        let longest = if is_coarsest { like } else { like.min(self.cell * 2.0) };
        let [far, near] =
            [longest, side.min(longest)].map(|other| (side + other) * 0.5 - iou * side.max(other));
        // More for the rounding of the IoU itself, and of corners far from the origin.
        far.max(near) * 1.001 + 0.05
    }
}

fn level_of(side: f32) -> usize {
    // The exponent of a float is the floor of its base-2 logarithm.
    let exponent = (side.to_bits() >> 23) as i64 - 127;
    (exponent.clamp(FINEST.into(), COARSEST.into()) - i64::from(FINEST)) as usize
}

fn longer_side(bbox: &WindowBox) -> f32 {
    (bbox.max.x - bbox.min.x).max(bbox.max.y - bbox.min.y).max(0.0)
}

fn centre(bbox: &WindowBox) -> (f32, f32) {
    (bbox.min.x * 0.5 + bbox.max.x * 0.5, bbox.min.y * 0.5 + bbox.max.y * 0.5)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use wsi_types::Score;

    use super::*;

    fn candidate(x: f32, y: f32, width: f32, height: f32, score: f32, class: u16) -> Candidate {
        let bbox = WindowBox::new(euclid::point2(x, y), euclid::point2(x + width, y + height));
        Candidate { bbox, score: Score::new(score).unwrap(), class, anchor: 0 }
    }

    /// Every pair, no grid.
    fn plain(mut candidates: Vec<Candidate>, iou: f32, class_agnostic: bool) -> Vec<Candidate> {
        candidates.sort_by(best_first);
        let mut kept: Vec<Candidate> = Vec::new();
        for c in candidates {
            let mut rivals = kept.iter().filter(|k| class_agnostic || k.class == c.class);
            if !rivals.any(|k| overlap(&k.bbox, &c.bbox) > iou) {
                kept.push(c);
            }
        }
        kept
    }

    fn suppressed(mut candidates: Vec<Candidate>, iou: f32, class_agnostic: bool) -> Vec<Candidate> {
        suppress(&mut candidates, iou, class_agnostic, 256, 192);
        candidates
    }

    #[test]
    fn a_chain_is_not_collapsed() {
        // Each overlaps the next by half (IoU 1/3), the first and third not at all.
        let chain = vec![
            candidate(0.0, 0.0, 10.0, 10.0, 0.9, 0),
            candidate(5.0, 0.0, 10.0, 10.0, 0.8, 0),
            candidate(10.0, 0.0, 10.0, 10.0, 0.7, 0),
        ];
        let kept = suppressed(chain, 0.3, false);
        assert_eq!(kept.iter().map(|c| c.score.get()).collect::<Vec<_>>(), [0.9, 0.7]);
    }

    #[test]
    fn classes_suppress_each_other_only_when_asked() {
        let pair = vec![candidate(0.0, 0.0, 10.0, 10.0, 0.5, 0), candidate(1.0, 0.0, 10.0, 10.0, 0.9, 1)];
        assert_eq!(suppressed(pair.clone(), 0.5, false).len(), 2);
        assert_eq!(suppressed(pair, 0.5, true)[0].class, 1);
    }

    #[test]
    fn the_limit_itself_is_kept() {
        let pair = vec![candidate(0.0, 0.0, 2.0, 1.0, 0.5, 0), candidate(0.0, 0.0, 1.0, 1.0, 0.9, 0)];
        assert_eq!(suppressed(pair.clone(), 0.5, false).len(), 2);
        assert_eq!(suppressed(pair, 0.499, false).len(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn the_grid_does_not_show(
            boxes in proptest::collection::vec(
                (-400f32..700.0, -400f32..700.0, 0f32..9.0, -1f32..1.0, 0u8..20, 0u16..3), 0..120),
            iou in prop_oneof![Just(0.0f32), 0f32..1.0],
            agnostic in any::<bool>(),
        ) {
            let candidates: Vec<_> = boxes.iter().map(|&(x, y, size, aspect, score, class)| {
                // Sides from 1 to 512 px, squeezed together so that many overlap.
                candidate(x * 0.2, y * 0.2, size.exp2() * aspect.exp2(), size.exp2(), f32::from(score) / 20.0, class)
            }).collect();
            let mut backwards = candidates.clone();
            backwards.reverse();
            let expected = plain(candidates.clone(), iou, agnostic);
            prop_assert_eq!(&suppressed(candidates, iou, agnostic), &expected);
            prop_assert_eq!(&suppressed(backwards, iou, agnostic), &expected);
        }
    }
}
