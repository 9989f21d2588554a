//! Who keeps an object that several windows saw.
//!
//! Two detections are compared on what *both* windows saw: each box is cut to
//! the other's window first ([`agreement`]). So half an object at a border
//! agrees fully with the whole object in the next window, and nothing depends
//! on how much of it was cut.
//!
//! A *component* is a set of detections tied to each other, directly or by way
//! of others, and to nothing else. [`resolve`] turns one component into cells.
//! It looks at nothing but the component and at which windows are done, and
//! orders by content first: so arrival order, threads and batches cannot matter.
//!
//! 1. Whole detections go through greedy non-maximum suppression, best first.
//! 2. A cut detection (one whose box touches an inner window border) yields to
//!    the whole one that it is a part of.
//! 3. Pieces that nobody saw whole are put together across borders, at most one
//!    per window: one window sees an object once, so touching objects stay
//!    apart.
//! 4. A piece that a further window would have seen whole, and did not see, is
//!    kept and flagged, or dropped, as [`UnseenCut`] says.

use std::cmp::Ordering;

use rstar::RTree;
use rstar::primitives::{GeomWithData, Rectangle};
use wsi_types::{ClassId, Level0Box, Score};

use crate::cell::{Cell, MergeCounts, box_order, cell_id, edge, ring_order};
use crate::geometry::{
    box_area, contains_box, envelope, inflate, interval_iou, ring_centroid, ring_overlap, shared_area,
};
use crate::layout::{Layout, PlannedWindow};
use crate::place::RawCell;
use crate::settings::{MergeSettings, Method, Metric, UnseenCut};
use crate::sides::Sides;

/// A part yields to a whole box that covers at least this share of it…
const PART_COVERED: f64 = 0.5;
/// …and of whose visible part it is at least this share: the box around a cap
/// of a disc is smaller than the cut box around the disc, down to 0.4; a
/// nucleus nested in a gland is not a part of it.
const PART_OF_WHOLE: f64 = 0.1;
/// Components up to this size are compared pair by pair, larger ones by way of
/// a tree.
const FEW: usize = 24;

/// A detection and the window that saw it.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) cell: &'a RawCell,
    pub(crate) window: &'a PlannedWindow,
}

impl View<'_> {
    fn is_whole(&self) -> bool {
        self.cell.cut.is_empty()
    }

    /// How far apart boxes may lie at a border and still meet there.
    fn reach(&self, settings: &MergeSettings) -> f64 {
        settings.border_px.max(1.0) * self.window.level0_per_px
    }

    /// Where the boxes of everything this could be tied to must reach.
    pub(crate) fn envelope(&self, settings: &MergeSettings) -> Rectangle<[f64; 2]> {
        let by = if self.is_whole() { 0.0 } else { self.reach(settings) };
        let corners = envelope(&inflate(&self.cell.bbox, by));
        Rectangle::from_corners(corners.lower(), corners.upper())
    }
}

/// What two detections are to each other, with how well they agree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Tie {
    /// The same object.
    Same(f64),
    /// The same object in two windows that call it differently.
    OtherClass(f64),
    /// One is cut, and a part of the other.
    Part(f64),
    /// Both are cut, in two windows: pieces of one object.
    Piece(f64),
}

/// What `a` and `b` are to each other; the order of the two does not matter.
/// `None`: nothing.
pub(crate) fn tie(a: &View<'_>, b: &View<'_>, settings: &MergeSettings) -> Option<Tie> {
    let one_window = a.window.index == b.window.index;
    match (a.is_whole(), b.is_whole()) {
        _ if one_window => same(a, b, one_window, settings),
        (true, true) => same(a, b, one_window, settings),
        (true, false) => part(b, a, settings),
        (false, true) => part(a, b, settings),
        (false, false) => piece(a, b, settings),
    }
}

