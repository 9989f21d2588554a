//! Opening of a path: the backend is chosen by content.

use std::{path::Path, sync::Arc};

use crate::{
    address::is_address,
    backend::{
        dicom::{self, DicomOptions},
        openslide::OpenSlideSlide,
        picture::{PictureKind, PictureSlide},
        tiff::{Refusal, TiffOptions, TiffSlide, looks_like_tiff},
    },
    error::{OpenError, io_error},
    folder::{DICOM_HEAD, dicom_series, looks_like_mask, suffix},
    makers::dicom::{identity, is_dicom},
    mapping::LinearMapping,
    slide::Slide,
    source::{Source, watching_the_device},
};

/// The backends that may read a slide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Prefer {
    /// Our TIFF reader where it reads the file truthfully, else OpenSlide, else
    /// pictures.
    #[default]
    Auto,
    /// Our TIFF reader only.
    Tiff,
    /// OpenSlide only.
    OpenSlide,
}

/// Settings for opening a slide.
#[derive(Debug, Clone, Copy)]
pub struct OpenOptions {
    /// The backends to choose from.
    pub prefer: Prefer,
    /// Mapping of 16-bit and float samples to 8 bits. Without it they are refused: cutting them in silence
    /// would change what a model sees. Other samples are read as they are.
    pub mapping: Option<LinearMapping>,
    /// Largest picture (PNG, JPEG, one strip of a TIFF) that is decoded at once, px.
    pub max_picture_pixels: u64,
    /// The frame of a DICOM picture of several, counted from 1. Other slides have none to choose.
    pub frame: Option<u32>,
}

impl OpenOptions {
    /// 100 million px: 300 MB as RGB.
    pub const MAX_PICTURE_PIXELS: u64 = 100_000_000;

    fn tiff(&self) -> TiffOptions {
        TiffOptions { max_picture_pixels: self.max_picture_pixels, mapping: self.mapping }
    }

    fn dicom(&self) -> DicomOptions {
        let Self { max_picture_pixels, mapping, frame, .. } = *self;
        DicomOptions { max_picture_pixels, mapping, frame }
    }
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            prefer: Prefer::Auto,
            mapping: None,
            max_picture_pixels: Self::MAX_PICTURE_PIXELS,
            frame: None,
        }
    }
}

/// Opens a slide file, or a folder that holds one DICOM slide.
///
/// # Errors
///
/// [`OpenError`], one line that says what was found and expected.
pub fn open(path: &Path) -> Result<Arc<dyn Slide>, OpenError> {
    open_with(path, &OpenOptions::default())
}

/// Opens a slide with a choice of backend and limits.
///
/// # Errors
///
/// [`OpenError`], one line that says what was found and expected.
pub fn open_with(path: &Path, options: &OpenOptions) -> Result<Arc<dyn Slide>, OpenError> {
    open_copy(path, path, options)
}

/// Opens a copy of a slide, of which all is said that is said of the slide where it lies itself.
///
/// # Errors
///
/// As [`open_with`].
pub fn open_copy(copy: &Path, of: &Path, options: &OpenOptions) -> Result<Arc<dyn Slide>, OpenError> {
    match watching_the_device(|| open_whatever(copy, of, options)) {
        // Bytes that were not read may be taken for damage, or be missing from what was opened.
        (_, Some(source)) => Err(OpenError::Io { source }),
        (Ok(slide), None) if options.frame.is_some() && slide.info().format != dicom::FORMAT => {
            Err(OpenError::Unsupported {
                feature: "a frame of this file: only DICOM pictures of several frames have one to choose"
                    .into(),
            })
        }
        (opened, None) => opened,
    }
}

fn open_whatever(path: &Path, of: &Path, options: &OpenOptions) -> Result<Arc<dyn Slide>, OpenError> {
    let is_remote = is_address(path);
    if !is_remote && regular_or_folder(path)?.is_dir() {
        return open_folder(path, options);
    }
    let source = Source::open(path).map_err(io_error)?;
    let head = source.head(132).map_err(io_error)?;
    if head.is_empty() {
        return Err(OpenError::Broken { what: "it has no bytes".into() });
    }
    if is_remote {
        return open_remote(source, &head, options);
    }
    if options.prefer == Prefer::OpenSlide {
        return open_openslide(path);
    }
    if is_dicom(&head) && options.prefer == Prefer::Auto {
        // Some DICOM files carry a TIFF header in their preamble; the DICOM part rules.
        return open_dicom(path, &source, &head, options);
    }
    if looks_like_tiff(&head) && !is_dicom(&head) {
        return open_tiff(path, of, source, options);
    }
    if options.prefer == Prefer::Tiff {
        return Err(OpenError::NotASlide { found: format!("{}, expected a TIFF", describe(&head)) });
    }
    // A MIRAX slide is named by a JPEG file that OpenSlide knows by its suffix.
    let mirax = suffix(path) == "mrxs";
    if mirax && head.starts_with(JPEG) && !path.with_extension("").is_dir() {
        return Err(OpenError::Broken {
            what: "its data folder (the name of the file without .mrxs) is missing beside it".into(),
        });
    }
    match PictureKind::from_head(&head) {
        Some(kind) if !mirax => Ok(Arc::new(PictureSlide::open(source, kind, options.max_picture_pixels)?)),
        _ => open_openslide(path).map_err(|error| explain(error, &head, begins_as_its_suffix(path, &head))),
    }
}

