//! YOLO data sets: `images/` and `labels/` side by side, class names in
//! `data.yaml`.
//!
//! Each picture is an image of its own, in its px. A data set that `slidemill dataset` made also says in
//! `tiles.csv` where its tiles lie, and is read back into level-0 px of the images it was cut from: its
//! labels can be compared with the annotations of those images. Its `images/` or `labels/`, or a split of
//! them, given by themselves, are pictures like those of any other data set.

mod picture;
mod tiles;

use std::path::{Path, PathBuf};

use self::picture::{FORMAT, Picture};
use super::{
    files::{collect_files, has_ending, is_annotation_name, malformed},
    settings::ReadSettings,
    text::read_text,
};
use crate::{
    EvalError,
    error::Result,
    objects::{Object, ObjectSet, SetBuilder},
    training_set::yolo::parse_labels,
};

const SIDES: [&str; 2] = ["images", "labels"];
const NAMES: [&str; 2] = ["data.yaml", "data.yml"];

/// A data set, or a part of one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct YoloFolder {
    /// The folder that holds `data.yaml`.
    root: PathBuf,
    /// The folder of the pictures to read, below `root/images`.
    part: PathBuf,
    /// `true` if the whole data set was given, by its root.
    whole: bool,
}

impl YoloFolder {
    /// `folder` as a data set or a part of one; `None` for other folders.
    pub fn at(folder: &Path) -> Option<Self> {
        let whole = Self { root: folder.to_owned(), part: PathBuf::new(), whole: true };
        let part = folder.ancestors().find_map(|above| {
            let root = above.parent()?.to_owned();
            let is_side = SIDES.iter().any(|side| above.file_name().is_some_and(|name| name == *side));
            let part = folder.strip_prefix(above).ok()?.to_owned();
            is_side.then_some(Self { root, part, whole: false })
        });
        [Some(whole), part].into_iter().flatten().find(Self::exists)
    }

    /// The folder of the whole data set.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `true` if both sides are there and the files beside the pictures are YOLO labels: people also keep
    /// GeoJSON or label PNGs in such folders.
    fn exists(&self) -> bool {
        let [_, labels] = SIDES.map(|side| self.root.join(side).join(&self.part));
        SIDES.iter().all(|side| self.root.join(side).join(&self.part).is_dir())
            && (NAMES.iter().any(|name| self.root.join(name).is_file()) || holds_text_alone(&labels))
    }

    /// All pictures with their labels; a picture without a label file has none.
    pub fn read(&self, settings: &ReadSettings) -> Result<ObjectSet> {
        let names = class_names(&self.root)?;
        let mut pictures = Vec::new();
        for path in collect_files(&self.root.join("images").join(&self.part))? {
            pictures.extend(self.picture(path)?);
        }
        if pictures.is_empty() {
            return Err(malformed(FORMAT, "images/", "there is no PNG or JPEG", &self.root));
        }
        let places = if self.whole { tiles::places(&self.root)? } else { None };
        let mut set = match places {
            Some(places) => tiles::on_level0(pictures, &places, &self.root)?,
            None => as_images(pictures),
        };
        name_classes(&mut set, names, &self.root)?;
        for object in &mut set.objects {
            object.shape = object.shape.clone().reduced(settings.detail);
        }
        Ok(set)
    }

    fn picture(&self, path: PathBuf) -> Result<Option<Picture>> {
        let Some(size) = picture_size(&path)? else { return Ok(None) };
        // Below `images/`, since `files` were looked for there.
        let images = self.root.join("images");
        let below = path.strip_prefix(&images).unwrap_or(&path);
        let labels = self.root.join("labels").join(below).with_extension("txt");
        let text = match read_text(&labels) {
            Ok((text, _)) => text,
            Err(EvalError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                String::new()
            }
            Err(error) => return Err(error),
        };
        let objects = parse_labels(&text, size.0, size.1, &labels)?;
        Ok(Some(Picture { path, size, objects }))
    }
}

fn as_images(pictures: Vec<Picture>) -> ObjectSet {
    let mut set = SetBuilder::new();
    for picture in pictures {
        let image = set.image_named(&picture.path.to_string_lossy());
        set.image(image).size = Some(picture.size);
        picture.objects.into_iter().for_each(|object| set.push(Object { image, ..object }));
    }
    set.finish()
}

