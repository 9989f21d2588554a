//! Heads recognised by the names of their outputs: DETR kinds, whose shapes could as well be those of other
//! heads.
//!
//! | who exports | outputs | head |
//! | --- | --- | --- |
//! | transformers, optimum | `logits`, `pred_boxes` | [`Head::Detr`] |
//! | Roboflow's rfdetr | `labels` `[B, Q, ..]`, `dets` `[B, Q, 4]` | [`Head::Detr`] |
//! | RT-DETR, D-FINE, DEIM | `labels` `[B, K]`, `boxes`, `scores` | [`Head::DetrFinal`] |
//! | mmdeploy | `labels` `[B, K]`, `dets` `[B, K, 5]` | [`Head::DetrFinal`] |

use wsi_types::wording::counted;

use super::{
    Activation, Background, Dim, Head, HeadSource,
    evidence::{Evidence, HeadName, Pixels, Told},
};
use crate::DetectorError;

type Output = (String, Vec<Dim>);

/// The head whose outputs have these names; `None` when it is none of those, or another is stated.
///
/// # Errors
///
/// [`DetectorError::Manifest`] where the names do not settle the meaning of a score.
pub(super) fn told(
    outputs: &[Output],
    classes: usize,
    evidence: &Evidence,
) -> Result<Option<Told>, DetectorError> {
    if evidence.stated.is_some_and(|stated| !matches!(stated, HeadName::Detr | HeadName::DetrFinal)) {
        return Ok(None);
    }
    let source = if evidence.stated.is_some() { HeadSource::Stated } else { HeadSource::Names };
    if let Some(raw) = Raw::find(outputs).filter(|_| evidence.stated != Some(HeadName::DetrFinal)) {
        return Ok(Some(Told {
            head: raw.head(classes, evidence)?,
            source,
            outputs: vec![raw.boxes.clone(), raw.scores.clone()],
            pixels: if raw.is_rf_detr() { Pixels::ImageNet } else { Pixels::Unsaid },
        }));
    }
    let ended = ended(outputs).filter(|_| evidence.stated != Some(HeadName::Detr));
    Ok(ended.map(|(joined, outputs)| Told {
        head: Head::DetrFinal { joined },
        source,
        outputs,
        pixels: Pixels::Unsaid,
    }))
}

/// The output of the first of `names` that exists, if it has `axes` axes.
fn output<'a>(outputs: &'a [Output], names: &[&str], axes: usize) -> Option<&'a Output> {
    let named = names.iter().find_map(|name| outputs.iter().find(|(output, _)| output == name));
    named.filter(|(_, dims)| dims.len() == axes)
}

/// `true` if the last axis may have `size` places.
fn may_end_with(output: &Output, size: u64) -> bool {
    output.1.last().is_some_and(|dim| dim.fixed().is_none_or(|fixed| fixed == size))
}

/// Boxes and scores that are not decoded.
struct Raw<'a> {
    boxes: &'a Output,
    scores: &'a Output,
}

impl<'a> Raw<'a> {
    fn find(outputs: &'a [Output]) -> Option<Self> {
        let boxes = output(outputs, &["pred_boxes", "dets"], 3).filter(|boxes| may_end_with(boxes, 4))?;
        let scores = output(outputs, &["logits", "pred_logits", "labels"], 3)?;
        Some(Self { boxes, scores })
    }

    /// `true` for Roboflow's export, whose code wants pixels normalised as ImageNet's and gives each score a
    /// sigmoid.
    fn is_rf_detr(&self) -> bool {
        self.boxes.0 == "dets"
    }

    fn head(&self, classes: usize, evidence: &Evidence) -> Result<Head, DetectorError> {
        let scores = self.scores.1.last().and_then(Dim::fixed);
        let spare = scores.map(|scores| scores.checked_sub(classes as u64));
        let background = match (evidence.background, spare) {
            (Some(stated), None) => stated,
            (Some(stated), Some(Some(spare))) if spare == stated.scores() as u64 => stated,
            (None, None | Some(Some(0))) => Background::None,
            (None, Some(Some(1))) => return Err(self.unsaid("background", "first\" or \"last", classes)),
            (_, Some(_)) => return Err(self.other_classes(classes, evidence.background)),
        };
        let activation = match (evidence.activation, background) {
            (Some(stated), _) => stated,
            // Scores that are not from a softmax have a sigmoid each, and need none for a background.
            (None, Background::None) => Activation::Sigmoid,
            (None, _) if self.is_rf_detr() => Activation::Sigmoid,
            (None, _) => {
                return Err(self.unsaid("activation", "softmax\" (DETR, YOLOS) or \"sigmoid", classes));
            }
        };
        Ok(Head::Detr { activation, background })
    }

    fn unsaid(&self, key: &str, values: &str, classes: usize) -> DetectorError {
        let reason = format!(
            "{} {} has a score more than the {}, and nothing says what it means; say {key} = \
             \"{values}\" in a TOML beside the model",
            self.scores.0,
            Dim::list(&self.scores.1),
            counted(classes, "class")
        );
        DetectorError::manifest(key, reason)
    }

