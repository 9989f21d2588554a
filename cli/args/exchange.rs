//! Arguments of the commands that hand cells on and take them in.

use std::path::PathBuf;

pub use crate::frame::Frame;

/// Write the cells of a dataset in the formats of other tools.
///
/// Files are called by the slides' ids and hold no file name. Outlines are made
/// simple on each format's grid: what cannot be repaired is written as its box;
/// both are counted. docs/exports.md says who reads which format, what is in it and
/// what is lost.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  slidemill export results --as qupath\n  \
    slidemill export results --as qupath,annotation-store --into handover --verify\n  \
    slidemill export results --as geojson --class tumour --min-score 0.5 --within roi.geojson\n  \
    slidemill export results --as dicom-ann --slide slides/case-7-dicom")]
pub struct Export {
    /// Folder of the dataset
    pub out: PathBuf,
    /// Formats: qupath (a zip of GeoJSON), geojson, geojson.gz, annotation-store,
    /// spatialdata, dicom-ann, dicom-sr, dicom-seg, coco, label-studio, cvat, geoarrow
    #[arg(long = "as", value_name = "FORMAT", value_delimiter = ',', required = true)]
    pub formats: Vec<String>,
    /// Folder to write to; made when it is not there [default: OUT/exports]
    #[arg(long, value_name = "FOLDER")]
    pub into: Option<PathBuf>,
    /// Only these slides, by id, path or file name
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub id: Vec<String>,
    /// Only this slide: its file, or the folder of a DICOM slide. DICOM outputs then
    /// name its patient and study
    #[arg(long, value_name = "SLIDE")]
    pub slide: Option<PathBuf>,
    /// Only cells of these classes
    #[arg(long, value_name = "CLASS", value_delimiter = ',')]
    pub class: Vec<String>,
    /// Only cells of at least this score, 0 to 1
    #[arg(long, value_name = "S")]
    pub min_score: Option<f32>,
    /// Only cells whose centroid lies in the polygons of this file: GeoJSON, a zip
    /// of QuPath, or any other file that `slidemill eval` reads
    #[arg(long, value_name = "FILE")]
    pub within: Option<PathBuf>,
    /// Where coordinates of --within count from, for slides whose scanned part does
    /// not begin at the corner of level 0
    #[arg(long, value_name = "FRAME", value_enum)]
    pub frame: Option<Frame>,
    /// Centroids instead of outlines
    #[arg(long)]
    pub points: bool,
    /// Leave out corners of outlines: off by at most PX of level 0, areas by at most
    /// 1 %
    #[arg(long, value_name = "PX", conflicts_with = "points")]
    pub simplify: Option<f64>,
    /// Read each file back and compare counts by class and the area of all cells
    #[arg(long)]
    pub verify: bool,
}

/// Take the cells of another tool as a dataset of ours.
///
/// Knows QuPath's GeoJSON and zips, TIAToolbox stores, DICOM bulk annotations, SpatialData
/// stores, COCO, the JSON of CellViT, HoVer-Net and HoVer-NeXt, tasks of Label Studio, XML
/// of CVAT, CSV, and pictures of labels (PNG, TIFF), by what the file holds. Shapes are
/// measured, tissue is found, and report, verify, draw, eval and export work on the result.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  slidemill import cells.geojson --slide slide.svs -o imported\n  \
    slidemill import cellvit/cells.json --slide slide.svs -o imported --frame level0\n  \
    slidemill import class_inst.json --slide slide.svs -o imported --radius-um 4 --scale 2")]
pub struct Import {
    /// File of cells; a folder for a SpatialData store
    pub cells: PathBuf,
    /// The slide they were found on: a file, or the folder of a DICOM slide
    #[arg(long, value_name = "SLIDE")]
    pub slide: PathBuf,
    /// Folder for the dataset; made when it is not there
    #[arg(short, long, value_name = "OUT")]
    pub out: PathBuf,
    /// Level-0 px per px of the cells' coordinates
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub scale: f64,
    /// Where coordinates count from, for slides whose scanned part does not begin at
    /// the corner of level 0
    #[arg(long, value_name = "FRAME", value_enum)]
    pub frame: Option<Frame>,
    /// For cells that are points: half the side of the box that stands for each, µm
    #[arg(long, value_name = "UM")]
    pub radius_um: Option<f64>,
    /// Of QuPath cells with two outlines take the nucleus
    #[arg(long)]
    pub nuclei: bool,
    /// Who found them, for the account and the report
    #[arg(long, value_name = "NAME", default_value = "imported")]
    pub model: String,
    /// Microns per pixel of level 0, for slides that do not say it
    #[arg(long, value_name = "X")]
    pub mpp: Option<f64>,
}
