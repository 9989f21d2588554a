//! Who is who: predictions and truth, one to one.
//!
//! Two steps. [`Candidates`] finds, through an R-tree, every pair near enough
//! to be talked about. Then [`greedy`] (COCO's rule: the surest prediction
//! chooses first) or [`optimal`] (as many pairs as possible, and among those
//! the closest) pairs them off. Average precision and FROC are *defined* with
//! the greedy rule, since a match must not change when the score threshold is
//! lowered; counts at one threshold use the optimal one unless told otherwise.

use std::{cmp::Ordering, collections::BinaryHeap, fmt, ops::ControlFlow, str::FromStr};

use rayon::prelude::*;
use rstar::{AABB, RTree, primitives::GeomWithData, primitives::Rectangle};
use serde::{Deserialize, Serialize};
use wsi_types::{ClassId, Level0Box, Level0Point};

use crate::{
    EvalError,
    error::Result,
    objects::{Detail, Image, Object, Role, Shape},
    polygon::{Polygon, shared_area},
};

/// When a prediction is near enough to an object to be it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Criterion {
    /// Intersection over union of the boxes, at least this.
    BoxIou(f64),
    /// Intersection over union of the outlines, at least this.
    MaskIou(f64),
    /// Distance of the centres of mass in µm, at most this.
    DistanceUm(f64),
}

impl Criterion {
    /// What the readers must keep of shapes for it.
    #[must_use]
    pub fn detail(self) -> Detail {
        match self {
            Self::BoxIou(_) => Detail::Boxes,
            Self::MaskIou(_) => Detail::Full,
            Self::DistanceUm(_) => Detail::Points,
        }
    }

    /// Whether it compares areas.
    #[must_use]
    pub fn is_iou(self) -> bool {
        !matches!(self, Self::DistanceUm(_))
    }

    /// The threshold on [`Candidate::similarity`].
    #[must_use]
    pub fn threshold(self) -> f64 {
        match self {
            Self::BoxIou(iou) | Self::MaskIou(iou) => iou,
            Self::DistanceUm(um) => -um,
        }
    }

    /// The same measure with another IoU; a distance stays what it is.
    #[must_use]
    pub fn with_iou(self, iou: f64) -> Self {
        match self {
            Self::BoxIou(_) => Self::BoxIou(iou),
            Self::MaskIou(_) => Self::MaskIou(iou),
            Self::DistanceUm(um) => Self::DistanceUm(um),
        }
    }
}

impl FromStr for Criterion {
    type Err = EvalError;

    /// `iou:0.5`, `mask-iou:0.5` or `distance:3um` (`µm` and no unit also do).
    fn from_str(text: &str) -> Result<Self> {
        let bad = || EvalError::Criterion(text.to_owned());
        let (kind, value) = text.split_once(':').ok_or_else(bad)?;
        let number = |text: &str| text.trim().parse::<f64>().map_err(|_| bad());
        let iou = || Ok(Some(number(value)?).filter(|iou| *iou > 0.0 && *iou <= 1.0));
        let um = || {
            let bare = value.strip_suffix("um").or_else(|| value.strip_suffix("µm")).unwrap_or(value);
            Ok(Some(number(bare)?).filter(|um| *um > 0.0 && um.is_finite()))
        };
        match kind {
            "iou" => iou()?.map(Self::BoxIou),
            "mask-iou" => iou()?.map(Self::MaskIou),
            "distance" => um()?.map(Self::DistanceUm),
            _ => None,
        }
        .ok_or_else(bad)
    }
}

impl TryFrom<String> for Criterion {
    type Error = EvalError;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Criterion> for String {
    fn from(criterion: Criterion) -> Self {
        criterion.to_string()
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BoxIou(iou) => write!(f, "iou:{iou}"),
            Self::MaskIou(iou) => write!(f, "mask-iou:{iou}"),
            Self::DistanceUm(um) => write!(f, "distance:{um}um"),
        }
    }
}

