//! `slidemill doctor`: what a night would stumble over, found before it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use engine::{
    ModelSet, RunOptions, Settings, SlideEntry, copies_among, find_slides, plan_settings, put_together,
};
use serde::Serialize;
use tiler::{
    Examination, PlanCost, Survey, SurveyError, SurveySettings, Tissue, TissueMask, TissueNote, TissueScale,
    WantedStain,
};
use wsi_reader::{
    Slide,
    doctor::{CheckOptions, Checkup, FaultKind, check},
    without_secrets,
};
use wsi_types::{Mpp, TileId};

use crate::{
    args,
    exit::Exit,
    machine,
    progress::{counted, fixed, grouped, left_out, span},
};

/// Seconds one core takes for a window of the bundled model (fp32, 2048 px); see
/// `docs/performance.md`.
const CORE_SECS_PER_WINDOW: f64 = 0.73;
/// Bytes of the cell table per mm² of dense tissue: about 5000 cells of 200 bytes.
const TABLE_BYTES_PER_MM2: f64 = 1e6;
/// Slide names longer than this are cut in the middle.
const MAX_NAME: usize = 48;
/// Letters of a line below a slide.
const DETAIL_WIDTH: usize = 90;

/// Findings on one slide.
#[derive(Serialize, Default)]
struct Finding {
    /// As given. For the person at the terminal: it may name a patient.
    path: String,
    /// The slide that it is a copy of, byte by byte; a run leaves it out, so it was not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    copy_of: Option<String>,
    /// Why it cannot be analysed; absent when it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    warnings: Vec<String>,
    /// Why results would be to be doubted.
    doubts: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mpp: Option<f64>,
    /// The scale that the nuclei tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    tissue_scale: Option<TissueScale>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<PlanCost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkup: Option<Checkup>,
}

/// Checks slides and prints what is wrong with each.
///
/// # Errors
///
/// A usage failure when no slide is given, or of one slide two things are said.
pub fn doctor(args: &args::Doctor) -> anyhow::Result<Exit> {
    let given = RunOptions {
        mpp: args.mpp,
        override_mpp: args.override_mpp,
        map_range: args.map_range,
        stains: Some(args.stains),
        ..RunOptions::default()
    };
    let settings = Settings::on(&machine(), given)?;
    let models = settings.models()?;
    let found = find_slides(&args.slides)?;
    super::tell(&found);
    let mut slides = found.slides;
    put_together(&mut slides)?;
    let threads = args.threads.unwrap_or_else(|| machine().threads);
    let options = if args.quick { CheckOptions::quick(threads) } else { CheckOptions::full(threads) };
    let table = Table::new(&slides);
    if !args.json {
        out!("{}", table.head())?;
    }
    let mut findings = Vec::new();
    for (entry, twin) in slides.iter().zip(copies_among(&slides)) {
        let finding = match twin {
            Some(first) => Finding::copy(entry, &slides[first]),
            None => examine(entry, &settings, &models, &options),
        };
        if !args.json {
            out!("{}", table.row(entry, &finding))?;
        }
        findings.push(finding);
    }
    let bad = findings.iter().filter(|finding| finding.problem.is_some()).count();
    if args.json {
        outln!("{}", serde_json::to_string_pretty(&findings)?)?;
    } else {
        out!("{}", total(&findings, threads))?;
    }
    Ok(if bad > 0 { Exit::Incomplete } else { Exit::Done })
}

fn examine(entry: &SlideEntry, settings: &Settings, models: &ModelSet, options: &CheckOptions) -> Finding {
    let mut finding = Finding { path: entry.typed(), ..Finding::default() };
    match entry.open(settings.map_range) {
        Ok(slide) => {
            let wanted = plan_settings(settings, models, entry.given_scale(settings));
            look_inside(slide, &wanted, options, &mut finding);
        }
        Err(error) => finding.problem = Some(error.to_string()),
    }
    finding
}

