//! The pages of a dataset as a folder that opens by double click, without a server.
//!
//! Pages from a disk may not fetch files, but may load pictures and scripts: so pixels are files, and
//! everything else is scripts that hold the answers of a server.
//!
//! ```text
//! index.html, page.js, style.css, openseadragon.js   the page
//! data.js                                            its JSON answers, and the worker's text
//! slide/<id>/pixels/<level>/<column>_<row>.jpg       tiles as a server gives them
//! slide/<id>/cells.sha256                            the hash of the table that they were made from
//! slide/<id>/tiles/<band>/<index>.js                 tiles of cells, in base64
//! ```

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::{ViewError, page, site::Site};

/// Number of tiles of a level that are read to estimate the size of all.
const SAMPLE: u64 = 160;
/// Bytes of the page without any slide, approximately.
const PAGE_BYTES: u64 = 450_000;

/// Size of an export before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExportSize {
    /// Files.
    pub files: u64,
    /// Their bytes, estimated from a sample of the tiles.
    pub bytes: u64,
}

/// Counts of what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exported {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Tiles of pixels that could not be read; they are missing.
    pub unreadable: u64,
}

/// Tiles of pixels of one level of a slide.
struct LevelTiles {
    folder: String,
    columns: u32,
    rows: u32,
}

impl LevelTiles {
    fn count(&self) -> u64 {
        u64::from(self.columns) * u64::from(self.rows)
    }

    fn path(&self, index: u64) -> String {
        let columns = u64::from(self.columns.max(1));
        format!("{}/{}_{}.jpg", self.folder, index % columns, index / columns)
    }
}

fn pixel_levels(site: &Site) -> Vec<LevelTiles> {
    let mut all = Vec::new();
    for id in site.ids() {
        for (level, (columns, rows)) in site.pixel_grids(&id).into_iter().enumerate() {
            all.push(LevelTiles { folder: format!("slide/{id}/pixels/{level}"), columns, rows });
        }
    }
    all
}

/// Returns the size of the folder that [`export`] would write.
///
/// # Errors
///
/// [`ViewError`] when a tile file cannot be made.
pub fn size(site: &Site) -> Result<ExportSize, ViewError> {
    let mut size = ExportSize { files: 8, bytes: PAGE_BYTES };
    for level in pixel_levels(site) {
        let count = level.count();
        let sampled = count.min(SAMPLE);
        let bytes: u64 = (0..sampled)
            .map(|index| site.page(&level.path(index * count / sampled.max(1))).body.len() as u64)
            .sum();
        size.files += count;
        size.bytes += bytes * count / sampled.max(1);
    }
    for id in site.ids() {
        let header = site.tiles(&id)?;
        size.files += 1;
        for tile in
            header.header().density.iter().chain(&header.header().points).chain(&header.header().outlines)
        {
            size.files += 1;
            size.bytes += u64::from(tile.bytes).div_ceil(3) * 4 + 40;
        }
    }
    Ok(size)
}

/// Passes every file of the folder to `write`, under its name there.
///
/// # Errors
///
/// The errors of `write`, and [`ViewError`] when a table or tile file cannot be read.
pub fn export<E: From<ViewError>>(
    site: &Site,
    mut write: impl FnMut(&str, &[u8]) -> Result<(), E>,
) -> Result<Exported, E> {
    let mut exported = Exported::default();
    let mut put = |name: &str, bytes: &[u8], exported: &mut Exported| -> Result<(), E> {
        exported.files += 1;
        exported.bytes += bytes.len() as u64;
        write(name, bytes)
    };
    put("index.html", page::exported_index().as_bytes(), &mut exported)?;
    for name in ["style.css", "page.js", "drawing.js", "openseadragon.js", "openseadragon.license.txt"] {
        put(name, page::asset(name).map_or(&[], |(_, bytes)| bytes), &mut exported)?;
    }
    put("data.js", data_script(site)?.as_bytes(), &mut exported)?;
    for id in site.ids() {
        let tiles = site.tiles(&id)?;
        let header = tiles.header();
        // Which cells are shown: a report made of others does not link here.
        put(&format!("slide/{id}/cells.sha256"), header.table.sha256.as_bytes(), &mut exported)?;
        for (band, entries) in
            [("density", &header.density), ("points", &header.points), ("outlines", &header.outlines)]
        {
            for (index, entry) in entries.iter().enumerate() {
                let key = format!("{band}/{index}");
                let text = STANDARD.encode(tiles.stored(entry)?);
                let script = format!("slidemillTile({},\"{text}\")\n", json!(key));
                put(&format!("slide/{id}/tiles/{key}.js"), script.as_bytes(), &mut exported)?;
            }
        }
    }
    for level in pixel_levels(site) {
        for index in 0..level.count() {
            let path = level.path(index);
            let tile = site.page(&path);
            match tile.status {
                200 => put(&path, &tile.body, &mut exported)?,
                _ => exported.unreadable += 1,
            }
        }
    }
    Ok(exported)
}

/// Returns the script that holds all answers that the page would ask a server for.
fn data_script(site: &Site) -> Result<String, ViewError> {
    let mut files = Map::new();
    let mut paths = vec!["slides.json".to_owned()];
    for id in site.ids() {
        paths.extend(["view.json", "cells.json", "regions.json"].map(|name| format!("slide/{id}/{name}")));
    }
    for path in paths {
        let answer = site.page(&path);
        let reason =
            || ViewError::TileFile { reason: String::from_utf8_lossy(&answer.body).trim().to_owned() };
        let value: Value = serde_json::from_slice(&answer.body).map_err(|_| reason())?;
        files.insert(path, value);
    }
    let worker =
        page::asset("cells.js").map_or("", |(_, bytes)| std::str::from_utf8(bytes).unwrap_or_default());
    Ok(format!("window.slidemillExport = {};\n", json!({"files": files, "worker": worker})))
}
