//! Regions become rows: the columns of `regions.parquet`, with the same file
//! metadata as the cells table has.

use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, ListBuilder, UInt64Builder};
use arrow_array::{ArrayRef, Float32Array, Float64Array, RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow_schema::{DataType, Field, Fields, Schema};
use parquet::arrow::ArrowWriter;
use whole_file::{Staged, folder_of};
use wsi_types::ClassId;

use crate::MergeError;
use crate::files::{put_in_place, stage};
use crate::regions::Region;
use crate::table::{
    ROWS_PER_GROUP, TableContext, WriteReport, bounds, corner_fields, corners_json, covering, encode_error,
    hilbert_key, key_values, properties, with_geo, wkb_polygon,
};

/// The columns of the regions table, in order, with what they mean.
#[must_use]
pub fn regions_schema() -> Schema {
    use DataType::{Binary, Float32, Float64, UInt32, UInt64, Utf8};
    let counts = DataType::List(Arc::new(Field::new("item", UInt64, false)));
    let columns = [
        ("region_id", UInt64, "from slide content, kind and place: the same every time"),
        ("slide_id", Utf8, "the slide's id in the dataset"),
        ("kind", Utf8, "what it is: tissue, dense (many cells), or a class of the model"),
        ("x_px", Float64, "where the outer ring balances, level-0 px from the left"),
        ("y_px", Float64, "the same from the top"),
        ("area_um2", Float64, "area without holes"),
        ("perimeter_um", Float64, "length of all rings"),
        ("coverage", Float64, "the share of it that a window with a result saw, 0 to 1"),
        ("analysed_um2", Float64, "the part of its area that was seen"),
        ("score", Float32, "the model's confidence, the best of its pieces; null where no model found it"),
        ("n_holes", UInt32, "holes in it"),
        ("n_cells", UInt64, "cells whose centroid lies in it"),
        ("cells_per_mm2", Float64, "those per mm² of `analysed_um2`"),
        ("n_cells_by_class", counts, "those by class, in the order of `class_names` in the metadata"),
        ("bbox", DataType::Struct(corner_fields()), "box in level-0 px, rounded outwards to f32"),
        ("geometry", Binary, "WKB polygon in level-0 px"),
    ];
    let field = |(name, kind, about): (&str, DataType, &str)| {
        let mut notes = vec![("description".to_owned(), about.to_owned())];
        if name == "geometry" {
            notes.push(("ARROW:extension:name".to_owned(), "geoarrow.wkb".to_owned()));
        }
        Field::new(name, kind, name == "score").with_metadata(notes.into_iter().collect())
    };
    Schema::new(columns.into_iter().map(field).collect::<Fields>())
}

/// Writes the regions of one slide as `path`, whole or not at all; their order
/// does not matter.
///
/// # Errors
///
/// As [`write_cells`](crate::write_cells).
pub fn write_regions(
    path: &Path,
    regions: &[Region],
    context: &TableContext,
) -> Result<WriteReport, MergeError> {
    stage_regions(folder_of(path), path, regions, context).and_then(put_in_place)
}

/// [`write_regions`], but that the table lies in `folder`, on the same file
/// system, until it is [put in place](whole_file::put_in_place).
///
/// # Errors
///
/// As [`write_cells`](crate::write_cells).
pub fn stage_regions(
    folder: &Path,
    path: &Path,
    regions: &[Region],
    context: &TableContext,
) -> Result<(WriteReport, Staged), MergeError> {
    let mut sorted: Vec<&Region> = regions.iter().collect();
    sorted.sort_by(|a, b| {
        let key = |region: &Region| (hilbert_key(region.centroid), region.id);
        key(a).cmp(&key(b)).then_with(|| a.kind.cmp(&b.kind))
    });
    let boxes = |regions: &[&Region]| bounds(regions.iter().map(|region| &region.bbox));
    let groups: Vec<_> =
        sorted.chunks(ROWS_PER_GROUP).filter_map(boxes).map(|bounds| corners_json(&bounds)).collect();
    let metadata = key_values(context, sorted.len(), &groups, boxes(&sorted).as_ref());
    let schema = Arc::new(with_geo(regions_schema(), &metadata));
    stage(folder, path, |out| {
        let encode = |error| encode_error(error, path);
        let mut writer = ArrowWriter::try_new(out, Arc::clone(&schema), Some(properties(&schema, metadata)))
            .map_err(encode)?;
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns(&sorted, context))
            .map_err(|error| encode_error(error.into(), path))?;
        writer.write(&batch).map_err(encode)?;
        let row_groups = writer.finish().map_err(encode)?.num_row_groups();
        Ok(WriteReport { rows: sorted.len() as u64, bytes: writer.bytes_written() as u64, row_groups })
    })
}

/// In the order of [`regions_schema`].
fn columns(regions: &[&Region], context: &TableContext) -> Vec<ArrayRef> {
    let u64s = |value: fn(&Region) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(regions.iter().map(|region| value(region))))
    };
    let f64s = |value: fn(&Region) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(regions.iter().map(|region| value(region))))
    };
    let holes = regions.iter().map(|region| region.polygon.holes.len() as u32);
    let kinds = regions.iter().map(|region| region.kind.as_str());
    let slides = regions.iter().map(|_| context.slide_id.as_str());
    vec![
        u64s(|region| region.id),
        Arc::new(StringArray::from_iter_values(slides)),
        Arc::new(StringArray::from_iter_values(kinds)),
        f64s(|region| region.centroid.x),
        f64s(|region| region.centroid.y),
        f64s(|region| region.area_um2),
        f64s(|region| region.perimeter_um),
        f64s(|region| region.coverage),
        f64s(Region::analysed_um2),
        scores(regions),
        Arc::new(UInt32Array::from_iter_values(holes)),
        u64s(Region::cell_count),
        f64s(Region::cells_per_mm2),
        counts_by_class(regions, context),
        covering(regions.iter().map(|region| &region.bbox)),
        geometry(regions),
    ]
}

fn scores(regions: &[&Region]) -> ArrayRef {
    let score = |region: &&Region| region.score.map(wsi_types::Score::get);
    Arc::new(regions.iter().map(score).collect::<Float32Array>())
}

fn counts_by_class(regions: &[&Region], context: &TableContext) -> ArrayRef {
    let item = Field::new("item", DataType::UInt64, false);
    let mut lists = ListBuilder::new(UInt64Builder::new()).with_field(item);
    let named = context.class_names.len();
    for region in regions {
        let largest = region.cells.keys().map(|class| usize::from(class.0) + 1).max().unwrap_or(0);
        for class in 0..named.max(largest) {
            let count = region.cells.get(&ClassId(class as u16)).copied();
            lists.values().append_value(count.unwrap_or(0));
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}

fn geometry(regions: &[&Region]) -> ArrayRef {
    let mut polygons = BinaryBuilder::new();
    let mut bytes = Vec::new();
    for region in regions {
        let rings: Vec<&[_]> = std::iter::once(region.polygon.outer.as_slice())
            .chain(region.polygon.holes.iter().map(Vec::as_slice))
            .collect();
        bytes.clear();
        wkb_polygon(&rings, &mut bytes);
        polygons.append_value(&bytes);
    }
    Arc::new(polygons.finish())
}
