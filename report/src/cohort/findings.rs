//! What was found on each slide, one quantity after the other, from its account and the dataset's measures.

use std::collections::BTreeMap;

use ::measures::Measures;
use dataset::{Analysis, Dataset, Outcome, RunAccount, SlideId, TISSUE, wording::number};

use super::{
    numbers::number_in,
    table::{Column, Table},
};
use crate::{
    error::ReportError,
    measured::{MeasureLine, StoredMeasures, read_measures},
};

/// Ratio up to which scales are those of one setting of a scanner.
const SAME_SCALE: f64 = 1.01;

/// What is said of each slide: by slide, the value of each column.
pub type SlideColumns = BTreeMap<SlideId, BTreeMap<String, String>>;

/// A number that slides are compared by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Quantity {
    /// `density`, `share of cells`, or the name of a measure.
    pub(super) name: String,
    /// `slide`, the kind of some regions, or the place of a measure.
    pub(super) place: String,
    /// The class that is counted; `None` for all, and for measures.
    pub(super) class: Option<String>,
    /// `per mm²`, `share`, ….
    pub(super) unit: String,
}

/// Name of the column of the scale, which is known of every slide.
pub(super) const MPP: &str = "mpp";
pub(super) const DENSITY: &str = "density";
/// Unit of densities: over analysed tissue on slides, over all that was analysed in regions.
pub(super) const PER_MM2: &str = "per mm²";
/// Unit of densities over the analysed tissue in regions.
pub(super) const PER_MM2_TISSUE: &str = "per mm² of tissue";
pub(super) const SHARE: &str = "share of cells";
pub(super) const WHOLE: &str = "slide";

impl Quantity {
    pub(super) fn new(name: &str, place: &str, class: Option<&str>, unit: &str) -> Self {
        let class = class.map(str::to_owned);
        Self { name: name.to_owned(), place: place.to_owned(), class, unit: unit.to_owned() }
    }

    /// The most that it can be, in its unit.
    pub(super) fn most(&self) -> f64 {
        match self.unit.as_str() {
            "share" => 1.0,
            "of 300" => 300.0,
            _ => f64::INFINITY,
        }
    }
}

/// A quantity of one slide.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    pub(super) quantity: Quantity,
    pub(super) value: f64,
    /// Cells counted.
    pub(super) cells: Option<u64>,
    /// The mm², or the cells, that they are divided by.
    pub(super) over: Option<f64>,
    /// Of an H-score: cells of 2+ and more, and of 3+.
    pub(super) stronger: Option<[u64; 2]>,
    /// What to know before the value is used.
    pub(super) note: Option<String>,
}

impl Finding {
    /// Cells, and the mm² or the cells that they are divided by.
    pub(super) fn counted(quantity: Quantity, cells: u64, over: f64) -> Self {
        let value = cells as f64 / over;
        Self { quantity, value, cells: Some(cells), over: Some(over), stronger: None, note: None }
    }
}

/// A slide of a cohort.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CohortSlide {
    pub(super) id: SlideId,
    /// What is said of it, by name of the column, and its scale; values are not empty.
    pub(super) columns: BTreeMap<String, String>,
    /// Its scale in a word, the same for all slides whose scales differ by what scanners differ.
    pub(super) scale: String,
    /// `true` if its results are to be doubted.
    pub(super) is_doubtful: bool,
    /// `true` if some of its windows have no result.
    pub(super) is_incomplete: bool,
    pub(super) cells: u64,
    pub(super) analysed_mm2: f64,
    pub(super) findings: Vec<Finding>,
}

impl CohortSlide {
    /// The group that it belongs to by a column: its value there, or its scale.
    pub(super) fn group(&self, column: &str) -> Option<&str> {
        if column == MPP { Some(&self.scale) } else { self.columns.get(column).map(String::as_str) }
    }

    /// Its value of a quantity.
    pub(super) fn value(&self, quantity: &Quantity) -> Option<f64> {
        self.findings.iter().find(|finding| finding.quantity == *quantity).map(|finding| finding.value)
    }
}

/// `true` for the column that says whose a slide is.
pub(super) fn is_patient(column: &str) -> bool {
    column.eq_ignore_ascii_case("patient")
}

/// Content of a dataset that a cohort is made of.
pub(super) struct Read {
    /// Slides with results, in order of id.
    pub(super) slides: Vec<CohortSlide>,
    /// Number of slides without.
    pub(super) failed: usize,
    /// The definition of the measures.
    pub(super) definition: Measures,
}

