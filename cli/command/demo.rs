//! `slidemill demo`: a painted slide through the very path any slide takes.

use std::path::Path;

use anyhow::Context as _;
use dataset::{
    CellRow, Dataset, RunAccount, SeenTissue, read_cells,
    wording::{counted, signed, span},
};
use engine::RunOptions;
use painted::{PaintSettings, Score, Truth};
use report::draw::{self, Ground, Montage, PictureFile};
use wsi_types::RgbBuffer;

use crate::{
    args,
    exit::{Exit, Failure},
    run,
};

/// Paints a slide, runs it, and compares what was found with what was painted.
///
/// # Errors
///
/// When a stage fails as a whole.
pub fn demo(args: &args::Demo) -> anyhow::Result<Exit> {
    std::fs::create_dir_all(&args.out).map_err(|error| {
        Failure::output(format!("cannot make the demo folder: {error}: {}", args.out.display()))
    })?;
    let path = args.out.join("painted.tif");
    let clock = std::time::Instant::now();
    errln!("Painting a slide …");
    let truth = painted::paint_slide(&path, &PaintSettings { seed: args.seed, ..PaintSettings::default() })?;
    truth.write_csv(&args.out.join("painted.csv"))?;
    errln!("Painted {} in {}.", counted(truth.cells.len(), "cell"), span(clock.elapsed().as_secs_f64()));

    let dataset = Dataset::at(args.out.join("results"));
    let exit = run::run(args::Run {
        correct_columns: false,
        shard: None,
        slab: None,
        slides: vec![path.clone()],
        out: dataset.root().to_owned(),
        config: None,
        redo: true,
        strict: false,
        json_logs: false,
        measure: None,
        within: args::Within::default(),
        options: args::AllOptions(RunOptions { threads: args.threads, ..RunOptions::default() }),
    })?;
    if exit != Exit::Done {
        return Ok(exit);
    }

    let account = dataset.accounts()?.into_iter().next().context("the run left no account")?;
    let account = RunAccount::read(&account)?;
    let table = dataset.cells(&account.slide);
    let cells = read_cells(&table)?;
    let centres: Vec<_> = cells.iter().map(|cell| cell.centroid).collect();
    outln!("\n{}", describe(&painted::score(&truth, &centres)?))?;

    let picture = args.out.join("demo.png");
    let analysis = account.analysis.context("the run left no results")?;
    let seen = SeenTissue::read(&dataset.coverage(&account.slide))?;
    let ground = Ground::from_coverage(&seen, analysis.slide_px);
    PictureFile::new(picture.clone())?.write(&draw_found(&path, &truth, &cells, &ground)?)?;

    outln!("slide     {}", path.display())?;
    outln!("cells     {}", table.display())?;
    outln!("picture   {}", picture.display())?;
    outln!("to open   python: polars.read_parquet({:?})", table.display().to_string())?;
    outln!("          or geopandas.read_parquet, duckdb, pyarrow: the file is GeoParquet")?;
    Ok(Exit::Done)
}

/// Found against painted, as a small table.
fn describe(score: &Score) -> String {
    let mut text = format!(
        "{:<26}{:>8}{:>8}{:>11}{:>9}{:>14}\n",
        "", "painted", "found", "precision", "recall", "count error"
    );
    for (name, tally) in
        [("all cells", score.all), ("on seams of windows", score.on_seams), ("elsewhere", score.off_seams)]
    {
        let count =
            tally.count_error().map_or_else(|| "-".into(), |error| format!("{} %", signed(error * 100.0, 1)));
        text += &format!(
            "{name:<26}{:>8}{:>8}{:>11.3}{:>9.3}{count:>14}\n",
            tally.painted,
            tally.found,
            tally.precision(),
            tally.recall()
        );
    }
    text += &format!("{:<26}{:>8}{:>8}\n", "", "painted", "matched");
    let corners = ("on corners of windows", score.on_corners.0, score.on_corners.1);
    let kinds = score.by_kind.iter().map(|&(kind, painted, matched)| (kind.name(), painted, matched));
    for (name, painted, matched) in std::iter::once(corners).chain(kinds) {
        text += &format!("{name:<26}{painted:>8}{matched:>8}\n");
    }
    text
}

/// Overview with density, and one crop per kind of cell, all with boxes.
fn draw_found(path: &Path, truth: &Truth, cells: &[CellRow], ground: &Ground) -> anyhow::Result<RgbBuffer> {
    let slide = super::open(path, None)?;
    let boxes: Vec<_> = cells.iter().map(|cell| (cell.bbox, cell.class_id)).collect();
    let crops = truth.places_to_show();
    let what = Montage { cells: &boxes, ground, crops: &crops, class_names: &[], height: 760 };
    Ok(draw::montage(slide.as_ref(), &what))
}
