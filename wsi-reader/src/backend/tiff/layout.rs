//! Which pages of a TIFF are levels, and which are pictures beside the slide.

use std::collections::BTreeMap;

use super::{
    Refusal,
    directory::TiffFile,
    page::{Page, tag},
};

/// Whose TIFF it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Aperio,
    Ome,
    PerkinElmer,
    Generic,
}

impl Format {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Aperio => "aperio",
            Self::Ome => "ome-tiff",
            Self::PerkinElmer => "perkinelmer-qptiff",
            Self::Generic => "generic-tiff",
        }
    }
}

/// The pages of a file, sorted out.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) format: Format,
    /// Sharpest first; at least one.
    pub(crate) levels: Vec<Page>,
    pub(crate) associated: BTreeMap<String, Page>,
}

impl Layout {
    /// Reads every directory and decides what it is for.
    pub(crate) fn read(file: &TiffFile) -> Result<Self, Refusal> {
        let directories = file.directories()?;
        let first = directories.first().ok_or_else(|| Refusal::Broken("the file has no directory".into()))?;
        // Before sizes are judged: a maker's format may bend them.
        if first.has(tag::NDPI_FORMAT) {
            return Err(Refusal::LeftToOpenSlide { vendor: "hamamatsu" });
        }
        let software = file.text(first, tag::SOFTWARE)?.unwrap_or_default();
        let description = file.text(first, tag::IMAGE_DESCRIPTION)?.unwrap_or_default();
        if let Some(vendor) = left_to_openslide(file, &software, &description, &directories)? {
            return Err(Refusal::LeftToOpenSlide { vendor });
        }
        let pages = directories
            .iter()
            .enumerate()
            .map(|(i, d)| Page::read(file, d).map_err(|e| Refusal::Broken(format!("directory {i}: {}", e.0))))
            .collect::<Result<Vec<_>, _>>()?;
        let format = format_of(&description);
        match format {
            Format::Aperio => Ok(Self::aperio(pages)),
            Format::Ome | Format::PerkinElmer | Format::Generic => Self::general(file, format, pages),
        }
    }

    /// Aperio: every tiled page is a level; the second page is the thumbnail,
    /// and other strips say on their second line what they are.
    fn aperio(pages: Vec<Page>) -> Self {
        let any_tiled = pages.iter().any(|p| p.tiled);
        let mut levels = Vec::new();
        let mut associated = BTreeMap::new();
        for (index, page) in pages.into_iter().enumerate() {
            if page.tiled || (index == 0 && !any_tiled) {
                levels.push(page);
            } else if index == 1 {
                associated.insert("thumbnail".to_owned(), page);
            } else if let Some(name) = aperio_name(&page) {
                associated.entry(name).or_insert(page);
            }
        }
        levels.sort_by_key(|page| std::cmp::Reverse(u64::from(page.width) * u64::from(page.height)));
        Self { format: Format::Aperio, levels: strictly_smaller(levels), associated }
    }

    /// The first page is level 0; its SubIFDs and the reduced pages that show
    /// the same area are the others.
    fn general(file: &TiffFile, format: Format, pages: Vec<Page>) -> Result<Self, Refusal> {
        let mut pages = pages.into_iter();
        let Some(base) = pages.next() else {
            return Err(Refusal::Broken("the file has no directory".into()));
        };
        let rest: Vec<Page> = pages.collect();
        if base.samples < 3 {
            let planes = 1 + rest.iter().filter(|p| same_size(&base, p) && p.subfile & 1 == 0).count();
            if planes > 1 {
                return Err(Refusal::Unsupported {
                    feature: format!(
                        "{planes} channels or planes of one colour each; RGB and single gray are read"
                    ),
                    for_all: true,
                });
            }
        }
        let mut levels = Vec::new();
        let in_sub =
            |e: super::directory::Broken| Refusal::Broken(format!("a SubIFD of directory 0: {}", e.0));
        for directory in file.sub_directories(&base.directory).map_err(in_sub)? {
            levels.push(Page::read(file, &directory).map_err(in_sub)?);
        }
        let mut associated = BTreeMap::new();
        for (index, page) in rest.into_iter().enumerate() {
            if shows_same_area(&base, &page) && page.tiled == base.tiled && alike(&base, &page) {
                levels.push(page);
            } else if page.subfile & 4 == 0 && !same_size(&base, &page) {
                let name = if shows_same_area(&base, &page) {
                    "thumbnail".to_owned()
                } else {
                    format!("page-{}", index + 1)
                };
                associated.entry(name).or_insert(page);
            }
        }
        levels.retain(|page| shows_same_area(&base, page) && alike(&base, page));
        levels.sort_by_key(|page| std::cmp::Reverse(u64::from(page.width) * u64::from(page.height)));
        levels.insert(0, base);
        Ok(Self { format, levels: strictly_smaller(levels), associated })
    }
}

