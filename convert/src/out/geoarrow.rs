//! GeoParquet 1.1 with geometry as lists of coordinates (the native encoding, as GeoArrow lays it out): readers of
//! Arrow take it without a copy.

use std::{path::Path, sync::Arc};

use arrow_array::{
    ArrayRef, DictionaryArray, Float32Array, Int64Array, RecordBatch, StringArray, UInt16Array,
    types::UInt16Type,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use merger::{corner_fields, covering};
use serde_json::json;
use wsi_types::Level0Box;

use super::{
    Maker, Outlined, Part, Settings, Source,
    geo_table::{ShapeEncoding, Table, bounds_of, joined},
    stream, write_file,
};
use crate::{
    error::{ConvertError, Result, unwritable},
    ring::Grid,
    source::{MEASURES, SlideFacts, measures},
    tally::Tally,
};

const WHAT: &str = "the GeoParquet table";
/// Cells worked on at a time.
const ROWS: usize = 32_768;

/// Writes the cells of a slide.
pub(crate) fn write(source: &Source<'_>, settings: &Settings, path: &Path) -> Result<Tally> {
    let shapes = if settings.points { ShapeEncoding::Point } else { ShapeEncoding::Polygon };
    let rows = Rows { facts: source.facts, shapes, schema: schema(shapes) };
    write_file(path, WHAT, |out| {
        let failed = || unwritable(WHAT, path);
        let mut table = Table::begin(out, &rows.schema).map_err(failed())?;
        let mut bounds = None;
        let tally = stream(source, settings, ROWS, &rows, |(batch, of_batch)| {
            bounds = joined(bounds, of_batch);
            table.write(&batch).map_err(unwritable(WHAT, path))
        })?;
        let about = json!({
            "slide_id": source.facts.id,
            "mpp_um_per_px": source.facts.mpp.get(),
            "class_names": source.facts.class_names,
            "fingerprint": source.facts.fingerprint,
        });
        table.finish(vec![("geo", shapes.geo(bounds, true)), ("slidemill", about)]).map_err(failed())?;
        Ok(tally)
    })
}

fn schema(shapes: ShapeEncoding) -> SchemaRef {
    let field = |name: &str, kind: DataType| Field::new(name, kind, false);
    let names = DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8));
    let mut fields = vec![
        field("cell_id", DataType::Int64),
        field("class_id", DataType::UInt16),
        field("class_name", names),
        field("x_px", DataType::Float64),
        field("y_px", DataType::Float64),
    ];
    fields.extend(MEASURES.iter().map(|measure| Field::new(measure.column, DataType::Float32, true)));
    fields.push(Field::new("region_id", DataType::Int64, true));
    fields.push(field("bbox", DataType::Struct(corner_fields())));
    fields.push(shapes.field());
    Arc::new(Schema::new(fields))
}

struct Rows<'a> {
    facts: &'a SlideFacts,
    shapes: ShapeEncoding,
    schema: SchemaRef,
}

impl Rows<'_> {
    /// Around the shape as it is written.
    fn box_of(&self, cell: &Outlined) -> Level0Box {
        let of_ring = bounds_of(std::iter::once(&cell.ring), self.grid());
        of_ring.unwrap_or(Level0Box::new(cell.row.centroid, cell.row.centroid))
    }
}

impl Maker for Rows<'_> {
    /// Rows, and the box around them.
    type Made = (RecordBatch, Option<Level0Box>);

    fn grid(&self) -> Grid {
        Grid::DYADIC
    }

    fn make(&self, part: &Part<'_>) -> Result<Self::Made> {
        let cells = part.cells;
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(cells.iter().map(|cell| cell.row.cell_id.cast_signed()))),
            Arc::new(UInt16Array::from_iter_values(cells.iter().map(|cell| cell.row.class_id.0))),
            class_names(self.facts, cells),
            Arc::new(arrow_array::Float64Array::from_iter_values(
                cells.iter().map(|cell| cell.row.centroid.x),
            )),
            Arc::new(arrow_array::Float64Array::from_iter_values(
                cells.iter().map(|cell| cell.row.centroid.y),
            )),
        ];
        let measured: Vec<_> = cells.iter().map(|cell| measures(&cell.row)).collect();
        columns.extend((0..MEASURES.len()).map(|place| -> ArrayRef {
            Arc::new(measured.iter().map(|values| values[place]).collect::<Float32Array>())
        }));
        let regions = cells.iter().map(|cell| cell.row.region_id.map(u64::cast_signed));
        columns.push(Arc::new(regions.collect::<Int64Array>()));
        let boxes: Vec<Level0Box> = cells.iter().map(|cell| self.box_of(cell)).collect();
        columns.push(covering(boxes.iter()));
        columns.push(self.shapes.column(cells, self.grid()));
        let bounds = boxes.into_iter().reduce(|all, bbox| all.union(&bbox));
        // Columns are made to fit the schema.
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns);
        batch.map(|batch| (batch, bounds)).map_err(|error| ConvertError::Refused(error.to_string()))
    }
}

/// Names of classes, each once.
pub(super) fn class_names(facts: &SlideFacts, cells: &[Outlined]) -> ArrayRef {
    let largest = cells.iter().map(|cell| usize::from(cell.row.class_id.0) + 1).max().unwrap_or(0);
    let classes = 0..largest.max(facts.class_names.len());
    let names = classes.map(|class| facts.class_name(wsi_types::ClassId(class as u16)));
    let keys = UInt16Array::from_iter_values(cells.iter().map(|cell| cell.row.class_id.0));
    Arc::new(DictionaryArray::<UInt16Type>::new(keys, Arc::new(StringArray::from_iter_values(names))))
}