fn look_inside(
    slide: Arc<dyn Slide>,
    wanted: &SurveySettings,
    options: &CheckOptions,
    finding: &mut Finding,
) {
    let checkup = check(slide.as_ref(), options, &|_, _| {});
    finding.warnings = warnings(&checkup);
    finding.warnings.extend(slide.info().remarks.iter().cloned());
    if let Some(mapping) = slide.info().mapping {
        finding.warnings.push(format!("mapped to 8 bits from {mapping}, as stated"));
    }
    finding.warnings.extend(wanted.scale.note(slide.info()));
    match Survey::new(Arc::clone(&slide), wanted) {
        Ok(survey) => {
            finding.mpp = Some(survey.scale.mpp.get());
            finding.warnings.extend(notes(&survey.mask));
            finding.plan = Some(survey.plans[0].cost());
            finding.examined(&survey.examination, Some(survey.scale.mpp), wanted.wanted_stain);
        }
        Err(SurveyError::Plan { tissue, source }) => {
            let scale = wanted.scale_of(slide.as_ref()).ok();
            finding.mpp = scale.as_ref().map(|scale| scale.mpp.get());
            finding.warnings.extend(notes(&tissue.mask));
            let mpp = scale.map(|scale| scale.mpp);
            finding.examined(&tissue.examine(slide.as_ref()), mpp, wanted.wanted_stain);
            finding.problem = Some(source.to_string());
        }
        Err(error @ SurveyError::Interest(_)) => finding.problem = Some(error.to_string()),
        Err(error @ (SurveyError::Scale(_) | SurveyError::NoEstimate { .. })) => {
            // Its tissue can be looked at without a scale.
            let slide = wsi_reader::with_reduced_levels(slide);
            let tissue = Tissue::find(slide.as_ref(), None, wanted.tissue.as_ref());
            finding.warnings.extend(notes(&tissue.mask));
            finding.examined(&tissue.examine(slide.as_ref()), None, wanted.wanted_stain);
            let size = finding.tissue_scale.map(|scale| format!("; its nuclei are as large as at {scale}"));
            finding.problem = Some(format!("{error}{}; a run needs --mpp", size.unwrap_or_default()));
        }
    }
    if checkup.unreadable() > 0 && finding.problem.is_none() {
        finding.problem = Some(unreadable(&checkup));
    }
    finding.checkup = Some(checkup);
}

/// Number of tiles that cannot be read, with the place of the first and the reason.
fn unreadable(checkup: &Checkup) -> String {
    let faults = checkup.levels.iter().flat_map(|level| &level.faults);
    let first = faults.filter(|fault| fault.kind == FaultKind::Unreadable).map(|fault| {
        let TileId { level, row, column } = fault.tile;
        format!(", the first at column {column} row {row} of level {}: {}", level.0, fault.reason)
    });
    let first = first.take(1).collect::<String>();
    format!("{} cannot be read{first}", counted(checkup.unreadable(), "tile"))
}

/// A note of the mask, with shares of the slide instead of px of the mask.
fn noted(note: &TissueNote, mask: &TissueMask) -> String {
    match note {
        TissueNote::Ink { px } => {
            let percent = *px as f64 * 100.0 / mask.bits().len().max(1) as f64;
            format!("pen marks on {percent:.1} % of the slide, which a run leaves out")
        }
        note => note.to_string(),
    }
}

fn notes(mask: &TissueMask) -> impl Iterator<Item = String> {
    // That the ground is dark is among the doubts.
    mask.notes().iter().filter(|note| **note != TissueNote::DarkGround).map(|note| noted(note, mask))
}

fn warnings(checkup: &Checkup) -> Vec<String> {
    let mut warnings = Vec::new();
    warnings.extend(absent(checkup));
    if checkup.damaged() > 0 {
        warnings
            .push(format!("{} show damage; their pixels may be wrong", counted(checkup.damaged(), "tile")));
    }
    warnings
}

/// Tiles the file leaves out, which scanners do where there is only glass.
fn absent(checkup: &Checkup) -> Option<String> {
    let absent: u64 = checkup.levels.iter().map(|level| level.absent).sum();
    match (absent, tiles_checked(checkup)) {
        (0, _) => None,
        (absent, checked) if absent == checked => Some("the file holds no pixels, only their places".into()),
        (absent, checked) => Some(format!(
            "the file leaves out {} of {} looked at, which show as background",
            grouped(absent),
            counted(checked as usize, "tile")
        )),
    }
}

