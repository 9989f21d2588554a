//! Lists of slides as people write them: CSV with any common separator and encoding, with the columns `path`
//! and, where wanted, `id`, `mpp`, `override_mpp` and `map_range`, under the names that other programs have
//! for them.

use std::{
    borrow::Cow,
    fs,
    path::{Path, PathBuf},
};

use csv::ByteRecord;
use dataset::{SlideId, wording::counted};
use wsi_reader::{LinearMapping, is_address};
use wsi_types::Mpp;

use crate::{error::JobError, slides::SlideEntry};

/// Description of a correct list, for messages.
const RIGHT: &str = "expected the columns path, id, mpp, override_mpp, map_range, all but path at will, such as path,mpp and below it a.svs,0.25";

/// The columns that are read, each with its own name first and those of other programs behind it.
const COLUMNS: [&[&str]; 5] = [
    &[
        "path",
        "slide",
        "file",
        "wsi",
        "filename",
        "file_name",
        "filepath",
        "file_path",
        "slide_path",
        "wsi_path",
        "image",
        "image_path",
    ],
    &["id", "slide_id", "slideid"],
    &["mpp", "mpp_x", "um_per_px", "um_per_pixel", "microns_per_pixel", "um/px", "µm/px"],
    &["map_range"],
    &["override_mpp"],
];
const PATH: usize = 0;
const ID: usize = 1;
const MPP: usize = 2;
const MAP_RANGE: usize = 3;
const OVERRIDE_MPP: usize = 4;

/// `true` for a column that names files, as those do that are called as paths are: it says nothing of the slide.
pub(crate) fn is_of_files(column: &str) -> bool {
    COLUMNS[PATH].contains(&plain(column).as_str())
}

/// A column's name as it is compared.
fn plain(name: &str) -> String {
    name.trim().to_lowercase().replace([' ', '-'], "_")
}

/// Words in the name of a column that may mean the size of a pixel; such a column must not be ignored.
const SCALE_WORDS: [&str; 8] =
    ["mpp", "micron", "um_per", "pixel_size", "resolution", "spacing", "scale", "magnification"];

/// Contents of a list.
#[derive(Debug)]
pub(crate) struct SlideList {
    /// Its slides, in its order.
    pub(crate) slides: Vec<SlideEntry>,
    /// Columns that no job reads, which its slides have in [`SlideEntry::columns`].
    pub(crate) unused: Vec<String>,
}

/// Reads a list. Paths are relative to the list's own folder.
///
/// # Errors
///
/// [`JobError::Usage`], one line with the path last, for what cannot be read or could mean two things.
pub(crate) fn read(list: &Path) -> Result<SlideList, JobError> {
    let folder = list.parent().unwrap_or(Path::new("."));
    fs::read(list)
        .map_err(|error| format!("cannot read it: {error}"))
        .and_then(|bytes| parse(&decoded(&bytes), folder))
        .map_err(|reason| JobError::usage(format!("slide list: {reason}: {}", list.display())))
}

fn parse(bytes: &[u8], folder: &Path) -> Result<SlideList, String> {
    let (separator, bytes) = separated_by(bytes);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .flexible(true)
        .from_reader(bytes);
    let header = reader.byte_headers().map_err(|error| error.to_string())?.clone();
    let columns = Columns::new(&header)?;
    let mut slides = Vec::new();
    for record in reader.byte_records() {
        let record = record.map_err(|error| error.to_string())?;
        if record.iter().all(<[u8]>::is_empty) {
            continue;
        }
        let line = record.position().map_or(0, csv::Position::line);
        slides
            .push(columns.slide(&record, header.len(), folder).map_err(|why| format!("line {line}: {why}"))?);
    }
    Ok(SlideList { slides, unused: columns.unused.into_iter().map(|(_, name)| name).collect() })
}

/// A list as UTF-8 without its byte order mark: Excel writes UTF-16 too. Bytes in other encodings stay as they are.
fn decoded(bytes: &[u8]) -> Cow<'_, [u8]> {
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => Cow::Borrowed(rest),
        [0xff, 0xfe, rest @ ..] => from_utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => from_utf16(rest, u16::from_be_bytes),
        // Without a byte order mark: one byte of a Latin letter is zero.
        [first, 0, ..] if *first != 0 => from_utf16(bytes, u16::from_le_bytes),
        [0, second, ..] if *second != 0 => from_utf16(bytes, u16::from_be_bytes),
        _ => Cow::Borrowed(bytes),
    }
}

