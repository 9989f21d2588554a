//! Tests against a brute-force oracle, in any order of windows and detections.
//!
//! The oracle is the rule of `docs/decisions/0008` written a second time, with no index, no components and no
//! streaming: every detection of the slide is compared with every other.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use merger::{Cell, CellMerger, Layout, MergeReport, MergeSettings, PerClass, UnseenCut, WindowOutcome};
use proptest::prelude::*;
use wsi_types::{
    Detection, GridRect, Level0Box, Level0Point, ModelClass, Mpp, Placement, Score, Window, WindowBox,
    WindowIndex, WindowPoint,
};

const SIZE: i64 = 100;

/// A small slide: windows with their detections, `None` for a failed one.
#[derive(Debug, Clone)]
struct Scene {
    stride: i64,
    columns: i64,
    rows: i64,
    detections: Vec<Option<Vec<Detection>>>,
    settings: MergeSettings,
}

impl Scene {
    fn windows(&self) -> Vec<Window> {
        let places = (0..self.rows).flat_map(|row| (0..self.columns).map(move |column| (column, row)));
        places
            .zip(0..)
            .map(|((column, row), index)| {
                let (x, y) = (column * self.stride, row * self.stride);
                Window {
                    index: WindowIndex(index),
                    rect: GridRect::new(euclid::point2(x, y), euclid::size2(SIZE, SIZE)),
                    placement: Placement::new(1.0, 1.0, x as f64, y as f64),
                }
            })
            .collect()
    }

    fn slide(&self) -> Level0Box {
        let [right, bottom] =
            [self.columns, self.rows].map(|count| ((count - 1) * self.stride + SIZE) as f64);
        Level0Box::new(Level0Point::zero(), Level0Point::new(right, bottom))
    }

    fn merge(&self, order: &[usize], stream: bool) -> (Vec<Cell>, MergeReport) {
        let windows = self.windows();
        let layout = Layout::new(&windows, self.slide(), Mpp::new(0.5).unwrap()).unwrap();
        let mut merger = CellMerger::new(Arc::new(layout), self.settings.clone());
        let mut cells = Vec::new();
        for &at in order {
            let outcome = match &self.detections[at] {
                Some(detections) => WindowOutcome::found(detections.clone()),
                None => WindowOutcome::Failed("unreadable".into()),
            };
            merger.push(windows[at].index, outcome).unwrap();
            if stream {
                cells.append(&mut merger.take_final());
            }
        }
        let (mut rest, report) = merger.finish();
        cells.append(&mut rest);
        cells.sort_by(merger::cell::content_order);
        (cells, report)
    }
}

/// Objects that windows see with jitter, cut at borders, sometimes missed or taken for another class; and
/// boxes without an object.
fn scene() -> impl Strategy<Value = Scene> {
    let object = (0.0..220.0_f32, 0.0..220.0_f32, 6.0..70.0_f32, 6.0..70.0_f32, 0..3_u16);
    let objects = proptest::collection::vec(object, 0..14);
    let stray =
        (0..9_usize, -5.0..100.0_f32, -5.0..100.0_f32, 1.0..40.0_f32, 1.0..40.0_f32, 0..3_u16, 1..9_u8);
    let strays = proptest::collection::vec(stray, 0..8);
    let noise = proptest::collection::vec((any::<u8>(), -1.5..1.5_f32, 1..9_u8), 14 * 9);
    let grid = (prop_oneof![Just(50_i64), Just(100), Just(70), Just(90)], 1..4_i64, 1..4_i64);
    let rule = (0.2..0.8_f64, 0.2..0.9_f64, 0.3..0.9_f64, any::<bool>(), 0.0..5.0_f64);
    (grid, objects, strays, noise, rule, proptest::collection::vec(any::<u8>(), 9)).prop_map(
        |((stride, columns, rows), objects, strays, noise, rule, failed)| {
            let (iou, view, cross, drop, border) = rule;
            let settings = MergeSettings {
                iou: PerClass::all(iou),
                cross_class_view_iou: view,
                cross_class_iou: cross,
                border_px: border,
                unseen_cut: if drop { UnseenCut::Drop } else { UnseenCut::Keep },
                min_score: PerClass::all(0.0),
                rim_px: 0.0,
                ..MergeSettings::default()
            };
            let mut scene = Scene { stride, columns, rows, detections: Vec::new(), settings };
            for (at, &failed) in failed.iter().enumerate().take((columns * rows) as usize) {
                let seen = look(&scene, at, &objects, &noise, &strays);
                scene.detections.push((failed > 30).then_some(seen));
            }
            scene
        },
    )
}

