//! The answers to the page's requests: slides, pixels, tiles of cells, one cell, regions.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wsi_reader::Slide;
use wsi_types::{Level0Box, css_colour, palette::CLASS_COLOURS, wording::hex};

use crate::{
    ViewError, drawing,
    http::{Answer, Keep, Method, Request, Response},
    page,
    pixels::{Pixels, ViewLevel},
    report::{Report, without_folder},
    table,
    tiles::{TableFacts, TileEntry, TileFile, TileWriter},
};

const JSON: &str = "application/json";
const BINARY: &str = "application/octet-stream";
const JPEG: &str = "image/jpeg";

/// Opens the pixels of a slide; returns the reason in words if that fails.
pub type OpenSlide = Box<dyn Fn() -> Result<Arc<dyn Slide>, String> + Send + Sync>;

/// Source of a slide's cells: the windows of its run and their detections.
pub trait Lineage: Send + Sync {
    /// Returns the places of the plan's windows.
    ///
    /// # Errors
    ///
    /// The reason why they are not known, in words.
    fn windows(&self) -> Result<WindowMap, String>;

    /// Returns the detections of some windows that agree with a box on level 0, before they were merged; none
    /// if they were not kept.
    ///
    /// # Errors
    ///
    /// The reason why they cannot be read, in words.
    fn raw(&self, windows: &[u32], bbox: &Level0Box) -> Result<Vec<RawDetection>, String>;
}

/// Windows of a plan, by index.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WindowMap {
    /// Left, top, right and bottom on level 0.
    pub boxes: Vec<[f64; 4]>,
    /// The windows without a result.
    pub failed: Vec<u32>,
}

/// A detection of one window, before merging.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RawDetection {
    /// The window.
    pub window: u32,
    /// Its class in that window.
    pub class: u16,
    /// Its score, 0 to 1.
    pub score: f32,
    /// Its outline, or the corners of its box, in level-0 px.
    pub ring: Vec<[f64; 2]>,
}

/// A slide of a dataset, with everything that its page shows.
pub struct ShownSlide {
    /// Its id in the dataset.
    pub id: String,
    /// Name of its file, shown only to the person at this machine.
    pub name: Option<String>,
    /// Opens its pixels.
    pub open: OpenSlide,
    /// Least µm per px of a level that is shown; 0 for no limit.
    pub sharpest_mpp: f64,
    /// Width and height of level 0, px.
    pub size: [u32; 2],
    /// µm per level-0 px.
    pub mpp: f64,
    /// The cell table.
    pub cells: PathBuf,
    /// Hash and size of the table, from the run's account.
    pub table: TableFacts,
    /// The regions table; it may not exist.
    pub regions: PathBuf,
    /// Place of its tile file, which may not exist yet.
    pub tiles: PathBuf,
    /// A small picture of the slide, as JPEG; it may not exist.
    pub overview: PathBuf,
    /// The map of its analysed parts, as PNG; it may not exist.
    pub coverage: PathBuf,
    /// The user's drawing on it, as GeoJSON; it may not exist.
    pub drawing: PathBuf,
    /// The windows and detections its cells were made from.
    pub lineage: Box<dyn Lineage>,
    /// Other facts for the page.
    pub facts: Value,
}

/// Slides that change, and become more, while the pages are open.
pub trait Changing: Send {
    /// Returns all slides as they are now; `None` if nothing has changed since the last call.
    ///
    /// # Errors
    ///
    /// The reason why that is not known, in words.
    fn slides(&mut self) -> Result<Option<Vec<ShownSlide>>, String>;
}

/// A slide, and its files that are open.
struct Entry {
    shown: ShownSlide,
    /// The slide's pixels, which do not depend on its cells.
    pixels: Arc<OnceLock<Result<Pixels, String>>>,
    tiles: Mutex<Option<Arc<TileFile>>>,
    /// The tile file of the cells it had until now: a page may still show them.
    earlier: Option<Arc<TileFile>>,
}

/// The pages of a dataset, for any server.
pub struct Site {
    slides: RwLock<Vec<Arc<Entry>>>,
    first: Option<String>,
    changing: Option<Mutex<Watching>>,
    report: Option<Report>,
}

/// The source of slides that change, and the time of the next look.
struct Watching {
    source: Box<dyn Changing>,
    /// Time before which there is no look, so that looking takes a small part of the machine's time.
    next: Instant,
    /// The reason why the last look failed.
    failed: Option<String>,
}

