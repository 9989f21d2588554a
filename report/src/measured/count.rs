//! The measures of one slide, counted from its tables.

use std::collections::{BTreeMap, BTreeSet};

use dataset::{Analysis, CellMeasure, CellRow, Dataset, ROI, RegionRow, SlideId, TISSUE, read_regions};
use measures::{
    Ground, HotSpot, Measures,
    file::{HotSpotMeasure, Index, Place},
    hot_spots,
    index::{AreaOf, Counts, Over, Selection},
    interval::{Level, poisson},
};
use wsi_types::{Level0Box, Level0Point, Mpp, is_same_class};

use super::{
    definition::selections,
    line::{Graded, Measured},
};
use crate::error::ReportError;

/// The cells that measures are about, collected in one pass over the table of a slide.
pub(crate) struct ChosenCells {
    /// Centroids of the cells of each selection.
    points: Vec<(Selection, Vec<Level0Point>)>,
    /// Columns that are asked for, by name.
    measures: BTreeMap<String, CellMeasure>,
    /// Those that no cell so far has a value of.
    unmeasured: BTreeSet<String>,
    /// Cells so far.
    cells: u64,
}

impl ChosenCells {
    /// Asks for the cells of all selections; `None` asks for nothing.
    pub(crate) fn new(wanted: Option<&Measures>) -> Self {
        let mut points: Vec<(Selection, Vec<Level0Point>)> = Vec::new();
        for selection in wanted.into_iter().flat_map(selections) {
            if points.iter().all(|(known, _)| known != selection) {
                points.push((selection.clone(), Vec::new()));
            }
        }
        let names = points.iter().flat_map(|(selection, _)| selection.ranges.keys());
        let measures: BTreeMap<String, CellMeasure> =
            names.filter_map(|name| Some((name.clone(), CellMeasure::named(name)?))).collect();
        let unmeasured = measures.keys().cloned().collect();
        Self { points, measures, unmeasured, cells: 0 }
    }

    /// Columns that it needs of each cell.
    pub(crate) fn columns(&self) -> Vec<String> {
        let asked = self.measures.keys().map(String::as_str);
        let columns: BTreeSet<&str> = asked.chain(["class_name", "x_px", "y_px"]).collect();
        columns.into_iter().map(str::to_owned).collect()
    }

    /// Takes a cell.
    pub(crate) fn add(&mut self, cell: &CellRow) {
        self.cells += 1;
        let measures = &self.measures;
        self.unmeasured.retain(|name| measures.get(name).is_none_or(|measure| measure.of(cell).is_none()));
        for (selection, points) in &mut self.points {
            if selection.holds(&cell.class_name, |name| measures.get(name)?.of(cell)) {
                points.push(cell.centroid);
            }
        }
    }

    /// A column that a selection asks for and that no cell has a value of, though there are cells.
    fn unmeasured_of<'s>(&self, selection: &'s Selection) -> Option<&'s str> {
        let asked = selection.ranges.keys().find(|column| self.unmeasured.contains(*column));
        asked.filter(|_| self.cells > 0).map(String::as_str)
    }
}

/// All measures of a slide, in the order of their definition, of the cells that were chosen for them; or why these could
/// not be read.
pub(crate) fn measured(
    dataset: &Dataset,
    id: &SlideId,
    analysis: &Analysis,
    wanted: &Measures,
    cells: Result<ChosenCells, &ReportError>,
) -> Vec<Measured> {
    let chosen = match cells {
        Ok(chosen) => chosen,
        Err(error) => return all_failed(wanted, error),
    };
    match Slide::new(dataset, id, analysis, chosen) {
        Ok(slide) => slide.measured(wanted),
        Err(error) => all_failed(wanted, &error),
    }
}

fn all_failed(wanted: &Measures, error: &ReportError) -> Vec<Measured> {
    let why = format!("its tables cannot be used: {error}");
    let spots = wanted.hot_spots.iter().map(|spot| no_spot(spot, why.clone()));
    let indices = wanted.indices.iter().map(|index| no_index(index, why.clone()));
    spots.chain(indices).collect()
}

