//! Pictures as files.

use std::path::{Path, PathBuf};

use dataset::jpeg_bytes;
use wsi_types::RgbBuffer;

use crate::error::ReportError;

/// Path and format of a picture to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureFile {
    path: PathBuf,
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Png,
    Jpeg,
}

impl PictureFile {
    /// Takes the format from the suffix: `.png`, `.jpg` or `.jpeg`. A device or pipe gets a PNG.
    ///
    /// # Errors
    ///
    /// [`ReportError::PictureSuffix`] for any other.
    pub fn new(path: PathBuf) -> Result<Self, ReportError> {
        let suffix = path.extension().map(|suffix| suffix.to_string_lossy().to_lowercase());
        let format = match suffix.as_deref() {
            Some("png") => Format::Png,
            Some("jpg" | "jpeg") => Format::Jpeg,
            _ if is_device(&path) => Format::Png,
            _ => return Err(ReportError::PictureSuffix { path }),
        };
        Ok(Self { path, format })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a picture; the file appears whole or not at all.
    ///
    /// # Errors
    ///
    /// When the picture has no pixels, or more than the format can have, or the file cannot be written.
    pub fn write(&self, picture: &RgbBuffer) -> Result<(), ReportError> {
        let bytes = match self.format {
            Format::Png => png_bytes(picture)?,
            Format::Jpeg => jpeg_bytes("the picture", picture)?,
        };
        whole_file::write_bytes(&self.path, &bytes)
            .map_err(|error| ReportError::WritePicture { reason: error.to_string(), path: self.path.clone() })
    }
}

/// `true` if something is there that is neither a file nor a folder.
fn is_device(path: &Path) -> bool {
    path.metadata().is_ok_and(|facts| !facts.is_file() && !facts.is_dir())
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
        let file = PictureFile::new(path.clone()).expect("a suffix that is known");
        file.write(&RgbBuffer::filled(3, 2, [9, 8, 7])).expect("written");
        let file = std::fs::File::open(&path).expect("open");
        let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().expect("PNG");
        let mut bytes = vec![0; 18];
        reader.next_frame(&mut bytes).expect("pixels");
        assert_eq!(bytes, [9, 8, 7].repeat(6));
    }

    /// `-o x.jpg` wrote a PNG.
    #[test]
    fn the_suffix_decides_the_format() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let written = |name: &str| {
            let file = PictureFile::new(folder.path().join(name)).expect("a suffix that is known");
            file.write(&RgbBuffer::filled(30, 20, [200, 120, 160])).expect("written");
            std::fs::read(file.path()).expect("bytes")
        };
        assert!(
            written("a.jpg").starts_with(&[0xff, 0xd8, 0xff]) && written("a.JPEG").starts_with(&[0xff, 0xd8])
        );
        assert!(written("a.PNG").starts_with(b"\x89PNG"));
    }

    #[test]
    fn other_suffixes_are_refused() {
        for name in ["a.tif", "a", ".png", "a.png.gz"] {
            let refused = PictureFile::new(name.into()).expect_err("no format").to_string();
            let expected =
                "cannot tell the format of the picture, expected a name that ends in .png, .jpg or .jpeg: ";
            assert_eq!(refused, format!("{expected}{name}"));
        }
    }
}
