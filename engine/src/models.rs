//! The models of a job: each has a plan of its own, and the cells of all become one table.

use std::path::PathBuf;

use detector::MergeTerms;
use merger::ClassNames;
use wsi_types::{ClassId, DetectorIndex, ModelFacts, Mpp};

use crate::{bundled, error::JobError};

/// Largest number of detectors of a job.
pub const MOST_DETECTORS: usize = 8;
const _: () = assert!(MOST_DETECTORS <= DetectorIndex::MOST);

/// One detector of a job, as the settings name it.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectorSpec {
    /// Its model; `None` for the bundled one.
    pub model: Option<PathBuf>,
    /// µm per px of its windows; `None` for the model's own.
    pub mpp: Option<Mpp>,
}

/// The models of a job, at least one, and the classes of all.
#[derive(Debug, Clone)]
pub struct ModelSet {
    /// In order of the detectors.
    pub each: Vec<SetModel>,
    /// Names of the classes of all models, each once, in order of [`ClassId`].
    pub classes: ClassNames,
}

/// One model of a job.
#[derive(Debug, Clone)]
pub struct SetModel {
    /// Facts about it that merging needs.
    pub terms: MergeTerms,
    /// µm per px of its windows.
    pub mpp: Mpp,
    /// Class of the job for each of its own classes, in order.
    pub classes: Vec<ClassId>,
}

impl ModelSet {
    /// Describes the models that are named.
    ///
    /// # Errors
    ///
    /// [`JobError::Usage`] when one cannot be used, or does not say at which mpp it works.
    pub fn describe(specs: &[DetectorSpec]) -> Result<Self, JobError> {
        let described = specs.iter().map(|spec| bundled::describe(spec.model.as_deref()));
        let terms = described.map(|report| Ok(report?.manifest.merge_terms()));
        Self::new(specs, terms.collect::<Result<_, JobError>>()?)
    }

    /// Makes a set from the terms of the models alone, one per detector.
    ///
    /// # Errors
    ///
    /// [`JobError::Usage`] when there is none, one has no mpp, or several give vectors.
    pub fn new(specs: &[DetectorSpec], terms: Vec<MergeTerms>) -> Result<Self, JobError> {
        if specs.is_empty() || specs.len() != terms.len() {
            let (models, detectors) = (terms.len(), specs.len());
            return Err(JobError::usage(format!("there are {models} models for {detectors} detectors")));
        }
        let of_vectors = terms.iter().filter(|terms| terms.head.dimensions().is_some()).count();
        if of_vectors > 1 {
            return Err(JobError::usage(format!(
                "{of_vectors} models give vectors, expected at most one, as the table of patches holds those of one; run \
                 each of the others into an OUT of its own"
            )));
        }
        let mut names = ClassNames::default();
        let each = specs.iter().zip(terms).map(|(spec, terms)| {
            let mpp = model_mpp(spec, &terms)?;
            let classes = terms.class_names().map(|name| names.add(name)).collect();
            Ok(SetModel { terms, mpp, classes })
        });
        let each = each.collect::<Result<_, JobError>>()?;
        Ok(Self { each, classes: names })
    }

    /// Facts of all models as one, as in an account: names, versions and hashes joined where they differ.
    #[must_use]
    pub fn facts(&self) -> ModelFacts {
        ModelFacts {
            name: self.joined(|model| model.terms.facts.name.clone()),
            version: self.joined(|model| model.terms.facts.version.clone()),
            sha256: self.joined(|model| model.terms.facts.sha256.clone()),
        }
    }

    /// µm per px of each, for hashes and provenance.
    #[must_use]
    pub fn mpps(&self) -> String {
        self.each.iter().map(|model| model.mpp.get().to_string()).collect::<Vec<_>>().join("+")
    }

    /// Facts that merging again needs about each model.
    #[must_use]
    pub fn terms(&self) -> Vec<MergeTerms> {
        self.each.iter().map(|model| model.terms.clone()).collect()
    }

    /// The models that answer class maps.
    pub fn semantic(&self) -> impl Iterator<Item = &SetModel> {
        self.each.iter().filter(|model| model.terms.head.is_semantic())
    }

    /// The model that gives vectors, and how many numbers each has.
    #[must_use]
    pub fn of_vectors(&self) -> Option<(&SetModel, usize)> {
        self.each.iter().find_map(|model| Some((model, model.terms.head.dimensions()?)))
    }

