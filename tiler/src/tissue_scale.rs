//! The scale that the tissue itself suggests: nuclei have a known size.
//!
//! On a few dense fields the amount of hematoxylin is searched for blobs of all sizes. The strength of their
//! answers, by size, has one hill at the size of the nuclei; three readings of that hill, each compared with
//! its value on tissue of known scale, give the µm of a px. If the three disagree (coarse chromatin, bands of
//! nuclei, hardly any nuclei), the estimate is uncertain and says so. See `docs/decisions` for the methods
//! that were tried, and how often it is wrong.

use std::{fmt, ops::RangeInclusive};

use serde::{Deserialize, Serialize};
use wsi_reader::Slide;
use wsi_types::{Mpp, RgbBuffer};

use crate::{
    fields::dense_fields,
    scale_space::{BlobAnswer, STEP, blob_answers},
    stain::Densities,
};

/// Factor by which nuclei of healthy and of sick tissue differ: a scale nearer than this to the estimate is
/// never doubted.
pub const TOLERANCE: f64 = 1.5;

/// Values of the three readings of the hill if a px is 1 µm, as diameters: of its top in third powers, of its
/// far flank in fourth powers, of its middle. Chosen so that the sets of fields of known scale are off by as
/// much to either side.
const TOP_UM: f64 = 5.15;
const FLANK_UM: f64 = 7.5;
const MIDDLE_UM: f64 = 4.95;

/// Least diameter of a blob, px: smaller ones cannot be told from grain.
const LEAST_PX: f64 = 3.5;
/// Mean square of the answers below which there are no nuclei: flat tissue, fat, glass.
const LEAST_CONTRAST: f64 = 1e-4;
/// Spread of the logarithms of the readings above which they measure different things.
const MOST_SPREAD: f64 = 0.35;
/// Spread of the logarithm of the estimate from field to field of one slide.
const BETWEEN_FIELDS: f64 = 0.15;
/// Largest chance error of an estimate, as a factor: readings that disagree by more are still those of a hill, and of
/// 173 such estimates 170 were right within a factor of 2, however unclear their hills.
const MOST_UNCERTAIN: f64 = 1.8;
/// Factor by which a hill, nearly as high as the greatest, must be finer to be that of the nuclei; the
/// greatest is then that of glands, nests or bands.
const FAR_APART: f64 = 3.5;
/// Least height of such a hill, as a share of the greatest.
const NEARLY_AS_HIGH: f64 = 0.8;

/// µm per level-0 px as the nuclei of a slide suggest it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TissueScale {
    /// The estimate, µm per level-0 px; not bound to what microscopes make.
    pub mpp: f64,
    /// Chance error of the estimate, as a factor of at least 1 (about two standard deviations). It does not
    /// cover that nuclei of different tissues differ: see [`TOLERANCE`].
    pub uncertainty: f64,
    /// Number of fields that it was measured on.
    pub fields: usize,
}

impl TissueScale {
    /// Measures the nuclei of a slide. `picture` shows all of it, small; the dense fields are found there and
    /// read from level 0. The slide's own statement of its scale is not used.
    ///
    /// # Errors
    ///
    /// [`NoTissueScale`] where the slide gives no evidence.
    pub fn estimate(slide: &dyn Slide, picture: &RgbBuffer) -> Result<Self, NoTissueScale> {
        let densities = Densities::new();
        let fields = dense_fields(slide, picture, |pixel| densities.hematoxylin(pixel).into());
        Self::from_fields(&fields, &densities)
    }

    pub(crate) fn from_fields(fields: &[RgbBuffer], densities: &Densities) -> Result<Self, NoTissueScale> {
        if fields.is_empty() {
            return Err(NoTissueScale::Unread);
        }
        let readings: Vec<Reading> = fields
            .iter()
            .filter_map(|field| Reading::new(&blob_answers(densities.hematoxylin_plane(field))))
            .collect();
        let readings: Vec<Reading> =
            readings.into_iter().filter(|reading| reading.spread <= MOST_SPREAD).collect();
        if readings.is_empty() { Err(NoTissueScale::NoNuclei) } else { Ok(Self::from_readings(&readings)) }
    }

