//! Painted patients whose Ki-67 is known, from the command to the page of the cohort.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use dataset::{CellRow, Dataset, SlideId, read_cells};
use painted::{MPP, PaintSettings, Truth, paint_with_dab};
use tempfile::TempDir;
use wsi_types::Level0Point;

use super::support::{annotation, slidemill, stderr, write_features};

/// Thresholds lie between the densities that are painted: 0, 0.25, 0.5 and 0.9.
pub(super) const MEASURES: &str = r#"
[[hot-spot]]
name = "Ki-67 hot spot"
cells = { where = { dab_od = { min = 0.12 } } }
area-mm2 = 0.008
within = "Tumor"

[[index]]
name = "Ki-67"
of = { where = { dab_od = { min = 0.12 } } }
share-of = { where = { dab_od = {} } }
regions = "Tumor"

[[index]]
name = "Ki-67 of stroma"
of = { where = { dab_od = { min = 0.12 } } }
share-of = { where = { dab_od = {} } }
regions = "Stroma"

[[index]]
name = "Ki-67 in the hot spot"
of = { where = { dab_od = { min = 0.12 } } }
share-of = { where = { dab_od = {} } }
hot-spot = "Ki-67 hot spot"

[[h-score]]
name = "strength"
cells = {}
column = "dab_od"
from = [0.12, 0.37, 0.7]
regions = "Tumor"

[[grade]]
name = "neuroendocrine tumours, Ki-67"
index = "Ki-67"
source = "WHO Classification of Tumours, 5th edition: Digestive System Tumours (IARC, Lyon 2019)"
bands = [
  { grade = "G1", below = 0.03 },
  { grade = "G2", from = 0.03, to = 0.20 },
  { grade = "G3", above = 0.20 },
]
"#;

const THRESHOLDS: [f64; 3] = [0.12, 0.37, 0.7];
const SLIDES_OF_EACH: u64 = 3;
/// Hematoxylin OD between that of painted nuclei, from 0.19, and that of what the model takes for nuclei besides, to
/// 0.12: red cells in vessels, which DAB staining bleaches to pale discs, and bits of glands.
const FAINT_OD: f32 = 0.15;
/// Distance from the centre of a painted nucleus within which a cell is that nucleus, px: 3 µm.
const SAME_PX: f64 = 3.0 / MPP;

/// A patient, and the shares of positive nuclei in the tumour, in its hot spot and in the stroma.
pub(super) struct Patient {
    pub(super) name: &'static str,
    pub(super) group: &'static str,
    pub(super) tumour: f64,
    pub(super) hot: f64,
    pub(super) stroma: f64,
    /// Densities of positive nuclei, one after the other.
    pub(super) ods: [f64; 3],
    pub(super) grade: &'static str,
}

/// Over whole slides they would be ranked the other way round: the stroma of the first is positive.
const PATIENTS: [Patient; 3] = [
    Patient {
        name: "Erika-M",
        group: "arm-seven",
        tumour: 0.0,
        hot: 0.04,
        stroma: 0.9,
        ods: [0.25, 0.25, 0.5],
        grade: "G1",
    },
    Patient {
        name: "=Karl-M",
        group: "arm-seven",
        tumour: 0.04,
        hot: 0.25,
        stroma: 0.4,
        ods: [0.25, 0.5, 0.9],
        grade: "G2",
    },
    Patient {
        name: "Otto-M",
        group: "arm-eight",
        tumour: 0.4,
        hot: 0.85,
        stroma: 0.05,
        ods: [0.5, 0.9, 0.9],
        grade: "G3",
    },
];

/// Corners of the regions that are drawn, px of a slide of 2048 × 1536.
pub(super) const TUMOUR: [[f64; 2]; 4] = [[130.0, 140.0], [1310.0, 210.0], [1240.0, 1400.0], [200.0, 1330.0]];
pub(super) const STROMA: [[f64; 2]; 4] =
    [[1400.0, 150.0], [1930.0, 150.0], [1930.0, 1400.0], [1400.0, 1400.0]];
