//! `slidemill import`: the cells of another tool as a dataset of ours.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use anyhow::Context as _;
use convert::into::{self, Placing, TakenOver, take_over};
use dataset::{
    Analysis, Coverage, Dataset, FileFacts, ModelFacts, Outcome, RegionCount, RunAccount, SlideId, TISSUE,
    ThresholdCount, Tissue, clock, hex, sha256_of, stage_pictures, wording::grouped,
};
use engine::{slide_of_file, tissue_regions};
use eval::truth::{self, QuPathObjects, ReadSettings, Reading};
use merger::{
    Cell, ClassNames, Features, Region, RegionSettings, TableContext, assign_cells, id::slide_key,
    stage_cells, stage_regions,
};
use sha2::{Digest as _, Sha256};
use tiler::{TissueMask, TissueSettings};
use whole_file::Inputs;
use wsi_reader::{GivenScale, Overview, Scale, Slide, resolve_scale};
use wsi_types::{ClassId, Level0Point, Mpp};

use crate::{
    args::{self, Frame},
    exit::{Exit, Failure},
    measure,
    slide_files::slide_files,
};

/// Takes a file of cells over.
///
/// # Errors
///
/// A usage failure for wrong options or a dataset that has the slide already, an input failure when slide or cells cannot
/// be read, an output failure when tables cannot be written.
pub fn import(args: &args::Import) -> anyhow::Result<Exit> {
    check_numbers(args)?;
    let target = Target::open(args)?;
    let Reading { set, remarks, .. } = read(args)?;
    let taken = take_over(set, &target.placing(args)?, slide_key(&target.content))?;
    if taken.cells.is_empty() {
        return Err(Failure::input(format!("it holds no cells: {}", args.cells.display())));
    }
    let account = target.write(args, taken, remarks.notes())?;
    measure::tell(&report::write_overall(&target.dataset, &slide_files(&target.dataset))?);
    let analysis = account.analysis.unwrap_or_default();
    outln!("slide     {}", target.id)?;
    for (class, count) in &analysis.cells {
        outln!("cells     {} {class}", grouped(*count))?;
    }
    for note in &account.warnings {
        outln!("note      {note}")?;
    }
    outln!("dataset   {}", args.out.display())?;
    Ok(Exit::Done)
}

fn check_numbers(args: &args::Import) -> anyhow::Result<()> {
    if !is_above_zero(args.scale) {
        return Err(Failure::usage(format!("--scale is {}, expected above 0, such as 2", args.scale)));
    }
    match args.radius_um.filter(|&radius| !is_above_zero(radius)) {
        Some(radius) => Err(Failure::usage(format!("--radius-um is {radius}, expected above 0, such as 4"))),
        None => Ok(()),
    }
}

fn is_above_zero(value: f64) -> bool {
    value > 0.0 && value.is_finite()
}

/// Reads objects that programs detected; from files that hold only annotations, these.
fn read(args: &args::Import) -> anyhow::Result<Reading> {
    let all = ReadSettings { nuclei: args.nuclei, ..ReadSettings::default() };
    let detected =
        into::read(&args.cells, &ReadSettings { qupath: QuPathObjects::Detections, ..all.clone() })?;
    if !detected.set.objects.is_empty() {
        return Ok(detected);
    }
    Ok(into::read(&args.cells, &all)?)
}

/// The slide that cells are taken over to, and the dataset they go into.
struct Target {
    slide: Arc<dyn Slide>,
    scale: Scale,
    id: SlideId,
    content: String,
    dataset: Dataset,
}

impl Target {
    fn open(args: &args::Import) -> anyhow::Result<Self> {
        let slide = super::open(&args.slide, None)?;
        let mpp = args.mpp.map(Mpp::new).transpose();
        let mpp = mpp.map_err(|error| Failure::usage(format!("--mpp: {error}")))?;
        let scale = resolve_scale(slide.info(), GivenScale::otherwise(mpp)).map_err(|problem| {
            Failure::usage(format!(
                "{problem}; give it with --mpp: {}",
                wsi_reader::without_secrets(&args.slide).display()
            ))
        })?;
        let content = wsi_reader::content_id(&args.slide).map_err(|error| {
            Failure::input(format!(
                "cannot read the slide: {error}: {}",
                wsi_reader::without_secrets(&args.slide).display()
            ))
        })?;
        let id = SlideId::from_content(&content.bytes());
        let dataset = Dataset::at(&args.out);
        // It may have an id of a list there, and would be counted twice under its own.
        if let Ok(known) = slide_of_file(&dataset, &args.slide) {
            return Err(Failure::usage(format!(
                "results of slide {known} are here already; give another OUT: {}",
                args.out.display()
            )));
        }
        Ok(Self { slide, scale, id, content: hex(&content.bytes()), dataset })
    }

    fn size(&self) -> [u32; 2] {
        let base = self.slide.info().pyramid.base();
        [base.width(), base.height()]
    }