/// Least time between two looks at slides that change.
const LEAST_PAUSE: Duration = Duration::from_secs(3);
/// The same, as a multiple of the time that a look takes.
const PAUSE_PER_LOOK: u32 = 8;

impl Watching {
    /// Returns the slides, if it is time to look and they have changed.
    fn look(&mut self) -> Option<Vec<ShownSlide>> {
        let began = Instant::now();
        if began < self.next {
            return None;
        }
        let found = self.source.slides();
        self.next = Instant::now() + LEAST_PAUSE.max(began.elapsed() * PAUSE_PER_LOOK);
        match found {
            Ok(slides) => {
                self.failed = None;
                slides
            }
            Err(reason) => {
                self.failed = Some(reason);
                None
            }
        }
    }
}

impl ShownSlide {
    /// Returns its entry in the list of slides; by the table's hash a page sees that its cells have changed.
    fn listed(&self) -> Value {
        let Self { id, name, facts, table, .. } = self;
        json!({"id": id, "name": name, "facts": facts, "table": table.sha256})
    }
}

/// Facts that the page needs before its first picture.
#[derive(Serialize)]
struct ViewFacts<'a> {
    id: &'a str,
    name: Option<&'a str>,
    size: [u32; 2],
    mpp: f64,
    levels: &'a [ViewLevel],
    /// The reason why there are no pixels.
    no_pixels: Option<&'a str>,
    colours: Colours,
    facts: &'a Value,
}

/// Colours of the page's overlays, as style sheets write them.
#[derive(Serialize)]
struct Colours {
    /// Colours by class; after the last one they start again.
    classes: Vec<String>,
}

impl Colours {
    fn new() -> Self {
        Self { classes: CLASS_COLOURS.map(css_colour).to_vec() }
    }
}

impl Site {
    /// Makes a site of these slides; the page opens on `first`, or on the list.
    #[must_use]
    pub fn new(slides: Vec<ShownSlide>, first: Option<String>) -> Self {
        let entries = slides.into_iter().map(|shown| Arc::new(Entry::new(shown))).collect();
        Self { slides: RwLock::new(entries), first, changing: None, report: None }
    }

    /// Makes the site follow `source`, which reports slides that change while the pages are open.
    #[must_use]
    pub fn watching(self, source: Box<dyn Changing>) -> Self {
        let watching = Watching { source, next: Instant::now(), failed: None };
        Self { changing: Some(Mutex::new(watching)), ..self }
    }

    /// Makes its pages link to a report.
    #[must_use]
    pub fn with_report(self, report: Report) -> Self {
        Self { report: Some(report), ..self }
    }

    /// Returns the slide that its page opens on.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.first.as_deref()
    }

    /// Returns the ids of its slides.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.entries().iter().map(|entry| entry.shown.id.clone()).collect()
    }

    fn entries(&self) -> Vec<Arc<Entry>> {
        self.slides.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns columns and rows of tiles of each level of a slide's pixels, sharpest first; none if there are
    /// no pixels.
    #[must_use]
    pub fn pixel_grids(&self, id: &str) -> Vec<(u32, u32)> {
        let Some(entry) = self.slide(id) else { return Vec::new() };
        entry
            .pixels()
            .map_or_else(|_| Vec::new(), |pixels| pixels.levels().iter().map(ViewLevel::tiles).collect())
    }

    /// Returns the tile file of a slide; makes it if it is missing or was made from another table.
    ///
    /// # Errors
    ///
    /// [`ViewError`] when it cannot be made.
    pub fn tiles(&self, id: &str) -> Result<Arc<TileFile>, ViewError> {
        match self.slide(id) {
            Some(entry) => entry.tiles(),
            None => Err(ViewError::TileFile { reason: format!("there is no slide {id}") }),
        }
    }

    fn slide(&self, id: &str) -> Option<Arc<Entry>> {
        self.entries().into_iter().find(|entry| entry.shown.id == id)
    }

    fn list(&self) -> Value {
        let failed = self.look_again();
        let slides: Vec<Value> = self.entries().iter().map(|entry| entry.shown.listed()).collect();
        let report = self.report.as_ref().and_then(|report| report.links(&self.ids()));
        json!({
            "first": self.first,
            "slides": slides,
            "changing": self.changing.is_some(),
            "not_seen": failed,
            "report": report,
        })
    }

    /// Takes over changes; returns the reason if they are not known. If another request is doing this, it
    /// does not wait.
    fn look_again(&self) -> Option<String> {
        let mut watching = self.changing.as_ref()?.try_lock().ok()?;
        if let Some(found) = watching.look() {
            let before = self.entries();
            let entries = found.into_iter().map(|shown| Entry::after(&before, shown)).collect();
            *self.slides.write().unwrap_or_else(PoisonError::into_inner) = entries;
        }
        watching.failed.clone()
    }

    /// Keeps the user's drawing.
    fn put(&self, path: &str, body: &[u8]) -> Response {
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["slide", id, "drawing.geojson"] => match self.slide(id) {
                Some(entry) => drawing::keep(&entry.shown.drawing, body),
                None => Response::refusal(404, "no such slide"),
            },
            _ => Response::refusal(405, "nothing can be put here"),
        }
    }

    /// Returns the answer to a path that the page uses, without a server's own part.
    #[must_use]
    pub fn page(&self, path: &str) -> Response {
        if let Some((kind, content)) = page::asset(path) {
            return Response::ok(kind, Keep::No, content.to_vec());
        }
        if path == "slides.json" {
            return json_response(&self.list());
        }
        if let Some(page) = self.report.as_ref().and_then(|report| report.page(path)) {
            return page;
        }
        let parts: Vec<&str> = path.split('/').collect();
        let ["slide", id, rest @ ..] = parts.as_slice() else { return not_here() };
        match self.slide(id) {
            Some(entry) => entry.page(rest),
            None => Response::refusal(404, "no such slide"),
        }
    }
}