    fn other_classes(&self, classes: usize, background: Option<Background>) -> DetectorError {
        let expected = match background {
            None | Some(Background::None) => String::new(),
            Some(background) => format!(" and background = \"{background}\""),
        };
        let scores = Dim::list(&self.scores.1);
        let reason = format!(
            "the model has {}{expected}, but {} {scores} has another number of scores; name each class \
             that it scores",
            counted(classes, "class"),
            self.scores.0
        );
        DetectorError::manifest("classes", reason)
    }
}

/// Outputs of a decoded answer in order, with `true` if scores are joined to its boxes.
fn ended(outputs: &[Output]) -> Option<(bool, Vec<Output>)> {
    let labels = output(outputs, &["labels"], 2)?;
    if let Some(joined) = output(outputs, &["dets"], 3).filter(|dets| may_end_with(dets, 5)) {
        return Some((true, vec![joined.clone(), labels.clone()]));
    }
    let boxes = output(outputs, &["boxes"], 3).filter(|boxes| may_end_with(boxes, 4))?;
    let scores = output(outputs, &["scores"], 2)?;
    Some((false, vec![boxes.clone(), scores.clone(), labels.clone()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(shapes: &[(&str, &[u64])]) -> Vec<Output> {
        let dims = |sides: &[u64]| sides.iter().map(|&side| Dim::Fixed(side)).collect();
        shapes.iter().map(|&(name, sides)| (name.to_owned(), dims(sides))).collect()
    }

    fn head(
        shapes: &[(&str, &[u64])],
        classes: usize,
        evidence: &Evidence,
    ) -> Result<Option<(Head, Vec<String>)>, String> {
        let told = told(&outputs(shapes), classes, evidence).map_err(|error| error.to_string())?;
        Ok(told.map(|told| (told.head, told.outputs.into_iter().map(|(name, _)| name).collect())))
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    const SIGMOID: Head = Head::Detr { activation: Activation::Sigmoid, background: Background::None };

    #[test]
    fn four_classes_do_not_hide_which_output_is_which() {
        let nothing = Evidence::default();
        let of_transformers = [("logits", &[1, 300, 4][..]), ("pred_boxes", &[1, 300, 4])];
        let found = head(&of_transformers, 4, &nothing).unwrap();
        assert_eq!(found, Some((SIGMOID, names(&["pred_boxes", "logits"]))));
        let of_roboflow =
            [("dets", &[1, 300, 4][..]), ("labels", &[1, 300, 4]), ("masks", &[1, 300, 96, 96])];
        assert_eq!(head(&of_roboflow, 4, &nothing).unwrap(), Some((SIGMOID, names(&["dets", "labels"]))));
        let unnamed = [("output0", &[1, 300, 4][..]), ("output1", &[1, 300, 4])];
        assert_eq!(head(&unnamed, 4, &nothing), Ok(None));
    }

    #[test]
    fn a_score_more_than_classes_is_asked_for() {
        let of_roboflow = [("dets", &[1, 300, 4][..]), ("labels", &[1, 300, 3])];
        let message = head(&of_roboflow, 2, &Evidence::default()).unwrap_err();
        assert!(message.starts_with("background: labels [1, 300, 3] has a score more than the 2 classes"));
        assert!(message.contains("say background = \"first\" or \"last\" in a TOML"), "{message}");
        let first = Evidence { background: Some(Background::First), ..Evidence::default() };
        let expected = Head::Detr { activation: Activation::Sigmoid, background: Background::First };
        assert_eq!(head(&of_roboflow, 2, &first).unwrap().unwrap().0, expected);
        let of_transformers = [("logits", &[1, 100, 3][..]), ("pred_boxes", &[1, 100, 4])];
        let message = head(&of_transformers, 2, &first).unwrap_err();
        assert!(message.starts_with("activation: ") && message.contains("softmax"), "{message}");
        let message = head(&of_roboflow, 3, &first).unwrap_err();
        assert!(
            message.starts_with("classes: the model has 3 classes and background = \"first\""),
            "{message}"
        );
        assert!(
            head(&of_roboflow, 7, &Evidence::default()).unwrap_err().starts_with("classes: the model has 7")
        );
    }

    #[test]
    fn decoded_answers_are_told_from_raw_ones_by_their_axes() {
        let of_authors = [("labels", &[1, 300][..]), ("boxes", &[1, 300, 4]), ("scores", &[1, 300])];
        let found = head(&of_authors, 2, &Evidence::default()).unwrap();
        let in_order = names(&["boxes", "scores", "labels"]);
        assert_eq!(found, Some((Head::DetrFinal { joined: false }, in_order)));
        let of_mmdeploy = [("dets", &[1, 200, 5][..]), ("labels", &[1, 200])];
        let found = head(&of_mmdeploy, 2, &Evidence::default()).unwrap();
        assert_eq!(found, Some((Head::DetrFinal { joined: true }, names(&["dets", "labels"]))));
    }

    #[test]
    fn another_head_that_is_stated_wins() {
        let of_authors = [("labels", &[1, 300][..]), ("boxes", &[1, 300, 4]), ("scores", &[1, 300])];
        let stated = |stated| Evidence { stated: Some(stated), ..Evidence::default() };
        assert_eq!(head(&of_authors, 2, &stated(HeadName::Detect)), Ok(None));
        assert_eq!(head(&of_authors, 2, &stated(HeadName::Detr)), Ok(None));
        assert!(head(&of_authors, 2, &stated(HeadName::DetrFinal)).unwrap().is_some());
    }
}
