//! `slidemill report`: the report, the summaries and the manifest again, from what is under OUT.

use std::path::{Path, PathBuf};

use dataset::{Dataset, Manifest};
use report::{FileNames, ReportError};

use crate::{annotations::slide_names, args, exit::Exit, measure, slide_files::slide_files};

/// Writes the report of all slides that have an account, the summaries and the manifest.
///
/// # Errors
///
/// An input failure when there is no account, an output failure when the report
/// cannot be written.
pub fn report(args: &args::Report) -> anyhow::Result<Exit> {
    let dataset = Dataset::at(&args.out);
    if dataset.accounts()?.is_empty() {
        return Err(ReportError::nothing_to_report(&dataset).into());
    }
    if let Some(definition) = measure::definition(args.measure.as_deref(), &dataset)? {
        definition.write(&dataset)?;
    }
    let files = slide_files(&dataset);
    report::write_overall(&dataset, &files)?;
    outln!("{}", dataset.report().display())?;
    if args.private {
        let paths = slide_names::<PathBuf>(&dataset)?;
        let names: FileNames = paths.into_iter().map(|(id, path)| (id, file_name(&path))).collect();
        outln!("{}", report::write_private_report(&dataset, &files, &names)?.display())?;
        Manifest::write(&dataset)?;
    }
    Ok(Exit::Done)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
