//! `OUT/.slidemill/slides.csv`: the file of each id; and beside it the further columns of slide lists. Private.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Write as _},
    path::Path,
    sync::{Mutex, PoisonError},
};

use dataset::{Dataset, SlideId};

use crate::{column_list::ColumnList, error::JobError, slides::SlideEntry};

const HEADER: [&str; 2] = ["id", "path"];

/// One line of the list: an id and its path.
type Line = (SlideId, String);

/// The list of a dataset, to which one job adds. It is read once: the time of a job grows only in proportion
/// to its slides.
#[derive(Debug)]
pub(crate) struct NameList {
    dataset: Dataset,
    columns: ColumnList,
    /// What was noted; `None` until it is read.
    known: Mutex<Option<Noted>>,
}

/// The lines of a list, by path and by id.
#[derive(Debug, Default)]
struct Noted {
    ids: BTreeMap<String, Vec<SlideId>>,
    paths: BTreeMap<SlideId, Vec<String>>,
}

impl Noted {
    /// The ids noted at a path.
    fn ids_at(&self, path: &str) -> &[SlideId] {
        self.ids.get(path).map_or(&[], Vec::as_slice)
    }

    fn add(&mut self, (id, path): Line) {
        self.ids.entry(path.clone()).or_default().push(id.clone());
        self.paths.entry(id).or_default().push(path);
    }
}

impl NameList {
    pub(crate) fn new(dataset: &Dataset) -> Self {
        Self { dataset: dataset.clone(), columns: ColumnList::new(dataset), known: Mutex::default() }
    }

    /// Adds a slide, once, and what its list says of it. Returns the ids of other files noted at its path.
    ///
    /// # Errors
    ///
    /// [`JobError::Output`] when the list cannot be read or written.
    pub(crate) fn note(&self, id: &SlideId, entry: &SlideEntry) -> Result<Vec<SlideId>, JobError> {
        self.columns.note(id, &entry.columns)?;
        self.add(id, &entry.path.to_string_lossy()).map_err(|error| self.failure("write", &error))
    }

    fn add(&self, id: &SlideId, path: &str) -> io::Result<Vec<SlideId>> {
        self.with_noted(|noted| {
            if !noted.ids_at(path).contains(id) {
                self.append(id, path)?;
                noted.add((id.clone(), path.to_owned()));
            }
            Ok(noted.ids_at(path).iter().filter(|other| *other != id).cloned().collect())
        })
    }

    /// The paths at which a slide was noted.
    ///
    /// # Errors
    ///
    /// [`JobError::Output`] when the list cannot be read.
    pub(crate) fn paths_of(&self, id: &SlideId) -> Result<Vec<String>, JobError> {
        self.with_noted(|noted| Ok(noted.paths.get(id).cloned().unwrap_or_default()))
            .map_err(|error| self.failure("read", &error))
    }

    /// Hands over what was noted, read once. A damaged line names no slide, and stops no job.
    fn with_noted<T>(&self, take: impl FnOnce(&mut Noted) -> io::Result<T>) -> io::Result<T> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let noted = match &mut *known {
            Some(noted) => noted,
            unread => {
                let mut noted = Noted::default();
                lines_of(&self.text()?).filter_map(Result::ok).for_each(|line| noted.add(line));
                unread.insert(noted)
            }
        };
        take(noted)
    }

    /// Adds a line. Several jobs may add slides at once: each adds lines of its own.
    fn append(&self, id: &SlideId, path: &str) -> io::Result<()> {
        self.dataset.make_private()?;
        let _held = self.dataset.hold_lists();
        let mut file = self.dataset.append_private("slides.csv")?;
        let header = (file.metadata()?.len() == 0).then_some(HEADER);
        file.write_all(&text_of(header.into_iter().chain([[id.as_str(), path]]))?)
    }

    /// Ids of the slides with that path or file name.
    ///
    /// # Errors
    ///
    /// [`JobError::Output`] when the list cannot be read.
    pub(crate) fn called(&self, name: &str) -> Result<Vec<SlideId>, JobError> {
        let called = self.lines()?.into_iter().filter(|line| is_called(line, name)).map(|(id, _)| id);
        Ok(called.collect::<BTreeSet<_>>().into_iter().collect())
    }

    /// Removes slides from the list, and what lists said of them.
    ///
    /// # Errors
    ///
    /// [`JobError::Output`] when the list cannot be read or written.
    pub(crate) fn remove(&self, ids: &[SlideId]) -> Result<(), JobError> {
        self.rewrite_without(ids)?;
        // One after the other: each holds the lists itself.
        self.columns.remove(ids)
    }

    fn rewrite_without(&self, ids: &[SlideId]) -> Result<(), JobError> {
        // There is nothing to hold without the folder, which another job may be about to make.
        self.dataset.make_private().map_err(|error| self.failure("write", &error))?;
        let _held = self.dataset.hold_lists();
        let lines = self.lines()?;
        let left = lines.iter().filter(|(id, _)| !ids.contains(id)).map(|(id, path)| [id.as_str(), path]);
        text_of([HEADER].into_iter().chain(left))
            .and_then(|text| self.dataset.write(&self.dataset.names(), &text))
            .map_err(|error| self.failure("write", &error))
    }

    /// All lines. Each must name a slide: a list that is written again must lose none.
    fn lines(&self) -> Result<Vec<Line>, JobError> {
        let text = self.text().map_err(|error| self.failure("read", &error))?;
        lines_of(&text).collect::<csv::Result<_>>().map_err(|error| self.failure("read", &error))
    }

    /// The list as it is on the disk; empty if it does not exist.
    fn text(&self) -> io::Result<Vec<u8>> {
        match fs::read(self.dataset.names()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            text => text,
        }
    }

    fn failure(&self, doing: &str, error: &dyn std::error::Error) -> JobError {
        let path = self.dataset.names();
        JobError::output(format!("cannot {doing} the list of slides: {error}: {}", path.display()))
    }
}

