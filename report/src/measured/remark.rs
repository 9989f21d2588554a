//! What to know before the measures of a dataset are used: in a few lines, for people.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use dataset::wording::counted;

use super::{
    line::Measured,
    slides::{MeasuredSlide, MeasuredSlides},
};

/// What is to be known of some measures: that they have no value on some slides, or what their value holds. It names
/// no slide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasureRemark {
    /// Names of the measures that it is true of.
    measures: Vec<String>,
    said: Said,
}

/// The slides that a remark is about, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    kind: Kind,
    /// Number of these slides.
    slides: usize,
    /// Number of slides that are measured.
    all: usize,
    /// The most frequent reason.
    reason: String,
    /// Number of further reasons, on other slides or in other places.
    further: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    NoValue,
    Note,
}

impl fmt::Display for MeasureRemark {
    /// In one line, without its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Said { kind, slides, all, reason, further } = &self.said;
        let where_to = format!("on {slides} of {}", counted(*all, "slide"));
        match kind {
            Kind::NoValue => write!(f, "{}: no value {where_to}: {reason}", self.measures.join(", "))?,
            Kind::Note => write!(f, "{}: {where_to} {reason}", self.measures.join(", "))?,
        }
        if *further > 0 { write!(f, "; and {}", counted(*further, "other reason")) } else { Ok(()) }
    }
}

/// Remarks on all measures, in the order of their definition. Those of which the same is true, as of the parts of an
/// H-score, share one.
pub(crate) fn remarks(measured: &MeasuredSlides) -> Vec<MeasureRemark> {
    let mut remarks: Vec<MeasureRemark> = Vec::new();
    for name in names(measured) {
        for kind in [Kind::NoValue, Kind::Note] {
            let Some(said) = Said::new(name, kind, measured) else { continue };
            match remarks.iter_mut().find(|known| known.said == said) {
                Some(known) => known.measures.push(name.to_owned()),
                None => remarks.push(MeasureRemark { measures: vec![name.to_owned()], said }),
            }
        }
    }
    remarks
}

/// Names of the measures, each once; every slide has all of them.
fn names(measured: &MeasuredSlides) -> Vec<&str> {
    let lines = measured.values().next().map_or(&[][..], |slide| &slide.lines);
    let mut seen = BTreeSet::new();
    lines.iter().map(|line| line.name.as_str()).filter(|name| seen.insert(*name)).collect()
}

impl Said {
    /// The slides on which something of this kind is to be said of a measure; `None` where there are none.
    fn new(name: &str, kind: Kind, measured: &MeasuredSlides) -> Option<Self> {
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        let mut slides = 0;
        for slide in measured.values() {
            let said = said_of(name, kind, slide);
            slides += usize::from(!said.is_empty());
            said.into_iter().for_each(|reason| *reasons.entry(reason).or_default() += 1);
        }
        // The most frequent one; of several the first in the alphabet.
        let (reason, _) = reasons.iter().rev().max_by_key(|(_, slides)| **slides)?;
        let (reason, further) = ((*reason).to_owned(), reasons.len() - 1);
        Some(Self { kind, slides, all: measured.len(), reason, further })
    }
}

/// What is said of a measure on one slide, each once.
fn said_of<'m>(name: &str, kind: Kind, slide: &'m MeasuredSlide) -> BTreeSet<&'m str> {
    let own = slide.lines.iter().filter(|line| line.name == name);
    own.filter_map(|line| kind.of(line)).collect()
}

impl Kind {
    fn of(self, line: &Measured) -> Option<&str> {
        match self {
            Self::NoValue => line.problem.as_deref(),
            Self::Note => line.note.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use dataset::{Outcome, SlideId};

    use super::*;

    fn missing(name: &str, why: &str) -> Measured {
        Measured::problem(name, "share".into(), "slide".into(), why.into())
    }

    fn found(name: &str, note: Option<&str>) -> Measured {
        Measured { problem: None, note: note.map(str::to_owned), value: Some(0.1), ..missing(name, "") }
    }

    fn said(slides: Vec<Vec<Measured>>) -> Vec<String> {
        let measured = slides.into_iter().zip(1..).map(|(lines, number): (_, u32)| {
            let slide = MeasuredSlide { outcome: Outcome::Done, doubts: None, lines };
            (SlideId::new(format!("s{number}")).unwrap(), slide)
        });
        remarks(&measured.collect()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn measures_without_value_are_said_with_the_most_frequent_reason() {
        let overlap = "its regions overlap";
        let slides = vec![
            vec![
                missing("Ki-67", "a"),
                missing("ER 0", "b"),
                missing("ER", "b"),
                found("size", Some(overlap)),
            ],
            vec![missing("Ki-67", "c"), found("ER 0", None), found("ER", None), found("size", None)],
            vec![missing("Ki-67", "c"), found("ER 0", None), found("ER", None), found("size", Some(overlap))],
        ];
        assert_eq!(
            said(slides),
            [
                "Ki-67: no value on 3 of 3 slides: c; and 1 other reason",
                "ER 0, ER: no value on 1 of 3 slides: b",
                "size: on 2 of 3 slides its regions overlap"
            ]
        );
    }

    #[test]
    fn fields_of_one_slide_count_as_one_slide() {
        let fields = vec![missing("spot", "no area"), missing("spot", "no area"), found("spot", None)];
        assert_eq!(said(vec![fields]), ["spot: no value on 1 of 1 slide: no area"]);
        assert_eq!(said(vec![vec![found("spot", None)]]), [""; 0]);
        assert_eq!(said(Vec::new()), [""; 0]);
    }
}