/// The findings as lines of one table, printed as they come.
struct Table {
    /// Folder that all paths start with; not repeated on every line.
    folder: PathBuf,
    name_width: usize,
}

impl Table {
    fn new(slides: &[SlideEntry]) -> Self {
        let folder = common_folder(slides);
        let names = slides.iter().map(|entry| shortened(&entry.path, &folder));
        let name_width = names.map(|name| name.chars().count()).max().unwrap_or(0).max("slide".len());
        Self { folder, name_width }
    }

    fn head(&self) -> String {
        let folder = match self.folder.as_os_str().is_empty() {
            true => String::new(),
            false => format!("in {}\n", self.folder.display()),
        };
        let width = self.name_width;
        format!("{folder}       {:width$}   µm/px  tissue mm²  windows     tiles read\n", "slide")
    }

    fn row(&self, entry: &SlideEntry, finding: &Finding) -> String {
        let mpp = finding.mpp.map_or_else(|| "-".into(), |mpp| format!("{mpp:.4}"));
        let tissue = finding.plan.map_or_else(|| "-".into(), |plan| fixed(plan.tissue_mm2, 2));
        let windows = finding.plan.map_or_else(|| "-".into(), |plan| grouped(plan.windows));
        let mut text = format!(
            "{:5}  {:width$}  {mpp:>6}  {tissue:>10}  {windows:>7}  {:>13}\n",
            finding.verdict(),
            shortened(&entry.path, &self.folder),
            finding.checkup.as_ref().map_or_else(|| "-".into(), tiles_read),
            width = self.name_width,
        );
        let copy = finding.copy_of.iter().map(|first| {
            format!(
                "byte by byte the same as {}: a run leaves it out",
                shortened(first.as_ref(), &self.folder)
            )
        });
        let doubts = finding.doubts.iter().map(|doubt| format!("doubtful: {doubt}"));
        for line in
            copy.chain(finding.problem.iter().cloned()).chain(doubts).chain(finding.warnings.iter().cloned())
        {
            text += &detail(&line);
        }
        text
    }
}

/// A line below a slide, broken between words so that a terminal need not.
fn detail(line: &str) -> String {
    let mut text = String::new();
    let mut width = 0;
    for word in line.split(' ') {
        let letters = word.chars().count();
        if width > 0 && width + 1 + letters > DETAIL_WIDTH {
            text += "\n";
            width = 0;
        }
        text += if width == 0 { "      " } else { " " };
        text += word;
        width += letters + usize::from(width > 0);
    }
    text + "\n"
}

impl Finding {
    fn copy(entry: &SlideEntry, first: &SlideEntry) -> Self {
        Self { path: entry.typed(), copy_of: Some(first.typed()), ..Self::default() }
    }

    fn examined(&mut self, examination: &Examination, used: Option<Mpp>, wanted: WantedStain) {
        self.tissue_scale = examination.scale.ok();
        self.doubts = examination.doubts(used, wanted).iter().map(ToString::to_string).collect();
    }

    fn verdict(&self) -> &'static str {
        if self.copy_of.is_some() {
            return "copy";
        }
        match (&self.problem, self.doubts.is_empty(), self.warnings.is_empty()) {
            (Some(_), ..) => "BAD",
            (None, false, _) => "doubt",
            (None, true, false) => "note",
            (None, true, true) => "ok",
        }
    }
}

/// `123`, or `200 of 4 000` where only a sample was read.
fn tiles_read(checkup: &Checkup) -> String {
    let all: u64 = checkup.levels.iter().map(|level| level.tiles).sum();
    match tiles_checked(checkup) {
        checked if checked == all => grouped(all),
        checked => format!("{} of {}", grouped(checked), grouped(all)),
    }
}

fn tiles_checked(checkup: &Checkup) -> u64 {
    checkup.levels.iter().map(|level| level.checked).sum()
}

