//! The tissue of a slide, found on a small level.
//!
//! The slide is averaged down to mask px of 2 to 8 µm. A mask px is tissue when its saturation or its optical
//! density stands out from the glass; the thresholds are Otsu's (Otsu 1979, IEEE Trans. Syst. Man Cybern.
//! 9:62), kept within limits: on an empty slide Otsu would split noise, on a slide full of tissue it would
//! split the tissue. Ink is taken out, gaps are closed, holes filled, specks dropped. When in doubt, the mask
//! takes a px for tissue: an empty window costs time, a missing one costs cells.
//!
//! A slide on a dark ground (fluorescence) has no glass to stand out from: its bright parts are taken, and
//! [`TissueNote::DarkGround`] reports it.

use std::fmt;

use serde::{Deserialize, Serialize};
use wsi_reader::{Overview, OverviewFault, OverviewSettings, Slide, SlideInfo};
use wsi_types::{AreaUm2, Level0Box, Level0Point, Mpp, Pyramid, Rgb, RgbBuffer, TileId};

use crate::morphology::Bits;

/// Settings for cleaning the mask. If the slide's mpp is not known, sizes assume level-0 px of 0.5 µm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TissueSettings {
    /// Gaps up to twice this wide are closed, in µm.
    pub closing_um: f64,
    /// Holes up to this large are filled, in µm².
    pub max_hole_um2: f64,
    /// Pieces smaller than this are dropped, in µm².
    pub min_piece_um2: f64,
    /// `true` to leave out pen marks.
    pub exclude_ink: bool,
}

impl Default for TissueSettings {
    fn default() -> Self {
        Self { closing_um: 20.0, max_hole_um2: 100_000.0, min_piece_um2: 4_000.0, exclude_ink: true }
    }
}

/// A small yes/no picture of a slide: `true` where there is tissue.
#[derive(Debug, Clone)]
pub struct TissueMask {
    bits: Bits,
    /// Level-0 px per mask px, per axis.
    downsample: (f64, f64),
    level0: (u32, u32),
    /// Tissue px above and left of each corner of the mask, row by row; one
    /// longer than the mask along each axis.
    sums: Vec<u32>,
    notes: Vec<TissueNote>,
}

impl TissueMask {
    /// Limits of the size of a mask px, in µm; between them the longer side has 2048 px. On slides longer
    /// than 33 mm mask px are larger than the upper limit.
    const PX_UM: (f64, f64) = (2.0, 8.0);

    /// Finds the tissue of a slide, whose level 0 has `mpp`.
    ///
    /// Tiles of the small level that cannot be read count as tissue, so that they are tried at full
    /// resolution; see [`TissueMask::notes`].
    #[must_use]
    pub fn compute(slide: &dyn Slide, mpp: Option<Mpp>, settings: &TissueSettings) -> Self {
        Self::compute_with_picture(slide, mpp, settings).0
    }

    /// Finds the same, and returns the picture of the whole slide that it was found on, which has the mask's
    /// size and can be shown without reading the slide again.
    #[must_use]
    pub fn compute_with_picture(
        slide: &dyn Slide,
        mpp: Option<Mpp>,
        settings: &TissueSettings,
    ) -> (Self, RgbBuffer) {
        let pyramid = &slide.info().pyramid;
        let px = MaskPx::of(pyramid, mpp);
        let overview = Overview::read(slide, &px.overview(pyramid, slide.info().background));
        let mut notes = Vec::new();
        let mut bits = find_tissue(&overview.pixels, &px, settings, &mut notes);
        for OverviewFault { px: (columns, rows), .. } in &overview.faults {
            for row in rows.clone() {
                bits.flags[row * bits.width..][columns.clone()].fill(true);
            }
        }
        notes.extend(overview.faults.first().map(|fault| TissueNote::Unreadable {
            tiles: overview.faults.len(),
            first: fault.tile,
            reason: fault.error.reason(),
        }));
        (Self::new(bits, overview.downsample, pyramid, notes), overview.pixels)
    }

    /// Makes a mask of one px: everything is tissue.
    #[must_use]
    pub fn full(info: &SlideInfo) -> Self {
        let base = info.pyramid.base();
        let downsample = (f64::from(base.width()), f64::from(base.height()));
        Self::new(Bits::new(1, 1, true), downsample, &info.pyramid, Vec::new())
    }

    /// Makes a user's own mask: `height` × `width` flags, row by row, spread over the whole slide.
    ///
    /// # Errors
    ///
    /// [`TilerError::MaskSize`] when there are no flags, or not that many.
    pub fn from_bits(
        info: &SlideInfo,
        width: u32,
        height: u32,
        flags: Vec<bool>,
    ) -> Result<Self, TilerError> {
        if flags.is_empty() || u64::from(width) * u64::from(height) != flags.len() as u64 {
            return Err(TilerError::MaskSize { width, height, flags: flags.len() });
        }
        let base = info.pyramid.base();
        let downsample =
            (f64::from(base.width()) / f64::from(width), f64::from(base.height()) / f64::from(height));
        let bits = Bits { width: width as usize, height: height as usize, flags };
        Ok(Self::new(bits, downsample, &info.pyramid, Vec::new()))
    }

