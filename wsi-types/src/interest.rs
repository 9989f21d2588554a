//! Regions of interest: areas of a slide that a person drew, as they were drawn and as they lie on level 0.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    Level0Box, Level0Point, Level0Px, Margin, Mpp, distinct_classes,
    frame::{DrawnPoint, DrawnPx},
    ring::clip_ring,
    wording::counted,
};

/// One part of an area that a person drew, in px of the frame `U`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct DrawnRegion<U> {
    /// Its name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its class: `Tumor`, `Stroma`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The outer ring, then its holes; closed, the first point of each not repeated.
    pub rings: Vec<Vec<euclid::Point2D<f64, U>>>,
}

/// The regions of interest of one slide, as they were drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegionsOfInterest {
    /// At least one.
    pub regions: Vec<DrawnRegion<DrawnPx>>,
    /// Frame that places them on the slide.
    pub frame: DrawnFrame,
    /// The regions before other areas were cut out of them; empty where none were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uncut: Vec<DrawnRegion<DrawnPx>>,
    /// The areas that were cut out of them: no band enters these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<DrawnRegion<DrawnPx>>,
    /// Their border, for distances, and the bands along it.
    #[serde(default, skip_serializing_if = "Margin::is_default")]
    pub margin: Margin,
}

/// Meaning of the px of drawn regions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrawnFrame {
    /// Px of level 0, from one of its corners.
    Level0(Corner),
    /// Px of a picture of the whole of level 0.
    Picture {
        /// µm per px of the picture.
        um_per_px: f64,
        /// Width and height of the picture, px, where they are known.
        size: Option<(f64, f64)>,
    },
}

/// Corner that level-0 px count from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Corner {
    /// The corner of level 0, as our tables do.
    Level0,
    /// The corner of what was scanned, as QuPath does.
    Scanned,
    /// Nobody said. Right where both corners are one.
    Unstated,
}

/// Why regions of interest cannot lie on a slide.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InterestError {
    /// Two corners are possible.
    #[error(
        "the slide was scanned from ({x}, {y}) px of level 0 on: QuPath counts from there, others from the corner of \
         level 0; say which of them the regions of interest do, by --within-frame qupath or --within-frame level0"
    )]
    Corner {
        /// From the left, level-0 px.
        x: f64,
        /// From the top, level-0 px.
        y: f64,
    },
    /// The picture they were drawn on does not have the shape of the slide.
    #[error(
        "the picture of the regions of interest has {} × {} px, but at {um_per_px} µm/px the slide has {} × {}: give \
         the µm per px of that picture with --within-mpp",
        found.0, found.1, expected.0, expected.1
    )]
    PictureSize {
        /// Width and height, px.
        found: (f64, f64),
        /// As the slide's size and scale say, px.
        expected: (f64, f64),
        /// As given.
        um_per_px: f64,
    },
    /// Some lie beside the slide.
    #[error(
        "{} of interest outside of the slide of {width} × {height} px: drawn on another slide, or in another frame or \
         scale",
        counted(*outside, "region")
    )]
    Outside {
        /// Number of them.
        outside: usize,
        /// Of level 0, px.
        width: f64,
        /// Of level 0, px.
        height: f64,
    },
    /// A corner is NaN or infinite.
    #[error("a corner of a region of interest is no finite number")]
    NotFinite,
    /// A corner is further off than any slide is wide.
    #[error(
        "a corner of a region of interest lies {px} px from the corner of level 0: in another frame or scale"
    )]
    FarOff {
        /// Its distance along an axis.
        px: f64,
    },
    /// Bands were asked for, and nothing says along whose border.
    #[error(
        "regions of interest are of {}, and bands lie along the border of one: name it with --margin-of",
        classes.join(" and ")
    )]
    WhoseBorder {
        /// Those they have, in words.
        classes: Vec<String>,
    },
}

impl InterestError {
    /// Bands lie along the border of one of these classes, and nothing says of which.
    #[must_use]
    pub fn whose_border<'c>(classes: impl IntoIterator<Item = Option<&'c str>>) -> Self {
        let named = classes.into_iter().map(|class| match class {
            Some(class) => format!("the class {class:?}"),
            None => "no class".to_owned(),
        });
        Self::WhoseBorder { classes: named.collect() }
    }
}

/// Regions of interest on level 0.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedRegions {
    /// The regions that count. What lies beyond the slide is cut off.
    pub regions: Vec<DrawnRegion<Level0Px>>,
    /// The areas whose border is measured from, as they were drawn: they may overlap, and reach beyond the slide.
    pub bordered: Vec<DrawnRegion<Level0Px>>,
    /// Areas that no band enters, as they were drawn.
    pub excluded: Vec<DrawnRegion<Level0Px>>,
}

