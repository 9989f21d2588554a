//! The scale that tissue suggests and the doubts about slides, over all shared slides and fields, each under
//! its own scale and under wrong ones. Prints the table of `docs/decisions` ("The scale that tissue tells").

#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    thread,
};

use tiler::{Doubt, Examination, TissueMask, TissueSettings, WantedStain};
use wsi_types::Mpp;

/// Wrong scales, as factors of the right one.
const WRONG: [f64; 6] = [0.25, 1.0 / 3.0, 0.5, 2.0, 3.0, 4.0];

fn shared(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(name)
}

/// A slide or field whose scale is known.
struct Case {
    set: &'static str,
    path: PathBuf,
    mpp: f64,
}

/// Returns the fields of a set, in the order of their names.
fn fields(set: &'static str, folder: &str, mpp: f64) -> Vec<Case> {
    let mut paths: Vec<PathBuf> = fs::read_dir(shared(folder))
        .map(|entries| entries.map(|entry| entry.unwrap().path().join("image.png")).collect())
        .unwrap_or_default();
    paths.retain(|path| path.exists());
    paths.sort();
    paths.into_iter().map(|path| Case { set, path, mpp }).collect()
}

/// `true` for the larger fields of dsb2018. The set counts as 0.25 µm/px as a whole, but holds fields of
/// three origins, on white, violet and lilac ground, and the outlined nuclei of the lilac ones are twice as
/// large (median 36 px, otherwise 16 and 21): not all can have one scale.
fn is_enlarged(field: &Path) -> bool {
    let slide = wsi_reader::open(field).unwrap();
    let picture = wsi_reader::Overview::whole(&*slide, 1024).pixels;
    let ground = [0, 1, 2].map(|channel| {
        let mut values: Vec<u8> = picture.bytes().iter().skip(channel).step_by(3).copied().collect();
        values.sort_unstable();
        values[values.len() * 4 / 5]
    });
    (..190).contains(&ground[1]) && (..206).contains(&ground[2])
}

/// Returns the slides of known scale with H&E that can be read; those that state no scale are copies of CMU-1
/// and of the TNBC fields, and get the scale of these.
fn slides() -> Vec<Case> {
    let known = [
        ("slides/real", "CMU-1-Small-Region.svs", 0.499),
        ("slides/real", "OS-1-detail.ome.tif", 0.2271),
        ("slides/real", "instanseg_HE_example.tif", 0.5001),
        // Judged by a person from the size of its nuclei: no file states it.
        ("slides/real", "tcga-cr-7395-01a-01-ts1.svs", 1.0),
        ("slides/dicom", "cmu1_small_region_levels", 0.499),
        ("slides/gt", "tnbc_dev_mosaic.svs", 0.25),
        ("slides/gt", "big_virtual_16384x12288.svs", 0.499),
        ("slides/gt", "big_virtual_40960x32768.svs", 0.499),
    ];
    let crafted = "base_for_corruption.svs bigtiff.svs bigtile2048.svs cmu1_pyr3_jpeg.svs cmu1_pyr_4_16.svs \
        generic_72dpi.tif generic_bigendian_tiled.tif generic_no_resolution.tif generic_pyr_deflate_bigtiff.tif \
        generic_pyr_jpeg.tif generic_pyr_lzw_pred.tif generic_rgba_tiled.tif jp2k_33003_ycbcr.svs \
        level_noninteger.svs mpp_contradicts_mag.svs mpp_missing.svs mpp_missing_mag40.svs mpp_nan.svs mpp_text.svs \
        mpp_zero.svs nopyramid.svs ome_nopyr_nophys.ome.tif ome_subifd_pyr.ome.tif phi_label_macro.svs \
        plain_photo.jpg strip_jpeg.tif strip_none_bigendian.tif";
    let reading = "r00_reference.svs r01_progressive_tiles.svs r03_photometric_says_rgb.tif \
        r04_ome_micro_latin1.ome.tif r05_ome_micro_question_mark.ome.tif r06_ome_micro_mojibake.ome.tif \
        r07_ome_unit_nm.ome.tif r16_kfbio_garbage_description.svs r17_mpp_decimal_comma.svs \
        r18_aperio_no_mpp_but_xresolution.svs r19_imagej_micron.tif r20_upright.jpg r23_rgba.png \
        r24_zstack_rgb.tif r28_tiled_label.svs";
    let known =
        known.into_iter().chain(crafted.split_whitespace().map(|name| ("slides/crafted", name, 0.499)));
    let known = known.chain(reading.split_whitespace().map(|name| ("cases/reading", name, 0.25)));
    let cases = known.map(|(folder, name, mpp)| Case { set: "slides", path: shared(folder).join(name), mpp });
    cases.filter(|case| case.path.exists()).collect()
}

fn examine(path: &Path) -> Examination {
    let slide = wsi_reader::open(path).unwrap();
    let mpp = slide.info().scale.as_ref().ok().map(|scale| scale.mpp);
    let (mask, picture) = TissueMask::compute_with_picture(&*slide, mpp, &TissueSettings::default());
    Examination::new(&*slide, &picture, &mask)
}

/// Examines the cases on two threads; the results keep their order.
fn examine_all(cases: &[Case]) -> Vec<Examination> {
    let (first, second) = cases.split_at(cases.len() / 2);
    thread::scope(|scope| {
        let [one, other] = [first, second]
            .map(|part| scope.spawn(move || part.iter().map(|case| examine(&case.path)).collect::<Vec<_>>()));
        one.join().unwrap().into_iter().chain(other.join().unwrap()).collect()
    })
}

