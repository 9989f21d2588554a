//! Annotated or predicted objects, and the sets they come in.
//!
//! All coordinates are level-0 px of the object's own image (for a plain
//! picture: its pixels), x right, y down, whole numbers on pixel corners.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wsi_types::{ClassId, Level0Box, Level0Point, Mpp};

use crate::{
    EvalError,
    error::Result,
    polygon::{Polygon, covered_area},
};

/// The place of an image in [`ObjectSet::images`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageId(pub u32);

/// One image or slide: what is known of it without its pixels.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Image {
    /// The name by which the same image is found in another set.
    pub name: String,
    /// The number by which COCO results refer to it.
    pub number: Option<i64>,
    /// Width and height in level-0 px.
    pub size: Option<(f64, f64)>,
    /// µm per level-0 px.
    pub mpp: Option<Mpp>,
    /// Patient, slide or field: what must not be torn apart by a split, and
    /// what the bootstrap draws. The image itself when absent.
    pub group: Option<String>,
    /// The area that was really looked at, in mm², when that is less than the
    /// whole image (tissue only).
    pub analysed_mm2: Option<f64>,
}

impl Image {
    /// An image of which only the name is known.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Patient, slide or field; the image's own name when none was given.
    #[must_use]
    pub fn group(&self) -> &str {
        self.group.as_deref().unwrap_or(&self.name)
    }
}

/// What is counted, and what only excuses predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// One object, to be found once.
    #[default]
    Object,
    /// Many objects of one class drawn as one (COCO `iscrowd`), or an object
    /// cut by the border: any number of predictions of its class may match it;
    /// they are neither hits nor false, and it is no miss.
    Crowd,
    /// An area nobody annotated: excuses predictions of every class.
    IgnoreArea,
}

/// Where an object is, in level-0 px.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// A dot on its centre.
    Point(Level0Point),
    /// An upright box, ends excluded.
    Box(Level0Box),
    /// An outline, with holes and separate parts. Boxed, so that a million
    /// points do not pay for it.
    Polygon(Box<Polygon>),
}

impl Shape {
    /// The smallest upright box around it; a point's has no size.
    #[must_use]
    pub fn bounds(&self) -> Level0Box {
        match self {
            Self::Point(point) => Level0Box::new(*point, *point),
            Self::Box(bounds) => *bounds,
            Self::Polygon(polygon) => polygon.bounds(),
        }
    }

    /// Centre of mass.
    #[must_use]
    pub fn centroid(&self) -> Level0Point {
        match self {
            Self::Point(point) => *point,
            Self::Box(bounds) => bounds.center(),
            Self::Polygon(polygon) => polygon.centroid(),
        }
    }

    /// Area in px²; zero for points.
    #[must_use]
    pub fn area(&self) -> f64 {
        match self {
            Self::Point(_) => 0.0,
            Self::Box(bounds) => bounds.area(),
            Self::Polygon(polygon) => polygon.area(),
        }
    }

    /// Whether it covers `point`; a point covers nothing.
    #[must_use]
    pub fn contains(&self, point: Level0Point) -> bool {
        match self {
            Self::Point(_) => false,
            Self::Box(bounds) => bounds.contains(point),
            Self::Polygon(polygon) => polygon.contains(point),
        }
    }

    /// As rings; `None` for points.
    #[must_use]
    pub fn to_polygon(&self) -> Option<Polygon> {
        match self {
            Self::Point(_) => None,
            Self::Box(bounds) => Some(Polygon::from_box(*bounds)),
            Self::Polygon(polygon) => Some((**polygon).clone()),
        }
    }

    /// Reduced to what `detail` needs.
    #[must_use]
    pub fn reduced(self, detail: Detail) -> Self {
        match detail {
            Detail::Full => self,
            Detail::Boxes => match self {
                Self::Polygon(polygon) => Self::Box(polygon.bounds()),
                other => other,
            },
            Detail::Points => Self::Point(self.centroid()),
        }
    }
}

/// How much of an object's shape is kept. Ignore areas keep theirs always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// All that the file holds.
    #[default]
    Full,
    /// Boxes; where a file holds both a box and an outline, its box.
    Boxes,
    /// Centres of mass.
    Points,
}

/// One annotated or predicted object.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// The id it has in its file, or its place there.
    pub id: u64,
    /// Where it belongs in [`ObjectSet::images`].
    pub image: ImageId,
    /// Where its class stands in [`ObjectSet::classes`].
    pub class: ClassId,
    /// How sure the model or annotator is. Never NaN. `None` counts as 1.
    pub score: Option<f32>,
    /// Where it is.
    pub shape: Shape,
    /// Whether it is counted.
    pub role: Role,
}

