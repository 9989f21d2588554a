//! Slides of a dataset as the viewer shows them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use dataset::{
    Analysis, Dataset, Outcome, RunAccount, SlideId,
    wording::{counted, grouped},
};
use serde_json::json;
use viewer::{OpenSlide, ShownSlide, tiles::TableFacts};
use wsi_reader::{LinearMapping, Slide};

use super::lineage::{StoredLineage, rule};

/// All slides with results, in order of id.
pub(super) fn shown_slides(
    dataset: &Dataset,
    paths: &BTreeMap<String, PathBuf>,
) -> anyhow::Result<Vec<ShownSlide>> {
    let mut slides = Vec::new();
    for account in dataset.read_accounts()? {
        slides.extend(shown(dataset, &account, paths.get(account.slide.as_str())));
    }
    Ok(slides)
}

/// Makes a slide of the viewer; `None` for a slide without results.
pub(super) fn shown(dataset: &Dataset, account: &RunAccount, path: Option<&PathBuf>) -> Option<ShownSlide> {
    let analysis = account.analysis.as_ref().filter(|_| account.has_results())?;
    let id = &account.slide;
    let cells = dataset.cells(id);
    let relative = cells.strip_prefix(dataset.root()).ok()?;
    let table = analysis.files.iter().find(|file| Path::new(&file.path) == relative)?;
    let mapping = account.settings.get("map_range").and_then(|text| text.parse().ok());
    Some(ShownSlide {
        id: id.as_str().to_owned(),
        name: path.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned())),
        open: opener(path.cloned(), id.clone(), mapping),
        sharpest_mpp: 0.0,
        size: analysis.slide_px,
        mpp: analysis.mpp,
        table: TableFacts { sha256: table.sha256.clone(), bytes: table.bytes },
        cells,
        regions: dataset.regions(id),
        tiles: dataset.tiles(id),
        overview: dataset.overview(id),
        coverage: dataset.coverage(id),
        drawing: dataset.root().join("annotations").join(format!("{id}.geojson")),
        lineage: Box::new(StoredLineage::new(dataset, account, analysis, path.cloned())),
        facts: facts(dataset, account, analysis),
    })
}

fn facts(dataset: &Dataset, account: &RunAccount, analysis: &Analysis) -> serde_json::Value {
    let ending = match account.outcome {
        Outcome::Partial => format!(
            "Incomplete: no result from {} of {}.",
            grouped(analysis.windows.failed as u64),
            counted(analysis.windows.planned, "window")
        ),
        _ => String::new(),
    };
    json!({
        "ending": ending,
        "cells": account.cells(),
        "model": account.model.to_string(),
        "tissue_mm2": analysis.coverage.tissue_mm2,
        "analysed_mm2": analysis.coverage.analysed_mm2,
        "windows": if analysis.detectors.is_empty() { json!(analysis.windows) } else { json!(null) },
        "raw_kept": engine::windows_file(dataset, &account.slide).exists(),
        "rule": rule(&account.settings),
    })
}

/// Opens the pixels at their old path, if that file is still the same.
fn opener(path: Option<PathBuf>, id: SlideId, mapping: Option<LinearMapping>) -> OpenSlide {
    Box::new(move || -> Result<Arc<dyn Slide>, String> {
        let path =
            path.as_ref().ok_or("the dataset does not say where the slide's file is; name the file")?;
        if !path.exists() {
            return Err("the slide's file is not where it was; name the file where it is now".into());
        }
        let made_of_content = id.as_str().len() == SlideId::from_content(&[0; 32]).as_str().len()
            && id.as_str()[1..].bytes().all(|digit| digit.is_ascii_hexdigit());
        if made_of_content && id_of_content(path)? != id {
            return Err("the slide's file is another one now than the one that was analysed".into());
        }
        engine::open(path, mapping).map_err(|error| error.to_string())
    })
}

fn id_of_content(path: &Path) -> Result<SlideId, String> {
    let content = wsi_reader::content_id(path).map_err(|error| format!("cannot read the slide: {error}"))?;
    Ok(SlideId::from_content(&content.bytes()))
}
