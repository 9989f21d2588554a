//! `--measure`: which measures are made of the cells.

use std::path::Path;

use dataset::Dataset;
use report::Definition;

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
