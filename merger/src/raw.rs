//! Raw detections on disk, one record per window, so that merging can be done
//! again without the model and a killed run goes on where it was.
//!
//! A record, all numbers little-endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | length of what follows up to the checksum |
//! | 1 | version, 1 |
//! | 1 | outcome: 0 failed, 1 detections |
//! | 4 | window index |
//! | 4 | number of detections (with outcome 1) |
//! | each | box as 4 × f32 (window px), class u16, score f32, points u32 (0: no outline), points × 2 × f32 |
//! | 8 | the first bytes of the SHA-256 of everything before |
//!
//! Records are appended one after another. A kill can leave the last one
//! incomplete: [`read_records`] says up to where the file is sound.

use sha2::{Digest, Sha256};
use wsi_types::{ClassId, Detection, Score, WindowBox, WindowIndex, WindowPoint};

use crate::MergeError;
use crate::merge::WindowOutcome;

const VERSION: u8 = 1;
const FAILED: u8 = 0;
const DETECTIONS: u8 = 1;
const LENGTH_BYTES: usize = 4;
const CHECKSUM_BYTES: usize = 8;
/// A detection without outline.
const DETECTION_BYTES: usize = 16 + 2 + 4 + 4;

/// What became of one window.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowResult {
    /// Which window.
    pub window: WindowIndex,
    /// What became of it.
    pub outcome: WindowOutcome,
}

/// Records read back from a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The sound records, as written.
    pub results: Vec<WindowResult>,
    /// Bytes that hold them: cut the file here before appending more.
    pub sound_bytes: usize,
    /// Why reading stopped before the end.
    pub stopped: Option<String>,
}

