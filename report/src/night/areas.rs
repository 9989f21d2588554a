//! The regions of a slide, drawn over pictures of it: areas of a model, dense places, what a person drew.

use std::{collections::BTreeMap, path::Path};

use dataset::{DatasetError, RegionRow, TISSUE, read_regions, wording::region_label};
use maud::{Markup, html};
use wsi_types::{Level0Box, Level0Point, RegionColours, css_colour, ring::clip_ring};

use super::paths::PathGrid;

/// Steps of the grid that outlines on the picture of a whole slide lie on, along its longer side.
const SLIDE_STEPS: f64 = 1200.0;
/// Units of outlines in a crop per px.
const CROP_UNITS: f64 = 10.0;
/// Room around a crop, px, so that the border along which a region is cut is not seen.
const CROP_ROOM_PX: f64 = 20.0;

/// All regions of a slide but tissue, by kind and by the class that a person gave.
#[derive(Debug, Default)]
pub(super) struct Areas(BTreeMap<String, Vec<RegionRow>>);

/// Outlines of the regions of one kind and class in a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DrawnKind {
    /// Its label, such as `roi: Tumor`.
    pub(super) name: String,
    /// As style sheets write it.
    pub(super) colour: String,
    /// One path for each region, holes included.
    pub(super) paths: Vec<String>,
}

impl Areas {
    /// Reads the regions of a slide.
    ///
    /// # Errors
    ///
    /// When the table cannot be read.
    pub(super) fn read(table: &Path) -> Result<Self, DatasetError> {
        let mut kinds: BTreeMap<String, Vec<RegionRow>> = BTreeMap::new();
        for region in read_regions(table)? {
            if region.kind != TISSUE {
                let label = region_label(&region.kind, region.class_name.as_deref());
                kinds.entry(label).or_default().push(region);
            }
        }
        Ok(Self(kinds))
    }

    /// The outlines over a whole slide of this size, in units of [`SLIDE_STEPS`] along its longer side.
    pub(super) fn over_slide(&self, slide_px: [u32; 2]) -> Vec<DrawnKind> {
        let grid = PathGrid { corner: Level0Point::origin(), per_px: 1.0 / slide_unit(slide_px) };
        self.drawn(grid, |ring| ring.to_vec())
    }

    /// The outlines within a crop, in units of [`CROP_UNITS`] per px from its corner.
    pub(super) fn in_crop(&self, crop: Level0Box) -> Vec<DrawnKind> {
        let grid = PathGrid { corner: crop.min, per_px: CROP_UNITS };
        let around = crop.inflate(CROP_ROOM_PX, CROP_ROOM_PX);
        self.drawn(grid, |ring| clip_ring(ring, around))
    }

    fn drawn(&self, grid: PathGrid, cut: impl Fn(&[Level0Point]) -> Vec<Level0Point>) -> Vec<DrawnKind> {
        let colours = RegionColours::new(self.0.keys().map(String::as_str));
        let kinds = self.0.iter().map(|(kind, regions)| {
            let paths = regions.iter().map(|region| {
                let mut path = String::new();
                region.rings.iter().for_each(|ring| grid.add_ring(&mut path, &cut(ring)));
                path
            });
            DrawnKind {
                name: kind.clone(),
                colour: css_colour(colours.get(kind)),
                paths: paths.filter(|path| !path.is_empty()).collect(),
            }
        });
        kinds.filter(|kind| !kind.paths.is_empty()).collect()
    }
}

/// Level-0 px per step of the grid on a whole slide.
fn slide_unit([width, height]: [u32; 2]) -> f64 {
    (f64::from(width.max(height)) / SLIDE_STEPS).max(1.0)
}

/// The outlines on the picture of a slide, in its level-0 px.
pub(super) fn over_slide(kinds: &[DrawnKind], slide_px: [u32; 2]) -> Markup {
    outlines(kinds, slide_unit(slide_px))
}

/// The outlines in a crop, in its px.
pub(super) fn in_crop(kinds: &[DrawnKind]) -> Markup {
    outlines(kinds, 1.0 / CROP_UNITS)
}

fn outlines(kinds: &[DrawnKind], unit: f64) -> Markup {
    html! {
        @if !kinds.is_empty() {
            g.within {
                @for kind in kinds {
                    g.areas transform=(format!("scale({unit})")) fill=(kind.colour) stroke=(kind.colour) {
                        @for path in &kind.paths { path d=(path) {} }
                    }
                }
            }
        }
    }
}

/// The key of each kind.
pub(super) fn legend(kinds: &[DrawnKind]) -> Markup {
    html! {
        @for kind in kinds {
            span.key { span.swatch.area style=(format!("color:{}", kind.colour)) {} " " (kind.name) " " }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(kind: &str, from: f64, to: f64, hole: Option<(f64, f64)>) -> RegionRow {
        let ring = |(from, to): (f64, f64)| {
            [(from, from), (to, from), (to, to), (from, to)].map(|(x, y)| Level0Point::new(x, y)).to_vec()
        };
        let rings = [Some((from, to)), hole].into_iter().flatten().map(ring).collect();
        RegionRow { kind: kind.into(), rings, ..RegionRow::default() }
    }

    fn areas() -> Areas {
        let tumour = vec![square("tumour <b>", 0.0, 2400.0, Some((600.0, 1200.0)))];
        let specks = vec![square("necrosis", 100.0, 100.5, None)];
        Areas([("tumour <b>".to_owned(), tumour), ("necrosis".to_owned(), specks)].into())
    }

    #[test]
    fn a_region_is_drawn_with_its_holes_over_the_slide_and_in_a_crop() {
        let over = areas().over_slide([4800, 2400]);
        assert_eq!(over.len(), 1, "what is smaller than a step of the picture is not seen");
        assert_eq!(over[0].paths, ["M0 0l600 0 0 600 -600 0zM150 150l150 0 0 150 -150 0z"]);
        let html = over_slide(&over, [4800, 2400]).into_string();
        let colour = css_colour(RegionColours::new(["necrosis", "tumour <b>"]).get("tumour <b>"));
        assert!(html.contains("scale(4)") && html.contains(&format!("fill=\"{colour}\"")), "{html}");
        assert!(legend(&over).into_string().contains("tumour &lt;b&gt;"));

        let crop = Level0Box::new(Level0Point::new(1000.0, 1000.0), Level0Point::new(1400.0, 1400.0));
        let drawn = areas().in_crop(crop);
        let [tumour] = &drawn[..] else { panic!("{drawn:?}") };
        // The outer ring is all around, and the corner of the hole reaches into the crop.
        assert_eq!(tumour.paths, ["M4200 -200l0 4400 -4400 0 0 -4400zM2000 -200l0 2200 -2200 0 0 -2200z"]);
        let beside = Level0Box::new(Level0Point::new(3000.0, 0.0), Level0Point::new(3400.0, 400.0));
        assert_eq!(areas().in_crop(beside), []);
    }
}
