//! Answers of another program to the same picture, and how far ours are from them.

use serde::Deserialize;
use wsi_types::{ClassMap, Detection, WindowBox, wording::counted};

use crate::{DetectorError, Manifest, WindowResult, manifest::Parity};

/// Answers of a model's own framework to one picture, as JSON.
///
/// Objects: `{"framework": "ultralytics 8.4.190", "conf": 0.25, "found": [{"box": [x0, y0, x1, y1], "score": 0.91,
/// "class": 0}]}`, px of the picture, every object above `conf`. Areas: `{"framework": …, "columns": 512, "classes": [0,
/// null, 2, …]}`, row by row, `null` for places of no class. Classes are places in the list of the manifest.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Reference {
    /// Name and version of the framework.
    pub framework: String,
    /// Score above which objects are listed.
    pub conf: Option<f32>,
    /// Objects.
    pub found: Option<Vec<ReferenceObject>>,
    /// Places per row.
    pub columns: Option<u32>,
    /// Class of each place.
    pub classes: Option<Vec<Option<u16>>>,
}

/// An object of a [`Reference`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ReferenceObject {
    /// Corners, px of the picture.
    #[serde(rename = "box")]
    pub bbox: [f32; 4],
    /// Score, 0 to 1.
    pub score: f32,
    /// Place in the list of classes.
    pub class: u16,
}

impl Reference {
    /// Reads JSON.
    ///
    /// # Errors
    ///
    /// [`DetectorError::Reference`] for what is no such file, or names neither objects nor areas.
    pub fn parse(text: &str) -> Result<Self, DetectorError> {
        let reference: Self = serde_json::from_str(text).map_err(|error| refused(error.to_string()))?;
        match (&reference.found, reference.conf, &reference.classes, reference.columns) {
            (Some(_), Some(_), None, None) | (None, _, Some(_), Some(_)) => Ok(reference),
            _ => Err(refused(
                "expected `found` and `conf` for objects, or `columns` and `classes` for areas".to_owned(),
            )),
        }
    }

    /// Compares our answer to a picture of `pixels` with theirs.
    ///
    /// # Errors
    ///
    /// [`DetectorError::Reference`] when the model answers objects and the reference areas or the other way round, when maps
    /// have other sides, and when there is no answer.
    pub fn compare(
        &self,
        ours: &WindowResult,
        model: &Manifest,
        field_sha256: String,
    ) -> Result<Parity, DetectorError> {
        let detections =
            ours.outcome.as_ref().map_err(|fault| refused(format!("we have no answer: {fault}")))?;
        let receipt = Parity {
            framework: self.framework.clone(),
            model_sha256: model.sha256.clone(),
            field_sha256,
            ours: None,
            theirs: None,
            matched: None,
            largest_px: None,
            largest_score: None,
            places: None,
            other_places: None,
        };
        if ours.embedding.is_some() {
            let reason = "the model answers a vector, and only objects and areas are compared";
            return Err(refused(reason.to_owned()));
        }
        self.check(model.classes.len())?;
        match (&ours.map, &self.found, &self.classes) {
            (Some(map), None, Some(classes)) => self.compare_places(map, classes, receipt),
            (None, Some(found), None) => {
                let conf = self.conf.unwrap_or(0.0);
                let parity = compare_objects(detections, found, conf, receipt);
                if (parity.ours, parity.theirs) == (Some(0), Some(0)) {
                    return Err(refused(format!(
                        "there is nothing to compare: neither has an object with a score above {conf}; take another field"
                    )));
                }
                Ok(parity)
            }
            (Some(_), _, _) => Err(refused("the model answers areas, and it holds objects".to_owned())),
            (None, _, _) => Err(refused("the model answers objects, and it holds areas".to_owned())),
        }
    }

    /// Refuses what no model of so many classes answers.
    fn check(&self, classes: usize) -> Result<(), DetectorError> {
        let wrong = self.found.iter().flatten().find_map(|object| Some((object, object.fault(classes)?)));
        if let Some((object, fault)) = wrong {
            return Err(refused(format!("the object with the box {:?} {fault}", object.bbox)));
        }
        match self.classes.iter().flatten().flatten().find(|&&class| usize::from(class) >= classes) {
            Some(class) => Err(refused(format!("a place is of {}", past_the_classes(*class, classes)))),
            None => Ok(()),
        }
    }