/// Width and height in px, from the header of a PNG or JPEG; `None` for a file whose name is not that of a
/// picture.
fn picture_size(path: &Path) -> Result<Option<(f64, f64)>> {
    if !is_picture_name(path) {
        return Ok(None);
    }
    let size = imagesize::size(path).map_err(|error| match error {
        imagesize::ImageError::IoError(source) => EvalError::Read { source, path: path.to_owned() },
        other => {
            malformed(FORMAT, "picture", format!("no size found, expected a PNG or a JPEG: {other}"), path)
        }
    })?;
    Ok(Some((size.width as f64, size.height as f64)))
}

/// Names the classes. Labels have numbers; `data.yaml` names them. Without it a class is named by its number.
fn name_classes(set: &mut ObjectSet, names: Option<Vec<String>>, root: &Path) -> Result<()> {
    let most = set.objects.iter().map(|object| usize::from(object.class.0) + 1).max().unwrap_or(0);
    let names = names.unwrap_or_else(|| (0..most).map(|number| number.to_string()).collect());
    if most > names.len() {
        let problem = format!("a label has class {}, expected one of {} named", most - 1, names.len());
        return Err(malformed(FORMAT, "data.yaml", problem, root));
    }
    let places = names.iter().map(|name| set.class_named(name)).collect::<Result<Vec<_>>>()?;
    for object in &mut set.objects {
        object.class = places[usize::from(object.class.0)];
    }
    Ok(())
}

/// The names in `data.yaml`, by number; `None` without such a file.
fn class_names(root: &Path) -> Result<Option<Vec<String>>> {
    let Some(path) = NAMES.map(|name| root.join(name)).into_iter().find(|path| path.is_file()) else {
        return Ok(None);
    };
    let (text, _) = read_text(&path)?;
    let names = names_in(&text).ok_or_else(|| {
        let problem = "expected a list of names, or a name for each number from 0 on";
        malformed(FORMAT, "names", problem, &path)
    });
    names.map(Some)
}

/// Reads `names:` in the four ways it is written: a list or numbered names, in lines or in one. Any other
/// YAML is ignored.
fn names_in(text: &str) -> Option<Vec<String>> {
    let mut lines = text.lines().map(|line| line.split(" #").next().unwrap_or(line).trim_end());
    let first = lines.find_map(|line| line.strip_prefix("names:"))?.trim();
    let entries: Vec<String> = if first.is_empty() {
        let below = lines.map_while(|line| match line.trim() {
            "" => Some(""),
            entry => (line.starts_with([' ', '\t', '-'])).then_some(entry),
        });
        below.filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
    } else {
        let inside = first.strip_prefix(['[', '{'])?.strip_suffix([']', '}'])?;
        split_outside_quotes(inside)
    };
    let mut names = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        let entry = entry.strip_prefix("- ").unwrap_or(entry).trim();
        let numbered = entry.split_once(':').filter(|(number, _)| number.trim() == place.to_string());
        let starts_with_number =
            entry.split_once(':').is_some_and(|(number, _)| number.trim().parse::<usize>().is_ok());
        if starts_with_number && numbered.is_none() {
            return None;
        }
        names.push(unquoted(numbered.map_or(entry, |(_, name)| name).trim()));
    }
    (!names.is_empty()).then_some(names)
}

fn split_outside_quotes(text: &str) -> Vec<String> {
    let mut quote = None;
    let parts = text.split(move |c: char| {
        match quote {
            Some(open) if open == c => quote = None,
            None if matches!(c, '"' | '\'') => quote = Some(c),
            _ => {}
        }
        c == ',' && quote.is_none()
    });
    parts.map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

fn unquoted(name: &str) -> String {
    let inside = |quote: char| name.strip_prefix(quote)?.strip_suffix(quote);
    match (inside('"'), inside('\'')) {
        (Some(name), _) => name.replace("\\\"", "\"").replace("\\\\", "\\"),
        (None, Some(name)) => name.replace("''", "'"),
        (None, None) => name.to_owned(),
    }
}

/// `true` if there are label files below a folder, and no annotations of another kind.
fn holds_text_alone(folder: &Path) -> bool {
    let Ok(files) = collect_files(folder) else { return false };
    files.iter().any(|path| path.extension().is_some_and(|extension| extension == "txt"))
        && !files.iter().any(|path| is_annotation_name(path))
}

/// `true` if a file of a data set is a picture by its name.
fn is_picture_name(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    has_ending(path, &[".png", ".jpg", ".jpeg"]) && !hidden
}

#[cfg(test)]
mod tests;
