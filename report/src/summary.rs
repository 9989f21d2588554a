//! `OUT/summary.csv` and `OUT/summary.parquet`: cells by slide and class with
//! the tissue they were counted in, one line each, for people and spreadsheets.
//! Lines with a `region` count within the regions of that kind alone; those of `roi: Tumor` within the regions of
//! interest of that class.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
    types::{UInt16Type, UInt32Type},
};
use dataset::{Dataset, Outcome, RunAccount, TISSUE};
use parquet::{arrow::ArrowWriter, errors::ParquetError};

use crate::{
    error::ReportError,
    sheet::{self, SheetColumn},
};

/// One class on one slide. A slide without results has one line without class.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    slide: String,
    outcome: &'static str,
    /// Why the slide's results are to be doubted.
    doubts: Option<String>,
    /// None: in all that was analysed.
    region: Option<String>,
    class: Option<String>,
    cells: Option<u64>,
    /// Of regions alone, glass included.
    area_mm2: Option<f64>,
    /// Of the slide alone: the tissue that was found, seen or not.
    tissue_mm2: Option<f64>,
    /// The area that density is over: of the slide its tissue, of regions all of their area, as far as it was seen.
    analysed_mm2: Option<f64>,
    /// The part of `analysed_mm2` that is tissue: of the slide all of it.
    analysed_tissue_mm2: Option<f64>,
    cells_per_mm2: Option<f64>,
    cells_per_mm2_tissue: Option<f64>,
}

/// Writes both summaries of all accounts of a dataset.
///
/// # Errors
///
/// When an account cannot be read, or a summary not be written.
pub fn write_summary(dataset: &Dataset) -> Result<(), ReportError> {
    write_one(dataset, "summary.csv", csv)?;
    write_one(dataset, "summary.parquet", |lines| {
        parquet(lines).map_err(|error| ReportError::encode("the summary", &error))
    })
}

fn write_one(
    dataset: &Dataset,
    name: &str,
    encode: impl Fn(&[Line]) -> Result<Vec<u8>, ReportError>,
) -> Result<(), ReportError> {
    let path = dataset.root().join(name);
    let make = || {
        let lines: Vec<Line> = dataset.read_accounts()?.iter().flat_map(lines_of).collect();
        encode(&lines)
    };
    dataset.write_current(&path, make)?.map_err(|reason| ReportError::write("the summary", reason, path))
}

fn lines_of(account: &RunAccount) -> Vec<Line> {
    let whole = |class: Option<(&String, &u64)>| {
        let coverage = account.analysis.as_ref().map(|analysis| analysis.coverage);
        let cells = class.map(|(_, &cells)| cells);
        let analysed = coverage.map(|coverage| coverage.analysed_mm2);
        let density = per_mm2(cells, analysed);
        Line {
            slide: account.slide.to_string(),
            outcome: account.outcome.key(),
            doubts: account.told_doubts(),
            region: None,
            class: class.map(|(name, _)| name.clone()),
            cells,
            area_mm2: None,
            tissue_mm2: coverage.map(|coverage| coverage.tissue_mm2),
            analysed_mm2: analysed,
            analysed_tissue_mm2: analysed,
            cells_per_mm2: density,
            cells_per_mm2_tissue: density,
        }
    };
    match &account.analysis {
        Some(analysis) if account.outcome != Outcome::Failed => {
            let kinds = analysis.regions.iter().filter(|kind| kind.kind != TISSUE);
            let within = kinds.flat_map(|kind| {
                kind.cells.iter().map(|class| Line {
                    region: Some(kind.label()),
                    area_mm2: Some(kind.area_mm2),
                    tissue_mm2: None,
                    analysed_mm2: Some(kind.analysed_mm2),
                    analysed_tissue_mm2: kind.analysed_tissue_mm2,
                    cells_per_mm2: per_mm2(Some(*class.1), Some(kind.analysed_mm2)),
                    cells_per_mm2_tissue: per_mm2(Some(*class.1), kind.analysed_tissue_mm2),
                    ..whole(Some(class))
                })
            });
            analysis.cells.iter().map(|class| whole(Some(class))).chain(within).collect()
        }
        _ => vec![whole(None)],
    }
}

/// `None` also over no area.
fn per_mm2(cells: Option<u64>, area_mm2: Option<f64>) -> Option<f64> {
    Some(cells? as f64 / area_mm2.filter(|&area| area > 0.0)?)
}

/// Decimals of areas and densities.
const DECIMALS: usize = 4;

