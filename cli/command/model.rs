//! `slidemill model`: the contract of a model, as slidemill understands it, and its answer to one field.

use std::{collections::BTreeMap, fs, path::Path};

use dataset::{
    hex,
    wording::{counted, fixed, grouped},
};
use detector::{Device, Manifest, Reference, SessionSettings, WindowFault};
use engine::{Engine, RunOptions, Settings, Trial};
use report::draw::{Area, Drawing, Legend, png_bytes};
use sha2::{Digest as _, Sha256};
use whole_file::Inputs;
use wsi_types::{ClassId, Detection, Level0Box, Level0Point, RegionColours, class_colour};

use crate::{
    args,
    exit::{Exit, Failure},
};

/// Prints the contract of a model, or the reason that it cannot be used; with `--try`, shows it one field.
///
/// # Errors
///
/// An input failure when slidemill cannot run the model, read the slide or use the reference; an output failure when a
/// picture cannot be written.
pub fn model(args: &args::Model) -> anyhow::Result<Exit> {
    let report = engine::describe(args.model.as_deref())?;
    outln!("{report}")?;
    if let Some(device) = &args.device {
        tell_placement(args.model.as_deref(), &report.manifest, device)?;
    }
    let Some(slide) = &args.slide else { return Ok(Exit::Done) };
    // Before the slide is read.
    let reference = args.reference.as_deref().map(read_reference).transpose()?;
    spare_inputs(args, slide)?;
    for assumed in &report.assumed {
        outln!("assumed        {assumed}")?;
    }
    let engine = Engine::open(&settings(args)?)?;
    let trial = engine.try_field(slide.as_path(), args.at.map(|place| place.0))?;
    tell_field(&trial)?;
    let classes = Classes(&report.manifest);
    let answered = match &trial.result.outcome {
        Ok(detections) => draw(args, &trial, detections, &classes)?,
        Err(fault) => refuse(fault)?,
    };
    if let Some(field) = &args.field {
        write_field(field, &trial)?;
    }
    match reference {
        Some(reference) => compare(&reference, &trial, &report.manifest),
        None => Ok(answered),
    }
}

/// The settings of a run with this model, as far as they decide what the model is shown.
fn settings(args: &args::Model) -> anyhow::Result<Settings> {
    let options = RunOptions {
        model: args.model.clone(),
        device: args.device.as_ref().map(Device::to_string),
        window: args.window,
        mpp: args.mpp,
        ..RunOptions::default()
    };
    Ok(Settings::new(options)?)
}

/// Says where the nodes of the model run on each of some devices.
fn tell_placement(model: Option<&Path>, manifest: &Manifest, device: &Device) -> anyhow::Result<()> {
    /// Of a window of a model that takes any size, px.
    const SIDE: u64 = 640;
    let [width, height] = [&manifest.input.width, &manifest.input.height].map(|side| {
        side.fixed().unwrap_or_else(|| SIDE.next_multiple_of(u64::from(manifest.stride.max(1)))) as usize
    });
    let session = SessionSettings { window: (width, height), batch: 1, ..SessionSettings::default() };
    let mut each = device.each();
    each.dedup();
    for device in each {
        let placement = engine::placement(model, &device, &session)?;
        for provider in &placement.providers {
            outln!(
                "runs on        {}: {} of {} nodes, {} % of the time",
                provider.name,
                provider.nodes,
                placement.nodes(),
                fixed(100.0 * placement.share(provider), 0)
            )?;
        }
        if let Some(left) = placement.left_to_the_cpu() {
            let operators = left.operators.iter().map(|(operator, nodes)| format!("{operator} {nodes}"));
            outln!("left to cpu    {}", operators.collect::<Vec<_>>().join(", "))?;
        }
        if let Some(advice) = placement.advice() {
            outln!("note           {advice}")?;
        }
    }
    Ok(())
}

fn spare_inputs(args: &args::Model, slide: &Path) -> anyhow::Result<()> {
    let mut inputs = Inputs::new(wsi_reader::files_of_slide(slide));
    inputs.extend(args.model.iter().chain(&args.reference).cloned());
    let outputs = args.out.iter().map(|out| out.path()).chain(args.field.as_deref());
    outputs.into_iter().try_for_each(|output| super::spare(&inputs, output))
}

fn read_reference(path: &Path) -> anyhow::Result<Reference> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::input(format!("cannot read the reference: {error}: {}", path.display())))?;
    Reference::parse(&text).map_err(|error| Failure::input(format!("{error}: {}", path.display())))
}

/// Says where the field is.
fn tell_field(trial: &Trial) -> anyhow::Result<()> {
    let Level0Box { min, max, .. } = trial.window.level0_box();
    outln!(
        "field          {} × {} px, level-0 px ({}, {}) to ({}, {}), {} % tissue",
        trial.pixels.width(),
        trial.pixels.height(),
        fixed(min.x, 0),
        fixed(min.y, 0),
        fixed(max.x, 0),
        fixed(max.y, 0),
        fixed(trial.tissue * 100.0, 0)
    )?;
    if let Some(stretch) = &trial.stretch {
        outln!("stretched      {stretch}")?;
    }
    Ok(())
}

