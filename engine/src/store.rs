//! From an answer in memory to files of the dataset: tables, pictures and the account, none with its name yet.

use std::{cmp::Ordering, collections::BTreeMap};

use merger::{Features, Region, TableContext, VectorFacts};
use serde::Serialize;
use serde_json::Value;
use tiler::{Band, Survey};
use whole_file::Staged;

use dataset::{
    Analysis, Dataset, DetectorFacts, FileFacts, ModelFacts, Outcome, PatchCount, RegionCount, RunAccount,
    SlideId, ThresholdCount, TileCounts, sha256_of,
};

use crate::{
    answer::{SlideAnswer, class_counts, named_counts},
    error::JobError,
    features::WantedFeatures,
    made_with::MadeWith,
    models::ModelSet,
    pictures,
    rules::SlideRules,
};

/// Who made a result: what is the same for all slides of a job.
#[derive(Debug, Clone)]
pub struct Maker {
    /// The models.
    pub models: ModelSet,
    /// Device that they ran on, in words.
    pub device: String,
    /// Rules that made cells and regions of detections.
    pub rules: SlideRules,
}

/// Facts of one slide that are stored with its answer.
pub struct Subject<'a> {
    /// Names it in outputs.
    pub id: &'a SlideId,
    /// Scale, tissue and plans.
    pub survey: &'a Survey,
    /// All that can change its results.
    pub made_with: &'a MadeWith,
    /// Notes for the user.
    pub warnings: &'a [String],
    /// Why its results are to be doubted.
    pub doubts: &'a [String],
    /// `true` if DAB was measured of its cells.
    pub with_dab: bool,
}

impl Maker {
    /// The account of a slide without results.
    #[must_use]
    pub fn failed(&self, id: &SlideId, reason: impl Into<String>) -> RunAccount {
        RunAccount {
            slide: id.clone(),
            outcome: Outcome::Failed,
            reason: Some(reason.into()),
            slidemill: env!("CARGO_PKG_VERSION").into(),
            model: self.models.facts(),
            device: self.device.clone(),
            devices: Vec::new(),
            fingerprint: String::new(),
            settings: BTreeMap::new(),
            analysis: None,
            warnings: Vec::new(),
            doubts: Vec::new(),
            copies: 0,
            ended: Some(dataset::clock::timestamp()),
            elapsed_secs: 0.0,
        }
    }

    /// Writes the results of a slide where they wait for their names, and its account, which names each with its
    /// checksum. Sorts the cells of `answer` as the table has them.
    ///
    /// # Errors
    ///
    /// [`JobError::Output`] when a file cannot be written.
    pub fn stage(
        &self,
        dataset: &Dataset,
        of: &Subject<'_>,
        answer: &mut SlideAnswer,
        by_threshold: Vec<ThresholdCount>,
        tiles: TileCounts,
    ) -> Result<(RunAccount, Vec<Staged>), JobError> {
        let mut analysis = self.analysis(of, answer, by_threshold, tiles)?;
        let mut files = Vec::new();
        let pictures =
            pictures::stage(dataset, of.id, &of.survey.picture, &of.survey.mask, answer.seen.as_deref())?;
        if answer.outcome() != Outcome::Failed {
            for (rows, table) in self.stage_tables(dataset, of, answer, &analysis)? {
                analysis.files.push(file_facts(dataset, &table, Some(rows))?);
                files.push(table);
            }
        }
        for picture in pictures {
            analysis.files.push(file_facts(dataset, &picture, None)?);
            files.push(picture);
        }
        Ok((self.account(of, answer, analysis), files))
    }

    fn account(&self, of: &Subject<'_>, answer: &SlideAnswer, analysis: Analysis) -> RunAccount {
        RunAccount {
            outcome: answer.outcome(),
            reason: answer.reason(),
            fingerprint: of.made_with.fingerprint(),
            settings: of.made_with.clone().into(),
            warnings: of.warnings.iter().chain(&answer.warnings).cloned().collect(),
            doubts: of.doubts.to_vec(),
            analysis: Some(analysis),
            ..self.failed(of.id, "")
        }
    }