fn lines_of(text: &[u8]) -> impl Iterator<Item = csv::Result<Line>> {
    csv::Reader::from_reader(text).into_deserialize()
}

fn text_of<'a>(lines: impl IntoIterator<Item = [&'a str; 2]>) -> io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in lines {
        writer.write_record(line)?;
    }
    writer.into_inner().map_err(io::Error::other)
}

fn is_called((_, path): &Line, name: &str) -> bool {
    path == name || Path::new(path).file_name().is_some_and(|file| file == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The list was read again for each slide: one of 20,000 took hours.
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

    #[test]
    fn files_at_one_path_are_told_apart_by_id() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::at(folder.path());
        let list = NameList::new(&dataset);
        let id = |text: &str| SlideId::new(text).unwrap();
        let note = |name: &str, path: &str| list.note(&id(name), &SlideEntry::at(path)).unwrap();
        assert_eq!(note("a", "x/1, \"one\".svs"), []);
        assert_eq!(note("a", "x/1, \"one\".svs"), []);
        assert_eq!(note("copy", "y/2.svs"), []);
        assert_eq!(note("b", "x/1, \"one\".svs"), [id("a")]);
        assert_eq!(list.called("2.svs").unwrap(), [id("copy")]);
        assert_eq!(list.called("1, \"one\".svs").unwrap(), [id("a"), id("b")]);
        assert_eq!(list.called("svs").unwrap(), []);
        list.remove(&[id("a"), id("b")]).unwrap();
        assert_eq!(fs::read_to_string(dataset.names()).unwrap(), "id,path\ncopy,y/2.svs\n");
    }

    /// Once the first list was still held when the second was to be.
    #[test]
    fn what_lists_said_of_a_slide_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::at(folder.path());
        let list = NameList::new(&dataset);
        let mut entry = SlideEntry::at("/x/a.svs");
        entry.columns.insert("patient".into(), "P1".into());
        let id = SlideId::new("a").unwrap();
        list.note(&id, &entry).unwrap();
        list.remove(&[id]).unwrap();
        assert_eq!(fs::read_to_string(dataset.names()).unwrap(), "id,path\n");
        assert_eq!(fs::read_to_string(dataset.columns()).unwrap(), "id,column,value\n");
    }

    #[test]
    fn slides_that_are_added_while_others_are_removed_stay() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::at(folder.path());
        let id = |number: usize| SlideId::new(format!("s{number}")).unwrap();
        std::thread::scope(|jobs| {
            for job in 0..4 {
                let list = NameList::new(&dataset);
                jobs.spawn(move || {
                    for slide in (job * 100)..(job + 1) * 100 {
                        list.note(&id(slide), &SlideEntry::at(format!("/x/{slide}.svs"))).unwrap();
                    }
                });
            }
            for slide in (0..400).step_by(4) {
                NameList::new(&dataset).remove(&[id(slide)]).unwrap();
            }
        });
        let there = NameList::new(&dataset).lines().unwrap();
        let there: BTreeSet<SlideId> = there.into_iter().map(|(id, _)| id).collect();
        assert!((0..400).filter(|slide| slide % 4 != 0).all(|slide| there.contains(&id(slide))), "{there:?}");
    }

    #[test]
    fn a_damaged_line_stops_no_job_and_is_not_written_away() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::at(folder.path());
        dataset.make_private().unwrap();
        fs::write(dataset.names(), "id,path\na,/x/a.svs\nb,/x/bc,/x/c.svs\n").unwrap();
        let id = |text: &str| SlideId::new(text).unwrap();
        assert_eq!(NameList::new(&dataset).note(&id("d"), &SlideEntry::at("/x/a.svs")).unwrap(), [id("a")]);
        let refused = NameList::new(&dataset).remove(&[id("a")]).unwrap_err().to_string();
        assert!(refused.contains("cannot read the list of slides"), "{refused}");
        assert!(fs::read_to_string(dataset.names()).unwrap().contains("b,/x/bc,/x/c.svs"));
    }
}
