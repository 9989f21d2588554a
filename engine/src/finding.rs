//! Finds the slides of a job: files, folders, globs, or a CSV with a line each.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fs,
    path::{Path, PathBuf},
};

use wsi_reader::{LeftOut, is_address};

use crate::{
    error::JobError,
    globs::{self, is_glob},
    list, said,
    slides::SlideEntry,
};

/// The slides of a job, with notes about other files.
#[derive(Debug, Default)]
pub struct JobSlides {
    /// Each path once, in a fixed order: as typed, and by name within a folder or glob.
    pub slides: Vec<SlideEntry>,
    /// Files of folders that are no slides.
    pub left_out: LeftOut,
    /// Other notes for the user about the list, in words.
    pub notes: Vec<String>,
}

impl JobSlides {
    /// Parts of folders and lists that are not read, in words.
    pub fn remarks(&self) -> impl Iterator<Item = String> {
        let left_out = (!self.left_out.is_empty()).then(|| self.left_out.to_string());
        left_out.into_iter().chain(self.notes.iter().cloned())
    }
}

/// Turns typed paths and addresses into slides.
///
/// # Errors
///
/// As [`find_slides`].
pub fn slides_in(inputs: &[PathBuf]) -> Result<Vec<SlideEntry>, JobError> {
    find_slides(inputs).map(|found| found.slides)
}

/// Turns typed paths into slides. Files that a list or a folder names and that do not exist stay, so that the
/// run names them among the bad slides and goes on with the others.
///
/// # Errors
///
/// [`JobError::Usage`] when a typed path does not exist, a list or glob is malformed, two slides are given
/// one id, one slide is given as two (of two patients, for instance), or nothing at all is found.
pub fn find_slides(inputs: &[PathBuf]) -> Result<JobSlides, JobError> {
    let mut found = JobSlides::default();
    for input in inputs {
        expand(input, &mut found)?;
    }
    found.slides = each_once(found.slides)?;
    if found.slides.is_empty() {
        let typed: Vec<_> = inputs.iter().map(|path| path.display().to_string()).collect();
        let beside = if found.left_out.is_empty() { String::new() } else { format!(" ({})", found.left_out) };
        return Err(JobError::usage(format!("no slide found in {}{beside}", typed.join(", "))));
    }
    let mut ids = BTreeSet::new();
    for id in found.slides.iter().filter_map(|entry| entry.id.as_ref()) {
        if !ids.insert(id) {
            return Err(JobError::usage(format!(
                "two slides of the list have the id {id}, expected one each"
            )));
        }
    }
    Ok(found)
}

/// Each path once, where it came first, with what is said of it wherever it is given.
fn each_once(slides: Vec<SlideEntry>) -> Result<Vec<SlideEntry>, JobError> {
    let (mut once, mut places) = (Vec::<SlideEntry>::new(), BTreeMap::new());
    let mut contradictions = Vec::new();
    for slide in slides {
        let path = fs::canonicalize(&slide.path).unwrap_or_else(|_| slide.path.clone());
        match places.entry(path) {
            Entry::Vacant(free) => {
                free.insert(once.len());
                once.push(slide);
            }
            Entry::Occupied(taken) => {
                let first = &mut once[*taken.get()];
                match said::together(first, &slide.moved_to(&first.path)) {
                    Ok(both) => both.say_of(first),
                    Err(contradiction) => contradictions.push(contradiction),
                }
            }
        }
    }
    said::refuse(&contradictions)?;
    Ok(once)
}

/// Refuses the paths that [`find_slides`] would refuse, as far as that can be seen without looking into
/// folders.
///
/// # Errors
///
/// [`JobError::Usage`].
pub fn refuse_mistyped(inputs: &[PathBuf]) -> Result<(), JobError> {
    for input in inputs.iter().filter(|input| !input.is_dir()) {
        expand(input, &mut JobSlides::default())?;
    }
    Ok(())
}

