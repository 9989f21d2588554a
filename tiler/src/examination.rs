//! Checks whether a slide is of the kind that models for hematoxylin and eosin were made for, and whether its
//! scale fits its nuclei: one answer for all commands.
//!
//! Doubts stop nothing. They are reported, and stay with the results.

use std::fmt;

use serde::{Deserialize, Serialize};
use wsi_reader::{
    Slide,
    doctor::{Look, sharpness},
};
use wsi_types::{Mpp, Rgb, RgbBuffer};

use crate::{
    fields::dense_fields,
    stain::{Densities, is_brown, is_coloured, is_pink, is_stained},
    tissue_mask::{TissueMask, is_dark_ground, is_ink},
    tissue_scale::{NoTissueScale, ScaleDoubt, TissueScale},
};

/// Share of dark brown in the stained px of the dense fields at and above which the slide counts as
/// immunohistochemistry with DAB.
const MOST_BROWN: f64 = 0.01;
/// Share of pink in the stained px of the dense fields above which the slide counts as stained with eosin: 0.6 to 1 on
/// H&E, 0 on immunohistochemistry.
const MOST_PINK: f64 = 0.3;
/// Share of ink colours in the tissue above which it is doubted to be tissue.
const MOST_INK: f64 = 1.0 / 3.0;
/// Share of px with a colour in the stained px of the dense fields below which the slide counts as a grey
/// picture.
const LEAST_COLOURED: f64 = 0.05;

/// The stain that a run measures, and that its slides should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WantedStain {
    /// Hematoxylin and eosin.
    #[default]
    He,
    /// Hematoxylin and DAB.
    HDab,
}

/// Measurements of a slide's look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Appearance {
    /// Share of the slide that is tissue, 0 to 1.
    pub tissue_share: f64,
    /// `true` if the ground is dark and what shines lacks some colour, as in fluorescence.
    pub dark_ground: bool,
    /// Share of the tissue in the colours of pen marks, 0 to 1.
    pub ink_share: f64,
    /// Share of the stained px of the dense fields that is dark brown as DAB is.
    pub brown_share: f64,
    /// Share of the stained px of the dense fields that is pink as eosin is.
    pub pink_share: f64,
    /// Share of the stained px of the dense fields that has any colour; `None` if no field could be read.
    pub coloured_share: Option<f64>,
    /// Median sharpness of the dense fields, see [`sharpness`]; `None` if they are flat or there are none.
    pub sharpness: Option<f64>,
}

/// Result of a close look at a slide.
#[derive(Debug, Clone, PartialEq)]
pub struct Examination {
    /// The look of the slide.
    pub appearance: Appearance,
    /// The scale that its nuclei suggest, or the reason why they suggest none.
    pub scale: Result<TissueScale, NoTissueScale>,
}

impl Examination {
    /// Examines a slide whose tissue was found: the picture it was found on, and up to seven fields of level
    /// 0 of at most 768 px. One thread, well below a second.
    #[must_use]
    pub fn new(slide: &dyn Slide, picture: &RgbBuffer, mask: &TissueMask) -> Self {
        let densities = Densities::new();
        let dark_ground = is_dark_ground(picture);
        let tissue_share = share(mask.bits().iter().copied());
        // Tissue too thin for the mask may still hold nuclei.
        let fields = if dark_ground {
            Vec::new()
        } else {
            dense_fields(slide, picture, |pixel| densities.hematoxylin(pixel).into())
        };
        let [brown_share, pink_share, coloured_share] =
            [is_brown, is_pink, is_coloured].map(|is: fn(Rgb) -> bool| {
                share(fields.iter().flat_map(pixels).filter(|&pixel| is_stained(pixel)).map(is))
            });
        let appearance = Appearance {
            tissue_share,
            dark_ground,
            ink_share: share(tissue_pixels(picture, mask).map(is_ink)),
            brown_share,
            pink_share,
            coloured_share: (!fields.is_empty()).then_some(coloured_share),
            sharpness: median(fields.iter().filter_map(sharpness)),
        };
        let scale = if appearance.is_stained_otherwise() {
            Err(NoTissueScale::OtherStain)
        } else {
            TissueScale::from_fields(&fields, &densities)
        };
        Self { appearance, scale }
    }

    /// Returns the doubts about the slide when it is analysed with level-0 px of `used`, as one with the stain `wanted`;
    /// without a scale, the doubts about its look alone.
    #[must_use]
    pub fn doubts(&self, used: Option<Mpp>, wanted: WantedStain) -> Vec<Doubt> {
        let scale = self.scale.ok().zip(used).and_then(|(tissue, used)| tissue.doubt(used));
        self.appearance.doubt(wanted).into_iter().chain(scale.map(Doubt::Scale)).collect()
    }
}

impl Appearance {
    fn is_stained_otherwise(&self) -> bool {
        self.dark_ground
            || self.ink_share > MOST_INK
            || self.brown_share >= MOST_BROWN
            || self.hardly_any_colour().is_some()
    }

    /// Returns the share of px with a colour, if that is too small.
    fn hardly_any_colour(&self) -> Option<f64> {
        let share = self.coloured_share.filter(|_| self.tissue_share > 0.0 && !self.dark_ground);
        share.filter(|&share| share < LEAST_COLOURED)
    }

