//! Models of one's own as a user runs them: class maps become areas with holes, and one field tried before a run.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use arrow_array::{cast::AsArray as _, types::Float16Type};
use dataset::{Dataset, PatchReader, PatchRow, ReadSettings, RegionRow, read_cells, read_regions};
use merger::mask::Polygon;
use painted::{SQUARE_PX, paint_squares};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use support::{accounts, any_file, run, run_until, slidemill, small_slide, stderr, tables};
use wsi_types::{LevelIndex, LevelRect, RgbBuffer};

/// Squares of 16 µm: glass, Tumour, Stroma, Necrosis.
const PAINTED: [&str; 16] = [
    "........................",
    ".TTTTTTTT...SSSSSSSSSS..",
    ".TTTTTTTT...S........S..",
    ".TT....TT...S.TTTT...S..",
    ".TT.NN.TT...S.T..T...S..",
    ".TT.NN.TT...S.TTTT...S..",
    ".TT....TT...S........S..",
    ".TTTTTTTT...SSSSSSSSSS..",
    ".TTTTTTTT...NNNNNNNNNN..",
    "............NNNNNNNNNN..",
    "SSSSSSSSSSSSSSSSSSSSSSSS",
    "SSSSSSSSSSSSSSSSSSSSSSSS",
    "SS..SS..SS..SSTTSSSSSSSS",
    "SS..SS..SS..SSTTSSSSSSSS",
    "SSSSSSSSSSSSSSSSSSSSSSSS",
    "SSSSSSSSSSSSSSSSSSSSSSSS",
];
/// Kind, squares and holes of each area in it.
const AREAS: [(&str, u32, u32); 7] = [
    ("necrosis", 4, 0),
    ("necrosis", 20, 0),
    ("stroma", 30, 1),
    ("stroma", 128, 4),
    ("tumour", 4, 0),
    ("tumour", 10, 1),
    ("tumour", 48, 1),
];
/// Areas as they are found, neither cleaned nor simplified.
const AS_THEY_ARE: [&str; 10] = [
    "--region-closing-um",
    "0",
    "--region-opening-um",
    "0",
    "--region-hole-um2",
    "0",
    "--region-min-um2",
    "0",
    "--region-simplify-um",
    "0",
];

/// Its classes are the colours of [`painted_squares`].
fn colours() -> String {
    contract("colours.onnx")
}

fn contract(file: &str) -> String {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("detector/tests/contracts").join(file);
    model.to_str().expect("UTF-8").to_owned()
}

fn painted_squares(folder: &Path) -> PathBuf {
    let slide = folder.join("squares.tif");
    paint_squares(&slide, (PAINTED[0].len() as u32, PAINTED.len() as u32), colour_of).unwrap();
    slide
}

fn colour_of(column: u32, row: u32) -> [u8; 3] {
    match PAINTED[row as usize].as_bytes()[column as usize] {
        b'T' => [142, 74, 150],
        b'S' => [226, 150, 190],
        b'N' => [120, 128, 196],
        _ => [244, 242, 244],
    }
}

/// Half overlapping windows of 128 px.
const WINDOWS: [&str; 2] = ["--window", "128"];

fn of_colours<'a>(model: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["--model", model, "--no-tissue-mask"][..], &AS_THEY_ARE, more].concat()
}

fn run_colours(slide: &Path, out: &Path, windows: &[&str], more: &[&str]) {
    let model = colours();
    let output = run(&[slide], out, &of_colours(&model, &[windows, more].concat()));
    assert!(output.status.success(), "{}", stderr(&output));
}

fn regions(out: &Path) -> Vec<RegionRow> {
    let id = accounts(out).remove(0).slide;
    read_regions(&Dataset::at(out).regions(&id)).unwrap()
}

/// Areas of the model: kind, squares and holes, in order.
fn areas(out: &Path) -> Vec<(String, f64, u32)> {
    let side_um = f64::from(SQUARE_PX) * painted::MPP;
    let found = regions(out).into_iter().filter(|region| region.kind != "tissue");
    let mut areas: Vec<_> =
        found.map(|region| (region.kind, region.area_um2 / (side_um * side_um), region.n_holes)).collect();
    areas.sort_by(|a, b| a.partial_cmp(b).unwrap());
    areas
}