fn same(a: &View<'_>, b: &View<'_>, one_window: bool, settings: &MergeSettings) -> Option<Tie> {
    let one_class = a.cell.class == b.cell.class;
    let needed = match (one_class, one_window) {
        (true, _) => settings.iou.get(a.cell.class),
        (false, true) => settings.cross_class_iou,
        (false, false) => settings.cross_class_view_iou,
    };
    let found = agreement(a, b, settings.metric);
    let tie = if one_class || one_window { Tie::Same } else { Tie::OtherClass };
    (found >= needed).then(|| tie(found))
}

fn part(cut: &View<'_>, whole: &View<'_>, settings: &MergeSettings) -> Option<Tie> {
    let widened = inflate(&whole.cell.bbox, cut.reach(settings));
    let covered = shared_area(&cut.cell.bbox, &widened);
    let visible = shared_area(&widened, &cut.window.extent);
    let is_part = covered >= PART_COVERED * box_area(&cut.cell.bbox) && covered >= PART_OF_WHOLE * visible;
    (is_part && covered > 0.0).then(|| Tie::Part(covered / visible))
}

fn piece(a: &View<'_>, b: &View<'_>, settings: &MergeSettings) -> Option<Tie> {
    let needed = settings.iou.get(a.cell.class).min(settings.iou.get(b.cell.class));
    let found = facing(a, b, settings).unwrap_or_else(|| agreement(a, b, settings.metric));
    (found >= needed).then_some(Tie::Piece(found))
}

/// How well two pieces meet at the border where one window ends and the other
/// begins: what their ranges *along* it share. `None` unless they are cut there
/// and the windows share no more than a border.
fn facing(a: &View<'_>, b: &View<'_>, settings: &MergeSettings) -> Option<f64> {
    let reach = a.reach(settings).max(b.reach(settings));
    let meet = |low: &View<'_>, high: &View<'_>, low_side: Sides, high_side: Sides, along_y: bool| {
        let cut = low.cell.cut.contains(low_side) && high.cell.cut.contains(high_side);
        let (low_end, high_start) = if along_y {
            (low.window.extent.max.x, high.window.extent.min.x)
        } else {
            (low.window.extent.max.y, high.window.extent.min.y)
        };
        let range = |view: &View<'_>| {
            let bbox = &view.cell.bbox;
            if along_y { (bbox.min.y, bbox.max.y) } else { (bbox.min.x, bbox.max.x) }
        };
        let thin = (low_end - high_start).abs() <= 2.0 * reach;
        (cut && thin).then(|| interval_iou(range(low), range(high)))
    };
    meet(a, b, Sides::RIGHT, Sides::LEFT, true)
        .or_else(|| meet(b, a, Sides::RIGHT, Sides::LEFT, true))
        .or_else(|| meet(a, b, Sides::BOTTOM, Sides::TOP, false))
        .or_else(|| meet(b, a, Sides::BOTTOM, Sides::TOP, false))
}

/// How much two detections agree on what both windows saw, 0 to 1.
pub(crate) fn agreement(a: &View<'_>, b: &View<'_>, metric: Metric) -> f64 {
    let shared = shared_area(&a.cell.bbox, &b.cell.bbox);
    if shared <= 0.0 {
        return 0.0;
    }
    if metric == Metric::MaskIou
        && let (Some(first), Some(second)) = (&a.cell.outline, &b.cell.outline)
        && let Some(zone) = a.window.extent.intersection(&b.window.extent)
    {
        let overlap = ring_overlap(first, second, &zone);
        return ratio(overlap.shared, overlap.first + overlap.second - overlap.shared);
    }
    let first = shared_area(&a.cell.bbox, &b.window.extent);
    let second = shared_area(&b.cell.bbox, &a.window.extent);
    match metric {
        Metric::Ios => ratio(shared, first.min(second)),
        Metric::Iou | Metric::MaskIou => ratio(shared, first + second - shared),
    }
}

fn ratio(part: f64, all: f64) -> f64 {
    if all > 0.0 { part / all } else { 0.0 }
}

