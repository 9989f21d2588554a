//! Regions of interest on a slide, their border, and the bands along it.
//!
//! A band holds what lies between two distances from the border. The area within a distance is the border drawn with a
//! round pen of that radius, so that bands of any width are right beside holes, narrow necks and neighbours, where moved
//! outlines would cross each other.
//!
//! Shapes are worked on in whole steps of 1/1024 px, which no order of the corners and no machine rounds differently.

use std::collections::BTreeMap;

use i_overlay::{
    core::{
        fill_rule::FillRule,
        overlay::{IntOverlayOptions, Overlay},
        overlay_rule::OverlayRule,
        simplify::Simplify as _,
        solver::Solver,
    },
    i_float::int::{angle::Angle, point::IntPoint},
    mesh::int::{
        arc::ArcOptions,
        stroke::offset::IntStrokeOffset as _,
        style::{IntLineCap, IntLineJoin, IntStrokeStyle},
    },
};
use wsi_types::{
    Canvas, DrawnRegion, InterestError, Level0Box, Level0Point, Level0Px, Margin, Mpp, PlacedRegions,
    RegionsOfInterest, is_same_class,
};

/// Regions of interest of a slide, in level-0 px.
#[derive(Debug, Clone, PartialEq)]
pub struct Interest {
    /// The regions. What lies beyond the slide is cut off.
    pub regions: Vec<DrawnRegion<Level0Px>>,
    /// The border that distances are measured from: rings around all its regions together, and around their holes, as
    /// drawn. Neither the edge of the slide nor an area that was cut out makes a border. None when it is not clear whose
    /// border is meant.
    pub border: Vec<Vec<Level0Point>>,
    /// The bands along it, from the innermost on.
    pub bands: Vec<Band>,
    /// All of the bands that lies outside of the border.
    pub around: Vec<DrawnRegion<Level0Px>>,
    /// Notes for the user.
    pub notes: Vec<String>,
}

/// The part of a slide that lies between two distances from a border.
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    /// The end that lies further inside, µm; negative inside.
    pub from_um: f64,
    /// The end that lies further outside, µm.
    pub to_um: f64,
    /// Its separate parts, without what was cut out of the regions. None when there is no such place.
    pub parts: Vec<DrawnRegion<Level0Px>>,
}

impl Band {
    /// First part of the kind of all bands.
    pub const PREFIX: &str = "margin:";

    /// The kind of its regions: `margin:-200..0`.
    #[must_use]
    pub fn kind(&self) -> String {
        format!("{}{}..{}", Self::PREFIX, self.from_um, self.to_um)
    }

    /// The inner end of the band whose kind it is, µm; `None` for the kind of other regions.
    #[must_use]
    pub fn from_um_of(kind: &str) -> Option<f64> {
        let (from_um, _) = kind.strip_prefix(Self::PREFIX)?.split_once("..")?;
        from_um.parse().ok()
    }
}

impl Interest {
    /// The regions where they lie on a slide.
    ///
    /// # Errors
    ///
    /// [`InterestError`] when they do not fit the slide, or nothing says along whose border bands lie.
    pub fn new(drawn: &RegionsOfInterest, canvas: &Canvas) -> Result<Self, InterestError> {
        let PlacedRegions { regions, bordered, excluded } = drawn.place(canvas)?;
        let within = Area::together(&bordered)?;
        let mut interest = Self {
            regions,
            border: within.rings().map(|ring| level0_ring(ring)).collect(),
            bands: Vec::new(),
            around: Vec::new(),
            notes: Vec::new(),
        };
        if bordered.is_empty() {
            interest.notes.extend(no_border(&drawn.margin));
        } else if !drawn.margin.edges_um.is_empty() {
            let excluded = Area::together(&excluded)?;
            let slide = Area::of_box(&canvas.extent)?;
            let class = common_class(&bordered);
            let sides = Sides::new(within, &drawn.margin, canvas.mpp)?;
            interest.lay_bands(&drawn.margin, &Bounds { slide, excluded, class }, &sides);
        }
        Ok(interest)
    }

