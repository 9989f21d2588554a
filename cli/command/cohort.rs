//! `slidemill cohort`: slides compared by patient, group or any other column of their list.

use std::path::Path;

use dataset::{Dataset, wording::counted};
use engine::list_columns;
use report::{COHORT_FILES, Clinical, CohortQuestion, write_cohort};
use whole_file::Inputs;

use crate::{
    args,
    exit::{Exit, Failure},
};

/// Writes the cohort of a dataset.
///
/// # Errors
///
/// A usage failure for a column that is not there, a table that cannot be joined or a folder that is the dataset's own,
/// an input failure when there is no account or one cannot be read, an output failure when a file cannot be written.
pub fn cohort(args: &args::Cohort) -> anyhow::Result<Exit> {
    let dataset = Dataset::at(&args.out);
    let into = args.into.clone().unwrap_or_else(|| dataset.private().join("cohort"));
    if args.into.is_some() && (is_same_folder(&into, dataset.root()) || dataset.owns(&into)) {
        return Err(Failure::usage(format!(
            "-o is the dataset itself or a folder of it, expected a folder of its own: {}",
            into.display()
        )));
    }
    let inputs = Inputs::new(&args.join);
    COHORT_FILES.iter().try_for_each(|name| super::spare(&inputs, &into.join(name)))?;
    let join = args.join.as_deref().map(Clinical::open).transpose()?;
    let question = CohortQuestion { by: &args.by, batch: &args.batch, join: join.as_ref() };
    let end = write_cohort(&dataset, &list_columns(&dataset)?, &question, &into)?;
    for remark in &end.remarks {
        errln!("slidemill: {remark}");
    }
    outln!("cohort    {}", counted(end.slides, "slide"))?;
    outln!("page      {}", end.page.display())?;
    outln!("tables    {}", into.display())?;
    Ok(Exit::Done)
}

fn is_same_folder(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}