/// Radius of the hot spot that is painted, px: 60 µm.
const HOT_PX: f64 = 60.0 / MPP;

/// `true` if a point lies in a polygon: a line from it to the right crosses an odd number of sides.
fn holds(corners: &[[f64; 2]], point: Level0Point) -> bool {
    let sides = corners.iter().zip(corners.iter().cycle().skip(1));
    let crossed = sides.filter(|([x0, y0], [x1, y1])| {
        (*y0 > point.y) != (*y1 > point.y) && point.x < x0 + (point.y - y0) / (y1 - y0) * (x1 - x0)
    });
    crossed.count() % 2 == 1
}

/// A slide of a patient, with what was painted on it.
pub(super) struct PaintedSlide {
    patient: &'static Patient,
    truth: Truth,
    /// Middle of the hot spot.
    hot: Level0Point,
}

impl PaintedSlide {
    pub(super) fn new(path: &Path, patient: &'static Patient, seed: u64, place: u64) -> Self {
        let hot = Level0Point::new(560.0 + 160.0 * place as f64, 620.0 + 110.0 * place as f64);
        let settings = PaintSettings {
            seed,
            width_um: 512.0,
            height_um: 384.0,
            window_step_um: 128.0,
            ..PaintSettings::default()
        };
        let mut rules = [patient.tumour, patient.hot, patient.stroma].map(Positives::new);
        let truth = paint_with_dab(path, &settings, |cell| {
            let place = if holds(&TUMOUR, cell.centre) {
                usize::from((cell.centre - hot).length() < HOT_PX)
            } else {
                2
            };
            rules[place].next_is_positive().map_or(0.0, |number| patient.ods[number % 3])
        });
        Self { patient, truth: truth.expect("the slide is painted"), hot }
    }

    /// What was painted in the tumour.
    pub(super) fn tumour(&self) -> Counts {
        let within = self.truth.cells.iter().filter(|cell| holds(&TUMOUR, cell.centre));
        Counts::new(within.map(|cell| cell.dab_od))
    }

    /// What was painted within a circle in the tumour.
    fn field(&self, centre: Level0Point, reach_px: f64) -> Counts {
        let in_tumour = self.truth.cells.iter().filter(|cell| holds(&TUMOUR, cell.centre));
        let within = in_tumour.filter(|cell| (cell.centre - centre).length() <= reach_px);
        Counts::new(within.map(|cell| cell.dab_od))
    }
}

/// Positive cells among others, evenly: of every n cells n times the share, to within one.
struct Positives {
    share: f64,
    cells: usize,
    positive: usize,
}

impl Positives {
    fn new(share: f64) -> Self {
        Self { share, cells: 0, positive: 0 }
    }

    /// The number of the next cell among the positive ones; `None` if it is negative.
    fn next_is_positive(&mut self) -> Option<usize> {
        self.cells += 1;
        let wanted = (self.share * self.cells as f64).round() as usize;
        (wanted > self.positive).then(|| {
            self.positive += 1;
            self.positive
        })
    }
}

/// Cells, and those that are stained at least weakly, moderately and strongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    all: usize,
    at_least: [usize; 3],
}

impl Counts {
    fn new(ods: impl Iterator<Item = f64>) -> Self {
        let mut counts = Self { all: 0, at_least: [0; 3] };
        for od in ods {
            counts.all += 1;
            for (count, from) in counts.at_least.iter_mut().zip(THRESHOLDS) {
                *count += usize::from(od >= from);
            }
        }
        counts
    }

    pub(super) fn index(&self) -> f64 {
        self.at_least[0] as f64 / self.all as f64
    }

    fn h_score(&self) -> f64 {
        100.0 * self.at_least.iter().sum::<usize>() as f64 / self.all as f64
    }
}

/// All slides, analysed, by their id.
struct Ward {
    folder: TempDir,
    out: PathBuf,
    slides: BTreeMap<SlideId, PaintedSlide>,
}

