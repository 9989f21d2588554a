//! `slidemill export`: cells and regions in the formats of other tools.

use std::{
    fs,
    path::{Path, PathBuf},
};

use convert::{
    Area, CellTable, Choice, DicomSlide, Format, Settings, SlideFacts, Source, Tally, into, read_regions,
};
use dataset::{
    Analysis, Dataset, RegionRow, RunAccount, SlideId,
    wording::{counted, grouped},
};
use engine::{ByteSize, named_slide, slide_of_file};
use eval::{polygon::Polygon, truth::ReadSettings};
use whole_file::Inputs;
use wsi_types::{Level0Point, class_colour};

use crate::{
    args::{self, Frame},
    exit::{Exit, Failure},
};

/// Writes each slide in each format.
///
/// # Errors
///
/// A usage failure for wrong options, an input failure when results cannot be read, an output failure when files
/// cannot be written.
pub fn export(args: &args::Export) -> anyhow::Result<Exit> {
    let formats = formats(&args.formats)?;
    check_numbers(args)?;
    let dataset = Dataset::at(&args.out);
    let wanted = wanted_ids(args, &dataset)?;
    let results = results(&dataset, wanted.as_deref())?;
    let area = args.within.as_deref().map(read_area).transpose()?;
    let folder = args.into.clone().unwrap_or_else(|| args.out.join("exports"));
    let cannot_make =
        |error| Failure::output(format!("cannot make the folder: {error}: {}", folder.display()));
    let mut incomplete = false;
    for (id, analysis) in &results {
        let Some(analysis) = analysis else {
            errln!("slidemill: slide {id} has no results, nothing is exported of it");
            incomplete = true;
            continue;
        };
        let slide = Slide::open(args, &dataset, id, analysis)?;
        let choice = slide.choice(args, area.as_ref())?;
        fs::create_dir_all(&folder).map_err(cannot_make)?;
        for &format in &formats {
            slide.write(format, args, &choice, &folder)?;
        }
    }
    Ok(if incomplete { Exit::Incomplete } else { Exit::Done })
}

fn formats(names: &[String]) -> anyhow::Result<Vec<Format>> {
    let named = |name: &String| {
        Format::named(name).ok_or_else(|| {
            let known = Format::ALL.map(Format::name).join(", ");
            Failure::usage(format!("--as: there is no format {name:?}, known are {known}"))
        })
    };
    names.iter().map(named).collect()
}

fn check_numbers(args: &args::Export) -> anyhow::Result<()> {
    if let Some(score) = args.min_score.filter(|score| !(0.0..=1.0).contains(score)) {
        return Err(Failure::usage(format!("--min-score is {score}, expected 0 to 1")));
    }
    match args.simplify.filter(|px| !(*px > 0.0 && px.is_finite())) {
        Some(px) => {
            Err(Failure::usage(format!("--simplify is {px}, expected px of level 0 above 0, such as 0.5")))
        }
        None => Ok(()),
    }
}

/// Ids asked for; `None` for all.
fn wanted_ids(args: &args::Export, dataset: &Dataset) -> anyhow::Result<Option<Vec<SlideId>>> {
    let named = args.id.iter().map(|name| named_slide(dataset, name));
    let mut ids = named.collect::<Result<Vec<_>, _>>()?;
    if let Some(slide) = args.slide.as_deref().filter(|_| ids.is_empty()) {
        ids.push(slide_of_file(dataset, slide)?);
    }
    if args.slide.is_some() && ids.len() > 1 {
        return Err(Failure::usage("--slide is about one slide, --id names several: give one of them"));
    }
    Ok((!ids.is_empty()).then_some(ids))
}

type Results = Vec<(SlideId, Option<Analysis>)>;

fn results(dataset: &Dataset, wanted: Option<&[SlideId]>) -> anyhow::Result<Results> {
    let paths = match wanted {
        Some(ids) => ids.iter().map(|id| dataset.account(id)).collect(),
        None => dataset.accounts()?,
    };
    if paths.is_empty() {
        return Err(Failure::input(format!(
            "no results of any slide are here: {}",
            dataset.root().display()
        )));
    }
    let read = |path: &PathBuf| {
        let account = RunAccount::read(path).map_err(|error| {
            Failure::input(format!("no results of that slide are here: {error}: {}", path.display()))
        })?;
        Ok((account.slide, account.analysis.filter(|_| account.reason.is_none())))
    };
    paths.iter().map(read).collect()
}

/// Polygons, as their file has them.
struct GivenArea {
    polygons: Vec<Polygon>,
    path: PathBuf,
}

fn read_area(path: &Path) -> anyhow::Result<GivenArea> {
    let set = into::read(path, &ReadSettings { ignore_classes: Vec::new(), ..ReadSettings::default() })?.set;
    let polygons: Vec<Polygon> = set.objects.iter().filter_map(|object| object.shape.to_polygon()).collect();
    if polygons.is_empty() {
        return Err(Failure::usage(format!(
            "--within holds no polygon, only points or nothing: {}",
            path.display()
        )));
    }
    Ok(GivenArea { polygons, path: path.to_owned() })
}

/// A slide whose results are read.
struct Slide {
    facts: SlideFacts,
    cells: CellTable,
    regions: Vec<RegionRow>,
    dicom: Option<DicomSlide>,
    /// Files that no output may replace.
    inputs: Inputs,
}