/// Reads the results of all slides.
///
/// # Errors
///
/// When an account or the measures cannot be read.
pub(super) fn read(dataset: &Dataset, known: &SlideColumns) -> Result<Read, ReportError> {
    let StoredMeasures { definition, lines } = read_measures(dataset)?;
    let mut measures: BTreeMap<String, Vec<MeasureLine>> = BTreeMap::new();
    for line in lines {
        measures.entry(line.slide.clone()).or_default().push(line);
    }
    let accounts = dataset.read_accounts()?;
    let all = accounts.len();
    let slides: Vec<CohortSlide> = accounts
        .iter()
        .filter(|account| account.outcome != Outcome::Failed)
        .filter_map(|account| {
            let own = measures.get(account.slide.as_str()).map_or(&[][..], Vec::as_slice);
            slide_of(account, known.get(&account.slide), own)
        })
        .collect();
    let failed = all - slides.len();
    Ok(Read { slides: with_scales(slides), failed, definition })
}

/// Names the scales of slides so that those within [`SAME_SCALE`] of the finest of them are one.
fn with_scales(mut slides: Vec<CohortSlide>) -> Vec<CohortSlide> {
    let mut by_scale: Vec<(f64, &mut CohortSlide)> = slides
        .iter_mut()
        .filter_map(|slide| Some((number_in(&slide.scale).filter(|mpp| *mpp > 0.0)?, slide)))
        .collect();
    by_scale.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut left = &mut by_scale[..];
    while let Some(first) = left.first() {
        let same = left.iter().take_while(|other| other.0 <= first.0 * SAME_SCALE).count();
        let (scales, others) = left.split_at_mut(same);
        let mean = scales.iter().map(|(mpp, _)| mpp).sum::<f64>() / same as f64;
        scales.iter_mut().for_each(|(_, slide)| slide.scale = number((mean * 1e3).round() / 1e3));
        left = others;
    }
    slides
}

fn slide_of(
    account: &RunAccount,
    known: Option<&BTreeMap<String, String>>,
    measures: &[MeasureLine],
) -> Option<CohortSlide> {
    let analysis = account.analysis.as_ref()?;
    let mut columns = known.cloned().unwrap_or_default();
    columns.retain(|_, value| !value.is_empty());
    columns.entry(MPP.to_owned()).or_insert_with(|| number(analysis.mpp));
    let measured = measures.iter().filter_map(finding_of);
    Some(CohortSlide {
        id: account.slide.clone(),
        scale: columns[MPP].clone(),
        columns,
        is_doubtful: !account.doubts.is_empty(),
        is_incomplete: account.outcome == Outcome::Partial,
        cells: account.cells(),
        analysed_mm2: analysis.coverage.analysed_mm2,
        findings: counted(analysis).into_iter().chain(measured).collect(),
    })
}

fn finding_of(line: &MeasureLine) -> Option<Finding> {
    Some(Finding {
        quantity: Quantity::new(&line.measure, &line.place, None, &line.unit),
        value: line.value.filter(|value| value.is_finite())?,
        cells: line.cells,
        over: line.area_mm2.or(line.others.map(|others| others as f64)),
        stronger: line.stronger,
        note: line.note.clone(),
    })
}

/// Densities and shares, of the slide and of each kind of region.
fn counted(analysis: &Analysis) -> Vec<Finding> {
    let mut found = counted_in(WHOLE, &[(PER_MM2, analysis.coverage.analysed_mm2)], &analysis.cells);
    for kind in analysis.regions.iter().filter(|kind| kind.kind != TISSUE) {
        let tissue = kind.analysed_tissue_mm2.map(|mm2| (PER_MM2_TISSUE, mm2));
        let areas: Vec<Area> = std::iter::once((PER_MM2, kind.analysed_mm2)).chain(tissue).collect();
        found.extend(counted_in(&format!("regions {}", kind.label()), &areas, &kind.cells));
    }
    found
}

