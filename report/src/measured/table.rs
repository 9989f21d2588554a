//! `OUT/measures.csv` and `OUT/measures.parquet`: a line for each slide, measure, place and scheme of grades.

use std::{
    cell::Cell,
    fs::{self, File},
    io,
    path::Path,
    sync::Arc,
};

use arrow_array::{
    Array as _, ArrayRef, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
    types::UInt32Type,
};
use dataset::Dataset;
use measures::{FieldShape, Measures};
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    errors::ParquetError,
    file::{metadata::KeyValue, properties::WriterProperties},
};

use super::{
    definition::Definition,
    line::{Graded, Measured},
    slides::{MeasuredSlide, MeasuredSlides, measured_slides},
};
use crate::{
    error::ReportError,
    sheet::{self, SheetColumn},
};

/// One line of the tables.
struct Line<'a> {
    id: &'a str,
    slide: &'a MeasuredSlide,
    of: &'a Measured,
    graded: Option<&'a Graded>,
}

/// Names of the tables, as they lie under `OUT`.
const CSV: &str = "measures.csv";
const PARQUET: &str = "measures.parquet";
/// Key of the definition in the metadata.
const DEFINITION: &str = "measures";

/// Writes both tables.
///
/// # Errors
///
/// When one cannot be written.
pub(crate) fn write_measures(dataset: &Dataset, measured: &MeasuredSlides) -> Result<(), ReportError> {
    let text = Definition::read(dataset)?.map(|definition| definition.text().to_owned()).unwrap_or_default();
    write_one(dataset, CSV, measured, csv)?;
    write_one(dataset, PARQUET, measured, |lines| {
        parquet(lines, &text).map_err(|error| ReportError::encode("the measures", &error))
    })
}

