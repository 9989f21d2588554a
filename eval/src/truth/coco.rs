//! COCO JSON: data sets with `annotations`, and lists of results.

use std::{borrow::Cow, collections::BTreeMap, path::Path};

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::{Value, value::RawValue};
use wsi_types::{ClassId, Level0Box, wording::counted};

use super::{
    files::{Source, malformed},
    mask::{PixelBounds, trace},
    outline::is_sliver,
    reading::Reading,
    remarks::{Remark, Remarks},
    settings::ReadSettings,
    text::without_nan,
};
use crate::{
    error::Result,
    objects::{Detail, Image, ImageId, Object, Role, SetBuilder, Shape},
    polygon::{Polygon, Ring},
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
    id: Id,
    file_name: Option<String>,
    width: Option<f64>,
    height: Option<f64>,
}

#[derive(Deserialize)]
struct Category {
    id: Id,
    name: String,
}

#[derive(Deserialize)]
struct Annotation {
    id: Option<Id>,
    image_id: Id,
    category_id: Id,
    /// Empty where there is none.
    bbox: Option<Vec<f64>>,
    segmentation: Option<Segmentation>,
    #[serde(default, deserialize_with = "yes_or_no")]
    iscrowd: bool,
    score: Option<f32>,
}

/// Id of an image, a category or an annotation. pandas writes whole numbers as floats, and some tools write
/// texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Id {
    Number(i64),
    Text(String),
}

impl Id {
    fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) => None,
        }
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Beyond this, floats cannot hold every whole number.
        const LARGEST: f64 = 9_007_199_254_740_992.0;
        match Value::deserialize(deserializer)? {
            // A text is a number only in a number's usual spelling: not "+1" or "01".
            Value::String(text) => Ok(match text.parse::<i64>() {
                Ok(number) if number.to_string() == text => Self::Number(number),
                _ => Self::Text(text),
            }),
            Value::Number(number) => {
                let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= LARGEST);
                let whole = number.as_i64().or_else(|| float.map(|float| float as i64));
                whole
                    .map(Self::Number)
                    .ok_or_else(|| D::Error::custom(format!("id is {number}, expected a whole number")))
            }
            other => Err(D::Error::custom(format!("id is {other}, expected a number or a text"))),
        }
    }
}

/// Reads 0 or 1, which some tools write as a float, a truth value or nothing.
fn yes_or_no<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(false),
        Value::Bool(yes) => Ok(yes),
        Value::Number(number) => Ok(number.as_f64() != Some(0.0)),
        other => Err(D::Error::custom(format!("iscrowd is {other}, expected 0 or 1"))),
    }
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

/// `true` for COCO, as against GeoJSON, by its keys, without parsing all of it.
pub(super) fn looks_like(text: &str) -> bool {
    if text.trim_start().starts_with('[') {
        return text.contains("\"image_id\"");
    }
    !text.contains("\"FeatureCollection\"") && text.contains("\"annotations\"") && text.contains("\"images\"")
}

pub(super) fn read(text: &str, source: &Source<'_>, settings: &ReadSettings) -> Result<Reading> {
    let text: Cow<'_, str> = without_nan(text);
    let is_list = text.trim_start().starts_with('[');
    let data = data_set(&text, is_list).map_err(|error| {
        malformed(FORMAT, format!("line {}", error.line()), error.to_string(), source.path)
    })?;
    let mut reader = Reader::new(data.images, data.categories, is_list, source.path)?;
    for (place, raw) in data.annotations.into_iter().enumerate() {
        let at = format!("annotation {place}");
        let object = serde_json::from_str(raw.get())
            .map_err(|error| error.to_string())
            .and_then(|annotation| reader.object(place, annotation, settings))
            .map_err(|problem| malformed(FORMAT, &at, problem, source.path))?;
        match object {
            Some(object) => reader.set.push(object),
            None => reader.remarks.add(Remark::Placeless, 1, || source.at(&at)),
        }
        let slivers = std::mem::take(&mut reader.slivers);
        reader.remarks.add(Remark::Sliver, slivers, || source.at(&at));
    }
    let (set, remarks) = (reader.set.finish(), reader.remarks);
    Ok(Reading { set, remarks, omits_empty_images: is_list, ..Reading::default() })
}