type Object = (f32, f32, f32, f32, u16);
type Stray = (usize, f32, f32, f32, f32, u16, u8);

fn look(
    scene: &Scene,
    at: usize,
    objects: &[Object],
    noise: &[(u8, f32, u8)],
    strays: &[Stray],
) -> Vec<Detection> {
    let (left, top) = (
        (at as i64 % scene.columns * scene.stride) as f32,
        (at as i64 / scene.columns * scene.stride) as f32,
    );
    let mut seen = Vec::new();
    for (index, &(x, y, w, h, class)) in objects.iter().enumerate() {
        let (luck, jitter, score) = noise[index * 9 + at];
        let corners = [x - left + jitter, x + w - left, y - top, y + h - top + jitter];
        let [x0, x1, y0, y1] = corners.map(|value| value.clamp(0.0, SIZE as f32));
        if luck > 25 && x1 > x0 && y1 > y0 {
            let class = if luck < 50 { (class + 1) % 3 } else { class };
            seen.push(detection(x0, y0, x1, y1, class, score));
        }
    }
    let mine = strays.iter().filter(|stray| stray.0 == at);
    seen.extend(mine.map(|&(_, x, y, w, h, class, score)| detection(x, y, x + w, y + h, class, score)));
    seen
}

/// Scores come in ninths, so that ties are common.
fn detection(x0: f32, y0: f32, x1: f32, y1: f32, class: u16, score: u8) -> Detection {
    Detection {
        bbox: WindowBox::new(WindowPoint::new(x0, y0), WindowPoint::new(x1, y1)),
        class: ModelClass(class),
        score: Score::new(f32::from(score) / 9.0).unwrap(),
        outline: None,
    }
}

/// The rule, written plainly.
mod oracle {
    use super::*;

    /// left, top, right, bottom
    type Box4 = [f64; 4];

    #[derive(Debug, Clone)]
    struct Seen {
        bbox: Box4,
        /// left, top, right, bottom
        cut: [bool; 4],
        class: u16,
        score: f32,
        window: usize,
    }

    impl Seen {
        fn whole(&self) -> bool {
            self.cut == [false; 4]
        }
    }

    pub(super) fn merge(scene: &Scene) -> Vec<(u16, Box4)> {
        Oracle::new(scene).merge()
    }

