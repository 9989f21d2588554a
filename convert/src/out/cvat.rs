//! CVAT for images 1.1 (XML): polygons or points on pictures of parts of the slide.

use std::{
    io::{self, BufWriter, Write},
    path::Path,
};

use super::{
    files::write_file,
    request::{Settings, Source},
    stream::{Maker, Outlined, Part, stream},
    text::{in_xml, push_point},
};
use crate::{
    error::{Result, unwritable},
    picture::Picture,
    ring::Grid,
    source::SlideFacts,
    tally::Tally,
};

const WHAT: &str = "the CVAT annotations";
/// Cells worked on at a time.
const ROWS: usize = 16_384;

/// Writes the annotations of a slide.
pub(crate) fn write(source: &Source<'_>, settings: &Settings, path: &Path) -> Result<Tally> {
    let maker = Shapes { facts: source.facts, points: settings.points };
    write_file(path, WHAT, |out| {
        let mut images = Images { out, facts: source.facts, open: None, count: 0 };
        images.begin(settings.points).map_err(unwritable(WHAT, path))?;
        let tally = stream(source, settings, ROWS, &maker, |made| {
            made.into_iter()
                .try_for_each(|(picture, text)| images.add(picture, &text))
                .map_err(unwritable(WHAT, path))
        })?;
        images.finish().map_err(unwritable(WHAT, path))?;
        Ok(tally)
    })
}

struct Shapes<'a> {
    facts: &'a SlideFacts,
    points: bool,
}

impl Shapes<'_> {
    fn shape(&self, Outlined { row, ring }: &Outlined) -> (Picture, Vec<u8>) {
        let picture = Picture::around(row.centroid, self.facts.size_px);
        let kind = if self.points { "points" } else { "polygon" };
        let label = in_xml(&self.facts.class_name(row.class_id));
        let mut text =
            format!("    <{kind} label=\"{label}\" source=\"auto\" occluded=\"0\" z_order=\"0\" points=\"")
                .into_bytes();
        let corner = self.grid().place(picture.corner());
        if self.points {
            push_point(&mut text, self.grid().place(row.centroid), corner);
        }
        for (place, at) in ring.iter().zip(0..) {
            text.extend_from_slice(if at == 0 { b"" } else { b";" });
            push_point(&mut text, *place, corner);
        }
        text.extend_from_slice(b"\">");
        if row.score.is_finite() {
            text.extend_from_slice(format!("<attribute name=\"score\">{}</attribute>", row.score).as_bytes());
        }
        text.extend_from_slice(format!("</{kind}>\n").as_bytes());
        (picture, text)
    }
}

impl Maker for Shapes<'_> {
    type Made = Vec<(Picture, Vec<u8>)>;

    fn grid(&self) -> Grid {
        Grid::HUNDREDTHS
    }

    fn make(&self, part: &Part<'_>) -> Result<Self::Made> {
        Ok(part.cells.iter().map(|cell| self.shape(cell)).collect())
    }
}

/// Pictures as they are written, one of them open.
struct Images<'a, 'f> {
    out: &'a mut BufWriter<&'f std::fs::File>,
    facts: &'a SlideFacts,
    open: Option<Picture>,
    count: u64,
}

impl Images<'_, '_> {
    fn begin(&mut self, points: bool) -> io::Result<()> {
        const SCORE: &str = "<attribute><name>score</name><mutable>False</mutable><input_type>number</input_type>\
            <default_value>0</default_value><values>0\n1\n0.01</values></attribute>";
        let kind = if points { "points" } else { "polygon" };
        self.out.write_all(
            b"<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<annotations>\n  <version>1.1</version>\n",
        )?;
        self.out.write_all(b"  <meta><task><labels>\n")?;
        for (class, name) in self.facts.class_names.iter().enumerate() {
            let [r, g, b] = self.facts.class_colours.get(class).copied().unwrap_or_default();
            writeln!(
                self.out,
                "    <label><name>{}</name><color>#{r:02x}{g:02x}{b:02x}</color><type>{kind}</type><attributes>{SCORE}\
                 </attributes></label>",
                in_xml(name)
            )?;
        }
        self.out.write_all(b"  </labels></task></meta>\n")
    }

    fn add(&mut self, picture: Picture, shape: &[u8]) -> io::Result<()> {
        if self.open != Some(picture) {
            self.close()?;
            let name = in_xml(&picture.name(&self.facts.id));
            let Picture { width, height, .. } = picture;
            writeln!(
                self.out,
                "  <image id=\"{}\" name=\"{name}\" width=\"{width}\" height=\"{height}\">",
                self.count
            )?;
            self.open = Some(picture);
            self.count += 1;
        }
        self.out.write_all(shape)
    }

    fn close(&mut self) -> io::Result<()> {
        match self.open.take() {
            Some(_) => self.out.write_all(b"  </image>\n"),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> io::Result<()> {
        self.close()?;
        self.out.write_all(b"</annotations>\n")
    }
}
