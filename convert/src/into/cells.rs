//! Objects of another tool become cells of ours.

use eval::objects::{Object, ObjectSet, Role, Shape};
use merger::{Cell, cell::cell_id};
use wsi_types::{Level0Box, Level0Point, Score, wording::counted};

use crate::error::{ConvertError, Result};

/// Place of objects on the slide, and the size of those that are points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placing {
    /// Level-0 px per px of the objects.
    pub scale: f64,
    /// Point from which they count, level-0 px.
    pub origin: Level0Point,
    /// Width and height of level 0, px.
    pub slide_px: [u32; 2],
    /// Half the side of the box of an object that is a point, level-0 px.
    pub point_radius: Option<f64>,
}

/// Cells, and what was changed on the way.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TakenOver {
    /// In the order of the objects; ids are not yet unique.
    pub cells: Vec<Cell>,
    /// Names by class.
    pub class_names: Vec<String>,
    /// Objects whose centroid lies outside the slide: left out.
    pub outside: u64,
    /// Objects of which only the largest ring was taken.
    pub one_ring: u64,
    /// Objects without a score: 1 stands for it.
    pub without_score: u64,
    /// Objects that are crowds or areas nobody annotated: left out.
    pub no_objects: u64,
}

/// Takes objects over as cells of the slide whose [`slide_key`](merger::id::slide_key) is given: where a run finds a cell of
/// the same class, it has the same id.
///
/// # Errors
///
/// [`ConvertError::Refused`] when there are points and no size for them, or when most objects lie outside the slide: then
/// their frame or scale is another.
pub fn take_over(set: ObjectSet, placing: &Placing, slide_key: u64) -> Result<TakenOver> {
    let mut taken = TakenOver {
        class_names: set.classes.into_iter().map(|class| class.name).collect(),
        ..TakenOver::default()
    };
    let count = set.objects.len() as u64;
    for object in set.objects {
        if object.role != Role::Object {
            taken.no_objects += 1;
            continue;
        }
        taken.take(object, placing, slide_key)?;
    }
    if taken.outside * 2 > count {
        let [width, height] = placing.slide_px;
        return Err(ConvertError::Refused(format!(
            "{} of {} lie outside the slide of {width} × {height} px: their coordinates are of another slide, frame or \
             scale (--frame, --scale)",
            taken.outside,
            counted(count as usize, "object")
        )));
    }
    Ok(taken)
}

impl TakenOver {
    fn take(&mut self, object: Object, placing: &Placing, slide_key: u64) -> Result<()> {
        let (bbox, outline) = self.place(object.shape, placing)?;
        let centroid = outline.as_deref().map_or_else(|| bbox.center(), middle_of);
        let [width, height] = placing.slide_px.map(f64::from);
        if !((0.0..=width).contains(&centroid.x) && (0.0..=height).contains(&centroid.y)) {
            self.outside += 1;
            return Ok(());
        }
        self.without_score += u64::from(object.score.is_none());
        let score = Score::new(object.score.unwrap_or(1.0)).unwrap_or_default();
        let id = cell_id(slide_key, object.class, centroid);
        self.cells.push(Cell { centroid, outline, ..Cell::new(id, object.class, score, bbox) });
        Ok(())
    }

    /// The box and, where there is one, the outline on level 0.
    fn place(&mut self, shape: Shape, placing: &Placing) -> Result<(Level0Box, Option<Box<[Level0Point]>>)> {
        match shape {
            Shape::Point(point) => {
                let Some(radius) = placing.point_radius else {
                    return Err(ConvertError::Refused(
                        "the objects are points, which have no size: say by --radius-um how large their boxes are to be"
                            .to_owned(),
                    ));
                };
                let (middle, reach) = (placing.level0(point), euclid::vec2(radius, radius));
                Ok((Level0Box::new(middle - reach, middle + reach), None))
            }
            Shape::Box(bounds) => {
                Ok((Level0Box::new(placing.level0(bounds.min), placing.level0(bounds.max)), None))
            }
            Shape::Polygon(polygon) => {
                self.one_ring += u64::from(polygon.rings.len() > 1);
                let ring = polygon.largest_ring().map_or(&[][..], Vec::as_slice);
                let placed: Box<[Level0Point]> = ring.iter().map(|&corner| placing.level0(corner)).collect();
                Ok((Level0Box::from_points(placed.iter()), Some(placed)))
            }
        }
    }
}

