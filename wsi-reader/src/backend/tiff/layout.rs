//! Sorting of a TIFF's pages into levels and pictures beside the slide.
//!
//! | a page that | is |
//! | --- | --- |
//! | says it is a label, macro, overview or thumbnail | an associated image, whatever its size and however it is stored |
//! | is the largest of the others | level 0, wherever it stands |
//! | shows the same area at a smaller size, stored alike | a level |
//! | is anything else | an associated image, with a remark where it may show tissue |

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use wsi_types::wording::counted;

use super::{
    directory::{Broken, Directory, MAX_DIRECTORIES, TiffFile},
    page::{Page, tag},
    refusal::Refusal,
    role::{role_in, role_of},
};
use crate::makers::{imagej, ome};

/// The maker or standard of the TIFF.
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
    /// The file's description of itself: the text of its first page, or of level 0 if that page has none.
    pub(crate) description: String,
    /// OME-XML facts of the image that is read; `None` for other formats, and if the XML cannot be read.
    pub(crate) ome: Option<ome::Image>,
    /// Pictures that may show tissue and are not read, in words.
    pub(crate) remarks: Vec<String>,
}

impl Layout {
    /// Reads every directory and decides its role.
    pub(crate) fn read(file: &TiffFile) -> Result<Self, Refusal> {
        if file.first_beyond_4_gib().is_some_and(|directory| directory.has(tag::NDPI_FORMAT)) {
            return Err(Refusal::LeftToOpenSlide { vendor: "hamamatsu", remarks: Vec::new() });
        }
        let directories = file.directories()?;
        let first = directories.first().ok_or_else(|| Refusal::Broken("the file has no directory".into()))?;
        // Before sizes are judged: a maker's format may not obey TIFF's rules for them.
        if first.has(tag::NDPI_FORMAT) {
            let remarks = focal_planes(file, &directories);
            return Err(Refusal::LeftToOpenSlide { vendor: "hamamatsu", remarks });
        }
        let software = file.text(first, tag::SOFTWARE)?.unwrap_or_default();
        let description = file.text(first, tag::IMAGE_DESCRIPTION)?.unwrap_or_default();
        if let Some(vendor) = left_to_openslide(file, &software, &description, &directories)? {
            return Err(Refusal::LeftToOpenSlide { vendor, remarks: Vec::new() });
        }
        let pages = directories
            .iter()
            .enumerate()
            .map(|(i, d)| Page::read(file, d).map_err(|e| Refusal::Broken(format!("directory {i}: {}", e.0))))
            .collect::<Result<Vec<_>, _>>()?;
        let telling = pages.iter().find(|page| format_of(&page.description) != Format::Generic);
        let description = telling.map_or(description, |page| page.description.clone());
        let format = format_of(&description);
        let images = match format {
            Format::Ome => ome::parse(&description).unwrap_or_default(),
            _ => Vec::new(),
        };
        let pictures = Picture::all(file, format, &images, pages)?;
        Self::sorted_out(format, images, description, pictures)
    }

    fn sorted_out(
        format: Format,
        images: Vec<ome::Image>,
        description: String,
        mut pictures: Vec<Picture>,
    ) -> Result<Self, Refusal> {
        let in_chain = pictures.iter().filter(|picture| !picture.is_sub).count() as u64;
        let base = pictures.remove(largest(format, &pictures)?);
        refuse_planes(&base, &pictures)?;
        let next = next_of_same_size(&base, &pictures);
        let (mut levels, rest): (Vec<_>, Vec<_>) =
            pictures.into_iter().partition(|picture| picture.is_level_of(&base, next));
        levels.sort_by_key(|picture| Reverse(picture.page.pixels()));
        let mut remarks = not_read(&base, &rest);
        // A stack of more than 4 GiB has one directory for all its pictures.
        let stacked = imagej::pictures(&description);
        if stacked > in_chain {
            remarks.push(format!(
                "{} more pictures of an ImageJ stack are not read: only the first is",
                stacked - in_chain
            ));
        }
        let mut associated = BTreeMap::new();
        for picture in rest {
            if let Some(name) = picture.name_beside(&base, format) {
                associated.entry(name).or_insert(picture.page);
            }
        }
        let description = if description.is_empty() { base.page.description.clone() } else { description };
        let ome = images.into_iter().nth(base.image.unwrap_or(0));
        let levels = std::iter::once(base).chain(levels).map(|picture| picture.page).collect();
        Ok(Self { format, levels: strictly_smaller(levels), associated, description, ome, remarks })
    }
}

/// A page and its known role in the file.
#[derive(Debug)]
struct Picture {
    page: Page,
    /// Its place in the chain of directories, or that of the page whose SubIFD it is.
    index: usize,
    is_sub: bool,
    /// The role that the page itself states, if that is not part of the slide.
    says: Option<&'static str>,
    /// The image of OME-XML that it belongs to.
    image: Option<usize>,
}