fn from_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Cow<'static, [u8]> {
    let units: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|&pair| unit(pair)).collect();
    Cow::Owned(String::from_utf16_lossy(&units).into_bytes())
}

/// Returns the separator of the columns, and the list without the line `sep=;` that tells Excel the
/// separator.
fn separated_by(bytes: &[u8]) -> (u8, &[u8]) {
    if let Some([separator, rest @ ..]) = bytes.strip_prefix(b"sep=") {
        let end = rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |end| end + 1);
        return (*separator, &rest[end..]);
    }
    let lines = bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let header =
        lines.into_iter().find(|line| !line.is_empty() && !line.starts_with(b"#")).unwrap_or_default();
    // If several are equally frequent the last one counts, the comma.
    let candidates = [b'\t', b';', b','].into_iter();
    let separator =
        candidates.max_by_key(|separator| header.iter().filter(|byte| *byte == separator).count());
    (separator.unwrap_or(b','), bytes)
}

/// Places of the columns in a list.
#[derive(Debug)]
struct Columns {
    places: [Option<usize>; 5],
    /// Places and names of the others.
    unused: Vec<(usize, String)>,
}

impl Columns {
    fn new(header: &ByteRecord) -> Result<Self, String> {
        let shown: Vec<String> =
            header.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        let names: Vec<String> = shown.iter().map(|name| plain(name)).collect();
        let mut places = [None; 5];
        for (place, synonyms) in places.iter_mut().zip(COLUMNS) {
            *place = column(&names, &shown, synonyms)?;
        }
        if places[PATH].is_none() {
            let found =
                if shown.len() > 8 { format!("{}, …", shown[..8].join(", ")) } else { shown.join(", ") };
            return Err(format!("no column of paths among {found:?}; {RIGHT}"));
        }
        let unused: Vec<usize> = (0..names.len()).filter(|at| !places.contains(&Some(*at))).collect();
        let like_scale = unused.iter().find(|&&at| SCALE_WORDS.iter().any(|word| names[at].contains(word)));
        if let (None, Some(&at)) = (places[MPP], like_scale) {
            return Err(format!(
                "the column {:?} may state the size of a pixel: call it mpp if it is µm per pixel, else leave it \
                 out; {RIGHT}",
                shown[at]
            ));
        }
        let unused: Vec<(usize, String)> = unused
            .into_iter()
            .map(|at| (at, shown[at].clone()))
            .filter(|(_, name)| !name.is_empty())
            .collect();
        if let Some((_, twice)) =
            unused.iter().find(|(at, name)| unused.iter().any(|(other, same)| other < at && same == name))
        {
            return Err(format!("two columns are called {twice:?}"));
        }
        Ok(Self { places, unused })
    }

    fn slide(&self, record: &ByteRecord, columns: usize, folder: &Path) -> Result<SlideEntry, String> {
        if record.len() != columns {
            return Err(format!(
                "{}, expected {columns} as in the first line; what holds a separator stands in quotes",
                counted(record.len(), "column")
            ));
        }
        let path = self.field(record, PATH).ok_or_else(|| format!("no path; {RIGHT}"))?;
        let mut slide = SlideEntry::at(path_in(folder, path));
        slide.id = self.text(record, ID).map(SlideId::new).transpose()?;
        slide.mpp = self.text(record, MPP).map(|text| mpp(&text)).transpose()?;
        slide.override_mpp = self.text(record, OVERRIDE_MPP).map(|text| mpp(&text)).transpose()?;
        slide.columns = self.unused.iter().map(|(at, name)| (name.clone(), value_at(record, *at))).collect();
        slide.map_range = self.text(record, MAP_RANGE).map(|text| map_range(&text)).transpose()?;
        Ok(slide)
    }

