//! Raw frames hold no word on their size: whether rows of px fit together as they were cut tells whether the size that
//! was stated is what the camera has.

use wsi_types::RgbBuffer;

/// Distance of the two px of a row whose difference is an edge.
const EDGE_PX: usize = 8;
/// Distance within a row up to which edges are alike for being neighbours.
const NEAR_PX: usize = 32;
/// Widest row that is looked for, as a multiple of the width that was stated.
const WIDEST: usize = 4;
/// Edges that are compared at each distance.
const SAMPLES: usize = 3000;
/// Correlation of the edges of two rows from which on one lies below the other, and up to which it does not.
const ALIKE: f64 = 0.4;
const STRANGE: f64 = 0.2;
/// Frames after which no more is looked at: nothing of them can be told.
const MOST_FRAMES: u32 = 60;

/// Judges the stated size by the first frames in which there is something to see.
#[derive(Debug, Default)]
pub(crate) struct SizeCheck {
    /// The last row of the frame before, if its rows fit together.
    last_row: Option<Vec<u8>>,
    looked: u32,
}

impl SizeCheck {
    /// The fault of the stated size, in words, if a frame shows one.
    pub(crate) fn fault(&mut self, frame: &RgbBuffer) -> Option<String> {
        let (width, height) = (frame.width(), frame.height());
        if self.looked >= MOST_FRAMES || height < 4 || width < 4 * NEAR_PX {
            return None;
        }
        self.looked += 1;
        let edges = Edges::of(frame);
        if let Some(found) = better_width(&edges, width) {
            return Some(format!("its rows do not fit together at a width of {width} px, but at {found} px"));
        }
        if edges.alike(width) < ALIKE {
            self.last_row = None;
            return None;
        }
        if is_cut_in_the_middle(frame) {
            return Some(format!(
                "its lower half does not go on where the upper ends: it may be {} px high",
                height / 2
            ));
        }
        let before = self.last_row.replace(frame.row(height - 1).to_vec())?;
        if rows_alike(&before, frame.row(0)) >= ALIKE
            && rows_alike(frame.row(0), frame.row(height / 2)) < STRANGE
        {
            return Some(format!(
                "it goes on where the frame before ends: frames are higher than {height} px"
            ));
        }
        self.looked = MOST_FRAMES;
        None
    }
}

/// Differences of neighbouring px, row after row: brightness that changes slowly over the field plays no part in them.
struct Edges(Vec<i16>);

impl Edges {
    fn of(frame: &RgbBuffer) -> Self {
        Self(edges(frame.bytes()))
    }

    /// Correlation of edges that lie this many px apart, row after row; 0 where there are none.
    fn alike(&self, distance_px: usize) -> f64 {
        let pairs = self.0.len().saturating_sub(3 * distance_px);
        // An odd step meets all columns and colours.
        let step = (pairs / SAMPLES).max(1) | 1;
        correlation((0..pairs).step_by(step).map(|at| (self.0[at], self.0[at + 3 * distance_px])))
    }
}

fn edges(bytes: &[u8]) -> Vec<i16> {
    bytes
        .iter()
        .zip(&bytes[(3 * EDGE_PX).min(bytes.len())..])
        .map(|(a, b)| i16::from(*a) - i16::from(*b))
        .collect()
}

fn correlation(pairs: impl Iterator<Item = (i16, i16)>) -> f64 {
    let (mut both, mut ones, mut others) = (0.0, 0.0, 0.0);
    for (one, other) in pairs.map(|(one, other)| (f64::from(one), f64::from(other))) {
        both += one * other;
        ones += one * one;
        others += other * other;
    }
    if ones > 0.0 && others > 0.0 { both / (ones * others).sqrt() } else { 0.0 }
}

fn rows_alike(one: &[u8], other: &[u8]) -> f64 {
    correlation(edges(one).into_iter().zip(edges(other)))
}

/// The width at which rows fit together, where it is another one than was stated.
fn better_width(edges: &Edges, width: usize) -> Option<usize> {
    let stated = edges.alike(width);
    let widths = (NEAR_PX..=WIDEST * width).step_by(2).filter(|other| other.abs_diff(width) > NEAR_PX);
    let found =
        widths.map(|other| (edges.alike(other), other)).max_by(|one, other| one.0.total_cmp(&other.0));
    let (best, found) = found.filter(|(best, _)| *best >= ALIKE)?;
    let is_better = match found {
        // Every second row: of a field that moves while its rows are read in turn, or of rows that are half as wide.
        _ if found > width => stated < STRANGE,
        _ if width.is_multiple_of(found) => best > stated,
        _ => best > stated + STRANGE,
    };
    is_better.then_some(found)
}

