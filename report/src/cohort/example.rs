//! Slides for tests.

use std::collections::BTreeMap;

use dataset::SlideId;

use super::findings::{CohortSlide, Finding, PER_MM2, Quantity, WHOLE, counted_in};

/// A slide whose density is this, in two classes, a third and two thirds.
pub(super) fn slide(id: &str, columns: &[(&str, &str)], per_mm2: f64) -> CohortSlide {
    let cells = (per_mm2 * 3.0) as u64;
    let cells = BTreeMap::from([("immune".to_owned(), cells / 3), ("tumour".to_owned(), cells - cells / 3)]);
    let mut columns: BTreeMap<_, _> =
        columns.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    columns.entry("mpp".to_owned()).or_insert_with(|| "0.25".to_owned());
    CohortSlide {
        id: SlideId::new(id).unwrap(),
        scale: columns["mpp"].clone(),
        columns,
        is_doubtful: false,
        is_incomplete: false,
        cells: cells.values().sum(),
        analysed_mm2: 3.0,
        findings: counted_in(WHOLE, &[(PER_MM2, 3.0)], &cells),
    }
}

/// An index with two schemes of grades.
pub(super) const GRADED: &str = r#"
[[index]]
name = "Ki-67"
of = { class = ["positive"] }
share-of = {}

[[grade]]
name = "bands"
index = "Ki-67"
source = "a book"
bands = [{ grade = "G1", below = 0.03 }, { grade = "G2", from = 0.03, to = 0.2 }, { grade = "G3", above = 0.2 }]

[[grade]]
name = "halves"
index = "Ki-67"
source = "a paper"
bands = [{ grade = "low", below = 0.5 }, { grade = "high", from = 0.5 }]
"#;

/// That index of a slide with so many positive cells among others.
pub(super) fn ki_67(cells: u64, all: u64) -> Finding {
    Finding::counted(Quantity::new("Ki-67", WHOLE, None, "share"), cells, all as f64)
}
