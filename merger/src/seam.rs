//! The seam rule: an object that several windows saw is kept once.
//!
//! Two detections are compared on the area that *both* windows saw: each box is cut to the other's window
//! first ([`agreement`]). So half an object at a border agrees fully with the whole object in the next
//! window, and nothing depends on how much of it was cut.
//!
//! A *component* is a set of detections tied to each other, directly or by way of others, and to nothing
//! else. [`Resolver`] turns one component into cells. It reads nothing but the component and which windows
//! are done, and orders by content first: so arrival order, threads and batches cannot matter.
//!
//! 1. Whole detections go through greedy non-maximum suppression, best first.
//! 2. A cut detection (one whose box touches an inner window border) yields to
//!    the whole one that it is a part of.
//! 3. Pieces that nobody saw whole are put together across borders, at most one
//!    per window: one window sees an object once, so touching objects stay
//!    apart.
//! 4. A piece that a further window would have seen whole, and did not see, is
//!    kept and flagged, or dropped, as [`UnseenCut`] says; an object that was
//!    seen only in the rim of windows is dropped where a window sees its place
//!    deeper and found nothing ([`MergeSettings::rim_px`]).

use std::cmp::Ordering;

use wsi_types::{ClassId, Level0Box, Level0Point, Score};

use crate::cell::{Cell, MergeCounts, box_order, cell_id, edge, ring_order};
use crate::geometry::{
    box_area, contains_box, inflate, interval_iou, ring_bounds, ring_centroid, shared_area,
};
use crate::layout::{Layout, PlannedWindow};
use crate::mask::{Mask, simplified};
use crate::near::NearIndex;
use crate::outline::{PlacedOutline, overlap};
use crate::place::RawCell;
use crate::settings::{MergeSettings, Method, Metric, UnseenCut};
use crate::sides::Sides;

/// A part yields to a whole box that covers at least this share of it…
const PART_COVERED: f64 = 0.5;
/// …and that makes at least this share of the whole box's visible part: the box around a cap of a disc is
/// smaller than the cut box around the disc, down to 0.4; a nucleus nested in a gland is not a part of it.
const PART_OF_WHOLE: f64 = 0.1;
/// Components up to this size are compared pair by pair, larger ones through a tree.
const FEW: u32 = 24;

/// A detection and the window that saw it.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) cell: &'a RawCell,
    pub(crate) window: &'a PlannedWindow,
}

/// Largest distance of two boxes at a border of `window` that still meet there, level-0 px.
pub(crate) fn reach(window: &PlannedWindow, settings: &MergeSettings) -> f64 {
    settings.border_px.max(1.0) * window.level0_per_px
}

impl View<'_> {
    fn is_whole(&self) -> bool {
        self.cell.cut.is_empty()
    }

    fn reach(&self, settings: &MergeSettings) -> f64 {
        reach(self.window, settings)
    }

    /// The area that a detection must meet to be tied to this one.
    pub(crate) fn reaches(&self, settings: &MergeSettings) -> Level0Box {
        let by = if self.is_whole() { 0.0 } else { self.reach(settings) };
        inflate(&self.cell.bbox, by)
    }
}

/// Relation of two detections.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Tie {
    /// The same object.
    Same,
    /// The same object in two windows that call it differently.
    OtherClass,
    /// One is cut, and a part of the other; with the share of the other's visible part that it covers.
    Part(f64),
    /// Both are cut, in two windows: pieces of one object; with their agreement.
    Piece(f64),
}

/// The relation of `a` and `b`; the order of the two does not matter. `None`: not related.
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
    let tie = if one_class || one_window { Tie::Same } else { Tie::OtherClass };
    agrees(a, b, settings.metric, needed).then_some(tie)
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

/// Agreement of two pieces at the border where one window ends and the other begins: the IoU of their ranges
/// *along* it. `None` unless they are cut there and the windows share no more than a border.
fn facing(a: &View<'_>, b: &View<'_>, settings: &MergeSettings) -> Option<f64> {
    let reach = a.reach(settings).max(b.reach(settings));
    meet_beside(a, b, reach)
        .or_else(|| meet_beside(b, a, reach))
        .or_else(|| meet_below(a, b, reach))
        .or_else(|| meet_below(b, a, reach))
}