    /// Takes the median of all fields, with more weight for those with clear nuclei.
    fn from_readings(readings: &[Reading]) -> Self {
        let middle = weighted_median(readings.iter().map(|reading| (reading.log_mpp, reading.weight())));
        let spread = weighted_median(readings.iter().map(|reading| (reading.spread, reading.weight())));
        let deviations = readings.iter().map(|reading| ((reading.log_mpp - middle).abs(), reading.weight()));
        // 1.48: from the median of deviations to the standard deviation of a normal distribution. A single
        // field tells nothing about the others.
        let between = 1.48 * weighted_median(deviations);
        let count = readings.len() as f64;
        let chance = ((4.0 * spread * spread + between * between) / count).sqrt();
        let uncertainty = (2.0 * chance).exp().min(MOST_UNCERTAIN);
        Self { mpp: middle.exp(), uncertainty, fields: readings.len() }
    }

    /// Returns the scales, µm/px, that the tissue does not contradict, ends included. The difference between
    /// tissues and the chance error add up in squares.
    #[must_use]
    pub fn plausible(&self) -> RangeInclusive<f64> {
        let factor = TOLERANCE.ln().hypot(self.uncertainty.ln()).exp();
        self.mpp / factor..=self.mpp * factor
    }

    /// Returns the doubt about a scale that is used for the slide; `None` if the tissue does not contradict
    /// it.
    #[must_use]
    pub fn doubt(&self, used: Mpp) -> Option<ScaleDoubt> {
        (!self.plausible().contains(&used.get())).then_some(ScaleDoubt { used, tissue: *self })
    }
}

impl fmt::Display for TissueScale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = self.plausible();
        write!(f, "about {:.2} µm/px ({:.2} to {:.2})", self.mpp, range.start(), range.end())
    }
}

/// A scale that the tissue contradicts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScaleDoubt {
    /// The scale stated by the file, or given.
    pub used: Mpp,
    /// The scale that the tissue suggests.
    pub tissue: TissueScale,
}

impl ScaleDoubt {
    /// Returns the factor, above 1, by which the two differ.
    #[must_use]
    pub fn factor(&self) -> f64 {
        let ratio = self.used.get() / self.tissue.mpp;
        ratio.max(1.0 / ratio)
    }
}

impl fmt::Display for ScaleDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the nuclei have the size they have at {}, the scale used is {}: {:.1} times off",
            self.tissue,
            self.used,
            self.factor()
        )
    }
}

/// Reasons why the tissue suggests no scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum NoTissueScale {
    /// No field of level 0 could be read.
    #[error("no field of the slide could be read")]
    Unread,
    /// Too few nuclei, or none that stand out.
    #[error("no clear nuclei were found")]
    NoNuclei,
    /// The slide was not stained with hematoxylin and eosin.
    #[error("the slide does not look like hematoxylin and eosin")]
    OtherStain,
}

/// One field: µm/px by three readings.
#[derive(Debug, Clone, Copy)]
struct Reading {
    /// Mean of the logarithms of the three.
    log_mpp: f64,
    /// Their spread (standard deviation).
    spread: f64,
}

