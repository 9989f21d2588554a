//! Instance maps as TIFF: one gray channel, 0 for background, each object its own number. Pixels are level-0 px.

use std::{collections::BTreeMap, fs::File, io::BufReader, path::Path};

use eval::{
    objects::{Object, ObjectSet, Role, Shape},
    truth::{
        UNNAMED_CLASS,
        mask::{PixelBounds, trace},
    },
};
use tiff::decoder::{Decoder, DecodingResult, Limits};

use crate::error::{Result, malformed, unreadable};

const WHAT: &str = "the label TIFF";
/// The most bytes of labels held in memory: 32,000 × 32,000 px of 32 bits.
const LARGEST_MAP: usize = 1 << 32;

/// Either byte order, classic and BigTIFF.
pub(super) fn is_tiff(head: &[u8]) -> bool {
    [b"II\x2a\0", b"MM\0\x2a", b"II\x2b\0", b"MM\0\x2b"].iter().any(|magic| head.starts_with(*magic))
}

struct LabelMap {
    width: u32,
    height: u32,
    labels: Vec<u32>,
}

impl LabelMap {
    fn at(&self, x: u32, y: u32) -> u32 {
        self.labels[y as usize * self.width as usize + x as usize]
    }

    /// The box around the pixels of each label.
    fn bounds(&self) -> BTreeMap<u32, PixelBounds> {
        let mut all: BTreeMap<u32, PixelBounds> = BTreeMap::new();
        for y in 0..self.height {
            let row = &self.labels[y as usize * self.width as usize..][..self.width as usize];
            for (x, &label) in (0..).zip(row).filter(|(_, label)| **label != 0) {
                let of_pixel = PixelBounds { x0: x, y0: y, x1: x + 1, y1: y + 1 };
                all.entry(label)
                    .and_modify(|bounds| {
                        bounds.x0 = bounds.x0.min(x);
                        bounds.x1 = bounds.x1.max(x + 1);
                        bounds.y1 = y + 1;
                    })
                    .or_insert(of_pixel);
            }
        }
        all
    }
}

pub(super) fn read(path: &Path) -> Result<ObjectSet> {
    let map = decode(path)?;
    let mut set = ObjectSet::default();
    let image = set.image_named(&super::image_name(path));
    set.images[0].size = Some((f64::from(map.width), f64::from(map.height)));
    let class = set.class_named(UNNAMED_CLASS)?;
    for (label, bounds) in map.bounds() {
        let shape = Shape::Polygon(Box::new(trace(bounds, |x, y| map.at(x, y) == label)));
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
    let file = File::open(path).map_err(unreadable(WHAT, path))?;
    let broken = |error: tiff::TiffError| malformed(WHAT, error.to_string(), path);
    let mut limits = Limits::default();
    limits.decoding_buffer_size = LARGEST_MAP;
    let mut decoder = Decoder::new(BufReader::new(file)).map_err(broken)?.with_limits(limits);
    let (width, height) = decoder.dimensions().map_err(broken)?;
    let labels = match decoder.read_image().map_err(broken)? {
        DecodingResult::U8(values) => values.into_iter().map(u32::from).collect(),
        DecodingResult::U16(values) => values.into_iter().map(u32::from).collect(),
        DecodingResult::U32(values) => values,
        DecodingResult::I32(values) => {
            let whole = values.into_iter().map(u32::try_from).collect::<std::result::Result<_, _>>();
            whole.map_err(|_| malformed(WHAT, "a label is negative, expected 0 or more", path))?
        }
        _ => return Err(malformed(WHAT, "its pixels are no whole numbers of 8, 16 or 32 bits", path)),
    };
    let map = LabelMap { width, height, labels };
    if map.labels.len() != width as usize * height as usize {
        return Err(malformed(WHAT, "it has several channels, expected one of labels", path));
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use tiff::encoder::{TiffEncoder, colortype::Gray32};

    use super::*;

    #[test]
    fn each_label_is_an_object_of_its_pixels() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.tif");
        let mut labels = vec![0_u32; 20 * 10];
        for (x, y, label) in [(3, 2, 70_000), (4, 2, 70_000), (4, 3, 70_000), (15, 9, 2)] {
            labels[y * 20 + x] = label;
        }
        let mut encoder = TiffEncoder::new(File::create(&path).unwrap()).unwrap();
        encoder.write_image::<Gray32>(20, 10, &labels).unwrap();
        let set = super::super::read(&path, &eval::truth::ReadSettings::default()).unwrap().set;
        let found: Vec<(u64, f64)> =
            set.objects.iter().map(|object| (object.id, object.shape.area())).collect();
        assert_eq!(found, [(2, 1.0), (70_000, 3.0)]);
        assert_eq!(set.images[0].size, Some((20.0, 10.0)));
    }
}
