//! Labels of tiles, moved to the images they were cut from.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use rstar::{AABB, RTree, primitives::GeomWithData, primitives::Rectangle};
use wsi_types::{Level0Box, Level0Point, Level0Px};

use super::picture::{FORMAT, Picture};
use crate::{
    EvalError,
    error::Result,
    groups::Groups,
    names::from_spreadsheet,
    objects::{Object, ObjectSet, SetBuilder, Shape},
    truth::{files::malformed, text::read_text},
};

type Level0Vector = euclid::Vector2D<f64, Level0Px>;

/// Place of each tile, by its name.
pub(super) type Places = BTreeMap<String, Place>;

/// Place of a tile on level 0 of its image.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    image: String,
    corner: Level0Vector,
    /// Level-0 px per tile px.
    scale: f64,
}

/// Largest difference between two tiles on one object, in px of the tile.
const SAME_PX: f64 = 0.01;

/// Reads `tiles.csv`; `None` without it, or if it does not name images.
pub(super) fn places(root: &Path) -> Result<Option<Places>> {
    let path = root.join("tiles.csv");
    if !path.is_file() {
        return Ok(None);
    }
    let broken = |error: csv::Error| {
        let line = error.position().map_or_else(String::new, |at| format!("line {}", at.line()));
        malformed(FORMAT, line, error.to_string(), &path)
    };
    let (text, _) = read_text(&path)?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().map_err(broken)?.clone();
    let columns = ["tile", "image", "x_px", "y_px", "level0_px_per_px"]
        .map(|name| header.iter().position(|column| column == name));
    let [Some(tile), Some(image), Some(x), Some(y), Some(scale)] = columns else { return Ok(None) };
    let mut places = Places::new();
    for row in reader.records() {
        let row = row.map_err(broken)?;
        let line = row.position().map_or(0, csv::Position::line);
        let number = |column: usize| {
            let text = row.get(column).unwrap_or_default();
            text.parse().ok().filter(|v: &f64| v.is_finite()).ok_or_else(|| {
                let problem = format!("{:?} is {text:?}, expected a number", &header[column]);
                malformed(FORMAT, format!("line {line}"), problem, &path)
            })
        };
        let place = Place {
            image: from_spreadsheet(row.get(image).unwrap_or_default()).to_owned(),
            corner: Level0Vector::new(number(x)?, number(y)?),
            scale: number(scale)?,
        };
        places.insert(row.get(tile).unwrap_or_default().to_owned(), place);
    }
    Ok(Some(places))
}

/// All labels on level 0 of their images; an object that several tiles show is there once.
pub(super) fn on_level0(pictures: Vec<Picture>, places: &Places, root: &Path) -> Result<ObjectSet> {
    let mut set = SetBuilder::new();
    let mut seen: Vec<Vec<Seen>> = Vec::new();
    for picture in pictures {
        let place = places.get(&picture.name()).ok_or_else(|| unknown(&picture.path, root))?;
        let image = set.image_named(&place.image);
        seen.resize_with(seen.len().max(image.0 as usize + 1), Vec::new);
        let tile = place.level0_box(Level0Box::new(Level0Point::zero(), picture.size.into()));
        seen[image.0 as usize].extend(picture.objects.into_iter().map(|object| {
            let shape = place.level0_shape(object.shape);
            Seen {
                bounds: shape.bounds(),
                tile,
                scale: place.scale,
                object: Object { image, shape, ..object },
            }
        }));
    }
    for (object, id) in seen.into_iter().flat_map(once).zip(1..) {
        set.push(Object { id, ..object });
    }
    Ok(set.finish())
}

fn unknown(picture: &Path, root: &Path) -> EvalError {
    let problem = format!("it has no row for the picture {:?}", crate::truth::files::file_name(picture));
    malformed(FORMAT, "tiles.csv", problem, &PathBuf::from(root))
}

impl Place {
    fn level0_point(&self, point: Level0Point) -> Level0Point {
        point * self.scale + self.corner
    }

    fn level0_box(&self, bounds: Level0Box) -> Level0Box {
        Level0Box::new(self.level0_point(bounds.min), self.level0_point(bounds.max))
    }

    /// Moves a shape from tile px to level 0.
    fn level0_shape(&self, shape: Shape) -> Shape {
        match shape {
            Shape::Point(point) => Shape::Point(self.level0_point(point)),
            Shape::Box(bounds) => Shape::Box(self.level0_box(bounds)),
            Shape::Polygon(polygon) => {
                Shape::Polygon(Box::new(polygon.mapped(|point| self.level0_point(point))))
            }
        }
    }
}

/// An object as one tile shows it: cut at the tile's border.
struct Seen {
    object: Object,
    bounds: Level0Box,
    tile: Level0Box,
    scale: f64,
}

impl Seen {
    /// `true` if two tiles show one object: of one class, and the same in the part that both see.
    fn is_same_as(&self, other: &Self) -> bool {
        if self.tile == other.tile || self.object.class != other.object.class {
            return false;
        }
        let (Some(a), Some(b)) =
            (self.bounds.intersection(&other.tile), other.bounds.intersection(&self.tile))
        else {
            return false;
        };
        let close = SAME_PX * self.scale.max(other.scale);
        let ([x0, y0], [x1, y1]) = ((a.min - b.min).to_array(), (a.max - b.max).to_array());
        [x0, y0, x1, y1].iter().all(|apart| apart.abs() <= close)
    }
}

/// Joins the pieces of one object in several tiles: the box of all its parts, or the outline of its largest.
fn once(seen: Vec<Seen>) -> Vec<Object> {
    let leaves = seen.iter().zip(0_u32..).map(|(seen, place)| {
        let Level0Box { min, max } = seen.bounds;
        GeomWithData::new(Rectangle::from_corners(min.to_array(), max.to_array()), place)
    });
    let tree = RTree::bulk_load(leaves.collect());
    let mut groups = Groups::alone(seen.len());
    for (one, place) in seen.iter().zip(0_u32..) {
        let Level0Box { min, max } = one.bounds;
        let bounds = AABB::from_corners(min.to_array(), max.to_array());
        for near in tree.locate_in_envelope_intersecting(bounds) {
            if near.data < place && one.is_same_as(&seen[near.data as usize]) {
                groups.join(place, near.data);
            }
        }
    }
    let mut whole: BTreeMap<u32, Object> = BTreeMap::new();
    for (one, first) in seen.into_iter().zip(groups.firsts()) {
        whole.entry(first).and_modify(|object| join(object, &one.object)).or_insert(one.object);
    }
    whole.into_values().collect()
}

fn join(object: &mut Object, other: &Object) {
    match (&mut object.shape, &other.shape) {
        (Shape::Box(bounds), Shape::Box(more)) => *bounds = bounds.union(more),
        (mine, theirs) if theirs.area() > mine.area() => *mine = theirs.clone(),
        _ => {}
    }
}