/// Agreement of the heights of two pieces where `left` ends at its window's right side and `right` begins at
/// its window's left.
fn meet_beside(left: &View<'_>, right: &View<'_>, reach: f64) -> Option<f64> {
    let cut = left.cell.cut.contains(Sides::RIGHT) && right.cell.cut.contains(Sides::LEFT);
    let thin = (left.window.extent.max.x - right.window.extent.min.x).abs() <= 2.0 * reach;
    let (left, right) = (&left.cell.bbox, &right.cell.bbox);
    (cut && thin).then(|| interval_iou((left.min.y, left.max.y), (right.min.y, right.max.y)))
}

/// Agreement of the widths, where `upper` ends at its window's bottom and `lower` begins at its window's top.
fn meet_below(upper: &View<'_>, lower: &View<'_>, reach: f64) -> Option<f64> {
    let cut = upper.cell.cut.contains(Sides::BOTTOM) && lower.cell.cut.contains(Sides::TOP);
    let thin = (upper.window.extent.max.y - lower.window.extent.min.y).abs() <= 2.0 * reach;
    let (upper, lower) = (&upper.cell.bbox, &lower.cell.bbox);
    (cut && thin).then(|| interval_iou((upper.min.x, upper.max.x), (lower.min.x, lower.max.x)))
}

/// `true` if two detections agree at least as much as `needed`. Outlines are measured only if their areas do
/// not suffice to tell.
fn agrees(a: &View<'_>, b: &View<'_>, metric: Metric, needed: f64) -> bool {
    let told = outlines(a, b, metric).and_then(|(first, second, zone)| first.agrees(second, &zone, needed));
    told.unwrap_or_else(|| agreement(a, b, metric) >= needed)
}

/// Agreement of two detections on the area that both windows saw, 0 to 1.
fn agreement(a: &View<'_>, b: &View<'_>, metric: Metric) -> f64 {
    if let Some((first, second, zone)) = outlines(a, b, metric) {
        return overlap(first, second, &zone).iou();
    }
    let shared = shared_area(&a.cell.bbox, &b.cell.bbox);
    if shared <= 0.0 {
        return 0.0;
    }
    let first = shared_area(&a.cell.bbox, &b.window.extent);
    let second = shared_area(&b.cell.bbox, &a.window.extent);
    match metric {
        Metric::Ios => ratio(shared, first.min(second)),
        Metric::Iou | Metric::MaskIou => ratio(shared, first + second - shared),
    }
}

/// The outlines to compare, and the area that both windows saw; `None` if boxes are compared.
fn outlines<'a>(
    a: &View<'a>,
    b: &View<'a>,
    metric: Metric,
) -> Option<(&'a PlacedOutline, &'a PlacedOutline, Level0Box)> {
    if metric != Metric::MaskIou {
        return None;
    }
    let zone = a.window.extent.intersection(&b.window.extent)?;
    Some((a.cell.outline.as_deref()?, b.cell.outline.as_deref()?, zone))
}

fn ratio(part: f64, all: f64) -> f64 {
    if all > 0.0 { part / all } else { 0.0 }
}

/// Order: whole before cut, then best score, then place, class and window: a total order by content alone.
fn rank(a: &RawCell, b: &RawCell) -> Ordering {
    (a.cut.is_empty().cmp(&b.cut.is_empty()).reverse())
        .then_with(|| b.score.cmp(&a.score))
        .then_with(|| box_order(&a.bbox, &b.bbox))
        .then_with(|| a.class.cmp(&b.class))
        .then_with(|| a.window.cmp(&b.window))
        .then_with(|| outline_order(a.outline.as_deref(), b.outline.as_deref()))
}

/// Order of outlines: none before some.
fn outline_order(a: Option<&PlacedOutline>, b: Option<&PlacedOutline>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => ring_order(a.points(), b.points()),
        _ => a.is_some().cmp(&b.is_some()),
    }
}