fn csv(lines: &[Line]) -> Result<Vec<u8>, ReportError> {
    let text = |name, of: fn(&Line) -> Option<&str>| SheetColumn::texts(name, lines.iter().map(of));
    let number =
        |name, of: fn(&Line) -> Option<f64>| SheetColumn::numbers(name, lines.iter().map(of), DECIMALS);
    let columns = [
        text("slide_id", |line| Some(&line.slide)),
        text("outcome", |line| Some(line.outcome)),
        text("doubts", |line| line.doubts.as_deref()),
        text("region", |line| line.region.as_deref()),
        text("class_name", |line| line.class.as_deref()),
        SheetColumn::counts("cells", lines.iter().map(|line| line.cells)),
        number("area_mm2", |line| line.area_mm2),
        number("tissue_mm2", |line| line.tissue_mm2),
        number("analysed_mm2", |line| line.analysed_mm2),
        number("analysed_tissue_mm2", |line| line.analysed_tissue_mm2),
        number("cells_per_mm2", |line| line.cells_per_mm2),
        number("cells_per_mm2_tissue", |line| line.cells_per_mm2_tissue),
    ];
    sheet::csv("the summary", &columns)
}

fn parquet(lines: &[Line]) -> Result<Vec<u8>, ParquetError> {
    let text =
        |of: fn(&Line) -> Option<&str>| Arc::new(lines.iter().map(of).collect::<StringArray>()) as ArrayRef;
    let number =
        |of: fn(&Line) -> Option<f64>| Arc::new(lines.iter().map(of).collect::<Float64Array>()) as ArrayRef;
    let slides = lines.iter().map(|line| Some(line.slide.as_str()));
    let classes = lines.iter().map(|line| line.class.as_deref());
    let cells = lines.iter().map(|line| line.cells.map(u64::cast_signed));
    let batch = RecordBatch::try_from_iter_with_nullable([
        // As the tables have them: some readers join no plain text with a dictionary.
        ("slide_id", Arc::new(slides.collect::<DictionaryArray<UInt32Type>>()) as ArrayRef, false),
        ("outcome", text(|line| Some(line.outcome)), false),
        ("doubts", text(|line| line.doubts.as_deref()), true),
        ("region", text(|line| line.region.as_deref()), true),
        ("class_name", Arc::new(classes.collect::<DictionaryArray<UInt16Type>>()), true),
        ("cells", Arc::new(cells.collect::<Int64Array>()), true),
        ("area_mm2", number(|line| line.area_mm2), true),
        ("tissue_mm2", number(|line| line.tissue_mm2), true),
        ("analysed_mm2", number(|line| line.analysed_mm2), true),
        ("analysed_tissue_mm2", number(|line| line.analysed_tissue_mm2), true),
        ("cells_per_mm2", number(|line| line.cells_per_mm2), true),
        ("cells_per_mm2_tissue", number(|line| line.cells_per_mm2_tissue), true),
    ])?;
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use dataset::{Analysis, Coverage, ModelFacts, ROI, RegionCount, SlideId};

    use super::*;

    /// A slide with 2 mm² of tissue, and a region of interest of 0.5 mm² of which a part is glass.
    fn account() -> RunAccount {
        let cells = [("nucleus".to_owned(), 30)];
        let tumour = RegionCount {
            kind: ROI.to_owned(),
            class_name: Some("Tumor".to_owned()),
            regions: 1,
            area_mm2: 0.5,
            analysed_mm2: 0.4,
            analysed_tissue_mm2: Some(0.3),
            cells: cells.clone().into(),
        };
        let coverage = Coverage { tissue_mm2: 2.0, analysed_mm2: 1.5, fraction: 0.75, absent_mm2: 0.0 };
        let analysis =
            Analysis { coverage, cells: cells.into(), regions: vec![tumour], ..Analysis::default() };
        RunAccount {
            slide: SlideId::new("s1").unwrap(),
            outcome: Outcome::Partial,
            reason: None,
            slidemill: String::new(),
            model: ModelFacts { name: "m".into(), version: String::new(), sha256: String::new() },
            device: String::new(),
            devices: Vec::new(),
            fingerprint: String::new(),
            settings: [].into(),
            analysis: Some(analysis),
            warnings: Vec::new(),
            doubts: vec!["its scale".to_owned()],
            copies: 0,
            ended: None,
            elapsed_secs: 0.0,
        }
    }

    #[test]
    fn areas_of_regions_are_not_called_tissue() {
        let text = String::from_utf8(csv(&lines_of(&account())).unwrap()).unwrap();
        let expected = "\
slide_id,outcome,doubts,region,class_name,cells,area_mm2,tissue_mm2,analysed_mm2,analysed_tissue_mm2,cells_per_mm2,cells_per_mm2_tissue
s1,partial,its scale,,nucleus,30,,2.0000,1.5000,1.5000,20.0000,20.0000
s1,partial,its scale,roi: Tumor,nucleus,30,0.5000,,0.4000,0.3000,75.0000,100.0000
";
        assert_eq!(text, expected);
        let mut older = account();
        older.analysis.as_mut().unwrap().regions[0].analysed_tissue_mm2 = None;
        let text = String::from_utf8(csv(&lines_of(&older)).unwrap()).unwrap();
        assert!(text.ends_with(",0.5000,,0.4000,,75.0000,\n"), "not known is not 0: {text}");
    }
}
