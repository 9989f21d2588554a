//! Several annotators, one agreed truth.
//!
//! Their objects are grouped across annotators ([`grouping`]), each group becomes one object by weighted
//! fusion and a class vote ([`fuse`]), and each annotator is judged ([`raters`]). Objects they disagree on
//! are listed for review, as [`geojson`] that QuPath opens.

mod dbscan;
pub mod fuse;
pub mod geojson;
pub mod grouping;
pub mod raters;

use std::{collections::BTreeSet, fmt};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use wsi_types::wording::fixed;

pub use dbscan::dbscan;
use raters::{Pattern, RaterModel};

use crate::{
    EvalError,
    agreement::{cohen_kappa, fleiss_kappa},
    align::align,
    error::Result,
    matching::{Candidates, Criterion},
    objects::{Class, Image, ImageId, Object, ObjectSet, Role},
    pr::Counts,
    table::{Cell, Table, counted},
};

/// Settings of a consensus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsensusSettings {
    /// Condition under which two annotators mean the same object.
    pub criterion: Criterion,
    /// Rule for grouping objects.
    pub grouping: Grouping,
    /// Rule for keeping groups.
    pub keep: Keep,
    /// Kept objects with a smaller share of supporters, or whose class has a
    /// smaller share of their votes, are listed for review.
    pub review_below: f64,
}

impl Default for ConsensusSettings {
    fn default() -> Self {
        Self {
            criterion: Criterion::BoxIou(0.5),
            grouping: Grouping::CompleteLink,
            keep: Keep::Majority,
            review_below: 0.75,
        }
    }
}

/// Rule for grouping objects across annotators. With each of them a group has at most one object of each
/// annotator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grouping {
    /// The nearest pairs first; two groups join when every pair between them
    /// meets the criterion. Touching chains stay apart.
    #[default]
    CompleteLink,
    /// DBSCAN (Ester et al., KDD 1996) on 1 − IoU or on the distance, with `min_samples` objects for a core;
    /// of two objects of one annotator in a cluster the one nearer to the others stays, the rest stand alone.
    Density {
        /// scikit-learn's `min_samples`, the object itself counted.
        min_samples: usize,
    },
}

/// Rule that decides which groups become truth. Shares are of the weight of those annotators who looked at
/// the image.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// More than half of the weight.
    #[default]
    Majority,
    /// At least so many annotators.
    AtLeast(usize),
    /// At least this share of the weight.
    Share(f64),
    /// At least this probability under the rater model, which needs three
    /// annotators.
    Probability(f64),
}

/// One annotator's work.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotator {
    /// Name for the report.
    pub name: String,
    /// Weight of their vote; 1 for all is a plain vote.
    pub weight: f64,
    /// Objects they marked. An image in the set without objects was looked at.
    pub set: ObjectSet,
}

/// The agreed truth, with reports on annotators and objects.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Consensus {
    /// Settings it was made with.
    pub settings: ConsensusSettings,
    /// Results of each annotator.
    pub annotators: Vec<AnnotatorReport>,
    /// Agreement of each pair of annotators.
    pub pairs: Vec<PairReport>,
    /// Fleiss' kappa of the classes of objects that at least two annotators marked.
    pub class_kappa: Option<f64>,
    /// Number of real objects that nobody marked, by the rater model.
    pub missed_by_all: Option<f64>,
    /// All groups, kept or not, by image and place.
    pub objects: Vec<AgreedObject>,
    /// Images of all annotators.
    #[serde(skip)]
    pub images: Vec<Image>,
    /// Classes of all annotators.
    #[serde(skip)]
    pub classes: Vec<Class>,
}

/// One group of objects that are the same.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AgreedObject {
    /// The fused object; its score is `agreement`.
    #[serde(skip)]
    pub object: Object,
    /// Places of those who marked it, rising.
    pub supporters: Vec<usize>,
    /// Number of annotators who looked at the image.
    pub readers: usize,
    /// Share of the readers' weight that marked it.
    pub agreement: f64,
    /// Share of the supporters' weight that chose its class.
    pub class_share: f64,
    /// The chance that it is real, by the rater model.
    pub probability: Option<f64>,
    /// `true` if it is part of the truth.
    pub kept: bool,
    /// Reasons to look at it; empty when there are none.
    pub disputes: Vec<Dispute>,
}

