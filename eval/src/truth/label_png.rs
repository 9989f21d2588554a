//! Instance maps: gray PNG, 0 for background, each object its own number.

use std::{fs::File, io::BufReader, path::Path};

use super::{
    ReadSettings, UNNAMED_CLASS, image_name, malformed,
    mask::{PixelBounds, trace},
};
use crate::{
    EvalError,
    error::Result,
    objects::{Detail, Object, ObjectSet, Role, Shape},
};

const FORMAT: &str = "label PNG";

/// The most bytes of labels held in memory: 65 000 × 32 000 px at 16 bits.
const LARGEST_MAP: usize = 1 << 32;

/// Labels row by row.
struct LabelMap {
    width: u32,
    height: u32,
    labels: Vec<u16>,
}

impl LabelMap {
    fn at(&self, x: u32, y: u32) -> u16 {
        self.labels[y as usize * self.width as usize + x as usize]
    }
}

/// What is summed over the pixels of one label.
#[derive(Clone, Copy)]
struct Extent {
    bounds: PixelBounds,
    pixels: f64,
    x: f64,
    y: f64,
}

pub(super) fn read(path: &Path, settings: &ReadSettings) -> Result<ObjectSet> {
    let map = decode(path)?;
    let mut set = ObjectSet::default();
    let image = set.image_named(&image_name(path));
    set.images[0].size = Some((f64::from(map.width), f64::from(map.height)));
    let class = set.class_named(UNNAMED_CLASS)?;
    for (label, extent) in (0_u16..).zip(extents(&map)) {
        let Some(extent) = extent else { continue };
        let shape = match settings.detail {
            Detail::Points => {
                Shape::Point(euclid::point2(extent.x / extent.pixels, extent.y / extent.pixels))
            }
            Detail::Boxes => Shape::Box(extent.bounds.to_box()),
            Detail::Full => Shape::Polygon(Box::new(trace(extent.bounds, |x, y| map.at(x, y) == label))),
        };
        set.objects.push(Object {
            id: u64::from(label),
            image,
            class,
            score: None,
            shape,
            role: Role::Object,
        });
    }
    Ok(set)
}

fn decode(path: &Path) -> Result<LabelMap> {
    let file = File::open(path).map_err(|source| EvalError::Read { source, path: path.to_owned() })?;
    let bad = |problem: String| malformed(FORMAT, "header", problem, path);
    let damaged = |error: png::DecodingError| malformed(FORMAT, "pixels", error.to_string(), path);
    let mut reader = png::Decoder::new(BufReader::new(file)).read_info().map_err(damaged)?;
    let (colour, depth) = reader.output_color_type();
    let gray = matches!(colour, png::ColorType::Grayscale | png::ColorType::Indexed);
    if !gray || !matches!(depth, png::BitDepth::Eight | png::BitDepth::Sixteen) {
        return Err(bad(format!(
            "picture is {colour:?} at {depth:?} bits, expected 8- or 16-bit gray labels"
        )));
    }
    let size = reader.output_buffer_size().filter(|bytes| *bytes <= LARGEST_MAP);
    let size = size.ok_or_else(|| bad("picture is too large".to_owned()))?;
    let mut bytes = vec![0; size];
    let info = reader.next_frame(&mut bytes).map_err(damaged)?;
    bytes.truncate(info.buffer_size());
    let labels = match depth {
        png::BitDepth::Sixteen => {
            bytes.as_chunks::<2>().0.iter().map(|&pair| u16::from_be_bytes(pair)).collect()
        }
        _ => bytes.into_iter().map(u16::from).collect(),
    };
    Ok(LabelMap { width: info.width, height: info.height, labels })
}

/// By label; `None` for background and for numbers that do not occur.
fn extents(map: &LabelMap) -> Vec<Option<Extent>> {
    let most = map.labels.iter().copied().max().unwrap_or(0);
    let mut extents: Vec<Option<Extent>> = vec![None; usize::from(most) + 1];
    for y in 0..map.height {
        for x in 0..map.width {
            let label = map.at(x, y);
            if label == 0 {
                continue;
            }
            let fresh = Extent { bounds: PixelBounds::of_pixel(x, y), pixels: 0.0, x: 0.0, y: 0.0 };
            let extent = extents[usize::from(label)].get_or_insert(fresh);
            extent.bounds.include(x, y);
            extent.pixels += 1.0;
            extent.x += f64::from(x) + 0.5;
            extent.y += f64::from(y) + 0.5;
        }
    }
    extents
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn written(colour: png::ColorType, bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut encoder = png::Encoder::new(file.reopen().unwrap(), 3, 2);
        encoder.set_color(colour);
        encoder.set_depth(png::BitDepth::Sixteen);
        encoder.write_header().unwrap().write_image_data(bytes).unwrap();
        file
    }

    fn labels(values: [u16; 6]) -> tempfile::NamedTempFile {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_be_bytes()).collect();
        written(png::ColorType::Grayscale, &bytes)
    }

    #[test]
    fn labels_become_outlines_boxes_or_centres() {
        let file = labels([300, 300, 0, 300, 0, 7]);
        let read_as =
            |detail| read(file.path(), &ReadSettings { detail, ..ReadSettings::default() }).unwrap();
        let full = read_as(Detail::Full);
        let ids: Vec<u64> = full.objects.iter().map(|object| object.id).collect();
        assert_eq!(ids, [7, 300]);
        assert_eq!(full.images[0].size, Some((3.0, 2.0)));
        assert_eq!(full.objects[1].shape.area(), 3.0);
        assert_eq!(read_as(Detail::Boxes).objects[1].shape.area(), 4.0);
        let Shape::Point(centre) = read_as(Detail::Points).objects[1].shape else { panic!("no point") };
        assert!((centre.x - 2.5 / 3.0).abs() < 1e-12 && (centre.y - 2.5 / 3.0).abs() < 1e-12);
        assert!((full.objects[1].shape.centroid() - centre).length() < 1e-12);
    }

    #[test]
    fn a_colour_picture_is_refused() {
        let file = written(png::ColorType::Rgb, &[0; 36]);
        let message = read(file.path(), &ReadSettings::default()).unwrap_err().to_string();
        assert!(message.contains("expected 8- or 16-bit gray labels"), "{message}");
    }
}