/// Number of doubts about right and wrong scales of a set.
#[derive(Default)]
struct Tally {
    cases: usize,
    silent: usize,
    right_doubted: usize,
    wrong_doubted: usize,
    misses: String,
}

impl Tally {
    fn add(&mut self, case: &Case, examination: &Examination) {
        let is_doubted = |factor: f64| {
            // Scales that no microscope makes are refused before they are doubted.
            let used = Mpp::new(case.mpp * factor);
            used.map_or(true, |used| {
                examination
                    .doubts(Some(used), WantedStain::He)
                    .iter()
                    .any(|doubt| matches!(doubt, Doubt::Scale(_)))
            })
        };
        let missed: Vec<f64> = WRONG.into_iter().filter(|&factor| !is_doubted(factor)).collect();
        let right = usize::from(is_doubted(1.0));
        self.cases += 1;
        self.silent += usize::from(examination.scale.is_err());
        self.right_doubted += right;
        self.wrong_doubted += WRONG.len() - missed.len();
        if right > 0 || !missed.is_empty() {
            self.miss(case, examination, right > 0, &missed);
        }
    }

    fn miss(&mut self, case: &Case, examination: &Examination, right: bool, missed: &[f64]) {
        let name = if case.path.ends_with("image.png") { case.path.parent().unwrap() } else { &case.path };
        let name = name.file_name().unwrap().to_string_lossy();
        let said = examination.scale.map_or_else(|why| why.to_string(), |scale| scale.to_string());
        let right = if right { " RIGHT SCALE DOUBTED" } else { "" };
        writeln!(self.misses, "  {} {name:.24}: {said};{right} not doubted {missed:.2?}", case.set).unwrap();
    }

    fn print(&self, name: &str) {
        println!(
            "| {name} | {} | {} | {} ({:.1} %) | {:.1} % |",
            self.cases,
            self.silent,
            self.right_doubted,
            self.right_doubted as f64 * 100.0 / self.cases as f64,
            self.wrong_share() * 100.0
        );
    }

    fn wrong_share(&self) -> f64 {
        self.wrong_doubted as f64 / (self.cases * WRONG.len()) as f64
    }
}

#[test]
fn wrong_scales_are_doubted_and_right_ones_are_not() {
    let mut cases = fields("tnbc", "nuclei/tnbc/train", 0.25);
    cases.extend(fields("tnbc", "nuclei/tnbc/dev", 0.25));
    cases.extend(fields("brca_m2c", "nuclei/brca_m2c", 0.5));
    for part in ["train", "dev"] {
        cases.extend(fields("dsb2018", &format!("nuclei/dsb2018/{part}"), 0.25));
    }
    for case in cases.iter_mut().filter(|case| case.set == "dsb2018" && is_enlarged(&case.path)) {
        case.set = "dsb2018, enlarged";
    }
    cases.extend(slides());
    if cases.len() < 150 {
        eprintln!(
            "skipped: ../shared/nuclei and ../shared/slides are absent or not whole ({} cases)",
            cases.len()
        );
        return;
    }
    let mut sets: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut all = Tally::default();
    for (case, examination) in cases.iter().zip(examine_all(&cases)) {
        sets.entry(case.set).or_default().add(case, &examination);
        if case.set != "dsb2018, enlarged" {
            all.add(case, &examination);
        }
    }
    println!("| set | cases | no estimate | right scale doubted | wrong scales doubted |");
    sets.iter().for_each(|(name, tally)| tally.print(name));
    all.print("all but the enlarged");
    sets.values().for_each(|tally| print!("{}", tally.misses));
    // The aim over all; fields of a few hundred px count as much as slides do.
    assert!(all.right_doubted * 100 <= all.cases * 2, "{} of {}", all.right_doubted, all.cases);
    assert!(all.wrong_share() >= 0.95, "{}", all.wrong_share());
    let slides = &sets["slides"];
    assert!(slides.right_doubted == 0 && slides.wrong_share() >= 0.95, "{}", slides.wrong_share());
}

/// Doubts about each shared slide, whatever its scale.
#[test]
fn slides_are_named_for_what_they_are() {
    let expected = [
        ("slides/real/CMU-1-Small-Region.svs", "none"),
        ("slides/real/OS-1-detail.ome.tif", "none"),
        ("slides/real/OS-2-ndpi.ome.tif", "brown"),
        ("slides/real/hamamatsu-dapi.ndpi", "dark-ground"),
        ("slides/real/instanseg_HE_example.tif", "none"),
        ("slides/real/tcga-cr-7395-01a-01-ts1.svs", "none"),
        ("slides/gt/tnbc_dev_mosaic.svs", "none"),
        ("slides/gt/big_virtual_16384x12288.svs", "none"),
        ("slides/crafted/all_white.svs", "no-tissue"),
        ("slides/crafted/generic_gray8_tiled.tif", "no-colour"),
        ("slides/crafted/jp2k_33003_ycbcr.svs", "none"),
        ("cases/reading/r00_reference.svs", "none"),
    ];
    let mut wrong = BTreeSet::new();
    for (name, expected) in expected {
        let path = shared(name);
        if !path.exists() {
            eprintln!("skipped: ../shared/{name} is absent");
            continue;
        }
        let examination = examine(&path);
        let doubts = serde_json::to_value(examination.doubts(None, WantedStain::He)).unwrap();
        let kind = doubts.get(0).and_then(|doubt| doubt["kind"].as_str()).unwrap_or("none").to_owned();
        println!("| {name} | {kind} | {:.4?} |", examination.appearance);
        if kind != expected {
            wrong.insert((name, kind));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
