//! The pixel size of a slide, from the file's statements, with checks.
//!
//! Nothing is guessed: a value that is missing or cannot be right is a
//! [`ScaleProblem`], and the run asks for `--mpp`.

use wsi_types::{Mpp, ObjectivePower};

use crate::slide::{MppSource, Scale, ScaleProblem, SlideInfo};

/// Axes may differ by this much of their mean.
const MAX_ANISOTROPY: f64 = 0.01;
/// µm/px of a 1x objective: scanners of all makers have about 0.5 at 20x and
/// 0.25 at 40x.
const UM_PX_AT_1X: f64 = 10.0;
pub(crate) const UM_PER_INCH: f64 = 25_400.0;
/// Largest factor between the mpp and the one that the objective suggests. Real scanners stay within 1.3
/// (0.17 to 0.28 µm/px at 40x); the next objective of the usual row (10, 20, 40) is a factor of 2 away, the
/// one mistake to catch.
const MAX_OBJECTIVE_FACTOR: f64 = 1.6;

/// The user's statements about a slide's scale, µm per level-0 px.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct GivenScale {
    /// Used if the file gives no usable scale.
    pub otherwise: Option<Mpp>,
    /// Used in place of the file's scale.
    pub instead: Option<Mpp>,
}

impl GivenScale {
    /// Makes a scale that is used if the file gives no usable one.
    #[must_use]
    pub fn otherwise(mpp: Option<Mpp>) -> Self {
        Self { otherwise: mpp, instead: None }
    }

    /// Returns a note on the scale that is used for a slide: that the file's scale is overridden, or that the
    /// user's is not used.
    #[must_use]
    pub fn note(&self, info: &SlideInfo) -> Option<String> {
        let stated = info.scale.as_ref().ok()?;
        match (self.instead, self.otherwise) {
            (Some(used), _) => Some(format!(
                "the scale in the file, {} ({}), is overridden: {used} is used",
                stated.mpp, stated.source
            )),
            (None, Some(given)) if differ(given, stated.mpp) => Some(format!(
                "the file says {} ({}), which is used; the {given} given holds for slides that say none",
                stated.mpp, stated.source
            )),
            _ => None,
        }
    }
}

/// `true` if two scales differ by more than the axes of one slide may.
fn differ(one: Mpp, other: Mpp) -> bool {
    (one.get() - other.get()).abs() > MAX_ANISOTROPY * other.get()
}

/// Returns the scale to use: the one that the user gives in place of the file's, otherwise the file's,
/// otherwise the one that the user gives for files without a usable scale.
///
/// # Errors
///
/// [`ScaleProblem`], the fault of the file's scale, if the user gives none.
pub fn resolve_scale(info: &SlideInfo, given: GivenScale) -> Result<Scale, ScaleProblem> {
    if let Some(mpp) = given.instead {
        return Ok(Scale { mpp, source: MppSource::Override });
    }
    info.scale
        .clone()
        .or_else(|problem| given.otherwise.map(|mpp| Scale { mpp, source: MppSource::User }).ok_or(problem))
}

/// µm/px along both axes, as a file states them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axes<'a> {
    /// The tag it was read from, for messages.
    pub(crate) tag: &'a str,
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) source: MppSource,
}

impl Axes<'_> {
    /// Checks both numbers, that they agree, and that they fit the objective.
    pub(crate) fn scale(self, objective: Option<ObjectivePower>) -> Result<Scale, ScaleProblem> {
        let (x, y) = (self.mpp(self.x)?, self.mpp(self.y)?);
        let mean = f64::midpoint(x.get(), y.get());
        if (x.get() - y.get()).abs() > MAX_ANISOTROPY * mean {
            return Err(ScaleProblem::Anisotropic { x: x.get(), y: y.get() });
        }
        let mpp = self.mpp(mean)?;
        if let Some(objective) = objective {
            fits(mpp, objective)?;
        }
        Ok(Scale { mpp, source: self.source })
    }

    fn mpp(&self, value: f64) -> Result<Mpp, ScaleProblem> {
        Mpp::new(value).map_err(|source| ScaleProblem::Implausible { tag: self.tag.to_owned(), source })
    }
}

fn fits(mpp: Mpp, objective: ObjectivePower) -> Result<(), ScaleProblem> {
    let expected = UM_PX_AT_1X / objective.0;
    let factor = (mpp.get() / expected).max(expected / mpp.get());
    if factor < MAX_OBJECTIVE_FACTOR {
        Ok(())
    } else {
        Err(ScaleProblem::ContradictsObjective { mpp, objective, expected })
    }
}

/// Returns the number that a property holds.
pub(crate) fn number(tag: &str, text: &str) -> Result<f64, ScaleProblem> {
    // Some makers write a decimal comma.
    text.trim()
        .replace(',', ".")
        .parse()
        .map_err(|_| ScaleProblem::NotANumber { tag: tag.to_owned(), text: text.chars().take(40).collect() })
}

