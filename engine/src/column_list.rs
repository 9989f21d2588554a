//! `OUT/.slidemill/columns.csv`: what slide lists say of each slide beyond what a job needs, such as its patient. Private.

use std::{
    collections::BTreeMap,
    io,
    sync::{Mutex, PoisonError},
};

use dataset::{Dataset, SlideId};

use crate::{error::JobError, private_list::PrivateList, said::otherwise};

/// What lists say of slides: by slide, the value of each column.
pub type ListColumns = BTreeMap<SlideId, BTreeMap<String, String>>;

/// What slide lists said of the slides of a dataset, in columns that no job reads.
///
/// # Errors
///
/// [`JobError::Input`] when it is there and cannot be read.
pub fn list_columns(dataset: &Dataset) -> Result<ListColumns, JobError> {
    let list = ColumnList::new(dataset).list;
    let lines = list.lines().map_err(|error| {
        JobError::input(format!("cannot read the {}: {error}: {}", list.what, list.path().display()))
    })?;
    let mut columns = ListColumns::new();
    // Of several lines of one slide and column the last counts.
    for (id, [column, value]) in lines {
        columns.entry(id).or_default().insert(column, value);
    }
    Ok(columns)
}

/// The columns of a dataset, to which one job adds.
#[derive(Debug)]
pub(crate) struct ColumnList {
    list: PrivateList<2>,
    /// `None` until they are read.
    known: Mutex<Option<Known>>,
}

/// All values, as far as the file is known.
#[derive(Debug)]
struct Known {
    values: BTreeMap<(SlideId, String), String>,
    /// Length of the file that holds them.
    bytes: u64,
}

impl Known {
    fn value(&self, id: &SlideId, column: &str) -> &str {
        self.values.get(&(id.clone(), column.to_owned())).map_or("", String::as_str)
    }

    /// The columns of which nothing is known yet.
    fn unknown<'a>(
        &self,
        id: &SlideId,
        columns: &'a BTreeMap<String, String>,
    ) -> Vec<(&'a String, &'a String)> {
        let is_unknown = |(column, value): &(&String, &String)| {
            let is_there = self.values.contains_key(&(id.clone(), (*column).clone()));
            !is_there || (self.value(id, column).is_empty() && !value.is_empty())
        };
        columns.iter().filter(is_unknown).collect()
    }

    /// Names of the columns that say something else than is known.
    fn otherwise(&self, id: &SlideId, columns: &BTreeMap<String, String>) -> Vec<String> {
        let says = columns.iter().filter(|(column, value)| otherwise(column, self.value(id, column), value));
        says.map(|(column, _)| column.clone()).collect()
    }
}

impl ColumnList {
    pub(crate) fn new(dataset: &Dataset) -> Self {
        let list = PrivateList {
            dataset: dataset.clone(),
            name: "columns.csv",
            what: "columns of the slide list",
            fields: ["column", "value"],
        };
        Self { list, known: Mutex::default() }
    }

    /// Adds what a list says of a slide, where nothing is known yet. Returns the columns that say something else than
    /// lists before: there the first stays.
    ///
    /// # Errors
    ///
    /// [`JobError::Output`] when the file cannot be read or written.
    pub(crate) fn note(
        &self,
        id: &SlideId,
        columns: &BTreeMap<String, String>,
    ) -> Result<Vec<String>, JobError> {
        if columns.is_empty() {
            return Ok(Vec::new());
        }
        self.add(id, columns).map_err(|error| self.list.failure("write", &error))
    }