impl Reading {
    /// Takes the readings; `None` if there is no hill, or it is that of grain.
    fn new(answers: &[BlobAnswer]) -> Option<Self> {
        let contrast = answers.iter().map(|answer| answer.second).fold(0.0, f64::max);
        if contrast < LEAST_CONTRAST {
            return None;
        }
        let answers = nuclear_hill(answers);
        // Hills of third and fourth powers lean towards structures larger than
        // nuclei and finer than them; weighing by size balances both.
        let cubes: Vec<f64> = answers.iter().map(|answer| answer.third * answer.sigma.powf(0.25)).collect();
        let fourths: Vec<f64> = answers.iter().map(|answer| answer.fourth).collect();
        let log_sigmas =
            [log_top(answers, &cubes)?, log_flank(answers, &fourths)?, log_middle(answers, &fourths)?];
        let [top, flank, middle] = log_sigmas.map(|log_sigma| log_sigma + 0.5 * 8f64.ln());
        if top.min(middle) < LEAST_PX.ln() {
            return None;
        }
        let logs = [TOP_UM.ln() - top, FLANK_UM.ln() - flank, MIDDLE_UM.ln() - middle];
        let log_mpp = logs.iter().sum::<f64>() / 3.0;
        let variance = logs.iter().map(|log| (log - log_mpp) * (log - log_mpp)).sum::<f64>() / 3.0;
        Some(Self { log_mpp, spread: variance.sqrt() })
    }

    fn weight(&self) -> f64 {
        1.0 / (BETWEEN_FIELDS * BETWEEN_FIELDS + 4.0 * self.spread * self.spread)
    }
}

/// Returns the answers up to the end of the hill of the nuclei: all of them, unless there is a finer hill far
/// before the greatest.
fn nuclear_hill(answers: &[BlobAnswer]) -> &[BlobAnswer] {
    let hill: Vec<f64> = answers.iter().map(|answer| answer.fourth).collect();
    let Some(greatest) = top(&hill) else { return answers };
    let finer = (1..greatest).find(|&at| {
        hill[at] >= hill[at - 1] && hill[at] > hill[at + 1] && hill[at] >= NEARLY_AS_HIGH * hill[greatest]
    });
    let finer = finer.filter(|&at| answers[greatest].sigma > FAR_APART * answers[at].sigma);
    let valley = finer.and_then(|finer| (finer..greatest).min_by(|&a, &b| hill[a].total_cmp(&hill[b])));
    valley.map_or(answers, |valley| &answers[..=valley])
}

/// Returns the value below which half of all weight lies, from pairs (value, weight). 0 if there are none.
fn weighted_median(values: impl Iterator<Item = (f64, f64)>) -> f64 {
    let mut values: Vec<(f64, f64)> = values.collect();
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = values.iter().map(|(_, weight)| weight).sum::<f64>() / 2.0;
    let mut below = 0.0;
    for (place, &(value, weight)) in values.iter().enumerate() {
        below += weight;
        if below > half * (1.0 + 1e-9) {
            return value;
        }
        if below >= half * (1.0 - 1e-9) {
            return f64::midpoint(value, values.get(place + 1).map_or(value, |next| next.0));
        }
    }
    0.0
}

/// Returns the place of the greatest value.
fn top(hill: &[f64]) -> Option<usize> {
    (0..hill.len()).max_by(|&a, &b| hill[a].total_cmp(&hill[b]))
}

/// Returns the logarithm of the width at the top of a hill, between steps by a parabola through the
/// logarithms of three values.
fn log_top(answers: &[BlobAnswer], hill: &[f64]) -> Option<f64> {
    let at = top(hill)?;
    let here = answers[at].sigma.ln();
    if at == 0 || at + 1 == hill.len() {
        return Some(here);
    }
    let [before, best, after] = [hill[at - 1], hill[at], hill[at + 1]].map(f64::ln);
    let bend = before - 2.0 * best + after;
    let off = if bend < 0.0 { 0.5 * (before - after) / bend } else { 0.0 };
    Some(here + off.clamp(-0.5, 0.5) * STEP.ln())
}

/// Returns the logarithm of the width at which a hill has fallen to half its height, beyond its top.
fn log_flank(answers: &[BlobAnswer], hill: &[f64]) -> Option<f64> {
    let at = top(hill)?;
    let half = hill[at] * 0.5;
    let below = (at..hill.len()).find(|&place| hill[place] < half);
    let Some(below) = below else { return answers.last().map(|answer| answer.sigma.ln()) };
    let (high, low) = (hill[below - 1].ln(), hill[below].max(f64::MIN_POSITIVE).ln());
    let share = (high - half.ln()) / (high - low);
    Some(answers[below - 1].sigma.ln() + share * STEP.ln())
}

