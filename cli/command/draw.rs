//! `slidemill draw`: a picture of the results, drawn over the slide.

use std::{collections::BTreeMap, sync::Arc};

use dataset::{
    Analysis, CellRow, Dataset, DatasetError, RegionRow, RunAccount, SlideId, TISSUE, detector_bit,
    for_each_cell, read_regions, seen_by,
    wording::{fixed, grouped, number, region_label, with_causes},
};
use engine::{named_slide, slide_of_file};
use report::draw::{Area, Drawing, Legend};
use whole_file::Inputs;
use wsi_types::{ClassId, Level0Box, Level0Point, RegionColours, Rgb, class_colour, palette::TISSUE_COLOUR};

use crate::{
    args::{self, DrawWhat},
    exit::{Exit, Failure},
};

/// Draws the cells or regions of a slide.
///
/// # Errors
///
/// An input failure when the slide or its results cannot be read, an output
/// failure when the picture cannot be written.
pub fn draw(args: &args::Draw) -> anyhow::Result<Exit> {
    let slide = super::open(&args.slide, args.map_range)?;
    let dataset = Dataset::at(&args.results);
    let (id, analysis) = results_of(args, &dataset)?;
    let mut inputs = Inputs::new(wsi_reader::files_of_slide(&args.slide));
    inputs.extend([dataset.cells(&id), dataset.regions(&id), dataset.account(&id)]);
    super::spare(&inputs, args.out.path())?;
    let area = args.area.map(|area| area.0);
    let base = slide.info().pyramid.base();
    let size = [base.width(), base.height()];
    if ![size, [0; 2]].contains(&analysis.slide_px) {
        return Err(Failure::usage(format!(
            "slide {id} has {} × {} px, but this one {} × {}, so it is another one: {}",
            analysis.slide_px[0],
            analysis.slide_px[1],
            size[0],
            size[1],
            wsi_reader::without_secrets(&args.slide).display()
        )));
    }
    let whole = Level0Box::from_size(euclid::size2(f64::from(base.width()), f64::from(base.height())));
    if area.is_some_and(|area| area.intersection(&whole).is_none()) {
        return Err(Failure::usage(format!(
            "--area lies outside of the slide, which has {} × {} px",
            base.width(),
            base.height()
        )));
    }
    let mut shown = Shown {
        dataset: &dataset,
        id: &id,
        analysis: &analysis,
        area,
        drawing: Drawing::new(slide.as_ref(), area, args.size as usize),
    };
    let legend = match args.show {
        DrawWhat::Cells => shown.cells().map_err(Into::into),
        DrawWhat::Regions => shown.regions().map_err(Into::into),
        DrawWhat::Scales => shown.scales(),
    };
    let legend = legend.map_err(|error| {
        Failure::input(format!("{}: {}", with_causes(error.as_ref()), args.results.display()))
    })?;
    args.out.write(&shown.drawing.finish(&legend))?;
    for (_, text) in &legend {
        outln!("{text}")?;
    }
    outln!("picture   {}", args.out.path().display())?;
    Ok(Exit::Done)
}

/// Id under which a dataset has results of the slide, with these results.
fn results_of(args: &args::Draw, dataset: &Dataset) -> anyhow::Result<(SlideId, Analysis)> {
    let id = match &args.id {
        Some(id) => named_slide(dataset, id)?,
        None => slide_of_file(dataset, &args.slide)?,
    };
    let account = RunAccount::read(&dataset.account(&id))?;
    let analysis = account.analysis.ok_or_else(|| {
        let reason = account.reason.unwrap_or_default();
        Failure::input(format!("slide {id} was not analysed: {reason}: {}", dataset.root().display()))
    })?;
    Ok((id, analysis))
}

/// Opacity of the veil over tissue, and over other regions.
const TISSUE_VEIL: f64 = 0.06;
const VEIL: f64 = 0.38;

/// The results of a slide on their way into a picture.
struct Shown<'a> {
    dataset: &'a Dataset,
    id: &'a SlideId,
    analysis: &'a Analysis,
    /// The part that is shown; `None` for the whole slide.
    area: Option<Level0Box>,
    drawing: Drawing,
}