fn no_spot(spot: &HotSpotMeasure, why: String) -> Measured {
    Measured::problem(&spot.name, "per mm²".to_owned(), place_of_spot(spot), why)
}

fn place_of_spot(spot: &HotSpotMeasure) -> String {
    spot.within.as_ref().map_or_else(|| "slide".to_owned(), |class| format!("regions {class}"))
}

fn no_index(index: &Index, why: String) -> Measured {
    let place = match &index.place {
        Place::Slide => "slide".to_owned(),
        Place::Regions(class) => format!("regions {class}"),
        Place::HotSpot(spot) => spot.clone(),
    };
    Measured::problem(&index.name, unit(&index.over), place, why)
}

/// The unit of an index in words.
pub(crate) fn unit(over: &Over) -> String {
    match over {
        Over::Share(_) => "share".to_owned(),
        Over::Ratio(_) => "ratio".to_owned(),
        Over::Area { mm2, of } => {
            let number = if *mm2 == 1.0 { String::new() } else { format!("{mm2} ") };
            let tissue = if *of == AreaOf::Tissue { " of tissue" } else { "" };
            format!("per {number}mm²{tissue}")
        }
        Over::HScore { .. } => "of 300".to_owned(),
    }
}

/// Data that is read of a slide.
struct Slide<'a> {
    analysis: &'a Analysis,
    mpp: Mpp,
    regions: Vec<RegionRow>,
    /// Centroids of the cells of each selection that is asked for.
    chosen: ChosenCells,
}

impl<'a> Slide<'a> {
    fn new(
        dataset: &Dataset,
        id: &SlideId,
        analysis: &'a Analysis,
        chosen: ChosenCells,
    ) -> Result<Self, ReportError> {
        let regions = read_regions(&dataset.regions(id))?;
        let mpp = Mpp::new(analysis.mpp).map_err(|error| ReportError::encode("the measures", &error))?;
        Ok(Self { analysis, mpp, regions, chosen })
    }

    fn measured(&self, wanted: &Measures) -> Vec<Measured> {
        let mut lines = Vec::new();
        let mut spots = BTreeMap::new();
        for spot in &wanted.hot_spots {
            match self.hot_spots(spot) {
                Ok(found) => {
                    lines.extend(found.iter().zip(1..).map(|(field, rank)| spot_line(spot, field, rank)));
                    if found.is_empty() {
                        lines.push(no_spot(spot, "there is no such cell".to_owned()));
                    }
                    spots.insert(spot.name.as_str(), found);
                }
                Err(why) => lines.push(no_spot(spot, why)),
            }
        }
        for index in &wanted.indices {
            match self.index(index, &spots) {
                Ok(found) => lines.extend(found.into_iter().map(|line| graded(line, wanted))),
                Err(why) => lines.push(no_index(index, why)),
            }
        }
        lines
    }

    /// The cells of a selection, or why nothing can be said of them.
    fn cells(&self, selection: &Selection) -> Result<&[Level0Point], String> {
        if let Some(class) = selection.class.iter().find(|class| !self.analysis.cells.contains_key(*class)) {
            let known: Vec<_> = self.analysis.cells.keys().map(String::as_str).collect();
            return Err(format!("the model has no class {class:?}, its classes are {}", known.join(", ")));
        }
        if let Some(column) = self.chosen.unmeasured_of(selection) {
            return Err(unmeasured(column));
        }
        let own = self.chosen.points.iter().find(|(known, _)| known == selection);
        own.map(|(_, points)| points.as_slice()).ok_or_else(|| "its cells were not read".to_owned())
    }

    fn hot_spots(&self, spot: &HotSpotMeasure) -> Result<Vec<HotSpot>, String> {
        let ground = match &spot.within {
            Some(class) => self.ground(&self.regions_of(class)?)?,
            None => self.ground(&self.tissue()?)?,
        };
        let cells = self.cells(&spot.cells)?;
        hot_spots(cells, self.mpp, spot.field, &ground, spot.most).map_err(|error| error.to_string())
    }

