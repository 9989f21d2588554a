//! How large a PNG or JPEG is, from its first bytes.

use std::{fs::File, io::Read, path::Path};

use super::{FORMAT, is_picture_name};
use crate::{EvalError, error::Result, truth::malformed};

/// The head of a JPEG may hold a profile and a preview before it says its size.
const HEAD: u64 = 1 << 20;

/// Width and height in px; `None` for a file that is no picture by its name.
pub(super) fn picture_size(path: &Path) -> Result<Option<(f64, f64)>> {
    if !is_picture_name(path) {
        return Ok(None);
    }
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(HEAD).read_to_end(&mut head))
        .map_err(|source| EvalError::Read { source, path: path.to_owned() })?;
    let size = png(&head).or_else(|| jpeg(&head));
    let (width, height) =
        size.ok_or_else(|| malformed(FORMAT, "picture", "no size found, expected a PNG or a JPEG", path))?;
    Ok(Some((f64::from(width), f64::from(height))))
}

/// From the IHDR chunk, which comes first.
fn png(head: &[u8]) -> Option<(u32, u32)> {
    let header = head.strip_prefix(b"\x89PNG\r\n\x1a\n")?.get(8..16)?;
    let (width, height) = header.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*width), u32::from_be_bytes(*height.first_chunk()?)))
}

/// From the frame header (ITU T.81, B.2.2), after however many other segments.
fn jpeg(head: &[u8]) -> Option<(u32, u32)> {
    let mut rest = head.strip_prefix(&[0xff, 0xd8])?;
    loop {
        let start = rest.iter().position(|&byte| byte != 0xff)?;
        let (&marker, after) = rest.get(start..)?.split_first()?;
        let length = usize::from(u16::from_be_bytes(*after.first_chunk()?));
        // SOF0 to SOF15, less tables (C4, CC) and the reserved C8.
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            let number = |at: usize| Some(u32::from(u16::from_be_bytes(*after.get(at..)?.first_chunk()?)));
            return Some((number(5)?, number(3)?));
        }
        rest = after.get(length..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_found_behind_other_segments() {
        let frame = [0xff, 0xc2, 0, 17, 8, 0x01, 0x2c, 0x02, 0x80, 3];
        let profile = [&[0xff, 0xd8, 0xff, 0xe1, 0, 6, 1, 2, 3, 4][..], &frame].concat();
        assert_eq!(jpeg(&profile), Some((640, 300)));
        let picture = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x02\x80\0\0\x01\x2c";
        assert_eq!(png(picture), Some((640, 300)));
    }

    #[test]
    fn cut_files_have_no_size() {
        for cut in [
            &b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0"[..],
            &[0xff, 0xd8, 0xff],
            &[0xff, 0xd8, 0xff, 0xe1, 0xff, 0xff],
        ] {
            assert_eq!(png(cut).or_else(|| jpeg(cut)), None);
        }
    }
}