impl Answer for Site {
    fn answer(&self, request: &Request) -> Response {
        let path = without_folder(&request.path);
        match request.method {
            Method::Get | Method::Head => self.page(path),
            Method::Put => self.put(path, &request.body),
        }
    }
}

/// Two datasets of the same slides, such as two runs with other thresholds or models.
pub struct Pair {
    /// The user's name for each.
    pub names: [String; 2],
    /// Their sites.
    pub sites: [Site; 2],
    /// The slide to begin with, which both have.
    pub first: String,
}

impl Answer for Pair {
    fn answer(&self, request: &Request) -> Response {
        let path = request.path.as_str();
        if let Some((side, rest)) = path.split_once('/')
            && let Some(index) = ["a", "b"].iter().position(|name| *name == side)
        {
            return self.sites[index].answer(&Request { path: rest.to_owned(), ..request.clone() });
        }
        match path {
            "" => self.sites[0].page("compare.html"),
            "compare.js" | "style.css" => self.sites[0].page(path),
            "names.json" => {
                let [a, b] = &self.names;
                json_response(&json!({"a": a, "b": b, "first": self.first}))
            }
            _ => not_here(),
        }
    }
}

/// A site that only those see who know its key: other users of this machine can reach the loopback address,
/// too.
pub struct Keyed<A> {
    key: String,
    inner: A,
}

impl<A: Answer> Keyed<A> {
    /// Makes a site with a key of its own.
    ///
    /// # Errors
    ///
    /// The system's error when it gives no random bytes.
    pub fn new(inner: A) -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 12];
        getrandom::fill(&mut bytes)?;
        Ok(Self { key: hex(&bytes), inner })
    }

    /// Returns the first part of every path.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl<A: Answer> Answer for Keyed<A> {
    fn answer(&self, request: &Request) -> Response {
        let rest = request.path.strip_prefix(self.key.as_str()).and_then(|rest| rest.strip_prefix('/'));
        match rest {
            Some(path) => self.inner.answer(&Request { path: path.to_owned(), ..request.clone() }),
            None => Response::refusal(404, "nothing is here: use the address that was printed"),
        }
    }
}

impl Entry {
    fn new(shown: ShownSlide) -> Self {
        Self { shown, pixels: Arc::default(), tiles: Mutex::new(None), earlier: None }
    }

    /// Returns the entry that shows a slide now, when `before` were shown: an entry with the same cells
    /// stays, and so do opened pixels.
    fn after(before: &[Arc<Self>], shown: ShownSlide) -> Arc<Self> {
        let Some(old) = before.iter().find(|old| old.shown.id == shown.id) else {
            return Arc::new(Self::new(shown));
        };
        if old.shown.table == shown.table && old.shown.cells == shown.cells {
            return Arc::clone(old);
        }
        let earlier = old.tiles.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Arc::new(Self { pixels: Arc::clone(&old.pixels), earlier, ..Self::new(shown) })
    }