    /// Value of a column in a line; `None` if it is empty.
    fn field<'a>(&self, record: &'a ByteRecord, column: usize) -> Option<&'a [u8]> {
        self.places[column].and_then(|at| record.get(at)).filter(|raw| !raw.is_empty())
    }

    fn text<'a>(&self, record: &'a ByteRecord, column: usize) -> Option<Cow<'a, str>> {
        self.field(record, column).map(String::from_utf8_lossy)
    }
}

/// The text of a column that no job reads; empty where there is none.
fn value_at(record: &ByteRecord, at: usize) -> String {
    String::from_utf8_lossy(record.get(at).unwrap_or_default()).into_owned()
}

/// Place of the column with one of these names: its own name, or else the only synonym found.
fn column(names: &[String], shown: &[String], synonyms: &[&str]) -> Result<Option<usize>, String> {
    let own = places_of(names, &synonyms[..1]);
    let found = if own.is_empty() { places_of(names, synonyms) } else { own };
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        [first, second, ..] => Err(format!(
            "both {:?} and {:?} could be the column {}; {RIGHT}",
            shown[*first], shown[*second], synonyms[0]
        )),
    }
}

fn places_of(names: &[String], wanted: &[&str]) -> Vec<usize> {
    (0..names.len()).filter(|&at| wanted.contains(&names[at].as_str())).collect()
}

fn map_range(text: &str) -> Result<LinearMapping, String> {
    text.parse().map_err(|error: wsi_reader::MappingError| error.to_string())
}

/// Parses µm per pixel, with a decimal point or comma.
fn mpp(text: &str) -> Result<Mpp, String> {
    let value: f64 = text
        .trim()
        .replacen(',', ".", 1)
        .parse()
        .map_err(|_| format!("mpp is {text:?}, expected µm per pixel such as 0.25"))?;
    Mpp::new(value).map_err(|error| error.to_string())
}

/// Returns the first path that exists, of those that the bytes may mean: as written; in the encoding of old
/// Windows programs; these with slashes for backslashes. If none exists, the path as written.
fn path_in(folder: &Path, raw: &[u8]) -> PathBuf {
    let written = path_of_bytes(raw);
    if is_address(&written) {
        return written;
    }
    let mut readings = vec![raw.to_vec()];
    if std::str::from_utf8(raw).is_err() {
        readings.push(raw.iter().map(|&byte| from_windows_1252(byte)).collect::<String>().into_bytes());
    }
    let with_slashes: Vec<Vec<u8>> = readings.iter().map(|raw| slashes_for_backslashes(raw)).collect();
    let mut paths = readings.iter().chain(&with_slashes).map(|raw| folder.join(path_of_bytes(raw)));
    paths.find(|path| fs::symlink_metadata(path).is_ok()).unwrap_or_else(|| folder.join(path_of_bytes(raw)))
}

fn slashes_for_backslashes(raw: &[u8]) -> Vec<u8> {
    raw.iter().map(|&byte| if byte == b'\\' { b'/' } else { byte }).collect()
}

#[cfg(unix)]
fn path_of_bytes(raw: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    std::ffi::OsStr::from_bytes(raw).into()
}

#[cfg(not(unix))]
fn path_of_bytes(raw: &[u8]) -> PathBuf {
    String::from_utf8_lossy(raw).into_owned().into()
}