/// A truth object near a prediction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Its place among the image's truth objects.
    pub truth: u32,
    /// Larger is nearer: the IoU, or minus the distance in µm. Against a
    /// [`Role::Crowd`] or [`Role::IgnoreArea`] it is the share of the
    /// *prediction* inside (COCO's rule for `iscrowd`), or distance 0 when its
    /// centre is inside.
    pub similarity: f64,
}

/// Every pair of one image that is near enough, by prediction.
#[derive(Debug, Clone, Default)]
pub struct Candidates {
    /// `starts[p]..starts[p + 1]` are the pairs of prediction `p`.
    starts: Vec<usize>,
    /// By rising place of the truth object within each prediction.
    pairs: Vec<Candidate>,
}

impl Candidates {
    /// Finds all pairs of one image's objects that reach `criterion`, whatever
    /// their classes; pairs with crowds and ignore areas also below it, and
    /// all pairs of predictions that touch an ignore area (panoptic quality
    /// takes the ignored part out of the union, which can lift a pair over the
    /// threshold).
    ///
    /// # Errors
    ///
    /// [`EvalError::NoMpp`] for a distance without a pixel size,
    /// [`EvalError::PointsHaveNoArea`] for an IoU of points,
    /// [`EvalError::TooManyObjects`].
    pub fn find(
        predictions: &[Object],
        truth: &[Object],
        criterion: Criterion,
        image: &Image,
    ) -> Result<Self> {
        if predictions.len().max(truth.len()) >= u32::MAX as usize {
            return Err(EvalError::TooManyObjects { image: image.name.clone() });
        }
        let measure = Measure::new(criterion, image)?;
        measure.accepts(predictions, "predictions")?;
        measure.accepts(truth, "truth")?;
        let truth: Vec<Prepared> = measure.prepare(truth);
        let items = truth.iter().zip(0..).map(|(t, place)| GeomWithData::new(t.reach(&measure), place));
        let tree = RTree::bulk_load(items.collect());
        // Neighbours in space one after the other: three times faster at 1e6.
        let order = along_a_curve(predictions);
        let found: Vec<(u32, Vec<Candidate>)> = order
            .par_chunks(2048)
            .flat_map_iter(|chunk| {
                chunk.iter().map(|&p| {
                    let prediction = measure.prepare_one(&predictions[p as usize]);
                    (p, near(&prediction, &truth, &tree, &measure))
                })
            })
            .filter(|(_, near)| !near.is_empty())
            .collect();
        Ok(Self::from_found(predictions.len(), found))
    }

    fn from_found(predictions: usize, mut found: Vec<(u32, Vec<Candidate>)>) -> Self {
        found.par_sort_unstable_by_key(|(prediction, _)| *prediction);
        let mut starts = Vec::with_capacity(predictions + 1);
        let mut pairs = Vec::with_capacity(found.iter().map(|(_, near)| near.len()).sum());
        let mut found = found.into_iter().peekable();
        for prediction in 0..predictions {
            starts.push(pairs.len());
            if let Some((_, near)) = found.next_if(|(p, _)| *p as usize == prediction) {
                pairs.extend(near);
            }
        }
        starts.push(pairs.len());
        Self { starts, pairs }
    }

    /// The pairs of prediction `p`, by rising place of the truth object.
    #[must_use]
    pub fn of(&self, p: u32) -> &[Candidate] {
        let p = p as usize;
        &self.pairs[self.starts[p]..self.starts[p + 1]]
    }

    pub(crate) fn of_mut(&mut self, p: u32) -> &mut [Candidate] {
        let p = p as usize;
        &mut self.pairs[self.starts[p]..self.starts[p + 1]]
    }
}

type Leaf = GeomWithData<Rectangle<[f64; 2]>, u32>;

