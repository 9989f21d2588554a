//! Recognising a model's head: by what it states, then the names of its outputs, then their shapes.
//!
//! Shapes alone never decide between layouts that both fit: `[1, 300, 6]` with two classes is an end-to-end
//! head (corners, score, class) or a DETR head (centre, size, a score per class), and a model taken for the
//! wrong one counts nonsense. A case left open is refused, with the key that settles it.

use wsi_types::wording::counted;

use super::{
    Dim, Head, HeadSource, ImageInput, embedding,
    evidence::{Evidence, HeadName, Pixels, Told},
    hover, labels, named, points, semantic, star,
};
use crate::DetectorError;

/// Returns the head that has these outputs, with `classes` classes.
pub(super) fn head(
    outputs: &[(String, Vec<Dim>)],
    classes: usize,
    input: &ImageInput,
    evidence: &Evidence,
) -> Result<Told, DetectorError> {
    let told = match evidence.stated {
        Some(HeadName::Points) => points::told(outputs, evidence)?,
        Some(HeadName::Semantic) => semantic::told(outputs, evidence)?,
        Some(HeadName::Labels) => labels::told(outputs),
        Some(HeadName::Embedding) => embedding::told(outputs, input)?,
        Some(HeadName::Patch) => semantic::patch_told(outputs, input, evidence)?,
        _ => by_names(outputs, classes, evidence)?,
    };
    let told = match told {
        Some(told) => told,
        None => by_shape(outputs, classes, input, evidence)?,
    };
    if told.head.has_raw_scores() {
        return Ok(told);
    }
    let without_use =
        [("activation", evidence.activation.is_some()), ("background", evidence.background.is_some())];
    match without_use.into_iter().find(|(_, is_stated)| *is_stated) {
        Some((key, _)) => {
            let reason = format!("the head is {}, which has none; leave it out", told.head);
            Err(DetectorError::manifest(key, reason))
        }
        None => Ok(told),
    }
}

/// The head whose outputs have names of their own; `None` when it is none of those, or another is stated.
fn by_names(
    outputs: &[(String, Vec<Dim>)],
    classes: usize,
    evidence: &Evidence,
) -> Result<Option<Told>, DetectorError> {
    for told in [named::told, star::told, hover::told] {
        if let Some(told) = told(outputs, classes, evidence)? {
            return Ok(Some(told));
        }
    }
    Ok(None)
}

/// The head as stated, or as recognised by metadata and shapes.
fn by_shape(
    outputs: &[(String, Vec<Dim>)],
    classes: usize,
    input: &ImageInput,
    evidence: &Evidence,
) -> Result<Told, DetectorError> {
    let answer = Answer::new(outputs, classes, input);
    let found = answer.as_ref().and_then(|answer| match evidence.stated {
        Some(stated) => Some((answer.stated(stated)?, HeadSource::Stated)),
        None => answer.told(evidence),
    });
    match found {
        Some((head, source)) => Ok(Told { head, source, outputs: outputs.to_vec(), pixels: Pixels::Over255 }),
        None => Err(DetectorError::UnknownHead {
            found: outputs.to_vec(),
            classes,
            hint: answer.and_then(|answer| answer.hint(evidence)),
        }),
    }
}

/// The output that holds the answers, with the numbers that its sides are compared with.
struct Answer<'a> {
    /// The sides after the batch.
    rows: &'a Dim,
    columns: &'a Dim,
    classes: u64,
    /// Mask coefficients; 0 without prototypes.
    coefficients: u64,
    /// Places of the grids of strides 8, 16 and 32, where the input has one size.
    places: Option<u64>,
}

impl<'a> Answer<'a> {
    fn new(outputs: &'a [(String, Vec<Dim>)], classes: usize, input: &ImageInput) -> Option<Self> {
        let (boxes, prototypes) = match outputs {
            [(_, boxes)] => (boxes, None),
            [(_, boxes), (_, prototypes)] => (boxes, Some(prototypes)),
            _ => return None,
        };
        let [_, rows, columns] = &boxes[..] else { return None };
        let coefficients = match prototypes.map(Vec::as_slice) {
            None => 0,
            Some([_, Dim::Fixed(m @ 1..=1024), _, _]) => *m,
            Some(_) => return None,
        };
        Some(Self { rows, columns, classes: classes as u64, coefficients, places: places(input) })
    }

    /// The head as stated, if the shapes allow it.
    fn stated(&self, stated: HeadName) -> Option<Head> {
        let is_boxes = self.coefficients == 0;
        let (fits, head) = match stated {
            HeadName::Detect => (is_boxes && self.is_raw(), self.raw()),
            HeadName::Segment => (!is_boxes && self.is_raw(), self.raw()),
            HeadName::EndToEnd => (self.is_ended(), self.ended()),
            HeadName::Objectness => {
                (is_boxes && self.may_have_objectness(), Head::Objectness { grid: false })
            }
            HeadName::ObjectnessGrid => {
                (is_boxes && self.may_have_objectness(), Head::Objectness { grid: true })
            }
            HeadName::Detr => (is_boxes && may_be(self.columns, 4 + self.classes), Head::DetrRows),
            // Told by the names or the axes of its outputs only.
            HeadName::DetrFinal
            | HeadName::Points
            | HeadName::Semantic
            | HeadName::Patch
            | HeadName::Star
            | HeadName::Hover
            | HeadName::Labels
            | HeadName::Embedding => return None,
        };
        fits.then_some(head)
    }