/// The plan, the windows of it that gave an answer, and the rules.
pub(crate) struct Coverage<'a> {
    pub(crate) layout: &'a Layout,
    /// Per slot of the layout: `true` if its detections are in.
    pub(crate) done: &'a [bool],
    pub(crate) settings: &'a MergeSettings,
}

impl Coverage<'_> {
    /// The slot of a cell's window: placed cells come from windows of this same layout.
    fn slot(&self, cell: &RawCell) -> u32 {
        self.layout.slot(cell.window).unwrap_or_default()
    }

    fn view<'a>(&'a self, cell: &'a RawCell) -> View<'a> {
        View { cell, window: self.layout.window(self.slot(cell)) }
    }

    fn agreement(&self, a: &RawCell, b: &RawCell) -> f64 {
        agreement(&self.view(a), &self.view(b), self.settings.metric)
    }

    /// The tie between two members of a component.
    fn tie(&self, component: &[RawCell], low: u32, high: u32) -> Option<Tie> {
        let [low, high] = [low, high].map(|index| self.view(&component[index as usize]));
        tie(&low, &high, self.settings)
    }

    fn edge(&self, component: &[RawCell], low: u32, high: u32) -> Option<Edge> {
        self.tie(component, low, high).map(|tie| Edge { low, high, tie })
    }
}

/// Turns components into cells, one after another, in reused buffers: most components are a handful of
/// detections.
#[derive(Default)]
pub(crate) struct Resolver {
    component: Vec<RawCell>,
    ties: Vec<Edge>,
    /// Per member: the one that stands for it, itself if it is kept.
    owner: Vec<u32>,
    /// Per member: the first of the pieces it was joined with.
    group: Vec<u32>,
    members: Vec<Member>,
}

/// One detection of a cluster, in the order in which clusters are read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Member {
    group: u32,
    /// It only confirms the ones before it.
    confirms: bool,
    index: u32,
}

impl Resolver {
    /// The buffer for the next component, all of it, in any order.
    pub(crate) fn component(&mut self) -> &mut Vec<RawCell> {
        &mut self.component
    }