    /// Returns the gravest doubt; others follow from it.
    fn doubt(&self, wanted: WantedStain) -> Option<Doubt> {
        if self.dark_ground {
            Some(Doubt::DarkGround)
        } else if self.tissue_share == 0.0 {
            Some(Doubt::NoTissue)
        } else if self.ink_share > MOST_INK {
            Some(Doubt::Ink { share: self.ink_share })
        } else if let Some(share) = self.hardly_any_colour() {
            Some(Doubt::NoColour { share })
        } else if wanted == WantedStain::He && self.brown_share >= MOST_BROWN {
            Some(Doubt::Brown { share: self.brown_share })
        } else if wanted == WantedStain::HDab && self.pink_share > MOST_PINK {
            Some(Doubt::Pink { share: self.pink_share })
        } else {
            let sharpness = self.sharpness.filter(|&sharpness| sharpness < Look::BLURRED_BELOW);
            sharpness.map(|sharpness| Doubt::OutOfFocus { sharpness })
        }
    }
}

/// Reasons to doubt the results of a slide although every window was analysed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Doubt {
    /// Fluorescence or dark field.
    DarkGround,
    /// Nothing stands out from the glass.
    NoTissue,
    /// Mostly the colours of pens.
    Ink {
        /// Share of the tissue.
        share: f64,
    },
    /// A grey picture, or no stain.
    NoColour {
        /// Share of the stained px that has a colour.
        share: f64,
    },
    /// Immunohistochemistry with DAB.
    Brown {
        /// Share of the stained px.
        share: f64,
    },
    /// Stained with eosin, where DAB was asked for.
    Pink {
        /// Share of the stained px.
        share: f64,
    },
    /// Blurred.
    OutOfFocus {
        /// See [`sharpness`].
        sharpness: f64,
    },
    /// The nuclei have another size.
    Scale(ScaleDoubt),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DarkGround => {
                f.write_str("the ground is dark, as in fluorescence; models for H&E do not know it")
            }
            Self::NoTissue => f.write_str("no tissue was found"),
            Self::Ink { share } => write!(
                f,
                "{:.0} % of what was found has the colours of pen marks: pen, or a stain that models for H&E \
                 do not know",
                share * 100.0
            ),
            Self::NoColour { share } => write!(
                f,
                "the slide has hardly any colour ({:.1} % of the stained px); models for H&E do not know it",
                share * 100.0
            ),
            Self::Brown { share } => write!(
                f,
                "{:.1} % of the stained px are brown as DAB is (immunohistochemistry); models for H&E do not \
                 know it",
                share * 100.0
            ),
            Self::Pink { share } => write!(
                f,
                "{:.0} % of the stained px are pink or violet as with eosin, and --stains h-dab measures hematoxylin and DAB",
                share * 100.0
            ),
            Self::OutOfFocus { sharpness } => write!(
                f,
                "the tissue is out of focus (sharpness {sharpness:.2}, expected at least {})",
                Look::BLURRED_BELOW
            ),
            Self::Scale(doubt) => doubt.fmt(f),
        }
    }
}

fn pixels(picture: &RgbBuffer) -> impl Iterator<Item = Rgb> {
    picture.bytes().as_chunks::<3>().0.iter().copied()
}

/// Returns the px of a picture of the whole slide that lie on tissue.
fn tissue_pixels<'a>(picture: &'a RgbBuffer, mask: &'a TissueMask) -> impl Iterator<Item = Rgb> + 'a {
    let (base, (dx, dy)) = (mask.level0_size(), mask.downsample());
    let [step_x, step_y] = [(base.0, picture.width(), dx), (base.1, picture.height(), dy)]
        .map(|(level0, px, mask_px)| f64::from(level0) / px.max(1) as f64 / mask_px);
    (0..picture.height()).flat_map(move |y| {
        let row = ((y as f64 + 0.5) * step_y) as u32;
        let line = picture.row(y).as_chunks::<3>().0.iter().enumerate();
        let tissue = line.filter(move |(x, _)| mask.is_tissue(((*x as f64 + 0.5) * step_x) as u32, row));
        tissue.map(|(_, &pixel)| pixel)
    })
}

