//! Pyramid + mask + settings → windows in a fixed order. Pure: nothing is read.
//!
//! Windows lie on a regular lattice over the resampled grid ([`Sampling`]): window (column, row) starts at
//! (column × stride, row × stride) grid px. The lattice starts at the slide's origin and ends with the first
//! window that reaches the slide's far edge; that window may reach *past* it, and beyond the edge is
//! background (see `docs/decisions/0004-windows-lie-on-a-lattice.md`). Only windows that see tissue are kept,
//! row by row.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use wsi_types::{Level0Box, Mpp, Pyramid, Sampling, Window, WindowIndex};

use crate::{TissueMask, error::PlanError, lattice::Lattice, schedule::Schedule};

/// Part of a window that its neighbour sees too.
///
/// Written as text: `50%`, `256px` (of the model's grid), `12um`, `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Overlap {
    /// Percent of the window's side, from 0 to below 100.
    Percent(f64),
    /// Pixels of the model's grid.
    Px(u32),
    /// Microns on the slide.
    Micron(f64),
    /// Twice the largest object the model promises: an object that one window's border cuts is then whole in
    /// the next, with room to spare.
    Auto,
}

impl Overlap {
    fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("auto") {
            return Some(Self::Auto);
        }
        if let Some(digits) = text.strip_suffix('%') {
            return at_least_zero(digits).filter(|percent| *percent < 100.0).map(Self::Percent);
        }
        if let Some(digits) = text.strip_suffix("px") {
            return digits.trim_end().parse().ok().map(Self::Px);
        }
        let digits = ["um", "\u{b5}m", "\u{3bc}m"].iter().find_map(|unit| text.strip_suffix(unit))?;
        at_least_zero(digits).map(Self::Micron)
    }
}

fn at_least_zero(digits: &str) -> Option<f64> {
    digits.trim_end().parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0)
}

impl FromStr for Overlap {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        Self::parse(text.trim()).ok_or_else(|| PlanError::NotAnOverlap(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Px(px) => write!(f, "{px}px"),
            Self::Micron(um) => write!(f, "{um}um"),
            Self::Auto => f.write_str("auto"),
        }
    }
}

impl TryFrom<String> for Overlap {
    type Error = PlanError;
    fn try_from(text: String) -> Result<Self, PlanError> {
        text.parse()
    }
}

impl From<Overlap> for String {
    fn from(overlap: Overlap) -> Self {
        overlap.to_string()
    }
}

/// Settings of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanSettings {
    /// The mpp the model was trained at.
    pub model_mpp: Mpp,
    /// Width and height of a window, in grid px.
    pub window: u32,
    /// Overlap of neighbouring windows.
    pub overlap: Overlap,
    /// The largest object the model promises, in µm; [`Overlap::Auto`] needs it.
    pub max_object_um: Option<f64>,
    /// The least share of tissue in the part of a window that lies on the
    /// slide, 0 to 1. At 0, one tissue pixel of the mask is enough.
    pub min_tissue: f64,
    /// Largest factor by which level 0 may be enlarged when it is coarser than the model wants; 1.1 means by
    /// a tenth.
    pub max_enlarge: f64,
    /// The model's own stride in px. Windows must be a multiple of it, and the stride is rounded to one, so
    /// that two windows see an object at the same phase.
    pub multiple_of: u32,
    /// Px of background after the slide, on a slide that is shorter than a window: its windows are then no
    /// longer than the slide and this margin. A model looks at the background around what it judges. `None`:
    /// windows are squares, for models that take one size only.
    #[serde(default)]
    pub shrink_margin: Option<u32>,
    /// Windows are planned as if tissue reached so much further to all sides, µm: an object whose centre lies at the
    /// border of a region of interest is then seen by every window that can see it.
    #[serde(default)]
    pub grow_um: f64,
}

/// Returns a length in whole px of a grid, rounded up.
fn whole_px(um: f64, grid_um: f64) -> f64 {
    (um / grid_um - 1e-9).ceil()
}