/// Facts about a slide that are needed to place regions on it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Canvas {
    /// The whole of level 0.
    pub extent: Level0Box,
    /// Corner where the scanned part begins, level-0 px; the corner of level 0 where the file says nothing.
    pub scanned_from: Level0Point,
    /// µm per level-0 px.
    pub mpp: Mpp,
}

impl RegionsOfInterest {
    /// Regions of which nothing is cut out, without bands.
    #[must_use]
    pub fn new(regions: Vec<DrawnRegion<DrawnPx>>, frame: DrawnFrame) -> Self {
        Self { regions, frame, uncut: Vec::new(), excluded: Vec::new(), margin: Margin::default() }
    }

    /// The regions on level 0.
    ///
    /// # Errors
    ///
    /// [`InterestError`] when they do not fit the slide, or nothing says along whose border bands lie.
    pub fn place(&self, canvas: &Canvas) -> Result<PlacedRegions, InterestError> {
        self.check_margin()?;
        let placement = self.frame.placement(canvas)?;
        let placed = placement.place_all(&self.regions)?;
        let outside = placed.iter().filter(|region| !region.meets(&canvas.extent)).count();
        if outside > 0 {
            let (width, height) = (canvas.extent.width(), canvas.extent.height());
            return Err(InterestError::Outside { outside, width, height });
        }
        Ok(PlacedRegions {
            regions: placed.into_iter().map(|region| region.cut_to(canvas.extent)).collect(),
            bordered: placement.place_all(self.bordered())?,
            excluded: placement.place_all(&self.excluded)?,
        })
    }

    /// All of it that decides where windows are planned: the regions, and the bands as far as they lie outside.
    #[must_use]
    pub fn as_looked_at(&self) -> Self {
        match self.margin.outside_um() {
            Some((from, to)) => {
                let margin = Margin { of: self.margin.of.clone(), edges_um: vec![from, to] };
                Self { margin, ..self.clone() }
            }
            None => Self::new(self.regions.clone(), self.frame),
        }
    }

    /// Refuses bands when nothing says along whose border they lie.
    ///
    /// # Errors
    ///
    /// [`InterestError::WhoseBorder`].
    pub fn check_margin(&self) -> Result<(), InterestError> {
        let classes = self.classes();
        if self.margin.edges_um.is_empty() || !self.margin.of.is_empty() || classes.len() < 2 {
            return Ok(());
        }
        Err(InterestError::whose_border(classes))
    }

    /// The regions whose border is measured from: those of the named classes, or all when they are of one class. None
    /// when that is not clear.
    pub fn bordered(&self) -> impl Iterator<Item = &DrawnRegion<DrawnPx>> {
        let is_clear = !self.margin.of.is_empty() || self.classes().len() < 2;
        self.drawn().iter().filter(move |region| is_clear && self.margin.is_of(region.class.as_deref()))
    }

    /// The regions as they were drawn, before others were cut out of them.
    fn drawn(&self) -> &[DrawnRegion<DrawnPx>] {
        if self.uncut.is_empty() { &self.regions } else { &self.uncut }
    }

    /// The classes of the regions, each in the first of its spellings; `None` for those that have none.
    #[must_use]
    pub fn classes(&self) -> BTreeSet<Option<&str>> {
        distinct_classes(self.drawn().iter().map(|region| region.class.as_deref()))
    }
}

/// From drawn px to level 0.
struct DrawnPlacement {
    /// Level-0 px per drawn px.
    scale: f64,
    origin: Level0Point,
}

impl DrawnFrame {
    /// The size of a picture may differ from that of the slide by so much: levels are rounded.
    const SIZE_TOLERANCE: f64 = 0.01;

    fn placement(self, canvas: &Canvas) -> Result<DrawnPlacement, InterestError> {
        let origin = match self {
            Self::Picture { um_per_px, size } => {
                check_size(um_per_px, size, canvas)?;
                let scale = um_per_px / canvas.mpp.get();
                return Ok(DrawnPlacement { scale, origin: canvas.extent.min });
            }
            Self::Level0(Corner::Level0) => canvas.extent.min,
            Self::Level0(Corner::Scanned) => canvas.scanned_from,
            Self::Level0(Corner::Unstated) if canvas.scanned_from == canvas.extent.min => canvas.extent.min,
            Self::Level0(Corner::Unstated) => {
                let Level0Point { x, y, .. } = canvas.scanned_from;
                return Err(InterestError::Corner { x, y });
            }
        };
        Ok(DrawnPlacement { scale: 1.0, origin })
    }
}