    /// The head as recognised by the metadata and the shapes alone.
    fn told(&self, evidence: &Evidence) -> Option<(Head, HeadSource)> {
        if evidence.is_rt_detr() && evidence.end2end != Some(true) {
            return Some((self.stated(HeadName::Detr)?, HeadSource::Description));
        }
        match evidence.end2end {
            Some(true) => return self.is_ended().then(|| (self.ended(), HeadSource::Export)),
            Some(false) => return self.is_raw().then(|| (self.raw(), HeadSource::Export)),
            None => {}
        }
        // One side may be left open only where the other is fixed and settles the head.
        let is_raw = self.is_raw() && self.rows.fixed().is_some();
        let is_ended = self.is_ended() && self.columns.fixed().is_some();
        match (is_raw, is_ended) {
            (true, _) => Some((self.raw(), HeadSource::Shape)),
            (false, true) => Some((self.ended_by_shape(evidence)?, HeadSource::Shape)),
            (false, false) if self.is_raw() && self.is_ended() => Some((self.raw(), HeadSource::Open)),
            (false, false) => None,
        }
    }

    /// An end-to-end head for `[K, 6]` with columns of unknown meaning; `None` where another head has that
    /// shape too.
    fn ended_by_shape(&self, evidence: &Evidence) -> Option<Head> {
        // The most answers that an exporter with suppression inside gives unless told otherwise.
        const MOST_ANSWERS: u64 = 1000;
        let too_many = self.rows.fixed().is_some_and(|rows| rows > MOST_ANSWERS);
        let is_detr_too = self.columns.fixed() == Some(4 + self.classes) && !evidence.is_yolo();
        let is_objectness_too = self.has_objectness() && self.maker().is_some();
        (!too_many && !is_detr_too && !is_objectness_too).then(|| self.ended())
    }

    /// `true` if the rows may be four of boxes, then classes and coefficients.
    fn is_raw(&self) -> bool {
        may_be(self.rows, 4 + self.classes + self.coefficients)
    }

    /// `true` if the columns may be corners, score, class and coefficients.
    fn is_ended(&self) -> bool {
        may_be(self.columns, 6 + self.coefficients)
    }

    fn may_have_objectness(&self) -> bool {
        may_be(self.columns, 5 + self.classes)
    }

    fn has_objectness(&self) -> bool {
        self.columns.fixed() == Some(5 + self.classes + self.coefficients)
    }

    fn raw(&self) -> Head {
        match self.coefficients as usize {
            0 => Head::Detect,
            coefficients => Head::Segment { coefficients },
        }
    }

    fn ended(&self) -> Head {
        match self.coefficients as usize {
            0 => Head::EndToEnd,
            coefficients => Head::EndToEndSegment { coefficients },
        }
    }

    /// Makers of heads with an objectness and this number of rows, in words.
    fn maker(&self) -> Option<&'static str> {
        let (rows, places) = (self.rows.fixed()?, self.places?);
        match rows {
            rows if rows == 3 * places => Some("YOLOv5 and YOLOv7 answer: 3 boxes at each place of 3 grids"),
            rows if rows == places => Some("YOLOX and YOLOv6 answer: a box at each place of 3 grids"),
            _ => None,
        }
    }

    /// Probable head of an answer of unknown layout, and the way to state it, in words.
    fn hint(&self, evidence: &Evidence) -> Option<String> {
        const MANY_ROWS: u64 = 1000;
        let (rows, columns) = (self.rows, self.columns);
        if self.coefficients > 0 {
            let reason = "with an objectness and masks, as YOLOv5-seg answers, cannot be read; export YOLOv8-seg, \
                          YOLO11-seg or the boxes alone";
            return self.has_objectness().then(|| format!("{rows} rows of {columns} numbers {reason}"));
        }
        if self.has_objectness()
            && (self.maker().is_some() || rows.fixed().is_none_or(|rows| rows > MANY_ROWS))
        {
            let maker = self.maker().unwrap_or("heads with an objectness answer");
            return Some(format!(
                "{rows} rows of 4 sides, an objectness and {} are what {maker}; say \
                 `head = \"yolov5\"` in a TOML beside the model if boxes are in px, `head = \"yolox\"` if they are \
                 not yet decoded",
                counted(self.classes as usize, "class score")
            ));
        }
        if columns.fixed() == Some(4 + self.classes) {
            let other = if self.is_ended() && evidence.end2end.is_none() {
                "; or `end2end = true` if each is two corners, a score and a class"
            } else {
                ""
            };
            return Some(format!(
                "{rows} rows of 4 sides and {} are what DETR kinds answer (RT-DETR); say \
                 `head = \"detr\"` in a TOML beside the model if boxes are centre, width and height as fractions \
                 of the window{other}",
                counted(self.classes as usize, "class score")
            ));
        }
        None
    }
}