    fn analysis(
        &self,
        of: &Subject<'_>,
        answer: &SlideAnswer,
        by_threshold: Vec<ThresholdCount>,
        tiles: TileCounts,
    ) -> Result<Analysis, JobError> {
        let base = of.survey.slide.info().pyramid.base();
        Ok(Analysis {
            slide_px: [base.width(), base.height()],
            mpp: of.survey.scale.mpp.get(),
            mpp_source: of.survey.scale.source.to_string(),
            model_mpp: self.models.each[0].mpp.get(),
            detectors: self.detector_facts(answer),
            windows: answer.windows,
            failures: answer.failures.clone(),
            coverage: answer.coverage,
            cells: class_counts(&answer.cells, &self.rules),
            dropped: answer.dropped.clone(),
            by_threshold,
            regions: self.region_counts(&answer.regions),
            patches: self.patch_count(answer),
            seam_audit: one_or_all(&answer.audits)?,
            tiles,
            files: Vec::new(),
        })
    }

    /// Each of several detectors; none when there is one.
    fn detector_facts(&self, answer: &SlideAnswer) -> Vec<DetectorFacts> {
        if answer.of_detectors.len() < 2 {
            return Vec::new();
        }
        let each = self.models.each.iter().zip(&answer.of_detectors);
        each.map(|(model, &cells)| DetectorFacts {
            model: model.terms.facts.clone(),
            mpp: model.mpp.get(),
            cells,
        })
        .collect()
    }

    /// The vectors of a slide with results, if one of the models gives some.
    fn patch_count(&self, answer: &SlideAnswer) -> Option<PatchCount> {
        let (_, dimensions) = self.models.of_vectors().filter(|_| answer.outcome() != Outcome::Failed)?;
        Some(PatchCount { patches: answer.patches.len() as u64, dimensions })
    }

    fn region_counts(&self, regions: &[Region]) -> Vec<RegionCount> {
        let mut kinds: BTreeMap<(&str, Option<&str>), Vec<&Region>> = BTreeMap::new();
        for region in regions {
            kinds.entry((&region.kind, region.class_name.as_deref())).or_default().push(region);
        }
        let counts =
            kinds.into_iter().map(|((kind, class), regions)| self.region_count(kind, class, &regions));
        let mut counts: Vec<_> = counts.collect();
        counts.sort_by(|a, b| by_kind(&a.kind, &b.kind));
        counts
    }

    fn region_count(&self, kind: &str, class_name: Option<&str>, regions: &[&Region]) -> RegionCount {
        let cells =
            regions.iter().flat_map(|region| region.cells.iter().map(|(&class, &count)| (class, count)));
        RegionCount {
            kind: kind.to_owned(),
            class_name: class_name.map(str::to_owned),
            regions: regions.len() as u64,
            area_mm2: sum_mm2(regions, |region| region.area_um2),
            analysed_mm2: sum_mm2(regions, Region::analysed_um2),
            analysed_tissue_mm2: Some(sum_mm2(regions, Region::analysed_tissue_um2)),
            cells: named_counts(cells, &self.rules),
        }
    }