/// Whole before cut, then best score, then place, class and window: a total
/// order by content alone.
fn rank(a: &RawCell, b: &RawCell) -> Ordering {
    (a.cut.is_empty().cmp(&b.cut.is_empty()).reverse())
        .then_with(|| b.score.cmp(&a.score))
        .then_with(|| box_order(&a.bbox, &b.bbox))
        .then_with(|| a.class.cmp(&b.class))
        .then_with(|| a.window.cmp(&b.window))
        .then_with(|| ring_order(a.outline.as_deref(), b.outline.as_deref()))
}

/// The plan and which of its windows gave an answer.
pub(crate) struct Coverage<'a> {
    pub(crate) layout: &'a Layout,
    /// Per slot of the layout: whether its detections are in.
    pub(crate) done: &'a [bool],
}

/// Turns one component, all of it, into cells. The order of `component` does
/// not matter.
pub(crate) fn resolve(
    mut component: Vec<RawCell>,
    coverage: &Coverage<'_>,
    settings: &MergeSettings,
    counts: &mut MergeCounts,
    out: &mut Vec<Cell>,
) {
    component.sort_unstable_by(rank);
    let ties = if component.len() > 1 { all_ties(&component, coverage.layout, settings) } else { Vec::new() };
    let mut owner: Vec<u32> = (0..).take(component.len()).collect();
    suppress_wholes(&component, &ties, &mut owner);
    yield_parts(&component, &ties, &mut owner);
    suppress_pieces(&component, &ties, &mut owner);
    let group = join_pieces(&component, &ties, &owner);
    let clusters = clusters(&component, &owner, &group);
    for cluster in &clusters {
        finish(cluster, &component, coverage, settings, counts, out);
    }
}

/// A tie between the members `low < high` of a sorted component.
#[derive(Clone, Copy)]
struct Edge {
    low: u32,
    high: u32,
    tie: Tie,
}

/// All ties of a sorted component, by `low`, then `high`.
fn all_ties(component: &[RawCell], layout: &Layout, settings: &MergeSettings) -> Vec<Edge> {
    let views: Vec<View<'_>> = component.iter().map(|cell| view(cell, layout)).collect();
    let edge = |low: usize, high: usize| {
        let tie = tie(&views[low], &views[high], settings)?;
        Some(Edge { low: low as u32, high: high as u32, tie })
    };
    let count = component.len();
    let mut edges: Vec<Edge> = if count <= FEW {
        (0..count)
            .flat_map(|low| (low + 1..count).map(move |high| (low, high)))
            .filter_map(|(l, h)| edge(l, h))
            .collect()
    } else {
        near_pairs(&views, settings).into_iter().filter_map(|(low, high)| edge(low, high)).collect()
    };
    drop_ambiguous(component, settings, &mut edges);
    edges
}

