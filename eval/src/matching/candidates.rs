//! Every pair of a prediction and a truth object that is near enough to be considered, and the predictions
//! that compete for the same objects.

use std::ops::ControlFlow;

use rayon::prelude::*;
use rstar::{AABB, RTree, primitives::GeomWithData, primitives::Rectangle};
use wsi_types::{Level0Box, Level0Point};

use super::Criterion;
use crate::{
    EvalError,
    error::Result,
    groups::Groups,
    objects::{Image, Object, Role, Shape},
    polygon::{Polygon, shared_area},
};

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
    clusters: Clusters,
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
        let prepared = measure.prepare(truth);
        let items = prepared.iter().zip(0..).map(|(t, place)| GeomWithData::new(t.reach(&measure), place));
        let tree = RTree::bulk_load(items.collect());
        // Neighbours in space one after the other: three times faster at 1e6.
        let found: Vec<Vec<(u32, Candidate)>> = along_a_curve(predictions)
            .par_chunks(2048)
            .map(|chunk| near(chunk, predictions, &prepared, &tree, &measure))
            .collect();
        drop(tree);
        let (starts, pairs) = by_prediction(predictions.len(), &found);
        let clusters = Clusters::new(predictions, truth, &starts, &pairs);
        Ok(Self { starts, pairs, clusters })
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

    /// The groups of predictions that compete for truth objects.
    #[must_use]
    pub fn clusters(&self) -> &Clusters {
        &self.clusters
    }
}

/// Pairs by prediction, from lists in which those of one prediction follow one
/// another.
fn by_prediction(predictions: usize, found: &[Vec<(u32, Candidate)>]) -> (Vec<usize>, Vec<Candidate>) {
    let mut starts = vec![0; predictions + 1];
    for (p, _) in found.iter().flatten() {
        starts[*p as usize + 1] += 1;
    }
    for p in 0..predictions {
        starts[p + 1] += starts[p];
    }
    let mut next = starts.clone();
    let mut pairs = vec![Candidate { truth: 0, similarity: 0.0 }; starts[predictions]];
    for (p, candidate) in found.iter().flatten() {
        let place = &mut next[*p as usize];
        pairs[*place] = *candidate;
        *place += 1;
    }
    (starts, pairs)
}

/// Predictions of one image in groups that share no truth object: a match in
/// one changes nothing in another. Every prediction is in one; crowds and
/// ignore areas, which are never used up, join nobody.
#[derive(Debug, Clone, Default)]
pub struct Clusters {
    /// Cluster after cluster in file order of their first members; within one
    /// surest first, equal scores in file order.
    members: Vec<u32>,
    /// End of each cluster in `members`, excluded.
    ends: Vec<u32>,
}

impl Clusters {
    /// Number of clusters handed to one thread at a time.
    const CHUNK: usize = 2048;

    fn new(predictions: &[Object], truth: &[Object], starts: &[usize], pairs: &[Candidate]) -> Self {
        let mut groups = Groups::alone(predictions.len());
        let mut first_at = vec![NOBODY; truth.len()];
        for p in 0..predictions.len() as u32 {
            for candidate in &pairs[starts[p as usize]..starts[p as usize + 1]] {
                let t = candidate.truth as usize;
                if truth[t].role != Role::Object {
                    continue;
                }
                if first_at[t] == NOBODY {
                    first_at[t] = p;
                } else {
                    groups.join(p, first_at[t]);
                }
            }
        }
        let mut clusters = Self::from_groups(&groups.firsts());
        clusters.surest_first(predictions);
        clusters
    }

    /// Clusters from the first member of each prediction's group.
    fn from_groups(firsts: &[u32]) -> Self {
        let mut sizes = vec![0_u32; firsts.len()];
        firsts.iter().for_each(|&first| sizes[first as usize] += 1);
        let mut next = vec![0_u32; firsts.len()];
        let (mut end, mut ends) = (0, Vec::new());
        for (first, &size) in sizes.iter().enumerate().filter(|(_, size)| **size > 0) {
            next[first] = end;
            end += size;
            ends.push(end);
        }
        let mut members = vec![0; firsts.len()];
        for (p, &first) in (0_u32..).zip(firsts) {
            let place = &mut next[first as usize];
            members[*place as usize] = p;
            *place += 1;
        }
        Self { members, ends }
    }

