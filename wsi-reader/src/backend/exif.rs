//! The EXIF orientation that cameras and phones write: the turn that a stored picture needs before it is
//! shown.

use wsi_types::RgbBuffer;

use super::tiff::directory::TiffFile;
use crate::source::Source;

/// The orientation of pixels that are stored as they are shown.
pub(crate) const UPRIGHT: u16 = 1;
/// The tag, the same as in TIFF.
const ORIENTATION: u16 = 274;

/// Returns the orientation, 1 to 8, that the bytes of an EXIF segment state; they are those of a small TIFF.
/// `None` if none is stated, or a number outside 1 to 8.
pub(crate) fn orientation(exif: Vec<u8>) -> Option<u16> {
    let exif = exif.strip_prefix(b"Exif\0\0").map(<[u8]>::to_vec).unwrap_or(exif);
    let file = TiffFile::new(Source::Memory(exif)).ok()?;
    let value = file.first(&file.first_directory().ok()?, ORIENTATION).ok()??;
    u16::try_from(value).ok().filter(|value| (1..=8).contains(value))
}

/// Turns pixels stored with an orientation into the picture that viewers show (TIFF 6.0, tag 274): 2 to 4 are
/// mirrored or turned by 180°, 5 to 8 have rows for columns.
pub(crate) fn upright(stored: RgbBuffer, orientation: u16) -> RgbBuffer {
    if !(2..=8).contains(&orientation) {
        return stored;
    }
    let (right, bottom) = (stored.width() - 1, stored.height() - 1);
    let is_transposed = orientation >= 5;
    let mut out = RgbBuffer::default();
    match is_transposed {
        true => out.reset(stored.height(), stored.width()),
        false => out.reset(stored.width(), stored.height()),
    }
    for y in 0..out.height() {
        for (x, pixel) in out.row_mut(y).as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let (u, v) = if is_transposed { (y, x) } else { (x, y) };
            let (u, v) = match orientation {
                2 | 8 => (right - u, v),
                3 | 7 => (right - u, bottom - v),
                4 | 6 => (u, bottom - v),
                _ => (u, v),
            };
            *pixel = stored.pixel(u, v);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of letters, one per pixel.
    fn picture(rows: &[&str]) -> RgbBuffer {
        let bytes = rows.iter().flat_map(|row| row.bytes().flat_map(|letter| [letter; 3])).collect();
        RgbBuffer::from_bytes(rows[0].len(), rows.len(), bytes).unwrap()
    }

    #[test]
    fn every_orientation_comes_back_as_viewers_show_it() {
        let upright_one = picture(&["abc", "def"]);
        // The stored form of the upright picture under each orientation (TIFF 6.0: sides at which row 0 and
        // column 0 lie).
        for (orientation, stored) in [
            (1, vec!["abc", "def"]),
            (2, vec!["cba", "fed"]),
            (3, vec!["fed", "cba"]),
            (4, vec!["def", "abc"]),
            (5, vec!["ad", "be", "cf"]),
            (6, vec!["cf", "be", "ad"]),
            (7, vec!["fc", "eb", "da"]),
            (8, vec!["da", "eb", "fc"]),
        ] {
            assert_eq!(upright(picture(&stored), orientation), upright_one, "{orientation}");
        }
    }

    fn exif(value: u8) -> Vec<u8> {
        let mut bytes = b"Exif\0\0II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        bytes.extend([value, 0, 0, 0, 0, 0, 0, 0]);
        bytes
    }

    #[test]
    fn only_orientations_are_orientations() {
        assert_eq!(
            [0, 1, 6, 8, 9].map(|value| orientation(exif(value))),
            [None, Some(1), Some(6), Some(8), None]
        );
        assert_eq!(orientation(exif(6)[6..].to_vec()), Some(6));
        for end in 0..exif(6).len() - 4 {
            assert_eq!(orientation(exif(6)[..end].to_vec()), None, "cut at {end}");
        }
    }
}