fn near(p: &Prepared<'_>, truth: &[Prepared<'_>], tree: &RTree<Leaf>, measure: &Measure) -> Vec<Candidate> {
    let mut close = Vec::new();
    let _: ControlFlow<()> = tree.locate_in_envelope_intersecting_int(p.search(measure), |leaf| {
        close.push(leaf.data);
        ControlFlow::Continue(())
    });
    close.sort_unstable();
    let touches_ignored = close.iter().any(|&t| truth[t as usize].object.role == Role::IgnoreArea);
    let floor = if touches_ignored && measure.is_iou() { f64::MIN_POSITIVE } else { measure.threshold };
    let candidate = |t: u32| {
        let other = &truth[t as usize];
        let floor = if other.object.role == Role::Object { floor } else { measure.excuse_floor() };
        measure.similarity(p, other, floor).map(|similarity| Candidate { truth: t, similarity })
    };
    close.into_iter().filter_map(candidate).collect()
}

/// Predictions in the order of a Hilbert curve over their centres.
fn along_a_curve(objects: &[Object]) -> Vec<u32> {
    let cell = |v: f64| (v.clamp(0.0, f64::from(u32::MAX)) / 16.0) as u32;
    let mut keys: Vec<(u64, u32)> = (objects.iter().zip(0..))
        .map(|(object, place)| {
            let centre = object.shape.bounds().center();
            (fast_hilbert::xy2h(cell(centre.x), cell(centre.y), 32), place)
        })
        .collect();
    keys.par_sort_unstable();
    keys.into_iter().map(|(_, place)| place).collect()
}

/// An object with what every comparison needs of it.
struct Prepared<'a> {
    object: &'a Object,
    bounds: Level0Box,
    centre: Level0Point,
    area: f64,
}

impl Prepared<'_> {
    /// Where a truth object can be met.
    fn reach(&self, measure: &Measure) -> Rectangle<[f64; 2]> {
        let at_point = matches!(measure.kind, Kind::Distance { .. }) && self.object.role == Role::Object;
        let bounds = if at_point { Level0Box::new(self.centre, self.centre) } else { self.bounds };
        Rectangle::from_corners(bounds.min.to_array(), bounds.max.to_array())
    }

    /// Where a prediction looks.
    fn search(&self, measure: &Measure) -> AABB<[f64; 2]> {
        let bounds = match measure.kind {
            Kind::Distance { px, .. } => Level0Box::new(self.centre, self.centre).inflate(px, px),
            Kind::Boxes | Kind::Masks => self.bounds,
        };
        AABB::from_corners(bounds.min.to_array(), bounds.max.to_array())
    }
}

enum Kind {
    Boxes,
    Masks,
    Distance { px: f64, mpp: f64 },
}

/// A criterion made ready for one image.
struct Measure {
    kind: Kind,
    threshold: f64,
}

impl Measure {
    fn new(criterion: Criterion, image: &Image) -> Result<Self> {
        let kind = match criterion {
            Criterion::BoxIou(_) => Kind::Boxes,
            Criterion::MaskIou(_) => Kind::Masks,
            Criterion::DistanceUm(um) => {
                let mpp = image.mpp.ok_or_else(|| EvalError::NoMpp { image: image.name.clone() })?;
                // A hair wider than the limit, which `similarity` then applies in µm.
                Kind::Distance { px: um / mpp.get() * (1.0 + 1e-9), mpp: mpp.get() }
            }
        };
        Ok(Self { kind, threshold: criterion.threshold() })
    }

    fn is_iou(&self) -> bool {
        !matches!(self.kind, Kind::Distance { .. })
    }

    fn excuse_floor(&self) -> f64 {
        if self.is_iou() { f64::MIN_POSITIVE } else { self.threshold }
    }

    fn accepts(&self, objects: &[Object], side: &str) -> Result<()> {
        let points = objects.iter().filter(|object| matches!(object.shape, Shape::Point(_))).count();
        if points > 0 && self.is_iou() {
            return Err(EvalError::PointsHaveNoArea { side: side.to_owned(), objects: points });
        }
        Ok(())
    }

