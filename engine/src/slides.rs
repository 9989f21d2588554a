//! A job is a list of slides: files, folders, globs, or a CSV with a line each. A program may hand in slides it has
//! opened itself.

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use dataset::SlideId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use wsi_reader::{LinearMapping, OpenError, OpenOptions, Slide};
use wsi_types::Mpp;

use crate::error::JobError;

/// One slide to be analysed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlideEntry {
    /// A file, or the folder of a DICOM slide; for a slide that is open already, what it is called.
    pub path: PathBuf,
    /// Given by the user; otherwise the content decides.
    pub id: Option<SlideId>,
    /// Given by the user for this slide.
    pub mpp: Option<Mpp>,
    /// Given by the user for this slide: how samples of more than 8 bits become 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_range: Option<LinearMapping>,
    #[serde(skip)]
    opened: Opened,
}

/// A slide that was handed in open.
#[derive(Clone, Default)]
struct Opened(Option<Arc<dyn Slide>>);

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "open" } else { "a path" })
    }
}

impl PartialEq for Opened {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        }
    }
}

impl SlideEntry {
    /// The slide at a path.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), id: None, mpp: None, map_range: None, opened: Opened::default() }
    }

    /// A slide that is open already, such as one in memory. Its id stands for its content: give another one to other
    /// pixels. `merge` cannot find it again later.
    #[must_use]
    pub fn from_slide(id: SlideId, slide: Arc<dyn Slide>) -> Self {
        Self { opened: Opened(Some(slide)), id: Some(id.clone()), ..Self::at(id.as_str()) }
    }

    /// Opens it; `map_range` counts where this slide has none of its own.
    ///
    /// # Errors
    ///
    /// [`OpenError`], which does not name the path.
    pub fn open(&self, map_range: Option<LinearMapping>) -> Result<Arc<dyn Slide>, OpenError> {
        match &self.opened.0 {
            Some(slide) => Ok(Arc::clone(slide)),
            None => open(&self.path, self.map_range.or(map_range)),
        }
    }

    /// A hash of what it holds.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when it cannot be read.
    pub fn content(&self) -> Result<[u8; 32], OpenError> {
        match &self.opened.0 {
            Some(_) => Ok(Sha256::digest(self.path.as_os_str().as_encoded_bytes()).into()),
            None => wsi_reader::content_id(&self.path).map(|content| content.bytes()),
        }
    }

    /// What the person at the terminal calls it. Never for shared outputs.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    /// Names a slide whose content cannot be read.
    pub(crate) fn id_by_name(&self) -> SlideId {
        self.id.clone().unwrap_or_else(|| SlideId::from_content(&Sha256::digest(self.name()).into()))
    }

    /// The id a job gives it, and the hash of its content where that can be read.
    #[must_use]
    pub fn identity(&self) -> (SlideId, Option<[u8; 32]>) {
        match self.content() {
            Ok(content) => {
                (self.id.clone().unwrap_or_else(|| SlideId::from_content(&content)), Some(content))
            }
            Err(_) => (self.id_by_name(), None),
        }
    }
}

impl From<&Path> for SlideEntry {
    fn from(path: &Path) -> Self {
        Self::at(path)
    }
}

impl From<PathBuf> for SlideEntry {
    fn from(path: PathBuf) -> Self {
        Self::at(path)
    }
}

/// Opens a path with what was said of samples of more than 8 bits.
///
/// # Errors
///
/// [`OpenError`], which does not name the path.
pub fn open(path: &Path, map_range: Option<LinearMapping>) -> Result<Arc<dyn Slide>, OpenError> {
    wsi_reader::open_with(path, &OpenOptions { mapping: map_range, ..OpenOptions::default() })
}

/// One line of a slide list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListLine {
    #[serde(alias = "slide", alias = "file")]
    path: PathBuf,
    id: Option<String>,
    mpp: Option<f64>,
    map_range: Option<LinearMapping>,
}

/// Turns what was typed into slides, each path once, in a fixed order: as typed,
/// and by name within a folder or glob.
///
/// A path that does not exist stays in the list, so that the run names it among
/// the bad slides and goes on with the others.
///
/// # Errors
///
/// [`JobError::Usage`] when a list or glob is malformed, two slides are given one
/// id, or nothing at all is found.
pub fn slides_in(inputs: &[PathBuf]) -> Result<Vec<SlideEntry>, JobError> {
    let mut entries = Vec::new();
    for input in inputs {
        entries.extend(expand(input)?);
    }
    let mut seen = BTreeSet::new();
    entries.retain(|entry| seen.insert(fs::canonicalize(&entry.path).unwrap_or_else(|_| entry.path.clone())));
    if entries.is_empty() {
        let typed: Vec<_> = inputs.iter().map(|path| path.display().to_string()).collect();
        return Err(JobError::usage(format!("no slide found in {}", typed.join(", "))));
    }
    let mut ids = BTreeSet::new();
    for id in entries.iter().filter_map(|entry| entry.id.as_ref()) {
        if !ids.insert(id) {
            return Err(JobError::usage(format!(
                "two slides of the list have the id {id}, expected one each"
            )));
        }
    }
    Ok(entries)
}