/// Reason to list an object for review.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dispute {
    /// Kept, with few supporters.
    FewSupporters,
    /// Not kept, though more than one marked it.
    RejectedDespiteSupport,
    /// Its supporters do not agree on its class.
    ClassSplit,
    /// The vote and the rater model come to different results.
    ModelDisagrees,
}

impl Dispute {
    /// The reason in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FewSupporters => "few supporters",
            Self::RejectedDespiteSupport => "rejected despite support",
            Self::ClassSplit => "class split",
            Self::ModelDisagrees => "model disagrees",
        }
    }
}

/// Results of one annotator.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnnotatorReport {
    /// Their name.
    pub name: String,
    /// Weight of their vote.
    pub weight: f64,
    /// Images they looked at.
    pub images: usize,
    /// Objects they marked.
    pub objects: usize,
    /// Share of real objects they find, by the rater model.
    pub sensitivity: Option<f64>,
    /// Share of their marks that are real, by the rater model.
    pub precision: Option<f64>,
    /// Against the kept objects, of which they are a part themselves: so both
    /// shares flatter when annotators are few.
    pub against_consensus: Counts,
    /// Share of their marks on kept objects whose class is the agreed one.
    pub class_agreement: Option<f64>,
}

/// Agreement of two annotators, on the images both looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairReport {
    /// Place of the first.
    pub a: usize,
    /// Place of the second.
    pub b: usize,
    /// Objects both marked.
    pub both: u64,
    /// F1 of one against the other: the specific agreement, which kappa approaches where objects that nobody
    /// marked cannot be counted (Hripcsak and Rothschild, JAMIA 2005).
    pub f1: Option<f64>,
    /// Cohen's kappa of the classes of objects that both marked.
    pub class_kappa: Option<f64>,
}

/// Brings annotators to one truth.
///
/// # Errors
///
/// [`EvalError::Empty`] with fewer than two annotators; [`EvalError::Setting`]; [`EvalError::CrowdsAlone`];
/// and the errors of [`Candidates::find`] for objects and criterion.
pub fn agree(annotators: Vec<Annotator>, settings: &ConsensusSettings) -> Result<Consensus> {
    check(&annotators, settings)?;
    let panel = Panel::new(annotators)?;
    let marked: Vec<Vec<&[Object]>> = panel.sets.iter().map(ObjectSet::per_image).collect();
    let groups: Vec<Group> = (0..panel.images.len())
        .into_par_iter()
        .map(|image| panel.groups_of(image, &marked, settings))
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect();
    let patterns = groups.iter().map(|group| panel.pattern(group));
    let model = RaterModel::fit(panel.names.len(), patterns);
    let objects: Vec<AgreedObject> =
        groups.iter().map(|group| panel.agreed(group, model.as_ref(), settings)).collect();
    Ok(Consensus {
        settings: settings.clone(),
        annotators: panel.annotator_reports(&groups, &objects, model.as_ref()),
        pairs: panel.pair_reports(&groups),
        class_kappa: fleiss_kappa(&panel.ratings(&groups)),
        missed_by_all: model.as_ref().map(|model| model.missed_by_all),
        objects,
        images: panel.images,
        classes: panel.classes,
    })
}

fn check(annotators: &[Annotator], settings: &ConsensusSettings) -> Result<()> {
    let bad = |name, found: String, expected| Err(EvalError::Setting { name, found, expected });
    if annotators.len() < 2 {
        return Err(EvalError::Empty("a consensus needs at least two annotators"));
    }
    if let Some(one) = annotators.iter().find(|one| !(one.weight > 0.0 && one.weight.is_finite())) {
        return bad("weight", format!("{} for {}", one.weight, one.name), "a positive number");
    }
    let crowds = annotators.iter().find_map(|one| Some((one, one.set.crowds_alone()?)));
    if let Some((one, objects)) = crowds {
        return Err(EvalError::CrowdsAlone { side: one.name.clone(), objects });
    }
    match settings.keep {
        Keep::Share(share) | Keep::Probability(share) if !(share > 0.0 && share <= 1.0) => {
            bad("keep", share.to_string(), "over 0 and at most 1")
        }
        Keep::Probability(_) if annotators.len() < 3 => {
            bad("keep", "probability with two annotators".to_owned(), "at least three annotators")
        }
        _ => Ok(()),
    }
}

