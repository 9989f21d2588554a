//! Annotated or predicted objects, and the sets they come in.
//!
//! All coordinates are level-0 px of the object's own image (for a plain
//! picture: its pixels), x right, y down, whole numbers on pixel corners.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wsi_types::{ClassId, Level0Box, Level0Point, Mpp};

pub use crate::names::stem;
use crate::{
    EvalError,
    error::Result,
    names::composed,
    polygon::{Polygon, covered_area},
};

/// The class of objects whose file does not know classes.
pub const UNNAMED_CLASS: &str = "object";

/// The place of an image in [`ObjectSet::images`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageId(pub u32);

/// Facts about one image or slide that do not need its pixels.
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
    /// Patient, slide or field: the unit that a split keeps together and the bootstrap draws. The image
    /// itself when absent.
    pub group: Option<String>,
    /// The area that was really looked at, in mm², when that is less than the
    /// whole image (tissue only).
    pub analysed_mm2: Option<f64>,
    /// Predictions below this score were left out before they were written, when
    /// the file says so.
    pub cut_at: Option<f32>,
}

impl Image {
    /// An image of which only the name is known.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        let name = name.into();
        let name = match composed(&name) {
            std::borrow::Cow::Owned(composed) => composed,
            std::borrow::Cow::Borrowed(_) => name,
        };
        Self { name, ..Self::default() }
    }

    /// `true` if only its COCO number is known.
    #[must_use]
    pub fn has_number_only(&self) -> bool {
        self.number.is_some_and(|number| self.name == number.to_string())
    }

    /// Takes over from `other`, the same image in another file, the facts that are missing here.
    pub(crate) fn complete(&mut self, other: &Self) {
        self.size = self.size.or(other.size);
        self.mpp = self.mpp.or(other.mpp);
        self.analysed_mm2 = self.analysed_mm2.or(other.analysed_mm2);
        self.cut_at = self.cut_at.or(other.cut_at);
        if self.group.is_none() {
            self.group.clone_from(&other.group);
        }
    }

    /// Patient, slide or field; the image's own name when none was given.
    #[must_use]
    pub fn group(&self) -> &str {
        self.group.as_deref().unwrap_or(&self.name)
    }
}

/// Role of an object: to be counted, or only to excuse predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// One object, to be found once.
    #[default]
    Object,
    /// Many objects of one class drawn as one (COCO `iscrowd`), or an object cut by the border: any number of
    /// predictions of its class may match it; they are neither hits nor false, and it is never missed.
    Crowd,
    /// An area nobody annotated: excuses predictions of every class.
    IgnoreArea,
}

/// Place and shape of an object, in level-0 px.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// A dot on its centre.
    Point(Level0Point),
    /// An upright box, ends excluded.
    Box(Level0Box),
    /// An outline, with holes and separate parts. Boxed, so that a million points do not each take the space
    /// of an outline.
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

    /// `true` if it covers `point`; a point covers nothing.
    #[must_use]
    pub fn contains(&self, point: Level0Point) -> bool {
        match self {
            Self::Point(_) => false,
            Self::Box(bounds) => bounds.contains(point),
            Self::Polygon(polygon) => polygon.contains(point),
        }
    }

    /// The shape as rings; `None` for points.
    #[must_use]
    pub fn to_polygon(&self) -> Option<Polygon> {
        match self {
            Self::Point(_) => None,
            Self::Box(bounds) => Some(Polygon::from_box(*bounds)),
            Self::Polygon(polygon) => Some((**polygon).clone()),
        }
    }

    /// The shape reduced to what `detail` needs.
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

/// Detail that is kept of an object's shape. Ignore areas always keep theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// All detail in the file.
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
    /// Place of its image in [`ObjectSet::images`].
    pub image: ImageId,
    /// Place of its class in [`ObjectSet::classes`].
    pub class: ClassId,
    /// Confidence of the model or annotator. Never NaN. `None` counts as 1.
    pub score: Option<f32>,
    /// Place and shape.
    pub shape: Shape,
    /// Role in the count.
    pub role: Role,
}

impl Object {
    /// The score, 1 when the file gave none.
    #[must_use]
    pub fn score_or_one(&self) -> f32 {
        self.score.unwrap_or(1.0)
    }
}

/// A class by its name and, in COCO files, its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// The numbers by which COCO results refer to it: several where a file, or
    /// several files together, have more than one category of its name.
    pub numbers: Vec<i64>,
}

impl Class {
    /// A class without numbers.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: composed(name).into_owned(), numbers: Vec::new() }
    }

    /// `true` if only its COCO number is known.
    #[must_use]
    pub fn has_number_only(&self) -> bool {
        matches!(self.numbers.as_slice(), [number] if self.name == number.to_string())
    }

    fn add_numbers(&mut self, numbers: &[i64]) {
        for number in numbers {
            if !self.numbers.contains(number) {
                self.numbers.push(*number);
            }
        }
    }
}