    /// The models that find objects.
    pub fn of_objects(&self) -> impl Iterator<Item = &SetModel> {
        self.each.iter().filter(|model| model.terms.head.has_objects())
    }

    /// Classes that only models with class maps have: no cell is of them.
    #[must_use]
    pub fn only_semantic(&self) -> Vec<ClassId> {
        let others: Vec<&SetModel> = self.of_objects().collect();
        let classes = self.semantic().flat_map(|model| model.classes.iter().copied());
        classes.filter(|class| !others.iter().any(|other| other.classes.contains(class))).collect()
    }

    /// Joins the text that `of` returns for each model: once if all agree, else one for each, in order.
    #[must_use]
    pub fn joined(&self, of: impl Fn(&SetModel) -> String) -> String {
        let mut parts: Vec<String> = self.each.iter().map(of).collect();
        if let Some(first) = parts.first().filter(|first| parts.iter().all(|part| part == *first)).cloned() {
            parts = vec![first];
        }
        parts.join("+")
    }
}

/// µm/px at which a model looks: the user's value, else the model's own. There is no other guess, even if the
/// slide has a scale: a model that runs at another scale than in training counts wrong without any error.
fn model_mpp(spec: &DetectorSpec, terms: &MergeTerms) -> Result<Mpp, JobError> {
    spec.mpp.or(terms.mpp).ok_or_else(|| {
        JobError::usage(
            "the model does not say at which µm/px it works; add `mpp = 0.25` (or what it was trained at) to a \
             TOML manifest beside it",
        )
    })
}

#[cfg(test)]
mod tests {
    use detector::Manifest;

    use super::*;

    fn spec(mpp: Option<f64>) -> DetectorSpec {
        DetectorSpec { model: None, mpp: mpp.and_then(|mpp| Mpp::new(mpp).ok()) }
    }

    fn terms(name: &str, classes: &[&str], mpp: Option<f64>) -> MergeTerms {
        Manifest::without_model(name, classes, mpp.and_then(|mpp| Mpp::new(mpp).ok())).merge_terms()
    }

    #[test]
    fn classes_of_two_models_are_one_list() {
        let all =
            vec![terms("a", &["tumour", "stroma"], Some(0.25)), terms("b", &["stroma", "gland"], Some(0.5))];
        let set = ModelSet::new(&[spec(None), spec(None)], all).unwrap();
        assert_eq!(
            (set.classes.as_slice().join(" "), set.facts().name),
            ("tumour stroma gland".into(), "a+b".into())
        );
        assert_eq!(set.each[1].classes, [ClassId(1), ClassId(2)]);
        assert_eq!((set.each[1].mpp.get(), set.mpps()), (0.5, "0.25+0.5".into()));
        assert_eq!((set.classes.class("gland"), set.classes.class("fat")), (Some(ClassId(2)), None));
    }

    #[test]
    fn one_model_at_two_scales_is_named_once() {
        let all = vec![terms("a", &["cell"], Some(0.25)), terms("a", &["cell"], Some(0.25))];
        let set = ModelSet::new(&[spec(None), spec(Some(0.5))], all).unwrap();
        assert_eq!((set.facts().name, set.mpps()), ("a".into(), "0.25+0.5".into()));
    }

    /// Two settings had the same fingerprint: `a+b` stood for both.
    #[test]
    fn two_of_three_models_that_are_alike_keep_their_places() {
        let named = |names: [&str; 3]| {
            let all = names.map(|name| terms(name, &["cell"], Some(0.25))).to_vec();
            ModelSet::new(&[spec(None), spec(None), spec(None)], all).unwrap().facts().name
        };
        assert_eq!((named(["a", "a", "b"]), named(["a", "b", "b"])), ("a+a+b".into(), "a+b+b".into()));
    }

    #[test]
    fn a_model_without_an_mpp_is_refused_until_one_is_given() {
        let unknown = [terms("a", &["cell"], None)];
        let refused = ModelSet::new(&[spec(None)], unknown.to_vec()).unwrap_err().to_string();
        assert!(refused.contains("does not say at which µm/px"), "{refused}");
        assert_eq!(ModelSet::new(&[spec(Some(0.5))], unknown.to_vec()).unwrap().mpps(), "0.5");
        assert!(ModelSet::new(&[], Vec::new()).is_err());
    }
}
