//! `--measure`: which measures are made of the cells, and what to know before they are used.

use std::path::Path;

use dataset::Dataset;
use engine::{Event, Watch};
use report::{Definition, MeasureRemark};

use crate::exit::Failure;

/// Reads what is asked for, or else what `results` hold, before anything is done: a night is not to end with it.
///
/// # Errors
///
/// A usage failure when it is neither a file that can be used nor the name of a scheme.
pub fn definition(asked: Option<&Path>, results: &Dataset) -> anyhow::Result<Option<Definition>> {
    match asked {
        Some(what) => {
            Definition::open(what).map(Some).map_err(|error| Failure::usage(format!("--measure: {error}")))
        }
        None => Ok(Definition::read(results)?),
    }
}

/// Remarks that are shown on a terminal; the others are in the tables.
const SHOWN: usize = 10;

/// Says what to know before the measures are used.
pub fn tell(remarks: &[MeasureRemark]) {
    for remark in remarks.iter().take(SHOWN) {
        errln!("measure   {remark}");
    }
    if remarks.len() > SHOWN {
        errln!("measure   and {} more: see problem and note in measures.csv", remarks.len() - SHOWN);
    }
}

/// The same as events, to programs that read them.
pub fn tell_as_notes(remarks: &[MeasureRemark], watch: &mut impl Watch) {
    for remark in remarks {
        watch.tell(&Event::Note { message: format!("measure {remark}") });
    }
}