/// Returns the µm of one unit of length, by the names of the OME model and of ImageJ.
pub(crate) fn um_per(unit: &str) -> Option<f64> {
    Some(match unit.trim() {
        "um" | "micron" | "microns" | "micrometer" | "micrometre" => 1.0,
        unit if is_micrometre(unit) => 1.0,
        "pm" => 1e-6,
        "nm" => 1e-3,
        "mm" => 1e3,
        "cm" => 1e4,
        "dm" => 1e5,
        "m" => 1e6,
        "\u{c5}" => 1e-4,
        "thou" | "mil" => 25.4,
        "in" | "inch" => UM_PER_INCH,
        "pt" => UM_PER_INCH / 72.0,
        _ => return None,
    })
}

/// `true` for `µm` in its spellings (micro sign, Greek mu, Java's escape), and for the forms it takes when a
/// program confuses encodings: `?m`, U+FFFD and `m`, two letters of Latin-1 and `m`. Of all units of length
/// only this one has something other than an ASCII letter before its `m`.
fn is_micrometre(unit: &str) -> bool {
    let Some(prefix) = unit.strip_suffix('m') else { return false };
    let is_mark = !prefix.is_empty() && prefix.chars().all(|letter| letter == '?' || !letter.is_ascii());
    prefix.eq_ignore_ascii_case(r"\u00b5") || is_mark
}

/// Returns the magnification that a property holds, if it is one.
pub(crate) fn objective(text: &str) -> Option<ObjectivePower> {
    let power: f64 = text.trim().trim_end_matches(['x', 'X']).trim().parse().ok()?;
    (power.is_finite() && (0.5..=200.0).contains(&power)).then_some(ObjectivePower(power))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axes(x: f64, y: f64) -> Axes<'static> {
        Axes { tag: "test", x, y, source: MppSource::Vendor }
    }

    #[test]
    fn axes_may_differ_by_one_percent() {
        assert_eq!(axes(0.25, 0.2524).scale(None).unwrap().mpp.get(), 0.2512);
        assert!(matches!(axes(0.25, 0.26).scale(None), Err(ScaleProblem::Anisotropic { .. })));
    }

    #[test]
    fn an_objective_one_step_away_is_a_contradiction() {
        let at = |mpp: f64, power: f64| axes(mpp, mpp).scale(Some(ObjectivePower(power)));
        for (mpp, power) in
            [(0.5, 20.0), (0.2282, 40.0), (0.1725, 40.0), (0.32, 40.0), (0.12, 60.0), (1.0, 10.0)]
        {
            assert!(at(mpp, power).is_ok(), "{mpp} at {power}x");
        }
        for (mpp, power) in [(0.25, 20.0), (0.5, 40.0), (0.25, 10.0), (1.0, 20.0)] {
            assert!(
                matches!(at(mpp, power), Err(ScaleProblem::ContradictsObjective { .. })),
                "{mpp} at {power}x"
            );
        }
    }

    #[test]
    fn a_micrometre_is_known_whatever_became_of_its_mu() {
        for unit in ["\u{b5}m", "\u{3bc}m", "\u{fffd}m", "?m", "\u{c2}\u{b5}m", "\u{ce}\u{bc}m", "um", " µm "]
        {
            assert_eq!(um_per(unit), Some(1.0), "{unit}");
        }
        for (unit, um) in
            [("m", Some(1e6)), ("mm", Some(1e3)), ("?", None), ("pixel", None), ("reference frame", None)]
        {
            assert_eq!(um_per(unit), um, "{unit}");
        }
    }

    #[test]
    fn what_is_given_fills_in_and_overrides_only_where_it_says_so() {
        use wsi_types::LevelIndex;
        let mpp = |value| Mpp::new(value).unwrap();
        let slide = |scale| {
            crate::MemorySlide::painted(&[(9, 9)], (9, 9), scale, |_: LevelIndex, _, _| [0; 3]).unwrap()
        };
        let (stated, silent) = (slide(Some(mpp(0.499))), slide(None));
        let (stated, silent) = (crate::Slide::info(&stated), crate::Slide::info(&silent));
        let used = |info, given| resolve_scale(info, given).map(|scale| (scale.mpp.get(), scale.source));
        let fill = GivenScale::otherwise(Some(mpp(0.25)));
        let instead = GivenScale { instead: Some(mpp(0.25)), ..GivenScale::otherwise(Some(mpp(0.3))) };
        assert_eq!(used(stated, fill), Ok((0.499, MppSource::Painted)));
        assert_eq!(used(silent, fill), Ok((0.25, MppSource::User)));
        assert_eq!(used(stated, instead), Ok((0.25, MppSource::Override)));
        assert_eq!(used(silent, GivenScale::default()), Err(ScaleProblem::Missing));
        assert_eq!(GivenScale::otherwise(Some(mpp(0.5))).note(stated), None, "within 1 %");
        assert!(fill.note(stated).unwrap().starts_with("the file says 0.499 µm/px (painted), which is used"));
        assert!(instead.note(stated).unwrap().ends_with("is overridden: 0.25 µm/px is used"));
        assert_eq!((fill.note(silent), instead.note(silent)), (None, None));
    }

    #[test]
    fn objectives_are_read_with_and_without_their_x() {
        assert_eq!(objective("40x"), Some(ObjectivePower(40.0)));
        assert_eq!(objective(" 20 "), Some(ObjectivePower(20.0)));
        assert_eq!(objective("NaN"), None);
        assert_eq!(objective("0"), None);
    }
}
