//! Reads tables of cells and regions back, batch by batch: memory for one batch, for a slide of any size.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use wsi_types::{Level0Box, Level0Point, Mpp, wording::counted};

use crate::MergeError;
use crate::class_names::ClassNames;
use crate::column::{Column, StoredRow};

/// Rows per batch, unless the settings give another number.
pub const ROWS_PER_BATCH: usize = 8192;

/// Facts noted of a table's making, by name.
pub type Provenance = serde_json::Map<String, serde_json::Value>;

/// Facts in a table's metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct TableHeader {
    /// The slide's id in the dataset.
    pub slide_id: String,
    /// µm per level-0 px.
    pub mpp: Mpp,
    /// Names of the model's classes.
    pub class_names: ClassNames,
    /// Rows in the table.
    pub rows: u64,
    /// Box of each row group's rows, in level-0 px.
    pub row_group_bounds: Vec<Level0Box>,
    /// All facts noted of its making, these included.
    pub provenance: Provenance,
    columns: Vec<String>,
}

impl TableHeader {
    /// `true` if the table has a column: some are there only where they were asked for.
    #[must_use]
    pub fn has_column(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column == name)
    }

    fn parse(text: &str, columns: Vec<String>) -> Result<Self, String> {
        let provenance: Provenance =
            serde_json::from_str(text).map_err(|error| format!("has bad metadata: {error}"))?;
        let names: Vec<String> = serde_json::from_value(fact(&provenance, "class_names")?.clone())
            .map_err(|_| wrong("class_names"))?;
        let bounds: Vec<[f64; 4]> = serde_json::from_value(fact(&provenance, "row_group_bounds_px")?.clone())
            .map_err(|_| wrong("row_group_bounds_px"))?;
        let mpp = fact(&provenance, "mpp_um_per_px")?.as_f64().and_then(|mpp| Mpp::new(mpp).ok());
        Ok(Self {
            slide_id: fact(&provenance, "slide_id")?.as_str().ok_or_else(|| wrong("slide_id"))?.to_owned(),
            mpp: mpp.ok_or_else(|| wrong("mpp_um_per_px"))?,
            class_names: ClassNames::new(names),
            rows: fact(&provenance, "rows")?.as_u64().ok_or_else(|| wrong("rows"))?,
            row_group_bounds: bounds.into_iter().map(box_from).collect(),
            provenance,
            columns,
        })
    }
}

/// One of the facts that each of our tables notes.
fn fact<'p>(provenance: &'p Provenance, name: &str) -> Result<&'p serde_json::Value, String> {
    provenance.get(name).ok_or_else(|| format!("has no {name:?} in its metadata"))
}

fn wrong(name: &str) -> String {
    format!("has a wrong {name:?} in its metadata")
}

fn box_from([xmin, ymin, xmax, ymax]: [f64; 4]) -> Level0Box {
    Level0Box::new(Level0Point::new(xmin, ymin), Level0Point::new(xmax, ymax))
}

/// Parts of a table to read.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ReadSettings<'a> {
    /// Names of the columns; `None` for all. Fields of columns that are not read are as in a row's
    /// [`Default`].
    pub columns: Option<&'a [&'a str]>,
    /// Part of level 0: row groups that do not reach into it are skipped. The others may hold rows outside of
    /// it too.
    pub within: Option<Level0Box>,
    /// Most rows in a batch; `None` for [`ROWS_PER_BATCH`].
    pub rows_per_batch: Option<usize>,
}

/// Hands out the rows of a table, batch by batch in their order. Not more than one
/// batch, and the row group that it is from, is held at a time.
///
/// ```no_run
/// use merger::{CellReader, ReadSettings};
///
/// let settings = ReadSettings { columns: Some(&["score", "area_um2"]), ..ReadSettings::default() };
/// let reader = CellReader::open("OUT/cells/slide=s1/part-0.parquet".as_ref(), settings)?;
/// println!("{} cells of slide {}", reader.header().rows, reader.header().slide_id);
/// for cells in reader {
///     for cell in cells? {
///         println!("{:.2} {:.1} µm²", cell.score, cell.area_um2);
///     }
/// }
/// # Ok::<(), merger::MergeError>(())
/// ```
pub struct TableReader<R: StoredRow> {
    header: TableHeader,
    columns: Arc<[Column<R>]>,
    batches: ParquetRecordBatchReader,
}

/// Rows of a table that are decompressed, but not converted yet: the slower step, which several threads can
/// do at the same time.
pub struct RowBatch<R: StoredRow> {
    columns: Arc<[Column<R>]>,
    batch: RecordBatch,
}

