//! `slidemill dataset`: annotated slides and pictures into a data set to train on.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use engine::{SlideEntry, slides_in};
use eval::{
    EvaluationSettings,
    align::align,
    evaluation::{UnknownImages, mistakes},
    names::{for_spreadsheet, shortest_unlike},
    objects::{Detail, Image, ImageId, Object, ObjectSet},
    training_set::{
        Split, SplitMethod, SplitSettings, Tile, TrainingSet, TrainingSettings, hard_negatives,
        plan_training_set, yolo,
    },
};
use rayon::prelude::*;
use wsi_reader::GivenScale;
use wsi_types::{Mpp, RgbBuffer};

use crate::{
    annotations::{Reader, failure, picture_name},
    args,
    draw::{self, SheetTile},
    exit::{Exit, Failure},
    new_folder::NewFolder,
    progress::counted,
    stdout,
};

/// Grey of letterboxing, which models know (Ultralytics' 114).
const PAINTED_OVER: [u8; 3] = [114; 3];
/// Tiles in the overview picture.
const SHOWN: usize = 12;
/// Longest list of hard negatives.
const HARD: usize = 1000;

/// Plans the tiles, cuts them, and writes the data set.
///
/// # Errors
///
/// A usage failure for settings, an input failure for files, an output failure
/// for what cannot be written.
pub fn dataset(args: &args::TrainingSet) -> anyhow::Result<Exit> {
    let out = NewFolder::at(&args.out)?;
    let settings = settings(args)?;
    let reader = Reader::new(&args.annotations, Detail::Full)?;
    let (set, paths) = annotated(args, &reader)?;
    refuse_enlarging(&set, &settings)?;
    let wrong = false_marks(args, &reader, &set)?;
    let mut dataset = plan_training_set(set, &settings, &wrong).map_err(failure)?;
    let unreadable = cut(&mut dataset, &paths, args.keep_unlabelled, &out)?;
    write_lists(&dataset, &paths, args.keep_unlabelled, &out)?;
    if args.hard_negatives.is_some() {
        let hard = hard_negatives(&dataset, &wrong, HARD);
        let lines: String =
            hard.iter().map(|&tile| format!("{}\n", picture_of(&dataset.tiles[tile]))).collect();
        out.write("hard-negatives.txt", lines.as_bytes())?;
    }
    out.finish()?;
    stdout::print("the data set", |stdout| {
        let (yaml, overview) = (args.out.join("data.yaml"), args.out.join("overview.png"));
        write!(stdout, "{dataset}")?;
        writeln!(stdout, "\ndata set  {}\nlook at   {}", yaml.display(), overview.display())
    })?;
    Ok(if unreadable { Exit::Incomplete } else { Exit::Done })
}

fn settings(args: &args::TrainingSet) -> anyhow::Result<TrainingSettings> {
    let &[train, val, test] = args.split.as_slice() else {
        return Err(Failure::usage(format!(
            "--split has {}, expected three shares such as 0.8,0.2,0",
            counted(args.split.len(), "share")
        )));
    };
    Ok(TrainingSettings {
        task: args.task,
        mpp: args.tile_mpp,
        tile_px: args.tile,
        overlap_px: args.overlap,
        border: args.border,
        dot_um: args.dot_um,
        split: SplitSettings {
            train,
            val,
            test,
            method: if args.balanced { SplitMethod::Balanced } else { SplitMethod::Hash },
            seed: args.seed,
            groups: args.group_by.unwrap_or_default(),
        },
        empty_per_full: args.empty,
        weight_cap: args.weight_cap,
    })
}

/// Images that have annotations, with their objects and paths.
fn annotated(args: &args::TrainingSet, reader: &Reader) -> anyhow::Result<(ObjectSet, Vec<PathBuf>)> {
    let truth = reader.read("truth", &args.truth)?;
    truth.notes.iter().for_each(|note| errln!("slidemill: {note}"));
    let truth = truth.set;
    let mpp = args.annotations.mpp.map(Mpp::new).transpose();
    let mpp = mpp.map_err(|error| Failure::usage(format!("--mpp: {error}")))?;
    let (mut images, mut paths) = (Vec::new(), Vec::new());
    for entry in pictures(&args.images)? {
        images.push(image(&entry, mpp)?);
        paths.push(entry.path);
    }
    let mut all = ObjectSet { images: images.clone(), ..ObjectSet::default() };
    let found = align(&mut all, truth.clone()).map_err(failure)?;
    if !found.unknown_images.is_empty() {
        let what = counted(found.unknown_images.len(), "annotated image");
        errln!("slidemill: {what} without a picture, left out; the first: {}", found.unknown_images[0]);
    }
    let mut present = found.present.iter().copied();
    paths.retain(|_| present.next().unwrap_or(false));
    let mut present = found.present.iter().copied();
    images.retain(|_| present.next().unwrap_or(false));
    if images.is_empty() {
        return Err(Failure::input("no annotation names any of the images, so there is nothing to learn"));
    }
    if images.len() < found.present.len() {
        let what = counted(found.present.len() - images.len(), "image");
        errln!("slidemill: {what} without annotations, left out");
    }
    let mut set = ObjectSet { images, ..ObjectSet::default() };
    let mut set = align(&mut set, truth).map_err(failure)?.set;
    reader.group(&mut set)?;
    Ok((set, paths))
}