fn is_cut_in_the_middle(frame: &RgbBuffer) -> bool {
    let middle = frame.height() / 2;
    let steps = [middle - 2, middle - 1, middle].map(|row| rows_alike(frame.row(row), frame.row(row + 1)));
    frame.height().is_multiple_of(2) && steps[0] >= ALIKE && steps[1] < STRANGE && steps[2] >= ALIKE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number of 0 to 127 for each place of a lattice.
    fn height(column: usize, row: usize) -> usize {
        (column.wrapping_mul(2_654_435_761) ^ row.wrapping_mul(40_503)).wrapping_mul(2_246_822_519) >> 13
            & 127
    }

    /// Bytes of `frames` fields of `width` × `height` px: hills some px wide, smooth as optics make them.
    fn camera(width: usize, height_px: usize, frames: usize) -> Vec<u8> {
        let places = (0..frames).flat_map(|frame| (0..height_px).map(move |y| (frame, y)));
        let px = places.flat_map(|(frame, y)| (0..width).map(move |x| (x + 13 * frame, y + 200 * frame)));
        px.flat_map(|(x, y)| {
            let (column, row, right, down) = (x / 11, y / 9, x % 11, y % 9);
            let upper = height(column, row) * (11 - right) + height(column + 1, row) * right;
            let lower = height(column, row + 1) * (11 - right) + height(column + 1, row + 1) * right;
            [((upper * (9 - down) + lower * down) / 99 + 60) as u8; 3]
        })
        .collect()
    }

    /// What is said of the first frames of a camera when they are read as `width` × `height` px.
    fn said(bytes: &[u8], width: usize, height: usize) -> Option<String> {
        let mut check = SizeCheck::default();
        bytes.chunks_exact(width * height * 3).find_map(|chunk| {
            let mut frame = RgbBuffer::default();
            frame.reset(width, height);
            frame.bytes_mut().copy_from_slice(chunk);
            check.fault(&frame)
        })
    }

    #[test]
    fn the_size_that_the_camera_has_is_taken() {
        for (width, height) in [(320, 240), (256, 256), (640, 120)] {
            assert_eq!(said(&camera(width, height, 3), width, height), None, "{width} × {height}");
        }
    }

    #[test]
    fn sizes_that_divide_a_frame_evenly_and_are_wrong_are_told() {
        let bytes = camera(320, 240, 4);
        for (width, height, part) in [
            (160, 120, "at 320 px"),
            (160, 480, "at 320 px"),
            (640, 120, "at 320 px"),
            (640, 480, "at 320 px"),
            (240, 320, "at 320 px"),
            (384, 200, "at 320 px"),
            (320, 480, "it may be 240 px high"),
            (320, 120, "higher than 120 px"),
            (320, 80, "higher than 80 px"),
        ] {
            let told = said(&bytes, width, height).unwrap_or_default();
            assert!(told.contains(part), "{width} × {height}: {told:?}");
        }
    }

    /// Pairs of fields of H&E, 512 px each: none is refused at its size, nearly all are at others.
    #[test]
    fn fields_of_tissue_are_judged_by_their_rows() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/nuclei/tnbc/dev");
        let Ok(entries) = std::fs::read_dir(&folder) else {
            eprintln!("skipped: ../shared/nuclei is absent");
            return;
        };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path().join("image.png")).collect();
        paths.sort();
        let (mut tried, mut told) = (0, 0);
        for pair in paths.as_chunks::<2>().0 {
            let bytes: Vec<u8> = (pair.iter())
                .flat_map(|path| {
                    let slide = wsi_reader::open(path).unwrap();
                    wsi_reader::Overview::whole(&*slide, 512).pixels.bytes().to_vec()
                })
                .collect();
            assert_eq!((bytes.len(), said(&bytes, 512, 512)), (2 * 512 * 512 * 3, None), "{pair:?}");
            for (width, height) in [(256, 256), (1024, 256), (512, 256), (512, 1024)] {
                tried += 1;
                told += usize::from(said(&bytes, width, height).is_some());
            }
        }
        assert!(tried >= 20 && told * 10 >= tried * 9, "{told} of {tried}");
    }

    #[test]
    fn fields_that_tell_nothing_are_taken_as_stated() {
        assert_eq!(said(&vec![230; 320 * 240 * 3 * 2], 160, 120), None);
        let mut dice = crate::dice::Dice::new(5);
        let noise: Vec<u8> = (0..320 * 240 * 3 * 2).map(|_| dice.range(200.0, 240.0) as u8).collect();
        assert_eq!(said(&noise, 160, 120), None);
        // Brightness that falls off towards the corners alone, and columns of a sensor that differ.
        let columns = (0..320 * 240 * 2).flat_map(|px| [(180 + (px % 320) * 7 % 23) as u8; 3]);
        assert_eq!(said(&columns.collect::<Vec<u8>>(), 320, 240), None);
    }
}