    /// Turns the component into cells.
    pub(crate) fn resolve(&mut self, coverage: &Coverage<'_>, counts: &mut MergeCounts, out: &mut Vec<Cell>) {
        let component = &mut self.component;
        component.sort_unstable_by(rank);
        let everyone = 0..component.len() as u32;
        self.ties.clear();
        find_ties(component, coverage, &mut self.ties);
        self.owner.clear();
        self.owner.extend(everyone.clone());
        suppress_wholes(component, &self.ties, &mut self.owner);
        self.group.clear();
        self.group.extend(everyone.clone());
        if component.last().is_some_and(|last| !last.cut.is_empty()) {
            yield_parts(component, &self.ties, coverage, &mut self.owner);
            suppress_pieces(component, &self.ties, &mut self.owner);
            join_pieces(component, &self.ties, &self.owner, &mut self.group);
        }
        self.members.clear();
        self.members.extend(everyone.map(|index| {
            let keeper = self.owner[index as usize];
            Member { group: self.group[keeper as usize], confirms: keeper != index, index }
        }));
        self.members.sort_unstable();
        for members in self.members.chunk_by(|a, b| a.group == b.group) {
            finish(&Cluster::new(component, members), coverage, counts, out);
        }
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
fn find_ties(component: &[RawCell], coverage: &Coverage<'_>, ties: &mut Vec<Edge>) {
    let count = component.len() as u32;
    if is_plain(component) {
        plain_ties(count, |low, high| coverage.tie(component, low, high), ties);
        return;
    }
    if count <= FEW {
        for low in 0..count {
            ties.extend((low + 1..count).filter_map(|high| coverage.edge(component, low, high)));
        }
    } else {
        let near = near_pairs(component, coverage).into_iter();
        ties.extend(near.filter_map(|(low, high)| coverage.edge(component, low, high)));
    }
    drop_ambiguous(component, coverage, ties);
}

/// `true` if greedy suppression alone decides: a few whole detections of one class, as most components are.
fn is_plain(component: &[RawCell]) -> bool {
    component.len() <= FEW as usize
        && component.iter().all(|cell| cell.cut.is_empty() && cell.class == component[0].class)
}

/// The ties that greedy suppression needs: those of detections that are kept, to detections that are not yet
/// suppressed.
fn plain_ties(count: u32, tie: impl Fn(u32, u32) -> Option<Tie>, ties: &mut Vec<Edge>) {
    let mut suppressed = [false; FEW as usize];
    for low in 0..count {
        for high in low + 1..count {
            if suppressed[low as usize] || suppressed[high as usize] {
                continue;
            }
            if let Some(tie) = tie(low, high) {
                suppressed[high as usize] = true;
                ties.push(Edge { low, high, tie });
            }
        }
    }
}

fn near_pairs(component: &[RawCell], coverage: &Coverage<'_>) -> Vec<(u32, u32)> {
    let boxes = component.iter().map(|cell| coverage.view(cell).reaches(coverage.settings));
    let mut pairs = Vec::new();
    NearIndex::new(boxes.zip(0..)).pairs_within(|a, b| pairs.push((a.min(b), a.max(b))));
    pairs.sort_unstable();
    pairs
}

/// Removes ties between two classes in two windows if one of the windows saw both objects: a detection of the
/// right class there agrees at least as well, so this one is the neighbour. The tie stays if that window gave
/// one object two classes: then both are the same object.
fn drop_ambiguous(component: &[RawCell], coverage: &Coverage<'_>, edges: &mut Vec<Edge>) {
    if !edges.iter().any(|edge| edge.tie == Tie::OtherClass) {
        return;
    }
    let mut partners: Vec<(u32, u32)> = edges
        .iter()
        .filter(|edge| edge.tie == Tie::Same)
        .flat_map(|edge| [(edge.low, edge.high), (edge.high, edge.low)])
        .collect();
    partners.sort_unstable();
    let are_same = |a: u32, b: u32| partners.binary_search(&(a, b)).is_ok();
    let agreement = |a: u32, b: u32| coverage.agreement(&component[a as usize], &component[b as usize]);
    // `true` if `from` has a partner of its own class in the window of `to`, and that is another object.
    let has_better = |from: u32, to: u32| {
        let start = partners.partition_point(|&(first, _)| first < from);
        partners[start..].iter().take_while(|&&(first, _)| first == from).any(|&(_, partner)| {
            let (other, like) = (&component[partner as usize], &component[to as usize]);
            other.window == like.window
                && other.class == component[from as usize].class
                && !are_same(partner, to)
                && agreement(from, partner) >= agreement(from, to).max(coverage.settings.iou.get(other.class))
        })
    };
    edges.retain(|edge| {
        edge.tie != Tie::OtherClass || !(has_better(edge.low, edge.high) || has_better(edge.high, edge.low))
    });
}

/// Suppresses greedily, best first: ties come sorted, so when those of `low` are read its own outcome is
/// known.
fn suppress_wholes(component: &[RawCell], ties: &[Edge], owner: &mut [u32]) {
    for edge in ties {
        let both_whole = component[edge.high as usize].cut.is_empty();
        if both_whole && matches!(edge.tie, Tie::Same | Tie::OtherClass) {
            suppress(edge, owner);
        }
    }
}

fn suppress(edge: &Edge, owner: &mut [u32]) {
    if is_free(edge.low, owner) && is_free(edge.high, owner) {
        owner[edge.high as usize] = edge.low;
    }
}

fn is_free(index: u32, owner: &[u32]) -> bool {
    owner[index as usize] == index
}

/// Gives each cut detection to the owner of the whole one that it fits best.
fn yield_parts(component: &[RawCell], ties: &[Edge], coverage: &Coverage<'_>, owner: &mut [u32]) {
    let mut best: Vec<f64> = vec![0.0; component.len()];
    for edge in ties {
        let (whole, cut) = (&component[edge.low as usize], &component[edge.high as usize]);
        if !whole.cut.is_empty() || cut.cut.is_empty() {
            continue;
        }
        let found = match edge.tie {
            Tie::Same => coverage.agreement(whole, cut),
            Tie::Part(found) => found,
            _ => continue,
        };
        if found > best[edge.high as usize] {
            best[edge.high as usize] = found;
            owner[edge.high as usize] = owner[edge.low as usize];
        }
    }
}

/// Suppresses greedily among cut detections of one window.
fn suppress_pieces(component: &[RawCell], ties: &[Edge], owner: &mut [u32]) {
    for edge in ties {
        let both_cut = !component[edge.low as usize].cut.is_empty();
        if both_cut && edge.tie == Tie::Same {
            suppress(edge, owner);
        }
    }
}

/// `true` if each of the two groups holds a piece from the same window.
fn share_a_window(a: &[u32], b: &[u32], component: &[RawCell]) -> bool {
    b.iter().any(|piece| {
        let window = component[*piece as usize].window;
        a.iter().any(|other| component[*other as usize].window == window)
    })
}

/// Joins pieces, best agreement first, as long as no window is there twice: gives each the first of its
/// group.
fn join_pieces(component: &[RawCell], ties: &[Edge], owner: &[u32], group: &mut [u32]) {
    let mut pieces: Vec<(f64, u32, u32)> = (ties.iter())
        .filter(|edge| is_free(edge.low, owner) && is_free(edge.high, owner))
        .filter_map(|edge| match edge.tie {
            Tie::Piece(found) => Some((found, edge.low, edge.high)),
            _ => None,
        })
        .collect();
    if pieces.is_empty() {
        return;
    }
    pieces.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2))));
    let mut members: Vec<Vec<u32>> = (0..).take(component.len()).map(|index| vec![index]).collect();
    for (_, low, high) in pieces {
        let (a, b) = (group[low as usize], group[high as usize]);
        let (into, from) = (a.min(b) as usize, a.max(b) as usize);
        if a != b && !share_a_window(&members[into], &members[from], component) {
            let moved = std::mem::take(&mut members[from]);
            moved.iter().for_each(|&piece| group[piece as usize] = into as u32);
            members[into].extend(moved);
        }
    }
}

