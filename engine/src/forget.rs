//! Takes slides out of a dataset: the files that a job wrote for them, and the data kept of them.

use std::{fs, io, path::Path};

use dataset::{Dataset, SlideId};
use wsi_types::wording::with_causes;

use crate::{
    desk::Desks, error::JobError, gone::gone, name_list::NameList, named::named_slide, plan::JobPlan,
};

/// Removes accounts, tables, pictures and raw detections of slides, their lines in the list of slides and
/// their place in the plan. The account goes first: a slide without one is not of the dataset. Slides are
/// named as for [`named_slide`]. Returns the ids; files that cover all slides are to be written again.
///
/// # Errors
///
/// [`JobError::Usage`] for a name of no slide or of several, before anything is removed; [`JobError::Again`]
/// when another job is working on one; [`JobError::Output`] when a file cannot be removed.
pub fn forget(dataset: &Dataset, slides: &[String]) -> Result<Vec<SlideId>, JobError> {
    let names = NameList::new(dataset);
    let ids = slides.iter().map(|slide| named_slide(dataset, slide)).collect::<Result<Vec<_>, _>>()?;
    let desks = Desks::new(dataset, dataset, None);
    for id in &ids {
        let _desk =
            desks.take(id).map_err(|error| JobError::again(format!("{id}: {}", with_causes(&error))))?;
        for path in dataset.places(id) {
            remove(&path).map_err(|error| {
                JobError::output(format!("cannot remove what is of a slide: {error}: {}", path.display()))
            })?;
        }
    }
    names.remove(&ids)?;
    JobPlan::remove(dataset, &ids)?;
    Ok(ids)
}

fn remove(path: &Path) -> io::Result<()> {
    gone(match fs::symlink_metadata(path) {
        Ok(facts) if facts.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    })
}