fn ward() -> Ward {
    let folder = tempfile::tempdir().unwrap();
    let drawn = folder.path().join("drawn");
    fs::create_dir(&drawn).unwrap();
    let features = [annotation("Tumor", "", &TUMOUR), annotation("Stroma", "", &STROMA)];
    let mut list = "path,patient,group,block\n".to_owned();
    let mut painted = BTreeMap::new();
    for (number, patient) in (0..).zip(&PATIENTS) {
        for place in 0..SLIDES_OF_EACH {
            let name = format!("Muster-{number}-{place}");
            let path = folder.path().join(&name).with_extension("tif");
            let slide = PaintedSlide::new(&path, patient, 700 + 10 * number + place, place);
            write_features(&drawn.join(&name).with_extension("geojson"), &features);
            list += &format!("{name}.tif,{},{},block-{place}\n", patient.name, patient.group);
            painted.insert(name + ".tif", slide);
        }
    }
    let [listed, measures, out] = ["list.csv", "measures.toml", "out"].map(|name| folder.path().join(name));
    fs::write(&listed, list).unwrap();
    fs::write(&measures, MEASURES).unwrap();
    let mut command = slidemill();
    command.arg("run").arg(&listed).arg("-o").arg(&out).arg("--within").arg(&drawn);
    command.args(["--stains", "h-dab", "--window", "512", "--threads", "2"]).arg("--measure").arg(&measures);
    succeed(&command.output().unwrap());

    let names = lines(&out.join(".slidemill/slides.csv"));
    let slides = names.iter().map(|line| {
        let name = Path::new(&line["path"]).file_name().unwrap().to_str().unwrap().to_owned();
        (SlideId::new(line["id"].clone()).unwrap(), painted.remove(&name).unwrap())
    });
    Ward { slides: slides.collect(), folder, out }
}

fn succeed(output: &Output) {
    assert!(output.status.success(), "{}", stderr(output));
}

/// Lines of a table by its header.
fn lines(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader.deserialize().map(Result::unwrap).collect()
}

fn cohort(out: &Path, more: &[&str]) -> Output {
    slidemill().arg("cohort").arg(out).args(more).output().unwrap()
}

/// A line of a table, whose numbers can be read.
struct Line(BTreeMap<String, String>);

impl Line {
    /// The line in which these columns have these values.
    fn find(lines: &[BTreeMap<String, String>], wanted: &[(&str, &str)]) -> Self {
        let found = lines.iter().find(|line| wanted.iter().all(|(name, value)| line[*name] == *value));
        Self(found.unwrap_or_else(|| panic!("{wanted:?}: {lines:?}")).clone())
    }

    fn number(&self, column: &str) -> f64 {
        self.0[column].parse().unwrap_or_else(|_| panic!("{column}: {:?}", self.0))
    }

    fn count(&self, column: &str) -> usize {
        self.0[column].parse().unwrap_or_else(|_| panic!("{column}: {:?}", self.0))
    }

    fn holds(&self, value: f64) -> bool {
        (self.number("low")..=self.number("high")).contains(&value)
    }

    /// Middle of a field on level 0, and its radius, px.
    fn field(&self) -> (Level0Point, f64) {
        (Level0Point::new(self.number("x_px"), self.number("y_px")), self.number("reach_px"))
    }
}

/// The measures of a slide.
struct Measures<'a> {
    id: &'a SlideId,
    lines: &'a [BTreeMap<String, String>],
}

impl Measures<'_> {
    fn line(&self, measure: &str, place: &str) -> Line {
        let wanted = [("slide_id", self.id.as_str()), ("measure", measure), ("place", place)];
        Line::find(self.lines, &wanted)
    }
}

/// `true` for a cell that is too pale for a painted nucleus.
fn is_faint(cell: &CellRow) -> bool {
    cell.hematoxylin_od.expect("hematoxylin was measured") < FAINT_OD
}

