//! All that is told of a cohort, before it is written.

use super::{
    batches::{Batch, batches},
    columns::Columns,
    findings::CohortSlide,
    groups::{Group, groups},
    outliers::{Outlier, outliers},
};

/// All that is told of a cohort.
pub(super) struct Cohort<'a> {
    pub(super) slides: &'a [CohortSlide],
    pub(super) columns: &'a Columns,
    pub(super) groups: Vec<Group<'a>>,
    pub(super) outliers: Vec<Outlier<'a>>,
    pub(super) batches: Vec<Batch<'a>>,
}

impl<'a> Cohort<'a> {
    pub(super) fn new(slides: &'a [CohortSlide], columns: &'a Columns) -> Self {
        Self {
            slides,
            columns,
            groups: groups(slides, &columns.by),
            outliers: outliers(slides),
            batches: batches(slides, &columns.batch),
        }
    }
}
