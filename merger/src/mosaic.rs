//! Class maps of windows, side by side: each place of the slide is of the class that one window says.
//!
//! Windows overlap, and near its border a model sees less of what surrounds a place. So each window decides its centre
//! alone, up to the middle of what it shares with the next ([`PlannedWindow::core`]). Which window decides a place is a
//! property of the plan: the mosaic does not depend on the order in which windows come, nor on which of them failed.
//! The centre of a window that failed stays empty.

use std::sync::Arc;

use wsi_types::{ClassId, ClassMap, GridRect, ModelClass, Steps, WindowIndex};

use crate::{
    MergeError,
    layout::{Layout, PlannedWindow},
    regions::{MaskFrame, RegionPainter},
};

/// Most px of a mosaic: 160 million hold 25 × 25 mm at 2 µm. Each class takes a bit per px, 20 MB.
const MOST_PX: u64 = 160_000_000;

/// Mosaic of the class maps of one model on one slide. It has a px per place of the maps, or per square of whole places
/// where the slide would have more than 160 million.
#[derive(Debug, Clone)]
pub struct Mosaic {
    layout: Arc<Layout>,
    /// Made for the size of the first map.
    canvas: Option<Canvas>,
}

impl Mosaic {
    /// An empty mosaic over the plan that `layout` describes.
    #[must_use]
    pub fn new(layout: Arc<Layout>) -> Self {
        Self { layout, canvas: None }
    }

    /// Lays the centre of the map of `window`; `class_of` says which class of the job each class of the model is. Nothing
    /// is laid of a window that the plan does not hold.
    ///
    /// # Errors
    ///
    /// [`MergeError::Map`] when the map is not one of square places, all of the size of the first map's.
    pub fn lay(
        &mut self,
        window: WindowIndex,
        map: &ClassMap,
        class_of: impl Fn(ModelClass) -> ClassId,
    ) -> Result<(), MergeError> {
        let Some(slot) = self.layout.slot(window) else { return Ok(()) };
        let planned = self.layout.window(slot);
        let place = place_px(planned, map)?;
        let canvas = self.canvas.get_or_insert_with(|| Canvas::new(&self.layout, planned, place));
        if canvas.place != place {
            return Err(bad_map(planned, map));
        }
        canvas.lay(planned, map, class_of);
        Ok(())
    }

    /// Note for the user if px of the mosaic are larger than places of the maps.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        let canvas = self.canvas.as_ref().filter(|canvas| canvas.step != canvas.place)?;
        let um = canvas.painter.grid().0.um_per_px();
        Some(format!(
            "class maps of this slide are worked on squares of {um:.1} µm, {} of their places wide: it has more than {} million \
             of those",
            canvas.step.0 / canvas.place.0,
            MOST_PX / 1_000_000
        ))
    }

    /// The painter that holds the areas; `None` if no map was laid.
    #[must_use]
    pub fn into_painter(self) -> Option<RegionPainter> {
        self.canvas.map(|canvas| canvas.painter)
    }
}

/// Window px per place of a map.
fn place_px(window: &PlannedWindow, map: &ClassMap) -> Result<Steps, MergeError> {
    let sides = [window.rect.width(), window.rect.height()].map(|px| u32::try_from(px).unwrap_or_default());
    let px = map.px_per_place(sides[0], sides[1]);
    px.map(|px| Steps(i64::from(px))).ok_or_else(|| bad_map(window, map))
}

fn bad_map(window: &PlannedWindow, map: &ClassMap) -> MergeError {
    MergeError::Map {
        window: window.index.0,
        size: (window.rect.width(), window.rect.height()),
        map: (map.columns(), map.rows()),
    }
}

#[derive(Debug, Clone)]
struct Canvas {
    painter: RegionPainter,
    /// Side of a place of the maps, px of the plan's grid.
    place: Steps,
    /// Side of a px of the mosaic, px of the plan's grid: a multiple of `place`.
    step: Steps,
}