/// Objects of one source (a model, the truth, an annotator) with the images and
/// classes they refer to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ObjectSet {
    /// Every image looked at, also those in which nothing was found.
    pub images: Vec<Image>,
    /// Classes; [`Object::class`] is a place in this list.
    pub classes: Vec<Class>,
    /// Objects in the order of their files; sorted by image once [aligned](crate::align).
    pub objects: Vec<Object>,
}

impl ObjectSet {
    /// Returns the class with that name, added when new. Searches all classes: use a [`SetBuilder`] to add
    /// many.
    ///
    /// # Errors
    ///
    /// [`EvalError::TooManyClasses`].
    pub fn class_named(&mut self, name: &str) -> Result<ClassId> {
        let name = composed(name);
        let place = self.classes.iter().position(|class| class.name == name).unwrap_or_else(|| {
            self.classes.push(Class::named(&name));
            self.classes.len() - 1
        });
        class_id(place)
    }

    /// Returns the image with that name, added when new. Searches all images: use a [`SetBuilder`] to add
    /// many.
    pub fn image_named(&mut self, name: &str) -> ImageId {
        let name = composed(name);
        let place = self.images.iter().position(|image| image.name == name).unwrap_or_else(|| {
            self.images.push(Image::named(name));
            self.images.len() - 1
        });
        image_id(place)
    }

    /// The pixel size of an image, when known.
    #[must_use]
    pub fn image_mpp(&self, image: ImageId) -> Option<Mpp> {
        self.images[image.0 as usize].mpp
    }

    /// Renames classes; those that get the same name become one class. Classes that `rename` does not list
    /// keep their names.
    ///
    /// # Errors
    ///
    /// [`EvalError::TooManyClasses`].
    pub fn rename_classes(&mut self, rename: &BTreeMap<String, String>) -> Result<()> {
        let old = std::mem::take(&mut self.classes);
        let mut places = Vec::with_capacity(old.len());
        for class in &old {
            let place = self.class_named(rename.get(&class.name).unwrap_or(&class.name))?;
            self.classes[usize::from(place.0)].add_numbers(&class.numbers);
            places.push(place);
        }
        for object in &mut self.objects {
            object.class = places[usize::from(object.class.0)];
        }
        Ok(())
    }

    /// Makes all classes one, called `name`.
    pub fn merge_classes(&mut self, name: &str) {
        self.classes = vec![Class::named(name)];
        self.objects.iter_mut().for_each(|object| object.class = ClassId(0));
    }

    /// `true` if the source of this set has no classes.
    #[must_use]
    pub fn is_unclassed(&self) -> bool {
        self.classes.iter().all(|class| class.name == UNNAMED_CLASS)
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
        let mut both = SetBuilder::from(std::mem::take(self));
        both.append(other)?;
        *self = both.finish();
        Ok(())
    }

    /// Leaves out the images that are not `kept` (by place), with their objects.
    pub fn retain_images(&mut self, kept: &[bool]) {
        let mut next = 0;
        let places: Vec<Option<u32>> = (kept.iter())
            .map(|kept| {
                let place = kept.then_some(next);
                next += u32::from(*kept);
                place
            })
            .collect();
        let mut of_images = kept.iter();
        self.images.retain(|_| of_images.next().copied().unwrap_or(false));
        self.objects.retain_mut(|object| match places[object.image.0 as usize] {
            Some(place) => {
                object.image = ImageId(place);
                true
            }
            None => false,
        });
    }

    /// Number of objects, if all of them are crowds: then there is nothing to find, though the file holds
    /// objects.
    #[must_use]
    pub fn crowds_alone(&self) -> Option<usize> {
        let alone = !self.objects.is_empty() && self.objects.iter().all(|object| object.role == Role::Crowd);
        alone.then_some(self.objects.len())
    }

    /// A name for each image, safe for file systems, without extension: its stem, with folders where others
    /// have the same.
    #[must_use]
    pub fn file_names(&self) -> Vec<String> {
        crate::names::file_names(&self.image_names())
    }

    /// The names of all images.
    #[must_use]
    pub fn image_names(&self) -> Vec<&str> {
        self.images.iter().map(|image| image.name.as_str()).collect()
    }

    /// The objects of each image, in the order of [`ObjectSet::images`]. The
    /// set must be sorted by image, as [`align`](crate::align::align) leaves it.
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

    /// Sorts objects as [`ObjectSet::per_image`] needs them; file order is kept within images.
    pub(crate) fn sort_by_image(&mut self) {
        self.objects.sort_by_key(|object| object.image);
    }
}

/// Puts a set together from objects that come with the names of their images and
/// classes, however many there are.
#[derive(Debug, Default)]
pub struct SetBuilder {
    set: ObjectSet,
    images: BTreeMap<String, ImageId>,
    classes: BTreeMap<String, ClassId>,
}

impl SetBuilder {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the image with that name, added when new.
    pub fn image_named(&mut self, name: &str) -> ImageId {
        match self.images.get(composed(name).as_ref()) {
            Some(id) => *id,
            None => self.add_image(Image::named(name)).0,
        }
    }