impl Shown<'_> {
    fn cells(&mut self) -> Result<Vec<Legend>, DatasetError> {
        let mut counts: BTreeMap<ClassId, (Arc<str>, u64)> = BTreeMap::new();
        self.draw_each(&["class_id", "class_name"], |cell| {
            let class = cell.class_id;
            counts.entry(class).or_insert_with(|| (Arc::clone(&cell.class_name), 0)).1 += 1;
            class_colour(class)
        })?;
        let line = |(&class, (name, count)): (&ClassId, &(Arc<str>, u64))| {
            (class_colour(class), format!("{name} {}", grouped(*count)))
        };
        Ok(counts.iter().map(line).collect())
    }

    fn scales(&mut self) -> anyhow::Result<Vec<Legend>> {
        let analysis = self.analysis;
        anyhow::ensure!(
            analysis.detectors.len() > 1,
            "the cells of slide {} are of one detector; --show scales is for a run with several --detector",
            self.id
        );
        let everyone = (0..analysis.detectors.len()).fold(0, |bits, place| bits | detector_bit(place));
        let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
        self.draw_each(&["detector_scores"], |cell| {
            let seen = seen_by(cell);
            *counts.entry(seen).or_default() += 1;
            colour_of_seen(seen, everyone)
        })?;
        let line = |(&seen, &count): (&u32, &u64)| {
            let text = format!("{} {}", who_saw(seen, everyone, analysis), grouped(count));
            (colour_of_seen(seen, everyone), text)
        };
        Ok(counts.iter().rev().map(line).collect())
    }

    /// Draws every cell whose centroid is shown, in the colour that `colour` gives it; `colour` also sees
    /// `columns`.
    fn draw_each(
        &mut self,
        columns: &[&str],
        mut colour: impl FnMut(&CellRow) -> Rgb,
    ) -> Result<(), DatasetError> {
        let columns = [columns, &["x_px", "y_px", "bbox", "geometry", "perimeter_um"]].concat();
        for_each_cell(&self.dataset.cells(self.id), &columns, |cell| {
            if self.area.is_none_or(|area| area.contains(cell.centroid)) {
                // Only outlines have a perimeter; the geometry of other cells is their box.
                let outline = cell.perimeter_um.map(|_| cell.outline.as_slice());
                self.drawing.cell(cell.bbox, outline, colour(cell));
            }
        })
    }

    fn regions(&mut self) -> Result<Vec<Legend>, DatasetError> {
        let mut regions = read_regions(&self.dataset.regions(self.id))?;
        // Those that are not shown have their colour too, as elsewhere.
        let labels: Vec<String> = regions.iter().filter(|region| region.kind != TISSUE).map(label).collect();
        let colours = RegionColours::new(labels.iter().map(String::as_str));
        regions.retain(|region| self.shown_um2(region) > 0.0);
        // Tissue at the bottom, then large before small.
        regions.sort_by(|a, b| {
            let [a_on_top, b_on_top] = [a, b].map(|region| region.kind != TISSUE);
            (a_on_top.cmp(&b_on_top))
                .then(b.area_um2.total_cmp(&a.area_um2))
                .then(a.region_id.cmp(&b.region_id))
        });
        let mut shown: BTreeMap<String, (u64, f64)> = BTreeMap::new();
        for region in &regions {
            let (count, area_um2) = shown.entry(label(region)).or_default();
            *count += 1;
            *area_um2 += self.shown_um2(region);
            let (colour, veil) = match region.kind.as_str() {
                TISSUE => (TISSUE_COLOUR, TISSUE_VEIL),
                _ => (colours.get(&label(region)), VEIL),
            };
            self.drawing.area(&Area { rings: region.rings.clone(), colour, veil });
        }
        let line = |(label, &(count, um2)): (&String, &(u64, f64))| {
            (colours.get(label), format!("{label}: {}, {} mm²", grouped(count), fixed(um2 * 1e-6, 2)))
        };
        Ok(shown.iter().map(line).collect())
    }

    /// Area of the shown part of a region, µm².
    fn shown_um2(&self, region: &RegionRow) -> f64 {
        let Some(area) = self.area else { return region.area_um2 };
        let mut rings = region.rings.iter().map(|ring| area_within(ring, &area));
        let outer = rings.next().unwrap_or_default();
        (outer - rings.sum::<f64>()).max(0.0) * self.analysis.mpp * self.analysis.mpp
    }
}