    /// Writes the tables of a slide; gives each with its rows.
    fn stage_tables(
        &self,
        dataset: &Dataset,
        of: &Subject<'_>,
        answer: &mut SlideAnswer,
        analysis: &Analysis,
    ) -> Result<Vec<(u64, Staged)>, JobError> {
        let context = TableContext {
            slide_id: of.id.to_string(),
            mpp: of.survey.scale.mpp,
            class_names: self.rules.class_names.clone(),
            provenance: self.provenance(of, analysis)?,
        };
        let (folder, id) = (dataset.staged(of.id), of.id);
        // Regions first: cells name them.
        let regions = merger::stage_regions(&folder, &dataset.regions(id), &answer.regions, &context);
        let regions = regions.map_err(JobError::output)?;
        let WantedFeatures { shape, texture, .. } = self.rules.features;
        let features = Features { neighbours: answer.ground.take(), shape, texture, dab: of.with_dab };
        let cells = merger::stage_cells(&folder, &dataset.cells(id), &mut answer.cells, &context, &features);
        let cells = cells.map_err(JobError::output)?;
        let patches = self.models.of_vectors().map(|(model, dimensions)| {
            let facts = VectorFacts { model: model.terms.facts.clone(), mpp: model.mpp, dimensions };
            merger::stage_patches(&folder, &dataset.patches(id), &answer.patches, &facts, &context)
        });
        let patches = patches.transpose().map_err(JobError::output)?;
        let tables = [regions, cells].into_iter().chain(patches);
        Ok(tables.map(|(written, table)| (written.rows, table)).collect())
    }

    /// Provenance for the tables: nothing that differs between two runs of the same slide, model and
    /// settings.
    fn provenance(&self, of: &Subject<'_>, analysis: &Analysis) -> Result<Vec<(String, Value)>, JobError> {
        let facts: ModelFacts = self.models.facts();
        let values = [
            ("slide", value(of.id)?),
            ("slidemill", value(env!("CARGO_PKG_VERSION"))?),
            ("model", value(facts)?),
            ("detectors", value(&analysis.detectors)?),
            ("mpp", value(analysis.mpp)?),
            ("mpp_source", value(&analysis.mpp_source)?),
            ("sampling", one_or_all(&of.survey.samplings())?),
            ("settings", value(of.made_with)?),
            ("fingerprint", value(of.made_with.fingerprint())?),
            ("bounds", value(of.survey.slide.info().bounds)?),
            ("windows", value(analysis.windows)?),
            ("missing_windows", value(&analysis.failures)?),
            ("coverage", value(analysis.coverage)?),
            ("seam_audit", value(&analysis.seam_audit)?),
        ];
        Ok(values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

/// Kinds by name, bands along a border from inside to outside.
fn by_kind(a: &str, b: &str) -> Ordering {
    match (Band::from_um_of(a), Band::from_um_of(b)) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => a.cmp(b),
    }
}

fn sum_mm2(regions: &[&Region], area_um2: fn(&Region) -> f64) -> f64 {
    regions.iter().map(|region| area_um2(region)).sum::<f64>() * 1e-6
}

/// A file of the dataset as it will be called, with its checksum.
fn file_facts(dataset: &Dataset, file: &Staged, rows: Option<u64>) -> Result<FileFacts, JobError> {
    let (bytes, sha256) = sha256_of(file.temporary()).map_err(|error| {
        JobError::output(format!("cannot read back a result: {error}: {}", file.path().display()))
    })?;
    let relative = file.path().strip_prefix(dataset.root()).map_err(JobError::fault)?;
    let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
    Ok(FileFacts { path: parts.join("/"), rows, bytes, sha256 })
}

fn value(of: impl Serialize) -> Result<Value, JobError> {
    serde_json::to_value(of).map_err(JobError::fault)
}

/// One detector's value as it is, several as a list.
fn one_or_all<T: Serialize>(all: &[T]) -> Result<Value, JobError> {
    match all {
        [one] => value(one),
        _ => value(all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_go_from_inside_to_outside_among_the_other_kinds() {
        let mut kinds = [
            "tissue",
            "margin:0..100",
            "margin:-100..0",
            "roi",
            "margin:-200..-100",
            "dense",
            "margin:100..200",
        ];
        kinds.sort_by(|a, b| by_kind(a, b));
        assert_eq!(
            kinds,
            [
                "dense",
                "margin:-200..-100",
                "margin:-100..0",
                "margin:0..100",
                "margin:100..200",
                "roi",
                "tissue"
            ]
        );
    }
}