    /// Makes a mask of areas that a user drew. A polygon consists of closed rings of level-0 points, the
    /// first point not repeated; points inside an odd number of them belong to it. A point is in the mask
    /// when it is in any polygon. A mask px is taken by its centre; a polygon that holds no centre takes the
    /// px of its first point.
    ///
    /// # Errors
    ///
    /// [`TilerError::NotFinite`] when a coordinate is not a finite number.
    pub fn from_polygons(
        info: &SlideInfo,
        mpp: Option<Mpp>,
        polygons: &[Vec<Vec<Level0Point>>],
    ) -> Result<Self, TilerError> {
        polygons.iter().try_for_each(|polygon| refuse_infinite(polygon))?;
        let base = info.pyramid.base();
        let step = MaskPx::of(&info.pyramid, mpp).downsample;
        let [width, height] =
            [base.width(), base.height()].map(|size| ((f64::from(size) / step).ceil() as usize).max(1));
        let mut bits = Bits::new(width, height, false);
        for polygon in polygons {
            fill_polygon(&mut bits, (step, step), polygon);
        }
        Ok(Self::new(bits, (step, step), &info.pyramid, Vec::new()))
    }

    /// Only what lies in the areas too, which are drawn as for [`from_polygons`](Self::from_polygons).
    ///
    /// # Errors
    ///
    /// [`TilerError::NotFinite`] when a coordinate is no number.
    pub fn within(
        &self,
        info: &SlideInfo,
        mpp: Option<Mpp>,
        polygons: &[Vec<Vec<Level0Point>>],
    ) -> Result<Self, TilerError> {
        if self.bits.flags.iter().all(|&flag| flag) {
            // It may be a single px.
            let areas = Self::from_polygons(info, mpp, polygons)?;
            return Ok(Self { notes: self.notes.clone(), ..areas });
        }
        let mut areas = Bits::new(self.bits.width, self.bits.height, false);
        for polygon in polygons {
            refuse_infinite(polygon)?;
            fill_polygon(&mut areas, self.downsample, polygon);
        }
        let bits = self.bits.clone().without(&areas.not());
        Ok(Self::new(bits, self.downsample, &info.pyramid, self.notes.clone()))
    }

    fn new(bits: Bits, downsample: (f64, f64), pyramid: &Pyramid, notes: Vec<TissueNote>) -> Self {
        let across = bits.width + 1;
        let mut sums = vec![0u32; across * (bits.height + 1)];
        for (y, line) in bits.flags.chunks(bits.width).enumerate() {
            let mut sum = 0;
            for (x, &flag) in line.iter().enumerate() {
                sum += u32::from(flag);
                sums[(y + 1) * across + x + 1] = sums[y * across + x + 1] + sum;
            }
        }
        let level0 = (pyramid.base().width(), pyramid.base().height());
        Self { bits, downsample, level0, sums, notes }
    }

    /// Returns the width in mask px.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.bits.width as u32
    }

    /// Returns the height in mask px.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.bits.height as u32
    }

    /// Returns level-0 px per mask px, per axis. The last mask px may reach past the slide.
    #[must_use]
    pub fn downsample(&self) -> (f64, f64) {
        self.downsample
    }

    /// Returns the size of the slide, in level-0 px.
    #[must_use]
    pub fn level0_size(&self) -> (u32, u32) {
        self.level0
    }

    /// `true` if a mask px is tissue; none is outside the mask.
    #[must_use]
    pub fn is_tissue(&self, x: u32, y: u32) -> bool {
        x < self.width() && y < self.height() && self.bits.flags[y as usize * self.bits.width + x as usize]
    }

    /// Returns all flags, row by row.
    #[must_use]
    pub fn bits(&self) -> &[bool] {
        &self.bits.flags
    }

    /// Returns the notes to read before trusting this mask.
    #[must_use]
    pub fn notes(&self) -> &[TissueNote] {
        &self.notes
    }

    /// Returns the share of tissue in a level-0 box, 0 to 1, exact to rounding. Outside the mask there is no
    /// tissue. Takes the same time for any box.
    #[must_use]
    pub fn tissue_fraction(&self, area: &Level0Box) -> f64 {
        let whole = area.width() * area.height();
        if whole > 0.0 { (self.tissue_level0_px(area) / whole).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// `true` if any tissue px of the mask shares area with a level-0 box.
    #[must_use]
    pub fn has_tissue(&self, area: &Level0Box) -> bool {
        let (dx, dy) = self.downsample;
        let (width, height) = (self.bits.width, self.bits.height);
        let [x0, x1] =
            [(area.min.x / dx).floor(), (area.max.x / dx).ceil()].map(|x| (x.max(0.0) as usize).min(width));
        let [y0, y1] =
            [(area.min.y / dy).floor(), (area.max.y / dy).ceil()].map(|y| (y.max(0.0) as usize).min(height));
        let [[a, b], [c, d]] = [y0, y1].map(|y| [x0, x1].map(|x| u64::from(self.sums[y * (width + 1) + x])));
        x1 > x0 && y1 > y0 && d + a > b + c
    }

    /// Returns the area of the tissue that lies on the slide.
    #[must_use]
    pub fn area_um2(&self, mpp: Mpp) -> AreaUm2 {
        let corner = euclid::point2(f64::from(self.level0.0), f64::from(self.level0.1));
        let slide = Level0Box::new(euclid::point2(0.0, 0.0), corner);
        AreaUm2(self.tissue_level0_px(&slide) * mpp.get() * mpp.get())
    }

    /// Returns the tissue in a box, in level-0 px².
    fn tissue_level0_px(&self, area: &Level0Box) -> f64 {
        let (dx, dy) = self.downsample;
        let (x0, x1) = (area.min.x / dx, area.max.x / dx);
        let (y0, y1) = (area.min.y / dy, area.max.y / dy);
        (self.sum(x1, y1) - self.sum(x0, y1) - self.sum(x1, y0) + self.sum(x0, y0)) * dx * dy
    }

    /// Returns the tissue px above and left of a point of the mask: the sums at whole points, bilinear
    /// between them, as flags are constant over a px.
    fn sum(&self, x: f64, y: f64) -> f64 {
        let x = x.clamp(0.0, self.bits.width as f64);
        let y = y.clamp(0.0, self.bits.height as f64);
        let (left, top) = ((x as usize).min(self.bits.width - 1), (y as usize).min(self.bits.height - 1));
        let (fx, fy) = (x - left as f64, y - top as f64);
        let [above, below] = [top, top + 1].map(|y| {
            let line = &self.sums[y * (self.bits.width + 1)..];
            f64::from(line[left]) * (1.0 - fx) + f64::from(line[left + 1]) * fx
        });
        above * (1.0 - fy) + below * fy
    }
}

/// Notes on a mask for the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TissueNote {
    /// The ground is dark, as in fluorescence: the bright parts were taken.
    DarkGround,
    /// Pen marks were found and left out.
    Ink {
        /// Mask px that were left out.
        px: u64,
    },
    /// Ink colours on so large an area that they must be a stain: it was kept.
    InkColouredStain,
    /// Parts of the small level cannot be read: they count as tissue.
    Unreadable {
        /// Tiles that failed.
        tiles: usize,
        /// The first tile that failed.
        first: TileId,
        /// The reason why it failed.
        reason: String,
    },
}

