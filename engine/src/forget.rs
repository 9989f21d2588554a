//! Takes slides out of a dataset: the files that a job wrote for them, and the data kept of them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use dataset::{Dataset, SlideId};
use wsi_types::wording::with_causes;

use crate::{desk::Desks, error::JobError, name_list::NameList, plan::JobPlan};

/// Removes accounts, tables, pictures and raw detections of slides, their lines in the list of slides and
/// their place in the plan. The account goes first: a slide without one is not of the dataset. Slides are
/// named by id, path or file name. Returns the ids; files that cover all slides are to be written again.
///
/// # Errors
///
/// [`JobError::Usage`] for a name of no slide or of several, before anything is removed; [`JobError::Again`]
/// when another job is working on one; [`JobError::Output`] when a file cannot be removed.
pub fn forget(dataset: &Dataset, slides: &[String]) -> Result<Vec<SlideId>, JobError> {
    let names = NameList::new(dataset);
    let ids = slides.iter().map(|slide| known(dataset, &names, slide)).collect::<Result<Vec<_>, _>>()?;
    let desks = Desks::new(dataset, dataset, None);
    for id in &ids {
        let _desk =
            desks.take(id).map_err(|error| JobError::again(format!("{id}: {}", with_causes(&error))))?;
        for path in places(dataset, id) {
            remove(&path).map_err(|error| {
                JobError::output(format!("cannot remove what is of a slide: {error}: {}", path.display()))
            })?;
        }
    }
    names.remove(&ids)?;
    JobPlan::remove(dataset, &ids)?;
    Ok(ids)
}

/// Id of the slide with that id, path or file name.
fn known(dataset: &Dataset, names: &NameList, slide: &str) -> Result<SlideId, JobError> {
    // A list that cannot be read is an error before anything is removed.
    let called = names.called(slide)?;
    if let Ok(id) = SlideId::new(slide)
        && places(dataset, &id).iter().any(|path| path.exists())
    {
        return Ok(id);
    }
    match &called[..] {
        [id] => Ok(id.clone()),
        [] => Err(JobError::usage(format!(
            "no slide {slide:?} is here, expected an id, or a path or file name of {}",
            dataset.names().display()
        ))),
        several => {
            let ids: Vec<_> = several.iter().map(ToString::to_string).collect();
            Err(JobError::usage(format!(
                "{slide:?} is the name of {} slides, give the id: {}",
                ids.len(),
                ids.join(", ")
            )))
        }
    }
}

/// Places of all files of a slide; the account is first.
fn places(dataset: &Dataset, id: &SlideId) -> Vec<PathBuf> {
    let folder_of = |table: PathBuf| table.parent().map(Path::to_owned).unwrap_or(table);
    vec![
        dataset.account(id),
        folder_of(dataset.cells(id)),
        folder_of(dataset.regions(id)),
        dataset.overview(id),
        dataset.coverage(id),
        dataset.ledger(id),
        dataset.spent(id),
        dataset.staged(id),
        dataset.tiles(id),
    ]
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(facts) if facts.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