/// An area that cells are divided by, mm², with the unit of their density.
pub(super) type Area = (&'static str, f64);

/// Densities over each of some areas, and shares, in one place.
pub(super) fn counted_in(place: &str, areas: &[Area], cells: &BTreeMap<String, u64>) -> Vec<Finding> {
    let all: u64 = cells.values().sum();
    let mut found: Vec<Finding> = densities(place, None, all, areas).collect();
    if cells.len() > 1 {
        for (class, &count) in cells {
            found.extend(densities(place, Some(class), count, areas));
            let quantity = Quantity::new(SHARE, place, Some(class), "share");
            found.extend((all > 0).then(|| Finding::counted(quantity, count, all as f64)));
        }
    }
    found
}

fn densities(place: &str, class: Option<&str>, cells: u64, areas: &[Area]) -> impl Iterator<Item = Finding> {
    areas
        .iter()
        .filter(|(_, mm2)| *mm2 > 0.0)
        .map(move |(unit, mm2)| Finding::counted(Quantity::new(DENSITY, place, class, unit), cells, *mm2))
}

/// A line for each quantity of each slide.
pub(super) fn table(slides: &[CohortSlide], columns: &[String]) -> Table {
    let lines: Vec<(&CohortSlide, &Finding)> =
        slides.iter().flat_map(|slide| slide.findings.iter().map(move |finding| (slide, finding))).collect();
    let mut table = vec![Column::texts("slide_id", lines.iter().map(|(slide, _)| Some(slide.id.as_str())))];
    table.extend(columns.iter().map(|name| {
        Column::texts(name, lines.iter().map(|(slide, _)| slide.columns.get(name).map(String::as_str)))
    }));
    table.extend([
        Column::texts(
            "outcome",
            lines.iter().map(|(slide, _)| Some(if slide.is_incomplete { "partial" } else { "done" })),
        ),
        Column::texts(
            "doubtful",
            lines.iter().map(|(slide, _)| Some(if slide.is_doubtful { "yes" } else { "no" })),
        ),
    ]);
    table.extend(quantity_columns(lines.iter().map(|(_, finding)| &finding.quantity)));
    table.extend([
        Column::numbers("value", lines.iter().map(|(_, finding)| Some(finding.value))),
        Column::counts("cells", lines.iter().map(|(_, finding)| finding.cells)),
        Column::numbers("over", lines.iter().map(|(_, finding)| finding.over)),
    ]);
    Table::new(table)
}

/// The four columns that name a quantity.
pub(super) fn quantity_columns<'a>(quantities: impl Iterator<Item = &'a Quantity> + Clone) -> [Column; 4] {
    [
        Column::texts("quantity", quantities.clone().map(|quantity| Some(quantity.name.as_str()))),
        Column::texts("place", quantities.clone().map(|quantity| Some(quantity.place.as_str()))),
        Column::texts("class_name", quantities.clone().map(|quantity| quantity.class.as_deref())),
        Column::texts("unit", quantities.map(|quantity| Some(quantity.unit.as_str()))),
    ]
}

#[cfg(test)]
mod tests {
    use super::{super::example::slide, *};

    /// 0.499 and 0.5001 µm per px were two batches.
    #[test]
    fn scales_that_differ_as_scanners_do_are_one() {
        let scales = ["0.5001", "0.2427", "0.499", "0.2501", "0.2499"];
        let slides = scales.map(|mpp| CohortSlide { scale: mpp.into(), ..slide("a", &[("mpp", mpp)], 1.0) });
        let named = with_scales(slides.to_vec());
        let found: Vec<_> =
            named.iter().map(|slide| (slide.group(MPP), slide.columns[MPP].as_str())).collect();
        let expected = [("0.5", 0), ("0.243", 1), ("0.5", 2), ("0.25", 3), ("0.25", 4)];
        assert_eq!(found, expected.map(|(scale, place)| (Some(scale), scales[place])));
    }

    #[test]
    fn densities_and_shares_are_of_the_area_and_the_cells_of_their_place() {
        let slide = slide("a", &[], 100.0);
        let found: Vec<_> = slide
            .findings
            .iter()
            .map(|finding| (finding.quantity.name.as_str(), finding.quantity.class.as_deref(), finding.value))
            .collect();
        assert_eq!(
            found,
            [
                ("density", None, 100.0),
                ("density", Some("immune"), 100.0 / 3.0),
                ("share of cells", Some("immune"), 1.0 / 3.0),
                ("density", Some("tumour"), 200.0 / 3.0),
                ("share of cells", Some("tumour"), 2.0 / 3.0)
            ]
        );
        assert_eq!(counted_in(WHOLE, &[(PER_MM2, 0.0)], &BTreeMap::from([("a".to_owned(), 0)])), []);
        // A region of 2 mm², a quarter of which is tissue.
        let cells = BTreeMap::from([("immune".to_owned(), 30)]);
        let found = counted_in("regions tumour", &[(PER_MM2, 2.0), (PER_MM2_TISSUE, 0.5)], &cells);
        let found: Vec<_> = found.iter().map(|each| (each.quantity.unit.as_str(), each.value)).collect();
        assert_eq!(found, [("per mm²", 15.0), ("per mm² of tissue", 60.0)]);
        let csv = String::from_utf8(table(&[slide], &["mpp".to_owned()]).csv().unwrap()).unwrap();
        assert!(csv.starts_with("slide_id,mpp,outcome,doubtful,quantity,place,class_name,unit,value,cells,over\na,0.25,done,no,density,slide,,per mm²,100.000000,300,3.000000\n"), "{csv}");
    }
}