/// Cells are painted nuclei, each found at most once, but for the faint ones.
fn assert_cells(id: &SlideId, cells: &[CellRow], slide: &PaintedSlide) {
    let mut times = vec![0; slide.truth.cells.len()];
    for cell in cells {
        let distances = slide.truth.cells.iter().map(|painted| (painted.centre - cell.centroid).length());
        let nearest = distances.enumerate().min_by(|one, other| one.1.total_cmp(&other.1)).unwrap();
        assert_eq!(nearest.1 > SAME_PX, is_faint(cell), "{id}: {cell:?}, {} px away", nearest.1);
        times[nearest.0] += usize::from(!is_faint(cell));
    }
    let twice = times.iter().filter(|times| **times > 1).count();
    println!(
        "{id}: {} cells, {} faint, {twice} twice",
        cells.len(),
        cells.iter().filter(|cell| is_faint(cell)).count()
    );
    // Of one long nucleus each of the four windows gives the whole and, less surely, a half.
    assert!(twice <= 1, "{id}: {twice} nuclei are found twice");
}

fn dab_of(cell: &CellRow) -> f64 {
    cell.dab_od.expect("DAB was measured").into()
}

/// What was found within a circle in the tumour.
fn counted_in_field<'c>(
    cells: impl IntoIterator<Item = &'c CellRow>,
    centre: Level0Point,
    reach_px: f64,
) -> Counts {
    let in_tumour = cells.into_iter().filter(|cell| holds(&TUMOUR, cell.centroid));
    Counts::new(in_tumour.filter(|cell| (cell.centroid - centre).length() <= reach_px).map(dab_of))
}

/// The measures are those of the table of cells, counted here once more, and near what was painted.
fn assert_slide(ward: &Ward, id: &SlideId, slide: &PaintedSlide, measures: &Measures<'_>) {
    let cells = read_cells(&Dataset::at(&ward.out).cells(id)).unwrap();
    assert_cells(id, &cells, slide);
    let in_tumour = cells.iter().filter(|cell| holds(&TUMOUR, cell.centroid));
    let (found, painted) = (Counts::new(in_tumour.map(dab_of)), slide.tumour());
    let index = measures.line("Ki-67", "regions Tumor");
    assert_eq!((index.count("cells"), index.count("others")), (found.at_least[0], found.all), "{id}");
    let score = measures.line("strength", "regions Tumor");
    assert!((score.number("value") - found.h_score()).abs() < 1e-4, "{id}: {found:?}");

    let spot = measures.line("Ki-67 hot spot", "Ki-67 hot spot 1");
    let (centre, reach_px) = spot.field();
    let field = counted_in_field(&cells, centre, reach_px);
    let hot = measures.line("Ki-67 in the hot spot", "Ki-67 hot spot 1");
    assert_eq!(spot.count("cells"), field.at_least[0], "{id}");
    assert_eq!((hot.count("cells"), hot.count("others")), (field.at_least[0], field.all), "{id}");
    let painted_field = slide.field(centre, reach_px);
    let nuclei = counted_in_field(cells.iter().filter(|cell| !is_faint(cell)), centre, reach_px);
    println!(
        "{} {id}: tumour {} of {}, Ki-67 {:.3} of {:.3}, H-score {:.1} of {:.1}; hot spot {:.0} px away, {:.3}, {:.3} of {:.3}",
        slide.patient.name,
        found.all,
        painted.all,
        found.index(),
        painted.index(),
        found.h_score(),
        painted.h_score(),
        (centre - slide.hot).length(),
        field.index(),
        nuclei.index(),
        painted_field.index(),
    );
    assert!(nuclei.all.abs_diff(painted_field.all) <= 1, "{id}: {nuclei:?}, {painted_field:?}");
    assert!((nuclei.index() - painted_field.index()).abs() < 0.02, "{id}: {nuclei:?}, {painted_field:?}");
    assert!((found.all as f64 / painted.all as f64 - 1.0).abs() < 0.12, "{id}: {found:?}, {painted:?}");
    assert!((found.index() - painted.index()).abs() < 0.02, "{id}: {found:?}, {painted:?}");
    // The box of a nucleus holds its rim too, so strong ones are measured a little weaker.
    assert!((found.h_score() - painted.h_score()).abs() < 20.0, "{id}: {found:?}, {painted:?}");
    assert!(
        field.at_least[0] >= counted_in_field(&cells, slide.hot, reach_px).at_least[0],
        "{id}: {field:?} is not the most"
    );
    // Pale discs in a vessel are nearly half of the cells of one field.
    assert!((field.index() - painted_field.index()).abs() < 0.16, "{id}: {field:?}, {painted_field:?}");
    for (line, truth) in
        [(&index, painted.index()), (&score, painted.h_score()), (&hot, painted_field.index())]
    {
        assert!(line.holds(truth), "{id}: {truth} is not in {:?}", line.0);
    }
    assert_eq!(index.0["grade"], slide.patient.grade, "{id}");
}