    fn compare_places(
        &self,
        map: &ClassMap,
        classes: &[Option<u16>],
        receipt: Parity,
    ) -> Result<Parity, DetectorError> {
        let places = map.places();
        if self.columns != Some(map.columns()) || places.len() != classes.len() {
            return Err(refused(format!(
                "it has {} places in rows of {}, expected {} × {} places",
                classes.len(),
                self.columns.unwrap_or_default(),
                map.columns(),
                map.rows()
            )));
        }
        let other = places.iter().zip(classes).filter(|(ours, theirs)| ours.map(|class| class.0) != **theirs);
        Ok(Parity { places: Some(places.len() as u64), other_places: Some(other.count() as u64), ..receipt })
    }
}

impl ReferenceObject {
    fn fault(&self, classes: usize) -> Option<String> {
        let [x0, y0, x1, y1] = self.bbox;
        if !(x0 < x1 && y0 < y1) {
            return Some("is no box: expected left, top, right, bottom".to_owned());
        }
        if !(0.0..=1.0).contains(&self.score) {
            return Some(format!("has the score {}, expected 0 to 1", self.score));
        }
        (usize::from(self.class) >= classes)
            .then(|| format!("is of {}", past_the_classes(self.class, classes)))
    }
}

fn past_the_classes(class: u16, classes: usize) -> String {
    format!("class {class}, but the model has {}, counted from 0", counted(classes, "class"))
}

fn refused(reason: String) -> DetectorError {
    DetectorError::Reference { reason }
}

/// Matches each of their objects, best first, with the one of ours of its class that it overlaps most.
fn compare_objects(ours: &[Detection], theirs: &[ReferenceObject], conf: f32, receipt: Parity) -> Parity {
    let mut left: Vec<&Detection> = ours.iter().filter(|found| found.score.get() > conf).collect();
    let mut theirs: Vec<&ReferenceObject> = theirs.iter().filter(|object| object.score > conf).collect();
    theirs.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut parity = Parity { ours: Some(left.len() as u64), theirs: Some(theirs.len() as u64), ..receipt };
    let (mut matched, mut px, mut score) = (0, 0.0_f32, 0.0_f32);
    for object in theirs {
        let Some(place) = best_match(&left, object) else { continue };
        let found = left.swap_remove(place);
        matched += 1;
        px = sides(&found.bbox).iter().zip(&object.bbox).map(|(a, b)| (a - b).abs()).fold(px, f32::max);
        score = score.max((found.score.get() - object.score).abs());
    }
    parity.matched = Some(matched);
    if matched > 0 {
        (parity.largest_px, parity.largest_score) = (Some(px), Some(score));
    }
    parity
}

/// Least overlap of two boxes of one object.
const LEAST_IOU: f32 = 0.5;

fn best_match(left: &[&Detection], object: &ReferenceObject) -> Option<usize> {
    let [x0, y0, x1, y1] = object.bbox;
    let bbox = WindowBox::new(euclid::point2(x0, y0), euclid::point2(x1, y1));
    let of_class = left.iter().enumerate().filter(|(_, found)| found.class.0 == object.class);
    let overlaps =
        of_class.map(|(place, found)| (iou(&found.bbox, &bbox), place)).filter(|(iou, _)| *iou > LEAST_IOU);
    overlaps.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, place)| place)
}

fn iou(a: &WindowBox, b: &WindowBox) -> f32 {
    let both = a.intersection(b).map_or(0.0, |both| both.area());
    let either = a.area() + b.area() - both;
    if either > 0.0 { both / either } else { 0.0 }
}

fn sides(bbox: &WindowBox) -> [f32; 4] {
    [bbox.min.x, bbox.min.y, bbox.max.x, bbox.max.y]
}

#[cfg(test)]
mod tests {
    use wsi_types::{ModelClass, Score, WindowIndex};

    use super::*;

    fn found(x: f32, class: u16, score: f32) -> Detection {
        let bbox = WindowBox::new(euclid::point2(x, 0.0), euclid::point2(x + 10.0, 10.0));
        Detection { bbox, class: ModelClass(class), score: Score::new(score).unwrap(), outline: None }
    }

