//! The command line. `--help` is the documentation of each command.

mod exchange;
mod judging;
mod living;
#[cfg(feature = "serve")]
mod serving;

use std::{path::PathBuf, process::ExitCode};

use clap::{
    CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    builder::{PathBufValueParser, TypedValueParser},
    error::ErrorKind,
};
use engine::{GivenMpp, StainSet};
use report::draw::PictureFile;
use wsi_reader::LinearMapping;
use wsi_types::{Level0Box, Level0Point, wording::with_causes};

use crate::{
    command,
    exit::{Exit, exit_of},
    numbers::{whole, with_negative_numbers},
};
pub use crate::{
    knobs::{AllOptions, CellOptions},
    run::Run,
    within::Within,
};
pub use exchange::{Export, Frame, Import};
pub use judging::{Annotations, Consensus, Eval, TrainingSet};
pub use living::{FrameSize, Live};
#[cfg(feature = "serve")]
pub use serving::Serve;

/// Whole-slide pathology processing: gigapixel slides in, one Parquet dataset of
/// every cell and region out.
#[derive(Debug, Parser)]
#[command(name = "slidemill", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 all done, 64 wrong usage, 65 some slides bad or incomplete (each named), \
    70 our own fault, 73 output cannot be written, 75 interrupted, out of a resource or a server away: run the same command again.\n\n\
    For research use. Not a medical device."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Run),
    Plan(Plan),
    Gather(Gather),
    Merge(Merge),
    Demo(Demo),
    Info(Info),
    Model(Model),
    Tissue(Tissue),
    Thumbnail(Thumbnail),
    Draw(Draw),
    View(View),
    Live(Box<Live>),
    #[cfg(feature = "serve")]
    Serve(Box<Serve>),
    Doctor(Doctor),
    Status(Status),
    Report(Report),
    Cohort(Cohort),
    Verify(Verify),
    Forget(Forget),
    Export(Box<Export>),
    Import(Box<Import>),
    Eval(Box<Eval>),
    Consensus(Box<Consensus>),
    Dataset(Box<TrainingSet>),
    Settings(ShowSettings),
    Completions(Completions),
    Manual(Manual),
}

/// Plan a job that several machines are to do: slides, sizes, settings, parts.
///
/// Looks at each slide and writes OUT/.slidemill/plan.json. `slidemill run -o OUT
/// --shard I/N` then does a part of it with the same settings, and `slidemill
/// gather OUT` says whether all is done and writes the report. N need not be that
/// of the plan, but the same for all parts.
#[derive(Debug, Clone, clap::Args)]
pub struct Plan {
    /// Slides: files, folders, globs, addresses (https://, s3://, gs://, az://), or a CSV list
    #[arg(required = true, value_name = "SLIDES")]
    pub slides: Vec<PathBuf>,
    /// Folder for the dataset; made when it is not there
    #[arg(short, long, value_name = "OUT")]
    pub out: PathBuf,
    /// Show how the job falls into this many parts
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole::<usize>(1..=100_000))]
    pub shards: usize,
    /// Settings file (TOML); flags come before it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where this list says something else of a slide than the list it came with, such as
    /// another patient, take what this one says; without it the list is refused
    #[arg(long)]
    pub correct_columns: bool,
    /// Where to look and count.
    #[command(flatten)]
    pub within: Within,
    /// The settings of all parts.
    #[command(flatten)]
    pub options: AllOptions,
}

/// Check that all parts of a planned job are done, and write report and summaries.
///
/// Names slides that no run has ended and those made with other settings, and
/// verifies the dataset.
#[derive(Debug, Clone, clap::Args)]
pub struct Gather {
    /// Folder of the dataset
    pub out: PathBuf,
}

/// Merge again, in seconds and without the model: other thresholds, merge rules,
/// filters and regions for slides whose raw detections were kept.
///
/// Settings that are not given stay as the run had them, regions of interest too. Tables come out as a run
/// with these settings would write them, byte by byte. The slides must still be
/// where they were: their tissue is looked at again.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  slidemill run slides/ -o results --keep-raw\n  \
    slidemill merge results --into strict --min-score 0.4 --filter area_um2=12..400\n  \
    slidemill merge results --merge wbf --dense-per-mm2 3000\n  \
    slidemill merge results --into around --features neighbours\n  \
    slidemill merge results --into in-tumour --within rois/ --exclude necrosis\n  \
    slidemill merge results --into border --within rois/ --margin-um -100,0,100 --margin-of tumor")]
