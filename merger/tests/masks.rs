//! Masks against plain definitions, and against scikit-image and shapely if a Python with them is available.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::Command;

use merger::mask::{Mask, Polygon, simplified_polygon};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};

fn mask() -> impl Strategy<Value = Mask> {
    (1..24_usize, 1..24_usize, proptest::collection::vec(any::<u8>(), 24 * 24), 60..220_u8).prop_map(
        |(width, height, noise, least)| Mask::from_fn(width, height, |x, y| noise[y * 24 + x] > least),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn dilation_is_a_disc_around_every_pixel(mask in mask(), radius in 0.5..6.0_f64) {
        let expected = Mask::from_fn(mask.width(), mask.height(), |x, y| {
            (0..mask.height()).any(|v| (0..mask.width()).any(|u| {
                let (dx, dy) = (u as f64 - x as f64, v as f64 - y as f64);
                mask.get(u, v) && dx * dx + dy * dy <= radius * radius
            }))
        });
        prop_assert_eq!(mask.dilated(radius), expected);
    }

    #[test]
    fn polygons_hold_the_pixels_of_the_mask(mask in mask()) {
        let polygons = mask.polygons();
        prop_assert_eq!(polygons.len(), mask.parts().count() as usize);
        let area: f64 = polygons.iter().map(merger::mask::Polygon::area).sum();
        prop_assert_eq!(area, mask.area() as f64);
        for y in 0..mask.height() {
            for x in 0..mask.width() {
                let centre = wsi_types::Level0Point::new(x as f64 + 0.5, y as f64 + 0.5);
                let holding = polygons.iter().filter(|polygon| polygon.contains(centre)).count();
                prop_assert_eq!(holding, usize::from(mask.get(x, y)));
            }
        }
    }

    #[test]
    fn painting_an_outline_gives_the_part_back(mask in mask()) {
        let mut painted = Mask::new(mask.width(), mask.height());
        for polygon in mask.polygons() {
            painted.paint(&polygon.outer);
        }
        prop_assert_eq!(painted, mask.polygons().iter().fold(Mask::new(mask.width(), mask.height()), |mut all, polygon| {
            let outer = merger::mask::Polygon { outer: polygon.outer.clone(), holes: Vec::new() };
            let inside = Mask::from_fn(mask.width(), mask.height(), |x, y| {
                all.get(x, y) || outer.contains(wsi_types::Level0Point::new(x as f64 + 0.5, y as f64 + 0.5))
            });
            all = inside;
            all
        }));
    }

    #[test]
    fn simpler_outlines_stay_near_and_keep_their_holes(mask in mask(), tolerance in 0.5..3.0_f64) {
        for polygon in mask.polygons() {
            let simpler = simplified_polygon(&polygon, tolerance);
            prop_assert_eq!(simpler.holes.len(), polygon.holes.len());
            prop_assert!((simpler.area() - polygon.area()).abs() <= polygon.perimeter() * tolerance);
        }
    }
}

/// Random masks and the results for them, for Python to compare.
#[test]
fn scikit_image_and_shapely_agree() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(python) = support::python_with("skimage, scipy, shapely") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut random = rand_pcg::Pcg64::seed_from_u64(11);
    let mut cases = Vec::new();
    for size in [40_usize, 97, 160] {
        for fill in [0.35, 0.5, 0.65] {
            let noise: Vec<f64> = (0..size * size).map(|_| random.random::<f64>()).collect();
            let mask = Mask::from_fn(size, size + 3, |x, y| {
                y < size && mean_around(&noise, size, (x, y)) < 0.42 + 0.16 * fill
            });
            cases.push(case(&mask));
        }
    }
    let path = folder.path().join("cases.json");
    std::fs::write(&path, serde_json::to_vec(&cases).unwrap()).unwrap();
    let output = Command::new(&python).arg(root.join("tests/masks.py")).arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
}

/// Noise smoothed over five pixels, so that there are blobs and holes.
fn mean_around(noise: &[f64], size: usize, (x, y): (usize, usize)) -> f64 {
    let [columns, rows] = [x, y].map(|at| at.saturating_sub(2)..(at + 3).min(size));
    let values = rows.flat_map(|v| columns.clone().map(move |u| noise[v * size + u]));
    values.clone().sum::<f64>() / values.count() as f64
}

fn rows(mask: &Mask) -> Vec<String> {
    (0..mask.height())
        .map(|y| (0..mask.width()).map(|x| if mask.get(x, y) { '1' } else { '0' }).collect())
        .collect()
}

fn polygon_json(polygon: &Polygon) -> serde_json::Value {
    let mut rings = polygon.rings().map(|ring| ring.iter().map(|point| [point.x, point.y]).collect());
    let outer: Vec<_> = rings.next().unwrap();
    serde_json::json!({
        "outer": outer,
        "holes": rings.collect::<Vec<Vec<_>>>(),
        "area": polygon.area(),
        "perimeter": polygon.perimeter(),
    })
}

fn case(mask: &Mask) -> serde_json::Value {
    let parts = mask.parts();
    let labels: Vec<Vec<u32>> =
        (0..mask.height()).map(|y| (0..mask.width()).map(|x| parts.at(x, y)).collect()).collect();
    let polygons = mask.polygons();
    let simpler: Vec<_> =
        polygons.iter().map(|exact| polygon_json(&simplified_polygon(exact, 1.5))).collect();
    serde_json::json!({
        "mask": rows(mask),
        "labels": labels,
        "dilated": rows(&mask.dilated(3.0)),
        "eroded": rows(&mask.eroded(2.0)),
        "opened": rows(&mask.opened(2.0)),
        "closed": rows(&mask.closed(4.0)),
        "filled": rows(&mask.filled(u64::MAX)),
        "without_small": rows(&mask.without_small(20)),
        "polygons": polygons.iter().map(polygon_json).collect::<Vec<_>>(),
        "simpler": simpler,
    })
}
