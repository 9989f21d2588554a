//! Further columns of the cells against plain definitions, and against scipy and scikit-image where a Python with them is
//! available.

#![allow(clippy::unwrap_used)]

mod support;

use std::{fs, path::Path, process::Command, sync::OnceLock};

use merger::{
    ColourDeconvolution, Ground, MaskFrame, MergeError, Neighbours, Texture,
    mask::Mask,
    morphology::Shape,
    neighbours::{COMPARED, DENSITY_UM, LONGEST_SIDE_UM, NEAR_UM, Place},
};
use proptest::prelude::*;
use serde::{Deserialize, de::DeserializeOwned};
use wsi_types::{ClassId, Detection, Level0Point, ModelClass, Mpp, Score, WindowBox, WindowPoint};

const CLASSES: usize = 3;

fn mpp() -> Mpp {
    Mpp::new(0.5).unwrap()
}

/// A place given in µm.
fn place(x_um: f64, y_um: f64, class: u16) -> Place {
    Place { centroid: Level0Point::new(x_um / mpp().get(), y_um / mpp().get()), class: ClassId(class) }
}

/// A ground of px of 4 µm, 4 × 4 mm, of which the first `columns` are analysed.
fn ground(columns: usize) -> Ground {
    let frame = MaskFrame {
        origin: Level0Point::zero(),
        level0_per_px: (8.0, 8.0),
        mpp: mpp(),
        slide_end: Level0Point::new(8000.0, 8000.0),
    };
    Ground::new(Mask::from_fn(1000, 1000, |x, _| x < columns), frame)
}

/// The same, analysed as a whole.
fn everywhere() -> &'static Ground {
    static GROUND: OnceLock<Ground> = OnceLock::new();
    GROUND.get_or_init(|| ground(1000))
}

fn measured(places: &[Place]) -> Neighbours {
    Neighbours::new(places, mpp(), CLASSES, everywhere()).unwrap()
}

/// Squares of the distances from one place to all others, µm², nearest first, each with its place in the list.
fn sorted_squares(places: &[Place], from: usize) -> Vec<(f64, usize)> {
    let um = mpp().get();
    let [x, y] = places[from].centroid.to_array().map(|px| px * um);
    let others = (0..places.len()).filter(|&other| other != from);
    let mut squares: Vec<(f64, usize)> = others
        .map(|other| {
            let [u, v] = places[other].centroid.to_array().map(|px| px * um);
            ((u - x) * (u - x) + (v - y) * (v - y), other)
        })
        .collect();
    squares.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    squares
}

fn entropy(classes: &[ClassId]) -> f64 {
    let last = classes.iter().map(|class| class.0).max().unwrap_or(0);
    let counts = (0..=last).map(|class| classes.iter().filter(|other| other.0 == class).count());
    let shares = counts.filter(|&count| count > 0).map(|count| count as f64 / classes.len() as f64);
    shares.map(|share| -share * share.ln()).sum()
}

fn close(found: f32, expected: f64) -> bool {
    (f64::from(found) - expected).abs() <= 2e-5 * expected.abs().max(1.0)
}

fn close_or_none(found: Option<f32>, expected: Option<f64>) -> bool {
    match (found, expected) {
        (Some(found), Some(expected)) => close(found, expected),
        (found, expected) => found.is_none() && expected.is_none(),
    }
}

