//! `measures.toml`: the measures that are wanted.

use std::ops::Range as Span;

use serde::Deserialize;
use toml::Spanned;

use crate::{
    error::{MeasureError, Result},
    field::{Field, FieldShape},
    grade::{Band, Scheme},
    index::{AreaOf, Over, Range, Selection},
};

/// The measures that a file asks for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Measures {
    /// Fields with most cells.
    pub hot_spots: Vec<HotSpotMeasure>,
    /// Cells among others or on an area.
    pub indices: Vec<Index>,
    /// Bands over indices.
    pub schemes: Vec<Scheme>,
}

/// Hot spots to be found.
#[derive(Debug, Clone, PartialEq)]
pub struct HotSpotMeasure {
    /// Its name, unique among measures.
    pub name: String,
    /// The cells that are counted.
    pub cells: Selection,
    /// The field they are counted in.
    pub field: Field,
    /// Largest number of fields.
    pub most: usize,
    /// Region of interest by its class; the whole slide when absent.
    pub within: Option<String>,
}

/// An index to be worked out.
#[derive(Debug, Clone, PartialEq)]
pub struct Index {
    /// Its name, unique among measures.
    pub name: String,
    /// The cells that are counted.
    pub of: Selection,
    /// Divisor: cells or an area.
    pub over: Over,
    /// Part of the slide on which it is worked out.
    pub place: Place,
}

