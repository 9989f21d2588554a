//! Result of a measure.

use measures::HotSpot;

/// A measure in one place of one slide.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measured {
    /// Its name in the definition.
    pub(crate) name: String,
    /// Unit of its value: `share`, `ratio`, `per mm²`, `per 2 mm²`.
    pub(crate) unit: String,
    /// Where: `slide`, `regions Tumor`, `mitoses 1`.
    pub(crate) place: String,
    /// Cells counted.
    pub(crate) cells: Option<u64>,
    /// Cells they are divided by, where they are.
    pub(crate) others: Option<u64>,
    /// Of an H-score: cells of 2+ and more, and of 3+.
    pub(crate) stronger: Option<[u64; 2]>,
    /// The area they lie in, where they are divided by one.
    pub(crate) area_mm2: Option<f64>,
    /// The number itself.
    pub(crate) value: Option<f64>,
    /// The ends of its interval of 95 %; the upper one may be infinite.
    pub(crate) interval: Option<(f64, f64)>,
    /// The field, of a hot spot.
    pub(crate) field: Option<HotSpot>,
    /// Its bands, of an index that has some.
    pub(crate) grades: Vec<Graded>,
    /// Why there is no value.
    pub(crate) problem: Option<String>,
    /// What to know before the value is used.
    pub(crate) note: Option<String>,
}

/// The band of an index in a scheme.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Graded {
    pub(crate) scheme: String,
    /// `None` for a number outside of all bands.
    pub(crate) grade: Option<String>,
    /// The bands of the ends of its interval.
    pub(crate) interval: Option<(String, String)>,
    /// Who says so.
    pub(crate) source: String,
}

impl Measured {
    /// Nothing but a reason.
    pub(super) fn problem(name: &str, unit: String, place: String, problem: String) -> Self {
        Self {
            name: name.to_owned(),
            unit,
            place,
            cells: None,
            others: None,
            stronger: None,
            area_mm2: None,
            value: None,
            interval: None,
            field: None,
            grades: Vec::new(),
            problem: Some(problem),
            note: None,
        }
    }
}
