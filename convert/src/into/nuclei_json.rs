//! JSON of nucleus segmenters: CellViT (`cells`), HoVer-Net (`nuc`), HoVer-NeXt (`{id: [class, [y, x]]}`).
//!
//! Their outlines and centroids are px of the picture they worked on: level 0, unless a scale says otherwise.

use std::{collections::BTreeMap, path::Path};

use eval::{
    objects::{Object, ObjectSet, Role, Shape},
    polygon::Polygon,
    truth::UNNAMED_CLASS,
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use wsi_types::Level0Point;

use super::names::{self, image_name};
use crate::error::{Result, malformed, unreadable};

const WHAT: &str = "the JSON of nuclei";

#[derive(Deserialize)]
struct Nucleus {
    centroid: Option<[f64; 2]>,
    contour: Option<Vec<[f64; 2]>>,
    #[serde(rename = "type")]
    kind: Option<Value>,
    type_prob: Option<f64>,
}

impl Nucleus {
    /// Its outline, or where it is; `None` where it has neither.
    fn shape(&self) -> Option<Shape> {
        match (&self.contour, self.centroid) {
            (Some(contour), _) if contour.len() > 2 => {
                let ring = contour.iter().map(|&corner| Level0Point::from(corner)).collect();
                Some(Shape::Polygon(Box::new(Polygon::from_ring(ring))))
            }
            (_, Some(centroid)) => Some(Shape::Point(centroid.into())),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct CellVit {
    #[serde(default)]
    type_map: BTreeMap<String, Value>,
    cells: Vec<Nucleus>,
}

#[derive(Deserialize)]
struct HoverNet {
    nuc: BTreeMap<String, Nucleus>,
}

/// All nuclei; `None` where the file is none of these. `head` are its first bytes.
pub(super) fn read(path: &Path, head: &[u8]) -> Result<Option<ObjectSet>> {
    if head.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Ok(None);
    }
    let bytes = std::fs::read(path).map_err(unreadable(WHAT, path))?;
    let Some(kind) = Kind::from_keys(&bytes) else { return Ok(None) };
    let mut set = ObjectSet::default();
    set.image_named(&image_name(path));
    match kind {
        Kind::CellVit => {
            let CellVit { type_map, cells } = parsed(&bytes, path)?;
            let names = class_names(&type_map);
            add(&mut set, cells, &names, path)?;
        }
        Kind::HoverNet => {
            let HoverNet { nuc } = parsed(&bytes, path)?;
            add(&mut set, nuc.into_values(), &BTreeMap::new(), path)?;
        }
        Kind::HoverNext => {
            let all: BTreeMap<String, (Value, [f64; 2])> = parsed(&bytes, path)?;
            let nuclei = all.into_values().map(|(class, [y, x])| Nucleus {
                centroid: Some([x, y]),
                contour: None,
                kind: Some(class),
                type_prob: None,
            });
            add(&mut set, nuclei, &BTreeMap::new(), path)?;
        }
    }
    Ok(Some(set))
}

fn parsed<'a, T: Deserialize<'a>>(bytes: &'a [u8], path: &Path) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| malformed(WHAT, error.to_string(), path))
}

enum Kind {
    CellVit,
    HoverNet,
    HoverNext,
}

impl Kind {
    /// By the keys of the outermost object.
    fn from_keys(bytes: &[u8]) -> Option<Self> {
        let keys: BTreeMap<String, &RawValue> = serde_json::from_slice(bytes).ok()?;
        if keys.contains_key("FeatureCollection") || keys.contains_key("annotations") {
            return None;
        }
        if keys.contains_key("cells") {
            return Some(Self::CellVit);
        }
        if keys.contains_key("nuc") {
            return Some(Self::HoverNet);
        }
        let are_numbered = !keys.is_empty() && keys.keys().all(|key| key.parse::<u64>().is_ok());
        (are_numbered && keys.values().all(|value| is_class_and_place(value))).then_some(Self::HoverNext)
    }
}

fn is_class_and_place(value: &RawValue) -> bool {
    serde_json::from_str::<(Value, [f64; 2])>(value.get()).is_ok()
}

/// Number to name, whichever way round the map has them.
fn class_names(map: &BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let pairs = map.iter().filter_map(|(key, value)| match value {
        Value::String(name) => Some((key.clone(), name.clone())),
        Value::Number(number) => Some((number.to_string(), key.clone())),
        _ => None,
    });
    pairs.collect()
}

fn add(
    set: &mut ObjectSet,
    nuclei: impl IntoIterator<Item = Nucleus>,
    names: &BTreeMap<String, String>,
    path: &Path,
) -> Result<()> {
    let image = set.image_named(&image_name(path));
    for (nucleus, number) in nuclei.into_iter().zip(0_u64..) {
        let shape = nucleus.shape().ok_or_else(|| {
            let problem =
                format!("nucleus {number}: it has neither an outline of three points nor a centroid");
            malformed(WHAT, problem, path)
        })?;
        let word = nucleus.kind.as_ref().and_then(names::word);
        let class =
            word.map_or_else(|| UNNAMED_CLASS.to_owned(), |word| names.get(&word).cloned().unwrap_or(word));
        let class = set.class_named(&class)?;
        let score = nucleus.type_prob.map(|score| score as f32).filter(|score| !score.is_nan());
        set.objects.push(Object { id: number, image, class, score, shape, role: Role::Object });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Option<ObjectSet> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cells.json");
        std::fs::write(&path, text).unwrap();
        read(&path, text.as_bytes()).unwrap()
    }

    #[test]
    fn cellvit_has_outlines_classes_and_scores() {
        let set = read_text(
            r#"{"wsi_metadata":{},"type_map":{"1":"Neoplastic"},"cells":[{"bbox":[[2,1],[6,5]],"centroid":[3,4],
            "contour":[[1,2],[5,2],[5,6],[1,6]],"type_prob":0.75,"type":1}]}"#,
        );
        let set = set.unwrap();
        assert_eq!(set.class_name(set.objects[0].class), "Neoplastic");
        assert_eq!((set.objects[0].score, set.objects[0].shape.area()), (Some(0.75), 16.0));
        assert_eq!(set.objects[0].shape.centroid(), Level0Point::new(3.0, 4.0));
    }

    #[test]
    fn hover_next_gives_rows_before_columns() {
        let set = read_text(r#"{"1": [2, [30.5, 10.25]], "7": [3, [4.0, 5.0]]}"#).unwrap();
        assert_eq!(set.objects.len(), 2);
        assert_eq!(set.objects[0].shape, Shape::Point(Level0Point::new(10.25, 30.5)));
        assert_eq!(set.class_name(set.objects[0].class), "2");
    }

    #[test]
    fn hover_net_is_read_and_others_are_left() {
        let set = read_text(
            r#"{"mag":40,"nuc":{"1":{"centroid":[3,4],"contour":[[1,2],[5,2],[5,6]],"type":null}}}"#,
        );
        assert_eq!(set.unwrap().objects[0].shape.area(), 8.0);
        assert!(read_text(r#"{"type":"FeatureCollection","features":[]}"#).is_none());
        assert!(read_text(r#"{"images":[],"annotations":[]}"#).is_none());
    }
}