#[test]
fn patients_are_ranked_and_graded_as_they_were_painted() {
    let ward = ward();
    let lines_of_measures = lines(&ward.out.join("measures.csv"));
    assert_eq!(ward.slides.len(), 9);
    for (id, slide) in &ward.slides {
        assert_slide(&ward, id, slide, &Measures { id, lines: &lines_of_measures });
    }
    succeed(&cohort(&ward.out, &["--by", "patient,group"]));
    let folder = ward.out.join(".slidemill/cohort");
    assert_cohort(&ward, &lines(&folder.join("cohort.csv")));
    assert_grades(&ward, &lines_of_measures, &lines(&folder.join("grades.csv")));
    assert_names_are_where_they_belong(&ward, &folder);
}

/// The line of a quantity in one group of slides.
fn of_group(cohort: &[BTreeMap<String, String>], by: &str, group: &str, quantity: &str, place: &str) -> Line {
    Line::find(cohort, &[("by", by), ("group", group), ("quantity", quantity), ("place", place)])
}

/// Means, intervals and sums of patients and groups.
fn assert_cohort(ward: &Ward, cohort: &[BTreeMap<String, String>]) {
    let mut means = Vec::new();
    for patient in &PATIENTS {
        let name = shown(patient);
        let painted: Vec<Counts> = ward
            .slides
            .values()
            .filter(|slide| slide.patient.name == patient.name)
            .map(PaintedSlide::tumour)
            .collect();
        let truth = painted.iter().map(Counts::index).sum::<f64>() / painted.len() as f64;
        let index = of_group(cohort, "patient", &name, "Ki-67", "regions Tumor");
        assert_eq!(index.count("slides"), 3);
        assert!(index.holds(truth), "{truth} is not in {:?}", index.0);
        assert!((index.number("mean") - truth).abs() < 0.02, "{truth}: {:?}", index.0);
        let score = of_group(cohort, "patient", &name, "strength", "regions Tumor");
        let truth = painted.iter().map(Counts::h_score).sum::<f64>() / painted.len() as f64;
        // The ellipse in a box holds some of the paler rim: strengths come out low, never high.
        let share = score.number("mean") / truth;
        assert!((0.75..1.05).contains(&share), "{share} of {truth}: {:?}", score.0);
        means.push([
            index.number("mean"),
            score.number("mean"),
            of_group(cohort, "patient", &name, "Ki-67 in the hot spot", "Ki-67 hot spot 1").number("mean"),
            -of_group(cohort, "patient", &name, "Ki-67 of stroma", "regions Stroma").number("mean"),
        ]);
    }
    println!("means: {means:?}");
    for (less, more) in means.iter().zip(&means[1..]) {
        assert!(less.iter().zip(more).all(|(less, more)| less < more), "{means:?}");
    }
    let [seven, eight] =
        ["arm-seven", "arm-eight"].map(|group| of_group(cohort, "group", group, "Ki-67", "regions Tumor"));
    assert_eq!((seven.count("slides"), eight.count("slides")), (6, 3));
    assert!(seven.number("high") < eight.number("low"), "{:?} {:?}", seven.0, eight.0);
}