fn expand(input: &Path, found: &mut JobSlides) -> Result<(), JobError> {
    let suffix = input.extension().unwrap_or_default();
    let is_list = ["csv", "tsv"].iter().any(|list| suffix.eq_ignore_ascii_case(list));
    if is_address(input) {
        // Whether something is there is found out where it is opened: a server may be away for a moment.
        found.slides.push(SlideEntry::at(input));
    } else if is_list && input.is_file() {
        let list = list::read(input)?;
        if !list.unused.is_empty() {
            found.notes.push(format!(
                "columns of the list that are kept for `slidemill cohort`: {}",
                list.unused.join(", ")
            ));
        }
        found.slides.extend(list.slides);
    } else if input.is_dir() {
        let listing = wsi_reader::find_slides(input)
            .map_err(|error| JobError::usage(format!("cannot list folder: {error}: {}", input.display())))?;
        found.left_out.extend(listing.left_out);
        found.slides.extend(listing.slides.into_iter().map(SlideEntry::at));
    } else if fs::symlink_metadata(input).is_ok() {
        found.slides.push(SlideEntry::at(input));
    } else if is_glob(input) {
        let matches = globs::expand(input)?;
        if matches.is_empty() {
            return Err(JobError::usage(format!("no slide found in {}", input.display())));
        }
        for path in matches {
            expand(&path, found)?;
        }
    } else {
        return Err(JobError::usage(format!("no such file or folder: {}", input.display())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use dataset::SlideId;
    use wsi_reader::LinearMapping;
    use wsi_types::Mpp;

    use super::*;

    #[test]
    fn a_list_gives_each_slide_its_own_id_and_scale() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("night.csv");
        let lines = "path,id,mpp,map_range\n\"Fall 7, Höhe.svs\",case-7,0.25,\nb.svs,,,100:4095\n";
        fs::write(&list, lines).unwrap();
        let slides = slides_in(&[list]).unwrap();
        assert_eq!(slides[0].path, folder.path().join("Fall 7, Höhe.svs"));
        assert_eq!(slides[0].id.as_ref().map(SlideId::as_str), Some("case-7"));
        assert_eq!(slides[0].mpp.map(Mpp::get), Some(0.25));
        assert_eq!((slides[1].id.clone(), slides[1].mpp), (None, None));
        assert_eq!((slides[0].map_range, slides[1].map_range), (None, LinearMapping::new(100.0, 4095.0)));
    }

    #[test]
    fn addresses_are_slides_wherever_they_are_given() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("night.csv");
        fs::write(&list, "path,id\nhttps://h/b.svs?sig=x*y,b\n").unwrap();
        let typed = [PathBuf::from("https://h/a.svs"), list, PathBuf::from("https://h/a.svs")];
        let slides = slides_in(&typed).unwrap();
        let paths: Vec<_> = slides.iter().map(|slide| slide.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["https://h/a.svs", "https://h/b.svs?sig=x*y"]);
        assert_eq!(slides[1].name(), "b.svs");
        assert_eq!(slides[1].place(), "https://h/b.svs");
        assert!(refuse_mistyped(&typed).is_ok());
    }

    #[test]
    fn globs_match_names_with_spaces_and_any_script() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["スライド 1.svs", "b 2.svs", "note.txt"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        let names: Vec<_> =
            slides_in(&[folder.path().join("*.svs")]).unwrap().iter().map(SlideEntry::name).collect();
        assert_eq!(names, ["b 2.svs", "スライド 1.svs"]);
        assert!(slides_in(&[folder.path().join("*.ndpi")]).is_err());
    }

    #[test]
    fn a_path_given_twice_is_one_slide() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.svs");
        fs::write(&path, "x").unwrap();
        assert_eq!(slides_in(&[path.clone(), path.clone()]).unwrap(), [SlideEntry::at(path)]);
    }

    /// Once the second line was left out without a word.
    #[test]
    fn what_several_lines_say_of_one_path_is_put_together_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a.svs"), "x").unwrap();
        fs::write(at("l.csv"), "path,patient,mpp\na.svs,P1,\n./a.svs,,0.25\n").unwrap();
        for typed in [vec![at("l.csv")], vec![folder.path().to_owned(), at("l.csv")]] {
            let slides = slides_in(&typed).unwrap();
            assert_eq!((slides.len(), slides[0].mpp.map(Mpp::get)), (1, Some(0.25)), "{typed:?}");
            assert_eq!(slides[0].columns["patient"], "P1");
        }
        for (line, expected) in [("P2,", "its patient is \"P1\" and \"P2\""), ("P1,0.5", "its mpp is")] {
            fs::write(at("two.csv"), format!("path,patient,mpp\na.svs,P1,0.25\na.svs,{line}\n")).unwrap();
            let error = slides_in(&[at("two.csv")]).unwrap_err().to_string();
            assert!(error.contains("a.svs is given twice, ") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn what_was_mistyped_is_refused_and_what_a_list_names_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a.svs"), "x").unwrap();
        fs::write(at("l.csv"), "path,id\na.svs,x\ngone.svs,y\n").unwrap();
        fs::write(at("twice.csv"), "path,id\na.svs,x\ngone.svs,x\n").unwrap();
        assert_eq!(slides_in(&[at("l.csv")]).unwrap().len(), 2);
        for (typed, expected) in [
            (vec![at("a.svs"), at("b.svs")], "no such file or folder: "),
            (vec![at("*.ndpi")], "no slide found in "),
            (vec![at("twice.csv")], "the id x"),
        ] {
            let error = slides_in(&typed).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(refuse_mistyped(&[at("a.svs"), at("*.svs"), at("l.csv")]).is_ok());
        assert!(refuse_mistyped(&[at("b.svs")]).is_err() && refuse_mistyped(&[at("*.ndpi")]).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_nothing_stays_to_be_named() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("gone.svs");
        std::os::unix::fs::symlink("/nowhere.svs", &link).unwrap();
        for typed in [link.clone(), folder.path().to_owned(), folder.path().join("*.svs")] {
            assert_eq!(slides_in(&[typed]).unwrap(), [SlideEntry::at(link.clone())]);
        }
    }

    #[test]
    fn what_is_left_out_of_folders_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.svs", "b.jpg", "c.jpg", "d.txt"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        let found = find_slides(&[folder.path().to_owned()]).unwrap();
        assert_eq!(
            (found.slides.len(), found.left_out.to_string().as_str()),
            (1, "left out: 3 files: 2 .jpg, 1 .txt")
        );
        fs::remove_file(folder.path().join("a.svs")).unwrap();
        let error = find_slides(&[folder.path().to_owned()]).unwrap_err().to_string();
        assert!(error.ends_with("(left out: 3 files: 2 .jpg, 1 .txt)"), "{error}");
    }
}
