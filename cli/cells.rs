//! Reads cells back from a dataset: for the demo's score, pictures, the report
//! and `slidemill verify`.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, ensure};
use arrow_array::{
    Array, RecordBatch, StringArray,
    cast::AsArray as _,
    types::{ArrowPrimitiveType, Float32Type, Float64Type, UInt16Type, UInt64Type},
};
use wsi_types::{ClassId, Level0Box, Level0Point};

use crate::stored_tables::for_each_batch;

/// What is needed of a cell once it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StoredCell {
    /// As in the table.
    pub id: u64,
    /// As in the table.
    pub class: ClassId,
    /// 0 to 1.
    pub score: f32,
    /// In level-0 px.
    pub centroid: Level0Point,
    /// In level-0 px, rounded outward to `f32`.
    pub bbox: Level0Box,
    /// Of the outline, or of the box where there is none.
    pub area_um2: f32,
}

const CELL_TABLE: &str = "the cell table";
const COLUMNS: [&str; 7] = ["cell_id", "class_id", "score", "x_px", "y_px", "bbox", "area_um2"];

/// Hands every cell of a table to `each`, in the order of its rows.
///
/// # Errors
///
/// When the file cannot be read or is no cell table.
pub fn for_each_cell(path: &Path, mut each: impl FnMut(StoredCell)) -> anyhow::Result<()> {
    for_each_batch(path, CELL_TABLE, COLUMNS, |batch| {
        let cells = Columns::of(batch)?;
        (0..batch.num_rows()).for_each(|row| each(cells.cell(row)));
        Ok(())
    })
}

/// All cells of a table, in the order of its rows.
///
/// # Errors
///
/// As [`for_each_cell`].
pub fn read_cells(path: &Path) -> anyhow::Result<Vec<StoredCell>> {
    let mut cells = Vec::new();
    for_each_cell(path, |cell| cells.push(cell))?;
    Ok(cells)
}

/// Names of the classes that have cells in a table.
///
/// # Errors
///
/// As [`for_each_cell`].
pub fn class_names(path: &Path) -> anyhow::Result<BTreeMap<ClassId, String>> {
    let mut names = BTreeMap::new();
    for_each_batch(path, CELL_TABLE, ["class_id", "class_name"], |batch| {
        let column = |name: &str| batch.column_by_name(name).context("the cell table has no classes");
        let ids = column("class_id")?.as_primitive_opt::<UInt16Type>().context("class ids are no u16")?;
        let texts = column("class_name")?
            .as_dictionary_opt::<UInt16Type>()
            .and_then(|texts| texts.downcast_dict::<StringArray>())
            .context("class names are no dictionary of text")?;
        for (&id, name) in ids.values().iter().zip(texts) {
            if let Some(name) = name {
                names.entry(ClassId(id)).or_insert_with(|| name.to_owned());
            }
        }
        Ok(())
    })?;
    Ok(names)
}

/// One column of whole numbers of a table of ours, row by row.
///
/// # Errors
///
/// When the file cannot be read, or has no such column.
pub fn u64_column(path: &Path, name: &str) -> anyhow::Result<Vec<Option<u64>>> {
    column_of::<UInt64Type>(path, name)
}

/// One column of measures of a table of ours, row by row.
///
/// # Errors
///
/// As [`u64_column`].
pub fn f32_column(path: &Path, name: &str) -> anyhow::Result<Vec<Option<f32>>> {
    column_of::<Float32Type>(path, name)
}

/// The bit of a detector in what [`seen_by`] gives: the last stands for all from
/// there on.
#[must_use]
pub fn detector_bit(place: usize) -> u32 {
    1 << place.min(31)
}

/// Per cell, row by row, which of several detectors saw it, by
/// [bits](detector_bit). 0 where there was one detector.
///
/// # Errors
///
/// As [`u64_column`].
pub fn seen_by(path: &Path) -> anyhow::Result<Vec<u32>> {
    const NAME: &str = "detector_scores";
    let mut seen = Vec::new();
    for_each_batch(path, CELL_TABLE, [NAME], |batch| {
        let column = batch.column_by_name(NAME).and_then(|column| column.as_list_opt::<i32>());
        let column = column.with_context(|| format!("the cell table has no column {NAME:?} of ours"))?;
        seen.extend(column.iter().map(|scores| scores.map_or(0, |scores| bits_of(scores.as_ref()))));
        Ok(())
    })?;
    Ok(seen)
}

/// A bit for each entry that is not null.
fn bits_of(scores: &dyn Array) -> u32 {
    let known = (0..scores.len()).filter(|&place| scores.is_valid(place));
    known.fold(0, |bits, place| bits | detector_bit(place))
}

fn column_of<T: ArrowPrimitiveType>(path: &Path, name: &str) -> anyhow::Result<Vec<Option<T::Native>>> {
    let mut values = Vec::new();
    for_each_batch(path, "the table", [name], |batch| {
        let column =
            batch.column_by_name(name).with_context(|| format!("the table has no column {name:?}"))?;
        let column = column.as_primitive_opt::<T>();
        values.extend(column.with_context(|| format!("column {name:?} has another type than ours"))?);
        Ok(())
    })?;
    Ok(values)
}

struct Columns<'a> {
    id: &'a [u64],
    class: &'a [u16],
    score: &'a [f32],
    x: &'a [f64],
    y: &'a [f64],
    bbox: [&'a [f32]; 4],
    area: &'a [f32],
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> anyhow::Result<Self> {
        let column = |name: &str| {
            batch.column_by_name(name).with_context(|| format!("the cell table has no column {name:?}"))
        };
        let wrong = |name: &str| format!("column {name:?} of the cell table has another type than ours");
        macro_rules! values {
            ($name:literal, $kind:ty) => {
                &**column($name)?.as_primitive_opt::<$kind>().with_context(|| wrong($name))?.values()
            };
        }
        let bbox = column("bbox")?.as_struct_opt().with_context(|| wrong("bbox"))?;
        ensure!(bbox.num_columns() == 4, "column \"bbox\" has {} fields, expected 4", bbox.num_columns());
        let side = |index: usize| -> anyhow::Result<&'a [f32]> {
            let side = bbox.column(index).as_primitive_opt::<Float32Type>().with_context(|| wrong("bbox"))?;
            Ok(side.values())
        };
        Ok(Self {
            id: values!("cell_id", UInt64Type),
            class: values!("class_id", UInt16Type),
            score: values!("score", Float32Type),
            x: values!("x_px", Float64Type),
            y: values!("y_px", Float64Type),
            bbox: [side(0)?, side(1)?, side(2)?, side(3)?],
            area: values!("area_um2", Float32Type),
        })
    }

    fn cell(&self, row: usize) -> StoredCell {
        let [xmin, ymin, xmax, ymax] = self.bbox.map(|side| f64::from(side[row]));
        StoredCell {
            id: self.id[row],
            class: ClassId(self.class[row]),
            score: self.score[row],
            centroid: Level0Point::new(self.x[row], self.y[row]),
            bbox: Level0Box::new(euclid::point2(xmin, ymin), euclid::point2(xmax, ymax)),
            area_um2: self.area[row],
        }
    }
}
