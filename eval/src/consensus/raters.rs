//! Quality of each annotator, estimated without a known truth.
//!
//! Expectation and maximisation in the manner of STAPLE (Warfield, Zou and Wells, IEEE Trans. Med. Imaging
//! 2004), adapted from pixels to objects. STAPLE counts background pixels that all agree on; for objects
//! there is no such number, and objects that nobody marked are not seen at all. So:
//!
//! - A real object is marked by annotator `j` with probability `p_j`, on its
//!   own, given that at least one marked it: the likelihood is truncated, as in
//!   capture and recapture (Sanathanan, Ann. Math. Stat. 1972), and the number
//!   missed by all is part of the answer.
//! - A false mark starts with one annotator, `j` with probability `φ_j`; each
//!   other is fooled by the same look-alike with a common probability `r`.
//!   Three annotators cannot tell `r` from misses, so it is near 0 for them; two
//!   cannot tell who is right at all, and get no model.
//!
//! Sensitivity is `p_j`; precision is the mean probability of the marks of `j`
//! to be real.

use std::collections::BTreeMap;

/// Annotators who looked at one object's image, and those who marked the object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    /// By annotator: `true` if they looked at the image.
    pub read: Vec<bool>,
    /// By annotator: `true` if they marked the object; only those who looked can have.
    pub marked: Vec<bool>,
}

impl Pattern {
    fn readers(&self) -> impl Iterator<Item = (usize, bool)> + '_ {
        let both = self.read.iter().zip(&self.marked).enumerate();
        both.filter(|(_, (read, _))| **read).map(|(annotator, (_, marked))| (annotator, *marked))
    }

    fn marks(&self) -> usize {
        self.readers().filter(|(_, marked)| *marked).count()
    }
}

/// The fitted model.
#[derive(Debug, Clone, PartialEq)]
pub struct RaterModel {
    /// By annotator: share of real objects marked.
    pub sensitivity: Vec<f64>,
    /// By annotator: share of marks that are real.
    pub precision: Vec<f64>,
    /// Expected number of real objects that nobody marked.
    pub missed_by_all: f64,
    /// Share of marked objects that are real.
    real: f64,
    /// Probability of each annotator to start a false mark; sums to 1.
    starts: Vec<f64>,
    /// The chance that another is fooled too.
    fooled: f64,
}

/// Smallest distance that probabilities keep from 0 and 1.
const SURE: f64 = 1e-6;
const MOST_STEPS: usize = 5000;

impl RaterModel {
    /// Fits the model to all objects marked by anyone; `None` with fewer than
    /// three annotators or without objects.
    #[must_use]
    pub fn fit(annotators: usize, patterns: impl Iterator<Item = Pattern>) -> Option<Self> {
        let mut counted: BTreeMap<Pattern, f64> = BTreeMap::new();
        patterns.for_each(|pattern| *counted.entry(pattern).or_insert(0.0) += 1.0);
        let data: Vec<(Pattern, f64)> = counted.into_iter().collect();
        if annotators < 3 || data.is_empty() {
            return None;
        }
        let mut model = Self {
            sensitivity: vec![0.5; annotators],
            precision: vec![0.5; annotators],
            missed_by_all: 0.0,
            real: 0.5,
            starts: vec![1.0 / annotators as f64; annotators],
            fooled: SURE,
        };
        let shares = data.iter().map(|(seen, _)| seen.marks() as f64 / seen.readers().count() as f64);
        let mut real: Vec<f64> = shares.map(|share| share.clamp(SURE, 1.0 - SURE)).collect();
        for _ in 0..MOST_STEPS {
            model.maximise(&data, &real);
            let next: Vec<f64> = data.iter().map(|(pattern, _)| model.probability(pattern)).collect();
            let change = next.iter().zip(&real).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            real = next;
            if change < 1e-12 {
                break;
            }
        }
        model.summarise(&data, &real);
        Some(model)
    }

    /// The chance that an object with these marks is real.
    #[must_use]
    pub fn probability(&self, pattern: &Pattern) -> f64 {
        let real = self.real.ln() + self.ln_if_real(pattern);
        let false_mark = (1.0 - self.real).ln() + self.ln_if_false(pattern);
        1.0 / (1.0 + (false_mark - real).exp())
    }