/// The grade of each patient is the painted one, over the sums of what its slides have in the table of measures.
fn assert_grades(ward: &Ward, measures: &[BTreeMap<String, String>], grades: &[BTreeMap<String, String>]) {
    assert_eq!(grades.len(), PATIENTS.len());
    for patient in &PATIENTS {
        let name = shown(patient);
        let grade =
            Line::find(grades, &[("patient", &name), ("quantity", "Ki-67"), ("place", "regions Tumor")]);
        let own = ward.slides.iter().filter(|(_, slide)| slide.patient.name == patient.name);
        let slides: Vec<Line> = own
            .clone()
            .map(|(id, _)| Measures { id, lines: measures }.line("Ki-67", "regions Tumor"))
            .collect();
        let [cells, others] =
            ["cells", "others"].map(|name| slides.iter().map(|line| line.count(name)).sum());
        assert_eq!((grade.count("cells"), grade.number("over")), (cells, others as f64));
        assert!((grade.number("pooled") - cells as f64 / others as f64).abs() < 1e-6, "{:?}", grade.0);
        let painted: Vec<Counts> = own.map(|(_, slide)| slide.tumour()).collect();
        let [positive, all] = [
            painted.iter().map(|counts| counts.at_least[0]).sum::<usize>(),
            painted.iter().map(|counts| counts.all).sum::<usize>(),
        ];
        let truth = positive as f64 / all as f64;
        let interval = grade.number("pooled_low")..=grade.number("pooled_high");
        assert!(interval.contains(&truth), "{truth} is not in {:?}", grade.0);
        assert_eq!((grade.0["grade"].as_str(), grade.count("slides")), (patient.grade, 3), "{:?}", grade.0);
        assert!(grade.0["source"].starts_with("WHO Classification of Tumours"), "{:?}", grade.0);
    }
}

/// The name of a patient in a table: a text that a spreadsheet would take for a formula has an apostrophe before it.
fn shown(patient: &Patient) -> String {
    if patient.name.starts_with('=') { format!("'{}", patient.name) } else { patient.name.into() }
}

/// Patients, groups and blocks are in what is private, names of files in the private report alone.
fn assert_names_are_where_they_belong(ward: &Ward, cohort: &Path) {
    for more in [&["--print"][..], &["--print", "--private"]] {
        succeed(&slidemill().arg("report").arg(&ward.out).args(more).output().unwrap());
    }
    let private =
        [&PATIENTS.map(|patient| patient.name)[..], &["arm-seven", "arm-eight", "block-1"]].concat();
    let shared = ["report.html", "summary.csv", "summary.parquet", "measures.csv", "measures.parquet"];
    let shared =
        shared.map(|name| ward.out.join(name)).into_iter().chain(files_in(&ward.out.join("report/print")));
    let mut read = 0;
    for path in shared {
        let bytes = fs::read(&path).unwrap();
        for name in private.iter().chain(&["Muster-", ward.folder.path().to_str().unwrap()]) {
            assert!(
                !bytes.windows(name.len()).any(|part| part == name.as_bytes()),
                "{name} in {}",
                path.display()
            );
        }
        read += 1;
    }
    assert_eq!(read, 5 + 9, "each slide has a page for paper");
    let page = fs::read_to_string(cohort.join("cohort.html")).unwrap();
    assert!(
        page.contains("neuroendocrine tumours, Ki-67, by Ki-67, share, regions Tumor<")
            && page.contains("IARC, Lyon 2019")
    );
    let report = fs::read_to_string(ward.out.join(".slidemill/report.html")).unwrap();
    for name in private.iter().filter(|name| !name.starts_with("block")) {
        assert!(page.contains(name) && report.contains(name), "{name}");
    }
    assert!(!page.contains("Muster-") && report.contains("Muster-0-0.tif"));
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}