    fn lay_bands(&mut self, margin: &Margin, bounds: &Bounds, sides: &Sides) {
        let bands = margin.bands_um().map(|(from_um, to_um)| {
            let parts = bounds.parts(&sides.between(from_um, to_um));
            Band { from_um, to_um, parts }
        });
        self.bands = bands.collect();
        if let Some((from, to)) = margin.outside_um() {
            self.around = bounds.parts(&sides.between(from, to));
        }
        let empty = self.bands.iter().filter(|band| band.parts.is_empty());
        self.notes.extend(empty.map(|band| {
            format!("nothing lies in {}: no part of the slide is that far from the border", band.kind())
        }));
        let depth_um = margin.edges_um.first().filter(|edge| **edge < 0.0);
        let deepest = depth_um.zip(self.bands.first()).filter(|(_, band)| !band.parts.is_empty());
        if let Some((depth_um, band)) = deepest
            && bounds.parts(&sides.deeper_than(*depth_um)).is_empty()
        {
            self.notes.push(format!(
                "the regions of interest are nowhere deeper than {} µm: nothing is left of them beyond {}",
                -depth_um,
                band.kind()
            ));
        }
    }

    /// The part of the slide in which cells are kept: the regions, and what of the bands lies around them.
    pub fn cover(&self) -> impl Iterator<Item = &DrawnRegion<Level0Px>> {
        self.regions.iter().chain(&self.around)
    }
}

/// Says so where nothing has the border that was asked for.
fn no_border(margin: &Margin) -> Option<String> {
    let classes: Vec<_> = margin.of.iter().map(|class| format!("{class:?}")).collect();
    (!classes.is_empty()).then(|| {
        format!(
            "no region of interest is of {} {}: no bands, and distance_um is empty",
            if classes.len() == 1 { "the class" } else { "the classes" },
            classes.join(" or ")
        )
    })
}

/// The class of all regions, if they have one.
fn common_class(regions: &[DrawnRegion<Level0Px>]) -> Option<String> {
    let first = regions.first()?.class.as_ref()?;
    let mut classes = regions.iter().map(|region| region.class.as_deref());
    classes.all(|class| class.is_some_and(|class| is_same_class(class, first))).then(|| first.clone())
}

/// Limits of all bands.
struct Bounds {
    slide: Area,
    excluded: Area,
    class: Option<String>,
}

impl Bounds {
    /// The separate parts of what lies on the slide and is not cut out.
    fn parts(&self, area: &Area) -> Vec<DrawnRegion<Level0Px>> {
        let on_slide = area.and(&self.slide).without(&self.excluded);
        let parts = on_slide.0.iter().map(|part| DrawnRegion {
            name: None,
            class: self.class.clone(),
            rings: part.iter().map(|ring| level0_ring(ring)).collect(),
        });
        parts.collect()
    }
}

/// Both sides of a border.
struct Sides {
    within: Area,
    /// The area from the border to each end of a band, by its distance in steps, negative inside.
    reached: BTreeMap<i64, Area>,
    mpp: Mpp,
}

impl Sides {
    fn new(within: Area, margin: &Margin, mpp: Mpp) -> Result<Self, InterestError> {
        let mut sides = Self { within, reached: BTreeMap::new(), mpp };
        let edges = margin.edges_um.iter().copied().chain(margin.outside_um().map(|(from, _)| from));
        for edge_um in edges.filter(|edge| *edge != 0.0) {
            let near = sides.within.near_border(edge_um.abs(), mpp)?;
            let side = if edge_um < 0.0 { near.and(&sides.within) } else { near.without(&sides.within) };
            sides.reached.insert(steps(edge_um / mpp.get()), side);
        }
        Ok(sides)
    }

    /// The area from the border to this distance; none at the border.
    fn reached(&self, edge_um: f64) -> Area {
        self.reached.get(&steps(edge_um / self.mpp.get())).cloned().unwrap_or_default()
    }

