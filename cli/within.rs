//! `--within`: the regions of interest of the slides of a job, from the files in which people drew them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use convert::into::{AreaSettings, read_areas};
use dataset::{SlideId, wording::counted};
use engine::SlideEntry;
use eval::names::{Found, NameIndex};
use wsi_types::{Corner, InterestError, Margin, RegionsOfInterest, distinct_classes, is_same_class};

use crate::{exit::Failure, frame::Frame};

/// Where a job looks and counts.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Regions of interest")]
pub struct Within {
    /// Count only in regions of interest that somebody drew, and look only there: a file
    /// for one slide, or a folder with a file for each, called as the slide or by its id.
    /// GeoJSON of QuPath, also .gz and .zip, TIAToolbox stores, pictures of labels (PNG,
    /// TIFF) with --within-mpp, and others that `slidemill import` reads
    #[arg(long, value_name = "ROI")]
    within: Option<PathBuf>,
    /// Where their coordinates count from, for slides whose scanned part does not begin
    /// at the corner of level 0
    #[arg(long, value_name = "FRAME", value_enum, requires = "within")]
    within_frame: Option<Frame>,
    /// Microns per pixel of the picture they were drawn on; needed for pictures of
    /// labels. Without it they are in px of level 0
    #[arg(long, value_name = "X", requires = "within", conflicts_with = "within_frame")]
    within_mpp: Option<f64>,
    /// Classes whose regions are cut out of the others, such as necrosis; QuPath's
    /// Ignore* always is. For a picture of labels the label
    #[arg(long, value_name = "CLASS", value_delimiter = ',', requires = "within")]
    exclude: Vec<String>,
    /// What becomes of slides that have no file in the folder. Without this they are
    /// refused
    #[arg(long, value_name = "RULE", value_enum, requires = "within")]
    without_roi: Option<WithoutRoi>,
    /// Bands along the border of the regions, in microns from it, negative inside:
    /// -200,0,200 makes margin:-200..0 and margin:0..200. Tissue in bands outside of
    /// the regions is analysed too
    #[arg(long, value_name = "UM", value_delimiter = ',', allow_hyphen_values = true)]
    margin_um: Option<Vec<f64>>,
    /// Classes of the regions whose border bands lie along, and distance_um is measured
    /// from, in upper or lower case [default: the class of all regions, if they have one]
    #[arg(long, value_name = "CLASS", value_delimiter = ',')]
    margin_of: Option<Vec<String>>,
}

/// Treatment of a slide without regions of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum WithoutRoi {
    /// All of it counts.
    Whole,
    /// It is left out of the job.
    Skip,
}

/// The slides of a job with their regions of interest.
#[derive(Debug, Default)]
pub struct Assigned {
    /// In their order.
    pub slides: Vec<SlideEntry>,
    /// Notes for the user.
    pub notes: Vec<String>,
}