    fn tissue(&self) -> Result<Vec<&RegionRow>, String> {
        let tissue: Vec<_> = self.regions.iter().filter(|region| region.kind == TISSUE).collect();
        if tissue.is_empty() { Err("no tissue was found".to_owned()) } else { Ok(tissue) }
    }

    /// Regions of interest of a class; where nobody drew any, those of the kind of that name.
    fn regions_of(&self, class: &str) -> Result<Vec<&RegionRow>, String> {
        let drawn: Vec<_> = self.regions.iter().filter(|region| is_drawn_as(region, class)).collect();
        if !drawn.is_empty() {
            return Ok(drawn);
        }
        let of_kind: Vec<_> =
            self.regions.iter().filter(|region| is_same_class(&region.kind, class)).collect();
        if of_kind.is_empty() {
            let known: BTreeSet<&str> = self.regions.iter().map(label).collect();
            let known: Vec<&str> = known.into_iter().collect();
            return Err(format!("there is no region {class:?}, there are {}", known.join(", ")));
        }
        Ok(of_kind)
    }

    /// Returns the ground where cells count, of regions that do not overlap.
    fn ground(&self, regions: &[&RegionRow]) -> Result<Ground, String> {
        if let Some((one, other)) = overlapping(regions) {
            return Err(format!(
                "its regions {} and {} overlap, and area would count twice there",
                one.region_id, other.region_id
            ));
        }
        let rings = regions.iter().flat_map(|region| region.rings.iter().cloned());
        Ground::from_rings(rings.collect()).map_err(|error| error.to_string())
    }

    /// An index in its place, or in each of its places.
    fn index(&self, index: &Index, spots: &BTreeMap<&str, Vec<HotSpot>>) -> Result<Vec<Measured>, String> {
        let counting = Counting {
            index,
            cells: self.cells(&index.of)?,
            others: match &index.over {
                Over::Share(others) | Over::Ratio(others) | Over::HScore { all: others, .. } => {
                    Some(self.cells(others)?)
                }
                Over::Area { .. } => None,
            },
            stronger: match &index.over {
                Over::HScore { stronger: [moderate, strong], .. } => {
                    [self.cells(moderate)?, self.cells(strong)?]
                }
                Over::Share(_) | Over::Ratio(_) | Over::Area { .. } => [&[], &[]],
            },
        };
        match &index.place {
            Place::Slide => {
                Ok(vec![counting.line("slide".to_owned(), |_| 1, self.analysis.coverage.analysed_mm2)])
            }
            Place::Regions(class) => {
                let regions = self.regions_of(class)?;
                let area_mm2 = area_mm2(&regions, &index.over)?;
                let grounds = regions.iter().map(|region| Ground::from_rings(region.rings.clone()));
                let grounds = grounds.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
                // As the regions table has it: a cell in two of them counts in both, as their areas do.
                let line = counting.line(
                    format!("regions {class}"),
                    |point| grounds.iter().filter(|ground| ground.contains(point)).count() as u64,
                    area_mm2,
                );
                let note = overlapping(&regions).map(|_| OVERLAP.to_owned());
                Ok(vec![Measured { note, ..line }])
            }
            Place::HotSpot(name) => {
                let fields = spots.get(name.as_str()).filter(|fields| !fields.is_empty());
                let fields = fields.ok_or_else(|| format!("there is no hot spot {name:?}"))?;
                let lines = fields.iter().zip(1..).map(|(field, rank)| {
                    let place = format!("{name} {rank}");
                    counting.line(place, |point| u64::from(field.contains(point)), field.area_mm2)
                });
                Ok(lines.collect())
            }
        }
    }
}

