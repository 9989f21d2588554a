//! Instance maps: gray PNG or TIFF, 0 for background, each object its own number. Pixels are level-0 px.

use std::{collections::BTreeMap, fs::File, io::BufReader, path::Path};

use tiff::{
    ColorType,
    decoder::{Decoder, DecodingResult, Limits},
};
use wsi_types::ClassId;

use super::{
    files::{Source, malformed},
    mask::{PixelBounds, trace},
    reading::Reading,
    remarks::{Remark, Remarks},
    settings::{Parts, ReadSettings},
};
use crate::{
    EvalError,
    error::Result,
    objects::{Detail, ImageId, Object, ObjectSet, Role, Shape, UNNAMED_CLASS},
};

const PNG: &str = "label PNG";
const TIFF: &str = "label TIFF";

/// Largest size of a label map in memory, in bytes: 65 000 × 32 000 px at 16 bits.
const LARGEST_MAP: usize = 1 << 32;

/// Labels row by row.
struct LabelMap {
    width: u32,
    height: u32,
    labels: Labels,
}

/// Labels with as many bytes each as in the file.
enum Labels {
    Bits16(Vec<u16>),
    Bits32(Vec<u32>),
}

impl LabelMap {
    fn at(&self, x: u32, y: u32) -> u32 {
        let place = y as usize * self.width as usize + x as usize;
        match &self.labels {
            Labels::Bits16(labels) => u32::from(labels[place]),
            Labels::Bits32(labels) => labels[place],
        }
    }

    /// The sums of each label, without the background.
    fn extents(&self) -> BTreeMap<u32, Extent> {
        let mut extents = BTreeMap::new();
        for y in 0..self.height {
            let mut from = 0;
            while from < self.width {
                let label = self.at(from, y);
                let to = (from..self.width).find(|&x| self.at(x, y) != label).unwrap_or(self.width);
                if label != 0 {
                    extents.entry(label).or_insert_with(|| Extent::at(from, y)).add(from..to, y);
                }
                from = to;
            }
        }
        extents
    }
}

/// Bounds and sums over the pixels of one label.
#[derive(Clone, Copy)]
struct Extent {
    bounds: PixelBounds,
    pixels: f64,
    x: f64,
    y: f64,
}

impl Extent {
    /// An extent without pixels yet, whose first will be at `x`, `y`.
    fn at(x: u32, y: u32) -> Self {
        Self { bounds: PixelBounds::of_pixel(x, y), pixels: 0.0, x: 0.0, y: 0.0 }
    }

    /// Adds the pixels of these columns in a row.
    fn add(&mut self, columns: std::ops::Range<u32>, y: u32) {
        let count = f64::from(columns.end - columns.start);
        self.bounds.include(columns.start, y);
        self.bounds.include(columns.end - 1, y);
        self.pixels += count;
        self.x += count * f64::from(columns.start + columns.end) / 2.0;
        self.y += count * (f64::from(y) + 0.5);
    }

    /// The shape of `label`, with the detail in the settings.
    fn shape(&self, map: &LabelMap, label: u32, settings: &ReadSettings) -> Shape {
        match settings.detail {
            Detail::Points => Shape::Point(euclid::point2(self.x / self.pixels, self.y / self.pixels)),
            Detail::Boxes => Shape::Box(self.bounds.to_box()),
            Detail::Full => Shape::Polygon(Box::new(trace(self.bounds, |x, y| map.at(x, y) == label))),
        }
    }
}

/// Reads a map of a PNG.
pub(super) fn read_png(source: &Source<'_>, settings: &ReadSettings) -> Result<Reading> {
    objects(&decode_png(source.path)?, source, settings)
}

/// Reads a map of a TIFF.
pub(super) fn read_tiff(source: &Source<'_>, settings: &ReadSettings) -> Result<Reading> {
    objects(&decode_tiff(source.path)?, source, settings)
}

