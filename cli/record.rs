//! One window's result as bytes, for the ledger: exact, so that a resumed run
//! ends in the bytes of an undisturbed one.
//!
//! ```text
//! kind       u8: 1 detections, 2 failed
//! window     u32
//! detections, each:                        failed:
//!   box        4 × f32, window px            reason, UTF-8, to the end
//!   score      f32
//!   class      u16
//!   points     u32, 0 for no outline
//!   outline    points × 2 × f32, window px
//! ```
//!
//! All numbers are little-endian.

use merger::WindowOutcome;
use wsi_types::{ClassId, Detection, Outline, Score, WindowBox, WindowIndex, WindowPoint};

use crate::pipeline::Outcome;

const DETECTIONS: u8 = 1;
const FAILED: u8 = 2;

/// Appends the bytes of one window's result to `out`.
pub fn encode(window: WindowIndex, outcome: &Outcome, out: &mut Vec<u8>) {
    out.push(if outcome.is_ok() { DETECTIONS } else { FAILED });
    out.extend(window.0.to_le_bytes());
    match outcome {
        Ok(detections) => detections.iter().for_each(|detection| encode_detection(detection, out)),
        Err(reason) => out.extend(reason.as_bytes()),
    }
}

fn encode_detection(detection: &Detection, out: &mut Vec<u8>) {
    let Detection { bbox, class, score, outline } = detection;
    for value in [bbox.min.x, bbox.min.y, bbox.max.x, bbox.max.y, score.get()] {
        out.extend(value.to_le_bytes());
    }
    out.extend(class.0.to_le_bytes());
    let points = outline.as_deref().unwrap_or_default();
    out.extend((points.len() as u32).to_le_bytes());
    for point in points {
        out.extend(point.x.to_le_bytes());
        out.extend(point.y.to_le_bytes());
    }
}

/// Reads what [`encode`] wrote; `None` for anything else.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<(WindowIndex, Outcome)> {
    let mut rest = Rest(bytes);
    let [kind] = rest.take()?;
    let window = WindowIndex(rest.u32()?);
    let outcome = match kind {
        DETECTIONS => {
            let mut detections = Vec::new();
            while !rest.0.is_empty() {
                detections.push(decode_detection(&mut rest)?);
            }
            Ok(detections)
        }
        FAILED => Err(String::from_utf8(rest.0.to_vec()).ok()?),
        _ => return None,
    };
    Some((window, outcome))
}

fn decode_detection(rest: &mut Rest<'_>) -> Option<Detection> {
    let bbox = WindowBox::new(rest.point()?, rest.point()?);
    let score = Score::new(rest.f32()?)?;
    let class = ClassId(u16::from_le_bytes(rest.take()?));
    let points = rest.u32()? as usize;
    // Checked before anything is allocated.
    if points > rest.0.len() / 8 {
        return None;
    }
    let outline = (0..points).map(|_| rest.point()).collect::<Option<Outline>>()?;
    Some(Detection { bbox, class, score, outline: (points > 0).then_some(outline) })
}

/// Bytes yet to be read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn f32(&mut self) -> Option<f32> {
        self.take().map(f32::from_le_bytes)
    }

    fn point(&mut self) -> Option<WindowPoint> {
        Some(WindowPoint::new(self.f32()?, self.f32()?))
    }
}

/// The same result in the merger's words, which need no reason.
#[must_use]
pub fn for_merger(outcome: Outcome) -> WindowOutcome {
    outcome.map_or(WindowOutcome::Failed, WindowOutcome::Detections)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn detection() -> impl Strategy<Value = Detection> {
        let point = || {
            (any::<i16>(), any::<i16>())
                .prop_map(|(x, y)| WindowPoint::new(f32::from(x) / 7.0, f32::from(y) / 3.0))
        };
        let outline = proptest::option::of(proptest::collection::vec(point(), 1..5));
        (point(), point(), 0.0f32..=1.0, any::<u16>(), outline).prop_map(
            |(min, max, score, class, outline)| Detection {
                bbox: WindowBox::new(min, max),
                class: ClassId(class),
                score: Score::new(score).unwrap(),
                outline: outline.map(Vec::into_boxed_slice),
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(window: u32, detections in proptest::collection::vec(detection(), 0..5), reason: String, fail: bool) {
            let outcome = if fail { Err(reason) } else { Ok(detections) };
            let mut bytes = Vec::new();
            encode(WindowIndex(window), &outcome, &mut bytes);
            prop_assert_eq!(decode(&bytes), Some((WindowIndex(window), outcome)));
        }

        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }
}