impl PlanSettings {
    /// Largest number of windows along one axis that may see the same px: with more, the overlap is a
    /// mistake.
    const MOST_LOOKS: u32 = 32;
    /// Margin that is enough for [`shrink_margin`](Self::shrink_margin): `nuclei-he` gives the same numbers
    /// bit by bit with this or any larger margin (with 128 px scores differ by 1e-7, with 64 px by up to
    /// 0.08).
    pub const USUAL_SHRINK_MARGIN: u32 = 192;

    /// Returns the usual settings for a model at `model_mpp`: 2048 px windows, half overlapping, every window
    /// with any tissue.
    #[must_use]
    pub fn new(model_mpp: Mpp) -> Self {
        Self {
            model_mpp,
            window: 2048,
            overlap: Overlap::Percent(50.0),
            max_object_um: None,
            min_tissue: 0.0,
            max_enlarge: 1.1,
            multiple_of: 32,
            shrink_margin: None,
            grow_um: 0.0,
        }
    }

    /// Returns the length of a window along an axis of the slide that has `length` grid px.
    fn window_along(&self, length: u32) -> u32 {
        let Some(margin) = self.shrink_margin else { return self.window };
        let enough = u64::from(length) + u64::from(margin);
        let enough = enough.next_multiple_of(u64::from(self.multiple_of.max(1)));
        u32::try_from(enough).map_or(self.window, |enough| enough.min(self.window))
    }

    /// Returns the grid px from one window to the next, where a grid px has `grid_um` µm.
    fn stride(&self, grid_um: f64) -> Result<u32, PlanError> {
        let multiple = self.multiple_of.max(1);
        if self.window == 0 || !self.window.is_multiple_of(multiple) {
            return Err(PlanError::WindowNotMultiple { window: self.window, multiple_of: multiple });
        }
        let overlap = match (self.overlap, self.max_object_um) {
            (Overlap::Percent(percent), _) => (f64::from(self.window) * percent / 100.0).ceil(),
            (Overlap::Px(px), _) => f64::from(px),
            (Overlap::Micron(um), _) => whole_px(um, grid_um),
            (Overlap::Auto, Some(largest)) if largest.is_finite() && largest >= 0.0 => {
                whole_px(2.0 * largest, grid_um)
            }
            (Overlap::Auto, _) => return Err(PlanError::NoObjectSize),
        };
        let stride = (f64::from(self.window) - overlap).max(0.0) as u32 / multiple * multiple;
        if stride < self.window.div_ceil(Self::MOST_LOOKS) {
            return Err(PlanError::OverlapTooLarge {
                overlap_px: overlap as u32,
                window: self.window,
                least_step: self.window.div_ceil(Self::MOST_LOOKS),
            });
        }
        Ok(stride)
    }
}

/// The windows of one slide for one model, in the order they are written.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    lattice: Lattice,
    settings: PlanSettings,
    cost: PlanCost,
}

impl Plan {
    /// Covers the tissue of a slide, whose level 0 has `mpp`, with windows.
    ///
    /// # Errors
    ///
    /// [`PlanError`] when the settings do not fit each other or the slide.
    pub fn new(
        pyramid: &Pyramid,
        mpp: Mpp,
        mask: &TissueMask,
        settings: &PlanSettings,
    ) -> Result<Self, PlanError> {
        check(pyramid, mask, settings)?;
        let sampling = pyramid.sampling(mpp, settings.model_mpp, settings.max_enlarge)?;
        let per_grid = f64::midpoint(sampling.level0_per_grid.0, sampling.level0_per_grid.1);
        let stride = settings.stride(mpp.times(per_grid))?;
        let tiles = pyramid.levels()[usize::from(sampling.level.0)].tiles;
        let slide = slide_box(pyramid);
        let window = (settings.window_along(sampling.width), settings.window_along(sampling.height));
        let grow = settings.grow_um / mpp.get();
        let lattice = Lattice::new(sampling, tiles, window, stride)?.keep(|window| {
            let seen = window.level0_box().intersection_unchecked(&slide);
            mask.has_tissue(&seen.inflate(grow, grow)) && mask.tissue_fraction(&seen) >= settings.min_tissue
        });
        let cost = PlanCost::of(&lattice, mpp, mask);
        Ok(Self { lattice, settings: settings.clone(), cost })
    }

