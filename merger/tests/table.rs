//! The cells table: rows are read back as they were written.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int64Type};
use arrow_array::{Array, RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use merger::mask::{Mask, Polygon};
use merger::regions::{RegionSettings, regions_from_mask};
use merger::{
    Cell, CellReader, CellRow, Features, Ground, MaskFrame, MergeError, ROWS_PER_GROUP, ReadSettings, Region,
    RegionReader, RegionRow, StainOd, TableContext, columns_as_markdown, schema_of, stage_cells, write_cells,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::statistics::Statistics;
use rand::{RngExt, SeedableRng};
use wsi_types::{ClassId, Level0Box, Level0Point, Mpp, Score};

fn context() -> TableContext {
    TableContext {
        slide_id: "site A/001 „ü“".into(),
        mpp: Mpp::new(0.2527).unwrap(),
        class_names: ["tumour", "stroma"].map(String::from).into_iter().collect(),
        provenance: vec![("zeta".into(), 1.into()), ("alpha".into(), "β".into())],
    }
}

/// Every fourth was measured; of a job one kind alone is, here both.
fn stains(index: u32) -> Option<StainOd> {
    match index % 12 {
        0 => Some(StainOd::He { hematoxylin: 0.5, eosin: 0.25 }),
        4 => Some(StainOd::HDab { hematoxylin: 0.5, dab: 0.75, ring: Some(0.125) }),
        8 => Some(StainOd::HDab { hematoxylin: 0.5, dab: 0.75, ring: None }),
        _ => None,
    }
}

/// Cells all over a slide, every fifth with an outline.
fn cells(count: u32) -> Vec<Cell> {
    let mut random = rand_pcg::Pcg64::seed_from_u64(3);
    (0..count)
        .map(|index| {
            let (x, y) = (90_000.0 * random.random::<f64>(), 70_000.0 * random.random::<f64>());
            let (w, h) = (8.0 + 20.0 * random.random::<f64>(), 8.0 + 20.0 * random.random::<f64>());
            let bbox = Level0Box::new(Level0Point::new(x, y), Level0Point::new(x + w, y + h));
            let middle = bbox.center();
            let diamond = [(middle.x, y), (x + w, middle.y), (middle.x, y + h), (x, middle.y)]
                .map(|(x, y)| Level0Point::new(x, y));
            let score = Score::new(random.random::<f32>()).unwrap();
            Cell {
                id: u64::from(index / 2),
                class: ClassId((index % 3) as u16),
                score,
                bbox,
                centroid: bbox.center(),
                outline: (index % 5 == 0).then(|| diamond.into()),
                stains: stains(index),
                texture: None,
                runner_up: (index % 7 == 0).then_some((ClassId(1), score)),
                n_merged: (index % 4) as u16 + 1,
                score_min: score,
                score_max: score,
                windows: (0..=index % 4).collect(),
                seam_dist_um: if index % 11 == 0 { f32::INFINITY } else { 3.5 },
                edge_flag: 0,
                region: (index % 2 == 0).then_some(7),
                distance_um: (index % 3 == 0).then_some(-12.5),
                detector_scores: if index % 3 == 0 { [None, Some(score)].into() } else { Box::default() },
            }
        })
        .collect()
}

fn written(cells: &mut [Cell]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part-0.parquet");
    let features = Features { dab: true, ..Features::default() };
    let (report, staged) = stage_cells(folder.path(), &path, cells, &context(), &features).unwrap();
    staged.put_in_place_for_now().unwrap();
    assert_eq!(report.rows, cells.len() as u64);
    assert_eq!(report.bytes, std::fs::metadata(&path).unwrap().len());
    assert_eq!(report.row_groups, cells.len().div_ceil(ROWS_PER_GROUP));
    (folder, path)
}

fn read(path: &Path) -> Vec<RecordBatch> {
    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    reader.map(|batch| batch.unwrap()).collect()
}

fn metadata(path: &Path, key: &str) -> String {
    let reader = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
    let pairs = reader.metadata().file_metadata().key_value_metadata().unwrap().clone();
    pairs.into_iter().find(|pair| pair.key == key).unwrap().value.unwrap()
}

#[test]
fn any_order_of_cells_gives_the_same_bytes() {
    let mut forward = cells(5000);
    let mut backward = forward.clone();
    backward.reverse();
    let (_a, first) = written(&mut forward);
    let (_b, second) = written(&mut backward);
    assert!(std::fs::read(first).unwrap() == std::fs::read(second).unwrap());
}

#[test]
fn ids_are_unique_and_columns_say_what_cells_do() {
    let mut cells = cells(3000);
    let (_folder, path) = written(&mut cells);
    cells.sort_by_key(|cell| cell.id);
    let mut rows = Vec::new();
    for batch in read(&path) {
        let [x, x_um] = ["x_px", "x_um"].map(|name| batch[name].as_primitive::<Float64Type>().clone());
        let [area, circularity, seam] = ["area_um2", "circularity", "seam_dist_um"]
            .map(|name| batch[name].as_primitive::<Float32Type>().clone());
        let ids = batch["cell_id"].as_primitive::<Int64Type>().clone();
        for row in 0..batch.num_rows() {
            let present = (!circularity.is_null(row), !seam.is_null(row));
            rows.push((ids.value(row), x.value(row), x_um.value(row), area.value(row), present));
        }
    }
    rows.sort_by_key(|row| row.0);
    assert!(rows.windows(2).all(|pair| pair[0].0 < pair[1].0));
    for (cell, &(id, x, x_um, area, present)) in cells.iter().zip(&rows) {
        assert_eq!((cell.id as i64, cell.centroid.x, cell.centroid.x * 0.2527), (id, x, x_um));
        let ellipse_px2 = cell.bbox.area() * std::f64::consts::FRAC_PI_4;
        let area_px2 = cell.outline.as_deref().map_or(ellipse_px2, ring_area);
        assert!((f64::from(area) / (area_px2 * 0.2527 * 0.2527) - 1.0).abs() < 1e-5);
        assert_eq!(present, (cell.outline.is_some(), cell.seam_dist_um.is_finite()));
    }
}

/// Area by the shoelace formula, px².
fn ring_area(ring: &[Level0Point]) -> f64 {
    let next = ring.iter().cycle().skip(1);
    (ring.iter().zip(next).map(|(p, q)| p.to_vector().cross(q.to_vector())).sum::<f64>() / 2.0).abs()
}

#[test]
fn outlines_lie_on_a_grid_and_keep_place_area_and_id() {
    let mut drawn = cells(3000);
    merger::cell::settle_ids(&mut drawn);
    let (_folder, path) = written(&mut drawn.clone());
    let slidemill: serde_json::Value = serde_json::from_str(&metadata(&path, "slidemill")).unwrap();
    assert_eq!(slidemill["outline_step_px"], 0.0625);
    let rows = rows(&path, ReadSettings::default());
    let rows: BTreeMap<u64, CellRow> = rows.into_iter().map(|row| (row.cell_id, row)).collect();
    assert_eq!(rows.len(), drawn.len());
    let (mut before, mut after) = (0.0, 0.0);
    for cell in &drawn {
        let (row, Some(ring)) = (&rows[&cell.id], cell.outline.as_deref()) else { continue };
        assert_eq!(row.centroid, cell.centroid);
        assert!(row.outline.iter().all(|corner| *corner * 16.0 == (*corner * 16.0).round()));
        assert!(row.outline.iter().all(|corner| row.bbox.contains_inclusive(*corner)));
        before += ring_area(ring);
        after += ring_area(&row.outline);
    }
    assert!(before > 0.0 && (after / before - 1.0).abs() < 1e-3, "{before} px² became {after}");
}

#[test]
fn row_groups_are_bounded_in_rows_and_in_space() {
    let mut cells = cells(ROWS_PER_GROUP as u32 + 40_000);
    let (_folder, path) = written(&mut cells);
    let slidemill: serde_json::Value = serde_json::from_str(&metadata(&path, "slidemill")).unwrap();
    let bounds = slidemill["row_group_bounds_px"].as_array().unwrap().clone();
    let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
    assert_eq!((reader.metadata().num_row_groups(), bounds.len()), (2, 2));
    for (group, bounds) in reader.metadata().row_groups().iter().zip(&bounds) {
        for (corner, name) in ["bbox.xmin", "bbox.ymin", "bbox.xmax", "bbox.ymax"].iter().enumerate() {
            let column =
                group.columns().iter().find(|column| column.column_path().string() == *name).unwrap();
            let Some(Statistics::Float(found)) = column.statistics() else { panic!("no statistics: {name}") };
            let bound = bounds[corner].as_f64().unwrap();
            if corner < 2 {
                assert!(f64::from(*found.min_opt().unwrap()) <= bound);
            } else {
                assert!(f64::from(*found.max_opt().unwrap()) >= bound);
            }
        }
    }
}

#[test]
fn the_covering_holds_every_box_to_the_last_bit() {
    let mut cells = cells(4000);
    let (_folder, path) = written(&mut cells);
    cells.sort_by_key(|cell| cell.id);
    let mut found = Vec::new();
    for batch in read(&path) {
        let corners = batch["bbox"].as_struct().clone();
        let sides = [0, 1, 2, 3].map(|at| corners.column(at).as_primitive::<Float32Type>().clone());
        let ids = batch["cell_id"].as_primitive::<Int64Type>().clone();
        found.extend(
            (0..batch.num_rows())
                .map(|row| (ids.value(row), sides.each_ref().map(|side| f64::from(side.value(row))))),
        );
    }
    found.sort_by_key(|row| row.0);
    for (cell, (_, [x0, y0, x1, y1])) in cells.iter().zip(found) {
        let (min, max) = (cell.bbox.min, cell.bbox.max);
        assert!(x0 <= min.x && y0 <= min.y && x1 >= max.x && y1 >= max.y);
        assert!(min.x - x0 < 0.02 && y1 - max.y < 0.02);
    }
}

#[test]
fn metadata_tells_what_was_given_in_its_order() {
    let (_folder, path) = written(&mut cells(10));
    let slidemill = metadata(&path, "slidemill");
    assert!(slidemill.contains(r#""slide_id":"site A/001 „ü“""#), "{slidemill}");
    assert!(slidemill.ends_with(r#""zeta":1,"alpha":"β"}"#), "{slidemill}");
    let geo: serde_json::Value = serde_json::from_str(&metadata(&path, "geo")).unwrap();
    let geometry = &geo["columns"]["geometry"];
    assert_eq!(geo["version"], "1.1.0");
    assert!(geometry.get("crs").unwrap().is_null());
    assert_eq!(geometry["geometry_types"], serde_json::json!(["Polygon"]));
    assert_eq!(geometry["covering"]["bbox"]["xmax"], serde_json::json!(["bbox", "xmax"]));
}

#[test]
fn no_cells_are_an_empty_table_with_all_columns() {
    let (_folder, path) = written(&mut []);
    let file = std::fs::File::open(&path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    assert_eq!(reader.schema().fields().len(), schema_of::<CellRow>().fields().len() + 2, "and those of DAB");
    assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
}

/// All slides of a dataset have the same columns, be there cells on them or not.
#[test]
fn features_are_columns_of_the_tables_that_were_asked_for_them() {
    for mut cells in [cells(3000), Vec::new()] {
        let (_plain, path) = written(&mut cells);
        let plain = CellReader::open(&path, ReadSettings::default()).unwrap().next();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part-0.parquet");
        let features = Features { neighbours: Some(ground()), shape: true, texture: true, dab: true };
        let staged = stage_cells(folder.path(), &path, &mut cells, &context(), &features).unwrap().1;
        staged.put_in_place_for_now().unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let columns = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().schema().fields().len();
        assert_eq!(columns, schema_of::<CellRow>().fields().len() + 22);
        let with_features = CellReader::open(&path, ReadSettings::default()).unwrap().next();
        let Some((plain, with_features)) = plain.zip(with_features) else { continue };
        for (plain, with_features) in plain.unwrap().into_iter().zip(with_features.unwrap()) {
            assert_eq!((plain.n_50um, plain.n_by_class_50um.len(), plain.nn1_um), (None, 0, None));
            assert_eq!(with_features.n_by_class_50um.len(), 3);
            assert_eq!(with_features.n_50um, Some(with_features.n_by_class_50um.iter().sum()));
            assert!(with_features.nn1_um <= with_features.nn5_um && with_features.delaunay_degree.is_some());
            assert!(
                with_features.local_density_mm2 > Some(0.0) && with_features.clustering_entropy.is_some()
            );
            assert_eq!(with_features.elongation.is_some(), plain.perimeter_um.is_some());
            assert_eq!((plain.elongation, plain.nucleus_orientation_deg), (None, None));
            assert_eq!(with_features.cell_id, plain.cell_id);
        }
    }
}

/// A slide that was analysed as a whole.
fn ground() -> Ground {
    let frame = MaskFrame {
        origin: Level0Point::zero(),
        level0_per_px: (400.0, 400.0),
        mpp: Mpp::new(0.2527).unwrap(),
        slide_end: Level0Point::new(96_000.0, 80_000.0),
    };
    Ground::new(merger::mask::Mask::from_fn(240, 200, |_, _| true), frame)
}

/// Four regions, the first with a hole, and the cells in them.
fn regions_with(cells: &mut [Cell]) -> Vec<Region> {
    let frame = MaskFrame {
        origin: Level0Point::zero(),
        level0_per_px: (400.0, 400.0),
        mpp: Mpp::new(0.2527).unwrap(),
        slide_end: Level0Point::new(96_000.0, 80_000.0),
    };
    let mask = Mask::from_fn(240, 200, |x, y| {
        x % 120 > 10 && y % 100 > 10 && !((40..70).contains(&x) && (40..70).contains(&y))
    });
    let plain = RegionSettings { closing_um: 0.0, opening_um: 0.0, ..RegionSettings::default() };
    let mut regions = regions_from_mask(&mask, &frame, "tissue", &plain, 5);
    merger::assign_cells(&mut regions, cells);
    regions
}

#[test]
fn regions_are_written_with_their_holes_and_cells() {
    let mut cells = cells(5000);
    let mut regions = regions_with(&mut cells);
    assert_eq!(regions.len(), 4);
    let inside = cells.iter().filter(|cell| cell.region.is_some()).count() as u64;
    assert_eq!(regions.iter().map(merger::Region::cell_count).sum::<u64>(), inside);
    assert!(inside > 2000 && inside < 5000, "{inside}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("regions.parquet");
    merger::write_regions(&path, &regions, &context()).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    regions.reverse();
    merger::write_regions(&path, &regions, &context()).unwrap();
    assert!(bytes == std::fs::read(&path).unwrap());
    let Some(python) = support::python_with("geopandas, pyarrow, polars, duckdb") else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers.py");
    let output = Command::new(python).arg(script).arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.trim(), format!("regions 4, cells {inside}"));
}

#[test]
fn a_folder_in_the_way_is_an_error_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part-0.parquet");
    std::fs::create_dir(&path).unwrap();
    let error = write_cells(&path, &mut cells(10), &context()).unwrap_err();
    assert!(matches!(error, MergeError::Io { .. }), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn other_readers_agree() {
    let Some(python) = support::python_with("geopandas, pyarrow, polars, duckdb") else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers.py");
    for count in [0, 20_000] {
        let mut cells = cells(count);
        let (_folder, path) = written(&mut cells);
        let output = Command::new(&python).arg(&script).arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let tumour = cells.iter().filter(|cell| cell.class.0 == 0).count();
        assert_eq!(said.trim(), format!("rows {count}, tumour {tumour}"));
    }
}

fn rows(path: &Path, settings: ReadSettings<'_>) -> Vec<CellRow> {
    CellReader::open(path, settings).unwrap().flat_map(Result::unwrap).collect()
}

#[test]
fn cells_come_back_as_they_were_written() {
    let mut cells = cells(20_000);
    let (_folder, path) = written(&mut cells);
    let reader = CellReader::open(&path, ReadSettings::default()).unwrap();
    let header = reader.header().clone();
    assert_eq!((header.slide_id.as_str(), header.rows), ("site A/001 „ü“", 20_000));
    assert_eq!((header.mpp.get(), header.class_names), (0.2527, context().class_names));
    assert_eq!(header.provenance["alpha"], "β");
    let sizes: Vec<usize> = reader.map(|batch| batch.unwrap().len()).collect();
    assert_eq!(sizes, [8192, 8192, 3616], "a batch is bounded");

    let mut rows = rows(&path, ReadSettings::default());
    rows.sort_by_key(|row| row.cell_id);
    cells.sort_by_key(|cell| cell.id);
    for (cell, row) in cells.iter().zip(&rows) {
        assert_eq!((row.cell_id, row.class_id, row.centroid), (cell.id, cell.class, cell.centroid));
        assert_eq!(&*row.class_name, ["tumour", "stroma", "class_2"][usize::from(cell.class.0)]);
        assert_eq!((row.score, row.n_merged, &row.windows), (cell.score.get(), cell.n_merged, &cell.windows));
        assert_eq!(row.runner_up_class, cell.runner_up.map(|(class, _)| class));
        assert_eq!(row.hematoxylin_od, cell.stains.map(StainOd::hematoxylin));
        assert_eq!(row.eosin_od, cell.stains.and_then(StainOd::eosin));
        assert_eq!(row.dab_od, cell.stains.and_then(StainOd::dab));
        assert_eq!(row.dab_ring_od, cell.stains.and_then(StainOd::dab_ring));
        assert_eq!((row.seam_dist_um.is_some(), row.region_id), (cell.seam_dist_um.is_finite(), cell.region));
        assert_eq!(row.distance_um, cell.distance_um);
        assert!(row.bbox.min.x <= cell.bbox.min.x && cell.bbox.max.y <= row.bbox.max.y);
        let scores = cell.detector_scores.iter().map(|score| score.map(Score::get)).collect::<Vec<_>>();
        assert_eq!(row.detector_scores, (!scores.is_empty()).then_some(scores));
        match &cell.outline {
            Some(outline) => assert!(outline.iter().all(|point| row.outline.contains(point))),
            None => assert_eq!((row.outline.len(), row.outline[0]), (4, cell.bbox.min)),
        }
    }
    assert_eq!(rows.len(), cells.len());
}

#[test]
fn regions_come_back_as_they_were_written() {
    let mut regions = regions_with(&mut cells(5000));
    regions[0].name = Some("front „ü“".to_owned());
    regions[1].class_name = Some("invasive".to_owned());
    regions[2].score = Score::new(0.75);
    regions[3].coverage = 0.25;
    regions[2].tissue = 0.0;
    regions[3].tissue = 0.125;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("regions.parquet");
    merger::write_regions(&path, &regions, &context()).unwrap();
    let reader = RegionReader::open(&path, ReadSettings::default()).unwrap();
    let mut rows: Vec<RegionRow> = reader.flat_map(Result::unwrap).collect();
    rows.sort_by_key(|row| row.region_id);
    regions.sort_by_key(|region| region.id);
    assert_eq!(rows.len(), 4);
    for (region, row) in regions.iter().zip(&rows) {
        assert_eq!((row.region_id, &row.kind), (region.id, &region.kind));
        assert_eq!((&row.name, &row.class_name), (&region.name, &region.class_name));
        assert_eq!((row.centroid, row.score), (region.centroid, region.score.map(Score::get)));
        let measures = [row.area_um2, row.perimeter_um, row.coverage, row.analysed_um2];
        let analysed = region.area_um2 * region.coverage;
        assert_eq!(measures, [region.area_um2, region.perimeter_um, region.coverage, analysed]);
        let by_class = [0, 1, 2].map(|class| region.cells[&ClassId(class)]);
        let count: u64 = by_class.iter().sum();
        assert_eq!((row.n_cells, row.n_cells_by_class.as_slice()), (count, &by_class[..]));
        assert_eq!(row.cells_per_mm2, count as f64 / (analysed * 1e-6));
        let tissue = region.area_um2 * region.tissue;
        let per_mm2_tissue = (tissue > 0.0).then(|| count as f64 / (tissue * 1e-6));
        assert_eq!((row.analysed_tissue_um2, row.cells_per_mm2_tissue), (Some(tissue), per_mm2_tissue));
        let Polygon { outer, holes } = &region.polygon;
        assert_eq!(row.n_holes as usize, holes.len());
        assert_eq!(row.rings, [std::slice::from_ref(outer), holes.as_slice()].concat());
        assert!(row.bbox.contains_box(&region.bbox));
    }
    assert_eq!(rows.iter().filter(|row| row.n_holes == 1).count(), 1);
}

/// Version 1 of the tables held ids unsigned, of 64 bits.
#[test]
fn older_tables_are_read_with_their_ids() {
    let mut cells = cells(3);
    let (folder, path) = written(&mut cells);
    let file = std::fs::File::open(&path).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let (schema, facts) = (builder.schema().clone(), metadata(&path, "slidemill"));
    let batch = builder.build().unwrap().next().unwrap().unwrap();
    let large = u64::MAX - 7;
    let fields = schema.fields().iter().map(|field| match field.name().as_str() {
        "cell_id" => Field::new("cell_id", DataType::UInt64, false),
        _ => field.as_ref().clone(),
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut columns = batch.columns().to_vec();
    columns[0] = Arc::new(UInt64Array::from(vec![large, 1, 2]));
    let old = folder.path().join("old.parquet");
    let mut writer =
        ArrowWriter::try_new(std::fs::File::create(&old).unwrap(), schema.clone(), None).unwrap();
    writer.write(&RecordBatch::try_new(schema, columns).unwrap()).unwrap();
    writer.append_key_value_metadata(KeyValue::new("slidemill".into(), facts));
    writer.close().unwrap();
    let ids: Vec<u64> = rows(&old, ReadSettings::default()).iter().map(|row| row.cell_id).collect();
    assert_eq!(ids, [large, 1, 2]);
}

#[test]
fn only_what_is_asked_for_is_read() {
    let mut cells = cells(ROWS_PER_GROUP as u32 + 40_000);
    let (_folder, path) = written(&mut cells);
    let scores = ReadSettings { columns: Some(&["score"]), ..ReadSettings::default() };
    let first = &rows(&path, scores)[0];
    assert!(first.score > 0.0 && first.cell_id == 0 && first.outline.is_empty());

    // A corner that the second row group does not reach.
    let bounds = CellReader::open(&path, scores).unwrap().header().row_group_bounds.clone();
    let corner =
        (0..2).find(|&group| !bounds[1 - group].contains(bounds[group].min)).expect("one has a corner");
    let area = Level0Box::new(bounds[corner].min, bounds[corner].min);
    let part = rows(&path, ReadSettings { within: Some(area), ..scores });
    assert_eq!(part.len(), [ROWS_PER_GROUP, 40_000][corner]);

    let unknown = ReadSettings { columns: Some(&["scores"]), ..ReadSettings::default() };
    let message = CellReader::open(&path, unknown).err().unwrap().to_string();
    assert_eq!(message, "the cell table never has a column \"scores\"");
}

#[test]
fn what_is_no_table_of_ours_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part-0.parquet");
    let refusal = |path: &Path| CellReader::open(path, ReadSettings::default()).err().unwrap().to_string();
    assert!(refusal(&path).starts_with("cannot open the cell table: "), "{}", refusal(&path));
    std::fs::write(&path, b"PAR1 nothing").unwrap();
    assert!(refusal(&path).starts_with("the cell table is not Parquet: "), "{}", refusal(&path));
    merger::write_regions(&path, &[], &context()).unwrap();
    assert_eq!(refusal(&path), "the cell table has no column \"cell_id\"");
}

/// The manual is printed from the columns: `cargo run -p merger --example columns`.
#[test]
fn the_manual_tells_of_every_column() {
    let manual = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/output.md")).unwrap();
    for columns in [columns_as_markdown::<CellRow>(), columns_as_markdown::<RegionRow>()] {
        assert!(manual.contains(&columns), "docs/output.md lacks this table, line by line:\n{columns}");
    }
}