fn label(region: &RegionRow) -> String {
    region_label(&region.kind, region.class_name.as_deref())
}

/// Area of a ring within a box, px²: the ring is cut at one side after the other (Sutherland and Hodgman
/// 1974).
fn area_within(ring: &[Level0Point], area: &Level0Box) -> f64 {
    let left = cut(ring, |point| point.x - area.min.x);
    let across = cut(&left, |point| area.max.x - point.x);
    let top = cut(&across, |point| point.y - area.min.y);
    let rest = cut(&top, |point| area.max.y - point.y);
    let twice: f64 = corners(&rest).map(|(from, to)| from.to_vector().cross(to.to_vector())).sum();
    twice.abs() / 2.0
}

/// The part of a ring where `inside`, the signed distance to a line, is not negative.
fn cut(ring: &[Level0Point], inside: impl Fn(Level0Point) -> f64) -> Vec<Level0Point> {
    let mut kept = Vec::with_capacity(ring.len());
    for (from, to) in corners(ring) {
        let (at_from, at_to) = (inside(from), inside(to));
        if at_from >= 0.0 {
            kept.push(from);
        }
        if (at_from >= 0.0) != (at_to >= 0.0) {
            kept.push(from.lerp(to, at_from / (at_from - at_to)));
        }
    }
    kept
}

/// Pairs of each corner of a ring with the next.
fn corners(ring: &[Level0Point]) -> impl Iterator<Item = (Level0Point, Level0Point)> {
    ring.iter().copied().zip(ring.iter().copied().cycle().skip(1))
}

/// The first colour for cells that all detectors saw, one of the next for cells that only some saw.
fn colour_of_seen(seen: u32, everyone: u32) -> Rgb {
    class_colour(ClassId(if seen == everyone { 0 } else { (seen % 7 + 1) as u16 }))
}

/// Names the detectors that saw a cell; `seen` has a bit for each.
fn who_saw(seen: u32, everyone: u32, analysis: &Analysis) -> String {
    let name = |place: usize| format!("{} µm/px", number(analysis.detectors[place].mpp));
    let saw = |place: &usize| seen & detector_bit(*place) != 0;
    let names: Vec<String> = (0..analysis.detectors.len()).filter(saw).map(name).collect();
    match names.as_slice() {
        _ if seen == everyone => format!("{}:", names.join(" and ")),
        [only] => format!("{only} only:"),
        _ => format!("{} only:", names.join(" and ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_of_a_region_is_that_which_is_shown() {
        let diamond = [(0.0, 10.0), (10.0, 0.0), (20.0, 10.0), (10.0, 20.0)];
        let diamond = diamond.map(|(x, y)| Level0Point::new(x, y));
        let shown = |min: (f64, f64), max: (f64, f64)| {
            area_within(&diamond, &Level0Box::new(Level0Point::from(min), Level0Point::from(max)))
        };
        assert_eq!(shown((-5.0, -5.0), (30.0, 30.0)), 200.0);
        assert_eq!(shown((0.0, 0.0), (10.0, 10.0)), 50.0);
        assert_eq!(shown((5.0, 5.0), (15.0, 15.0)), 100.0);
        assert_eq!(shown((30.0, 0.0), (40.0, 20.0)), 0.0);
    }

    #[test]
    fn what_all_saw_and_what_each_saw_alone_have_colours_of_their_own() {
        let colours = [0b01, 0b10, 0b11].map(|seen| colour_of_seen(seen, 0b11));
        assert!(colours[0] != colours[1] && colours[1] != colours[2] && colours[0] != colours[2]);
    }
}
