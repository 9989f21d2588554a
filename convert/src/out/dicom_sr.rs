//! DICOM structured report, TID 1500 "Imaging Measurement Report": totals of the slide, and its regions.
//!
//! Never cells: a report holds thousands of things, not millions; these are in the bulk annotations. A region is its
//! outer ring, with at most 1,000 points; its area is that without holes.

use std::path::Path;

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use merger::RegionRow;
use wsi_types::{ClassId, Level0Box, Level0Point};

use super::{
    files::write_file,
    request::{Settings, Source},
    stream::{Maker, Part, stream},
};
use crate::{
    dicom::{
        AREA, Attributes as _, Code, Items, MAKER, NO_UNITS, OUR_CODES, our_scheme, slide::DicomSlide,
        write_head, write_items,
    },
    error::{Result, refused, unwritable},
    ids,
    ring::{Fate, Grid, fewer_corners, on_grid},
    source::SlideFacts,
    tally::Tally,
};

const WHAT: &str = "the DICOM report";
/// Cells counted at a time.
const ROWS: usize = 32_768;
/// The kind of regions that the tissue mask found.
const TISSUE: &str = dataset::TISSUE;
const MOST_POINTS: usize = 1_000;
const MM2: Code<'_> = Code("mm2", "UCUM", "square millimeter");
const PER_MM2: Code<'_> = Code("/mm2", "UCUM", "per square millimeter");
const COUNT: Code<'_> = Code("{count}", "UCUM", "count");

/// Writes the report of a slide.
pub(crate) fn write(source: &Source<'_>, settings: &Settings, path: &Path) -> Result<Tally> {
    if !source.choice.is_everything() || settings.points || settings.simplify_px.is_some() {
        return refused(
            "dicom-sr tells of the whole slide: leave choices of cells, --points and --simplify out",
        );
    }
    let facts = source.facts;
    let slide = settings.dicom_slide(facts);
    let as_points = Settings { points: true, ..Settings::default() };
    let mut tally = stream(source, &as_points, ROWS, &Nothing, |()| Ok(()))?;
    let identity = source.identity(settings);
    let report = Report { facts, slide: &slide, identity: &identity };
    let mut groups = vec![report.whole_slide(&tally, source.regions)];
    let mut boxed = 0;
    for region in source.regions {
        let (group, fate) = report.region(region);
        boxed += u64::from(fate == Fate::Boxed);
        groups.push(group);
    }
    let object = report.object(groups);
    let instance = object.text_of(tags::SOP_INSTANCE_UID).unwrap_or_default();
    write_file(path, WHAT, |out| {
        write_head(out, uids::COMPREHENSIVE_SR_STORAGE, &instance)
            .and_then(|()| write_items(out, &object))
            .map_err(unwritable(WHAT, path))
    })?;
    tally.regions = source.regions.len() as u64;
    tally.boxed = boxed;
    tally.notes.extend(slide.note());
    Ok(tally)
}

/// Cells are counted, and nothing is made of them.
struct Nothing;

impl Maker for Nothing {
    type Made = ();

    fn grid(&self) -> Grid {
        Grid::DYADIC
    }

    fn make(&self, _: &Part<'_>) -> Result<()> {
        Ok(())
    }
}

/// Relation of a content item to the one above it.
#[derive(Debug, Clone, Copy)]
enum Is {
    ConceptMod,
    ObsContext,
    Contains,
    SelectedFrom,
}

impl Is {
    fn text(self) -> &'static str {
        match self {
            Self::ConceptMod => "HAS CONCEPT MOD",
            Self::ObsContext => "HAS OBS CONTEXT",
            Self::Contains => "CONTAINS",
            Self::SelectedFrom => "SELECTED FROM",
        }
    }
}

fn content(is: Is, kind: &str, concept: Code<'_>) -> Items {
    let mut item = Items::new_empty();
    item.text(tags::RELATIONSHIP_TYPE, VR::CS, is.text())
        .text(tags::VALUE_TYPE, VR::CS, kind)
        .sequence(tags::CONCEPT_NAME_CODE_SEQUENCE, vec![concept.item()]);
    item
}

fn coded(is: Is, concept: Code<'_>, value: Code<'_>) -> Items {
    let mut item = content(is, "CODE", concept);
    item.sequence(tags::CONCEPT_CODE_SEQUENCE, vec![value.item()]);
    item
}

fn text(is: Is, concept: Code<'_>, value: &str) -> Items {
    let mut item = content(is, "TEXT", concept);
    item.text(tags::TEXT_VALUE, VR::UT, value);
    item
}

fn uid(is: Is, concept: Code<'_>, value: &str) -> Items {
    let mut item = content(is, "UIDREF", concept);
    item.text(tags::UID, VR::UI, value);
    item
}

fn measured(concept: Code<'_>, value: f64, unit: Code<'_>) -> Items {
    let mut of = Items::new_empty();
    of.sequence(tags::MEASUREMENT_UNITS_CODE_SEQUENCE, vec![unit.item()])
        .f64(tags::FLOATING_POINT_VALUE, value)
        .decimals(tags::NUMERIC_VALUE, &[value]);
    let mut item = content(Is::Contains, "NUM", concept);
    item.sequence(tags::MEASURED_VALUE_SEQUENCE, vec![of]);
    item
}

