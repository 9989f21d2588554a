//! Measures that only some tables have, in every format that holds measures: the same values under their names.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
    process::Command,
};

use arrow_array::{Array as _, cast::AsArray as _, types::Float32Type};
use convert::{Choice, Format, Settings};
use merger::{
    Cell, CellReader, CellRow, Features, Ground, MaskFrame, ReadSettings, StainOd, Texture,
    mask::Mask,
    texture::{PairMeasures, Spread},
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value};
use support::{CLASSES, MPP, Painted, ellipses, python};
use wsi_types::{Level0Point, Mpp};

const CELLS: u64 = 700;

fn texture(number: f32) -> Texture {
    let (contrast, homogeneity, entropy, correlation) = (number / 7.0, 0.5, 1.25, -0.25);
    let spread = Spread { sd: 0.125, p10: number / 900.0, p90: number / 300.0 };
    Texture {
        pairs: (number > 50.0).then_some(PairMeasures { contrast, homogeneity, entropy, correlation }),
        hematoxylin: spread,
        eosin: spread,
    }
}

/// Cells of which every third is near a region of interest, every second was stained.
fn painted() -> Painted {
    let cells = ellipses(CELLS).into_iter().enumerate().map(|(number, cell)| Cell {
        distance_um: (number % 3 == 0).then_some(number as f32 - 99.5),
        stains: (number % 2 == 0).then(|| StainOd::HDab {
            hematoxylin: number as f32 / 1e3,
            dab: 0.75,
            ring: (number % 4 == 0).then_some(0.125),
        }),
        texture: (number % 5 == 0).then(|| Box::new(texture(number as f32))),
        ..cell
    });
    let frame = MaskFrame {
        origin: Level0Point::zero(),
        level0_per_px: (100.0, 100.0),
        mpp: Mpp::new(MPP).unwrap(),
        slide_end: Level0Point::new(20_000.0, 20_000.0),
    };
    let ground = Ground::new(Mask::from_fn(200, 200, |_, _| true), frame);
    let features = Features { neighbours: Some(ground), shape: true, texture: true, dab: true };
    Painted::with_features(cells.collect(), &features)
}

/// Cells by the place of their row, as the table has them.
fn rows(painted: &Painted) -> Vec<CellRow> {
    let path = painted.folder.path().join("cells.parquet");
    CellReader::open(&path, ReadSettings::default()).unwrap().flat_map(Result::unwrap).collect()
}