/// One record, ready to be appended.
///
/// # Errors
///
/// [`MergeError::Record`] when the window holds more than a record can (4 GB).
pub fn encode_window(result: &WindowResult) -> Result<Vec<u8>, MergeError> {
    let mut record = vec![0; LENGTH_BYTES];
    record.push(VERSION);
    match &result.outcome {
        WindowOutcome::Failed => {
            record.push(FAILED);
            put_u32(&mut record, result.window.0);
        }
        WindowOutcome::Detections(detections) => {
            record.push(DETECTIONS);
            put_u32(&mut record, result.window.0);
            put_u32(&mut record, count(detections.len())?);
            for detection in detections {
                put_detection(&mut record, detection)?;
            }
        }
    }
    let length = count(record.len() - LENGTH_BYTES)?;
    record[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    let checksum = checksum(&record);
    record.extend_from_slice(&checksum);
    Ok(record)
}

/// Reads the record at the start of `bytes`, and says how long it is.
///
/// # Errors
///
/// [`MergeError::Record`] when it is cut short, damaged, or of another version.
pub fn decode_window(bytes: &[u8]) -> Result<(WindowResult, usize), MergeError> {
    let mut reader = Reader { rest: bytes };
    let length = reader.u32()? as usize;
    let body_end = LENGTH_BYTES.saturating_add(length);
    let end = body_end.saturating_add(CHECKSUM_BYTES);
    if bytes.len() < end {
        return Err(damaged(format!("a record of {end} bytes ends after {}", bytes.len())));
    }
    if checksum(&bytes[..body_end]) != bytes[body_end..end] {
        return Err(damaged("the checksum of a record is wrong".into()));
    }
    let mut reader = Reader { rest: &bytes[LENGTH_BYTES..body_end] };
    let result = reader.result()?;
    if !reader.rest.is_empty() {
        return Err(damaged(format!("{} bytes too many in a record", reader.rest.len())));
    }
    Ok((result, end))
}

/// Reads records up to the end or the first that is not sound.
#[must_use]
pub fn read_records(bytes: &[u8]) -> Stored {
    let mut stored = Stored { results: Vec::new(), sound_bytes: 0, stopped: None };
    while stored.sound_bytes < bytes.len() {
        match decode_window(&bytes[stored.sound_bytes..]) {
            Ok((result, length)) => {
                stored.results.push(result);
                stored.sound_bytes += length;
            }
            Err(error) => {
                stored.stopped = Some(error.to_string());
                break;
            }
        }
    }
    stored
}

fn damaged(reason: String) -> MergeError {
    MergeError::Record(reason)
}

fn count(length: usize) -> Result<u32, MergeError> {
    u32::try_from(length).map_err(|_| damaged(format!("{length} do not fit into one record")))
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = Sha256::digest(bytes);
    std::array::from_fn(|index| digest[index])
}

fn put_u32(record: &mut Vec<u8>, value: u32) {
    record.extend_from_slice(&value.to_le_bytes());
}

fn put_f32(record: &mut Vec<u8>, value: f32) {
    record.extend_from_slice(&value.to_le_bytes());
}

fn put_detection(record: &mut Vec<u8>, detection: &Detection) -> Result<(), MergeError> {
    let bbox = &detection.bbox;
    for value in [bbox.min.x, bbox.min.y, bbox.max.x, bbox.max.y] {
        put_f32(record, value);
    }
    record.extend_from_slice(&detection.class.0.to_le_bytes());
    put_f32(record, detection.score.get());
    let outline = detection.outline.as_deref().unwrap_or_default();
    put_u32(record, count(outline.len())?);
    for point in outline {
        put_f32(record, point.x);
        put_f32(record, point.y);
    }
    Ok(())
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], MergeError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or_else(|| damaged(format!("a record ends {} bytes early", N - self.rest.len())))?;
        self.rest = rest;
        Ok(*head)
    }

    fn u32(&mut self) -> Result<u32, MergeError> {
        self.take().map(u32::from_le_bytes)
    }

    fn f32(&mut self) -> Result<f32, MergeError> {
        self.take().map(f32::from_le_bytes)
    }

    fn result(&mut self) -> Result<WindowResult, MergeError> {
        let [version, kind] = self.take()?;
        if version != VERSION {
            return Err(damaged(format!("a record is of version {version}, expected {VERSION}")));
        }
        let window = WindowIndex(self.u32()?);
        let outcome = match kind {
            FAILED => WindowOutcome::Failed,
            DETECTIONS => WindowOutcome::Detections(self.detections()?),
            _ => return Err(damaged(format!("a record's outcome is {kind}, expected 0 or 1"))),
        };
        Ok(WindowResult { window, outcome })
    }

    fn detections(&mut self) -> Result<Vec<Detection>, MergeError> {
        let count = self.u32()? as usize;
        // The count is not trusted with memory: so many bytes must be there.
        let mut detections = Vec::with_capacity(count.min(self.rest.len() / DETECTION_BYTES));
        for _ in 0..count {
            detections.push(self.detection()?);
        }
        Ok(detections)
    }

    fn detection(&mut self) -> Result<Detection, MergeError> {
        let min = WindowPoint::new(self.f32()?, self.f32()?);
        let max = WindowPoint::new(self.f32()?, self.f32()?);
        let class = ClassId(u16::from_le_bytes(self.take()?));
        let score = Score::new(self.f32()?).ok_or_else(|| damaged("a score is NaN".into()))?;
        let points = self.u32()? as usize;
        if points > self.rest.len() / 8 {
            return Err(damaged(format!("an outline of {points} points is longer than its record")));
        }
        let mut outline = Vec::with_capacity(points);
        for _ in 0..points {
            outline.push(WindowPoint::new(self.f32()?, self.f32()?));
        }
        let outline = (points > 0).then(|| outline.into_boxed_slice());
        Ok(Detection { bbox: WindowBox::new(min, max), class, score, outline })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::detection;
    use proptest::prelude::*;

    fn results() -> Vec<WindowResult> {
        let mut outlined = detection(1.5, 2.5, 9.0, 8.0, 0.75);
        outlined.class = ClassId(4);
        outlined.outline =
            Some([(1.5, 2.5), (9.0, 2.5), (5.0, 8.0)].map(|(x, y)| WindowPoint::new(x, y)).into());
        let outcome = WindowOutcome::Detections(vec![outlined, detection(0.0, 0.0, 1.0, 1.0, 0.1)]);
        vec![
            WindowResult { window: WindowIndex(7), outcome },
            WindowResult { window: WindowIndex(3), outcome: WindowOutcome::Failed },
            WindowResult { window: WindowIndex(4), outcome: WindowOutcome::Detections(Vec::new()) },
        ]
    }

    fn file() -> Vec<u8> {
        results().iter().flat_map(|result| encode_window(result).unwrap()).collect()
    }

    #[test]
    fn records_come_back_as_they_were() {
        let stored = read_records(&file());
        assert_eq!(stored.results, results());
        assert_eq!((stored.sound_bytes, stored.stopped), (file().len(), None));
    }

    #[test]
    fn a_file_cut_anywhere_keeps_its_whole_records() {
        let file = file();
        for end in 0..file.len() {
            let stored = read_records(&file[..end]);
            assert_eq!(stored.results, results()[..stored.results.len()]);
            assert!(stored.sound_bytes <= end);
            assert_eq!(stored.stopped.is_some(), stored.sound_bytes < end);
        }
    }

    #[test]
    fn one_flipped_bit_anywhere_is_noticed() {
        let record = encode_window(&results()[0]).unwrap();
        for bit in 0..record.len() * 8 {
            let mut broken = record.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_window(&broken).is_err(), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn noise_is_refused_and_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode_window(&bytes).is_err());
        }

        #[test]
        fn noise_under_a_right_checksum_never_panics(
            kind in 0..3_u8,
            noise in proptest::collection::vec(any::<u8>(), 0..120),
        ) {
            let body = [&[VERSION, kind][..], &noise].concat();
            let mut record = (body.len() as u32).to_le_bytes().to_vec();
            record.extend_from_slice(&body);
            let sum = checksum(&record);
            record.extend_from_slice(&sum);
            if let Ok((_, length)) = decode_window(&record) {
                prop_assert_eq!(length, record.len());
            }
        }
    }
}
