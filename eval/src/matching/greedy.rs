//! COCO's rule: the surest prediction chooses first.

use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use super::{Outcome, Question, Scene};
use crate::objects::{Object, Role};

/// Largest number of thresholds that [`greedy_at`] answers at once.
pub const MOST_THRESHOLDS: usize = u16::BITS as usize;

/// Verdict on one prediction at several thresholds: bit `k` is for threshold `k`. Where neither bit is set,
/// the prediction is false.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verdict {
    /// It is matched with a truth object that counts.
    pub hit: u16,
    /// Neither right nor wrong: it matched an object that does not count, or does not take part.
    pub ignored: u16,
}

impl Verdict {
    /// Ignored everywhere.
    pub const UNASKED: Self = Self { hit: 0, ignored: u16::MAX };
}

/// The places of `predictions`, surest first; equal scores stay in file order.
#[must_use]
pub fn by_falling_score(predictions: &[Object]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..predictions.len() as u32).collect();
    order.sort_by(|&a, &b| {
        let [a, b] = [a, b].map(|place| predictions[place as usize].score_or_one());
        b.total_cmp(&a)
    });
    order
}

/// COCO's rule (`pycocotools`, `COCOeval.evaluateImg`): predictions by falling
/// score each take the nearest truth object of their class that is still free
/// and reaches `threshold`, one that counts before one that does not; the later
/// in file order when equally near. Crowds and ignore areas are never used up.
#[must_use]
pub fn greedy(scene: Scene<'_>, question: Question<'_>, threshold: f64) -> Vec<Outcome> {
    let taken = Taken::new(scene);
    scene.by_cluster(Outcome::Unasked, |cluster, decided| {
        for &p in cluster.iter().filter(|p| question.asked[**p as usize]) {
            let outcome = match taken.choose(scene, question, p, threshold, 0) {
                Some((t, true)) => Outcome::Hit(t),
                Some((_, false)) => Outcome::Ignored,
                None => Outcome::False,
            };
            decided.push((p, outcome));
        }
    })
}

/// [`greedy`] at each of at most [`MOST_THRESHOLDS`] `thresholds`, in one walk
/// over the pairs.
///
/// # Panics
///
/// With more thresholds.
#[must_use]
pub fn greedy_at(scene: Scene<'_>, question: Question<'_>, thresholds: &[f64]) -> Vec<Verdict> {
    assert!(thresholds.len() <= MOST_THRESHOLDS, "{} thresholds at once", thresholds.len());
    let taken = Taken::new(scene);
    scene.by_cluster(Verdict::UNASKED, |cluster, decided| {
        for &p in cluster.iter().filter(|p| question.asked[**p as usize]) {
            let mut verdict = Verdict::default();
            for (&threshold, bit) in thresholds.iter().zip(0..) {
                match taken.choose(scene, question, p, threshold, bit) {
                    Some((_, true)) => verdict.hit |= 1 << bit,
                    Some((_, false)) => verdict.ignored |= 1 << bit,
                    None => {}
                }
            }
            decided.push((p, verdict));
        }
    })
}

/// Truth objects that are used up, a bit for each threshold. Shared between threads without order: each
/// object belongs to one cluster, and a cluster to one thread.
struct Taken(Vec<AtomicU16>);

impl Taken {
    fn new(scene: Scene<'_>) -> Self {
        Self(scene.truth.iter().map(|_| AtomicU16::new(0)).collect())
    }

    /// Takes the truth object that `p` gets at this threshold; `true` if the object counts.
    fn choose(
        &self,
        scene: Scene<'_>,
        question: Question<'_>,
        p: u32,
        threshold: f64,
        bit: u16,
    ) -> Option<(u32, bool)> {
        // COCO's guard against an IoU that rounds to just under 1.
        let threshold = threshold.min(1.0 - 1e-10);
        let chosen = (scene.candidates.of(p).iter())
            .filter(|c| scene.may_match(p, c, threshold, question.classes))
            .filter(|c| self.is_free(scene, c.truth, bit))
            .map(|c| (!question.ignored[c.truth as usize], c))
            // `max_by` gives the last of equals, as COCO does.
            .max_by(|(a_counts, a), (b_counts, b)| {
                a_counts.cmp(b_counts).then(a.similarity.total_cmp(&b.similarity))
            });
        let (counts, candidate) = chosen?;
        self.0[candidate.truth as usize].fetch_or(1 << bit, Relaxed);
        Some((candidate.truth, counts))
    }

    fn is_free(&self, scene: Scene<'_>, truth: u32, bit: u16) -> bool {
        let place = truth as usize;
        scene.truth[place].role != Role::Object || self.0[place].load(Relaxed) & (1 << bit) == 0
    }
}
