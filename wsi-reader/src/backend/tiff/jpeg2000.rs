//! JPEG 2000 tiles: Aperio's 33003 (YCbCr) and 33005 (RGB), and 34712.

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

use super::{
    jpeg::spread_gray,
    jpeg_baseline::rgb_from_ycc,
    scratch::Scratch,
    target::{Target, guarded},
};

/// Decodes `scratch.stored` into `target`. `ycc`: the components are YCbCr, which the TIFF states and the
/// codestream does not.
pub(crate) fn decode(
    size: (usize, usize),
    ycc: bool,
    scratch: &mut Scratch,
    target: &mut Target<'_>,
) -> Result<(), String> {
    let Scratch { stored, samples, .. } = scratch;
    guarded(|| decode_stream(stored, size, ycc, samples, target))
}

fn decode_stream(
    stored: &[u8],
    (width, height): (usize, usize),
    ycc: bool,
    samples: &mut Vec<u8>,
    target: &mut Target<'_>,
) -> Result<(), String> {
    let settings = DecodeSettings { strict: true, ..DecodeSettings::default() };
    let image = Image::new(stored, &settings).map_err(|e| format!("its JPEG 2000 header is broken: {e}"))?;
    let found = (image.width() as usize, image.height() as usize);
    if found.0 != width || found.1 < target.height || found.1 > height {
        return Err(format!("it holds {} x {} px, expected {width} x {height}", found.0, found.1));
    }
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(|e| format!("its JPEG 2000 data is broken: {e}"))?;
    let components = decoded.components().len();
    let expected = found.0 * found.1;
    if decoded.components().iter().any(|component| component.samples().len() != expected) {
        return Err("its JPEG 2000 components differ in size".into());
    }
    samples.resize(expected * components, 0);
    decoded.store_u8_into(samples);
    match components {
        1 => spread_gray(samples, found.0, target),
        3 => {
            // The decoder sees subsampled chroma in the codestream, and has converted it already.
            if ycc && !has_subsampled_chroma(stored) {
                samples
                    .as_chunks_mut::<3>()
                    .0
                    .iter_mut()
                    .for_each(|pixel| *pixel = rgb_from_ycc(pixel[0], pixel[1], pixel[2]));
            }
            target.take_corner(samples, found.0);
        }
        other => return Err(format!("it holds {other} JPEG 2000 components, expected 1 or 3")),
    }
    Ok(())
}

/// Reads the sampling of the second component from the SIZ segment (ISO/IEC
/// 15444-1, A.5.1), which follows the start marker.
fn has_subsampled_chroma(codestream: &[u8]) -> bool {
    let [luma, chroma] = [0, 1].map(|index| codestream.get(42 + 3 * index + 1..42 + 3 * index + 3));
    codestream.starts_with(b"\xff\x4f\xff\x51") && chroma != luma
}

#[cfg(test)]
mod tests {
    use super::{super::by_hand::empty_jpeg2000, *};

    /// The start of a codestream of three components, with the sampling of each across and down.
    fn codestream(sampling: [[u8; 2]; 3]) -> Vec<u8> {
        let mut bytes = b"\xff\x4f\xff\x51\x00\x2f".to_vec();
        // Capabilities, sizes and offsets, number of components.
        bytes.extend([0; 34]);
        bytes.extend([0, 3]);
        bytes.extend(sampling.into_iter().flat_map(|[across, down]| [7, across, down]));
        bytes
    }

    #[test]
    fn chroma_is_subsampled_where_its_sampling_is_not_that_of_brightness() {
        for (chroma, is_subsampled) in [([1, 1], false), ([2, 1], true), ([1, 2], true), ([2, 2], true)] {
            assert_eq!(has_subsampled_chroma(&codestream([[1, 1], chroma, chroma])), is_subsampled);
        }
        assert!(!has_subsampled_chroma(&[&[0; 4], &codestream([[1, 1], [2, 2], [2, 2]])[4..]].concat()));
    }

    /// Decodes an empty stream of 8 px across and `rows` into a tile of 8 x 8 px of which `height` are shown.
    fn decoded(rows: u32, components: u16, height: usize) -> Result<Vec<u8>, String> {
        let mut pixels = vec![9; 8 * height * 3];
        let mut scratch = Scratch { stored: empty_jpeg2000(8, rows, components), ..Scratch::default() };
        let mut target = Target { pixels: &mut pixels, width: 8, height };
        decode((8, 8), false, &mut scratch, &mut target).map(|()| pixels)
    }

    #[test]
    fn a_stream_holds_at_least_the_rows_that_are_shown_and_at_most_those_of_its_tile() {
        for components in [1, 3] {
            for (rows, height) in [(8, 8), (8, 5), (5, 5), (6, 5)] {
                assert_eq!(decoded(rows, components, height), Ok(vec![128; 8 * height * 3]));
            }
            for (rows, height) in [(7, 8), (4, 5), (9, 8)] {
                let words = format!("it holds 8 x {rows} px, expected 8 x 8");
                assert_eq!(decoded(rows, components, height), Err(words));
            }
        }
    }
}
