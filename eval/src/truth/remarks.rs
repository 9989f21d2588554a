//! Remarks on files, for the reader of the figures.

use std::collections::BTreeMap;

use wsi_types::wording::grouped;

/// A remark on something found while reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remark {
    /// A line, such as a ruler: no object.
    Line,
    /// A geometry collection: it does not say what the object is.
    Collection,
    /// An outline, or a part or hole of one, whose points are fewer than three or
    /// lie on one line.
    Sliver,
    /// An object without coordinates.
    Placeless,
    /// A multi-polygon whose parts were taken as objects.
    PartsTaken,
    /// A multi-polygon that was taken as one object.
    PartsKept,
    /// A label map with one number for several separate areas.
    YesNoMask,
    /// Pictures read as label maps though their names do not say that they are.
    PicturesAsLabels,
    /// A column `label` with another number in each row, taken for the number of
    /// the object and not for a class.
    LabelsAreNumbers,
    /// An image with objects in more than one file.
    SharedImage,
    /// A file that is not UTF-8 and was read as Windows-1252.
    Windows1252,
}

impl Remark {
    /// `true` if it is about objects that are missing from what was read.
    #[must_use]
    pub fn is_left_out(self) -> bool {
        matches!(self, Self::Line | Self::Collection | Self::Sliver | Self::Placeless)
    }

    /// The remark in words, for `count` cases.
    fn words(self, count: u64) -> String {
        let of =
            |one: &str, many: &str| format!("{} {}", grouped(count), if count == 1 { one } else { many });
        match self {
            Self::Line => of("line (a ruler?)", "lines (rulers?)"),
            Self::Collection => of("geometry collection", "geometry collections"),
            Self::Sliver => {
                of("outline or part of one without area", "outlines or parts of them without area")
            }
            Self::Placeless => of("object without coordinates", "objects without coordinates"),
            Self::PartsTaken => {
                let what =
                    of("multi-polygon of a class of cells was", "multi-polygons of classes of cells were");
                format!("{what} taken apart, each part as one object; --parts whole keeps them whole")
            }
            Self::PartsKept => {
                let what =
                    of("multi-polygon counts as one object", "multi-polygons count as one object each");
                format!("{what}; --parts objects takes each part as one")
            }
            Self::YesNoMask => {
                let what = of("mask holds one number", "masks hold one number each");
                format!(
                    "{what} for several separate areas, which count as one object; --parts objects takes \
                         each area as one"
                )
            }
            Self::PicturesAsLabels => {
                let what = of("gray PNG was", "gray PNGs were");
                format!("{what} read as label maps: 0 is background, every other number one object")
            }
            Self::LabelsAreNumbers => {
                let what = of("table numbers its", "tables number their");
                format!("{what} objects in the column label, so it is no class; call it class if it is one")
            }
            Self::SharedImage => {
                let what = of("image has", "images have");
                format!("{what} objects in more than one file, which were put together")
            }
            Self::Windows1252 => {
                format!("{} not UTF-8 and read as Windows-1252", of("file is", "files are"))
            }
        }
    }
}

/// Number of times a remark applies, and the place of the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Number of times.
    pub count: u64,
    /// The place in the file and the path, of the first.
    pub first: String,
}

/// All remarks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remarks(BTreeMap<Remark, Tally>);

impl Remarks {
    /// Adds `count` of `what`; `place` is called only for the first.
    pub fn add(&mut self, what: Remark, count: u64, place: impl FnOnce() -> String) {
        if count > 0 {
            let tally = self.0.entry(what).or_insert_with(|| Tally { count: 0, first: place() });
            tally.count += count;
        }
    }

    /// Adds all of `others`, which come later.
    pub fn extend(&mut self, others: Self) {
        for (what, tally) in others.0 {
            self.add(what, tally.count, || tally.first);
        }
    }

    /// Number of times `what` applies.
    #[must_use]
    pub fn count(&self, what: Remark) -> u64 {
        self.0.get(&what).map_or(0, |tally| tally.count)
    }

    /// One sentence on objects that were left out, with the place of the first;
    /// `None` when there are none.
    #[must_use]
    pub fn left_out(&self) -> Option<String> {
        let (what, first) = self.left_out_parts()?;
        Some(format!("left out: {what}; the first: {first}"))
    }

    /// All remarks in words, without places and names of files.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let left_out = self.left_out_parts().map(|(what, _)| format!("left out: {what}"));
        let others = self.0.iter().filter(|(what, _)| !what.is_left_out());
        left_out.into_iter().chain(others.map(|(what, tally)| what.words(tally.count))).collect()
    }

    fn left_out_parts(&self) -> Option<(String, &str)> {
        let missing: Vec<_> = self.0.iter().filter(|(what, _)| what.is_left_out()).collect();
        let (_, first) = missing.first()?;
        let words: Vec<String> = missing.iter().map(|(what, tally)| what.words(tally.count)).collect();
        Some((words.join(", "), &first.first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_said_in_one_sentence() {
        let mut remarks = Remarks::default();
        assert_eq!((remarks.left_out(), remarks.notes()), (None, Vec::new()));
        remarks.add(Remark::Sliver, 2, || "feature 9: a.geojson".to_owned());
        remarks.add(Remark::Windows1252, 1, || "a.csv".to_owned());
        let mut later = Remarks::default();
        later.add(Remark::Line, 1, || "feature 3: b.geojson".to_owned());
        later.add(Remark::Sliver, 1, || "feature 4: b.geojson".to_owned());
        remarks.extend(later);
        assert_eq!(
            remarks.left_out().as_deref(),
            Some(
                "left out: 1 line (a ruler?), 3 outlines or parts of them without area; the first: feature 3: b.geojson"
            )
        );
        assert_eq!(remarks.notes()[1], "1 file is not UTF-8 and read as Windows-1252");
        assert!(remarks.notes().iter().all(|note| !note.contains("geojson")));
    }
}
