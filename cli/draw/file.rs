//! Files that appear whole or not at all.

use std::{fs::File, io::BufWriter, path::Path};

use anyhow::Context as _;
use wsi_types::RgbBuffer;

/// Writes under a temporary name beside `path`, then renames.
pub(crate) fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    use std::io::Write as _;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".slidemill-").suffix(".tmp");
    #[cfg(unix)]
    {
        // As any program would create it: the user's umask decides.
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let temporary = builder.tempfile_in(folder)?;
    let mut buffered = BufWriter::with_capacity(1 << 20, temporary.as_file());
    write(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    Ok(())
}

/// Writes a picture as PNG; the file appears whole or not at all.
///
/// # Errors
///
/// When the picture has no pixels or the file cannot be written.
pub fn write_png(path: &Path, picture: &RgbBuffer) -> anyhow::Result<()> {
    write_whole(path, |file| {
        let (width, height) = (u32::try_from(picture.width())?, u32::try_from(picture.height())?);
        let mut encoder = png::Encoder::new(file, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(picture.bytes())?;
        Ok(writer.finish()?)
    })
    .with_context(|| format!("cannot write the picture: {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("a b ä.png");
        let failed = write_whole(&path, |_| anyhow::bail!("stop"));
        assert!(failed.is_err());
        assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 0);
        write_png(&path, &RgbBuffer::filled(3, 2, [9, 8, 7])).expect("written");
        let mut reader = png::Decoder::new(std::io::BufReader::new(File::open(&path).expect("open")))
            .read_info()
            .expect("PNG");
        let mut bytes = vec![0; 18];
        reader.next_frame(&mut bytes).expect("pixels");
        assert_eq!(bytes, [9, 8, 7].repeat(6));
        assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 1);
    }
}