    fn prepare<'a>(&self, objects: &'a [Object]) -> Vec<Prepared<'a>> {
        objects.par_iter().map(|object| self.prepare_one(object)).collect()
    }

    fn prepare_one<'a>(&self, object: &'a Object) -> Prepared<'a> {
        let bounds = object.shape.bounds();
        let (centre, area) = match self.kind {
            Kind::Boxes => (bounds.center(), bounds.area()),
            Kind::Masks => (bounds.center(), object.shape.area()),
            Kind::Distance { .. } => (object.shape.centroid(), 0.0),
        };
        Prepared { object, bounds, centre, area }
    }

    /// `None` below `floor`.
    fn similarity(&self, prediction: &Prepared<'_>, truth: &Prepared<'_>, floor: f64) -> Option<f64> {
        let similarity = match self.kind {
            Kind::Distance { mpp, .. } => {
                let excused =
                    truth.object.role != Role::Object && truth.object.shape.contains(prediction.centre);
                // `+ 0.0`: no distance is 0, not -0.
                if excused { 0.0 } else { -(prediction.centre - truth.centre).length() * mpp + 0.0 }
            }
            Kind::Boxes => {
                let shared = box_overlap(&prediction.bounds, &truth.bounds);
                ratio(shared, prediction, truth)
            }
            Kind::Masks => {
                let most = box_overlap(&prediction.bounds, &truth.bounds);
                if ratio(most.min(prediction.area).min(truth.area), prediction, truth) < floor {
                    return None;
                }
                ratio(mask_overlap(prediction.object, truth.object), prediction, truth)
            }
        };
        (similarity >= floor).then_some(similarity)
    }
}

/// Shared area over the union, or over the prediction against a crowd.
fn ratio(shared: f64, prediction: &Prepared<'_>, truth: &Prepared<'_>) -> f64 {
    let whole = match truth.object.role {
        Role::Object => prediction.area + truth.area - shared,
        Role::Crowd | Role::IgnoreArea => prediction.area,
    };
    if whole > 0.0 { shared / whole } else { 0.0 }
}

fn box_overlap(a: &Level0Box, b: &Level0Box) -> f64 {
    let width = (a.max.x.min(b.max.x) - a.min.x.max(b.min.x)).max(0.0);
    let height = (a.max.y.min(b.max.y) - a.min.y.max(b.min.y)).max(0.0);
    width * height
}

fn mask_overlap(a: &Object, b: &Object) -> f64 {
    match (&a.shape, &b.shape) {
        (Shape::Polygon(a), Shape::Polygon(b)) => shared_area(a, b),
        (Shape::Box(a), Shape::Box(b)) => box_overlap(a, b),
        (Shape::Polygon(polygon), Shape::Box(bounds)) | (Shape::Box(bounds), Shape::Polygon(polygon)) => {
            shared_area(polygon, &Polygon::from_box(*bounds))
        }
        (Shape::Point(_), _) | (_, Shape::Point(_)) => 0.0,
    }
}

/// How near two objects of one image are under `criterion`: the IoU, or minus
/// the distance in µm. `None` when that is not near enough.
///
/// # Errors
///
/// As [`Candidates::find`].
pub fn similarity(a: &Object, b: &Object, criterion: Criterion, image: &Image) -> Result<Option<f64>> {
    let measure = Measure::new(criterion, image)?;
    measure.accepts(std::slice::from_ref(a), "one side")?;
    measure.accepts(std::slice::from_ref(b), "other side")?;
    let (a, b) = (measure.prepare_one(a), measure.prepare_one(b));
    Ok(measure.similarity(&a, &b, measure.threshold))
}

/// Whether classes must agree for a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Classes {
    /// Only objects of the same class match.
    Same,
    /// Any may match: for the confusion of classes.
    Any,
}

