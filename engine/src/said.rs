//! What is said of one slide in several places (lines of lists, folders, copies of the file): put together where it
//! agrees, refused where it contradicts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display},
};

use wsi_types::{RegionsOfInterest, wording::counted};

use crate::{error::JobError, list, slides::SlideEntry};

/// Faults that a refusal names; the others are counted.
const NAMED: usize = 5;

/// Puts together what is said of files that are one slide, byte by byte, so that it does not matter which of them is
/// analysed. An empty column says nothing. Only files of one size are read: half a megabyte of each, and all of those that
/// have one id and of which not the same is said.
///
/// # Errors
///
/// [`JobError::Usage`] that names what contradicts, such as two patients of one slide.
pub fn put_together(slides: &mut [SlideEntry]) -> Result<(), JobError> {
    let mut contradictions = Vec::new();
    for group in alike(slides) {
        for (place, &one) in group.iter().enumerate() {
            for &other in &group[place + 1..] {
                let both = together(&slides[one], &slides[other]);
                if both.as_ref().is_ok_and(|both| both.adds_to_none(&slides[one], &slides[other])) {
                    continue;
                }
                // Files that cannot be read are the business of their own slides.
                if !slides[other].is_copy_of(&slides[one].path).unwrap_or(false) {
                    continue;
                }
                match both {
                    Ok(both) => [one, other].into_iter().for_each(|place| both.say_of(&mut slides[place])),
                    Err(contradiction) => contradictions.push(contradiction),
                }
            }
        }
    }
    refuse(&contradictions)
}

/// For each slide the place of an earlier one that is the same file, byte by byte.
#[must_use]
pub fn copies_among(slides: &[SlideEntry]) -> Vec<Option<usize>> {
    let mut copies = vec![None; slides.len()];
    for group in alike(slides) {
        for (place, &other) in group.iter().enumerate() {
            let mut earlier = group[..place].iter().copied().filter(|&one| copies[one].is_none());
            copies[other] = earlier.find(|&one| slides[other].is_copy_of(&slides[one].path).unwrap_or(false));
        }
    }
    copies
}

/// Those of the slides that have size and samples of no earlier one: how many there are to come, told in no time.
#[must_use]
pub fn without_likely_copies(slides: &[SlideEntry]) -> Vec<&SlideEntry> {
    let later: BTreeSet<usize> = alike(slides).iter().flat_map(|group| group[1..].iter().copied()).collect();
    let places = (0..slides.len()).filter(|place| !later.contains(place));
    places.map(|place| &slides[place]).collect()
}

/// Groups of slides of one size and with the same samples, in the order of the job; a slide that is like no other is in
/// none.
fn alike(slides: &[SlideEntry]) -> Vec<Vec<usize>> {
    let mut by_size: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (place, slide) in slides.iter().enumerate() {
        by_size.entry(slide.bytes()).or_default().push(place);
    }
    let mut by_content: BTreeMap<[u8; 32], Vec<usize>> = BTreeMap::new();
    let of_one_size = by_size.into_iter().filter(|(bytes, places)| *bytes > 0 && places.len() > 1);
    for place in of_one_size.flat_map(|(_, places)| places) {
        if let Ok(content) = slides[place].content() {
            by_content.entry(content).or_default().push(place);
        }
    }
    let mut groups: Vec<_> = by_content.into_values().filter(|places| places.len() > 1).collect();
    groups.sort_unstable();
    groups
}

/// Two entries that are one slide, of which not the same is said.
#[derive(Debug)]
pub(crate) struct Contradiction {
    paths: [String; 2],
    points: Vec<Point>,
}

/// Something that is said in two ways: the patient, the scale.
#[derive(Debug)]
struct Point {
    what: String,
    said: [String; 2],
}

impl Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, other] = &self.paths;
        if one == other {
            write!(f, "{one} is given twice")?;
        } else {
            write!(f, "{other} is a copy of {one}")?;
        }
        for Point { what, said: [first, second] } in &self.points {
            write!(f, ", its {what} is {first} and {second}")?;
        }
        Ok(())
    }
}

/// Refuses contradictions, if there are any.
///
/// # Errors
///
/// [`JobError::Usage`] that names them.
pub(crate) fn refuse(contradictions: &[Contradiction]) -> Result<(), JobError> {
    if contradictions.is_empty() {
        return Ok(());
    }
    Err(JobError::usage(format!(
        "what is said of one slide contradicts: {}; correct the list, or take one of the two out",
        first_of(contradictions)
    )))
}

/// The first of some faults of a list in one line, with the number of the others.
pub(crate) fn first_of(faults: &[impl Display]) -> String {
    let mut named: Vec<_> = faults.iter().take(NAMED).map(ToString::to_string).collect();
    if let Some(more @ 1..) = faults.len().checked_sub(NAMED) {
        named.push(format!("and {more} more"));
    }
    named.join("; ")
}

/// What two places say of one slide, together.
#[derive(Debug)]
pub(crate) struct Said(SlideEntry);

impl Said {
    /// Says it of a slide.
    pub(crate) fn say_of(&self, slide: &mut SlideEntry) {
        *slide = self.0.clone().moved_to(&slide.path);
    }

    /// `true` if both say all of it already.
    fn adds_to_none(&self, one: &SlideEntry, other: &SlideEntry) -> bool {
        [one, other].into_iter().all(|slide| self.0.clone().moved_to(&slide.path) == *slide)
    }
}