impl Object {
    /// The score, 1 when the file gave none.
    #[must_use]
    pub fn score_or_one(&self) -> f32 {
        self.score.unwrap_or(1.0)
    }
}

/// A class by its name and, in COCO files, its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// The number by which COCO results refer to it.
    pub number: Option<i64>,
}

/// Objects of one source (a model, the truth, an annotator) with the images and
/// classes they refer to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ObjectSet {
    /// Every image looked at, also those in which nothing was found.
    pub images: Vec<Image>,
    /// Classes; [`Object::class`] is a place in this list.
    pub classes: Vec<Class>,
    /// In the order of their files; sorted by image once [`align`]ed.
    pub objects: Vec<Object>,
}

impl ObjectSet {
    /// The class of that name, added when new.
    ///
    /// # Errors
    ///
    /// [`EvalError::TooManyClasses`].
    pub fn class_named(&mut self, name: &str) -> Result<ClassId> {
        let place = self.classes.iter().position(|class| class.name == name).unwrap_or_else(|| {
            self.classes.push(Class { name: name.to_owned(), number: None });
            self.classes.len() - 1
        });
        u16::try_from(place).map(ClassId).map_err(|_| EvalError::TooManyClasses)
    }

    /// The image of that name, added when new.
    pub fn image_named(&mut self, name: &str) -> ImageId {
        let place = self.images.iter().position(|image| image.name == name).unwrap_or_else(|| {
            self.images.push(Image::named(name));
            self.images.len() - 1
        });
        ImageId(u32::try_from(place).unwrap_or(u32::MAX))
    }

    /// The pixel size of an image, when known.
    #[must_use]
    pub fn image_mpp(&self, image: ImageId) -> Option<Mpp> {
        self.images[image.0 as usize].mpp
    }

    /// Renames classes; those that get one name become one class. Classes that
    /// `rename` does not know keep theirs.
    ///
    /// # Errors
    ///
    /// [`EvalError::TooManyClasses`].
    pub fn rename_classes(&mut self, rename: &BTreeMap<String, String>) -> Result<()> {
        let old = std::mem::take(&mut self.classes);
        let mut places = Vec::with_capacity(old.len());
        for class in &old {
            let name = rename.get(&class.name).unwrap_or(&class.name);
            let place = self.class_named(name)?;
            if name == &class.name {
                self.classes[usize::from(place.0)].number = class.number;
            }
            places.push(place);
        }
        for object in &mut self.objects {
            object.class = places[usize::from(object.class.0)];
        }
        Ok(())
    }

    /// Makes all classes one, called `name`.
    pub fn merge_classes(&mut self, name: &str) {
        self.classes = vec![Class { name: name.to_owned(), number: None }];
        self.objects.iter_mut().for_each(|object| object.class = ClassId(0));
    }

    /// Whether the source of this set knows no classes.
    #[must_use]
    pub fn is_unclassed(&self) -> bool {
        self.classes.iter().all(|class| class.name == crate::truth::UNNAMED_CLASS)
    }

    /// The image an object belongs to.
    #[must_use]
    pub fn image_of(&self, object: &Object) -> &Image {
        &self.images[object.image.0 as usize]
    }

    /// The name of an object's class.
    #[must_use]
    pub fn class_name(&self, class: ClassId) -> &str {
        &self.classes[usize::from(class.0)].name
    }

    /// Gives every image without a pixel size this one.
    pub fn assume_mpp(&mut self, mpp: Mpp) {
        for image in &mut self.images {
            image.mpp.get_or_insert(mpp);
        }
    }

    /// Adds all of `other`: images and classes of the same name become one.
    ///
    /// # Errors
    ///
    /// [`EvalError::TooManyClasses`].
    pub fn append(&mut self, other: Self) -> Result<()> {
        let classes =
            other.classes.iter().map(|class| self.class_named(&class.name)).collect::<Result<Vec<_>>>()?;
        let mut places: BTreeMap<String, u32> =
            self.images.iter().map(|image| image.name.clone()).zip(0..).collect();
        let images: Vec<ImageId> = (other.images.into_iter())
            .map(|image| {
                let next = self.images.len() as u32;
                let place = *places.entry(image.name.clone()).or_insert(next);
                if place == next {
                    self.images.push(image);
                }
                ImageId(place)
            })
            .collect();
        self.objects.extend(other.objects.into_iter().map(|object| Object {
            image: images[object.image.0 as usize],
            class: classes[usize::from(object.class.0)],
            ..object
        }));
        Ok(())
    }

