//! COCO instances: one image, the slide, with every cell as a polygon in level-0 px.

use std::{
    io::{BufWriter, Write as _},
    path::Path,
};

use serde_json::json;
use wsi_types::ClassId;

use super::{
    files::write_file,
    request::{Settings, Source},
    stream::{Maker, Outlined, Part, stream},
    text::{push_hundredths, push_measure, push_point},
};
use crate::{
    error::{Result, refused, unwritable},
    ring::{Grid, Place, twice_area},
    tally::Tally,
};

const WHAT: &str = "the COCO file";
/// Cells worked on at a time.
const ROWS: usize = 32_768;
/// The number of the one image.
const IMAGE: u32 = 1;

/// Writes the cells of a slide.
pub(crate) fn write(source: &Source<'_>, settings: &Settings, path: &Path) -> Result<Tally> {
    if settings.points {
        return refused("coco has no place for points: leave --points out");
    }
    let facts = source.facts;
    let [width, height] = facts.size_px;
    let images = json!([{"id": IMAGE, "file_name": facts.id, "width": width, "height": height}]);
    let info = json!({"description": "cells found by slidemill", "version": env!("CARGO_PKG_VERSION")});
    write_file(path, WHAT, |out: &mut BufWriter<&std::fs::File>| {
        let head = format!("{{\"info\":{info},\"images\":{images},\"annotations\":[\n");
        out.write_all(head.as_bytes()).map_err(unwritable(WHAT, path))?;
        // Classes that have no name in the model are known once all cells are.
        let mut classes = facts.class_names.len();
        let tally = stream(source, settings, ROWS, &Annotations, |(text, largest)| {
            classes = classes.max(largest);
            out.write_all(&text).map_err(unwritable(WHAT, path))
        })?;
        let names = (0..classes).map(|class| facts.class_name(ClassId(class as u16)));
        let categories: Vec<_> = names
            .zip(1..)
            .map(|(name, id)| json!({"id": id, "name": name, "supercategory": "cell"}))
            .collect();
        let end = format!("\n],\"categories\":{}}}\n", json!(categories));
        out.write_all(end.as_bytes()).map_err(unwritable(WHAT, path))?;
        Ok(tally)
    })
}

struct Annotations;

impl Maker for Annotations {
    /// Text, and one more than the largest class in it.
    type Made = (Vec<u8>, usize);

    fn grid(&self) -> Grid {
        Grid::HUNDREDTHS
    }

    fn make(&self, part: &Part<'_>) -> Result<Self::Made> {
        let mut text = Vec::new();
        for (cell, id) in part.cells.iter().zip(part.first + 1..) {
            text.extend_from_slice(if id == 1 { b"" } else { b",\n" });
            push_annotation(&mut text, cell, id);
        }
        let classes = part.cells.iter().map(|cell| usize::from(cell.row.class_id.0) + 1);
        Ok((text, classes.max().unwrap_or(0)))
    }
}

fn push_annotation(out: &mut Vec<u8>, Outlined { row, ring }: &Outlined, id: u64) {
    let origin = Place::default();
    let head = format!(
        "{{\"id\":{id},\"image_id\":{IMAGE},\"category_id\":{},\"iscrowd\":0,\"segmentation\":[[",
        u32::from(row.class_id.0) + 1
    );
    out.extend_from_slice(head.as_bytes());
    for (place, at) in ring.iter().zip(0..) {
        out.extend_from_slice(if at == 0 { b"" } else { b"," });
        push_point(out, *place, origin);
    }
    let (mut low, mut high) = (ring[0], ring[0]);
    for place in ring {
        low = Place { x: low.x.min(place.x), y: low.y.min(place.y) };
        high = Place { x: high.x.max(place.x), y: high.y.max(place.y) };
    }
    out.extend_from_slice(b"]],\"bbox\":[");
    push_point(out, low, origin);
    out.push(b',');
    push_point(out, high, low);
    out.extend_from_slice(b"],\"area\":");
    // Twice the area, in steps of which 10,000 are a px²: to the nearest hundredth of one.
    push_hundredths(out, (twice_area(ring) + 100) / 200);
    if row.score.is_finite() {
        out.extend_from_slice(b",\"score\":");
        push_measure(out, row.score);
    }
    out.push(b'}');
}