impl fmt::Display for TissueNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DarkGround => f.write_str(
                "the ground is dark, as in fluorescence: the tissue mask takes the bright parts, \
                 and a model for stained slides will find nothing of use",
            ),
            Self::Ink { px } => write!(f, "pen marks were left out of the tissue mask ({px} mask px)"),
            Self::InkColouredStain => {
                f.write_str("much of the tissue has the colour of ink; it was taken for a stain and kept")
            }
            Self::Unreadable { tiles, first, reason } => write!(
                f,
                "parts of level {} that cannot be read count as tissue: {tiles} failed, the first \
                 the tile in column {} row {}: {reason}",
                first.level.0, first.column, first.row
            ),
        }
    }
}

/// Reasons why there is no mask.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TilerError {
    /// The flags of a user's mask do not fit its size.
    #[error("a mask of {width}x{height} px has {flags} flags, expected at least one and one per px")]
    MaskSize {
        /// The given width.
        width: u32,
        /// The given height.
        height: u32,
        /// The number of flags found.
        flags: usize,
    },
    /// A polygon with NaN or infinity in it.
    #[error("an area has a coordinate that is not a finite number")]
    NotFinite,
}

/// The size of a mask px.
#[derive(Debug, Clone, Copy)]
struct MaskPx {
    /// Level-0 px per mask px.
    downsample: f64,
    /// µm per mask px.
    um: f64,
}

impl MaskPx {
    const SIDE: f64 = 2048.0;
    /// Largest length of the longer side, px: a mask only gives an overview, and whole mounts are large.
    const MAX_SIDE: f64 = 4096.0;
    /// µm per level-0 px if it is not known.
    const NOMINAL_MPP: f64 = 0.5;

    fn of(pyramid: &Pyramid, mpp: Option<Mpp>) -> Self {
        let mpp = mpp.map_or(Self::NOMINAL_MPP, Mpp::get);
        let longest = f64::from(pyramid.base().width().max(pyramid.base().height()));
        let (finest, coarsest) = TissueMask::PX_UM;
        let um = (longest * mpp / Self::SIDE).clamp(finest, coarsest).max(longest * mpp / Self::MAX_SIDE);
        let downsample = (um / mpp).max(1.0);
        Self { downsample, um: downsample * mpp }
    }

    /// Returns settings for the whole slide in px of the mask, which are as wide as they are high; the last
    /// ones may reach past it.
    fn overview(&self, pyramid: &Pyramid, background: Rgb) -> OverviewSettings {
        let base = pyramid.base();
        let [width, height] = [base.width(), base.height()]
            .map(|level0| ((f64::from(level0) / self.downsample - 1e-6).ceil() as u32).max(1));
        let across = euclid::size2(f64::from(width), f64::from(height)) * self.downsample;
        OverviewSettings {
            area: Level0Box::from_size(across),
            size: (width, height),
            unreadable: background,
            threads: std::thread::available_parallelism().map_or(1, |threads| threads.get().min(8)),
        }
    }

    fn length(&self, um: f64) -> f64 {
        um / self.um
    }

    fn area(&self, um2: f64) -> f64 {
        um2 / (self.um * self.um)
    }
}

fn find_tissue(
    overview: &RgbBuffer,
    px: &MaskPx,
    settings: &TissueSettings,
    notes: &mut Vec<TissueNote>,
) -> Bits {
    let (found, ink) = if is_dark_ground(overview) {
        notes.push(TissueNote::DarkGround);
        let threshold = Histogram::of(pixels(overview).map(brightest)).otsu().clamp(20, 60);
        (flags(overview, |pixel| brightest(pixel) > threshold), None)
    } else {
        let found = stained(overview);
        let ink = if settings.exclude_ink { find_ink(overview, &found, px, notes) } else { None };
        (ink.iter().fold(found, Bits::without), ink)
    };
    let clean = found
        .closed(px.length(settings.closing_um))
        .without_specks(px.area(settings.min_piece_um2))
        .with_holes_filled(px.area(settings.max_hole_um2));
    ink.iter().fold(clean, Bits::without)
}

/// `true` if there is no glass: most of the picture is dark, and the rest lacks some colour. (Black beside
/// white or pink is an area that a scanner left out.)
pub(crate) fn is_dark_ground(overview: &RgbBuffer) -> bool {
    let brightness = Histogram::of(pixels(overview).map(brightest));
    let shining = pixels(overview).filter(|pixel| brightest(*pixel) >= 25);
    let least = Histogram::of(shining.map(|[r, g, b]| r.min(g).min(b)));
    brightness.quantile(0.5) < 60 && least.quantile(0.5) < 100
}