impl Placing {
    fn level0(&self, point: Level0Point) -> Level0Point {
        self.origin + point.to_vector() * self.scale
    }
}

/// Centre of a ring's area; the middle of its box where it encloses nothing.
fn middle_of(ring: &[Level0Point]) -> Level0Point {
    eval::polygon::Polygon::from_ring(ring.to_vec()).centroid()
}

#[cfg(test)]
mod tests {
    use eval::polygon::Polygon;

    use super::*;

    fn set(shapes: Vec<Shape>) -> ObjectSet {
        let mut set = ObjectSet::default();
        let (image, class) = (set.image_named("slide"), set.class_named("nucleus").unwrap());
        let object =
            |(shape, id): (Shape, u64)| Object { id, image, class, score: None, shape, role: Role::Object };
        set.objects = shapes.into_iter().zip(0..).map(object).collect();
        set
    }

    fn placing() -> Placing {
        Placing {
            scale: 2.0,
            origin: Level0Point::new(100.0, 0.0),
            slide_px: [1000, 800],
            point_radius: None,
        }
    }

    fn square(x: f64, y: f64, side: f64) -> Vec<Level0Point> {
        [(0.0, 0.0), (side, 0.0), (side, side), (0.0, side)]
            .map(|(dx, dy)| Level0Point::new(x + dx, y + dy))
            .to_vec()
    }

    #[test]
    fn outlines_are_scaled_and_moved() {
        let mut with_hole = Polygon::from_ring(square(10.0, 20.0, 8.0));
        with_hole.rings.push(square(12.0, 22.0, 2.0));
        let outline = Shape::Polygon(Box::new(with_hole));
        let taken = take_over(set(vec![outline.clone(), outline]), &placing(), 1).unwrap();
        let cell = &taken.cells[0];
        assert_eq!(cell.centroid, Level0Point::new(128.0, 48.0));
        assert_eq!(cell.bbox.area(), 256.0);
        assert_eq!((taken.one_ring, taken.without_score, taken.outside), (2, 2, 0));
        assert_eq!(taken.cells[0].id, taken.cells[1].id, "the same place gives the same id");
        assert_ne!(take_over(set(vec![Shape::Box(cell.bbox)]), &placing(), 2).unwrap().cells[0].id, cell.id);
    }

    #[test]
    fn points_need_a_size() {
        let point = Shape::Point(Level0Point::new(10.0, 20.0));
        let refused = take_over(set(vec![point.clone()]), &placing(), 1).unwrap_err().to_string();
        assert!(refused.contains("--radius-um"), "{refused}");
        let sized = Placing { point_radius: Some(6.0), ..placing() };
        let taken = take_over(set(vec![point]), &sized, 1).unwrap();
        assert_eq!((taken.cells[0].bbox.area(), taken.cells[0].outline.is_none()), (144.0, true));
    }

    #[test]
    fn objects_outside_are_left_out_and_most_of_them_are_refused() {
        let at = |x: f64| Shape::Polygon(Box::new(Polygon::from_ring(square(x, 10.0, 4.0))));
        let taken = take_over(set(vec![at(10.0), at(20.0), at(9000.0)]), &placing(), 1).unwrap();
        assert_eq!((taken.cells.len(), taken.outside), (2, 1));
        let refused = take_over(set(vec![at(10.0), at(8000.0), at(9000.0)]), &placing(), 1).unwrap_err();
        assert!(
            refused.to_string().contains("2 of 3 objects lie outside the slide of 1000 × 800 px"),
            "{refused}"
        );
    }
}