/// Returns the mean of the logarithms of the widths, weighted by the square of the values there; within a
/// factor of 6 of the top.
fn log_middle(answers: &[BlobAnswer], hill: &[f64]) -> Option<f64> {
    let peak = answers[top(hill)?].sigma;
    let near =
        answers.iter().zip(hill).filter(|(answer, _)| (peak / 6.0..peak * 6.0).contains(&answer.sigma));
    let (mut sum, mut weights) = (0.0, 0.0);
    for (answer, height) in near {
        let weight = height * height * answer.sigma;
        sum += weight * answer.sigma.ln();
        weights += weight;
    }
    (weights > 0.0).then(|| sum / weights)
}

#[cfg(test)]
mod tests {
    use wsi_reader::{MemorySlide, Overview};
    use wsi_types::{LevelIndex, Rgb, TileId};

    use super::*;

    /// Nuclei of `diameter` px (and of 0.8 and 1.2 times as much) on pink tissue, as
    /// far apart as in a dense field.
    fn nuclei(x: u32, y: u32, diameter: f64) -> Rgb {
        let pitch = diameter * 1.9;
        let (column, row) = ((f64::from(x) / pitch).floor(), (f64::from(y) / pitch).floor());
        let mix = (column * 7.0 + row * 13.0).rem_euclid(5.0);
        let shift = pitch * (0.4 + 0.05 * mix);
        let (dx, dy) = (f64::from(x) - column * pitch - shift, f64::from(y) - row * pitch - shift);
        let inside = (dx * dx + dy * dy).sqrt() < diameter * (0.4 + 0.05 * mix);
        if inside { [110, 70, 150] } else { [225, 170, 200] }
    }

    fn slide_of(diameter: f64) -> MemorySlide {
        MemorySlide::painted(&[(1600, 1200)], (256, 256), None, move |_, x, y| nuclei(x, y, diameter))
            .unwrap()
    }

    fn estimate(slide: &MemorySlide) -> Result<TissueScale, NoTissueScale> {
        TissueScale::estimate(slide, &Overview::whole(slide, 400).pixels)
    }

    #[test]
    fn nuclei_twice_as_large_are_pixels_half_as_large() {
        let small = estimate(&slide_of(9.0)).unwrap();
        for factor in [1.5, 2.0, 4.0] {
            let large = estimate(&slide_of(9.0 * factor)).unwrap();
            let ratio = small.mpp / large.mpp / factor;
            assert!((0.87..1.15).contains(&ratio), "{factor}: {ratio:.3} times what it should be");
            assert!(large.uncertainty < 1.3, "{large:?}");
        }
        // 9 px at 0.6 µm are nuclei of 5.4 µm.
        assert!((0.45..0.8).contains(&small.mpp), "{small}");
    }

    #[test]
    fn the_same_slide_gives_the_same_bits() {
        let slide = slide_of(14.0);
        assert_eq!(estimate(&slide).unwrap(), estimate(&slide).unwrap());
    }

    fn plain(paint: fn(LevelIndex, u32, u32) -> Rgb) -> Result<TissueScale, NoTissueScale> {
        estimate(&MemorySlide::painted(&[(1200, 900)], (256, 256), None, paint).unwrap())
    }

    #[test]
    fn no_nuclei_are_no_evidence() {
        assert_eq!(plain(|_, _, _| [255; 3]), Err(NoTissueScale::NoNuclei));
        assert_eq!(plain(|_, _, _| [220, 160, 200]), Err(NoTissueScale::NoNuclei));
        // Chequered px by px: grain, however strong.
        let grain = plain(|_, x, y| if (x + y) % 2 == 0 { [110, 70, 150] } else { [225, 170, 200] });
        assert_eq!(grain, Err(NoTissueScale::NoNuclei));
    }

