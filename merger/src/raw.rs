//! Raw detections as bytes, one record per window, so that merging can be repeated without the model and a
//! killed run can go on.
//!
//! A record is exact: reading returns what was written, bit by bit. It holds neither its own length nor a
//! checksum; the file that keeps it does. All numbers are little-endian:
//!
//! | bytes | content |
//! | --- | --- |
//! | 1 | version, 3; 4 where DAB was measured |
//! | 1 | outcome: 0 failed, 1 detections, 2 detections of a model that could give no more, 3 a class map, 4 and 5 as 1 and 2, with textures, 6 a vector |
//! | 4 | detector and window, as [`WindowKey::to_bits`] |
//! | to the end, failed | reason, as UTF-8 |
//! | to the end, detections, each | box as 4 × f32 (window px), class u16 (in the list of its model), score f32, hematoxylin and eosin 2 × f32 (NaN: not measured), points u32 (0: no outline), points × 2 × f32 |
//! | the same, of version 4 | hematoxylin, eosin, DAB and DAB of the ring, 4 × f32, in the place of the two |
//! | with textures, after each | contrast, homogeneity, entropy, correlation, and standard deviation, p10 and p90 of hematoxylin and of eosin, 10 × f32 (NaN: not measured) |
//! | 4 and 4, class map | places per row, rows |
//! | to the end, class map, each run | class u16 (65535: none), number of places u32 |
//! | to the end, vector, each number | half, 2 bytes |

use wsi_types::{
    ClassMap, ClassRun, Detection, Embedding, ModelClass, Score, WindowBox, WindowKey, WindowPoint,
};

use crate::MergeError;
use crate::merge::WindowOutcome;
use crate::place::Sighting;
use crate::stain::StainOd;
use crate::texture::{PairMeasures, Spread, Texture};

const VERSION: u8 = 3;
/// Records of H&E stay as they were before there was DAB.
const VERSION_WITH_DAB: u8 = 4;
const FAILED: u8 = 0;
const DETECTIONS: u8 = 1;
const FULL: u8 = 2;
const MAP: u8 = 3;
const TEXTURED: u8 = 4;
const FULL_TEXTURED: u8 = 5;
const VECTOR: u8 = 6;
/// No model has a class of this number: it has at most so many, from 0 on.
const NO_CLASS: u16 = u16::MAX;
/// A point of an outline.
const POINT_BYTES: usize = 8;
/// Values of a texture.
const TEXTURE_VALUES: usize = 10;

/// Appends the record of one window to `out`.
pub fn encode_window(window: WindowKey, outcome: &WindowOutcome, out: &mut Vec<u8>) {
    let with_dab = has_dab(outcome);
    out.push(if with_dab { VERSION_WITH_DAB } else { VERSION });
    out.push(match outcome {
        WindowOutcome::Failed(_) | WindowOutcome::Unread(_) => FAILED,
        WindowOutcome::Detections(all) if has_textures(all) => TEXTURED,
        WindowOutcome::Detections(_) => DETECTIONS,
        WindowOutcome::Full(all) if has_textures(all) => FULL_TEXTURED,
        WindowOutcome::Full(_) => FULL,
        WindowOutcome::Map(_) => MAP,
        WindowOutcome::Vector(_) => VECTOR,
    });
    out.extend(window.to_bits().to_le_bytes());
    match outcome {
        WindowOutcome::Failed(reason) | WindowOutcome::Unread(reason) => out.extend(reason.as_bytes()),
        WindowOutcome::Detections(all) | WindowOutcome::Full(all) => {
            let textured = has_textures(all);
            for seen in all {
                put_sighting(out, seen, with_dab);
                if textured {
                    put_texture(out, seen.texture.as_deref());
                }
            }
        }
        WindowOutcome::Map(map) => put_map(out, map),
        WindowOutcome::Vector(vector) => {
            vector.halves().iter().for_each(|half| out.extend(half.to_le_bytes()));
        }
    }
}

/// `true` if DAB was measured of one of its detections.
fn has_dab(outcome: &WindowOutcome) -> bool {
    match outcome {
        WindowOutcome::Detections(all) | WindowOutcome::Full(all) => {
            all.iter().any(|seen| matches!(seen.stains, Some(StainOd::HDab { .. })))
        }
        WindowOutcome::Failed(_)
        | WindowOutcome::Unread(_)
        | WindowOutcome::Map(_)
        | WindowOutcome::Vector(_) => false,
    }
}