fn truth() -> Vec<(String, f64, u32)> {
    AREAS.map(|(kind, squares, holes)| (kind.to_owned(), f64::from(squares), holes)).to_vec()
}

#[test]
fn areas_and_holes_are_those_that_were_painted() {
    let folder = tempfile::tempdir().unwrap();
    let slide = painted_squares(folder.path());
    let at = |name: &str| folder.path().join(name);
    run_colours(&slide, &at("a"), &WINDOWS, &["--threads", "1"]);
    assert_eq!(areas(&at("a")), truth());
    assert!(regions(&at("a")).iter().all(|region| region.coverage == 1.0 && region.score.is_none()));
    let account = accounts(&at("a")).remove(0);
    assert_eq!((account.cells(), account.analysis.unwrap().windows.planned), (0, 15));
    // The same bytes with other threads and batches, and the same areas with other windows.
    run_colours(&slide, &at("b"), &WINDOWS, &["--threads", "2", "--batch", "3"]);
    assert_eq!(tables(&at("a")), tables(&at("b")));
    run_colours(&slide, &at("c"), &["--window", "256", "--overlap", "30px"], &[]);
    assert_eq!(areas(&at("c")), truth());
}

/// Class numbers of 8 and 16 bits are those that the scores of [`colours`] say.
#[test]
fn class_numbers_of_few_bits_are_the_areas_that_were_painted() {
    let folder = tempfile::tempdir().unwrap();
    let slide = painted_squares(folder.path());
    for name in ["classes-u8.onnx", "classes-i16.onnx"] {
        let (model, out) = (contract(name), folder.path().join(name));
        let output = run(&[&slide], &out, &of_colours(&model, &WINDOWS));
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(areas(&out), truth(), "{name}");
    }
}