/// Puts together what two places say of one slide.
///
/// # Errors
///
/// What contradicts.
pub(crate) fn together(one: &SlideEntry, other: &SlideEntry) -> Result<Said, Contradiction> {
    let mut points = Vec::new();
    let mut both = one.clone();
    both.id = either("id", &one.id, &other.id, &mut points);
    both.mpp = either("mpp", &one.mpp, &other.mpp, &mut points);
    both.override_mpp = either("override_mpp", &one.override_mpp, &other.override_mpp, &mut points);
    both.map_range = either("map_range", &one.map_range, &other.map_range, &mut points);
    for (column, value) in &other.columns {
        let here = both.columns.entry(column.clone()).or_default();
        if here.is_empty() {
            here.clone_from(value);
        } else if otherwise(column, here, value) {
            points
                .push(Point { what: column.clone(), said: [here, value].map(|value| format!("{value:?}")) });
        }
    }
    if one.within != other.within {
        let said = [in_words(one.within.as_ref()), in_words(other.within.as_ref())];
        points.push(Point { what: "set of regions of interest".into(), said });
    }
    if points.is_empty() {
        Ok(Said(both))
    } else {
        Err(Contradiction { paths: [one.typed(), other.typed()], points })
    }
}

/// `true` if a column says two things of one slide. Copies have names of their own, and no value says nothing.
pub(crate) fn otherwise(column: &str, one: &str, other: &str) -> bool {
    one != other && !one.is_empty() && !other.is_empty() && !list::is_of_files(column)
}

/// What is said, by whoever says it.
fn either<T: Clone + PartialEq + Display>(
    what: &str,
    one: &Option<T>,
    other: &Option<T>,
    points: &mut Vec<Point>,
) -> Option<T> {
    if let (Some(one), Some(other)) = (one, other)
        && one != other
    {
        points.push(Point { what: what.to_owned(), said: [one.to_string(), other.to_string()] });
    }
    one.clone().or_else(|| other.clone())
}

fn in_words(regions: Option<&RegionsOfInterest>) -> String {
    regions.map_or_else(
        || "none".into(),
        |regions| format!("one of {}", counted(regions.regions.len(), "region")),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use wsi_types::Mpp;

    use super::*;

    /// Files of a folder: `a` and its copies `b` and `c`, and `other` of the same size.
    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            for (name, text) in [("a", "slide"), ("b", "slide"), ("c", "slide"), ("other", "ether")] {
                fs::write(folder.path().join(name), text).unwrap();
            }
            Self(folder)
        }

        fn slide(&self, name: &str, columns: &[(&str, &str)]) -> SlideEntry {
            let mut slide = SlideEntry::at(self.0.path().join(name));
            let columns = columns.iter().map(|&(column, value)| (column.to_owned(), value.to_owned()));
            slide.columns = columns.collect();
            slide
        }
    }

    #[test]
    fn a_slide_of_two_patients_is_refused_with_both() {
        let files = Files::new();
        let mut slides = [
            files.slide("a", &[("patient", "P1"), ("group", "x")]),
            files.slide("other", &[("patient", "P9")]),
            files.slide("b", &[("patient", "P2"), ("group", "x")]),
        ];
        slides[2].mpp = Mpp::new(0.25).ok();
        slides[0].mpp = Mpp::new(0.5).ok();
        let refused = put_together(&mut slides).unwrap_err();
        assert!(matches!(refused, JobError::Usage(_)));
        let (text, folder) = (refused.to_string(), files.0.path().display());
        let expected = format!(
            "{folder}/b is a copy of {folder}/a, its mpp is 0.5 µm/px and 0.25 µm/px, its patient is"
        );
        assert!(text.contains(&expected) && text.contains("\"P1\" and \"P2\"; correct the list"), "{text}");
        assert!(!text.contains("other") && !text.contains("group"), "{text}");
    }

    #[test]
    fn what_copies_say_is_put_together_whichever_is_analysed() {
        let files = Files::new();
        let mut slides = [
            files.slide("a", &[("patient", ""), ("file_name", "a")]),
            files.slide("b", &[("patient", "P1"), ("file_name", "b")]),
            files.slide("other", &[("patient", "P9")]),
            files.slide("c", &[]),
        ];
        slides[3].override_mpp = Mpp::new(0.5).ok();
        put_together(&mut slides).unwrap();
        for place in [0, 1, 3] {
            assert_eq!(slides[place].columns["patient"], "P1", "{place}");
            assert_eq!(slides[place].override_mpp.map(Mpp::get), Some(0.5), "{place}");
        }
        assert!(slides[1].path.ends_with("b"), "each keeps its place");
        assert_eq!((slides[2].columns["patient"].as_str(), slides[2].override_mpp), ("P9", None));
        assert_eq!(copies_among(&slides), [None, Some(0), None, Some(0)]);
        assert_eq!(without_likely_copies(&slides), [&slides[0], &slides[2]]);
    }

    #[test]
    fn files_that_cannot_be_read_are_no_copies() {
        let files = Files::new();
        let slides = [files.slide("gone", &[("patient", "1")]), files.slide("lost", &[("patient", "2")])];
        put_together(&mut slides.clone()).unwrap();
        assert_eq!(copies_among(&slides), [None, None]);
    }
}