/// The detections of one object: those that define its place (one, or several pieces), best first, and those
/// that only confirm it.
struct Cluster<'a> {
    component: &'a [RawCell],
    keepers: &'a [Member],
    others: &'a [Member],
}

impl<'a> Cluster<'a> {
    fn new(component: &'a [RawCell], members: &'a [Member]) -> Self {
        let (keepers, others) = members.split_at(members.partition_point(|member| !member.confirms));
        Self { component, keepers, others }
    }

    fn best(&self) -> &'a RawCell {
        &self.component[self.keepers[0].index as usize]
    }

    fn is_whole(&self) -> bool {
        self.best().cut.is_empty()
    }

    fn keepers(&self) -> impl Iterator<Item = &'a RawCell> + Clone {
        self.keepers.iter().map(|member| &self.component[member.index as usize])
    }

    fn others(&self) -> impl Iterator<Item = &'a RawCell> + Clone {
        self.others.iter().map(|member| &self.component[member.index as usize])
    }

    fn all(&self) -> impl Iterator<Item = &'a RawCell> + Clone {
        self.keepers().chain(self.others())
    }

    /// Those that saw it whole.
    fn wholes(&self) -> impl Iterator<Item = &'a RawCell> + Clone {
        self.all().filter(|cell| cell.cut.is_empty())
    }

    /// Indices of the windows that saw it, ascending.
    fn windows(&self) -> Vec<u32> {
        let mut windows: Vec<u32> = Vec::with_capacity(self.keepers.len() + self.others.len());
        windows.extend(self.all().map(|cell| cell.window.0));
        windows.sort_unstable();
        windows.dedup();
        windows
    }
}

