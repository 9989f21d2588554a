//! What all DICOM objects have in common: elements, codes, and whose slide it is.

pub(crate) mod element;
pub(crate) mod slide;
pub(crate) mod tags;
pub(crate) mod uids;

use std::{
    fs::File,
    io::{self, BufReader, Write},
    path::Path,
};

pub(crate) use element::{Items, Tag, Vr, begin_item, begin_sequence, end_item, end_sequence, write_header};

use crate::error::{Result, malformed, unreadable};

/// Our name in the attributes that ask who made an object.
pub(crate) const MAKER: &str = "slidemill";
/// The scheme of codes that are ours: no standard has them.
pub(crate) const OUR_CODES: &str = "99SLIDEMILL";

/// The object of a file, text as UTF-8, up to `until`. `what` names it in errors.
pub(crate) fn read_file(path: &Path, what: &'static str, until: Tag) -> Result<Items> {
    let file = File::open(path).map_err(unreadable(what, path))?;
    let read = element::Reader::new(BufReader::with_capacity(1 << 16, file), until).file();
    read.and_then(in_utf8).map_err(|problem| malformed(what, problem, path))
}

/// Text of other character sets is decoded; of those we do not know, it may not be anything but ASCII.
fn in_utf8(object: Items) -> std::result::Result<Items, String> {
    let set = object.text_of(tags::SPECIFIC_CHARACTER_SET).unwrap_or_default();
    let mut decoded = Items::new();
    for (tag, element) in object.iter() {
        let mut element = element.clone();
        let made = element.make_utf8(&|bytes| match set.as_str() {
            "ISO_IR 192" => String::from_utf8(bytes.to_vec()).ok(),
            "ISO_IR 100" => Some(bytes.iter().map(|&byte| char::from(byte)).collect()),
            _ => None,
        });
        made.ok_or_else(|| {
            format!("text of its character set {set:?} cannot be read, expected ISO_IR 100 or ISO_IR 192")
        })?;
        decoded.put(tag, element);
    }
    Ok(decoded)
}

/// A code, of a scheme, with its meaning in words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Code<'a>(pub(crate) &'a str, pub(crate) &'a str, pub(crate) &'a str);

impl Code<'_> {
    pub(crate) fn item(self) -> Items {
        let Self(value, scheme, meaning) = self;
        let mut item = Items::new();
        item.text(tags::CODE_VALUE, Vr::SH, value).text(tags::CODING_SCHEME_DESIGNATOR, Vr::SH, scheme).text(
            tags::CODE_MEANING,
            Vr::LO,
            meaning,
        );
        item
    }
}

/// Says whose codes [`OUR_CODES`] are.
pub(crate) fn our_scheme() -> Items {
    let mut item = Items::new();
    item.text(tags::CODING_SCHEME_DESIGNATOR, Vr::SH, OUR_CODES)
        .text(tags::CODING_SCHEME_NAME, Vr::ST, "slidemill's own codes")
        .text(tags::CODING_SCHEME_RESPONSIBLE_ORGANIZATION, Vr::ST, MAKER);
    item
}

/// Area in µm².
pub(crate) const AREA: Code<'_> = Code("42798000", "SCT", "Area");
pub(crate) const UM2: Code<'_> = Code("um2", "UCUM", "square micrometer");
pub(crate) const NO_UNITS: Code<'_> = Code("1", "UCUM", "no units");
pub(crate) const SCORE: Code<'_> = Code("score", OUR_CODES, "Score of the model, 0 to 1");

/// The mark, then what is known of the file before its data.
pub(crate) fn write_head(out: &mut impl Write, class: &str, instance: &str) -> io::Result<()> {
    const PREAMBLE: [u8; 128] = [0; 128];
    let mut about = Items::new();
    about
        .text(Tag(2, 0x02), Vr::UI, class)
        .text(Tag(2, 0x03), Vr::UI, instance)
        .text(Tag(2, 0x10), Vr::UI, uids::EXPLICIT_LITTLE_ENDIAN)
        .text(Tag(2, 0x12), Vr::UI, &crate::ids::uid(&[b"slidemill", b"implementation"]))
        .text(Tag(2, 0x13), Vr::SH, &format!("{MAKER} {}", env!("CARGO_PKG_VERSION")));
    // The version, the one value of bytes: written by hand, in its place.
    let mut group = Vec::new();
    write_header(&mut group, Tag(2, 0x01), Vr(*b"OB"), 2)?;
    group.extend([0, 1]);
    about.write(&mut group)?;
    let mut length = Items::new();
    length.u32(Tag(2, 0), group.len() as u32);
    out.write_all(&PREAMBLE)?;
    out.write_all(b"DICM")?;
    length.write(out)?;
    out.write_all(&group)
}

/// Year, month and day, hour, minute and second of a time, in UTC, as DICOM writes them. Days to a date as in
/// "chrono-Compatible Low-Level Date Algorithms" (Hinnant 2013).
pub(crate) fn date_and_time(at: std::time::SystemTime) -> (String, String) {
    let seconds = at.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let time = format!("{:02}{:02}{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    (format!("{year:04}{month:02}{day:02}"), time)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn times_are_dates_of_the_calendar() {
        let at = |seconds: u64| date_and_time(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), ("19700101".to_owned(), "000000".to_owned()));
        assert_eq!(at(951_782_400), ("20000229".to_owned(), "000000".to_owned()));
        assert_eq!(at(1_795_651_199), ("20261125".to_owned(), "235959".to_owned()));
    }
}
