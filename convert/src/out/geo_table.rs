//! Tables of shapes as GeoParquet 1.1: geometry as WKB, or as lists of coordinates that Arrow readers take as they are.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    sync::Arc,
};

use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    UInt16Array, builder::BinaryBuilder, types::UInt16Type,
};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use merger::{
    GeometryColumn, ROWS_PER_GROUP,
    wkb::{put_area, put_polygon},
};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, Encoding, ZstdLevel},
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties},
    },
    schema::types::ColumnPath,
};
use serde_json::Value;
use wsi_types::{ClassId, Level0Box};

use super::stream::Outlined;
use crate::{
    ring::{Grid, GridRing, Place},
    source::SlideFacts,
};

/// A Parquet file that is written batch by batch.
pub(crate) struct Table<W: Write + Send> {
    writer: ArrowWriter<W>,
}

impl<W: Write + Send> Table<W> {
    /// Begins a table.
    pub(crate) fn begin(out: W, schema: &SchemaRef) -> io::Result<Self> {
        let writer = ArrowWriter::try_new(out, Arc::clone(schema), Some(properties(schema)));
        Ok(Self { writer: writer.map_err(io::Error::other)? })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        self.writer.write(batch).map_err(io::Error::other)
    }

    /// Ends it, with what is only known now.
    pub(crate) fn finish(mut self, metadata: Vec<(&str, Value)>) -> io::Result<()> {
        for (key, value) in metadata {
            self.writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value.to_string()));
        }
        self.writer.finish().map(drop).map_err(io::Error::other)
    }
}

/// A table in a file of its own.
pub(crate) type FileTable = Table<BufWriter<File>>;

fn properties(schema: &Schema) -> WriterProperties {
    let mut builder = WriterProperties::builder()
        .set_created_by("slidemill".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_column_statistics_enabled(ColumnPath::from(GEOMETRY), EnabledStatistics::None);
    for path in float_leaves(schema) {
        let path = ColumnPath::new(path);
        builder = builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::BYTE_STREAM_SPLIT);
    }
    builder.set_column_dictionary_enabled(ColumnPath::from(GEOMETRY), false).build()
}

/// Paths of all columns of floats, those inside of lists and structs included.
fn float_leaves(schema: &Schema) -> Vec<Vec<String>> {
    let mut leaves = Vec::new();
    schema.fields().iter().for_each(|field| push_float_leaves(field, &mut Vec::new(), &mut leaves));
    leaves
}

fn push_float_leaves(field: &Field, above: &mut Vec<String>, leaves: &mut Vec<Vec<String>>) {
    above.push(field.name().clone());
    match field.data_type() {
        DataType::Float32 | DataType::Float64 => leaves.push(above.clone()),
        DataType::Struct(parts) => parts.iter().for_each(|part| push_float_leaves(part, above, leaves)),
        DataType::List(item) => {
            above.push("list".to_owned());
            push_float_leaves(item, above, leaves);
            above.pop();
        }
        _ => {}
    }
    above.pop();
}

/// The column of shapes.
pub(crate) const GEOMETRY: &str = "geometry";

/// Encoding of shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShapeEncoding {
    /// Polygons as bytes.
    Wkb,
    /// Polygons as lists of rings of coordinates.
    Polygon,
    /// Points as coordinates.
    Point,
}

impl ShapeEncoding {
    /// The field of the column.
    pub(crate) fn field(self) -> Field {
        let (kind, extension) = match self {
            Self::Wkb => (DataType::Binary, "geoarrow.wkb"),
            Self::Polygon => (DataType::List(rings_field()), "geoarrow.polygon"),
            Self::Point => (DataType::Struct(coordinates()), "geoarrow.point"),
        };
        let notes = [("ARROW:extension:name".to_owned(), extension.to_owned())];
        Field::new(GEOMETRY, kind, false).with_metadata(notes.into_iter().collect())
    }

    /// The column of some cells.
    pub(crate) fn column(self, cells: &[Outlined], grid: Grid) -> ArrayRef {
        match self {
            Self::Wkb => {
                let mut column = BinaryBuilder::with_capacity(cells.len(), cells.len() * 512);
                let mut bytes = Vec::new();
                for cell in cells {
                    bytes.clear();
                    put_polygon(&[&grid.points(&cell.ring)], &mut bytes);
                    column.append_value(&bytes);
                }
                Arc::new(column.finish())
            }
            Self::Polygon => polygons(cells, grid),
            Self::Point => {
                let x = cells.iter().map(|cell| cell.row.centroid.x);
                let y = cells.iter().map(|cell| cell.row.centroid.y);
                Arc::new(points(Float64Array::from_iter_values(x), Float64Array::from_iter_values(y)))
            }
        }
    }

