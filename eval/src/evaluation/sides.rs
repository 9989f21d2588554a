//! Truth and predictions on the same images and classes, with notes about them.

use std::collections::BTreeSet;

use super::settings::{AbsentImages, EvaluationSettings, UnknownImages};
use crate::{
    EvalError,
    align::{Aligned, align},
    error::Result,
    names::stem,
    objects::UNNAMED_CLASS,
    objects::{Image, ObjectSet, Role},
    table::counted,
};

/// Number of groups below which intervals say little about how figures vary between groups.
const FEW_GROUPS: usize = 5;

/// Both sides with the same images and classes, sorted by image; truth objects that excuse predictions are
/// marked as such.
pub(super) struct Sides {
    pub truth: ObjectSet,
    pub predictions: ObjectSet,
    /// Notes for the reader of the figures.
    pub notes: Vec<String>,
    /// Names of truth images that the predictions do not have.
    pub not_run: Vec<String>,
}

impl Sides {
    pub fn new(
        mut truth: ObjectSet,
        mut predictions: ObjectSet,
        settings: &EvaluationSettings,
    ) -> Result<Self> {
        check(settings)?;
        if let Some(objects) = truth.crowds_alone() {
            return Err(EvalError::CrowdsAlone { side: "truth".to_owned(), objects });
        }
        let mut notes = Vec::new();
        notes.extend(note_on_scores(&predictions));
        notes.extend(note_on_cut(&predictions.images));
        notes.extend(note_on_crowds(&truth));
        notes.extend(note_on_names(&truth.images, &predictions.images));
        notes.extend(take_for_one_class(&mut truth, &mut predictions, settings));
        let (own_classes, predicted_classes) = (truth.classes.len(), predictions.classes.len());
        let Aligned { set, present, unknown_images } = align(&mut truth, predictions)?;
        let mut sides = Self { truth, predictions: set, notes, not_run: Vec::new() };
        sides.refuse_or_note_unknown(&unknown_images, settings)?;
        if sides.truth.images.is_empty() {
            return Err(EvalError::Empty("there is no image to evaluate"));
        }
        sides.refuse_strangers(own_classes, predicted_classes)?;
        sides.settle_absent(&present, settings)?;
        if let Some(border) = settings.border_px {
            sides.excuse_cut_objects(border);
        }
        sides.notes.extend(note_on_intervals(&sides.truth.images, settings));
        Ok(sides)
    }

    fn refuse_or_note_unknown(&mut self, unknown: &[String], settings: &EvaluationSettings) -> Result<()> {
        let Some(first) = unknown.first() else { return Ok(()) };
        if settings.unknown_images == UnknownImages::Refuse {
            return Err(EvalError::ImagesWithoutTruth { count: unknown.len(), first: first.clone() });
        }
        let (have, were) = if unknown.len() == 1 { ("has", "it was") } else { ("have", "they were") };
        let what = counted(unknown.len(), "image");
        self.notes.push(format!("{what} {have} predictions and no truth; {were} left out"));
        Ok(())
    }

    /// Refuses sides that have objects but share no class, and notes predicted classes that the truth does
    /// not know. Classes from place `own` on are new to the truth.
    fn refuse_strangers(&mut self, own: usize, predicted: usize) -> Result<()> {
        let new = &self.truth.classes[own..];
        let have_objects = self.truth.objects.iter().any(|object| object.role == Role::Object)
            && !self.predictions.objects.is_empty();
        if have_objects && own > 0 && new.len() == predicted {
            let [truth, predictions] = [&self.truth.classes[..own], new]
                .map(|side| side.iter().map(|class| class.name.as_str()).collect::<Vec<_>>().join(", "));
            return Err(EvalError::NoCommonClass { truth, predictions });
        }
        for (class, place) in new.iter().zip(own..) {
            let predicted = self.predictions.objects.iter();
            let count = predicted.filter(|object| usize::from(object.class.0) == place).count();
            if count > 0 && own > 0 {
                let what = counted(count, "prediction");
                let counts = if count == 1 { "counts" } else { "count" };
                let name = &class.name;
                self.notes.push(format!("the truth knows no class {name}: its {what} {counts} as false"));
            }
        }
        Ok(())
    }

    /// Leaves out truth images that were never run, or notes that they count.
    fn settle_absent(&mut self, present: &[bool], settings: &EvaluationSettings) -> Result<()> {
        let absent = self.truth.images.iter().zip(present).filter(|(_, present)| !**present);
        self.not_run = absent.map(|(image, _)| image.name.clone()).collect();
        if self.not_run.is_empty() {
            return Ok(());
        }
        let (count, all) = (self.not_run.len(), present.len());
        let is_one = count == 1;
        let has = if is_one { "has" } else { "have" };
        let outcome = match (settings.absent_images, is_one) {
            (AbsentImages::LeaveOut, true) => "it was left out as not run",
            (AbsentImages::LeaveOut, false) => "they were left out as not run",
            (AbsentImages::Missed, true) => "all its objects count as missed",
            (AbsentImages::Missed, false) => "all their objects count as missed",
        };
        self.notes.push(format!("{count} of {all} truth images {has} no predictions at all; {outcome}"));
        if settings.absent_images == AbsentImages::LeaveOut {
            self.truth.retain_images(present);
            self.predictions.retain_images(present);
        }
        if self.truth.images.is_empty() {
            return Err(EvalError::Empty("none of the truth images has predictions"));
        }
        Ok(())
    }

