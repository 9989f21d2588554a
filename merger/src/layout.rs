//! Places of a plan's windows on level 0, and the windows that see a place.
//!
//! All that merging must know of the plan. It is built once per slide and shared; nothing in it changes while
//! windows come in.

use rstar::primitives::{GeomWithData, Rectangle};
use rstar::{AABB, RTree};
use wsi_types::{
    CentreCrop, GridRect, Level0Box, Level0Point, Mpp, Placement, Window, WindowIndex, WindowKey,
};

use crate::MergeError;
use crate::geometry::{contains_box, envelope, greater, inflate, is_finite, lesser};
use crate::id::slide_key;
use crate::settings::MAX_BORDER_PX;
use crate::sides::Sides;

/// One window, with the facts that merging needs.
#[derive(Debug, Clone)]
pub struct PlannedWindow {
    /// Place in the plan.
    pub index: WindowIndex,
    /// Transform from window px to level-0 px.
    pub placement: Placement,
    /// The part of the slide it sees, on level 0.
    pub extent: Level0Box,
    /// Sides on which the slide itself ends: an object that touches one is as
    /// whole as it can be.
    pub slide_edge: Sides,
    /// Level-0 px per window px, the larger of both axes.
    pub level0_per_px: f64,
    /// The px it covers on the grid of its plan; may reach past the slide's edge.
    pub rect: GridRect,
    /// The part of them that it decides where each place is decided by one window: its centre, up to the middle of what it
    /// shares with the next.
    pub core: GridRect,
}

impl PlannedWindow {
    /// A part of its grid on level 0; may reach past the slide's edge.
    #[must_use]
    pub fn on_level0(&self, part: &GridRect) -> Level0Box {
        let off = part.origin - self.rect.origin;
        let corner = euclid::point2(off.x as f64, off.y as f64);
        let far = corner + euclid::vec2(part.width() as f64, part.height() as f64);
        Level0Box::new(self.placement.transform_point(corner), self.placement.transform_point(far))
    }

    /// Its extent across an upright border (`upright`), or across a level one, in level-0 px.
    fn span(&self, upright: bool) -> (f64, f64) {
        let (low, high) = (self.extent.min, self.extent.max);
        if upright { (low.x, high.x) } else { (low.y, high.y) }
    }
}

type Indexed = GeomWithData<Rectangle<[f64; 2]>, u32>;

/// The windows of one slide on level 0, with their neighbours.
#[derive(Debug)]
pub struct Layout {
    slide: Level0Box,
    mpp: Mpp,
    slide_key: u64,
    /// By window index, ascending. Positions in this list are *slots*.
    windows: Vec<PlannedWindow>,
    /// Slot by index, as long as indices are few; `u32::MAX` for an index without a window.
    slots: Vec<u32>,
    /// Slots of the windows near each slot, itself included; ascending.
    neighbours: Vec<Box<[u32]>>,
    /// Per slot: the inner borders of the windows near it.
    borders: Vec<Borders>,
    tree: RTree<Indexed>,
}

impl Layout {
    /// Lays out `windows` on a slide that covers `slide` (level-0 px) at `mpp`
    /// (µm per level-0 px).
    ///
    /// # Errors
    ///
    /// [`MergeError::Layout`] for a repeated index, or a window that does not
    /// touch the slide.
    pub fn new(windows: &[Window], slide: Level0Box, mpp: Mpp) -> Result<Self, MergeError> {
        let mut planned =
            windows.iter().map(|window| planned(window, &slide)).collect::<Result<Vec<_>, _>>()?;
        planned.sort_by_key(|window| window.index);
        if let Some(window) = planned.last().filter(|window| window.index.0 >= WindowKey::MOST_WINDOWS) {
            return Err(MergeError::Layout(format!("window {} is past any plan", window.index.0)));
        }
        if let Some(pair) = planned.windows(2).find(|pair| pair[0].index == pair[1].index) {
            return Err(MergeError::Layout(format!("window {} is there twice", pair[0].index.0)));
        }
        note_cores(&mut planned);
        let tree = RTree::bulk_load(planned.iter().zip(0..).map(indexed).collect());
        let neighbours: Vec<Box<[u32]>> = planned.iter().map(|window| near(&tree, window)).collect();
        let borders = neighbours.iter().map(|near| Borders::of(&planned, near)).collect();
        let slots = slots_by_index(&planned);
        Ok(Self { slide, mpp, slide_key: 0, windows: planned, slots, neighbours, borders, tree })
    }

    /// The same with ids of cells derived from `slide_id` (a content hash, not
    /// a file name), so that cells of different slides have different ids.
    #[must_use]
    pub fn with_slide_id(mut self, slide_id: &str) -> Self {
        self.slide_key = slide_key(slide_id);
        self
    }

    /// The area that the slide covers, level-0 px.
    #[must_use]
    pub fn slide(&self) -> &Level0Box {
        &self.slide
    }

    /// µm per level-0 px.
    #[must_use]
    pub fn mpp(&self) -> Mpp {
        self.mpp
    }