fn near_pairs(views: &[View<'_>], settings: &MergeSettings) -> Vec<(usize, usize)> {
    let boxes = views.iter().zip(0..).map(|(view, index)| GeomWithData::new(view.envelope(settings), index));
    let tree: RTree<GeomWithData<Rectangle<[f64; 2]>, usize>> = RTree::bulk_load(boxes.collect());
    let mut pairs: Vec<(usize, usize)> = tree
        .intersection_candidates_with_other_tree(&tree)
        .map(|(a, b)| (a.data, b.data))
        .filter(|(low, high)| low < high)
        .collect();
    pairs.sort_unstable();
    pairs
}

/// Takes out ties between two classes in two windows where one of the windows
/// saw both objects: a detection of the right class there agrees at least as
/// well, so this one is the neighbour.
fn drop_ambiguous(component: &[RawCell], settings: &MergeSettings, edges: &mut Vec<Edge>) {
    if !edges.iter().any(|edge| matches!(edge.tie, Tie::OtherClass(_))) {
        return;
    }
    let mut partners: Vec<(u32, u32, f64)> = edges
        .iter()
        .filter_map(|edge| match edge.tie {
            Tie::Same(found) => Some((edge.low, edge.high, found)),
            _ => None,
        })
        .flat_map(|(low, high, found)| [(low, high, found), (high, low, found)])
        .collect();
    partners.sort_unstable_by_key(|&(from, to, _)| (from, to));
    // Whether `from` has a partner of its own class in the window of `to`.
    let has_better = |from: u32, to: u32, than: f64| {
        let start = partners.partition_point(|&(first, ..)| first < from);
        partners[start..].iter().take_while(|&&(first, ..)| first == from).any(|&(_, other, found)| {
            let (other, to) = (&component[other as usize], &component[to as usize]);
            other.window == to.window
                && other.class == component[from as usize].class
                && found >= than.max(settings.iou.get(other.class))
        })
    };
    edges.retain(|edge| match edge.tie {
        Tie::OtherClass(found) => {
            !has_better(edge.low, edge.high, found) && !has_better(edge.high, edge.low, found)
        }
        _ => true,
    });
}

fn view<'a>(cell: &'a RawCell, layout: &'a Layout) -> View<'a> {
    // Placed cells come from windows of this very layout.
    let slot = layout.slot(cell.window).unwrap_or_default();
    View { cell, window: layout.window(slot) }
}

/// Greedy suppression, best first: ties come sorted, so when those of `low` are
/// read its own fate is known.
fn suppress_wholes(component: &[RawCell], ties: &[Edge], owner: &mut [u32]) {
    for edge in ties {
        let both_whole = component[edge.high as usize].cut.is_empty();
        if both_whole && matches!(edge.tie, Tie::Same(_) | Tie::OtherClass(_)) {
            suppress(edge, owner);
        }
    }
}

fn suppress(edge: &Edge, owner: &mut [u32]) {
    let free = |index: u32| owner[index as usize] == index;
    if free(edge.low) && free(edge.high) {
        owner[edge.high as usize] = edge.low;
    }
}

/// Each cut detection goes to the owner of the whole one that it fits best.
fn yield_parts(component: &[RawCell], ties: &[Edge], owner: &mut [u32]) {
    let mut best: Vec<f64> = vec![0.0; component.len()];
    for edge in ties {
        let to_whole =
            component[edge.low as usize].cut.is_empty() && !component[edge.high as usize].cut.is_empty();
        let (Tie::Same(found) | Tie::Part(found)) = edge.tie else { continue };
        if to_whole && found > best[edge.high as usize] {
            best[edge.high as usize] = found;
            owner[edge.high as usize] = owner[edge.low as usize];
        }
    }
}

/// Greedy suppression among cut detections of one window.
fn suppress_pieces(component: &[RawCell], ties: &[Edge], owner: &mut [u32]) {
    for edge in ties {
        let both_cut = !component[edge.low as usize].cut.is_empty();
        if both_cut && matches!(edge.tie, Tie::Same(_)) {
            suppress(edge, owner);
        }
    }
}

/// Puts pieces together, best agreement first, as long as no window is there
/// twice. Gives each member the group it belongs to, named by its first.
fn join_pieces(component: &[RawCell], ties: &[Edge], owner: &[u32]) -> Vec<u32> {
    let mut group: Vec<u32> = (0..).take(component.len()).collect();
    let free = |index: u32| owner[index as usize] == index;
    let mut pieces: Vec<(f64, u32, u32)> = ties
        .iter()
        .filter_map(|edge| match edge.tie {
            Tie::Piece(found) if free(edge.low) && free(edge.high) => Some((found, edge.low, edge.high)),
            _ => None,
        })
        .collect();
    pieces.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2))));
    let mut members: Vec<Vec<u32>> = Vec::new();
    if !pieces.is_empty() {
        members = (0..).take(component.len()).map(|index| vec![index]).collect();
    }
    let window = |index: &u32| component[*index as usize].window;
    for (_, low, high) in pieces {
        let (a, b) = (group[low as usize], group[high as usize]);
        let (into, from) = (a.min(b), a.max(b));
        let clash = members[from as usize]
            .iter()
            .any(|piece| members[into as usize].iter().any(|other| window(piece) == window(other)));
        if a != b && !clash {
            let moved = std::mem::take(&mut members[from as usize]);
            moved.iter().for_each(|&piece| group[piece as usize] = into);
            members[into as usize].extend(moved);
        }
    }
    group
}