/// Returns the px that stand out from the glass, by saturation or by optical density.
fn stained(overview: &RgbBuffer) -> Bits {
    let glass = Glass::of(overview);
    let saturation: Vec<u8> = pixels(overview).map(|pixel| glass.saturation(pixel)).collect();
    let density: Vec<u8> = pixels(overview).map(|pixel| glass.density(pixel)).collect();
    // The limits, in 1/255: below the lower one is only the noise of glass, above the upper one only tissue.
    let coloured = Histogram::of(saturation.iter().copied()).otsu().clamp(13, 28);
    let dense = Histogram::of(density.iter().copied()).otsu().clamp(13, 28);
    let flags =
        pixels(overview).zip(saturation.iter().zip(&density)).map(|(pixel, (&saturation, &density))| {
            brightest(pixel) > UNSCANNED && (saturation > coloured || density > dense)
        });
    Bits { width: overview.width(), height: overview.height(), flags: flags.collect() }
}

/// Value below which a px was never scanned.
const UNSCANNED: u8 = 16;

/// Colour of the slide where it is empty.
struct Glass([u8; 3]);

impl Glass {
    /// Darkest value of glass, however much tissue there is.
    const DARKEST: u8 = 210;

    /// Reads the bright end of each channel.
    fn of(overview: &RgbBuffer) -> Self {
        Self([0, 1, 2].map(|channel| {
            let histogram = Histogram::of(pixels(overview).map(|pixel| pixel[channel]));
            histogram.quantile(0.95).max(Self::DARKEST)
        }))
    }

    /// Returns the saturation, 0 to 255, as seen through this glass.
    fn saturation(&self, pixel: Rgb) -> u8 {
        let balanced =
            [0, 1, 2].map(|c| u32::from(pixel[c]) * 255 / u32::from(self.0[c])).map(|c| c.min(255));
        let (low, high) =
            (balanced.iter().min().copied().unwrap_or(0), balanced.iter().max().copied().unwrap_or(0));
        ((high - low) * 255).checked_div(high).unwrap_or(0) as u8
    }

    /// Returns the mean optical density over the channels, 255 for a density of 1 or more.
    fn density(&self, pixel: Rgb) -> u8 {
        let [red, green, blue] = [0, 1, 2]
            .map(|channel| (f64::from(self.0[channel]) / f64::from(pixel[channel].max(1))).log10().max(0.0));
        ((red + green + blue) / 3.0 * 255.0).round().min(255.0) as u8
    }
}

/// Finds pen marks: broad strokes of a colour that no stain of tissue gives.
fn find_ink(overview: &RgbBuffer, found: &Bits, px: &MaskPx, notes: &mut Vec<TissueNote>) -> Option<Bits> {
    // Strokes are broader than pigment and dust, and have a fringe.
    let ink = flags(overview, is_ink).opened(px.length(20.0)).dilated(px.length(30.0));
    let inked = found.flags.iter().zip(&ink.flags).filter(|(found, ink)| **found && **ink).count();
    if inked == 0 {
        return None;
    }
    if inked * 3 > found.count() {
        notes.push(TissueNote::InkColouredStain);
        return None;
    }
    notes.push(TissueNote::Ink { px: inked as u64 });
    Some(ink)
}

/// `true` for blue, green or black ink. Hematoxylin and eosin have less green than red and blue; the blue of
/// a counterstain is pale, or nearly as red as green.
pub(crate) fn is_ink(pixel: Rgb) -> bool {
    let [r, g, b] = pixel.map(i32::from);
    let (low, high) = (r.min(g).min(b), r.max(g).max(b));
    let green = g >= r + 30 && g >= b;
    let blue = b >= r + 80 && g >= r + 10 && high - low > high / 2;
    let black = high < 60 && high - low < 25 && high > i32::from(UNSCANNED);
    green || blue || black
}

fn pixels(overview: &RgbBuffer) -> impl Iterator<Item = Rgb> {
    overview.bytes().as_chunks::<3>().0.iter().copied()
}

fn flags(overview: &RgbBuffer, mark: impl Fn(Rgb) -> bool) -> Bits {
    Bits { width: overview.width(), height: overview.height(), flags: pixels(overview).map(mark).collect() }
}

fn brightest(pixel: Rgb) -> u8 {
    pixel[0].max(pixel[1]).max(pixel[2])
}

/// Number of times that each value occurs.
struct Histogram([u64; 256]);

impl Histogram {
    fn of(values: impl Iterator<Item = u8>) -> Self {
        let mut counts = [0; 256];
        values.for_each(|value| counts[usize::from(value)] += 1);
        Self(counts)
    }

    /// Returns the value that `share` of all values do not exceed; 255 if there are none.
    fn quantile(&self, share: f64) -> u8 {
        let total: u64 = self.0.iter().sum();
        let rank = (total as f64 * share).ceil().max(1.0) as u64;
        let sums = self.0.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        sums.take_while(|&sum| sum < rank).count().min(255) as u8
    }

    /// Returns the highest value of the lower class, such that the variance between both classes is greatest
    /// (Otsu 1979).
    fn otsu(&self) -> u8 {
        let total: f64 = self.0.iter().map(|&count| count as f64).sum();
        let all: f64 = self.0.iter().enumerate().map(|(value, &count)| value as f64 * count as f64).sum();
        let (mut below, mut weight, mut best) = (0.0, 0.0, (0.0, 0));
        for (value, &count) in self.0.iter().enumerate() {
            weight += count as f64;
            below += value as f64 * count as f64;
            let rest = total - weight;
            if weight > 0.0 && rest > 0.0 {
                let apart = below / weight - (all - below) / rest;
                let between = weight * rest * apart * apart;
                if between > best.0 {
                    best = (between, value);
                }
            }
        }
        best.1 as u8
    }
}

