//! `OUT/.slidemill/columns.csv`: what slide lists say of each slide beyond what a job needs, such as its patient. Private.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use dataset::{Dataset, SlideId};

use crate::error::JobError;

const HEADER: [&str; 3] = ["id", "column", "value"];
const NAME: &str = "columns.csv";

/// One line: a slide, a column and its value. Of several lines of one slide and column the last counts.
type Line = (SlideId, String, String);

/// What lists say of slides: by slide, the value of each column.
pub type ListColumns = BTreeMap<SlideId, BTreeMap<String, String>>;

/// What slide lists said of the slides of a dataset, in columns that no job reads.
///
/// # Errors
///
/// [`JobError::Input`] when it is there and cannot be read.
pub fn list_columns(dataset: &Dataset) -> Result<ListColumns, JobError> {
    let list = ColumnList::new(dataset);
    let lines = list.lines().map_err(|error| {
        let path = list.path();
        JobError::input(format!("cannot read the columns of the slide list: {error}: {}", path.display()))
    })?;
    let mut columns = ListColumns::new();
    for (id, column, value) in lines {
        columns.entry(id).or_default().insert(column, value);
    }
    Ok(columns)
}

/// The columns of a dataset, to which one job adds.
#[derive(Debug)]
pub(crate) struct ColumnList {
    dataset: Dataset,
    /// All values; `None` until they are read.
    known: Mutex<Option<BTreeMap<(SlideId, String), String>>>,
}

impl ColumnList {
    pub(crate) fn new(dataset: &Dataset) -> Self {
        Self { dataset: dataset.clone(), known: Mutex::default() }
    }

    /// Adds what a list says of a slide, where it is not known yet.
    ///
    /// # Errors
    ///
    /// [`JobError::Output`] when the file cannot be read or written.
    pub(crate) fn note(&self, id: &SlideId, columns: &BTreeMap<String, String>) -> Result<(), JobError> {
        if columns.is_empty() {
            return Ok(());
        }
        self.add(id, columns).map_err(|error| self.failure(&error))
    }

    fn add(&self, id: &SlideId, columns: &BTreeMap<String, String>) -> io::Result<()> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let values = match &mut *known {
            Some(values) => values,
            unread => {
                let lines = self.lines()?.into_iter();
                unread.insert(lines.map(|(id, column, value)| ((id, column), value)).collect())
            }
        };
        let new: Vec<_> = columns
            .iter()
            .filter(|(column, value)| values.get(&(id.clone(), (*column).clone())) != Some(*value))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        self.dataset.make_private()?;
        let _held = self.dataset.hold_lists();
        let mut file = self.dataset.append_private(NAME)?;
        let header = (file.metadata()?.len() == 0).then_some(HEADER);
        let lines = new.iter().map(|(column, value)| [id.as_str(), column.as_str(), value.as_str()]);
        file.write_all(&text_of(header.into_iter().chain(lines))?)?;
        values.extend(new.into_iter().map(|(column, value)| ((id.clone(), column.clone()), value.clone())));
        Ok(())
    }

    /// Removes slides.
    ///
    /// # Errors
    ///
    /// [`JobError::Output`] when the file cannot be read or written.
    pub(crate) fn remove(&self, ids: &[SlideId]) -> Result<(), JobError> {
        if !self.path().exists() {
            return Ok(());
        }
        self.rewrite_without(ids).map_err(|error| self.failure(&error))
    }

    fn rewrite_without(&self, ids: &[SlideId]) -> io::Result<()> {
        let _held = self.dataset.hold_lists();
        let lines = self.lines()?;
        let left = lines.iter().filter(|(id, ..)| !ids.contains(id));
        let left = left.map(|(id, column, value)| [id.as_str(), column.as_str(), value.as_str()]);
        self.dataset.write(&self.path(), &text_of([HEADER].into_iter().chain(left))?)
    }

    fn path(&self) -> PathBuf {
        self.dataset.columns()
    }

    fn lines(&self) -> io::Result<Vec<Line>> {
        let text = match fs::read(self.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            text => text?,
        };
        let lines = csv::Reader::from_reader(text.as_slice()).into_deserialize();
        lines.collect::<csv::Result<_>>().map_err(io::Error::other)
    }

    fn failure(&self, error: &io::Error) -> JobError {
        let path = self.path();
        JobError::output(format!("cannot write the columns of the slide list: {error}: {}", path.display()))
    }
}

fn text_of<'a>(lines: impl IntoIterator<Item = [&'a str; 3]>) -> io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in lines {
        writer.write_record(line)?;
    }
    writer.into_inner().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> SlideId {
        SlideId::new(text).unwrap()
    }

    fn columns(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn what_a_list_says_last_counts_and_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::at(folder.path());
        let list = ColumnList::new(&dataset);
        list.note(&id("a"), &columns(&[])).unwrap();
        assert!(!list.path().exists());
        for value in ["P 1, \"one\"", "P 1, \"one\"", "P2"] {
            list.note(&id("a"), &columns(&[("patient", value), ("stain", "")])).unwrap();
        }
        ColumnList::new(&dataset).note(&id("a"), &columns(&[("patient", "P2")])).unwrap();
        let text = fs::read_to_string(list.path()).unwrap();
        assert_eq!(text, "id,column,value\na,patient,\"P 1, \"\"one\"\"\"\na,stain,\na,patient,P2\n");
        list.note(&id("b"), &columns(&[("patient", "P3")])).unwrap();
        let known = list_columns(&dataset).unwrap();
        assert_eq!(known[&id("a")], columns(&[("patient", "P2"), ("stain", "")]));
        list.remove(&[id("a")]).unwrap();
        assert_eq!(fs::read_to_string(list.path()).unwrap(), "id,column,value\nb,patient,P3\n");
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::at(folder.path());
        dataset.make_private().unwrap();
        fs::write(dataset.private().join(NAME), "id,column,value\na,patient\n").unwrap();
        let error = list_columns(&dataset).unwrap_err().to_string();
        assert!(error.starts_with("cannot read the columns of the slide list: "), "{error}");
    }
}