/// The detections of one object: those that say where it is (one, or several
/// pieces), and those that only confirm it.
struct Cluster {
    keepers: Vec<u32>,
    others: Vec<u32>,
}

fn clusters(component: &[RawCell], owner: &[u32], group: &[u32]) -> Vec<Cluster> {
    let mut of_member: Vec<(u32, bool, u32)> = (0..)
        .take(component.len())
        .map(|index| {
            let keeper = owner[index as usize];
            (group[keeper as usize], keeper != index, index)
        })
        .collect();
    of_member.sort_unstable();
    let same = |a: &(u32, bool, u32), b: &(u32, bool, u32)| a.0 == b.0;
    let cluster = |members: &[(u32, bool, u32)]| {
        let split = members.partition_point(|member| !member.1);
        let indices = |part: &[(u32, bool, u32)]| part.iter().map(|member| member.2).collect();
        Cluster { keepers: indices(&members[..split]), others: indices(&members[split..]) }
    };
    of_member.chunk_by(same).map(cluster).collect()
}

/// Writes the cell of one cluster, or counts why there is none.
fn finish(
    cluster: &Cluster,
    component: &[RawCell],
    coverage: &Coverage<'_>,
    settings: &MergeSettings,
    counts: &mut MergeCounts,
    out: &mut Vec<Cell>,
) {
    let at = |index: &u32| &component[*index as usize];
    let keepers: Vec<&RawCell> = cluster.keepers.iter().map(at).collect();
    let others: Vec<&RawCell> = cluster.others.iter().map(at).collect();
    let best = keepers[0];
    let is_whole = best.cut.is_empty();
    if !is_whole && settings.unseen_cut == UnseenCut::Drop && refuted(&keepers, &others, coverage, settings) {
        counts.unconfirmed += (keepers.len() + others.len()) as u64;
        return;
    }
    count(&keepers, &others, counts);
    let bbox = match (is_whole, settings.method) {
        (false, _) => union_box(&keepers),
        (true, Method::Nms) => best.bbox,
        (true, Method::Nmm) => union_box(&with_wholes(best, &others)),
        (true, Method::Wbf) => mean_box(&with_wholes(best, &others)),
    };
    let score = match settings.method {
        Method::Wbf if is_whole => fused_score(&with_wholes(best, &others), &bbox, coverage, settings),
        _ => best.score,
    };
    out.push(assemble(&keepers, &others, bbox, score, coverage, settings));
}

