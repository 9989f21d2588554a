//! Mistakes, object by object.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::{settings::EvaluationSettings, sides::Sides, study::Study};
use crate::{
    error::Result,
    matching::{Classes, Outcome},
    objects::{ImageId, Object, ObjectSet},
    qupath,
};

/// Mistakes at the working threshold, object by object.
#[derive(Debug, Clone, PartialEq)]
pub struct Mistakes {
    /// The truth's images and classes, brought together with the predictions';
    /// [`Object::image`] and [`Object::class`] below refer to them.
    pub truth: ObjectSet,
    /// Predictions matched with nothing, sorted by image.
    pub false_marks: Vec<Object>,
    /// Truth objects matched with nothing, sorted by image.
    pub missed: Vec<Object>,
}

/// The objects behind the figures: for failure pictures and hard negatives.
///
/// # Errors
///
/// As [`evaluate`](crate::evaluate).
pub fn mistakes(truth: ObjectSet, predictions: ObjectSet, settings: &EvaluationSettings) -> Result<Mistakes> {
    let sides = Sides::new(truth, predictions, settings)?;
    let study = Study::new(&sides, settings)?;
    let (mut false_marks, mut missed) = (Vec::new(), Vec::new());
    for work in &study.works {
        let outcomes = study.assign(work, Classes::Same);
        let mut found = work.ignored.clone();
        for (prediction, outcome) in work.predictions.iter().zip(outcomes) {
            match outcome {
                Outcome::Hit(t) => found[t as usize] = true,
                Outcome::False => false_marks.push(prediction.clone()),
                Outcome::Ignored | Outcome::Unasked => {}
            }
        }
        missed.extend(work.truth.iter().zip(found).filter(|(_, found)| !found).map(|(t, _)| t.clone()));
    }
    drop(study);
    Ok(Mistakes { truth: sides.truth, false_marks, missed })
}

impl Mistakes {
    /// Writes the mistakes on one image as GeoJSON that QuPath opens: classes `False: …` and `Missed: …`;
    /// false predictions carry their score.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write_geojson(&self, image: ImageId, out: &mut impl Write) -> io::Result<()> {
        const ORANGE: [u8; 3] = [213, 94, 0];
        const BLUE: [u8; 3] = [0, 114, 178];
        let false_marks = on_image(&self.false_marks, image).iter();
        let missed = on_image(&self.missed, image).iter();
        let features = (false_marks.map(|object| self.feature(object, "False", ORANGE)))
            .chain(missed.map(|object| self.feature(object, "Missed", BLUE)));
        qupath::write_collection(features, out)
    }

    fn feature(&self, object: &Object, kind: &str, colour: [u8; 3]) -> Value {
        let class = format!("{kind}: {}", self.truth.class_name(object.class));
        let score = object.score.map_or_else(|| json!({}), |score| json!({ "Detection probability": score }));
        json!({
            "type": "Feature",
            "id": qupath::uuid(&self.truth.image_of(object).name, &class, object),
            "geometry": qupath::geometry(&object.shape),
            "properties": {
                "objectType": "detection",
                "classification": { "name": class, "color": colour },
                "measurements": score,
            },
        })
    }
}

/// The part of `objects`, which are sorted by image, that lies on `image`.
fn on_image(objects: &[Object], image: ImageId) -> &[Object] {
    let from = objects.partition_point(|object| object.image < image);
    let to = objects.partition_point(|object| object.image <= image);
    &objects[from..to]
}