impl Within {
    /// The file or folder, if one is given.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.within.as_deref()
    }

    /// `true` if slides without regions of interest are to be left out.
    #[must_use]
    pub fn skips(&self) -> bool {
        self.without_roi == Some(WithoutRoi::Skip)
    }

    /// Text that tells these options from others; `None` if no regions are given.
    #[must_use]
    pub fn typed(&self) -> Option<String> {
        self.within.as_ref().map(|_| format!("{self:?}"))
    }

    /// Gives each slide its regions of interest.
    ///
    /// # Errors
    ///
    /// A usage failure when options are wrong, a slide has no file and nothing says what becomes of it, or it cannot be
    /// told whose file one is; what a file that cannot be used says.
    pub fn assign(&self, slides: Vec<SlideEntry>) -> anyhow::Result<Assigned> {
        let Some(path) = self.path() else {
            self.refuse_margin("without --within, which names the regions whose border is meant")?;
            return Ok(Assigned { slides, notes: Vec::new() });
        };
        let settings = self.settings()?;
        let files = Files::open(path, &slides)?;
        let (mut assigned, mut without, mut excluded) = (Assigned::default(), Vec::new(), BTreeSet::new());
        for mut slide in slides {
            match files.of_slide(&slide)? {
                Some(file) => {
                    let areas = read_areas(file, &settings)?;
                    excluded.extend(areas.excluded);
                    assigned.notes.extend(areas.notes);
                    slide.within = Some(areas.regions);
                }
                None => without.push(slide.name()),
            }
            if slide.within.is_some() || !self.skips() {
                assigned.slides.push(slide);
            }
        }
        self.check_excluded(&excluded, path)?;
        assigned.notes.extend(files.unused_note(&assigned.slides)?);
        assigned.notes.extend(self.told_without(&without, path)?);
        if assigned.slides.is_empty() {
            return Err(Failure::usage(format!("no slide has a file in --within: {}", path.display())));
        }
        self.set_margins(assigned.slides.iter_mut().filter_map(|slide| slide.within.as_mut()))?;
        Ok(assigned)
    }

    /// `true` if bands, or the class whose border is measured from, are given.
    #[must_use]
    pub fn has_margin(&self) -> bool {
        self.margin_um.is_some() || self.margin_of.is_some()
    }

    /// Refuses what is said of borders where it cannot be followed, and says why.
    ///
    /// # Errors
    ///
    /// A usage failure naming the option that was given.
    pub fn refuse_margin(&self, why: &str) -> anyhow::Result<()> {
        let name = if self.margin_um.is_some() { "--margin-um" } else { "--margin-of" };
        if self.has_margin() { Err(Failure::usage(format!("{name} is given {why}"))) } else { Ok(()) }
    }

    /// Gives the regions of all slides their bands and the class whose border is meant. What is not given stays.
    ///
    /// # Errors
    ///
    /// A usage failure for distances that are none, a class that no region has, or bands whose border is not clear.
    pub fn set_margins<'r>(
        &self,
        slides: impl Iterator<Item = &'r mut RegionsOfInterest>,
    ) -> anyhow::Result<()> {
        let (mut known, mut is_unclear) = (BTreeSet::new(), false);
        for regions in slides {
            regions.margin = self.margin(&regions.margin)?;
            is_unclear |= !regions.margin.edges_um.is_empty() && regions.margin.of.is_empty();
            known.extend(regions.classes().into_iter().map(|class| class.map(str::to_owned)));
        }
        let distinct = distinct_classes(known.iter().map(Option::as_deref));
        if is_unclear && distinct.len() > 1 {
            let whose = InterestError::whose_border(distinct);
            return Err(Failure::usage(whose.to_string()));
        }
        self.check_margin_of(&distinct)
    }

    /// A slip in a name would leave the bands out.
    fn check_margin_of(&self, known: &BTreeSet<Option<&str>>) -> anyhow::Result<()> {
        let known: Vec<&str> = known.iter().copied().flatten().collect();
        let mut named = self.margin_of.iter().flatten();
        match named.find(|class| !is_among(class, known.iter().copied())) {
            Some(class) => Err(Failure::usage(format!(
                "--margin-of names {class:?}, a class that no region of interest has; they have {}",
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            ))),
            None => Ok(()),
        }
    }

    /// What is given of borders, in place of what was there.
    fn margin(&self, before: &Margin) -> anyhow::Result<Margin> {
        let of = self.margin_of.as_ref().unwrap_or(&before.of).clone();
        match &self.margin_um {
            Some(edges_um) => Margin::new(of, edges_um.clone())
                .map_err(|error| Failure::usage(format!("--margin-um {error}"))),
            None => Ok(Margin { of, ..before.clone() }),
        }
    }

    fn settings(&self) -> anyhow::Result<AreaSettings> {
        if let Some(mpp) = self.within_mpp.filter(|mpp| !(*mpp > 0.0 && mpp.is_finite())) {
            return Err(Failure::usage(format!("--within-mpp is {mpp}, expected above 0, such as 8")));
        }
        let corner = match self.within_frame {
            Some(Frame::Level0) => Corner::Level0,
            Some(Frame::Qupath) => Corner::Scanned,
            None => Corner::Unstated,
        };
        Ok(AreaSettings { exclude: self.exclude.clone(), um_per_px: self.within_mpp, corner })
    }

    /// A slip in a name would count what was to be cut out.
    fn check_excluded(&self, found: &BTreeSet<String>, path: &Path) -> anyhow::Result<()> {
        match self.exclude.iter().find(|class| !is_among(class, found.iter().map(String::as_str))) {
            Some(class) => Err(Failure::usage(format!(
                "--exclude names {class:?}, a class that no region of interest has: {}",
                path.display()
            ))),
            None => Ok(()),
        }
    }

    fn told_without(&self, names: &[String], path: &Path) -> anyhow::Result<Option<String>> {
        let Some(first) = names.first() else { return Ok(None) };
        let those = format!("{} without a file in --within (first: {first})", counted(names.len(), "slide"));
        match self.without_roi {
            Some(WithoutRoi::Whole) => Ok(Some(format!("{those}: not limited to regions of interest"))),
            Some(WithoutRoi::Skip) => Ok(Some(format!("{those}: left out"))),
            None => Err(Failure::usage(format!(
                "{those}; add files, or say what becomes of such slides by --without-roi whole or --without-roi skip: {}",
                path.display()
            ))),
        }
    }
}