/// A model's answer that is none fails the trial, though the contract was understood.
fn refuse(fault: &WindowFault) -> anyhow::Result<Exit> {
    Err(Failure::input(format!("the model has no answer to the field: {fault}")))
}

/// Draws the answer, and says it in numbers.
fn draw(
    args: &args::Model,
    trial: &Trial,
    detections: &[Detection],
    classes: &Classes<'_>,
) -> anyhow::Result<Exit> {
    let seen = trial.window.level0_box().intersection(&trial.survey.extent());
    // The picture has the px of the field, or those of the slide where they are fewer.
    let longer = trial.pixels.width().max(trial.pixels.height());
    let mut drawing = Drawing::new(trial.survey.slide.as_ref(), seen, longer);
    if let Some(vector) = &trial.result.embedding {
        outln!("found          a vector of {}", counted(vector.dimensions(), "number"))?;
    }
    let legend = match trial.result.map {
        Some(_) => draw_areas(&mut drawing, trial, classes)?,
        None => draw_objects(&mut drawing, trial, detections, classes),
    };
    for (_, text) in &legend {
        outln!("found          {text}")?;
    }
    if trial.result.is_full {
        outln!("note           the model gave as many answers as it can: objects may be missing")?;
    }
    if let Some(out) = &args.out {
        out.write(&drawing.finish(&legend))?;
        outln!("picture        {}", out.path().display())?;
    }
    Ok(Exit::Done)
}

fn draw_areas(drawing: &mut Drawing, trial: &Trial, classes: &Classes<'_>) -> anyhow::Result<Vec<Legend>> {
    const VEIL: f64 = 0.38;
    let areas = trial.areas()?;
    let colours = classes.region_colours();
    let mut found: BTreeMap<ClassId, (u64, f64)> = classes.all().map(|class| (class, (0, 0.0))).collect();
    for (class, region) in &areas {
        let (count, um2) = found.entry(*class).or_default();
        *count += 1;
        *um2 += region.area_um2;
        let rings = region.polygon.rings().cloned().collect();
        drawing.area(&Area { rings, colour: colours.get(&classes.name(*class)), veil: VEIL });
    }
    let legend = found.into_iter().map(|(class, (count, um2))| {
        let name = classes.name(class);
        let text = format!("{name}: {}, {} mm²", grouped(count), fixed(um2 * 1e-6, 4));
        (colours.get(&name), text)
    });
    Ok(legend.collect())
}

fn draw_objects(
    drawing: &mut Drawing,
    trial: &Trial,
    detections: &[Detection],
    classes: &Classes<'_>,
) -> Vec<Legend> {
    let mut found: BTreeMap<ClassId, u64> = classes.all().map(|class| (class, 0)).collect();
    for detection in detections {
        let class = ClassId(detection.class.0);
        *found.entry(class).or_default() += 1;
        let bbox = trial.window.placement.transform_box(&detection.bbox.cast());
        let outline: Option<Vec<Level0Point>> = detection.outline.as_deref().map(|ring| {
            ring.iter().map(|point| trial.window.placement.transform_point(point.cast())).collect()
        });
        drawing.cell(bbox, outline.as_deref(), class_colour(class));
    }
    let legend = found
        .into_iter()
        .map(|(class, count)| (class_colour(class), format!("{} {}", classes.name(class), grouped(count))));
    legend.collect()
}

/// The classes of a model, numbered as its own list.
struct Classes<'a>(&'a Manifest);

impl Classes<'_> {
    fn all(&self) -> impl Iterator<Item = ClassId> {
        (0..).map(ClassId).take(self.0.classes.len())
    }

    /// Those of areas of its classes.
    fn region_colours(&self) -> RegionColours {
        RegionColours::new(self.0.classes.iter().map(|class| class.name.as_str()))
    }

    fn name(&self, class: ClassId) -> String {
        let named = self.0.classes.get(usize::from(class.0));
        named.map_or_else(|| format!("class {}", class.0), |class| class.name.clone())
    }
}

fn write_field(path: &Path, trial: &Trial) -> anyhow::Result<()> {
    whole_file::write_bytes(path, &png_bytes(&trial.pixels)?)
        .map_err(|error| Failure::output(format!("cannot write the field: {error}: {}", path.display())))?;
    outln!("pixels         {}", path.display())?;
    Ok(())
}

/// Prints the receipt of the comparison. Answers that differ make the command end with the code of bad input.
fn compare(reference: &Reference, trial: &Trial, model: &Manifest) -> anyhow::Result<Exit> {
    let field = hex(&Sha256::digest(trial.pixels.bytes()));
    let parity = reference.compare(&trial.result, model, field).map_err(Failure::input)?;
    if parity.agrees() {
        outln!("parity         agrees: {parity}\n\n{}", parity.to_toml())?;
        return Ok(Exit::Done);
    }
    outln!("parity         DIFFERS: {parity}; expected {}", parity.limits())?;
    Ok(Exit::Incomplete)
}
