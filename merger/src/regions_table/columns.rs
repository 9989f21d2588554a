//! The columns of the regions table: meaning, filling and reading back.

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, Int64Builder, ListBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{Array, ArrayRef, Float32Array, Float64Array, Int64Array, StringArray, UInt32Array};
use arrow_schema::{DataType, Field};
use wsi_types::ClassId;

use super::row::RegionRow;
use crate::column::{
    Column, StoredRow, boxes, f32s_or_null, f64s, f64s_or_null, numbers, polygons, repeated_text, same_text,
    texts, texts_or_null, whole, whole_lists,
};
use crate::geoparquet::{TableContext, corner_fields, covering};
use crate::regions::Region;
use crate::wkb::put_polygon;

/// Regions that become columns together.
pub struct Block<'a> {
    pub(super) regions: &'a [&'a Region],
    pub(super) context: &'a TableContext,
}

impl Block<'_> {
    /// Ids or counts.
    fn whole(&self, value: fn(&Region) -> u64) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(self.regions.iter().map(|region| value(region).cast_signed())))
    }

    fn text(&self, value: fn(&Region) -> Option<&str>) -> ArrayRef {
        Arc::new(StringArray::from_iter(self.regions.iter().map(|region| value(region))))
    }

    fn f64(&self, value: fn(&Region) -> f64) -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(self.regions.iter().map(|region| value(region))))
    }

    fn f64_or_null(&self, value: fn(&Region) -> Option<f64>) -> ArrayRef {
        Arc::new(Float64Array::from_iter(self.regions.iter().map(|region| value(region))))
    }
}

impl StoredRow for RegionRow {
    type Block<'a> = Block<'a>;
    const TABLE: &'static str = "the regions table";

    fn columns() -> Vec<Column<Self>> {
        use DataType::{Binary, Float32, Float64, Int64, UInt32, Utf8};
        vec![
            Column::<Self>::new(
                "region_id",
                Int64,
                "from slide content, kind and place: the same every time, below 2^53",
                |block| block.whole(|region| region.id),
                |array, rows| whole(array, rows, |row, id| row.region_id = id),
            ),
            Column::<Self>::new(
                "slide_id",
                repeated_text(),
                "the slide's id in the dataset",
                |block| same_text(&block.context.slide_id, block.regions.len()),
                texts,
            ),
            Column::<Self>::new(
                "kind",
                Utf8,
                "what it is: tissue, dense (many cells), roi (drawn by a person), margin:-200..0 (a band along the border of \
                 those), or a class of the model",
                kinds,
                read_kinds,
            ),
            Column::<Self>::new(
                "name",
                Utf8,
                "what that person called it",
                |block| block.text(|region| region.name.as_deref()),
                |array, rows| texts_or_null(array, rows, |row, name| row.name = name),
            )
            .or_null(),
            Column::<Self>::new(
                "class_name",
                Utf8,
                "the class that person gave it; of a band, that of its border",
                |block| block.text(|region| region.class_name.as_deref()),
                |array, rows| texts_or_null(array, rows, |row, class| row.class_name = class),
            )
            .or_null(),
            Column::<Self>::new(
                "x_px",
                Float64,
                "where the outer ring balances, level-0 px from the left",
                |block| block.f64(|region| region.centroid.x),
                |array, rows| f64s(array, rows, |row, x| row.centroid.x = x),
            ),
            Column::<Self>::new(
                "y_px",
                Float64,
                "the same from the top",
                |block| block.f64(|region| region.centroid.y),
                |array, rows| f64s(array, rows, |row, y| row.centroid.y = y),
            ),
            Column::<Self>::new(
                "area_um2",
                Float64,
                "area without holes",
                |block| block.f64(|region| region.area_um2),
                |array, rows| f64s(array, rows, |row, area| row.area_um2 = area),
            ),
            Column::<Self>::new(
                "perimeter_um",
                Float64,
                "length of all rings",
                |block| block.f64(|region| region.perimeter_um),
                |array, rows| f64s(array, rows, |row, length| row.perimeter_um = length),
            ),
            Column::<Self>::new(
                "coverage",
                Float64,
                "the share of it that a window with a result saw, 0 to 1",
                |block| block.f64(|region| region.coverage),
                |array, rows| f64s(array, rows, |row, share| row.coverage = share),
            ),
            Column::<Self>::new(
                "analysed_um2",
                Float64,
                "the part of its area that was seen",
                |block| block.f64(Region::analysed_um2),
                |array, rows| f64s(array, rows, |row, area| row.analysed_um2 = area),
            ),
            Column::<Self>::new(
                "analysed_tissue_um2",
                Float64,
                "the part of `analysed_um2` that is tissue; null in tables of versions that did not measure it",
                |block| block.f64(Region::analysed_tissue_um2),
                |array, rows| f64s_or_null(array, rows, |row, area| row.analysed_tissue_um2 = area),
            )
            .or_null(),
            Column::<Self>::new(
                "score",
                Float32,
                "the model's confidence, the best of its pieces; null where no model found it",
                scores,
                |array, rows| f32s_or_null(array, rows, |row, score| row.score = score),
            )
            .or_null(),
            Column::<Self>::new("n_holes", UInt32, "holes in it", hole_counts, |array, rows| {
                numbers::<UInt32Type, _>(array, rows, |row, holes| row.n_holes = holes)
            }),
            Column::<Self>::new(
                "n_cells",
                Int64,
                "cells whose centroid lies in it",
                |block| block.whole(Region::cell_count),
                |array, rows| whole(array, rows, |row, cells| row.n_cells = cells),
            ),
            Column::<Self>::new(
                "cells_per_mm2",
                Float64,
                "those per mm² of `analysed_um2`",
                |block| block.f64(Region::cells_per_mm2),
                |array, rows| f64s(array, rows, |row, density| row.cells_per_mm2 = density),
            ),
            Column::<Self>::new(
                "cells_per_mm2_tissue",
                Float64,
                "those per mm² of `analysed_tissue_um2`; null where there is none",
                |block| block.f64_or_null(Region::cells_per_mm2_tissue),
                |array, rows| f64s_or_null(array, rows, |row, density| row.cells_per_mm2_tissue = density),
            )
            .or_null(),
            Column::<Self>::new(
                "n_cells_by_class",
                DataType::List(Arc::new(Field::new("item", Int64, false))),
                "those by class, in the order of `class_names` in the metadata",
                counts_by_class,
                |array, rows| whole_lists(array, rows, |row, counts| row.n_cells_by_class = counts),
            ),
            Column::<Self>::new(
                "bbox",
                DataType::Struct(corner_fields()),
                "box in level-0 px, rounded outwards to f32",
                |block| covering(block.regions.iter().map(|region| &region.bbox)),
                |array, rows| boxes(array, rows, |row, bbox| row.bbox = bbox),
            ),
            Column::<Self>::new("geometry", Binary, "WKB polygon in level-0 px", geometry, |array, rows| {
                polygons(array, rows, |row, rings| row.rings = rings)
            }),
        ]
    }
}

