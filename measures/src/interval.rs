//! Intervals for shares and for counts.

use crate::error::{MeasureError, Result};

/// Confidence level of an interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level(f64);

impl Level {
    /// The usual level.
    pub const PERCENT_95: Self = Self(0.95);

    /// A level from the share of cases in which the interval holds the truth, such as 0.95.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Value`] unless it lies between 0 and 1.
    pub fn new(share: f64) -> Result<Self> {
        let sound = share > 0.0 && share < 1.0;
        if sound { Ok(Self(share)) } else { Err(MeasureError::value("level", share, "between 0 and 1")) }
    }

    fn tail(self) -> f64 {
        (1.0 - self.0) / 2.0
    }
}

/// The interval of Wilson (J. Am. Stat. Assoc. 22, 1927) for the share of `hits` in
/// `trials`, without correction for continuity: right also for few, none or all
/// hits. 0 to 1 when nothing was tried.
///
/// It holds for trials that do not depend on each other. Cells of one slide do, so
/// it says how sure the share of *these fields* is, not that of the patient.
#[must_use]
pub fn wilson(hits: u64, trials: u64, level: Level) -> (f64, f64) {
    if trials == 0 {
        return (0.0, 1.0);
    }
    let (n, z) = (trials as f64, normal_quantile(1.0 - level.tail()));
    let share = hits as f64 / n;
    let (middle, whole) = (share + z * z / (2.0 * n), 1.0 + z * z / n);
    let reach = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    let low = if hits == 0 { 0.0 } else { (middle - reach) / whole };
    let high = if hits >= trials { 1.0 } else { (middle + reach) / whole };
    (low, high)
}

/// The exact interval of Garwood (Biometrika 28, 1936) for the mean of a Poisson
/// count: from half the χ² quantile of 2k to half that of 2k + 2 degrees of freedom.
#[must_use]
pub fn poisson(count: u64, level: Level) -> (f64, f64) {
    let k = count as f64;
    let low = if count == 0 { 0.0 } else { gamma_quantile(k, level.tail()) };
    (low, gamma_quantile(k + 1.0, 1.0 - level.tail()))
}

/// An interval for the ratio of two counts that do not share cells, by way of the
/// share of the first in both ([`wilson`]); without upper end when the second may be
/// zero.
#[must_use]
pub fn ratio(first: u64, second: u64, level: Level) -> (f64, f64) {
    let (low, high) = wilson(first, first + second, level);
    [low, high].map(|share| if share < 1.0 { share / (1.0 - share) } else { f64::INFINITY }).into()
}

/// The interval of Student (Biometrika 6, 1908) for the mean of values that do not depend on each other and lie about it
/// as a normal variable does; `None` for fewer than two.
#[must_use]
pub fn mean(values: &[f64], level: Level) -> Option<(f64, f64)> {
    let count = values.len() as f64;
    if values.len() < 2 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    let reach = student_quantile(count - 1.0, level) * (squares / (count - 1.0) / count).sqrt();
    Some((mean - reach, mean + reach))
}

/// The t that Student's variable of so many degrees of freedom does not exceed, to either side, with the probability of
/// a level.
fn student_quantile(freedom: f64, level: Level) -> f64 {
    // The probability beyond ±t is I(x; ν/2, 1/2) with x = ν / (ν + t²), which rises with x. Its complement 1 − x is
    // found, which large ν make small.
    let beyond = 2.0 * level.tail();
    let (mut low, mut high) = (0.0, 1.0);
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            return (freedom * middle / (1.0 - middle)).sqrt();
        }
        if beta_i(freedom / 2.0, 0.5, middle) > beyond { low = middle } else { high = middle }
    }
}

/// The regularised incomplete beta function I(1 − y; a, b) of `y` (Abramowitz and Stegun 26.5.8, by Lentz' method), on
/// the side where its continued fraction converges.
fn beta_i(a: f64, b: f64, y: f64) -> f64 {
    if y <= 0.0 {
        return 1.0;
    }
    if y >= 1.0 {
        return 0.0;
    }
    let x = 1.0 - y;
    let scale = (a * (-y).ln_1p() + b * y.ln() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b)).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        scale * beta_fraction(a, b, x) / a
    } else {
        1.0 - scale * beta_fraction(b, a, y) / b
    }
}

fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let mut c = 1.0;
    let mut d = away_from_zero(1.0 - (a + b) * x / (a + 1.0), TINY).recip();
    let mut fraction = d;
    let mut step = 0.0;
    loop {
        step += 1.0;
        let twice = a + 2.0 * step;
        let even = step * (b - step) * x / ((twice - 1.0) * twice);
        let odd = -(a + step) * (a + b + step) * x / (twice * (twice + 1.0));
        let before = fraction;
        for part in [even, odd] {
            d = away_from_zero(1.0 + part * d, TINY).recip();
            c = away_from_zero(1.0 + part / c, TINY);
            fraction *= c * d;
        }
        if (fraction / before - 1.0).abs() < 4.0 * f64::EPSILON || step > 1e5 {
            return fraction;
        }
    }
}

/// The number below which a standard normal variable lies with probability `p` of
/// more than a half.
fn normal_quantile(p: f64) -> f64 {
    // Its square is χ² of one degree of freedom.
    (2.0 * gamma_quantile(0.5, 2.0 * p - 1.0)).sqrt()
}

/// The x at which the regularised incomplete gamma function P(a, x) is `p`.
fn gamma_quantile(a: f64, p: f64) -> f64 {
    let (mut low, mut high) = (0.0, a + 1.0);
    while gamma_p(a, high) < p {
        low = high;
        high *= 2.0;
    }
    // Halving gains a bit a step, and rounding ends it.
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            return middle;
        }
        if gamma_p(a, middle) < p { low = middle } else { high = middle }
    }
}