fn container(is: Is, concept: Code<'_>, template: Option<&str>, items: Vec<Items>) -> Items {
    let mut item = content(is, "CONTAINER", concept);
    item.text(tags::CONTINUITY_OF_CONTENT, VR::CS, "CONTINUOUS");
    if let Some(template) = template {
        item.sequence(tags::CONTENT_TEMPLATE_SEQUENCE, vec![template_item(template)]);
    }
    item.sequence(tags::CONTENT_SEQUENCE, items);
    item
}

fn template_item(identifier: &str) -> Items {
    let mut item = Items::new_empty();
    item.text(tags::MAPPING_RESOURCE, VR::CS, "DCMR").text(tags::TEMPLATE_IDENTIFIER, VR::CS, identifier);
    item
}

struct Report<'a> {
    facts: &'a SlideFacts,
    slide: &'a DicomSlide,
    identity: &'a str,
}

impl Report<'_> {
    /// The whole object, with its groups of measurements.
    fn object(&self, groups: Vec<Items>) -> Items {
        let mut series = Items::new_empty();
        series.sequence(tags::REFERENCED_SOP_SEQUENCE, vec![self.slide.image()]).text(
            tags::SERIES_INSTANCE_UID,
            VR::UI,
            self.slide.series_uid(),
        );
        let mut evidence = Items::new_empty();
        evidence.sequence(tags::REFERENCED_SERIES_SEQUENCE, vec![series]).text(
            tags::STUDY_INSTANCE_UID,
            VR::UI,
            self.slide.study_uid(),
        );
        let mut items = self.context();
        items.push(container(Is::Contains, Code("126010", "DCM", "Imaging Measurements"), None, groups));
        let mut object = self.slide.object(uids::COMPREHENSIVE_SR_STORAGE, "SR", self.facts, self.identity);
        object
            .sequence(tags::CODING_SCHEME_IDENTIFICATION_SEQUENCE, vec![our_scheme()])
            .sequence(tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, Vec::new())
            .text(tags::SERIES_NUMBER, VR::IS, "3")
            .text(tags::VALUE_TYPE, VR::CS, "CONTAINER")
            .sequence(
                tags::CONCEPT_NAME_CODE_SEQUENCE,
                vec![Code("126000", "DCM", "Imaging Measurement Report").item()],
            )
            .text(tags::CONTINUITY_OF_CONTENT, VR::CS, "CONTINUOUS")
            .sequence(tags::PERFORMED_PROCEDURE_CODE_SEQUENCE, Vec::new())
            .sequence(tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE, vec![evidence])
            .text(tags::COMPLETION_FLAG, VR::CS, "COMPLETE")
            .text(tags::VERIFICATION_FLAG, VR::CS, "UNVERIFIED")
            .text(tags::PRELIMINARY_FLAG, VR::CS, "PRELIMINARY")
            .sequence(tags::CONTENT_TEMPLATE_SEQUENCE, vec![template_item("1500")])
            .sequence(tags::CONTENT_SEQUENCE, items);
        object
    }

    /// Language, who measured, and what was measured.
    fn context(&self) -> Vec<Items> {
        let of = Is::ObsContext;
        let (specimen_uid, specimen) = self.slide.specimen();
        let version = env!("CARGO_PKG_VERSION");
        vec![
            coded(
                Is::ConceptMod,
                Code("121049", "DCM", "Language of Content Item and Descendants"),
                Code("en-US", "RFC5646", "English (United States)"),
            ),
            coded(of, Code("121005", "DCM", "Observer Type"), Code("121007", "DCM", "Device")),
            uid(
                of,
                Code("121012", "DCM", "Device Observer UID"),
                &ids::uid(&[b"slidemill", version.as_bytes()]),
            ),
            text(of, Code("121013", "DCM", "Device Observer Name"), MAKER),
            text(of, Code("121014", "DCM", "Device Observer Manufacturer"), MAKER),
            text(of, Code("121015", "DCM", "Device Observer Model Name"), MAKER),
            text(of, Code("121016", "DCM", "Device Observer Serial Number"), "0"),
            coded(of, Code("121024", "DCM", "Subject Class"), Code("121027", "DCM", "Specimen")),
            uid(of, Code("121039", "DCM", "Specimen UID"), specimen_uid),
            text(of, Code("121041", "DCM", "Specimen Identifier"), specimen),
            coded(
                Is::ConceptMod,
                Code("121058", "DCM", "Procedure reported"),
                Code("104157003", "SCT", "Light microscopy procedure"),
            ),
        ]
    }

    /// First items of each group of measurements.
    fn tracked(&self, name: &str, finding: &str) -> Vec<Items> {
        let own =
            ids::uid(&[b"tracked", self.facts.id.as_bytes(), self.identity.as_bytes(), name.as_bytes()]);
        let of = Is::ConceptMod;
        vec![
            text(Is::ObsContext, Code("112039", "DCM", "Tracking Identifier"), name),
            uid(Is::ObsContext, Code("112040", "DCM", "Tracking Unique Identifier"), &own),
            coded(Is::Contains, Code("121071", "DCM", "Finding"), Code("finding", OUR_CODES, finding)),
            text(of, Code("111001", "DCM", "Algorithm Name"), &self.facts.model.name),
            text(of, Code("111003", "DCM", "Algorithm Version"), self.facts.model.stated_version()),
            text(
                of,
                Code("111002", "DCM", "Algorithm Parameters"),
                &format!("settings {}", self.facts.fingerprint),
            ),
        ]
    }

    fn whole_slide(&self, tally: &Tally, regions: &[RegionRow]) -> Items {
        let tissue: Vec<&RegionRow> = regions.iter().filter(|region| region.kind == TISSUE).collect();
        let found: f64 = tissue.iter().map(|region| region.area_um2).sum();
        let seen: f64 = tissue.iter().map(|region| region.analysed_um2).sum();
        let mut items = self.tracked("slide", "Whole slide");
        items.push(measured(Code("tissue", OUR_CODES, "Area of tissue"), found * 1e-6, MM2));
        items.push(measured(
            Code("analysed", OUR_CODES, "Area of tissue that was analysed"),
            seen * 1e-6,
            MM2,
        ));
        items.extend(self.counts(|name| tally.by_class.get(name).copied(), seen * 1e-6));
        container(Is::Contains, Code("125007", "DCM", "Measurement Group"), Some("1501"), items)
    }

    /// Cells and their density, by class.
    fn counts(&self, count: impl Fn(&str) -> Option<u64>, analysed_mm2: f64) -> Vec<Items> {
        let mut items = Vec::new();
        for class in 0..self.facts.class_names.len() {
            let name = self.facts.class_name(ClassId(class as u16));
            let cells = count(&name).unwrap_or(0) as f64;
            let (counted, dense) = (format!("n-{class}"), format!("d-{class}"));
            items.push(measured(Code(&counted, OUR_CODES, &format!("Cells: {name}")), cells, COUNT));
            if analysed_mm2 > 0.0 {
                let meaning = format!("Cells per area: {name}");
                items.push(measured(Code(&dense, OUR_CODES, &meaning), cells / analysed_mm2, PER_MM2));
            }
        }
        items
    }

    /// Cells of a class in a region; `None` for a class that has no name in the model.
    fn count_in(&self, region: &RegionRow, name: &str) -> Option<u64> {
        let class = self.facts.class_named(name)?;
        region.n_cells_by_class.get(usize::from(class.0)).copied()
    }

    fn region(&self, region: &RegionRow) -> (Items, Fate) {
        let mut items = self.tracked(&format!("{}-{}", region.kind, region.region_id), &region.kind);
        items.push(measured(AREA, region.area_um2 * 1e-6, MM2));
        items.push(measured(
            Code("coverage", OUR_CODES, "Share that was analysed"),
            region.coverage,
            NO_UNITS,
        ));
        if let Some(tissue_um2) = region.analysed_tissue_um2 {
            let code = Code("tissue-area", OUR_CODES, "Area of tissue that was analysed");
            items.push(measured(code, tissue_um2 * 1e-6, MM2));
        }
        let counts = self.counts(|name| self.count_in(region, name), region.analysed_um2 * 1e-6);
        items.extend(counts);
        let (outline, fate) = self.outline(region);
        items.push(outline);
        (container(Is::Contains, Code("125007", "DCM", "Measurement Group"), Some("1410"), items), fate)
    }

    /// The outer ring as a closed line: reports have no polygons in px.
    fn outline(&self, region: &RegionRow) -> (Items, Fate) {
        const OFF_UM: f64 = 10.0;
        let outer = region.rings.first().map_or(&[][..], Vec::as_slice);
        let mut off = OFF_UM / self.facts.mpp.get();
        let mut fewer = outer.to_vec();
        while fewer.len() >= MOST_POINTS {
            fewer = fewer_corners(outer, off);
            off *= 2.0;
        }
        let bounds: Level0Box = Level0Box::from_points(outer);
        let grid = Grid::DYADIC;
        let (ring, fate) = on_grid(&fewer, &bounds, grid);
        let points = ring.iter().chain(ring.first()).map(|&place| grid.point(place));
        let numbers: Vec<f32> =
            points.flat_map(|point: Level0Point| [point.x as f32, point.y as f32]).collect();
        let mut image = content(Is::SelectedFrom, "IMAGE", Code("260753009", "SCT", "Source"));
        image.sequence(tags::REFERENCED_SOP_SEQUENCE, vec![self.slide.image()]);
        let mut item = content(Is::Contains, "SCOORD", Code("111030", "DCM", "Image Region"));
        item.sequence(tags::CONTENT_SEQUENCE, vec![image])
            .text(tags::PIXEL_ORIGIN_INTERPRETATION, VR::CS, "VOLUME")
            .f32s(tags::GRAPHIC_DATA, &numbers)
            .text(tags::GRAPHIC_TYPE, VR::CS, "POLYLINE");
        (item, fate)
    }
}