    /// The objects of each image, in the order of [`ObjectSet::images`]. The
    /// set must be sorted by image, as [`align`] leaves it.
    #[must_use]
    pub fn per_image(&self) -> Vec<&[Object]> {
        let mut rest = self.objects.as_slice();
        (0..self.images.len() as u32)
            .map(|image| {
                let end = rest.partition_point(|object| object.image.0 <= image);
                let (these, after) = rest.split_at(end);
                rest = after;
                these
            })
            .collect()
    }

    /// As [`ObjectSet::per_image`] wants it; file order is kept within images.
    pub(crate) fn sort_by_image(&mut self) {
        self.objects.sort_by_key(|object| object.image);
    }
}

/// Area of an image that counts for rates per mm²: what was analysed, or its
/// whole size less the ignore areas among `truth`. `None` when size or mpp are
/// not known.
#[must_use]
pub fn counted_area_mm2(image: &Image, truth: &[Object]) -> Option<f64> {
    if image.analysed_mm2.is_some() {
        return image.analysed_mm2;
    }
    let (width, height) = image.size?;
    let mpp = image.mpp?.get();
    let ignored: Vec<Polygon> = (truth.iter())
        .filter(|object| object.role == Role::IgnoreArea)
        .filter_map(|object| object.shape.to_polygon())
        .collect();
    let ignored: Vec<&Polygon> = ignored.iter().collect();
    let all = Level0Box::new(Level0Point::zero(), euclid::point2(width, height));
    Some((all.area() - covered_area(&ignored, all)) * mpp * mpp * 1e-6)
}

/// A set brought to the images and classes of another, and how well that went.
#[derive(Debug)]
pub struct Aligned {
    /// Same images and classes as the reference, in its order; classes that
    /// only this set has stand after them in both.
    pub set: ObjectSet,
    /// By image of the reference: whether this set had it.
    pub present: Vec<bool>,
    /// Images the reference does not have; their objects were left out.
    pub unknown_images: Vec<String>,
}

/// Brings `other` to the images and classes of `reference`, so that ids mean
/// the same in both, and sorts both by image (stable: file order is kept).
///
/// Images are found by name, then by COCO number, then by name without folder
/// and extensions; a single image on both sides is the same one whatever its
/// name. Classes go by name, then by number.
///
/// # Errors
///
/// [`EvalError::AmbiguousImage`] when two images of one set claim one place;
/// [`EvalError::TooManyClasses`].
pub fn align(reference: &mut ObjectSet, other: ObjectSet) -> Result<Aligned> {
    let images = image_places(&reference.images, &other.images)?;
    let classes = class_places(reference, &other.classes)?;
    let mut set = ObjectSet {
        images: reference.images.clone(),
        classes: reference.classes.clone(),
        objects: Vec::with_capacity(other.objects.len()),
    };
    for (image, place) in other.images.iter().zip(&images) {
        if let Some(place) = place {
            complete(&mut set.images[*place as usize], image);
        }
    }
    for object in other.objects {
        if let Some(place) = images[object.image.0 as usize] {
            let class = classes[usize::from(object.class.0)];
            set.objects.push(Object { image: ImageId(place), class, ..object });
        }
    }
    reference.images.clone_from(&set.images);
    reference.sort_by_image();
    set.sort_by_image();
    let unknown_images = (other.images.iter().zip(&images))
        .filter(|(_, place)| place.is_none())
        .map(|(image, _)| image.name.clone())
        .collect();
    let mut present = vec![false; set.images.len()];
    images.iter().flatten().for_each(|place| present[*place as usize] = true);
    Ok(Aligned { set, present, unknown_images })
}

/// What one side knows of an image, the other may need.
fn complete(image: &mut Image, from: &Image) {
    image.size = image.size.or(from.size);
    image.mpp = image.mpp.or(from.mpp);
    image.analysed_mm2 = image.analysed_mm2.or(from.analysed_mm2);
    if image.group.is_none() {
        image.group.clone_from(&from.group);
    }
}

fn image_places(reference: &[Image], others: &[Image]) -> Result<Vec<Option<u32>>> {
    if let ([_], [_]) = (reference, others) {
        return Ok(vec![Some(0)]);
    }
    let index = |key: &dyn Fn(&Image) -> Option<String>| {
        let mut map: BTreeMap<String, Option<u32>> = BTreeMap::new();
        for (image, place) in reference.iter().zip(0..) {
            if let Some(key) = key(image) {
                // A key that two images share finds neither.
                map.entry(key).and_modify(|found| *found = None).or_insert(Some(place));
            }
        }
        map
    };
    let by_name = index(&|image| Some(image.name.clone()));
    let by_number = index(&|image| image.number.map(|number| number.to_string()));
    let by_stem = index(&|image| Some(stem(&image.name).to_owned()));
    let mut taken: BTreeMap<u32, &str> = BTreeMap::new();
    let mut places = Vec::with_capacity(others.len());
    for image in others {
        let number = image.number.map(|number| number.to_string());
        let place = (by_name.get(&image.name))
            .or_else(|| by_number.get(number.as_ref()?))
            .or_else(|| by_stem.get(stem(&image.name)))
            .copied()
            .flatten();
        if let Some(place) = place
            && taken.insert(place, &image.name).is_some()
        {
            return Err(EvalError::AmbiguousImage { name: image.name.clone() });
        }
        places.push(place);
    }
    Ok(places)
}

