//! Pictures as files.

use std::path::Path;

use wsi_types::RgbBuffer;

use crate::error::ReportError;

/// Writes a picture as PNG; the file appears whole or not at all.
///
/// # Errors
///
/// When the picture has no pixels or the file cannot be written.
pub fn write_png(path: &Path, picture: &RgbBuffer) -> Result<(), ReportError> {
    let reason = match whole_file::write(path, |file| encode(picture, file)) {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    Err(ReportError::WritePicture { reason, path: path.to_owned() })
}

/// A picture as the bytes of a PNG file.
///
/// # Errors
///
/// When the picture has no pixels.
pub fn png_bytes(picture: &RgbBuffer) -> Result<Vec<u8>, ReportError> {
    let mut bytes = Vec::new();
    encode(picture, &mut bytes)?;
    Ok(bytes)
}

fn encode(picture: &RgbBuffer, out: impl std::io::Write) -> Result<(), png::EncodingError> {
    let (Ok(width), Ok(height)) = (u32::try_from(picture.width()), u32::try_from(picture.height())) else {
        return Err(std::io::Error::other("a side is longer than a PNG can have").into());
    };
    let mut encoder = png::Encoder::new(out, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(picture.bytes())?;
    writer.finish()
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