    /// Makes truth objects at the border crowds, as COCO treats objects it cannot count.
    fn excuse_cut_objects(&mut self, border: f64) {
        let without_size = self.truth.images.iter().filter(|image| image.size.is_none()).count();
        if without_size > 0 {
            let what = counted(without_size, "image");
            self.notes
                .push(format!("the size of {what} is not known: objects cut by the border count there"));
        }
        let mut cut = 0_usize;
        for object in &mut self.truth.objects {
            let Some((width, height)) = self.truth.images[object.image.0 as usize].size else { continue };
            let bounds = object.shape.bounds();
            let inner = bounds.min.x >= border
                && bounds.min.y >= border
                && bounds.max.x <= width - border
                && bounds.max.y <= height - border;
            if !inner && object.role == Role::Object {
                object.role = Role::Crowd;
                cut += 1;
            }
        }
        self.notes.push(format!(
            "{cut} truth objects lie within {border} px of a border and only excuse predictions"
        ));
    }
}

fn check(settings: &EvaluationSettings) -> Result<()> {
    if settings.min_score.is_nan() {
        return Err(bad_setting("min_score", settings.min_score, "a number"));
    }
    if let Some(bootstrap) = settings.bootstrap
        && !(bootstrap.level > 0.0 && bootstrap.level < 1.0)
    {
        return Err(bad_setting("bootstrap.level", bootstrap.level, "between 0 and 1"));
    }
    if settings.calibration_bins == 0 {
        return Err(bad_setting("calibration_bins", 0, "at least 1"));
    }
    Ok(())
}

fn bad_setting(name: &'static str, found: impl std::fmt::Display, expected: &'static str) -> EvalError {
    EvalError::Setting { name, found: found.to_string(), expected }
}

fn note_on_scores(predictions: &ObjectSet) -> Option<String> {
    let unscored = predictions.objects.iter().filter(|object| object.score.is_none()).count();
    let what = counted(unscored, "prediction");
    let have = if unscored == 1 { "has no score and counts" } else { "have no score and count" };
    (unscored > 0).then(|| format!("{what} {have} as 1: AP and FROC are single points for them"))
}

/// Note on the score at which the runs cut the predictions, when their files say so.
fn note_on_cut(images: &[Image]) -> Option<String> {
    let least = images.iter().filter_map(|image| image.cut_at).reduce(f32::min)?;
    let most = images.iter().filter_map(|image| image.cut_at).fold(least, f32::max);
    let at = if least == most { least.to_string() } else { format!("{least} to {most}, by image,") };
    Some(format!(
        "predictions below a score of {at} were left out before they were written: AP, curves and FROC know \
         nothing of them"
    ))
}

fn note_on_crowds(truth: &ObjectSet) -> Option<String> {
    let crowds = truth.objects.iter().filter(|object| object.role == Role::Crowd).count();
    let is =
        if crowds == 1 { "is marked iscrowd and only excuses" } else { "are marked iscrowd and only excuse" };
    (crowds > 0).then(|| format!("{crowds} of {} truth objects {is} predictions", truth.objects.len()))
}

fn note_on_names(truth: &[Image], predictions: &[Image]) -> Option<String> {
    let ([one], [other]) = (truth, predictions) else { return None };
    let differ = stem(&one.name) != stem(&other.name) && !one.has_number_only() && !other.has_number_only();
    differ
        .then(|| "each side has one image; they were taken for the same though their names differ".to_owned())
}

/// Note on intervals from few groups: draws of few groups show little of how groups differ.
fn note_on_intervals(images: &[Image], settings: &EvaluationSettings) -> Option<String> {
    let groups: BTreeSet<&str> = images.iter().map(Image::group).collect();
    let few = settings.bootstrap.is_some() && groups.len() > 1 && groups.len() < FEW_GROUPS;
    few.then(|| {
        format!(
            "the intervals are of {} images, patients or slides: with fewer than {FEW_GROUPS} they are too \
             narrow to be relied on",
            groups.len()
        )
    })
}

/// Makes all classes one if that is set or one side has no classes.
fn take_for_one_class(
    truth: &mut ObjectSet,
    predictions: &mut ObjectSet,
    settings: &EvaluationSettings,
) -> Option<String> {
    let of_truth = truth.is_unclassed() && !truth.objects.is_empty();
    let of_predictions = predictions.is_unclassed() && !predictions.objects.is_empty();
    let one_knows_none = of_truth != of_predictions;
    if settings.ignore_classes || one_knows_none {
        truth.merge_classes(UNNAMED_CLASS);
        predictions.merge_classes(UNNAMED_CLASS);
    }
    let side = if of_truth { "truth knows" } else { "predictions know" };
    one_knows_none.then(|| format!("the {side} no classes, so all classes were taken for one"))
}