fn kinds(block: &Block<'_>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(block.regions.iter().map(|region| region.kind.as_str())))
}

fn read_kinds(array: &dyn Array, rows: &mut [RegionRow]) -> Option<()> {
    for (row, kind) in rows.iter_mut().zip(array.as_string_opt::<i32>()?) {
        row.kind = kind?.to_owned();
    }
    Some(())
}

fn hole_counts(block: &Block<'_>) -> ArrayRef {
    let holes = block.regions.iter().map(|region| region.polygon.holes.len() as u32);
    Arc::new(UInt32Array::from_iter_values(holes))
}

fn scores(block: &Block<'_>) -> ArrayRef {
    let scores = block.regions.iter().map(|region| region.score.map(wsi_types::Score::get));
    Arc::new(scores.collect::<Float32Array>())
}

fn counts_by_class(block: &Block<'_>) -> ArrayRef {
    let item = Field::new("item", DataType::Int64, false);
    let mut lists = ListBuilder::new(Int64Builder::new()).with_field(item);
    let named = block.context.class_names.len();
    for region in block.regions {
        let largest = region.cells.keys().map(|class| usize::from(class.0) + 1).max().unwrap_or(0);
        for class in 0..named.max(largest) {
            let count = region.cells.get(&ClassId(class as u16)).copied();
            lists.values().append_value(count.unwrap_or(0).cast_signed());
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}

fn geometry(block: &Block<'_>) -> ArrayRef {
    let mut polygons = BinaryBuilder::new();
    let mut bytes = Vec::new();
    for region in block.regions {
        let rings: Vec<&[_]> = std::iter::once(region.polygon.outer.as_slice())
            .chain(region.polygon.holes.iter().map(Vec::as_slice))
            .collect();
        bytes.clear();
        put_polygon(&rings, &mut bytes);
        polygons.append_value(&bytes);
    }
    Arc::new(polygons.finish())
}