/// The regularised lower incomplete gamma function P(a, x): by its series where that
/// is short, else by the continued fraction of 1 − P (Abramowitz and Stegun 6.5.29
/// and 6.5.31, the latter by Lentz' method).
fn gamma_p(a: f64, x: f64) -> f64 {
    if x < a + 1.0 { gamma_below(a, x) } else { 1.0 - gamma_above(a, x) }
}

/// The probability that χ² of so many degrees of freedom exceeds `value`.
pub(crate) fn chi2_beyond(freedom: f64, value: f64) -> f64 {
    let (a, x) = (freedom / 2.0, value / 2.0);
    if x < a + 1.0 { 1.0 - gamma_below(a, x) } else { gamma_above(a, x) }
}

fn gamma_below(a: f64, x: f64) -> f64 {
    if x <= 0.0 { 0.0 } else { (gamma_scale(a, x) * gamma_series(a, x)).min(1.0) }
}

fn gamma_above(a: f64, x: f64) -> f64 {
    gamma_scale(a, x) * gamma_fraction(a, x)
}

fn gamma_scale(a: f64, x: f64) -> f64 {
    (a * x.ln() - x - ln_gamma(a)).exp()
}

fn gamma_series(a: f64, x: f64) -> f64 {
    let (mut term, mut sum, mut below) = (1.0 / a, 1.0 / a, a);
    while term > sum * f64::EPSILON / 4.0 {
        below += 1.0;
        term *= x / below;
        sum += term;
    }
    sum
}

fn gamma_fraction(a: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / b;
    let mut fraction = d;
    let mut step = 0.0;
    loop {
        step += 1.0;
        let above = -step * (step - a);
        b += 2.0;
        d = away_from_zero(above * d + b, TINY).recip();
        c = away_from_zero(b + above / c, TINY);
        let change = c * d;
        fraction *= change;
        // Rounding keeps the last factors from being 1 in every bit.
        if (change - 1.0).abs() < 4.0 * f64::EPSILON || step > 1e6 {
            return fraction;
        }
    }
}

fn away_from_zero(value: f64, tiny: f64) -> f64 {
    if value.abs() < tiny { tiny } else { value }
}

/// The logarithm of Γ(a) for positive a: Stirling's series from 16 on, below by
/// Γ(a + 1) = a Γ(a).
fn ln_gamma(a: f64) -> f64 {
    // B₂ₙ / (2n (2n − 1)) for n from 1.
    const SERIES: [f64; 7] = [
        1.0 / 12.0,
        -1.0 / 360.0,
        1.0 / 1260.0,
        -1.0 / 1680.0,
        1.0 / 1188.0,
        -691.0 / 360_360.0,
        1.0 / 156.0,
    ];
    let (mut a, mut shift) = (a, 0.0);
    while a < 16.0 {
        shift += a.ln();
        a += 1.0;
    }
    let (mut power, mut tail) = (1.0 / a, 0.0);
    for term in SERIES {
        tail += term * power;
        power /= a * a;
    }
    (a - 0.5) * a.ln() - a + 0.5 * std::f64::consts::TAU.ln() + tail - shift
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: (f64, f64), expected: (f64, f64), name: &str) {
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs().max(1e-3);
        assert!(
            near(found.0, expected.0) && near(found.1, expected.1),
            "{name}: {found:?}, expected {expected:?}"
        );
    }

    #[test]
    fn nothing_and_everything_have_intervals() {
        assert_eq!(wilson(0, 0, Level::PERCENT_95), (0.0, 1.0));
        assert_eq!((wilson(0, 10, Level::PERCENT_95).0, wilson(10, 10, Level::PERCENT_95).1), (0.0, 1.0));
        // The rule of three, exactly: −ln 0.025.
        close(poisson(0, Level::PERCENT_95), (0.0, -(0.025_f64.ln())), "no cells");
        assert_eq!(ratio(3, 0, Level::PERCENT_95).1, f64::INFINITY);
        assert!(Level::new(1.0).is_err() && Level::new(f64::NAN).is_err());
    }

    #[test]
    fn equal_counts_have_a_ratio_about_one() {
        let (low, high) = ratio(50, 50, Level::PERCENT_95);
        assert!((low * high - 1.0).abs() < 1e-12 && low < 1.0, "{low} {high}");
    }

    #[test]
    fn a_mean_has_an_interval_from_two_values_on() {
        assert_eq!((mean(&[], Level::PERCENT_95), mean(&[3.0], Level::PERCENT_95)), (None, None));
        assert_eq!(mean(&[3.0, 3.0], Level::PERCENT_95), Some((3.0, 3.0)));
        // One degree of freedom: t is the tangent of 0.475 π.
        let t = (0.475 * std::f64::consts::PI).tan();
        close(mean(&[0.0, 2.0], Level::PERCENT_95).unwrap(), (1.0 - t, 1.0 + t), "two values");
    }

    #[test]
    fn the_normal_quantile_is_the_one_in_every_table() {
        assert!((normal_quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-12);
        assert!((normal_quantile(0.995) - 2.575_829_303_548_901).abs() < 1e-12);
    }

    #[test]
    fn gamma_is_that_of_whole_and_half_numbers() {
        assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-14);
        assert!((ln_gamma(6.0) - 120.0_f64.ln()).abs() < 1e-13);
        assert!((ln_gamma(1.0)).abs() < 1e-13);
    }
}
