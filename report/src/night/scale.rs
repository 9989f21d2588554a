//! The bar that tells how long a µm is.

use dataset::Analysis;
use maud::{Markup, html};

/// The picture that a scale bar lies on.
pub(super) struct Bar {
    /// Its sides, level-0 px.
    pub(super) width: f64,
    pub(super) height: f64,
    /// µm per level-0 px.
    pub(super) mpp: f64,
}

impl Bar {
    /// A whole slide.
    pub(super) fn over(analysis: &Analysis) -> Self {
        let [width, height] = analysis.slide_px.map(f64::from);
        Self { width, height, mpp: analysis.mpp }
    }
}

/// A bar of a round length, about a fifth of the picture's width, in its own
/// coordinates.
pub(super) fn scale_bar(&Bar { width, height, mpp }: &Bar) -> Markup {
    let wanted_um = width * mpp / 4.0;
    let steps = [10.0, 100.0, 1e3, 1e4, 1e5].into_iter().flat_map(|d| [d, 2.0 * d, 5.0 * d]);
    let Some(um) = steps.take_while(|&step| step <= wanted_um).last() else { return html! {} };
    let text = if um >= 1000.0 { format!("{} mm", um / 1000.0) } else { format!("{um} µm") };
    let (length, unit) = (um / mpp, width.max(height) / 100.0);
    let (left, bottom) = (2.0 * unit, height - 2.5 * unit);
    html! {
        g.scale {
            rect x=(left) y=(bottom - 0.5 * unit) width=(length) height=(0.8 * unit) stroke-width=(0.3 * unit) {}
            text x=(left) y=(bottom - 1.6 * unit) font-size=(4.2 * unit)
                stroke-width=(0.9 * unit) { (text) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_bar_is_round_and_fits() {
        let analysis = Analysis { slide_px: [12_288, 9216], mpp: 0.25, ..Analysis::default() };
        let bar = scale_bar(&Bar::over(&analysis)).into_string();
        assert!(bar.contains(">500 µm<") && bar.contains("width=\"2000\""), "{bar}");
        let tiny = Analysis { slide_px: [8, 8], mpp: 0.25, ..Analysis::default() };
        assert_eq!(scale_bar(&Bar::over(&tiny)).into_string(), "");
    }
}