fn check_size(um_per_px: f64, size: Option<(f64, f64)>, canvas: &Canvas) -> Result<(), InterestError> {
    let per_px = canvas.mpp.get() / um_per_px;
    let expected = (canvas.extent.width() * per_px, canvas.extent.height() * per_px);
    match size {
        Some(found) if !(is_near(found.0, expected.0) && is_near(found.1, expected.1)) => {
            let expected = (expected.0.round(), expected.1.round());
            Err(InterestError::PictureSize { found, expected, um_per_px })
        }
        _ => Ok(()),
    }
}

fn is_near(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= (expected * DrawnFrame::SIZE_TOLERANCE).max(1.0)
}

impl DrawnPlacement {
    fn place_all<'r>(
        &self,
        regions: impl IntoIterator<Item = &'r DrawnRegion<DrawnPx>>,
    ) -> Result<Vec<DrawnRegion<Level0Px>>, InterestError> {
        regions.into_iter().map(|region| self.place(region)).collect()
    }

    fn place(&self, region: &DrawnRegion<DrawnPx>) -> Result<DrawnRegion<Level0Px>, InterestError> {
        if !region.rings.iter().flatten().all(|corner| corner.is_finite()) {
            return Err(InterestError::NotFinite);
        }
        let rings = region.rings.iter().map(|ring| ring.iter().map(|&corner| self.level0(corner)).collect());
        Ok(DrawnRegion { name: region.name.clone(), class: region.class.clone(), rings: rings.collect() })
    }

    fn level0(&self, corner: DrawnPoint) -> Level0Point {
        self.origin + corner.to_vector().cast_unit() * self.scale
    }
}

impl DrawnRegion<Level0Px> {
    /// The smallest box around it, level-0 px.
    #[must_use]
    pub fn bounds(&self) -> Level0Box {
        Level0Box::from_points(self.rings.iter().flatten())
    }

    fn meets(&self, extent: &Level0Box) -> bool {
        !self.bounds().intersection_unchecked(extent).is_empty()
    }