/// Opens a slide on a server: only our own TIFF reader takes parts of files.
fn open_remote(source: Source, head: &[u8], options: &OpenOptions) -> Result<Arc<dyn Slide>, OpenError> {
    if !looks_like_tiff(head) || is_dicom(head) || options.prefer == Prefer::OpenSlide {
        return Err(OpenError::Unsupported { feature: not_read_in_parts(&describe(head)) });
    }
    match TiffSlide::from_source(source, &options.tiff()) {
        Ok(slide) => Ok(Arc::new(slide)),
        Err(Refusal::LeftToOpenSlide { .. }) => {
            Err(OpenError::Unsupported { feature: not_read_in_parts("a slide that OpenSlide reads") })
        }
        Err(refusal) => Err(refusal.into()),
    }
}

fn not_read_in_parts(found: &str) -> String {
    format!(
        "{found} is not read from a server, only tiled TIFF is (SVS, OME and generic): copy it to a disk first, as \
         `run --stage DIR` does"
    )
}

const JPEG: &[u8] = b"\xff\xd8";

/// `true` if a file begins as those do that OpenSlide alone reads under its suffix. All others are TIFF.
fn begins_as_its_suffix(path: &Path, head: &[u8]) -> bool {
    match suffix(path).as_str() {
        "czi" => head.starts_with(b"ZISRAWFILE"),
        "mrxs" => head.starts_with(JPEG),
        "svslide" => head.starts_with(b"SQLite format 3"),
        "ndpis" | "vms" | "vmu" => describe(head) == TEXT,
        _ => false,
    }
}

/// Names the kind of file where OpenSlide only says that it does not know it, or cannot be asked because the
/// file is hardly a slide.
fn explain(error: OpenError, head: &[u8], likely_slide: bool) -> OpenError {
    let expected = "expected a TIFF, a PNG or JPEG picture, or a format OpenSlide knows";
    match error {
        OpenError::NotASlide { .. } => {
            OpenError::NotASlide { found: format!("{}; {expected}", describe(head)) }
        }
        OpenError::LibraryMissing { .. } if !likely_slide => OpenError::NotASlide {
            found: format!("{}; {expected} (OpenSlide itself is not installed)", describe(head)),
        },
        other => other,
    }
}

/// Returns the metadata of a regular file or a folder. Anything else is not opened: a pipe would block.
pub(crate) fn regular_or_folder(path: &Path) -> Result<std::fs::Metadata, OpenError> {
    let metadata = std::fs::metadata(path).map_err(|error| match std::fs::symlink_metadata(path) {
        Ok(facts) if facts.is_symlink() => OpenError::LinkToNothing,
        _ => io_error(error),
    })?;
    if metadata.is_dir() || metadata.is_file() {
        Ok(metadata)
    } else {
        Err(OpenError::NotASlide { found: "a pipe, socket or device, expected a regular file".into() })
    }
}

fn open_openslide(path: &Path) -> Result<Arc<dyn Slide>, OpenError> {
    Ok(Arc::new(OpenSlideSlide::open(path)?))
}

/// Opens a DICOM file: a part of a slide by OpenSlide, a picture of another kind by us.
fn open_dicom(
    path: &Path,
    source: &Source,
    head: &[u8],
    options: &OpenOptions,
) -> Result<Arc<dyn Slide>, OpenError> {
    let kind = identity(&source.head(DICOM_HEAD).map_err(io_error)?);
    if kind.is_whole_slide() {
        return open_dicom_slide(path, head);
    }
    match dicom::open(source, options.dicom()) {
        Ok(Some(picture)) => Ok(Arc::new(picture)),
        Ok(None) => open_dicom_slide(path, head),
        Err(broken @ OpenError::Broken { .. }) if !kind.is_another() => {
            open_dicom_slide(path, head).map_err(|_| broken)
        }
        Err(error) => Err(error),
    }
}

fn open_dicom_slide(path: &Path, head: &[u8]) -> Result<Arc<dyn Slide>, OpenError> {
    open_openslide(path).map_err(|error| explain(error, head, true))
}

fn open_tiff(
    path: &Path,
    of: &Path,
    source: Source,
    options: &OpenOptions,
) -> Result<Arc<dyn Slide>, OpenError> {
    let refusal = match TiffSlide::from_source(source, &options.tiff()) {
        Ok(slide) => return Ok(Arc::new(slide.with_remarks(mask_hint(of)))),
        Err(refusal) => refusal,
    };
    if options.prefer == Prefer::Tiff {
        return Err(refusal.into());
    }
    match refusal {
        Refusal::LeftToOpenSlide { remarks, .. } => {
            Ok(Arc::new(OpenSlideSlide::open(path)?.with_remarks(remarks)))
        }
        // OpenSlide may know a codec that we do not; if it fails too, our own reason is the clearer one.
        Refusal::Unsupported { for_all: false, .. } => open_openslide(path).map_err(|_| refusal.into()),
        _ => Err(refusal.into()),
    }
}