/// Sets the px whose centres lie in an odd number of rings.
fn refuse_infinite(polygon: &[Vec<Level0Point>]) -> Result<(), TilerError> {
    let finite = polygon.iter().flatten().all(|point| point.is_finite());
    if finite { Ok(()) } else { Err(TilerError::NotFinite) }
}

fn fill_polygon(bits: &mut Bits, (dx, dy): (f64, f64), rings: &[Vec<Level0Point>]) {
    let mut any = false;
    for y in 0..bits.height {
        let centre = (y as f64 + 0.5) * dy;
        let mut crossings: Vec<f64> = rings.iter().flat_map(|ring| crossings(ring, centre)).collect();
        crossings.sort_by(f64::total_cmp);
        for pair in crossings.as_chunks::<2>().0 {
            let [from, until] = pair.map(|x| ((x / dx - 0.5).ceil().max(0.0) as usize).min(bits.width));
            any |= from < until;
            bits.flags[y * bits.width..][from..until.max(from)].fill(true);
        }
    }
    if any {
        return;
    }
    if let Some((x, y)) = rings.iter().flatten().next().map(|point| (point.x / dx, point.y / dy))
        && x >= 0.0
        && y >= 0.0
        && x < bits.width as f64
        && y < bits.height as f64
    {
        bits.flags[y as usize * bits.width + x as usize] = true;
    }
}

