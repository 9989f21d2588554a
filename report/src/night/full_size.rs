//! The crops of a slide at one px for each of its own, with the cells that were counted in them.

use std::{collections::BTreeMap, path::Path};

use dataset::{
    CellReader, CellRow, Dataset, DatasetError, ReadSettings, RunAccount, jpeg_bytes,
    wording::{counted, grouped},
};
use maud::{Markup, html};
use wsi_reader::Slide;
use wsi_types::{ClassId, Mpp, class_colour, css_colour};

use super::{
    areas::{self, Areas, DrawnKind},
    charts,
    crops::{Choice, Crop},
    paths::PathGrid,
    scale::{Bar, scale_bar},
    thresholds::{NEAR, Thresholds},
};
use crate::{chart::key, draw::read_area, page::data_url, slide_files::SlideFiles};

/// Columns that are read of each cell.
const COLUMNS: [&str; 6] = ["class_id", "class_name", "score", "x_px", "y_px", "geometry"];
/// Units of the drawn outlines per px.
const UNITS: f64 = 10.0;

/// The crops of a slide, or why there are none.
pub(super) enum FullSize {
    Shown(Vec<Shown>),
    /// The reason, and what to do, in words.
    Absent(String),
}

/// A crop with its pixels and its cells.
pub(super) struct Shown {
    crop: Crop,
    /// JPEG.
    picture: Vec<u8>,
    /// By number of their colour.
    classes: BTreeMap<usize, Drawn>,
    /// Outlines of the regions in it.
    areas: Vec<DrawnKind>,
}

/// The cells of a class in a crop.
#[derive(Debug, Default, PartialEq)]
struct Drawn {
    name: String,
    cells: u64,
    /// Those of them whose score is near the threshold.
    near: u64,
    /// Outlines in [`UNITS`] from the corner of the crop, as SVG has paths.
    sure: String,
    unsure: String,
}

impl FullSize {
    /// `true` if there are pictures to show.
    pub(super) fn is_shown(&self) -> bool {
        matches!(self, Self::Shown(crops) if !crops.is_empty())
    }

    /// Reads the crops of a slide from its file and their cells from its table.
    pub(super) fn read(
        dataset: &Dataset,
        files: &SlideFiles,
        account: &RunAccount,
        crops: &[Crop],
        areas: &Areas,
        thresholds: Option<&Thresholds>,
    ) -> Self {
        if crops.is_empty() {
            return Self::Shown(Vec::new());
        }
        let slide = match files.open(account) {
            Ok(slide) => slide,
            Err(why) => {
                return Self::Absent(format!("{why}; `slidemill report` adds them where the slide is"));
            }
        };
        let table = dataset.cells(&account.slide);
        let shown = crops.iter().map(|crop| {
            let areas = areas.in_crop(crop.bounds);
            Shown::read(slide.as_ref(), &table, crop, thresholds).map(|shown| Shown { areas, ..shown })
        });
        match shown.collect() {
            Ok(shown) => Self::Shown(shown),
            Err(why) => Self::Absent(why),
        }
    }
}

impl Shown {
    fn read(
        slide: &dyn Slide,
        table: &Path,
        crop: &Crop,
        thresholds: Option<&Thresholds>,
    ) -> Result<Self, String> {
        let side = crop.bounds.width() as u32;
        let pixels = read_area(slide, crop.bounds, side).map_err(|error| error.to_string())?;
        let picture = jpeg_bytes("a part of a slide", &pixels).map_err(|error| error.to_string())?;
        let classes = cells_in(table, crop, thresholds).map_err(|error| error.to_string())?;
        Ok(Self { crop: crop.clone(), picture, classes, areas: Vec::new() })
    }

    fn cells(&self) -> u64 {
        self.classes.values().map(|class| class.cells).sum()
    }

    fn near(&self) -> u64 {
        self.classes.values().map(|class| class.near).sum()
    }
}

