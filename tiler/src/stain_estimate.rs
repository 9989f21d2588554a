//! Colours of the two dyes of a slide, found on the slide itself: Macenko et al. 2009, "A method for normalizing
//! histology slides for quantitative analysis", ISBI, 1107.
//!
//! Optical densities of a px with two dyes lie in the plane of the two vectors, between them. So the plane is that of the
//! two largest principal components of all stained px, and the dyes are the outermost directions in it, but for one px in
//! a hundred on each side.

use wsi_reader::{Overview, Slide};
use wsi_types::{Absorption, Rgb, RgbBuffer, StainVectorError, StainVectors};

use crate::{fields::dense_fields, survey::Tissue};

/// Natural optical density that a stained px has in each channel (β of the paper).
const LEAST_DENSITY: f64 = 0.15;
/// Share of the px that may lie beyond a dye (α of the paper).
const BEYOND: f64 = 0.01;
/// Fewest stained px that say anything of dyes: a hundred beyond each.
const LEAST_PIXELS: usize = 10_000;

/// Reason why a slide does not tell its stain vectors.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoStainVectors {
    /// Hardly anything is stained.
    #[error("{0} of its px are stained in its densest fields, expected at least {LEAST_PIXELS}")]
    Unstained(usize),
    /// Its dyes cannot be those that were expected.
    #[error("of its densest fields: {0}")]
    Unusable(#[from] StainVectorError),
}

/// Estimates the colours of hematoxylin and DAB from up to seven fields of level 0 of at most 768 px where the slide is
/// darkest, rounded to 0.0001. One thread, about a second.
///
/// # Errors
///
/// [`NoStainVectors`] when too little is stained, or what was found is no pair of hematoxylin and DAB: on a slide with
/// one dye alone both are nearly the same.
pub fn estimate_stain_vectors(slide: &dyn Slide) -> Result<StainVectors, NoStainVectors> {
    let picture = Overview::whole(slide, Tissue::PICTURE_PX).pixels;
    let fields = dense_fields(slide, &picture, |pixel| densities(pixel).iter().sum());
    let [one, other] = outermost(fields.iter().flat_map(pixels))?.map(as_dye);
    let (hematoxylin, dab) = if redness(one) >= redness(other) { (one, other) } else { (other, one) };
    Ok(StainVectors::new(hematoxylin, dab)?)
}

fn pixels(picture: &RgbBuffer) -> impl Iterator<Item = Rgb> {
    picture.bytes().as_chunks::<3>().0.iter().copied()
}

/// Natural optical densities against a white of 255; black counts as 1.
fn densities(pixel: Rgb) -> Absorption {
    pixel.map(|value| (255.0 / f64::from(value.max(1))).ln())
}

/// How much more red than blue a dye takes away: more where it looks blue.
fn redness(dye: Absorption) -> f64 {
    dye[0] - dye[2]
}

/// A direction as numbers that are the same on every machine; noise may leave a channel a little below zero.
fn as_dye(direction: Absorption) -> Absorption {
    direction.map(|value| (value * 1e4).round().max(0.0) / 1e4)
}

/// The outermost directions, of length 1, in the plane of the stained px.
fn outermost(pixels: impl Iterator<Item = Rgb>) -> Result<[Absorption; 2], NoStainVectors> {
    let stained: Vec<Absorption> =
        pixels.map(densities).filter(|density| density.iter().all(|&value| value >= LEAST_DENSITY)).collect();
    if stained.len() < LEAST_PIXELS {
        return Err(NoStainVectors::Unstained(stained.len()));
    }
    let mean = mean(&stained);
    let across = least_direction(covariance(&stained, mean));
    // Angles are counted from the mean, about which all px lie: so none is near the half turn where angles jump.
    let along = unit(minus(mean, scaled(across, dot(mean, across))));
    let beside = cross(across, along);
    let mut angles: Vec<f64> =
        stained.iter().map(|&density| dot(density, beside).atan2(dot(density, along))).collect();
    Ok([BEYOND, 1.0 - BEYOND].map(|share| {
        let (sine, cosine) = quantile(&mut angles, share).sin_cos();
        plus(scaled(along, cosine), scaled(beside, sine))
    }))
}

/// The value below which a share of all lies, between two of them by the share of the way.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    let place = share * (values.len() - 1) as f64;
    let (_, &mut below, rest) = values.select_nth_unstable_by(place as usize, f64::total_cmp);
    let above = rest.iter().copied().min_by(f64::total_cmp).unwrap_or(below);
    below + (above - below) * place.fract()
}

fn mean(vectors: &[Absorption]) -> Absorption {
    let sum = vectors.iter().fold([0.0; 3], |sum, &vector| plus(sum, vector));
    scaled(sum, 1.0 / vectors.len() as f64)
}

/// Sums of products of deviations: the covariance, but for a factor.
fn covariance(vectors: &[Absorption], mean: Absorption) -> [Absorption; 3] {
    vectors.iter().fold([[0.0; 3]; 3], |mut sums, &vector| {
        let off = minus(vector, mean);
        for (row, &first) in sums.iter_mut().zip(&off) {
            *row = plus(*row, scaled(off, first));
        }
        sums
    })
}

