//! Colours of the two dyes of a slide for immunohistochemistry.

use std::{fmt, str::FromStr};

/// Optical densities of red, green and blue that a dye gives, in proportion.
pub type Absorption = [f64; 3];

/// Colours of hematoxylin and DAB, as they are stated; lengths do not matter. Neither is black, and they are at least
/// [`LEAST_ANGLE_DEG`](Self::LEAST_ANGLE_DEG) apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StainVectors {
    hematoxylin: Absorption,
    dab: Absorption,
}

impl StainVectors {
    /// Those of Ruifrok and Johnston 2001, Anal. Quant. Cytol. Histol. 23:291.
    pub const RUIFROK: Self = Self { hematoxylin: [0.65, 0.70, 0.29], dab: [0.27, 0.57, 0.78] };

    /// Smallest angle between two dyes that can be told apart, degrees. The published ones are 37° apart.
    pub const LEAST_ANGLE_DEG: f64 = 10.0;

    /// Checks two colours.
    ///
    /// # Errors
    ///
    /// [`StainVectorError`] when a number is negative or none, a vector is zero, or the two are nearly parallel or in the
    /// wrong order.
    pub fn new(hematoxylin: Absorption, dab: Absorption) -> Result<Self, StainVectorError> {
        check("hematoxylin", hematoxylin)?;
        check("DAB", dab)?;
        let vectors = Self { hematoxylin, dab };
        let angle_deg = vectors.angle_deg();
        if angle_deg < Self::LEAST_ANGLE_DEG {
            return Err(StainVectorError::Parallel { angle_deg });
        }
        let [first, second] = vectors.units();
        if first[0] - first[2] <= second[0] - second[2] {
            return Err(StainVectorError::Swapped);
        }
        Ok(vectors)
    }

    /// Both colours at length 1: hematoxylin, DAB.
    #[must_use]
    pub fn units(&self) -> [Absorption; 2] {
        [self.hematoxylin, self.dab].map(unit)
    }

    /// Angle between the two, degrees.
    #[must_use]
    pub fn angle_deg(&self) -> f64 {
        let [first, second] = self.units();
        length(cross(first, second)).atan2(dot(first, second)).to_degrees()
    }
}

/// The vector at length 1; it is not zero.
fn unit(vector: Absorption) -> Absorption {
    let length = length(vector);
    vector.map(|value| value / length)
}

fn length(vector: Absorption) -> f64 {
    dot(vector, vector).sqrt()
}

fn dot(a: Absorption, b: Absorption) -> f64 {
    a.iter().zip(&b).map(|(a, b)| a * b).sum()
}

fn cross(a: Absorption, b: Absorption) -> Absorption {
    [0, 1, 2].map(|at| {
        let (next, last) = ((at + 1) % 3, (at + 2) % 3);
        a[next] * b[last] - a[last] * b[next]
    })
}

fn check(dye: &'static str, vector: Absorption) -> Result<(), StainVectorError> {
    if let Some(&value) = vector.iter().find(|value| !(0.0..=LARGEST).contains(*value)) {
        return Err(StainVectorError::Number { dye, value });
    }
    if vector.iter().all(|&value| value < SMALLEST) {
        return Err(StainVectorError::Zero { dye });
    }
    Ok(())
}

/// Numbers of vectors lie about 1; others are slips, and their squares would leave the range of numbers.
const LARGEST: f64 = 1e6;
const SMALLEST: f64 = 1e-6;

/// Reason why two vectors are no dyes.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StainVectorError {
    /// The text has another form.
    #[error(
        "{0:?} is no two vectors, expected the absorption of red, green and blue by hematoxylin, a slash, and those by \
         DAB, such as {example}",
        example = StainVectors::RUIFROK
    )]
    Form(String),
    /// A dye takes light away and adds none.
    #[error("the vector of {dye} holds {value}, expected three numbers from 0 to 1000000")]
    Number {
        /// The dye.
        dye: &'static str,
        /// What was found.
        value: f64,
    },
    /// A dye without colour.
    #[error(
        "the vector of {dye} is zero, expected the absorption of red, green and blue, such as 0.65,0.70,0.29"
    )]
    Zero {
        /// The dye.
        dye: &'static str,
    },
    /// Two dyes of nearly one colour.
    #[error(
        "the vectors of hematoxylin and DAB are {angle_deg:.1}° apart, expected at least {least}°: dyes of nearly one \
         colour cannot be told apart",
        least = StainVectors::LEAST_ANGLE_DEG
    )]
    Parallel {
        /// Angle between them, degrees.
        angle_deg: f64,
    },
    /// The blue dye is the brown one.
    #[error("the first vector is browner than the second, expected hematoxylin first, then DAB")]
    Swapped,
}

impl FromStr for StainVectors {
    type Err = StainVectorError;

    fn from_str(text: &str) -> Result<Self, StainVectorError> {
        let vectors = text.split_once('/').and_then(|(first, second)| Some((three(first)?, three(second)?)));
        let (hematoxylin, dab) = vectors.ok_or_else(|| StainVectorError::Form(text.to_owned()))?;
        Self::new(hematoxylin, dab)
    }
}

fn three(text: &str) -> Option<Absorption> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    numbers?.try_into().ok()
}

/// As [`FromStr`] reads it.
impl fmt::Display for StainVectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [[a, b, c], [d, e, g]] = [self.hematoxylin, self.dab];
        write!(f, "{a},{b},{c}/{d},{e},{g}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_read_written_and_brought_to_length_1() {
        let vectors: StainVectors = "6.5, 7, 2.9/0.27,0.57,0.78".parse().unwrap();
        assert_eq!(vectors.to_string(), "6.5,7,2.9/0.27,0.57,0.78");
        assert_eq!(vectors.to_string().parse(), Ok(vectors));
        for (own, published) in
            vectors.units().into_iter().flatten().zip(StainVectors::RUIFROK.units().concat())
        {
            assert!((own - published).abs() < 1e-12, "{own}, {published}");
        }
        assert!(vectors.units().into_iter().all(|vector| (length(vector) - 1.0).abs() < 1e-12));
        assert!((vectors.angle_deg() - 37.0).abs() < 0.5, "{}", vectors.angle_deg());
        assert_eq!(StainVectors::RUIFROK.to_string().parse(), Ok(StainVectors::RUIFROK));
    }

    #[test]
    fn what_is_no_pair_of_dyes_says_why() {
        for (text, expected) in [
            ("0.65,0.70,0.29", "is no two vectors"),
            ("0.65,0.70/0.27,0.57,0.78", "such as 0.65,0.7,0.29/0.27,0.57,0.78"),
            ("0.65,0.70,x/0.27,0.57,0.78", "is no two vectors"),
            ("0.65,0.70,0.29/0.27,0.57,0.78/1,1,1", "is no two vectors"),
            ("0.65,0.70,0.29/0,0,0", "the vector of DAB is zero"),
            ("0.65,-0.70,0.29/0.27,0.57,0.78", "the vector of hematoxylin holds -0.7"),
            ("0.65,0.70,NaN/0.27,0.57,0.78", "the vector of hematoxylin holds NaN"),
            ("0.65,0.70,0.29/0.27,1e300,0.78", "the vector of DAB holds 1"),
            ("0.65,0.70,0.29/0.60,0.70,0.29", "apart, expected at least 10°"),
            ("0.65,0.70,0.29/1.3,1.4,0.58", "are 0.0° apart"),
            ("0.27,0.57,0.78/0.65,0.70,0.29", "expected hematoxylin first"),
        ] {
            let said = text.parse::<StainVectors>().unwrap_err().to_string();
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}
