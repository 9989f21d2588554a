//! `slidemill draw`: a picture of what was found, over the slide.

use std::{collections::BTreeMap, sync::Arc};

use dataset::{
    Analysis, Dataset, DatasetError, RegionRow, RunAccount, SlideId, TISSUE, detector_bit, for_each_cell,
    read_regions, seen_by, wording::grouped,
};
use report::draw::{self, Area, Layers, class_colour};
use wsi_types::{ClassId, Level0Box, Rgb};

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
    let area = args.area.map(|area| area.0);
    let base = slide.info().pyramid.base();
    let whole = Level0Box::from_size(euclid::size2(f64::from(base.width()), f64::from(base.height())));
    if area.is_some_and(|area| area.intersection(&whole).is_none()) {
        return Err(Failure::usage(format!(
            "--area lies outside of the slide, which has {} × {} px",
            base.width(),
            base.height()
        )));
    }
    let layers = match args.show {
        DrawWhat::Cells => cells(&dataset, &id).map_err(Into::into),
        DrawWhat::Regions => regions(&dataset, &id).map_err(Into::into),
        DrawWhat::Scales => scales(&dataset, &id, &analysis),
    };
    let layers = layers.map_err(|error| Failure::input(format!("{error:#}: {}", args.results.display())))?;
    draw::write_png(&args.out, &draw::draw_layers(slide.as_ref(), &layers, area, args.size as usize))?;
    for (_, text) in &layers.legend {
        println!("{text}");
    }
    println!("picture   {}", args.out.display());
    Ok(Exit::Done)
}

/// The id under which a dataset has results of the slide, and what they are.
fn results_of(args: &args::Draw, dataset: &Dataset) -> anyhow::Result<(SlideId, Analysis)> {
    let id = match &args.id {
        Some(id) => SlideId::new(id.as_str()).map_err(|error| Failure::usage(format!("--id: {error}")))?,
        None => {
            let content = wsi_reader::content_id(&args.slide);
            let content = content.map_err(|error| {
                Failure::input(format!("cannot read the slide: {error}: {}", args.slide.display()))
            })?;
            SlideId::from_content(&content.bytes())
        }
    };
    let path = dataset.account(&id);
    if !path.exists() {
        return Err(Failure::input(format!(
            "no results of slide {id} are here, but of {}; --id names one that the run was given another id for: {}",
            known_ids(dataset)?,
            dataset.root().display()
        )));
    }
    let account = RunAccount::read(&path)?;
    let analysis = account.analysis.ok_or_else(|| {
        let reason = account.reason.unwrap_or_default();
        Failure::input(format!("slide {id} was not analysed: {reason}: {}", dataset.root().display()))
    })?;
    Ok((id, analysis))
}

/// A few ids of slides that there are.
fn known_ids(dataset: &Dataset) -> anyhow::Result<String> {
    const SHOWN: usize = 4;
    let paths = dataset.accounts()?;
    let names = paths.iter().filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()));
    let shown: Vec<String> = names.take(SHOWN).collect();
    Ok(match (shown.len(), paths.len() - shown.len()) {
        (0, _) => "none".into(),
        (_, 0) => shown.join(", "),
        (_, more) => format!("{} and {more} more", shown.join(", ")),
    })
}

fn cells(dataset: &Dataset, id: &SlideId) -> Result<Layers, DatasetError> {
    let mut counts: BTreeMap<ClassId, (Arc<str>, u64)> = BTreeMap::new();
    let mut boxes = Vec::new();
    for_each_cell(&dataset.cells(id), &["class_id", "class_name", "bbox"], |cell| {
        counts.entry(cell.class_id).or_insert_with(|| (Arc::clone(&cell.class_name), 0)).1 += 1;
        boxes.push((cell.bbox, class_colour(cell.class_id)));
    })?;
    let legend = counts
        .iter()
        .map(|(&class, (name, count))| (class_colour(class), format!("{name} {}", grouped(*count))))
        .collect();
    Ok(Layers { legend, boxes, ..Layers::default() })
}

/// Of tissue, which lies below all else.
const TISSUE_COLOUR: Rgb = [60, 72, 96];
const TISSUE_VEIL: f64 = 0.06;
const VEIL: f64 = 0.38;

fn regions(dataset: &Dataset, id: &SlideId) -> Result<Layers, DatasetError> {
    let mut regions = read_regions(&dataset.regions(id))?;
    // Tissue at the bottom, then large before small.
    regions.sort_by(|a, b| {
        let is_other = |region: &RegionRow| region.kind != TISSUE;
        is_other(a)
            .cmp(&is_other(b))
            .then(b.area_um2.total_cmp(&a.area_um2))
            .then(a.region_id.cmp(&b.region_id))
    });
    let mut kinds: BTreeMap<&str, (u64, f64)> = BTreeMap::new();
    for region in &regions {
        let kind = kinds.entry(&region.kind).or_default();
        *kind = (kind.0 + 1, kind.1 + region.area_um2);
    }
    let others = kinds.keys().filter(|&&kind| kind != TISSUE);
    let colours: BTreeMap<&str, Rgb> =
        others.zip(0..).map(|(&kind, place)| (kind, class_colour(ClassId(place)))).collect();
    let colour = |kind: &str| colours.get(kind).copied().unwrap_or(TISSUE_COLOUR);
    let area = |region: &RegionRow| Area {
        rings: region.rings.clone(),
        colour: colour(&region.kind),
        veil: if region.kind == TISSUE { TISSUE_VEIL } else { VEIL },
    };
    let line = |(&kind, &(count, um2)): (&&str, &(u64, f64))| {
        (colour(kind), format!("{kind}: {} of {:.2} mm²", grouped(count), um2 * 1e-6))
    };
    let legend = kinds.iter().map(line).collect();
    Ok(Layers { areas: regions.iter().map(area).collect(), legend, ..Layers::default() })
}

fn scales(dataset: &Dataset, id: &SlideId, analysis: &Analysis) -> anyhow::Result<Layers> {
    anyhow::ensure!(
        analysis.detectors.len() > 1,
        "the cells of slide {id} are of one detector; --show scales is for a run with several --detector"
    );
    let everyone = (0..analysis.detectors.len()).fold(0, |bits, place| bits | detector_bit(place));
    let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
    let mut boxes = Vec::new();
    for_each_cell(&dataset.cells(id), &["bbox", "detector_scores"], |cell| {
        let seen = seen_by(cell);
        *counts.entry(seen).or_default() += 1;
        boxes.push((cell.bbox, colour_of_seen(seen, everyone)));
    })?;
    let line = |(&seen, &count): (&u32, &u64)| {
        (colour_of_seen(seen, everyone), format!("{} {}", who_saw(seen, everyone, analysis), grouped(count)))
    };
    Ok(Layers { legend: counts.iter().rev().map(line).collect(), boxes, ..Layers::default() })
}

/// The first colour for what all saw, the next ones for what only some did.
fn colour_of_seen(seen: u32, everyone: u32) -> Rgb {
    class_colour(ClassId(if seen == everyone { 0 } else { (seen % 7 + 1) as u16 }))
}

/// In words; `seen` by bits.
fn who_saw(seen: u32, everyone: u32, analysis: &Analysis) -> String {
    let name = |place: usize| format!("{} µm/px", analysis.detectors[place].mpp);
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
    fn what_all_saw_and_what_each_saw_alone_have_colours_of_their_own() {
        let colours = [0b01, 0b10, 0b11].map(|seen| colour_of_seen(seen, 0b11));
        assert!(colours[0] != colours[1] && colours[1] != colours[2] && colours[0] != colours[2]);
    }
}
