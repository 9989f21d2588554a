//! Zips of annotation files, as QuPath exports and imports them.

use std::{
    fs::File,
    io::{self, BufReader, Read as _},
    path::Path,
};

use eval::truth::{self, ReadSettings, Reading, Together};
use zip::ZipArchive;

use super::names::image_name;
use crate::error::{Result, malformed, unreadable};

const WHAT: &str = "the zip of annotations";

/// All members that hold annotations; at least one must.
pub(super) fn read(path: &Path, settings: &ReadSettings) -> Result<Reading> {
    let file = File::open(path).map_err(unreadable(WHAT, path))?;
    let mut archive =
        ZipArchive::new(BufReader::new(file)).map_err(|error| malformed(WHAT, error.to_string(), path))?;
    let folder = tempfile::tempdir().map_err(unreadable(WHAT, path))?;
    // All members are about one slide: that of the zip.
    let unpacked = folder.path().join(format!("{}.geojson", image_name(path)));
    let mut all = Together::default();
    for place in 0..archive.len() {
        let name = name_of(&archive, place).map_err(|error| malformed(WHAT, error.to_string(), path))?;
        if !holds_annotations(&name) {
            continue;
        }
        unpack(&mut archive, place, &unpacked)
            .map_err(|error| malformed(WHAT, format!("member {name}: {error}"), path))?;
        let reading = truth::read(&unpacked, settings)
            .map_err(|error| malformed(WHAT, format!("member {name}: {error}"), path))?;
        all.add_part(reading)?;
    }
    if all.files() == 0 {
        return Err(malformed(WHAT, "it holds no .geojson or .json, expected the objects of QuPath", path));
    }
    Ok(all.finish())
}

fn name_of(archive: &ZipArchive<BufReader<File>>, place: usize) -> io::Result<String> {
    Ok(archive.name_for_index(place).transpose()?.unwrap_or_default().into_owned())
}

fn holds_annotations(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with(".geojson") || name.ends_with(".json")
}

/// Copies a member to `target`; the library checks its checksum. What unpacks to more than the archive says is refused
/// as soon as it does.
fn unpack(archive: &mut ZipArchive<BufReader<File>>, place: usize, target: &Path) -> io::Result<()> {
    let mut member = archive.by_index(place)?;
    let size = member.size();
    let copied = io::copy(&mut member.by_ref().take(size.saturating_add(1)), &mut File::create(target)?)?;
    if copied != size {
        return Err(io::Error::other(format!("it unpacks to {copied} bytes or more, expected {size}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    const OBJECTS: &str = r#"{"type":"FeatureCollection","features":[{"type":"Feature","properties":{},
        "geometry":{"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,4],[0,0]]]}}]}"#;

    fn archive(members: &[&str]) -> Vec<u8> {
        let mut archive = ZipWriter::new(io::Cursor::new(Vec::new()));
        for name in members {
            archive.start_file(*name, SimpleFileOptions::default()).unwrap();
            archive.write_all(OBJECTS.as_bytes()).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    fn read_bytes(bytes: &[u8]) -> Result<Reading> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("objects.zip");
        fs::write(&path, bytes).unwrap();
        read(&path, &ReadSettings::default())
    }

    #[test]
    fn members_come_together_and_others_are_passed_over() {
        let reading = read_bytes(&archive(&["a.geojson", "notes.txt", "sub/b.JSON"])).unwrap();
        assert_eq!(reading.set.objects.len(), 2);
        assert!(read_bytes(&archive(&["notes.txt"])).unwrap_err().to_string().contains("no .geojson"));
    }

    #[test]
    fn damage_and_cuts_are_errors() {
        let whole = archive(&["a.geojson"]);
        let mut damaged = whole.clone();
        // Within the member: 30 bytes and its name come before it.
        damaged[60] ^= 0x55;
        assert!(read_bytes(&damaged).is_err());
        for cut in [10, whole.len() / 2, whole.len() - 1] {
            assert!(read_bytes(&whole[..cut]).is_err(), "cut at {cut}");
        }
    }
}