impl Classes {
    fn allow(self, prediction: ClassId, truth: &Object) -> bool {
        self == Self::Any || truth.role == Role::IgnoreArea || prediction == truth.class
    }
}

/// What became of one prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is this truth object.
    Hit(u32),
    /// It lies in a crowd or ignore area, or on an object that is not counted:
    /// neither right nor wrong.
    Ignored,
    /// It is nothing.
    False,
    /// It was not asked about: below the score threshold or over the cap.
    Unasked,
}

/// One image's objects, both sides, with their candidate pairs.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// What was predicted.
    pub predictions: &'a [Object],
    /// What is there.
    pub truth: &'a [Object],
    /// Who is near whom.
    pub candidates: &'a Candidates,
}

/// The places of `predictions`, surest first; equal scores stay in file order.
#[must_use]
pub fn by_falling_score(predictions: &[Object]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..predictions.len() as u32).collect();
    order.sort_by(|&a, &b| {
        let score = |place: u32| predictions[place as usize].score_or_one();
        score(b).total_cmp(&score(a))
    });
    order
}

/// COCO's rule (`pycocotools`, `COCOeval.evaluateImg`): predictions in `order`
/// each take the nearest truth object of their class that is still free and
/// reaches `threshold`, one that counts before one that does not; the later in
/// file order when equally near. Crowds and ignore areas are never used up.
///
/// `ignored[t]` says that truth object `t` does not count.
#[must_use]
pub fn greedy(
    scene: Scene<'_>,
    order: &[u32],
    threshold: f64,
    ignored: &[bool],
    classes: Classes,
) -> Vec<Outcome> {
    // COCO's guard against an IoU that rounds to just under 1.
    let threshold = threshold.min(1.0 - 1e-10);
    let mut taken = vec![false; scene.truth.len()];
    let mut outcomes = vec![Outcome::Unasked; scene.predictions.len()];
    for &p in order {
        let class = scene.predictions[p as usize].class;
        let choose = |counted: bool| {
            (scene.candidates.of(p).iter())
                .filter(|c| c.similarity >= threshold && ignored[c.truth as usize] != counted)
                .filter(|c| {
                    let truth = &scene.truth[c.truth as usize];
                    let free = !taken[c.truth as usize] || truth.role != Role::Object;
                    free && classes.allow(class, truth)
                })
                // `max_by` gives the last of equals, as COCO does.
                .max_by(|a, b| a.similarity.total_cmp(&b.similarity))
                .map(|c| c.truth)
        };
        outcomes[p as usize] = match choose(true) {
            Some(t) => {
                taken[t as usize] = true;
                Outcome::Hit(t)
            }
            None => match choose(false) {
                Some(t) => {
                    taken[t as usize] = true;
                    Outcome::Ignored
                }
                None => Outcome::False,
            },
        };
    }
    outcomes
}

/// As many pairs as possible among `asked` predictions, and among all such
/// pairings the one of the largest total similarity: an assignment solved by
/// shortest augmenting paths (Jonker and Volgenant, Computing 38, 1987) over the
/// candidate pairs only, so its cost follows the crowding, not the slide.
///
/// Predictions left over that lie in a crowd or ignore area are
/// [`Outcome::Ignored`].
#[must_use]
pub fn optimal(
    scene: Scene<'_>,
    asked: &[u32],
    threshold: f64,
    ignored: &[bool],
    classes: Classes,
) -> Vec<Outcome> {
    let allowed = |p: u32, c: &Candidate| {
        let class = scene.predictions[p as usize].class;
        c.similarity >= threshold && classes.allow(class, &scene.truth[c.truth as usize])
    };
    let mut edges = Edges::default();
    for &p in asked {
        let counted = scene.candidates.of(p).iter().filter(|c| !ignored[c.truth as usize]);
        edges.push_row(counted.filter(|c| allowed(p, c)).map(|c| (c.truth, c.similarity)));
    }
    let assigned = assign(&edges, scene.truth.len());
    let mut outcomes = vec![Outcome::Unasked; scene.predictions.len()];
    for (&p, truth) in asked.iter().zip(assigned) {
        let excused = || scene.candidates.of(p).iter().any(|c| ignored[c.truth as usize] && allowed(p, c));
        outcomes[p as usize] = match truth {
            Some(t) => Outcome::Hit(t),
            None if excused() => Outcome::Ignored,
            None => Outcome::False,
        };
    }
    outcomes
}

