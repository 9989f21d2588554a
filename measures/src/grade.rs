//! Grades: bands over a measure, each scheme with its source.
//!
//! A grade here is a fact about a number: in which band of a stated scheme it lies.
//! It is not a diagnosis.

use serde::Deserialize;

/// A named scheme: the grade of each number, and the source that says so.
#[derive(Debug, Clone, PartialEq)]
pub struct Scheme {
    /// Its name.
    pub name: String,
    /// The index it is over, by name.
    pub index: String,
    /// Source of the scheme, to be printed beside every result.
    pub source: String,
    /// From the lowest numbers up, without gap or overlap.
    pub bands: Vec<Band>,
}

/// One band of numbers. Of `from` and `above`, and of `below` and `to`, at most one
/// is given; a band without a lower or upper end has no limit there.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// The grade.
    pub grade: String,
    /// Lowest number, included.
    pub from: Option<f64>,
    /// Lowest number, not included.
    pub above: Option<f64>,
    /// Highest number, not included.
    pub below: Option<f64>,
    /// Highest number, included.
    pub to: Option<f64>,
}

/// Grade of a number in a scheme.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grading<'a> {
    /// The band of the number itself.
    pub grade: &'a str,
    /// The bands of the ends of its interval: where they differ, the count does not
    /// settle the grade.
    pub interval: (&'a str, &'a str),
    /// Source of the scheme.
    pub source: &'a str,
}

impl Scheme {
    /// The band of a number; `None` for one that is below or above all bands, or
    /// NaN.
    #[must_use]
    pub fn grade(&self, value: f64) -> Option<&str> {
        self.bands.iter().find(|band| band.holds(value)).map(|band| band.grade.as_str())
    }

    /// The band of a number and those of the ends of its interval. Ends that lie
    /// outside of all bands count to the nearest.
    #[must_use]
    pub fn grading(&self, value: f64, low: f64, high: f64) -> Option<Grading<'_>> {
        let (first, last) = (self.bands.first()?, self.bands.last()?);
        let grade = self.grade(value)?;
        let low = self.grade(low).unwrap_or(&first.grade);
        let high = self.grade(high).unwrap_or(&last.grade);
        Some(Grading { grade, interval: (low, high), source: &self.source })
    }

    /// Fault of the bands, if any: the place of the band, and the reason in words.
    pub(crate) fn fault(&self) -> Option<(usize, String)> {
        if self.bands.is_empty() {
            return Some((0, "there is no band".to_owned()));
        }
        let alone = self.bands.iter().enumerate().find_map(|(place, band)| Some((place, band.fault()?)));
        let pairs = self.bands.windows(2).enumerate();
        alone.or_else(|| {
            pairs.into_iter().find_map(|(place, pair)| Some((place + 1, gap(&pair[0], &pair[1])?)))
        })
    }
}

impl Band {
    fn holds(&self, value: f64) -> bool {
        self.from.is_none_or(|from| value >= from)
            && self.above.is_none_or(|above| value > above)
            && self.below.is_none_or(|below| value < below)
            && self.to.is_none_or(|to| value <= to)
            && !value.is_nan()
    }

    /// Its lower end, with `true` if that is included.
    fn start(&self) -> Option<(f64, bool)> {
        self.from.map(|from| (from, true)).or(self.above.map(|above| (above, false)))
    }

    /// Its upper end, with `true` if that is included.
    fn end(&self) -> Option<(f64, bool)> {
        self.to.map(|to| (to, true)).or(self.below.map(|below| (below, false)))
    }

    fn fault(&self) -> Option<String> {
        let grade = &self.grade;
        let numbers = [self.from, self.above, self.below, self.to];
        if numbers.iter().flatten().any(|number| !number.is_finite()) {
            return Some(format!("an end of band {grade:?} is not finite"));
        }
        if self.from.and(self.above).is_some() || self.below.and(self.to).is_some() {
            return Some(format!(
                "band {grade:?} has two lower or two upper ends, expected one of each at most"
            ));
        }
        let (start, end) = (self.start()?, self.end()?);
        let is_empty = start.0 > end.0 || (start.0 == end.0 && !(start.1 && end.1));
        is_empty.then(|| format!("band {grade:?} holds no number"))
    }
}

/// Fault between the end of one band and the start of the next, in words.
fn gap(one: &Band, next: &Band) -> Option<String> {
    let (Some((end, ends_in)), Some((start, starts_in))) = (one.end(), next.start()) else {
        return Some(format!(
            "band {:?} has no upper or band {:?} no lower end, expected bands from low to high that meet",
            one.grade, next.grade
        ));
    };
    let wrong = match (end == start, ends_in, starts_in) {
        (true, true, false) | (true, false, true) => return None,
        (true, true, true) => "overlap",
        _ if end > start => "overlap",
        _ => "have a gap between them",
    };
    Some(format!(
        "bands {:?} and {:?} {wrong}, expected one to end (below or to {end}) where the next begins",
        one.grade, next.grade
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn band(grade: &str, start: (Option<f64>, Option<f64>), end: (Option<f64>, Option<f64>)) -> Band {
        Band { grade: grade.to_owned(), from: start.0, above: start.1, below: end.0, to: end.1 }
    }

    /// Below 3, from 3 to 20, above 20.
    fn scheme() -> Scheme {
        Scheme {
            name: "s".to_owned(),
            index: "i".to_owned(),
            source: "someone".to_owned(),
            bands: vec![
                band("G1", (None, None), (Some(3.0), None)),
                band("G2", (Some(3.0), None), (None, Some(20.0))),
                band("G3", (None, Some(20.0)), (None, None)),
            ],
        }
    }

    #[test]
    fn ends_belong_to_the_band_that_says_so() {
        let scheme = scheme();
        assert_eq!(scheme.fault(), None);
        let grades = [0.0, 2.99, 3.0, 20.0, 20.01, f64::NAN].map(|value| scheme.grade(value));
        assert_eq!(grades, [Some("G1"), Some("G1"), Some("G2"), Some("G2"), Some("G3"), None]);
        let unsure = scheme.grading(3.5, 1.0, 9.0).expect("a grade");
        assert_eq!((unsure.grade, unsure.interval, unsure.source), ("G2", ("G1", "G2"), "someone"));
        assert_eq!(scheme.grading(30.0, 25.0, f64::INFINITY).expect("a grade").interval, ("G3", "G3"));
    }

    #[test]
    fn bands_that_do_not_meet_are_found() {
        let fault = |change: fn(&mut Vec<Band>)| {
            let mut scheme = scheme();
            change(&mut scheme.bands);
            scheme.fault().map(|(place, text)| (place, text.contains("gap"), text.contains("overlap")))
        };
        assert_eq!(fault(|bands| bands[1].to = Some(19.0)), Some((2, true, false)));
        assert_eq!(fault(|bands| bands[1].to = Some(21.0)), Some((2, false, true)));
        assert_eq!(
            fault(|bands| (bands[2].above, bands[2].from) = (None, Some(20.0))),
            Some((2, false, true))
        );
        assert_eq!(fault(|bands| (bands[1].to, bands[1].below) = (None, Some(20.0))), Some((2, true, false)));
        assert_eq!(fault(|bands| bands[1].below = Some(9.0)), Some((1, false, false)));
        assert_eq!(fault(|bands| bands[1].from = Some(30.0)), Some((1, false, false)));
        assert_eq!(fault(|bands| bands[0].below = None), Some((1, false, false)));
        assert_eq!(fault(Vec::clear), Some((0, false, false)));
    }
}