/// Returns the places where a ring crosses the horizontal line at `y`.
fn crossings(ring: &[Level0Point], y: f64) -> impl Iterator<Item = f64> {
    let next = ring.iter().cycle().skip(1);
    ring.iter()
        .zip(next)
        .filter(move |(a, b)| (a.y <= y) != (b.y <= y))
        .map(move |(a, b)| a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wsi_types::{LevelIndex, TileGrid};

    use super::*;
    use crate::testing::{Painted, info_of, mpp};

    fn area(x0: f64, y0: f64, x1: f64, y1: f64) -> Level0Box {
        Level0Box::new(euclid::point2(x0, y0), euclid::point2(x1, y1))
    }

    fn painted(paint: fn(u16, u32, u32) -> Rgb) -> Painted {
        Painted { paint, ..Painted::new(&[(2400, 1600), (600, 400)]) }
    }

    fn mask_of(slide: &Painted) -> TissueMask {
        TissueMask::compute(slide, Some(mpp(0.5)), &TissueSettings::default())
    }

    fn share(mask: &TissueMask) -> f64 {
        mask.tissue_fraction(&area(0.0, 0.0, 2400.0, 1600.0))
    }

    /// Glass with the noise of a camera and of JPEG.
    fn glass(level: u16, x: u32, y: u32) -> Rgb {
        crate::testing::noise(level, x, y).map(|noise| 238 + noise % 7)
    }

    fn tissue(level: u16, x: u32, y: u32) -> Rgb {
        let [a, b, c] = crate::testing::noise(level, x, y).map(|noise| noise % 60);
        [170 + a, 110 + b, 150 + c]
    }

    #[test]
    fn an_empty_slide_has_no_tissue_and_a_full_one_nothing_else() {
        assert_eq!(share(&mask_of(&painted(glass))), 0.0);
        assert_eq!(share(&mask_of(&painted(|_, _, _| [255; 3]))), 0.0);
        assert_eq!(share(&mask_of(&painted(|_, _, _| [0; 3]))), 0.0);
        assert_eq!(share(&mask_of(&painted(tissue))), 1.0);
        // Half pale, half strongly stained: both are tissue.
        let two_tone = painted(|level, x, y| {
            tissue(level, x, y).map(|c| if x < 1200 >> (2 * level) { c + (255 - c) / 2 } else { c / 2 + 20 })
        });
        assert_eq!(share(&mask_of(&two_tone)), 1.0);
    }

    #[test]
    fn tissue_is_found_where_it_was_painted() {
        let slide = painted(|level, x, y| {
            let (x, y) = (x << (2 * level), y << (2 * level));
            let inside = (400..1200).contains(&x) && (400..1200).contains(&y);
            let lumen = (700..800).contains(&x) && (700..800).contains(&y);
            let speck = (2000..2050).contains(&x) && (200..250).contains(&y);
            if (inside && !lumen) || speck { tissue(level, x, y) } else { glass(level, x, y) }
        });
        let mask = mask_of(&slide);
        assert_eq!(mask.notes(), []);
        assert_eq!(mask.tissue_fraction(&area(400.0, 400.0, 1200.0, 1200.0)), 1.0);
        assert!((share(&mask) * 2400.0 * 1600.0 / 640_000.0 - 1.0).abs() < 0.02);
        assert!(!mask.has_tissue(&area(1900.0, 100.0, 2200.0, 400.0)), "specks are dropped");
        let um2 = mask.area_um2(mpp(0.5)).0;
        assert!((um2 / 160_000.0 - 1.0).abs() < 0.02, "{um2}");
    }

    #[test]
    fn ink_is_left_out_and_a_stain_is_not() {
        fn marked(level: u16, x: u32, y: u32) -> Rgb {
            let (wide, high) = (x << (2 * level), y << (2 * level));
            match (wide, high) {
                (1600..1800, _) => [40, 150, 90],
                (2000..2100, _) => [30, 60, 190],
                (200..1400, 200..1400) => tissue(level, x, y),
                _ => glass(level, x, y),
            }
        }
        let mask = mask_of(&painted(marked));
        assert!(matches!(mask.notes(), [TissueNote::Ink { .. }]));
        assert!(!mask.has_tissue(&area(1500.0, 0.0, 2400.0, 1600.0)));
        assert_eq!(mask.tissue_fraction(&area(200.0, 200.0, 1400.0, 1400.0)), 1.0);
        let keep = TissueSettings { exclude_ink: false, ..TissueSettings::default() };
        let inked = TissueMask::compute(&painted(marked), Some(mpp(0.5)), &keep);
        assert!(inked.has_tissue(&area(1600.0, 0.0, 1800.0, 1600.0)));
        let green = mask_of(&painted(|_, x, _| if x % 300 < 150 { [40, 150, 90] } else { [235; 3] }));
        assert_eq!(green.notes(), [TissueNote::InkColouredStain]);
        assert!(share(&green) > 0.4);
    }

    /// Ki67: black and brown nuclei among deep blue ones. Colours of ink, but no
    /// strokes.
    #[test]
    fn nuclei_in_the_colours_of_ink_are_no_pen_marks() {
        let mask = mask_of(&painted(|level, x, y| {
            let (wide, high) = (x << (2 * level), y << (2 * level));
            if !(200..1400).contains(&wide) || !(200..1400).contains(&high) {
                return glass(level, x, y);
            }
            match (wide % 40 < 20 && high % 40 < 20, (wide / 40 + high / 40) % 3) {
                (true, 0) => [35, 29, 22],
                (true, _) => [60, 110, 175],
                _ => [205, 208, 222],
            }
        }));
        assert_eq!(mask.notes(), []);
        assert!(mask.tissue_fraction(&area(200.0, 200.0, 1400.0, 1400.0)) > 0.9);
    }

    #[test]
    fn a_dark_ground_is_said_and_its_bright_parts_are_taken() {
        let slide = painted(|level, x, y| {
            let (x, y) = (x << (2 * level), y << (2 * level));
            if (400..1200).contains(&x) && (400..800).contains(&y) { [10, 20, 180] } else { [0, 1, 4] }
        });
        let mask = mask_of(&slide);
        assert_eq!(mask.notes(), [TissueNote::DarkGround]);
        assert_eq!(mask.tissue_fraction(&area(400.0, 400.0, 1200.0, 800.0)), 1.0);
        assert!(!mask.has_tissue(&area(1400.0, 0.0, 2400.0, 1600.0)));
    }

    #[test]
    fn what_cannot_be_read_counts_as_tissue_and_is_said() {
        let mut slide = painted(glass);
        let tile = TileId { level: LevelIndex(1), row: 2, column: 3 };
        slide.failing.insert(tile);
        let mask = mask_of(&slide);
        let [TissueNote::Unreadable { first, .. }] = mask.notes() else { panic!("{:?}", mask.notes()) };
        assert_eq!(*first, tile);
        let rect = slide.info.pyramid.levels()[1].tiles.tile_rect(3, 2).to_f64() * 4.0;
        let lost = area(rect.min_x(), rect.min_y(), rect.max_x(), rect.max_y());
        assert_eq!(mask.tissue_fraction(&lost), 1.0);
        assert!(share(&mask) < 0.1);
    }

    #[test]
    fn a_users_mask_must_fit() {
        let info = painted(glass).info;
        assert!(matches!(
            TissueMask::from_bits(&info, 3, 2, vec![true; 5]),
            Err(TilerError::MaskSize { flags: 5, .. })
        ));
        assert!(TissueMask::from_bits(&info, 0, 0, Vec::new()).is_err());
        let mask = TissueMask::from_bits(&info, 3, 2, vec![true, false, false, false, false, true]).unwrap();
        assert_eq!((mask.is_tissue(2, 1), mask.is_tissue(3, 0)), (true, false));
        assert_eq!((mask.downsample(), mask.level0_size()), ((800.0, 800.0), (2400, 1600)));
        assert_eq!(mask.tissue_fraction(&area(0.0, 0.0, 1600.0, 800.0)), 0.5);
        assert_eq!(share(&TissueMask::full(&info)), 1.0);
    }

    #[test]
    fn tissue_within_areas_is_in_both() {
        let info = painted(glass).info;
        let left_half = TissueMask::from_bits(&info, 4, 2, [true, true, false, false].repeat(2)).unwrap();
        let corners = [(600.0, 0.0), (2400.0, 0.0), (2400.0, 800.0), (600.0, 800.0)];
        let upper_right = vec![corners.map(|(x, y)| Level0Point::new(x, y)).to_vec()];
        let both = left_half.within(&info, Some(mpp(0.5)), std::slice::from_ref(&upper_right)).unwrap();
        assert_eq!(both.bits(), [false, true, false, false, false, false, false, false]);
        let all = TissueMask::full(&info)
            .within(&info, Some(mpp(0.5)), std::slice::from_ref(&upper_right))
            .unwrap();
        let drawn = TissueMask::from_polygons(&info, Some(mpp(0.5)), &[upper_right]).unwrap();
        assert_eq!(all.bits(), drawn.bits(), "a mask of one px takes the areas as they are");
        let broken = vec![vec![Level0Point::new(f64::NAN, 0.0); 3]];
        assert_eq!(left_half.within(&info, None, &[broken]).unwrap_err(), TilerError::NotFinite);
    }

    #[test]
    fn polygons_have_holes_and_are_never_lost() {
        let info = painted(glass).info;
        let [outer, hole, dot] =
            [(100.0, 100.0, 400.0), (200.0, 200.0, 100.0), (2001.0, 900.0, 0.5)].map(|(x, y, side)| {
                [(0.0, 0.0), (side, 0.0), (side, side), (0.0, side)]
                    .map(|(dx, dy)| Level0Point::new(x + dx, y + dy))
                    .to_vec()
            });
        let polygons = [vec![outer, hole], vec![dot]];
        let mask = TissueMask::from_polygons(&info, Some(mpp(0.5)), &polygons).unwrap();
        let px = mask.area_um2(mpp(0.5)).0 / 0.25;
        assert!((px - 150_016.0).abs() < 1.0, "{px}");
        assert!(mask.has_tissue(&area(2000.0, 899.0, 2002.0, 901.0)));
        assert!(!mask.has_tissue(&area(210.0, 210.0, 290.0, 290.0)));
        let broken = [vec![vec![euclid::point2(f64::NAN, 0.0)]]];
        assert_eq!(TissueMask::from_polygons(&info, None, &broken).unwrap_err(), TilerError::NotFinite);
    }

    #[test]
    fn mask_px_are_as_large_as_the_slide_needs() {
        for (longest, um) in [(2_400, 2.0), (20_480, 5.0), (40_960, 8.0), (163_840, 20.0)] {
            let tiles = TileGrid { width: 800, height: longest, tile_width: 256, tile_height: 256 };
            let px = MaskPx::of(&Pyramid::new([tiles]).unwrap(), Some(mpp(0.5)));
            assert_eq!((px.um, px.downsample), (um, 2.0 * um), "{longest}");
            assert_eq!((px.length(3.0 * um), px.area(3.0 * um * um)), (3.0, 3.0));
        }
        // Never finer than level 0.
        let tiles = TileGrid { width: 300, height: 200, tile_width: 256, tile_height: 256 };
        let px = MaskPx::of(&Pyramid::new([tiles]).unwrap(), Some(mpp(4.0)));
        assert_eq!((px.um, px.downsample), (4.0, 1.0));
    }

    #[test]
    fn otsu_parts_two_heaps() {
        let heaps = (0..100u8).map(|i| if i < 70 { 20 + i % 5 } else { 120 + i % 9 });
        let threshold = Histogram::of(heaps).otsu();
        assert!((24..120).contains(&threshold), "{threshold}");
        assert_eq!(Histogram::of([7, 7, 7].into_iter()).otsu(), 0);
        assert_eq!(Histogram::of([7, 9].into_iter()).otsu(), 7, "the lowest of equally good ones");
    }

    #[test]
    fn quantiles_are_values_that_occur() {
        let quantile =
            [0.0, 0.25, 0.26, 0.5, 1.0].map(|share| Histogram::of([2, 4, 8, 9].into_iter()).quantile(share));
        assert_eq!(quantile, [2, 2, 4, 4, 9]);
        assert_eq!(Histogram::of(std::iter::empty()).quantile(0.5), 255);
    }

    /// Each rule at its limits: just ink, and just no more.
    #[test]
    fn ink_begins_where_its_rules_say() {
        let green = ([100, 130, 130], [[101, 130, 130], [100, 130, 131]]);
        let blue = ([40, 50, 120], [[41, 51, 120], [40, 49, 120]]);
        let black = ([59, 40, 35], [[60, 40, 40], [59, 40, 34]]);
        for (ink, others) in [green, blue, black] {
            assert!(is_ink(ink), "{ink:?}");
            assert_eq!(others.map(is_ink), [false; 2], "{others:?}");
        }
        assert!(!is_ink([80, 90, 160]), "the pale blue of a counterstain");
        assert_eq!([[17; 3], [16; 3]].map(is_ink), [true, false], "what was never scanned is no ink");
    }

    #[test]
    fn ink_on_more_than_a_third_is_a_stain() {
        // Px so large that no stroke is too narrow for them.
        let px = MaskPx { downsample: 1.0, um: 100.0 };
        for (inked, expected, note) in [
            (0, None, None),
            (3, Some(3), Some(TissueNote::Ink { px: 3 })),
            (4, None, Some(TissueNote::InkColouredStain)),
        ] {
            let row = [vec![[40, 150, 90]; inked], vec![[170, 110, 150]; 9 - inked]].concat();
            let mut notes = Vec::new();
            let found = find_ink(&picture(&row), &Bits::new(9, 1, true), &px, &mut notes);
            assert_eq!((found.map(|ink| ink.count()), notes), (expected, Vec::from_iter(note)));
        }
    }

    #[test]
    fn colours_are_seen_through_the_glass() {
        let glass = Glass([240, 240, 240]);
        assert_eq!(glass.saturation([240, 120, 60]), 192);
        assert_eq!([[0; 3], [90; 3], [255; 3]].map(|gray| glass.saturation(gray)), [0; 3]);
        let tinted = Glass([250, 240, 220]);
        assert_eq!(tinted.saturation([250, 240, 220]), 0);
        assert_eq!(tinted.density([25, 24, 220]), 170, "a density of 1 in two of three channels");
        assert_eq!([[255; 3], [0; 3]].map(|pixel| tinted.density(pixel)), [0, 255]);
        assert_eq!(Glass::of(&picture(&[[90, 215, 250]])).0, [210, 215, 250]);
    }

    /// A picture of one row.
    fn picture(row: &[Rgb]) -> RgbBuffer {
        RgbBuffer::from_bytes(row.len(), 1, row.concat()).unwrap()
    }

    #[test]
    fn a_ground_is_dark_when_most_is_dark_and_the_rest_has_a_colour() {
        assert_eq!([[59, 0, 0], [60, 0, 0]].map(|pixel| is_dark_ground(&picture(&[pixel]))), [true, false]);
        let grays = [[99; 3], [100; 3]].map(|gray| is_dark_ground(&picture(&[[0; 3], [0; 3], gray])));
        assert_eq!(grays, [true, false]);
    }

    #[test]
    fn tissue_is_denser_than_glass_and_was_scanned() {
        let mut row = vec![[240; 3]; 97];
        row.extend([[16; 3], [17; 3], [120; 3]]);
        assert_eq!(stained(&picture(&row)).flags[96..], [false, false, true, true]);
    }

    /// Holds the mask of one ring, in px of 4 level-0 px, to the px that lie in it.
    fn assert_px(ring: &[(f64, f64)], lies_in: fn(u32, u32) -> bool) {
        let ring = ring.iter().map(|&(x, y)| Level0Point::new(x, y)).collect();
        let mask = TissueMask::from_polygons(&painted(glass).info, Some(mpp(0.5)), &[vec![ring]]).unwrap();
        assert_eq!(mask.downsample(), (4.0, 4.0));
        for (x, y) in (0..mask.height()).flat_map(|y| (0..mask.width()).map(move |x| (x, y))) {
            assert_eq!(mask.is_tissue(x, y), lies_in(x, y), "{x} {y}");
        }
    }

    #[test]
    fn areas_take_the_px_whose_centres_lie_in_them() {
        // The first corner lies in a px whose centre does not.
        let square = [(7.0, 7.0), (17.0, 7.0), (17.0, 17.0), (7.0, 17.0)];
        assert_px(&square, |x, y| (2..4).contains(&x) && (2..4).contains(&y));
        assert_px(&[(0.0, 40.0), (82.0, 40.0), (0.0, 122.0)], |x, y| y >= 10 && x + y < 30);
        // Between two columns of centres: the px of the first corner stands for it.
        assert_px(&[(9.0, 1.0), (9.5, 1.0), (9.5, 40.0), (9.0, 40.0)], |x, y| (x, y) == (2, 0));
        // First corners right on the slide's ends, which belong to no px.
        assert_px(&[(2400.0, 5.0), (2500.0, 5.0), (2500.0, 6.0)], |_, _| false);
        assert_px(&[(5.0, 1600.0), (5.0, 1700.0), (6.0, 1700.0)], |_, _| false);
    }

    #[test]
    fn a_dark_ground_need_not_be_black() {
        let row = [vec![[0, 10, 30]; 6], vec![[10, 20, 180]; 3]].concat();
        let as_found =
            TissueSettings { closing_um: 0.0, max_hole_um2: 0.0, min_piece_um2: 0.0, exclude_ink: true };
        let mut notes = Vec::new();
        let found = find_tissue(&picture(&row), &MaskPx { downsample: 1.0, um: 1.0 }, &as_found, &mut notes);
        assert_eq!(found.flags, [[false; 6].as_slice(), &[true; 3]].concat());
        assert_eq!(notes, [TissueNote::DarkGround]);
    }

    #[test]
    fn notes_stay_with_a_mask_that_areas_narrow() {
        let info = painted(glass).info;
        let all = Bits::new(1, 1, true);
        let mask = TissueMask::new(all, (2400.0, 1600.0), &info.pyramid, vec![TissueNote::DarkGround]);
        let ring = [(0.0, 0.0), (900.0, 0.0), (0.0, 900.0)].map(|(x, y)| Level0Point::new(x, y)).to_vec();
        let narrowed = mask.within(&info, None, &[vec![ring]]).unwrap();
        assert_eq!(narrowed.notes(), [TissueNote::DarkGround]);
    }

    /// Variance between the values up to `threshold` and those above it, by its definition.
    fn variance_between(values: &[u8], threshold: u8) -> f64 {
        let (low, high): (Vec<u8>, Vec<u8>) = values.iter().partition(|value| **value <= threshold);
        if low.is_empty() || high.is_empty() {
            return 0.0;
        }
        let [low, high] = [low, high].map(|class| {
            let count = class.len() as f64;
            (count, class.into_iter().map(f64::from).sum::<f64>() / count)
        });
        let apart = low.1 - high.1;
        low.0 * high.0 * apart * apart
    }

    proptest! {
        #[test]
        fn otsu_parts_where_the_variance_between_both_is_greatest(
            values in proptest::collection::vec(any::<u8>(), 1..40),
        ) {
            let found = variance_between(&values, Histogram::of(values.iter().copied()).otsu());
            let best = (0..=255).map(|threshold| variance_between(&values, threshold)).fold(0.0, f64::max);
            prop_assert!(found >= best * (1.0 - 1e-12), "{found} {best}");
        }
    }

    proptest! {
        #[test]
        fn fractions_are_areas(
            width in 1u32..9, height in 1u32..9, seed in any::<u64>(),
            x in -50.0..300.0f64, y in -50.0..300.0f64, w in 0.1..300.0f64, h in 0.1..300.0f64,
        ) {
            let grid = TileGrid { width: 211, height: 173, tile_width: 64, tile_height: 64 };
            let info = info_of(&Pyramid::new([grid]).unwrap());
            let flags: Vec<bool> = (0..width * height).map(|i| seed >> (i % 64) & 1 == 1).collect();
            let mask = TissueMask::from_bits(&info, width, height, flags).unwrap();
            let (dx, dy) = mask.downsample();
            let asked = area(x, y, x + w, y + h);
            let slow: f64 = (0..height).flat_map(|row| (0..width).map(move |column| (column, row)))
                .filter(|&(column, row)| mask.is_tissue(column, row))
                .filter_map(|(column, row)| {
                    let (column, row) = (f64::from(column), f64::from(row));
                    let px = area(column * dx, row * dy, (column + 1.0) * dx, (row + 1.0) * dy);
                    px.intersection(&asked).map(|shared| shared.area())
                }).sum();
            prop_assert!((mask.tissue_fraction(&asked) * asked.area() - slow).abs() < 1e-6);
            if slow > 1e-6 { prop_assert!(mask.has_tissue(&asked)); }
        }
    }
}