pub struct Merge {
    /// Folder of the dataset, written with --keep-raw
    pub out: PathBuf,
    /// Write the results to this dataset instead; OUT stays as it is
    #[arg(long, value_name = "OTHER")]
    pub into: Option<PathBuf>,
    /// Settings file (TOML); flags come before it. What belongs to the model and
    /// its windows stays as it was
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One JSON event per line on standard output instead of progress bars
    #[arg(long)]
    pub json_logs: bool,
    /// Measures to make of the cells: hot spots, indices and grades, as a TOML file
    /// (docs/measures.md), or neuroendocrine-who-2019. The results keep it, and makes them
    /// again whenever the report is made
    #[arg(long, value_name = "FILE")]
    pub measure: Option<PathBuf>,
    /// Where to count.
    #[command(flatten)]
    pub within: Within,
    /// The settings themselves.
    #[command(flatten)]
    pub options: CellOptions,
}

/// Paint a synthetic H&E slide, run the bundled model on it, and compare.
///
/// The slide is written to the folder OUT, analysed exactly as any slide is, and
/// the cells found are compared with the cells painted. A picture shows both.
#[derive(Debug, Clone, clap::Args)]
pub struct Demo {
    /// Folder for slide, dataset and picture
    #[arg(short, long, value_name = "OUT", default_value = "slidemill-demo")]
    pub out: PathBuf,
    /// Seed of the painter; another one gives another slide
    #[arg(long, default_value_t = 1, value_parser = whole::<u64>(0..=u64::MAX))]
    pub seed: u64,
    /// Threads for reading and for the model [default: all cores]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..=1024))]
    pub threads: Option<usize>,
}

/// Show what is known of a slide: levels, scale and its source, tiles,
/// compression, associated images, and what a run of the bundled model would cost.
#[derive(Debug, Clone, clap::Args)]
pub struct Info {
    /// A slide file, or the folder of a DICOM slide
    pub slide: PathBuf,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Also show the file's own properties. They may name a patient
    #[arg(long)]
    pub properties: bool,
    /// Microns per pixel of level 0, for a slide that does not say it; or `estimate`,
    /// from the size of its nuclei
    #[arg(long, value_name = "X")]
    pub mpp: Option<GivenMpp>,
    /// Microns per pixel of level 0 in place of what the slide says
    #[arg(long, value_name = "X")]
    pub override_mpp: Option<f64>,
    /// For slides of 16 bits or floats: the values that become black and white
    #[arg(long, value_name = "LOW:HIGH", allow_hyphen_values = true)]
    pub map_range: Option<LinearMapping>,
}

/// Show what a model promises, as slidemill understands it, or what is wrong
/// with it.
///
/// A model exported by Ultralytics (`yolo export format=onnx dynamic=True`) needs
/// only its mpp, in a TOML of its name beside it: `mpp = 0.25`.
///
/// On a CPU an int8 build of it is up to twice as fast. models/training/quantize.py
/// makes one, calibrated on crops of your own tissue, and says what it costs:
/// `python models/training/quantize.py --model M.onnx --crops FOLDER --out M.int8.onnx`.
///
/// With --try it also shows the model one field of a slide, as a run would, and draws its
/// answer. --field writes the pixels of that field; what the model's own framework makes of
/// them (a JSON file, see docs/models.md) can then be compared with --reference. The receipt
/// that is printed can be appended to the TOML.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  slidemill model nuclei-he\n  \
    slidemill model nuclei-he --try slide.svs -o try.png\n  \
    slidemill model M.onnx --try slide.svs --field field.png --reference answers.json")]
