//! Label Studio tasks: one per picture of a part of the slide, with at most 500 objects as predictions.
//!
//! Its editor holds each object as an element of the page, so more are slow. Coordinates are percent of the picture.

use std::{
    io::{self, BufWriter, Write},
    path::Path,
};

use super::{
    files::write_file,
    request::{Settings, Source},
    stream::{Maker, Outlined, Part, stream},
    text::{in_xml, quoted},
};
use crate::{
    error::{Result, unwritable},
    ids,
    picture::Picture,
    ring::Grid,
    source::SlideFacts,
    tally::Tally,
};

const WHAT: &str = "the Label Studio tasks";
/// Cells worked on at a time.
const ROWS: usize = 16_384;
/// Objects of one task.
const MOST_OBJECTS: usize = 500;
/// Width of the mark of a point, percent of the picture.
const POINT_WIDTH: f64 = 0.5;

/// Writes the tasks of a slide.
pub(crate) fn write(source: &Source<'_>, settings: &Settings, path: &Path) -> Result<Tally> {
    let maker = Objects { facts: source.facts, points: settings.points };
    let tally = write_file(path, WHAT, |out| {
        let mut tasks = Tasks { out, facts: source.facts, open: None, is_empty: true };
        tasks.out.write_all(b"[\n").map_err(unwritable(WHAT, path))?;
        let tally = stream(source, settings, ROWS, &maker, |made| {
            made.into_iter()
                .try_for_each(|(picture, object)| tasks.add(picture, object))
                .map_err(unwritable(WHAT, path))
        })?;
        tasks.finish().map_err(unwritable(WHAT, path))?;
        Ok(tally)
    })?;
    write_config(source.facts, settings.points, &path.with_extension("xml"))?;
    Ok(tally)
}

/// The labelling interface of a project that takes the tasks.
fn write_config(facts: &SlideFacts, points: bool, path: &Path) -> Result<()> {
    let kind = if points { "KeyPointLabels" } else { "PolygonLabels" };
    let mut text = format!(
        "<View>\n  <Image name=\"image\" value=\"$image\" zoom=\"true\"/>\n  <{kind} name=\"label\" toName=\"image\">\n"
    );
    for (class, name) in facts.class_names.iter().enumerate() {
        let [r, g, b] = facts.class_colours.get(class).copied().unwrap_or_default();
        text += &format!("    <Label value=\"{}\" background=\"#{r:02x}{g:02x}{b:02x}\"/>\n", in_xml(name));
    }
    text += &format!("  </{kind}>\n</View>\n");
    whole_file::write_bytes(path, text.as_bytes()).map_err(unwritable("Label Studio's interface", path))
}

struct Objects<'a> {
    facts: &'a SlideFacts,
    points: bool,
}

impl Objects<'_> {
    /// Written by hand: a tree of values per object costs several times as much.
    fn object(&self, Outlined { row, ring }: &Outlined) -> (Picture, Vec<u8>) {
        let picture = Picture::around(row.centroid, self.facts.size_px);
        let id =
            dataset::hex(&ids::uuid_bytes(&[self.facts.id.as_bytes(), b"cell", &row.cell_id.to_le_bytes()]));
        let class = quoted(&self.facts.class_name(row.class_id));
        let kind = if self.points { "keypointlabels" } else { "polygonlabels" };
        let Picture { width, height, .. } = picture;
        let mut text = format!(
            "{{\"id\":\"{}\",\"type\":\"{kind}\",\"from_name\":\"label\",\"to_name\":\"image\",\"image_rotation\":0,\
             \"original_width\":{width},\"original_height\":{height},\"score\":{},\"value\":{{\"{kind}\":[{class}],",
            &id[..10],
            if row.score.is_finite() { row.score.to_string() } else { "null".to_owned() },
        );
        if self.points {
            let [x, y] = percent(&picture, row.centroid);
            text.push_str(&format!("\"x\":{x},\"y\":{y},\"width\":{POINT_WIDTH}}}}}"));
            return (picture, text.into_bytes());
        }
        text.push_str("\"closed\":true,\"points\":[");
        for (&place, at) in ring.iter().zip(0..) {
            let [x, y] = percent(&picture, self.grid().point(place));
            text.push_str(&format!("{}[{x},{y}]", if at == 0 { "" } else { "," }));
        }
        text.push_str("]}}");
        (picture, text.into_bytes())
    }
}

/// Percent of width and height, to 10⁻⁷: less than a thousandth of a px.
fn percent(picture: &Picture, point: wsi_types::Level0Point) -> [f64; 2] {
    let at = point - picture.corner();
    [(at.x, picture.width), (at.y, picture.height)]
        .map(|(px, length)| (px / f64::from(length) * 1e9).round() / 1e7)
}

impl Maker for Objects<'_> {
    /// Objects as JSON.
    type Made = Vec<(Picture, Vec<u8>)>;

    fn grid(&self) -> Grid {
        Grid::HUNDREDTHS
    }

    fn make(&self, part: &Part<'_>) -> Result<Self::Made> {
        Ok(part.cells.iter().map(|cell| self.object(cell)).collect())
    }
}

/// Tasks as they are written, one of them still growing.
struct Tasks<'a, 'f> {
    out: &'a mut BufWriter<&'f std::fs::File>,
    facts: &'a SlideFacts,
    open: Option<(Picture, Vec<Vec<u8>>)>,
    is_empty: bool,
}

impl Tasks<'_, '_> {
    fn add(&mut self, picture: Picture, object: Vec<u8>) -> io::Result<()> {
        match &mut self.open {
            Some((open, objects)) if *open == picture && objects.len() < MOST_OBJECTS => objects.push(object),
            _ => {
                self.close()?;
                self.open = Some((picture, vec![object]));
            }
        }
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        let Some((picture, objects)) = self.open.take() else { return Ok(()) };
        let model = &self.facts.model;
        let version = quoted(format!("{} {}", model.name, model.version).trim());
        let image = quoted(&picture.name(&self.facts.id));
        let between = if std::mem::take(&mut self.is_empty) { "" } else { ",\n" };
        write!(
            self.out,
            "{between}{{\"data\":{{\"image\":{image}}},\"predictions\":[{{\"model_version\":{version},\"result\":["
        )?;
        self.out.write_all(&objects.join(&b","[..]))?;
        self.out.write_all(b"]}]}")
    }

    fn finish(mut self) -> io::Result<()> {
        self.close()?;
        self.out.write_all(b"\n]\n")
    }
}