/// Slides that another job ended meanwhile are measured too.
fn write_one(
    dataset: &Dataset,
    name: &str,
    measured: &MeasuredSlides,
    encode: impl Fn(&[Line<'_>]) -> Result<Vec<u8>, ReportError>,
) -> Result<(), ReportError> {
    let path = dataset.root().join(name);
    let at_hand = Cell::new(Some(measured));
    let make = || match at_hand.take() {
        Some(measured) => encode(&lines(&names(measured))),
        None => encode(&lines(&names(&measured_slides(dataset)?.unwrap_or_default()))),
    };
    dataset.write_current(&path, make)?.map_err(|reason| ReportError::write("the measures", reason, path))
}

/// Ids in words, each with its measures.
fn names(measured: &MeasuredSlides) -> Vec<(String, &MeasuredSlide)> {
    measured.iter().map(|(id, slide)| (id.to_string(), slide)).collect()
}

fn lines<'a>(slides: &'a [(String, &'a MeasuredSlide)]) -> Vec<Line<'a>> {
    slides.iter().flat_map(|(id, slide)| lines_of(id, slide)).collect()
}

/// Removes the tables of measures that nobody asks for any more.
///
/// # Errors
///
/// When one is there and cannot be removed.
pub(crate) fn remove_measures(dataset: &Dataset) -> Result<(), ReportError> {
    for name in [CSV, PARQUET] {
        let path = dataset.root().join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ReportError::write("the measures", error, path));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A measure in one place of one slide, as [`write_measures`] wrote it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MeasureLine {
    pub(crate) slide: String,
    pub(crate) measure: String,
    pub(crate) place: String,
    pub(crate) unit: String,
    pub(crate) cells: Option<u64>,
    pub(crate) others: Option<u64>,
    /// Of an H-score: cells of 2+ and more, and of 3+.
    pub(crate) stronger: Option<[u64; 2]>,
    pub(crate) value: Option<f64>,
    pub(crate) area_mm2: Option<f64>,
    pub(crate) note: Option<String>,
}

impl MeasureLine {
    /// `true` if another line is about the same measure in the same place.
    fn is_of_same(&self, other: &Self) -> bool {
        (&self.slide, &self.measure, &self.place) == (&other.slide, &other.measure, &other.place)
    }
}

/// The table of measures, and the definition that it was made by.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct StoredMeasures {
    pub(crate) definition: Measures,
    /// Each measure once, however many schemes of grades it has.
    pub(crate) lines: Vec<MeasureLine>,
}

/// Reads the measures of a dataset back; none where there is no table.
///
/// # Errors
///
/// When the table cannot be read.
pub(crate) fn read_measures(dataset: &Dataset) -> Result<StoredMeasures, ReportError> {
    let path = dataset.root().join(PARQUET);
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(StoredMeasures::default()),
        opened => opened,
    };
    let read = file.map_err(ParquetError::from).and_then(read_stored);
    let (text, lines) =
        read.map_err(|error| ReportError::MeasureTable { reason: error.to_string(), path: path.clone() })?;
    Ok(StoredMeasures { definition: definition_in(text, &path)?, lines })
}

/// The definition in the metadata of a table; that of nothing where they have none.
fn definition_in(text: Option<String>, path: &Path) -> Result<Measures, ReportError> {
    let definition = text.map(|text| Definition::new(text, path)).transpose()?;
    Ok(definition.map_or_else(Measures::default, Definition::into_measures))
}

/// The text of the definition, and the lines.
fn read_stored(file: File) -> Result<(Option<String>, Vec<MeasureLine>), ParquetError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let facts = reader.metadata().file_metadata().key_value_metadata();
    let definition = facts.into_iter().flatten().find(|fact| fact.key == DEFINITION);
    let text = definition.and_then(|fact| fact.value.clone()).filter(|text| !text.is_empty());
    let mut lines: Vec<MeasureLine> = Vec::new();
    for batch in reader.build()? {
        let batch = Stored(batch?);
        for row in 0..batch.0.num_rows() {
            let line = batch.line(row)?;
            if !lines.last().is_some_and(|last| last.is_of_same(&line)) {
                lines.push(line);
            }
        }
    }
    Ok((text, lines))
}

/// Rows of the table.
struct Stored(RecordBatch);

impl Stored {
    fn line(&self, row: usize) -> Result<MeasureLine, ParquetError> {
        let slides: &DictionaryArray<UInt32Type> = self.column("slide_id")?;
        let names = slides.values().as_any().downcast_ref::<StringArray>();
        let names = names.ok_or_else(|| another_type("slide_id"))?;
        let slide = slides.key(row).map(|key| names.value(key));
        Ok(MeasureLine {
            slide: slide.unwrap_or_default().to_owned(),
            measure: self.text("measure", row)?,
            place: self.text("place", row)?,
            unit: self.text("unit", row)?,
            cells: self.count("cells", row)?,
            others: self.count("others", row)?,
            stronger: self.stronger(row)?,
            value: self.number("value", row)?,
            area_mm2: self.number("area_mm2", row)?,
            note: self.note(row)?,
        })
    }

    fn text(&self, name: &str, row: usize) -> Result<String, ParquetError> {
        let texts: &StringArray = self.column(name)?;
        Ok(texts.value(row).to_owned())
    }

    fn number(&self, name: &str, row: usize) -> Result<Option<f64>, ParquetError> {
        let numbers: &Float64Array = self.column(name)?;
        Ok(numbers.is_valid(row).then(|| numbers.value(row)))
    }

    fn count(&self, name: &str, row: usize) -> Result<Option<u64>, ParquetError> {
        let counts: &Int64Array = self.column(name)?;
        Ok(counts.is_valid(row).then(|| counts.value(row).cast_unsigned()))
    }

    /// `None` also for tables of versions that did not store them.
    fn stronger(&self, row: usize) -> Result<Option<[u64; 2]>, ParquetError> {
        if self.0.column_by_name(MODERATE).is_none() {
            return Ok(None);
        }
        let (moderate, strong) = (self.count(MODERATE, row)?, self.count(STRONG, row)?);
        Ok(moderate.zip(strong).map(<[u64; 2]>::from))
    }

    fn note(&self, row: usize) -> Result<Option<String>, ParquetError> {
        let notes: &StringArray = self.column("note")?;
        Ok(notes.is_valid(row).then(|| notes.value(row).to_owned()))
    }

    fn column<A: 'static>(&self, name: &str) -> Result<&A, ParquetError> {
        let column = self.0.column_by_name(name).and_then(|column| column.as_any().downcast_ref());
        column.ok_or_else(|| another_type(name))
    }
}

fn another_type(column: &str) -> ParquetError {
    ParquetError::General(format!("it has no column {column:?}, or one of another type than was written"))
}

/// A line for each scheme of grades, or one without.
fn lines_of<'a>(id: &'a str, slide: &'a MeasuredSlide) -> impl Iterator<Item = Line<'a>> {
    slide.lines.iter().flat_map(move |of| {
        let bare = of.grades.is_empty().then_some(None);
        bare.into_iter().chain(of.grades.iter().map(Some)).map(move |graded| Line { id, slide, of, graded })
    })
}

/// The part of a line that goes into a column of texts, numbers or counts.
type Text = for<'a> fn(&Line<'a>) -> Option<&'a str>;
type Number = fn(&Line<'_>) -> Option<f64>;
type Count = fn(&Line<'_>) -> Option<u64>;

const TEXTS_BEFORE: [(&str, Text); 3] = [
    ("measure", |line| Some(line.of.name.as_str())),
    ("place", |line| Some(line.of.place.as_str())),
    ("unit", |line| Some(line.of.unit.as_str())),
];
/// An interval without upper end has none: some readers know no infinity.
const NUMBERS: [(&str, Number); 8] = [
    ("value", |line| line.of.value),
    ("low", |line| line.of.interval.map(|(low, _)| low)),
    ("high", |line| line.of.interval.map(|(_, high)| high).filter(|high| high.is_finite())),
    ("area_mm2", |line| line.of.area_mm2),
    ("x_px", |line| line.of.field.map(|field| field.centre.x)),
    ("y_px", |line| line.of.field.map(|field| field.centre.y)),
    ("reach_px", |line| line.of.field.map(|field| field.reach_px)),
    ("field_share", |line| line.of.field.map(|field| field.share)),
];
const TEXTS_AFTER: [(&str, Text); 10] = [
    ("shape", |line| line.of.field.map(|field| shape(field.shape))),
    ("scheme", |line| line.graded.map(|graded| graded.scheme.as_str())),
    ("grade", |line| line.graded.and_then(|graded| graded.grade.as_deref())),
    ("grade_low", |line| line.graded.and_then(|graded| Some(graded.interval.as_ref()?.0.as_str()))),
    ("grade_high", |line| line.graded.and_then(|graded| Some(graded.interval.as_ref()?.1.as_str()))),
    ("source", |line| line.graded.map(|graded| graded.source.as_str())),
    ("problem", |line| line.of.problem.as_deref()),
    ("note", |line| line.of.note.as_deref()),
    ("outcome", |line| Some(line.slide.outcome.key())),
    ("doubts", |line| line.slide.doubts.as_deref()),
];
const COUNTS: [(&str, Count); 2] = [("cells", |line| line.of.cells), ("others", |line| line.of.others)];
/// Of H-scores.
const COUNTS_OF_STRENGTH: [(&str, Count); 2] = [
    (MODERATE, |line| line.of.stronger.map(|[moderate, _]| moderate)),
    (STRONG, |line| line.of.stronger.map(|[_, strong]| strong)),
];
const MODERATE: &str = "cells_2plus";
const STRONG: &str = "cells_3plus";

fn shape(shape: FieldShape) -> &'static str {
    match shape {
        FieldShape::Circle => "circle",
        FieldShape::Square => "square",
    }
}

/// Decimals of values and places.
const DECIMALS: usize = 6;

fn csv(lines: &[Line<'_>]) -> Result<Vec<u8>, ReportError> {
    let text = |(name, of): (&str, Text)| SheetColumn::texts(name, lines.iter().map(of));
    let count = |(name, of): (&str, Count)| SheetColumn::counts(name, lines.iter().map(of));
    let number = |(name, of): (&str, Number)| SheetColumn::numbers(name, lines.iter().map(of), DECIMALS);
    let mut columns = vec![SheetColumn::texts("slide_id", lines.iter().map(|line| Some(line.id)))];
    columns.extend(TEXTS_BEFORE.map(text));
    columns.extend(COUNTS.map(count));
    columns.extend(NUMBERS.map(number));
    columns.extend(COUNTS_OF_STRENGTH.map(count));
    columns.extend(TEXTS_AFTER.map(text));
    sheet::csv("the measures", &columns)
}

/// Its metadata hold the definition, so that the table says what it was made with.
fn parquet(lines: &[Line<'_>], definition: &str) -> Result<Vec<u8>, ParquetError> {
    let slides: DictionaryArray<UInt32Type> = lines.iter().map(|line| Some(line.id)).collect();
    let mut columns: Vec<(&str, ArrayRef, bool)> = vec![("slide_id", Arc::new(slides), false)];
    columns.extend(TEXTS_BEFORE.map(|(name, of)| (name, texts(of, lines), true)));
    columns.extend(COUNTS.map(|(name, of)| (name, counts(of, lines), true)));
    columns.extend(NUMBERS.map(|(name, of)| {
        (name, Arc::new(lines.iter().map(of).collect::<Float64Array>()) as ArrayRef, true)
    }));
    columns.extend(COUNTS_OF_STRENGTH.map(|(name, of)| (name, counts(of, lines), true)));
    columns.extend(TEXTS_AFTER.map(|(name, of)| (name, texts(of, lines), true)));
    let batch = RecordBatch::try_from_iter_with_nullable(columns)?;
    let facts = [
        (DEFINITION, definition.to_owned()),
        ("interval", "0.95".to_owned()),
        ("slidemill", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let facts = facts.map(|(name, value)| KeyValue::new(name.to_owned(), value)).to_vec();
    let properties = WriterProperties::builder().set_key_value_metadata(Some(facts)).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(bytes)
}

fn counts(of: Count, lines: &[Line<'_>]) -> ArrayRef {
    Arc::new(lines.iter().map(|line| of(line).map(u64::cast_signed)).collect::<Int64Array>())
}

fn texts(of: Text, lines: &[Line<'_>]) -> ArrayRef {
    Arc::new(lines.iter().map(of).collect::<StringArray>())
}

#[cfg(test)]
mod tests {
    use dataset::Outcome;

    use super::*;

    fn graded(scheme: &str) -> Graded {
        Graded {
            scheme: scheme.into(),
            grade: Some("G2".into()),
            interval: Some(("G1".into(), "G2".into())),
            source: "a book".into(),
        }
    }

    #[test]
    fn each_scheme_has_a_line_and_what_failed_says_why() {
        let share = Measured {
            cells: Some(30),
            others: Some(100),
            stronger: Some([20, 10]),
            value: Some(0.3),
            interval: Some((0.25, f64::INFINITY)),
            grades: vec![graded("one"), graded("two")],
            problem: None,
            note: Some("they overlap".into()),
            ..Measured::problem("Ki-67", "share".into(), "slide".into(), String::new())
        };
        let none = Measured::problem("mitoses", "per mm²".into(), "slide".into(), "no class".into());
        let doubts = Some("its scale".to_owned());
        let measured = MeasuredSlide { outcome: Outcome::Partial, doubts, lines: vec![share, none] };
        let lines: Vec<_> = lines_of("s1", &measured).collect();
        let text = String::from_utf8(csv(&lines).unwrap()).unwrap();
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows.len(), 4);
        assert!(
            rows[0].starts_with("slide_id,measure,place,unit,cells,others,value,low,high,area_mm2"),
            "{text}"
        );
        assert!(rows[2].starts_with("s1,Ki-67,slide,share,30,100,0.300000,0.250000,,"), "{text}");
        assert!(rows[2].contains(",two,G2,G1,G2,a book,,they overlap,partial,its scale"), "{text}");
        assert!(rows[3].ends_with(",no class,,partial,its scale"), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::at(folder.path());
        assert_eq!(read_measures(&dataset).unwrap(), StoredMeasures::default());
        let text = "[[index]]\nname = \"Ki-67\"\nof = {}\nper-mm2 = 2\n";
        fs::write(folder.path().join(PARQUET), parquet(&lines, text).unwrap()).unwrap();
        let read = read_measures(&dataset).unwrap();
        let told = read
            .lines
            .iter()
            .map(|line| (line.slide.as_str(), line.measure.as_str(), line.cells, line.others, line.value));
        let expected = [("s1", "Ki-67", Some(30), Some(100), Some(0.3)), ("s1", "mitoses", None, None, None)];
        assert_eq!(told.collect::<Vec<_>>(), expected, "each once");
        let more = read.lines.iter().map(|line| (line.stronger, line.note.as_deref()));
        assert_eq!(more.collect::<Vec<_>>(), [(Some([20, 10]), Some("they overlap")), (None, None)]);
        assert_eq!(read.definition, Measures::from_toml(text).unwrap());
        fs::write(folder.path().join(PARQUET), parquet(&lines, "").unwrap()).unwrap();
        assert_eq!(read_measures(&dataset).unwrap().definition, Measures::default());
        fs::write(folder.path().join(PARQUET), "no table").unwrap();
        assert!(read_measures(&dataset).unwrap_err().to_string().contains("measures"));
    }
}