    fn add(&self, id: &SlideId, columns: &BTreeMap<String, String>) -> io::Result<Vec<String>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match &mut *known {
            Some(known) => known,
            unread => unread.insert(self.read()?),
        };
        if known.unknown(id, columns).is_empty() {
            return Ok(known.otherwise(id, columns));
        }
        let _held = self.list.hold()?;
        if self.list.bytes() != known.bytes {
            // Another job said something meanwhile.
            *known = self.read()?;
        }
        let unknown = known.unknown(id, columns);
        let lines: Vec<_> = unknown.iter().map(|(column, value)| [column.as_str(), value.as_str()]).collect();
        self.list.append(id, &lines)?;
        let new = unknown.into_iter().map(|(column, value)| ((id.clone(), column.clone()), value.clone()));
        known.values.extend(new);
        known.bytes = self.list.bytes();
        Ok(known.otherwise(id, columns))
    }

    fn read(&self) -> io::Result<Known> {
        let bytes = self.list.bytes();
        let lines = self.list.lines()?.into_iter();
        Ok(Known { values: lines.map(|(id, [column, value])| ((id, column), value)).collect(), bytes })
    }

    /// Says something else of a slide from now on.
    ///
    /// # Errors
    ///
    /// [`JobError::Output`] when the file cannot be written.
    pub(crate) fn correct(&self, id: &SlideId, column: &str, value: &str) -> Result<(), JobError> {
        let corrected = self.list.hold().and_then(|_held| self.list.append(id, &[[column, value]]));
        corrected.map_err(|error| self.list.failure("write", &error))
    }

    /// Removes slides.
    ///
    /// # Errors
    ///
    /// [`JobError::Output`] when the file cannot be read or written.
    pub(crate) fn remove(&self, ids: &[SlideId]) -> Result<(), JobError> {
        self.list.remove(ids).map_err(|error| self.list.failure("write", &error))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn id(text: &str) -> SlideId {
        SlideId::new(text).unwrap()
    }

    fn columns(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Once what came last counted, without a word: a slip made a slide another patient's.
    #[test]
    fn what_was_said_first_stays_until_it_is_corrected() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::at(folder.path());
        let list = ColumnList::new(&dataset);
        let says = |list: &ColumnList, name: &str, pairs: &[(&str, &str)]| {
            list.note(&id(name), &columns(pairs)).unwrap()
        };
        assert_eq!(says(&list, "a", &[]), [""; 0]);
        assert!(!list.list.path().exists());
        let first = "P 1, \"one\"";
        assert_eq!(says(&list, "a", &[("patient", first), ("stain", "")]), [""; 0]);
        assert_eq!(
            says(&list, "a", &[("patient", first), ("stain", "HE")]),
            [""; 0],
            "nothing was said before"
        );
        assert_eq!(says(&list, "a", &[("patient", ""), ("stain", "")]), [""; 0], "nothing is said");
        assert_eq!(says(&list, "a", &[("patient", "P2"), ("stain", "HE")]), ["patient"]);
        assert_eq!(says(&ColumnList::new(&dataset), "a", &[("patient", "P2")]), ["patient"]);
        says(&list, "b", &[("patient", "P3")]);
        let known = list_columns(&dataset).unwrap();
        assert_eq!(known[&id("a")], columns(&[("patient", first), ("stain", "HE")]));
        list.correct(&id("a"), "patient", "P2").unwrap();
        assert_eq!(list_columns(&dataset).unwrap()[&id("a")]["patient"], "P2");
        assert_eq!(says(&ColumnList::new(&dataset), "a", &[("patient", "P2")]), [""; 0]);
        list.remove(&[id("a")]).unwrap();
        assert_eq!(fs::read_to_string(list.list.path()).unwrap(), "id,column,value\nb,patient,P3\n");
    }

    #[test]
    fn of_two_jobs_at_once_the_first_is_heard() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::at(folder.path());
        let [one, other] = [ColumnList::new(&dataset), ColumnList::new(&dataset)];
        for list in [&one, &other] {
            list.note(&id("x"), &columns(&[("patient", "P0")])).unwrap();
        }
        assert_eq!(one.note(&id("a"), &columns(&[("patient", "P1")])).unwrap(), [""; 0]);
        assert_eq!(other.note(&id("a"), &columns(&[("patient", "P2")])).unwrap(), ["patient"]);
        assert_eq!(list_columns(&dataset).unwrap()[&id("a")]["patient"], "P1");
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::at(folder.path());
        dataset.make_private().unwrap();
        fs::write(dataset.columns(), "id,column,value\na,patient\n").unwrap();
        let error = list_columns(&dataset).unwrap_err().to_string();
        assert!(error.starts_with("cannot read the columns of the slide list: "), "{error}");
    }
}