    #[test]
    fn fields_that_cannot_be_read_are_left_out() {
        let [all, one] = [(5, 7), (1, 1)].map(|(rows, columns)| {
            let tiles = (0..rows).flat_map(move |row| (0..columns).map(move |column| (row, column)));
            slide_of(14.0).with_failing(tiles.map(|(row, column)| TileId {
                level: LevelIndex(0),
                row,
                column,
            }))
        });
        assert_eq!(
            TissueScale::estimate(&all, &Overview::whole(&slide_of(14.0), 400).pixels),
            Err(NoTissueScale::Unread)
        );
        let whole = estimate(&slide_of(14.0)).unwrap();
        let part = estimate(&one).unwrap();
        assert!((part.mpp / whole.mpp - 1.0).abs() < 0.1, "{part} and {whole}");
    }

    /// Once an unclear hill let scales pass that are wrong by 4.
    #[test]
    fn a_hill_that_is_unclear_bounds_the_scale_all_the_same() {
        let readings = |spread| [Reading { log_mpp: 0.5f64.ln(), spread }];
        let [clear, unclear] =
            [0.05, MOST_SPREAD].map(|spread| TissueScale::from_readings(&readings(spread)));
        assert!(clear.uncertainty < 1.3 && unclear.uncertainty == MOST_UNCERTAIN, "{clear:?}, {unclear:?}");
        let doubted = [0.125, 0.25, 1.0, 1.5].map(|mpp| unclear.doubt(Mpp::new(mpp).unwrap()).is_some());
        assert_eq!(doubted, [true, false, false, true]);
    }

    #[test]
    fn medians_are_by_weight() {
        assert_eq!(weighted_median([(3.0, 1.0), (1.0, 1.0), (2.0, 1.0)].into_iter()), 2.0);
        assert_eq!(weighted_median([(1.0, 1.0), (2.0, 1.0)].into_iter()), 1.5);
        assert_eq!(weighted_median([(1.0, 5.0), (2.0, 1.0), (9.0, 1.0)].into_iter()), 1.0);
        assert_eq!(weighted_median(std::iter::empty()), 0.0);
    }

    #[test]
    fn nuclei_are_told_from_the_nests_they_lie_in() {
        let heights = [0.2, 0.6, 0.9, 0.6, 0.3, 0.4, 0.8, 1.0, 0.5];
        let answers: Vec<_> = heights
            .iter()
            .zip([1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0])
            .map(|(&fourth, sigma)| BlobAnswer { sigma, second: 0.0, third: 0.0, fourth })
            .collect();
        assert_eq!(nuclear_hill(&answers), &answers[..5]);
        let mut low = answers.clone();
        low[1..=3].iter_mut().for_each(|answer| answer.fourth *= 0.5);
        assert_eq!(nuclear_hill(&low), &low[..]);
        assert_eq!(nuclear_hill(&answers[..4]), &answers[..4]);
        assert_eq!(nuclear_hill(&[]), &[]);
    }

    #[test]
    fn only_what_is_off_by_more_than_tissue_varies_is_doubted() {
        let tissue = TissueScale { mpp: 0.25, uncertainty: 1.0, fields: 3 };
        let [coarser, finer, doubted, doubted_too] =
            [0.25 * 1.49, 0.25 / 1.49, 1.0, 0.0625].map(|used| tissue.doubt(Mpp::new(used).unwrap()));
        assert_eq!((coarser, finer), (None, None));
        let (doubted, doubted_too) = (doubted.unwrap(), doubted_too.unwrap());
        assert_eq!((doubted.factor(), doubted_too.factor()), (4.0, 4.0));
        assert_eq!(
            doubted.to_string(),
            "the nuclei have the size they have at about 0.25 µm/px (0.17 to 0.38), the scale used is 1 µm/px: \
             4.0 times off"
        );
        let vague = TissueScale { uncertainty: 4.0, ..tissue };
        assert_eq!(vague.doubt(Mpp::new(1.0).unwrap()), None);
    }
}
