//! Places of tiles, and the objects they show.

use std::ops::ControlFlow;

use rstar::{AABB, RTree, primitives::GeomWithData, primitives::Rectangle};
use sha2::{Digest, Sha256};
use wsi_types::{Level0Box, Level0Point};

use super::{
    settings::{BorderRule, Task, TrainingSettings},
    split::Split,
    tile::{Label, Tile, TileBox, TileRing},
};
use crate::{
    EvalError,
    error::Result,
    objects::{Image, ImageId, Object, Role, Shape},
    polygon::{Polygon, clip_ring, shared_area},
};

/// An image to be cut.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub image: &'a Image,
    pub id: ImageId,
    /// A name that no other image of the set has, safe for files.
    pub name: &'a str,
}

/// All tiles of one image; labels count objects from the image's first.
pub(super) fn tiles_of(
    Piece { image, id, name }: Piece<'_>,
    objects: &[Object],
    split: Split,
    settings: &TrainingSettings,
) -> Result<Vec<Tile>> {
    let scale = scale(image, settings)?;
    let shapes = shapes(image, objects, settings)?;
    let leaves = shapes.iter().enumerate().map(|(place, shape)| {
        let bounds = shape.bounds();
        let corners = Rectangle::from_corners(bounds.min.to_array(), bounds.max.to_array());
        GeomWithData::new(corners, place)
    });
    let tree = RTree::bulk_load(leaves.collect());
    let Some((width, height)) = image.size else {
        return Err(EvalError::Empty("an image's size is not known, so it cannot be tiled"));
    };
    let mut tiles = Vec::new();
    for y in starts(height / scale, settings) {
        for x in starts(width / scale, settings) {
            let side = f64::from(settings.tile_px);
            let area = Level0Box::new(
                Level0Point::new(x * scale, y * scale),
                Level0Point::new((x + side) * scale, (y + side) * scale),
            );
            let mut tile = Tile {
                name: format!("{name}_x{x}_y{y}"),
                image: id,
                area,
                scale,
                split,
                labels: Vec::new(),
                hidden: Vec::new(),
                weight: 1.0,
                repeats: 1,
            };
            for place in within(&tree, area) {
                show(&mut tile, place, &objects[place], &shapes[place], settings);
            }
            tiles.push(tile);
        }
    }
    Ok(tiles)
}

/// Level-0 px per tile px.
fn scale(image: &Image, settings: &TrainingSettings) -> Result<f64> {
    let Some(wanted) = settings.mpp else { return Ok(1.0) };
    let own = image.mpp.ok_or_else(|| EvalError::NoMpp { image: image.name.clone() })?;
    Ok(wanted / own.get())
}

/// Shapes with an area: dots become boxes.
fn shapes(image: &Image, objects: &[Object], settings: &TrainingSettings) -> Result<Vec<Shape>> {
    let dots = objects.iter().filter(|object| matches!(object.shape, Shape::Point(_))).count();
    if dots == 0 {
        return Ok(objects.iter().map(|object| object.shape.clone()).collect());
    }
    let Some(um) = settings.dot_um else {
        return Err(EvalError::PointsHaveNoArea { side: "truth".to_owned(), objects: dots });
    };
    let mpp = image.mpp.ok_or_else(|| EvalError::NoMpp { image: image.name.clone() })?;
    let half = um / mpp.get() / 2.0;
    let sized = objects.iter().map(|object| match object.shape {
        Shape::Point(centre) => Shape::Box(Level0Box::new(centre, centre).inflate(half, half)),
        ref other => other.clone(),
    });
    Ok(sized.collect())
}

/// Left or top sides along one axis of `extent` tile px: a stride apart, the last moved back so that it ends
/// with the image.
fn starts(extent: f64, settings: &TrainingSettings) -> Vec<f64> {
    let (tile, stride) = (f64::from(settings.tile_px), f64::from(settings.tile_px - settings.overlap_px));
    let last = (extent - tile).floor().max(0.0);
    let mut starts: Vec<f64> =
        std::iter::successors(Some(0.0), |at| Some(at + stride)).take_while(|&at| at < last).collect();
    starts.push(last);
    starts
}