fn is_among<'c>(class: &str, mut known: impl Iterator<Item = &'c str>) -> bool {
    known.any(|known| is_same_class(known, class))
}

/// Files of regions of interest.
enum Files {
    /// Of the only slide.
    One(PathBuf),
    /// By what they are called.
    Folder { files: Vec<PathBuf>, index: NameIndex, of_slides: BTreeMap<PathBuf, Option<PathBuf>> },
}

impl Files {
    fn open(path: &Path, slides: &[SlideEntry]) -> anyhow::Result<Self> {
        if !path.is_dir() {
            return match slides {
                [_] => Ok(Self::One(path.to_owned())),
                _ => Err(Failure::usage(format!(
                    "--within is one file for {}: give a folder with a file for each: {}",
                    counted(slides.len(), "slide"),
                    path.display()
                ))),
            };
        }
        let files = files_in(path, slides)?;
        let names: Vec<_> = files.iter().map(|file| file_name(file)).collect();
        let index = NameIndex::new(names.iter().map(String::as_str));
        let mut all = Self::Folder { files, index, of_slides: BTreeMap::new() };
        all.look_up(slides)?;
        Ok(all)
    }

    /// Finds the file of each slide; no file is of two.
    fn look_up(&mut self, slides: &[SlideEntry]) -> anyhow::Result<()> {
        let Self::Folder { files, index, of_slides } = self else { return Ok(()) };
        let mut owners: BTreeMap<PathBuf, String> = BTreeMap::new();
        for slide in slides {
            let file = place_of(index, slide)?.map(|place| files[place as usize].clone());
            if let Some(file) = &file
                && let Some(other) = owners.insert(file.clone(), slide.name())
            {
                return Err(Failure::usage(format!(
                    "two slides ({other} and {}) are called as one file of --within: call the files by the slides' ids, \
                     which a slide list can give: {}",
                    slide.name(),
                    file.display()
                )));
            }
            of_slides.insert(slide.path.clone(), file);
        }
        Ok(())
    }

    fn of_slide(&self, slide: &SlideEntry) -> anyhow::Result<Option<&Path>> {
        match self {
            Self::One(path) => Ok(Some(path)),
            Self::Folder { of_slides, .. } => match of_slides.get(&slide.path) {
                Some(file) => Ok(file.as_deref()),
                None => Err(anyhow::anyhow!("a slide whose file was not looked up")),
            },
        }
    }

    /// Says so where files are of no slide.
    fn unused_note(&self, slides: &[SlideEntry]) -> anyhow::Result<Option<String>> {
        let Self::Folder { files, .. } = self else { return Ok(None) };
        let mut used = BTreeSet::new();
        for slide in slides {
            used.extend(self.of_slide(slide)?);
        }
        let unused = files.len() - used.len();
        Ok((unused > 0)
            .then(|| format!("{} of --within not used: of no slide of this job", counted(unused, "file"))))
    }
}

/// The place of the file that is called as a slide, or by its id.
fn place_of(index: &NameIndex, slide: &SlideEntry) -> anyhow::Result<Option<u32>> {
    // Two names for the same file are one answer.
    let id = slide.id.clone().or_else(|| slide.content().ok().map(|content| SlideId::from_content(&content)));
    let names = [Some(slide.name()), id.map(|id| id.to_string())];
    for name in names.into_iter().flatten() {
        match index.find(&name) {
            Found::Nothing => {}
            Found::One { place, .. } => return Ok(Some(place)),
            Found::Several => {
                return Err(Failure::usage(format!(
                    "several files of --within could be those of one slide, expected one: {}",
                    slide.path.display()
                )));
            }
        }
    }
    Ok(None)
}

/// The files of a folder that may hold regions of interest, by name order. Slides may lie beside them.
fn files_in(folder: &Path, slides: &[SlideEntry]) -> anyhow::Result<Vec<PathBuf>> {
    const ENDINGS: [&str; 10] =
        [".geojson", ".geojson.gz", ".json", ".json.gz", ".zip", ".db", ".png", ".tif", ".tiff", ".xml"];
    let own: BTreeSet<PathBuf> =
        slides.iter().filter_map(|slide| fs::canonicalize(&slide.path).ok()).collect();
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unlisted(folder))? {
        let path = entry.map_err(unlisted(folder))?.path();
        let name = file_name(&path).to_lowercase();
        let is_area = ENDINGS.iter().any(|ending| name.ends_with(ending)) && !name.starts_with('.');
        if is_area && path.is_file() && !fs::canonicalize(&path).is_ok_and(|path| own.contains(&path)) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn unlisted(folder: &Path) -> impl FnOnce(io::Error) -> anyhow::Error {
    move |error| Failure::input(format!("cannot list --within: {error}: {}", folder.display()))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
