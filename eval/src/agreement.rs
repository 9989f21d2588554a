//! Counts against counts, and classes against classes.

use std::fmt;

use serde::Serialize;
use wsi_types::wording::fixed;

use crate::table::{Cell, Table};

/// Numbers of objects per image, predicted against true.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct CountAgreement {
    /// Truth objects in all images.
    pub truth: u64,
    /// Predictions at the working threshold in all images.
    pub predicted: u64,
    /// (predicted − truth) / truth over all images; `None` without truth.
    pub relative_error: Option<f64>,
    /// Mean over images of |predicted − truth|.
    pub mean_absolute_error: Option<f64>,
    /// Bland and Altman's bias: the mean over images of predicted − truth.
    pub bias: Option<f64>,
    /// Bland and Altman's 95 % limits of agreement, bias ± 1.96 sd (Lancet
    /// 1986; sd with n − 1). `None` with fewer than two images.
    pub limits: Option<(f64, f64)>,
    /// One row per image, in order: (truth, predicted), for the plot.
    pub per_image: Vec<(u32, u32)>,
}

/// Compares the counts of each image, given as (truth, predicted).
#[must_use]
pub fn count_agreement(per_image: Vec<(u32, u32)>) -> CountAgreement {
    let truth: u64 = per_image.iter().map(|(truth, _)| u64::from(*truth)).sum();
    let predicted: u64 = per_image.iter().map(|(_, predicted)| u64::from(*predicted)).sum();
    let differences: Vec<f64> = per_image.iter().map(|&(t, p)| f64::from(p) - f64::from(t)).collect();
    let bias = mean(&differences);
    CountAgreement {
        truth,
        predicted,
        relative_error: (truth > 0).then(|| (predicted as f64 - truth as f64) / truth as f64),
        mean_absolute_error: mean(&differences.iter().map(|d| d.abs()).collect::<Vec<_>>()),
        bias,
        limits: bias.zip(sample_sd(&differences)).map(|(bias, sd)| (bias - 1.96 * sd, bias + 1.96 * sd)),
        per_image,
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn sample_sd(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// Classes of matched pairs; pairs are matched without regard to class.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Confusion {
    /// Names, for rows (truth) and columns (predicted).
    pub classes: Vec<String>,
    /// `pairs[truth][predicted]`: number of matched pairs.
    pub pairs: Vec<Vec<u64>>,
    /// By truth class: number of objects matched with nothing.
    pub missed: Vec<u64>,
    /// By predicted class: number of predictions matched with nothing.
    pub false_marks: Vec<u64>,
    /// Share of matched pairs whose classes agree.
    pub accuracy: Option<f64>,
    /// Cohen's kappa of the classes of matched pairs.
    pub kappa: Option<f64>,
}

impl Confusion {
    /// An empty matrix.
    #[must_use]
    pub fn new(classes: Vec<String>) -> Self {
        let n = classes.len();
        Self {
            classes,
            pairs: vec![vec![0; n]; n],
            missed: vec![0; n],
            false_marks: vec![0; n],
            accuracy: None,
            kappa: None,
        }
    }

    /// Computes the shares once all pairs are counted.
    pub fn finish(&mut self) {
        let total: u64 = self.pairs.iter().flatten().sum();
        let same: u64 = self.pairs.iter().enumerate().map(|(i, row)| row[i]).sum();
        self.accuracy = (total > 0).then(|| same as f64 / total as f64);
        self.kappa = cohen_kappa(&self.pairs);
    }
}

impl fmt::Display for Confusion {
    /// Writes a row per truth class and a column per predicted class, each with the number that found no
    /// partner.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.classes.iter().map(|name| Cell::right(name.as_str()));
        let header = [Cell::left("")].into_iter().chain(names).chain([Cell::right("missed")]);
        let mut table = Table::new(header.collect());
        for ((name, pairs), missed) in self.classes.iter().zip(&self.pairs).zip(&self.missed) {
            let row = [Cell::left(name.as_str())].into_iter().chain(numbers(pairs));
            table.push(row.chain([number(*missed)]).collect());
        }
        table.push([Cell::left("false marks")].into_iter().chain(numbers(&self.false_marks)).collect());
        table.fmt(f)?;
        match (self.accuracy, self.kappa) {
            (Some(accuracy), Some(kappa)) => {
                writeln!(f, "same class {accuracy:.3}, kappa {}", fixed(kappa, 3))
            }
            (Some(accuracy), None) => writeln!(f, "same class {accuracy:.3}"),
            _ => Ok(()),
        }
    }
}

fn numbers(counts: &[u64]) -> impl Iterator<Item = Cell> {
    counts.iter().map(|count| number(*count))
}

fn number(count: u64) -> Cell {
    Cell::right(count.to_string())
}

/// Cohen's kappa (Educ. Psychol. Meas. 1960) of a square table of two raters'
/// classes. `None` without pairs, or when both raters know one class only, so
/// that chance alone agrees always.
#[must_use]
pub fn cohen_kappa(table: &[Vec<u64>]) -> Option<f64> {
    let total: u64 = table.iter().flatten().sum();
    if total == 0 {
        return None;
    }
    let total = total as f64;
    let observed: f64 = table.iter().enumerate().map(|(i, row)| row[i] as f64 / total).sum();
    let expected: f64 = (0..table.len())
        .map(|i| {
            let row: u64 = table[i].iter().sum();
            let column: u64 = table.iter().map(|row| row[i]).sum();
            (row as f64 / total) * (column as f64 / total)
        })
        .sum();
    (expected < 1.0).then(|| (observed - expected) / (1.0 - expected))
}

/// Fleiss' kappa (Psychol. Bull. 1971) of objects rated by several raters: `ratings[object][class]` is the
/// number of raters who chose the class. Objects may have different numbers of raters; those with fewer than
/// two say nothing about agreement and are left out. With equal numbers it is Fleiss' formula.
#[must_use]
pub fn fleiss_kappa(ratings: &[Vec<u32>]) -> Option<f64> {
    let rated: Vec<(&Vec<u32>, f64)> = (ratings.iter())
        .map(|row| (row, row.iter().copied().map(f64::from).sum::<f64>()))
        .filter(|(_, raters)| *raters >= 2.0)
        .collect();
    let all: f64 = rated.iter().map(|(_, raters)| raters).sum();
    if rated.is_empty() {
        return None;
    }
    let agreements = rated.iter().map(|(row, raters)| {
        let same: f64 = row.iter().map(|&n| f64::from(n) * (f64::from(n) - 1.0)).sum();
        same / (raters * (raters - 1.0))
    });
    let observed = agreements.sum::<f64>() / rated.len() as f64;
    let classes = rated.iter().map(|(row, _)| row.len()).max().unwrap_or(0);
    let expected: f64 = (0..classes)
        .map(|class| {
            let votes: f64 = rated.iter().filter_map(|(row, _)| row.get(class)).copied().map(f64::from).sum();
            (votes / all) * (votes / all)
        })
        .sum();
    (expected < 1.0).then(|| (observed - expected) / (1.0 - expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bland_altman_of_a_small_table() {
        let found = count_agreement(vec![(10, 12), (20, 20), (30, 34)]);
        assert_eq!((found.truth, found.predicted), (60, 66));
        assert_eq!(found.relative_error, Some(0.1));
        assert_eq!(found.bias, Some(2.0));
        let (low, high) = found.limits.unwrap();
        assert!((low - (2.0 - 3.92)).abs() < 1e-12 && (high - 5.92).abs() < 1e-12);
        assert_eq!(count_agreement(vec![(1, 2)]).limits, None);
    }

    #[test]
    fn cohen_of_a_textbook_table() {
        // 20 + 15 of 50 agree; chance 0.5.
        let kappa = cohen_kappa(&[vec![20, 5], vec![10, 15]]).unwrap();
        assert!((kappa - 0.4).abs() < 1e-12);
        assert_eq!(cohen_kappa(&[vec![7, 0], vec![0, 0]]), None);
    }

    #[test]
    fn fleiss_of_his_own_kind_of_table() {
        // The table of ten subjects and fourteen raters found in many textbooks.
        let table: [[u32; 5]; 10] = [
            [0, 0, 0, 0, 14],
            [0, 2, 6, 4, 2],
            [0, 0, 3, 5, 6],
            [0, 3, 9, 2, 0],
            [2, 2, 8, 1, 1],
            [7, 7, 0, 0, 0],
            [3, 2, 6, 3, 0],
            [2, 5, 3, 2, 2],
            [6, 5, 2, 1, 0],
            [0, 2, 2, 3, 7],
        ];
        let rows: Vec<Vec<u32>> = table.iter().map(|row| row.to_vec()).collect();
        assert!((fleiss_kappa(&rows).unwrap() - 0.20993).abs() < 1e-5);
        assert_eq!(fleiss_kappa(&[vec![1, 0]]), None);
    }
}