/// The eigenvector of the smallest eigenvalue of a symmetric matrix, by Jacobi's rotations.
fn least_direction(mut matrix: [Absorption; 3]) -> Absorption {
    /// Each sweep about squares what is left beside the diagonal.
    const SWEEPS: usize = 30;
    let mut vectors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    for (p, q) in [(0, 1), (0, 2), (1, 2)].into_iter().cycle().take(3 * SWEEPS) {
        if matrix[p][q] == 0.0 {
            continue;
        }
        let (sine, cosine) = (0.5 * (2.0 * matrix[p][q]).atan2(matrix[q][q] - matrix[p][p])).sin_cos();
        for row in &mut matrix {
            rotate(row, (p, q), (sine, cosine));
        }
        let (first, second) = (matrix[p], matrix[q]);
        matrix[p] = minus(scaled(first, cosine), scaled(second, sine));
        matrix[q] = plus(scaled(first, sine), scaled(second, cosine));
        for row in &mut vectors {
            rotate(row, (p, q), (sine, cosine));
        }
    }
    let least = (0..3).min_by(|&a, &b| matrix[a][a].total_cmp(&matrix[b][b])).unwrap_or(0);
    vectors.map(|row| row[least])
}

/// Turns two columns of a row.
fn rotate(row: &mut Absorption, (p, q): (usize, usize), (sine, cosine): (f64, f64)) {
    (row[p], row[q]) = (cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]);
}

fn unit(vector: Absorption) -> Absorption {
    scaled(vector, 1.0 / dot(vector, vector).sqrt())
}

fn scaled(vector: Absorption, by: f64) -> Absorption {
    vector.map(|value| value * by)
}

fn plus(a: Absorption, b: Absorption) -> Absorption {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

fn minus(a: Absorption, b: Absorption) -> Absorption {
    plus(a, scaled(b, -1.0))
}

fn dot(a: Absorption, b: Absorption) -> f64 {
    a.iter().zip(&b).map(|(a, b)| a * b).sum()
}

fn cross(a: Absorption, b: Absorption) -> Absorption {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

#[cfg(test)]
mod tests {
    use wsi_reader::MemorySlide;

    use super::*;

    /// A slide whose px are mixtures of two dyes, of 0 to 0.7 of each; `parts` of each are in use.
    fn mixed(vectors: StainVectors, parts: [f64; 2]) -> MemorySlide {
        let slide = MemorySlide::painted(&[(800, 700)], (256, 256), None, move |_, x, y| {
            let amounts = [(x * 7 + y * 3) % 64, (x * 5 + y * 11) % 61].map(|step| f64::from(step) * 0.012);
            let [first, second] = vectors.units();
            [0, 1, 2].map(|channel| {
                let density =
                    parts[0] * amounts[0] * first[channel] + parts[1] * amounts[1] * second[channel];
                (255.0 * 10.0_f64.powf(-density)).round() as u8
            })
        });
        slide.unwrap()
    }

    #[test]
    fn the_dyes_of_a_slide_are_found_again() {
        for text in ["0.65,0.70,0.29/0.27,0.57,0.78", "0.55,0.76,0.35/0.35,0.55,0.76"] {
            let known: StainVectors = text.parse().unwrap();
            let found = estimate_stain_vectors(&mixed(known, [1.0, 1.0])).unwrap();
            for (found, known) in found.units().into_iter().zip(known.units()) {
                let angle = dot(found, known).min(1.0).acos().to_degrees();
                assert!(angle < 4.0, "{angle}°: {found:?}, {known:?}");
            }
        }
    }

    fn refused(parts: [f64; 2]) -> NoStainVectors {
        estimate_stain_vectors(&mixed(StainVectors::RUIFROK, parts)).unwrap_err()
    }

    #[test]
    fn one_dye_alone_or_none_is_refused() {
        let one = refused([1.0, 0.0]);
        assert!(matches!(one, NoStainVectors::Unusable(StainVectorError::Parallel { .. })), "{one}");
        assert_eq!(refused([0.0, 0.0]), NoStainVectors::Unstained(0));
    }

    #[test]
    fn the_least_direction_is_that_of_least_spread() {
        let axes = [[0.6, 0.0, 0.8], [0.0, 1.0, 0.0], [-0.8, 0.0, 0.6]];
        let spread = [5.0, 0.25, 1.0];
        let matrix: [Absorption; 3] = std::array::from_fn(|row| {
            std::array::from_fn(|column| {
                (0..3).map(|axis| spread[axis] * axes[axis][row] * axes[axis][column]).sum()
            })
        });
        let found = least_direction(matrix);
        assert!((dot(found, axes[1]).abs() - 1.0).abs() < 1e-12, "{found:?}");
        let diagonal = least_direction([[3.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0]]);
        assert_eq!(diagonal, [0.0, 0.0, 1.0]);
    }

    #[test]
    fn quantiles_lie_between_values_as_in_numpy() {
        let mut values = [4.0, 1.0, 3.0, 2.0, 5.0];
        assert_eq!(
            [0.0, 0.1, 0.5, 0.875, 1.0].map(|share| quantile(&mut values, share)),
            [1.0, 1.4, 3.0, 4.5, 5.0]
        );
    }
}