/// Says that no cell has a value of a column, and what a run needs to measure it.
fn unmeasured(column: &str) -> String {
    match CellMeasure::named(column).and_then(|measure| measure.needs()) {
        Some(needs) => format!("no cell has a value of {column}: measured with {needs}"),
        None => format!("no cell has a value of {column}"),
    }
}

/// The area that an index over regions divides by, mm².
fn area_mm2(regions: &[&RegionRow], over: &Over) -> Result<f64, String> {
    let of_tissue = matches!(over, Over::Area { of: AreaOf::Tissue, .. });
    let areas = regions
        .iter()
        .map(|region| if of_tissue { region.analysed_tissue_um2 } else { Some(region.analysed_um2) });
    let um2: Option<f64> = areas.sum();
    um2.map(|um2| um2 * 1e-6).ok_or_else(|| {
        "the tissue of its regions is not known: its tables were written by a version that did not measure it; \
         `slidemill merge` writes them anew where raw detections were kept, else run the slide again"
            .to_owned()
    })
}

/// The note on a sum over regions that overlap.
const OVERLAP: &str = "its regions overlap: cells and area there count more than once";

/// An index and the cells it is about.
struct Counting<'a> {
    index: &'a Index,
    cells: &'a [Level0Point],
    /// Cells that they are divided by, where the index is over cells.
    others: Option<&'a [Level0Point]>,
    /// Of an H-score: cells of 2+ and more, and of 3+.
    stronger: [&'a [Level0Point]; 2],
}

impl Counting<'_> {
    /// The index in one place: `times` says how often a cell there counts.
    fn line(&self, place: String, times: impl Fn(Level0Point) -> u64, area_mm2: f64) -> Measured {
        let counts = Counts {
            cells: sum(self.cells, &times),
            others: self.others.map_or(0, |others| sum(others, &times)),
            stronger: self.stronger.map(|cells| sum(cells, &times)),
            area_mm2,
        };
        index_line(self.index, place, counts)
    }
}

/// How often cells count, all together.
fn sum(cells: &[Level0Point], times: impl Fn(Level0Point) -> u64) -> u64 {
    cells.iter().map(|&point| times(point)).sum()
}

/// `true` for a region of interest of that class.
fn is_drawn_as(region: &RegionRow, class: &str) -> bool {
    let own = region.class_name.as_deref().filter(|_| region.kind == ROI);
    own.is_some_and(|own| is_same_class(own, class))
}

/// The class of a region of interest, the kind of others.
fn label(region: &RegionRow) -> &str {
    match &region.class_name {
        Some(class) if region.kind == ROI => class,
        _ => &region.kind,
    }
}

/// Two regions that share an area: a side of one lies inside of the other, or their sides cross. Parts of tissue and what a model
/// found never do.
fn overlapping<'r>(regions: &[&'r RegionRow]) -> Option<(&'r RegionRow, &'r RegionRow)> {
    if regions.iter().all(|region| region.kind != ROI) {
        return None;
    }
    let pairs = regions.iter().enumerate().flat_map(|(place, one)| {
        regions
            .iter()
            .enumerate()
            .filter(move |(other, _)| *other != place)
            .map(move |(_, other)| (*one, *other))
    });
    pairs.filter(|(one, other)| one.bbox.intersects(&other.bbox)).find(|(one, other)| {
        let ground = Ground::from_rings(other.rings.clone());
        ground.is_ok_and(|ground| middles(one).any(|point| ground.contains(point))) || sides_cross(one, other)
    })
}

/// `true` if a side of one region crosses a side of the other; sides that touch do not cross.
fn sides_cross(one: &RegionRow, other: &RegionRow) -> bool {
    let Some(common) = one.bbox.intersection(&other.bbox) else { return false };
    let others: Vec<Side> = sides(other).filter(|side| reaches(*side, &common)).collect();
    sides(one)
        .filter(|side| reaches(*side, &common))
        .any(|side| others.iter().any(|other| cross(side, *other)))
}

type Side = (Level0Point, Level0Point);