fn may_be(dim: &Dim, size: u64) -> bool {
    dim.fixed().is_none_or(|fixed| fixed == size)
}

/// Places of the grids of strides 8, 16 and 32 over an input of one size.
fn places(input: &ImageInput) -> Option<u64> {
    let (height, width) = (input.height.fixed()?, input.width.fixed()?);
    [8, 16, 32].into_iter().try_fold(0u64, |sum, stride| {
        let grid = height.div_ceil(stride).checked_mul(width.div_ceil(stride))?;
        sum.checked_add(grid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Element, Layout};

    fn input(side: u64) -> ImageInput {
        ImageInput {
            name: "images".to_owned(),
            layout: Layout::Nchw,
            element: Element::F32,
            batch: Dim::Fixed(1),
            height: Dim::Fixed(side),
            width: Dim::Fixed(side),
            sizes: None,
        }
    }

    fn found(shape: &[u64], classes: usize, evidence: &Evidence) -> Result<Head, String> {
        let dims =
            shape.iter().map(|&side| if side == 0 { Dim::Unknown } else { Dim::Fixed(side) }).collect();
        let found = head(&[("output0".to_owned(), dims)], classes, &input(640), evidence);
        found.map(|told| told.head).map_err(|e| e.to_string())
    }

    fn described(words: &str) -> Evidence {
        Evidence { words: words.to_owned(), ..Evidence::default() }
    }

    #[test]
    fn a_yolov5_head_of_one_class_is_not_taken_for_an_end_to_end_one() {
        let message = found(&[1, 25_200, 6], 1, &Evidence::default()).unwrap_err();
        assert!(message.contains("[1, 25200, 6]") && message.contains("YOLOv5"), "{message}");
        assert!(message.contains("head = \"yolov5\""), "{message}");
        let message = found(&[1, 8400, 6], 1, &Evidence::default()).unwrap_err();
        assert!(message.contains("YOLOX"), "{message}");
        // An input of 64 px has 84 places: 252 rows are not a list of answers.
        let few = head(
            &[("y".to_owned(), vec![Dim::Fixed(1), Dim::Fixed(252), Dim::Fixed(6)])],
            1,
            &input(64),
            &Evidence::default(),
        );
        assert!(few.unwrap_err().to_string().contains("YOLOv5"));
    }

    #[test]
    fn two_classes_in_six_columns_are_read_only_where_something_tells() {
        let message = found(&[1, 300, 6], 2, &Evidence::default()).unwrap_err();
        assert!(message.contains("head = \"detr\"") && message.contains("end2end = true"), "{message}");
        let rt_detr = described("Ultralytics RT-DETR-l model trained on cells.yaml");
        assert_eq!(found(&[1, 300, 6], 2, &rt_detr), Ok(Head::DetrRows));
        assert_eq!(found(&[1, 300, 7], 3, &rt_detr), Ok(Head::DetrRows));
        assert_eq!(found(&[1, 300, 6], 2, &described("Ultralytics YOLOv10n model")), Ok(Head::EndToEnd));
        let ended = Evidence { end2end: Some(true), ..Evidence::default() };
        assert_eq!(found(&[1, 300, 6], 2, &ended), Ok(Head::EndToEnd));
        assert!(found(&[1, 300, 7], 3, &Evidence::default()).unwrap_err().contains("head = \"detr\""));
        assert_eq!(found(&[1, 300, 6], 3, &Evidence::default()), Ok(Head::EndToEnd));
    }

    #[test]
    fn open_sides_are_read_by_what_the_export_says() {
        assert_eq!(found(&[0, 0, 0], 1, &Evidence::default()), Ok(Head::Detect));
        let ended = Evidence { end2end: Some(true), ..Evidence::default() };
        assert_eq!(found(&[0, 0, 0], 1, &ended), Ok(Head::EndToEnd));
    }

    #[test]
    fn what_is_stated_wins_where_the_shapes_allow_it() {
        let stated = |name| Evidence { stated: Some(HeadName::parse(name).unwrap()), ..Evidence::default() };
        assert_eq!(found(&[1, 25_200, 6], 1, &stated("yolov5")), Ok(Head::Objectness { grid: false }));
        assert_eq!(found(&[1, 8400, 8], 3, &stated("yolox")), Ok(Head::Objectness { grid: true }));
        assert_eq!(found(&[1, 300, 6], 2, &stated("detr")), Ok(Head::DetrRows));
        assert_eq!(found(&[1, 300, 6], 2, &stated("end2end")), Ok(Head::EndToEnd));
        assert!(found(&[1, 300, 6], 1, &stated("detr")).is_err());
        let message = HeadName::parse("yolo").unwrap_err().to_string();
        assert!(message.starts_with("head: is yolo, expected one of detect, segment"), "{message}");
    }
}
