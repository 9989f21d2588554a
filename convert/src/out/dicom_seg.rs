//! DICOM segmentation (PS3.3 A.51) of regions: a picture of one bit per kind, tiled, on the grid that regions are
//! worked on.
//!
//! Kinds lie one in another, as tumour does in tissue, so each is a segment of its own and none a value of a label map.

use std::{
    io::{self, Write},
    path::Path,
};

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use merger::{RegionRow, mask::Mask};
use wsi_types::Level0Point;

use super::{
    files::write_file,
    request::{Settings, Source},
};
use crate::{
    dicom::{
        Attributes as _, Items, MAKER, TISSUE_CODE, algorithm, begin_value, kind_code, our_scheme,
        slide::DicomSlide, write_head, write_items,
    },
    error::{Result, refused, unwritable},
    ids,
    source::SlideFacts,
    tally::Tally,
};

const WHAT: &str = "the DICOM segmentation";
/// Side of a tile, px.
const TILE_PX: usize = 512;
/// Side of a px, µm, as of the masks that regions are made of.
const PX_UM: f64 = 4.0;
/// Larger slides have coarser px.
const MOST_PX: f64 = 16e6;

/// Writes the regions of a slide.
pub(crate) fn write(source: &Source<'_>, settings: &Settings, path: &Path) -> Result<Tally> {
    if !source.choice.is_everything() || settings.points || settings.simplify_px.is_some() {
        return refused(
            "dicom-seg tells of all regions: leave choices of cells, --points and --simplify out",
        );
    }
    let kinds = kinds(source.regions);
    if kinds.is_empty() {
        return refused(format!("slide {} has no regions, which dicom-seg is about", source.facts.id));
    }
    let (facts, slide) = (source.facts, settings.dicom_slide(source.facts));
    let grid = Grid::over(facts);
    let object = object(&slide, facts, &kinds, &grid, &source.identity(settings));
    let instance = object.text_of(tags::SOP_INSTANCE_UID).unwrap_or_default();
    write_file(path, WHAT, |out| {
        write_head(out, uids::SEGMENTATION_STORAGE, &instance)
            .and_then(|()| write_items(out, &object))
            .and_then(|()| write_pixels(out, source.regions, &kinds, &grid))
            .map_err(unwritable(WHAT, path))
    })?;
    let mut tally = Tally { regions: source.regions.len() as u64, ..Tally::default() };
    tally.notes.push(format!("its px are squares of {:.1} µm", grid.step * facts.mpp.get()));
    tally.notes.extend(slide.note());
    Ok(tally)
}