/// Slides, as all commands find them; of folders also plain pictures.
fn pictures(inputs: &[PathBuf]) -> anyhow::Result<Vec<SlideEntry>> {
    let mut expanded = Vec::new();
    for input in inputs {
        if input.is_dir() {
            let found = wsi_reader::find_slides(input).map_err(|error| {
                Failure::usage(format!("cannot list folder: {error}: {}", input.display()))
            })?;
            expanded.extend(found.pictures.into_iter().filter(|path| !is_label_map(path)));
            expanded.extend(found.slides);
        } else {
            expanded.push(input.clone());
        }
    }
    if expanded.is_empty() {
        let typed: Vec<_> = inputs.iter().map(|path| path.display().to_string()).collect();
        return Err(Failure::usage(format!("no slide or picture found in {}", typed.join(", "))));
    }
    Ok(slides_in(&expanded)?)
}

/// `true` for pictures whose names say that they are labels of others.
fn is_label_map(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    name.contains("label") || name.contains("mask")
}

/// Facts of an image that are known without its pixels.
fn image(entry: &SlideEntry, mpp: Option<Mpp>) -> anyhow::Result<Image> {
    let slide = super::open(&entry.path, None)?;
    let base = slide.info().pyramid.base();
    let given = GivenScale { otherwise: entry.mpp.or(mpp), instead: entry.override_mpp };
    Ok(Image {
        name: picture_name(&entry.path),
        size: Some((f64::from(base.width()), f64::from(base.height()))),
        mpp: wsi_reader::resolve_scale(slide.info(), given).ok().map(|scale| scale.mpp),
        ..Image::default()
    })
}

/// Refuses tiles sharper than an image: detail that was never scanned cannot be taught.
fn refuse_enlarging(set: &ObjectSet, settings: &TrainingSettings) -> anyhow::Result<()> {
    let Some(wanted) = settings.mpp else { return Ok(()) };
    match set.images.iter().find(|image| image.mpp.is_some_and(|own| own.get() > wanted * 1.01)) {
        Some(image) => Err(Failure::usage(format!(
            "--tile-mpp is {wanted}, and an image has only {:.4} µm/px, so it would be enlarged: {}",
            image.mpp.map_or(f64::NAN, Mpp::get),
            image.name
        ))),
        None => Ok(()),
    }
}

/// False predictions of an earlier model; empty if no predictions are given.
fn false_marks(args: &args::TrainingSet, reader: &Reader, set: &ObjectSet) -> anyhow::Result<Vec<Object>> {
    let Some(path) = &args.hard_negatives else { return Ok(Vec::new()) };
    let predictions = reader.read("hard negatives", std::slice::from_ref(path))?.set;
    let settings = EvaluationSettings {
        criterion: args.criterion,
        min_score: 0.0,
        bootstrap: None,
        ignore_classes: true,
        unknown_images: UnknownImages::Skip,
        ..EvaluationSettings::default()
    };
    Ok(mistakes(set.clone(), predictions, &settings).map_err(failure)?.false_marks)
}

/// Writes pictures and label files. Leaves out tiles whose pixels cannot be read, and notes their number;
/// `true` if there are any.
fn cut(
    dataset: &mut TrainingSet,
    paths: &[PathBuf],
    keep_unlabelled: bool,
    out: &NewFolder,
) -> anyhow::Result<bool> {
    let unreadable: Vec<BTreeSet<usize>> = (paths.par_iter().enumerate())
        .map(|(place, path)| cut_image(dataset, ImageId(place as u32), path, keep_unlabelled, out))
        .collect::<anyhow::Result<_>>()?;
    let unreadable: BTreeSet<usize> = unreadable.into_iter().flatten().collect();
    let mut place = 0..;
    dataset.tiles.retain(|_| place.next().is_none_or(|place| !unreadable.contains(&place)));
    if !unreadable.is_empty() {
        dataset
            .notes
            .push(format!("{} could not be read; the table counts them", counted(unreadable.len(), "tile")));
    }
    Ok(!unreadable.is_empty())
}

