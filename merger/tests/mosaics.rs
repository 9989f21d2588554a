//! Class maps over large slides: memory is bounded, and areas keep their size.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use merger::{Layout, Mosaic, RegionSettings};
use wsi_types::{ClassId, ClassMap, GridRect, Level0Box, ModelClass, Mpp, Placement, Window, WindowIndex};

/// A slide of `side` × `side` level-0 px of 0.25 µm, and windows of 512 px at `scale` level-0 px each, one at each of
/// `corners` of its grid.
fn slide(side: f64, scale: f64, corners: &[(i64, i64)]) -> (Vec<Window>, Arc<Layout>) {
    let window = |(index, &(x, y)): (u32, &(i64, i64))| Window {
        index: WindowIndex(index),
        rect: GridRect::new(euclid::point2(x, y), euclid::size2(512, 512)),
        placement: Placement::new(scale, scale, x as f64 * scale, y as f64 * scale),
    };
    let windows: Vec<Window> = (0..).zip(corners).map(window).collect();
    let extent = Level0Box::from_size(euclid::size2(side, side));
    let layout = Arc::new(Layout::new(&windows, extent, Mpp::new(0.25).unwrap()).unwrap());
    (windows, layout)
}

/// A map of 512 × 512 places: class 0 in the middle 256 × 256, in whose middle 64 × 64 are of none.
fn ring() -> ClassMap {
    let places = (0..512 * 512).map(|place| {
        let [outer, inner] =
            [128..384, 224..288].map(|side| side.contains(&(place % 512)) && side.contains(&(place / 512)));
        (outer && !inner).then_some(ModelClass(0))
    });
    ClassMap::from_places(512, places).unwrap()
}

/// 25 × 25 mm at 2 µm are worked on as they are; at 1 µm, on squares of 2 × 2 places.
#[test]
fn areas_of_a_large_slide_keep_their_size() {
    for (scale, coarse) in [(8.0, None), (4.0, Some("squares of 2.0 µm, 2 of their places wide"))] {
        let (windows, layout) = slide(100_000.0, scale, &[(0, 0), (6000, 512)]);
        let mut mosaic = Mosaic::new(layout);
        for window in &windows {
            mosaic.lay(window.index, &ring(), |class| ClassId(class.0)).unwrap();
        }
        let note = mosaic.note();
        assert_eq!(note.is_some(), coarse.is_some());
        assert!(note.is_none_or(|note| coarse.is_some_and(|words| note.contains(words))));
        let regions =
            mosaic.into_painter().unwrap().regions(|_| "tumour".to_owned(), &RegionSettings::EXACT, 1);
        assert_eq!(regions.len(), 2);
        for (region, window) in regions.iter().zip(&windows) {
            assert_eq!(region.area_um2, (256.0 * 256.0 - 64.0 * 64.0) * (scale * 0.25) * (scale * 0.25));
            assert_eq!(region.polygon.holes.len(), 1);
            assert_eq!(region.bbox.min.x, (window.rect.min_x() as f64 + 128.0) * scale);
        }
    }
}