    fn placing(&self, args: &args::Import) -> anyhow::Result<Placing> {
        let corner = self.slide.info().bounds.map_or_else(Level0Point::zero, |bounds| bounds.min);
        let origin = match args.frame {
            Some(Frame::Qupath) => corner,
            Some(Frame::Level0) => Level0Point::zero(),
            None if corner == Level0Point::zero() => corner,
            None => {
                return Err(Failure::usage(format!(
                    "the slide was scanned from ({}, {}) px of level 0 on: QuPath counts from there, others from the \
                     corner of level 0; say which of them the cells do, by --frame qupath or --frame level0",
                    corner.x, corner.y
                )));
            }
        };
        Ok(Placing {
            scale: args.scale,
            origin,
            slide_px: self.size(),
            point_radius: args.radius_um.map(|radius| radius / self.scale.mpp.get()),
        })
    }

    /// Tables, pictures and the account.
    fn write(&self, args: &args::Import, taken: TakenOver, notes: Vec<String>) -> anyhow::Result<RunAccount> {
        let mut account = self.account(args, &taken)?;
        account.warnings.extend(notes);
        let TakenOver { mut cells, class_names, .. } = taken;
        let (mask, _) = TissueMask::compute_with_picture(
            self.slide.as_ref(),
            Some(self.scale.mpp),
            &TissueSettings::default(),
        );
        let mut regions = self.tissue(&mask);
        assign_cells(&mut regions, &mut cells);
        let mut analysis = self.analysis(&cells, &class_names, &regions);
        let context = TableContext {
            slide_id: self.id.to_string(),
            mpp: self.scale.mpp,
            class_names: ClassNames::new(class_names),
            provenance: self.provenance(&account, &analysis)?,
        };
        let (dataset, id) = (&self.dataset, &self.id);
        let staging = dataset.staged(id);
        let make = |folder: &Path| {
            fs::create_dir_all(folder).map_err(|error| {
                Failure::output(format!("cannot make a folder: {error}: {}", folder.display()))
            })
        };
        make(&staging)?;
        let (of_regions, of_cells) = (dataset.regions(id), dataset.cells(id));
        let mut files = Vec::new();
        for (rows, file) in [
            stage_regions(&staging, &of_regions, &regions, &context).map(|(told, file)| (told.rows, file)),
            stage_cells(&staging, &of_cells, &mut cells, &context, &Features::default())
                .map(|(told, file)| (told.rows, file)),
        ]
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .map_err(Failure::output)?
        {
            analysis.files.push(self.file_facts(&file, Some(rows))?);
            files.push(file);
        }
        for picture in self.pictures(&mask)? {
            analysis.files.push(self.file_facts(&picture, None)?);
            files.push(picture);
        }
        account.analysis = Some(analysis);
        let told = dataset.stage(id, &dataset.account(id), &dataset::sealed(&account)?)?;
        let mut inputs = Inputs::new(wsi_reader::files_of_slide(&args.slide));
        inputs.extend(truth::files(&args.cells).unwrap_or_default());
        for file in files.iter().chain([&told]) {
            super::spare(&inputs, file.path())?;
            make(whole_file::folder_of(file.path()))?;
        }
        whole_file::put_in_place(files, vec![told]).map_err(|error| {
            Failure::output(format!("cannot write the dataset: {error}: {}", args.out.display()))
        })?;
        // Empty now.
        let _ = fs::remove_dir(&staging);
        Ok(account)
    }

    /// Pieces of tissue, all of which counts as looked at.
    fn tissue(&self, mask: &TissueMask) -> Vec<Region> {
        tissue_regions(mask, self.scale.mpp, &RegionSettings::default(), slide_key(&self.content))
    }

    fn pictures(&self, mask: &TissueMask) -> anyhow::Result<[whole_file::Staged; 2]> {
        const SIDE_PX: u32 = 720;
        let small = Overview::whole(self.slide.as_ref(), SIDE_PX).pixels;
        let size = (mask.width() as usize, mask.height() as usize);
        let tissue = Tissue { size, mask: mask.bits(), seen: None };
        Ok(stage_pictures(&self.dataset, &self.id, &small, &tissue, SIDE_PX as usize)?)
    }

