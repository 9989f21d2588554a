//! The columns of the patches table but the last, whose length is that of the model's vectors.

use std::sync::Arc;

use arrow_array::types::UInt32Type;
use arrow_array::{ArrayRef, Float32Array, Float64Array, UInt32Array};
use arrow_schema::DataType;
use wsi_types::Level0Box;

use super::Patch;
use crate::column::{Column, StoredRow, f32s, f64s, numbers, repeated_text, same_text, texts};
use crate::geoparquet::TableContext;

/// A row of the patches table, without its vector. `docs/output.md` gives the meanings of the columns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PatchRow {
    /// Its place in the plan of the model.
    pub window: u32,
    /// `left_px`: from the left of the slide, level-0 px.
    pub left_px: f64,
    /// `top_px`: from the top of the slide, level-0 px.
    pub top_px: f64,
    /// Level-0 px.
    pub width_px: f64,
    /// Level-0 px.
    pub height_px: f64,
    /// µm.
    pub left_um: f64,
    /// µm.
    pub top_um: f64,
    /// µm.
    pub width_um: f64,
    /// µm.
    pub height_um: f64,
    /// Share of tissue in it, 0 to 1.
    pub tissue: f32,
}

/// Patches that become columns together.
pub struct Block<'a> {
    pub(super) patches: &'a [Patch],
    pub(super) context: &'a TableContext,
}

impl Block<'_> {
    /// A length on level 0, px.
    fn px(&self, length: fn(&Level0Box) -> f64) -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(self.patches.iter().map(|patch| length(&patch.area))))
    }

    /// The same, µm.
    fn um(&self, length: fn(&Level0Box) -> f64) -> ArrayRef {
        let mpp = self.context.mpp.get();
        let lengths = self.patches.iter().map(|patch| length(&patch.area) * mpp);
        Arc::new(Float64Array::from_iter_values(lengths))
    }
}

impl StoredRow for PatchRow {
    type Block<'a> = Block<'a>;
    const TABLE: &'static str = "the patches table";

    fn columns() -> Vec<Column<Self>> {
        use DataType::{Float32, Float64, UInt32};
        vec![
            Column::<Self>::new(
                "window",
                UInt32,
                "its place in the plan of the model, as `failures` of the account has it; unique within the slide",
                |block| {
                    let windows = block.patches.iter().map(|patch| patch.window.0);
                    Arc::new(UInt32Array::from_iter_values(windows))
                },
                |array, rows| numbers::<UInt32Type, _>(array, rows, |row, window| row.window = window),
            ),
            Column::<Self>::new(
                "slide_id",
                repeated_text(),
                "the slide's id in the dataset",
                |block| same_text(&block.context.slide_id, block.patches.len()),
                texts,
            ),
            Column::<Self>::new(
                "left_px",
                Float64,
                "its left border, level-0 px from the left; patches may reach past the slide's edge",
                |block| block.px(|area| area.min.x),
                |array, rows| f64s(array, rows, |row, left| row.left_px = left),
            ),
            Column::<Self>::new(
                "top_px",
                Float64,
                "its upper border, level-0 px from the top",
                |block| block.px(|area| area.min.y),
                |array, rows| f64s(array, rows, |row, top| row.top_px = top),
            ),
            Column::<Self>::new(
                "width_px",
                Float64,
                "its width in level-0 px",
                |block| block.px(Level0Box::width),
                |array, rows| f64s(array, rows, |row, width| row.width_px = width),
            ),
            Column::<Self>::new(
                "height_px",
                Float64,
                "its height in level-0 px",
                |block| block.px(Level0Box::height),
                |array, rows| f64s(array, rows, |row, height| row.height_px = height),
            ),
            Column::<Self>::new(
                "left_um",
                Float64,
                "`left_px` in µm",
                |block| block.um(|area| area.min.x),
                |array, rows| f64s(array, rows, |row, left| row.left_um = left),
            ),
            Column::<Self>::new(
                "top_um",
                Float64,
                "`top_px` in µm",
                |block| block.um(|area| area.min.y),
                |array, rows| f64s(array, rows, |row, top| row.top_um = top),
            ),
            Column::<Self>::new(
                "width_um",
                Float64,
                "its width in µm",
                |block| block.um(Level0Box::width),
                |array, rows| f64s(array, rows, |row, width| row.width_um = width),
            ),
            Column::<Self>::new(
                "height_um",
                Float64,
                "its height in µm",
                |block| block.um(Level0Box::height),
                |array, rows| f64s(array, rows, |row, height| row.height_um = height),
            ),
            Column::<Self>::new(
                "tissue",
                Float32,
                "share of tissue in it, 0 to 1",
                |block| {
                    let shares = block.patches.iter().map(|patch| patch.tissue as f32);
                    Arc::new(Float32Array::from_iter_values(shares))
                },
                |array, rows| f32s(array, rows, |row, tissue| row.tissue = tissue),
            ),
        ]
    }
}