/// Places on a coarse lattice (many at one distance, some at one place) or anywhere; near or far apart.
fn places() -> impl Strategy<Value = Vec<Place>> {
    let step = prop_oneof![Just(0.01), Just(5.0), Just(50.0)];
    let width = prop_oneof![Just(12_u32), Just(60), Just(4000)];
    (step, width).prop_flat_map(|(step, width)| {
        let width = if step < 1.0 { width * 100 } else { width / 4 + 2 };
        let one = (0..width, 0..width, 0..CLASSES as u16);
        let one = one.prop_map(move |(x, y, class)| place(f64::from(x) * step, f64::from(y) * step, class));
        proptest::collection::vec(one, 0..70)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn distances_counts_and_classes_are_those_of_all_pairs(places in places()) {
        let measured = measured(&places);
        for index in 0..places.len() {
            let around = measured.around(index).unwrap();
            let sorted = sorted_squares(&places, index);
            let near = sorted.iter().take_while(|(square, _)| *square <= NEAR_UM * NEAR_UM);
            let near: Vec<ClassId> = near.map(|&(_, other)| places[other].class).collect();
            prop_assert!(close_or_none(around.measures.nearest_um, sorted.first().map(|first| first.0.sqrt())));
            prop_assert!(close_or_none(around.measures.fifth_um, sorted.get(4).map(|fifth| fifth.0.sqrt())));
            prop_assert_eq!(around.measures.near as usize, near.len());
            for class in 0..CLASSES as u16 {
                let of_class = near.iter().filter(|other| other.0 == class).count();
                prop_assert_eq!(around.near_by_class[usize::from(class)] as usize, of_class);
            }
            let compared: Option<Vec<ClassId>> = sorted
                .get(..COMPARED)
                .map(|nearest| nearest.iter().map(|&(_, other)| places[other].class).collect());
            prop_assert!(close_or_none(around.measures.class_entropy, compared.map(|classes| entropy(&classes))));
            let in_disc = 1 + sorted.iter().filter(|(square, _)| *square <= DENSITY_UM * DENSITY_UM).count();
            let mm2 = everywhere().seen_mm2(places[index].centroid);
            prop_assert!(close(around.measures.per_mm2, in_disc as f64 / mm2));
        }
        prop_assert!(measured.around(places.len()).is_none());
    }

    #[test]
    fn the_order_of_cells_changes_nothing_where_no_distance_comes_twice(
        spots in proptest::collection::vec((0.0..400.0_f64, 0.0..400.0_f64, 0..CLASSES as u16), 1..60),
        turn in 0..60_usize,
    ) {
        let places: Vec<Place> = spots.into_iter().map(|(x, y, class)| place(x, y, class)).collect();
        let turn = turn % places.len();
        let turned: Vec<Place> = places[turn..].iter().chain(&places[..turn]).copied().collect();
        let (first, second) = (measured(&places), measured(&turned));
        for index in 0..places.len() {
            let other = (index + places.len() - turn) % places.len();
            let (a, b) = (first.around(index).unwrap(), second.around(other).unwrap());
            prop_assert_eq!(a.near_by_class, b.near_by_class);
            prop_assert_eq!(a.measures.sides, b.measures.sides);
            prop_assert_eq!(a.measures.class_entropy, b.measures.class_entropy);
        }
    }

    #[test]
    fn sides_are_those_of_triangles_whose_circle_is_empty(
        spots in proptest::collection::vec((0.0..90.0_f64, 0.0..90.0_f64), 3..14),
    ) {
        let places: Vec<Place> = spots.iter().map(|&(x, y)| place(x, y, 0)).collect();
        let measured = measured(&places);
        let sides = sides_of_empty_circles(&spots);
        for (index, &spot) in spots.iter().enumerate() {
            let ends = sides.iter().filter(|(a, b)| *a == index || *b == index);
            let lengths: Vec<f64> =
                ends.map(|(a, b)| distance(spot, spots[a + b - index])).filter(|&um| um <= LONGEST_SIDE_UM).collect();
            let mean = lengths.iter().sum::<f64>() / lengths.len() as f64;
            let around = measured.around(index).unwrap().measures;
            prop_assert_eq!(around.sides as usize, lengths.len());
            prop_assert!(close_or_none(around.mean_side_um, (!lengths.is_empty()).then_some(mean)));
        }
    }
}

fn distance(a: (f64, f64), b: (f64, f64)) -> f64 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

/// All pairs of corners of triangles with no other corner in their circle, by trying every three.
fn sides_of_empty_circles(spots: &[(f64, f64)]) -> Vec<(usize, usize)> {
    let mut sides = Vec::new();
    for a in 0..spots.len() {
        for b in a + 1..spots.len() {
            for c in b + 1..spots.len() {
                let (centre, radius) = circle(spots[a], spots[b], spots[c]);
                let is_empty = (0..spots.len())
                    .filter(|other| ![a, b, c].contains(other))
                    .all(|other| distance(spots[other], centre) > radius);
                if is_empty {
                    sides.extend([(a, b), (a, c), (b, c)]);
                }
            }
        }
    }
    sides.sort_unstable();
    sides.dedup();
    sides
}

/// Centre and radius of the circle through three points.
fn circle(a: (f64, f64), b: (f64, f64), c: (f64, f64)) -> ((f64, f64), f64) {
    let (b, c) = ((b.0 - a.0, b.1 - a.1), (c.0 - a.0, c.1 - a.1));
    let twice = 2.0 * (b.0 * c.1 - b.1 * c.0);
    let (b2, c2) = (b.0 * b.0 + b.1 * b.1, c.0 * c.0 + c.1 * c.1);
    let (x, y) = ((c.1 * b2 - b.1 * c2) / twice, (b.0 * c2 - c.0 * b2) / twice);
    ((a.0 + x, a.1 + y), x.hypot(y))
}

/// Counts are added as bytes, eight classes together: here are more of both.
#[test]
fn hundreds_of_neighbours_of_many_classes_are_those_of_all_pairs() {
    const MANY: u16 = 19;
    let steps =
        (0..900_u16).map(|i| ([i % 30, i / 30].map(|step| 100.0 + 2.0 * f64::from(step)), i * 7 % MANY));
    let places: Vec<Place> = steps.map(|([x, y], class)| place(x, y, class)).collect();
    let measured = Neighbours::new(&places, mpp(), usize::from(MANY), everywhere()).unwrap();
    for index in (0..places.len()).step_by(7) {
        let sorted = sorted_squares(&places, index);
        let mut near = [0; MANY as usize];
        for (_, other) in sorted.iter().take_while(|(square, _)| *square <= NEAR_UM * NEAR_UM) {
            near[usize::from(places[*other].class.0)] += 1;
        }
        let around = measured.around(index).unwrap();
        assert_eq!(around.near_by_class, near);
        let nearest: Vec<ClassId> =
            sorted[..COMPARED].iter().map(|&(_, other)| places[other].class).collect();
        assert!(close_or_none(around.measures.class_entropy, Some(entropy(&nearest))));
        let in_disc = places.len() as f64;
        assert!(close(around.measures.per_mm2, in_disc / everywhere().seen_mm2(places[index].centroid)));
    }
}

#[test]
fn a_single_cell_has_no_neighbours() {
    let measured = measured(&[place(30.0, 40.0, 2)]);
    let around = measured.around(0).unwrap();
    assert_eq!((around.measures.nearest_um, around.measures.fifth_um), (None, None));
    assert_eq!((around.measures.near, around.near_by_class), (0, &[0, 0, 0][..]));
    assert_eq!((around.measures.sides, around.measures.mean_side_um), (0, None));
    assert_eq!(around.measures.class_entropy, None);
    assert!(measured.around(1).is_none());
}

/// Four cells, kilometres apart in bins.
fn super_sparse() -> Neighbours {
    measured(&[place(0.0, 0.0, 0), place(3e5, 0.0, 0), place(0.0, 2e5, 1), place(3e5, 2e5, 1)])
}

#[test]
fn few_cells_far_apart_have_distances_and_no_sides() {
    let measured = super_sparse();
    for index in 0..4 {
        let around = measured.around(index).unwrap().measures;
        assert_eq!((around.nearest_um, around.fifth_um), (Some(2e5), None));
        assert_eq!((around.near, around.sides, around.mean_side_um), (0, 0, None));
    }
}

#[test]
fn cells_at_one_place_are_neighbours_and_one_corner() {
    let places: Vec<Place> = (0..6).map(|index| place(20.0, 20.0, index % 2)).collect();
    let alone = measured(&places);
    let around = alone.around(3).unwrap();
    assert_eq!((around.measures.nearest_um, around.measures.fifth_um), (Some(0.0), Some(0.0)));
    assert_eq!((around.measures.near, around.near_by_class), (5, &[3, 2, 0][..]));
    assert_eq!((around.measures.sides, around.measures.mean_side_um), (0, None));
    let more = [places, vec![place(30.0, 20.0, 0), place(20.0, 40.0, 0)]].concat();
    let beside = measured(&more);
    for index in 0..6 {
        let around = beside.around(index).unwrap().measures;
        assert_eq!((around.sides, around.mean_side_um), (2, Some(15.0)));
    }
}

#[test]
fn cells_on_a_line_have_the_ones_beside_them() {
    let places: Vec<Place> = (0..12).map(|index| place(10.0 * f64::from(index), 7.0, 0)).collect();
    let measured = measured(&places);
    for index in 0..12 {
        let around = measured.around(index).unwrap().measures;
        let sides = if index == 0 || index == 11 { 1 } else { 2 };
        assert_eq!((around.sides, around.mean_side_um), (sides, Some(10.0)), "{index}");
        assert_eq!(around.class_entropy, Some(0.0));
    }
}

/// Of twelve cells at one distance, ten are compared.
#[test]
fn ties_go_to_the_cell_that_comes_first() {
    let spots = [(10, 0), (-10, 0), (0, 10), (0, -10), (6, 8), (-6, 8), (6, -8), (-6, -8), (8, 6), (-8, 6)];
    let last = [(8, -6), (-8, -6)];
    let middle = place(100.0, 100.0, 0);
    let same = spots.map(|(x, y)| place(100.0 + f64::from(x), 100.0 + f64::from(y), 0));
    let others = last.map(|(x, y)| place(100.0 + f64::from(x), 100.0 + f64::from(y), 1));
    let with_others_last = measured(&[&[middle][..], &same, &others].concat());
    assert_eq!(with_others_last.around(0).unwrap().measures.class_entropy, Some(0.0));
    let with_others_first = measured(&[&others[..], &same, &[middle]].concat());
    let found = with_others_first.around(12).unwrap().measures.class_entropy;
    assert!(close_or_none(found, Some(entropy(&[1, 1, 0, 0, 0, 0, 0, 0, 0, 0].map(ClassId)))), "{found:?}");
}

#[test]
fn density_is_per_area_that_was_analysed() {
    let full = std::f64::consts::PI * DENSITY_UM * DENSITY_UM * 1e-6;
    let at = |x_um: f64| place(x_um, 2000.0, 0).centroid;
    let half = ground(500);
    assert_eq!(half.seen_mm2(at(1000.0)), full);
    let share = half.seen_mm2(at(2001.9)) / full;
    assert!((share - 0.5).abs() < 0.02, "{share}");
    assert_eq!(half.seen_mm2(at(2090.0)), 0.25 * full, "a sliver counts as a quarter");
    assert_eq!(half.seen_mm2(at(1e9)), 0.25 * full, "nothing of it was analysed");
    let corner = everywhere().seen_mm2(place(1.0, 1.0, 0).centroid) / full;
    assert!((corner - 0.25).abs() < 0.02, "the slide ends there: {corner}");
}

#[test]
fn a_place_that_is_none_is_refused() {
    for wrong in [f64::NAN, f64::INFINITY] {
        let places = [place(1.0, 1.0, 0), place(wrong, 1.0, 0)];
        let refused = Neighbours::new(&places, mpp(), CLASSES, everywhere()).unwrap_err();
        assert!(matches!(refused, MergeError::Centroid(_)), "{refused}");
    }
}

/// A slide of the reference script, and what scipy says of each of its cells.
#[derive(Deserialize)]
struct Reference {
    name: String,
    /// µm from the left and top, and class.
    cells: Vec<(f64, f64, u16)>,
    /// Columns of the ground, of 4 µm each, that are analysed.
    analysed_columns: usize,
    expected: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    nn1_um: Option<f64>,
    nn5_um: Option<f64>,
    n_by_class_50um: Vec<u32>,
    local_density_mm2: f64,
    delaunay_degree: u32,
    delaunay_mean_um: Option<f64>,
    clustering_entropy: Option<f64>,
}

/// The folder that the reference script writes to; made once for all tests here.
fn references() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<tempfile::TempDir>> = OnceLock::new();
    FOLDER.get_or_init(make_references).as_ref().map(tempfile::TempDir::path)
}

fn make_references() -> Option<tempfile::TempDir> {
    let python = support::python_with("numpy, scipy, skimage, matplotlib")?;
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python/features_reference.py");
    let output = Command::new(python).arg(script).arg("--out").arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(folder)
}

/// What the script says under a name.
fn reference<T: DeserializeOwned>(folder: &Path, name: &str) -> Vec<T> {
    serde_json::from_str(&fs::read_to_string(folder.join(name)).unwrap()).unwrap()
}

#[test]
fn scipy_finds_the_same_neighbours() {
    let Some(folder) = references() else { return };
    let references: Vec<Reference> = reference(folder, "neighbours.json");
    assert!(references.iter().map(|reference| reference.cells.len()).sum::<usize>() > 2000);
    for reference in references {
        let places: Vec<Place> = reference.cells.iter().map(|&(x, y, class)| place(x, y, class)).collect();
        let measured = Neighbours::new(&places, mpp(), CLASSES, &ground(reference.analysed_columns)).unwrap();
        for (index, expected) in reference.expected.iter().enumerate() {
            let around = measured.around(index).unwrap();
            let found = around.measures;
            let name = format!("cell {index} of {}: {found:?}", reference.name);
            assert!(close_or_none(found.nearest_um, expected.nn1_um), "{name}");
            assert!(close_or_none(found.fifth_um, expected.nn5_um), "{name}");
            assert_eq!(around.near_by_class, expected.n_by_class_50um, "{name}");
            assert!(close(found.per_mm2, expected.local_density_mm2), "{name}");
            assert_eq!(found.sides, expected.delaunay_degree, "{name}");
            assert!(close_or_none(found.mean_side_um, expected.delaunay_mean_um), "{name}");
            assert!(close_or_none(found.class_entropy, expected.clustering_entropy), "{name}");
        }
    }
}

/// An outline of the reference script, in px, and what scikit-image says of the px inside.
#[derive(Deserialize)]
struct Outline {
    ring: Vec<(f64, f64)>,
    orientation_deg: f64,
    elongation: f64,
}

/// Theirs are moments of px, ours those of the outline itself.
#[test]
fn scikit_image_finds_the_same_direction_and_elongation() {
    let Some(folder) = references() else { return };
    let outlines: Vec<Outline> = reference(folder, "shapes.json");
    assert_eq!(outlines.len(), 60);
    for Outline { ring, orientation_deg, elongation } in outlines {
        let ring: Vec<Level0Point> = ring.into_iter().map(|(x, y)| Level0Point::new(x, y)).collect();
        let shape = Shape::of(&ring, mpp()).unwrap();
        assert!((shape.elongation / elongation - 1.0).abs() < 0.005, "{} {elongation}", shape.elongation);
        let off = shape.orientation_deg.unwrap() - orientation_deg;
        assert!((off - 180.0 * (off / 180.0).round()).abs() < 0.25, "{shape:?}, {orientation_deg}");
    }
}

/// A window of the reference script with an outline, and what scikit-image and numpy say of the px inside.
#[derive(Deserialize)]
struct Picture {
    pixels: Vec<u8>,
    width: usize,
    ring: Vec<(f32, f32)>,
    /// Contrast, homogeneity, entropy and correlation.
    pairs: [f64; 4],
    /// Standard deviation, p10 and p90.
    hematoxylin: [f64; 3],
    eosin: [f64; 3],
}

#[test]
fn scikit_image_finds_the_same_texture() {
    let Some(folder) = references() else { return };
    let pictures: Vec<Picture> = reference(folder, "textures.json");
    assert_eq!(pictures.len(), 40);
    let unmix = ColourDeconvolution::default();
    for picture in pictures {
        let ring: Vec<WindowPoint> = picture.ring.iter().map(|&(x, y)| WindowPoint::new(x, y)).collect();
        let detection = Detection {
            bbox: WindowBox::from_points(&ring),
            class: ModelClass(0),
            score: Score::new(0.9).unwrap(),
            outline: Some(ring.into()),
        };
        let found = Texture::of_detection(&unmix, &detection, &picture.pixels, picture.width).unwrap();
        let pairs = found.pairs.unwrap();
        let [h, e] = [found.hematoxylin, found.eosin];
        let ours = [pairs.contrast, pairs.homogeneity, pairs.entropy, pairs.correlation];
        let ours = [&ours[..], &[h.sd, h.p10, h.p90, e.sd, e.p10, e.p90]].concat();
        let theirs = [&picture.pairs[..], &picture.hematoxylin, &picture.eosin].concat();
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            assert!(close(ours, theirs), "{found:?}, expected {theirs}");
        }
    }
}
