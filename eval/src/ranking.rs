//! Predictions by falling score, each a hit or a false mark: the list from which average precision, PR, FROC
//! and calibration are read.

/// One prediction that counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    /// Score of the model.
    pub score: f32,
    /// The image's place.
    pub image: u32,
    /// `true` if it was matched one to one with a truth object.
    pub hit: bool,
}

/// All predictions that count (ignored ones are left out), surest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    marks: Vec<Mark>,
    positives: Vec<u32>,
}

impl Ranking {
    /// Sorts `marks` by falling score; equal scores stay in the order given,
    /// which by convention is images in order, then file order.
    ///
    /// `positives[image]` is the number of truth objects that count there; its
    /// length is the number of images looked at.
    #[must_use]
    pub fn new(mut marks: Vec<Mark>, positives: Vec<u32>) -> Self {
        marks.sort_by(|a, b| b.score.total_cmp(&a.score));
        Self::from_sorted(marks, positives)
    }

    /// As [`Ranking::new`], from marks that are already sorted.
    pub(crate) fn from_sorted(marks: Vec<Mark>, positives: Vec<u32>) -> Self {
        Self { marks, positives }
    }

    /// The marks, surest first.
    #[must_use]
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Truth objects that count, by image.
    #[must_use]
    pub fn positives(&self) -> &[u32] {
        &self.positives
    }

    /// Number of images looked at.
    #[must_use]
    pub fn images(&self) -> usize {
        self.positives.len()
    }

    /// Truth objects that count, in a draw of images.
    #[must_use]
    pub fn positives_in(&self, draw: &Draw) -> f64 {
        self.positives.iter().zip(&draw.0).map(|(&n, &times)| f64::from(n) * f64::from(times)).sum()
    }

    /// Hits and false marks with a score of at least each distinct score, from
    /// the surest on. Marks of equal score cannot be told apart by a
    /// threshold, so they enter together.
    pub fn steps<'a>(&'a self, draw: &'a Draw) -> impl Iterator<Item = Step> + 'a {
        let (mut hits, mut false_marks) = (0.0, 0.0);
        self.marks.chunk_by(|a, b| a.score == b.score).map(move |tied| {
            for mark in tied {
                let times = draw.times(mark.image);
                if mark.hit { hits += times } else { false_marks += times }
            }
            Step { threshold: tied[0].score, hits, false_marks }
        })
    }
}

/// Counts of predictions at or over one score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The score.
    pub threshold: f32,
    /// Predictions matched with a truth object.
    pub hits: f64,
    /// Predictions matched with nothing.
    pub false_marks: f64,
}

/// Number of times each image counts: once for the plain figures, drawn with replacement for the bootstrap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draw(Vec<u32>);

impl Draw {
    /// Every image once.
    #[must_use]
    pub fn each_once(images: usize) -> Self {
        Self(vec![1; images])
    }

    /// A draw in which image `i` counts `times[i]` times.
    #[must_use]
    pub fn from_times(times: Vec<u32>) -> Self {
        Self(times)
    }

    /// Number of times `image` counts.
    #[must_use]
    pub fn times(&self, image: u32) -> f64 {
        f64::from(self.0[image as usize])
    }

    /// Number of images, repeats counted.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.0.iter().map(|&times| f64::from(times)).sum()
    }

    /// The sum of a figure over the images drawn.
    #[must_use]
    pub fn sum(&self, per_image: impl IntoIterator<Item = f64>) -> f64 {
        per_image.into_iter().zip(&self.0).map(|(value, &times)| value * f64::from(times)).sum()
    }
}
