//! `slidemill plan`: what a job consists of, and how it falls into parts.

use dataset::{Dataset, Manifest};
use engine::{ByteSize, JobPlan, PlannedSlide, Relisted, RunOptions, find_slides, put_together};

use wsi_reader::Fetched;

use crate::{
    args,
    exit::Exit,
    progress::{counted, fixed, left_out},
    run::agree,
    within::Assigned,
};

/// Writes the plan of a job and shows it.
///
/// # Errors
///
/// A usage failure when slides, options or model cannot be used; an output
/// failure when the plan cannot be written.
pub fn plan(args: args::Plan) -> anyhow::Result<Exit> {
    let file = args.config.as_deref().map(RunOptions::from_file).transpose()?.unwrap_or_default();
    let mut found = find_slides(&args.slides)?;
    let Assigned { mut slides, notes } = args.within.assign(std::mem::take(&mut found.slides))?;
    put_together(&mut slides)?;
    found.slides = slides;
    found.notes.extend(notes);
    let dataset = Dataset::at(&args.out);
    found.notes.extend(agree(&Relisted::find(&dataset, &found.slides)?, args.correct_columns)?);
    super::tell(&found);
    let plan = JobPlan::new(&found.slides, args.options.0.or(file), &dataset)?;
    plan.write(&dataset)?;
    Manifest::write(&dataset)?;
    out!("{}", describe(&plan, args.shards, &args.out.display().to_string()))?;
    let is_bad = plan.slides.iter().any(|slide| slide.problem.is_some());
    Ok(if is_bad { Exit::Incomplete } else { Exit::Done })
}

fn describe(plan: &JobPlan, shards: usize, out: &str) -> String {
    let once: Vec<_> = plan.once().collect();
    let mut text = format!("job       {}{}\n", extent(&once), left_out(plan.copies()));
    text += &from_servers(&once).map_or_else(String::new, |asked| format!("servers   {asked}\n"));
    text += &to_copy(plan, &once).map_or_else(String::new, |copies| format!("copies    {copies}\n"));
    text += &format!("settings  {}\n", plan.settings_sha256);
    text += &format!("windows   {}\n", windows(plan));
    if let Some(pixels) = plan.settings.get("model_pixels").filter(|pixels| pixels.contains("percentiles")) {
        text += &format!("pixels    {pixels}, found once for each slide\n");
    }
    for slide in &plan.slides {
        if let Some(problem) = &slide.problem {
            text += &format!("WILL FAIL {}: {problem}\n", wsi_reader::without_secrets(&slide.path).display());
        }
    }
    let part_of = plan.parts(shards);
    for shard in 0..shards {
        let mine: Vec<_> = once.iter().copied().filter(|planned| part_of[&planned.slide] == shard).collect();
        text += &format!("{:<10}{}\n", format!("{}/{shards}", shard + 1), extent(&mine));
    }
    text += &format!("to run    slidemill run -o {out} --shard 1/{shards}\n");
    text += &format!(
        "          in a Slurm array: slidemill run -o {out} --shard $SLURM_ARRAY_TASK_ID/{shards}\n"
    );
    text += &format!("then      slidemill gather {out}\n");
    text
}

/// The sides of windows, and who decided.
fn windows(plan: &JobPlan) -> String {
    let sides = plan.settings.get("window_px").unwrap_or("?");
    let is_models = plan.options.window.is_none() && sides != "2048";
    let why = if is_models { ", the size the model takes" } else { "" };
    format!("{} px{why}", sides.replace('+', " and "))
}

fn extent(slides: &[&PlannedSlide]) -> String {
    let area: f64 = slides.iter().map(|slide| slide.area_mm2).sum();
    let known: Vec<u64> = slides.iter().filter_map(|slide| slide.bytes).collect();
    let bytes = match slides.len() - known.len() {
        0 => ByteSize(known.iter().sum()).to_string(),
        _ if known.is_empty() => "size unknown".to_owned(),
        unknown => format!("{} and {unknown} of unknown size", ByteSize(known.iter().sum())),
    };
    format!("{}, {} mm², {bytes}", counted(slides.len(), "slide"), fixed(area, 1))
}

/// What a run will ask servers for; `None` if all slides lie on disks.
fn from_servers(slides: &[&PlannedSlide]) -> Option<String> {
    let remote: Vec<_> = slides.iter().filter(|slide| slide.is_on_server()).collect();
    let known: Vec<Fetched> = remote.iter().filter_map(|slide| slide.from_server).collect();
    let asked = format!("a run asks for {}", about(known.iter().copied().sum()));
    match remote.len() - known.len() {
        _ if remote.is_empty() => None,
        0 => Some(asked),
        unknown if known.is_empty() => {
            Some(format!("what a run asks for {} is unknown", counted(unknown, "slide")))
        }
        unknown => Some(format!("{asked}, and what is unknown for {}", counted(unknown, "slide"))),
    }
}

/// What a run will copy before it reads it; `None` without a folder for that.
fn to_copy(plan: &JobPlan, slides: &[&PlannedSlide]) -> Option<String> {
    let folder = plan.options.stage.as_ref()?;
    let bytes: Vec<u64> = slides.iter().filter_map(|slide| slide.to_copy).collect();
    let largest = bytes.iter().max().copied().unwrap_or_default();
    Some(format!(
        "{} of {} to {}, the largest {}",
        ByteSize(bytes.iter().sum()),
        counted(bytes.len(), "slide"),
        folder.display(),
        ByteSize(largest)
    ))
}

/// What will be fetched, in words. Bytes that are there already break requests into smaller ones, so that they are more.
pub(super) fn about(Fetched { requests, bytes }: Fetched) -> String {
    format!("about {} in {} or more", ByteSize(bytes), counted(requests as usize, "request"))
}