/// The objects of a map. A map with a single number for several separate areas is a mask and does not say
/// which pixel belongs to which object: this is remarked on, and its areas are objects if `settings` has
/// [`Parts::Objects`].
fn objects(map: &LabelMap, source: &Source<'_>, settings: &ReadSettings) -> Result<Reading> {
    let mut set = ObjectSet::default();
    let image = set.image_named(&source.image);
    set.images[0].size = Some((f64::from(map.width), f64::from(map.height)));
    let class = set.class_named(UNNAMED_CLASS)?;
    let extents = map.extents();
    let mut remarks = Remarks::default();
    if let (1, Some((&label, extent))) = (extents.len(), extents.first_key_value()) {
        let areas = trace(extent.bounds, |x, y| map.at(x, y) == label).parts();
        if areas.len() > 1 && settings.parts == Parts::Objects {
            for (area, id) in areas.into_iter().zip(1..) {
                let shape = Shape::Polygon(Box::new(area)).reduced(settings.detail);
                set.objects.push(object(id, image, class, shape));
            }
            return Ok(Reading { set, remarks, is_label_picture: true, ..Reading::default() });
        }
        let kept = u64::from(areas.len() > 1);
        remarks.add(Remark::YesNoMask, kept, || source.path.display().to_string());
    }
    for (&label, extent) in &extents {
        set.objects.push(object(u64::from(label), image, class, extent.shape(map, label, settings)));
    }
    Ok(Reading { set, remarks, is_label_picture: true, ..Reading::default() })
}

fn object(id: u64, image: ImageId, class: ClassId, shape: Shape) -> Object {
    Object { id, image, class, score: None, shape, role: Role::Object }
}

/// `true` if a PNG can be a label map by its header: gray of 8 or 16 bits.
pub(super) fn may_be_labels(path: &Path) -> Result<bool> {
    let head = png::Decoder::new(BufReader::new(open(path)?)).read_info();
    Ok(head.is_ok_and(|reader| holds_labels(reader.output_color_type())))
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|source| EvalError::Read { source, path: path.to_owned() })
}

fn holds_labels((colour, depth): (png::ColorType, png::BitDepth)) -> bool {
    matches!(colour, png::ColorType::Grayscale | png::ColorType::Indexed)
        && matches!(depth, png::BitDepth::Eight | png::BitDepth::Sixteen)
}

fn decode_png(path: &Path) -> Result<LabelMap> {
    let mut reader = png::Decoder::new(BufReader::new(open(path)?))
        .read_info()
        .map_err(|error| damaged(PNG, &error, path))?;
    let (colour, depth) = reader.output_color_type();
    if !holds_labels((colour, depth)) {
        let problem = format!("picture is {colour:?} at {depth:?} bits, expected 8- or 16-bit gray labels");
        return Err(malformed(PNG, "header", problem, path));
    }
    let size = reader.output_buffer_size().filter(|bytes| *bytes <= LARGEST_MAP);
    let size = size.ok_or_else(|| malformed(PNG, "header", "picture is too large", path))?;
    let mut bytes = vec![0; size];
    let info = reader.next_frame(&mut bytes).map_err(|error| damaged(PNG, &error, path))?;
    bytes.truncate(info.buffer_size());
    let labels = match depth {
        png::BitDepth::Sixteen => {
            bytes.as_chunks::<2>().0.iter().map(|&pair| u16::from_be_bytes(pair)).collect()
        }
        _ => bytes.into_iter().map(u16::from).collect(),
    };
    Ok(LabelMap { width: info.width, height: info.height, labels: Labels::Bits16(labels) })
}

fn damaged(format: &'static str, error: &dyn std::error::Error, path: &Path) -> EvalError {
    malformed(format, "pixels", error.to_string(), path)
}