    /// Metadata of the file that GeoParquet asks for.
    pub(crate) fn geo(self, bounds: Option<Level0Box>, has_covering: bool) -> Value {
        let (encoding, kind) = match self {
            Self::Wkb => ("WKB", "Polygon"),
            Self::Polygon => ("polygon", "Polygon"),
            Self::Point => ("point", "Point"),
        };
        let kinds: &[&str] = if bounds.is_some() { &[kind] } else { &[] };
        GeometryColumn { encoding, kinds, bounds, has_covering }.geo()
    }
}

fn coordinates() -> Fields {
    ["x", "y"].map(|name| Field::new(name, DataType::Float64, false)).into_iter().collect()
}

fn points_field() -> Arc<Field> {
    Arc::new(Field::new("vertices", DataType::Struct(coordinates()), false))
}

fn rings_field() -> Arc<Field> {
    Arc::new(Field::new("rings", DataType::List(points_field()), false))
}

fn points(x: Float64Array, y: Float64Array) -> StructArray {
    StructArray::new(coordinates(), vec![Arc::new(x), Arc::new(y)], None)
}

/// One ring each, closed.
fn polygons(cells: &[Outlined], grid: Grid) -> ArrayRef {
    let x = Float64Array::from_iter_values(closed_rings(cells).map(|place| grid.px(place.x)));
    let y = Float64Array::from_iter_values(closed_rings(cells).map(|place| grid.px(place.y)));
    let lengths = cells.iter().map(|cell| cell.ring.len() + 1);
    let one_each = std::iter::repeat_n(1, cells.len());
    let rings = ListArray::new(points_field(), offsets_of(lengths), Arc::new(points(x, y)), None);
    Arc::new(ListArray::new(rings_field(), offsets_of(one_each), Arc::new(rings), None))
}

/// All corners, the first of each ring once more at its end.
fn closed_rings(cells: &[Outlined]) -> impl Iterator<Item = &Place> {
    cells.iter().flat_map(|cell| cell.ring.iter().chain(cell.ring.first()))
}

fn offsets_of(lengths: impl IntoIterator<Item = usize>) -> arrow_buffer::OffsetBuffer<i32> {
    arrow_buffer::OffsetBuffer::from_lengths(lengths)
}

/// Numbers from `first` on.
pub(crate) fn numbered(first: u64, count: usize) -> Int64Array {
    Int64Array::from_iter_values((first as i64..).take(count))
}

/// The box around rings, in level-0 px; `None` where there are none.
pub(crate) fn bounds_of<'a>(rings: impl Iterator<Item = &'a GridRing>, grid: Grid) -> Option<Level0Box> {
    let corners = rings.flatten().copied();
    let (low, high) = corners.fold(None, |bounds: Option<(Place, Place)>, place| {
        let (low, high) = bounds.unwrap_or((place, place));
        Some((
            Place { x: low.x.min(place.x), y: low.y.min(place.y) },
            Place { x: high.x.max(place.x), y: high.y.max(place.y) },
        ))
    })?;
    Some(Level0Box::new(grid.point(low), grid.point(high)))
}

/// The box around two boxes, each of which may be missing.
pub(crate) fn joined(a: Option<Level0Box>, b: Option<Level0Box>) -> Option<Level0Box> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.union(&b)),
        (a, b) => a.or(b),
    }
}

/// Names of classes, each once.
pub(crate) fn class_names(facts: &SlideFacts, cells: &[Outlined]) -> ArrayRef {
    let largest = cells.iter().map(|cell| usize::from(cell.row.class_id.0) + 1).max().unwrap_or(0);
    let classes = 0..largest.max(facts.class_names.len());
    let names = classes.map(|class| facts.class_name(ClassId(class as u16)));
    let keys = UInt16Array::from_iter_values(cells.iter().map(|cell| cell.row.class_id.0));
    Arc::new(DictionaryArray::<UInt16Type>::new(keys, Arc::new(StringArray::from_iter_values(names))))
}

/// An area with holes and in several parts, as WKB.
pub(crate) fn area_as_wkb(parts: &[Vec<GridRing>], grid: Grid) -> Vec<u8> {
    let parts: Vec<_> =
        parts.iter().map(|rings| rings.iter().map(|ring| grid.points(ring)).collect()).collect();
    let mut bytes = Vec::new();
    put_area(&parts, &mut bytes);
    bytes
}