/// Decodes Windows-1252: Latin-1 except for the letters and marks at 0x80 to 0x9f.
fn from_windows_1252(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
        '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(bytes: &[u8]) -> Result<SlideList, JobError> {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("l.csv");
        fs::create_dir(folder.path().join("in put")).unwrap();
        for name in ["in put/a.svs", "in put/b.svs", "Höhe.svs"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        fs::write(&list, bytes).unwrap();
        let mut read = read(&list)?;
        for slide in &mut read.slides {
            slide.path = slide.path.strip_prefix(folder.path()).unwrap().to_owned();
        }
        Ok(read)
    }

    fn rows(bytes: &[u8]) -> Vec<(String, Option<String>, Option<f64>)> {
        let read = read_text(bytes).unwrap();
        let rows = read.slides.into_iter().map(|slide| {
            let id = slide.id.map(|id| id.as_str().to_owned());
            (slide.path.to_string_lossy().into_owned(), id, slide.mpp.map(Mpp::get))
        });
        rows.collect()
    }

    #[test]
    fn lists_of_the_field_are_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/cases/lists");
        if !folder.is_dir() {
            eprintln!("skipped: ../shared/cases is absent");
            return;
        }
        let (a, b) = ("in put/a.svs".to_owned(), "in put/b.svs".to_owned());
        let both = |mpp: Option<f64>| vec![(a.clone(), None, mpp), (b.clone(), None, mpp)];
        let mut judged = 0;
        for (name, expected) in [
            ("semicolon_comma.csv", both(Some(0.25))),
            ("utf16.csv", both(Some(0.25))),
            ("tabs.csv", both(Some(0.25))),
            ("header_capital.csv", both(Some(0.25))),
            ("trident_wsi_mpp.csv", both(Some(0.25))),
            ("backslash.csv", both(Some(0.25))),
            ("extra_columns.csv", both(None)),
            ("bom_crlf.csv", vec![(a.clone(), None, Some(0.25)), (b.clone(), None, None)]),
        ] {
            assert_eq!(rows(&fs::read(folder.join(name)).unwrap()), expected, "{name}");
            judged += 1;
        }
        // Pandas turns such ids into other ids.
        let numbers = read_text(&fs::read(folder.join("numeric_ids.csv")).unwrap()).unwrap_err().to_string();
        assert!(numbers.contains("line 2: slide id \"001\""), "{numbers}");
        assert_eq!(judged + 1, fs::read_dir(&folder).unwrap().count(), "every list is judged");
        let extra = read_text(&fs::read(folder.join("extra_columns.csv")).unwrap()).unwrap();
        assert_eq!(extra.unused, ["patient", "stain"]);
        assert!(extra.slides.iter().all(|slide| slide.columns.keys().eq(["patient", "stain"])));
    }

    #[test]
    fn separators_encodings_and_old_paths_are_understood() {
        assert_eq!(rows(b"sep=;\r\npath;mpp\r\nx.svs;0,5\r\n"), [("x.svs".into(), None, Some(0.5))]);
        assert_eq!(rows(b"path\nx.svs\n\n"), [("x.svs".into(), None, None)]);
        assert_eq!(rows(b"path\nH\xf6he.svs\n"), [("Höhe.svs".into(), None, None)]);
        assert_eq!(
            rows(b"# of tonight\nslide path,Slide ID\n\"a;b.svs\",c-7\n"),
            [("a;b.svs".into(), Some("c-7".into()), None)]
        );
        let utf16: Vec<u8> = "path\tmpp\nx.svs\t0,25\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(rows(&[b"\xfe\xff", &utf16[..]].concat()), [("x.svs".into(), None, Some(0.25))]);
        assert_eq!(rows(&utf16), [("x.svs".into(), None, Some(0.25))]);
        assert_eq!(from_windows_1252(0x80), '€');
    }

    #[test]
    fn what_could_mean_two_things_is_refused_in_one_line() {
        for (text, expected) in [
            ("path,mpp\na.svs,0\n", "line 2: mpp is 0"),
            ("path,override_mpp\na.svs,9\n", "line 2: mpp is 9"),
            ("path,mpp\na.svs,fine\n", "line 2: mpp is \"fine\""),
            ("path,id\na.svs,../x\n", "line 2: slide id"),
            ("path,map_range\na.svs,9:3\n", "\"9:3\" is no range"),
            ("path,scale\na.svs,1\n", "the column \"scale\" may state the size of a pixel"),
            ("slide,file\na.svs,b.svs\n", "both \"slide\" and \"file\" could be the column path"),
            ("path,stain,stain\na.svs,HE,HE\n", "two columns are called \"stain\""),
            ("name,stain\na,HE\n", "no column of paths among \"name, stain\""),
            ("path,mpp\na.svs,0,25\n", "line 2: 3 columns, expected 2"),
            ("path,mpp\n,0.25\n", "line 2: no path"),
        ] {
            let error = read_text(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains('\n') && error.ends_with("l.csv"), "{error}");
        }
        assert_eq!(read_text(b"path,mpp,scale\na.svs,0.25,1\n").unwrap().unused, ["scale"]);
    }
}
