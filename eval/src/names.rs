//! Names of images and classes, as people write them in several files.
//!
//! The same slide is `/data/a/Präparat.svs` in one file and `a/Präparat` in
//! another, and macOS writes `ä` as two characters where others write one.
//! Names are compared composed (Unicode NFC), without extension, and by as much
//! of their folders as both sides give.

use std::{borrow::Cow, collections::BTreeMap};

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// A name without its folder and its image or table extensions.
#[must_use]
pub fn stem(name: &str) -> &str {
    without_extensions(name.rsplit(['/', '\\']).next().unwrap_or(name))
}

fn without_extensions(mut name: &str) -> &str {
    const EXTENSIONS: [&str; 21] = [
        "svs", "ndpi", "mrxs", "scn", "bif", "czi", "dcm", "tif", "tiff", "ome", "png", "jpg", "jpeg",
        "geojson", "json", "csv", "tsv", "parquet", "gz", "zip", "txt",
    ];
    while let Some((before, extension)) = name.rsplit_once('.') {
        let known = EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known));
        if !known || before.is_empty() {
            break;
        }
        name = before;
    }
    name
}

/// `name` with accents composed (NFC), as all systems but macOS write them.
#[must_use]
pub fn composed(name: &str) -> Cow<'_, str> {
    if is_nfc(name) { Cow::Borrowed(name) } else { Cow::Owned(name.nfc().collect()) }
}

/// First characters of a CSV text that make spreadsheets run it as a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// A text in the form written to a CSV file: with an apostrophe before it where a spreadsheet would run it.
#[must_use]
pub fn for_spreadsheet(text: &str) -> Cow<'_, str> {
    if text.starts_with(FORMULA) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// The text that [`for_spreadsheet`] was given.
#[must_use]
pub fn from_spreadsheet(text: &str) -> &str {
    text.strip_prefix('\'').filter(|inner| inner.starts_with(FORMULA)).unwrap_or(text)
}

/// Stem, folder, the folder above it, …; composed.
fn trail(name: &str) -> Vec<String> {
    let mut parts = name.rsplit(['/', '\\']).filter(|part| !part.is_empty() && *part != ".");
    let own = parts.next().map(|own| composed(without_extensions(own)).into_owned());
    own.into_iter().chain(parts.map(|part| composed(part).into_owned())).collect()
}

fn common(a: &[String], b: &[String]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Index to find names that other files write with another folder and extension.
#[derive(Debug, Default)]
pub struct NameIndex {
    /// By stem: the trail of each name that has it, and its place.
    by_stem: BTreeMap<String, Vec<(Vec<String>, u32)>>,
}

/// Result of looking up a name in a [`NameIndex`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// No name like it.
    Nothing,
    /// The name at `place`, which agrees in its stem and `folders` folders.
    One {
        /// Its place among the names the index was made of.
        place: u32,
        /// Number of folders above the file that agree.
        folders: usize,
    },
    /// Several names that agree equally well.
    Several,
}

impl NameIndex {
    /// An index of `names`, in the order of their places.
    #[must_use]
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut index = Self::default();
        for (name, place) in names.into_iter().zip(0..) {
            let trail = trail(name);
            let stem = trail.first().cloned().unwrap_or_default();
            index.by_stem.entry(stem).or_default().push((trail, place));
        }
        index
    }

    /// Finds the name most similar to `name`: the same stem, and where several have it, the one that shares
    /// most folders.
    #[must_use]
    pub fn find(&self, name: &str) -> Found {
        let wanted = trail(name);
        let known = wanted.first().and_then(|stem| self.by_stem.get(stem));
        let Some(known) = known else { return Found::Nothing };
        let likeness = |trail: &[String]| (common(trail, &wanted), *trail == *wanted);
        let best = known.iter().map(|(trail, _)| likeness(trail)).max().unwrap_or_default();
        let mut alike = known.iter().filter(|(trail, _)| likeness(trail) == best);
        match (alike.next(), alike.next()) {
            (Some((_, place)), None) => Found::One { place: *place, folders: best.0.saturating_sub(1) },
            _ => Found::Several,
        }
    }
}

