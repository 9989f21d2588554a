//! Pictures as files.

use std::path::Path;

use anyhow::Context as _;
use wsi_types::RgbBuffer;

/// Writes a picture as PNG; the file appears whole or not at all.
///
/// # Errors
///
/// When the picture has no pixels or the file cannot be written.
pub fn write_png(path: &Path, picture: &RgbBuffer) -> anyhow::Result<()> {
    whole_file::write(path, |file| -> anyhow::Result<()> {
        let (width, height) = (u32::try_from(picture.width())?, u32::try_from(picture.height())?);
        let mut encoder = png::Encoder::new(file, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(picture.bytes())?;
        Ok(writer.finish()?)
    })
    .map_err(Into::into)
    .flatten()
    .with_context(|| format!("cannot write the picture: {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_survive() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("a b ä.png");
        write_png(&path, &RgbBuffer::filled(3, 2, [9, 8, 7])).expect("written");
        let file = std::fs::File::open(&path).expect("open");
        let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().expect("PNG");
        let mut bytes = vec![0; 18];
        reader.next_frame(&mut bytes).expect("pixels");
        assert_eq!(bytes, [9, 8, 7].repeat(6));
    }
}