    fn compared(json: &str, result: &WindowResult) -> Result<Parity, String> {
        let manifest = Manifest::without_model("m", &["a", "b"], None);
        let reference = Reference::parse(json).map_err(|error| error.to_string())?;
        reference.compare(result, &manifest, "ab".to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn objects_are_matched_with_the_nearest_of_their_class() {
        let ours = vec![found(0.0, 0, 0.9), found(1.0, 0, 0.8), found(40.0, 1, 0.7), found(80.0, 0, 0.2)];
        let result = WindowResult::new(WindowIndex(0), Ok(ours));
        let json = r#"{"framework": "torch 2", "conf": 0.25, "found": [
            {"box": [1.25, 0, 11.25, 10], "score": 0.82, "class": 0}, {"box": [0, 0, 10, 10], "score": 0.9, "class": 0},
            {"box": [40, 0, 50, 10], "score": 0.7, "class": 0}, {"box": [0, 0, 9, 9], "score": 0.1, "class": 0}]}"#;
        let parity = compared(json, &result).unwrap();
        assert_eq!((parity.ours, parity.theirs, parity.matched), (Some(3), Some(3), Some(2)));
        assert!((parity.largest_px.unwrap() - 0.25).abs() < 1e-6, "{parity:?}");
        assert!((parity.largest_score.unwrap() - 0.02).abs() < 1e-6 && !parity.agrees());
        let line =
            "2 of 3 objects of torch 2 are among our 3, at most 0.2500 px and 0.02000 of a score apart";
        assert_eq!(parity.to_string(), line);
        let again: toml::Table = parity.to_toml().parse().unwrap();
        assert_eq!(again["parity"].clone().try_into::<Parity>().unwrap(), parity);
        let manifest = crate::manifest::ManifestFile::parse(&parity.to_toml()).unwrap();
        assert_eq!(manifest.parity, Some(parity));
    }

    #[test]
    fn an_answer_that_is_the_same_agrees() {
        let result = WindowResult::new(WindowIndex(0), Ok(vec![found(5.0, 1, 0.5)]));
        let json = r#"{"framework": "f", "conf": 0.25, "found": [{"box": [5, 0, 15, 10], "score": 0.5, "class": 1}]}"#;
        assert!(compared(json, &result).unwrap().agrees());
        let nothing = r#"{"framework": "f", "conf": 0.25, "found": []}"#;
        assert!(!compared(nothing, &result).unwrap().agrees(), "one of ours is of no other");
    }

    #[test]
    fn what_no_model_answers_is_refused() {
        let result = WindowResult::new(WindowIndex(0), Ok(vec![found(5.0, 1, 0.5)]));
        for (object, expected) in [
            (
                r#"{"box": [15, 0, 5, 10], "score": 0.5, "class": 1}"#,
                "is no box: expected left, top, right, bottom",
            ),
            (r#"{"box": [5, 0, 15, 10], "score": 91, "class": 1}"#, "has the score 91, expected 0 to 1"),
            (
                r#"{"box": [5, 0, 15, 10], "score": 0.5, "class": 7}"#,
                "is of class 7, but the model has 2 classes",
            ),
        ] {
            let json = format!(r#"{{"framework": "f", "conf": 0.25, "found": [{object}]}}"#);
            let message = compared(&json, &result).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
        let message = compared(r#"{"framework": "f", "conf": 0.99, "found": []}"#, &result).unwrap_err();
        assert!(message.contains("nothing to compare"), "{message}");
    }

    #[test]
    fn places_of_another_class_are_counted() {
        let map = ClassMap::from_places(2, [Some(ModelClass(0)), None, Some(ModelClass(1)), None]);
        let result = WindowResult { map, ..WindowResult::new(WindowIndex(0), Ok(vec![])) };
        let parity =
            compared(r#"{"framework": "f", "columns": 2, "classes": [0, null, 0, null]}"#, &result).unwrap();
        assert_eq!((parity.places, parity.other_places, parity.agrees()), (Some(4), Some(1), false));
        assert_eq!(parity.to_string(), "1 of 4 places of another class than by f");
        let message = compared(r#"{"framework": "f", "columns": 4, "classes": [0]}"#, &result).unwrap_err();
        assert!(message.contains("it has 1 places in rows of 4, expected 2 × 2 places"), "{message}");
        let message = compared(r#"{"framework": "f", "conf": 0.2, "found": []}"#, &result).unwrap_err();
        assert!(message.contains("the model answers areas, and it holds objects"), "{message}");
    }

    #[test]
    fn a_file_that_says_neither_is_refused() {
        for json in [
            "[]",
            r#"{"found": []}"#,
            r#"{"framework": "f", "found": []}"#,
            r#"{"framework": "f", "columns": 2}"#,
        ] {
            assert!(
                Reference::parse(json).unwrap_err().to_string().starts_with("the reference cannot be used"),
                "{json}"
            );
        }
    }
}