/// Values that some measures must have, by the name of their column, told by the table itself.
fn expected(row: &CellRow) -> BTreeMap<String, Option<f32>> {
    let mut values = BTreeMap::from(
        [
            ("score", Some(row.score)),
            ("distance_um", row.distance_um),
            ("dab_od", row.dab_od),
            ("dab_ring_od", row.dab_ring_od),
            ("hematoxylin_od", row.hematoxylin_od),
            ("eosin_od", None),
            ("nn1_um", row.nn1_um),
            ("n_50um", row.n_50um.map(|count| count as f32)),
            ("local_density_mm2", row.local_density_mm2),
            ("delaunay_degree", row.delaunay_degree.map(|count| count as f32)),
            ("nucleus_orientation_deg", row.nucleus_orientation_deg),
            ("glcm_contrast", row.glcm_contrast),
            ("eosin_od_p90", row.eosin_od_p90),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    for (class, &count) in CLASSES.iter().zip(&row.n_by_class_50um) {
        values.insert(format!("n_50um_{class}"), Some(count as f32));
    }
    values
}

fn assert_told(told: &Map<String, Value>, row: &CellRow, name_of: impl Fn(&str) -> String) {
    for (column, value) in expected(row) {
        let told = told.get(&name_of(&column)).map(|value| value.as_f64().unwrap() as f32);
        assert_eq!(told, value, "{column} of {row:?}");
    }
}

#[test]
fn all_measures_are_in_the_list_and_those_a_table_lacks_are_not() {
    let painted = painted();
    let all: Vec<&str> = painted.table.measures().iter().map(|measure| measure.name.as_str()).collect();
    let rows = rows(&painted);
    assert_eq!(rows.len() as u64, CELLS);
    assert!(expected(&rows[0]).keys().all(|name| all.contains(&name.as_str())), "{all:?}");
    assert!(
        rows.iter().any(|row| row.distance_um.is_some_and(|um| um < -1.0) && row.glcm_contrast.is_some()),
        "painted in vain"
    );
    let plain = Painted::new(ellipses(9));
    let of_plain: Vec<&str> = plain.table.measures().iter().map(|measure| measure.name.as_str()).collect();
    assert!(of_plain.contains(&"distance_um") && !of_plain.contains(&"dab_od"), "{of_plain:?}");
    assert!(
        !of_plain.iter().any(|name| name.starts_with("n_50um") || name.starts_with("glcm")),
        "{of_plain:?}"
    );
}

#[test]
fn qupath_has_them_with_units_in_their_names() {
    let painted = painted();
    let (_, path) = painted.export(Format::GeoJson, &Choice::default(), &Settings::default());
    let whole: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let objects = whole["features"].as_array().unwrap();
    let cells = objects.iter().filter(|object| object["properties"]["objectType"] == "detection");
    let names: BTreeMap<&str, &str> =
        painted.table.measures().iter().map(|measure| (&*measure.name, &*measure.qupath)).collect();
    assert_eq!(names["distance_um"], "Signed distance to region of interest µm");
    assert_eq!(names["n_50um_lymphocyte \"T\""], "Num lymphocyte \"T\" within 50 µm");
    let rows = rows(&painted);
    assert_eq!(cells.clone().count(), rows.len());
    for (cell, row) in cells.zip(&rows) {
        let told = cell["properties"]["measurements"].as_object().unwrap();
        assert_told(told, row, |column| names[column].to_owned());
    }
}

#[test]
fn a_store_has_them_as_properties() {
    let painted = painted();
    let (_, path) = painted.export(Format::AnnotationStore, &Choice::default(), &Settings::default());
    let base = rusqlite::Connection::open(path).unwrap();
    let mut query = base.prepare("SELECT properties FROM annotations ORDER BY id").unwrap();
    let texts = query.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let rows = rows(&painted);
    let mut found = 0;
    for (text, row) in texts.zip(&rows) {
        let told: Map<String, Value> = serde_json::from_str(&text.unwrap()).unwrap();
        assert_told(&told, row, str::to_owned);
        found += 1;
    }
    assert_eq!(found, rows.len());
}

#[test]
fn geoarrow_has_them_as_columns() {
    let painted = painted();
    let (_, path) = painted.export(Format::GeoArrow, &Choice::default(), &Settings::default());
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let rows = rows(&painted);
    let batch = reader.with_batch_size(rows.len()).build().unwrap().next().unwrap().unwrap();
    for (place, row) in rows.iter().enumerate() {
        for (column, value) in expected(row) {
            let told = batch.column_by_name(&column).unwrap().as_primitive::<Float32Type>();
            assert_eq!(told.is_valid(place).then(|| told.value(place)), value, "{column} of {row:?}");
        }
    }
}

#[test]
fn spatialdata_has_them_in_its_table() {
    let painted = painted();
    let (_, path) = painted.export(Format::SpatialData, &Choice::default(), &Settings::default());
    let chunk = zstd::decode_all(File::open(path.join("tables/table/X/c/0/0")).unwrap()).unwrap();
    let numbers: Vec<f32> = chunk.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect();
    let measures = painted.table.measures();
    for (told, row) in numbers.chunks(measures.len()).zip(&rows(&painted)) {
        let expected = expected(row);
        for (measure, &told) in measures.iter().zip(told) {
            let Some(value) = expected.get(&measure.name) else { continue };
            assert_eq!((!told.is_nan()).then_some(told), *value, "{} of {row:?}", measure.name);
        }
    }
}

/// Means and counts of all measures, as highdicom finds them.
fn seen(python: &Path, path: &Path) -> BTreeMap<String, (u64, f64)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("tests/python/read_exports.py");
    let output = Command::new(python).arg(script).arg("dicom-ann-measures").arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(told.lines().last().unwrap()).unwrap()
}

#[test]
fn highdicom_finds_them_also_where_some_cells_have_none() {
    let Some(python) = python(".venv-exports") else { return };
    let painted = painted();
    let (_, path) = painted.export(Format::DicomAnn, &Choice::default(), &Settings::default());
    let seen = seen(&python, &path);
    let rows = rows(&painted);
    for measure in painted.table.measures() {
        let values = rows.iter().filter_map(|row| *expected(row).get(&measure.name)?);
        let values: Vec<f64> = values.map(f64::from).collect();
        if values.is_empty() {
            continue;
        }
        let meaning = if measure.name == "score" { "Score of the model, 0 to 1" } else { &measure.qupath };
        let (count, mean) = seen[meaning];
        assert_eq!(count, values.len() as u64, "{meaning}");
        let expected = values.iter().sum::<f64>() / values.len() as f64;
        assert!((mean - expected).abs() <= 1e-4 * expected.abs(), "{meaning}: {mean} for {expected}");
    }
    assert!(!seen.contains_key("Eosin OD mean"), "no cell has one");
}
