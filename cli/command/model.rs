//! `slidemill model`: the contract of a model as understood.

use crate::{args, bundled, exit::Exit};

/// Prints what a model promises, or what is wrong with it.
///
/// # Errors
///
/// An input failure when slidemill cannot run the model.
pub fn model(args: &args::Model) -> anyhow::Result<Exit> {
    let report = bundled::describe(args.model.as_deref())?;
    println!("{report}");
    Ok(Exit::Done)
}
