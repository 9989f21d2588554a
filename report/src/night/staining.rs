//! How cells were told apart: thresholds of measures, and the colours of the stains.

use std::collections::BTreeMap;

use dataset::wording::{counted, number};
use measures::{
    Measures,
    index::{Over, Range, Selection},
};
use wsi_types::StainVectors;

/// How the cells of a slide were told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rules {
    /// Each with the measures that it is of.
    thresholds: Vec<String>,
    stain_vectors: Option<String>,
}

impl Rules {
    /// Those of the measures that are asked for, if any are, and of the stains among the settings of an account.
    pub(super) fn new(settings: &BTreeMap<String, String>, measures: Option<&Measures>) -> Self {
        Self {
            thresholds: measures.map(thresholds).unwrap_or_default(),
            stain_vectors: stain_vectors(settings),
        }
    }

    /// The first `count` thresholds, the number of those left out, and the stain vectors; empty where nothing is to be
    /// said.
    pub(super) fn in_words(&self, count: usize) -> String {
        let first = &self.thresholds[..count.min(self.thresholds.len())];
        let left_out = self.thresholds.len() - first.len();
        let mut sentences = Vec::new();
        if !first.is_empty() {
            sentences.push(format!("Thresholds: {}.", first.join("; ")));
        }
        if left_out > 0 {
            sentences.push(format!("{}: in the report.", counted(left_out, "more threshold")));
        }
        sentences.extend(self.stain_vectors.clone());
        sentences.join(" ")
    }

    /// The same with all thresholds.
    pub(super) fn all_in_words(&self) -> String {
        self.in_words(self.thresholds.len())
    }
}

/// Each threshold with the measures that it is of: `dab_od from 0.2 (Ki-67, hot spot)`.
fn thresholds(measures: &Measures) -> Vec<String> {
    let scores: Vec<&str> = (measures.indices.iter())
        .filter(|index| matches!(index.over, Over::HScore { .. }))
        .map(|index| index.name.as_str())
        .collect();
    let of_spots = measures.hot_spots.iter().map(|spot| (spot.name.as_str(), ranges(&spot.cells)));
    let of_indices = measures.indices.iter().filter(|index| !is_share_of(&index.name, &scores));
    let of_indices = of_indices.map(|index| match &index.over {
        Over::HScore { stronger, .. } => (index.name.as_str(), strengths(&index.of, stronger)),
        _ => (index.name.as_str(), ranges(&index.of)),
    });
    let mut names: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, rule) in of_spots.chain(of_indices).filter(|(_, rule)| !rule.is_empty()) {
        names.entry(rule).or_default().push(name);
    }
    names.into_iter().map(|(rule, names)| format!("{rule} ({})", names.join(", "))).collect()
}

/// `true` for the shares of strengths that an H-score makes, whose thresholds are its own.
fn is_share_of(index: &str, scores: &[&str]) -> bool {
    let strength = scores.iter().find_map(|score| index.strip_prefix(score)?.strip_prefix(' '));
    strength.is_some_and(|strength| ["0", "1+", "2+", "3+"].contains(&strength))
}

/// The ranges of some cells in words; empty where there are none, or none has an end.
fn ranges(cells: &Selection) -> String {
    let each =
        cells.ranges.iter().filter_map(|(column, range)| Some(format!("{column} {}", in_words(range)?)));
    each.collect::<Vec<_>>().join(" and ")
}

fn in_words(range: &Range) -> Option<String> {
    let ends = [("from", range.min), ("to", range.max), ("below", range.below)];
    let ends: Vec<String> =
        ends.into_iter().filter_map(|(word, end)| Some(format!("{word} {}", number(end?)))).collect();
    (!ends.is_empty()).then(|| ends.join(" "))
}

/// Where 1+, 2+ and 3+ begin.
fn strengths(weak: &Selection, stronger: &[Selection; 2]) -> String {
    let Some(column) = graded_column(weak, &stronger[0]) else { return String::new() };
    let begins = [weak, &stronger[0], &stronger[1]].map(|cells| cells.ranges.get(column)?.min);
    let begins = ["1+", "2+", "3+"].iter().zip(begins.into_iter().flatten());
    let begins: Vec<String> = begins.map(|(word, from)| format!("{word} from {}", number(from))).collect();
    format!("{column} {}", begins.join(", "))
}