    fn page(&self, path: &[&str]) -> Response {
        match path {
            ["view.json"] => self.facts(),
            ["cells.json"] => answered(self.tiles().map(|tiles| json_response(tiles.header()))),
            ["regions.json"] => answered(self.regions().map(|regions| json_response(&regions))),
            ["cell", made_from, row] => match self.row(made_from, row) {
                Some(row) => answered(table::row(&self.shown.cells, row).map(|cell| json_response(&cell))),
                None => not_here(),
            },
            ["windows.json"] => told(self.shown.lineage.windows()),
            ["raw", made_from, row] => match self.row(made_from, row) {
                Some(row) => answered(self.raw(row)),
                None => not_here(),
            },
            ["drawing.geojson"] => drawing::kept(&self.shown.drawing),
            ["overview.jpg"] => file(&self.shown.overview, JPEG),
            ["coverage.png"] => file(&self.shown.coverage, "image/png"),
            ["pixels", level, place] => self.pixel_tile(level, place).unwrap_or_else(not_here),
            ["tiles", made_from, band, index] => {
                self.cell_tile(made_from, band, index).unwrap_or_else(not_here)
            }
            _ => not_here(),
        }
    }

    fn facts(&self) -> Response {
        let ShownSlide { id, name, size, mpp, facts, .. } = &self.shown;
        let pixels = self.pixels();
        json_response(&ViewFacts {
            id,
            name: name.as_deref(),
            size: *size,
            mpp: *mpp,
            levels: pixels.map_or(&[], |pixels| pixels.levels()),
            no_pixels: pixels.err(),
            colours: Colours::new(),
            facts,
        })
    }

    fn pixels(&self) -> Result<&Pixels, &str> {
        self.pixels.get_or_init(|| self.open()).as_ref().map_err(String::as_str)
    }

    fn open(&self) -> Result<Pixels, String> {
        let slide = (self.shown.open)()?;
        let base = slide.info().pyramid.base();
        let (found, expected) = ([base.width(), base.height()], self.shown.size);
        if found != expected {
            return Err(format!(
                "the slide has {} × {} px, the one that was analysed had {} × {}: it is another file now",
                found[0], found[1], expected[0], expected[1]
            ));
        }
        let sharpest = self.shown.sharpest_mpp / self.shown.mpp;
        Ok(Pixels::new(slide).without_sharper(sharpest))
    }

    /// Returns a tile of pixels; `place` is `<column>_<row>.jpg`.
    fn pixel_tile(&self, level: &str, place: &str) -> Option<Response> {
        let (column, row) = place.strip_suffix(".jpg")?.split_once('_')?;
        let (level, column, row) = (level.parse().ok()?, column.parse().ok()?, row.parse().ok()?);
        Some(match self.pixels() {
            Err(reason) => Response::refusal(404, reason),
            Ok(pixels) => match pixels.tile(level, column, row) {
                Ok(tile) => Response::ok(JPEG, Keep::Forever, tile),
                Err(wsi_reader::ReadError::NoSuchTile { .. }) => not_here(),
                Err(error) => Response::refusal(500, &error.to_string()),
            },
        })
    }

    /// Returns a tile of cells. The hash of the table is part of the address, so a kept tile is never of
    /// another table.
    fn cell_tile(&self, made_from: &str, band: &str, index: &str) -> Option<Response> {
        let index: usize = index.parse().ok()?;
        let earlier = self.earlier.as_ref().filter(|earlier| earlier.header().table.sha256 == made_from);
        let tiles = match earlier.map_or_else(|| self.tiles(), |earlier| Ok(Arc::clone(earlier))) {
            Ok(tiles) => tiles,
            Err(error) => return Some(failure(&error)),
        };
        let header = tiles.header();
        let entries: &[TileEntry] = match band {
            "density" => &header.density,
            "points" => &header.points,
            "outlines" => &header.outlines,
            _ => return None,
        };
        let entry = entries.get(index).filter(|_| header.table.sha256 == made_from)?;
        Some(answered(tiles.stored(entry).map(|bytes| Response::ok(BINARY, Keep::Forever, bytes))))
    }

