//! `slidemill view`: slides, cells and regions in a browser on this machine.

mod lineage;
mod night;
mod shown;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use dataset::{Dataset, NewFolder, SlideId, wording::counted};
use engine::{ByteSize, named_slide};
use serde_json::json;
use viewer::{
    Keyed, Pair, Report, ShownSlide, Site,
    http::{Answer, Loopback},
};

use self::{night::Night, shown::shown_slides};
use crate::{
    args,
    exit::{Exit, Failure},
    slide_files::slide_names,
    stdout::print,
};

/// Serves the pages of a dataset until it is interrupted.
///
/// # Errors
///
/// A usage failure for a slide that the dataset does not have, an input failure when it has no results, an
/// output failure when the address cannot be listened on.
pub fn view(args: &args::View) -> anyhow::Result<Exit> {
    let dataset = Dataset::at(&args.results);
    let mut paths = slide_names::<PathBuf>(&dataset)?;
    let first = args.slide.as_deref().map(|slide| first_slide(&dataset, slide, &mut paths)).transpose()?;
    let mut night = Night::new(&dataset, paths.clone());
    let mut slides = match args.against.is_none() && args.export.is_none() {
        true => night.slides_now()?,
        false => shown_slides(&dataset, &paths)?,
    };
    refuse_none(&slides, &dataset)?;
    if let Some(first) = &first
        && !slides.iter().any(|slide| slide.id == first.as_str())
    {
        return Err(Failure::usage(format!(
            "no cells of slide {first} are here; `slidemill status` tells what there is: {}",
            args.results.display()
        )));
    }
    if let (Some(file), Some(first)) = (&args.places, &first) {
        let places = places_in(file)?;
        let wanted = slides.iter_mut().filter(|slide| slide.id == first.as_str());
        wanted.for_each(|slide| slide.facts["places"] = json!(places));
    }
    if let Some(folder) = &args.export {
        return export(args, folder, slides, first.as_ref(), &dataset);
    }
    let site = Site::new(slides, first.map(String::from)).with_report(Report::served(dataset.root()));
    match &args.against {
        None => serve(args, site.watching(Box::new(night))),
        Some(other) => serve(args, compared(args, site, other, &paths)?),
    }
}

fn places_in(file: &Path) -> anyhow::Result<Vec<viewer::Place>> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string());
    let places = text.and_then(|text| viewer::places(&text));
    places.map_err(|error| Failure::input(format!("cannot read the places: {error}: {}", file.display())))
}

/// Answers requests until the process is ended.
fn serve(args: &args::View, site: impl Answer) -> anyhow::Result<Exit> {
    let site = Keyed::new(site)?;
    let loopback = Loopback::listen(args.port)?;
    let address = format!("http://{}/{}/", loopback.address(), site.key());
    print("the address", |out| {
        writeln!(out, "viewer    {address}\n          for this machine alone; stop with Ctrl-C")
    })?;
    if args.open {
        open_browser(&address);
    }
    loopback.serve(&site);
    Ok(Exit::Done)
}

/// Opens a second dataset to be compared with the first, whose slides have `paths`.
fn compared(
    args: &args::View,
    site: Site,
    other: &Path,
    paths: &BTreeMap<String, PathBuf>,
) -> anyhow::Result<Pair> {
    let dataset = Dataset::at(other);
    let mut known = slide_names::<PathBuf>(&dataset)?;
    for (id, path) in paths {
        known.entry(id.clone()).or_insert_with(|| path.clone());
    }
    let slides = shown_slides(&dataset, &known)?;
    refuse_none(&slides, &dataset)?;
    let second = Site::new(slides, None);
    let Some(first) = common_slide(&site, &second) else {
        let which = site.first().map_or_else(|| "slide".to_owned(), |first| format!("slide {first}"));
        let (one, other) = (args.results.display(), other.display());
        return Err(Failure::usage(format!("no {which} is in both datasets: {one} and {other}")));
    };
    let names = [args.results.as_path(), other].map(|path| path.display().to_string());
    Ok(Pair { names, sites: [site, second], first })
}