fn class_places(reference: &mut ObjectSet, others: &[Class]) -> Result<Vec<ClassId>> {
    let mut places = Vec::with_capacity(others.len());
    for class in others {
        let by_number = || {
            let number = class.number?;
            let place = reference.classes.iter().position(|known| known.number == Some(number))?;
            u16::try_from(place).ok().map(ClassId)
        };
        let known = reference.classes.iter().any(|known| known.name == class.name);
        let place = if known { None } else { by_number() };
        places.push(match place {
            Some(place) => place,
            None => reference.class_named(&class.name)?,
        });
    }
    Ok(places)
}

/// A name without its folder and its image or table extensions.
#[must_use]
pub fn stem(name: &str) -> &str {
    const EXTENSIONS: [&str; 20] = [
        "svs", "ndpi", "mrxs", "scn", "bif", "czi", "dcm", "tif", "tiff", "ome", "png", "jpg", "jpeg",
        "geojson", "json", "csv", "tsv", "parquet", "gz", "txt",
    ];
    let mut name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    while let Some((before, extension)) = name.rsplit_once('.') {
        let known = EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known));
        if !known || before.is_empty() {
            break;
        }
        name = before;
    }
    name
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn set(images: &[&str], classes: &[&str]) -> ObjectSet {
        let mut set = ObjectSet::default();
        for name in images {
            set.image_named(name);
        }
        for name in classes {
            set.class_named(name).unwrap();
        }
        set
    }

    fn dot(image: u32, class: u16) -> Object {
        Object {
            id: 0,
            image: ImageId(image),
            class: ClassId(class),
            score: None,
            shape: Shape::Point(euclid::point2(1.0, 2.0)),
            role: Role::Object,
        }
    }

    #[test]
    fn names_lose_folders_and_known_extensions_only() {
        assert_eq!(stem("a/b/TCGA-1.2.OME.tiff"), "TCGA-1.2");
        assert_eq!(stem("x_0.986"), "x_0.986");
        assert_eq!(stem(".svs"), ".svs");
    }

    #[test]
    fn alignment_goes_by_name_and_keeps_new_classes() {
        let mut truth = set(&["one.png", "two.png"], &["a"]);
        let mut other = set(&["two.geojson", "three", "one.png"], &["b", "a"]);
        other.objects = vec![dot(0, 0), dot(1, 1), dot(2, 1)];
        let aligned = align(&mut truth, other).unwrap();
        assert_eq!(aligned.unknown_images, ["three"]);
        assert_eq!(aligned.present, [true, true]);
        let places: Vec<_> = aligned.set.objects.iter().map(|o| (o.image.0, o.class.0)).collect();
        assert_eq!(places, [(0, 0), (1, 1)]);
        assert_eq!(truth.classes, aligned.set.classes);
        assert_eq!(truth.classes.len(), 2);
        assert_eq!(aligned.set.per_image().iter().map(|o| o.len()).collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn one_image_meets_one_image_whatever_their_names() {
        let mut truth = set(&["annotations"], &[]);
        assert!(align(&mut truth, set(&["slide-17"], &[])).unwrap().unknown_images.is_empty());
    }

    #[test]
    fn two_images_of_one_stem_are_refused() {
        let mut truth = set(&["001.svs", "x"], &[]);
        let other = set(&["001.json", "001.geojson"], &[]);
        assert!(matches!(align(&mut truth, other), Err(EvalError::AmbiguousImage { .. })));
    }

    #[test]
    fn ignore_areas_do_not_count_as_looked_at() {
        let image = Image { size: Some((1000.0, 1000.0)), mpp: Mpp::new(1.0).ok(), ..Image::named("i") };
        let bounds = Level0Box::new(euclid::point2(500.0, -10.0), euclid::point2(2000.0, 2000.0));
        let ignore = Object { role: Role::IgnoreArea, shape: Shape::Box(bounds), ..dot(0, 0) };
        assert_eq!(counted_area_mm2(&image, &[ignore.clone(), ignore]), Some(0.5));
    }
}