/// Writes the cell of one cluster, or counts the reason why there is none.
fn finish(cluster: &Cluster<'_>, coverage: &Coverage<'_>, counts: &mut MergeCounts, out: &mut Vec<Cell>) {
    let settings = coverage.settings;
    let is_whole = cluster.is_whole();
    if !is_whole && settings.unseen_cut == UnseenCut::Drop && refuted(cluster, coverage) {
        counts.unconfirmed += (cluster.keepers.len() + cluster.others.len()) as u64;
        return;
    }
    if settings.rim_px > 0.0 && denied(cluster, coverage) {
        counts.unconfirmed += (cluster.keepers.len() + cluster.others.len()) as u64;
        return;
    }
    count(cluster, counts);
    let bbox = match (is_whole, settings.method) {
        (false, _) => union_box(cluster.keepers()),
        (true, Method::Nms) => cluster.best().bbox,
        (true, Method::Nmm) => union_box(cluster.wholes()),
        (true, Method::Wbf) => mean_box(cluster.wholes()),
    };
    let score = match settings.method {
        Method::Wbf if is_whole => fused_score(cluster, &bbox, coverage),
        _ => cluster.best().score,
    };
    out.push(assemble(cluster, bbox, score, coverage));
}

fn count(cluster: &Cluster<'_>, counts: &mut MergeCounts) {
    let (best, pieces) = (cluster.best(), cluster.keepers.len() as u64);
    counts.cells += 1;
    counts.joined_pieces += pieces - 1;
    counts.joined_cells += u64::from(pieces > 1);
    counts.incomplete_cells += u64::from(!cluster.is_whole() && pieces == 1);
    for other in cluster.others() {
        let yielded = cluster.is_whole() && !other.cut.is_empty() && other.window != best.window;
        if yielded {
            counts.yielded += 1;
        } else if other.class == best.class {
            counts.same_class += 1;
        } else {
            counts.other_class += 1;
        }
    }
}

/// `true` if a window that is done, and saw none of these pieces, sees their whole place: then there is no
/// object.
fn refuted(cluster: &Cluster<'_>, coverage: &Coverage<'_>) -> bool {
    let layout = coverage.layout;
    let Some(area) = grow_where_cut(cluster).intersection(layout.slide()) else { return false };
    layout.neighbours(coverage.slot(cluster.best())).iter().any(|&near| {
        coverage.done[near as usize]
            && layout.sees_whole(near, &area, coverage.settings.border_px)
            && !cluster.all().any(|cell| cell.window == layout.window(near).index)
    })
}

/// `true` if all windows that saw this saw it in their rim, and a window that is done sees its place deeper:
/// that one has the better view, and saw nothing there.
fn denied(cluster: &Cluster<'_>, coverage: &Coverage<'_>) -> bool {
    let layout = coverage.layout;
    let area = union_box(cluster.keepers());
    let is_deep = |slot: u32| layout.sees_whole(slot, &area, coverage.settings.rim_px);
    !cluster.all().any(|cell| is_deep(coverage.slot(cell)))
        && layout
            .neighbours(coverage.slot(cluster.best()))
            .iter()
            .any(|&near| coverage.done[near as usize] && is_deep(near))
}

/// The box around the pieces, grown by its longer side wherever it still ends at a border: the area a window
/// must see to have seen the object whole.
fn grow_where_cut(cluster: &Cluster<'_>) -> Level0Box {
    let area = union_box(cluster.keepers());
    let open = open_sides(cluster, &area);
    let by = area.width().max(area.height());
    let [left, top, right, bottom] = [Sides::LEFT, Sides::TOP, Sides::RIGHT, Sides::BOTTOM]
        .map(|side| if open.contains(side) { by } else { 0.0 });
    let mut grown = area;
    grown.min -= euclid::vec2(left, top);
    grown.max += euclid::vec2(right, bottom);
    grown
}

/// The sides on which `area`, the box around the pieces, ends because a window ends there.
fn open_sides(cluster: &Cluster<'_>, area: &Level0Box) -> Sides {
    if cluster.is_whole() {
        return Sides::NONE;
    }
    let open = Sides::EACH.into_iter().filter(|&side| {
        cluster.keepers().any(|piece| piece.cut.contains(side) && end(&piece.bbox, side) == end(area, side))
    });
    open.fold(Sides::NONE, Sides::with)
}

