//! Windows of one size on a regular lattice over one grid.

use wsi_types::{GridRect, Placement, Sampling, TileGrid, Window, WindowIndex};

use crate::error::PlanError;

/// Windows of one size on a regular lattice over one resampled grid: the part of a plan that reading needs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lattice {
    pub(crate) sampling: Sampling,
    /// The tiles of the level that is read.
    pub(crate) tiles: TileGrid,
    /// Width and height of a window.
    pub(crate) window: (u32, u32),
    pub(crate) stride: u32,
    pub(crate) columns: u32,
    pub(crate) rows: u32,
    /// The windows that are read, row by row.
    pub(crate) windows: Vec<Window>,
}

impl Lattice {
    /// Largest number of places of a plan; more are a mistake in the settings.
    const MAX_PLACES: u64 = 1 << 22;

    /// Makes a lattice without windows.
    pub(crate) fn new(
        sampling: Sampling,
        tiles: TileGrid,
        window: (u32, u32),
        stride: u32,
    ) -> Result<Self, PlanError> {
        let [columns, rows] = [(sampling.width, window.0), (sampling.height, window.1)]
            .map(|(length, window)| length.saturating_sub(window).div_ceil(stride) + 1);
        let places = u64::from(columns) * u64::from(rows);
        if places > Self::MAX_PLACES {
            return Err(PlanError::TooManyWindows { places, limit: Self::MAX_PLACES });
        }
        Ok(Self { sampling, tiles, window, stride, columns, rows, windows: Vec::new() })
    }

    /// Keeps the windows for which `keep` returns `true`.
    pub(crate) fn keep(mut self, keep: impl Fn(&Window) -> bool) -> Self {
        for row in 0..self.rows {
            for column in 0..self.columns {
                let window = self.window_at(column, row, self.windows.len() as u32);
                if keep(&window) {
                    self.windows.push(window);
                }
            }
        }
        self
    }

    fn window_at(&self, column: u32, row: u32, index: u32) -> Window {
        let [x, y] = [column, row].map(|place| i64::from(place) * i64::from(self.stride));
        let size = euclid::size2(i64::from(self.window.0), i64::from(self.window.1));
        let (sx, sy) = self.sampling.level0_per_grid;
        Window {
            index: WindowIndex(index),
            rect: GridRect::new(euclid::point2(x, y), size),
            placement: Placement::new(sx, sy, x as f64 * sx, y as f64 * sy),
        }
    }

    /// Returns column and row of a window of this lattice.
    pub(crate) fn place(&self, window: &Window) -> (u32, u32) {
        let start = window.rect.origin / i64::from(self.stride);
        (start.x as u32, start.y as u32)
    }

    pub(crate) fn holds(&self, column: i64, row: i64) -> bool {
        let found = self.windows.binary_search_by_key(&(row, column), |window| {
            let (column, row) = self.place(window);
            (i64::from(row), i64::from(column))
        });
        found.is_ok()
    }
}