fn expand(input: &Path) -> Result<Vec<SlideEntry>, JobError> {
    let is_list = input.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    if is_list && input.is_file() {
        read_list(input)
    } else if input.is_dir() {
        let found = wsi_reader::slide_files(input)
            .map_err(|error| JobError::usage(format!("cannot list folder: {error}: {}", input.display())))?;
        Ok(found.into_iter().map(SlideEntry::at).collect())
    } else if !input.exists() && is_glob(input) {
        expand_glob(input)
    } else {
        Ok(vec![SlideEntry::at(input)])
    }
}

fn is_glob(input: &Path) -> bool {
    input.to_str().is_some_and(|text| text.contains(['*', '?', '[']))
}

/// Globs the shell left alone (quoted, or on a shell that has none).
fn expand_glob(pattern: &Path) -> Result<Vec<SlideEntry>, JobError> {
    let text = pattern.to_string_lossy();
    let matcher = globset::GlobBuilder::new(&text)
        .literal_separator(true)
        .build()
        .map_err(|error| JobError::usage(format!("bad pattern: {error}")))?
        .compile_matcher();
    let fixed: PathBuf = pattern.components().take_while(|part| !is_glob(Path::new(part))).collect();
    let root = if fixed.as_os_str().is_empty() { Path::new(".") } else { &fixed };
    let walk = walkdir::WalkDir::new(root).sort_by_file_name().into_iter().filter_map(Result::ok);
    let paths = walk.map(walkdir::DirEntry::into_path).map(|path| match path.strip_prefix("./") {
        Ok(bare) if fixed.as_os_str().is_empty() => bare.to_owned(),
        _ => path,
    });
    Ok(paths.filter(|path| matcher.is_match(path) && path.is_file()).map(SlideEntry::at).collect())
}

/// Reads a CSV list: a header with `path` and, where wanted, `id`, `mpp` and
/// `map_range`.
/// Paths are relative to the list's own folder.
fn read_list(list: &Path) -> Result<Vec<SlideEntry>, JobError> {
    let wrong = |reason: String| JobError::usage(format!("slide list: {reason}: {}", list.display()));
    let folder = list.parent().unwrap_or(Path::new("."));
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_path(list)
        .map_err(|error| wrong(error.to_string()))?;
    let mut entries = Vec::new();
    for (index, line) in reader.deserialize::<ListLine>().enumerate() {
        let at = |reason: String| wrong(format!("line {}: {reason}", index + 2));
        let line =
            line.map_err(|error| at(format!("{error}; expected the columns path, id, mpp, map_range")))?;
        let id = line.id.filter(|id| !id.is_empty()).map(SlideId::new).transpose().map_err(&at)?;
        let mpp = line.mpp.map(Mpp::new).transpose().map_err(|error| at(error.to_string()))?;
        let path = folder.join(line.path);
        entries.push(SlideEntry { id, mpp, map_range: line.map_range, ..SlideEntry::at(path) });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_gives_each_slide_its_own_id_and_scale() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("night.csv");
        let lines = "path,id,mpp,map_range\n\"Fall 7, Höhe.svs\",case-7,0.25,\nb.svs,,,100:4095\n";
        fs::write(&list, lines).unwrap();
        let slides = slides_in(&[list]).unwrap();
        assert_eq!(slides[0].path, folder.path().join("Fall 7, Höhe.svs"));
        assert_eq!(slides[0].id.as_ref().map(SlideId::as_str), Some("case-7"));
        assert_eq!(slides[0].mpp.map(Mpp::get), Some(0.25));
        assert_eq!((slides[1].id.clone(), slides[1].mpp), (None, None));
        assert_eq!((slides[0].map_range, slides[1].map_range), (None, LinearMapping::new(100.0, 4095.0)));
    }

    #[test]
    fn a_bad_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("l.csv");
        for (text, expected) in [
            ("path,mpp\na.svs,0\n", "line 2: mpp is 0"),
            ("path,id\na.svs,../x\n", "line 2: slide id"),
            ("path,map_range\na.svs,9:3\n", "\"9:3\" is no range"),
            ("path,id\na.svs,x\nb.svs,x\n", "the id x"),
            ("path,scale\na.svs,1\n", "expected the columns path, id, mpp, map_range"),
        ] {
            fs::write(&list, text).unwrap();
            let error = slides_in(std::slice::from_ref(&list)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn globs_match_names_with_spaces_and_any_script() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["スライド 1.svs", "b 2.svs", "note.txt"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        let names: Vec<_> =
            slides_in(&[folder.path().join("*.svs")]).unwrap().iter().map(SlideEntry::name).collect();
        assert_eq!(names, ["b 2.svs", "スライド 1.svs"]);
        assert!(slides_in(&[folder.path().join("*.ndpi")]).is_err());
    }

    #[test]
    fn a_path_given_twice_is_one_slide_and_a_missing_one_stays() {
        let missing = PathBuf::from("not-there.svs");
        assert_eq!(slides_in(&[missing.clone(), missing.clone()]).unwrap(), [SlideEntry::at(missing)]);
    }
}
