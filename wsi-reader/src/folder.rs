//! Which entries of a folder are slides.
//!
//! | found while walking | counts |
//! | --- | --- |
//! | a slide maker's suffix (`.svs`, `.ndpi`, `.mrxs`, …) | yes, even when broken: a night's account must name it |
//! | DICOM whole-slide files | once per series; the folder itself when it holds one series |
//! | other DICOM objects | no |
//! | TIFF, tiled or known by its text; a broken one, or another file so named | yes: it must be named too |
//! | plain strip TIFF, PNG, JPEG | no: labels and exports lie beside slides; name them to have them read |
//! | the data folder of a MIRAX slide, hidden entries | no |
//! | anything else | no |

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    backend::tiff::{looks_like_tiff, looks_like_tiled_slide},
    makers::dicom,
    open::{OpenError, io_error},
    source::Source,
};

/// Suffixes that only slide makers use.
const SLIDE_SUFFIXES: [&str; 11] =
    ["svs", "ndpi", "ndpis", "mrxs", "scn", "bif", "vms", "vmu", "svslide", "czi", "qptiff"];
/// Folders within folders.
const MAX_DEPTH: usize = 32;
/// Bytes read of a DICOM file to learn its series.
const DICOM_HEAD: u64 = 256 << 10;

/// The slides at a path, sorted: the path itself when it is a file, else what a
/// walk through the folder finds.
///
/// # Errors
///
/// [`OpenError`] when the path or one of its folders cannot be read.
pub fn slide_files(path: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let metadata = std::fs::metadata(path).map_err(io_error)?;
    if !metadata.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    walk(path, 0, &mut found)?;
    found.sort();
    Ok(found)
}

/// Whether a file found in a folder is taken for a slide of its own, by the
/// table above. DICOM files are judged one by one here; [`slide_files`] joins
/// those of a series.
#[must_use]
pub fn is_slide_candidate(path: &Path) -> bool {
    matches!(kind_of(path), Kind::Slide | Kind::Dicom { .. })
}

enum Kind {
    Slide,
    Dicom { series: String },
    Other,
}

/// Whether the name ends as only slides' names do.
pub(crate) fn has_slide_suffix(path: &Path) -> bool {
    SLIDE_SUFFIXES.contains(&suffix(path).as_str())
}

fn suffix(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

fn kind_of(path: &Path) -> Kind {
    if has_slide_suffix(path) {
        return Kind::Slide;
    }
    let Ok(source) = Source::open(path) else { return Kind::Other };
    let head = source.head(132).unwrap_or_default();
    if dicom::is_dicom(&head) {
        let identity = dicom::identity(&source.head(DICOM_HEAD).unwrap_or_default());
        return match (identity.is_whole_slide(), identity.series) {
            (true, Some(series)) => Kind::Dicom { series },
            _ => Kind::Other,
        };
    }
    if looks_like_tiff(&head) {
        return if looks_like_tiled_slide(source) { Kind::Slide } else { Kind::Other };
    }
    if ["tif", "tiff"].contains(&suffix(path).as_str()) {
        return Kind::Slide;
    }
    Kind::Other
}

fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), OpenError> {
    if depth > MAX_DEPTH {
        return Ok(());
    }
    let mut series: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let mut only_dicom = true;
    let mut folders = Vec::new();
    for entry in entries(folder)? {
        if entry.is_dir() {
            folders.push(entry);
            continue;
        }
        match kind_of(&entry) {
            Kind::Slide => {
                only_dicom = false;
                found.push(entry);
            }
            Kind::Dicom { series: id } => series.entry(id).or_default().push(entry),
            Kind::Other => {}
        }
    }
    if only_dicom && series.len() == 1 {
        found.push(folder.to_owned());
    } else {
        found.extend(series.into_values().filter_map(|files| files.into_iter().next()));
    }
    for inner in folders {
        // A MIRAX slide is a file and a folder of the same name.
        if !inner.with_extension("mrxs").is_file() {
            walk(&inner, depth + 1, found)?;
        }
    }
    Ok(())
}

/// What a folder holds, sorted, without hidden entries.
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

/// The DICOM whole-slide files of a folder, by series.
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
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;

    #[test]
    fn slides_are_found_and_what_lies_beside_them_is_not() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("inner/case 1")).unwrap();
        fs::create_dir_all(at("mirax")).unwrap();
        fs::create_dir_all(at(".hidden")).unwrap();
        for name in ["broken.svs", "mirax.mrxs", "mirax/Data0001.svs", ".hidden/x.svs", "inner/case 1/ü.NDPI"]
        {
            fs::write(at(name), b"").unwrap();
        }
        fs::write(at("label.png"), b"\x89PNG\r\n\x1a\n").unwrap();
        fs::write(at("list.csv"), b"slide\n").unwrap();
        let found: Vec<_> = slide_files(root.path())
            .unwrap()
            .into_iter()
            .map(|p| p.strip_prefix(root.path()).unwrap().to_string_lossy().replace('\\', "/"))
            .collect();
        assert_eq!(found, ["broken.svs", "inner/case 1/ü.NDPI", "mirax.mrxs"]);
        assert_eq!(slide_files(&at("label.png")).unwrap(), [at("label.png")]);
        assert!(matches!(slide_files(&at("nowhere")), Err(OpenError::NotFound)));
    }
}