fn with_wholes<'a>(best: &'a RawCell, others: &[&'a RawCell]) -> Vec<&'a RawCell> {
    let wholes = others.iter().copied().filter(|other| other.cut.is_empty());
    std::iter::once(best).chain(wholes).collect()
}

fn count(keepers: &[&RawCell], others: &[&RawCell], counts: &mut MergeCounts) {
    let best = keepers[0];
    counts.cells += 1;
    counts.joined_pieces += keepers.len() as u64 - 1;
    counts.joined_cells += u64::from(keepers.len() > 1);
    counts.incomplete_cells += u64::from(!best.cut.is_empty() && keepers.len() == 1);
    for other in others {
        let yielded = best.cut.is_empty() && !other.cut.is_empty() && other.window != best.window;
        if yielded {
            counts.yielded += 1;
        } else if other.class == best.class {
            counts.same_class += 1;
        } else {
            counts.other_class += 1;
        }
    }
}

/// Whether a window that is done, and is none of theirs, sees the whole place
/// of these pieces: then it saw nothing there.
fn refuted(
    keepers: &[&RawCell],
    others: &[&RawCell],
    coverage: &Coverage<'_>,
    settings: &MergeSettings,
) -> bool {
    let layout = coverage.layout;
    let grown = grow_where_cut(keepers);
    let Some(area) = grown.intersection(layout.slide()) else { return false };
    let saw_it = |slot: u32| {
        let index = layout.window(slot).index;
        keepers.iter().chain(others).any(|cell| cell.window == index)
    };
    let Some(slot) = layout.slot(keepers[0].window) else { return false };
    layout.neighbours(slot).iter().any(|&near| {
        coverage.done[near as usize] && layout.sees_whole(near, &area, settings.border_px) && !saw_it(near)
    })
}

/// The box around `pieces`, grown by its longer side wherever it still ends at
/// a border: what a window must see to have seen the object whole.
fn grow_where_cut(pieces: &[&RawCell]) -> Level0Box {
    let area = union_box(pieces);
    let open = open_sides(pieces, &area);
    let by = area.width().max(area.height());
    let grow = |side: Sides| if open.contains(side) { by } else { 0.0 };
    let mut grown = area;
    grown.min.x -= grow(Sides::LEFT);
    grown.min.y -= grow(Sides::TOP);
    grown.max.x += grow(Sides::RIGHT);
    grown.max.y += grow(Sides::BOTTOM);
    grown
}

/// The sides on which `area`, the box around `pieces`, ends because a window
/// does.
fn open_sides(pieces: &[&RawCell], area: &Level0Box) -> Sides {
    let ends_at = |piece: &RawCell, side: Sides| match side {
        Sides::LEFT => piece.bbox.min.x == area.min.x,
        Sides::TOP => piece.bbox.min.y == area.min.y,
        Sides::RIGHT => piece.bbox.max.x == area.max.x,
        _ => piece.bbox.max.y == area.max.y,
    };
    let is_open = |side: Sides| pieces.iter().any(|piece| piece.cut.contains(side) && ends_at(piece, side));
    Sides::EACH.into_iter().filter(|&side| is_open(side)).fold(Sides::NONE, Sides::with)
}

fn union_box(cells: &[&RawCell]) -> Level0Box {
    cells.iter().skip(1).fold(cells[0].bbox, |all, cell| all.union(&cell.bbox))
}

/// The mean of the boxes weighted by score; the plain mean when all scores are 0.
fn mean_box(cells: &[&RawCell]) -> Level0Box {
    let total: f64 = cells.iter().map(|cell| f64::from(cell.score.get())).sum();
    let weight = |cell: &RawCell| {
        if total > 0.0 { f64::from(cell.score.get()) / total } else { 1.0 / cells.len() as f64 }
    };
    // Relative to the first: level-0 coordinates are large, differences small.
    let origin = cells[0].bbox;
    let (min, max) =
        cells.iter().fold((euclid::Vector2D::zero(), euclid::Vector2D::zero()), |(min, max), cell| {
            let by = weight(cell);
            (min + (cell.bbox.min - origin.min) * by, max + (cell.bbox.max - origin.max) * by)
        });
    Level0Box::new(origin.min + min, origin.max + max)
}

/// The mean score, times the share of windows that saw the object among those
/// that could.
fn fused_score(
    cells: &[&RawCell],
    bbox: &Level0Box,
    coverage: &Coverage<'_>,
    settings: &MergeSettings,
) -> Score {
    let layout = coverage.layout;
    let sum: f64 = cells.iter().map(|cell| f64::from(cell.score.get())).sum();
    let mut saw: Vec<u32> = cells.iter().map(|cell| cell.window.0).collect();
    saw.sort_unstable();
    saw.dedup();
    let slot = layout.slot(cells[0].window).unwrap_or_default();
    let could = layout
        .neighbours(slot)
        .iter()
        .filter(|&&near| coverage.done[near as usize] && layout.sees_whole(near, bbox, settings.border_px))
        .count();
    let share = saw.len() as f64 / could.max(saw.len()) as f64;
    Score::new((sum / cells.len() as f64 * share) as f32).unwrap_or(cells[0].score)
}

fn assemble(
    keepers: &[&RawCell],
    others: &[&RawCell],
    bbox: Level0Box,
    score: Score,
    coverage: &Coverage<'_>,
    settings: &MergeSettings,
) -> Cell {
    let best = keepers[0];
    let layout = coverage.layout;
    let all = || keepers.iter().chain(others).copied();
    let outline = outline(keepers);
    let centroid = outline.as_deref().and_then(ring_centroid).unwrap_or_else(|| bbox.center());
    let mut windows: Vec<u32> = all().map(|cell| cell.window.0).collect();
    windows.sort_unstable();
    windows.dedup();
    let slot = layout.slot(best.window).unwrap_or_default();
    Cell {
        id: cell_id(layout.slide_key(), best.class, centroid),
        class: best.class,
        score,
        bbox,
        centroid,
        outline,
        runner_up: runner_up(best.class, all()),
        n_merged: u16::try_from(keepers.len() + others.len()).unwrap_or(u16::MAX),
        score_min: all().map(|cell| cell.score).min().unwrap_or(score),
        score_max: all().map(|cell| cell.score).max().unwrap_or(score),
        windows,
        seam_dist_um: (layout.seam_distance(slot, centroid) * layout.mpp().get()) as f32,
        edge_flag: edge_flag(keepers, &bbox, coverage, settings),
    }
}

fn outline(keepers: &[&RawCell]) -> Option<Box<[wsi_types::Level0Point]>> {
    if keepers.len() == 1 { keepers[0].outline.clone() } else { None }
}

/// The best other class; of equal ones the one with the smaller number.
fn runner_up<'a>(winner: ClassId, cells: impl Iterator<Item = &'a RawCell>) -> Option<(ClassId, Score)> {
    cells
        .filter(|cell| cell.class != winner)
        .map(|cell| (cell.class, cell.score))
        .max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(&a.0)))
}