/// The column by which weakly stained cells are told from moderately stained ones.
fn graded_column<'a>(weak: &'a Selection, moderate: &Selection) -> Option<&'a str> {
    let differing = weak.ranges.iter().find(|(column, range)| moderate.ranges.get(*column) != Some(*range));
    differing.map(|(column, _)| column.as_str())
}

/// The stain vectors of a slide with DAB, where they are from, and the width of the ring; `None` without DAB.
fn stain_vectors(settings: &BTreeMap<String, String>) -> Option<String> {
    let given = settings.get("stain_vectors")?;
    let (vectors, source) = match settings.get("stain_vectors_estimated") {
        Some(estimated) => (estimated, "estimated on this slide"),
        None if *given == StainVectors::RUIFROK.to_string() => {
            (given, "published by Ruifrok and Johnston 2001")
        }
        None => (given, "stated with the run"),
    };
    let ring =
        settings.get("dab_ring_um").map(|um| format!("; ring around nuclei {um} µm")).unwrap_or_default();
    Some(format!("Stain vectors of hematoxylin/DAB (red, green, blue): {vectors}, {source}{ring}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[[hot-spot]]
name = "hot spot"
cells = { where = { dab_od = { min = 0.2 } } }
area-mm2 = 0.5

[[index]]
name = "Ki-67"
of = { where = { dab_od = { min = 0.2 } } }
share-of = { where = { dab_od = {} } }

[[index]]
name = "cells"
of = {}
per-mm2 = 1

[[index]]
name = "small"
of = { where = { area_um2 = { below = 30 }, score = { min = 0.3, max = 0.5 } } }
per-mm2 = 1

[[h-score]]
name = "ER"
cells = { where = { score = { min = 0.4 } } }
column = "dab_od"
from = [0.1, 0.3, 0.6]
"#;

    #[test]
    fn each_threshold_is_said_once_with_its_measures() {
        let measures = Measures::from_toml(FILE).unwrap();
        assert_eq!(
            thresholds(&measures),
            [
                "area_um2 below 30 and score from 0.3 to 0.5 (small)",
                "dab_od 1+ from 0.1, 2+ from 0.3, 3+ from 0.6 (ER)",
                "dab_od from 0.2 (hot spot, Ki-67)",
            ]
        );
        assert_eq!(thresholds(&Measures::default()), [] as [String; 0]);
        let rules = Rules::new(&BTreeMap::new(), Some(&measures));
        assert_eq!(
            rules.in_words(1),
            "Thresholds: area_um2 below 30 and score from 0.3 to 0.5 (small). 2 more thresholds: in the report."
        );
        assert!(rules.all_in_words().ends_with("; dab_od from 0.2 (hot spot, Ki-67)."));
        assert_eq!(Rules::new(&BTreeMap::new(), None).all_in_words(), "");
    }

    fn told(pairs: &[(&str, &str)]) -> Option<String> {
        let settings = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        stain_vectors(&settings.collect())
    }

    #[test]
    fn stain_vectors_have_their_source() {
        assert_eq!(told(&[("stains", "true")]), None);
        let own = StainVectors::RUIFROK.to_string();
        for (settings, source) in [
            (
                &[("stain_vectors", own.as_str()), ("dab_ring_um", "3")][..],
                "published by Ruifrok and Johnston 2001; ring around nuclei 3 µm.",
            ),
            (
                &[("stain_vectors", "0.65,0.7,0.29/0.3,0.57,0.78")],
                "0.65,0.7,0.29/0.3,0.57,0.78, stated with the run.",
            ),
            (
                &[("stain_vectors", "estimate"), ("stain_vectors_estimated", "1,0,0/0,0,1")],
                "1,0,0/0,0,1, estimated on this slide.",
            ),
        ] {
            let text = told(settings).unwrap();
            assert!(text.ends_with(source), "{text}");
        }
    }
}