/// Part of the slide on which an index is worked out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Place {
    /// On the whole slide.
    #[default]
    Slide,
    /// In the regions of a class.
    Regions(String),
    /// In the fields of a hot spot measure, each on its own.
    HotSpot(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    #[serde(default)]
    hot_spot: Vec<HotSpotEntry>,
    #[serde(default)]
    index: Vec<IndexEntry>,
    #[serde(default)]
    h_score: Vec<HScoreEntry>,
    #[serde(default)]
    grade: Vec<GradeEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct HotSpotEntry {
    name: Spanned<String>,
    cells: Selection,
    #[serde(default)]
    shape: FieldShape,
    area_mm2: Option<Spanned<f64>>,
    hpf: Option<Spanned<f64>>,
    field_number_mm: Option<f64>,
    objective: Option<f64>,
    most: Option<Spanned<usize>>,
    within: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct IndexEntry {
    name: Spanned<String>,
    of: Selection,
    share_of: Option<Selection>,
    ratio_to: Option<Selection>,
    per_mm2: Option<Spanned<f64>>,
    area: Option<Spanned<AreaOf>>,
    regions: Option<String>,
    hot_spot: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct HScoreEntry {
    name: Spanned<String>,
    cells: Selection,
    column: Spanned<String>,
    from: Spanned<Vec<f64>>,
    regions: Option<String>,
    hot_spot: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct GradeEntry {
    name: Spanned<String>,
    index: Spanned<String>,
    source: Spanned<String>,
    bands: Vec<Spanned<Band>>,
}

impl Measures {
    /// Reads the text of a file.
    ///
    /// # Errors
    ///
    /// [`MeasureError::File`] names the line and the key of a value that is unknown, out of range or
    /// contradictory, or that refers to something absent.
    pub fn from_toml(text: &str) -> Result<Self> {
        let reader = Reader { text };
        let file: File = toml::from_str(text).map_err(|error| {
            let problem = error.message().trim().replace('\n', ", ");
            reader.fault(error.span().unwrap_or(0..0), problem)
        })?;
        let mut measures = Self {
            hot_spots: file.hot_spot.iter().map(|entry| reader.hot_spot(entry)).collect::<Result<_>>()?,
            indices: file.index.iter().map(|entry| reader.index(entry)).collect::<Result<_>>()?,
            schemes: file.grade.iter().map(|entry| reader.scheme(entry)).collect::<Result<_>>()?,
        };
        for entry in &file.h_score {
            measures.indices.extend(reader.h_score(entry)?);
        }
        reader.check_names(&file, &measures.indices)?;
        Ok(measures)
    }

    /// Adds a scheme that ships with this crate ([`crate::schemes`]).
    ///
    /// # Errors
    ///
    /// [`MeasureError::Value`] for an index that is not among these.
    pub fn add_scheme(&mut self, scheme: Scheme) -> Result<()> {
        if !self.indices.iter().any(|index| index.name == scheme.index) {
            return Err(MeasureError::value("the index of a scheme", &scheme.index, "one of the indices"));
        }
        self.schemes.push(scheme);
        Ok(())
    }
}

struct Reader<'a> {
    text: &'a str,
}

impl Reader<'_> {
    /// An error at a place in the text.
    fn fault(&self, span: Span<usize>, problem: impl Into<String>) -> MeasureError {
        let before = self.text.get(..span.start.min(self.text.len())).unwrap_or(self.text);
        MeasureError::File { line: before.matches('\n').count() + 1, problem: problem.into() }
    }

    /// Adds the place in the text to an error about a number.
    fn at(&self, span: Span<usize>) -> impl FnOnce(MeasureError) -> MeasureError + '_ {
        move |error| self.fault(span, error.to_string())
    }

    fn hot_spot(&self, entry: &HotSpotEntry) -> Result<HotSpotMeasure> {
        let name = named(&entry.name, self)?;
        let microscope = entry.field_number_mm.zip(entry.objective);
        let alone = entry.field_number_mm.or(entry.objective).is_some();
        let field = match (&entry.area_mm2, &entry.hpf, microscope) {
            (Some(area), None, None) if !alone => {
                Field::new(entry.shape, *area.get_ref()).map_err(self.at(area.span()))
            }
            (None, Some(count), Some((number, objective))) => {
                Field::from_high_power(entry.shape, *count.get_ref(), number, objective)
                    .map_err(self.at(count.span()))
            }
            _ => Err(self.fault(
                entry.name.span(),
                format!(
                    "hot-spot {name:?} needs its field either as area-mm2, or as hpf with field-number-mm and \
                     objective: \"10 HPF\" alone says no area"
                ),
            )),
        }?;
        let most = match &entry.most {
            Some(most) if *most.get_ref() == 0 => {
                return Err(self.fault(most.span(), "most is 0, expected at least 1"));
            }
            most => most.as_ref().map_or(1, |most| *most.get_ref()),
        };
        Ok(HotSpotMeasure { name, cells: entry.cells.clone(), field, most, within: entry.within.clone() })
    }

    fn index(&self, entry: &IndexEntry) -> Result<Index> {
        let name = named(&entry.name, self)?;
        let over = match (&entry.share_of, &entry.ratio_to, &entry.per_mm2) {
            (Some(whole), None, None) if entry.of.is_part_of(whole) => Over::Share(whole.clone()),
            (Some(_), None, None) => {
                let problem =
                    format!("in index {name:?}, of is no part of share-of; a ratio to others is ratio-to");
                return Err(self.fault(entry.name.span(), problem));
            }
            (None, Some(others), None) => Over::Ratio(others.clone()),
            (None, None, Some(mm2)) if *mm2.get_ref() > 0.0 && mm2.get_ref().is_finite() => Over::Area {
                mm2: *mm2.get_ref(),
                of: entry.area.as_ref().map_or(AreaOf::All, |area| *area.get_ref()),
            },
            (None, None, Some(mm2)) => {
                let problem = format!("per-mm2 is {}, expected a positive number", mm2.get_ref());
                return Err(self.fault(mm2.span(), problem));
            }
            _ => {
                let problem = format!("index {name:?} needs one of share-of, ratio-to and per-mm2");
                return Err(self.fault(entry.name.span(), problem));
            }
        };
        let place = self.place(&name, entry.regions.as_ref(), entry.hot_spot.as_ref())?;
        self.area_is_of_regions(&name, entry, &place)?;
        Ok(Index { name, of: entry.of.clone(), over, place })
    }

    /// Only areas of regions may hold glass: elsewhere `area` would say nothing.
    fn area_is_of_regions(&self, name: &str, entry: &IndexEntry, place: &Place) -> Result<()> {
        let Some(area) = &entry.area else { return Ok(()) };
        let expected = match (&entry.per_mm2, place) {
            (Some(_), Place::Regions(_)) => return Ok(()),
            (Some(_), Place::Slide | Place::HotSpot(_)) => {
                "expected only with regions: elsewhere the area is tissue always"
            }
            (None, _) => "expected only with per-mm2",
        };
        Err(self.fault(area.span(), format!("index {name:?} has area, {expected}")))
    }

    fn place(
        &self,
        name: &str,
        regions: Option<&String>,
        hot_spot: Option<&Spanned<String>>,
    ) -> Result<Place> {
        match (regions, hot_spot) {
            (None, None) => Ok(Place::Slide),
            (Some(class), None) => Ok(Place::Regions(class.clone())),
            (None, Some(spot)) => Ok(Place::HotSpot(spot.get_ref().clone())),
            (Some(_), Some(spot)) => {
                let problem = format!("index {name:?} has both regions and hot-spot, expected one");
                Err(self.fault(spot.span(), problem))
            }
        }
    }

    /// The shares of cells of each strength, then the score: five indices.
    fn h_score(&self, entry: &HScoreEntry) -> Result<Vec<Index>> {
        let name = named(&entry.name, self)?;
        let place = self.place(&name, entry.regions.as_ref(), entry.hot_spot.as_ref())?;
        let &[weak, moderate, strong] = entry.from.get_ref().as_slice() else {
            return Err(
                self.fault(entry.from.span(), format!("from of {name:?} is not three numbers: 1+, 2+, 3+"))
            );
        };
        if !(weak.is_finite() && weak < moderate && moderate < strong && strong.is_finite()) {
            let problem = format!("from is {weak}, {moderate}, {strong}, expected three numbers that rise");
            return Err(self.fault(entry.from.span(), problem));
        }
        let column = entry.column.get_ref();
        if entry.cells.ranges.contains_key(column) {
            let problem = format!("cells has a range of {column:?} already, of which from makes ranges");
            return Err(self.fault(entry.column.span(), problem));
        }
        let strengths = Strengths { cells: &entry.cells, column };
        let all = strengths.any();
        let shares = [
            ("0", strengths.between(None, Some(weak))),
            ("1+", strengths.between(Some(weak), Some(moderate))),
            ("2+", strengths.between(Some(moderate), Some(strong))),
            ("3+", strengths.between(Some(strong), None)),
        ];
        let shares = shares.map(|(strength, of)| Index {
            name: format!("{name} {strength}"),
            of,
            over: Over::Share(all.clone()),
            place: place.clone(),
        });
        let at_least = [weak, moderate, strong].map(|from| strengths.between(Some(from), None));
        let [of, moderate, strong] = at_least;
        let over = Over::HScore { all, stronger: [moderate, strong] };
        Ok(shares.into_iter().chain([Index { name, of, over, place }]).collect())
    }

    fn scheme(&self, entry: &GradeEntry) -> Result<Scheme> {
        let name = named(&entry.name, self)?;
        if entry.source.get_ref().trim().is_empty() {
            return Err(self.fault(entry.source.span(), format!("grade {name:?} has an empty source")));
        }
        let scheme = Scheme {
            name,
            index: entry.index.get_ref().clone(),
            source: entry.source.get_ref().clone(),
            bands: entry.bands.iter().map(|band| band.get_ref().clone()).collect(),
        };
        match scheme.fault() {
            Some((place, problem)) => {
                let span = entry.bands.get(place).map_or_else(|| entry.name.span(), Spanned::span);
                Err(self.fault(span, problem))
            }
            None => Ok(scheme),
        }
    }

    /// Checks that names are unique and that what they refer to exists.
    fn check_names(&self, file: &File, indices_made: &[Index]) -> Result<()> {
        let spots = file.hot_spot.iter().map(|entry| &entry.name);
        let scores = file.h_score.iter().map(|entry| &entry.name);
        let indices = file.index.iter().map(|entry| &entry.name).chain(scores);
        let mut seen: Vec<&str> = Vec::new();
        for name in spots.chain(indices).chain(file.grade.iter().map(|entry| &entry.name)) {
            if seen.contains(&name.get_ref().as_str()) {
                let problem =
                    format!("name {:?} is given twice, expected one measure of each name", name.get_ref());
                return Err(self.fault(name.span(), problem));
            }
            seen.push(name.get_ref());
        }
        for score in &file.h_score {
            let own = indices_made.iter().filter(|index| is_share_of(&index.name, score.name.get_ref()));
            if let Some(twice) = own.map(|index| index.name.as_str()).find(|name| seen.contains(name)) {
                let problem = format!("it makes a measure {twice:?}, and there is one of that name");
                return Err(self.fault(score.name.span(), problem));
            }
        }
        let spots_of_scores = file.h_score.iter().filter_map(|entry| entry.hot_spot.as_ref());
        let spots_of_indices = file.index.iter().filter_map(|entry| entry.hot_spot.as_ref());
        for spot in spots_of_indices.chain(spots_of_scores) {
            if !file.hot_spot.iter().any(|known| known.name.get_ref() == spot.get_ref()) {
                return Err(self.fault(spot.span(), format!("there is no hot-spot {:?}", spot.get_ref())));
            }
        }
        for index in file.grade.iter().map(|entry| &entry.index) {
            if !indices_made.iter().any(|known| known.name == *index.get_ref()) {
                return Err(self.fault(index.span(), format!("there is no index {:?}", index.get_ref())));
            }
        }
        Ok(())
    }
}

/// Cells by how strongly they are stained.
struct Strengths<'a> {
    cells: &'a Selection,
    column: &'a str,
}