fn mask_hint(path: &Path) -> Option<String> {
    let words = "it looks like a mask of the slide beside it, by its name, and not like a slide";
    looks_like_mask(path).then(|| words.to_owned())
}

impl From<Refusal> for OpenError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::LeftToOpenSlide { .. } => Self::Unsupported { feature: refusal.reason() },
            Refusal::Unsupported { feature, .. } => Self::Unsupported { feature },
            Refusal::Broken(what) => Self::Broken { what },
            Refusal::TooLarge { what } => Self::TooLarge { what },
        }
    }
}

const TEXT: &str = "a text file";

/// Describes the first bytes of a file, in words.
fn describe(head: &[u8]) -> String {
    let known: [(&[u8], &str); 9] = [
        (b"PK\x03\x04", "a ZIP archive"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"%PDF", "a PDF document"),
        (b"SQLite format 3", "an SQLite database"),
        (b"ZISRAWFILE", "a Zeiss CZI file"),
        (b"\x89HDF", "an HDF5 file"),
        (b"BM", "a BMP picture"),
        (b"RIFF", "a RIFF file"),
        (b"version https://git-lfs", "a Git LFS pointer: the file itself was not fetched"),
    ];
    if let Some((_, name)) = known.iter().find(|(magic, _)| head.starts_with(magic)) {
        return (*name).to_owned();
    }
    if is_dicom(head) {
        return "a DICOM file that is no slide".to_owned();
    }
    if let Some(text) = text_of(head) {
        let start = text.trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
        let is_page = start.starts_with("<!doctype html") || start.starts_with("<html");
        return if is_page { "a web page, as servers send it in place of a file" } else { TEXT }.to_owned();
    }
    if head.iter().all(|byte| *byte == 0) {
        return "a file that starts with nothing but zeros".to_owned();
    }
    let first: Vec<String> = head.iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("a file that starts with {}", first.join(" "))
}

/// The first bytes as text, if they are text; the last letter may be cut.
fn text_of(head: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    (!text.contains('\0')).then_some(text)
}

/// Opens a folder that holds one DICOM slide. OpenSlide joins the series from any of its files, so the first
/// that opens is the slide.
fn open_folder(folder: &Path, options: &OpenOptions) -> Result<Arc<dyn Slide>, OpenError> {
    let mut series = dicom_series(folder)?;
    if series.len() > 1 {
        return Err(OpenError::NotASlide {
            found: format!("a folder of {} DICOM slides; name one of their files", series.len()),
        });
    }
    let files = series.pop_first().map(|(_, files)| files).unwrap_or_default();
    let mut refused = OpenError::NotASlide {
        found: "a folder without DICOM slide files; expected a slide file, or the folder of one DICOM slide"
            .into(),
    };
    for file in files {
        match open_with(&file, options) {
            Ok(slide) => return Ok(slide),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LFS: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";

    /// Once a machine without OpenSlide said that alone of whatever was called as a slide.
    #[test]
    fn without_openslide_a_file_is_named_for_what_it_is() {
        for (name, head, expected) in [
            ("a.svs", LFS, "a Git LFS pointer"),
            ("a.vms", LFS, "a Git LFS pointer"),
            ("a.mrxs", LFS, "a Git LFS pointer"),
            ("a.ndpi", b"PK\x03\x04\x14\0\0\0", "a ZIP archive"),
            ("a.scn", b"\n <!DOCTYPE HTML><html>", "a web page"),
            ("a.czi", b"<html lang=\"de\">", "a web page"),
            ("a.svs", "\u{feff}Fehler: nicht gefunden \u{fc}".as_bytes(), "a text file"),
            ("a.svs", &[0; 132], "a file that starts with nothing but zeros"),
            ("a.bif", b"\x1f\x8b\x08\0", "a gzip archive"),
        ] {
            let is_likely = begins_as_its_suffix(Path::new(name), head);
            let missing = OpenError::LibraryMissing { what: "cannot find OpenSlide".into() };
            let said = explain(missing, head, is_likely).to_string();
            assert!(said.starts_with(&format!("not a slide: {expected}")), "{name}: {said}");
        }
    }

    #[test]
    fn what_openslide_alone_reads_needs_it() {
        for (name, head) in [
            ("a.czi", &b"ZISRAWFILE\0\0"[..]),
            ("a.MRXS", b"\xff\xd8\xff\xe0"),
            ("a.svslide", b"SQLite format 3\0"),
            ("a.vms", b"[Virtual Microscope Specimen]\nNoLayers=1\n"),
        ] {
            assert!(begins_as_its_suffix(Path::new(name), head), "{name}");
        }
    }

    #[test]
    fn a_text_that_is_cut_in_a_letter_is_a_text() {
        let text = "x\u{fc}".repeat(60);
        assert_eq!(describe(&text.as_bytes()[..132 - 1]), TEXT);
        assert_eq!(describe(&[0xc3, 0x28, 1, 2]), "a file that starts with c3 28 01 02");
    }
}