/// Cuts the tiles of one image; returns the places of those that cannot be read. Tiles are sorted by image.
fn cut_image(
    dataset: &TrainingSet,
    image: ImageId,
    path: &Path,
    keep_unlabelled: bool,
    out: &NewFolder,
) -> anyhow::Result<BTreeSet<usize>> {
    let side = dataset.settings.tile_px;
    let slide = super::open(path, None)?;
    let from = dataset.tiles.partition_point(|tile| tile.image < image);
    let to = dataset.tiles.partition_point(|tile| tile.image <= image);
    let mut unreadable = BTreeSet::new();
    for (at, tile) in (from..to).zip(&dataset.tiles[from..to]) {
        let pixels = match pixels_of(tile, slide.as_ref(), side, keep_unlabelled) {
            Ok(pixels) => pixels,
            Err(error) => {
                errln!("slidemill: tile {} is left out: {error}: {}", tile.name, path.display());
                unreadable.insert(at);
                continue;
            }
        };
        out.write(&picture_of(tile), &draw::png_bytes(&pixels)?)?;
        let labels = format!("labels/{}/{}.txt", tile.split, tile.name);
        out.write(&labels, yolo::label_text(tile, side).as_bytes())?;
    }
    Ok(unreadable)
}

fn pixels_of(
    tile: &Tile,
    slide: &dyn wsi_reader::Slide,
    side: u32,
    keep_unlabelled: bool,
) -> Result<RgbBuffer, wsi_reader::ReadError> {
    let mut pixels = draw::read_area(slide, tile.area, side)?;
    let hidden = tile.hidden.iter().filter(|_| !keep_unlabelled);
    hidden.for_each(|ring| draw::fill_ring(&mut pixels, &places(ring), PAINTED_OVER));
    Ok(pixels)
}

fn picture_of(tile: &Tile) -> String {
    format!("images/{}/{}.png", tile.split, tile.name)
}

fn places(ring: &eval::training_set::TileRing) -> Vec<(f64, f64)> {
    ring.iter().map(|point| (point.x, point.y)).collect()
}

fn write_lists(
    dataset: &TrainingSet,
    paths: &[PathBuf],
    keep_unlabelled: bool,
    out: &NewFolder,
) -> anyhow::Result<()> {
    out.write("data.yaml", yolo::data_yaml(dataset).as_bytes())?;
    out.write("dataset.json", &serde_json::to_vec_pretty(dataset)?)?;
    out.write("tiles.csv", &tiles_csv(dataset, paths)?)?;
    let oversampled = dataset.oversampled(Split::Train).fold(String::new(), |mut lines, name| {
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "./images/{}/{name}.png", Split::Train);
        lines
    });
    out.write("train-oversampled.txt", oversampled.as_bytes())?;
    out.write("overview.png", &draw::png_bytes(&overview(dataset, paths, keep_unlabelled)?)?)?;
    Ok(())
}

/// Place of each tile on level 0 of its image, as CSV.
fn tiles_csv(dataset: &TrainingSet, paths: &[PathBuf]) -> anyhow::Result<Vec<u8>> {
    let names: Vec<String> = paths.iter().map(|path| picture_name(path)).collect();
    // With the names by which `eval` finds them again.
    let names = shortest_unlike(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "tile",
        "split",
        "x_px",
        "y_px",
        "level0_px_per_px",
        "labels",
        "weight",
        "repeats",
        "image",
    ])?;
    for tile in &dataset.tiles {
        writer.write_record([
            tile.name.clone(),
            tile.split.to_string(),
            tile.area.min.x.to_string(),
            tile.area.min.y.to_string(),
            tile.scale.to_string(),
            tile.labels.len().to_string(),
            tile.weight.to_string(),
            tile.repeats.to_string(),
            for_spreadsheet(&names[tile.image.0 as usize]).into_owned(),
        ])?;
    }
    Ok(writer.into_inner()?)
}

/// Picture of at most [`SHOWN`] tiles with their labels, evenly spread over all tiles that have labels.
fn overview(dataset: &TrainingSet, paths: &[PathBuf], keep_unlabelled: bool) -> anyhow::Result<RgbBuffer> {
    let mut tiles: Vec<&Tile> = dataset.tiles.iter().filter(|tile| !tile.labels.is_empty()).collect();
    let step = tiles.len().div_ceil(SHOWN).max(1);
    tiles = tiles.into_iter().step_by(step).collect();
    let shown = |tile: &&Tile| -> anyhow::Result<SheetTile> {
        let slide = super::open(&paths[tile.image.0 as usize], None)?;
        let side = dataset.settings.tile_px;
        let corners = |b: eval::training_set::TileBox| {
            vec![(b.min.x, b.min.y), (b.max.x, b.min.y), (b.max.x, b.max.y), (b.min.x, b.max.y)]
        };
        let ring = |label: &eval::training_set::Label| {
            label.ring.as_ref().map_or_else(|| corners(label.bounds), places)
        };
        let picture = pixels_of(tile, slide.as_ref(), side, keep_unlabelled).map_err(Failure::input)?;
        Ok(SheetTile { picture, rings: tile.labels.iter().map(|label| (ring(label), label.class)).collect() })
    };
    let tiles = tiles.iter().map(shown).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(draw::sheet(&tiles, &dataset.classes))
}