    fn account(&self, args: &args::Import, taken: &TakenOver) -> anyhow::Result<RunAccount> {
        let sha256 = if args.cells.is_file() {
            let hashed = sha256_of(&args.cells).map_err(|error| {
                Failure::input(format!("cannot read the cells: {error}: {}", args.cells.display()))
            })?;
            hashed.1
        } else {
            String::new()
        };
        let settings: BTreeMap<String, String> = [
            ("slide_content", self.content.clone()),
            ("mpp", self.scale.mpp.get().to_string()),
            ("cells_sha256", sha256.clone()),
            ("scale", args.scale.to_string()),
            ("frame", args.frame.map_or_else(String::new, |frame| format!("{frame:?}"))),
            ("radius_um", args.radius_um.map_or_else(String::new, |radius| radius.to_string())),
            ("nuclei", args.nuclei.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let fingerprint = hex(&Sha256::digest(serde_json::to_vec(&settings)?));
        Ok(RunAccount {
            slide: self.id.clone(),
            outcome: Outcome::Done,
            reason: None,
            slidemill: env!("CARGO_PKG_VERSION").into(),
            model: ModelFacts { name: args.model.clone(), version: String::new(), sha256 },
            device: "cells of another tool".into(),
            devices: Vec::new(),
            fingerprint,
            settings,
            analysis: None,
            warnings: warnings(taken),
            doubts: Vec::new(),
            copies: 0,
            ended: Some(clock::timestamp()),
            elapsed_secs: 0.0,
        })
    }

    fn analysis(&self, cells: &[Cell], names: &[String], regions: &[Region]) -> Analysis {
        let tissue_mm2 = regions.iter().map(|region| region.area_um2).sum::<f64>() * 1e-6;
        let analysed_mm2 = regions.iter().map(Region::analysed_um2).sum::<f64>() * 1e-6;
        let mut in_tissue: BTreeMap<ClassId, u64> = BTreeMap::new();
        for (class, count) in regions.iter().flat_map(|region| &region.cells) {
            *in_tissue.entry(*class).or_default() += count;
        }
        Analysis {
            slide_px: self.size(),
            mpp: self.scale.mpp.get(),
            mpp_source: self.scale.source.to_string(),
            model_mpp: self.scale.mpp.get(),
            coverage: Coverage { tissue_mm2, analysed_mm2: tissue_mm2, fraction: 1.0, ..Coverage::default() },
            cells: counts(cells.iter().map(|cell| (cell.class, 1)), names),
            by_threshold: by_threshold(cells, names),
            regions: vec![RegionCount {
                kind: TISSUE.to_owned(),
                class_name: None,
                regions: regions.len() as u64,
                area_mm2: tissue_mm2,
                analysed_mm2,
                analysed_tissue_mm2: Some(analysed_mm2),
                cells: counts(in_tissue, names),
            }],
            ..Analysis::default()
        }
    }

    fn provenance(
        &self,
        account: &RunAccount,
        analysis: &Analysis,
    ) -> anyhow::Result<Vec<(String, serde_json::Value)>> {
        let entries = [
            ("slide", serde_json::to_value(&self.id)),
            ("slidemill", serde_json::to_value(&account.slidemill)),
            ("model", serde_json::to_value(&account.model)),
            ("imported", serde_json::to_value(true)),
            ("mpp", serde_json::to_value(analysis.mpp)),
            ("mpp_source", serde_json::to_value(&analysis.mpp_source)),
            ("settings", serde_json::to_value(&account.settings)),
            ("fingerprint", serde_json::to_value(&account.fingerprint)),
            ("bounds", serde_json::to_value(self.slide.info().bounds)),
            ("coverage", serde_json::to_value(analysis.coverage)),
        ];
        entries.into_iter().map(|(name, value)| Ok((name.to_owned(), value?))).collect()
    }

    fn file_facts(&self, file: &whole_file::Staged, rows: Option<u64>) -> anyhow::Result<FileFacts> {
        let (bytes, sha256) = sha256_of(file.temporary())?;
        let relative = file.path().strip_prefix(self.dataset.root()).context("a file outside the dataset")?;
        let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
        Ok(FileFacts { path: parts.join("/"), rows, bytes, sha256 })
    }
}

/// Notes for the user on cells that were taken over.
fn warnings(taken: &TakenOver) -> Vec<String> {
    let counted = [
        (taken.outside, "objects lie outside the slide and were left out"),
        (taken.no_objects, "crowds and areas nobody annotated were left out"),
        (taken.one_ring, "objects have holes or several parts: of each the largest ring was taken"),
        (taken.without_score, "objects have no score: 1 stands for it"),
    ];
    let told = counted.into_iter().filter(|(count, _)| *count > 0);
    let mut all: Vec<String> = told.map(|(count, what)| format!("{} {what}", grouped(count))).collect();
    all.push(
        "it is not known what of the slide the other tool looked at: all tissue counts as analysed"
            .to_owned(),
    );
    all
}

/// Counts of all classes by name, be they 0.
fn counts(cells: impl IntoIterator<Item = (ClassId, u64)>, names: &[String]) -> BTreeMap<String, u64> {
    let mut all: BTreeMap<String, u64> = names.iter().map(|name| (name.clone(), 0)).collect();
    for (class, count) in cells {
        if let Some(name) = names.get(usize::from(class.0)) {
            *all.entry(name.clone()).or_default() += count;
        }
    }
    all
}

/// Cells with at least a score, in steps of 0.05.
fn by_threshold(cells: &[Cell], names: &[String]) -> Vec<ThresholdCount> {
    const STEPS: u32 = 20;
    let thresholds = (0..STEPS).map(|step| step as f32 / STEPS as f32);
    let by_threshold = thresholds.map(|min_score| {
        let kept = cells.iter().filter(|cell| cell.score.get() >= min_score);
        ThresholdCount { min_score, cells: counts(kept.map(|cell| (cell.class, 1)), names) }
    });
    by_threshold.collect()
}