/// The slide that the pages of `one` open on, if `other` has it too; if they open on none, the first of both.
fn common_slide(one: &Site, other: &Site) -> Option<String> {
    let others = other.ids();
    let mut common = one.ids().into_iter().filter(|id| others.contains(id));
    common.find(|id| one.first().is_none_or(|first| first == id))
}

/// Writes the pages into a folder.
fn export(
    args: &args::View,
    folder: &Path,
    slides: Vec<ShownSlide>,
    only: Option<&SlideId>,
    dataset: &Dataset,
) -> anyhow::Result<Exit> {
    let sharpest = args.from_mpp.unwrap_or(0.0);
    if !sharpest.is_finite() || sharpest < 0.0 {
        return Err(Failure::usage(format!("--from-mpp is {sharpest}, expected µm per px such as 1")));
    }
    let slides = slides.into_iter().filter(|slide| only.is_none_or(|id| id.as_str() == slide.id));
    let slides = slides.map(|slide| ShownSlide { name: None, sharpest_mpp: sharpest, ..slide });
    let mut site = Site::new(slides.collect(), only.map(|id| id.as_str().to_owned()));
    if is_viewer_of(folder, dataset) {
        site = site.with_report(Report::above(dataset.root()));
    }
    let new_folder = NewFolder::at(folder)?;
    let size = viewer::export::size(&site)?;
    let (bytes, files) = (ByteSize(size.bytes), counted(size.files as usize, "file"));
    print("the size", |out| writeln!(out, "writes    about {bytes} in {files}: {}", folder.display()))?;
    let done = viewer::export::export(&site, |name, bytes| anyhow::Ok(new_folder.write(name, bytes)?))?;
    new_folder.finish()?;
    print("the page", |out| writeln!(out, "page      {}", folder.join("index.html").display()))?;
    if done.unreadable > 0 {
        let tiles = counted(done.unreadable as usize, "tile");
        errln!("slidemill: left out, because they cannot be read: {tiles} of pixels");
        return Ok(Exit::Incomplete);
    }
    Ok(Exit::Done)
}

/// `true` for the folder of a dataset to which its report links.
fn is_viewer_of(folder: &Path, dataset: &Dataset) -> bool {
    let root = dataset.root().canonicalize();
    let above = whole_file::folder_of(folder).canonicalize();
    folder.file_name().is_some_and(|name| name == "viewer")
        && matches!((root, above), (Ok(root), Ok(above)) if root == above)
}

/// Opens an address in the user's browser; if that fails, the printed address is there to be opened by hand.
fn open_browser(address: &str) {
    let (program, first) = match std::env::consts::OS {
        "macos" => ("open", None),
        "windows" => ("cmd", Some(["/c", "start", ""])),
        _ => ("xdg-open", None),
    };
    let started = std::process::Command::new(program).args(first.into_iter().flatten()).arg(address).spawn();
    if let Err(error) = started {
        errln!("slidemill: cannot open a browser with {program}: {error}; open the address by hand");
    }
}

/// Id of the slide that the pages open on. A file that is named is where its pixels are read from then on.
fn first_slide(
    dataset: &Dataset,
    slide: &str,
    paths: &mut BTreeMap<String, PathBuf>,
) -> anyhow::Result<SlideId> {
    let id = named_slide(dataset, slide)?;
    let path = Path::new(slide);
    if path.exists() && slide != id.as_str() {
        paths.insert(id.as_str().to_owned(), path.to_owned());
    }
    Ok(id)
}

fn refuse_none(slides: &[ShownSlide], dataset: &Dataset) -> anyhow::Result<()> {
    if slides.is_empty() {
        return Err(Failure::input(format!(
            "no slide with cells is here; `slidemill run SLIDES -o OUT` makes such a dataset: {}",
            dataset.root().display()
        )));
    }
    Ok(())
}
