//! `slidemill model`: the contract of a model, as slidemill understands it.

use crate::{args, exit::Exit};

/// Prints the contract of a model, or the reason that it cannot be used.
///
/// # Errors
///
/// An input failure when slidemill cannot run the model.
pub fn model(args: &args::Model) -> anyhow::Result<Exit> {
    let report = engine::describe(args.model.as_deref())?;
    outln!("{report}")?;
    Ok(Exit::Done)
}