    struct Oracle<'a> {
        scene: &'a Scene,
        extents: Vec<Box4>,
        all: Vec<Seen>,
    }

    fn area(a: Box4) -> f64 {
        (a[2] - a[0]).max(0.0) * (a[3] - a[1]).max(0.0)
    }

    fn common(a: Box4, b: Box4) -> Box4 {
        [a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]
    }

    fn around(a: Box4, b: Box4) -> Box4 {
        [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])]
    }

    impl<'a> Oracle<'a> {
        fn new(scene: &'a Scene) -> Self {
            let windows = scene.windows();
            let extents: Vec<Box4> = windows
                .iter()
                .map(|window| window.level0_box())
                .map(|b| [b.min.x, b.min.y, b.max.x, b.max.y])
                .collect();
            let mut oracle = Self { scene, extents, all: Vec::new() };
            for (window, detections) in scene.detections.iter().enumerate() {
                for detection in detections.iter().flatten() {
                    oracle.all.extend(oracle.place(window, detection));
                }
            }
            oracle.all.sort_by(|a, b| {
                let by_place = [1, 0, 3, 2].iter().map(|&side: &usize| a.bbox[side].total_cmp(&b.bbox[side]));
                (b.whole().cmp(&a.whole()))
                    .then(b.score.total_cmp(&a.score))
                    .then(by_place.fold(std::cmp::Ordering::Equal, |all, next| all.then(next)))
                    .then(a.class.cmp(&b.class))
                    .then(a.window.cmp(&b.window))
            });
            oracle
        }

        fn slide(&self) -> Box4 {
            let slide = self.scene.slide();
            [slide.min.x, slide.min.y, slide.max.x, slide.max.y]
        }

        /// Sides of `extent` that `bbox` touches, the slide's own edges not
        /// counting.
        fn touches(&self, window: usize, bbox: Box4) -> [bool; 4] {
            let (extent, slide, by) = (self.extents[window], self.slide(), self.scene.settings.border_px);
            [
                bbox[0] <= extent[0] + by && extent[0] > slide[0] + 1.0,
                bbox[1] <= extent[1] + by && extent[1] > slide[1] + 1.0,
                bbox[2] >= extent[2] - by && extent[2] < slide[2] - 1.0,
                bbox[3] >= extent[3] - by && extent[3] < slide[3] - 1.0,
            ]
        }

        fn place(&self, window: usize, detection: &Detection) -> Option<Seen> {
            let (b, extent) = (detection.bbox, self.extents[window]);
            let [x0, y0, x1, y1] = [b.min.x, b.min.y, b.max.x, b.max.y].map(f64::from);
            let placed = [x0 + extent[0], y0 + extent[1], x1 + extent[0], y1 + extent[1]];
            let bbox = common(placed, extent);
            (area(bbox) > 0.0).then(|| Seen {
                bbox,
                cut: self.touches(window, bbox),
                class: detection.class.0,
                score: detection.score.get(),
                window,
            })
        }

        /// IoU on the area that both windows saw.
        fn agree(&self, a: &Seen, b: &Seen) -> f64 {
            let shared = area(common(a.bbox, b.bbox));
            let first = area(common(a.bbox, self.extents[b.window]));
            let second = area(common(b.bbox, self.extents[a.window]));
            if shared > 0.0 { shared / (first + second - shared) } else { 0.0 }
        }

        fn threshold(&self, a: &Seen, b: &Seen) -> f64 {
            let settings = &self.scene.settings;
            match (a.class == b.class, a.window == b.window) {
                (true, _) => settings.iou.overall,
                (false, true) => settings.cross_class_iou,
                (false, false) => settings.cross_class_view_iou,
            }
        }

        fn comparable(&self, a: &Seen, b: &Seen) -> bool {
            a.window == b.window || (a.whole() && b.whole())
        }

        fn plainly_same(&self, a: &Seen, b: &Seen) -> bool {
            self.comparable(a, b) && self.agree(a, b) >= self.threshold(a, b)
        }

        /// Two detections of two classes in two windows: not the same if either window has one of the right
        /// class that agrees as well, and is another object there.
        fn same(&self, a: usize, b: usize) -> bool {
            let (first, second) = (&self.all[a], &self.all[b]);
            if !self.plainly_same(first, second) {
                return false;
            }
            if first.class == second.class || first.window == second.window {
                return true;
            }
            let found = self.agree(first, second);
            let taken = |from: usize, than: usize| {
                let like = &self.all[than];
                self.all.iter().enumerate().any(|(other, seen)| {
                    other != than
                        && other != from
                        && seen.window == like.window
                        && seen.class == self.all[from].class
                        && self.plainly_same(&self.all[from], seen)
                        && self.agree(&self.all[from], seen) >= found
                        && !self.plainly_same(seen, like)
                })
            };
            !taken(a, b) && !taken(b, a)
        }

        fn part(&self, cut: &Seen, whole: &Seen) -> Option<f64> {
            let by = self.scene.settings.border_px.max(1.0);
            let w = whole.bbox;
            let wide = [w[0] - by, w[1] - by, w[2] + by, w[3] + by];
            let covered = area(common(cut.bbox, wide));
            let visible = area(common(wide, self.extents[cut.window]));
            (covered > 0.0 && covered >= 0.5 * area(cut.bbox) && covered >= 0.1 * visible)
                .then(|| covered / visible)
        }

        fn piece(&self, a: &Seen, b: &Seen) -> Option<f64> {
            if a.window == b.window {
                return None;
            }
            let by = 2.0 * self.scene.settings.border_px.max(1.0);
            let along = |low: &Seen, high: &Seen, axis: usize| {
                let thin = (self.extents[low.window][axis + 2] - self.extents[high.window][axis]).abs() <= by;
                let other = 1 - axis;
                (low.cut[axis + 2] && high.cut[axis] && thin).then(|| {
                    let shared = (low.bbox[other + 2].min(high.bbox[other + 2])
                        - low.bbox[other].max(high.bbox[other]))
                    .max(0.0);
                    let all =
                        low.bbox[other + 2].max(high.bbox[other + 2]) - low.bbox[other].min(high.bbox[other]);
                    shared / all
                })
            };
            let found = along(a, b, 0)
                .or_else(|| along(b, a, 0))
                .or_else(|| along(a, b, 1))
                .or_else(|| along(b, a, 1))
                .unwrap_or_else(|| self.agree(a, b));
            (found >= self.scene.settings.iou.overall).then_some(found)
        }

        fn merge(&self) -> Vec<(u16, Box4)> {
            let count = self.all.len();
            let mut owner: Vec<usize> = (0..count).collect();
            let wholes: Vec<usize> = (0..count).filter(|&at| self.all[at].whole()).collect();
            let cuts: Vec<usize> = (0..count).filter(|&at| !self.all[at].whole()).collect();
            for kind in [&wholes, &cuts] {
                if std::ptr::eq(kind, &cuts) {
                    self.yield_parts(&wholes, &cuts, &mut owner);
                }
                for (place, &low) in kind.iter().enumerate() {
                    for &high in &kind[place + 1..] {
                        let one_window = self.all[low].window == self.all[high].window;
                        let may = std::ptr::eq(kind, &wholes) || one_window;
                        if may && owner[low] == low && owner[high] == high && self.same(low, high) {
                            owner[high] = low;
                        }
                    }
                }
            }
            let groups = self.groups(cuts.iter().copied().filter(|&at| owner[at] == at).collect());
            let mut out: Vec<(u16, Box4)> = wholes
                .iter()
                .filter(|&&at| owner[at] == at)
                .map(|&at| (self.all[at].class, self.all[at].bbox))
                .collect();
            for group in groups {
                let confirmed: Vec<usize> = (0..count)
                    .filter(|&at| group.contains(&owner[at]))
                    .map(|at| self.all[at].window)
                    .collect();
                let bbox = group.iter().map(|&at| self.all[at].bbox).reduce(around).unwrap();
                let dropped = self.scene.settings.unseen_cut == UnseenCut::Drop
                    && self.denied(&group, bbox, &confirmed);
                if !dropped {
                    out.push((self.all[group[0]].class, bbox));
                }
            }
            out.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.partial_cmp(&b.1).unwrap()));
            out
        }

        fn yield_parts(&self, wholes: &[usize], cuts: &[usize], owner: &mut [usize]) {
            for &cut in cuts {
                let mut best = 0.0;
                for &whole in wholes {
                    let (c, w) = (&self.all[cut], &self.all[whole]);
                    let fit = if c.window == w.window {
                        self.plainly_same(c, w).then(|| self.agree(c, w))
                    } else {
                        self.part(c, w)
                    };
                    if let Some(fit) = fit
                        && fit > best
                    {
                        best = fit;
                        owner[cut] = owner[whole];
                    }
                }
            }
        }

        fn groups(&self, free: Vec<usize>) -> Vec<Vec<usize>> {
            let mut ties = Vec::new();
            for (place, &a) in free.iter().enumerate() {
                for &b in &free[place + 1..] {
                    ties.extend(self.piece(&self.all[a], &self.all[b]).map(|found| (found, a, b)));
                }
            }
            ties.sort_by(|x, y| y.0.total_cmp(&x.0).then((x.1, x.2).cmp(&(y.1, y.2))));
            let mut groups: Vec<Vec<usize>> = free.iter().map(|&at| vec![at]).collect();
            for (_, a, b) in ties {
                let [i, j] = [a, b].map(|at| groups.iter().position(|group| group.contains(&at)).unwrap());
                let mut pairs = groups[i].iter().flat_map(|&p| groups[j].iter().map(move |&q| (p, q)));
                if i != j && !pairs.any(|(p, q)| self.all[p].window == self.all[q].window) {
                    let moved = groups[i.max(j)].clone();
                    groups[i.min(j)].extend(moved);
                    groups.remove(i.max(j));
                }
            }
            groups.iter_mut().for_each(|group| group.sort_unstable());
            groups
        }

        fn denied(&self, group: &[usize], bbox: Box4, saw: &[usize]) -> bool {
            let by = (bbox[2] - bbox[0]).max(bbox[3] - bbox[1]);
            let mut grown = bbox;
            for side in 0..4 {
                let open =
                    group.iter().any(|&at| self.all[at].cut[side] && self.all[at].bbox[side] == bbox[side]);
                if open {
                    grown[side] += if side < 2 { -by } else { by };
                }
            }
            let grown = common(grown, self.slide());
            (0..self.extents.len()).any(|window| {
                let extent = self.extents[window];
                let inside = around(extent, grown) == extent;
                self.scene.detections[window].is_some()
                    && inside
                    && self.touches(window, grown) == [false; 4]
                    && !saw.contains(&window)
            })
        }
    }
}

