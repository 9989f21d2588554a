//! Zip archives of annotation files, as QuPath reads and writes them.

use std::{
    fs::File,
    io::{self, BufReader, Read as _},
    path::{Path, PathBuf},
};

use zip::ZipArchive;

use super::{
    bytes::read_bytes,
    files::{Source, TEXTS, has_ending, image_name, malformed},
    reading::{Reading, Together},
    settings::ReadSettings,
};
use crate::{EvalError, error::Result};

const FORMAT: &str = "zip";

/// Reads every member that is an annotation file by its name. A single one is about the image named like the
/// archive; several are each about the image named like the member.
pub(super) fn read(source: &Source<'_>, settings: &ReadSettings) -> Result<Reading> {
    let file = File::open(source.path)
        .map_err(|error| EvalError::Read { source: error, path: source.path.to_owned() })?;
    let mut archive = ZipArchive::new(BufReader::new(file))
        .map_err(|error| malformed(FORMAT, "directory", error.to_string(), source.path))?;
    let wanted: Vec<(usize, String)> =
        wanted(&archive).map_err(|error| malformed(FORMAT, "directory", error.to_string(), source.path))?;
    let mut together = Together::default();
    for (place, name) in &wanted {
        let bytes = unpacked(&mut archive, *place)
            .map_err(|error| malformed(FORMAT, format!("member {name}"), error.to_string(), source.path))?;
        let inside = source.path.join(name);
        let own = if wanted.len() == 1 { source.image.clone() } else { member_image(source, name) };
        match read_bytes(bytes, &Source { path: &inside, image: own }, settings) {
            Ok(reading) => together.add(reading, &inside)?,
            // A list of slides beside the annotations, say.
            Err(EvalError::UnknownFormat { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    if together.files() == 0 {
        return Err(EvalError::UnknownFormat { path: source.path.to_owned() });
    }
    Ok(together.finish())
}

/// Name of the image that a member is about: the archive stands for the folder its members lie in.
fn member_image(source: &Source<'_>, name: &str) -> String {
    image_name(&PathBuf::from(&source.image).join(name))
}

/// Place and name of each member that is to be read.
fn wanted(archive: &ZipArchive<BufReader<File>>) -> io::Result<Vec<(usize, String)>> {
    let mut wanted = Vec::new();
    for place in 0..archive.len() {
        let name = archive.name_for_index(place).transpose()?.unwrap_or_default();
        if is_wanted(&name) {
            wanted.push((place, name.into_owned()));
        }
    }
    Ok(wanted)
}

/// `false` for files that macOS adds.
fn is_wanted(name: &str) -> bool {
    let path = Path::new(name);
    let hidden = path.iter().any(|part| part.to_string_lossy().starts_with('.'));
    has_ending(path, &TEXTS) && !hidden && !name.starts_with("__MACOSX/")
}

/// A member, unpacked; the library checks its checksum. What unpacks to more than the archive says is refused as soon as
/// it does.
fn unpacked(archive: &mut ZipArchive<BufReader<File>>, place: usize) -> io::Result<Vec<u8>> {
    let member = archive.by_index(place)?;
    let size = member.size();
    let mut bytes = Vec::new();
    member.take(size.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != size {
        return Err(io::Error::other(format!(
            "it unpacks to {} bytes or more, expected {size}",
            bytes.len()
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

    use super::*;
    use crate::names::stem;

    /// An archive of files, every second one deflated.
    fn zipped(files: &[(&str, &str)]) -> Vec<u8> {
        let mut archive = ZipWriter::new(io::Cursor::new(Vec::new()));
        for (place, (name, text)) in files.iter().enumerate() {
            let method = if place % 2 == 0 { CompressionMethod::Deflated } else { CompressionMethod::Stored };
            archive.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
            archive.write_all(text.as_bytes()).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    fn reading(archive: &[u8]) -> Result<Reading> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slide-7.zip");
        fs::write(&path, archive).unwrap();
        super::super::read(&path, &ReadSettings::default())
    }

    const POINT: &str = r#"[{"geometry":{"type":"Point","coordinates":[1,2]}}]"#;

    #[test]
    fn the_only_member_is_about_the_image_the_archive_is_called_after() {
        let set = reading(&zipped(&[("objects.geojson", POINT), ("notes.txt", "no")])).unwrap().set;
        assert_eq!((stem(&set.images[0].name), set.objects.len()), ("slide-7", 1));
    }

    #[test]
    fn several_members_are_images_of_their_own() {
        let files = [("a.geojson", POINT), ("b.csv", "x,y\n1,2\n"), ("__MACOSX/._a.geojson", "?")];
        let set = reading(&zipped(&files)).unwrap().set;
        let names: Vec<&str> = set.images.iter().map(|image| stem(&image.name)).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn a_damaged_archive_is_refused_wherever_it_is_damaged() {
        let whole = zipped(&[("objects.geojson", POINT)]);
        for end in 4..whole.len() {
            assert!(reading(&whole[..end]).is_err(), "cut at {end}");
        }
        let mut wrong = whole.clone();
        // In the packed bytes.
        wrong[30 + "objects.geojson".len() + 5] ^= 0x10;
        let message = reading(&wrong).unwrap_err().to_string();
        assert!(message.contains("bad zip, member objects.geojson"), "{message}");
        assert!(matches!(reading(&zipped(&[("a.txt", "x")])), Err(EvalError::UnknownFormat { .. })));
    }
}
