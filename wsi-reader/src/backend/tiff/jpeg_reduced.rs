//! JPEG tiles at a half, a quarter or an eighth of their size, made inside the DCT.
//!
//! A reduced sample is the *mean* of the samples it replaces, as averaging the whole picture would give: the
//! same picture for less work. The mean of two neighbours of the cosine of frequency u is, with N points
//! left, `cos((2k+1)uπ/2N) · cos(uπ/16)`, so coefficients need a factor each, those above N fold back onto
//! those below (`u` onto `2N - u`, with its sign turned), and a transform of N points does the rest; four and
//! eight neighbours likewise, step by step. So frequencies that a plain scaled DCT (as in libjpeg) cuts off
//! count here, as they do in an average.
//!
//! Halved chroma goes through libjpeg's triangle filter before whole pixels are averaged; here the mean of
//! that filter is applied afterwards. It is exact at one half; below, the filter takes the mean of a
//! neighbour in place of its nearest sample.
//!
//! So pixels differ from averaged whole ones only by rounding, where whole ones were clamped, and by that
//! small error in chroma.

use fearless_simd::{Level, Simd, dispatch};

use super::{
    jpeg_baseline::{
        Colours, NATURAL, Plane, Scan, Tables, Transform, Whole, Workspace, checked_sampling, decode_planes,
        paint_gray,
    },
    jpeg_header::{Header, Refused},
    target::Target,
};

/// Decodes the entropy-coded `data` of a stream with this header, each side
/// divided by 2^`shift` (1 to 3), which must divide the picture's sides.
pub(super) fn decode_reduced(
    header: &Header,
    data: &[u8],
    colours: Colours,
    shift: u32,
    work: &mut Workspace,
    target: &mut Target<'_>,
) -> Result<(), Refused> {
    let factor = 1_usize << shift;
    let sampling = checked_sampling(header)?;
    if !header.width.is_multiple_of(factor) || !header.height.is_multiple_of(factor) {
        return Err(Refused::OtherKind);
    }
    let tables = Tables::of(header, &mut work.codes)?;
    let shapes = shapes(header, sampling, factor);
    let folds: [Fold; 3] = std::array::from_fn(|i| Fold::new(shapes[i], &tables.steps[i]));
    let level = Level::new();
    let Workspace { codes, planes, .. } = work;
    dispatch!(level, simd => {
        let reduced = Reduced { whole: Whole { simd, steps: &tables.steps }, shapes, folds: &folds };
        decode_planes(&reduced, header, &tables, codes, planes, data)
    })?;
    dispatch!(level, _ => paint(header, colours, sampling, factor, work, target));
    Ok(())
}

/// Returns the samples that a block of each component becomes, across and down, so that all have one size.
/// Chroma that is stored at half the size already is halved once less.
fn shapes(header: &Header, (h, v): (usize, usize), factor: usize) -> [(usize, usize); 3] {
    let mut shapes = [(8 / factor, 8 / factor); 3];
    if header.components().len() == 3 {
        for (shape, component) in shapes.iter_mut().zip(header.components()) {
            *shape = (8 * h / (factor * component.horizontal), 8 * v / (factor * component.vertical));
        }
    }
    shapes
}

/// Planes of one size to RGB, for the part the target wants.
#[inline(always)]
fn paint(
    header: &Header,
    colours: Colours,
    (h, v): (usize, usize),
    factor: usize,
    work: &mut Workspace,
    target: &mut Target<'_>,
) {
    let Workspace { planes, chroma, weighed, .. } = work;
    let width = target.width.min(header.width / factor);
    let row_bytes = target.width * 3;
    for (y, out) in target.pixels.chunks_exact_mut(row_bytes).take(header.height / factor).enumerate() {
        let out = &mut out[..width * 3];
        let first = &planes[0].row(y)[..width];
        if header.components().len() == 1 {
            paint_gray(first, out);
            continue;
        }
        for (row, (plane, component)) in
            chroma.iter_mut().zip(planes[1..].iter().zip(&header.components()[1..]))
        {
            soften(plane, y, (component.horizontal < h, component.vertical < v), factor, weighed, row);
        }
        colours.paint(first, &chroma[0][..width], &chroma[1][..width], out);
    }
}