fn has_textures(all: &[Sighting]) -> bool {
    all.iter().any(|seen| seen.texture.is_some())
}

fn put_texture(out: &mut Vec<u8>, texture: Option<&Texture>) {
    let values = texture.map_or([f32::NAN; TEXTURE_VALUES], |texture| {
        let Texture { pairs, hematoxylin, eosin } = texture;
        let [contrast, homogeneity, entropy, correlation] = pairs.map_or([f32::NAN; 4], |pairs| {
            [pairs.contrast, pairs.homogeneity, pairs.entropy, pairs.correlation]
        });
        let [h, e] = [hematoxylin, eosin];
        [contrast, homogeneity, entropy, correlation, h.sd, h.p10, h.p90, e.sd, e.p10, e.p90]
    });
    values.iter().for_each(|value| out.extend(value.to_le_bytes()));
}

fn put_map(out: &mut Vec<u8>, map: &ClassMap) {
    out.extend(map.columns().to_le_bytes());
    out.extend(map.rows().to_le_bytes());
    for run in map.runs() {
        out.extend(run.class.map_or(NO_CLASS, |class| class.0).to_le_bytes());
        out.extend(run.places.to_le_bytes());
    }
}

fn put_sighting(out: &mut Vec<u8>, seen: &Sighting, with_dab: bool) {
    let Detection { bbox, class, score, outline } = &seen.detection;
    for value in [bbox.min.x, bbox.min.y, bbox.max.x, bbox.max.y] {
        out.extend(value.to_le_bytes());
    }
    out.extend(class.0.to_le_bytes());
    out.extend(score.get().to_le_bytes());
    let dyes = [
        seen.stains.map(StainOd::hematoxylin),
        seen.stains.and_then(StainOd::eosin),
        seen.stains.and_then(StainOd::dab),
        seen.stains.and_then(StainOd::dab_ring),
    ];
    for od in &dyes[..if with_dab { 4 } else { 2 }] {
        out.extend(od.unwrap_or(f32::NAN).to_le_bytes());
    }
    let outline = outline.as_deref().unwrap_or_default();
    out.extend((outline.len() as u32).to_le_bytes());
    for point in outline {
        out.extend(point.x.to_le_bytes());
        out.extend(point.y.to_le_bytes());
    }
}

/// Reads a record of [`encode_window`].
///
/// # Errors
///
/// [`MergeError::Record`] when it is cut short, garbled, or of another version.
pub fn decode_window(record: &[u8]) -> Result<(WindowKey, WindowOutcome), MergeError> {
    let mut reader = Reader { rest: record, with_dab: false };
    let [version, kind] = reader.take()?;
    reader.with_dab = match version {
        VERSION => false,
        VERSION_WITH_DAB => true,
        _ => {
            let expected = format!("expected {VERSION} or {VERSION_WITH_DAB}");
            return Err(damaged(format!("a record is of version {version}, {expected}")));
        }
    };
    let window = WindowKey::from_bits(reader.u32()?);
    let outcome = match kind {
        FAILED => WindowOutcome::Failed(reader.text()?),
        DETECTIONS => WindowOutcome::Detections(reader.detections(false)?),
        FULL => WindowOutcome::Full(reader.detections(false)?),
        TEXTURED => WindowOutcome::Detections(reader.detections(true)?),
        FULL_TEXTURED => WindowOutcome::Full(reader.detections(true)?),
        MAP => WindowOutcome::Map(reader.map()?),
        VECTOR => WindowOutcome::Vector(reader.vector()?),
        _ => return Err(damaged(format!("a record's outcome is {kind}, expected 0 to 6"))),
    };
    Ok((window, outcome))
}

fn damaged(reason: String) -> MergeError {
    MergeError::Record(reason)
}