/// All annotators on the same images and classes.
struct Panel {
    names: Vec<String>,
    weights: Vec<f64>,
    /// By annotator, then image: `true` if they looked at it.
    looked: Vec<Vec<bool>>,
    sets: Vec<ObjectSet>,
    images: Vec<Image>,
    classes: Vec<Class>,
}

/// Objects of one image that are the same: (annotator, object).
struct Group {
    image: usize,
    members: Vec<(usize, Object)>,
    /// Place in `members` of the one most similar to the others.
    medoid: usize,
}

impl Group {
    /// The object that an annotator marked, if any.
    fn object_by(&self, annotator: usize) -> Option<&Object> {
        self.members.iter().find(|(one, _)| *one == annotator).map(|(_, object)| object)
    }
}

impl Panel {
    fn new(annotators: Vec<Annotator>) -> Result<Self> {
        let mut reference = ObjectSet::default();
        for annotator in &annotators {
            let bare = ObjectSet {
                images: annotator.set.images.clone(),
                classes: annotator.set.classes.clone(),
                objects: Vec::new(),
            };
            let unknown: BTreeSet<String> = align(&mut reference, bare)?.unknown_images.into_iter().collect();
            let new = annotator.set.images.iter().filter(|image| unknown.contains(&image.name));
            reference.images.extend(new.cloned());
        }
        let mut panel = Self {
            names: Vec::new(),
            weights: Vec::new(),
            looked: Vec::new(),
            sets: Vec::new(),
            images: Vec::new(),
            classes: Vec::new(),
        };
        for annotator in annotators {
            let aligned = align(&mut reference, annotator.set)?;
            panel.names.push(annotator.name);
            panel.weights.push(annotator.weight);
            panel.looked.push(aligned.present);
            panel.sets.push(aligned.set);
        }
        panel.images = reference.images;
        panel.classes = reference.classes;
        Ok(panel)
    }

    /// `by` holds the objects of each annotator by image.
    fn groups_of(
        &self,
        image: usize,
        by: &[Vec<&[Object]>],
        settings: &ConsensusSettings,
    ) -> Result<Vec<Group>> {
        let mut marked: Vec<Object> = Vec::new();
        let mut annotator_of = Vec::new();
        for (annotator, images) in by.iter().enumerate() {
            let theirs = images[image].iter().filter(|object| object.role == Role::Object);
            for object in theirs {
                marked.push(object.clone());
                annotator_of.push(annotator);
            }
        }
        let near = Candidates::find(&marked, &marked, settings.criterion, &self.images[image])?;
        let grouped = match settings.grouping {
            Grouping::CompleteLink => grouping::complete_link(&near, &annotator_of),
            Grouping::Density { min_samples } => grouping::by_density(&near, &annotator_of, min_samples),
        };
        let groups = grouped.into_iter().map(|members| Group {
            image,
            medoid: grouping::medoid(&near, &members),
            members: members
                .iter()
                .map(|&m| (annotator_of[m as usize], marked[m as usize].clone()))
                .collect(),
        });
        Ok(groups.collect())
    }