pub struct Model {
    /// ONNX file, or a bundled model: nuclei-he, nuclei-he-int8, nuclei-he-seg,
    /// nuclei-he-classes, nuclei-he-large, nuclei-he-large-classes,
    /// nuclei-he-fast, nuclei-hdab [default: nuclei-he]
    pub model: Option<PathBuf>,
    /// Open it on this device as a run does, and say where its nodes run: a device
    /// may lack operators, which the processor then takes
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<detector::Device>,
    /// Show it one field of this slide: the window with the most tissue
    #[arg(long = "try", value_name = "SLIDE")]
    pub slide: Option<PathBuf>,
    /// The window whose centre is nearest to this place instead, px of level 0
    #[arg(long, value_name = "X,Y", requires = "slide")]
    pub at: Option<PlaceOnSlide>,
    /// Picture to write: the field with the answer; PNG, or JPEG where it ends in .jpg
    #[arg(short, long, value_name = "OUT.png", value_parser = picture_file(), requires = "slide")]
    pub out: Option<PictureFile>,
    /// File to write: the pixels that the model is given, as PNG
    #[arg(long, value_name = "FIELD.png", requires = "slide")]
    pub field: Option<PathBuf>,
    /// Answers of the model's own framework to that field, to be compared with ours
    #[arg(long, value_name = "REF.json", requires = "slide")]
    pub reference: Option<PathBuf>,
    /// Side of the field in px of the model's scale [default: as in a run]
    #[arg(long, value_name = "PX", requires = "slide", value_parser = whole::<u32>(1..=16_384))]
    pub window: Option<u32>,
    /// Microns per pixel of level 0, for a slide that does not say it
    #[arg(long, value_name = "X", requires = "slide")]
    pub mpp: Option<GivenMpp>,
}

/// A place on the slide, in px of level 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlaceOnSlide(pub Level0Point);

impl std::str::FromStr for PlaceOnSlide {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<f64>, _> = text.split(',').map(|part| part.trim().parse::<f64>()).collect();
        match numbers.as_deref() {
            Ok(&[x, y]) if x.is_finite() && y.is_finite() => Ok(Self(Level0Point::new(x, y))),
            _ => Err(format!("{text:?}, expected X,Y in px of level 0, such as 4096,2048")),
        }
    }
}

/// Draw the tissue mask and the planned windows over the slide.
#[derive(Debug, Clone, clap::Args)]
pub struct Tissue {
    /// A slide file, or the folder of a DICOM slide
    pub slide: PathBuf,
    /// Picture to write: PNG, or JPEG where it ends in .jpg
    #[arg(short, long, value_name = "OUT.png", value_parser = picture_file())]
    pub out: PictureFile,
    /// Longer side of the picture in px
    #[arg(long, default_value_t = 1600, value_parser = whole::<u32>(1..=16_384))]
    pub size: u32,
    /// The settings that decide the plan.
    #[command(flatten)]
    pub options: AllOptions,
}

/// Write a small picture of a slide, never of its label.
#[derive(Debug, Clone, clap::Args)]
pub struct Thumbnail {
    /// A slide file, or the folder of a DICOM slide
    pub slide: PathBuf,
    /// Picture to write: PNG, or JPEG where it ends in .jpg
    #[arg(short, long, value_name = "OUT.png", value_parser = picture_file())]
    pub out: PictureFile,
    /// Longer side of the picture in px
    #[arg(long, default_value_t = 1024, value_parser = whole::<u32>(1..=16_384))]
    pub size: u32,
    /// For slides of 16 bits or floats: the values that become black and white
    #[arg(long, value_name = "LOW:HIGH", allow_hyphen_values = true)]
    pub map_range: Option<LinearMapping>,
}

/// Draw what a run found over the slide: cells, regions, or which scale saw what.
///
/// The picture has a scale bar and a legend with the counts of what it shows: the whole
/// slide, or --area. They are printed too. Cells are outlines, or boxes where the model
/// drew none; dots where they are too small to be seen as such. The label is never read.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  slidemill draw results slide.svs -o cells.png\n  \
    slidemill draw results slide.svs -o regions.png --show regions\n  \
    slidemill draw results slide.svs -o scales.png --show scales --area 1024,512,1500,1000")]
pub struct Draw {
    /// Folder of the dataset
    pub results: PathBuf,
    /// The slide: a file, or the folder of a DICOM slide
    pub slide: PathBuf,
    /// Picture to write: PNG, or JPEG where it ends in .jpg
    #[arg(short, long, value_name = "OUT.png", value_parser = picture_file())]
    pub out: PictureFile,
    /// cells by class; regions with their holes; scales: the cells of several
    /// --detector by who saw them
    #[arg(long, value_enum, default_value = "cells")]
    pub show: DrawWhat,
    /// Only this part of the slide, in px of level 0
    #[arg(long, value_name = "X,Y,WIDTH,HEIGHT")]
    pub area: Option<DrawArea>,
    /// Longer side of the picture in px; pixels of the slide are never enlarged
    #[arg(long, value_name = "PX", default_value_t = 1600, value_parser = whole::<u32>(1..=16_384))]
    pub size: u32,
    /// For slides of 16 bits or floats: the values that become black and white
    #[arg(long, value_name = "LOW:HIGH", allow_hyphen_values = true)]
    pub map_range: Option<LinearMapping>,
    /// The slide in the dataset, by id, path or file name, where it is not told by the file
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
}