    /// The number from which ids of this slide's cells are derived.
    #[must_use]
    pub fn slide_key(&self) -> u64 {
        self.slide_key
    }

    /// All windows, by index.
    #[must_use]
    pub fn windows(&self) -> &[PlannedWindow] {
        &self.windows
    }

    /// The slot of a window, `None` when the plan does not hold it.
    pub(crate) fn slot(&self, index: WindowIndex) -> Option<u32> {
        self.slots.get(index.0 as usize).copied().filter(|&slot| slot != NO_SLOT)
    }

    pub(crate) fn window(&self, slot: u32) -> &PlannedWindow {
        &self.windows[slot as usize]
    }

    /// Slots of the windows that can see the same places as `slot`, itself included.
    pub(crate) fn neighbours(&self, slot: u32) -> &[u32] {
        &self.neighbours[slot as usize]
    }

    /// Slots of the windows that share a point with `area`, ascending.
    pub(crate) fn touching(&self, area: &Level0Box) -> Vec<u32> {
        let mut slots: Vec<u32> =
            self.tree.locate_in_envelope_intersecting(envelope(area)).map(|found| found.data).collect();
        slots.sort_unstable();
        slots
    }

    /// `true` if `slot` sees all of `area`, its border not touched except where the slide ends. `border_px`
    /// is in window px.
    pub(crate) fn sees_whole(&self, slot: u32, area: &Level0Box, border_px: f64) -> bool {
        let window = self.window(slot);
        contains_box(&window.extent, area) && touched(window, area, border_px).is_empty()
    }

    /// Distance in level-0 px from `point` to the nearest seam: a border of a
    /// window near `slot` beyond which another window goes on. Infinite when
    /// there is none.
    pub(crate) fn seam_distance(&self, slot: u32, point: Level0Point) -> f64 {
        self.borders[slot as usize].squared_distance(point).sqrt()
    }
}

/// The sides of `window` that `area` (inside it) touches, those where the slide
/// ends left out. `border_px` is in window px.
pub(crate) fn touched(window: &PlannedWindow, area: &Level0Box, border_px: f64) -> Sides {
    let reach = border_px * window.level0_per_px;
    Sides::from_flags(
        area.min.x <= window.extent.min.x + reach,
        area.min.y <= window.extent.min.y + reach,
        area.max.x >= window.extent.max.x - reach,
        area.max.y >= window.extent.max.y - reach,
    )
    .without(window.slide_edge)
}

fn planned(window: &Window, slide: &Level0Box) -> Result<PlannedWindow, MergeError> {
    let full = window.level0_box();
    let number = window.index.0;
    if !is_finite(&full) || !is_finite(slide) {
        return Err(MergeError::Layout(format!("window {number} or the slide has no finite place")));
    }
    let extent = full
        .intersection(slide)
        .ok_or_else(|| MergeError::Layout(format!("window {number} does not touch the slide")))?;
    let scale = window.placement.sx.abs().max(window.placement.sy.abs());
    // A grid is rounded to whole px, so the last window may end just short of
    // the slide's edge.
    let slide_edge = Sides::from_flags(
        full.min.x <= slide.min.x + scale,
        full.min.y <= slide.min.y + scale,
        full.max.x >= slide.max.x - scale,
        full.max.y >= slide.max.y - scale,
    );
    let placement = window.placement;
    let rect = window.rect;
    Ok(PlannedWindow {
        index: window.index,
        placement,
        extent,
        slide_edge,
        level0_per_px: scale,
        rect,
        core: rect,
    })
}

/// Notes the part that each window decides. All windows of a plan have one size.
fn note_cores(planned: &mut [PlannedWindow]) {
    let Some(size) = planned.first().map(|window| window.rect.size) else { return };
    let columns = CentreCrop::new(planned.iter().map(|window| window.rect.origin.x), size.width);
    let rows = CentreCrop::new(planned.iter().map(|window| window.rect.origin.y), size.height);
    for window in planned {
        let (x, y) = (columns.part(window.rect.origin.x), rows.part(window.rect.origin.y));
        window.core =
            GridRect::new(euclid::point2(x.start, y.start), euclid::size2(x.end - x.start, y.end - y.start));
    }
}

fn indexed((window, slot): (&PlannedWindow, u32)) -> Indexed {
    let corners = envelope(&window.extent);
    GeomWithData::new(Rectangle::from_corners(corners.lower(), corners.upper()), slot)
}

fn near(tree: &RTree<Indexed>, window: &PlannedWindow) -> Box<[u32]> {
    let area: AABB<[f64; 2]> = envelope(&inflate(&window.extent, 2.0 * MAX_BORDER_PX * window.level0_per_px));
    let mut slots: Vec<u32> = tree.locate_in_envelope_intersecting(area).map(|found| found.data).collect();
    slots.sort_unstable();
    slots.into_boxed_slice()
}

/// A piece of a straight border: `across` is its place, `from..to` its range along it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Border {
    across: f64,
    from: f64,
    to: f64,
}