impl Picture {
    /// All pages of the file, those of the chain first.
    fn all(
        file: &TiffFile,
        format: Format,
        images: &[ome::Image],
        pages: Vec<Page>,
    ) -> Result<Vec<Self>, Refusal> {
        let mut subs = Vec::new();
        let mut pictures = Vec::new();
        for (index, page) in pages.into_iter().enumerate() {
            let image = image_of_page(images, index);
            let says = image.and_then(|image| images[image].role).or_else(|| said(file, format, &page));
            // Aperio has none, and a page that belongs to a label is not a level either.
            if format != Format::Aperio && says.is_none() {
                for page in sub_pages(file, index, &page)? {
                    let says = said(file, format, &page);
                    subs.push(Self { page, index, is_sub: true, says, image });
                }
            }
            if subs.len() > MAX_DIRECTORIES {
                return Err(Refusal::Broken(format!("more than {MAX_DIRECTORIES} SubIFDs")));
            }
            pictures.push(Self { page, index, is_sub: false, says, image });
        }
        pictures.append(&mut subs);
        Ok(pictures)
    }

    fn may_be_slide(&self) -> bool {
        self.says.is_none() && self.page.subfile & MASK == 0
    }

    /// `true` if the page shows the whole of `base`, reduced, from the same focal plane and scene. `next` is
    /// the place of the next page of the base's size: pages after it belong to that one.
    fn is_level_of(&self, base: &Self, next: Option<usize>) -> bool {
        let of_one_image = self.image.is_none() || base.image.is_none() || self.image == base.image;
        let near = match self.is_sub || base.is_sub {
            true => self.index == base.index,
            false => next.is_none_or(|next| (base.index..next).contains(&self.index)),
        };
        self.may_be_slide()
            && of_one_image
            && near
            && self.page.tiled == base.page.tiled
            && alike(&base.page, &self.page)
            && shows_same_area(&base.page, &self.page)
    }

    /// `true` if the page may show tissue that level 0 does not. A strip much smaller than the slide is taken
    /// for a label or macro without a name.
    fn shows_another_area(&self, base: &Self) -> bool {
        let is_large = self.page.tiled || self.page.pixels() * 16 >= base.page.pixels();
        let is_reduced = shows_same_area(&base.page, &self.page) && self.image == base.image;
        self.may_be_slide() && !self.is_sub && !same_size(&base.page, &self.page) && is_large && !is_reduced
    }

    /// Returns its name among the pictures beside the slide; `None` for masks, further planes, and pages of
    /// another scene.
    fn name_beside(&self, base: &Self, format: Format) -> Option<String> {
        match self.says {
            Some(name) => Some(name.to_owned()),
            None if self.is_sub || !self.may_be_slide() => None,
            None if format == Format::Aperio && self.index == 1 && !self.page.tiled => {
                Some("thumbnail".to_owned())
            }
            None if same_size(&base.page, &self.page) => None,
            None if shows_same_area(&base.page, &self.page) => Some("thumbnail".to_owned()),
            None => Some(format!("page-{}", self.index)),
        }
    }
}

/// Returns the image of OME-XML that a page belongs to; if several claim it, the one that states its role.
fn image_of_page(images: &[ome::Image], index: usize) -> Option<usize> {
    let mut claiming = (0..images.len()).filter(|&image| images[image].pages.contains(&index));
    claiming.clone().find(|&image| images[image].role.is_some()).or_else(|| claiming.next())
}

/// The pages that a page's SubIFDs tag names.
fn sub_pages(file: &TiffFile, index: usize, page: &Page) -> Result<Vec<Page>, Refusal> {
    let in_sub = |e: Broken| Refusal::Broken(format!("a SubIFD of directory {index}: {}", e.0));
    let directories = file.sub_directories(&page.directory).map_err(in_sub)?;
    directories.iter().map(|directory| Page::read(file, directory).map_err(in_sub)).collect()
}

/// Returns the place of the largest picture that may be the slide; of several, the first. Aperio's slide is
/// tiled, unless no page is.
fn largest(format: Format, pictures: &[Picture]) -> Result<usize, Refusal> {
    let tiled_only = format == Format::Aperio && pictures.iter().any(|p| p.may_be_slide() && p.page.tiled);
    let places = pictures.iter().enumerate();
    places
        .filter(|(_, picture)| picture.may_be_slide() && (picture.page.tiled || !tiled_only))
        .max_by_key(|(place, picture)| (picture.page.pixels(), Reverse(*place)))
        .map(|(place, _)| place)
        .ok_or_else(|| Refusal::Unsupported {
            feature: "a file that says of all its pictures that they are labels, macros, thumbnails or masks"
                .into(),
            for_all: true,
        })
}

/// Refuses channels in pages of their own: they are not colours that can be shown.
fn refuse_planes(base: &Picture, others: &[Picture]) -> Result<(), Refusal> {
    let planes = 1 + others.iter().filter(|picture| is_another_plane(base, picture)).count();
    if base.page.samples >= 3 || planes == 1 {
        return Ok(());
    }
    let feature = format!("{planes} channels or planes of one colour each; RGB and single gray are read");
    Err(Refusal::Unsupported { feature, for_all: true })
}