    fn readers(&self, image: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.names.len()).filter(move |&annotator| self.looked[annotator][image])
    }

    /// The weights of some annotators, added.
    fn weight(&self, annotators: &[usize]) -> f64 {
        annotators.iter().map(|&one| self.weights[one]).sum()
    }

    fn pattern(&self, group: &Group) -> Pattern {
        let mut pattern =
            Pattern { read: vec![false; self.names.len()], marked: vec![false; self.names.len()] };
        self.readers(group.image).for_each(|annotator| pattern.read[annotator] = true);
        group.members.iter().for_each(|(annotator, _)| pattern.marked[*annotator] = true);
        pattern
    }

    fn agreed(
        &self,
        group: &Group,
        model: Option<&RaterModel>,
        settings: &ConsensusSettings,
    ) -> AgreedObject {
        let supporters: Vec<usize> = group.members.iter().map(|(annotator, _)| *annotator).collect();
        let readers: Vec<usize> = self.readers(group.image).collect();
        let agreement = self.weight(&supporters) / self.weight(&readers);
        let probability = model.map(|model| model.probability(&self.pattern(group)));
        let kept = match settings.keep {
            Keep::Majority => agreement > 0.5,
            Keep::AtLeast(n) => supporters.len() >= n,
            Keep::Share(share) => agreement >= share,
            Keep::Probability(least) => probability.is_some_and(|p| p >= least),
        };
        let (mut object, class_share) = fuse::fuse(&group.members, group.medoid, &self.weights);
        object.image = ImageId(group.image as u32);
        object.score = Some(agreement as f32);
        let mut agreed = AgreedObject {
            object,
            supporters,
            readers: readers.len(),
            agreement,
            class_share,
            probability,
            kept,
            disputes: Vec::new(),
        };
        agreed.disputes = disputes(&agreed, settings);
        agreed
    }

    fn annotator_reports(
        &self,
        groups: &[Group],
        objects: &[AgreedObject],
        model: Option<&RaterModel>,
    ) -> Vec<AnnotatorReport> {
        let all = 0..self.names.len();
        all.map(|annotator| self.annotator_report(annotator, groups, objects, model)).collect()
    }

    fn annotator_report(
        &self,
        annotator: usize,
        groups: &[Group],
        objects: &[AgreedObject],
        model: Option<&RaterModel>,
    ) -> AnnotatorReport {
        let mut counts = Counts::default();
        let (mut same_class, mut on_kept) = (0_u64, 0_u64);
        for (group, agreed) in groups.iter().zip(objects) {
            match (group.object_by(annotator), agreed.kept) {
                (Some(object), true) => {
                    counts.hits += 1.0;
                    on_kept += 1;
                    same_class += u64::from(object.class == agreed.object.class);
                }
                (Some(_), false) => counts.false_marks += 1.0,
                (None, true) if self.looked[annotator][group.image] => counts.missed += 1.0,
                (None, _) => {}
            }
        }
        AnnotatorReport {
            name: self.names[annotator].clone(),
            weight: self.weights[annotator],
            images: self.looked[annotator].iter().filter(|looked| **looked).count(),
            objects: self.sets[annotator].objects.iter().filter(|o| o.role == Role::Object).count(),
            sensitivity: model.map(|model| model.sensitivity[annotator]),
            precision: model.map(|model| model.precision[annotator]),
            against_consensus: counts,
            class_agreement: (on_kept > 0).then(|| same_class as f64 / on_kept as f64),
        }
    }

    fn pair_reports(&self, groups: &[Group]) -> Vec<PairReport> {
        let n = self.names.len();
        let pairs = (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b)));
        pairs.map(|(a, b)| self.pair_report(a, b, groups)).collect()
    }

    fn pair_report(&self, a: usize, b: usize, groups: &[Group]) -> PairReport {
        let classes = self.classes.len();
        let mut table = vec![vec![0_u64; classes]; classes];
        let mut counts = Counts::default();
        let shared = groups.iter().filter(|group| self.looked[a][group.image] && self.looked[b][group.image]);
        for group in shared {
            match (group.object_by(a), group.object_by(b)) {
                (Some(by_a), Some(by_b)) => {
                    counts.hits += 1.0;
                    table[usize::from(by_a.class.0)][usize::from(by_b.class.0)] += 1;
                }
                (Some(_), None) => counts.missed += 1.0,
                (None, Some(_)) => counts.false_marks += 1.0,
                (None, None) => {}
            }
        }
        PairReport { a, b, both: counts.hits as u64, f1: counts.f1(), class_kappa: cohen_kappa(&table) }
    }

    /// Class votes of each group.
    fn ratings(&self, groups: &[Group]) -> Vec<Vec<u32>> {
        let per_group = groups.iter().map(|group| {
            let mut votes = vec![0; self.classes.len()];
            group.members.iter().for_each(|(_, object)| votes[usize::from(object.class.0)] += 1);
            votes
        });
        per_group.collect()
    }
}

