//! The slides of a dataset while a job runs: those that have ended, and those at work with their results so
//! far.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use dataset::{Dataset, FailureCount};
use engine::{NOT_YET, Onlooker, Preliminary};
use serde_json::json;
use viewer::{Changing, ShownSlide};
use wsi_types::wording::with_causes;

use super::{
    lineage::StoredLineage,
    shown::{shown, shown_slides},
};
use crate::{machine, slide_files::slide_names};

/// Finds the slides of a dataset at any moment, to show what is new.
pub(super) struct Night {
    dataset: Dataset,
    /// Files that the user named, by id of their slide.
    named: BTreeMap<String, PathBuf>,
    onlooker: Onlooker,
    /// Ids of slides and hashes of their tables, as they were shown last.
    told: BTreeSet<(String, String)>,
}

impl Night {
    pub(super) fn new(dataset: &Dataset, named: BTreeMap<String, PathBuf>) -> Self {
        let onlooker = Onlooker::new(dataset, machine());
        Self { dataset: dataset.clone(), named, onlooker, told: BTreeSet::new() }
    }

    /// All slides with cells, in order of id.
    pub(super) fn slides_now(&mut self) -> anyhow::Result<Vec<ShownSlide>> {
        let mut paths = slide_names::<PathBuf>(&self.dataset)?;
        paths.extend(self.named.clone());
        let mut slides = shown_slides(&self.dataset, &paths)?;
        let ended: BTreeSet<String> = slides.iter().map(|slide| slide.id.clone()).collect();
        for preliminary in self.onlooker.look()? {
            // It may have ended after the first look.
            if !ended.contains(preliminary.account.slide.as_str()) {
                slides.extend(shown_so_far(&self.dataset, &preliminary));
            }
        }
        slides.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(slides)
    }
}

impl Changing for Night {
    fn slides(&mut self) -> Result<Option<Vec<ShownSlide>>, String> {
        let slides = self.slides_now().map_err(|error| with_causes(error.as_ref()))?;
        let told = slides.iter().map(|slide| (slide.id.clone(), slide.table.sha256.clone())).collect();
        let has_changed = self.told != told;
        self.told = told;
        Ok(has_changed.then_some(slides))
    }
}

/// A slide at work, from its preliminary tables; annotations drawn on it are kept in the dataset, where they
/// stay.
fn shown_so_far(dataset: &Dataset, preliminary: &Preliminary) -> Option<ShownSlide> {
    let Preliminary { dataset: own, account, path, windows } = preliminary;
    let id = &account.slide;
    let analysis = account.analysis.as_ref()?;
    let mut slide = shown(own, account, Some(path))?;
    let not_yet = analysis.failures.iter().filter(|failure| failure.reason == NOT_YET);
    let not_yet: usize = not_yet.map(|failure| failure.windows.len()).sum();
    let (planned, failed) = (analysis.windows.planned, analysis.windows.failed - not_yet);
    slide.facts["ending"] = json!("");
    slide.facts["preliminary"] = json!({"ended": planned - not_yet, "planned": planned});
    slide.facts["raw_kept"] = json!(true);
    if !slide.facts["windows"].is_null() {
        slide.facts["windows"]["failed"] = json!(failed);
    }
    let lost = analysis.failures.iter().filter(|failure| failure.reason != NOT_YET);
    let lost: Vec<u32> = lost.flat_map(|FailureCount { windows, .. }| windows.iter().copied()).collect();
    Some(ShownSlide {
        drawing: dataset.root().join("annotations").join(format!("{id}.geojson")),
        lineage: Box::new(StoredLineage::of_windows(dataset, id, windows, lost)),
        ..slide
    })
}
