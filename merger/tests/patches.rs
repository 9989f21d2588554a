//! The patches table: vectors are read back bit by bit, by other people's readers too.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::Command;

use arrow_array::cast::AsArray;
use arrow_array::types::Float16Type;
use arrow_schema::DataType;
use merger::{
    MergeError, Patch, PatchReader, PatchRow, ReadSettings, TableContext, VectorFacts, columns_as_markdown,
    write_patches,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use wsi_types::{Embedding, Level0Box, Level0Point, ModelFacts, Mpp, WindowIndex};

fn context() -> TableContext {
    TableContext {
        slide_id: "s1".into(),
        mpp: Mpp::new(0.25).unwrap(),
        class_names: ["tumour".to_owned()].into_iter().collect(),
        provenance: vec![("windows".into(), 7.into())],
    }
}

fn facts(dimensions: usize) -> VectorFacts {
    let model = ModelFacts { name: "m".into(), version: "2".into(), sha256: "ab".into() };
    VectorFacts { model, mpp: Mpp::new(0.5).unwrap(), dimensions }
}

/// Every third window of a row of them failed.
fn patches(windows: u32) -> Vec<Patch> {
    let of_window = |window: u32| {
        let corner = Level0Point::new(f64::from(window) * 100.5, 8.0);
        Patch {
            window: WindowIndex(window),
            area: Level0Box::new(corner, corner + euclid::vec2(448.0, 448.0)),
            tissue: 0.25,
            // 1, minus the least, and a number of each window.
            embedding: Embedding::from_halves([0x3c00, 0x8001, (window % 0x7c00) as u16]).unwrap(),
        }
    };
    (0..windows).filter(|window| window % 3 < 2).map(of_window).collect()
}

fn vectors(path: &Path) -> Vec<u16> {
    let file = std::fs::File::open(path).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let kind = builder.schema().field_with_name("embedding").unwrap().data_type().clone();
    assert!(
        matches!(&kind, DataType::FixedSizeList(item, 3) if *item.data_type() == DataType::Float16),
        "{kind}"
    );
    let batches = builder.build().unwrap();
    let halves = batches.flat_map(|batch| {
        let batch = batch.unwrap();
        let lists = batch.column_by_name("embedding").unwrap().as_fixed_size_list();
        lists
            .values()
            .as_primitive::<Float16Type>()
            .values()
            .iter()
            .map(|half| half.to_bits())
            .collect::<Vec<_>>()
    });
    halves.collect()
}

#[test]
fn vectors_and_places_are_read_back_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part-0.parquet");
    // More than two row groups.
    let all = patches(15_000);
    let report = write_patches(&path, &all, &facts(3), &context()).unwrap();
    assert_eq!((report.rows, report.row_groups), (10_000, 3));
    let expected: Vec<u16> = all.iter().flat_map(|patch| patch.embedding.halves().to_vec()).collect();
    assert_eq!(vectors(&path), expected);
    let mut reader = PatchReader::open(&path, ReadSettings::default()).unwrap();
    let header = reader.header();
    assert_eq!((header.slide_id.as_str(), header.rows, header.mpp.get()), ("s1", 10_000, 0.25));
    let model = serde_json::json!({"name": "m", "version": "2", "sha256": "ab"});
    let expected = serde_json::json!({
        "model": model, "mpp_um_per_px": 0.5, "dimensions": 3, "element": "float16"
    });
    assert_eq!(header.provenance["embedding"], expected);
    let second = PatchRow {
        window: 1,
        left_px: 100.5,
        top_px: 8.0,
        width_px: 448.0,
        height_px: 448.0,
        left_um: 25.125,
        top_um: 2.0,
        width_um: 112.0,
        height_um: 112.0,
        tissue: 0.25,
    };
    assert_eq!(reader.next().unwrap().unwrap()[1], second);
    let bytes = std::fs::read(&path).unwrap();
    write_patches(&path, &all, &facts(3), &context()).unwrap();
    assert!(bytes == std::fs::read(&path).unwrap(), "equal patches give equal bytes");
}

#[test]
fn a_table_without_patches_has_its_columns_and_other_lengths_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part-0.parquet");
    let report = write_patches(&path, &[], &facts(3), &context()).unwrap();
    assert_eq!((report.rows, vectors(&path)), (0, vec![]));
    let error = write_patches(&path, &patches(2), &facts(4), &context()).unwrap_err();
    assert!(matches!(error, MergeError::Vector { window: 0, found: 3, expected: 4 }), "{error}");
}

#[test]
fn other_readers_see_the_same_vectors() {
    let Some(python) = support::python_with("pyarrow, polars") else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/patches.py");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part-0.parquet");
    write_patches(&path, &patches(6000), &facts(3), &context()).unwrap();
    let output = Command::new(python).arg(script).arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    // Half 4 is 4 · 2^-24.
    let fourth = "[1.0, -5.960464477539063e-08, 2.384185791015625e-07]";
    assert_eq!(said.trim(), format!("pyarrow 4000 {fourth}\npolars 4000 {fourth}"));
}

/// The manual is printed from the columns: `cargo run -p merger --example columns`.
#[test]
fn the_manual_tells_of_every_column() {
    let manual = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/output.md")).unwrap();
    let columns = columns_as_markdown::<PatchRow>();
    assert!(manual.contains(&columns), "docs/output.md lacks this table, line by line:\n{columns}");
}
