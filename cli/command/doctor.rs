//! `slidemill doctor`: what a night would stumble over, found before it.

use serde::Serialize;
use tiler::{Plan, PlanCost, TissueMask, TissueSettings};
use wsi_reader::{
    Slide,
    doctor::{CheckOptions, Checkup, check},
};

use crate::{
    args, bundled,
    exit::Exit,
    job::{SlideEntry, slides_in},
    prepare::plan_settings_for,
    progress::{counted, grouped},
    settings::{RunOptions, Settings, usable_threads},
};

/// What was found on one slide.
#[derive(Serialize)]
struct Finding {
    /// As given. For the person at the terminal: it may name a patient.
    path: String,
    /// Why it cannot be analysed; absent when it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mpp: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<PlanCost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkup: Option<Checkup>,
}

/// Checks slides and prints what is wrong with each.
///
/// # Errors
///
/// A usage failure when no slide is given.
pub fn doctor(args: &args::Doctor) -> anyhow::Result<Exit> {
    let slides = slides_in(&args.slides)?;
    let threads = args.threads.unwrap_or_else(usable_threads);
    let options = if args.quick { CheckOptions::quick(threads) } else { CheckOptions::full(threads) };
    let mut findings = Vec::new();
    for entry in &slides {
        let finding = examine(entry, &options);
        if !args.json {
            print!("{}", describe(entry, &finding));
        }
        findings.push(finding);
    }
    let bad = findings.iter().filter(|finding| finding.problem.is_some()).count();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        print!("{}", total(&findings, bad));
    }
    Ok(if bad > 0 { Exit::Incomplete } else { Exit::Done })
}

fn examine(entry: &SlideEntry, options: &CheckOptions) -> Finding {
    let mut finding = Finding {
        path: entry.path.display().to_string(),
        problem: None,
        warnings: Vec::new(),
        mpp: None,
        plan: None,
        checkup: None,
    };
    match wsi_reader::open(&entry.path) {
        Ok(slide) => look_inside(entry, slide.as_ref(), options, &mut finding),
        Err(error) => finding.problem = Some(error.to_string()),
    }
    finding
}

fn look_inside(entry: &SlideEntry, slide: &dyn Slide, options: &CheckOptions, finding: &mut Finding) {
    let checkup = check(slide, options, &|_, _| {});
    finding.warnings = warnings(&checkup);
    match wsi_reader::resolve_scale(slide.info(), entry.mpp.map(wsi_types::Mpp::get)) {
        Ok(scale) => {
            finding.mpp = Some(scale.mpp.get());
            match plan(slide, scale.mpp) {
                Ok((cost, notes)) => {
                    finding.plan = Some(cost);
                    finding.warnings.extend(notes);
                }
                Err(error) => finding.problem = Some(format!("{error:#}")),
            }
        }
        Err(problem) => finding.problem = Some(format!("{problem}; a run needs --mpp")),
    }
    if checkup.unreadable() > 0 && finding.problem.is_none() {
        let first = checkup.levels.iter().flat_map(|level| &level.faults).next();
        let first = first.map_or_else(String::new, |fault| {
            let tile = fault.tile;
            format!(
                ", the first at column {} row {} of level {}: {}",
                tile.column, tile.row, tile.level.0, fault.reason
            )
        });
        finding.problem = Some(format!("{} cannot be read{first}", counted(checkup.unreadable(), "tile")));
    }
    finding.checkup = Some(checkup);
}

fn plan(slide: &dyn Slide, mpp: wsi_types::Mpp) -> anyhow::Result<(PlanCost, Vec<String>)> {
    let settings = Settings::new(RunOptions::default())?;
    let manifest = bundled::manifest(&settings)?;
    let mask = TissueMask::compute(slide, Some(mpp), &TissueSettings::default())?;
    let plan_settings = plan_settings_for(&settings, &manifest, manifest.mpp.unwrap_or(mpp));
    let plan = Plan::new(&slide.info().pyramid, mpp, &mask, &plan_settings)?;
    Ok((plan.cost(), mask.notes().iter().map(ToString::to_string).collect()))
}

fn warnings(checkup: &Checkup) -> Vec<String> {
    let look = &checkup.look;
    let mut warnings = Vec::new();
    if checkup.damaged() > 0 {
        warnings
            .push(format!("{} show damage; their pixels may be wrong", counted(checkup.damaged(), "tile")));
    }
    if look.is_blurred() {
        warnings.push("the tissue is out of focus".into());
    }
    if look.pen_share > 0.01 {
        warnings.push(format!("pen marks on {:.0} % of the slide", look.pen_share * 100.0));
    }
    warnings
}

fn describe(entry: &SlideEntry, finding: &Finding) -> String {
    let verdict = match (&finding.problem, finding.warnings.is_empty()) {
        (Some(_), _) => "BAD ",
        (None, false) => "note",
        (None, true) => "ok  ",
    };
    let mut facts = Vec::new();
    facts.extend(finding.mpp.map(|mpp| format!("{mpp:.4} µm/px")));
    facts.extend(finding.plan.map(|plan| {
        format!("{:.2} mm² of tissue, {}", plan.tissue_mm2, counted(plan.windows as usize, "window"))
    }));
    if let Some(checkup) = &finding.checkup {
        let checked: u64 = checkup.levels.iter().map(|level| level.checked).sum();
        facts.push(format!("{} tiles read", grouped(checked)));
    }
    let mut text = format!(
        "{verdict}  {}{}{}\n",
        entry.path.display(),
        if facts.is_empty() { "" } else { ": " },
        facts.join(", ")
    );
    for line in finding.problem.iter().chain(&finding.warnings) {
        text += &format!("      {line}\n");
    }
    text
}

fn total(findings: &[Finding], bad: usize) -> String {
    let windows: u64 = findings.iter().filter_map(|finding| finding.plan).map(|plan| plan.windows).sum();
    let tissue: f64 = findings.iter().filter_map(|finding| finding.plan).map(|plan| plan.tissue_mm2).sum();
    format!(
        "{}, {bad} bad; a run with the bundled model: {}, {tissue:.1} mm² of tissue\n",
        counted(findings.len(), "slide"),
        counted(windows as usize, "window"),
    )
}
