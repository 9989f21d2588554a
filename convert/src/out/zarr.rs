//! Arrays of Zarr version 3 on the disk, written row by row: one chunk is in memory.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

/// Rows in a chunk.
pub(crate) const CHUNK_ROWS: u64 = 65_536;
/// Packs numbers to about half; more effort gains little.
const EFFORT: i32 = 3;

/// A group with attributes.
pub(crate) fn group(folder: &Path, attributes: Value) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    write_json(folder, &json!({"zarr_format": 3, "node_type": "group", "attributes": attributes}))
}

/// One text, as an array without axes.
pub(crate) fn text(folder: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("c"), texts_chunk(&[text], 1))?;
    let attributes = json!({"encoding-type": "string", "encoding-version": "0.2.0"});
    write_json(
        folder,
        &about(
            &[],
            &[],
            "string",
            json!(""),
            json!([{"name": "vlen-utf8", "configuration": {}}]),
            attributes,
        ),
    )
}

/// Type of the items of an array.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Items {
    Float32,
    Float64,
    Int16,
    Int64,
    /// Already length and bytes each.
    Text,
}

impl Items {
    fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::Int16 => "int16",
            Self::Int64 => "int64",
            Self::Text => "string",
        }
    }

    /// Bytes of an item that is not there: nothing of a text but its length.
    fn bytes(self) -> usize {
        match self {
            Self::Int16 => 2,
            Self::Float32 | Self::Text => 4,
            Self::Float64 | Self::Int64 => 8,
        }
    }

    fn codecs(self) -> Value {
        let packed = json!({"name": "zstd", "configuration": {"level": EFFORT, "checksum": false}});
        match self {
            Self::Text => json!([{"name": "vlen-utf8", "configuration": {}}, packed]),
            _ => json!([{"name": "bytes", "configuration": {"endian": "little"}}, packed]),
        }
    }
}

/// An array that grows by rows.
pub(crate) struct Array {
    folder: PathBuf,
    items: Items,
    /// Items in a row; `None` for an array of one axis.
    width: Option<u64>,
    /// Of the chunk that is not full yet.
    bytes: Vec<u8>,
    rows_held: u64,
    rows: u64,
}

impl Array {
    /// An empty one in `folder`, which is made.
    pub(crate) fn begin(folder: &Path, items: Items, width: Option<u64>) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned(), items, width, bytes: Vec::new(), rows_held: 0, rows: 0 })
    }

    /// Adds a row, its items little-endian; a text as [`text_item`] gives it.
    pub(crate) fn push(&mut self, row: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(row);
        self.rows_held += 1;
        if self.rows_held == CHUNK_ROWS { self.put_chunk() } else { Ok(()) }
    }

    /// Writes what is held, and what the array is.
    pub(crate) fn finish(mut self, attributes: Value) -> io::Result<()> {
        if self.rows_held > 0 {
            self.put_chunk()?;
        }
        let widths = self.width.as_slice();
        let shape = [&[self.rows], widths].concat();
        let chunk = [&[CHUNK_ROWS], widths].concat();
        let fill = if matches!(self.items, Items::Text) { json!("") } else { json!(0) };
        write_json(
            &self.folder,
            &about(&shape, &chunk, self.items.name(), fill, self.items.codecs(), attributes),
        )
    }

    /// Chunks are whole: what is beyond the end is nothing.
    fn put_chunk(&mut self) -> io::Result<()> {
        let missing = (CHUNK_ROWS - self.rows_held) * self.width.unwrap_or(1);
        self.bytes.resize(self.bytes.len() + missing as usize * self.items.bytes(), 0);
        let mut whole = Vec::new();
        if matches!(self.items, Items::Text) {
            whole.extend((CHUNK_ROWS as u32).to_le_bytes());
        }
        whole.append(&mut self.bytes);
        let number = (self.rows / CHUNK_ROWS).to_string();
        let place = self.folder.join("c").join(&number);
        let file = if self.width.is_some() { place.join("0") } else { place };
        fs::create_dir_all(file.parent().unwrap_or(&self.folder))?;
        fs::File::create(file)?.write_all(&zstd::bulk::compress(&whole, EFFORT)?)?;
        self.rows += self.rows_held;
        self.rows_held = 0;
        Ok(())
    }
}

/// A text as an item: its length, then its bytes.
pub(crate) fn text_item(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

/// A short list of texts as an array of one chunk.
pub(crate) fn texts<'a>(
    folder: &Path,
    texts: impl Iterator<Item = &'a str>,
    attributes: Value,
) -> io::Result<()> {
    let mut array = Array::begin(folder, Items::Text, None)?;
    for text in texts {
        array.push(&text_item(text))?;
    }
    array.finish(attributes)
}

fn texts_chunk(texts: &[&str], count: u32) -> Vec<u8> {
    let mut bytes = count.to_le_bytes().to_vec();
    texts.iter().for_each(|text| bytes.extend(text_item(text)));
    bytes
}

fn about(shape: &[u64], chunk: &[u64], kind: &str, fill: Value, codecs: Value, attributes: Value) -> Value {
    json!({
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": kind,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill, "codecs": codecs, "attributes": attributes, "storage_transformers": [],
    })
}

fn write_json(folder: &Path, value: &Value) -> io::Result<()> {
    fs::write(folder.join("zarr.json"), serde_json::to_vec_pretty(value)?)
}
