//! The files that a slide consists of, and copies of all of them.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{
    address::{is_address, without_secrets},
    error::{OpenError, io_error},
    folder::suffix,
    identity::{Parts, chunks},
    slide::Fetched,
    source::Source,
};

/// Name that the file of a slide has in a copy, before its suffix: the slide's own may name a patient.
const NAME: &str = "slide";
/// Suffixes of slides that are lists of further files.
const LISTS: [&str; 3] = ["vms", "vmu", "ndpis"];

/// All files that a slide consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlideFiles {
    files: Vec<SlideFile>,
    /// What is opened of a copy, within its folder.
    main: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct SlideFile {
    path: PathBuf,
    /// Its place within the folder of a copy.
    place: PathBuf,
    facts: Facts,
}

/// What changes of a file when its content does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Facts {
    bytes: u64,
    /// `None` for an object of a server, whose version is pinned while it is read.
    changed: Option<SystemTime>,
}

/// Reasons why a slide was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The slide cannot be read.
    #[error(transparent)]
    Slide(#[from] OpenError),
    /// The slide changed on the way.
    #[error("the slide was replaced or changed while it was copied ({how}); run it again")]
    Changed {
        /// What was found, and what was expected.
        how: String,
    },
    /// The copy cannot be written.
    #[error("cannot write the copy of a slide: {0}")]
    Write(#[source] io::Error),
    /// Whoever asked for it wants it no more.
    #[error("it was stopped")]
    Stopped,
}

impl SlideFiles {
    /// Looks up the files of the slide at a path: a file, a folder of one DICOM slide, or an address.
    ///
    /// # Errors
    ///
    /// [`OpenError::Unsupported`] for slides whose files cannot all be told, and as opening them.
    pub fn of(path: &Path) -> Result<Self, OpenError> {
        let kind = suffix(&without_secrets(path));
        if let Some(why) = why_not_whole(&kind, path) {
            return Err(OpenError::Unsupported {
                feature: format!(
                    "a .{kind} slide is not copied as a whole ({why}): copy all of it to a disk, and give that"
                ),
            });
        }
        let is_plain = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let name = PathBuf::from(if is_plain { format!("{NAME}.{kind}") } else { NAME.to_owned() });
        let paths = match Parts::at(path)? {
            Parts::File(file) => {
                let file = SlideFile::new(file, name.clone())?;
                return Ok(Self { files: vec![file], main: name });
            }
            Parts::Set(paths) => paths,
        };
        let mut files = Vec::new();
        for file in paths {
            let is_beside = kind == "mrxs" && file == path;
            let place = if is_beside {
                name.clone()
            } else {
                Path::new(NAME).join(file.file_name().unwrap_or_default())
            };
            files.push(SlideFile::new(file, place)?);
        }
        let given = files.iter().find(|file| !path.is_dir() && file.path.file_name() == path.file_name());
        let main = given.map_or_else(|| NAME.into(), |file| file.place.clone());
        Ok(Self { files, main })
    }

    /// Number of files.
    #[must_use]
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.facts.bytes).sum()
    }

    /// What copying them asks a server for; `None` for files on a disk.
    ///
    /// # Errors
    ///
    /// As opening the slide.
    pub fn cost(&self) -> Result<Option<Fetched>, OpenError> {
        let Some(first) = self.files.first().filter(|file| is_address(&file.path)) else { return Ok(None) };
        let source = Source::open(&first.path).map_err(io_error)?;
        Ok(source.cost(chunks(source.len()).map(|(at, count)| at..at + count)))
    }

    /// Copies all files into a folder, which must be there and empty; returns what is to be opened of the copy. Of a
    /// slide that cannot be copied whole the folder holds a part.
    ///
    /// `at_work` is told how many bytes are copied, again and again, and may end it.
    ///
    /// # Errors
    ///
    /// [`CopyError`]; one that changed on the way, in length or time of change, is no copy of anything.
    pub fn copy_into(
        &self,
        folder: &Path,
        at_work: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<PathBuf, CopyError> {
        let mut done = 0;
        for file in &self.files {
            file.copy_into(folder, &mut |bytes| at_work(done + bytes))?;
            done += file.facts.bytes;
        }
        for file in &self.files {
            file.is_as_it_was()?;
        }
        Ok(folder.join(&self.main))
    }
}

/// Why not all files of a slide can be told; `None` if they can.
fn why_not_whole(kind: &str, path: &Path) -> Option<&'static str> {
    match kind {
        "mrxs" if is_address(path) => Some("its folder of data cannot be listed there"),
        kind if LISTS.contains(&kind) => Some("it is a list of further files"),
        _ => None,
    }
}

impl Facts {
    fn of(path: &Path) -> io::Result<Self> {
        if is_address(path) {
            return Ok(Self { bytes: Source::open(path)?.len(), changed: None });
        }
        let facts = fs::metadata(path)?;
        Ok(Self { bytes: facts.len(), changed: facts.modified().ok() })
    }
}

impl SlideFile {
    fn new(path: PathBuf, place: PathBuf) -> Result<Self, OpenError> {
        let facts = Facts::of(&path).map_err(io_error)?;
        Ok(Self { path, place, facts })
    }