impl Canvas {
    /// For a slide whose windows are like `window`, with maps whose places have `place` px of its grid.
    fn new(layout: &Layout, window: &PlannedWindow, place: Steps) -> Self {
        let end = layout.slide().max;
        let (sx, sy) = (window.placement.sx, window.placement.sy);
        let [columns, rows] = [end.x / (sx * place.0 as f64), end.y / (sy * place.0 as f64)]
            .map(|places| places.ceil().max(1.0) as u64);
        let whole =
            (1..).find(|whole| columns.div_ceil(*whole) * rows.div_ceil(*whole) <= MOST_PX).unwrap_or(1);
        let step = place.0 * whole as i64;
        let frame = MaskFrame {
            origin: wsi_types::Level0Point::zero(),
            level0_per_px: (sx * step as f64, sy * step as f64),
            mpp: layout.mpp(),
            slide_end: end,
        };
        let size = (columns.div_ceil(whole) as usize, rows.div_ceil(whole) as usize);
        Self { painter: RegionPainter::new(frame, size), place, step: Steps(step) }
    }

    fn lay(&mut self, window: &PlannedWindow, map: &ClassMap, class_of: impl Fn(ModelClass) -> ClassId) {
        let (_, (width, height)) = self.painter.grid();
        let GridRect { origin, size } = window.core;
        let columns = self.step.centred_in(&(origin.x..origin.x + size.width));
        let rows = self.step.centred_in(&(origin.y..origin.y + size.height));
        let (left, top) = (window.rect.origin.x, window.rect.origin.y);
        let places = map.places();
        // Windows may reach past the slide, the mosaic does not.
        for row in rows.start..rows.end.min(height) {
            let start = self.step.place_in(row, top, self.place) * map.columns() as usize;
            let seen: Vec<Option<ModelClass>> = (columns.start..columns.end.min(width))
                .map(|column| places[start + self.step.place_in(column, left, self.place)])
                .collect();
            let mut from = columns.start;
            for same in seen.chunk_by(|a, b| a == b) {
                if let Some(class) = same[0] {
                    self.painter.fill(class_of(class), row, from..from + same.len());
                }
                from += same.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wsi_types::{Level0Box, Mpp, Placement, Window};

    use super::*;
    use crate::{mask::Mask, regions::RegionSettings};

    /// Windows of 8 px at the steps of 4, over a slide of 20 × 12 px, `scale` level-0 px each.
    fn windows(scale: f64) -> Vec<Window> {
        let places = (0..2_i64).flat_map(|row| (0..4_i64).map(move |column| (column * 4, row * 4)));
        let window = |(index, (x, y)): (u32, (i64, i64))| Window {
            index: WindowIndex(index),
            rect: GridRect::new(euclid::point2(x, y), euclid::size2(8, 8)),
            placement: Placement::new(scale, scale, x as f64 * scale, y as f64 * scale),
        };
        (0..).zip(places).map(window).collect()
    }

    fn layout(scale: f64) -> Arc<Layout> {
        let slide = Level0Box::from_size(euclid::size2(20.0 * scale, 12.0 * scale));
        Arc::new(Layout::new(&windows(scale), slide, Mpp::new(0.5).unwrap()).unwrap())
    }

    /// Map of a window, in places of `place` px: the class at each is asked of `class_at` by its px of the slide's grid.
    fn map_of(window: &Window, place: i64, class_at: impl Fn(i64, i64) -> Option<u16>) -> ClassMap {
        let side = 8 / place;
        let at = |place_at: i64, start: i64| start + place_at * place;
        let places = (0..side).flat_map(|row| (0..side).map(move |column| (column, row)));
        let origin = window.rect.origin;
        let classes =
            places.map(|(column, row)| class_at(at(column, origin.x), at(row, origin.y)).map(ModelClass));
        ClassMap::from_places(side as u32, classes).unwrap()
    }

    fn painted(mosaic: Mosaic, class: u16) -> Mask {
        let painter = mosaic.into_painter().unwrap();
        let (_, (width, height)) = painter.grid();
        painter.mask(ClassId(class)).cloned().unwrap_or_else(|| Mask::new(width, height))
    }

    proptest! {
        /// Where all windows see the same, the mosaic is what they see, in any order; windows of another opinion near
        /// their borders change nothing.
        #[test]
        fn a_mosaic_shows_what_the_centres_of_windows_say(
            classes in proptest::collection::vec(proptest::option::of(0_u16..3), 20 * 12),
            order in Just((0..8_usize).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let (layout, windows) = (layout(2.0), windows(2.0));
            let truth = |x: i64, y: i64| classes[(y * 20 + x) as usize];
            let mut mosaic = Mosaic::new(Arc::clone(&layout));
            for &index in &order {
                let core = layout.windows()[index].core;
                let map = map_of(&windows[index], 1, |x, y| {
                    if core.contains(euclid::point2(x, y)) { truth(x, y) } else { Some(2) }
                });
                mosaic.lay(WindowIndex(index as u32), &map, |class| ClassId(class.0)).unwrap();
            }
            for class in 0..3 {
                let expected = Mask::from_fn(20, 12, |x, y| truth(x as i64, y as i64) == Some(class));
                prop_assert_eq!(painted(mosaic.clone(), class), expected);
            }
        }
    }

    #[test]
    fn the_centre_of_a_failed_window_stays_empty() {
        let (layout, windows) = (layout(1.0), windows(1.0));
        let mut mosaic = Mosaic::new(Arc::clone(&layout));
        for window in windows.iter().filter(|window| window.index.0 != 5) {
            mosaic.lay(window.index, &map_of(window, 2, |_, _| Some(0)), |class| ClassId(class.0)).unwrap();
        }
        // Places of 2 px: window 5 begins at (4, 4) and decides columns 6 to 10 and all rows from 6 on.
        let expected = Mask::from_fn(10, 6, |x, y| !((3..5).contains(&x) && y >= 3));
        assert_eq!(painted(mosaic, 0), expected);
    }

    #[test]
    fn areas_of_a_mosaic_are_as_large_as_their_places() {
        let (layout, windows) = (layout(4.0), windows(4.0));
        let mut mosaic = Mosaic::new(layout);
        let ring = |x: i64, y: i64| {
            ((2..16).contains(&x) && (2..10).contains(&y) && !((6..10).contains(&x) && (4..8).contains(&y)))
                .then_some(1)
        };
        for window in &windows {
            mosaic.lay(window.index, &map_of(window, 2, ring), |class| ClassId(class.0 + 6)).unwrap();
        }
        let regions =
            mosaic.into_painter().unwrap().regions(|class| class.0.to_string(), &RegionSettings::EXACT, 1);
        let [region] = &regions[..] else { panic!("{regions:?}") };
        // A px of the grid is 4 level-0 px of 0.5 µm.
        assert_eq!((region.kind.as_str(), region.polygon.holes.len(), region.score), ("7", 1, None));
        assert_eq!(region.area_um2, (14.0 * 8.0 - 4.0 * 4.0) * 4.0);
    }

    #[test]
    fn maps_of_other_places_are_refused() {
        let mut mosaic = Mosaic::new(layout(1.0));
        let map =
            |places: u32| ClassMap::from_places(places, vec![None; (places * places) as usize]).unwrap();
        let mut lay = |window, map: &ClassMap| {
            mosaic.lay(WindowIndex(window), map, |class| ClassId(class.0)).map_err(|error| error.to_string())
        };
        assert!(lay(0, &map(4)).is_ok() && lay(99, &map(4)).is_ok());
        let expected = "cannot lay the map of window 1: it has 8 × 8 places for 8 × 8 px, expected squares of whole px, as \
                        large as those of the other windows";
        assert_eq!(lay(1, &map(8)).unwrap_err(), expected);
        assert!(lay(1, &map(3)).unwrap_err().contains("3 × 3 places for 8 × 8 px"));
    }
}
