//! The colours that the JPEG frames of a DICOM file state, checked against those that the file states.
//!
//! Some writers call frames `RGB` (PhotometricInterpretation, PS3.3 C.7.6.3.1.2) that are whole JFIF streams, whose
//! colours are YCbCr by definition (T.871). OpenSlide believes the attribute and hands out the bare components: a
//! salmon-coloured slide, and nonsense from every model. The stream is right here, as it is in TIFF.

use crate::{backend::tiff::jpeg_header::Header, source::Source};

/// The tag of pixel data in frames (7FE0,0010), its kind `OB` and its undefined length, explicit VR little endian.
const FRAMES: [u8; 12] = [0xe0, 0x7f, 0x10, 0x00, b'O', b'B', 0, 0, 0xff, 0xff, 0xff, 0xff];
/// The tag of an item (FFFE,E000).
const ITEM: [u8; 4] = [0xfe, 0xff, 0x00, 0xe0];
/// Largest distance into the file at which its frames may begin, bytes: the place of every frame comes before
/// them.
const MAX_BEFORE_FRAMES: u64 = 256 << 20;
const CHUNK: u64 = 1 << 20;
/// Bytes read of the first frame: enough for every table of a JPEG header.
const FRAME_HEAD: u64 = 64 << 10;

/// `true` if the first frame is a JPEG stream whose own header says that its colours are YCbCr. `false` if
/// the file cannot be read: the function that opens it reports that.
pub(crate) fn frames_say_ycbcr(source: &Source) -> bool {
    let Some(start) = first_frame(source) else { return false };
    let count = FRAME_HEAD.min(source.len() - start);
    let Ok(head) = source.bytes_at(start, count) else { return false };
    let mut header = Header::default();
    // A header longer than what was read is an error after the markers of interest.
    let _ = header.read(&head);
    header.components().len() == 3
        && match header.adobe {
            Some(transform) => transform != 0,
            None => header.jfif,
        }
}

/// Returns the place of the first frame's bytes: after the table of offsets, which is the first item.
fn first_frame(source: &Source) -> Option<u64> {
    let mut at = pixel_data(source)? + FRAMES.len() as u64;
    for _ in 0..2 {
        let head = source.bytes_at(at, 8).ok()?;
        let (tag, length) = head.split_at(4);
        if tag != ITEM {
            return None;
        }
        let length = u64::from(u32::from_le_bytes(length.try_into().ok()?));
        if source.bytes_at(at + 8, 2).is_ok_and(|start| start == [0xff, 0xd8]) {
            return Some(at + 8);
        }
        at += 8 + length;
    }
    None
}

fn pixel_data(source: &Source) -> Option<u64> {
    let end = source.len().min(MAX_BEFORE_FRAMES);
    let mut at = 0;
    while at < end {
        let chunk = source.bytes_at(at, CHUNK.min(end - at)).ok()?;
        if let Some(found) = chunk.windows(FRAMES.len()).position(|window| window == FRAMES) {
            return Some(at + found as u64);
        }
        // The tag may lie across two chunks.
        at += CHUNK - FRAMES.len() as u64;
    }
    None
}

#[cfg(test)]
mod tests {
    use jpeg_encoder::{ColorType, Encoder};

    use super::*;

    /// Makes the end of a DICOM file: `before` bytes, then a table of offsets and one frame.
    fn file(before: usize, frame: &[u8]) -> Source {
        let mut bytes = vec![7; before];
        bytes.extend(FRAMES);
        bytes.extend(ITEM);
        bytes.extend(4_u32.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(ITEM);
        bytes.extend((frame.len() as u32).to_le_bytes());
        bytes.extend(frame);
        Source::Memory(bytes)
    }

    fn jpeg() -> Vec<u8> {
        let mut out = Vec::new();
        Encoder::new(&mut out, 90).encode(&[100; 16 * 16 * 3], 16, 16, ColorType::Rgb).unwrap();
        out
    }

    #[test]
    fn a_jfif_frame_is_ycbcr_wherever_it_begins() {
        let near_the_end_of_a_chunk = CHUNK as usize - 5;
        for before in [0, 300, near_the_end_of_a_chunk, CHUNK as usize + 1] {
            assert!(frames_say_ycbcr(&file(before, &jpeg())), "{before}");
        }
    }

    #[test]
    fn a_frame_without_a_mark_is_what_the_file_says() {
        let marked = jpeg();
        let after_jfif = 4 + usize::from(u16::from_be_bytes([marked[4], marked[5]]));
        let bare = [&marked[..2], &marked[after_jfif..]].concat();
        assert!(!frames_say_ycbcr(&file(300, &bare)));
        let adobe_rgb =
            [&marked[..2], b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00", &marked[after_jfif..]]
                .concat();
        assert!(!frames_say_ycbcr(&file(300, &adobe_rgb)));
    }

    #[test]
    fn what_is_no_jpeg_or_cut_short_says_nothing() {
        assert!(!frames_say_ycbcr(&file(10, b"\xff\x4f\xff\x51")));
        let Source::Memory(whole) = file(10, &jpeg()) else { unreachable!() };
        for end in 0..whole.len().min(80) {
            frames_say_ycbcr(&Source::Memory(whole[..end].to_vec()));
        }
        assert!(!frames_say_ycbcr(&Source::Memory(whole[..40].to_vec())));
    }
}