/// The cells whose centroids lie in a crop, by colour: those that its count is of.
fn cells_in(
    table: &Path,
    crop: &Crop,
    thresholds: Option<&Thresholds>,
) -> Result<BTreeMap<usize, Drawn>, DatasetError> {
    let settings =
        ReadSettings { columns: Some(&COLUMNS), within: Some(crop.bounds), ..ReadSettings::default() };
    let grid = PathGrid { corner: crop.bounds.min, per_px: UNITS };
    let mut classes: BTreeMap<usize, Drawn> = BTreeMap::new();
    for cells in CellReader::open(table, settings)? {
        for cell in cells?.iter().filter(|cell| crop.bounds.contains(cell.centroid)) {
            let near = thresholds.is_some_and(|least| least.is_near(&cell.class_name, cell.score));
            classes.entry(usize::from(cell.class_id.0)).or_default().add(cell, grid, near);
        }
    }
    Ok(classes)
}

impl Drawn {
    fn add(&mut self, cell: &CellRow, grid: PathGrid, near: bool) {
        if self.cells == 0 {
            self.name = cell.class_name.to_string();
        }
        self.cells += 1;
        self.near += u64::from(near);
        grid.add_ring(if near { &mut self.unsure } else { &mut self.sure }, &cell.outline);
    }
}

/// The crops of a slide side by side, with their legend.
pub(super) fn pictures(full_size: &FullSize, name: &str, mpp: f64) -> Markup {
    match full_size {
        FullSize::Absent(why) => html! { p.note { "There are no parts at full size: " (why) "." } },
        FullSize::Shown(crops) if crops.is_empty() => html! {},
        FullSize::Shown(crops) => html! {
            div.crops {
                (head(crops))
                div.pictures { @for (crop, letter) in crops.iter().zip('A'..) { (picture(crop, letter, name, mpp)) } }
            }
        },
    }
}

fn head(crops: &[Shown]) -> Markup {
    let any_near = crops.iter().any(|crop| crop.near() > 0);
    let mut names: BTreeMap<usize, &str> = BTreeMap::new();
    for (&colour, class) in crops.iter().flat_map(|crop| &crop.classes) {
        names.insert(colour, &class.name);
    }
    let mut kinds: Vec<DrawnKind> = crops.iter().flat_map(|crop| crop.areas.clone()).collect();
    kinds.sort_by(|one, other| one.name.cmp(&other.name));
    kinds.dedup_by(|one, other| one.name == other.name);
    html! {
        p.note {
            b { "At full size, with what was counted: " }
            @for (colour, name) in names { (key(colour, name)) }
            (areas::legend(&kinds))
            @if any_near {
                span.key { span.dashes {} " score less than " (NEAR) " above the threshold " }
            }
            label.key { input.drawn type="checkbox" checked; " show outlines" }
        }
    }
}

fn picture(crop: &Shown, letter: char, name: &str, mpp: f64) -> Markup {
    let side = crop.crop.bounds.width();
    let what = in_words(&crop.crop.choices);
    html! {
        figure {
            svg viewBox=(format!("0 0 {side} {side}")) role="img" aria-label=(format!("{what} of slide {name}")) {
                image width=(side) height=(side) href=(data_url("image/jpeg", &crop.picture)) {}
                (areas::in_crop(&crop.areas))
                g.cells transform=(format!("scale({})", 1.0 / UNITS)) {
                    @for (&colour, class) in &crop.classes { (outlines(colour, class)) }
                }
                (scale_bar(&Bar { width: side, height: side, mpp }))
            }
            figcaption {
                span.crop-key { (letter) } " " b { (what) } ": " (counts(crop, mpp)) ", at "
                (grouped(crop.crop.bounds.min.x as u64)) ", " (grouped(crop.crop.bounds.min.y as u64)) " px"
            }
        }
    }
}

fn outlines(colour: usize, class: &Drawn) -> Markup {
    let stroke = css_colour(class_colour(ClassId(colour as u16)));
    html! {
        @for (path, kind) in [(&class.sure, "sure"), (&class.unsure, "unsure")] {
            @if !path.is_empty() { path class=(kind) stroke=(stroke) d=(path) {} }
        }
    }
}

/// Cells of a crop, by class where there are several, and per mm² of all of it, glass included.
fn counts(crop: &Shown, mpp: f64) -> Markup {
    let cells = crop.cells();
    let side_mm = crop.crop.bounds.width() * mpp / 1000.0;
    let classes: Vec<String> =
        crop.classes.values().map(|class| format!("{} {}", class.name, grouped(class.cells))).collect();
    html! {
        (counted(cells as usize, "cell"))
        @if classes.len() > 1 { " (" (classes.join(", ")) ")" }
        @if crop.near() > 0 { ", " (grouped(crop.near())) " near the threshold" }
        @if Mpp::new(mpp).is_ok() { ", " (charts::per_mm2(cells as f64 / (side_mm * side_mm))) " per mm² of it" }
    }
}