    /// Returns the windows, row by row; a window's index is its place here.
    #[must_use]
    pub fn windows(&self) -> &[Window] {
        &self.lattice.windows
    }

    /// Returns the grid that the windows lie on.
    #[must_use]
    pub fn sampling(&self) -> &Sampling {
        &self.lattice.sampling
    }

    /// Returns the grid px from one window to the next.
    #[must_use]
    pub fn stride(&self) -> u32 {
        self.lattice.stride
    }

    /// Returns the grid px that neighbours share: at least as many as the settings ask for.
    #[must_use]
    pub fn overlap_px(&self) -> u32 {
        self.settings.window - self.lattice.stride
    }

    /// Returns the settings that this plan was made with.
    #[must_use]
    pub fn settings(&self) -> &PlanSettings {
        &self.settings
    }

    /// Returns the cost of the plan.
    #[must_use]
    pub fn cost(&self) -> PlanCost {
        self.cost
    }

    /// Returns the tissue of the mask, in mm².
    #[must_use]
    pub fn tissue_mm2(&self) -> f64 {
        self.cost.tissue_mm2
    }

    /// Returns the borders of a window that are seams; `None` for a window that is not in the plan.
    #[must_use]
    pub fn sides(&self, index: WindowIndex) -> Option<Sides> {
        let window = self.windows().get(index.0 as usize)?;
        let (column, row) = self.lattice.place(window);
        let (column, row) = (i64::from(column), i64::from(row));
        let [left, top, right, bottom] = [(-1, 0), (0, -1), (1, 0), (0, 1)]
            .map(|(dx, dy)| self.overlap_px() > 0 && self.lattice.holds(column + dx, row + dy));
        Some(Sides { left, top, right, bottom })
    }

    pub(crate) fn lattice(&self) -> &Lattice {
        &self.lattice
    }
}

/// The borders of a window that are seams: `true` if the neighbour one stride further is planned too and sees
/// across the whole border. `false` at the slide's edge, where the neighbour holds no tissue, and where
/// windows do not overlap: no window sees whole the objects that are cut there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sides {
    /// The border at the window's x = 0.
    pub left: bool,
    /// The border at the window's y = 0.
    pub top: bool,
    /// The border at the window's x = width.
    pub right: bool,
    /// The border at the window's y = height.
    pub bottom: bool,
}

/// Cost of a plan, known before it starts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PlanCost {
    /// Windows that will be read.
    pub windows: u64,
    /// Windows that a plan without a mask would have.
    pub grid_windows_total: u64,
    /// Pixels the model will see, windows × window area.
    pub inferred_px: u64,
    /// Tissue of the mask.
    pub tissue_mm2: f64,
    /// The whole of level 0.
    pub slide_mm2: f64,
    /// Pixels the model will see per pixel of tissue; 4 for half-overlapping windows on endless tissue.
    /// `None` without tissue.
    pub inferred_per_tissue_px: Option<f64>,
    /// Stored tiles that will be decoded, each once.
    pub tiles_needed: u64,
}

impl PlanCost {
    fn of(lattice: &Lattice, mpp: Mpp, mask: &TissueMask) -> Self {
        let windows = lattice.windows.len() as u64;
        let inferred_px = windows * u64::from(lattice.window.0) * u64::from(lattice.window.1);
        let (sx, sy) = lattice.sampling.level0_per_grid;
        let tissue = mask.area_um2(mpp);
        let tissue_px = tissue.0 / (mpp.times(sx) * mpp.times(sy));
        let (width, height) = mask.level0_size();
        Self {
            windows,
            grid_windows_total: u64::from(lattice.columns) * u64::from(lattice.rows),
            inferred_px,
            tissue_mm2: tissue.mm2(),
            slide_mm2: mpp.times(f64::from(width)) * mpp.times(f64::from(height)) * 1e-6,
            inferred_per_tissue_px: (tissue_px > 0.0).then(|| inferred_px as f64 / tissue_px),
            tiles_needed: Schedule::whole(lattice).tiles_needed(),
        }
    }
}