/// `true` if a file begins as a TIFF: either byte order, classic and BigTIFF.
pub(super) fn is_tiff(head: &[u8]) -> bool {
    [b"II\x2a\0", b"MM\0\x2a", b"II\x2b\0", b"MM\0\x2b"].iter().any(|magic| head.starts_with(*magic))
}

fn decode_tiff(path: &Path) -> Result<LabelMap> {
    let mut limits = Limits::default();
    limits.decoding_buffer_size = LARGEST_MAP;
    let decoder = Decoder::new(BufReader::new(open(path)?)).map_err(|error| damaged(TIFF, &error, path))?;
    let mut decoder = decoder.with_limits(limits);
    let colour = decoder.colortype().map_err(|error| damaged(TIFF, &error, path))?;
    if !matches!(colour, ColorType::Gray(_)) {
        let problem = format!("picture is {colour:?}, expected one gray channel of labels");
        return Err(malformed(TIFF, "header", problem, path));
    }
    let (width, height) = decoder.dimensions().map_err(|error| damaged(TIFF, &error, path))?;
    let labels = match decoder.read_image().map_err(|error| damaged(TIFF, &error, path))? {
        DecodingResult::U8(values) => Labels::Bits16(values.into_iter().map(u16::from).collect()),
        DecodingResult::U16(values) => Labels::Bits16(values),
        DecodingResult::U32(values) => Labels::Bits32(values),
        DecodingResult::I32(values) => {
            let whole = values.into_iter().map(u32::try_from).collect::<std::result::Result<_, _>>();
            let problem = "a label is negative, expected 0 or more";
            Labels::Bits32(whole.map_err(|_| malformed(TIFF, "pixels", problem, path))?)
        }
        _ => {
            let problem = "they are no whole numbers of 8, 16 or 32 bits, as labels are";
            return Err(malformed(TIFF, "pixels", problem, path));
        }
    };
    Ok(LabelMap { width, height, labels })
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
        read_png(&Source::new(path), &settings)
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
        let read_as =
            |detail| reading(file.path(), ReadSettings { detail, ..ReadSettings::default() }).unwrap().set;
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
        assert!(!may_be_labels(file.path()).unwrap());
        let message = reading(file.path(), ReadSettings::default()).unwrap_err().to_string();
        assert!(message.contains("expected 8- or 16-bit gray labels"), "{message}");
    }

    fn tiff_of<C: tiff::encoder::colortype::ColorType>(values: &[C::Inner]) -> tempfile::NamedTempFile
    where
        [C::Inner]: tiff::encoder::TiffValue,
    {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut encoder = tiff::encoder::TiffEncoder::new(file.reopen().unwrap()).unwrap();
        encoder.write_image::<C>(3, 2, values).unwrap();
        file
    }

    #[test]
    fn a_tiff_has_labels_beyond_16_bits() {
        use tiff::encoder::colortype::{Gray16, Gray32, RGB8};
        let file = tiff_of::<Gray32>(&[70_000, 70_000, 0, 70_000, 0, 2]);
        let reading = read_tiff(&Source::new(file.path()), &ReadSettings::default()).unwrap();
        let found: Vec<(u64, f64)> =
            reading.set.objects.iter().map(|object| (object.id, object.shape.area())).collect();
        assert_eq!(found, [(2, 1.0), (70_000, 3.0)]);
        assert_eq!(reading.set.images[0].size, Some((3.0, 2.0)));
        let mask = tiff_of::<Gray16>(&[9, 0, 9, 9, 0, 9]);
        let reading = read_tiff(&Source::new(mask.path()), &ReadSettings::default()).unwrap();
        assert_eq!((reading.set.objects.len(), reading.remarks.count(Remark::YesNoMask)), (1, 1));
        let colour = tiff_of::<RGB8>(&[7; 18]);
        let message =
            read_tiff(&Source::new(colour.path()), &ReadSettings::default()).unwrap_err().to_string();
        assert!(message.contains("expected one gray channel"), "{message}");
    }
}
