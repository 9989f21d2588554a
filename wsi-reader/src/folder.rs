//! The walk through a folder that decides which entries are slides.
//!
//! | found while walking | counts |
//! | --- | --- |
//! | a slide maker's suffix (`.svs`, `.ndpi`, `.mrxs`, …) | yes, even when broken: a night's account must name it |
//! | DICOM whole-slide files | once per series; the folder itself when it holds one series |
//! | other DICOM objects | no |
//! | TIFF, tiled or known by its text; a broken one, or another file so named | yes: it must be named too |
//! | a link to nothing, a folder that cannot be entered | yes, where it may have been a slide or its folder: opening it says why not |
//! | plain strip TIFF, PNG, JPEG | no: labels and exports lie beside slides; name them to have them read |
//! | the data folder of a MIRAX slide, hidden entries | no |
//! | anything else | no |
//!
//! Entries that do not count are listed by kind, so that nobody looks for them in vain. Links are followed,
//! and each folder is visited once; only regular files are opened.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
};

use wsi_types::wording::counted;

use crate::{
    backend::tiff::{looks_like_tiff, looks_like_tiled_slide},
    error::{OpenError, io_error},
    makers::dicom,
    source::Source,
};

/// Suffixes that only slide makers use.
const SLIDE_SUFFIXES: [&str; 11] =
    ["svs", "ndpi", "ndpis", "mrxs", "scn", "bif", "vms", "vmu", "svslide", "czi", "qptiff"];
/// Suffixes of files that may be slides.
const MAYBE_SUFFIXES: [&str; 3] = ["tif", "tiff", "dcm"];
/// Suffixes of pictures.
const PICTURE_SUFFIXES: [&str; 3] = ["png", "jpg", "jpeg"];
/// Bytes read of a DICOM file to learn its series.
pub(crate) const DICOM_HEAD: u64 = 256 << 10;

/// Result of a walk through a path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Slides, sorted; among them links to nothing and folders that cannot be entered, as the table above has it.
    pub slides: Vec<PathBuf>,
    /// PNG and JPEG files by their names, sorted: no slides, and counted among what is left out.
    pub pictures: Vec<PathBuf>,
    /// Files that are not slides.
    pub left_out: LeftOut,
}

/// Counts by kind of a folder's files that are not slides: `left out: 3 files: 2 .jpg, 1 strip TIFF`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut(BTreeMap<String, u64>);

impl LeftOut {
    /// `true` if nothing was left out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of files of each kind, such as `.jpg` and `strip TIFF`.
    #[must_use]
    pub fn kinds(&self) -> &BTreeMap<String, u64> {
        &self.0
    }

    /// Adds the counts of another folder.
    pub fn extend(&mut self, other: Self) {
        for (kind, count) in other.0 {
            *self.0.entry(kind).or_default() += count;
        }
    }

    fn add(&mut self, kind: String) {
        *self.0.entry(kind).or_default() += 1;
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: u64 = self.0.values().sum();
        let kinds: Vec<String> = self.0.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        write!(f, "left out: {}: {}", counted(files as usize, "file"), kinds.join(", "))
    }
}

/// Finds the slides at a path: the path itself if it is a file, otherwise those that a walk through the
/// folder finds.
///
/// # Errors
///
/// [`OpenError`] when there is nothing at the path, or the folder itself cannot be read. A folder within it
/// that cannot be read is listed instead.
pub fn find_slides(path: &Path) -> Result<Listing, OpenError> {
    if !fs::metadata(path).map_err(io_error)?.is_dir() {
        return Ok(Listing { slides: vec![path.to_owned()], ..Listing::default() });
    }
    entries(path)?;
    let mut walk = Walk::default();
    let mut waiting = vec![path.to_owned()];
    while let Some(folder) = waiting.pop() {
        walk.visit(&folder, &mut waiting);
    }
    walk.listing.slides.sort();
    walk.listing.pictures.sort();
    Ok(walk.listing)
}

/// Returns the slides of [`find_slides`] without the files left out.
///
/// # Errors
///
/// As [`find_slides`].
pub fn slide_files(path: &Path) -> Result<Vec<PathBuf>, OpenError> {
    find_slides(path).map(|listing| listing.slides)
}

/// `true` if a file found in a folder counts as a slide of its own, by the table above. DICOM files are
/// judged one by one here; [`slide_files`] joins those of a series.
#[must_use]
pub fn is_slide_candidate(path: &Path) -> bool {
    matches!(kind_of(path), Kind::Slide | Kind::Dicom { .. })
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Slide,
    Dicom {
        series: String,
    },
    /// The kind in words, for the count.
    Other(String),
}