/// Look at slides with their cells, regions and counts, in a browser on this machine.
///
/// Serves a page on the loopback address alone and prints its address. The counts of
/// the page are those of the cell table, at every zoom: no cell is left out. The first
/// look at a slide makes a file under OUT/.slidemill/tiles, which may be deleted. The
/// label is never shown.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  slidemill view results --open\n  \
    slidemill view results /slides/case-7.svs\n  \
    slidemill view results s3f2a9c0d1e8b7a65 --port 8080\n  \
    slidemill view results --against strict\n  \
    slidemill view results --export to-show --from-mpp 1")]
pub struct View {
    /// Folder of the dataset
    pub results: PathBuf,
    /// The slide to begin with: its id in the dataset, or its file, which is needed
    /// where it is no longer where the run read it
    #[arg(value_name = "SLIDE")]
    pub slide: Option<String>,
    /// A second dataset of the same slides, to be seen side by side or in turn
    #[arg(long, value_name = "OTHER", conflicts_with = "export")]
    pub against: Option<PathBuf>,
    /// Places of SLIDE to look at in turn, as GeoJSON in level-0 px: mistakes that
    /// `eval` wrote, disputes that `consensus` wrote
    #[arg(long, value_name = "FILE", requires = "slide")]
    pub places: Option<PathBuf>,
    /// Open the page in the browser
    #[arg(long)]
    pub open: bool,
    /// Port of 127.0.0.1; 0: any that is free
    #[arg(long, value_name = "PORT", default_value_t = 0, conflicts_with = "export", value_parser = whole::<u16>(0..=u16::MAX.into()))]
    pub port: u16,
    /// Write the pages to a new folder instead, which opens by double click on
    /// index.html, without slidemill. SLIDE: of this slide alone. It holds no file name
    #[arg(long, value_name = "DIR", conflicts_with = "open")]
    pub export: Option<PathBuf>,
    /// Leave out levels sharper than this many µm/px, which are most of the size
    #[arg(long, value_name = "X", requires = "export")]
    pub from_mpp: Option<f64>,
}

fn picture_file() -> impl TypedValueParser<Value = PictureFile> {
    PathBufValueParser::new().try_map(PictureFile::new)
}

/// Content of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DrawWhat {
    /// Cells by class.
    Cells,
    /// Regions by kind.
    Regions,
    /// Cells by which of several detectors saw them.
    Scales,
}

/// A part of level 0, written as `x,y,width,height`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DrawArea(pub Level0Box);

impl std::str::FromStr for DrawArea {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<f64>, _> = text.split(',').map(|part| part.trim().parse::<f64>()).collect();
        match numbers.as_deref() {
            Ok(&[x, y, width, height])
                if [x, y, width, height].iter().all(|value| value.is_finite())
                    && width > 0.0
                    && height > 0.0 =>
            {
                let corner = Level0Point::new(x, y);
                Ok(Self(Level0Box::new(corner, corner + euclid::vec2(width, height))))
            }
            _ => Err(format!(
                "{text:?}, expected X,Y,WIDTH,HEIGHT in px of level 0, such as 4096,2048,1500,1000"
            )),
        }
    }
}