fn in_words(choices: &[Choice]) -> String {
    let words = choices.iter().map(|choice| match choice {
        Choice::Hottest => "hottest field",
        Choice::Typical => "typical field",
        Choice::LeastSure => "least sure field",
    });
    let text = words.collect::<Vec<_>>().join(", ");
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The places of the crops on the picture of the slide, in px of level 0.
pub(super) fn places(full_size: &FullSize, slide_px: [u32; 2]) -> Markup {
    let FullSize::Shown(crops) = full_size else { return html! {} };
    let [width, height] = slide_px.map(f64::from);
    let unit = width.max(height) / 100.0;
    html! {
        @for (crop, letter) in crops.iter().zip('A'..) {
            @let bounds = crop.crop.bounds;
            @for (class, stroke) in [("crop-under", 0.9 * unit), ("crop", 0.45 * unit)] {
                rect class=(class) x=(bounds.min.x) y=(bounds.min.y) width=(bounds.width()) height=(bounds.height())
                    stroke-width=(stroke) {}
            }
            text.crop-letter x=(bounds.center().x) y=(letter_line(bounds.min.y, bounds.max.y, unit)) text-anchor="middle"
                font-size=(4.2 * unit) stroke-width=(0.9 * unit) { (letter) }
        }
    }
}

/// The base line of a letter above a crop, or below one at the top of the slide.
fn letter_line(top: f64, bottom: f64, unit: f64) -> f64 {
    if top > 6.0 * unit { top - unit } else { bottom + 4.2 * unit }
}

#[cfg(test)]
mod tests {
    use wsi_types::{Level0Box, Level0Point};

    use super::*;

    fn row(class: u16, name: &str, x: f64, y: f64) -> CellRow {
        let corners = [(x - 2.0, y - 2.0), (x + 2.04, y - 2.0), (x + 2.0, y + 2.0)];
        CellRow {
            class_id: ClassId(class),
            class_name: name.into(),
            centroid: Level0Point::new(x, y),
            outline: corners.map(|(x, y)| Level0Point::new(x, y)).to_vec(),
            ..CellRow::default()
        }
    }

    fn shown() -> Shown {
        let bounds =
            Level0Box::from_origin_and_size(Level0Point::new(1200.0, 800.0), euclid::size2(400.0, 400.0));
        let grid = PathGrid { corner: bounds.min, per_px: UNITS };
        let mut classes: BTreeMap<usize, Drawn> = BTreeMap::new();
        for (class, name, near) in [(0, "tumour <b>", false), (0, "tumour <b>", true), (9, "immune", false)] {
            let cell = row(class, name, 1210.0, 900.5);
            classes.entry(usize::from(class)).or_default().add(&cell, grid, near);
        }
        let crop = Crop { choices: vec![Choice::Hottest, Choice::LeastSure], bounds };
        Shown { crop, picture: vec![1, 2, 3], classes, areas: Vec::new() }
    }

    #[test]
    fn a_crop_says_where_it_lies_and_how_many_cells_it_holds() {
        let html = pictures(&FullSize::Shown(vec![shown()]), "s1", 0.5).into_string();
        for expected in [
            "<b>Hottest field, least sure field</b>: 3 cells (tumour &lt;b&gt; 2, immune 1), 1 near the threshold, 75.0 per mm² of it",
            "at 1\u{202f}200, 800 px",
            "class=\"unsure\" stroke=\"#12a59c\" d=\"M80 985l40 0 0 40z\"",
            "stroke=\"#5f34f3\"",
            "href=\"data:image/jpeg;base64,AQID\"",
            ">50 µm<",
            "score less than 0.1 above the threshold",
        ] {
            assert!(html.contains(expected), "{expected}: {html}");
        }
        assert!(places(&FullSize::Shown(vec![shown()]), [4000, 3000]).into_string().contains(">A</text>"));
    }

    #[test]
    fn what_is_not_shown_says_why() {
        let html = pictures(&FullSize::Absent("its file is not where it was".into()), "s1", 0.5);
        assert!(html.into_string().contains("no parts at full size: its file is not where it was."));
        assert_eq!(pictures(&FullSize::Shown(Vec::new()), "s1", 0.5).into_string(), "");
    }
}
