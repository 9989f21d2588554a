//! A column of a table, defined in one place: its name, type and meaning, its filling and its reading back.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, UInt16Type, UInt64Type};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, DictionaryArray, StringArray, UInt16Array};
use arrow_schema::{DataType, Field, Fields, Schema};
use wsi_types::{Level0Box, Level0Point};

use crate::{feature::Feature, id::whole_numbers, wkb};

/// A row of a table as it is read back: [`CellRow`](crate::CellRow) or [`RegionRow`](crate::RegionRow).
pub trait StoredRow: Default + Sized + 'static {
    /// Rows that become columns together.
    type Block<'a>;
    /// Name of the table in errors.
    const TABLE: &'static str;
    /// All columns of the table, in order.
    fn columns() -> Vec<Column<Self>>;
}

/// One column of a table of `R`.
pub struct Column<R: StoredRow> {
    pub(crate) name: &'static str,
    pub(crate) kind: DataType,
    pub(crate) nullable: bool,
    /// Feature that it belongs to; `None` for those that every table has.
    pub(crate) feature: Option<Feature>,
    pub(crate) about: &'static str,
    pub(crate) fill: fn(&R::Block<'_>) -> ArrayRef,
    /// Puts the values into as many rows; `None` when they are of another type.
    pub(crate) read: fn(&dyn Array, &mut [R]) -> Option<()>,
    /// The value of a row, of a column of numbers that rows can be chosen by.
    pub(crate) measure: Option<fn(&R) -> Option<f64>>,
    /// Option or model that its values need; `None` where every row has one.
    pub(crate) needs: Option<&'static str>,
}

impl<R: StoredRow> Column<R> {
    /// A column that has a value in every row.
    pub(crate) fn new(
        name: &'static str,
        kind: DataType,
        about: &'static str,
        fill: fn(&R::Block<'_>) -> ArrayRef,
        read: fn(&dyn Array, &mut [R]) -> Option<()>,
    ) -> Self {
        Self { name, kind, nullable: false, feature: None, about, fill, read, measure: None, needs: None }
    }

    /// The same column with gaps allowed.
    pub(crate) fn or_null(self) -> Self {
        Self { nullable: true, ..self }
    }

    /// The same column, only in tables with a feature: readers of others find it empty.
    pub(crate) fn only_with(self, feature: Feature) -> Self {
        Self { feature: Some(feature), needs: Some(feature.asked_with()), ..self.or_null() }
    }

    /// The same column, of numbers that rows can be chosen by; `of` gives the value of a row that was read back.
    pub(crate) fn measure(self, of: fn(&R) -> Option<f64>) -> Self {
        Self { measure: Some(of), ..self }
    }

    /// The same column, whose values are there only with an option, or of some models.
    pub(crate) fn needs(self, what: &'static str) -> Self {
        Self { needs: Some(what), ..self }
    }

    /// `true` if it is in tables with these features.
    pub(crate) fn is_in(&self, features: &[Feature]) -> bool {
        self.feature.is_none_or(|feature| features.contains(&feature))
    }

    fn field(&self) -> Field {
        let mut notes = vec![("description".to_owned(), self.about.to_owned())];
        if self.name == "geometry" {
            notes.push(("ARROW:extension:name".to_owned(), "geoarrow.wkb".to_owned()));
        }
        Field::new(self.name, self.kind.clone(), self.nullable).with_metadata(notes.into_iter().collect())
    }
}

/// The columns that every table of `R` has.
#[must_use]
pub fn schema_of<R: StoredRow>() -> Schema {
    let mut columns = R::columns();
    columns.retain(|column| column.is_in(&[]));
    schema_from(&columns)
}

/// The schema of a table with these columns.
pub(crate) fn schema_from<R: StoredRow>(columns: &[Column<R>]) -> Schema {
    Schema::new(columns.iter().map(Column::field).collect::<Fields>())
}

/// The columns of a table of `R` as a table in Markdown, for the manual.
#[must_use]
pub fn columns_as_markdown<R: StoredRow>() -> String {
    let mut text = "| column | type | meaning |\n| --- | --- | --- |\n".to_owned();
    for column in R::columns() {
        let null = if column.nullable { ", may be null" } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| `{}` | {}{null} | {} |",
            column.name,
            type_in_words(&column.kind),
            column.about
        );
    }
    text
}

fn type_in_words(kind: &DataType) -> String {
    match kind {
        DataType::UInt8 => "uint8".into(),
        DataType::UInt16 => "uint16".into(),
        DataType::UInt32 => "uint32".into(),
        DataType::UInt64 => "uint64".into(),
        DataType::Int32 => "int32".into(),
        DataType::Int64 => "int64".into(),
        DataType::Float32 => "float32".into(),
        DataType::Float64 => "float64".into(),
        DataType::Utf8 => "text".into(),
        DataType::Binary => "bytes".into(),
        DataType::Dictionary(_, value) => format!("{}, as a dictionary", type_in_words(value)),
        DataType::List(item) => format!("list of {}", type_in_words(item.data_type())),
        DataType::Struct(fields) => {
            let kind = fields.first().map_or_else(String::new, |field| type_in_words(field.data_type()));
            let names: Vec<_> = fields.iter().map(|field| format!("`{}`", field.name())).collect();
            format!("{kind} {}", names.join(", "))
        }
        other => other.to_string(),
    }
}

/// The type of texts of which a table has few.
pub(crate) fn repeated_text() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8))
}

/// A column that has the same text in each of its rows.
pub(crate) fn same_text(text: &str, rows: usize) -> ArrayRef {
    let values = Arc::new(StringArray::from_iter_values([text]));
    Arc::new(DictionaryArray::<UInt16Type>::new(UInt16Array::from_value(0, rows), values))
}