impl<R: StoredRow> RowBatch<R> {
    /// The rows, in the table's order.
    ///
    /// # Errors
    ///
    /// [`MergeError::BadTable`] when a column is not of our type.
    pub fn rows(&self) -> Result<Vec<R>, MergeError> {
        let mut rows = Vec::new();
        rows.resize_with(self.batch.num_rows(), R::default);
        for column in self.columns.iter() {
            // A table of an older version lacks some of the columns that may be null.
            let Some(array) = self.batch.column_by_name(column.name) else { continue };
            (column.read)(array.as_ref(), &mut rows).ok_or_else(|| {
                let (name, found) = (column.name, array.data_type());
                bad::<R>(format!("has a column {name:?} that cannot be read as ours, of type {found}"))
            })?;
        }
        Ok(rows)
    }
}

impl<R: StoredRow> TableReader<R> {
    /// Opens a table.
    ///
    /// # Errors
    ///
    /// [`MergeError::OpenTable`] when the file cannot be opened, [`MergeError::BadTable`] when it is not a
    /// table of this kind of ours or `settings` name a column that such tables do not have.
    pub fn open(path: &Path, settings: ReadSettings<'_>) -> Result<Self, MergeError> {
        let file = File::open(path).map_err(|reason| MergeError::OpenTable { table: R::TABLE, reason })?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(|error| bad::<R>(format!("is not Parquet: {error}")))?;
        let header = header_of(&builder).map_err(bad::<R>)?;
        let columns = wanted::<R>(settings.columns)?;
        for column in columns.iter().filter(|column| !column.nullable) {
            if builder.schema().field_with_name(column.name).is_err() {
                return Err(bad::<R>(format!("has no column {:?}", column.name)));
            }
        }
        let names = columns.iter().map(|column| column.name);
        let mask = ProjectionMask::columns(builder.parquet_schema(), names);
        let groups = row_groups(&builder, &header, settings.within);
        let rows = settings.rows_per_batch.unwrap_or(ROWS_PER_BATCH);
        let builder = builder.with_projection(mask).with_batch_size(rows).with_row_groups(groups);
        let batches = builder.build().map_err(|error| bad::<R>(format!("cannot be read: {error}")))?;
        Ok(Self { header, columns: columns.into(), batches })
    }

    /// The facts in the table's metadata.
    #[must_use]
    pub fn header(&self) -> &TableHeader {
        &self.header
    }

    /// The next rows, not converted yet.
    pub fn next_batch(&mut self) -> Option<Result<RowBatch<R>, MergeError>> {
        let batch = self.batches.next()?.map_err(|error| bad::<R>(format!("is broken: {error}")));
        Some(batch.map(|batch| RowBatch { columns: Arc::clone(&self.columns), batch }))
    }
}

impl<R: StoredRow> Iterator for TableReader<R> {
    type Item = Result<Vec<R>, MergeError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.next_batch()?.and_then(|batch| batch.rows()))
    }
}

fn bad<R: StoredRow>(problem: String) -> MergeError {
    MergeError::BadTable { table: R::TABLE, problem }
}

fn header_of(builder: &ParquetRecordBatchReaderBuilder<File>) -> Result<TableHeader, String> {
    let metadata = builder.metadata().file_metadata();
    let entries = metadata.key_value_metadata().into_iter().flatten();
    let ours = entries.filter(|entry| entry.key == "slidemill").find_map(|entry| entry.value.as_deref());
    let columns = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    let header = TableHeader::parse(ours.ok_or("was not written by slidemill")?, columns)?;
    if u64::try_from(metadata.num_rows()) != Ok(header.rows) {
        return Err(format!(
            "has {}, expected {}",
            counted(metadata.num_rows() as usize, "row"),
            header.rows
        ));
    }
    Ok(header)
}

fn wanted<R: StoredRow>(names: Option<&[&str]>) -> Result<Vec<Column<R>>, MergeError> {
    let mut columns = R::columns();
    if let Some(names) = names {
        if let Some(name) = names.iter().find(|&&name| columns.iter().all(|column| column.name != name)) {
            return Err(bad::<R>(format!("never has a column {name:?}")));
        }
        columns.retain(|column| names.contains(&column.name));
    }
    Ok(columns)
}

fn row_groups(
    builder: &ParquetRecordBatchReaderBuilder<File>,
    header: &TableHeader,
    within: Option<Level0Box>,
) -> Vec<usize> {
    let all = 0..builder.metadata().num_row_groups();
    let bounds = &header.row_group_bounds;
    match within {
        Some(area) if bounds.len() == all.len() => {
            all.filter(|&group| touches(&bounds[group], &area)).collect()
        }
        _ => all.collect(),
    }
}

/// `true` if two boxes share a point. Boxes that share a border touch too: a cell may be a point.
fn touches(a: &Level0Box, b: &Level0Box) -> bool {
    a.min.x <= b.max.x && b.min.x <= a.max.x && a.min.y <= b.max.y && b.min.y <= a.max.y
}
