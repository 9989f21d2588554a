//! slidemill's own `cells` tables, and any Parquet with the same columns: `x_px`, `y_px`,
//! `bbox {xmin, ymin, xmax, ymax}`, `geometry` (WKB), `class_name` or `class_id`, `score`; those that exist
//! are used.

use std::{collections::BTreeMap, fs::File};

use arrow_array::{
    Array, ListArray, RecordBatch, StructArray,
    cast::AsArray,
    types::{Float32Type, Float64Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type},
};
use arrow_schema::DataType;
use parquet::{
    arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
    file::metadata::KeyValue,
};
use serde::Deserialize;
use wsi_types::{ClassId, Level0Box, Mpp};

use super::{
    files::{Source, malformed},
    reading::Reading,
    remarks::{Remark, Remarks},
    settings::ReadSettings,
    wkb,
};
use crate::{
    EvalError,
    error::Result,
    objects::{Detail, Object, ObjectSet, Role, Shape, UNNAMED_CLASS},
    polygon::{Polygon, Ring},
};

const FORMAT: &str = "Parquet";

pub(super) fn read(source: &Source<'_>, settings: &ReadSettings) -> Result<Reading> {
    let path = source.path;
    let file = File::open(path).map_err(|source| EvalError::Read { source, path: path.to_owned() })?;
    let damaged = |error: String| malformed(FORMAT, "file", error, path);
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| damaged(e.to_string()))?;
    let metadata = builder.metadata().file_metadata();
    let about = About::from_metadata(metadata.key_value_metadata().map_or(&[], Vec::as_slice));
    let mut set = ObjectSet::default();
    set.image_named(about.slide_id.as_deref().unwrap_or(&slide_name(source)));
    set.images[0].mpp = about.mpp_um_per_px.and_then(|mpp| Mpp::new(mpp).ok());
    set.images[0].cut_at = about.cut_at();
    for name in &about.class_names {
        set.class_named(name)?;
    }
    let wanted = wanted_columns(settings.detail);
    let schema = builder.parquet_schema();
    let columns = (schema.root_schema().get_fields().iter().enumerate())
        .filter(|(_, field)| wanted.contains(&field.name()))
        .map(|(place, _)| place);
    let mask = ProjectionMask::roots(schema, columns.collect::<Vec<_>>());
    let batches = builder.with_projection(mask).with_batch_size(1 << 16).build();
    let mut remarks = Remarks::default();
    let mut row = 0;
    for batch in batches.map_err(|e| damaged(e.to_string()))? {
        let batch = batch.map_err(|e| damaged(e.to_string()))?;
        let left_out = add_batch(&mut set, &batch, row, settings.detail)
            .map_err(|(place, problem)| malformed(FORMAT, place, problem, path))?;
        for (row, why) in left_out {
            remarks.add(why, 1, || source.at(format!("row {row}")));
        }
        row += batch.num_rows() as u64;
    }
    Ok(Reading { set, remarks, ..Reading::default() })
}

/// Outlines are the bulk of the file: read only when they are wanted.
fn wanted_columns(detail: Detail) -> &'static [&'static str] {
    match detail {
        Detail::Full => &["cell_id", "x_px", "y_px", "bbox", "geometry", "class_name", "class_id", "score"],
        Detail::Boxes => &["cell_id", "x_px", "y_px", "bbox", "class_name", "class_id", "score"],
        Detail::Points => &["cell_id", "x_px", "y_px", "class_name", "class_id", "score"],
    }
}

/// The partition `slide=<id>` that holds the file, or the file's own name.
fn slide_name(source: &Source<'_>) -> String {
    let parts = source.path.iter().rev().filter_map(|part| part.to_str());
    let slide = parts.filter_map(|part| part.strip_prefix("slide=")).next();
    slide.map_or_else(|| source.image.clone(), str::to_owned)
}