/// Returns the share of flags that are true, 0 to 1; 0 if there are none.
fn share(flags: impl Iterator<Item = bool>) -> f64 {
    let (mut all, mut set) = (0u64, 0u64);
    for flag in flags {
        all += 1;
        set += u64::from(flag);
    }
    set as f64 / all.max(1) as f64
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use wsi_reader::MemorySlide;

    use super::*;
    use crate::TissueSettings;

    /// A square of tissue on glass, 1000 of 1600 × 1200 px.
    fn slide(glass: Rgb, tissue: impl Fn(u32, u32) -> Rgb + Send + Sync + 'static) -> MemorySlide {
        let slide = MemorySlide::painted(&[(1600, 1200)], (256, 256), None, move |_, x, y| match (x, y) {
            (100..1100, 100..1100) => tissue(x, y),
            _ => glass,
        });
        slide.unwrap()
    }

    fn examined(slide: &MemorySlide) -> Examination {
        let mpp = Mpp::new(0.5).ok();
        let (mask, picture) = TissueMask::compute_with_picture(slide, mpp, &TissueSettings::default());
        Examination::new(slide, &picture, &mask)
    }

    const GLASS: Rgb = [243, 242, 244];
    const NUCLEUS: Rgb = [110, 70, 150];
    const PINK: Rgb = [225, 170, 200];

    /// Paints nuclei of 12 px, one in `every` of another colour.
    fn cells(x: u32, y: u32, every: u32, other: Rgb) -> Rgb {
        let (dx, dy) = (f64::from(x % 24) - 11.5, f64::from(y % 24) - 11.5);
        match (dx * dx + dy * dy < 36.0, (x / 24 + y / 24 * 7) % every) {
            (false, _) => PINK,
            (true, 0) => other,
            (true, _) => NUCLEUS,
        }
    }

    #[test]
    fn stained_tissue_is_not_doubted_and_its_scale_is() {
        let slide = slide(GLASS, |x, y| cells(x, y, 1, NUCLEUS));
        let examination = examined(&slide);
        assert_eq!(examination.doubts(None, WantedStain::He), []);
        let scale = examination.scale.unwrap();
        assert_eq!(examination.doubts(Mpp::new(scale.mpp).ok(), WantedStain::He), []);
        let doubts = examination.doubts(Mpp::new(scale.mpp * 2.5).ok(), WantedStain::He);
        assert!(matches!(doubts[..], [Doubt::Scale(_)]), "{doubts:?}");
    }

    #[test]
    fn a_slide_for_immunohistochemistry_is_brown_or_blue_and_not_pink() {
        let brown = |x, y| match cells(x, y, 4, [91, 58, 28]) {
            PINK => [205, 207, 220],
            NUCLEUS => [105, 100, 160],
            brown => brown,
        };
        let ihc = examined(&slide(GLASS, brown));
        assert_eq!(ihc.doubts(None, WantedStain::HDab), []);
        assert!(matches!(ihc.doubts(None, WantedStain::He)[..], [Doubt::Brown { .. }]));
        let he = examined(&slide(GLASS, |x, y| cells(x, y, 1, NUCLEUS)));
        let doubts = he.doubts(None, WantedStain::HDab);
        assert!(matches!(doubts[..], [Doubt::Pink { share }] if share > 0.5), "{doubts:?}");
    }

    fn only_doubt(glass: Rgb, tissue: fn(u32, u32) -> Rgb) -> Doubt {
        let doubts = examined(&slide(glass, tissue)).doubts(Mpp::new(4.0).ok(), WantedStain::He);
        assert_eq!(doubts.len(), 1, "{doubts:?}: nothing is said of the scale");
        doubts[0]
    }

    #[test]
    fn other_slides_are_named_for_what_they_are() {
        let dark =
            only_doubt([0, 1, 4], |x, y| if (x / 30 + y / 30) % 2 == 0 { [10, 20, 180] } else { [0, 1, 4] });
        assert_eq!(dark, Doubt::DarkGround);
        assert_eq!(only_doubt(GLASS, |_, _| GLASS), Doubt::NoTissue);
        let inked = only_doubt(GLASS, |_, _| [30, 60, 190]);
        assert!(matches!(inked, Doubt::Ink { share } if share > 0.9));
        let grey =
            only_doubt(GLASS, |x, y| if cells(x, y, 1, NUCLEUS) == NUCLEUS { [90; 3] } else { [180; 3] });
        assert!(matches!(grey, Doubt::NoColour { share } if share < 0.001));
        let brown = only_doubt(GLASS, |x, y| cells(x, y, 4, [91, 58, 28]));
        assert!(matches!(brown, Doubt::Brown { share } if (0.04..0.06).contains(&share)), "{brown:?}");
    }

    /// Once tissue that could not be read was called a slide without colour.
    #[test]
    fn what_could_not_be_read_is_not_doubted_for_its_colour() {
        let tiles = (0..5).flat_map(|row| (0..7).map(move |column| (row, column)));
        let broken = slide(GLASS, |x, y| cells(x, y, 1, NUCLEUS)).with_failing(
            tiles.map(|(row, column)| wsi_types::TileId { level: wsi_types::LevelIndex(0), row, column }),
        );
        let examination = examined(&broken);
        assert!(examination.appearance.tissue_share > 0.0, "what cannot be read counts as tissue");
        assert_eq!(
            (examination.doubts(None, WantedStain::He), examination.scale),
            (vec![], Err(NoTissueScale::Unread))
        );
    }

    #[test]
    fn doubts_are_said_with_their_values() {
        let brown = Doubt::Brown { share: 0.048 }.to_string();
        assert!(brown.starts_with("4.8 % of the stained px are brown"));
        let blurred = Doubt::OutOfFocus { sharpness: 0.123 }.to_string();
        assert!(blurred.contains("sharpness 0.12, expected at least 0.15"));
        assert!(Doubt::Ink { share: 0.66 }.to_string().starts_with("66 % of what was found"));
    }
}