    fn copy_into(
        &self,
        folder: &Path,
        at_work: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<(), CopyError> {
        let place = folder.join(&self.place);
        let mut copy = place
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| File::create_new(&place))
            .map_err(CopyError::Write)?;
        let source = Source::open(&self.path).map_err(io_error)?;
        self.has_length(source.len())?;
        source.will_read(chunks(source.len()).map(|(at, count)| at..at + count));
        let mut chunk = Vec::new();
        for (at, count) in chunks(source.len()) {
            chunk.resize(count as usize, 0);
            source.read_at(at, &mut chunk).map_err(|error| self.unread(error))?;
            copy.write_all(&chunk).map_err(CopyError::Write)?;
            if at_work(at + count).is_break() {
                return Err(CopyError::Stopped);
            }
        }
        Ok(())
    }

    fn unread(&self, error: io::Error) -> CopyError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                CopyError::Changed { how: format!("a file ended before its {} bytes", self.facts.bytes) }
            }
            _ => io_error(error).into(),
        }
    }

    fn has_length(&self, found: u64) -> Result<(), CopyError> {
        let expected = self.facts.bytes;
        if found == expected {
            return Ok(());
        }
        Err(CopyError::Changed { how: format!("a file had {expected} bytes and has {found}") })
    }

    fn is_as_it_was(&self) -> Result<(), CopyError> {
        if is_address(&self.path) {
            // Bytes of two versions never come together.
            return Ok(());
        }
        let now = Facts::of(&self.path).map_err(io_error)?;
        self.has_length(now.bytes)?;
        if now.changed == self.facts.changed {
            return Ok(());
        }
        Err(CopyError::Changed { how: "a file has another time of change".into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content_id;

    fn write(path: &Path, bytes: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn onwards(_: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    #[test]
    fn a_slide_is_copied_with_all_its_files_under_names_of_nobody() {
        let [shelf, folder] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let slide = shelf.path().join("Mrs Smith.mrxs");
        write(&slide, b"\xff\xd8 x");
        for name in ["Slidedat.ini", "Data0001.dat"] {
            write(&shelf.path().join("Mrs Smith").join(name), name.as_bytes());
        }
        let files = SlideFiles::of(&slide).unwrap();
        assert_eq!((files.count(), files.bytes()), (3, 28));
        let copy = files.copy_into(folder.path(), &mut onwards).unwrap();
        assert_eq!(copy, folder.path().join("slide.mrxs"));
        assert_eq!(fs::read(folder.path().join("slide/Data0001.dat")).unwrap(), b"Data0001.dat");
        assert_eq!(content_id(&copy).unwrap(), content_id(&slide).unwrap());
    }

    #[test]
    fn what_names_further_files_is_refused_with_what_to_do() {
        for path in ["a.vms", "b.NDPIS", "https://h/a.mrxs?x=secret"] {
            let said = SlideFiles::of(Path::new(path)).unwrap_err().to_string();
            assert!(said.contains("copy all of it to a disk") && !said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn progress_is_told_and_may_end_it() {
        let [shelf, folder, other] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let slide = shelf.path().join("a.svs");
        write(&slide, &vec![7; (2 << 20) + 5]);
        let files = SlideFiles::of(&slide).unwrap();
        let mut told = Vec::new();
        let copy = files.copy_into(folder.path(), &mut |bytes| {
            told.push(bytes);
            ControlFlow::Continue(())
        });
        assert_eq!(told, [1 << 20, 2 << 20, (2 << 20) + 5]);
        assert_eq!(fs::read(copy.unwrap()).unwrap(), fs::read(&slide).unwrap());
        let stopped = files.copy_into(other.path(), &mut |_| ControlFlow::Break(()));
        assert!(matches!(stopped, Err(CopyError::Stopped)));
    }

    fn cut(slide: &Path) {
        File::options().write(true).open(slide).unwrap().set_len(1 << 20).unwrap();
    }

    fn touch(slide: &Path) {
        File::options().write(true).open(slide).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }

    #[test]
    fn a_slide_that_changes_on_the_way_is_no_copy() {
        for (change, expected) in
            [(cut as fn(&Path), "a file ended before its"), (touch, "another time of change")]
        {
            let [shelf, folder] = [(); 2].map(|()| tempfile::tempdir().unwrap());
            let slide = shelf.path().join("a.svs");
            write(&slide, &vec![7; 3 << 20]);
            let files = SlideFiles::of(&slide).unwrap();
            let copied = files.copy_into(folder.path(), &mut |bytes| {
                if bytes == 1 << 20 {
                    change(&slide);
                }
                ControlFlow::Continue(())
            });
            let said = copied.unwrap_err().to_string();
            assert!(said.contains(expected) && said.contains("run it again"), "{said}");
        }
    }

    #[test]
    fn a_copy_that_cannot_be_written_is_not_the_slides_fault() {
        let shelf = tempfile::tempdir().unwrap();
        let slide = shelf.path().join("a.svs");
        write(&slide, b"x");
        let files = SlideFiles::of(&slide).unwrap();
        let copied = files.copy_into(&slide, &mut onwards);
        assert!(matches!(copied, Err(CopyError::Write(_))), "{copied:?}");
    }
}