    /// Adds an image, or completes the one of the same name with its facts. Returns its id, and `true` if it
    /// is new.
    pub fn add_image(&mut self, image: Image) -> (ImageId, bool) {
        if let Some(&known) = self.images.get(&image.name) {
            self.image(known).complete(&image);
            return (known, false);
        }
        let id = image_id(self.set.images.len());
        self.images.insert(image.name.clone(), id);
        self.set.images.push(image);
        (id, true)
    }

    /// The facts of an image that was added.
    pub fn image(&mut self, id: ImageId) -> &mut Image {
        &mut self.set.images[id.0 as usize]
    }

    /// Returns the class with that name, added when new.
    ///
    /// # Errors
    ///
    /// [`EvalError::TooManyClasses`].
    pub fn class_named(&mut self, name: &str) -> Result<ClassId> {
        if let Some(&known) = self.classes.get(composed(name).as_ref()) {
            return Ok(known);
        }
        let class = Class::named(name);
        let id = class_id(self.set.classes.len())?;
        self.classes.insert(class.name.clone(), id);
        self.set.classes.push(class);
        Ok(id)
    }

    /// Returns the class with that name, which COCO files also know by `numbers`.
    ///
    /// # Errors
    ///
    /// [`EvalError::TooManyClasses`].
    pub fn class_numbered(&mut self, name: &str, numbers: &[i64]) -> Result<ClassId> {
        let id = self.class_named(name)?;
        self.set.classes[usize::from(id.0)].add_numbers(numbers);
        Ok(id)
    }

    /// Objects so far.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.set.objects.len()
    }

    /// Adds an object of an image and a class that were added.
    pub fn push(&mut self, object: Object) {
        self.set.objects.push(object);
    }

    /// Adds all of `other`: images and classes of the same name become one. Returns the number of images that
    /// were there already.
    ///
    /// # Errors
    ///
    /// [`EvalError::TooManyClasses`].
    pub fn append(&mut self, other: ObjectSet) -> Result<usize> {
        let classes = other.classes.iter().map(|class| self.class_numbered(&class.name, &class.numbers));
        let classes = classes.collect::<Result<Vec<_>>>()?;
        let (mut images, mut joined) = (Vec::with_capacity(other.images.len()), 0);
        for image in other.images {
            let (id, is_new) = self.add_image(image);
            joined += usize::from(!is_new);
            images.push(id);
        }
        self.set.objects.extend(other.objects.into_iter().map(|object| Object {
            image: images[object.image.0 as usize],
            class: classes[usize::from(object.class.0)],
            ..object
        }));
        Ok(joined)
    }

    /// The set.
    #[must_use]
    pub fn finish(self) -> ObjectSet {
        self.set
    }
}

impl From<ObjectSet> for SetBuilder {
    fn from(set: ObjectSet) -> Self {
        let images =
            set.images.iter().enumerate().map(|(place, image)| (image.name.clone(), image_id(place)));
        let classes = set.classes.iter().zip(0..).map(|(class, place)| (class.name.clone(), ClassId(place)));
        Self { images: images.collect(), classes: classes.collect(), set }
    }
}

fn image_id(place: usize) -> ImageId {
    ImageId(u32::try_from(place).unwrap_or(u32::MAX))
}

fn class_id(place: usize) -> Result<ClassId> {
    u16::try_from(place).map(ClassId).map_err(|_| EvalError::TooManyClasses)
}

/// Area of an image that counts for rates per mm²: the analysed area, or its whole size without the ignore
/// areas among `truth`. `None` when size or mpp are not known.
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn sets_put_together_keep_numbers_and_know_each_name_once() {
        let coco = |class: &str, number| {
            let mut one = SetBuilder::new();
            let image = one.image_named("s");
            one.image(image).number = Some(number);
            let class = one.class_numbered(class, &[number]).unwrap();
            one.push(Object { image, class, ..dot(0, 0) });
            one.finish()
        };
        let mut both = coco("nucleus", 0);
        both.append(coco("nucleus", 1)).unwrap();
        assert_eq!((both.images.len(), both.objects.len()), (1, 2));
        assert_eq!(both.classes, [Class { name: "nucleus".to_owned(), numbers: vec![0, 1] }]);
        both.rename_classes(&[("nucleus".to_owned(), "cell".to_owned())].into()).unwrap();
        assert_eq!(both.classes, [Class { name: "cell".to_owned(), numbers: vec![0, 1] }]);
    }

    #[test]
    fn names_are_one_however_their_accents_are_written() {
        let mut set = ObjectSet::default();
        assert_eq!(set.image_named("e\u{301}"), set.image_named("\u{e9}"));
        assert_eq!(set.class_named("e\u{301}").unwrap(), set.class_named("\u{e9}").unwrap());
    }

    #[test]
    fn ignore_areas_do_not_count_as_looked_at() {
        let image = Image { size: Some((1000.0, 1000.0)), mpp: Mpp::new(1.0).ok(), ..Image::named("i") };
        let bounds = Level0Box::new(euclid::point2(500.0, -10.0), euclid::point2(2000.0, 2000.0));
        let ignore = Object { role: Role::IgnoreArea, shape: Shape::Box(bounds), ..dot(0, 0) };
        assert_eq!(counted_area_mm2(&image, &[ignore.clone(), ignore]), Some(0.5));
    }
}