impl Strengths<'_> {
    /// Cells of which it is known.
    fn any(&self) -> Selection {
        self.between(None, None)
    }

    fn between(&self, min: Option<f64>, below: Option<f64>) -> Selection {
        let mut cells = self.cells.clone();
        cells.ranges.insert(self.column.to_owned(), Range { min, below, max: None });
        cells
    }
}

/// `true` if an index is one of the shares that an H-score makes.
fn is_share_of(index: &str, score: &str) -> bool {
    let strength = index.strip_prefix(score).and_then(|rest| rest.strip_prefix(' '));
    strength.is_some_and(|strength| ["0", "1+", "2+", "3+"].contains(&strength))
}

fn named(name: &Spanned<String>, reader: &Reader<'_>) -> Result<String> {
    if name.get_ref().trim().is_empty() {
        return Err(reader.fault(name.span(), "name is empty"));
    }
    Ok(name.get_ref().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[[hot-spot]]
name = "mitoses"
cells = { class = ["mitosis"] }
hpf = 10
field-number-mm = 22
objective = 40
most = 3
within = "tumour"

[[index]]
name = "Ki-67"
of = { class = ["positive"] }
share-of = { class = ["positive", "negative"] }

[[index]]
name = "mitotic count"
of = { class = ["mitosis"], where = { score = { min = 0.5 } } }
per-mm2 = 2
hot-spot = "mitoses"

[[grade]]
name = "grade"
index = "mitotic count"
source = "our own"
bands = [
  { grade = "low", below = 2 },
  { grade = "high", from = 2 },
]
"#;

    #[test]
    fn a_file_is_read_whole() {
        let measures = Measures::from_toml(FILE).unwrap();
        let spot = &measures.hot_spots[0];
        assert_eq!((spot.most, spot.within.as_deref()), (3, Some("tumour")));
        assert!((spot.field.area_mm2() - 2.3758).abs() < 1e-4);
        assert!(matches!(&measures.indices[0].over, Over::Share(whole) if whole.class.len() == 2));
        assert_eq!(measures.indices[1].over, Over::Area { mm2: 2.0, of: AreaOf::All });
        assert_eq!(measures.indices[1].place, Place::HotSpot("mitoses".to_owned()));
        assert!(measures.indices[1].of.holds("mitosis", |_| Some(0.5)));
        assert_eq!(measures.schemes[0].grade(2.0), Some("high"));
        assert_eq!(Measures::from_toml("").unwrap(), Measures::default());
    }

    #[test]
    fn errors_name_the_line_and_the_key() {
        for (old, new, line, problem) in [
            ("most = 3", "mots = 3", 8, "unknown field `mots`"),
            ("most = 3", "most = 0", 8, "most is 0, expected at least 1"),
            ("most = 3", "most = \"3\"", 8, "invalid type"),
            ("hpf = 10", "hpf = -1", 5, "hpf is -1, expected a positive number"),
            ("objective = 40", "area-mm2 = 2", 3, "either as area-mm2, or as hpf"),
            ("share-of", "per-mm3", 14, "unknown field `per-mm3`"),
            ("share-of = { class = [\"positive\", \"negative\"] }", "", 12, "needs one of share-of"),
            ("\"positive\", \"negative\"", "\"negative\"", 12, "of is no part of share-of"),
            ("per-mm2 = 2", "per-mm2 = 0", 19, "per-mm2 is 0"),
            ("per-mm2 = 2", "per-mm2 = 2\narea = \"tissue\"", 20, "expected only with regions"),
            (
                "{ min = 0.5 }",
                "{ min = 0.9, below = 0.9 }",
                18,
                "no number lies in the range min = 0.9, below = 0.9",
            ),
            (
                "{ min = 0.5 }",
                "{ min = 0.9, max = 0.1 }",
                18,
                "no number lies in the range min = 0.9, max = 0.1",
            ),
            ("hot-spot = \"mitoses\"", "hot-spot = \"mitosis\"", 20, "there is no hot-spot \"mitosis\""),
            ("name = \"Ki-67\"", "name = \"mitoses\"", 12, "is given twice"),
            ("index = \"mitotic count\"", "index = \"x\"", 24, "there is no index \"x\""),
            ("source = \"our own\"", "source = \" \"", 25, "empty source"),
            ("source = \"our own\"", "", 22, "missing field `source`"),
            ("from = 2", "from = 3", 28, "have a gap between them"),
            ("name = \"grade\"", "name = \"\"", 23, "name is empty"),
            ("[[grade]]", "[[grade", 22, ""),
        ] {
            assert!(FILE.contains(old), "{old}");
            let error = Measures::from_toml(&FILE.replace(old, new)).unwrap_err();
            let MeasureError::File { line: found, problem: said } = &error else { panic!("{error}") };
            assert!(said.contains(problem), "{new}: {said}");
            assert_eq!(*found, line, "{new}: {error}");
        }
    }

    const SCORE: &str = r#"
[[h-score]]
name = "ER"
cells = { class = ["nucleus"] }
column = "dab_od"
from = [0.1, 0.3, 0.6]
regions = "Tumor"

[[grade]]
name = "share"
index = "ER 3+"
source = "our own"
bands = [{ grade = "few", below = 0.1 }, { grade = "many", from = 0.1 }]
"#;

    /// Names of the indices that hold a nucleus of that density.
    fn indices_that_hold(measures: &Measures, od: Option<f64>) -> Vec<&str> {
        let holds = measures.indices.iter().filter(|index| index.of.holds("nucleus", |_| od));
        holds.map(|index| index.name.as_str()).collect()
    }

    #[test]
    fn an_h_score_is_five_indices_of_which_each_cell_is_in_one_share() {
        let measures = Measures::from_toml(SCORE).unwrap();
        let names: Vec<&str> = measures.indices.iter().map(|index| index.name.as_str()).collect();
        assert_eq!(names, ["ER 0", "ER 1+", "ER 2+", "ER 3+", "ER"]);
        assert!(measures.indices.iter().all(|index| index.place == Place::Regions("Tumor".to_owned())));
        for (od, expected) in [
            (Some(-0.02), &["ER 0"][..]),
            (Some(0.1), &["ER 1+", "ER"]),
            (Some(0.3), &["ER 2+", "ER"]),
            (Some(2.0), &["ER 3+", "ER"]),
            (None, &[]),
        ] {
            assert_eq!(indices_that_hold(&measures, od), expected, "{od:?}");
        }
        let Over::HScore { all, stronger } = &measures.indices[4].over else { panic!("{measures:?}") };
        assert!(all.holds("nucleus", |_| Some(0.0)) && !all.holds("nucleus", |_| None));
        assert_eq!(stronger.each_ref().map(|of| of.holds("nucleus", |_| Some(0.5))), [true, false]);
    }

    #[test]
    fn a_wrong_h_score_is_refused_with_its_line() {
        let index = "\n[[index]]\nname = \"ER 1+\"\nof = {}\nper-mm2 = 1\n";
        for (old, new, line, problem) in [
            ("[0.1, 0.3, 0.6]", "[0.1, 0.3]", 6, "is not three numbers"),
            (
                "[0.1, 0.3, 0.6]",
                "[0.3, 0.1, 0.6]",
                6,
                "from is 0.3, 0.1, 0.6, expected three numbers that rise",
            ),
            ("[0.1, 0.3, 0.6]", "[0.1, 0.3, nan]", 6, "expected three numbers that rise"),
            ("[\"nucleus\"]", "[], where = { dab_od = { min = 0 } }", 5, "has a range of \"dab_od\" already"),
            ("regions = \"Tumor\"", "hot-spot = \"x\"", 7, "there is no hot-spot \"x\""),
            ("index = \"ER 3+\"", "index = \"ER 4+\"", 11, "there is no index \"ER 4+\""),
            ("regions = \"Tumor\"\n", index, 3, "it makes a measure \"ER 1+\""),
        ] {
            assert!(SCORE.contains(old), "{old}");
            let error = Measures::from_toml(&SCORE.replace(old, new)).unwrap_err();
            let MeasureError::File { line: found, problem: said } = &error else { panic!("{error}") };
            assert!(said.contains(problem), "{new}: {said}");
            assert_eq!(*found, line, "{new}: {error}");
        }
    }

    #[test]
    fn schemes_are_added_to_the_index_they_are_over() {
        let mut measures = Measures::from_toml(FILE).unwrap();
        let mut scheme = measures.schemes[0].clone();
        measures.add_scheme(scheme.clone()).unwrap();
        assert_eq!(measures.schemes.len(), 2);
        scheme.index = "nothing".to_owned();
        assert!(measures.add_scheme(scheme).is_err());
    }
}