/// Writes row `y` of chroma, along halved sides with the mean of libjpeg's triangle filter over `factor` px:
/// each neighbour has a part of `1 / (4 factor)`, and the ends use themselves as neighbours.
#[inline(always)]
fn soften(
    plane: &Plane,
    y: usize,
    halved: (bool, bool),
    factor: usize,
    weighed: &mut Vec<u32>,
    out: &mut Vec<u8>,
) {
    // Constants, so that multiplying and dividing are shifts.
    match factor {
        2 => soften_by::<8>(plane, y, halved, weighed, out),
        4 => soften_by::<16>(plane, y, halved, weighed, out),
        _ => soften_by::<32>(plane, y, halved, weighed, out),
    }
}

#[inline(always)]
fn soften_by<const PARTS: u32>(
    plane: &Plane,
    y: usize,
    (across, down): (bool, bool),
    weighed: &mut Vec<u32>,
    out: &mut Vec<u8>,
) {
    let here = plane.row(y);
    out.resize(here.len(), 0);
    if !across && !down {
        out.copy_from_slice(here);
        return;
    }
    weighed.resize(here.len(), 0);
    if down {
        let (above, below) = (plane.row(y.saturating_sub(1)), plane.row(y + 1));
        for (((sum, &here), &above), &below) in weighed.iter_mut().zip(here).zip(above).zip(below) {
            *sum = lean::<PARTS>(here.into(), above.into(), below.into());
        }
    } else {
        for (sum, &here) in weighed.iter_mut().zip(here) {
            *sum = here.into();
        }
    }
    match (across, down) {
        (true, true) => {
            let half = PARTS * PARTS / 2;
            spread::<PARTS>(weighed, out, |sum| sum.wrapping_add(half) / (PARTS * PARTS));
        }
        (true, false) => spread::<PARTS>(weighed, out, |sum| sum.wrapping_add(PARTS / 2) / PARTS),
        (false, _) => {
            for (out, sum) in out.iter_mut().zip(&*weighed) {
                *out = (sum.wrapping_add(PARTS / 2) / PARTS) as u8;
            }
        }
    }
}

/// Adds to each sum its share of the neighbours across.
#[inline(always)]
fn spread<const PARTS: u32>(sums: &[u32], out: &mut [u8], rounded: impl Fn(u32) -> u32) {
    let last = sums.len() - 1;
    for (out, three) in out[1..].iter_mut().zip(sums.windows(3)) {
        *out = rounded(lean::<PARTS>(three[1], three[0], three[2])) as u8;
    }
    out[last] = rounded(lean::<PARTS>(sums[last], sums[last.saturating_sub(1)], sums[last])) as u8;
    out[0] = rounded(lean::<PARTS>(sums[0], sums[0], sums[last.min(1)])) as u8;
}

/// Sums a value and its neighbours, one part from each neighbour.
#[inline(always)]
fn lean<const PARTS: u32>(this: u32, before: u32, after: u32) -> u32 {
    (PARTS - 2).wrapping_mul(this).wrapping_add(before).wrapping_add(after)
}

struct Reduced<'a, S> {
    /// Transform of components that need no reducing.
    whole: Whole<'a, S>,
    shapes: [(usize, usize); 3],
    folds: &'a [Fold; 3],
}

impl<S: Simd> Transform for Reduced<'_, S> {
    #[inline(always)]
    fn points(&self, component: usize) -> (usize, usize) {
        self.shapes[component]
    }

    #[inline(always)]
    fn block(&self, component: usize, scan: &mut Scan<'_, '_>, out: &mut [u8], stride: usize) -> bool {
        let fold = &self.folds[component];
        match self.shapes[component] {
            (8, 8) => self.whole.block(component, scan, out, stride),
            (4, 4) => reduce::<4, 4>(fold, scan, out, stride),
            (2, 2) => reduce::<2, 2>(fold, scan, out, stride),
            (1, 1) => reduce::<1, 1>(fold, scan, out, stride),
            (8, 4) => reduce::<8, 4>(fold, scan, out, stride),
            (4, 8) => reduce::<4, 8>(fold, scan, out, stride),
            (4, 2) => reduce::<4, 2>(fold, scan, out, stride),
            (2, 4) => reduce::<2, 4>(fold, scan, out, stride),
            (2, 1) => reduce::<2, 1>(fold, scan, out, stride),
            (1, 2) => reduce::<1, 2>(fold, scan, out, stride),
            // Sampling that is whole or halved gives no other shape.
            _ => false,
        }
    }
}