fn slide_box(pyramid: &Pyramid) -> Level0Box {
    let base = pyramid.base();
    Level0Box::new(
        euclid::point2(0.0, 0.0),
        euclid::point2(f64::from(base.width()), f64::from(base.height())),
    )
}

fn check(pyramid: &Pyramid, mask: &TissueMask, settings: &PlanSettings) -> Result<(), PlanError> {
    let slide = (pyramid.base().width(), pyramid.base().height());
    if mask.level0_size() != slide {
        return Err(PlanError::MaskOfAnotherSlide { mask: mask.level0_size(), slide });
    }
    if !(0.0..=1.0).contains(&settings.min_tissue) {
        return Err(PlanError::NotAFraction(settings.min_tissue));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use wsi_types::TileGrid;

    use super::*;
    use crate::testing::{info_of, mpp};

    fn pyramid(width: u32, height: u32) -> Pyramid {
        let levels = [(width, height), (width.div_ceil(4), height.div_ceil(4))]
            .map(|(width, height)| TileGrid { width, height, tile_width: 240, tile_height: 200 });
        Pyramid::new(levels).unwrap()
    }

    fn settings(window: u32, overlap: &str) -> PlanSettings {
        PlanSettings {
            window,
            overlap: overlap.parse().unwrap(),
            multiple_of: 1,
            ..PlanSettings::new(mpp(0.5))
        }
    }

    #[test]
    fn overlap_reads_what_it_writes() {
        for text in ["50%", "0%", "12.5%", "256px", "0px", "12um", "0.5um", "auto"] {
            assert_eq!(text.parse::<Overlap>().unwrap().to_string(), text);
        }
        assert_eq!("12 µm".parse::<Overlap>().unwrap(), Overlap::Micron(12.0));
        assert_eq!("12 μm".parse::<Overlap>().unwrap(), Overlap::Micron(12.0));
        assert_eq!(" AUTO ".parse::<Overlap>().unwrap(), Overlap::Auto);
        for text in ["", "50", "100%", "-1%", "-3px", "2.5px", "NaN%", "infum", "px", "twelve um"] {
            assert!(matches!(text.parse::<Overlap>(), Err(PlanError::NotAnOverlap(_))), "{text}");
        }
        let json = serde_json::to_string(&settings(512, "12um")).unwrap();
        assert!(json.contains(r#""overlap":"12um""#), "{json}");
        assert_eq!(serde_json::from_str::<PlanSettings>(&json).unwrap(), settings(512, "12um"));
    }

    fn stride(overlap: &str, max_object_um: Option<f64>) -> Result<u32, PlanError> {
        PlanSettings { max_object_um, multiple_of: 32, ..settings(2048, overlap) }.stride(0.25)
    }

    #[test]
    fn stride_is_rounded_down_to_the_models_own() {
        assert_eq!(stride("50%", None), Ok(1024));
        assert_eq!(stride("256px", None), Ok(1792));
        assert_eq!(stride("12um", None), Ok(1984)); // 48 px shared, 64 after rounding
        assert_eq!(stride("auto", Some(25.0)), Ok(1824)); // 200 px, 224 after rounding
        assert_eq!(stride("auto", None), Err(PlanError::NoObjectSize));
        assert!(matches!(stride("2048px", None), Err(PlanError::OverlapTooLarge { .. })));
        assert!(matches!(stride("2020px", None), Err(PlanError::OverlapTooLarge { .. })));
        assert_eq!(stride("1984px", None), Ok(64)); // 32 windows see each px, and no more may
        let odd = PlanSettings { multiple_of: 32, ..settings(1000, "50%") };
        assert!(matches!(odd.stride(0.25), Err(PlanError::WindowNotMultiple { .. })));
    }

    #[test]
    fn the_last_window_reaches_past_the_edge_and_sides_know_it() {
        let pyramid = pyramid(2500, 900);
        let mask = TissueMask::full(&info_of(&pyramid));
        let plan = Plan::new(&pyramid, mpp(0.5), &mask, &settings(1024, "50%")).unwrap();
        let starts: Vec<_> = plan.windows().iter().map(|w| (w.rect.min_x(), w.rect.min_y())).collect();
        assert_eq!(starts, [(0, 0), (512, 0), (1024, 0), (1536, 0)]);
        let [first, last, none] = [0, 3, 4].map(|i| plan.sides(WindowIndex(i)));
        assert_eq!(first, Some(Sides { left: false, top: false, right: true, bottom: false }));
        assert_eq!(last, Some(Sides { left: true, top: false, right: false, bottom: false }));
        assert_eq!(none, None);
        let apart = Plan::new(&pyramid, mpp(0.5), &mask, &settings(1024, "0%")).unwrap();
        assert_eq!(apart.sides(WindowIndex(0)).map(|s| s.right), Some(false));
    }

    /// Returns the number of windows over a slide of 0.5 µm/px, and the size of the first.
    fn windows(width: u32, height: u32, margin: Option<u32>) -> (usize, (usize, usize)) {
        let pyramid = pyramid(width, height);
        let mask = TissueMask::full(&info_of(&pyramid));
        let settings = PlanSettings { shrink_margin: margin, multiple_of: 32, ..settings(1024, "50%") };
        let plan = Plan::new(&pyramid, mpp(0.5), &mask, &settings).unwrap();
        let sizes: Vec<_> = plan.windows().iter().map(Window::size).collect();
        assert_eq!(plan.cost().inferred_px, sizes.iter().map(|(w, h)| (w * h) as u64).sum::<u64>());
        (sizes.len(), sizes[0])
    }

    #[test]
    fn windows_shrink_to_slides_that_are_smaller() {
        assert_eq!(windows(500, 300, Some(64)), (1, (576, 384)));
        assert_eq!(windows(500, 300, None), (1, (1024, 1024)));
        // Never larger than the settings, and each axis separately.
        assert_eq!(windows(1000, 300, Some(64)), (1, (1024, 384)));
        assert_eq!(windows(2500, 300, Some(64)), (4, (1024, 384)));
        assert_eq!(windows(2500, 1000, Some(64)), (4, (1024, 1024)));
    }

    #[test]
    fn cost_counts_what_it_says() {
        let pyramid = pyramid(4096, 2048);
        let mask = TissueMask::full(&info_of(&pyramid));
        let plan = Plan::new(&pyramid, mpp(0.5), &mask, &settings(1024, "50%")).unwrap();
        let cost = plan.cost();
        assert_eq!((cost.windows, cost.grid_windows_total), (7 * 3, 7 * 3));
        assert_eq!(cost.inferred_px, 21 * 1024 * 1024);
        assert!((cost.inferred_per_tissue_px.unwrap() - 21.0 / 8.0).abs() < 1e-12);
        assert!((cost.tissue_mm2 - 2.048 * 1.024).abs() < 1e-12);
        assert!((cost.slide_mm2 - 2.048 * 1.024).abs() < 1e-12);
        assert_eq!(cost.tiles_needed, 18 * 11);
        assert_eq!((plan.stride(), plan.overlap_px()), (512, 512));
        let none = TissueMask::from_bits(&info_of(&pyramid), 1, 1, vec![false]).unwrap();
        let empty = Plan::new(&pyramid, mpp(0.5), &none, &settings(1024, "50%")).unwrap().cost();
        assert_eq!((empty.windows, empty.grid_windows_total, empty.inferred_px), (0, 21, 0));
        assert_eq!((empty.tissue_mm2, empty.inferred_per_tissue_px), (0.0, None));
    }

    #[test]
    fn sides_are_seams_towards_neighbours_that_are_planned() {
        let pyramid = pyramid(2000, 2000);
        // Tissue in three of the four corners, where only one window each sees it.
        let corners = (0..16).map(|place| [0, 12, 15].contains(&place)).collect();
        let mask = TissueMask::from_bits(&info_of(&pyramid), 4, 4, corners).unwrap();
        let plan = Plan::new(&pyramid, mpp(0.5), &mask, &settings(1024, "48px")).unwrap();
        let starts: Vec<_> = plan.windows().iter().map(|w| (w.rect.min_x(), w.rect.min_y())).collect();
        assert_eq!(starts, [(0, 0), (0, 976), (976, 976)]);
        let found = [0, 1, 2].map(|index| plan.sides(WindowIndex(index)).unwrap());
        let none = Sides { left: false, top: false, right: false, bottom: false };
        let expected = [
            Sides { bottom: true, ..none },
            Sides { top: true, right: true, ..none },
            Sides { left: true, ..none },
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn settings_that_do_not_fit_are_refused() {
        let pyramid = pyramid(5000, 4000);
        let mask = TissueMask::full(&info_of(&pyramid));
        let coarse = Plan::new(&pyramid, mpp(1.0), &mask, &settings(1024, "50%"));
        assert!(matches!(coarse, Err(PlanError::Sampling(_))));
        let share = PlanSettings { min_tissue: 1.5, ..settings(1024, "50%") };
        let [share, overlap, windows] = [share, settings(1024, "1023px"), settings(2, "0%")]
            .map(|settings| Plan::new(&pyramid, mpp(0.5), &mask, &settings));
        assert_eq!(share, Err(PlanError::NotAFraction(1.5)));
        assert!(matches!(overlap, Err(PlanError::OverlapTooLarge { least_step: 32, .. })));
        assert!(matches!(windows, Err(PlanError::TooManyWindows { .. })));
        let other = TissueMask::full(&info_of(&self::pyramid(5000, 4001)));
        let settings = settings(1024, "50%");
        assert!(matches!(
            Plan::new(&pyramid, mpp(0.5), &other, &settings),
            Err(PlanError::MaskOfAnotherSlide { .. })
        ));
    }

    proptest! {
        #[test]
        fn every_tissue_pixel_lies_in_a_window(
            width in 1u32..3000, height in 1u32..3000, window in 40u32..900, percent in 0.0..90.0f64,
            slide_mpp in 0.2..0.54f64, mask_width in 1u32..40, mask_height in 1u32..40,
            seeds in proptest::collection::vec(0usize..1600, 0..12),
        ) {
            let pyramid = pyramid(width, height);
            let mut bits = vec![false; (mask_width * mask_height) as usize];
            let count = bits.len();
            for seed in &seeds { bits[seed % count] = true; }
            let mask = TissueMask::from_bits(&info_of(&pyramid), mask_width, mask_height, bits).unwrap();
            let settings = settings(window, &format!("{percent}%"));
            prop_assume!(settings.stride(0.5).is_ok_and(|stride| stride >= 20));
            let plan = Plan::new(&pyramid, mpp(slide_mpp), &mask, &settings).unwrap();
            let (dx, dy) = mask.downsample();
            // Level-0 px centres, sampled along each mask px: its corners (just
            // inside) and its centre.
            for y in 0..mask_height { for x in 0..mask_width { if mask.is_tissue(x, y) {
                for (fx, fy) in [(0.001, 0.001), (0.999, 0.001), (0.5, 0.5), (0.001, 0.999), (0.999, 0.999)] {
                    let point = euclid::point2((f64::from(x) + fx) * dx, (f64::from(y) + fy) * dy);
                    prop_assert!(plan.windows().iter().any(|w| w.level0_box().contains(point)), "{point:?}");
                }
            }}}
            let places = plan.windows().iter().map(|w| (w.rect.min_y(), w.rect.min_x()));
            prop_assert!(places.is_sorted_by(|a, b| a < b));
            prop_assert!(plan.windows().iter().zip(0..).all(|(w, i)| w.index == WindowIndex(i)));
            // No window without tissue.
            for w in plan.windows() { prop_assert!(mask.tissue_fraction(&w.level0_box()) > 0.0); }
        }
    }
}
