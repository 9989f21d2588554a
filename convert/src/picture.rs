//! Pictures of parts of a slide, as tools that annotate pictures want them: small, and of few objects each.

use wsi_types::Level0Point;

/// Side of the part of level 0 whose cells a picture is about, px. A power of two: along the Hilbert curve of our tables
/// the cells of such a part follow each other.
const PART_PX: u32 = 512;
/// Level-0 px that a picture shows around its part, so that nothing in it is cut.
const MARGIN_PX: u32 = 64;

/// A picture: its left, top, width and height in level-0 px.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) left: u32,
    pub(crate) top: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Picture {
    /// The one that an object at `centroid` is annotated on, of a slide of `slide_px`.
    pub(crate) fn around(centroid: Level0Point, slide_px: [u32; 2]) -> Self {
        let [(left, width), (top, height)] =
            [(centroid.x, slide_px[0]), (centroid.y, slide_px[1])].map(|(at, length)| extent(at, length));
        Self { left, top, width, height }
    }

    /// The name of its file, for the slide `id`.
    pub(crate) fn name(&self, id: &str) -> String {
        let Self { left, top, width, height } = self;
        format!("{id}_{left}_{top}_{width}_{height}.png")
    }

    /// The picture of that name, whatever is before its numbers and wherever it lies.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let (stem, _) = name.rsplit_once('.')?;
        let mut numbers = stem.rsplit('_').map(str::parse::<u32>);
        let [height, width, top, left] = std::array::from_fn(|_| numbers.next()?.ok());
        Some(Self { left: left?, top: top?, width: width?, height: height? })
            .filter(|picture| picture.width > 0 && picture.height > 0)
    }

    pub(crate) fn corner(&self) -> Level0Point {
        Level0Point::new(f64::from(self.left), f64::from(self.top))
    }
}

/// Begin and length along one axis.
fn extent(at: f64, length: u32) -> (u32, u32) {
    let last = length.saturating_sub(1);
    let part = (at.clamp(0.0, f64::from(last)) as u32) / PART_PX * PART_PX;
    let from = part.saturating_sub(MARGIN_PX);
    let to = part.saturating_add(PART_PX + MARGIN_PX).min(length.max(1));
    (from, to - from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(x: f64, y: f64) -> Picture {
        Picture::around(Level0Point::new(x, y), [1500, 700])
    }

    #[test]
    fn pictures_show_a_margin_within_the_slide() {
        assert_eq!(around(10.0, 511.9), Picture { left: 0, top: 0, width: 576, height: 576 });
        assert_eq!(around(512.0, 512.0), Picture { left: 448, top: 448, width: 640, height: 252 });
        assert_eq!(around(-3.0, 9_000.0), Picture { left: 0, top: 448, width: 576, height: 252 });
        assert_eq!(around(1499.0, 0.0), Picture { left: 960, top: 0, width: 540, height: 576 });
    }

    #[test]
    fn a_name_tells_the_place() {
        let picture = around(512.0, 512.0);
        let name = picture.name("s_1");
        assert_eq!(Picture::from_name(&name), Some(picture));
        assert_eq!(Picture::from_name(&format!("/data/upload/2/{name}")), Some(picture));
        for other in ["slide.png", "a_1_2_3.png", "a_1_2_0_4.png", "1_2_3_4"] {
            assert_eq!(Picture::from_name(other), None, "{other}");
        }
    }
}