/// Takes one block and writes its `Y` rows of `X` samples.
#[inline(always)]
fn reduce<const X: usize, const Y: usize>(
    fold: &Fold,
    scan: &mut Scan<'_, '_>,
    out: &mut [u8],
    stride: usize,
) -> bool {
    let mut folded = [[0.0_f32; X]; Y];
    let flat = folded.as_flattened_mut();
    let walked = scan.walk(|place, value| {
        let (onto, factor) = fold.0[place];
        flat[usize::from(onto)] += f32::from(value) * factor;
    });
    let Some(any) = walked else { return false };
    let rows = if any { transform(&folded) } else { [[folded[0][0]; X]; Y] };
    for (row, line) in rows.iter().zip(out.chunks_mut(stride)) {
        for (sample, &value) in line.iter_mut().zip(row) {
            // Half up; the cast clamps.
            *sample = (value + 128.5) as u8;
        }
    }
    true
}

/// The inverse transform of `Y` × `X` points, rows first.
#[inline(always)]
fn transform<const X: usize, const Y: usize>(folded: &[[f32; X]; Y]) -> [[f32; X]; Y] {
    let (across, down) = (const { cosines::<X>() }, const { cosines::<Y>() });
    let mut rows = [[0.0_f32; X]; Y];
    for (row, coefficients) in rows.iter_mut().zip(folded) {
        for (&coefficient, cosines) in coefficients.iter().zip(&across) {
            for (value, &cosine) in row.iter_mut().zip(cosines) {
                *value += coefficient * cosine;
            }
        }
    }
    let mut out = [[0.0_f32; X]; Y];
    for (row, cosines) in rows.iter().zip(&down) {
        for (line, &cosine) in out.iter_mut().zip(cosines) {
            for (sum, &value) in line.iter_mut().zip(row) {
                *sum += value * cosine;
            }
        }
    }
    out
}

/// The target of each coefficient, in zigzag order, and its factor: quantisation, norm and averaging in one.
struct Fold([(u8, f32); 64]);

impl Fold {
    fn new((across, down): (usize, usize), steps: &[i16; 64]) -> Self {
        Self(std::array::from_fn(|place| {
            let natural = usize::from(NATURAL[place]);
            let (u, x_factor) = folded(natural % 8, across);
            let (v, y_factor) = folded(natural / 8, down);
            ((v * across + u) as u8, (x_factor * y_factor * f64::from(steps[place])) as f32)
        }))
    }
}

/// Returns the frequency of `points` onto which a frequency of 8 points falls when neighbours are averaged,
/// and its factor, the norm of the DCT included.
fn folded(frequency: usize, points: usize) -> (usize, f64) {
    let (mut u, mut left) = (frequency, 8);
    let mut factor = if frequency == 0 { 0.5 * COSINES[4] } else { 0.5 };
    while left > points {
        factor *= cosine(u * 8 / left);
        left /= 2;
        if u == left {
            return (0, 0.0);
        }
        if u > left {
            (u, factor) = (2 * left - u, -factor);
        }
    }
    (u, factor)
}

/// cos(k π / 16) for k = 0 to 8, written out so that every machine uses the same numbers.
const COSINES: [f64; 9] = [
    1.0,
    0.980_785_280_403_230_4,
    0.923_879_532_511_286_7,
    0.831_469_612_302_545_2,
    std::f64::consts::FRAC_1_SQRT_2,
    0.555_570_233_019_602_2,
    0.382_683_432_365_089_8,
    0.195_090_322_016_128_27,
    0.0,
];

/// cos(k π / 16).
const fn cosine(k: usize) -> f64 {
    match k % 32 {
        k @ 0..=8 => COSINES[k],
        k @ 9..=16 => -COSINES[16 - k],
        k @ 17..=24 => -COSINES[k - 16],
        k => COSINES[32 - k],
    }
}