    fn between(&self, from_um: f64, to_um: f64) -> Area {
        let (from, to) = (self.reached(from_um), self.reached(to_um));
        match (from_um < 0.0, to_um > 0.0) {
            (true, true) => from.or(&to),
            (true, false) => from.without(&to),
            (false, _) => to.without(&from),
        }
    }

    /// What lies further inside than a distance below 0.
    fn deeper_than(&self, edge_um: f64) -> Area {
        self.within.without(&self.reached(edge_um))
    }
}

/// Steps per level-0 px.
const STEPS_PER_PX: f64 = 1024.0;

/// Corners beyond this are of no slide, px. Products of steps stay within the numbers that shapes are worked on.
const REACH_PX: f64 = 1e8;

fn steps(px: f64) -> i64 {
    (px * STEPS_PER_PX).round() as i64
}

type Place = IntPoint<i64>;

fn place(point: Level0Point) -> Result<Place, InterestError> {
    let px = point.x.abs().max(point.y.abs());
    if px > REACH_PX {
        return Err(InterestError::FarOff { px });
    }
    Ok(Place::new(steps(point.x), steps(point.y)))
}

fn level0_ring(ring: &[Place]) -> Vec<Level0Point> {
    ring.iter()
        .map(|place| Level0Point::new(place.x as f64 / STEPS_PER_PX, place.y as f64 / STEPS_PER_PX))
        .collect()
}

/// An area in steps: separate parts, each an outer ring and its holes.
#[derive(Debug, Clone, Default)]
struct Area(Vec<Vec<Vec<Place>>>);

impl Area {
    /// The area that any of the regions covers, each by the even-odd rule.
    fn together(regions: &[DrawnRegion<Level0Px>]) -> Result<Self, InterestError> {
        let mut rings = Vec::new();
        for region in regions {
            let own = region.rings.iter().map(|ring| ring.iter().copied().map(place).collect());
            let own: Vec<Vec<Place>> = own.collect::<Result<_, _>>()?;
            rings.extend(own.simplify(FillRule::EvenOdd, IntOverlayOptions::ogc()).into_iter().flatten());
        }
        // Outer rings run one way and holes the other, so that regions may overlap.
        Ok(Self(rings.simplify(FillRule::NonZero, IntOverlayOptions::ogc())))
    }

    fn of_box(extent: &Level0Box) -> Result<Self, InterestError> {
        let (min, max) = (place(extent.min)?, place(extent.max)?);
        let ring = vec![min, Place::new(max.x, min.y), max, Place::new(min.x, max.y)];
        Ok(Self(vec![ring].simplify(FillRule::NonZero, IntOverlayOptions::ogc())))
    }

    fn rings(&self) -> impl Iterator<Item = &Vec<Place>> {
        self.0.iter().flatten()
    }

    fn and(&self, other: &Self) -> Self {
        self.combined(other, OverlayRule::Intersect)
    }

    fn or(&self, other: &Self) -> Self {
        self.combined(other, OverlayRule::Union)
    }

    fn without(&self, other: &Self) -> Self {
        self.combined(other, OverlayRule::Difference)
    }

    fn combined(&self, other: &Self, rule: OverlayRule) -> Self {
        let options = IntOverlayOptions::ogc();
        let mut overlay = Overlay::from_subj_and_clip_custom(&self.0, &other.0, options, Solver::default());
        Self(overlay.overlay(rule, FillRule::NonZero))
    }

    /// Everything at most `um` from its border, on both sides.
    ///
    /// The border is drawn in strokes of a few sides, which are then joined two by two: drawn at once, each side would
    /// cross all others within reach of the pen, and an outline of thousands of corners would take minutes.
    fn near_border(&self, um: f64, mpp: Mpp) -> Result<Self, InterestError> {
        let pen = pen(um, mpp);
        let mut strokes = Vec::new();
        for ring in self.rings() {
            let closed: Vec<Place> = ring.iter().chain(ring.first()).copied().collect();
            for start in (0..ring.len()).step_by(SIDES_PER_STROKE) {
                let sides = &closed[start..=(start + SIDES_PER_STROKE).min(ring.len())];
                let stroke = sides.stroke_custom(&pen, false, IntOverlayOptions::ogc());
                strokes.push(Self(stroke.map_err(|_| InterestError::FarOff { px: REACH_PX })?));
            }
        }
        while strokes.len() > 1 {
            strokes = strokes.chunks(2).map(|pair| pair[0].or(&pair[pair.len() - 1])).collect();
        }
        Ok(strokes.pop().unwrap_or_default())
    }
}