/// Keeps the levels that are smaller than the one before.
fn strictly_smaller(levels: Vec<Page>) -> Vec<Page> {
    let mut kept: Vec<Page> = Vec::with_capacity(levels.len());
    for page in levels {
        let fits = kept.last().is_none_or(|before| {
            page.width <= before.width
                && page.height <= before.height
                && (page.width, page.height) != (before.width, before.height)
        });
        if fits {
            kept.push(page);
        }
    }
    kept
}

fn same_size(a: &Page, b: &Page) -> bool {
    (a.width, a.height) == (b.width, b.height)
}

/// Same colours and depth, so one pyramid.
fn alike(a: &Page, b: &Page) -> bool {
    let kind = |page: &Page| (page.samples, page.bits.clone(), page.sample_format);
    kind(a) == kind(b)
}

/// Whether a smaller page is the whole of the larger one, reduced: its sides are
/// those of the larger one divided by one number, give or take the 2 px that
/// writers round away.
fn shows_same_area(base: &Page, page: &Page) -> bool {
    if page.subfile & 4 != 0 || page.width >= base.width || page.height > base.height {
        return false;
    }
    let downsample = f64::from(base.width.max(base.height)) / f64::from(page.width.max(page.height));
    let off = |whole: u32, part: u32| (f64::from(whole) / downsample - f64::from(part)).abs();
    off(base.width, page.width) <= 2.0 && off(base.height, page.height) <= 2.0
}

fn format_of(description: &str) -> Format {
    let start = description.trim_start_matches('\u{feff}').trim_start();
    if start.starts_with("Aperio") {
        Format::Aperio
    } else if start.starts_with('<') && description.contains("<OME") {
        Format::Ome
    } else if description.contains("PerkinElmer-QPI") {
        Format::PerkinElmer
    } else {
        Format::Generic
    }
}

/// The marks by which makers' TIFFs are known that OpenSlide reads better.
fn left_to_openslide(
    file: &TiffFile,
    software: &str,
    description: &str,
    directories: &[super::directory::Directory],
) -> Result<Option<&'static str>, Refusal> {
    if software.starts_with("Philips") {
        return Ok(Some("philips"));
    }
    if software.starts_with("MedScan") {
        return Ok(Some("trestle"));
    }
    if description.contains("leica-microsystems.com/scn") {
        return Ok(Some("leica"));
    }
    for directory in directories.iter().take(4) {
        if let Some(xmp) = file.text(directory, tag::XMP)?
            && xmp.contains("iScan")
        {
            return Ok(Some("ventana"));
        }
    }
    Ok(None)
}

/// The second line of an Aperio description starts with the picture's name.
/// Where it does not, the kind of page tells: 1 for the label, 9 for the macro.
fn aperio_name(page: &Page) -> Option<String> {
    let second = page.description.lines().nth(1).unwrap_or_default();
    let word = second.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    match (word.as_str(), page.subfile) {
        ("label" | "macro" | "thumbnail", _) => Some(word),
        (_, 1) => Some("label".into()),
        (_, 9) => Some("macro".into()),
        _ => None,
    }
}