    /// Returns the number of a row, `<row>.json`, of the table that the page knows: in another table it would
    /// be another cell.
    fn row(&self, made_from: &str, row: &str) -> Option<u64> {
        row.strip_suffix(".json").filter(|_| made_from == self.shown.table.sha256)?.parse().ok()
    }

    /// Returns the detections, at the place of the cell in `row`, of the windows that saw it.
    fn raw(&self, row: u64) -> Result<Response, ViewError> {
        let cell = table::row(&self.shown.cells, row)?;
        let seen: SeenCell = serde_json::from_value(cell).map_err(|error| ViewError::Table {
            reason: format!("row {row} is no cell: {error}"),
            path: self.shown.cells.clone(),
        })?;
        let SeenCell { windows, bbox: Corners { xmin, ymin, xmax, ymax } } = seen;
        let bbox = Level0Box::new(euclid::point2(xmin, ymin), euclid::point2(xmax, ymax));
        Ok(told(self.shown.lineage.raw(&windows, &bbox)))
    }

    fn regions(&self) -> Result<Vec<table::ShownRegion>, ViewError> {
        if self.shown.regions.exists() { table::regions(&self.shown.regions) } else { Ok(Vec::new()) }
    }

    /// Returns the tile file; makes it if it is missing or was made from another table.
    fn tiles(&self) -> Result<Arc<TileFile>, ViewError> {
        let mut tiles = self.tiles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tiles) = tiles.as_ref() {
            return Ok(Arc::clone(tiles));
        }
        let opened = Arc::new(tile_file(&self.shown)?);
        *tiles = Some(Arc::clone(&opened));
        Ok(opened)
    }
}

/// Columns of a row that tell where the cell was seen.
#[derive(Deserialize)]
struct SeenCell {
    windows: Vec<u32>,
    bbox: Corners,
}

#[derive(Deserialize)]
struct Corners {
    xmin: f64,
    ymin: f64,
    xmax: f64,
    ymax: f64,
}

/// Returns the tile file of a slide; makes it if it is missing, damaged, or was made from another table.
///
/// # Errors
///
/// [`ViewError`] when the table cannot be read or the file cannot be written.
pub fn tile_file(shown: &ShownSlide) -> Result<TileFile, ViewError> {
    if let Ok(tiles) = TileFile::open(&shown.tiles)
        && tiles.header().table == shown.table
    {
        return Ok(tiles);
    }
    make_tile_file(shown)?;
    TileFile::open(&shown.tiles)
}

fn make_tile_file(shown: &ShownSlide) -> Result<(), ViewError> {
    let write_error = |source| ViewError::Write { source };
    let found = fs::metadata(&shown.cells).map(|facts| facts.len());
    if found.as_ref().ok() != Some(&shown.table.bytes) {
        let found = found.map_or_else(|error| error.to_string(), |bytes| format!("it has {bytes} bytes"));
        let reason =
            format!("{found}, its account says {}: `slidemill verify` tells more", shown.table.bytes);
        return Err(ViewError::Table { reason, path: shown.cells.clone() });
    }
    fs::create_dir_all(whole_file::folder_of(&shown.tiles)).map_err(write_error)?;
    let written = whole_file::write(&shown.tiles, |out| {
        let classes = table::class_names(&shown.cells)?;
        let mut writer = TileWriter::new(out, shown.table.clone(), shown.size, &classes)?;
        table::for_each_cell(&shown.cells, |cell| writer.push(cell))?;
        writer.finish().map(drop)
    });
    written.map_err(write_error)?
}

fn json_response(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => Response::ok(JSON, Keep::No, bytes),
        Err(error) => Response::refusal(500, &error.to_string()),
    }
}

fn told(result: Result<impl Serialize, String>) -> Response {
    match result {
        Ok(value) => json_response(&value),
        Err(reason) => Response::refusal(500, &reason),
    }
}

fn answered(result: Result<Response, ViewError>) -> Response {
    result.unwrap_or_else(|error| failure(&error))
}

fn failure(error: &ViewError) -> Response {
    Response::refusal(500, &error.to_string())
}

fn file(path: &std::path::Path, kind: &'static str) -> Response {
    match fs::read(path) {
        Ok(bytes) => Response::ok(kind, Keep::No, bytes),
        Err(_) => not_here(),
    }
}

fn not_here() -> Response {
    Response::refusal(404, "nothing is here")
}
