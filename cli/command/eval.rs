//! `slidemill eval`: predictions judged by truth.

use std::{io::Write as _, path::Path, sync::Arc};

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use eval::{
    Evaluation, EvaluationSettings,
    bootstrap::BootstrapSettings,
    evaluate,
    evaluation::{Assignment, Mistakes, UnknownImages, mistakes},
    objects::{Detail, ImageId},
};
use parquet::{
    arrow::ArrowWriter,
    file::{metadata::KeyValue, properties::WriterProperties},
};

use crate::{
    annotations::{Reader, failure, file_names},
    args,
    exit::{Exit, Failure},
};

/// Reads both sides, judges, and writes what was asked for.
///
/// # Errors
///
/// A usage failure for settings, an input failure for files, an output failure
/// for what cannot be written.
pub fn eval(args: &args::Eval) -> anyhow::Result<Exit> {
    let settings = settings(args);
    let reader = Reader::new(&args.annotations, detail(&settings))?;
    let truth = reader.read_grouped(&args.truth)?;
    let predictions = reader.read(&args.pred)?;
    if let Some(folder) = &args.mistakes {
        let found = mistakes(truth.clone(), predictions.clone(), &settings).map_err(failure)?;
        write_mistakes(&found, folder)?;
    }
    let found = evaluate(truth, predictions, &settings).map_err(failure)?;
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

/// What is to be kept of shapes: sizes are wanted by more than a distance.
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
    let mut out = std::io::stdout().lock();
    let printed = if json {
        serde_json::to_writer(&mut out, found).map_err(std::io::Error::from).and_then(|()| writeln!(out))
    } else {
        write!(out, "{found}")
    };
    printed.map_err(|error| Failure::output(format!("cannot print the figures: {error}")))
}

/// Every figure in long form, with the settings in the file's metadata.
fn write_parquet(found: &Evaluation, path: &Path) -> anyhow::Result<()> {
    let rows = found.rows();
    let text = |of: &dyn Fn(&eval::evaluation::FigureRow) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
    };
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("class", text(&|row| row.class.as_str()), false),
        ("figure", text(&|row| row.figure), false),
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

/// One file per image, also for those without mistakes.
fn write_mistakes(found: &Mistakes, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| {
        Failure::output(format!("cannot make the folder of mistakes: {error}: {}", folder.display()))
    })?;
    for (name, image) in file_names(&found.truth).into_iter().zip(0..) {
        let path = folder.join(format!("{name}.geojson"));
        whole_file::write(&path, |file| found.write_geojson(ImageId(image), file))
            .and_then(|written| written)
            .map_err(|error| {
                Failure::output(format!("cannot write mistakes: {error}: {}", path.display()))
            })?;
    }
    Ok(())
}