fn sides(region: &RegionRow) -> impl Iterator<Item = Side> + '_ {
    region.rings.iter().flat_map(|ring| wsi_types::ring::segments(ring))
}

/// `true` if the box of a side shares a point with `area`.
fn reaches((a, b): Side, area: &Level0Box) -> bool {
    let (low, high) = (a.min(b), a.max(b));
    low.x <= area.max.x && high.x >= area.min.x && low.y <= area.max.y && high.y >= area.min.y
}

/// `true` if the ends of each side lie on both sides of the other.
fn cross((a, b): Side, (c, d): Side) -> bool {
    let parted = |(a, b): Side, (c, d): Side| (b - a).cross(c - a) * (b - a).cross(d - a) < 0.0;
    parted((a, b), (c, d)) && parted((c, d), (a, b))
}

/// The middles of all sides of a region, which lie on no corner of a neighbour that it touches.
fn middles(region: &RegionRow) -> impl Iterator<Item = Level0Point> + '_ {
    sides(region).map(|(a, b)| a.lerp(b, 0.5))
}

fn spot_line(spot: &HotSpotMeasure, field: &HotSpot, rank: usize) -> Measured {
    let (low, high) = poisson(field.cells, Level::PERCENT_95);
    let exists = field.area_mm2 > 0.0;
    Measured {
        name: spot.name.clone(),
        unit: "per mm²".to_owned(),
        place: format!("{} {rank}", spot.name),
        cells: Some(field.cells),
        others: None,
        stronger: None,
        area_mm2: Some(field.area_mm2),
        value: field.per_mm2(),
        interval: exists.then(|| (low / field.area_mm2, high / field.area_mm2)),
        field: Some(*field),
        grades: Vec::new(),
        problem: (!exists).then(|| "its field has no area on the tissue".to_owned()),
        note: None,
    }
}

fn index_line(index: &Index, place: String, counts: Counts) -> Measured {
    let found = index.over.value(counts, Level::PERCENT_95);
    let over_area = matches!(index.over, Over::Area { .. });
    Measured {
        name: index.name.clone(),
        unit: unit(&index.over),
        place,
        cells: Some(counts.cells),
        others: (!over_area).then_some(counts.others),
        stronger: matches!(index.over, Over::HScore { .. }).then_some(counts.stronger),
        area_mm2: over_area.then_some(counts.area_mm2),
        value: found.value,
        interval: found.value.map(|_| (found.low, found.high)),
        field: None,
        grades: Vec::new(),
        problem: found.value.is_none().then(|| "there is nothing to divide by".to_owned()),
        note: None,
    }
}

