//! Results as JSON lines.

use std::{collections::BTreeMap, io::Write};

use detector::Manifest;
use merger::ClassNames;
use serde::Serialize;
use wsi_types::{ClassId, Mpp, WindowPoint};

use crate::{Changes, Ended, LiveError, Located, Observed, Shown};

/// Version of the lines.
const FORMAT: &str = "slidemill-live 1";
/// Largest latency that is told apart, ms.
const SLOWEST_MS: usize = 2000;

/// Writes a line for the session, one per frame, and one at the end. It holds no names of files.
pub struct Record<W> {
    out: W,
    classes: ClassNames,
    latencies: Latencies,
}

/// Latencies, to a millisecond.
#[derive(Debug, Clone)]
pub(crate) struct Latencies(Vec<u64>);

impl Latencies {
    pub(crate) fn new() -> Self {
        Self(vec![0; SLOWEST_MS + 1])
    }

    pub(crate) fn note(&mut self, ms: f64) {
        self.0[(ms.ceil().max(0.0) as usize).min(SLOWEST_MS)] += 1;
    }

    /// The smallest number of ms within which this share of frames was out; `None` before the first.
    pub(crate) fn quantile(&self, share: f64) -> Option<usize> {
        let all: u64 = self.0.iter().sum();
        let wanted = (all as f64 * share).ceil().max(1.0) as u64;
        let mut so_far = 0;
        self.0.iter().position(|count| {
            so_far += count;
            so_far >= wanted
        })
    }
}

#[derive(Serialize)]
struct Head<'a> {
    format: &'static str,
    model: &'a str,
    model_sha256: &'a str,
    classes: &'a [String],
    /// µm per px of all boxes.
    mpp: f64,
    born: f64,
    lives: f64,
}

/// The line of a frame; [`crate::Page`] shows the same.
#[derive(Serialize)]
pub(crate) struct FrameLine<'a> {
    frame: u64,
    dropped: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<f64>,
    lost: bool,
    confidence: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<u32>,
    /// Upper left corner of the field on the stage, px.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<[f64; 2]>,
    looked: f64,
    full: bool,
    changes: ChangesLine,
    in_view: BTreeMap<&'a str, u64>,
    mosaic: BTreeMap<&'a str, u64>,
    objects: Vec<ObjectLine<'a>>,
}

#[derive(Serialize)]
struct ChangesLine {
    entered: u64,
    left: u64,
    born: u64,
    died: u64,
}

#[derive(Serialize)]
struct ObjectLine<'a> {
    track: u64,
    class: &'a str,
    score: f64,
    /// Left, top, width, height, px of the field.
    #[serde(rename = "box")]
    bbox: [f64; 4],
    #[serde(skip_serializing_if = "Option::is_none")]
    outline: Option<Vec<[f64; 2]>>,
}

#[derive(Serialize)]
struct EndLine<'a> {
    end: bool,
    /// `false`: the source or the model failed.
    complete: bool,
    frames: u64,
    dropped: u64,
    lost: u64,
    segments: &'a [u64],
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms_p50: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms_p99: Option<usize>,
}

impl<W: Write> Record<W> {
    /// Writes the line of the session.
    ///
    /// # Errors
    ///
    /// [`LiveError::Write`].
    pub fn begin(
        out: W,
        manifest: &Manifest,
        mpp: Mpp,
        (born, lives): (f64, f64),
    ) -> Result<Self, LiveError> {
        let classes = class_names(manifest);
        let mut record = Self { out, classes, latencies: Latencies::new() };
        let classes = record.classes.clone();
        record.write(&Head {
            format: FORMAT,
            model: &manifest.name,
            model_sha256: &manifest.sha256,
            classes: classes.as_slice(),
            mpp: mpp.get(),
            born: rounded(born),
            lives: rounded(lives),
        })?;
        Ok(record)
    }

    /// Writes the line of a frame.
    ///
    /// # Errors
    ///
    /// [`LiveError::Write`].
    pub fn frame(&mut self, observed: &Observed<'_>) -> Result<(), LiveError> {
        let classes = self.classes.clone();
        let line = FrameLine::new(observed, &classes);
        line.latency_ms.into_iter().for_each(|ms| self.latencies.note(ms));
        self.write(&line)
    }

