//! The size of the dark blobs of a picture.
//!
//! The picture is smoothed by Gaussians of growing width; at each width the Laplacian, times the variance of
//! the Gaussian, answers most to blobs of one size whatever their contrast: the normalised Laplacian of scale
//! space, Lindeberg 1998, Int. J. Comput. Vis. 30:79. For a disc of diameter d the answer is greatest at
//! sigma = d / (2 √2).

/// Factor by which the widths of the Gaussians grow: four per octave.
pub(crate) const STEP: f64 = 1.189_207_115_002_721;
/// Narrowest Gaussian, px.
const NARROWEST: f64 = 0.8;
/// Widest Gaussian, px: blobs of about 100 px.
const WIDEST: f64 = 40.0;
/// Width of the Gaussian, in px of the plane, above which the plane is halved.
const HALVED_ABOVE: f64 = 3.2;
/// Least side of a halved plane, px.
const LEAST_SIDE: usize = 24;

/// One number per px, row by row.
#[derive(Debug, Clone)]
pub(crate) struct Plane {
    width: usize,
    values: Vec<f32>,
}

impl Plane {
    /// `values` hold whole rows.
    pub(crate) fn new(width: usize, values: Vec<f32>) -> Self {
        Self { width, values }
    }

    fn height(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    fn least_side(&self) -> usize {
        self.width.min(self.height())
    }

    fn row(&self, y: usize) -> &[f32] {
        &self.values[y * self.width..][..self.width]
    }

    /// Returns means of two by two; an odd last row or column is dropped.
    fn halved(&self) -> Self {
        let (width, height) = (self.width / 2, self.height() / 2);
        let mut values = Vec::with_capacity(width * height);
        for y in 0..height {
            let (upper, lower) = (self.row(2 * y), self.row(2 * y + 1));
            values.extend(
                (0..width)
                    .map(|x| (upper[2 * x] + upper[2 * x + 1] + lower[2 * x] + lower[2 * x + 1]) * 0.25),
            );
        }
        Self { width, values }
    }

    /// Smooths with a Gaussian of `sigma` px; past the border the last values are repeated.
    fn blurred(&self, sigma: f64) -> Self {
        let kernel = gaussian(sigma);
        let across = self.blurred_across(&kernel);
        across.blurred_down(&kernel)
    }

    fn blurred_across(&self, kernel: &[f32]) -> Self {
        let reach = kernel.len() / 2;
        let mut padded = vec![0.0; self.width + 2 * reach];
        let mut values = vec![0.0; self.values.len()];
        for (out, line) in values.chunks_exact_mut(self.width).zip(self.values.chunks_exact(self.width)) {
            padded[..reach].fill(line[0]);
            padded[reach..reach + self.width].copy_from_slice(line);
            padded[reach + self.width..].fill(line[self.width - 1]);
            for (shift, &weight) in kernel.iter().enumerate() {
                add_weighted(out, &padded[shift..][..self.width], weight);
            }
        }
        Self { width: self.width, values }
    }

    fn blurred_down(&self, kernel: &[f32]) -> Self {
        let (reach, last) = (kernel.len() / 2, self.height() - 1);
        let mut values = vec![0.0; self.values.len()];
        for (y, out) in values.chunks_exact_mut(self.width).enumerate() {
            for (shift, &weight) in kernel.iter().enumerate() {
                let from = (y + shift).saturating_sub(reach).min(last);
                add_weighted(out, self.row(from), weight);
            }
        }
        Self { width: self.width, values }
    }
}

fn add_weighted(out: &mut [f32], line: &[f32], weight: f32) {
    for (sum, &value) in out.iter_mut().zip(line) {
        *sum += weight * value;
    }
}

/// Returns weights that sum to 1, out to three sigma.
fn gaussian(sigma: f64) -> Vec<f32> {
    let reach = (3.0 * sigma).ceil().max(1.0) as i32;
    let weights = (-reach..=reach).map(|at| (-f64::from(at * at) / (2.0 * sigma * sigma)).exp());
    let sum: f64 = weights.clone().sum();
    weights.map(|weight| (weight / sum) as f32).collect()
}

/// Strength of the answers of blobs of one size, on average over the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BlobAnswer {
    /// Width of the Gaussian, px of the picture.
    pub(crate) sigma: f64,
    /// Mean of the squares of the answers of dark blobs; others count as 0.
    pub(crate) second: f64,
    /// Mean of their third powers.
    pub(crate) third: f64,
    /// Mean of their fourth powers: mainly the answers of the darkest and roundest blobs.
    pub(crate) fourth: f64,
}