/// The coordinate of one side of a box.
fn end(bbox: &Level0Box, side: Sides) -> f64 {
    match side {
        Sides::LEFT => bbox.min.x,
        Sides::TOP => bbox.min.y,
        Sides::RIGHT => bbox.max.x,
        _ => bbox.max.y,
    }
}

/// The box around `cells`; an empty one around none.
fn union_box<'a>(cells: impl Iterator<Item = &'a RawCell>) -> Level0Box {
    cells.map(|cell| cell.bbox).reduce(|all, bbox| all.union(&bbox)).unwrap_or_default()
}

/// The mean of the boxes weighted by score; the plain mean when all scores are 0.
fn mean_box<'a>(cells: impl Iterator<Item = &'a RawCell> + Clone) -> Level0Box {
    let total: f64 = cells.clone().map(|cell| f64::from(cell.score.get())).sum();
    let count = cells.clone().count() as f64;
    // Relative to the first: level-0 coordinates are large, differences small.
    let origin = cells.clone().next().map(|cell| cell.bbox).unwrap_or_default();
    let (min, max) = cells.fold((euclid::Vector2D::zero(), euclid::Vector2D::zero()), |(min, max), cell| {
        let by = if total > 0.0 { f64::from(cell.score.get()) / total } else { 1.0 / count };
        (min + (cell.bbox.min - origin.min) * by, max + (cell.bbox.max - origin.max) * by)
    });
    Level0Box::new(origin.min + min, origin.max + max)
}

/// The mean score, times the share of windows that saw the object among those
/// that could.
fn fused_score(cluster: &Cluster<'_>, bbox: &Level0Box, coverage: &Coverage<'_>) -> Score {
    let layout = coverage.layout;
    let (sum, count) = cluster
        .wholes()
        .fold((0.0, 0.0), |(sum, count), cell| (sum + f64::from(cell.score.get()), count + 1.0));
    let mut saw: Vec<u32> = cluster.wholes().map(|cell| cell.window.0).collect();
    saw.sort_unstable();
    saw.dedup();
    let could = layout
        .neighbours(coverage.slot(cluster.best()))
        .iter()
        .filter(|&&near| {
            coverage.done[near as usize] && layout.sees_whole(near, bbox, coverage.settings.border_px)
        })
        .count();
    let share = saw.len() as f64 / could.max(saw.len()) as f64;
    Score::new((sum / count * share) as f32).unwrap_or_default()
}

fn assemble(cluster: &Cluster<'_>, bbox: Level0Box, score: Score, coverage: &Coverage<'_>) -> Cell {
    let best = cluster.best();
    let layout = coverage.layout;
    let outline = outline(cluster, coverage);
    let centroid = outline.as_deref().and_then(ring_centroid).unwrap_or_else(|| bbox.center());
    let (score_min, score_max) = cluster
        .all()
        .fold((best.score, best.score), |(low, high), cell| (low.min(cell.score), high.max(cell.score)));
    let seam_px = layout.seam_distance(coverage.slot(best), centroid);
    Cell {
        id: cell_id(layout.slide_key(), best.class, centroid),
        class: best.class,
        score,
        bbox,
        centroid,
        outline,
        stains: best.stains,
        texture: best.texture.clone(),
        runner_up: runner_up(best.class, cluster.all()),
        n_merged: u16::try_from(cluster.keepers.len() + cluster.others.len()).unwrap_or(u16::MAX),
        score_min,
        score_max,
        windows: cluster.windows(),
        seam_dist_um: (seam_px * layout.mpp().get()) as f32,
        edge_flag: edge_flag(cluster, &bbox, coverage),
        region: None,
        distance_um: None,
        detector_scores: Box::default(),
    }
}

