//! `slidemill eval`: judges predictions by truth.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use dataset::Dataset;
use eval::{
    Evaluation, EvaluationSettings,
    bootstrap::BootstrapSettings,
    evaluate,
    evaluation::{AbsentImages, Assignment, Mistakes, UnknownImages, mistakes},
    objects::{Detail, ImageId},
    truth,
};
use parquet::{
    arrow::ArrowWriter,
    file::{metadata::KeyValue, properties::WriterProperties},
};
use whole_file::Inputs;

use crate::{
    annotations::{Annotated, Reader, failure},
    args,
    exit::{Exit, Failure},
    stdout,
};

/// Number of images named one by one when they were not run.
const NAMED: usize = 10;

/// Reads both sides, judges the predictions, and writes the outputs that were asked for.
///
/// # Errors
///
/// A usage failure for settings, an input failure for files, an output failure
/// for what cannot be written.
pub fn eval(args: &args::Eval) -> anyhow::Result<Exit> {
    let mut settings = settings(args);
    let inputs = inputs(args)?;
    [&args.parquet, &args.html].into_iter().flatten().try_for_each(|path| super::spare(&inputs, path))?;
    let reader = Reader::new(&args.annotations, detail(&settings))?;
    let annotated = reader.read_grouped("truth", &args.truth)?;
    let predictions = reader.read("predictions", &args.pred)?;
    settings.absent_images = args.absent.unwrap_or_else(|| absent_images(&predictions));
    if let Some(folder) = &args.mistakes {
        let found = mistakes(annotated.set.clone(), predictions.set.clone(), &settings).map_err(failure)?;
        write_mistakes(&found, folder, &inputs)?;
    }
    let mut found = evaluate(annotated.set, predictions.set, &settings).map_err(failure)?;
    let notes = annotated.notes.into_iter().chain(predictions.notes).chain(below_the_cells(&args.pred));
    found.notes.splice(0..0, notes);
    name_not_run(&found);
    if let Some(path) = &args.parquet {
        write_parquet(&found, path)?;
    }
    if let Some(path) = &args.html {
        whole_file::write_bytes(path, report::evaluation_page(&found)?.as_bytes()).map_err(|error| {
            Failure::output(format!("cannot write the page: {error}: {}", path.display()))
        })?;
    }
    print(&found, args.json)?;
    Ok(Exit::Done)
}

/// Files that are read and must not be written over.
fn inputs(args: &args::Eval) -> anyhow::Result<Inputs> {
    let mut inputs = Inputs::new(&args.annotations.groups);
    for path in args.truth.iter().chain(&args.pred) {
        inputs.extend(truth::files(path).map_err(failure)?);
    }
    Ok(inputs)
}

/// Says how to judge predictions below the threshold of a run, where its raw detections were kept. No path.
fn below_the_cells(paths: &[PathBuf]) -> Option<String> {
    // What is no dataset has none.
    let floors = paths.iter().filter_map(|path| engine::kept_down_to(&Dataset::at(path)).ok().flatten());
    floors.reduce(f32::max).map(|floor| {
        format!(
            "raw detections down to a score of {floor} were kept: `slidemill merge OUT --into OTHER --min-score {floor}` \
             makes tables of them all, of which AP and curves know all"
        )
    })
}

/// Default for absent images: missed if predictions name no image without objects, as an absent image may
/// have been run.
fn absent_images(predictions: &Annotated) -> AbsentImages {
    if predictions.omits_empty_images { AbsentImages::Missed } else { AbsentImages::LeaveOut }
}

/// Names truth images that were not run, on the terminal only.
fn name_not_run(found: &Evaluation) {
    let outcome = match found.settings.absent_images {
        AbsentImages::LeaveOut => "left out (--absent missed counts it)",
        AbsentImages::Missed => "all missed (--absent skip leaves it out)",
    };
    for name in found.not_run.iter().take(NAMED) {
        errln!("slidemill: truth without predictions, {outcome}: {name}");
    }
    if found.not_run.len() > NAMED {
        errln!("slidemill: and {} more truth images without predictions", found.not_run.len() - NAMED);
    }
}

/// Detail of shapes to be kept: sizes need full shapes, even where the criterion is a distance.
fn detail(settings: &EvaluationSettings) -> Detail {
    match settings.criterion.detail() {
        Detail::Points if !settings.area_ranges.is_empty() => Detail::Full,
        detail => detail,
    }
}

fn settings(args: &args::Eval) -> EvaluationSettings {
    EvaluationSettings {
        criterion: args.criterion,
        min_score: args.min_score,
        assignment: if args.greedy { Assignment::Greedy } else { Assignment::Optimal },
        max_predictions: args.max_predictions,
        area_ranges: args.areas.iter().flat_map(|ranges| ranges.0.clone()).collect(),
        rates_per_image: args.rates_per_image.clone(),
        rates_per_mm2: args.rates_per_mm2.clone(),
        border_px: args.border,
        bootstrap: (args.bootstrap > 0).then(|| BootstrapSettings {
            replicates: args.bootstrap,
            seed: args.seed,
            ..BootstrapSettings::default()
        }),
        unknown_images: if args.skip_unknown { UnknownImages::Skip } else { UnknownImages::Refuse },
        ignore_classes: args.one_class,
        ..EvaluationSettings::default()
    }
}

fn print(found: &Evaluation, json: bool) -> anyhow::Result<()> {
    stdout::print("the figures", |out| {
        if json {
            serde_json::to_writer(&mut *out, found)?;
            writeln!(out)
        } else {
            write!(out, "{found}")
        }
    })
}

/// Writes every figure in long form, with the settings in the file's metadata.
fn write_parquet(found: &Evaluation, path: &Path) -> anyhow::Result<()> {
    let rows = found.rows();
    let classes: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.class)));
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("class", classes, false),
        ("figure", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.figure))), false),
        ("value", Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.value))), false),
        ("low", Arc::new(rows.iter().map(|row| row.low).collect::<Float64Array>()), true),
        ("high", Arc::new(rows.iter().map(|row| row.high).collect::<Float64Array>()), true),
    ])?;
    let about = serde_json::json!({
        "slidemill": env!("CARGO_PKG_VERSION"),
        "settings": found.settings,
        "images": found.images,
        "area_mm2": found.area_mm2,
    });
    let about = KeyValue::new("slidemill_eval".to_owned(), about.to_string());
    let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![about])).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    whole_file::write_bytes(path, &bytes)
        .map_err(|error| Failure::output(format!("cannot write the figures: {error}: {}", path.display())))
}

/// Writes one file per image, also for images without mistakes.
fn write_mistakes(found: &Mistakes, folder: &Path, inputs: &Inputs) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| {
        Failure::output(format!("cannot make the folder of mistakes: {error}: {}", folder.display()))
    })?;
    for (name, image) in found.truth.file_names().into_iter().zip(0..) {
        let path = folder.join(format!("{name}.geojson"));
        super::spare(inputs, &path)?;
        whole_file::write(&path, |file| found.write_geojson(ImageId(image), file))
            .and_then(|written| written)
            .map_err(|error| {
                Failure::output(format!("cannot write mistakes: {error}: {}", path.display()))
            })?;
    }
    Ok(())
}
