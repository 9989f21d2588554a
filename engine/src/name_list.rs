//! `OUT/.slidemill/slides.csv`: which id is which file. Private.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write as _},
    sync::{Mutex, PoisonError},
};

use dataset::{Dataset, SlideId};

use crate::{error::JobError, slides::SlideEntry};

const HEADER: &str = "id,path\n";

/// The list of a dataset, as one job adds to it. It is read once: a job of many slides takes time in proportion to them.
#[derive(Debug)]
pub(crate) struct NameList {
    dataset: Dataset,
    /// The lines there are, once they were read.
    known: Mutex<Option<BTreeSet<String>>>,
}

impl NameList {
    pub(crate) fn new(dataset: &Dataset) -> Self {
        Self { dataset: dataset.clone(), known: Mutex::default() }
    }

    /// Adds a slide, once.
    ///
    /// # Errors
    ///
    /// [`JobError::Output`] when it cannot be written.
    pub(crate) fn note(&self, id: &SlideId, entry: &SlideEntry) -> Result<(), JobError> {
        self.add(id, entry).map_err(|error| {
            let path = self.dataset.names();
            JobError::output(format!("cannot write the list of slides: {error}: {}", path.display()))
        })
    }

    fn add(&self, id: &SlideId, entry: &SlideEntry) -> io::Result<()> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = match &mut *known {
            Some(lines) => lines,
            unread => unread.insert(self.read()?),
        };
        let line = line_of(id, entry)?;
        if lines.contains(&line) {
            return Ok(());
        }
        let header = if lines.is_empty() { HEADER } else { "" };
        self.dataset.append_private("slides.csv")?.write_all(format!("{header}{line}").as_bytes())?;
        lines.extend([HEADER.to_owned(), line]);
        Ok(())
    }

    fn read(&self) -> io::Result<BTreeSet<String>> {
        match fs::read_to_string(self.dataset.names()) {
            Ok(text) => Ok(text.split_inclusive('\n').map(str::to_owned).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(error) => Err(error),
        }
    }
}

fn line_of(id: &SlideId, entry: &SlideEntry) -> io::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([id.as_str(), &entry.path.to_string_lossy()])?;
    Ok(String::from_utf8_lossy(&writer.into_inner().map_err(io::Error::other)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It was read again for each slide: a list of 20,000 took hours.
    #[test]
    fn a_slide_is_noted_once_and_the_list_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::at(folder.path());
        let list = NameList::new(&dataset);
        let note = |list: &NameList, id: &str, path: &str| {
            list.note(&SlideId::new(id).unwrap(), &SlideEntry::at(path)).unwrap();
        };
        for (id, path) in [("a", "/x/a.svs"), ("b", "/x/b, c.svs"), ("a", "/x/a.svs")] {
            note(&list, id, path);
        }
        let text = fs::read_to_string(dataset.names()).unwrap();
        assert_eq!(text, "id,path\na,/x/a.svs\nb,\"/x/b, c.svs\"\n");
        note(&NameList::new(&dataset), "a", "/x/a.svs");
        assert_eq!(fs::read_to_string(dataset.names()).unwrap(), text, "another job reads what is there");
        fs::write(dataset.names(), "").unwrap();
        note(&list, "a", "/x/a.svs");
        assert_eq!(fs::read_to_string(dataset.names()).unwrap(), "", "what is known is not read again");
    }
}