/// Metadata of a table under the key `slidemill`, as JSON.
#[derive(Default, Deserialize)]
#[serde(default)]
struct About {
    slide_id: Option<String>,
    mpp_um_per_px: Option<f64>,
    class_names: Vec<String>,
    settings: BTreeMap<String, serde_json::Value>,
}

impl About {
    /// The lowest score of a cell in the table: the smallest limit of those for all classes and for single
    /// ones.
    fn cut_at(&self) -> Option<f32> {
        let text = |name: &str| self.settings.get(name).and_then(serde_json::Value::as_str);
        let of_all: f32 = text("min_score")?.parse().ok()?;
        let of_classes = text("class_score").unwrap_or_default().split(',');
        let of_classes = of_classes.filter_map(|pair| pair.rsplit_once('=')?.1.parse().ok());
        Some(of_classes.fold(of_all, f32::min))
    }

    /// Reads the metadata; empty for tables that other programs wrote.
    fn from_metadata(metadata: &[KeyValue]) -> Self {
        let ours = metadata.iter().find(|pair| pair.key == "slidemill");
        let text = ours.and_then(|pair| pair.value.as_deref()).unwrap_or("{}");
        serde_json::from_str(text).unwrap_or_default()
    }
}

type Problem = (String, String);

/// Adds the rows; returns those that are no object, each with the reason.
fn add_batch(
    set: &mut ObjectSet,
    batch: &RecordBatch,
    first: u64,
    detail: Detail,
) -> Result<Vec<(u64, Remark)>, Problem> {
    let rows = Rows::new(batch, detail)?;
    let classes = rows.classes.into_ids(set)?;
    let image = crate::objects::ImageId(0);
    let mut left_out = Vec::new();
    for row in 0..batch.num_rows() {
        let number = first + row as u64;
        let mut slivers = 0;
        let shape = match rows.places.shape(row, &mut slivers) {
            Ok(shape) => shape,
            Err(Ok(why)) => {
                left_out.push((number, why));
                continue;
            }
            Err(Err(problem)) => return Err((format!("row {number}"), problem)),
        };
        left_out.extend((0..slivers).map(|_| (number, Remark::Sliver)));
        let id = rows.ids.as_ref().map_or(number, |ids| ids[row]);
        let score = rows.scores.as_ref().map(|scores| scores[row] as f32).filter(|score| !score.is_nan());
        set.objects.push(Object { id, image, class: classes[row], score, shape, role: Role::Object });
    }
    Ok(left_out)
}

struct Rows<'a> {
    ids: Option<Vec<u64>>,
    classes: ClassColumn,
    scores: Option<Vec<f64>>,
    places: Places<'a>,
}

impl<'a> Rows<'a> {
    fn new(batch: &'a RecordBatch, detail: Detail) -> Result<Self, Problem> {
        let class_names = column(batch, "class_name");
        Ok(Self {
            ids: column(batch, "cell_id").and_then(ids),
            classes: ClassColumn::new(class_names, column(batch, "class_id"), batch.num_rows())?,
            scores: column(batch, "score").map(|array| numbers("score", array)).transpose()?,
            places: Places::new(batch, detail)?,
        })
    }
}

/// Ids of whole numbers; `None` for other types.
fn ids(array: &dyn Array) -> Option<Vec<u64>> {
    if let Some(ids) = array.as_primitive_opt::<UInt64Type>() {
        return Some(ids.values().to_vec());
    }
    let signed = array.as_primitive_opt::<Int64Type>()?;
    signed.values().iter().map(|&id| u64::try_from(id).ok()).collect()
}

/// Names, each once, and the place of each row's name.
struct ClassColumn {
    names: Vec<String>,
    of_row: Vec<usize>,
}

impl ClassColumn {
    fn new(name: Option<&dyn Array>, id: Option<&dyn Array>, rows: usize) -> Result<Self, Problem> {
        if let Some(array) = name {
            return Self::from_names(array).ok_or_else(|| unexpected("class_name", array, "strings"));
        }
        if let Some(array) = id {
            let numbers = numbers("class_id", array)?;
            return Ok(Self::distinct(numbers.into_iter().map(|number| number.to_string())));
        }
        Ok(Self { names: vec![UNNAMED_CLASS.to_owned()], of_row: vec![0; rows] })
    }