/// Check slides before a night: every tile of every level is read.
///
/// Names slides that cannot be read or have no scale, tiles that are missing or
/// broken, and tells windows, time and disk that a run would take.
#[derive(Debug, Clone, clap::Args)]
pub struct Doctor {
    /// Slides: files, folders, globs, addresses (https://, s3://, gs://, az://), or a CSV list
    #[arg(required = true, value_name = "SLIDES")]
    pub slides: Vec<PathBuf>,
    /// Read a sample of the tiles only
    #[arg(long)]
    pub quick: bool,
    /// Microns per pixel of level 0, for slides that do not say it, or `estimate`; a
    /// slide list may give each its own
    #[arg(long, value_name = "X")]
    pub mpp: Option<GivenMpp>,
    /// Microns per pixel of level 0 in place of what the slides say
    #[arg(long, value_name = "X")]
    pub override_mpp: Option<f64>,
    /// For slides of 16 bits or floats: the values that become black and white
    #[arg(long, value_name = "LOW:HIGH", allow_hyphen_values = true)]
    pub map_range: Option<LinearMapping>,
    /// The stain that the slides should have: `he`, or `h-dab` for immunohistochemistry
    #[arg(long, value_name = "STAINS", default_value = "he")]
    pub stains: StainSet,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Threads for reading [default: all cores]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..=1024))]
    pub threads: Option<usize>,
}

/// Show how the jobs that write to OUT stand, from any terminal or machine.
#[derive(Debug, Clone, clap::Args)]
pub struct Status {
    /// Folder of the dataset
    pub out: PathBuf,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Print only the parts, of N, that have work left in a planned job, such as 2,5-8: for
    /// an array of a scheduler. Slides that failed or are incomplete are work; an empty
    /// line says that nothing is left
    #[arg(long, value_name = "N", conflicts_with = "json", value_parser = whole::<usize>(1..=100_000))]
    pub parts_left: Option<usize>,
}

/// Write OUT/report.html and the summaries again; a run does so at its end.
///
/// It needs no network, and is for a screen, a phone or paper: what is to be looked at,
/// the cohort as a table, then each slide with its picture, density, coverage and
/// charts. Above 25 slides these are on pages of their own, in OUT/report. It holds no
/// file name and no label.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  slidemill report results --private\n  \
    slidemill report results --print\n  \
    slidemill report results --measure neuroendocrine-who-2019")]
pub struct Report {
    /// Folder of the dataset
    pub out: PathBuf,
    /// Also write a report that says the names of the files and what slide lists say of
    /// slides, such as the patient, for you alone, to OUT/.slidemill/report.html
    #[arg(long)]
    pub private: bool,
    /// Also write a page for paper of each slide, one sheet of A4 or Letter, to
    /// OUT/report/print, and of the private report to OUT/.slidemill/report/print. From
    /// then on they are written with the report; remove that folder to have none
    #[arg(long)]
    pub print: bool,
    /// Measures to make of the cells: hot spots, indices and grades, as a TOML file
    /// (docs/measures.md), or neuroendocrine-who-2019. OUT keeps it, and makes them
    /// again whenever the report is made
    #[arg(long, value_name = "FILE")]
    pub measure: Option<PathBuf>,
}

/// Compare slides by patient, group or any other column of their list, as a page and as tables.
///
/// Counts, densities and measures of each group, with intervals over its slides; grades of
/// patients; slides that stand apart; and what differs between scanners, scales or stains.
/// Columns come from the slide list that `run` was given, and from --join. What is written
/// says what they say, such as patients: without -o it goes to OUT/.slidemill/cohort, for
/// you alone.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  slidemill cohort results\n  \
    slidemill cohort results --by patient,group --join clinical.csv -o cohort")]
pub struct Cohort {
    /// Folder of the dataset
    pub out: PathBuf,
    /// Columns whose values are groups; without this patient and group, where they are there.
    /// Bands of a column of numbers: age:50:65
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    pub by: Vec<String>,
    /// Columns that say how slides were made, which counts should not depend on; without
    /// this scanner, mpp, stain, block, batch, site, laboratory and date, where they are there
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    pub batch: Vec<String>,
    /// Table with more columns: a line for each slide (slide_id), or for each value of a
    /// column that slides have, such as patient
    #[arg(long, value_name = "CSV")]
    pub join: Option<PathBuf>,
    /// Folder for cohort.html, cohort.csv, grades.csv, slides.csv, outliers.csv and batches.csv,
    /// each table as Parquet too; files of these names are replaced
    #[arg(short = 'o', long = "into", value_name = "FOLDER")]
    pub into: Option<PathBuf>,
}

/// Check a dataset against its accounts and its manifest: checksums of all files, rows,
/// ids, counts.
///
/// Says what is missing or changed, and which slides are to be run again: exit code
/// 65. Slides that ended incomplete or without results are named too, but are no
/// fault of the dataset: exit code 0 when every file is as it was written.
#[derive(Debug, Clone, clap::Args)]
pub struct Verify {
    /// Folder of the dataset
    pub out: PathBuf,
}