/// Numbers of 16 bits, half of which would be negative with a sign, are each a cell of the size of a square.
#[test]
fn object_numbers_of_few_bits_are_the_squares_that_were_painted() {
    let folder = tempfile::tempdir().unwrap();
    let (slide, out) = (painted_squares(folder.path()), folder.path().join("out"));
    let model = contract("labels-u16.onnx");
    let output = run(&[&slide], &out, &["--model", &model, "--no-tissue-mask"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let id = accounts(&out).remove(0).slide;
    let cells = read_cells(&Dataset::at(&out).cells(&id)).unwrap();
    let places: std::collections::BTreeSet<_> = cells
        .iter()
        .map(|cell| [cell.centroid.x, cell.centroid.y].map(|centre| (centre / f64::from(SQUARE_PX)) as usize))
        .collect();
    let squares = (0..PAINTED.len()).flat_map(|row| (0..PAINTED[0].len()).map(move |column| [column, row]));
    let painted = squares.filter(|&[column, row]| PAINTED[row].as_bytes()[column] != b'.');
    assert!(places.iter().copied().eq(painted.collect::<std::collections::BTreeSet<_>>()));
    assert_eq!(cells.len(), places.len());
}

/// A model of bioimage.io: pixels, scale and softmax by its `rdf.yaml`, classes and head by a TOML.
#[test]
fn a_description_of_bioimage_io_says_what_the_toml_leaves_open() {
    let folder = tempfile::tempdir().unwrap();
    let slide = painted_squares(folder.path());
    let model = folder.path().join("colours.onnx");
    fs::copy(colours(), &model).unwrap();
    let classes =
        ["tumour", "stroma", "necrosis"].map(|name| format!("[[classes]]\nname = \"{name}\"\n")).concat();
    fs::write(
        model.with_extension("toml"),
        format!("head = \"semantic\"\nbackground = \"first\"\n{classes}"),
    )
    .unwrap();
    let rdf = "type: model\nformat_version: 0.5.4\nname: Nearest colours\ninputs:\n- id: pixels\n  data: {type: uint8}\n  \
               axes:\n  - {type: batch}\n  - {type: channel, channel_names: [r, g, b]}\n  - {type: space, id: y, size: {min: 2, step: 2}, \
               unit: micrometer, scale: 1.0}\n  - {type: space, size: {min: 2, step: 2}, \
               unit: micrometer}\n  preprocessing:\n  - {id: scale_linear, kwargs: {gain: 0.00392156862745098, offset: \
               0.0}}\noutputs:\n- {id: scores, postprocessing: [{id: softmax, kwargs: {axis: channel}}]}\nweights:\n  onnx: \
               {source: colours.onnx}\n";
    let described = folder.path().join("rdf.yaml");
    fs::write(&described, rdf).unwrap();
    let told = slidemill().arg("model").arg(&model).output().unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("Nearest colours") && told.contains("softmax"), "{told}");
    let out = folder.path().join("out");
    let output = run(&[&slide], &out, &of_colours(model.to_str().unwrap(), &WINDOWS));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(areas(&out), truth());
    // What cannot be done as it is said is refused before a slide is read.
    fs::write(&described, rdf.replace("scale_linear, kwargs", "clip, kwargs")).unwrap();
    let output = slidemill().arg("model").arg(&model).output().unwrap();
    let said = stderr(&output);
    assert!(
        !output.status.success() && said.contains("inputs[0].preprocessing[0]: is clip, expected"),
        "{said}"
    );
}

/// A classifier of patches as large as a square says of each what it is.
#[test]
fn patches_side_by_side_become_areas() {
    let folder = tempfile::tempdir().unwrap();
    let (slide, out) = (painted_squares(folder.path()), folder.path().join("out"));
    let model = contract("patch.onnx");
    let output = run(&[&slide], &out, &of_colours(&model, &["--overlap", "0%"]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(areas(&out), truth());
    let account = accounts(&out).remove(0);
    let patches = PAINTED.len() * PAINTED[0].len();
    assert_eq!((account.cells(), account.analysis.unwrap().windows.planned), (0, patches));
}

/// The vector of each window: its mean red, green and blue, from 0 to 1.
const MEANS: &str = "mean-colour.onnx";

/// A row of the table of patches with its vector.
#[derive(Debug, Clone, PartialEq)]
struct SeenPatch {
    place: PatchRow,
    vector: Vec<f32>,
}

fn patches(out: &Path) -> Vec<SeenPatch> {
    let id = accounts(out).remove(0).slide;
    let path = Dataset::at(out).patches(&id);
    let places = PatchReader::open(&path, ReadSettings::default()).unwrap().flat_map(Result::unwrap);
    let batches = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(&path).unwrap()).unwrap();
    let vectors = batches.build().unwrap().flat_map(|batch| {
        let batch = batch.unwrap();
        let lists = batch.column_by_name("embedding").unwrap().as_fixed_size_list();
        let vectors = lists.iter().map(|vector| {
            let vector = vector.unwrap();
            vector.as_primitive::<Float16Type>().values().iter().map(|half| half.to_f32()).collect()
        });
        vectors.collect::<Vec<Vec<f32>>>()
    });
    let patches: Vec<_> = places.zip(vectors).map(|(place, vector)| SeenPatch { place, vector }).collect();
    let counted = accounts(out).remove(0).analysis.unwrap().patches.unwrap();
    assert_eq!((counted.patches, counted.dimensions), (patches.len() as u64, 3));
    patches
}

/// Mean red, green and blue of the pixels of a square, from 0 to 1, on the level that [`MEANS`] is shown: of 1 µm per px.
fn means_of(slide: &Path, square: [u32; 2]) -> [f32; 3] {
    let slide = wsi_reader::open(slide).unwrap();
    let mut levels = (0..).zip(slide.info().pyramid.levels());
    let (index, level) = levels.find(|(_, level)| level.downsample.0 * painted::MPP == 1.0).unwrap();
    let side = (f64::from(SQUARE_PX) / level.downsample.0) as i64;
    let [left, top] = square.map(|place| i64::from(place) * side);
    let rect = LevelRect::new(euclid::point2(left, top), euclid::size2(side, side));
    let mut pixels = RgbBuffer::default();
    wsi_reader::read_region(&*slide, LevelIndex(index), rect, &mut pixels).unwrap();
    let pixels = pixels.bytes().as_chunks::<3>().0;
    let sums = pixels
        .iter()
        .fold([0_u32; 3], |sums, pixel| [0, 1, 2].map(|channel| sums[channel] + u32::from(pixel[channel])));
    sums.map(|sum| (f64::from(sum) / pixels.len() as f64 / 255.0) as f32)
}

fn run_means(slide: &Path, out: &Path, more: &[&str]) {
    let model = contract(MEANS);
    let output = run(&[slide], out, &[&["--model", &model, "--no-tissue-mask"][..], more].concat());
    assert!(output.status.success(), "{}", stderr(&output));
}

fn verified(out: &Path) -> (bool, String) {
    let output = slidemill().arg("verify").arg(out).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output))
}