    fn from_names(array: &dyn Array) -> Option<Self> {
        if let Some(dictionary) = array.as_any_dictionary_opt() {
            let values = Self::from_names(dictionary.values().as_ref())?;
            if dictionary.values().is_empty() {
                return Some(Self { names: vec![UNNAMED_CLASS.to_owned()], of_row: vec![0; array.len()] });
            }
            let keys = dictionary.normalized_keys();
            return Some(Self {
                of_row: keys.into_iter().map(|key| values.of_row[key]).collect(),
                names: values.names,
            });
        }
        if let Some(strings) = array.as_string_opt::<i32>() {
            return Some(Self::distinct(strings.iter().map(name_or_unnamed)));
        }
        if let Some(strings) = array.as_string_opt::<i64>() {
            return Some(Self::distinct(strings.iter().map(name_or_unnamed)));
        }
        array.as_string_view_opt().map(|strings| Self::distinct(strings.iter().map(name_or_unnamed)))
    }

    fn distinct(names: impl Iterator<Item = String>) -> Self {
        let mut column = Self { names: Vec::new(), of_row: Vec::new() };
        for name in names {
            let place = column.names.iter().position(|known| *known == name).unwrap_or_else(|| {
                column.names.push(name);
                column.names.len() - 1
            });
            column.of_row.push(place);
        }
        column
    }

    fn into_ids(self, set: &mut ObjectSet) -> Result<Vec<ClassId>, Problem> {
        let ids: Vec<ClassId> = (self.names.iter())
            .map(|name| set.class_named(name))
            .collect::<Result<_>>()
            .map_err(|error| ("class_name".to_owned(), error.to_string()))?;
        Ok(self.of_row.into_iter().map(|place| ids[place]).collect())
    }
}

