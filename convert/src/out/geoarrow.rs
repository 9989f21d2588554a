//! GeoParquet 1.1 with geometry as lists of coordinates (the native encoding, as GeoArrow lays it out): readers of
//! Arrow take it without a copy.

use std::{path::Path, sync::Arc};

use arrow_array::{ArrayRef, Float32Array, Float64Array, Int64Array, RecordBatch, UInt16Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use merger::{corner_fields, covering};
use serde_json::json;
use wsi_types::Level0Box;

use super::{
    files::write_file,
    geo_table::{ShapeEncoding, Table, bounds_of, class_names, joined},
    request::{Settings, Source},
    stream::{Maker, Outlined, Part, stream},
};
use crate::{
    error::{ConvertError, Result, unwritable},
    measure::Measure,
    ring::Grid,
    source::SlideFacts,
    tally::Tally,
};

const WHAT: &str = "the GeoParquet table";
/// Cells worked on at a time.
const ROWS: usize = 32_768;

/// Writes the cells of a slide.
pub(crate) fn write(source: &Source<'_>, settings: &Settings, path: &Path) -> Result<Tally> {
    let shapes = if settings.points { ShapeEncoding::Point } else { ShapeEncoding::Polygon };
    let measures = source.cells.measures();
    let rows = Rows { facts: source.facts, measures, shapes, schema: schema(measures, shapes) };
    write_file(path, WHAT, |out| {
        let mut table = Table::begin(out, &rows.schema).map_err(unwritable(WHAT, path))?;
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
        let metadata = vec![("geo", shapes.geo(bounds, true)), ("slidemill", about)];
        table.finish(metadata).map_err(unwritable(WHAT, path))?;
        Ok(tally)
    })
}

fn schema(measures: &[Measure], shapes: ShapeEncoding) -> SchemaRef {
    let names = DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8));
    let mut fields = vec![
        Field::new("cell_id", DataType::Int64, false),
        Field::new("class_id", DataType::UInt16, false),
        Field::new("class_name", names, false),
        Field::new("x_px", DataType::Float64, false),
        Field::new("y_px", DataType::Float64, false),
    ];
    fields.extend(measures.iter().map(|measure| Field::new(&measure.name, DataType::Float32, true)));
    fields.push(Field::new("region_id", DataType::Int64, true));
    fields.push(Field::new("bbox", DataType::Struct(corner_fields()), false));
    fields.push(shapes.field());
    Arc::new(Schema::new(fields))
}

struct Rows<'a> {
    facts: &'a SlideFacts,
    measures: &'a [Measure],
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
            Arc::new(Float64Array::from_iter_values(cells.iter().map(|cell| cell.row.centroid.x))),
            Arc::new(Float64Array::from_iter_values(cells.iter().map(|cell| cell.row.centroid.y))),
        ];
        columns.extend(self.measures.iter().map(|measure| -> ArrayRef {
            Arc::new(cells.iter().map(|cell| measure.of(&cell.row)).collect::<Float32Array>())
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
