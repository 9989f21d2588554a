//! A private CSV of a dataset with lines about its slides: jobs add to it at once, `forget` takes slides out.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
};

use csv::StringRecord;
use dataset::{Dataset, SlideId};

use crate::error::JobError;

/// A slide, and what is said of it in `N` fields.
pub(crate) type Line<const N: usize> = (SlideId, [String; N]);

/// The file of a dataset, whose lines have an id and `N` fields.
#[derive(Debug, Clone)]
pub(crate) struct PrivateList<const N: usize> {
    pub(crate) dataset: Dataset,
    /// Of the file, in the private folder.
    pub(crate) name: &'static str,
    /// The list in words, for messages.
    pub(crate) what: &'static str,
    /// Names of the fields.
    pub(crate) fields: [&'static str; N],
}

impl<const N: usize> PrivateList<N> {
    pub(crate) fn path(&self) -> PathBuf {
        self.dataset.private().join(self.name)
    }

    /// Length of the file, bytes; 0 if it does not exist.
    pub(crate) fn bytes(&self) -> u64 {
        fs::metadata(self.path()).map_or(0, |facts| facts.len())
    }

    /// All lines, each of which must be whole: a list that is written again must lose none. Empty if there is no file.
    pub(crate) fn lines(&self) -> io::Result<Vec<Line<N>>> {
        self.records()?.iter().map(line_of).collect()
    }

    /// The lines that are whole: a damaged one names no slide.
    pub(crate) fn whole_lines(&self) -> io::Result<Vec<Line<N>>> {
        Ok(self.records()?.iter().filter_map(|record| line_of(record).ok()).collect())
    }

    fn records(&self) -> io::Result<Vec<csv::Result<StringRecord>>> {
        let text = match fs::read(self.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            text => text?,
        };
        Ok(csv::Reader::from_reader(text.as_slice()).into_records().collect())
    }

    /// Keeps other jobs from changing the lists until it is dropped.
    pub(crate) fn hold(&self) -> io::Result<Option<fs::File>> {
        self.dataset.make_private()?;
        Ok(self.dataset.hold_lists())
    }

    /// Adds lines about a slide, while the list is [held](Self::hold).
    pub(crate) fn append(&self, id: &SlideId, lines: &[[&str; N]]) -> io::Result<()> {
        let mut file = self.dataset.append_private(self.name)?;
        let mut text = csv::Writer::from_writer(Vec::new());
        if file.metadata()?.len() == 0 {
            text.write_record(["id"].iter().chain(&self.fields))?;
        }
        for fields in lines {
            text.write_record([id.as_str()].iter().chain(fields))?;
        }
        file.write_all(&text.into_inner().map_err(io::Error::other)?)
    }

    /// Removes the lines about slides.
    pub(crate) fn remove(&self, ids: &[SlideId]) -> io::Result<()> {
        if !self.path().exists() {
            return Ok(());
        }
        let _held = self.hold()?;
        let mut text = csv::Writer::from_writer(Vec::new());
        text.write_record(["id"].iter().chain(&self.fields))?;
        for (id, fields) in self.lines()?.iter().filter(|(id, _)| !ids.contains(id)) {
            text.write_record([id.as_str()].into_iter().chain(fields.iter().map(String::as_str)))?;
        }
        self.dataset.write(&self.path(), &text.into_inner().map_err(io::Error::other)?)
    }

    /// [`JobError::Output`] for what could not be done with the list.
    pub(crate) fn failure(&self, doing: &str, error: &io::Error) -> JobError {
        JobError::output(format!("cannot {doing} the {}: {error}: {}", self.what, self.path().display()))
    }
}

fn line_of<const N: usize>(record: &csv::Result<StringRecord>) -> io::Result<Line<N>> {
    let record = record.as_ref().map_err(|error| io::Error::other(error.to_string()))?;
    let mut fields = record.iter().map(str::to_owned);
    let id = SlideId::new(fields.next().unwrap_or_default()).map_err(io::Error::other)?;
    let fields: Vec<String> = fields.collect();
    let found = fields.len();
    let fields = fields.try_into();
    fields
        .map(|fields| (id, fields))
        .map_err(|_| io::Error::other(format!("a line has {} fields, expected {}", found + 1, N + 1)))
}