fn disputes(agreed: &AgreedObject, settings: &ConsensusSettings) -> Vec<Dispute> {
    let mut disputes = Vec::new();
    if agreed.kept && agreed.agreement < settings.review_below {
        disputes.push(Dispute::FewSupporters);
    }
    if !agreed.kept && agreed.supporters.len() > 1 {
        disputes.push(Dispute::RejectedDespiteSupport);
    }
    if agreed.supporters.len() > 1 && agreed.class_share < settings.review_below {
        disputes.push(Dispute::ClassSplit);
    }
    if agreed.probability.is_some_and(|p| (p >= 0.5) != agreed.kept) {
        disputes.push(Dispute::ModelDisagrees);
    }
    disputes
}

impl Consensus {
    /// The kept objects, as a truth for [`evaluate`](crate::evaluate).
    #[must_use]
    pub fn truth(&self) -> ObjectSet {
        ObjectSet {
            images: self.images.clone(),
            classes: self.classes.clone(),
            objects: self.objects.iter().filter(|o| o.kept).map(|o| o.object.clone()).collect(),
        }
    }

    /// The objects someone should look at, kept or not.
    pub fn disputed(&self) -> impl Iterator<Item = &AgreedObject> {
        self.objects.iter().filter(|object| !object.disputes.is_empty())
    }
}

impl fmt::Display for Consensus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.objects.iter().filter(|object| object.kept).count();
        writeln!(
            f,
            "{} in {}; {kept} kept, {} to review; same by {}",
            counted(self.objects.len(), "object"),
            counted(self.images.len(), "image"),
            self.disputed().count(),
            self.settings.criterion
        )?;
        writeln!(f)?;
        self.annotator_table().fmt(f)?;
        writeln!(f)?;
        self.pair_table().fmt(f)?;
        writeln!(f)?;
        if let Some(kappa) = self.class_kappa {
            writeln!(f, "Fleiss' kappa of classes {}", fixed(kappa, 3))?;
        }
        match self.missed_by_all {
            Some(missed) => writeln!(f, "missed by all, by the rater model: {missed:.1}"),
            None => {
                writeln!(f, "two annotators do not say who of them is right: no sensitivity or precision")
            }
        }
    }
}

impl Consensus {
    fn annotator_table(&self) -> Table {
        let header = ["annotator", "images", "objects", "sensitivity", "precision", "F1", "class agreed"];
        let mut table = Table::new(header_cells(&header, 1));
        for one in &self.annotators {
            table.push(vec![
                Cell::left(&one.name),
                Cell::right(one.images.to_string()),
                Cell::right(one.objects.to_string()),
                Cell::right(shown(one.sensitivity)),
                Cell::right(shown(one.precision)),
                Cell::right(shown(one.against_consensus.f1())),
                Cell::right(shown(one.class_agreement)),
            ]);
        }
        table
    }

    fn pair_table(&self) -> Table {
        let mut table =
            Table::new(header_cells(&["both marked", "", "objects", "F1", "kappa of classes"], 2));
        for pair in &self.pairs {
            table.push(vec![
                Cell::left(&self.annotators[pair.a].name),
                Cell::left(&self.annotators[pair.b].name),
                Cell::right(pair.both.to_string()),
                Cell::right(shown(pair.f1)),
                Cell::right(shown(pair.class_kappa)),
            ]);
        }
        table
    }
}

/// Headings of columns; the first `words` of them stand over columns of words.
fn header_cells(names: &[&str], words: usize) -> Vec<Cell> {
    let places = names.iter().enumerate();
    places.map(|(i, name)| if i < words { Cell::left(*name) } else { Cell::right(*name) }).collect()
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| fixed(value, 3))
}

#[cfg(test)]
mod tests;