/// A sparse cost matrix, row by row. Costs are whole numbers, so that sums of
/// them are exact and the result does not hang on rounding.
#[derive(Default)]
struct Edges {
    ends: Vec<usize>,
    columns: Vec<(u32, i64)>,
}

impl Edges {
    /// Similarity in steps of about 1e-9.
    const STEPS: f64 = (1_u64 << 30) as f64;
    /// Dearer than any path of pairs: leaving a row alone is the last resort.
    const ALONE: i64 = 1 << 56;

    fn push_row(&mut self, row: impl Iterator<Item = (u32, f64)>) {
        self.columns.extend(row.map(|(column, similarity)| (column, Self::cost(similarity))));
        self.ends.push(self.columns.len());
    }

    /// Lower is nearer; IoU 1 and distance 0 need not cost the same.
    fn cost(similarity: f64) -> i64 {
        ((1.0 - similarity) * Self::STEPS).round() as i64
    }

    fn row(&self, row: usize) -> &[(u32, i64)] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.columns[start..self.ends[row]]
    }
}

const NOBODY: u32 = u32::MAX;

/// The column of each row in a cheapest assignment.
fn assign(edges: &Edges, columns: usize) -> Vec<Option<u32>> {
    let rows = edges.ends.len();
    let mut state = Assignment {
        column_of: vec![NOBODY; rows],
        row_of: vec![NOBODY; columns],
        price: vec![0; columns],
        reached: vec![i64::MAX; columns],
        from: vec![NOBODY; columns],
        settled: vec![false; columns],
    };
    for row in 0..rows as u32 {
        state.place(row, edges);
    }
    state.column_of.into_iter().map(|column| (column != NOBODY).then_some(column)).collect()
}

struct Assignment {
    column_of: Vec<u32>,
    row_of: Vec<u32>,
    /// Dual variable of each column, never positive.
    price: Vec<i64>,
    reached: Vec<i64>,
    from: Vec<u32>,
    settled: Vec<bool>,
}

/// Where a shortest path ends.
#[derive(Clone, Copy)]
enum End {
    /// At a free column.
    Column(u32),
    /// At a row that gives up its column and stays alone.
    Alone(u32),
}

impl Assignment {
    /// Finds a place for one more row, moving others where that is cheaper.
    fn place(&mut self, row: u32, edges: &Edges) {
        let mut touched = Vec::new();
        let (end, length) = self.shortest_path(row, edges, &mut touched);
        for &column in &touched {
            let place = column as usize;
            if self.settled[place] && self.reached[place] < length {
                self.price[place] += self.reached[place] - length;
            }
        }
        self.shift_along(row, end);
        for column in touched {
            self.reached[column as usize] = i64::MAX;
            self.settled[column as usize] = false;
        }
    }

    /// Dijkstra over reduced costs from `start` to the nearest end.
    fn shortest_path(&mut self, start: u32, edges: &Edges, touched: &mut Vec<u32>) -> (End, i64) {
        let mut queue: BinaryHeap<Step> = BinaryHeap::new();
        let mut best = (End::Alone(start), Edges::ALONE);
        let (mut row, mut base) = (start, 0_i64);
        loop {
            for &(column, cost) in edges.row(row as usize) {
                let place = column as usize;
                let length = base + cost - self.price[place];
                if self.settled[place] || length >= self.reached[place] || length >= best.1 {
                    continue;
                }
                if self.reached[place] == i64::MAX {
                    touched.push(column);
                }
                self.reached[place] = length;
                self.from[place] = row;
                queue.push(Step { length, column });
            }
            let Some(step) = self.next_step(&mut queue).filter(|step| step.length < best.1) else {
                return best;
            };
            let place = step.column as usize;
            self.settled[place] = true;
            row = self.row_of[place];
            if row == NOBODY {
                return (End::Column(step.column), step.length);
            }
            base = step.length - (self.own_cost(row, edges) - self.price[place]);
            if base + Edges::ALONE < best.1 {
                best = (End::Alone(row), base + Edges::ALONE);
            }
        }
    }