/// Kinds of regions, each once, in order of their names.
fn kinds(regions: &[RegionRow]) -> Vec<&str> {
    let mut kinds: Vec<&str> = regions.iter().map(|region| region.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// The px of a segmentation, from the corner of level 0 on.
struct Grid {
    /// Level-0 px per px.
    step: f64,
    width: usize,
    height: usize,
}

impl Grid {
    fn over(facts: &SlideFacts) -> Self {
        let [width, height] = facts.size_px.map(f64::from);
        let step = (PX_UM / facts.mpp.get()).max((width * height / MOST_PX).sqrt());
        Self { step, width: px_over(width, step), height: px_over(height, step) }
    }

    /// Columns and rows of tiles.
    fn tiles(&self) -> (usize, usize) {
        (self.width.div_ceil(TILE_PX), self.height.div_ceil(TILE_PX))
    }

    /// A ring of level 0 in px of the grid.
    fn placed(&self, ring: &[Level0Point]) -> Vec<Level0Point> {
        ring.iter().map(|&corner| corner / self.step).collect()
    }

    /// All regions of a kind.
    fn mask(&self, regions: &[RegionRow], kind: &str) -> Mask {
        let mut mask = Mask::new(self.width, self.height);
        for region in regions.iter().filter(|region| region.kind == kind) {
            let rings: Vec<_> = region.rings.iter().map(|ring| self.placed(ring)).collect();
            mask.paint_rings(&rings.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
        mask
    }
}

/// Px that cover `length` level-0 px, at least one.
fn px_over(length: f64, step: f64) -> usize {
    ((length / step).ceil() as usize).max(1)
}

/// Everything but the pixels.
fn object(slide: &DicomSlide, facts: &SlideFacts, kinds: &[&str], grid: &Grid, identity: &str) -> Items {
    let mut series = Items::new_empty();
    series.sequence(tags::REFERENCED_INSTANCE_SEQUENCE, vec![slide.image()]).text(
        tags::SERIES_INSTANCE_UID,
        VR::UI,
        slide.series_uid(),
    );
    let organization = ids::uid(&[b"dimensions", facts.id.as_bytes(), identity.as_bytes()]);
    let mut dimensions = Items::new_empty();
    dimensions.text(tags::DIMENSION_ORGANIZATION_UID, VR::UI, &organization);
    let segments = kinds.iter().zip(1..).map(|(kind, number)| segment(kind, number, facts)).collect();
    let (columns, rows) = grid.tiles();
    let mut object = slide.object(uids::SEGMENTATION_STORAGE, "SEG", facts, identity);
    object
        .texts(tags::IMAGE_TYPE, VR::CS, &["DERIVED", "PRIMARY"])
        .sequence(tags::CODING_SCHEME_IDENTIFICATION_SEQUENCE, vec![our_scheme()])
        .sequence(tags::REFERENCED_SERIES_SEQUENCE, vec![series])
        .sequence(tags::SOURCE_IMAGE_SEQUENCE, vec![slide.image()])
        .text(tags::SERIES_NUMBER, VR::IS, "4")
        // Type 2C: validators ask for it, empty.
        .text(tags::PATIENT_ORIENTATION, VR::CS, "")
        .sequence(tags::DIMENSION_ORGANIZATION_SEQUENCE, vec![dimensions])
        .text(tags::DIMENSION_ORGANIZATION_TYPE, VR::CS, "TILED_FULL")
        .u16(tags::SAMPLES_PER_PIXEL, 1)
        .text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2")
        .text(tags::NUMBER_OF_FRAMES, VR::IS, &(columns * rows * kinds.len()).to_string())
        .u16(tags::ROWS, TILE_PX as u16)
        .u16(tags::COLUMNS, TILE_PX as u16)
        .u16(tags::BITS_ALLOCATED, 1)
        .u16(tags::BITS_STORED, 1)
        .u16(tags::HIGH_BIT, 0)
        .u16(tags::PIXEL_REPRESENTATION, 0)
        .text(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00")
        .u32(tags::TOTAL_PIXEL_MATRIX_COLUMNS, grid.width as u32)
        .u32(tags::TOTAL_PIXEL_MATRIX_ROWS, grid.height as u32)
        .u32(tags::TOTAL_PIXEL_MATRIX_FOCAL_PLANES, 1)
        .text(tags::SEGMENTATION_TYPE, VR::CS, "BINARY")
        .sequence(tags::SEGMENT_SEQUENCE, segments)
        .text(tags::SEGMENTS_OVERLAP, VR::CS, "UNDEFINED")
        .text(tags::CONTENT_LABEL, VR::CS, "REGIONS")
        .text(tags::CONTENT_DESCRIPTION, VR::LO, "Regions found by a program, not checked by a person")
        .text(tags::CONTENT_CREATOR_NAME, VR::PN, MAKER)
        .text(tags::PRESENTATION_LUT_SHAPE, VR::CS, "IDENTITY");
    slide.put_container(&mut object);
    slide.frame().put_grid(&mut object, grid.step);
    object
}

fn segment(kind: &str, number: u16, facts: &SlideFacts) -> Items {
    let code = kind_code(kind);
    let mut segment = Items::new_empty();
    segment
        .sequence(tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE, vec![TISSUE_CODE.item()])
        .u16(tags::SEGMENT_NUMBER, number)
        .text(tags::SEGMENT_LABEL, VR::LO, kind)
        .sequence(tags::SEGMENTATION_ALGORITHM_IDENTIFICATION_SEQUENCE, vec![algorithm(&facts.model)])
        .text(tags::SEGMENT_ALGORITHM_TYPE, VR::CS, "AUTOMATIC")
        .text(tags::SEGMENT_ALGORITHM_NAME, VR::LO, &facts.model.name)
        .sequence(tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, vec![code]);
    segment
}

/// Tiles row by row, those of a kind after those of the one before (PS3.3 C.7.6.17.3). One mask is in memory at a time.
fn write_pixels(out: &mut impl Write, regions: &[RegionRow], kinds: &[&str], grid: &Grid) -> io::Result<()> {
    let (columns, rows) = grid.tiles();
    let bytes =
        u32::try_from(columns * rows * kinds.len() * TILE_PX * TILE_PX / 8).map_err(io::Error::other)?;
    begin_value(out, tags::PIXEL_DATA, VR::OB, bytes)?;
    for kind in kinds {
        let mask = grid.mask(regions, kind);
        for row in 0..rows {
            for column in 0..columns {
                out.write_all(&tile(&mask, column * TILE_PX, row * TILE_PX))?;
            }
        }
    }
    Ok(())
}

/// A tile of a mask as bits, the first px lowest; what lies beyond the mask is out.
fn tile(mask: &Mask, left: usize, top: usize) -> Vec<u8> {
    let mut bits = vec![0; TILE_PX * TILE_PX / 8];
    for y in 0..TILE_PX {
        for x in 0..TILE_PX {
            let at = y * TILE_PX + x;
            bits[at / 8] |= u8::from(mask.get(left + x, top + y)) << (at % 8);
        }
    }
    bits
}