impl Border {
    fn squared_distance(&self, across: f64, along: f64) -> f64 {
        let past = greater(greater(self.from - along, along - self.to), 0.0);
        (across - self.across) * (across - self.across) + past * past
    }
}

/// Window borders beyond which another window goes on; those of several windows
/// on one line are one.
#[derive(Debug, Clone, Default)]
struct Borders {
    /// Borders at one x, along y.
    upright: Box<[Border]>,
    /// Borders at one y, along x.
    level: Box<[Border]>,
}

impl Borders {
    fn of(planned: &[PlannedWindow], slots: &[u32]) -> Self {
        let near: Vec<&PlannedWindow> = slots.iter().map(|&slot| &planned[slot as usize]).collect();
        let (mut upright, mut level) = (Vec::new(), Vec::new());
        for window in &near {
            for side in Sides::EACH {
                let is_upright = side == Sides::LEFT || side == Sides::RIGHT;
                let list = if is_upright { &mut upright } else { &mut level };
                list.extend(near.iter().filter_map(|other| seam(window, side, other)));
            }
        }
        Self { upright: joined(upright), level: joined(level) }
    }

    fn squared_distance(&self, point: Level0Point) -> f64 {
        let upright = self.upright.iter().map(|border| border.squared_distance(point.x, point.y));
        let level = self.level.iter().map(|border| border.squared_distance(point.y, point.x));
        upright.chain(level).fold(f64::INFINITY, lesser)
    }
}

/// The part of the border of `window` on `side` beyond which `other` goes on.
fn seam(window: &PlannedWindow, side: Sides, other: &PlannedWindow) -> Option<Border> {
    let is_upright = side == Sides::LEFT || side == Sides::RIGHT;
    let (own, theirs) = (window.span(is_upright), other.span(is_upright));
    let (along, along_theirs) = (window.span(!is_upright), other.span(!is_upright));
    let (across, goes_on) = if side == Sides::LEFT || side == Sides::TOP {
        (own.0, theirs.0 < own.0 && own.0 <= theirs.1)
    } else {
        (own.1, theirs.0 <= own.1 && own.1 < theirs.1)
    };
    let (from, to) = (along.0.max(along_theirs.0), along.1.min(along_theirs.1));
    (goes_on && from < to).then_some(Border { across, from, to })
}

/// Makes one of borders on one line that meet.
fn joined(mut borders: Vec<Border>) -> Box<[Border]> {
    borders.sort_unstable_by(|a, b| a.across.total_cmp(&b.across).then_with(|| a.from.total_cmp(&b.from)));
    borders.dedup_by(|next, kept| {
        let meets = next.across == kept.across && next.from <= kept.to;
        if meets {
            kept.to = kept.to.max(next.to);
        }
        meets
    });
    borders.into_boxed_slice()
}

const NO_SLOT: u32 = u32::MAX;

/// Slots by index: as long as the largest index, which [`WindowKey::MOST_WINDOWS`] limits.
fn slots_by_index(planned: &[PlannedWindow]) -> Vec<u32> {
    let length = planned.last().map_or(0, |window| window.index.0 as usize + 1);
    let mut slots = vec![NO_SLOT; length];
    for (window, slot) in planned.iter().zip(0..) {
        slots[window.index.0 as usize] = slot;
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{grid_windows, level0};

    #[test]
    fn sides_at_the_slide_are_not_borders() {
        let windows = grid_windows(2, 2, 100, 50);
        let layout = Layout::new(&windows, level0(0.0, 0.0, 150.0, 150.0), Mpp::new(0.5).unwrap()).unwrap();
        let first = layout.window(0);
        assert_eq!(first.slide_edge, Sides::LEFT.with(Sides::TOP));
        assert_eq!(touched(first, &level0(0.0, 40.0, 99.0, 60.0), 2.0), Sides::RIGHT);
        assert_eq!(layout.neighbours(0), [0, 1, 2, 3]);
        assert_eq!(layout.seam_distance(0, Level0Point::new(30.0, 75.0)), 20.0);
    }

    #[test]
    fn a_seam_is_as_long_as_the_windows_beside_it() {
        let windows = grid_windows(2, 1, 100, 50);
        let layout = Layout::new(&windows, level0(0.0, 0.0, 150.0, 100.0), Mpp::new(0.5).unwrap()).unwrap();
        // Seams at 50 and 100, from 0 to 100.
        for (x, y, away) in
            [(103.0, 104.0, 5.0), (46.0, -3.0, 5.0), (71.0, 104.0, 21.0_f64.hypot(4.0)), (71.0, 60.0, 21.0)]
        {
            assert_eq!(layout.seam_distance(1, Level0Point::new(x, y)), away, "({x}, {y})");
        }
    }

    #[test]
    fn a_plan_with_a_window_off_the_slide_is_refused() {
        let windows = grid_windows(2, 1, 100, 100);
        let refused = Layout::new(&windows, level0(0.0, 0.0, 90.0, 90.0), Mpp::new(0.5).unwrap());
        assert!(matches!(refused, Err(MergeError::Layout(_))));
    }
}
