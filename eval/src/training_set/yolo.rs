//! YOLO label files: one line per object, places as shares of the tile's side.

use std::{fmt::Write, path::Path};

use wsi_types::{ClassId, Level0Box, wording::counted};

use super::tile::{Label, Tile, TrainingSet};
use crate::{
    EvalError,
    error::Result,
    objects::{ImageId, Object, Role, Shape},
    polygon::Polygon,
};

/// The label file of a tile: `class cx cy w h`, or `class x1 y1 x2 y2 …` for
/// labels with a ring. Seven decimals: a thousandth of a px in a tile of 4096.
#[must_use]
pub fn label_text(tile: &Tile, tile_px: u32) -> String {
    let mut text = String::new();
    for label in &tile.labels {
        // Writing to a string cannot fail.
        let _ = write_line(&mut text, label, f64::from(tile_px));
    }
    text
}

fn write_line(text: &mut String, label: &Label, side: f64) -> std::fmt::Result {
    write!(text, "{}", label.class.0)?;
    match &label.ring {
        Some(ring) => ring.iter().try_for_each(|p| write!(text, " {:.7} {:.7}", p.x / side, p.y / side))?,
        None => {
            let (centre, size) = (label.bounds.center() / side, label.bounds.size() / side);
            write!(text, " {:.7} {:.7} {:.7} {:.7}", centre.x, centre.y, size.width, size.height)?;
        }
    }
    writeln!(text)
}

/// Reads a label file of a picture of `width` × `height` px into objects in its px; a sixth number on box
/// lines is taken for a score.
///
/// # Errors
///
/// [`EvalError::Malformed`] names the line.
pub fn parse_labels(text: &str, width: f64, height: f64, path: &Path) -> Result<Vec<Object>> {
    let mut objects = Vec::new();
    for (line, place) in text.lines().zip(1_u64..).filter(|(line, _)| !line.trim().is_empty()) {
        let bad = |problem: String| EvalError::Malformed {
            format: "YOLO labels",
            place: format!("line {place}"),
            problem,
            path: path.to_owned(),
        };
        let mut words = line.split_whitespace();
        let class = words.next().unwrap_or_default();
        let class = class_number(class)
            .ok_or_else(|| bad(format!("class is {class:?}, expected a whole number from 0 to 65535")))?;
        let numbers: Option<Vec<f64>> =
            words.map(|word| word.parse().ok().filter(|v: &f64| v.is_finite())).collect();
        let numbers = numbers.ok_or_else(|| bad("something is not a number".to_owned()))?;
        let (shape, score) = shape(&numbers, width, height).map_err(bad)?;
        objects.push(Object { id: place, image: ImageId(0), class, score, shape, role: Role::Object });
    }
    Ok(objects)
}

/// Reads a class number, also as numpy writes it, with a point and zeros.
fn class_number(word: &str) -> Option<ClassId> {
    let number: f64 = word.parse().ok()?;
    let is_class = number.fract() == 0.0 && (0.0..=f64::from(u16::MAX)).contains(&number);
    is_class.then_some(ClassId(number as u16))
}

fn shape(numbers: &[f64], width: f64, height: f64) -> Result<(Shape, Option<f32>), String> {
    if let [x, y, w, h] | [x, y, w, h, _] = *numbers {
        let [min, max] =
            [-0.5, 0.5].map(|side| euclid::point2((x + side * w) * width, (y + side * h) * height));
        let bounds = Level0Box::new(min, max);
        return Ok((Shape::Box(bounds), numbers.get(4).map(|score| *score as f32)));
    }
    let (pairs, rest) = numbers.as_chunks::<2>();
    if pairs.len() < 3 || !rest.is_empty() {
        return Err(format!(
            "{} after the class, expected 4, 5, or an even number from 6",
            counted(numbers.len(), "number")
        ));
    }
    let ring = pairs.iter().map(|&[x, y]| euclid::point2(x * width, y * height)).collect();
    Ok((Shape::Polygon(Box::new(Polygon::from_ring(ring))), None))
}

/// The `data.yaml` that Ultralytics reads, with folders `images/<split>`.
#[must_use]
pub fn data_yaml(plan: &TrainingSet) -> String {
    // Without `path:`, paths are from the file itself; with `path: .` from the folder the trainer was started
    // in.
    let mut text = "train: images/train\nval: images/val\n".to_owned();
    if plan.settings.split.test > 0.0 {
        text.push_str("test: images/test\n");
    }
    text.push_str("names:\n");
    for (place, name) in plan.classes.iter().enumerate() {
        let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
        let _ = writeln!(text, "  {place}: \"{quoted}\"");
    }
    text
}