/// The best outline; of several pieces, the outline of the area they cover together.
fn outline(cluster: &Cluster<'_>, coverage: &Coverage<'_>) -> Option<Box<[Level0Point]>> {
    if cluster.keepers.len() == 1 {
        return cluster.best().outline.as_ref().map(|outline| outline.on_level0());
    }
    let rings: Option<Vec<Box<[Level0Point]>>> =
        cluster.keepers().map(|piece| Some(piece.outline.as_ref()?.on_level0())).collect();
    let window = coverage.layout.window(coverage.slot(cluster.best()));
    union_outline(&rings?, window.level0_per_px, reach(window, coverage.settings))
}

/// Pixels along the longer side of a picture that pieces are joined in, at most.
const MOST_JOIN_PX: f64 = 4096.0;

/// The outline of the area that `rings` cover together, drawn at `px` level-0 px or coarser; gaps up to `gap`
/// level-0 px between them are closed. The largest part, if they do not meet.
fn union_outline(rings: &[Box<[Level0Point]>], px: f64, gap: f64) -> Option<Box<[Level0Point]>> {
    let bounds = rings.iter().filter_map(|ring| ring_bounds(ring)).reduce(|all, next| all.union(&next))?;
    let px = px.max(bounds.width().max(bounds.height()) / MOST_JOIN_PX);
    // A rim as wide as the closing, so that it is not cut off.
    let rim = (gap / px).ceil() + 1.0;
    let origin = bounds.min - euclid::vec2(rim, rim) * px;
    let [width, height] =
        bounds.size().to_array().map(|length| (length / px).ceil() as usize + 2 * rim as usize + 1);
    let mut mask = Mask::new(width, height);
    for ring in rings {
        let drawn: Vec<Level0Point> = ring.iter().map(|&point| ((point - origin) / px).to_point()).collect();
        mask.paint(&drawn);
    }
    let polygons = mask.closed(gap / px).polygons();
    let largest = polygons.into_iter().reduce(|a, b| if b.area() > a.area() { b } else { a })?;
    Some(simplified(&largest.outer, 0.75).into_iter().map(|point| origin + point.to_vector() * px).collect())
}

/// The best other class; of equal ones the one with the smaller number.
fn runner_up<'a>(winner: ClassId, cells: impl Iterator<Item = &'a RawCell>) -> Option<(ClassId, Score)> {
    cells
        .filter(|cell| cell.class != winner)
        .map(|cell| (cell.class, cell.score))
        .max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(&a.0)))
}

fn edge_flag(cluster: &Cluster<'_>, bbox: &Level0Box, coverage: &Coverage<'_>) -> u8 {
    let layout = coverage.layout;
    let window = layout.window(coverage.slot(cluster.best()));
    let reach = coverage.settings.border_px * window.level0_per_px;
    let inside = inflate(layout.slide(), -reach);
    let mut flag = if contains_box(&inside, bbox) { 0 } else { edge::SLIDE };
    if cluster.keepers.len() > 1 {
        flag |= edge::JOINED;
    }
    open_sides(cluster, bbox).iter().fold(flag, |flag, side| flag | beyond(bbox, side, reach, coverage))
}

/// Reason, as a bit of [`edge`], why nobody saw the area beyond `side` of `bbox`.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::ring_area;
    use crate::testing::ring;

    #[test]
    fn halves_of_a_disc_make_a_disc() {
        let halves = [-1.0, 1.0].map(|side| {
            let points: Vec<(f64, f64)> = (0..=32)
                .map(|step| {
                    let angle = (f64::from(step) / 32.0 - 0.5) * std::f64::consts::PI;
                    (5000.0 + side * (0.4 + 40.0 * angle.cos()), 700.0 + 40.0 * angle.sin())
                })
                .collect();
            ring(&points).into_boxed_slice()
        });
        let whole = union_outline(&halves, 1.0, 3.0).unwrap();
        let expected = std::f64::consts::PI * 1600.0;
        assert!((ring_area(&whole).abs() / expected - 1.0).abs() < 0.03, "{}", ring_area(&whole));
        let centre = ring_centroid(&whole).unwrap();
        assert!((centre - Level0Point::new(5000.0, 700.0)).length() < 1.0);
    }
}