/// Sides of a border that are drawn at once.
const SIDES_PER_STROKE: usize = 32;

/// Largest distance between a round end of a band and the circle that it stands for, µm.
const ROUND_UM: f64 = 0.05;

/// A round pen of a radius.
fn pen(um: f64, mpp: Mpp) -> IntStrokeStyle<i64> {
    // The chord of an arc of this angle is so far off its middle.
    let step = Angle::from_radians((8.0 * ROUND_UM / um).sqrt()).unwrap_or(ArcOptions::MAX_STEP);
    let round = ArcOptions { max_step: step, ..ArcOptions::default() };
    let pen = IntStrokeStyle::new(2 * steps(um / mpp.get())).line_join(IntLineJoin::Round(round));
    pen.start_cap(IntLineCap::Round(round)).end_cap(IntLineCap::Round(round))
}

#[cfg(test)]
mod tests {
    use wsi_types::{Corner, DrawnFrame, DrawnPoint, DrawnPx};

    use super::*;

    /// 1000 × 800 px of 0.5 µm.
    fn canvas() -> Canvas {
        Canvas {
            extent: Level0Box::from_size(euclid::size2(1000.0, 800.0)),
            scanned_from: Level0Point::zero(),
            mpp: Mpp::new(0.5).unwrap(),
        }
    }

    fn square(x: f64, y: f64, side: f64) -> Vec<DrawnPoint> {
        let corners = [(x, y), (x + side, y), (x + side, y + side), (x, y + side)];
        corners.map(|(x, y)| DrawnPoint::new(x, y)).to_vec()
    }

    fn tumour(rings: Vec<Vec<DrawnPoint>>) -> DrawnRegion<DrawnPx> {
        DrawnRegion { name: Some("front".into()), class: Some("Tumor".into()), rings }
    }

    fn drawn(regions: Vec<DrawnRegion<DrawnPx>>, edges_um: &[f64]) -> RegionsOfInterest {
        let margin = Margin::new(Vec::new(), edges_um.to_vec()).unwrap();
        let frame = DrawnFrame::Level0(Corner::Unstated);
        RegionsOfInterest { margin, ..RegionsOfInterest::new(regions, frame) }
    }

    fn laid(regions: Vec<DrawnRegion<DrawnPx>>, edges_um: &[f64]) -> Interest {
        Interest::new(&drawn(regions, edges_um), &canvas()).unwrap()
    }

    fn area_um2(parts: &[DrawnRegion<Level0Px>]) -> f64 {
        let rings = parts.iter().flat_map(|part| &part.rings);
        rings.map(|ring| shoelace(ring)).sum::<f64>().abs() * 0.25
    }

    /// Outer rings run one way, holes the other.
    fn shoelace(ring: &[Level0Point]) -> f64 {
        let sides = wsi_types::ring::segments(ring);
        sides.map(|(a, b)| a.to_vector().cross(b.to_vector())).sum::<f64>() / 2.0
    }

    fn areas_um2(interest: &Interest) -> Vec<f64> {
        interest.bands.iter().map(|band| area_um2(&band.parts)).collect()
    }