/// `true` for a page of the base's size: another focal plane, time point, channel or scene.
fn is_another_plane(base: &Picture, picture: &Picture) -> bool {
    picture.may_be_slide()
        && !picture.is_sub
        && same_size(&base.page, &picture.page)
        && picture.page.tiled == base.page.tiled
        && picture.page.subfile & REDUCED == 0
}

/// Returns the place in the chain of the next page of the base's size.
fn next_of_same_size(base: &Picture, others: &[Picture]) -> Option<usize> {
    others.iter().filter(|picture| is_another_plane(base, picture)).map(|picture| picture.index).min()
}

/// Describes pictures that may show tissue and are not read, in words.
fn not_read(base: &Picture, rest: &[Picture]) -> Vec<String> {
    let mut remarks = Vec::new();
    let planes = rest.iter().filter(|picture| is_another_plane(base, picture)).count();
    if planes > 0 {
        let (width, height) = (base.page.width, base.page.height);
        let are = if planes == 1 { "is" } else { "are" };
        remarks.push(format!(
            "{} of {width} × {height} px {are} not read (focal planes, time points or \
             scenes): only the first is",
            counted(planes, "more picture")
        ));
    }
    let others: Vec<&Page> =
        rest.iter().filter(|picture| picture.shows_another_area(base)).map(|picture| &picture.page).collect();
    if let Some(first) = others.first() {
        let (count, width, height) = (others.len(), first.width, first.height);
        remarks.push(match count {
            1 => format!(
                "a picture of {width} × {height} px is not read: it shows another area than level 0 (another \
                 scene, or the glass)"
            ),
            _ => format!(
                "{count} more pictures, the first of {width} × {height} px, are not read: they show other areas \
                 than level 0 (other scenes, or the glass)"
            ),
        });
    }
    remarks
}

/// Describes the focal planes of an NDPI file other than the one that OpenSlide reads: private tag 65424 is
/// the offset of a page from the focus.
fn focal_planes(file: &TiffFile, directories: &[Directory]) -> Vec<String> {
    let offsets: BTreeSet<Vec<u8>> = directories
        .iter()
        .filter_map(|directory| file.bytes(directory, tag::NDPI_FOCUS).ok().flatten())
        .filter(|raw| raw.iter().any(|&byte| byte != 0))
        .collect();
    match offsets.len() {
        0 => Vec::new(),
        1 => vec!["1 more focal plane is not read: only the plane in focus is".into()],
        count => vec![format!("{count} more focal planes are not read: only the plane in focus is")],
    }
}

/// Bits of NewSubfileType (TIFF 6.0, section 8).
const REDUCED: u32 = 1;
const MASK: u32 = 4;

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

/// `true` if both have the same colours and depth, and so may be of one pyramid.
fn alike(a: &Page, b: &Page) -> bool {
    (a.samples, &a.bits, a.sample_format) == (b.samples, &b.bits, b.sample_format)
}

/// `true` if a smaller page is the whole of the larger one, reduced: its sides are those of the larger one
/// divided by one number, give or take the 2 px that writers round away.
fn shows_same_area(base: &Page, page: &Page) -> bool {
    if page.subfile & 4 != 0 || page.width >= base.width || page.height > base.height {
        return false;
    }
    let downsample = f64::from(base.width.max(base.height)) / f64::from(page.width.max(page.height));
    [(base.width, page.width), (base.height, page.height)]
        .iter()
        .all(|&(whole, part)| (f64::from(whole) / downsample - f64::from(part)).abs() <= 2.0)
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

/// Returns the maker of a TIFF that OpenSlide reads better, known by marks in the file.
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

/// Returns the role that a page states, if that is not part of the slide.
fn said(file: &TiffFile, format: Format, page: &Page) -> Option<&'static str> {
    let of_maker = match format {
        Format::Aperio => aperio_role(page),
        Format::PerkinElmer => perkin_elmer_role(&page.description),
        Format::Ome | Format::Generic => None,
    };
    of_maker
        .or_else(|| role_in(page.description.lines().next()?))
        .or_else(|| role_in(&file.text(&page.directory, tag::PAGE_NAME).ok()??))
}

/// Returns the role of an Aperio page. The second line of its description starts with the picture's name, or
/// with the size of a level. Without either the kind of page decides: 1 for the label, 9 for the macro.
fn aperio_role(page: &Page) -> Option<&'static str> {
    let second = page.description.lines().nth(1).unwrap_or_default().trim_start();
    let word = second.split_whitespace().next().unwrap_or_default();
    let is_level = word.starts_with(|first: char| first.is_ascii_digit());
    role_of(word).or(match page.subfile {
        1 if !is_level => Some("label"),
        9 => Some("macro"),
        _ => None,
    })
}

/// Returns the role that `ImageType` of a page's XML states.
fn perkin_elmer_role(description: &str) -> Option<&'static str> {
    let (_, after) = description.split_once("<ImageType>")?;
    role_of(after.split('<').next()?.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_type_of_a_page_names_its_picture() {
        assert_eq!(perkin_elmer_role("<X><ImageType>Label</ImageType></X>"), Some("label"));
        assert_eq!(perkin_elmer_role("<X><ImageType>FullResolution</ImageType></X>"), None);
    }
}
