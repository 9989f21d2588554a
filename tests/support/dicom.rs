//! A whole-slide image as DICOM (PS3.3, A.32.8): explicit VR, little endian, tiles as they are.

use std::{fs::File, io::BufReader, path::Path};

/// Side of a tile, px.
const TILE: usize = 256;
/// Of a picture: it is painted at 0.5 µm/px.
const MM_PER_PX: f64 = 0.0005;

/// Identifiers of a file.
pub(crate) struct Names<'a> {
    pub(crate) study: &'a str,
    pub(crate) series: &'a str,
    pub(crate) instance: &'a str,
    pub(crate) patient: &'a str,
}

/// A level of a slide: RGB, row by row.
pub(crate) struct Level {
    size: [usize; 2],
    rgb: Vec<u8>,
    mm_per_px: f64,
}

impl Level {
    /// A picture of 0.5 µm/px.
    pub(crate) fn of_png(path: &Path) -> Self {
        let file = BufReader::new(File::open(path).expect("the picture is there"));
        let mut reader = png::Decoder::new(file).read_info().expect("a PNG");
        let mut rgb = vec![0; reader.output_buffer_size().expect("its size")];
        let frame = reader.next_frame(&mut rgb).expect("its pixels");
        assert_eq!(frame.color_type, png::ColorType::Rgb);
        Self { size: [frame.width as usize, frame.height as usize], rgb, mm_per_px: MM_PER_PX }
    }

    pub(crate) fn size_px(&self) -> [usize; 2] {
        self.size
    }

    /// Every other pixel.
    pub(crate) fn half(&self) -> Self {
        let [width, height] = self.size.map(|side| side / 2);
        let places = (0..height).flat_map(|y| (0..width).map(move |x| [2 * x, 2 * y]));
        let rgb = places.flat_map(|place| self.at(place)).collect();
        Self { size: [width, height], rgb, mm_per_px: 2.0 * self.mm_per_px }
    }

    /// White beyond the edge.
    fn at(&self, [x, y]: [usize; 2]) -> [u8; 3] {
        let [width, height] = self.size;
        if x >= width || y >= height {
            return [255; 3];
        }
        let at = 3 * (y * width + x);
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }

    /// Its tiles, row by row.
    fn tiles(&self) -> (usize, Vec<u8>) {
        let [across, down] = self.size.map(|side| side.div_ceil(TILE));
        let corners = (0..down).flat_map(|row| (0..across).map(move |column| [column * TILE, row * TILE]));
        let places = corners
            .flat_map(|[left, top]| (0..TILE).flat_map(move |y| (0..TILE).map(move |x| [left + x, top + y])));
        (across * down, places.flat_map(|place| self.at(place)).collect())
    }

    /// The file of the level.
    pub(crate) fn file(&self, names: Names<'_>) -> Vec<u8> {
        const CLASS: &str = "1.2.840.10008.5.1.4.1.1.77.1.6";
        let (frames, pixels) = self.tiles();
        let [width, height] = self.size.map(|side| side as u32);
        let spacing = format!("{0}\\{0}", self.mm_per_px);
        let measures = item(&[text(0x0028, 0x0030, b"DS", &spacing)].concat());
        let shared = item(&element(0x0028, 0x9110, b"SQ", &measures));
        let object = [
            text(0x0008, 0x0008, b"CS", "ORIGINAL\\PRIMARY\\VOLUME\\NONE"),
            text(0x0008, 0x0016, b"UI", CLASS),
            text(0x0008, 0x0018, b"UI", names.instance),
            text(0x0008, 0x0060, b"CS", "SM"),
            text(0x0010, 0x0010, b"PN", names.patient),
            text(0x0020, 0x000d, b"UI", names.study),
            text(0x0020, 0x000e, b"UI", names.series),
            text(0x0020, 0x0052, b"UI", "1.2.9"),
            text(0x0020, 0x9311, b"CS", "TILED_FULL"),
            u16s(0x0028, 0x0002, 3),
            text(0x0028, 0x0004, b"CS", "RGB"),
            u16s(0x0028, 0x0006, 0),
            text(0x0028, 0x0008, b"IS", &frames.to_string()),
            u16s(0x0028, 0x0010, TILE as u16),
            u16s(0x0028, 0x0011, TILE as u16),
            u16s(0x0028, 0x0100, 8),
            u16s(0x0028, 0x0101, 8),
            u16s(0x0028, 0x0102, 7),
            u16s(0x0028, 0x0103, 0),
            element(0x0048, 0x0006, b"UL", &width.to_le_bytes()),
            element(0x0048, 0x0007, b"UL", &height.to_le_bytes()),
            element(0x5200, 0x9229, b"SQ", &shared),
            element(0x7fe0, 0x0010, b"OB", &pixels),
        ]
        .concat();
        file(CLASS, names, &object)
    }