/// Returns the answers over all widths, narrowest first. Few for small pictures, where the border takes up
/// all of the wider ones; none for pictures of a few px.
pub(crate) fn blob_answers(picture: Plane) -> Vec<BlobAnswer> {
    let mut answers = Vec::new();
    if picture.least_side() < LEAST_SIDE {
        return answers;
    }
    // Px of the picture per px of the plane, and the width it was smoothed by.
    let (mut plane, mut downsample, mut smoothed) = (picture, 1.0, 0.0f64);
    let mut sigma = NARROWEST;
    while sigma < WIDEST {
        while sigma / downsample > HALVED_ABOVE && plane.least_side() >= 2 * LEAST_SIDE {
            // A mean of two by two adds a variance of 1/4 px².
            smoothed = (smoothed * smoothed + 0.25).sqrt() / 2.0;
            plane = plane.halved();
            downsample *= 2.0;
        }
        let wanted = sigma / downsample;
        plane = plane.blurred((wanted * wanted - smoothed * smoothed).max(0.01).sqrt());
        smoothed = wanted;
        let Some(answer) = blob_answer(&plane, wanted) else { break };
        answers.push(BlobAnswer { sigma, ..answer });
        sigma *= STEP;
    }
    answers
}

/// Returns the answer of a plane smoothed by `sigma` px; `None` if all of it is border.
fn blob_answer(plane: &Plane, sigma: f64) -> Option<BlobAnswer> {
    let margin = (1.5 * sigma).ceil() as usize;
    let (columns, rows) =
        (margin..plane.width.checked_sub(margin)?, margin..plane.height().checked_sub(margin)?);
    let variance = (sigma * sigma) as f32;
    let (mut second, mut third, mut fourth) = (0.0, 0.0, 0.0);
    for y in rows.clone() {
        let (above, here, below) = (plane.row(y - 1), plane.row(y), plane.row(y + 1));
        let (mut squares, mut cubes, mut fourths) = (0.0f32, 0.0f32, 0.0f32);
        for x in columns.clone() {
            let around = above[x] + below[x] + here[x - 1] + here[x + 1];
            let answer = ((4.0 * here[x] - around) * variance).max(0.0);
            let square = answer * answer;
            squares += square;
            cubes += square * answer;
            fourths += square * square;
        }
        second += f64::from(squares);
        third += f64::from(cubes);
        fourth += f64::from(fourths);
    }
    let px = (columns.len() * rows.len()) as f64;
    (px >= 16.0).then(|| BlobAnswer { sigma, second: second / px, third: third / px, fourth: fourth / px })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Discs of one size on a ground of 0, far enough apart to be blobs.
    fn discs(side: usize, diameter: f64) -> Plane {
        let pitch = diameter * 2.5;
        let values = (0..side * side).map(|at| {
            let [x, y] =
                [at % side, at / side].map(|along| (along as f64 + 0.5).rem_euclid(pitch) - pitch / 2.0);
            let outside = (x * x + y * y).sqrt() - diameter / 2.0;
            (0.5 - outside).clamp(0.0, 1.0) as f32 * 0.6
        });
        Plane::new(side, values.collect())
    }

    fn strongest(answers: &[BlobAnswer]) -> f64 {
        answers.iter().max_by(|a, b| a.fourth.total_cmp(&b.fourth)).map_or(0.0, |answer| answer.sigma)
    }

    #[test]
    fn discs_answer_most_at_their_own_size() {
        for diameter in [6.0, 11.0, 20.0, 43.0] {
            let sigma = strongest(&blob_answers(discs(500, diameter)));
            let off = sigma * 8f64.sqrt() / diameter;
            assert!((0.84..1.19).contains(&off), "{diameter} px seen as {:.1}", sigma * 8f64.sqrt());
        }
    }

    #[test]
    fn the_answer_at_the_best_width_does_not_depend_on_size() {
        // Lindeberg's normalisation: a disc of contrast c answers 2 c / e.
        let [small, large] = [10.0, 40.0].map(|diameter| {
            let answers = blob_answers(discs(500, diameter));
            let best = answers.iter().max_by(|a, b| a.fourth.total_cmp(&b.fourth)).copied();
            best.map_or(0.0, |best| best.fourth / best.second)
        });
        assert!((small / large - 1.0).abs() < 0.25, "{small} and {large}");
    }

    #[test]
    fn flat_and_tiny_pictures_have_no_blobs() {
        let flat = blob_answers(Plane::new(100, vec![0.4; 100 * 80]));
        assert!(!flat.is_empty() && flat.iter().all(|answer| answer.fourth < 1e-20));
        assert_eq!(blob_answers(Plane::new(20, vec![0.4; 400])), []);
        assert_eq!(blob_answers(Plane::new(0, Vec::new())), []);
        assert!(blob_answers(discs(60, 10.0)).len() < blob_answers(discs(500, 10.0)).len());
    }
}
