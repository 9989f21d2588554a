//! The two DICOM attributes that tell slides apart without opening them: the kind of object that a file is,
//! and the series that it belongs to.
//!
//! Pixels, levels and pixel spacing are OpenSlide's work.

/// `SOPClassUID` of VL Whole Slide Microscopy Image Storage.
pub(crate) const WHOLE_SLIDE: &str = "1.2.840.10008.5.1.4.1.1.77.1.6";
/// Nested sequences deeper than this are an attack.
const MAX_DEPTH: u32 = 8;

/// Facts from the start of a DICOM file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    class: Option<String>,
    /// `SeriesInstanceUID`: the files of one slide share it.
    pub(crate) series: Option<String>,
}

impl Identity {
    /// `true` if the kind of object is told, and is another than a whole-slide image.
    pub(crate) fn is_another(&self) -> bool {
        self.class.is_some() && !self.is_whole_slide()
    }

    /// `true` if the object is a whole-slide image.
    pub(crate) fn is_whole_slide(&self) -> bool {
        self.class.as_deref() == Some(WHOLE_SLIDE)
    }
}

/// `true` if a file starts as DICOM files do: `DICM` after a preamble of 128 bytes.
pub(crate) fn is_dicom(head: &[u8]) -> bool {
    head.get(128..132) == Some(b"DICM")
}

/// Reads the attributes from the first bytes of a file, explicit VR little
/// endian (PS3.5, 7.1), which all compressed slides use.
pub(crate) fn identity(head: &[u8]) -> Identity {
    let mut found = Identity::default();
    if !is_dicom(head) {
        return found;
    }
    let mut reader = Reader { bytes: head, at: 132 };
    while let Some(element) = reader.element() {
        let text = || {
            let raw = element.value?;
            Some(String::from_utf8_lossy(raw).trim_end_matches(['\0', ' ']).to_owned())
        };
        match (element.group, element.number) {
            (0x0008, 0x0016) => found.class = text(),
            (0x0020, 0x000e) => {
                found.series = text();
                break;
            }
            (0x0021.., _) => break,
            _ => {}
        }
    }
    found
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

struct Element<'a> {
    group: u16,
    number: u16,
    /// `None` for sequences, which are stepped over.
    value: Option<&'a [u8]>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let part = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(part)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    /// Returns the next data element; `None` at the end of the bytes that we have.
    fn element(&mut self) -> Option<Element<'a>> {
        let (group, number) = (self.u16()?, self.u16()?);
        let vr = self.take(2)?;
        let long = matches!(
            vr,
            b"OB"
                | b"OW"
                | b"OF"
                | b"OD"
                | b"OL"
                | b"OV"
                | b"SQ"
                | b"UC"
                | b"UN"
                | b"UR"
                | b"UT"
                | b"SV"
                | b"UV"
        );
        let length = if long {
            self.take(2)?;
            self.u32()?
        } else {
            u32::from(self.u16()?)
        };
        let value = if length == u32::MAX {
            self.skip_undefined(0)?;
            None
        } else {
            Some(self.take(length as usize)?)
        };
        Some(Element { group, number, value: value.filter(|_| vr != b"SQ") })
    }

    /// Skips a sequence of undefined length and its items.
    fn skip_undefined(&mut self, depth: u32) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        loop {
            let (group, number, length) = (self.u16()?, self.u16()?, self.u32()?);
            match (group, number) {
                (0xfffe, 0xe0dd) => return Some(()),
                (0xfffe, 0xe000) if length != u32::MAX => _ = self.take(length as usize)?,
                (0xfffe, 0xe000) => self.skip_item(depth + 1)?,
                _ => return None,
            }
        }
    }

    /// Skips the elements of an item of undefined length.
    fn skip_item(&mut self, depth: u32) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        loop {
            let ahead = self.bytes.get(self.at..self.at + 4)?;
            if ahead == b"\xfe\xff\x0d\xe0" {
                self.take(8)?;
                return Some(());
            }
            self.take(4)?;
            let vr = self.take(2)?;
            if vr == b"SQ" || vr == b"UN" {
                self.take(2)?;
                match self.u32()? {
                    u32::MAX => self.skip_undefined(depth + 1)?,
                    length => _ = self.take(length as usize)?,
                }
            } else if matches!(
                vr,
                b"OB" | b"OW" | b"OF" | b"OD" | b"OL" | b"OV" | b"UC" | b"UR" | b"UT" | b"SV" | b"UV"
            ) {
                self.take(2)?;
                let length = self.u32()?;
                self.take(length as usize)?;
            } else {
                let length = self.u16()?;
                self.take(usize::from(length))?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(group: u16, number: u16, vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&group.to_le_bytes());
        out.extend_from_slice(&number.to_le_bytes());
        out.extend_from_slice(vr);
        out.extend_from_slice(&(value.len() as u16).to_le_bytes());
        out.extend_from_slice(value);
        out
    }

    #[test]
    fn the_series_inside_a_sequence_is_not_the_file_s() {
        let mut file = vec![0; 128];
        file.extend_from_slice(b"DICM");
        file.extend(short(0x0008, 0x0016, b"UI", format!("{WHOLE_SLIDE}\0").as_bytes()));
        // (0008,1115) of undefined length, one item of undefined length.
        file.extend_from_slice(b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff");
        file.extend_from_slice(b"\xfe\xff\x00\xe0\xff\xff\xff\xff");
        file.extend(short(0x0020, 0x000e, b"UI", b"9.9.9"));
        file.extend_from_slice(b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0");
        file.extend(short(0x0020, 0x000e, b"UI", b"1.2.3\0"));
        let found = identity(&file);
        assert!(found.is_whole_slide());
        assert_eq!(found.series.as_deref(), Some("1.2.3"));
        for cut in 0..file.len() {
            assert_ne!(identity(&file[..cut]).series.as_deref(), Some("9.9.9"), "cut at {cut}");
        }
    }
}