/// A model of vectors as a user of a foundation model runs it: each patch is a square whose colour is known.
#[test]
fn vectors_of_patches_are_those_of_what_was_painted() {
    let folder = tempfile::tempdir().unwrap();
    let slide = painted_squares(folder.path());
    let at = |name: &str| folder.path().join(name);
    run_means(&slide, &at("a"), &["--overlap", "0%", "--threads", "1"]);
    let seen = patches(&at("a"));
    assert_eq!(seen.len(), PAINTED.len() * PAINTED[0].len());
    let side_um = f64::from(SQUARE_PX) * painted::MPP;
    for (number, SeenPatch { place, vector }) in (0..).zip(&seen) {
        let side = f64::from(SQUARE_PX);
        let (column, row) = ((place.left_px / side) as u32, (place.top_px / side) as u32);
        let corner = [column, row].map(f64::from);
        assert_eq!((place.window, place.tissue), (number, 1.0));
        assert_eq!([place.left_px, place.top_px], corner.map(|squares| squares * side));
        assert_eq!([place.left_um, place.top_um], corner.map(|squares| squares * side_um));
        assert_eq!(
            [place.width_px, place.height_px, place.width_um, place.height_um],
            [side, side, side_um, side_um]
        );
        // The file is a JPEG, so that its pixels may be off by a few bytes; painted colours are further apart.
        let means = means_of(&slide, [column, row]);
        let painted = colour_of(column, row).map(f32::from);
        let off = means.iter().zip(painted).map(|(mean, painted)| (mean * 255.0 - painted).abs());
        // Half the step between two halves from 0.5 to 1.
        let rounded = vector.iter().zip(&means).map(|(half, mean)| (half - mean).abs());
        let is_known = off.fold(0.0, f32::max) <= 3.0 && rounded.fold(0.0, f32::max) <= 2.5e-4;
        assert!(is_known && vector.len() == 3, "({column}, {row}): {vector:?}, the pixels' means {means:?}");
    }
    assert_eq!((accounts(&at("a")).remove(0).cells(), regions(&at("a")).len()), (0, 1));
    // The same bytes with other threads and batches.
    run_means(&slide, &at("b"), &["--overlap", "0%", "--threads", "2", "--batch", "3"]);
    assert_eq!(tables(&at("a")), tables(&at("b")));

    assert!(verified(&at("a")).0, "{}", verified(&at("a")).1);
    let id = accounts(&at("a")).remove(0).slide;
    fs::remove_file(Dataset::at(at("a")).patches(&id)).unwrap();
    let (is_whole, said) = verified(&at("a"));
    assert!(!is_whole && said.contains("patches/slide="), "{said}");
    let output = slidemill().arg("forget").arg(at("b")).arg(id.as_str()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!Dataset::at(at("b")).patches(&id).parent().unwrap().exists());
}

/// [`MEANS`] in a folder of its own, for pixels stretched between percentiles of each slide.
fn means_of_stretched(folder: &Path) -> PathBuf {
    let model = folder.join("stretched.onnx");
    fs::copy(contract(MEANS), &model).unwrap();
    let section = "[input.percentile]\nlow = 10\nhigh = 90\nper = \"slide\"\nchannels = \"each\"\n";
    fs::write(model.with_extension("toml"), format!("head = \"embedding\"\nmpp = 1.0\n{section}")).unwrap();
    model
}

/// What the 10th and the 90th percentile of each channel of a level of 1 µm per px are, as numpy counts them.
fn percentiles_of(slide: &Path) -> [[f32; 2]; 3] {
    let slide = wsi_reader::open(slide).unwrap();
    let mut levels = (0..).zip(slide.info().pyramid.levels());
    let (index, _) = levels.find(|(_, level)| level.downsample.0 * painted::MPP == 1.0).unwrap();
    let pixels = wsi_reader::conformance::whole_level(&*slide, LevelIndex(index)).unwrap();
    [0, 1, 2].map(|channel| {
        let mut values: Vec<u8> = pixels.bytes().iter().skip(channel).step_by(3).copied().collect();
        values.sort_unstable();
        [0.1, 0.9].map(|share| {
            let place = share * (values.len() - 1) as f64;
            let [below, above] = [place.floor(), place.ceil()].map(|rank| f64::from(values[rank as usize]));
            (below + (above - below) * place.fract()) as f32
        })
    })
}

