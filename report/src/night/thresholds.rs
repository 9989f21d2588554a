//! The least scores of a run, as its account states them.

use std::collections::BTreeMap;

/// Reach of a threshold: a cell whose score is nearer to it might as well have been left out, and counts are told for
/// thresholds this much lower and higher.
pub(super) const NEAR: f32 = 0.1;

/// Least scores at which cells were counted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Thresholds {
    all: f32,
    /// Those of classes that have their own.
    own: BTreeMap<String, f32>,
}

impl Thresholds {
    /// The thresholds among the settings of an account; `None` where several detectors have different ones, which are
    /// joined by a plus there.
    pub(super) fn from_settings(settings: &BTreeMap<String, String>, has_several: bool) -> Option<Self> {
        let all = settings.get("min_score")?.parse().ok()?;
        let pairs = settings.get("class_score").map_or("", String::as_str);
        if has_several && pairs.contains('+') {
            return None;
        }
        let own = pairs.split(',').filter(|pair| !pair.is_empty()).map(|pair| {
            let (class, score) = pair.rsplit_once('=')?;
            Some((class.to_owned(), score.parse().ok()?))
        });
        Some(Self { all, own: own.collect::<Option<_>>()? })
    }

    /// The threshold of all classes, where it is one.
    pub(super) fn one(&self) -> Option<f32> {
        self.own.is_empty().then_some(self.all)
    }

    /// The threshold of a class.
    pub(super) fn of_class(&self, class: &str) -> f32 {
        *self.own.get(class).unwrap_or(&self.all)
    }

    /// `true` if a cell of a class is counted, but would not be with a threshold that is [`NEAR`] above.
    pub(super) fn is_near(&self, class: &str, score: f32) -> bool {
        score < self.of_class(class) + NEAR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thresholds(all: &str, own: &str, has_several: bool) -> Option<Thresholds> {
        let settings = [("min_score", all), ("class_score", own)];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Thresholds::from_settings(&settings.into(), has_several)
    }

    #[test]
    fn classes_may_have_their_own() {
        let own = thresholds("0.25", "mitosis=0.6,CD3+=0.5", false).unwrap();
        assert!(own.is_near("mitosis", 0.69) && !own.is_near("mitosis", 0.71));
        assert!(own.is_near("CD3+", 0.59) && !own.is_near("other", 0.36) && own.is_near("other", 0.34));
        assert_eq!((own.one(), thresholds("0.25", "", true).unwrap().one()), (None, Some(0.25)));
        for several in ["a=1+a=2", "+a=0.5", "a=0.5+"] {
            assert_eq!(thresholds("0.25", several, true), None, "{several}");
        }
        assert_eq!(thresholds("0.25+0.5", "", true), None);
    }
}
