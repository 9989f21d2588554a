//! All that is told of a cohort, before it is written.

use measures::Measures;

use super::{
    batches::{Batch, batches},
    columns::Columns,
    findings::CohortSlide,
    groups::{Group, groups},
    outliers::{Outlier, outliers},
    pool::Divisors,
};

/// All that is told of a cohort.
pub(super) struct Cohort<'a> {
    pub(super) slides: &'a [CohortSlide],
    pub(super) columns: &'a Columns,
    /// The definition of the measures.
    pub(super) definition: &'a Measures,
    pub(super) groups: Vec<Group<'a>>,
    pub(super) outliers: Vec<Outlier<'a>>,
    pub(super) batches: Vec<Batch<'a>>,
}

impl<'a> Cohort<'a> {
    pub(super) fn new(slides: &'a [CohortSlide], columns: &'a Columns, definition: &'a Measures) -> Self {
        Self {
            slides,
            columns,
            definition,
            groups: groups(slides, &columns.by, &Divisors::new(definition)),
            outliers: outliers(slides),
            batches: batches(slides, &columns.batch),
        }
    }
}
