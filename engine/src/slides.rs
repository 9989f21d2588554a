//! One slide of a job: a path with what was said of it, or a slide that a program has opened itself.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{self, Path, PathBuf},
    sync::Arc,
};

use dataset::{Dataset, SlideId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use wsi_reader::{GivenScale, LinearMapping, OpenError, OpenOptions, Slide, is_address, without_secrets};
use wsi_types::{Mpp, RegionsOfInterest};

use crate::{os_path, settings::Settings};

/// One slide to be analysed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlideEntry {
    /// A file, the folder of a DICOM slide, or the address of a file on a server; for a slide that is open already, what it is called.
    #[serde(with = "os_path")]
    pub path: PathBuf,
    /// Given by the user; otherwise the content decides.
    pub id: Option<SlideId>,
    /// Given by the user for this slide, should it give no scale that can be used.
    pub mpp: Option<Mpp>,
    /// Given by the user in place of what this slide says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub override_mpp: Option<Mpp>,
    /// Given by the user for this slide: how samples of more than 8 bits become 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_range: Option<LinearMapping>,
    /// Given by the user: the frame of a DICOM picture of several, counted from 1. Each is a slide of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<u32>,
    /// Said by the user of this slide in further columns of a list, such as its patient, by name of the column; a value
    /// may be empty. No job reads them: they are kept for cohorts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, String>,
    /// Drawn by the user: where windows are planned and cells counted; `None`: all over the slide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<RegionsOfInterest>,
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
    /// Bytes on the disk, with those of the folder that some formats have beside their file; 0 where they cannot be told.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let path = &self.path;
        let beside = path.extension().is_some_and(|suffix| suffix.eq_ignore_ascii_case("mrxs"));
        bytes_at(path) + if beside { bytes_at(&path.with_extension("")) } else { 0 }
    }

    /// The slide at a path.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            id: None,
            mpp: None,
            override_mpp: None,
            map_range: None,
            frame: None,
            columns: BTreeMap::new(),
            within: None,
            opened: Opened::default(),
        }
    }

    /// A slide that is open already, such as one in memory. Its id stands for its content: give another one to other
    /// pixels. `merge` cannot find it again later.
    #[must_use]
    pub fn from_slide(id: SlideId, slide: Arc<dyn Slide>) -> Self {
        Self { opened: Opened(Some(slide)), id: Some(id.clone()), ..Self::at(id.as_str()) }
    }

    /// The same, said of the file at another path.
    pub(crate) fn moved_to(self, path: &Path) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    /// The same under this id.
    pub(crate) fn with_id(self, id: SlideId) -> Self {
        Self { id: Some(id), ..self }
    }

    /// Scale given by the user; the one in `settings` counts where none was given for this slide.
    #[must_use]
    pub fn given_scale(&self, settings: &Settings) -> GivenScale {
        let of_all = settings.given_scale();
        GivenScale {
            otherwise: self.mpp.or(of_all.otherwise),
            // A scale of its own is nearer than one for all.
            instead: self.override_mpp.or(of_all.instead.filter(|_| self.mpp.is_none())),
        }
    }

    /// Opens it; `map_range` counts where this slide has none of its own.
    ///
    /// # Errors
    ///
    /// [`OpenError`], which does not name the path.
    pub fn open(&self, map_range: Option<LinearMapping>) -> Result<Arc<dyn Slide>, OpenError> {
        match &self.opened.0 {
            Some(slide) => Ok(Arc::clone(slide)),
            None => wsi_reader::open_with(&self.path, &self.options(map_range)),
        }
    }

    /// `true` if it is read from its path, and was not handed in open.
    pub(crate) fn lies_at_its_path(&self) -> bool {
        self.opened.0.is_none()
    }

    /// Opens a copy of it, as [`open`](Self::open).
    ///
    /// # Errors
    ///
    /// [`OpenError`], which does not name the path.
    pub(crate) fn open_copy(
        &self,
        copy: &Path,
        map_range: Option<LinearMapping>,
    ) -> Result<Arc<dyn Slide>, OpenError> {
        wsi_reader::open_copy(copy, &self.path, &self.options(map_range))
    }

    fn options(&self, map_range: Option<LinearMapping>) -> OpenOptions {
        OpenOptions { frame: self.frame, ..options(self.map_range.or(map_range)) }
    }

    /// A hash of what it holds.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when it cannot be read.
    pub fn content(&self) -> Result<[u8; 32], OpenError> {
        match &self.opened.0 {
            Some(_) => Ok(Sha256::digest(self.path.as_os_str().as_encoded_bytes()).into()),
            None => wsi_reader::content_id(&self.path).map(|content| self.of_frame(content.bytes())),
        }
    }

    /// `true` if it holds the same as the slide at another path, byte by byte: [`SlideEntry::content`] is
    /// sampled.
    pub(crate) fn is_copy_of(&self, other: &Path) -> Result<bool, OpenError> {
        match &self.opened.0 {
            Some(_) => Ok(true),
            None => wsi_reader::same_content(&self.path, other),
        }
    }

    /// A hash of every byte it holds, for a slide whose samples are those of another.
    pub(crate) fn full_content(&self) -> Result<[u8; 32], OpenError> {
        wsi_reader::full_content_id(&self.path).map(|content| self.of_frame(content.bytes()))
    }

    /// Frames of one file are slides of their own.
    fn of_frame(&self, content: [u8; 32]) -> [u8; 32] {
        match self.frame {
            None => content,
            Some(frame) => {
                Sha256::new_with_prefix(content).chain_update(format!("frame {frame}")).finalize().into()
            }
        }
    }

    /// File name, for the person at the terminal. Never for shared outputs.
    #[must_use]
    pub fn name(&self) -> String {
        let path = without_secrets(&self.path);
        path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
    }

    /// Its path as it was given, for messages; of an address, what is not secret.
    #[must_use]
    pub fn typed(&self) -> String {
        without_secrets(&self.path).display().to_string()
    }

    /// The place it is noted at: its absolute path, since other commands start in other folders; its address without what
    /// may be secret; of a slide in memory what it is called.
    pub(crate) fn place(&self) -> String {
        let path = match &self.opened.0 {
            Some(_) => self.path.clone(),
            None => absolute(&self.path).unwrap_or_else(|_| self.path.clone()),
        };
        path.to_string_lossy().into_owned()
    }

    /// The id that a job gives it: the user's, or that of its content.
    pub(crate) fn id_with(&self, content: &[u8; 32]) -> SlideId {
        self.id.clone().unwrap_or_else(|| SlideId::from_content(content))
    }

    /// The id that a job writing to `dataset` gives it as long as its content cannot be read.
    ///
    /// # Errors
    ///
    /// When the secret of the dataset cannot be read or made.
    pub(crate) fn id_of_unreadable(&self, dataset: &Dataset) -> io::Result<SlideId> {
        match &self.id {
            Some(id) => Ok(id.clone()),
            None => dataset::id_of_unreadable(dataset, &absolute(&self.path)?),
        }
    }

    /// The id that jobs gave a slide without one before: anyone could try names against it.
    pub(crate) fn id_by_name_of_before(&self) -> SlideId {
        SlideId::from_content(&Sha256::digest(self.name()).into())
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

/// The path from the root on; of an address, what is not secret.
pub(crate) fn absolute(path: &Path) -> io::Result<PathBuf> {
    if is_address(path) { Ok(without_secrets(path).into_owned()) } else { path::absolute(path) }
}

/// Opens a path with what was said of samples of more than 8 bits.
///
/// # Errors
///
/// [`OpenError`], which does not name the path.
pub fn open(path: &Path, map_range: Option<LinearMapping>) -> Result<Arc<dyn Slide>, OpenError> {
    wsi_reader::open_with(path, &options(map_range))
}

fn options(map_range: Option<LinearMapping>) -> OpenOptions {
    OpenOptions { mapping: map_range, ..OpenOptions::default() }
}

/// Of a file, or of the files in a folder.
fn bytes_at(path: &Path) -> u64 {
    let files = fs::read_dir(path).into_iter().flatten().flatten();
    file_length(fs::metadata(path)) + files.map(|entry| file_length(entry.metadata())).sum::<u64>()
}

fn file_length(facts: io::Result<fs::Metadata>) -> u64 {
    facts.map_or(0, |facts| if facts.is_file() { facts.len() } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{options::RunOptions, typed::GivenMpp};

    #[test]
    fn what_is_said_of_one_slide_comes_before_what_is_said_of_all() {
        let mpp = |value| Mpp::new(value).ok();
        let options =
            RunOptions { mpp: Some(GivenMpp::Number(0.3)), override_mpp: Some(0.4), ..RunOptions::default() };
        let settings = Settings::new(options).unwrap();
        let mut entry = SlideEntry::at("a.svs");
        assert_eq!(entry.given_scale(&settings), GivenScale { otherwise: mpp(0.3), instead: mpp(0.4) });
        entry.mpp = mpp(0.25);
        assert_eq!(entry.given_scale(&settings), GivenScale { otherwise: mpp(0.25), instead: None });
        entry.override_mpp = mpp(0.5);
        assert_eq!(entry.given_scale(&settings).instead, mpp(0.5));
    }
}