fn edge_flag(
    keepers: &[&RawCell],
    bbox: &Level0Box,
    coverage: &Coverage<'_>,
    settings: &MergeSettings,
) -> u8 {
    let layout = coverage.layout;
    let slot = layout.slot(keepers[0].window).unwrap_or_default();
    let reach = settings.border_px * layout.window(slot).level0_per_px;
    let inside = inflate(layout.slide(), -reach);
    let mut flag = if contains_box(&inside, bbox) { 0 } else { edge::SLIDE };
    if keepers.len() > 1 {
        flag |= edge::JOINED;
    }
    open_sides(keepers, bbox).iter().fold(flag, |flag, side| flag | beyond(bbox, side, reach, coverage))
}

/// Why nobody saw what lies beyond `side` of `bbox`.
fn beyond(bbox: &Level0Box, side: Sides, reach: f64, coverage: &Coverage<'_>) -> u8 {
    let mut strip = *bbox;
    match side {
        Sides::LEFT => (strip.min.x, strip.max.x) = (bbox.min.x - 2.0 * reach, bbox.min.x - reach),
        Sides::TOP => (strip.min.y, strip.max.y) = (bbox.min.y - 2.0 * reach, bbox.min.y - reach),
        Sides::RIGHT => (strip.min.x, strip.max.x) = (bbox.max.x + reach, bbox.max.x + 2.0 * reach),
        _ => (strip.min.y, strip.max.y) = (bbox.max.y + reach, bbox.max.y + 2.0 * reach),
    }
    let there = coverage.layout.touching(&strip);
    if there.is_empty() {
        edge::PLAN
    } else if there.iter().any(|&slot| coverage.done[slot as usize]) {
        edge::UNSEEN
    } else {
        edge::FAILED
    }
}