impl Slide {
    fn open(
        args: &args::Export,
        dataset: &Dataset,
        id: &SlideId,
        analysis: &Analysis,
    ) -> anyhow::Result<Self> {
        let (table, regions) = (dataset.cells(id), dataset.regions(id));
        let cells = CellTable::open(&table)?;
        let facts = facts(&cells, &table, id, analysis)?;
        let dicom = match &args.slide {
            Some(path) => DicomSlide::open(path, &facts)?,
            None => None,
        };
        let mut inputs = Inputs::new([&table, &regions, &dataset.account(id)]);
        inputs.extend(&args.within);
        inputs.extend(args.slide.iter().flat_map(|slide| wsi_reader::files_of_slide(slide)));
        Ok(Self { facts, cells, dicom, regions: read_regions(&regions)?, inputs })
    }

    fn choice(&self, args: &args::Export, area: Option<&GivenArea>) -> anyhow::Result<Choice> {
        let class = |name: &String| {
            self.facts.class_named(name).ok_or_else(|| {
                let known = self.facts.class_names.join(", ");
                Failure::usage(format!("--class: slide {} has no class {name:?}, but {known}", self.facts.id))
            })
        };
        let classes = args.class.iter().map(class).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Choice {
            classes: (!classes.is_empty()).then(|| classes.into_iter().collect()),
            min_score: args.min_score,
            within: area.map(|area| self.area(args.frame, area)).transpose()?,
        })
    }

    /// On level 0.
    fn area(&self, frame: Option<Frame>, given: &GivenArea) -> anyhow::Result<Area> {
        let [x, y] = self.facts.scanned_from;
        let shift = match frame {
            Some(Frame::Qupath) => euclid::vec2(x as f64, y as f64),
            Some(Frame::Level0) => euclid::Vector2D::zero(),
            None if [x, y] == [0, 0] => euclid::Vector2D::zero(),
            None => {
                return Err(Failure::usage(format!(
                    "slide {} was scanned from ({x}, {y}) px of level 0 on: QuPath counts from there, others from the \
                     corner of level 0; say which of them --within does, by --frame qupath or --frame level0",
                    self.facts.id
                )));
            }
        };
        let moved: Vec<Polygon> =
            given.polygons.iter().map(|polygon| polygon.mapped(|corner| corner + shift)).collect();
        Area::new(&moved).ok_or_else(|| {
            Failure::usage(format!(
                "--within holds no polygon that encloses anything: {}",
                given.path.display()
            ))
        })
    }

    fn write(
        &self,
        format: Format,
        args: &args::Export,
        choice: &Choice,
        folder: &Path,
    ) -> anyhow::Result<()> {
        let path = format.path(folder, &self.facts);
        super::spare(&self.inputs, &path)?;
        let source = Source { facts: &self.facts, cells: &self.cells, regions: &self.regions, choice };
        let settings =
            Settings { points: args.points, simplify_px: args.simplify, dicom_slide: self.dicom.clone() };
        let tally = convert::export(format, &source, &settings, folder)?;
        outln!("{}", line(format, &tally, &path))?;
        for note in &tally.notes {
            outln!("  note: {note}")?;
        }
        if args.verify && format.holds_cells() {
            convert::verify(format, &self.facts, &settings, &tally, &path)?;
            outln!("  read back: the same cells by class, the same area")?;
        } else if args.verify {
            outln!("  not read back: it holds counts and regions, no cells to compare")?;
        }
        Ok(())
    }
}

/// Facts of a slide, from its table and its account.
pub(super) fn facts(
    cells: &CellTable,
    table: &Path,
    id: &SlideId,
    analysis: &Analysis,
) -> anyhow::Result<SlideFacts> {
    let (header, origin) = (cells.header(), cells.origin());
    let corner = origin.bounds.map_or_else(Level0Point::zero, |bounds| bounds.min);
    let written = fs::metadata(table).and_then(|about| about.modified());
    let classes = header.class_names.iter().map(|(class, _)| class_colour(class));
    Ok(SlideFacts {
        id: id.to_string(),
        size_px: analysis.slide_px,
        mpp: header.mpp,
        scanned_from: [corner.x.round() as i64, corner.y.round() as i64],
        class_names: header.class_names.as_slice().to_vec(),
        class_colours: classes.collect(),
        model: origin.model.clone(),
        fingerprint: origin.fingerprint.clone(),
        made_at: written.map_err(|error| Failure::input(format!("{error}: {}", table.display())))?,
    })
}

fn line(format: Format, tally: &Tally, path: &Path) -> String {
    let mut line = format!("{:<17} {}", format.name(), counted(tally.cells() as usize, "cell"));
    if tally.regions > 0 {
        line.push_str(&format!(", {}", counted(tally.regions as usize, "region")));
    }
    line.push_str(&format!(", {}", ByteSize(tally.bytes)));
    if tally.repaired + tally.boxed > 0 {
        let (repaired, boxed) = (counted(tally.repaired as usize, "outline"), grouped(tally.boxed));
        line.push_str(&format!(" ({repaired} repaired, {boxed} as a box)"));
    }
    line.push_str(&format!("  {}", path.display()));
    line
}