/// An index with its bands in every scheme over it.
fn graded(line: Measured, wanted: &Measures) -> Measured {
    let (Some(value), Some((low, high))) = (line.value, line.interval) else { return line };
    let own = wanted.schemes.iter().filter(|scheme| scheme.index == line.name);
    let grades = own.map(|scheme| {
        let grading = scheme.grading(value, low, high);
        Graded {
            scheme: scheme.name.clone(),
            grade: grading.map(|grading| grading.grade.to_owned()),
            interval: grading.map(|grading| (grading.interval.0.to_owned(), grading.interval.1.to_owned())),
            source: scheme.source.clone(),
        }
    });
    Measured { grades: grades.collect(), ..line }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use dataset::Coverage;

    fn square(kind: &str, class: Option<&str>, x: f64, side: f64) -> RegionRow {
        let corners = [(x, 0.0), (x + side, 0.0), (x + side, side), (x, side)];
        let ring: Vec<_> = corners.iter().map(|&(x, y)| Level0Point::new(x, y)).collect();
        RegionRow {
            kind: kind.into(),
            class_name: class.map(str::to_owned),
            bbox: Level0Box::from_points(&ring),
            analysed_um2: side * side,
            analysed_tissue_um2: Some(side * side),
            area_um2: side * side,
            rings: vec![ring],
            ..RegionRow::default()
        }
    }

    /// Two mitoses near each other and a third far off, of 4 mm² at 1 µm/px; a tumour on the left mm².
    fn lines(wanted: &str, more: Vec<RegionRow>) -> Vec<Measured> {
        let wanted = Measures::from_toml(wanted).unwrap();
        let cells = BTreeMap::from([("mitosis".to_owned(), 3), ("other".to_owned(), 0)]);
        let coverage = Coverage { analysed_mm2: 4.0, ..Coverage::default() };
        let analysis = Analysis { cells, coverage, ..Analysis::default() };
        let points = [(100.0, 100.0), (150.0, 100.0), (1500.0, 1500.0)].map(|(x, y)| Level0Point::new(x, y));
        let mut regions = vec![square(TISSUE, None, 0.0, 2000.0), square(ROI, Some("Tumor"), 0.0, 1000.0)];
        regions.extend(more);
        let chosen = selections(&wanted).map(|selection| {
            let is_meant = selection.holds("mitosis", |_| None);
            (selection.clone(), if is_meant { points.to_vec() } else { Vec::new() })
        });
        let slide = Slide {
            analysis: &analysis,
            mpp: Mpp::new(1.0).unwrap(),
            regions,
            chosen: ChosenCells {
                points: chosen.collect(),
                unmeasured: BTreeSet::from(["dab_od".to_owned(), "nn1_um".to_owned()]),
                cells: 1,
                ..ChosenCells::new(Some(&wanted))
            },
        };
        slide.measured(&wanted)
    }

    const WANTED: &str = r#"
[[hot-spot]]
name = "mitoses"
cells = { class = ["mitosis"] }
area-mm2 = 0.1
shape = "square"
most = 2

[[index]]
name = "per slide"
of = { class = ["mitosis"] }
per-mm2 = 2

[[index]]
name = "in tumour"
of = { class = ["mitosis"] }
per-mm2 = 1
regions = "Tumor"

[[index]]
name = "in spots"
of = { class = ["mitosis"] }
share-of = { class = ["mitosis", "other"] }
hot-spot = "mitoses"

[[grade]]
name = "bands"
index = "per slide"
source = "someone"
bands = [{ grade = "low", below = 1 }, { grade = "high", from = 1 }]
"#;

    fn told(lines: &[Measured]) -> Vec<(String, Option<u64>, Option<f64>)> {
        lines.iter().map(|line| (line.place.clone(), line.cells, line.value)).collect()
    }

    #[test]
    fn each_measure_is_counted_in_its_places() {
        let lines = lines(WANTED, Vec::new());
        let found = told(&lines);
        assert_eq!(found[0].1, Some(2));
        assert_eq!(
            (found[0].0.as_str(), found[1].0.as_str(), found[1].1),
            ("mitoses 1", "mitoses 2", Some(1))
        );
        assert_eq!(found[2], ("slide".to_owned(), Some(3), Some(1.5)));
        assert_eq!(found[3], ("regions Tumor".to_owned(), Some(2), Some(2.0)));
        assert_eq!(
            found[4..],
            [("mitoses 1".to_owned(), Some(2), Some(1.0)), ("mitoses 2".to_owned(), Some(1), Some(1.0))]
        );
        let grade = &lines[2].grades[0];
        assert_eq!((grade.grade.as_deref(), grade.source.as_str()), (Some("high"), "someone"));
        assert_eq!(
            grade.interval,
            Some(("low".to_owned(), "high".to_owned())),
            "three cells do not settle it"
        );
    }

    #[test]
    fn an_area_of_regions_may_be_their_tissue_alone() {
        let wanted = WANTED.replace("regions = \"Tumor\"", "regions = \"Tumor\"\narea = \"tissue\"");
        let whole = square(ROI, Some("Tumor"), 5000.0, 1000.0);
        let half = RegionRow { analysed_tissue_um2: Some(0.5e6), ..whole.clone() };
        let told = |more: RegionRow| lines(&wanted, vec![more]).remove(3);
        let line = told(half);
        assert_eq!((line.unit.as_str(), line.problem), ("per mm² of tissue", None));
        // The region of the dataset is all tissue, and 1 mm² too.
        assert_eq!((line.cells, line.area_mm2, line.value), (Some(2), Some(1.5), Some(2.0 / 1.5)));
        let problem = told(RegionRow { analysed_tissue_um2: None, ..whole }).problem.unwrap();
        assert!(problem.starts_with("the tissue of its regions is not known: "), "{problem}");
    }

    #[test]
    fn what_cannot_be_counted_says_why() {
        let problem = |old: &str, new: &str, more: Vec<RegionRow>| {
            let text = WANTED.replace(old, new);
            assert_ne!(text, WANTED);
            lines(&text, more).iter().filter_map(|line| line.problem.clone()).collect::<Vec<_>>().join("; ")
        };
        let said = problem("[\"mitosis\", \"other\"]", "[\"mitosis\", \"mitotic\"]", Vec::new());
        assert_eq!(said, "the model has no class \"mitotic\", its classes are mitosis, other");
        let said = problem("regions = \"Tumor\"", "regions = \"Stroma\"", Vec::new());
        assert_eq!(said, "there is no region \"Stroma\", there are Tumor, tissue");
        let positive = "of = { class = [\"mitosis\"], where = { dab_od = { min = 0.2 } } }\nper-mm2 = 2";
        let said = problem("of = { class = [\"mitosis\"] }\nper-mm2 = 2", positive, Vec::new());
        assert_eq!(said, "no cell has a value of dab_od: measured with --stains h-dab");
        let said = problem(
            "of = { class = [\"mitosis\"] }\nper-mm2 = 2",
            &positive.replace("dab_od", "nn1_um"),
            Vec::new(),
        );
        assert_eq!(said, "no cell has a value of nn1_um: measured with --features neighbours");
        let overlap = vec![square(ROI, Some("Tumor"), 500.0, 800.0)];
        let said = problem("most = 2", "most = 2\nwithin = \"Tumor\"", overlap);
        assert!(said.contains("overlap, and area would count twice"), "{said}");
        // Two corners overlap, and no middle of a side lies in the other.
        let mut corner = square(ROI, Some("Tumor"), 900.0, 1000.0);
        corner.rings[0].iter_mut().for_each(|point| point.y += 900.0);
        corner.bbox = Level0Box::from_points(&corner.rings[0]);
        let said = problem("most = 2", "most = 2\nwithin = \"Tumor\"", vec![corner]);
        assert!(said.contains("overlap, and area would count twice"), "{said}");
        let beside = vec![square(ROI, Some("Tumor"), 1000.0, 1000.0)];
        assert_eq!(problem("most = 2", "most = 1\nwithin = \"Tumor\"", beside), "", "they may touch");
    }

    #[test]
    fn classes_of_regions_match_in_any_case_and_what_people_drew_comes_first() {
        let in_tumour = |class: &str, more: Vec<RegionRow>| {
            let text = WANTED.replace("regions = \"Tumor\"", &format!("regions = {class:?}"));
            let line = lines(&text, more).remove(3);
            (line.cells, line.value, line.note)
        };
        assert_eq!(in_tumour("tumor", Vec::new()), (Some(2), Some(2.0), None));
        assert_eq!(in_tumour("TUMOR", vec![square("tumor", None, 0.0, 200.0)]).0, Some(2), "not the model's");
        assert_eq!(in_tumour("Nest", vec![square("nest", None, 0.0, 120.0)]).0, Some(1), "the model's");
        let (cells, value, note) = in_tumour("Tumor", vec![square(ROI, Some("tumor"), 120.0, 110.0)]);
        assert_eq!((cells, note.as_deref()), (Some(3), Some(OVERLAP)), "in both of its spellings");
        assert!((value.unwrap() - 3.0 / 1.0121).abs() < 1e-9, "{value:?}");
    }
}