/// Checks only the type of a column of texts: a table is of one slide, which its header names.
pub(crate) fn texts<R>(array: &dyn Array, _: &mut [R]) -> Option<()> {
    let is_text = array.as_string_opt::<i32>().is_some();
    (is_text || array.as_dictionary_opt::<UInt16Type>().is_some()).then_some(())
}

/// Puts texts with gaps into rows.
pub(crate) fn texts_or_null<R>(
    array: &dyn Array,
    rows: &mut [R],
    put: impl Fn(&mut R, Option<String>),
) -> Option<()> {
    let texts = array.as_string_opt::<i32>()?;
    rows.iter_mut().zip(texts).for_each(|(row, text)| put(row, text.map(str::to_owned)));
    Some(())
}

/// Puts numbers without gaps into rows.
pub(crate) fn numbers<T: ArrowPrimitiveType, R>(
    array: &dyn Array,
    rows: &mut [R],
    put: impl Fn(&mut R, T::Native),
) -> Option<()> {
    let values = array.as_primitive_opt::<T>().filter(|values| values.null_count() == 0)?;
    rows.iter_mut().zip(values.values()).for_each(|(row, &value)| put(row, value));
    Some(())
}

/// Puts numbers with gaps into rows.
pub(crate) fn numbers_or_null<T: ArrowPrimitiveType, R>(
    array: &dyn Array,
    rows: &mut [R],
    put: impl Fn(&mut R, Option<T::Native>),
) -> Option<()> {
    rows.iter_mut().zip(array.as_primitive_opt::<T>()?).for_each(|(row, value)| put(row, value));
    Some(())
}

/// Puts ids or counts into rows.
pub(crate) fn whole<R>(array: &dyn Array, rows: &mut [R], put: impl Fn(&mut R, u64)) -> Option<()> {
    numbers::<UInt64Type, R>(&whole_numbers(array)?, rows, put)
}

/// Puts ids with gaps into rows.
pub(crate) fn whole_or_null<R>(
    array: &dyn Array,
    rows: &mut [R],
    put: impl Fn(&mut R, Option<u64>),
) -> Option<()> {
    numbers_or_null::<UInt64Type, R>(&whole_numbers(array)?, rows, put)
}

/// Puts lists of counts into rows.
pub(crate) fn whole_lists<R>(
    array: &dyn Array,
    rows: &mut [R],
    put: impl Fn(&mut R, Vec<u64>),
) -> Option<()> {
    let lists = array.as_list_opt::<i32>()?;
    let values = whole_numbers(lists.values())?;
    put_lists(lists.value_offsets(), values.values(), rows, put)
}

/// Puts lists of numbers without gaps into rows.
pub(crate) fn lists<T: ArrowPrimitiveType, R>(
    array: &dyn Array,
    rows: &mut [R],
    put: impl Fn(&mut R, Vec<T::Native>),
) -> Option<()> {
    let lists = array.as_list_opt::<i32>()?;
    put_lists(lists.value_offsets(), lists.values().as_primitive_opt::<T>()?.values(), rows, put)
}

fn put_lists<T: Clone, R>(
    offsets: &[i32],
    values: &[T],
    rows: &mut [R],
    put: impl Fn(&mut R, Vec<T>),
) -> Option<()> {
    for (row, ends) in rows.iter_mut().zip(offsets.windows(2)) {
        put(row, values[ends[0] as usize..ends[1] as usize].to_vec());
    }
    Some(())
}

/// Puts measures without gaps into rows.
pub(crate) fn f32s<R>(array: &dyn Array, rows: &mut [R], put: impl Fn(&mut R, f32)) -> Option<()> {
    numbers::<Float32Type, R>(array, rows, put)
}

/// Puts measures with gaps into rows.
pub(crate) fn f32s_or_null<R>(
    array: &dyn Array,
    rows: &mut [R],
    put: impl Fn(&mut R, Option<f32>),
) -> Option<()> {
    numbers_or_null::<Float32Type, R>(array, rows, put)
}

/// Puts measures of double precision into rows.
pub(crate) fn f64s<R>(array: &dyn Array, rows: &mut [R], put: impl Fn(&mut R, f64)) -> Option<()> {
    numbers::<Float64Type, R>(array, rows, put)
}

/// The same with gaps.
pub(crate) fn f64s_or_null<R>(
    array: &dyn Array,
    rows: &mut [R],
    put: impl Fn(&mut R, Option<f64>),
) -> Option<()> {
    numbers_or_null::<Float64Type, R>(array, rows, put)
}

/// Puts boxes of the column `bbox` into rows.
pub(crate) fn boxes<R>(array: &dyn Array, rows: &mut [R], put: impl Fn(&mut R, Level0Box)) -> Option<()> {
    let [xmin, ymin, xmax, ymax] = array.as_struct_opt()?.columns() else { return None };
    let mut sides = [&[][..]; 4];
    for (side, column) in sides.iter_mut().zip([xmin, ymin, xmax, ymax]) {
        *side = column.as_primitive_opt::<Float32Type>()?.values();
    }
    for (index, row) in rows.iter_mut().enumerate() {
        let [xmin, ymin, xmax, ymax] = sides.map(|side| f64::from(side[index]));
        put(row, Level0Box::new(Level0Point::new(xmin, ymin), Level0Point::new(xmax, ymax)));
    }
    Some(())
}

/// Puts the rings of WKB polygons into rows.
pub(crate) fn polygons<R>(
    array: &dyn Array,
    rows: &mut [R],
    put: impl Fn(&mut R, Vec<Vec<Level0Point>>),
) -> Option<()> {
    for (row, bytes) in rows.iter_mut().zip(array.as_binary_opt::<i32>()?) {
        put(row, wkb::rings(bytes?).ok()?);
    }
    Some(())
}
