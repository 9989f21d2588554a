//! Results of a job, as JSON.

use std::path::Path;

use dataset::{CellReader, CellRow, Dataset, DatasetError, ReadSettings, RunAccount, wording::counted};
use serde::Serialize;

use crate::job::{JobView, Request, State};

/// Results on a slide.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// State of the job: `running` for results so far.
    pub state: State,
    /// `StudyInstanceUID` of a DICOM slide.
    pub study_id: Option<String>,
    /// `SeriesInstanceUID` of a DICOM slide.
    pub series_id: Option<String>,
    /// Frame of a DICOM picture of several that was analysed, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture_frame: Option<u32>,
    /// The slide's id, made from its content.
    pub slide_id: String,
    /// The model that was run.
    pub model: ReportModel,
    /// Its version.
    pub model_version: String,
    /// Frame of the coordinates.
    pub frame: Frame,
    /// Part of the slide that was analysed.
    pub coverage: ReportCoverage,
    /// Cells by class.
    pub counts: Vec<ClassCount>,
    /// Cells, each found once; left out where there are more than the service sends as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings: Option<Vec<Finding>>,
    /// URL to fetch them from where they are left out, as Parquet or GeoJSON by `Accept`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings_url: Option<String>,
    /// Milliseconds that the slide was worked on: reading, model, merging.
    pub inference_time_ms: u64,
    /// Warnings that a person should read.
    pub warnings: Vec<String>,
    /// Always true: for research use.
    pub not_a_medical_device: bool,
}

/// The model that was run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReportModel {
    /// The name it calls itself.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the ONNX file.
    pub sha256: String,
}

/// Frame of the coordinates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Frame {
    /// Always `px`.
    pub unit: &'static str,
    /// Always 0, the sharpest.
    pub level: u32,
    /// Microns per px; `None` where the picture was analysed on its own grid, as asked.
    pub mpp: Option<f64>,
    /// Source of `mpp`.
    pub mpp_source: String,
    /// Width and height of level 0, px.
    pub size_px: [u32; 2],
}

/// Part of the slide that was analysed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReportCoverage {
    /// Tissue that was found; `None` where there is no scale.
    pub tissue_mm2: Option<f64>,
    /// Of it, seen by the model.
    pub analysed_mm2: Option<f64>,
    /// Windows without a result.
    pub failed_windows: u64,
}

/// Cells of one class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassCount {
    /// Its name.
    pub class: String,
    /// Number of them.
    pub n: u64,
    /// Per mm² of analysed tissue, where there is some.
    pub per_mm2: Option<f64>,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Unique within the slide.
    pub id: u64,
    /// Its class.
    #[serde(rename = "type")]
    pub kind: String,
    /// The box around it.
    pub location: Location,
    /// Its corners, the first not repeated; only from models that draw outlines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outline: Option<Vec<[f64; 2]>>,
    /// The model's score, 0 to 1.
    pub confidence: f32,
    /// Its class as a number: its place in the model's list.
    pub category: u16,
    /// Its class.
    pub category_name: String,
}

/// A box, from its top left corner.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Location {
    /// Px from the left.
    pub x: f64,
    /// Px from the top.
    pub y: f64,
    /// Px.
    pub width: f64,
    /// Px.
    pub height: f64,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    /// The job left no results.
    #[error("there are no results")]
    None,
    /// They cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
}

/// Makes the report of a dataset of one slide.
pub(crate) fn report(
    out: &Path,
    request: &Request,
    view: &JobView,
    max_findings: u64,
) -> Result<Report, ReportError> {
    let dataset = Dataset::at(out);
    let account = dataset.read_accounts()?.pop().ok_or(ReportError::None)?;
    let analysis = account.analysis.as_ref().ok_or(ReportError::None)?;
    let cells = account.cells();
    let findings = (cells <= max_findings).then(|| findings(&dataset, &account)).transpose()?;
    let coverage = &analysis.coverage;
    let is_on_own_grid = request.options.own_grid;
    let true_to_scale = |value: f64| (!is_on_own_grid).then_some(value);
    let counts = analysis.cells.iter().map(|(class, &n)| ClassCount {
        class: class.clone(),
        n,
        per_mm2: coverage.per_mm2(n).and_then(true_to_scale),
    });
    let doubts = account.doubts.iter().map(|doubt| format!("doubtful: {doubt}"));
    // Of a job that runs, windows that it has not come to are among them.
    let is_over = view.state.is_over();
    let failures = analysis.failures.iter().filter(|_| is_over);
    let failures = failures
        .map(|failure| format!("{} failed: {}", counted(failure.windows.len(), "window"), failure.reason));
    let own_grid = is_on_own_grid.then(|| {
        format!(
            "analysed on its own grid, as asked: its pixels were taken for the model's, of {} µm; lengths, areas and densities, \
             in other formats too, are not those of what is seen",
            analysis.mpp
        )
    });
    Ok(Report {
        state: view.state,
        study_id: request.measured.study_id.clone(),
        series_id: request.measured.series_id.clone(),
        picture_frame: request.options.frame,
        slide_id: account.slide.to_string(),
        model: ReportModel {
            name: account.model.name.clone(),
            version: account.model.version.clone(),
            sha256: account.model.sha256.clone(),
        },
        model_version: account.model.version.clone(),
        frame: Frame {
            unit: "px",
            level: 0,
            mpp: true_to_scale(analysis.mpp),
            mpp_source: if is_on_own_grid {
                "none: on its own grid, as asked".to_owned()
            } else {
                analysis.mpp_source.clone()
            },
            size_px: analysis.slide_px,
        },
        coverage: ReportCoverage {
            tissue_mm2: true_to_scale(coverage.tissue_mm2),
            analysed_mm2: true_to_scale(coverage.analysed_mm2),
            failed_windows: if is_over { analysis.windows.failed as u64 } else { view.windows.failed },
        },
        counts: counts.collect(),
        findings_url: findings.is_none().then(|| view.links.result.clone()),
        findings,
        inference_time_ms: (account.elapsed_secs * 1000.0).round() as u64,
        warnings: own_grid
            .into_iter()
            .chain(account.warnings.iter().cloned())
            .chain(doubts)
            .chain(failures)
            .collect(),
        not_a_medical_device: true,
    })
}

const COLUMNS: [&str; 6] = ["cell_id", "class_id", "class_name", "score", "bbox", "geometry"];

fn findings(dataset: &Dataset, account: &RunAccount) -> Result<Vec<Finding>, DatasetError> {
    let settings = ReadSettings { columns: Some(&COLUMNS), ..ReadSettings::default() };
    let mut found = Vec::new();
    for cells in CellReader::open(&dataset.cells(&account.slide), settings)? {
        found.extend(cells?.iter().map(Finding::of_cell));
    }
    Ok(found)
}

impl Finding {
    fn of_cell(cell: &CellRow) -> Self {
        let CellRow { bbox, outline, .. } = cell;
        // Without an outline the table has the corners of the box.
        let is_outline = outline.len() > 4;
        Self {
            id: cell.cell_id,
            kind: cell.class_name.to_string(),
            location: Location { x: bbox.min.x, y: bbox.min.y, width: bbox.width(), height: bbox.height() },
            outline: is_outline.then(|| outline.iter().map(|corner| [corner.x, corner.y]).collect()),
            confidence: cell.score,
            category: cell.class_id.0,
            category_name: cell.class_name.to_string(),
        }
    }
}