    fn cut_to(self, extent: Level0Box) -> Self {
        if extent.contains_box(&self.bounds()) {
            return self;
        }
        let rings = self.rings.iter().map(|ring| {
            // Points where sides cross the edge are rounded.
            clip_ring(ring, extent).into_iter().map(|corner| corner.clamp(extent.min, extent.max)).collect()
        });
        let rings: Vec<Vec<_>> = rings.collect();
        Self { rings: rings.into_iter().filter(|ring| !ring.is_empty()).collect(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canvas(scanned_from: (f64, f64)) -> Canvas {
        Canvas {
            extent: Level0Box::from_size(euclid::size2(1000.0, 800.0)),
            scanned_from: scanned_from.into(),
            mpp: Mpp::new(0.5).unwrap(),
        }
    }

    fn square(x: f64, y: f64, side: f64) -> DrawnRegion<DrawnPx> {
        let corners = [(x, y), (x + side, y), (x + side, y + side), (x, y + side)];
        let ring = corners.map(|(x, y)| DrawnPoint::new(x, y)).to_vec();
        DrawnRegion { name: Some("front".into()), class: None, rings: vec![ring] }
    }

    fn placed(frame: DrawnFrame, region: DrawnRegion<DrawnPx>, canvas: &Canvas) -> Result<Level0Box, String> {
        let placed = RegionsOfInterest::new(vec![region], frame).place(canvas);
        Ok(placed.map_err(|error| error.to_string())?.regions[0].bounds())
    }

    fn bounds(x0: f64, y0: f64, x1: f64, y1: f64) -> Level0Box {
        Level0Box::new(Level0Point::new(x0, y0), Level0Point::new(x1, y1))
    }

    #[test]
    fn regions_lie_where_their_frame_says() {
        let region = || square(10.0, 20.0, 30.0);
        let shifted = canvas((100.0, 50.0));
        let of = |corner| placed(DrawnFrame::Level0(corner), region(), &shifted);
        assert_eq!(of(Corner::Level0).unwrap(), bounds(10.0, 20.0, 40.0, 50.0));
        assert_eq!(of(Corner::Scanned).unwrap(), bounds(110.0, 70.0, 140.0, 100.0));
        let refused = of(Corner::Unstated).unwrap_err();
        assert!(
            refused.contains("scanned from (100, 50)") && refused.contains("--within-frame"),
            "{refused}"
        );
        let unstated = placed(DrawnFrame::Level0(Corner::Unstated), region(), &canvas((0.0, 0.0)));
        assert_eq!(unstated.unwrap(), bounds(10.0, 20.0, 40.0, 50.0));
    }

    #[test]
    fn a_picture_covers_the_slide_at_its_scale() {
        let at = |um_per_px, size| {
            let frame = DrawnFrame::Picture { um_per_px, size };
            placed(frame, square(10.0, 20.0, 30.0), &canvas((100.0, 50.0)))
        };
        assert_eq!(at(5.0, Some((100.0, 80.0))).unwrap(), bounds(100.0, 200.0, 400.0, 500.0));
        assert_eq!(at(5.0, Some((101.0, 80.0))).unwrap(), bounds(100.0, 200.0, 400.0, 500.0), "rounded");
        let refused = at(4.0, Some((100.0, 80.0))).unwrap_err();
        assert!(refused.contains("has 100 × 80 px, but at 4 µm/px the slide has 125 × 100"), "{refused}");
    }

    #[test]
    fn what_is_beyond_the_slide_is_cut_off_and_what_is_beside_it_refused() {
        let level0 = DrawnFrame::Level0(Corner::Level0);
        let across = placed(level0, square(980.0, -10.0, 100.0), &canvas((0.0, 0.0)));
        assert_eq!(across.unwrap(), bounds(980.0, 0.0, 1000.0, 90.0));
        let beside = placed(level0, square(2000.0, 10.0, 9.0), &canvas((0.0, 0.0))).unwrap_err();
        assert!(beside.starts_with("1 region of interest outside"), "{beside}");
        let broken = placed(level0, square(f64::NAN, 10.0, 9.0), &canvas((0.0, 0.0))).unwrap_err();
        assert!(broken.contains("no finite number"), "{broken}");
    }

    /// A square of a class.
    fn of_class(class: Option<&str>, x: f64) -> DrawnRegion<DrawnPx> {
        DrawnRegion { class: class.map(str::to_owned), ..square(x, 0.0, 30.0) }
    }

    fn bordered(regions: &RegionsOfInterest) -> Vec<f64> {
        regions.bordered().map(|region| region.rings[0][0].x).collect()
    }

    #[test]
    fn the_border_is_that_of_the_named_class_or_of_the_only_one() {
        let frame = DrawnFrame::Level0(Corner::Unstated);
        let mixed = vec![of_class(Some("Tumor"), 0.0), of_class(Some("Stroma"), 40.0), of_class(None, 80.0)];
        let alone = vec![of_class(Some("Tumor"), 0.0), of_class(Some("tumor"), 40.0)];
        let mut alone = RegionsOfInterest::new(alone, frame);
        alone.margin = Margin::new(Vec::new(), vec![0.0, 50.0]).unwrap();
        assert_eq!((alone.check_margin(), bordered(&alone)), (Ok(()), vec![0.0, 40.0]), "spelt in two ways");
        let mut several = RegionsOfInterest::new(mixed, frame);
        assert_eq!(bordered(&several), [0.0; 0], "not clear whose");
        assert_eq!(several.check_margin(), Ok(()), "no bands were asked for");
        several.margin = Margin::new(Vec::new(), vec![0.0, 50.0]).unwrap();
        let refused = several.check_margin().unwrap_err().to_string();
        assert!(
            refused.contains("are of no class and the class \"Stroma\" and the class \"Tumor\"")
                && refused.contains("--margin-of"),
            "{refused}"
        );
        assert_eq!(several.place(&canvas((0.0, 0.0))).unwrap_err(), several.check_margin().unwrap_err());
        several.margin.of = vec!["tumor".into(), "STROMA".into()];
        assert_eq!((several.check_margin(), bordered(&several)), (Ok(()), vec![0.0, 40.0]));
    }

    #[test]
    fn the_border_is_the_one_that_was_drawn_not_the_one_that_was_cut() {
        let level0 = DrawnFrame::Level0(Corner::Level0);
        let cut = RegionsOfInterest {
            uncut: vec![of_class(None, -10.0)],
            excluded: vec![of_class(Some("Necrosis"), 5.0)],
            ..RegionsOfInterest::new(vec![of_class(None, 0.0)], level0)
        };
        let placed = cut.place(&canvas((0.0, 0.0))).unwrap();
        assert_eq!(placed.bordered[0].bounds(), bounds(-10.0, 0.0, 20.0, 30.0), "beyond the slide");
        assert_eq!(placed.excluded[0].bounds(), bounds(5.0, 0.0, 35.0, 30.0));
        assert_eq!(
            cut.as_looked_at(),
            RegionsOfInterest::new(cut.regions.clone(), level0),
            "what was cut out decides no window where no band reaches out"
        );
        let around = Margin::new(Vec::new(), vec![-50.0, 20.0, 40.0]).unwrap();
        let looked = RegionsOfInterest { margin: around, ..cut }.as_looked_at();
        assert_eq!((looked.margin.edges_um, looked.excluded.len()), (vec![0.0, 40.0], 1));
    }
}