fn data_set(text: &str, is_list: bool) -> serde_json::Result<DataSet<'_>> {
    if !is_list {
        return serde_json::from_str(text);
    }
    let annotations = serde_json::from_str(text)?;
    Ok(DataSet { images: Vec::new(), annotations, categories: Vec::new() })
}

/// Images and classes by their ids. Lists of results name neither, so there the ids are the names.
struct Reader {
    set: SetBuilder,
    images: BTreeMap<Id, ImageId>,
    classes: BTreeMap<Id, ClassId>,
    is_list: bool,
    remarks: Remarks,
    /// Outlines without area in the object that is being read.
    slivers: u64,
}

impl Reader {
    fn new(
        mut images: Vec<CocoImage>,
        mut categories: Vec<Category>,
        is_list: bool,
        path: &Path,
    ) -> Result<Self> {
        // By number, as pycocotools walks them: ties of score fall the same way.
        images.sort_by(|a, b| a.id.cmp(&b.id));
        categories.sort_by(|a, b| a.id.cmp(&b.id));
        let mut reader = Self {
            set: SetBuilder::new(),
            images: BTreeMap::new(),
            classes: BTreeMap::new(),
            is_list,
            remarks: Remarks::default(),
            slivers: 0,
        };
        for image in images {
            let name = image.file_name.unwrap_or_else(|| image.id.to_string());
            let size = image.width.zip(image.height);
            if !reader.add_image(image.id, &name, size) {
                let problem = format!("two images have the file name {name:?}, expected one of each");
                return Err(malformed(FORMAT, "images", problem, path));
            }
        }
        for category in categories {
            reader.add_class(category.id, &category.name)?;
        }
        Ok(reader)
    }

    /// Adds an image; `true` if its name is new.
    fn add_image(&mut self, id: Id, name: &str, size: Option<(f64, f64)>) -> bool {
        let (place, is_new) = self.set.add_image(Image { number: id.number(), size, ..Image::named(name) });
        self.images.insert(id, place);
        is_new
    }

    fn add_class(&mut self, id: Id, name: &str) -> Result<ClassId> {
        let numbers: Vec<i64> = id.number().into_iter().collect();
        let class = self.set.class_numbered(name, &numbers)?;
        self.classes.insert(id, class);
        Ok(class)
    }

    fn image_of(&mut self, id: Id) -> Result<ImageId, String> {
        if let Some(known) = self.images.get(&id) {
            return Ok(*known);
        }
        if !self.is_list {
            return Err(format!("image_id {id} is not among the images"));
        }
        let name = id.to_string();
        let (place, _) = self.set.add_image(Image { number: id.number(), ..Image::named(name) });
        self.images.insert(id, place);
        Ok(place)
    }

    fn class_of(&mut self, id: Id) -> Result<ClassId, String> {
        match self.classes.get(&id) {
            Some(known) => Ok(*known),
            None if self.is_list => {
                let name = id.to_string();
                self.add_class(id, &name).map_err(|error| error.to_string())
            }
            None => Err(format!("category_id {id} is not among the categories")),
        }
    }

    /// Reads an annotation; `None` for one without a place.
    fn object(
        &mut self,
        place: usize,
        annotation: Annotation,
        settings: &ReadSettings,
    ) -> Result<Option<Object>, String> {
        let id = annotation.id.as_ref().and_then(Id::number).and_then(|id| u64::try_from(id).ok());
        let image = self.image_of(annotation.image_id)?;
        let class = self.class_of(annotation.category_id)?;
        let is_crowd = annotation.iscrowd && !settings.crowds_are_objects;
        let role = if is_crowd { Role::Crowd } else { Role::Object };
        let keeps_all = role == Role::Crowd && settings.detail != Detail::Boxes;
        let detail = if keeps_all { Detail::Full } else { settings.detail };
        let boxed = bbox(annotation.bbox.as_deref())?;
        let Some(shape) = shape(boxed, annotation.segmentation, detail, &mut self.slivers)? else {
            return Ok(None);
        };
        let score = annotation.score.filter(|score| !score.is_nan());
        Ok(Some(Object { id: id.unwrap_or(place as u64), image, class, score, shape, role }))
    }
}

