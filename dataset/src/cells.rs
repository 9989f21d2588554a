//! Reads cells back from a dataset: for the demo's score, pictures, the report
//! and `slidemill verify`.

use std::{collections::BTreeMap, path::Path};

use arrow_array::{
    Array, RecordBatch, StringArray,
    cast::AsArray as _,
    types::{ArrowPrimitiveType, Float32Type, Float64Type, UInt16Type, UInt64Type},
};
use wsi_types::{ClassId, Level0Box, Level0Point};

use crate::{error::DatasetError, tables::Table};

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

const TABLE: Table = Table("the cell table");
const COLUMNS: [&str; 7] = ["cell_id", "class_id", "score", "x_px", "y_px", "bbox", "area_um2"];

/// Hands every cell of a table to `each`, in the order of its rows.
///
/// # Errors
///
/// When the file cannot be read or is no cell table.
pub fn for_each_cell(path: &Path, mut each: impl FnMut(StoredCell)) -> Result<(), DatasetError> {
    TABLE.for_each_batch(path, COLUMNS, |batch| {
        let cells = Columns::new(batch)?;
        (0..batch.num_rows()).for_each(|row| each(cells.cell(row)));
        Ok(())
    })
}

/// All cells of a table, in the order of its rows.
///
/// # Errors
///
/// As [`for_each_cell`].
pub fn read_cells(path: &Path) -> Result<Vec<StoredCell>, DatasetError> {
    let mut cells = Vec::new();
    for_each_cell(path, |cell| cells.push(cell))?;
    Ok(cells)
}

/// Names of the classes that have cells in a table.
///
/// # Errors
///
/// As [`for_each_cell`].
pub fn class_names(path: &Path) -> Result<BTreeMap<ClassId, String>, DatasetError> {
    let mut names = BTreeMap::new();
    TABLE.for_each_batch(path, ["class_id", "class_name"], |batch| {
        let ids = TABLE.numbers::<UInt16Type>(batch, "class_id")?;
        let texts = TABLE.column(batch, "class_name")?.as_dictionary_opt::<UInt16Type>();
        let texts = texts.and_then(|texts| texts.downcast_dict::<StringArray>());
        let texts = TABLE.typed("class_name", texts)?;
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
pub fn u64_column(path: &Path, name: &str) -> Result<Vec<Option<u64>>, DatasetError> {
    column_of::<UInt64Type>(path, name)
}

/// One column of measures of a table of ours, row by row.
///
/// # Errors
///
/// As [`u64_column`].
pub fn f32_column(path: &Path, name: &str) -> Result<Vec<Option<f32>>, DatasetError> {
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
pub fn seen_by(path: &Path) -> Result<Vec<u32>, DatasetError> {
    const NAME: &str = "detector_scores";
    let mut seen = Vec::new();
    TABLE.for_each_batch(path, [NAME], |batch| {
        let column = TABLE.typed(NAME, TABLE.column(batch, NAME)?.as_list_opt::<i32>())?;
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

fn column_of<T: ArrowPrimitiveType>(path: &Path, name: &str) -> Result<Vec<Option<T::Native>>, DatasetError> {
    const TABLE: Table = Table("the table");
    let mut values = Vec::new();
    TABLE.for_each_batch(path, [name], |batch| {
        values.extend(TABLE.numbers::<T>(batch, name)?);
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
    fn new(batch: &'a RecordBatch) -> Result<Self, DatasetError> {
        let bbox = TABLE.typed("bbox", TABLE.column(batch, "bbox")?.as_struct_opt())?;
        if bbox.num_columns() != 4 {
            return Err(
                TABLE.bad(format!("has a column \"bbox\" of {} fields, expected 4", bbox.num_columns()))
            );
        }
        let mut sides = [&[][..]; 4];
        for (side, column) in sides.iter_mut().zip(bbox.columns()) {
            *side = TABLE.typed("bbox", column.as_primitive_opt::<Float32Type>())?.values();
        }
        Ok(Self {
            id: TABLE.numbers::<UInt64Type>(batch, "cell_id")?.values(),
            class: TABLE.numbers::<UInt16Type>(batch, "class_id")?.values(),
            score: TABLE.numbers::<Float32Type>(batch, "score")?.values(),
            x: TABLE.numbers::<Float64Type>(batch, "x_px")?.values(),
            y: TABLE.numbers::<Float64Type>(batch, "y_px")?.values(),
            bbox: sides,
            area: TABLE.numbers::<Float32Type>(batch, "area_um2")?.values(),
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