    fn next_step(&self, queue: &mut BinaryHeap<Step>) -> Option<Step> {
        std::iter::from_fn(|| queue.pop()).find(|step| !self.settled[step.column as usize])
    }

    fn own_cost(&self, row: u32, edges: &Edges) -> i64 {
        let column = self.column_of[row as usize];
        edges.row(row as usize).iter().find(|(c, _)| *c == column).map_or(0, |(_, cost)| *cost)
    }

    /// Gives every row on the path the column before it, ending with `start`.
    fn shift_along(&mut self, start: u32, end: End) {
        let mut column = match end {
            End::Column(column) => column,
            End::Alone(row) => {
                let freed = self.column_of[row as usize];
                self.column_of[row as usize] = NOBODY;
                if row == start {
                    return;
                }
                freed
            }
        };
        loop {
            let row = self.from[column as usize];
            self.row_of[column as usize] = row;
            let before = std::mem::replace(&mut self.column_of[row as usize], column);
            if row == start {
                return;
            }
            column = before;
        }
    }
}

/// A column in the queue, nearest first, then by place.
#[derive(PartialEq, Eq)]
struct Step {
    length: i64,
    column: u32,
}

impl Ord for Step {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.length, other.column).cmp(&(self.length, self.column))
    }
}

impl PartialOrd for Step {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::objects::ImageId;

    fn image() -> Image {
        Image { mpp: wsi_types::Mpp::new(0.5).ok(), ..Image::named("i") }
    }

    fn boxed(x: f64, y: f64, side: f64, score: f32) -> Object {
        let min: Level0Point = euclid::point2(x, y);
        Object {
            id: 0,
            image: ImageId(0),
            class: ClassId(0),
            score: Some(score),
            shape: Shape::Box(Level0Box::new(min, euclid::point2(x + side, y + side))),
            role: Role::Object,
        }
    }