fn bbox(numbers: Option<&[f64]>) -> Result<Option<Level0Box>, String> {
    match numbers {
        None | Some([]) => Ok(None),
        Some(&[x, y, width, height]) => {
            Ok(Some(Level0Box::new(euclid::point2(x, y), euclid::point2(x + width, y + height))))
        }
        Some(other) => {
            Err(format!("bbox has {}, expected x, y, width, height", counted(other.len(), "number")))
        }
    }
}

/// The outline if there is one; for [`Detail::Boxes`], the file's own box if there is one. `None` when there
/// is neither.
fn shape(
    bbox: Option<Level0Box>,
    segmentation: Option<Segmentation>,
    detail: Detail,
    slivers: &mut u64,
) -> Result<Option<Shape>, String> {
    let boxed = bbox.map(Shape::Box);
    if detail == Detail::Boxes && boxed.is_some() {
        return Ok(boxed);
    }
    let outline = segmentation.map(|segmentation| outline(segmentation, slivers)).transpose()?;
    let outline = outline.filter(|polygon| !polygon.rings.is_empty());
    let shape = outline.map(|polygon| Shape::Polygon(Box::new(polygon))).or(boxed);
    Ok(shape.map(|shape| shape.reduced(detail)))
}

/// Reads an outline. Parts without points are left out; those without area are left out and counted.
fn outline(segmentation: Segmentation, slivers: &mut u64) -> Result<Polygon, String> {
    match segmentation {
        Segmentation::Polygons(parts) => {
            let rings = parts.into_iter().filter(|part| !part.is_empty()).map(ring);
            let mut rings = rings.collect::<Result<Vec<_>, String>>()?;
            let before = rings.len();
            rings.retain(|ring| !is_sliver(ring));
            *slivers += (before - rings.len()) as u64;
            Ok(Polygon { rings })
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

fn ring(numbers: Vec<f64>) -> Result<Ring, String> {
    let (pairs, rest) = numbers.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(format!("polygon has {}, expected an even number", counted(numbers.len(), "number")));
    }
    Ok(pairs.iter().map(|&[x, y]| euclid::point2(x, y)).collect())
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

/// Largest bounding box of a mask, in px, that we lay out in memory.
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
    Ok(trace(bounds, |x, y| {
        let (x, y) = (u64::from(x - bounds.x0), u64::from(y - bounds.y0));
        inside[(y * wide + x) as usize]
    }))
}

/// Bounds of the runs. Runs go down columns; one that goes on in the next column spans all rows.
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
    use super::*;
    use crate::objects::ObjectSet;

    fn reading(text: &str, detail: Detail) -> Result<Reading> {
        assert!(looks_like(text));
        let source = Source::new(Path::new("truth.json"));
        read(text, &source, &ReadSettings { detail, ..ReadSettings::default() })
    }

    fn parsed(text: &str, detail: Detail) -> Result<ObjectSet> {
        reading(text, detail).map(|reading| reading.set)
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
        let aligned = crate::align::align(&mut truth, results.unwrap()).unwrap();
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
    /// [`DATA`] with `old`, which must be there, replaced by `new`.
    fn with(old: &str, new: &str) -> String {
        assert!(DATA.contains(old), "{old}");
        DATA.replace(old, new)
    }

    #[test]
    fn numbers_are_read_however_they_are_written() {
        let plain = parsed(DATA, Detail::Full).unwrap();
        for (old, new) in [
            ("\"id\":7", "\"id\":7.0"),
            ("\"image_id\":9", "\"image_id\":9.0"),
            ("\"image_id\":9", "\"image_id\":\"9\""),
            ("\"category_id\":2", "\"category_id\":2.0"),
            ("\"id\":3", "\"id\":3.0"),
            ("\"iscrowd\":1", "\"iscrowd\":true"),
            ("\"iscrowd\":1", "\"iscrowd\":1.0"),
            ("\"iscrowd\":0", "\"iscrowd\":false"),
            ("\"iscrowd\":0", "\"iscrowd\":null"),
            ("\"iscrowd\":0", "\"score\":NaN"),
            ("\"iscrowd\":0", "\"score\":null"),
            ("\"bbox\":[1,1,3,3]", "\"bbox\":[]"),
            ("[[0,0,10,0,10,10,0,10]]", "[[],[0,0,10,0,10,10,0,10]]"),
        ] {
            assert_eq!(parsed(&with(old, new), Detail::Full).unwrap(), plain, "{new}");
        }
        let text = with("\"id\":7", "\"id\":\"ann-7\"");
        assert_eq!(parsed(&text, Detail::Full).unwrap().objects[0].id, 0);
        for wrong in ["7.5", "true", "1e300"] {
            let text = with("\"image_id\":9", &format!("\"image_id\":{wrong}"));
            let message = parsed(&text, Detail::Full).unwrap_err().to_string();
            assert!(message.contains("annotation 0: id is"), "{message}");
        }
    }

    #[test]
    fn images_may_go_by_texts() {
        let text = DATA.replace("\"id\":9,", "\"id\":\"b\",").replace("\"image_id\":9", "\"image_id\":\"b\"");
        let set = parsed(&text, Detail::Full).unwrap();
        assert_eq!(set.image_of(&set.objects[0]).name, "b.png");
        let results =
            reading(r#"[{"image_id":"b","category_id":1,"bbox":[1,1,3,3],"score":0.5}]"#, Detail::Boxes)
                .unwrap();
        assert!(results.omits_empty_images);
        assert_eq!((results.set.images[0].name.as_str(), results.set.images[0].number), ("b", None));
    }

    #[test]
    fn outlines_without_area_leave_the_box_and_are_counted() {
        let mask = "{\"size\":[5,6],\"counts\":[6,3,2,3,16]}";
        for (segmentation, slivers) in [("[[10,10,20,20]]", 1), ("[[]]", 0), ("[]", 0), ("null", 0)] {
            let found = reading(&with(mask, segmentation), Detail::Full).unwrap();
            assert_eq!(found.set.objects[0].shape.area(), 9.0, "{segmentation}");
            assert_eq!(found.remarks.count(Remark::Sliver), slivers, "{segmentation}");
        }
        let nowhere = with(mask, "[]").replace("\"bbox\":[1,1,3,3]", "\"bbox\":[]");
        let found = reading(&nowhere, Detail::Boxes).unwrap();
        assert_eq!((found.set.objects.len(), found.remarks.count(Remark::Placeless)), (1, 1));
        let said = found.remarks.left_out().unwrap();
        assert!(said.ends_with("the first: annotation 0: truth.json"), "{said}");
    }

    #[test]
    fn crowds_are_objects_when_asked() {
        let source = Source::new(Path::new("truth.json"));
        let settings = ReadSettings { crowds_are_objects: true, ..ReadSettings::default() };
        let set = read(DATA, &source, &settings).unwrap().set;
        assert!(set.objects.iter().all(|object| object.role == Role::Object));
    }

    #[test]
    fn categories_of_one_name_are_one_class_with_two_numbers() {
        let set = parsed(&with("\"stroma\"", "\"tumour\""), Detail::Boxes).unwrap();
        assert_eq!((set.classes.len(), set.classes[0].numbers.as_slice()), (1, &[1, 2][..]));
    }

    #[test]
    fn two_images_of_one_file_name_are_refused() {
        let message = parsed(&with("a.png", "b.png"), Detail::Boxes).unwrap_err().to_string();
        assert!(message.contains("two images have the file name \"b.png\""), "{message}");
    }
}
