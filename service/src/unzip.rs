//! A zip of one slide: the files of a DICOM series, or one picture.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use zip::{ZipArchive, read::ZipFile};

use crate::problem::{Kind, Problem};

/// Files in an archive.
const MOST_FILES: usize = 10_000;
/// Bytes unpacked for each byte packed. Deflate reaches 1,032; pictures are packed already.
const MOST_RATIO: u64 = 200;
/// Of what unpacks to less, the ratio says nothing.
const SMALL: u64 = 1 << 20;

/// `true` if a file begins as a zip does.
pub(crate) fn is_zip(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut head)?;
    // The first file, or the end of an archive of none.
    Ok(head == b"PK\x03\x04" || head == b"PK\x05\x06")
}

/// Unpacks an archive into the new folder `into`, at most `limit` bytes. Files get numbers for names, so that no name of
/// the archive reaches the disk. Gives the slide: the only file, or the folder.
///
/// # Errors
///
/// A [`Problem`] for what is no zip, or asks for too much.
pub(crate) fn unzip(archive: &Path, into: &Path, limit: u64) -> Result<PathBuf, Problem> {
    let file = File::open(archive).map_err(|error| failed(&error))?;
    let mut archive = ZipArchive::new(io::BufReader::new(file))
        .map_err(|error| refused(format!("the zip cannot be read: {error}")))?;
    if archive.len() > MOST_FILES {
        return Err(refused(format!("the zip has {} entries, expected at most {MOST_FILES}", archive.len())));
    }
    whole_file::make_private_folder(into).map_err(|error| failed(&error))?;
    let (mut files, mut left) = (Vec::new(), limit);
    for place in 0..archive.len() {
        let entry = archive.by_index(place);
        let entry = entry.map_err(|error| refused(format!("entry {place} of the zip: {error}")))?;
        if entry.is_dir() {
            continue;
        }
        check_name(&entry).map_err(|problem| refused(format!("entry {place} of the zip {problem}")))?;
        // OpenSlide looks for files of this suffix beside the one it opens.
        let path = into.join(format!("{:05}.dcm", files.len()));
        left -= unpack(entry, place, &path, left, limit)?;
        files.push(path);
    }
    match files.as_slice() {
        [] => Err(refused("the zip holds no file, expected those of one slide")),
        [only] => Ok(only.clone()),
        _ => Ok(into.to_owned()),
    }
}

/// Names are not used; one that leads elsewhere is the sign of an attack, and a link is no slide.
fn check_name(entry: &ZipFile<'_, impl Read>) -> Result<(), &'static str> {
    let name = entry.name().map_err(|_| "has a name that is no text")?;
    let leads_out = name.split(['/', '\\']).any(|part| part == "..");
    if leads_out || name.starts_with(['/', '\\']) || name.contains(':') || name.contains('\0') {
        return Err("has a name that leads out of it");
    }
    if entry.is_symlink() {
        return Err("is a link, expected files alone");
    }
    Ok(())
}

/// Unpacks one file; gives its bytes.
fn unpack(
    entry: ZipFile<'_, impl Read>,
    place: usize,
    path: &Path,
    left: u64,
    limit: u64,
) -> Result<u64, Problem> {
    // Sizes that the archive states may be false: bytes are counted as they come.
    let most_of_packed = entry.compressed_size().saturating_mul(MOST_RATIO).max(SMALL);
    let most = left.min(most_of_packed);
    let mut out = whole_file::private_options()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(|error| failed(&error))?;
    let bytes = io::copy(&mut entry.take(most + 1), &mut out).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            refused(format!("entry {place} of the zip is damaged: {error}"))
        }
        _ => failed(&error),
    })?;
    if bytes > most_of_packed {
        return Err(refused(format!(
            "entry {place} of the zip unpacks to more than {MOST_RATIO} times its size: that is no slide"
        )));
    }
    if bytes > left {
        return Err(refused(format!("the zip unpacks to more than {limit} bytes, which is the limit here")));
    }
    Ok(bytes)
}

fn refused(detail: impl Into<String>) -> Problem {
    Problem::new(Kind::Unusable, detail)
}

fn failed(error: &io::Error) -> Problem {
    crate::upload::unwritten(error)
}

/// Removes an archive that was unpacked.
pub(crate) fn remove(archive: &Path) -> Result<(), Problem> {
    fs::remove_file(archive).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

    use super::*;

    fn archive(folder: &Path, files: &[(&str, Vec<u8>)]) -> PathBuf {
        let path = folder.join("archive");
        let mut writer = ZipWriter::new(File::create(&path).unwrap());
        let deflated = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        for (name, bytes) in files {
            writer.start_file(*name, deflated).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap();
        assert!(is_zip(&path).unwrap());
        path
    }

    fn unzipped(files: &[(&str, Vec<u8>)], limit: u64) -> Result<usize, String> {
        let folder = tempfile::tempdir().unwrap();
        let archive = archive(folder.path(), files);
        let into = folder.path().join("into");
        let slide = unzip(&archive, &into, limit);
        assert!(fs::read_dir(folder.path()).unwrap().count() <= 2, "nothing lies beside");
        let slide = slide.map_err(|problem| format!("{problem:?}"))?;
        Ok(if slide.is_dir() { fs::read_dir(slide).unwrap().count() } else { 1 })
    }

    fn noise(bytes: usize) -> Vec<u8> {
        let mut state = 1_u32;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(bytes)
        .collect()
    }

    #[test]
    fn a_series_becomes_a_folder_and_a_picture_a_file() {
        let series = [("case/1.dcm", noise(9)), ("case/2.dcm", noise(9))];
        assert_eq!(unzipped(&series, 100), Ok(2));
        assert_eq!(unzipped(&[("Miller John.png", noise(9))], 100), Ok(1));
    }

    #[test]
    fn what_asks_for_too_much_or_leads_out_is_refused() {
        for (files, limit, said) in [
            (vec![("../x.dcm", noise(9))], 100, "leads out"),
            (vec![("a/../../x.dcm", noise(9))], 100, "leads out"),
            (vec![("/etc/x.dcm", noise(9))], 100, "leads out"),
            (vec![("c:\\x.dcm", noise(9))], 100, "leads out"),
            (vec![("a", noise(60)), ("b", noise(60))], 100, "more than 100 bytes"),
            (vec![("bomb", vec![0; 30 << 20])], 1 << 30, "200 times its size"),
            (vec![], 100, "no file"),
        ] {
            let problem = unzipped(&files, limit).unwrap_err();
            assert!(problem.contains(said), "{problem}");
        }
    }

    #[test]
    fn what_is_no_zip_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("no.zip");
        fs::write(&path, b"PK\x03\x04 and then nothing").unwrap();
        let problem = unzip(&path, &folder.path().join("into"), 100).unwrap_err();
        assert_eq!(problem.status(), 422);
    }
}