/// Take slides out of a dataset: tables, account, pictures and raw detections, their lines in summaries, report and lists.
///
/// For a slide that is no longer wanted, or whose file was replaced by another. The slide's own file stays, and so does
/// what the private log of earlier jobs says of it.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  slidemill forget results 2024-0117.svs\n  \
    slidemill forget results s0123456789abcdef case-7")]
pub struct Forget {
    /// Folder of the dataset
    pub out: PathBuf,
    /// Slides by id, path, file name, or a file with the same content
    #[arg(required = true, value_name = "SLIDE")]
    pub slides: Vec<String>,
}

/// Print the effective settings of a run, as a settings file that can be used.
#[derive(Debug, Clone, clap::Args)]
pub struct ShowSettings {
    /// Settings file (TOML); flags come before it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The settings themselves.
    #[command(flatten)]
    pub options: AllOptions,
}

/// Print the completions of a shell: commands, options and their values by the Tab key.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  \
    slidemill completions bash > ~/.local/share/bash-completion/completions/slidemill\n  \
    slidemill completions zsh > \"${fpath[1]}/_slidemill\"\n  \
    slidemill completions fish > ~/.config/fish/completions/slidemill.fish")]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Write the manual pages, one for each command, to a folder.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  slidemill manual ~/.local/share/man/man1 && man slidemill-run")]
pub struct Manual {
    /// Folder for the pages; made when it is not there
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// The command line as a whole, of which completions and manual are made.
#[must_use]
pub fn command_line() -> clap::Command {
    with_negative_numbers(Cli::command())
}

fn typed() -> Result<Cli, clap::Error> {
    let mut command = command_line();
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Reads the command line, does the command, and gives its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match typed() {
        Ok(cli) => cli,
        Err(error) if is_long_version(&error) => return ended(command::version::version()),
        Err(error) => {
            // Help and version are no errors; clap prints each to its stream.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = error.print();
            return exit.into();
        }
    };
    ended(dispatch(cli.command))
}

/// `--version`, not `-V`, which is for scripts and opens no library.
fn is_long_version(error: &clap::Error) -> bool {
    error.kind() == ErrorKind::DisplayVersion && std::env::args_os().any(|word| word == "--version")
}

fn ended(result: anyhow::Result<Exit>) -> ExitCode {
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            errln!("slidemill: {}", with_causes(error.as_ref()));
            exit_of(&error).into()
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Run(run) => crate::run::run_isolated(run),
        Command::Plan(plan) => command::plan::plan(plan),
        Command::Gather(gather) => command::gather::gather(&gather),
        Command::Merge(merge) => command::merge::merge(merge),
        Command::Demo(demo) => command::demo::demo(&demo),
        Command::Info(info) => command::info::info(&info),
        Command::Model(model) => command::model::model(&model),
        Command::Tissue(tissue) => command::pictures::tissue(tissue),
        Command::Thumbnail(thumbnail) => command::pictures::thumbnail(&thumbnail),
        Command::Draw(draw) => command::draw::draw(&draw),
        Command::View(view) => command::view::view(&view),
        Command::Live(live) => command::live::live(&live),
        #[cfg(feature = "serve")]
        Command::Serve(serve) => command::serve::serve(*serve),
        Command::Doctor(doctor) => command::doctor::doctor(&doctor),
        Command::Status(status) => command::status::status(&status),
        Command::Report(report) => command::report::report(&report),
        Command::Cohort(cohort) => command::cohort::cohort(&cohort),
        Command::Verify(verify) => command::verify::verify(&verify),
        Command::Forget(forget) => command::forget::forget(&forget),
        Command::Export(export) => command::export::export(&export),
        Command::Import(import) => command::import::import(&import),
        Command::Eval(eval) => command::eval::eval(&eval),
        Command::Consensus(consensus) => command::consensus::consensus(&consensus),
        Command::Dataset(dataset) => command::dataset::dataset(&dataset),
        Command::Settings(settings) => command::settings::settings(settings),
        Command::Completions(completions) => command::completions::completions(&completions),
        Command::Manual(manual) => command::manual::manual(&manual),
    }
}