struct Reader<'a> {
    rest: &'a [u8],
    /// Detections hold DAB too.
    with_dab: bool,
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

    fn text(&self) -> Result<String, MergeError> {
        String::from_utf8(self.rest.to_vec()).map_err(|_| damaged("a reason is not UTF-8".into()))
    }

    fn detections(&mut self, textured: bool) -> Result<Vec<Sighting>, MergeError> {
        let mut detections = Vec::new();
        while !self.rest.is_empty() {
            let seen = self.sighting()?;
            let texture = if textured { self.texture()? } else { None };
            detections.push(Sighting { texture, ..seen });
        }
        Ok(detections)
    }

    fn map(&mut self) -> Result<ClassMap, MergeError> {
        let (columns, rows) = (self.u32()?, self.u32()?);
        let mut runs = Vec::new();
        while !self.rest.is_empty() {
            let class = u16::from_le_bytes(self.take()?);
            let class = (class != NO_CLASS).then_some(ModelClass(class));
            runs.push(ClassRun { class, places: self.u32()? });
        }
        let map = ClassMap::from_runs(columns, runs).filter(|map| map.rows() == rows);
        map.ok_or_else(|| damaged(format!("the runs of a class map are not {rows} rows of {columns} places")))
    }

    fn vector(&self) -> Result<Embedding, MergeError> {
        let (halves, rest) = self.rest.as_chunks::<2>();
        let halves: Vec<u16> = halves.iter().map(|&half| u16::from_le_bytes(half)).collect();
        let vector = Embedding::from_halves(halves).filter(|_| rest.is_empty());
        vector.ok_or_else(|| damaged("a vector is not of whole, finite halves".into()))
    }

    fn sighting(&mut self) -> Result<Sighting, MergeError> {
        let bbox = WindowBox::new(self.point()?, self.point()?);
        let class = ModelClass(u16::from_le_bytes(self.take()?));
        let score = Score::new(self.f32()?).ok_or_else(|| damaged("a score is NaN".into()))?;
        let stains = self.stains()?;
        let points = self.u32()? as usize;
        // The count is not trusted when allocating: that many bytes must be there.
        if points > self.rest.len() / POINT_BYTES {
            return Err(damaged(format!("an outline of {points} points is longer than its record")));
        }
        let mut outline = Vec::with_capacity(points);
        for _ in 0..points {
            outline.push(self.point()?);
        }
        let outline = (points > 0).then(|| outline.into_boxed_slice());
        Ok(Sighting { detection: Detection { bbox, class, score, outline }, stains, texture: None })
    }

    fn texture(&mut self) -> Result<Option<Box<Texture>>, MergeError> {
        let mut values = [0.0; TEXTURE_VALUES];
        for value in &mut values {
            *value = self.f32()?;
        }
        let [contrast, homogeneity, entropy, correlation, ref spreads @ ..] = values;
        let pairs = PairMeasures { contrast, homogeneity, entropy, correlation };
        let [hematoxylin, eosin] =
            [0, 3].map(|at| Spread { sd: spreads[at], p10: spreads[at + 1], p90: spreads[at + 2] });
        let texture = Texture { pairs: (!contrast.is_nan()).then_some(pairs), hematoxylin, eosin };
        Ok((!hematoxylin.sd.is_nan()).then(|| Box::new(texture)))
    }

    fn stains(&mut self) -> Result<Option<StainOd>, MergeError> {
        let (hematoxylin, eosin) = (self.measured()?, self.measured()?);
        let (dab, ring) = if self.with_dab { (self.measured()?, self.measured()?) } else { (None, None) };
        match (hematoxylin, eosin, dab) {
            (None, None, None) => Ok(None),
            (Some(hematoxylin), Some(eosin), None) => Ok(Some(StainOd::He { hematoxylin, eosin })),
            (Some(hematoxylin), None, Some(dab)) => Ok(Some(StainOd::HDab { hematoxylin, dab, ring })),
            _ => Err(damaged("a detection has one dye of two".into())),
        }
    }

    /// A number; `None` for one that was not measured.
    fn measured(&mut self) -> Result<Option<f32>, MergeError> {
        Ok(Some(self.f32()?).filter(|od| !od.is_nan()))
    }

    fn point(&mut self) -> Result<WindowPoint, MergeError> {
        Ok(WindowPoint::new(self.f32()?, self.f32()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stains() -> impl Strategy<Value = Option<StainOd>> {
        let od = || -0.5_f32..2.0;
        prop_oneof![
            Just(None),
            (od(), od()).prop_map(|(hematoxylin, eosin)| Some(StainOd::He { hematoxylin, eosin })),
            (od(), od(), proptest::option::of(od()))
                .prop_map(|(hematoxylin, dab, ring)| Some(StainOd::HDab { hematoxylin, dab, ring })),
        ]
    }

    fn texture() -> impl Strategy<Value = Option<Texture>> {
        let spread =
            || proptest::array::uniform3(0.0_f32..2.0).prop_map(|[sd, p10, p90]| Spread { sd, p10, p90 });
        let pairs = proptest::array::uniform4(0.0_f32..2.0).prop_map(
            |[contrast, homogeneity, entropy, correlation]| PairMeasures {
                contrast,
                homogeneity,
                entropy,
                correlation,
            },
        );
        let texture = (proptest::option::of(pairs), spread(), spread());
        proptest::option::of(texture.prop_map(|(pairs, hematoxylin, eosin)| Texture {
            pairs,
            hematoxylin,
            eosin,
        }))
    }

    fn sighting() -> impl Strategy<Value = Sighting> {
        let point = || {
            (any::<i16>(), any::<i16>())
                .prop_map(|(x, y)| WindowPoint::new(f32::from(x) / 7.0, f32::from(y) / 3.0))
        };
        let outline = proptest::option::of(proptest::collection::vec(point(), 1..5));
        (point(), point(), 0.0_f32..=1.0, any::<u16>(), outline, stains(), texture()).prop_map(
            |(min, max, score, class, outline, stains, texture)| Sighting {
                detection: Detection {
                    bbox: WindowBox::new(min, max),
                    class: ModelClass(class),
                    score: Score::new(score).unwrap(),
                    outline: outline.map(Vec::into_boxed_slice),
                },
                stains,
                texture: texture.map(Box::new),
            },
        )
    }

    fn map() -> impl Strategy<Value = ClassMap> {
        let class = || proptest::option::of((0_u16..4).prop_map(ModelClass));
        (1_u32..6, 1_usize..6).prop_flat_map(move |(columns, rows)| {
            proptest::collection::vec(class(), columns as usize * rows)
                .prop_map(move |classes| ClassMap::from_places(columns, classes).unwrap())
        })
    }

    fn vector() -> impl Strategy<Value = Embedding> {
        // All halves but those of the largest exponent are finite.
        let halves = proptest::collection::vec(any::<u16>().prop_map(|half| half & !0x0400), 1..9);
        halves.prop_map(|halves| Embedding::from_halves(halves).unwrap())
    }

    fn outcome() -> impl Strategy<Value = WindowOutcome> {
        prop_oneof![
            any::<String>().prop_map(WindowOutcome::Failed),
            proptest::collection::vec(sighting(), 0..5).prop_map(WindowOutcome::Detections),
            proptest::collection::vec(sighting(), 0..5).prop_map(WindowOutcome::Full),
            map().prop_map(WindowOutcome::Map),
            vector().prop_map(WindowOutcome::Vector),
        ]
    }

    /// Kept raw detections of H&E and their ledgers stay what they were.
    #[test]
    fn records_without_dab_are_of_the_version_before_it() {
        let seen = Sighting {
            stains: Some(StainOd::He { hematoxylin: 0.5, eosin: 0.25 }),
            ..crate::testing::detection(1.0, 2.0, 3.0, 4.0, 0.5).into()
        };
        let mut bytes = Vec::new();
        encode_window(WindowKey::from_bits(9), &WindowOutcome::Detections(vec![seen]), &mut bytes);
        assert_eq!(bytes[..6], [VERSION, DETECTIONS, 9, 0, 0, 0]);
        assert_eq!(bytes.len(), 6 + 16 + 2 + 4 + 2 * 4 + 4);
        assert_eq!(bytes[28..36], [0.5_f32.to_le_bytes(), 0.25_f32.to_le_bytes()].concat());
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(window: u32, outcome in outcome()) {
            let mut bytes = Vec::new();
            let window = WindowKey::from_bits(window);
            encode_window(window, &outcome, &mut bytes);
            prop_assert_eq!(decode_window(&bytes).unwrap(), (window, outcome));
        }

        #[test]
        fn noise_never_panics(kind in 0..7_u8, noise in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = decode_window(&[&[VERSION, kind][..], &noise].concat());
            let _ = decode_window(&[&[VERSION_WITH_DAB, kind][..], &noise].concat());
            prop_assert!(decode_window(&[&[VERSION_WITH_DAB + 1, kind][..], &noise].concat()).is_err());
        }

        #[test]
        fn a_record_cut_within_a_detection_is_refused(seen in sighting(), cut in 1..20_usize) {
            let mut bytes = Vec::new();
            encode_window(WindowKey::from_bits(1), &WindowOutcome::Detections(vec![seen]), &mut bytes);
            prop_assert!(decode_window(&bytes[..bytes.len() - cut]).is_err());
        }

        #[test]
        fn a_map_that_is_cut_is_refused(map in map(), cut in 1..12_usize) {
            let mut bytes = Vec::new();
            encode_window(WindowKey::from_bits(1), &WindowOutcome::Map(map), &mut bytes);
            prop_assert!(decode_window(&bytes[..bytes.len() - cut]).is_err());
        }
    }
}
