//! `slidemill model`: the contract of a model as understood.

use crate::{args, exit::Exit};

/// Prints what a model promises, or what is wrong with it.
///
/// # Errors
///
/// An input failure when slidemill cannot run the model.
pub fn model(args: &args::Model) -> anyhow::Result<Exit> {
    let report = engine::describe(args.model.as_deref())?;
    outln!("{report}")?;
    Ok(Exit::Done)
}