/// `true` if the name has a suffix that only slides have.
pub(crate) fn has_slide_suffix(path: &Path) -> bool {
    SLIDE_SUFFIXES.contains(&suffix(path).as_str())
}

/// `true` if an entry of that name that cannot be read may be a slide, or a folder of slides.
fn may_be_slide(path: &Path) -> bool {
    let suffix = suffix(path);
    suffix.is_empty() || has_slide_suffix(path) || MAYBE_SUFFIXES.contains(&suffix.as_str())
}

/// `true` for a `name_mask.tif` beside a slide, of which it may be a mask: ASAP and others write such files.
pub(crate) fn looks_like_mask(path: &Path) -> bool {
    let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else { return false };
    let Some(name) = stem.strip_suffix("_mask").or_else(|| stem.strip_suffix("_Mask")) else { return false };
    let mut suffixes = SLIDE_SUFFIXES.iter().chain(&MAYBE_SUFFIXES);
    suffixes.any(|suffix| path.with_file_name(format!("{name}.{suffix}")).is_file())
}

/// The suffix of a file, in small letters; empty if it has none.
pub(crate) fn suffix(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

/// Returns the kind of a regular file.
fn kind_of(path: &Path) -> Kind {
    if has_slide_suffix(path) {
        return Kind::Slide;
    }
    let suffix = suffix(path);
    let by_name = match suffix.as_str() {
        "" => Kind::Other("without a suffix".into()),
        suffix => Kind::Other(format!(".{suffix}")),
    };
    let Ok(source) = Source::open(path) else {
        return if MAYBE_SUFFIXES.contains(&suffix.as_str()) { Kind::Slide } else { by_name };
    };
    let head = source.head(132).unwrap_or_default();
    if dicom::is_dicom(&head) {
        let identity = dicom::identity(&source.head(DICOM_HEAD).unwrap_or_default());
        return match (identity.is_whole_slide(), identity.series) {
            (true, Some(series)) => Kind::Dicom { series },
            _ => Kind::Other("DICOM of another kind".into()),
        };
    }
    if looks_like_tiff(&head) {
        return if looks_like_tiled_slide(source) { Kind::Slide } else { Kind::Other("strip TIFF".into()) };
    }
    if ["tif", "tiff"].contains(&suffix.as_str()) { Kind::Slide } else { by_name }
}

/// A walk through folders.
#[derive(Default)]
struct Walk {
    /// The real path of each folder visited: links may lead in circles.
    visited: BTreeSet<PathBuf>,
    listing: Listing,
}

impl Walk {
    /// Notes the contents of one folder; the folders in it are added to `waiting`.
    fn visit(&mut self, folder: &Path, waiting: &mut Vec<PathBuf>) {
        if fs::canonicalize(folder).is_ok_and(|place| !self.visited.insert(place)) {
            return;
        }
        let Ok(entries) = entries(folder) else {
            self.listing.slides.push(folder.to_owned());
            return;
        };
        let mut series: BTreeMap<String, PathBuf> = BTreeMap::new();
        let mut only_dicom = true;
        for entry in entries {
            match fs::metadata(&entry) {
                Ok(facts) if facts.is_dir() => {
                    // A MIRAX slide is a file and a folder of the same name.
                    if !with_suffix(&entry, ".mrxs").is_file() {
                        waiting.push(entry);
                    }
                    continue;
                }
                Ok(facts) if facts.is_file() => match kind_of(&entry) {
                    Kind::Slide => self.listing.slides.push(entry),
                    Kind::Dicom { series: id } => {
                        series.entry(id).or_insert(entry);
                        continue;
                    }
                    Kind::Other(kind) => {
                        if PICTURE_SUFFIXES.contains(&suffix(&entry).as_str()) {
                            self.listing.pictures.push(entry);
                        }
                        self.listing.left_out.add(kind);
                        continue;
                    }
                },
                // A link to nothing, or a pipe: opening it reports that.
                _ if may_be_slide(&entry) => self.listing.slides.push(entry),
                Ok(_) => {
                    self.listing.left_out.add("no regular file".into());
                    continue;
                }
                Err(_) => {
                    self.listing.left_out.add("link to nothing".into());
                    continue;
                }
            }
            only_dicom = false;
        }
        if only_dicom && series.len() == 1 {
            self.listing.slides.push(folder.to_owned());
        } else {
            self.listing.slides.extend(series.into_values());
        }
    }
}

/// Appends a suffix to the name of a path, whatever dots the name has.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Returns the entries of a folder, sorted, without hidden ones.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io_error)? {
        let entry = entry.map_err(io_error)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Returns the DICOM whole-slide files of a folder, by series.
pub(crate) fn dicom_series(folder: &Path) -> Result<BTreeMap<String, Vec<PathBuf>>, OpenError> {
    let mut series: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for entry in entries(folder)? {
        if entry.is_file()
            && let Kind::Dicom { series: id } = kind_of(&entry)
        {
            series.entry(id).or_default().push(entry);
        }
    }
    Ok(series)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(root: &Path, slides: &[PathBuf]) -> Vec<String> {
        let names = slides.iter().map(|path| path.strip_prefix(root).unwrap().to_string_lossy());
        names.map(|name| name.replace('\\', "/")).collect()
    }

    #[test]
    fn slides_are_found_and_what_lies_beside_them_is_counted() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("inner/case 1")).unwrap();
        fs::create_dir_all(at("mi.rax")).unwrap();
        fs::create_dir_all(at(".hidden")).unwrap();
        for name in
            ["broken.svs", "mi.rax.mrxs", "mi.rax/Data0001.svs", ".hidden/x.svs", "inner/case 1/ü.NDPI"]
        {
            fs::write(at(name), b"").unwrap();
        }
        for name in ["label.png", "inner/a.JPG", "inner/b.jpg", "README", "list.csv"] {
            fs::write(at(name), b"x").unwrap();
        }
        let found = find_slides(root.path()).unwrap();
        assert_eq!(names(root.path(), &found.slides), ["broken.svs", "inner/case 1/ü.NDPI", "mi.rax.mrxs"]);
        assert_eq!(
            found.left_out.to_string(),
            "left out: 5 files: 1 .csv, 2 .jpg, 1 .png, 1 without a suffix"
        );
        assert_eq!(names(root.path(), &found.pictures), ["inner/a.JPG", "inner/b.jpg", "label.png"]);
        assert_eq!(slide_files(&at("label.png")).unwrap(), [at("label.png")]);
        assert!(matches!(slide_files(&at("nowhere")), Err(OpenError::NotFound)));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_once_and_those_to_nothing_are_named() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::write(elsewhere.path().join("a.svs"), b"").unwrap();
        fs::create_dir(at("cohort")).unwrap();
        symlink(elsewhere.path(), at("cohort/p1")).unwrap();
        symlink(elsewhere.path(), at("cohort/p1 again")).unwrap();
        // In a circle, and to itself.
        symlink(root.path(), at("cohort/up")).unwrap();
        symlink(at("self"), at("self")).unwrap();
        for (link, target) in [("gone.svs", "/nowhere.svs"), ("p2", "/nowhere"), ("note.txt", "/nowhere.txt")]
        {
            symlink(target, at(link)).unwrap();
        }
        let found = find_slides(root.path()).unwrap();
        let slides = names(root.path(), &found.slides);
        assert_eq!(slides.len(), 4, "{slides:?}");
        assert_eq!(slides.iter().filter(|name| name.ends_with("a.svs")).count(), 1, "{slides:?}");
        for name in ["gone.svs", "p2", "self"] {
            assert!(slides.iter().any(|slide| slide == name), "{slides:?}");
        }
        assert_eq!(found.left_out.to_string(), "left out: 1 file: 1 link to nothing");
        for name in ["gone.svs", "p2"] {
            let refusal = crate::open(&at(name)).map(|_| ()).unwrap_err().to_string();
            assert_eq!(refusal, "a link to a file or folder that is not there", "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn pipes_are_never_opened() {
        let root = tempfile::tempdir().unwrap();
        let pipe = root.path().join("pipe.svs");
        let made = std::process::Command::new("mkfifo").arg(&pipe).arg(root.path().join("pipe.txt")).status();
        assert!(made.unwrap().success());
        let found = find_slides(root.path()).unwrap();
        assert_eq!(found.slides, std::slice::from_ref(&pipe));
        assert_eq!(found.left_out.to_string(), "left out: 1 file: 1 no regular file");
        let refusal = "not a slide: a pipe, socket or device, expected a regular file";
        assert_eq!(crate::open(&pipe).map(|_| ()).unwrap_err().to_string(), refusal);
        assert_eq!(crate::content_id(&pipe).unwrap_err().to_string(), refusal);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn names_that_are_no_text_are_names() {
        use std::os::unix::ffi::OsStrExt as _;
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(std::ffi::OsStr::from_bytes(b"H\xf6he.svs"));
        fs::write(&path, b"x").unwrap();
        assert_eq!(slide_files(root.path()).unwrap(), [path]);
    }

    #[test]
    fn masks_are_known_by_the_slide_beside_them() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for name in ["a.svs", "a_mask.tif", "b_mask.tif"] {
            fs::write(at(name), b"").unwrap();
        }
        assert!(looks_like_mask(&at("a_mask.tif")));
        assert!(!looks_like_mask(&at("b_mask.tif")) && !looks_like_mask(&at("a.svs")));
    }
}
