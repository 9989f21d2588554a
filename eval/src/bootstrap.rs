//! Confidence intervals by drawing slides with replacement.
//!
//! Cells of one slide are alike, so drawing cells would promise far too narrow
//! intervals: the unit drawn is the patient or slide ([`Image::group`]).

use std::collections::BTreeMap;

use rand_pcg::{Pcg64, rand_core::Rng};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{objects::Image, ranking::Draw};

/// Settings of the bootstrap.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BootstrapSettings {
    /// Number of draws.
    pub replicates: u32,
    /// Seed of the generator: the same seed gives the same intervals.
    pub seed: u64,
    /// Share of draws inside the interval, such as 0.95.
    pub level: f64,
}

impl Default for BootstrapSettings {
    fn default() -> Self {
        Self { replicates: 1000, seed: 0, level: 0.95 }
    }
}

/// A figure with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The figure itself, from every image once.
    pub value: f64,
    /// Percentile interval; absent without a bootstrap or with one slide only.
    pub interval: Option<(f64, f64)>,
}

/// Computes `statistics` for all images and, given settings and at least two groups, for every draw of
/// groups; each figure gets its percentile interval. Draws for which a figure does not exist do not count for
/// it. The result is the same for any number of threads.
pub fn estimates(
    images: &[Image],
    settings: Option<BootstrapSettings>,
    statistics: impl Fn(&Draw) -> Vec<Option<f64>> + Sync,
) -> Vec<Option<Estimate>> {
    let values = statistics(&Draw::each_once(images.len()));
    let groups = groups(images);
    let Some(settings) = settings.filter(|_| groups.len() > 1) else {
        return values.iter().map(|v| v.map(|value| Estimate { value, interval: None })).collect();
    };
    let replicates: Vec<Vec<Option<f64>>> = (0..settings.replicates)
        .into_par_iter()
        .map(|replicate| statistics(&draw(&groups, images.len(), settings.seed, replicate)))
        .collect();
    let estimates = values.iter().enumerate().map(|(i, value)| {
        let drawn = replicates.iter().filter_map(|figures| figures[i]).collect();
        value.map(|value| Estimate { value, interval: middle_of(drawn, settings.level) })
    });
    estimates.collect()
}

/// The interval that holds the share `level` of the values drawn, with as much below it as above.
fn middle_of(mut drawn: Vec<f64>, level: f64) -> Option<(f64, f64)> {
    drawn.sort_by(f64::total_cmp);
    let tail = (1.0 - level) / 2.0;
    quantile(&drawn, tail).zip(quantile(&drawn, 1.0 - tail))
}

/// The images of each group, by name of the group.
fn groups(images: &[Image]) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, image) in images.iter().enumerate() {
        groups.entry(image.group()).or_default().push(place);
    }
    groups.into_values().collect()
}

/// Each replicate has its own stream, so threads cannot change it.
fn draw(groups: &[Vec<usize>], images: usize, seed: u64, replicate: u32) -> Draw {
    let mut random = Pcg64::new(u128::from(seed), u128::from(replicate));
    let mut times = vec![0; images];
    for _ in 0..groups.len() {
        for &image in &groups[below(&mut random, groups.len())] {
            times[image] += 1;
        }
    }
    Draw::from_times(times)
}

/// A whole number below `n`: the upper half of a 64 × 64-bit product.
fn below(random: &mut Pcg64, n: usize) -> usize {
    ((u128::from(random.next_u64()) * n as u128) >> 64) as usize
}

/// Linear between neighbours, as numpy's default.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * sorted.len().checked_sub(1)? as f64;
    let low = sorted[place.floor() as usize];
    let high = sorted[place.ceil() as usize];
    Some(low + (high - low) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(n: usize) -> Vec<Image> {
        (0..n).map(|i| Image::named(format!("i{i}"))).collect()
    }

    fn mean_of(images: usize) -> impl Fn(&Draw) -> Vec<Option<f64>> + Sync {
        move |draw| {
            let total = draw.total();
            let sum = draw.sum((0..images).map(|i| i as f64));
            vec![Some(sum / total), None]
        }
    }

    #[test]
    fn the_interval_of_a_mean_is_about_two_standard_errors() {
        let found = estimates(&images(100), Some(BootstrapSettings::default()), mean_of(100));
        let mean = found[0].unwrap();
        assert_eq!(mean.value, 49.5);
        let (low, high) = mean.interval.unwrap();
        // sd of 0..99 is 28.87; standard error 2.887.
        assert!((low - (49.5 - 5.66)).abs() < 0.6, "{low}");
        assert!((high - (49.5 + 5.66)).abs() < 0.6, "{high}");
        assert_eq!(found[1], None);
    }

    #[test]
    fn the_same_for_any_number_of_threads() {
        let [one, three] = [1, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| estimates(&images(7), Some(BootstrapSettings::default()), mean_of(7)))
        });
        assert_eq!(one, three);
    }

    #[test]
    fn one_patient_has_no_interval() {
        let mut two = images(2);
        two.iter_mut().for_each(|image| image.group = Some("patient".to_owned()));
        let found = estimates(&two, Some(BootstrapSettings::default()), mean_of(2));
        assert_eq!(found[0].unwrap().interval, None);
    }

    #[test]
    fn patients_are_drawn_whole() {
        let groups = vec![vec![0, 1, 2], vec![3]];
        for replicate in 0..50 {
            let drawn = draw(&groups, 4, 1, replicate);
            assert_eq!(drawn.times(0), drawn.times(2));
            assert_eq!(drawn.times(0) + drawn.times(3), 2.0);
        }
    }
}