    /// Writes the last line: a record without it is cut short. `complete`: no fault ended the session.
    ///
    /// # Errors
    ///
    /// [`LiveError::Write`].
    pub fn end(&mut self, ended: &Ended, complete: bool) -> Result<(), LiveError> {
        let &Ended { frames, dropped, lost, ref segments } = ended;
        let (latency_ms_p50, latency_ms_p99) = (self.latencies.quantile(0.5), self.latencies.quantile(0.99));
        self.write(&EndLine {
            end: true,
            complete,
            frames,
            dropped,
            lost,
            segments,
            latency_ms_p50,
            latency_ms_p99,
        })
    }

    /// A line is given on at once: who reads along waits for it.
    fn write(&mut self, line: &impl Serialize) -> Result<(), LiveError> {
        let mut text = serde_json::to_vec(line).map_err(std::io::Error::from)?;
        text.push(b'\n');
        self.out.write_all(&text)?;
        Ok(self.out.flush()?)
    }
}

/// Names of the classes of a model, in order.
pub(crate) fn class_names(manifest: &Manifest) -> ClassNames {
    let mut names = ClassNames::default();
    for class in &manifest.classes {
        names.add(&class.name);
    }
    names
}

impl<'a> FrameLine<'a> {
    pub(crate) fn new(observed: &Observed<'_>, classes: &'a ClassNames) -> Self {
        let seen = &observed.seen;
        let Changes { entered, left, born, died } = seen.changes;
        let (confidence, place) = match seen.located {
            Located::At(place) => (place.confidence, Some(place)),
            Located::Lost { confidence } => (confidence, None),
        };
        Self {
            frame: seen.frame,
            dropped: observed.dropped,
            latency_ms: observed.latency.map(|latency| rounded(latency.as_secs_f64() * 1e3)),
            lost: place.is_none(),
            confidence: rounded(confidence),
            segment: place.map(|place| place.segment),
            stage: place.map(|place| place.corner.to_array().map(rounded)),
            looked: rounded(seen.looked),
            full: seen.is_full,
            changes: ChangesLine { entered, left, born, died },
            in_view: in_view(&seen.shown, classes),
            mosaic: seen.mosaic.iter().map(|(class, count)| (name(classes, *class), *count)).collect(),
            objects: seen.shown.iter().map(|shown| ObjectLine::new(shown, classes)).collect(),
        }
    }
}

impl<'a> ObjectLine<'a> {
    fn new(shown: &Shown, classes: &'a ClassNames) -> Self {
        let bbox = shown.bbox;
        Self {
            track: shown.track.0,
            class: name(classes, shown.class),
            score: rounded(shown.score),
            bbox: [bbox.min.x, bbox.min.y, bbox.width(), bbox.height()].map(|side| rounded(f64::from(side))),
            outline: shown.outline.as_deref().map(|ring| ring.iter().map(corner).collect()),
        }
    }
}

fn corner(point: &WindowPoint) -> [f64; 2] {
    point.to_array().map(|value| rounded(f64::from(value)))
}

fn in_view<'a>(shown: &[Shown], classes: &'a ClassNames) -> BTreeMap<&'a str, u64> {
    let mut counts = BTreeMap::new();
    for cell in shown {
        *counts.entry(name(classes, cell.class)).or_default() += 1;
    }
    counts
}

fn name(classes: &ClassNames, class: ClassId) -> &str {
    classes.as_slice().get(usize::from(class.0)).map_or("unnamed", String::as_str)
}

/// To a thousandth, which is finer than anything measured here.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_count_frames() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.quantile(0.5), None);
        for ms in 1..=100 {
            latencies.note(f64::from(ms) - 0.3);
        }
        assert_eq!((latencies.quantile(0.5), latencies.quantile(0.99)), (Some(50), Some(99)));
        latencies.note(1e9);
        assert_eq!(latencies.quantile(1.0), Some(SLOWEST_MS));
    }
}