/// Ends of the stretch, as the account of the only slide has them.
fn stretched(out: &Path) -> String {
    let account = accounts(out).remove(0);
    let settings = serde_json::to_value(&account.settings).unwrap();
    settings["pixels_stretched"].as_str().unwrap().to_owned()
}

/// The ends are those of the slide, whatever windows there are, and how often a run begins.
#[test]
fn pixels_are_stretched_between_percentiles_of_their_slide() {
    let folder = tempfile::tempdir().unwrap();
    let slide = painted_squares(folder.path());
    let model = means_of_stretched(folder.path());
    let at = |name: &str| folder.path().join(name);
    let settings = ["--model", model.to_str().unwrap(), "--no-tissue-mask", "--keep-raw"];
    let run_with = |name: &str, more: &[&str]| {
        let output = run(&[&slide], &at(name), &[&settings[..], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
    };
    run_with("a", &["--overlap", "0%", "--threads", "1"]);
    let ends = percentiles_of(&slide);
    let [low, high] = [0, 1].map(|end| ends.map(|of_channel| of_channel[end]));
    assert_eq!(stretched(&at("a")), format!("from {low:?} to {high:?}"));
    for SeenPatch { place, vector } in patches(&at("a")) {
        let square = [place.left_px, place.top_px].map(|corner| (corner / f64::from(SQUARE_PX)) as u32);
        let means = means_of(&slide, square);
        for channel in 0..3 {
            let expected = (means[channel] * 255.0 - low[channel]) / (high[channel] - low[channel]);
            // Half the step between two halves from 1 to 2, and rounding of the mean.
            assert!(
                (vector[channel] - expected).abs() <= 6e-4,
                "{square:?}: {vector:?}, {expected} in {channel}"
            );
        }
    }
    run_with("b", &["--overlap", "0%", "--threads", "2", "--batch", "3"]);
    assert_eq!(tables(&at("a")), tables(&at("b")));

    // Other windows, a kill, a shard and a merge have the same ends.
    run_with("whole", &[]);
    assert_eq!(stretched(&at("whole")), stretched(&at("a")));
    run_until(&[&slide], &at("cut"), &settings, || any_file(&at("cut"), "windows.bin"));
    run_with("cut", &[]);
    assert_eq!(tables(&at("whole")), tables(&at("cut")));
    let mut merge = slidemill();
    let output = merge.arg("merge").arg(at("whole")).arg("--into").arg(at("again")).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(tables(&at("whole")), tables(&at("again")));
    assert_eq!(stretched(&at("again")), stretched(&at("a")));
}

/// Each slide has its own ends, whichever part of a job it is in, and a model without them is another one.
#[test]
fn shards_stretch_each_slide_as_one_job_does() {
    let folder = tempfile::tempdir().unwrap();
    let model = means_of_stretched(folder.path());
    let at = |name: &str| folder.path().join(name);
    let paler = at("paler.tif");
    let size = (PAINTED[0].len() as u32, PAINTED.len() as u32);
    paint_squares(&paler, size, |column, row| colour_of(column, row).map(|value| value / 2 + 120)).unwrap();
    let slides = [painted_squares(folder.path()), paler];
    let settings = ["--model", model.to_str().unwrap(), "--no-tissue-mask"];
    let run_with = |name: &str, more: &[&str]| {
        let output = run(&[&slides[0], &slides[1]], &at(name), &[&settings[..], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
    };
    run_with("whole", &[]);
    run_with("parts", &["--shard", "1/2"]);
    run_with("parts", &["--shard", "2/2"]);
    let patches_of = |out: &Path| {
        let ids = accounts(out).into_iter().map(|account| account.slide);
        ids.map(|id| fs::read(Dataset::at(out).patches(&id)).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(patches_of(&at("whole")), patches_of(&at("parts")));
    let notes = accounts(&at("whole")).into_iter().map(|account| account.warnings.join(" "));
    let notes: Vec<String> = notes.filter(|note| note.contains("its px are stretched from [")).collect();
    assert!(notes.len() == 2 && notes[0] != notes[1], "{notes:?}");

    let toml = model.with_extension("toml");
    let other = fs::read_to_string(&toml).unwrap().replace("low = 10", "low = 1");
    fs::write(&toml, other).unwrap();
    let output = run(&[&slides[0]], &at("whole"), &settings);
    let said = stderr(&output);
    assert!(!output.status.success() && said.contains("results with other settings are here"), "{said}");
    let said = slidemill().arg("model").arg(&model).output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("stretched between percentiles 1 and 90 of each channel"), "{said}");
    let said =
        slidemill().arg("plan").arg(&slides[0]).arg("-o").arg(at("plan")).args(settings).output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(
        said.contains("percentiles 1 and 90 of each channel of the slide's tissue, found once"),
        "{said}"
    );
}

#[test]
fn a_killed_run_and_a_merge_give_the_same_vectors() {
    let folder = tempfile::tempdir().unwrap();
    let slide = painted_squares(folder.path());
    let at = |name: &str| folder.path().join(name);
    run_means(&slide, &at("whole"), &["--keep-raw"]);
    let model = contract(MEANS);
    let settings = ["--model", &model, "--no-tissue-mask", "--keep-raw"];
    run_until(&[&slide], &at("cut"), &settings, || any_file(&at("cut"), "windows.bin"));
    run_means(&slide, &at("cut"), &["--keep-raw"]);
    assert_eq!(tables(&at("whole")), tables(&at("cut")));
    assert!(patches(&at("whole")).len() > PAINTED.len() * PAINTED[0].len(), "windows overlap by half");

    let mut merge = slidemill();
    let output = merge.arg("merge").arg(at("whole")).arg("--into").arg(at("again")).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(tables(&at("whole")), tables(&at("again")));
    assert!(verified(&at("again")).0, "{}", verified(&at("again")).1);
    // With another model the patches of this one are gone.
    let areas = colours();
    let output = run(&[&slide], &at("cut"), &of_colours(&areas, &["--window", "128", "--redo"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let id = accounts(&at("cut")).remove(0).slide;
    assert!(!Dataset::at(at("cut")).patches(&id).exists());
    assert!(verified(&at("cut")).0, "{}", verified(&at("cut")).1);
}

/// Cells of one model and vectors of another in one run; what cannot be is refused before a slide is read.
#[test]
fn vectors_stand_beside_cells_and_other_windows_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let slide = at("painted.tif");
    small_slide(&slide, 41);
    let of_vectors = format!("mpp=1,model={}", contract(MEANS));
    let both = ["--threads", "2", "--detector", "mpp=0.5", "--detector", &of_vectors];
    let output = run(&[&slide], &at("both"), &both);
    assert!(output.status.success(), "{}", stderr(&output));
    let alone = run(&[&slide], &at("alone"), &["--threads", "2", "--detector", "mpp=0.5"]);
    assert!(alone.status.success(), "{}", stderr(&alone));
    let cells = |out: &Path| accounts(out).remove(0).cells();
    assert!(cells(&at("both")) > 50 && cells(&at("both")) == cells(&at("alone")));
    assert!(patches(&at("both")).iter().all(|patch| patch.place.tissue <= 1.0));

    let refused = |name: &str, settings: &[&str]| {
        let output = run(&[&slide], &at(name), settings);
        assert!(!output.status.success());
        stderr(&output)
    };
    let model = contract(MEANS);
    let said = refused("larger", &["--model", &model, "--window", "64"]);
    assert!(
        said.contains("the model gives a vector for 16 × 16 px as a whole, and windows have 64 px"),
        "{said}"
    );
    let said = refused("two", &["--detector", &of_vectors, "--detector", &of_vectors]);
    assert!(said.contains("2 models give vectors, expected at most one"), "{said}");

    let tried = slidemill()
        .args(["model", &model, "--try"])
        .arg(&slide)
        .arg("-o")
        .arg(at("try.png"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&tried.stdout).into_owned();
    assert!(
        tried.status.success() && said.contains("found          a vector of 3 numbers"),
        "{said}{}",
        stderr(&tried)
    );
}

#[test]
fn a_killed_run_and_a_merge_give_the_same_areas() {
    let folder = tempfile::tempdir().unwrap();
    let slide = painted_squares(folder.path());
    let at = |name: &str| folder.path().join(name);
    run_colours(&slide, &at("whole"), &WINDOWS, &["--keep-raw"]);

    let model = colours();
    let settings = of_colours(&model, &[&WINDOWS[..], &["--keep-raw"]].concat());
    run_until(&[&slide], &at("cut"), &settings, || any_file(&at("cut"), "windows.bin"));
    run_colours(&slide, &at("cut"), &WINDOWS, &["--keep-raw"]);
    assert_eq!(tables(&at("whole")), tables(&at("cut")));

    let merge = |into: &str, more: &[&str]| {
        let (from, into) = (at("whole"), at(into));
        let output = slidemill().arg("merge").arg(from).arg("--into").arg(into).args(more).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    };
    merge("again", &[]);
    assert_eq!(tables(&at("whole")), tables(&at("again")));
    // Rules for regions count after the windows: small areas go without the model.
    merge("large", &["--region-min-um2", "5000"]);
    let large: Vec<_> = truth().into_iter().filter(|(_, squares, _)| squares * 256.0 >= 5000.0).collect();
    assert_eq!(areas(&at("large")), large);
}

/// A cell model and a model of areas in one run.
#[test]
fn cells_name_the_area_they_lie_in() {
    let folder = tempfile::tempdir().unwrap();
    let (slide, out) = (folder.path().join("painted.tif"), folder.path().join("out"));
    small_slide(&slide, 41);
    let of_areas = format!("mpp=1,model={}", colours());
    let two = ["--window", "256", "--threads", "2", "--detector", "mpp=0.5", "--detector", &of_areas];
    let output = run(&[&slide], &out, &[&two[..], &AS_THEY_ARE].concat());
    assert!(output.status.success(), "{}", stderr(&output));

    let id = accounts(&out).remove(0).slide;
    let (cells, regions) = (read_cells(&Dataset::at(&out).cells(&id)).unwrap(), regions(&out));
    let kinds: std::collections::BTreeSet<&str> = regions.iter().map(|region| region.kind.as_str()).collect();
    assert!(
        cells.len() > 50 && kinds.contains("stroma") && kinds.contains("tumour"),
        "{} {kinds:?}",
        cells.len()
    );
    for region in &regions {
        let mut rings = region.rings.iter().cloned();
        let polygon = Polygon { outer: rings.next().unwrap(), holes: rings.collect() };
        let inside = cells.iter().filter(|cell| polygon.contains(cell.centroid)).count();
        assert_eq!(region.n_cells, inside as u64, "{}", region.kind);
    }
    let in_areas = cells.iter().filter(|cell| {
        let own = regions.iter().find(|region| Some(region.region_id) == cell.region_id);
        own.is_some_and(|region| region.kind != "tissue")
    });
    assert!(in_areas.count() * 2 > cells.len(), "most cells lie on stained tissue");
    // Cells are those of the cell model alone: a model of areas takes no part in their scores.
    let alone = folder.path().join("alone");
    assert!(run(&[&slide], &alone, &two[..6]).status.success());
    let alone = read_cells(&Dataset::at(&alone).cells(&id)).unwrap();
    let facts = |cells: &[dataset::CellRow]| -> Vec<_> {
        cells.iter().map(|cell| (cell.cell_id, cell.centroid, cell.score)).collect()
    };
    assert_eq!(facts(&cells), facts(&alone));
}

#[test]
fn areas_that_would_be_mistaken_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let slide = painted_squares(folder.path());
    let at = |name: &str| folder.path().join(name);
    fs::copy(colours(), at("tissue.onnx")).unwrap();
    let manifest = fs::read_to_string(Path::new(&colours()).with_extension("toml")).unwrap();
    fs::write(at("tissue.toml"), manifest.replace("\"stroma\"", "\"tissue\"")).unwrap();
    let said = |args: &[&str]| {
        let output = run(&[&slide], &at("out"), args);
        assert_eq!(output.status.code(), Some(64), "{}", stderr(&output));
        stderr(&output)
    };
    let own = at("tissue.onnx");
    let message = said(&["--model", own.to_str().unwrap()]);
    assert!(message.contains("the class tissue is an area, but that is what slidemill calls"), "{message}");
    let twice = format!("mpp=1,model={}", colours());
    let message = said(&["--detector", &twice, "--detector", &twice]);
    assert!(message.contains("two models draw areas of the class tumour"), "{message}");
}

/// What `slidemill model` prints with these arguments, and its exit code.
fn tried(args: &[&str]) -> (String, Option<i32>) {
    let output = slidemill().arg("model").args(args).output().unwrap();
    (String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output), output.status.code())
}

#[test]
fn one_field_is_drawn_and_compared_with_the_frameworks_own_answer() {
    let folder = tempfile::tempdir().unwrap();
    let slide = painted_squares(folder.path());
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (model, own) = (colours(), at("own.onnx"));
    fs::copy(&model, &own).unwrap();
    let manifest = fs::read_to_string(Path::new(&model).with_extension("toml")).unwrap();
    fs::write(at("own.toml"), &manifest).unwrap();
    let slide = slide.to_str().unwrap();
    let (out, field) = (at("try.png"), at("field.png"));
    // Windows of 128 px lie at steps of 64; this one begins at column 64 and row 0, at 1 µm/px.
    let trial = ["--try", slide, "--window", "128", "--at", "512,256"];
    let shown = tried(&[&[&own[..]][..], &trial, &["-o", &out, "--field", &field]].concat());
    assert_eq!(shown.1, Some(0), "{}", shown.0);
    for line in [
        "assumed        colour_order: rgb",
        "field          128 × 128 px, level-0 px (256, 0) to (768, 512)",
        "found          tumour: 1, 0.0059 mm²",
    ] {
        assert!(shown.0.contains(line), "{line}\n{}", shown.0);
    }
    let (pixels, width, height) = support::read_png(Path::new(&field));
    assert_eq!((width, height), (128, 128));
    assert_eq!(support::read_png(Path::new(&out)).1, 128);

    // The framework's answer: the nearest colour of each place of 2 × 2 px, which have one.
    let class_of = |pixel: [u8; 3]| {
        let colours = [[244, 242, 244], [142, 74, 150], [226, 150, 190], [120, 128, 196_u8]];
        let off = |colour: &[u8; 3]| -> i32 {
            colour.iter().zip(pixel).map(|(a, b)| (i32::from(*a) - i32::from(b)).pow(2)).sum()
        };
        (0..4_i64)
            .min_by_key(|&class| off(&colours[class as usize]))
            .filter(|&class| class > 0)
            .map(|class| class - 1)
    };
    let mut classes: Vec<Option<i64>> =
        (0..64 * 64).map(|place: usize| class_of(pixels[place / 64 * 2 * 128 + place % 64 * 2])).collect();
    let reference = |classes: &[Option<i64>]| {
        let text = serde_json::json!({"framework": "by hand", "columns": 64, "classes": classes}).to_string();
        fs::write(at("ref.json"), text).unwrap();
        tried(&[&[&own[..]][..], &trial, &["--reference", &at("ref.json")]].concat())
    };
    let (text, code) = reference(&classes);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("parity         agrees: 0 of 4096 places of another class than by by hand"),
        "{text}"
    );
    let receipt = text.split_once("[parity]").unwrap().1;
    fs::write(at("own.toml"), format!("{manifest}\n[parity]{receipt}")).unwrap();
    let described = tried(&[&own]).0;
    assert!(described.contains("parity         0 of 4096 places"), "{described}");
    assert!(!described.contains("receipt of another file"), "{described}");

    classes[..20].fill(Some(2));
    let (text, code) = reference(&classes);
    assert_eq!(code, Some(65), "{text}");
    assert!(text.contains("parity         DIFFERS: 20 of 4096 places"), "{text}");
    let (text, code) = tried(&[&own, "--at", "1,1"]);
    assert!(code == Some(64) && text.contains("--try"), "{text}");
}

#[test]
fn the_field_with_most_tissue_is_shown_to_a_model_of_cells() {
    let folder = tempfile::tempdir().unwrap();
    let (slide, out) = (folder.path().join("painted.tif"), folder.path().join("try.png"));
    small_slide(&slide, 42);
    let (slide, out) = (slide.to_str().unwrap(), out.to_str().unwrap());
    let (text, code) = tried(&["nuclei-he", "--try", slide, "--window", "256", "-o", out]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("100 % tissue") && text.contains("found          nucleus "), "{text}");
    assert_eq!(support::read_png(Path::new(out)).1, 256);
}
