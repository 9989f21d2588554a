//! Label Studio tasks: one per picture of a part of the slide, with at most 500 objects as predictions.
//!
//! Its editor holds each object as an element of the page, so more are slow. Coordinates are percent of the picture.

use std::{
    io::{self, BufWriter, Write},
    path::Path,
};

use wsi_types::Level0Point;

use super::{
    files::write_file,
    request::{Settings, Source},
    stream::{Maker, Outlined, Part, stream},
    text::{ClassTexts, in_xml, push_decimal, push_measure, quoted, quoted_class},
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
    let classes = ClassTexts::new(source.facts, quoted_class);
    let maker = Objects { facts: source.facts, classes, points: settings.points };
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
    /// Names of classes in quotes.
    classes: ClassTexts<'a>,
    points: bool,
}

impl Objects<'_> {
    /// Written by hand: a tree of values per object costs several times as much.
    fn object(&self, Outlined { row, ring }: &Outlined) -> (Picture, Vec<u8>) {
        let picture = Picture::around(row.centroid, self.facts.size_px);
        let id = ids::cell_key(&self.facts.id, row.cell_id);
        let class = self.classes.get(row.class_id);
        let kind = if self.points { "keypointlabels" } else { "polygonlabels" };
        let Picture { width, height, .. } = picture;
        let head = format!(
            "{{\"id\":\"{}\",\"type\":\"{kind}\",\"from_name\":\"label\",\"to_name\":\"image\",\"image_rotation\":0,\
             \"original_width\":{width},\"original_height\":{height},\"score\":",
            &id[..10],
        );
        let mut text = head.into_bytes();
        // As JSON has it, a number that is none is null.
        push_measure(&mut text, row.score);
        text.extend_from_slice(format!(",\"value\":{{\"{kind}\":[{class}],").as_bytes());
        if self.points {
            let [x, y] = steps_of_percent(&picture, row.centroid);
            text.extend_from_slice(b"\"x\":");
            push_decimal::<PERCENT_DIGITS>(&mut text, x);
            text.extend_from_slice(b",\"y\":");
            push_decimal::<PERCENT_DIGITS>(&mut text, y);
            text.extend_from_slice(format!(",\"width\":{POINT_WIDTH}}}}}").as_bytes());
            return (picture, text);
        }
        text.extend_from_slice(b"\"closed\":true,\"points\":[");
        for (&place, at) in ring.iter().zip(0..) {
            let [x, y] = steps_of_percent(&picture, self.grid().point(place));
            text.extend_from_slice(if at == 0 { b"[" } else { b",[" });
            push_decimal::<PERCENT_DIGITS>(&mut text, x);
            text.push(b',');
            push_decimal::<PERCENT_DIGITS>(&mut text, y);
            text.push(b']');
        }
        text.extend_from_slice(b"]}}");
        (picture, text)
    }
}

/// Digits of a percent behind the point: less than a thousandth of a px.
const PERCENT_DIGITS: usize = 7;

/// Percent of width and height, in steps of the last of [`PERCENT_DIGITS`].
fn steps_of_percent(picture: &Picture, point: Level0Point) -> [i64; 2] {
    const STEPS: f64 = 1e9;
    let at = point - picture.corner();
    [(at.x, picture.width), (at.y, picture.height)]
        .map(|(px, length)| (px / f64::from(length) * STEPS).round() as i64)
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
        let version = quoted(&self.facts.model.to_string());
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