    /// The same as a photograph without a scale: the last of so many frames, of which the others are white.
    pub(crate) fn photograph(&self, names: Names<'_>, frames: usize) -> Vec<u8> {
        const CLASS: &str = "1.2.840.10008.5.1.4.1.1.77.1.4";
        let [width, height] = self.size;
        let mut pixels = vec![255; (frames - 1) * self.rgb.len()];
        pixels.extend(&self.rgb);
        pixels.resize(pixels.len().next_multiple_of(2), 0);
        let object = [
            text(0x0008, 0x0016, b"UI", CLASS),
            text(0x0008, 0x0018, b"UI", names.instance),
            text(0x0008, 0x0060, b"CS", "XC"),
            text(0x0010, 0x0010, b"PN", names.patient),
            text(0x0020, 0x000d, b"UI", names.study),
            text(0x0020, 0x000e, b"UI", names.series),
            u16s(0x0028, 0x0002, 3),
            text(0x0028, 0x0004, b"CS", "RGB"),
            u16s(0x0028, 0x0006, 0),
            text(0x0028, 0x0008, b"IS", &frames.to_string()),
            u16s(0x0028, 0x0010, height as u16),
            u16s(0x0028, 0x0011, width as u16),
            u16s(0x0028, 0x0100, 8),
            u16s(0x0028, 0x0101, 8),
            u16s(0x0028, 0x0102, 7),
            u16s(0x0028, 0x0103, 0),
            element(0x7fe0, 0x0010, b"OB", &pixels),
        ]
        .concat();
        file(CLASS, names, &object)
    }
}

fn file(class: &str, names: Names<'_>, object: &[u8]) -> Vec<u8> {
    let about = [
        element(0x0002, 0x0001, b"OB", &[0, 1]),
        text(0x0002, 0x0002, b"UI", class),
        text(0x0002, 0x0003, b"UI", names.instance),
        text(0x0002, 0x0010, b"UI", "1.2.840.10008.1.2.1"),
        text(0x0002, 0x0012, b"UI", "1.2.3.4"),
    ]
    .concat();
    let length = element(0x0002, 0x0000, b"UL", &(about.len() as u32).to_le_bytes());
    [&[0; 128][..], b"DICM", &length, &about, object].concat()
}

fn item(content: &[u8]) -> Vec<u8> {
    [&[0xfe, 0xff, 0x00, 0xe0][..], &(content.len() as u32).to_le_bytes(), content].concat()
}

fn u16s(group: u16, number: u16, value: u16) -> Vec<u8> {
    element(group, number, b"US", &value.to_le_bytes())
}

/// Text, filled up to an even length.
fn text(group: u16, number: u16, vr: &[u8; 2], value: &str) -> Vec<u8> {
    let fill = if vr == b"UI" { 0 } else { b' ' };
    let mut value = value.as_bytes().to_vec();
    if value.len() % 2 == 1 {
        value.push(fill);
    }
    element(group, number, vr, &value)
}

fn element(group: u16, number: u16, vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
    let head = [group.to_le_bytes(), number.to_le_bytes(), *vr].concat();
    let length = match vr {
        b"OB" | b"SQ" => [&[0, 0][..], &(value.len() as u32).to_le_bytes()].concat(),
        _ => (value.len() as u16).to_le_bytes().to_vec(),
    };
    [head.as_slice(), &length, value].concat()
}
