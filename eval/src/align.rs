//! Two sets brought to the same images and classes.

use std::collections::BTreeMap;

use wsi_types::ClassId;

use crate::{
    EvalError,
    error::Result,
    names::{Found, NameIndex},
    objects::{Class, Image, Object, ObjectSet},
};

/// A set brought to the images and classes of another, with the images that did not fit.
#[derive(Debug)]
pub struct Aligned {
    /// Same images and classes as the reference, in its order; classes that
    /// only this set has stand after them in both.
    pub set: ObjectSet,
    /// By image of the reference: `true` if this set had it.
    pub present: Vec<bool>,
    /// Images the reference does not have; their objects were left out.
    pub unknown_images: Vec<String>,
}

/// Brings `other` to the images and classes of `reference`, so that ids mean
/// the same in both, and sorts both by image (stable: file order is kept).
///
/// Images and classes that only have a number (COCO results name neither) are matched by the number the other
/// side gives them. Other images are matched by name without extension, and among several of one name by
/// their folders ([`NameIndex`]); a single image on both sides is always the same one. Classes are matched by
/// name.
///
/// # Errors
///
/// [`EvalError::AmbiguousImage`] and [`EvalError::AmbiguousNumber`] when a name or number fits several;
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
            set.images[*place as usize].complete(image);
        }
    }
    for object in other.objects {
        if let Some(place) = images[object.image.0 as usize] {
            let class = classes[usize::from(object.class.0)];
            set.objects.push(Object { image: crate::objects::ImageId(place), class, ..object });
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

/// Place of each of `others` in `reference`; `None` for those it lacks.
fn image_places(reference: &[Image], others: &[Image]) -> Result<Vec<Option<u32>>> {
    if let ([_], [_]) = (reference, others) {
        return Ok(vec![Some(0)]);
    }
    let by_name = NameIndex::new(reference.iter().map(|image| image.name.as_str()));
    let by_number = Numbers::new(reference.iter().map(|image| image.number.as_slice()));
    let mut places = vec![None; others.len()];
    // By place in the reference: the image that claims it, and the number of folders that agree.
    let mut claims: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
    for (this, image) in others.iter().enumerate() {
        let found = match image.number {
            Some(number) if image.has_number_only() && !by_number.is_empty() => {
                by_number.find(number, "image")?.map(|place| (place, usize::MAX))
            }
            number => match (by_name.find(&image.name), number) {
                (Found::One { place, folders }, _) => Some((place, folders)),
                (Found::Several, _) => return Err(EvalError::AmbiguousImage { name: image.name.clone() }),
                // A reference of numbers learns its names from here.
                (Found::Nothing, Some(number)) => by_number
                    .find(number, "image")?
                    .filter(|place| reference[*place as usize].has_number_only())
                    .map(|place| (place, usize::MAX)),
                (Found::Nothing, None) => None,
            },
        };
        let Some((place, folders)) = found else { continue };
        match claims.get(&place) {
            Some((_, better)) if *better > folders => continue,
            Some((_, equal)) if *equal == folders => {
                return Err(EvalError::AmbiguousImage { name: image.name.clone() });
            }
            Some((worse, _)) => places[*worse] = None,
            None => {}
        }
        claims.insert(place, (this, folders));
        places[this] = Some(place);
    }
    Ok(places)
}

fn class_places(reference: &mut ObjectSet, others: &[Class]) -> Result<Vec<ClassId>> {
    let by_number = Numbers::new(reference.classes.iter().map(|class| class.numbers.as_slice()));
    let bare: Vec<bool> = reference.classes.iter().map(Class::has_number_only).collect();
    let mut places = Vec::with_capacity(others.len());
    for class in others {
        let known = reference.classes.iter().position(|known| known.name == class.name);
        let numbered = match class.numbers.first() {
            Some(&number) if class.has_number_only() => by_number.find(number, "category")?,
            // A reference of numbers learns its names from here.
            Some(&number) if known.is_none() => {
                by_number.find(number, "category")?.filter(|place| bare[*place as usize])
            }
            _ => None,
        };
        places.push(match numbered {
            Some(place) => {
                if bare[place as usize] {
                    reference.classes[place as usize].name.clone_from(&class.name);
                }
                ClassId(place as u16)
            }
            None => reference.class_named(&class.name)?,
        });
    }
    Ok(places)
}

/// Images or classes by COCO number: the places that each number can mean.
struct Numbers(BTreeMap<i64, Vec<u32>>);

impl Numbers {
    fn new<'a>(of_each: impl Iterator<Item = &'a [i64]>) -> Self {
        let mut places: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (numbers, place) in of_each.zip(0..) {
            numbers.iter().for_each(|number| places.entry(*number).or_default().push(place));
        }
        Self(places)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, number: i64, what: &'static str) -> Result<Option<u32>> {
        match self.0.get(&number).map(Vec::as_slice) {
            None | Some([]) => Ok(None),
            Some([place]) => Ok(Some(*place)),
            Some(several) => Err(EvalError::AmbiguousNumber { what, number, meanings: several.len() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::{ImageId, Role, Shape};

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

    /// A set as COCO has it: names with numbers.
    fn numbered(images: &[(&str, i64)], classes: &[(&str, i64)]) -> ObjectSet {
        let images =
            images.iter().map(|&(name, number)| Image { number: Some(number), ..Image::named(name) });
        let classes =
            classes.iter().map(|&(name, number)| Class { name: name.to_owned(), numbers: vec![number] });
        ObjectSet { images: images.collect(), classes: classes.collect(), objects: Vec::new() }
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
    fn two_images_of_one_name_are_told_apart_by_folder_or_refused() {
        let mut truth = set(&["001.svs", "x"], &[]);
        let other = set(&["001.json", "001.geojson"], &[]);
        assert!(matches!(align(&mut truth, other), Err(EvalError::AmbiguousImage { .. })));
        let mut truth = set(&["truth/a/001", "truth/b/001"], &[]);
        let mut other = set(&["/data/b/001.svs", "/data/a/001.svs"], &["c"]);
        other.objects = vec![dot(0, 0), dot(1, 0)];
        other.objects[0].id = 7;
        let aligned = align(&mut truth, other.clone()).unwrap();
        assert_eq!(aligned.set.objects.iter().map(|o| o.id).collect::<Vec<_>>(), [0, 7]);
        // The image whose folder agrees is the right one; the other is not known.
        let mut truth = set(&["truth/a/001", "truth/a/002"], &[]);
        assert_eq!(align(&mut truth, other).unwrap().unknown_images, ["/data/b/001.svs"]);
        let mut truth = set(&["a/001", "b/001"], &[]);
        let other = set(&["001", "002"], &[]);
        assert!(matches!(align(&mut truth, other), Err(EvalError::AmbiguousImage { .. })));
    }

    #[test]
    fn results_of_numbers_go_by_the_numbers_of_the_truth() {
        let mut truth = numbered(&[("2.png", 1), ("b.png", 2)], &[("stroma", 2), ("tumour", 1)]);
        let mut results = numbered(&[("2", 2), ("7", 7)], &[("1", 1), ("9", 9)]);
        results.objects = vec![dot(0, 0)];
        let aligned = align(&mut truth, results).unwrap();
        // "2" is the second image, and not the one whose file has that name.
        assert_eq!(aligned.present, [false, true]);
        assert_eq!(aligned.unknown_images, ["7"]);
        assert_eq!(aligned.set.class_name(aligned.set.objects[0].class), "tumour");
        let names: Vec<&str> = truth.classes.iter().map(|class| class.name.as_str()).collect();
        assert_eq!(names, ["stroma", "tumour", "9"]);
    }

    #[test]
    fn numbers_of_two_named_files_mean_nothing_to_each_other() {
        let mut truth = numbered(&[("a.png", 1), ("b.png", 2)], &[("tumour", 1)]);
        let other = numbered(&[("c.png", 1), ("b.png", 9)], &[("lymphocyte", 1)]);
        let aligned = align(&mut truth, other).unwrap();
        assert_eq!((aligned.present, aligned.unknown_images), (vec![false, true], vec!["c.png".to_owned()]));
        assert_eq!(truth.classes.len(), 2);
    }

    #[test]
    fn a_reference_of_numbers_learns_names() {
        let mut results = numbered(&[("1", 1), ("2", 2)], &[("1", 1)]);
        let aligned = align(&mut results, numbered(&[("a.png", 2), ("b.png", 1)], &[("tumour", 1)])).unwrap();
        assert_eq!(aligned.present, [true, true]);
        assert_eq!((results.classes.len(), results.classes[0].name.as_str()), (1, "tumour"));
    }

    #[test]
    fn a_number_with_two_meanings_is_refused() {
        let mut truth = numbered(&[("a.png", 1), ("b.png", 1)], &[("tumour", 1), ("stroma", 1)]);
        let images = align(&mut truth, numbered(&[("1", 1), ("2", 2)], &[])).unwrap_err();
        assert!(matches!(images, EvalError::AmbiguousNumber { what: "image", number: 1, meanings: 2 }));
        let classes = align(&mut truth, numbered(&[("a.png", 1)], &[("1", 1)])).unwrap_err();
        assert!(matches!(classes, EvalError::AmbiguousNumber { what: "category", number: 1, meanings: 2 }));
    }
}