    fn assert_near(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-3 * expected.max(1.0), "{found} {expected}");
        }
    }

    /// What a quarter of a circle adds at each of four corners.
    fn round_um2(radius_um: f64) -> f64 {
        std::f64::consts::PI * radius_um * radius_um
    }

    #[test]
    fn bands_of_a_square_have_the_areas_of_geometry() {
        // 200 µm wide.
        let interest = laid(vec![tumour(vec![square(300.0, 200.0, 400.0)])], &[-60.0, -20.0, 0.0, 50.0]);
        let kinds: Vec<_> = interest.bands.iter().map(Band::kind).collect();
        assert_eq!(kinds, ["margin:-60..-20", "margin:-20..0", "margin:0..50"]);
        assert_eq!(Band::from_um_of(&kinds[0]), Some(-60.0));
        assert_eq!(Band::from_um_of("tissue"), None);
        let inner = [160.0 * 160.0 - 80.0 * 80.0, 200.0 * 200.0 - 160.0 * 160.0];
        assert_near(&areas_um2(&interest), &[inner[0], inner[1], 4.0 * 200.0 * 50.0 + round_um2(50.0)]);
        assert_eq!(interest.bands[2].parts[0].rings.len(), 2);
        assert_eq!(interest.bands[2].parts[0].class.as_deref(), Some("Tumor"));
        assert_eq!((interest.border.len(), interest.border[0].len()), (1, 4));
        assert_eq!(interest.notes, [""; 0]);
        assert_eq!(area_um2(&interest.around), area_um2(&interest.bands[2].parts));
    }

    #[test]
    fn a_band_across_the_border_is_one() {
        let interest = laid(vec![tumour(vec![square(300.0, 200.0, 400.0)])], &[-20.0, 50.0]);
        let expected = 200.0 * 200.0 - 160.0 * 160.0 + 4.0 * 200.0 * 50.0 + round_um2(50.0);
        assert_near(&areas_um2(&interest), &[expected]);
        assert_eq!((interest.bands[0].parts.len(), interest.bands[0].parts[0].rings.len()), (1, 2));
        assert!(area_um2(&interest.around) < expected);
    }

    #[test]
    fn a_hole_has_a_border_too() {
        // A hole 50 µm wide: all of it is nearer than 30 µm.
        let ring = vec![square(300.0, 200.0, 400.0), square(400.0, 300.0, 100.0)];
        let interest = laid(vec![tumour(ring)], &[-10.0, 0.0, 30.0, 60.0]);
        let inside = 200.0 * 200.0 - 180.0 * 180.0 + 4.0 * 50.0 * 10.0 + round_um2(10.0);
        let outside = 50.0 * 50.0 + 4.0 * 200.0 * 30.0 + round_um2(30.0);
        let further = 4.0 * 200.0 * 30.0 + round_um2(60.0) - round_um2(30.0);
        assert_near(&areas_um2(&interest), &[inside, outside, further]);
        assert_eq!(interest.border.len(), 2);
        assert_eq!(interest.bands[1].parts.len(), 2, "around it, and in its hole");
    }

    /// Drawn at once, the border of such an outline took minutes.
    #[test]
    fn bands_of_an_outline_of_many_corners_are_those_of_its_circle() {
        let corners = (0..2000).map(|step| f64::from(step) / 2000.0 * std::f64::consts::TAU);
        let ring = corners.map(|at| DrawnPoint::new(500.0 + 240.0 * at.cos(), 400.0 + 240.0 * at.sin()));
        let interest = laid(vec![tumour(vec![ring.collect()])], &[-40.0, 0.0, 40.0]);
        assert_near(
            &areas_um2(&interest),
            &[round_um2(120.0) - round_um2(80.0), round_um2(160.0) - round_um2(120.0)],
        );
        assert!(interest.bands.iter().all(|band| band.parts.len() == 1 && band.parts[0].rings.len() == 2));
    }

    #[test]
    fn between_regions_that_touch_or_overlap_there_is_no_border() {
        let touching = [square(200.0, 200.0, 200.0), square(400.0, 200.0, 200.0)];
        let overlapping =
            [square(200.0, 200.0, 200.0), square(300.0, 200.0, 100.0), square(400.0, 200.0, 200.0)];
        let as_one = |rings: &[Vec<DrawnPoint>]| {
            laid(rings.iter().map(|ring| tumour(vec![ring.clone()])).collect(), &[-25.0, 0.0, 25.0])
        };
        let expected = [200.0 * 100.0 - 150.0 * 50.0, 2.0 * 300.0 * 25.0 + round_um2(25.0)];
        assert_near(&areas_um2(&as_one(&touching)), &expected);
        assert_near(&areas_um2(&as_one(&overlapping)), &expected);
        assert_eq!(as_one(&touching).border, as_one(&overlapping).border);
    }

    #[test]
    fn bands_end_with_the_slide_whose_edge_is_no_border() {
        let interest = laid(vec![tumour(vec![square(-300.0, 200.0, 400.0)])], &[-25.0, 0.0, 25.0]);
        let inside = 25.0 * 200.0 + 2.0 * 25.0 * 25.0;
        // Of the outer band, two sides of 50 µm, two quarters of a circle, and the side that faces the slide.
        assert_near(
            &areas_um2(&interest),
            &[inside, 2.0 * 50.0 * 25.0 + 200.0 * 25.0 + round_um2(25.0) / 2.0],
        );
        let xs = interest.bands.iter().flat_map(|band| &band.parts).flat_map(|part| &part.rings).flatten();
        assert!(xs.clone().all(|corner| corner.x >= 0.0) && xs.clone().any(|corner| corner.x == 0.0));
        assert!(interest.border[0].iter().any(|corner| corner.x == -300.0));
    }

    #[test]
    fn a_band_wider_than_the_region_leaves_nothing_and_says_so() {
        let small = || vec![tumour(vec![square(300.0, 200.0, 100.0)])];
        let interest = laid(small(), &[-30.0, 0.0]);
        assert_near(&areas_um2(&interest), &[50.0 * 50.0]);
        assert_eq!(
            interest.notes,
            [
                "the regions of interest are nowhere deeper than 30 µm: nothing is left of them beyond margin:-30..0"
            ]
        );
        assert!(interest.around.is_empty());
        let deeper = laid(small(), &[-80.0, -30.0, 0.0]);
        assert_eq!(
            deeper.notes,
            ["nothing lies in margin:-80..-30: no part of the slide is that far from the border"]
        );
        assert!(deeper.bands[0].parts.is_empty());
        assert!(laid(small(), &[-20.0, 0.0]).notes.is_empty());
    }

    #[test]
    fn no_band_enters_what_was_cut_out_and_that_makes_no_border() {
        // Necrosis in the middle, and some across the border on the right.
        let whole = tumour(vec![square(300.0, 200.0, 400.0)]);
        let dead = tumour(vec![square(450.0, 350.0, 100.0)]);
        let across = tumour(vec![square(650.0, 350.0, 100.0)]);
        let regions = RegionsOfInterest {
            uncut: vec![whole.clone()],
            excluded: vec![dead, across],
            ..drawn(vec![whole], &[-50.0, 0.0, 50.0])
        };
        let interest = Interest::new(&regions, &canvas()).unwrap();
        assert_eq!(interest.border.len(), 1);
        let inside = 200.0 * 200.0 - 100.0 * 100.0 - 25.0 * 50.0;
        assert_near(&areas_um2(&interest), &[inside, 4.0 * 200.0 * 50.0 + round_um2(50.0) - 25.0 * 50.0]);
    }

    #[test]
    fn without_the_class_that_was_named_there_is_no_border() {
        let mut regions = drawn(vec![tumour(vec![square(300.0, 200.0, 400.0)])], &[0.0, 50.0]);
        regions.margin.of = vec!["Stroma".into()];
        let interest = Interest::new(&regions, &canvas()).unwrap();
        assert!(interest.border.is_empty() && interest.bands.is_empty());
        assert_eq!(
            interest.notes,
            ["no region of interest is of the class \"Stroma\": no bands, and distance_um is empty"]
        );
        assert_eq!(interest.cover().count(), 1);
    }

    #[test]
    fn a_corner_that_is_on_no_slide_is_refused() {
        let regions = vec![tumour(vec![square(300.0, 200.0, 1e9)])];
        let refused = Interest::new(&drawn(regions, &[0.0, 50.0]), &canvas()).unwrap_err();
        assert!(matches!(refused, InterestError::FarOff { .. }), "{refused}");
    }
}