enum Places<'a> {
    Points(Vec<f64>, Vec<f64>),
    Boxes([Vec<f64>; 4]),
    Wkb(&'a dyn Array),
    /// Lists of rings of coordinates: GeoParquet's native polygons.
    Rings(&'a ListArray),
}

impl<'a> Places<'a> {
    fn new(batch: &'a RecordBatch, detail: Detail) -> Result<Self, Problem> {
        if let Some(geometry) = column(batch, "geometry").filter(|_| detail == Detail::Full) {
            return match geometry.data_type() {
                DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Ok(Self::Wkb(geometry)),
                DataType::Struct(_) => {
                    let (x, y) = coordinates(geometry)?;
                    Ok(Self::Points(x, y))
                }
                DataType::List(_) => Ok(Self::Rings(geometry.as_list())),
                _ => Err(unexpected("geometry", geometry, "binary, points or lists of rings")),
            };
        }
        if let Some(bbox) =
            column(batch, "bbox").and_then(|array| array.as_struct_opt()).filter(|_| detail != Detail::Points)
        {
            return Self::from_bbox(bbox);
        }
        match (column(batch, "x_px"), column(batch, "y_px")) {
            (Some(x), Some(y)) => Ok(Self::Points(numbers("x_px", x)?, numbers("y_px", y)?)),
            _ => {
                Err(("columns".to_owned(), "there is no x_px and y_px, expected a table of cells".to_owned()))
            }
        }
    }

    fn from_bbox(bbox: &'a StructArray) -> Result<Self, Problem> {
        let [x0, y0, x1, y1] = ["xmin", "ymin", "xmax", "ymax"].map(|name| {
            let column = bbox.column_by_name(name);
            let column = column.ok_or_else(|| ("bbox".to_owned(), format!("there is no field {name}")))?;
            numbers(name, column.as_ref())
        });
        Ok(Self::Boxes([x0?, y0?, x1?, y1?]))
    }

    /// Reads a shape as [`wkb::shape`] does: the inner result is `Ok` for a shape that is no object, `Err` for a
    /// broken one.
    fn shape(&self, row: usize, slivers: &mut u64) -> Result<Shape, Result<Remark, String>> {
        match self {
            Self::Points(x, y) => Ok(Shape::Point(euclid::point2(finite(x[row])?, finite(y[row])?))),
            Self::Boxes([x0, y0, x1, y1]) => {
                let min = euclid::point2(finite(x0[row])?, finite(y0[row])?);
                let max = euclid::point2(finite(x1[row])?, finite(y1[row])?);
                Ok(Shape::Box(Level0Box::new(min, max)))
            }
            Self::Wkb(geometry) if geometry.is_null(row) => Err(Ok(Remark::Placeless)),
            Self::Wkb(geometry) => wkb::shape(binary(*geometry, row), slivers),
            Self::Rings(polygons) if polygons.is_null(row) => Err(Ok(Remark::Placeless)),
            Self::Rings(polygons) => {
                let rings = polygons.value(row);
                let rings = rings
                    .as_list_opt::<i32>()
                    .ok_or(Err("geometry is a list, but not of rings".to_owned()))?;
                let rings = (0..rings.len()).map(|ring| native_ring(rings.value(ring).as_ref()));
                let rings = rings.collect::<Result<_, _>>().map_err(Err)?;
                Ok(Shape::Polygon(Box::new(Polygon { rings })))
            }
        }
    }
}

/// The columns x and y of a struct.
fn coordinates(array: &dyn Array) -> Result<(Vec<f64>, Vec<f64>), Problem> {
    let points = array.as_struct_opt();
    let axes = points.and_then(|points| points.column_by_name("x").zip(points.column_by_name("y")));
    let (x, y) = axes.ok_or_else(|| unexpected("geometry", array, "coordinates x and y"))?;
    Ok((numbers("x", x.as_ref())?, numbers("y", y.as_ref())?))
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a dyn Array> {
    batch.column_by_name(name).map(|array| array.as_ref())
}

fn name_or_unnamed(name: Option<&str>) -> String {
    name.unwrap_or(UNNAMED_CLASS).to_owned()
}

/// A ring of coordinates, without its repeated last point.
fn native_ring(array: &dyn Array) -> Result<Ring, String> {
    let (x, y) = coordinates(array).map_err(|(_, problem)| problem)?;
    if !x.iter().chain(&y).all(|value| value.is_finite()) {
        return Err("place is empty or not finite".to_owned());
    }
    let mut ring: Ring = x.into_iter().zip(y).map(|(x, y)| euclid::point2(x, y)).collect();
    if ring.len() > 1 && ring.first() == ring.last() {
        ring.pop();
    }
    Ok(ring)
}

fn finite(place: f64) -> Result<f64, Result<Remark, String>> {
    if place.is_finite() { Ok(place) } else { Err(Err("place is empty or not finite".to_owned())) }
}

/// The bytes in one row of a column of any binary type.
fn binary(array: &dyn Array, row: usize) -> &[u8] {
    if let Some(small) = array.as_binary_opt::<i32>() {
        return small.value(row);
    }
    match array.as_binary_view_opt() {
        Some(view) => view.value(row),
        None => array.as_binary::<i64>().value(row),
    }
}

/// Any numeric column; rows without a value are NaN.
fn numbers(name: &str, array: &dyn Array) -> Result<Vec<f64>, Problem> {
    macro_rules! as_f64 {
        ($($kind:ty),*) => {
            $(if let Some(values) = array.as_primitive_opt::<$kind>() {
                return Ok(values.iter().map(|value| value.map_or(f64::NAN, |value| value as f64)).collect());
            })*
        };
    }
    as_f64!(Float32Type, Float64Type, UInt8Type, UInt16Type, UInt32Type, Int32Type, Int64Type);
    Err(unexpected(name, array, "numbers"))
}

fn unexpected(column: &str, array: &dyn Array, expected: &str) -> Problem {
    (format!("column {column}"), format!("holds {}, expected {expected}", array.data_type()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, DictionaryArray, Float32Array, Float64Array, UInt64Array};
    use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};

    use super::*;

    fn f32s(values: [f32; 2]) -> ArrayRef {
        Arc::new(Float32Array::from(values.to_vec()))
    }

    fn f64s(values: [Option<f64>; 2]) -> ArrayRef {
        Arc::new(Float64Array::from(values.to_vec()))
    }

    fn table() -> RecordBatch {
        let bbox = StructArray::try_from(vec![
            ("xmin", f32s([0.0, 10.0])),
            ("ymin", f32s([0.0, 10.0])),
            ("xmax", f32s([4.0, 20.0])),
            ("ymax", f32s([4.0, 20.0])),
        ])
        .unwrap();
        let names: DictionaryArray<UInt8Type> = vec!["tumour", "stroma"].into_iter().collect();
        RecordBatch::try_from_iter(vec![
            ("cell_id", Arc::new(UInt64Array::from(vec![7, 9])) as ArrayRef),
            ("class_name", Arc::new(names) as ArrayRef),
            ("score", f32s([0.5, 0.75])),
            ("x_px", f64s([Some(1.5), Some(15.0)])),
            ("y_px", f64s([Some(2.0), Some(15.0)])),
            ("bbox", Arc::new(bbox) as ArrayRef),
        ])
        .unwrap()
    }

    #[test]
    fn a_slide_partition_is_read_with_its_pixel_size() {
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join("cells/slide=site-a_001");
        std::fs::create_dir_all(&part).unwrap();
        let metadata = vec![KeyValue::new(
            "slidemill".to_owned(),
            r#"{"mpp_um_per_px":0.25,"class_names":["stroma"],
                "settings":{"min_score":"0.29","class_score":"tumour=0.4,stroma=0.2"}}"#
                .to_owned(),
        )];
        let properties = WriterProperties::builder().set_key_value_metadata(Some(metadata)).build();
        let file = File::create(part.join("part-0.parquet")).unwrap();
        let batch = table();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let [set, points] = [Detail::Boxes, Detail::Points].map(|detail| {
            let settings = ReadSettings { detail, ..ReadSettings::default() };
            super::super::read(folder.path(), &settings).unwrap().set
        });
        assert_eq!(
            (set.images[0].name.as_str(), set.images[0].mpp.map(Mpp::get)),
            ("site-a_001", Some(0.25))
        );
        assert_eq!(set.images[0].cut_at, Some(0.2));
        assert_eq!(set.objects[1].shape.area(), 100.0);
        assert_eq!(set.objects[1].class, ClassId(0));
        assert_eq!((set.objects[1].id, set.objects[1].score), (9, Some(0.75)));
        assert_eq!(set.class_name(set.objects[1].class), "stroma");
        assert_eq!(points.objects[0].shape, Shape::Point(euclid::point2(1.5, 2.0)));
    }

    #[test]
    fn a_table_of_something_else_is_refused() {
        let scores = Arc::new(Float32Array::from(vec![0.5])) as ArrayRef;
        let batch = RecordBatch::try_from_iter(vec![("score", scores)]).unwrap();
        assert!(Rows::new(&batch, Detail::Boxes).is_err());
    }

    #[test]
    fn an_empty_place_is_an_error_of_its_row() {
        let batch = RecordBatch::try_from_iter(vec![
            ("x_px", f64s([Some(1.0), None])),
            ("y_px", f64s([Some(1.0), Some(2.0)])),
        ])
        .unwrap();
        let mut set = ObjectSet::default();
        set.image_named("slide");
        let (place, problem) = add_batch(&mut set, &batch, 100, Detail::Points).unwrap_err();
        assert_eq!((place.as_str(), problem.as_str()), ("row 101", "place is empty or not finite"));
    }
}
