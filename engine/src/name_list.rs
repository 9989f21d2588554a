//! `OUT/.slidemill/slides.csv`: the file of each id; and beside it the further columns of slide lists. Private.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{self, Path},
    sync::{Mutex, PoisonError},
};

use dataset::{Dataset, SlideId};

use crate::{
    column_list::ColumnList,
    error::JobError,
    private_list::{Line, PrivateList},
    slides::SlideEntry,
};

/// The list of a dataset, to which one job adds. It is read once: the time of a job grows only in proportion
/// to its slides.
#[derive(Debug)]
pub(crate) struct NameList {
    list: PrivateList<1>,
    columns: ColumnList,
    /// What was noted; `None` until it is read.
    known: Mutex<Option<Known>>,
}

/// The lines of a list, by path and by id.
#[derive(Debug, Default)]
struct Known {
    ids: BTreeMap<String, Vec<SlideId>>,
    paths: BTreeMap<SlideId, Vec<String>>,
}

impl Known {
    /// The ids noted at a path.
    fn ids_at(&self, path: &str) -> &[SlideId] {
        self.ids.get(path).map_or(&[], Vec::as_slice)
    }

    fn add(&mut self, (id, [path]): Line<1>) {
        self.ids.entry(path.clone()).or_default().push(id.clone());
        self.paths.entry(id).or_default().push(path);
    }
}

/// What was known before of a slide that is noted, or of its place.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Noted {
    /// Ids of other files that were at its path.
    pub(crate) others: Vec<SlideId>,
    /// Columns of which lists before said something else, which stays.
    pub(crate) otherwise: Vec<String>,
}

impl Noted {
    /// Words for what lists said otherwise; they name columns and no value, which may be a patient.
    pub(crate) fn contradiction(&self) -> Option<String> {
        (!self.otherwise.is_empty()).then(|| {
            format!(
                "a list says something else of this slide than one before: its {}; what was said first stays, \
                 `slidemill run … --correct-columns` takes what this one says",
                self.otherwise.join(", ")
            )
        })
    }
}

impl NameList {
    pub(crate) fn new(dataset: &Dataset) -> Self {
        let list = PrivateList {
            dataset: dataset.clone(),
            name: "slides.csv",
            what: "list of slides",
            fields: ["path"],
        };
        Self { list, columns: ColumnList::new(dataset), known: Mutex::default() }
    }

    /// Adds a slide, once, and what its list says of it.
    ///
    /// # Errors
    ///
    /// [`JobError::Output`] when the list cannot be read or written.
    pub(crate) fn note(&self, id: &SlideId, entry: &SlideEntry) -> Result<Noted, JobError> {
        let otherwise = self.columns.note(id, &entry.columns)?;
        let others = self.add(id, &entry.place()).map_err(|error| self.list.failure("write", &error))?;
        Ok(Noted { others, otherwise })
    }

    fn add(&self, id: &SlideId, path: &str) -> io::Result<Vec<SlideId>> {
        self.with_known(|known| {
            if !known.ids_at(path).contains(id) {
                // Several jobs may add slides at once: each adds lines of its own.
                let _held = self.list.hold()?;
                self.list.append(id, &[[path]])?;
                known.add((id.clone(), [path.to_owned()]));
            }
            Ok(known.ids_at(path).iter().filter(|other| *other != id).cloned().collect())
        })
    }

    /// The paths at which a slide was noted.
    ///
    /// # Errors
    ///
    /// [`JobError::Output`] when the list cannot be read.
    pub(crate) fn paths_of(&self, id: &SlideId) -> Result<Vec<String>, JobError> {
        self.with_known(|known| Ok(known.paths.get(id).cloned().unwrap_or_default()))
            .map_err(|error| self.list.failure("read", &error))
    }

    /// The slides that were noted where an entry is.
    ///
    /// # Errors
    ///
    /// [`JobError::Output`] when the list cannot be read.
    pub(crate) fn ids_at(&self, entry: &SlideEntry) -> Result<Vec<SlideId>, JobError> {
        self.with_known(|known| Ok(known.ids_at(&entry.place()).to_vec()))
            .map_err(|error| self.list.failure("read", &error))
    }

