//! Opening of a path: the backend is chosen by content.

use std::{path::Path, sync::Arc};

use crate::{
    backend::{
        openslide::OpenSlideSlide,
        picture::{PictureKind, PictureSlide},
        tiff::{Refusal, TiffOptions, TiffSlide, looks_like_tiff},
    },
    error::{OpenError, io_error},
    folder::{dicom_series, has_slide_suffix, looks_like_mask},
    makers::dicom::is_dicom,
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
}

impl OpenOptions {
    /// 100 million px: 300 MB as RGB.
    pub const MAX_PICTURE_PIXELS: u64 = 100_000_000;
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { prefer: Prefer::Auto, mapping: None, max_picture_pixels: Self::MAX_PICTURE_PIXELS }
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
    match watching_the_device(|| open_whatever(path, options)) {
        // Bytes that were not read may be taken for damage, or be missing from what was opened.
        (_, Some(source)) => Err(OpenError::Io { source }),
        (opened, None) => opened,
    }
}

fn open_whatever(path: &Path, options: &OpenOptions) -> Result<Arc<dyn Slide>, OpenError> {
    if regular_or_folder(path)?.is_dir() {
        return open_folder(path, options);
    }
    let source = Source::open(path).map_err(io_error)?;
    let head = source.head(132).map_err(io_error)?;
    if head.is_empty() {
        return Err(OpenError::Broken { what: "it has no bytes".into() });
    }
    if options.prefer == Prefer::OpenSlide {
        return open_openslide(path);
    }
    if is_dicom(&head) && options.prefer == Prefer::Auto {
        // Some DICOM files carry a TIFF header in their preamble; the DICOM part rules.
        return open_openslide(path).map_err(|error| explain(error, &head, true));
    }
    if looks_like_tiff(&head) && !is_dicom(&head) {
        return open_tiff(path, source, options);
    }
    if options.prefer == Prefer::Tiff {
        return Err(OpenError::NotASlide { found: format!("{}, expected a TIFF", describe(&head)) });
    }
    // A MIRAX slide is named by a JPEG file that OpenSlide knows by its suffix.
    let mirax = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("mrxs"));
    if mirax && !path.with_extension("").is_dir() {
        return Err(OpenError::Broken {
            what: "its data folder (the name of the file without .mrxs) is missing beside it".into(),
        });
    }
    match PictureKind::from_head(&head) {
        Some(kind) if !mirax => Ok(Arc::new(PictureSlide::open(source, kind, options.max_picture_pixels)?)),
        _ => open_openslide(path).map_err(|error| explain(error, &head, has_slide_suffix(path))),
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

fn open_tiff(path: &Path, source: Source, options: &OpenOptions) -> Result<Arc<dyn Slide>, OpenError> {
    let tiff = TiffOptions { max_picture_pixels: options.max_picture_pixels, mapping: options.mapping };
    let refusal = match TiffSlide::from_source(source, &tiff) {
        Ok(slide) => return Ok(Arc::new(slide.with_remarks(mask_hint(path)))),
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
    if std::str::from_utf8(head).is_ok_and(|text| !text.contains('\0')) {
        return "a text file".to_owned();
    }
    let first: Vec<String> = head.iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("a file that starts with {}", first.join(" "))
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
