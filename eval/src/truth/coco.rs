//! COCO JSON: data sets with `annotations`, and lists of results.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;
use serde_json::value::RawValue;
use wsi_types::{ClassId, Level0Box};

use super::{
    ReadSettings, malformed,
    mask::{PixelBounds, trace},
};
use crate::{
    EvalError,
    error::Result,
    objects::{Class, Detail, Image, ImageId, Object, ObjectSet, Role, Shape},
    polygon::Polygon,
};

const FORMAT: &str = "COCO JSON";

#[derive(Deserialize)]
struct DataSet<'a> {
    images: Vec<CocoImage>,
    #[serde(borrow)]
    annotations: Vec<&'a RawValue>,
    #[serde(default)]
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct CocoImage {
    id: i64,
    file_name: Option<String>,
    width: Option<f64>,
    height: Option<f64>,
}

#[derive(Deserialize)]
struct Category {
    id: i64,
    name: String,
}

#[derive(Deserialize)]
struct Annotation {
    id: Option<u64>,
    image_id: i64,
    category_id: i64,
    bbox: Option<[f64; 4]>,
    segmentation: Option<Segmentation>,
    #[serde(default)]
    iscrowd: u8,
    score: Option<f32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Segmentation {
    /// x, y, x, y, … of each part.
    Polygons(Vec<Vec<f64>>),
    /// A mask as run lengths, column by column.
    Runs { size: [u32; 2], counts: Counts },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Counts {
    Plain(Vec<u64>),
    Packed(String),
}

/// Tells COCO from GeoJSON by its keys, without parsing all of it.
pub(super) fn looks_like(text: &str) -> bool {
    if text.trim_start().starts_with('[') {
        return text.contains("\"image_id\"");
    }
    !text.contains("\"FeatureCollection\"") && text.contains("\"annotations\"") && text.contains("\"images\"")
}

pub(super) fn read(text: &str, path: &Path, settings: &ReadSettings) -> Result<ObjectSet> {
    let bad = |error: serde_json::Error| {
        malformed(FORMAT, format!("line {}", error.line()), error.to_string(), path)
    };
    let is_list = text.trim_start().starts_with('[');
    let data: DataSet<'_> = if is_list {
        let annotations = serde_json::from_str(text).map_err(bad)?;
        DataSet { images: Vec::new(), annotations, categories: Vec::new() }
    } else {
        serde_json::from_str(text).map_err(bad)?
    };
    let mut reader = Reader::new(data.images, data.categories, is_list)?;
    for (place, raw) in data.annotations.into_iter().enumerate() {
        let bad = |problem: String| malformed(FORMAT, format!("annotation {place}"), problem, path);
        let annotation: Annotation =
            serde_json::from_str(raw.get()).map_err(|error| bad(error.to_string()))?;
        let object = reader.object(place, annotation, settings.detail).map_err(bad)?;
        reader.set.objects.push(object);
    }
    Ok(reader.set)
}

/// Images and classes by their numbers. Lists of results name neither, so they
/// get numbers for names.
struct Reader {
    set: ObjectSet,
    images: BTreeMap<i64, ImageId>,
    classes: BTreeMap<i64, ClassId>,
    open: bool,
}

impl Reader {
    fn new(mut images: Vec<CocoImage>, mut categories: Vec<Category>, open: bool) -> Result<Self> {
        // By number, as pycocotools walks them: ties of score fall the same way.
        images.sort_by_key(|image| image.id);
        categories.sort_by_key(|category| category.id);
        let mut reader =
            Self { set: ObjectSet::default(), images: BTreeMap::new(), classes: BTreeMap::new(), open };
        for image in images {
            let name = image.file_name.unwrap_or_else(|| image.id.to_string());
            reader.add_image(image.id, name, image.width.zip(image.height));
        }
        for category in categories {
            reader.add_class(category.id, category.name)?;
        }
        Ok(reader)
    }

    fn add_image(&mut self, number: i64, name: String, size: Option<(f64, f64)>) -> ImageId {
        let id = ImageId(self.set.images.len() as u32);
        self.set.images.push(Image { number: Some(number), size, ..Image::named(name) });
        self.images.insert(number, id);
        id
    }

    fn add_class(&mut self, number: i64, name: String) -> Result<ClassId> {
        let id = u16::try_from(self.set.classes.len()).map(ClassId).map_err(|_| EvalError::TooManyClasses)?;
        self.set.classes.push(Class { name, number: Some(number) });
        self.classes.insert(number, id);
        Ok(id)
    }