    /// Hands over what was noted, read once. A damaged line names no slide, and stops no job.
    fn with_known<T>(&self, take: impl FnOnce(&mut Known) -> io::Result<T>) -> io::Result<T> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match &mut *known {
            Some(known) => known,
            unread => {
                let mut known = Known::default();
                self.list.whole_lines()?.into_iter().for_each(|line| known.add(line));
                unread.insert(known)
            }
        };
        take(known)
    }

    /// Ids of the slides with that path, absolute or from the folder of this process, or that file name.
    ///
    /// # Errors
    ///
    /// [`JobError::Output`] when the list cannot be read.
    pub(crate) fn called(&self, name: &str) -> Result<Vec<SlideId>, JobError> {
        let lines = self.list.lines().map_err(|error| self.list.failure("read", &error))?;
        let called = lines.into_iter().filter(|(_, [path])| is_called(path, name)).map(|(id, _)| id);
        Ok(called.collect::<BTreeSet<_>>().into_iter().collect())
    }

    /// Removes slides from the list, and what lists said of them.
    ///
    /// # Errors
    ///
    /// [`JobError::Output`] when the list cannot be read or written.
    pub(crate) fn remove(&self, ids: &[SlideId]) -> Result<(), JobError> {
        self.list.remove(ids).map_err(|error| self.list.failure("write", &error))?;
        // One after the other: each holds the lists itself.
        self.columns.remove(ids)
    }
}

/// `true` if what a person typed means the file at a path of the list.
fn is_called(listed: &str, typed: &str) -> bool {
    let is_name = !typed.contains(path::is_separator);
    // Lists of before have paths as they were typed.
    listed == typed
        || path::absolute(typed).is_ok_and(|typed| typed == Path::new(listed))
        || (is_name && Path::new(listed).file_name().is_some_and(|file| file == typed))
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        let note = |name: &str, path: &str| list.note(&id(name), &SlideEntry::at(path)).unwrap().others;
        assert_eq!(note("a", "/x/1, \"one\".svs"), []);
        assert_eq!(note("a", "/x/1, \"one\".svs"), []);
        assert_eq!(note("copy", "/y/2.svs"), []);
        assert_eq!(note("b", "/x/1, \"one\".svs"), [id("a")]);
        assert_eq!(list.called("2.svs").unwrap(), [id("copy")]);
        assert_eq!(list.called("1, \"one\".svs").unwrap(), [id("a"), id("b")]);
        assert_eq!(list.called("svs").unwrap(), []);
        list.remove(&[id("a"), id("b")]).unwrap();
        assert_eq!(fs::read_to_string(dataset.names()).unwrap(), "id,path\ncopy,/y/2.svs\n");
    }

    #[test]
    fn a_path_is_one_however_it_is_typed() {
        let here = std::env::current_dir().unwrap();
        let listed = here.join("x/a.svs");
        let listed = listed.to_str().unwrap();
        for typed in ["a.svs", "x/a.svs", "./x/a.svs", listed] {
            assert!(is_called(listed, typed), "{typed}");
        }
        for typed in ["x", "b.svs", "./a.svs", "y/a.svs", "svs", ""] {
            assert!(!is_called(listed, typed), "{typed}");
        }
        assert!(is_called("x/a.svs", "x/a.svs"), "lists of before have paths as they were typed");
        assert!(!is_called("x/a.svs", "./x/a.svs"), "and nobody knows from where");
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
        let there = NameList::new(&dataset).list.lines().unwrap();
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
        let noted = NameList::new(&dataset).note(&id("d"), &SlideEntry::at("/x/a.svs")).unwrap();
        assert_eq!(noted.others, [id("a")]);
        let refused = NameList::new(&dataset).remove(&[id("a")]).unwrap_err().to_string();
        assert!(refused.contains("cannot write the list of slides"), "{refused}");
        assert!(fs::read_to_string(dataset.names()).unwrap().contains("b,/x/bc,/x/c.svs"));
    }
}
