//! Instance maps: gray PNG, 0 for background, each object its own number.

use std::{fs::File, io::BufReader, path::Path};

use super::{
    Parts, ReadSettings, Reading, Source, UNNAMED_CLASS, malformed,
    mask::{PixelBounds, trace},
    remarks::{Remark, Remarks},
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

/// Reads a map. One with a single number for several separate areas is a mask and
/// does not say which pixel is of which object: that is told, and its areas are
/// objects when `settings` ask for [`Parts::Objects`].
pub(super) fn read(source: &Source<'_>, settings: &ReadSettings) -> Result<Reading> {
    let map = decode(source.path)?;
    let mut set = ObjectSet::default();
    let image = set.image_named(&source.image);
    set.images[0].size = Some((f64::from(map.width), f64::from(map.height)));
    let class = set.class_named(UNNAMED_CLASS)?;
    let add = |set: &mut ObjectSet, id: u64, shape: Shape| {
        set.objects.push(Object { id, image, class, score: None, shape, role: Role::Object });
    };
    let extents = extents(&map);
    let mut remarks = Remarks::default();
    let mut numbers = extents.iter().zip(0_u16..).filter_map(|(extent, label)| Some((label, (*extent)?)));
    if let (Some((label, extent)), None) = (numbers.next(), numbers.next()) {
        let areas = trace(extent.bounds, |x, y| map.at(x, y) == label).parts();
        if areas.len() > 1 && settings.parts == Parts::Objects {
            for (area, id) in areas.into_iter().zip(1..) {
                add(&mut set, id, Shape::Polygon(Box::new(area)).reduced(settings.detail));
            }
            return Ok(Reading { set, remarks, omits_empty_images: false });
        }
        let kept = u64::from(areas.len() > 1);
        remarks.add(Remark::YesNoMask, kept, || source.path.display().to_string());
    }
    for (extent, label) in extents.iter().zip(0_u16..) {
        if let Some(extent) = extent {
            add(&mut set, u64::from(label), extent.shape(&map, label, settings));
        }
    }
    Ok(Reading { set, remarks, omits_empty_images: false })
}

/// Whether a PNG can be a label map by its head: gray of 8 or 16 bits.
pub(super) fn may_be_labels(path: &Path) -> Result<bool> {
    let file = File::open(path).map_err(|source| EvalError::Read { source, path: path.to_owned() })?;
    let head = png::Decoder::new(BufReader::new(file)).read_info();
    Ok(head.is_ok_and(|reader| holds_labels(reader.output_color_type())))
}

fn holds_labels((colour, depth): (png::ColorType, png::BitDepth)) -> bool {
    matches!(colour, png::ColorType::Grayscale | png::ColorType::Indexed)
        && matches!(depth, png::BitDepth::Eight | png::BitDepth::Sixteen)
}

fn decode(path: &Path) -> Result<LabelMap> {
    let file = File::open(path).map_err(|source| EvalError::Read { source, path: path.to_owned() })?;
    let mut reader =
        png::Decoder::new(BufReader::new(file)).read_info().map_err(|error| damaged(&error, path))?;
    let (colour, depth) = reader.output_color_type();
    if !holds_labels((colour, depth)) {
        let problem = format!("picture is {colour:?} at {depth:?} bits, expected 8- or 16-bit gray labels");
        return Err(malformed(FORMAT, "header", problem, path));
    }
    let size = reader.output_buffer_size().filter(|bytes| *bytes <= LARGEST_MAP);
    let size = size.ok_or_else(|| malformed(FORMAT, "header", "picture is too large", path))?;
    let mut bytes = vec![0; size];
    let info = reader.next_frame(&mut bytes).map_err(|error| damaged(&error, path))?;
    bytes.truncate(info.buffer_size());
    let labels = match depth {
        png::BitDepth::Sixteen => {
            bytes.as_chunks::<2>().0.iter().map(|&pair| u16::from_be_bytes(pair)).collect()
        }
        _ => bytes.into_iter().map(u16::from).collect(),
    };
    Ok(LabelMap { width: info.width, height: info.height, labels })
}

fn damaged(error: &png::DecodingError, path: &Path) -> EvalError {
    malformed(FORMAT, "pixels", error.to_string(), path)
}

impl Extent {
    /// The shape of `label`, as much as is wanted of it.
    fn shape(&self, map: &LabelMap, label: u16, settings: &ReadSettings) -> Shape {
        match settings.detail {
            Detail::Points => Shape::Point(euclid::point2(self.x / self.pixels, self.y / self.pixels)),
            Detail::Boxes => Shape::Box(self.bounds.to_box()),
            Detail::Full => Shape::Polygon(Box::new(trace(self.bounds, |x, y| map.at(x, y) == label))),
        }
    }
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

    fn reading(path: &Path, settings: ReadSettings) -> Result<Reading> {
        read(&Source::new(path), &settings)
    }

    #[test]
    fn a_mask_of_one_number_is_said_to_be_one_and_taken_apart_when_asked() {
        let file = labels([255, 0, 255, 255, 0, 255]);
        let whole = reading(file.path(), ReadSettings::default()).unwrap();
        assert_eq!((whole.set.objects.len(), whole.remarks.count(Remark::YesNoMask)), (1, 1));
        for (detail, area) in [(Detail::Full, 2.0), (Detail::Boxes, 2.0), (Detail::Points, 0.0)] {
            let settings = ReadSettings { detail, parts: Parts::Objects, ..ReadSettings::default() };
            let parts = reading(file.path(), settings).unwrap();
            let areas: Vec<f64> = parts.set.objects.iter().map(|object| object.shape.area()).collect();
            assert_eq!(areas, [area, area]);
        }
        // One object in one piece is no mask.
        let file = labels([7, 7, 0, 7, 0, 0]);
        assert_eq!(reading(file.path(), ReadSettings::default()).unwrap().remarks, Remarks::default());
        assert!(may_be_labels(file.path()).unwrap());
    }

    #[test]
    fn labels_become_outlines_boxes_or_centres() {
        let file = labels([300, 300, 0, 300, 0, 7]);
        let [full, boxes, points] = [Detail::Full, Detail::Boxes, Detail::Points].map(|detail| {
            reading(file.path(), ReadSettings { detail, ..ReadSettings::default() }).unwrap().set
        });
        let ids: Vec<u64> = full.objects.iter().map(|object| object.id).collect();
        assert_eq!(ids, [7, 300]);
        assert_eq!(full.images[0].size, Some((3.0, 2.0)));
        assert_eq!(full.objects[1].shape.area(), 3.0);
        assert_eq!(boxes.objects[1].shape.area(), 4.0);
        let Shape::Point(centre) = points.objects[1].shape else { panic!("no point") };
        assert!((centre.x - 2.5 / 3.0).abs() < 1e-12 && (centre.y - 2.5 / 3.0).abs() < 1e-12);
        assert!((full.objects[1].shape.centroid() - centre).length() < 1e-12);
    }

    #[test]
    fn a_colour_picture_is_refused() {
        let file = written(png::ColorType::Rgb, &[0; 36]);
        assert!(!may_be_labels(file.path()).unwrap());
        let message = reading(file.path(), ReadSettings::default()).unwrap_err().to_string();
        assert!(message.contains("expected 8- or 16-bit gray labels"), "{message}");
    }
}