/// The shortest form of each name that no other has: its stem, after as many of its folders as are needed,
/// joined by `/`. Names that are the same keep all their folders.
#[must_use]
pub fn shortest_unlike(names: &[&str]) -> Vec<String> {
    let trails: Vec<Vec<String>> = names.iter().map(|name| trail(name)).collect();
    let mut by_stem: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, trail) in trails.iter().enumerate() {
        by_stem.entry(trail.first().map_or("", String::as_str)).or_default().push(place);
    }
    let mut short = vec![String::new(); names.len()];
    for places in by_stem.values() {
        for &place in places {
            let own = &trails[place];
            let others = places.iter().filter(|other| **other != place);
            let shared = others.map(|&other| common(own, &trails[other])).max().unwrap_or(0);
            let parts = own.iter().take(shared + 1).rev().map(String::as_str);
            short[place] = parts.collect::<Vec<_>>().join("/");
        }
    }
    short
}

/// [`shortest_unlike`] made safe for file systems, and numbered where two would
/// then be the same.
#[must_use]
pub fn file_names(names: &[&str]) -> Vec<String> {
    let mut taken = std::collections::BTreeSet::new();
    let short = shortest_unlike(names);
    short.iter().map(|name| free_name(&file_safe(name), &mut taken)).collect()
}

fn free_name(name: &str, taken: &mut std::collections::BTreeSet<String>) -> String {
    let mut free = name.to_owned();
    let mut number = 1;
    // File systems that ignore case must not make two names one.
    while !taken.insert(free.to_lowercase()) {
        number += 1;
        free = format!("{name}-{number}");
    }
    free
}

fn file_safe(name: &str) -> String {
    let chars = name.chars();
    chars.map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_a_formula_and_each_comes_back() {
        for text in ["=1+1", "+x", "-", "@SUM(A1)", "\tx", "\r=x", "plain", "a=b", "'quoted", "", "ä"] {
            let written = for_spreadsheet(text);
            assert!(!written.starts_with(FORMULA), "{text:?}");
            assert_eq!(from_spreadsheet(&written), text);
        }
        assert_eq!(for_spreadsheet("=1+1"), "'=1+1");
    }

    #[test]
    fn names_lose_folders_and_known_extensions_only() {
        assert_eq!(stem("a/b/TCGA-1.2.OME.tiff"), "TCGA-1.2");
        assert_eq!(stem("x_0.986"), "x_0.986");
        assert_eq!(stem(".svs"), ".svs");
        assert_eq!(stem("a\\b.geojson.gz"), "b");
    }

    #[test]
    fn accents_are_one_whether_written_as_one_character_or_two() {
        let index = NameIndex::new(["Pra\u{308}parat_e\u{301}.svs"]);
        assert_eq!(index.find("Pr\u{e4}parat_\u{e9}"), Found::One { place: 0, folders: 0 });
    }

    #[test]
    fn of_names_with_one_stem_the_folders_decide() {
        let index = NameIndex::new(["/data/a/001.svs", "/data/b/001.svs", "c/002"]);
        assert_eq!(index.find("truth/b/001.geojson"), Found::One { place: 1, folders: 1 });
        assert_eq!(index.find("/data/a/001"), Found::One { place: 0, folders: 2 });
        assert_eq!(index.find("001"), Found::Several);
        assert_eq!(index.find("truth/002.csv"), Found::One { place: 2, folders: 0 });
        assert_eq!(index.find("003"), Found::Nothing);
        let exact = NameIndex::new(["001", "x/001"]);
        assert_eq!(exact.find("001.png"), Found::One { place: 0, folders: 0 });
    }

    #[test]
    fn short_names_have_as_many_folders_as_it_takes() {
        let names = ["/d/a/001.svs", "/d/b/001.svs", "/e/b/001.svs", "002.svs"];
        assert_eq!(shortest_unlike(&names), ["a/001", "d/b/001", "e/b/001", "002"]);
        assert_eq!(file_names(&names), ["a-001", "d-b-001", "e-b-001", "002"]);
        assert_eq!(file_names(&["a/1", "b/1", "a-1", "A-1"]), ["a-1", "b-1", "a-1-2", "A-1-3"]);
    }
}