    fn ln_if_real(&self, pattern: &Pattern) -> f64 {
        let by_reader = pattern.readers().map(|(j, marked)| {
            let p = self.sensitivity[j];
            if marked { p.ln() } else { (1.0 - p).ln() }
        });
        by_reader.sum::<f64>() - (1.0 - self.all_miss(pattern)).ln()
    }

    fn ln_if_false(&self, pattern: &Pattern) -> f64 {
        let started: f64 = pattern.readers().filter(|(_, marked)| *marked).map(|(j, _)| self.starts[j]).sum();
        let any: f64 = pattern.readers().map(|(j, _)| self.starts[j]).sum();
        let others = pattern.readers().count() - 1;
        let fooled = pattern.marks() - 1;
        (started / any).max(f64::MIN_POSITIVE).ln()
            + fooled as f64 * self.fooled.ln()
            + (others - fooled) as f64 * (1.0 - self.fooled).ln()
    }

    /// The chance that all who looked miss a real object.
    fn all_miss(&self, pattern: &Pattern) -> f64 {
        pattern.readers().map(|(j, _)| 1.0 - self.sensitivity[j]).product()
    }

    fn maximise(&mut self, data: &[(Pattern, f64)], real: &[f64]) {
        let annotators = self.sensitivity.len();
        let (mut found, mut there) = (vec![0.0; annotators], vec![0.0; annotators]);
        let (mut started, mut exposed) = (vec![0.0; annotators], vec![0.0; annotators]);
        let (mut fooled, mut could_be_fooled, mut all, mut all_real) = (0.0, 0.0, 0.0, 0.0);
        for ((pattern, count), &probability) in data.iter().zip(real) {
            let (is_real, is_false) = (count * probability, count * (1.0 - probability));
            let with_unseen = is_real / (1.0 - self.all_miss(pattern)).max(SURE);
            let markers: f64 = pattern.readers().filter(|(_, m)| *m).map(|(j, _)| self.starts[j]).sum();
            let readers: f64 = pattern.readers().map(|(j, _)| self.starts[j]).sum();
            for (j, marked) in pattern.readers() {
                there[j] += with_unseen;
                exposed[j] += is_false / readers.max(f64::MIN_POSITIVE);
                if marked {
                    found[j] += is_real;
                    started[j] += is_false * self.starts[j] / markers.max(f64::MIN_POSITIVE);
                }
            }
            fooled += is_false * (pattern.marks() - 1) as f64;
            could_be_fooled += is_false * (pattern.readers().count() - 1) as f64;
            all += count;
            all_real += is_real;
        }
        self.real = share(all_real, all).clamp(SURE, 1.0 - SURE);
        self.fooled = if annotators > 3 { share(fooled, could_be_fooled).clamp(SURE, 0.3) } else { SURE };
        for j in 0..annotators {
            self.sensitivity[j] = share(found[j], there[j]).clamp(SURE, 1.0 - SURE);
            self.starts[j] = share(started[j], exposed[j]).max(1e-9);
        }
        let sum: f64 = self.starts.iter().sum();
        self.starts.iter_mut().for_each(|start| *start /= sum);
    }

    fn summarise(&mut self, data: &[(Pattern, f64)], real: &[f64]) {
        let annotators = self.sensitivity.len();
        let (mut right, mut marks) = (vec![0.0; annotators], vec![0.0; annotators]);
        self.missed_by_all = 0.0;
        for ((pattern, count), &probability) in data.iter().zip(real) {
            for (j, _) in pattern.readers().filter(|(_, marked)| *marked) {
                right[j] += count * probability;
                marks[j] += count;
            }
            let miss = self.all_miss(pattern);
            self.missed_by_all += count * probability * miss / (1.0 - miss).max(SURE);
        }
        let marked = right.iter().zip(&marks);
        self.precision = marked.map(|(&right, &all)| if all > 0.0 { right / all } else { 0.0 }).collect();
    }
}

/// A part of a whole; a half where there is nothing to share.
fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.5 }
}
