//! The view of other people's readers on a dataset: pyarrow, polars, DuckDB and GeoPandas, each with its own
//! Parquet reader, must see the same cells.

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{SMALL_WINDOWS, accounts, python, run, small_slide, stderr};

/// Returns the answers of the readers, by table and reader.
fn read(python: &Path, dataset: &Path) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/read_dataset.py");
    let output = Command::new(python).arg(script).arg(dataset).output().expect("Python starts");
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("the script prints JSON")
}

#[test]
fn four_readers_see_the_same_cells() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let slides = ["one.tif", "two.tif"].map(|name| folder.path().join(name));
    for (slide, seed) in slides.iter().zip([21, 22]) {
        small_slide(slide, seed);
    }
    let out = folder.path().join("out");
    let output = run(&[&slides[0], &slides[1]], &out, &SMALL_WINDOWS);
    assert!(output.status.success(), "{}", stderr(&output));

    let seen = read(&python, &out);
    let cells = &seen["cells"];
    let pyarrow = &cells["pyarrow"];
    for key in ["rows", "slides", "classes", "ids", "unique"] {
        for reader in ["polars", "duckdb", "geopandas"] {
            assert_eq!(cells[reader][key], pyarrow[key], "{reader}: {key}");
        }
    }
    for key in ["columns", "bounds"] {
        for reader in ["polars", "duckdb"] {
            assert_eq!(cells[reader][key], pyarrow[key], "{reader}: {key}");
        }
    }
    assert_eq!(pyarrow["unique"], true);

    let accounts = accounts(&out);
    let counted: u64 = accounts.iter().map(|account| account.cells()).sum();
    assert!(counted > 0);
    assert_eq!(pyarrow["rows"], counted);
    for account in &accounts {
        assert_eq!(
            pyarrow["slides"][account.slide.as_str()],
            account.cells(),
            "the id is read as it was written"
        );
    }

    let geopandas = &cells["geopandas"];
    assert_eq!(geopandas["crs"], Value::Null);
    assert_eq!(geopandas["in_half"]["found"], geopandas["in_half"]["by_hand"]);
    assert!(geopandas["in_half"]["found"].as_u64() < Some(counted), "the filter leaves cells out");
    assert_covers(&pyarrow["bounds"], &geopandas["bounds"]);
}

/// The `bbox` column is rounded outward from the geometries, by less than half a pixel.
fn assert_covers(boxes: &Value, geometries: &Value) {
    for (side, outward) in [-1.0, -1.0, 1.0, 1.0].into_iter().enumerate() {
        let [of_box, of_geometry] =
            [boxes, geometries].map(|bounds| bounds[side].as_f64().expect("a number"));
        let beyond = (of_box - of_geometry) * outward;
        assert!((0.0..0.5).contains(&beyond), "side {side}: {of_box} does not cover {of_geometry}");
    }
}
