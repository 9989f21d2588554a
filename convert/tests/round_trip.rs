//! Round trips: class, place, count and area come back from every format, also beside rings that no format takes.

#![allow(clippy::unwrap_used)]

mod support;

use convert::{Area, Choice, ConvertError, Format, Settings, into, verify};
use eval::{
    objects::Role,
    polygon::Polygon,
    truth::{QuPathObjects, ReadSettings},
};
use support::{MPP, Painted, dense_ellipses, ellipses, lattice_place, with_wrong_rings, wrong_rings};
use wsi_types::{ClassId, Level0Point};

fn cell_formats() -> impl Iterator<Item = Format> {
    Format::ALL.into_iter().filter(|format| format.holds_cells())
}

fn read(path: &std::path::Path) -> eval::objects::ObjectSet {
    into::read(path, &ReadSettings { qupath: QuPathObjects::Detections, ..ReadSettings::default() })
        .unwrap()
        .set
}

#[test]
fn every_format_keeps_class_place_count_and_area() {
    let painted = Painted::new(ellipses(3_000));
    for format in cell_formats() {
        let (tally, path) = painted.export(format, &Choice::default(), &Settings::default());
        assert_eq!(tally.by_class, painted.counts(), "{}", format.name());
        assert_eq!((tally.repaired, tally.boxed), (0, 0), "{}", format.name());
        assert!(path.file_name().unwrap().to_string_lossy().starts_with(&painted.facts.id));
        verify(format, &painted.facts, &Settings::default(), &tally, &path).unwrap();

        let back = read(&path);
        assert_eq!(into::count_by_class(&back), painted.counts(), "{}", format.name());
        let mut expected: Vec<_> = painted.cells.iter().map(|cell| lattice_place(cell.centroid)).collect();
        let objects = back.objects.iter().filter(|object| object.role == Role::Object);
        let mut found: Vec<_> = objects.map(|object| lattice_place(object.shape.centroid())).collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert!(found.iter().all(Option::is_some) && found == expected, "{}", format.name());
        let painted_um2: f64 =
            painted.cells.iter().map(|cell| ring_area(cell.outline.as_ref().unwrap())).sum();
        let found_um2 = into::area_px2(&back).unwrap();
        assert!((found_um2 / painted_um2 - 1.0).abs() < 1e-3, "{}: {found_um2} px²", format.name());
        assert!((tally.area_um2 / MPP / MPP / painted_um2 - 1.0).abs() < 1e-3, "{}", format.name());
    }
}

fn ring_area(ring: &[Level0Point]) -> f64 {
    Polygon::from_ring(ring.to_vec()).area()
}

#[test]
fn one_wrong_ring_never_loses_a_neighbour() {
    assert_eq!(wrong_rings().len(), 200);
    let painted = Painted::new(with_wrong_rings());
    for format in cell_formats() {
        let (tally, path) = painted.export(format, &Choice::default(), &Settings::default());
        assert_eq!(tally.cells(), 400, "{}", format.name());
        assert!(tally.repaired > 80 && tally.boxed > 20, "{}: {tally:?}", format.name());
        assert!(tally.repaired + tally.boxed <= 200, "{}: {tally:?}", format.name());
        verify(format, &painted.facts, &Settings::default(), &tally, &path).unwrap();
        assert_eq!(into::count_by_class(&read(&path)), painted.counts(), "{}", format.name());
    }
}

#[test]
fn a_choice_leaves_out_the_others() {
    let painted = Painted::new(ellipses(3_000));
    let square = [(0.0, 0.0), (9_000.0, 0.0), (9_000.0, 60.0), (0.0, 60.0)];
    let square = Polygon::from_ring(square.map(|(x, y)| Level0Point::new(x, y)).to_vec());
    let choice = Choice {
        classes: Some([ClassId(1)].into()),
        min_score: Some(0.7),
        within: Area::new(std::slice::from_ref(&square)),
    };
    let expected = painted
        .cells
        .iter()
        .filter(|cell| cell.class == ClassId(1) && cell.score.get() >= 0.7 && square.contains(cell.centroid));
    let expected = expected.count() as u64;
    assert!(expected > 20);
    for format in cell_formats() {
        let (tally, path) = painted.export(format, &choice, &Settings::default());
        assert_eq!(tally.cells(), expected, "{}", format.name());
        assert_eq!(read(&path).objects.len() as u64, expected, "{}", format.name());
    }
}

#[test]
fn nothing_chosen_is_an_empty_file_that_is_read() {
    let painted = Painted::new(ellipses(30));
    let choice = Choice { min_score: Some(1.0), ..Choice::default() };
    for format in cell_formats() {
        let (tally, path) = painted.export(format, &choice, &Settings::default());
        assert_eq!(tally.cells(), 0, "{}", format.name());
        assert_eq!(read(&path).objects.len(), 0, "{}", format.name());
    }
}

#[test]
fn points_are_centroids_where_a_format_has_them() {
    let painted = Painted::new(ellipses(500));
    let settings = Settings { points: true, ..Settings::default() };
    for format in [
        Format::QuPath,
        Format::GeoJsonGz,
        Format::DicomAnn,
        Format::AnnotationStore,
        Format::LabelStudio,
        Format::Cvat,
        Format::GeoArrow,
    ] {
        let (tally, path) = painted.export(format, &Choice::default(), &settings);
        assert_eq!(tally.cells(), 500, "{}", format.name());
        verify(format, &painted.facts, &settings, &tally, &path).unwrap();
    }
    let source = convert::Source {
        facts: &painted.facts,
        cells: &painted.table,
        regions: &painted.regions,
        choice: &Choice::default(),
    };
    for format in [Format::Coco, Format::SpatialData] {
        let refused = convert::export(format, &source, &settings, painted.folder.path());
        assert!(matches!(refused, Err(ConvertError::Refused(_))), "{}", format.name());
    }
}

#[test]
fn simplified_outlines_keep_their_area() {
    let painted = Painted::new(dense_ellipses(500));
    let whole = painted.export(Format::GeoJson, &Choice::default(), &Settings::default()).0;
    let settings = Settings { simplify_px: Some(0.5), ..Settings::default() };
    let fewer = painted.export(Format::GeoJson, &Choice::default(), &settings).0;
    assert!(fewer.bytes < whole.bytes / 2, "{} of {}", fewer.bytes, whole.bytes);
    assert!((fewer.area_um2 / whole.area_um2 - 1.0).abs() < 0.01);
    assert_eq!(fewer.cells(), whole.cells());
}

#[test]
fn an_export_is_the_same_every_time() {
    let painted = Painted::new(ellipses(800));
    for format in cell_formats().filter(|format| *format != Format::SpatialData) {
        let (_, path) = painted.export(format, &Choice::default(), &Settings::default());
        let first = std::fs::read(&path).unwrap();
        painted.export(format, &Choice::default(), &Settings::default());
        assert!(std::fs::read(&path).unwrap() == first, "{}", format.name());
    }
}
