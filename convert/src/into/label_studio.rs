//! Label Studio tasks on pictures whose names tell where they lie: as our export makes them and people correct them.

use std::path::Path;

use eval::{
    objects::{Object, ObjectSet, Role, Shape},
    polygon::Polygon,
    truth::UNNAMED_CLASS,
};
use serde::Deserialize;
use serde_json::Value;
use wsi_types::{Level0Point, wording::counted};

use super::names::image_name;
use crate::{
    error::{Result, malformed, unreadable},
    picture::Picture,
};

const WHAT: &str = "the Label Studio tasks";

#[derive(Deserialize)]
struct Task {
    data: serde_json::Map<String, Value>,
    #[serde(default)]
    annotations: Vec<Answer>,
    #[serde(default)]
    predictions: Vec<Answer>,
}

/// Objects that a person drew or a model found on a picture.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    was_cancelled: bool,
    #[serde(default)]
    result: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "type")]
    kind: String,
    value: Drawn,
    #[serde(default)]
    score: Option<f64>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Drawn {
    points: Vec<[f64; 2]>,
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    rotation: f64,
    polygonlabels: Vec<String>,
    rectanglelabels: Vec<String>,
    keypointlabels: Vec<String>,
}

/// `true` if JSON is a list of tasks, by its first one.
fn is_tasks(bytes: &[u8]) -> bool {
    let mut items =
        serde_json::Deserializer::from_slice(bytes.trim_ascii_start().get(1..).unwrap_or_default())
            .into_iter::<Value>();
    matches!(items.next(), Some(Ok(Value::Object(task)))
        if task.contains_key("data") && (task.contains_key("predictions") || task.contains_key("annotations")))
}

/// All objects; `None` where the file is no list of tasks. `head` are its first bytes. Of a task that people worked on
/// what they drew counts, of others the predictions.
pub(super) fn read(path: &Path, head: &[u8]) -> Result<Option<ObjectSet>> {
    if head.trim_ascii_start().first() != Some(&b'[') {
        return Ok(None);
    }
    let bytes = std::fs::read(path).map_err(unreadable(WHAT, path))?;
    if !is_tasks(&bytes) {
        return Ok(None);
    }
    let tasks: Vec<Task> =
        serde_json::from_slice(&bytes).map_err(|error| malformed(WHAT, error.to_string(), path))?;
    let mut set = ObjectSet::default();
    set.image_named(&image_name(path));
    for (task, number) in tasks.into_iter().zip(1_u64..) {
        add(&mut set, task, path, number)?;
    }
    Ok(Some(set))
}

fn add(set: &mut ObjectSet, task: Task, path: &Path, number: u64) -> Result<()> {
    let found =
        task.objects().map_err(|problem| malformed(WHAT, format!("task {number}: {problem}"), path))?;
    let image = set.image_named(&image_name(path));
    for (shape, class, score) in found {
        let class = set.class_named(&class)?;
        let score = score.map(|score| score as f32).filter(|score| !score.is_nan());
        let id = set.objects.len() as u64;
        set.objects.push(Object { id, image, class, score, shape, role: Role::Object });
    }
    Ok(())
}

impl Task {
    /// Shape, class and score of all that was drawn, or else of what a model found.
    fn objects(self) -> std::result::Result<Vec<(Shape, String, Option<f64>)>, String> {
        let picture = picture(&self.data)?;
        let drawn = self.annotations.into_iter().find(|answer| !answer.was_cancelled);
        let Some(answer) = drawn.or_else(|| self.predictions.into_iter().next()) else {
            return Ok(Vec::new());
        };
        let mut objects = Vec::new();
        for item in answer.result {
            if let Some((shape, class)) = item.shape(&picture)? {
                objects.push((shape, class, item.score));
            }
        }
        Ok(objects)
    }
}

/// Place of the picture of a task, by its name.
fn picture(data: &serde_json::Map<String, Value>) -> std::result::Result<Picture, String> {
    let names: Vec<&str> = data.values().filter_map(Value::as_str).collect();
    names.iter().find_map(|name| Picture::from_name(name)).ok_or_else(|| {
        format!(
            "the name of its picture does not tell where it lies: {:?}, expected <slide>_<left>_<top>_<width>_<height>.png",
            names.first().copied().unwrap_or_default()
        )
    })
}