    fn surest_first(&mut self, predictions: &[Object]) {
        let mut start = 0;
        for &end in &self.ends {
            let end = end as usize;
            if end - start > 1 {
                self.members[start..end].sort_by(|&a, &b| {
                    let [a, b] = [a, b].map(|p| predictions[p as usize].score_or_one());
                    b.total_cmp(&a)
                });
            }
            start = end;
        }
    }

    /// Applies `to` to runs of clusters, on all threads; results in order.
    pub(super) fn map_chunks<T: Send>(
        &self,
        to: impl Fn(&mut dyn Iterator<Item = &[u32]>) -> T + Sync,
    ) -> Vec<T> {
        let chunks = self.ends.par_chunks(Self::CHUNK).enumerate();
        chunks
            .map(|(number, ends)| {
                let mut start = match number * Self::CHUNK {
                    0 => 0,
                    before => self.ends[before - 1] as usize,
                };
                to(&mut ends.iter().map(|&end| {
                    let cluster = &self.members[start..end as usize];
                    start = end as usize;
                    cluster
                }))
            })
            .collect()
    }
}

const NOBODY: u32 = u32::MAX;

type Leaf = GeomWithData<Rectangle<[f64; 2]>, u32>;

/// The pairs of some predictions, one prediction after the other.
fn near(
    places: &[u32],
    predictions: &[Object],
    truth: &[Prepared<'_>],
    tree: &RTree<Leaf>,
    measure: &Measure,
) -> Vec<(u32, Candidate)> {
    let (mut found, mut close) = (Vec::with_capacity(places.len()), Vec::new());
    for &place in places {
        let p = measure.prepare_one(&predictions[place as usize]);
        close.clear();
        let _: ControlFlow<()> = tree.locate_in_envelope_intersecting_int(p.search(measure), |leaf| {
            close.push(leaf.data);
            ControlFlow::Continue(())
        });
        close.sort_unstable();
        let touches_ignored = close.iter().any(|&t| truth[t as usize].object.role == Role::IgnoreArea);
        let floor = if touches_ignored && measure.is_iou() { f64::MIN_POSITIVE } else { measure.threshold };
        found.extend(close.iter().filter_map(|&t| {
            let other = &truth[t as usize];
            let floor = if other.object.role == Role::Object { floor } else { measure.excuse_floor() };
            let similarity = measure.similarity(&p, other, floor)?;
            Some((place, Candidate { truth: t, similarity }))
        }));
    }
    found
}

/// Predictions in the order of a Hilbert curve over their centres.
fn along_a_curve(objects: &[Object]) -> Vec<u32> {
    let mut keys: Vec<(u64, u32)> = (objects.iter().zip(0..))
        .map(|(object, place)| {
            let centre = object.shape.bounds().center().to_array();
            let [x, y] = centre.map(|v| (v.clamp(0.0, f64::from(u32::MAX)) / 16.0) as u32);
            (fast_hilbert::xy2h(x, y, 32), place)
        })
        .collect();
    keys.par_sort_unstable();
    keys.into_iter().map(|(_, place)| place).collect()
}

/// An object with the values that every comparison needs.
struct Prepared<'a> {
    object: &'a Object,
    bounds: Level0Box,
    centre: Level0Point,
    area: f64,
}

impl Prepared<'_> {
    /// Area of level 0 in which a prediction can meet a truth object.
    fn reach(&self, measure: &Measure) -> Rectangle<[f64; 2]> {
        let at_point = matches!(measure.kind, Kind::Distance { .. }) && self.object.role == Role::Object;
        let bounds = if at_point { Level0Box::new(self.centre, self.centre) } else { self.bounds };
        Rectangle::from_corners(bounds.min.to_array(), bounds.max.to_array())
    }

    /// Area of level 0 in which a prediction looks for truth objects.
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

    /// Similarity of the two; `None` below `floor`.
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

/// Similarity of two objects of one image under `criterion`: the IoU, or minus the distance in µm. `None`
/// when they are not near enough.
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