/// Per frequency, its cosine at each of `N` points.
const fn cosines<const N: usize>() -> [[f32; N]; N] {
    let mut table = [[0.0; N]; N];
    let mut u = 0;
    while u < N {
        let mut k = 0;
        while k < N {
            table[u][k] = cosine((2 * k + 1) * u * 8 / N) as f32;
            k += 1;
        }
        u += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

    use super::*;
    use crate::backend::tiff::jpeg_baseline::decode;

    const SIDE: usize = 96;

    /// Soft colours with sharp edges, well inside the range of a byte.
    fn stream(sampling: SamplingFactor, gray: bool) -> Vec<u8> {
        let channels = if gray { 1 } else { 3 };
        let places = (0..SIDE * SIDE).flat_map(|i| (0..channels).map(move |c| (i % SIDE, i / SIDE, c)));
        let values = places.map(|(x, y, c)| {
            let edge = if (x / 5 + y / 7).is_multiple_of(2) { 40 } else { 0 };
            (70 + (x * (c + 1) + y * 2) % 60 + edge) as u8
        });
        let pixels: Vec<u8> = values.collect();
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out, 90);
        encoder.set_sampling_factor(sampling);
        let kind = if gray { ColorType::Luma } else { ColorType::Rgb };
        encoder.encode(&pixels, SIDE as u16, SIDE as u16, kind).unwrap();
        out
    }

    fn decoded(stream: &[u8], shift: u32) -> Vec<u8> {
        let mut header = Header::default();
        let start = header.read(stream).unwrap().unwrap();
        let side = SIDE >> shift;
        let mut pixels = vec![9; side * side * 3];
        let mut target = Target { pixels: &mut pixels, width: side, height: side };
        let mut work = Workspace::default();
        match shift {
            0 => decode(&header, &stream[start..], Colours::Rgb, &mut work, &mut target).unwrap(),
            _ => decode_reduced(&header, &stream[start..], Colours::Rgb, shift, &mut work, &mut target)
                .unwrap(),
        }
        pixels
    }

    fn averaged(pixels: &[u8], shift: u32) -> Vec<u8> {
        let (factor, side) = (1 << shift, SIDE >> shift);
        let mut out = Vec::new();
        for (y, x, c) in (0..side).flat_map(|y| (0..side).flat_map(move |x| (0..3).map(move |c| (y, x, c)))) {
            let places =
                (0..factor * factor).map(|i| (y * factor + i / factor) * SIDE + x * factor + i % factor);
            let sum: usize = places.map(|at| usize::from(pixels[at * 3 + c])).sum();
            out.push(((sum + factor * factor / 2) / (factor * factor)) as u8);
        }
        out
    }

    fn apart(a: &[u8], b: &[u8], channel: usize) -> (u8, f64) {
        let off: Vec<u8> = a.iter().zip(b).skip(channel).step_by(3).map(|(a, b)| a.abs_diff(*b)).collect();
        let sum: f64 = off.iter().copied().map(f64::from).sum();
        (*off.iter().max().unwrap(), sum / off.len() as f64)
    }

    #[test]
    fn reduced_samples_are_means_of_whole_ones() {
        for shift in 1..=3 {
            // Components as they are: no conversion hides or adds an error.
            for (sampling, gray) in [(SamplingFactor::F_1_1, false), (SamplingFactor::F_1_1, true)] {
                let stream = stream(sampling, gray);
                let (ours, means) = (decoded(&stream, shift), averaged(&decoded(&stream, 0), shift));
                for channel in 0..3 {
                    let (most, mean) = apart(&ours, &means, channel);
                    assert!(most <= 1 && mean < 0.3, "1/{}: {most}, {mean}", 1 << shift);
                }
            }
        }
    }

    #[test]
    fn halved_chroma_is_averaged_as_it_is_filtered() {
        use SamplingFactor::{F_1_2, F_2_1, F_2_2};
        for shift in 1..=3 {
            for sampling in [F_2_1, F_1_2, F_2_2] {
                let stream = stream(sampling, false);
                let (ours, means) = (decoded(&stream, shift), averaged(&decoded(&stream, 0), shift));
                for channel in 0..3 {
                    let (most, mean) = apart(&ours, &means, channel);
                    let limit = if shift == 1 { (1, 0.35) } else { (3, 0.6) };
                    assert!(
                        most <= limit.0 && mean < limit.1,
                        "channel {channel} at 1/{} {sampling:?}: {most}, {mean}",
                        1 << shift
                    );
                }
            }
        }
    }

    #[test]
    fn cut_and_rotten_streams_are_no_danger() {
        let sound = stream(SamplingFactor::F_2_2, false);
        let mut header = Header::default();
        let start = header.read(&sound).unwrap().unwrap();
        let mut pixels = vec![0; SIDE * SIDE * 3 / 4];
        let mut work = Workspace::default();
        let mut attempt = |data: &[u8]| {
            let mut target = Target { pixels: &mut pixels, width: SIDE / 2, height: SIDE / 2 };
            decode_reduced(&header, data, Colours::YCbCr, 1, &mut work, &mut target)
        };
        for end in start..sound.len() - 40 {
            assert!(attempt(&sound[start..end]).is_err(), "cut at {end}");
        }
        for at in start..sound.len() {
            let mut rotten = sound.clone();
            rotten[at] ^= 0x81;
            _ = attempt(&rotten[start..]);
        }
    }
}
