//! An order of reading that fits into memory.

use wsi_types::WindowIndex;

use crate::{StreamSettings, plan::Plan, schedule::Schedule};

/// Returns the most bytes of pixels that reading `wanted` can hold at once. It depends on the width of the
/// tissue and the height of a window, not on the height of the slide. The buffer of the caller's own window
/// is not counted.
#[must_use]
pub fn estimate_peak_bytes(plan: &Plan, wanted: &[WindowIndex], settings: &StreamSettings) -> u64 {
    Schedule::from_wanted(plan.lattice(), wanted, [0; 3]).peak_bytes(settings.ahead_windows)
}

/// Returns the order in which windows of a plan can be read within [`StreamSettings::memory_bytes`].
///
/// That is the order of the plan, row by row, if it fits. Otherwise the slide is read in as few vertical
/// bands as possible, each row by row; tiles that two bands share are then decoded in both. If even bands of
/// one column do not fit, those are returned: [`estimate_peak_bytes`] gives the memory that they need.
#[must_use]
pub fn reading_order(plan: &Plan, wanted: &[WindowIndex], settings: &StreamSettings) -> Vec<WindowIndex> {
    let columns = plan.lattice().columns;
    let mut bands = 1;
    loop {
        let order = banded(plan, wanted, columns.div_ceil(bands));
        let fits =
            settings.memory_bytes.is_none_or(|bytes| estimate_peak_bytes(plan, &order, settings) <= bytes);
        if fits || bands >= columns {
            return order;
        }
        bands += bands.div_ceil(2);
    }
}

/// Sorts windows row by row within bands of `width` columns.
fn banded(plan: &Plan, wanted: &[WindowIndex], width: u32) -> Vec<WindowIndex> {
    let windows = wanted.iter().filter_map(|index| plan.windows().get(index.0 as usize));
    let mut order: Vec<(u32, WindowIndex)> =
        windows.map(|window| (plan.lattice().place(window).0 / width, window.index)).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, index)| index).collect()
}