fn within(tree: &RTree<GeomWithData<Rectangle<[f64; 2]>, usize>>, area: Level0Box) -> Vec<usize> {
    let mut found = Vec::new();
    let search = AABB::from_corners(area.min.to_array(), area.max.to_array());
    let _: ControlFlow<()> = tree.locate_in_envelope_intersecting_int(search, |leaf| {
        found.push(leaf.data);
        ControlFlow::Continue(())
    });
    found.sort_unstable();
    found
}

/// Labels the object in the tile, or adds its visible part to [`Tile::hidden`].
fn show(tile: &mut Tile, place: usize, object: &Object, shape: &Shape, settings: &TrainingSettings) {
    let (seen, whole) = (seen_area(shape, tile.area), shape.area());
    if seen <= 0.0 {
        return;
    }
    let labelled = object.role == Role::Object
        && match settings.border {
            BorderRule::Visible(share) => seen >= share * whole,
            BorderRule::Whole => seen >= whole * (1.0 - 1e-9),
            BorderRule::Centre => tile.area.contains(shape.centroid()),
        };
    let ring = outer_ring(shape, tile);
    if !labelled {
        tile.hidden.push(ring);
        return;
    }
    let bounds = TileBox::from_points(&ring);
    let ring = (settings.task == Task::Segment).then_some(ring);
    tile.labels.push(Label { object: place, class: object.class, bounds, ring });
}

fn seen_area(shape: &Shape, area: Level0Box) -> f64 {
    match shape {
        Shape::Point(_) => 0.0,
        Shape::Box(bounds) => bounds.intersection(&area).map_or(0.0, |seen| seen.area()),
        Shape::Polygon(polygon) if area.contains_box(&polygon.bounds()) => polygon.area(),
        Shape::Polygon(polygon) => shared_area(polygon, &Polygon::from_box(area)),
    }
}

/// The part of the outer ring in the tile, in tile px.
fn outer_ring(shape: &Shape, tile: &Tile) -> TileRing {
    let polygon = shape.to_polygon().unwrap_or_default();
    let ring = polygon.largest_ring().map(|ring| clip_ring(ring, tile.area)).unwrap_or_default();
    let side = tile.area.width() / tile.scale;
    let in_tile = ring.into_iter().map(|p| {
        // Clamped: at a cut side, rounding may leave the point just outside.
        let p = (p - tile.area.min) / tile.scale;
        euclid::point2(p.x.clamp(0.0, side), p.y.clamp(0.0, side))
    });
    in_tile.collect()
}

/// Drops training tiles without objects beyond the share in the settings: those with the largest hash of
/// their name, so that the choice does not depend on their order. Tiles with a score in `hard` stay.
pub(super) fn thin_out_empty(tiles: &mut Vec<Tile>, hard: &[f64], settings: &TrainingSettings) {
    let full = tiles.iter().filter(|tile| tile.split == Split::Train && !tile.labels.is_empty()).count();
    let most = (full as f64 * settings.empty_per_full).ceil() as usize;
    let mut empty: Vec<([u8; 32], usize)> = tiles
        .iter()
        .enumerate()
        .filter(|(i, tile)| tile.split == Split::Train && tile.labels.is_empty() && hard[*i] <= 0.0)
        .map(|(i, tile)| (hash(tile, settings.split.seed), i))
        .collect();
    empty.sort_unstable();
    let mut keep = vec![true; tiles.len()];
    empty.iter().skip(most).for_each(|(_, place)| keep[*place] = false);
    let mut keep = keep.into_iter();
    tiles.retain(|_| keep.next().unwrap_or(true));
}

/// Key that puts tiles into an order that depends on their names and the seed alone.
fn hash(tile: &Tile, seed: u64) -> [u8; 32] {
    let digest = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(&tile.name);
    digest.finalize().into()
}
