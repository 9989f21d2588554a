//! What a list says of slides of a dataset otherwise than lists before it did: another patient, another group.

use std::fmt;

use dataset::{Dataset, SlideId, wording::counted};

use crate::{
    column_list::{ColumnList, ListColumns, list_columns},
    error::JobError,
    name_list::NameList,
    said::{first_of, otherwise},
    slides::SlideEntry,
};

/// All that the slides of a job say otherwise than is known in its dataset.
#[derive(Debug)]
pub struct Relisted<'d> {
    dataset: &'d Dataset,
    changes: Vec<Change>,
}

/// A column of a slide that has another value.
#[derive(Debug)]
struct Change {
    id: SlideId,
    path: String,
    column: String,
    before: String,
    now: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { column, before, now, path, .. } = self;
        write!(f, "the {column} of {path} is {before:?} here and {now:?} in this list")
    }
}

impl<'d> Relisted<'d> {
    /// Compares what is said of slides with what a dataset knows of them. A file of which something else is said, or at
    /// a new place, is known by its content.
    ///
    /// # Errors
    ///
    /// [`JobError::Input`] or [`JobError::Output`] when the lists of the dataset cannot be read.
    pub fn find(dataset: &'d Dataset, slides: &[SlideEntry]) -> Result<Self, JobError> {
        let known = list_columns(dataset)?;
        let names = NameList::new(dataset);
        let mut changes = Vec::new();
        if !known.is_empty() {
            for slide in slides.iter().filter(|slide| !slide.columns.is_empty()) {
                changes.extend(changes_of(slide, &known, &names)?);
            }
        }
        Ok(Self { dataset, changes })
    }

    /// Refuses the list, where it says something else.
    ///
    /// # Errors
    ///
    /// [`JobError::Usage`] that names the first changes, and what to do.
    pub fn refuse(&self) -> Result<(), JobError> {
        if self.changes.is_empty() {
            return Ok(());
        }
        Err(JobError::usage(format!(
            "this list says something else of slides than the list they came with: {}; correct this list, or give \
             --correct-columns to take what it says",
            first_of(&self.changes)
        )))
    }

    /// Takes what the list says, from now on; says so in words, without a value, if that changes anything.
    ///
    /// # Errors
    ///
    /// [`JobError::Output`] when it cannot be written.
    pub fn correct(&self) -> Result<Option<String>, JobError> {
        let columns = ColumnList::new(self.dataset);
        for Change { id, column, now, .. } in &self.changes {
            columns.correct(id, column, now)?;
        }
        let changed = counted(self.changes.len(), "value");
        Ok((!self.changes.is_empty())
            .then(|| format!("{changed} of columns taken from this list in place of earlier ones")))
    }
}

/// What is said of a slide otherwise than before.
fn changes_of(slide: &SlideEntry, known: &ListColumns, names: &NameList) -> Result<Vec<Change>, JobError> {
    if slide.id.is_none() {
        let at_its_path = names.ids_at(slide)?;
        // Most are where they were and say the same: those need not be read.
        if !at_its_path.is_empty() && at_its_path.iter().all(|id| differences(slide, id, known).is_empty()) {
            return Ok(Vec::new());
        }
    }
    // A file that cannot be read is the business of the job.
    let id = slide.id.clone().or_else(|| Some(SlideId::from_content(&slide.content().ok()?)));
    Ok(id.map_or_else(Vec::new, |id| differences(slide, &id, known)))
}

fn differences(slide: &SlideEntry, id: &SlideId, known: &ListColumns) -> Vec<Change> {
    let Some(before) = known.get(id) else { return Vec::new() };
    let said = slide.columns.iter().filter_map(|(column, now)| Some((column, before.get(column)?, now)));
    said.filter(|(column, before, now)| otherwise(column, before, now))
        .map(|(column, before, now)| Change {
            id: id.clone(),
            path: slide.typed(),
            column: column.clone(),
            before: before.clone(),
            now: now.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_list_that_names_another_patient_is_refused_or_taken_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::at(folder.path().join("out"));
        let [first, moved] = ["a.svs", "moved.svs"].map(|name| folder.path().join(name));
        for path in [&first, &moved] {
            std::fs::write(path, "pixels").unwrap();
        }
        let of = |path: &std::path::Path, patient: &str| {
            let mut slide = SlideEntry::at(path);
            slide.columns =
                [("patient", patient), ("filename", "x")].map(|(a, b)| (a.to_owned(), b.to_owned())).into();
            slide
        };
        assert!(Relisted::find(&dataset, &[of(&first, "P1")]).unwrap().refuse().is_ok(), "nothing is known");
        let slide = of(&first, "P1");
        let id = SlideId::from_content(&slide.content().unwrap());
        NameList::new(&dataset).note(&id, &slide).unwrap();
        for same in [of(&first, "P1"), of(&first, ""), of(&moved, "P1"), SlideEntry::at(&first)] {
            assert!(Relisted::find(&dataset, &[same]).unwrap().refuse().is_ok());
        }
        for other in [of(&first, "P2"), of(&moved, "P2")] {
            let found = Relisted::find(&dataset, std::slice::from_ref(&other)).unwrap();
            let refused = found.refuse().unwrap_err().to_string();
            let expected =
                format!("the patient of {} is \"P1\" here and \"P2\" in this list", other.path.display());
            assert!(refused.contains(&expected) && refused.contains("--correct-columns"), "{refused}");
        }
        let found = [of(&moved, "P2")];
        let found = Relisted::find(&dataset, &found).unwrap();
        let said = found.correct().unwrap().unwrap();
        assert!(said.starts_with("1 value of columns taken") && !said.contains("P2"), "{said}");
        assert_eq!(list_columns(&dataset).unwrap()[&id]["patient"], "P2");
        let before = [of(&first, "P1")];
        assert!(
            Relisted::find(&dataset, &before).unwrap().refuse().is_err(),
            "and now the old list is the other one"
        );
    }
}