impl Item {
    /// Shape and class; `None` for what says nothing of a place.
    fn shape(&self, picture: &Picture) -> std::result::Result<Option<(Shape, String)>, String> {
        let Drawn { points, x, y, width, height, rotation, .. } = &self.value;
        let (shape, labels) = match self.kind.as_str() {
            "polygonlabels" => (polygon(picture, points)?, &self.value.polygonlabels),
            "rectanglelabels" if *rotation != 0.0 => {
                return Err("a rectangle is rotated, expected none".to_owned());
            }
            "rectanglelabels" => {
                let corners = [[*x, *y], [x + width, *y], [x + width, y + height], [*x, y + height]];
                (polygon(picture, &corners)?, &self.value.rectanglelabels)
            }
            "keypointlabels" => (Shape::Point(level0(picture, &[*x, *y])), &self.value.keypointlabels),
            "choices" | "textarea" | "rating" => return Ok(None),
            other => {
                return Err(format!(
                    "an object is of type {other:?}, expected polygonlabels, rectanglelabels or keypointlabels"
                ));
            }
        };
        let class = labels.first().cloned().unwrap_or_else(|| UNNAMED_CLASS.to_owned());
        Ok(Some((shape, class)))
    }
}

fn polygon(picture: &Picture, points: &[[f64; 2]]) -> std::result::Result<Shape, String> {
    if points.len() < 3 {
        return Err(format!("a polygon has {}, expected 3 or more", counted(points.len(), "point")));
    }
    let ring = points.iter().map(|point| level0(picture, point)).collect();
    Ok(Shape::Polygon(Box::new(Polygon::from_ring(ring))))
}

/// From percent of the picture.
fn level0(picture: &Picture, [x, y]: &[f64; 2]) -> Level0Point {
    let (width, height) = (f64::from(picture.width), f64::from(picture.height));
    picture.corner() + euclid::vec2(x / 100.0 * width, y / 100.0 * height)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Option<ObjectSet>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tasks.json");
        std::fs::write(&path, text).unwrap();
        read(&path, text.as_bytes())
    }

    #[test]
    fn what_people_drew_takes_the_place_of_predictions() {
        let task =
            |answers: &str| format!(r#"[{{"data":{{"image":"/d/s_1000_2000_200_100.png"}},{answers}}}]"#);
        let drawn = r#"{"type":"rectanglelabels","value":{"x":50,"y":50,"width":10,"height":20,"rotation":0,"rectanglelabels":["tumour"]}}"#;
        let found =
            r#"{"type":"keypointlabels","score":0.5,"value":{"x":1,"y":2,"keypointlabels":["other"]}}"#;
        let both = format!(
            r#""annotations":[{{"was_cancelled":true,"result":[]}},{{"result":[{drawn}]}}],"predictions":[{{"result":[{found}]}}]"#
        );
        let set = read_text(&task(&both)).unwrap().unwrap();
        assert_eq!(set.class_name(set.objects[0].class), "tumour");
        assert_eq!(set.objects[0].shape.centroid(), Level0Point::new(1110.0, 2060.0));
        assert_eq!((set.objects.len(), set.objects[0].shape.area()), (1, 400.0));
        let set = read_text(&task(&format!(r#""predictions":[{{"result":[{found}]}}]"#))).unwrap().unwrap();
        assert_eq!(set.objects[0].shape, Shape::Point(Level0Point::new(1002.0, 2002.0)));
        assert_eq!(set.objects[0].score, Some(0.5));
    }

    #[test]
    fn what_cannot_be_placed_is_refused_and_other_json_left() {
        let refused = |text: &str| read_text(text).unwrap_err().to_string();
        let nameless = r#"[{"data":{"image":"a.png"},"predictions":[]}]"#;
        assert!(refused(nameless).contains("\"a.png\", expected <slide>_<left>"));
        let brush = r#"[{"data":{"image":"a_0_0_9_9.png"},"predictions":[{"result":[{"type":"brushlabels","value":{}}]}]}]"#;
        assert!(refused(brush).contains("\"brushlabels\", expected"));
        assert!(read_text(r#"[{"image_id":1,"category_id":1,"bbox":[0,0,1,1]}]"#).unwrap().is_none());
        assert!(read_text("{}").unwrap().is_none());
    }
}