    fn object(&mut self, place: usize, annotation: Annotation, detail: Detail) -> Result<Object, String> {
        let (image, class) = (annotation.image_id, annotation.category_id);
        let image = match self.images.get(&image) {
            Some(id) => *id,
            None if self.open => self.add_image(image, image.to_string(), None),
            None => return Err(format!("image_id {image} is not among the images")),
        };
        let class = match self.classes.get(&class) {
            Some(id) => *id,
            None if self.open => {
                self.add_class(class, class.to_string()).map_err(|error| error.to_string())?
            }
            None => return Err(format!("category_id {class} is not among the categories")),
        };
        let role = if annotation.iscrowd == 0 { Role::Object } else { Role::Crowd };
        let detail = if role == Role::Object || detail == Detail::Boxes { detail } else { Detail::Full };
        let shape = shape(annotation.bbox, annotation.segmentation, detail)?;
        let score = annotation.score.filter(|score| !score.is_nan());
        Ok(Object { id: annotation.id.unwrap_or(place as u64), image, class, score, shape, role })
    }
}

/// The outline where there is one, but the file's own box for boxes.
fn shape(
    bbox: Option<[f64; 4]>,
    segmentation: Option<Segmentation>,
    detail: Detail,
) -> Result<Shape, String> {
    let boxed = bbox.map(|[x, y, width, height]| {
        Shape::Box(Level0Box::new(euclid::point2(x, y), euclid::point2(x + width, y + height)))
    });
    if let (Some(boxed), Detail::Boxes) = (&boxed, detail) {
        return Ok(boxed.clone());
    }
    let outline = segmentation.map(outline).transpose()?.filter(|polygon| !polygon.rings.is_empty());
    match outline.map(|polygon| Shape::Polygon(Box::new(polygon))).or(boxed) {
        Some(shape) => Ok(shape.reduced(detail)),
        None => Err("there is neither a bbox nor a segmentation".to_owned()),
    }
}

fn outline(segmentation: Segmentation) -> Result<Polygon, String> {
    match segmentation {
        Segmentation::Polygons(parts) => {
            let ring = |part: Vec<f64>| {
                if part.len() < 6 || !part.len().is_multiple_of(2) {
                    return Err(format!(
                        "polygon has {} numbers, expected an even number from 6",
                        part.len()
                    ));
                }
                Ok(part.as_chunks::<2>().0.iter().map(|&[x, y]| euclid::point2(x, y)).collect())
            };
            Ok(Polygon { rings: parts.into_iter().map(ring).collect::<Result<_, String>>()? })
        }
        Segmentation::Runs { size, counts } => {
            let counts = match counts {
                Counts::Plain(counts) => counts,
                Counts::Packed(text) => unpacked(&text)?,
            };
            mask_outline(size, &counts)
        }
    }
}

/// COCO's packed counts: five bits a character from '0' on, the lowest first, a
/// sixth for "more to come"; from the fourth number on, differences to the
/// number two before.
fn unpacked(text: &str) -> Result<Vec<u64>, String> {
    let mut counts: Vec<u64> = Vec::new();
    let mut bytes = text.bytes();
    while bytes.len() > 0 {
        let (mut value, mut shift) = (0_i64, 0_u32);
        loop {
            let byte = bytes.next().ok_or("packed counts end within a number")?;
            let bits = byte
                .checked_sub(b'0')
                .filter(|bits| *bits < 64)
                .ok_or("packed counts hold a bad character")?;
            if shift > 55 {
                return Err("packed counts hold a number that is too large".to_owned());
            }
            value |= i64::from(bits & 31) << shift;
            shift += 5;
            if bits & 32 == 0 {
                if bits & 16 != 0 {
                    value |= -1_i64 << shift;
                }
                break;
            }
        }
        let before = if counts.len() > 2 { counts[counts.len() - 2] } else { 0 };
        let count = before.checked_add_signed(value).ok_or("packed counts hold a negative run")?;
        counts.push(count);
    }
    Ok(counts)
}

/// The most pixels of a mask's bounding box that we lay out in memory.
const LARGEST_MASK: u64 = 1 << 28;

fn mask_outline([height, width]: [u32; 2], counts: &[u64]) -> Result<Polygon, String> {
    let all = u64::from(height) * u64::from(width);
    let total = counts.iter().try_fold(0_u64, |sum, &count| sum.checked_add(count));
    if total != Some(all) {
        return Err(format!("run lengths do not add up to {height} x {width}"));
    }
    let height = u64::from(height);
    let pixel = |index: u64| ((index / height) as u32, (index % height) as u32);
    let mut runs = Vec::new();
    let mut at = 0;
    for pair in counts.chunks(2) {
        at += pair[0];
        if let Some(&length) = pair.get(1).filter(|length| **length > 0) {
            runs.push((at, at + length));
            at += length;
        }
    }
    let Some(bounds) = bounds_of(&runs, pixel, height as u32) else { return Ok(Polygon::default()) };
    let (wide, high) = (u64::from(bounds.x1 - bounds.x0), u64::from(bounds.y1 - bounds.y0));
    if wide * high > LARGEST_MASK {
        return Err(format!("mask spans {wide} x {high} px, expected at most {LARGEST_MASK} px"));
    }
    let mut inside = vec![false; (wide * high) as usize];
    for (from, to) in runs {
        for index in from..to {
            let (x, y) = pixel(index);
            let (x, y) = (u64::from(x - bounds.x0), u64::from(y - bounds.y0));
            inside[(y * wide + x) as usize] = true;
        }
    }
    let at = |x: u32, y: u32| u64::from(y - bounds.y0) * wide + u64::from(x - bounds.x0);
    Ok(trace(bounds, |x, y| inside[at(x, y) as usize]))
}

/// Runs go down columns; one that goes on in the next column spans all rows.
fn bounds_of(runs: &[(u64, u64)], pixel: impl Fn(u64) -> (u32, u32), height: u32) -> Option<PixelBounds> {
    let (first, _) = runs.first()?;
    let (x, y) = pixel(*first);
    let mut bounds = PixelBounds::of_pixel(x, y);
    for &(from, to) in runs {
        let ((x0, y0), (x1, y1)) = (pixel(from), pixel(to - 1));
        bounds.include(x0, y0);
        bounds.include(x1, y1);
        if x0 != x1 {
            bounds.y0 = 0;
            bounds.y1 = height;
        }
    }
    Some(bounds)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parsed(text: &str, detail: Detail) -> Result<ObjectSet> {
        assert!(looks_like(text));
        read(text, Path::new("truth.json"), &ReadSettings { detail, ..ReadSettings::default() })
    }

    const DATA: &str = r#"{"images":[{"id":9,"file_name":"b.png","width":6,"height":5},{"id":3,"file_name":"a.png"}],
        "categories":[{"id":2,"name":"stroma"},{"id":1,"name":"tumour"}],
        "annotations":[
         {"id":7,"image_id":9,"category_id":1,"bbox":[1,1,3,3],"iscrowd":0,
          "segmentation":{"size":[5,6],"counts":[6,3,2,3,16]}},
         {"id":8,"image_id":3,"category_id":2,"bbox":[0,0,10,10],"iscrowd":1,
          "segmentation":[[0,0,10,0,10,10,0,10]]}]}"#;