fn plainly(cells: &[Cell]) -> Vec<(u16, [f64; 4])> {
    let mut out: Vec<_> = cells
        .iter()
        .map(|cell| {
            let b = &cell.bbox;
            (cell.class.0, [b.min.x, b.min.y, b.max.x, b.max.y])
        })
        .collect();
    out.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.partial_cmp(&b.1).unwrap()));
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_oracle_agrees(scene in scene()) {
        let order: Vec<usize> = (0..scene.detections.len()).collect();
        let (cells, report) = scene.merge(&order, true);
        prop_assert!(report.counts.balance(), "{:?}", report);
        prop_assert_eq!(plainly(&cells), oracle::merge(&scene));
    }

    #[test]
    fn no_order_matters(scene in scene(), keys in proptest::collection::vec(any::<u32>(), 9), turn in 0..7_usize) {
        let in_order: Vec<usize> = (0..scene.detections.len()).collect();
        let expected = scene.merge(&in_order, false);
        let mut order = in_order.clone();
        order.sort_by_key(|&at| keys[at]);
        let mut turned = scene.clone();
        for detections in turned.detections.iter_mut().flatten() {
            let by = turn.min(detections.len());
            detections.rotate_left(by);
        }
        prop_assert_eq!(turned.merge(&order, true), expected);
    }

    #[test]
    fn a_failed_window_and_one_never_handed_in_are_the_same(scene in scene()) {
        let order: Vec<usize> = (0..scene.detections.len()).collect();
        let present: Vec<usize> = order.iter().copied().filter(|&at| scene.detections[at].is_some()).collect();
        prop_assert_eq!(scene.merge(&order, false).0, scene.merge(&present, false).0);
    }
}