/// The folder all slides lie in; empty when there is none.
fn common_folder(slides: &[SlideEntry]) -> PathBuf {
    let mut folders = slides.iter().map(|entry| entry.path.parent().unwrap_or(Path::new("")));
    let first = folders.next().unwrap_or(Path::new(""));
    folders.fold(first.to_path_buf(), |common, folder| {
        let shared = common.components().zip(folder.components()).take_while(|(a, b)| a == b);
        shared.map(|(component, _)| component).collect()
    })
}

/// A path below the folder, cut in the middle when it is long.
fn shortened(path: &Path, folder: &Path) -> String {
    let path = without_secrets(path);
    let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= MAX_NAME {
        return name;
    }
    let half = (MAX_NAME - 1) / 2;
    let (start, end) = (&letters[..half], &letters[letters.len() - half..]);
    format!("{}…{}", start.iter().collect::<String>(), end.iter().collect::<String>())
}

fn total(findings: &[Finding], threads: usize) -> String {
    let [good, noted, doubtful, bad, copies] = ["ok", "note", "doubt", "BAD", "copy"]
        .map(|verdict| findings.iter().filter(|finding| finding.verdict() == verdict).count());
    let slides = findings.len() - copies;
    let unopened = slides - findings.iter().filter(|finding| finding.checkup.is_some()).count();
    let unscaled = findings.iter().filter(|f| f.checkup.is_some() && f.mpp.is_none()).count();
    let mut text = format!(
        "\n{}: {good} ok, {noted} with a note, {doubtful} doubtful, {bad} bad ({unopened} cannot be opened, {unscaled} without a scale: --mpp){}\n",
        counted(slides, "slide"),
        left_out(copies),
    );
    let plans = findings.iter().filter(|finding| finding.problem.is_none()).filter_map(|f| f.plan);
    let windows: u64 = plans.clone().map(|plan| plan.windows).sum();
    let tissue: f64 = plans.map(|plan| plan.tissue_mm2).sum();
    if windows > 0 {
        text += &format!(
            "a run of the others with the bundled model: {} mm² of tissue, {}, roughly {} on {} of a \
             CPU and up to {:.0} MB of results\n",
            fixed(tissue, 1),
            counted(windows as usize, "window"),
            span(windows as f64 * CORE_SECS_PER_WINDOW / threads as f64),
            counted(threads, "core"),
            (tissue * TABLE_BYTES_PER_MM2 / 1e6).ceil(),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> SlideEntry {
        SlideEntry::at(path)
    }

    #[test]
    fn what_all_paths_share_is_said_once() {
        let slides = [entry("/data/a/one.svs"), entry("/data/a/b/two.svs"), entry("/data/abc/three.svs")];
        let table = Table::new(&slides);
        assert_eq!(table.folder, Path::new("/data"));
        assert!(table.head().starts_with("in /data\n"));
        assert_eq!(shortened(&slides[1].path, &table.folder), "a/b/two.svs");
        assert_eq!(common_folder(&[entry("one.svs")]), Path::new(""));
    }

    #[test]
    fn long_details_are_broken_between_words() {
        let line = "word ".repeat(40);
        let text = detail(line.trim_end());
        assert!(text.lines().all(|line| line.starts_with("      word") && line.len() <= DETAIL_WIDTH + 6));
        assert_eq!(text.split_whitespace().count(), 40);
        assert_eq!(detail("short"), "      short\n");
        assert_eq!(detail(&"x".repeat(200)).lines().count(), 1);
    }

    #[test]
    fn long_names_keep_their_ends() {
        let name = format!("{}/{}.svs", "x".repeat(40), "y".repeat(40));
        let short = shortened(Path::new(&name), Path::new(""));
        assert_eq!(short.chars().count(), MAX_NAME - 1);
        assert!(short.starts_with("xxx") && short.contains('…') && short.ends_with("yyy.svs"));
    }

    #[test]
    fn a_slide_without_a_scale_is_bad_and_named_in_the_total() {
        let bad = Finding { problem: Some("the file does not say".into()), ..Finding::default() };
        let good = Finding { mpp: Some(0.5), ..Finding::default() };
        let text = total(&[bad, good], 2);
        assert!(text.contains("2 slides: 1 ok, 0 with a note, 0 doubtful, 1 bad"), "{text}");
        assert!(!text.contains("a run of the others"), "nothing to plan: {text}");
    }
}