    #[test]
    fn images_and_classes_go_by_their_numbers() {
        let set = parsed(DATA, Detail::Full).unwrap();
        let names: Vec<&str> = set.images.iter().map(|image| image.name.as_str()).collect();
        assert_eq!(names, ["a.png", "b.png"]);
        assert_eq!(set.image_of(&set.objects[0]).name, "b.png");
        assert_eq!(set.class_name(set.objects[0].class), "tumour");
        // Two columns of three pixels.
        assert_eq!(set.objects[0].shape.area(), 6.0);
        assert_eq!(
            set.objects[0].shape.bounds(),
            Level0Box::new(euclid::point2(1.0, 1.0), euclid::point2(3.0, 4.0))
        );
        assert_eq!(set.objects[1].role, Role::Crowd);
    }

    #[test]
    fn boxes_are_those_of_the_file() {
        let set = parsed(DATA, Detail::Boxes).unwrap();
        assert_eq!(set.objects[0].shape.area(), 9.0);
    }

    #[test]
    fn results_know_numbers_only_and_meet_the_truth_by_them() {
        let results =
            parsed(r#"[{"image_id":9,"category_id":1,"bbox":[1,1,3,3],"score":0.5}]"#, Detail::Boxes);
        let mut truth = parsed(DATA, Detail::Boxes).unwrap();
        let aligned = crate::objects::align(&mut truth, results.unwrap()).unwrap();
        assert_eq!(aligned.set.objects[0].image, ImageId(1));
        assert_eq!(aligned.set.class_name(aligned.set.objects[0].class), "tumour");
    }

    #[test]
    fn packed_counts_are_those_of_pycocotools() {
        // Both made with pycocotools 2.0.11.
        assert_eq!(unpacked("6320>").unwrap(), [6, 3, 2, 3, 16]);
        let long = unpacked("c2R160gP1POYPO000000000000000000000000000^3^2").unwrap();
        assert_eq!(long[..9], [83, 34, 6, 34, 1053, 2, 38, 2, 38]);
        assert_eq!(long[long.len() - 3..], [2, 148, 80]);
        assert!(unpacked("6\u{7f}").is_err());
        assert!(unpacked("h").is_err());
    }

    #[test]
    fn errors_name_the_annotation() {
        let lost = DATA.replace("\"image_id\":3", "\"image_id\":4");
        let message = parsed(&lost, Detail::Full).unwrap_err().to_string();
        assert!(message.starts_with("bad COCO JSON, annotation 1: image_id 4"), "{message}");
        let short = DATA.replace("[6,3,2,3,16]", "[6,3,2,3]");
        assert!(parsed(&short, Detail::Full).unwrap_err().to_string().contains("do not add up to 5 x 6"));
    }
}