    type Rule = fn(Scene<'_>, &[u32], f64, &[bool], Classes) -> Vec<Outcome>;

    fn outcomes(predictions: &[Object], truth: &[Object], criterion: Criterion, rule: Rule) -> Vec<Outcome> {
        let candidates = Candidates::find(predictions, truth, criterion, &image()).unwrap();
        let scene = Scene { predictions, truth, candidates: &candidates };
        let ignored: Vec<bool> = truth.iter().map(|t| t.role != Role::Object).collect();
        let order = by_falling_score(predictions);
        rule(scene, &order, criterion.threshold(), &ignored, Classes::Same)
    }

    #[test]
    fn criteria_are_read_and_written() {
        for text in ["iou:0.5", "mask-iou:0.75", "distance:3um"] {
            assert_eq!(text.parse::<Criterion>().unwrap().to_string(), text);
        }
        assert_eq!("distance:3 µm".parse::<Criterion>().unwrap(), Criterion::DistanceUm(3.0));
        for text in ["iou", "iou:0", "iou:1.5", "iou:0.5um", "distance:-1um", "distance:nan", "giou:0.5"] {
            assert!(matches!(text.parse::<Criterion>(), Err(EvalError::Criterion(_))), "{text}");
        }
    }

    #[test]
    fn greedy_gives_the_surest_its_choice_and_optimal_gives_everyone_a_place() {
        // Distances in px at 0.5 µm/px: the surest lies between both dots.
        let truth = [boxed(0.0, 0.0, 0.0, 1.0), boxed(10.0, 0.0, 0.0, 1.0)];
        let predictions = [boxed(4.0, 0.0, 0.0, 0.9), boxed(-4.0, 0.0, 0.0, 0.8)];
        let near = Criterion::DistanceUm(3.0);
        assert_eq!(outcomes(&predictions, &truth, near, greedy), [Outcome::Hit(0), Outcome::False]);
        assert_eq!(outcomes(&predictions, &truth, near, optimal), [Outcome::Hit(1), Outcome::Hit(0)]);
    }

    #[test]
    fn a_crowd_excuses_any_number_and_is_no_miss() {
        let mut crowd = boxed(0.0, 0.0, 100.0, 1.0);
        crowd.role = Role::Crowd;
        let truth = [crowd, boxed(10.0, 10.0, 10.0, 1.0)];
        let inside: Vec<Object> =
            (0..3).map(|i| boxed(10.0 + 20.0 * f64::from(i), 10.0, 10.0, 0.5)).collect();
        let expected = [Outcome::Hit(1), Outcome::Ignored, Outcome::Ignored];
        assert_eq!(outcomes(&inside, &truth, Criterion::BoxIou(0.5), greedy), expected);
        assert_eq!(outcomes(&inside, &truth, Criterion::BoxIou(0.5), optimal), expected);
        assert_eq!(outcomes(&inside, &truth, Criterion::DistanceUm(2.0), greedy), expected);
    }

    #[test]
    fn points_have_no_iou_and_pixels_without_mpp_no_distance() {
        let dot = Object { shape: Shape::Point(euclid::point2(0.0, 0.0)), ..boxed(0.0, 0.0, 1.0, 1.0) };
        let dots = [dot];
        let iou = Candidates::find(&dots, &dots, Criterion::BoxIou(0.5), &image());
        assert!(matches!(iou, Err(EvalError::PointsHaveNoArea { objects: 1, .. })));
        let bare = Image::named("bare");
        let distance = Candidates::find(&dots, &dots, Criterion::DistanceUm(1.0), &bare);
        assert!(matches!(distance, Err(EvalError::NoMpp { .. })));
    }

    /// All ways to pair rows with columns: (pairs, −total cost), best first.
    fn best_by_force(rows: &[Vec<(u32, f64)>], used: &mut Vec<u32>) -> (usize, i64) {
        let Some((row, rest)) = rows.split_first() else { return (0, 0) };
        let mut best = best_by_force(rest, used);
        for &(column, similarity) in row {
            if !used.contains(&column) {
                used.push(column);
                let (pairs, cost) = best_by_force(rest, used);
                best = best.max((pairs + 1, cost - Edges::cost(similarity)));
                used.pop();
            }
        }
        best
    }

    proptest! {
        #[test]
        fn assignment_is_as_good_as_trying_everything(
            rows in prop::collection::vec(prop::collection::btree_map(0_u32..6, 0.0..1.0, 0..5), 1..7)
        ) {
            let rows: Vec<Vec<(u32, f64)>> = rows.into_iter().map(|row| row.into_iter().collect()).collect();
            let mut edges = Edges::default();
            rows.iter().for_each(|row| edges.push_row(row.iter().copied()));
            let assigned = assign(&edges, 6);
            let mut columns: Vec<u32> = assigned.iter().flatten().copied().collect();
            let pairs = columns.len();
            columns.sort_unstable();
            columns.dedup();
            prop_assert_eq!(columns.len(), pairs);
            let cost: i64 = rows.iter().zip(&assigned).filter_map(|(row, column)| {
                row.iter().find(|(c, _)| Some(*c) == *column).map(|(_, s)| Edges::cost(*s))
            }).sum();
            prop_assert_eq!((pairs, -cost), best_by_force(&rows, &mut Vec::new()));
        }
    }
}
