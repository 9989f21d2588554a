//! The slide of a dataset that a person means: by its id, by the path or name of its file, or by a file that holds it.

use std::path::Path;

use dataset::{Dataset, RunAccount, SlideId, hex};
use wsi_reader::OpenError;
use wsi_types::wording::with_causes;

use crate::{error::JobError, name_list::NameList, slides::SlideEntry, work::ids_by_content};

/// The slide that is named by its id, by the path that it was read from (relative ones count from the folder of this
/// process), by the name of its file, or by a file that holds it.
///
/// # Errors
///
/// [`JobError::Usage`] for a name of no slide of the dataset or of several; [`JobError::Output`] when its list of slides
/// cannot be read.
pub fn named_slide(dataset: &Dataset, name: &str) -> Result<SlideId, JobError> {
    // A list that cannot be read is an error, whatever is asked for.
    let called = NameList::new(dataset).called(name)?;
    if let Ok(id) = SlideId::new(name)
        && is_here(dataset, &id)
    {
        return Ok(id);
    }
    match &called[..] {
        [id] => Ok(id.clone()),
        [] => slide_of_file(dataset, Path::new(name)).map_err(|_| {
            JobError::usage(format!(
                "no slide {name:?} is here, expected an id, or the path or name of its file; here are {}: {}",
                some_ids(dataset),
                dataset.root().display()
            ))
        }),
        several => {
            let ids: Vec<_> = several.iter().map(ToString::to_string).collect();
            Err(JobError::usage(format!(
                "{name:?} is the name of {} slides, give the id: {}",
                ids.len(),
                ids.join(", ")
            )))
        }
    }
}

/// The slide that a file holds, under whatever id the dataset has it.
///
/// # Errors
///
/// [`JobError::Input`] when the file cannot be read, or the dataset does not have its slide.
pub fn slide_of_file(dataset: &Dataset, file: &Path) -> Result<SlideId, JobError> {
    let entry = SlideEntry::at(file);
    let found = found(dataset, &entry).map_err(|error| {
        JobError::input(format!("cannot read the slide: {}: {}", with_causes(&error), file.display()))
    })?;
    found.ok_or_else(|| {
        JobError::input(format!(
            "no results of this slide are here, but of {}: {}",
            some_ids(dataset),
            file.display()
        ))
    })
}

fn found(dataset: &Dataset, entry: &SlideEntry) -> Result<Option<SlideId>, OpenError> {
    let content = entry.content()?;
    let noted = NameList::new(dataset).ids_at(entry).unwrap_or_default();
    let noted: Vec<_> = noted.into_iter().filter(|id| is_here(dataset, id)).collect();
    if let Some(id) = noted.iter().find(|id| holds(dataset, id, &content)) {
        return Ok(Some(id.clone()));
    }
    // A damaged copy has the samples of the good file, and an id of all that it holds.
    if !noted.is_empty() {
        let content = entry.full_content()?;
        if let Some(id) = noted.into_iter().find(|id| holds(dataset, id, &content)) {
            return Ok(Some(id));
        }
    }
    let own = SlideId::from_content(&content);
    if is_here(dataset, &own) {
        return Ok(Some(own));
    }
    Ok(ids_by_content(dataset).remove(&hex(&content)).and_then(|mut ids| ids.pop()))
}

/// `true` if a slide was made of this content, as far as its account says.
fn holds(dataset: &Dataset, id: &SlideId, content: &[u8; 32]) -> bool {
    let account = RunAccount::read(&dataset.account(id));
    let made_of = account.ok().and_then(|mut account| account.settings.remove("slide_content"));
    made_of.is_none_or(|made_of| made_of == hex(content))
}

/// `true` if the dataset has something of a slide: its account, or what a job keeps while it is at work.
fn is_here(dataset: &Dataset, id: &SlideId) -> bool {
    dataset.places(id).iter().any(|place| place.exists())
}

/// A few ids of slides that a dataset has, in words.
fn some_ids(dataset: &Dataset) -> String {
    const SHOWN: usize = 4;
    let paths = dataset.accounts().unwrap_or_default();
    let names = paths.iter().filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()));
    let shown: Vec<String> = names.take(SHOWN).collect();
    match (shown.len(), paths.len() - shown.len()) {
        (0, _) => "none".into(),
        (_, 0) => shown.join(", "),
        (_, more) => format!("{} and {more} more", shown.join(", ")),
    }
}
