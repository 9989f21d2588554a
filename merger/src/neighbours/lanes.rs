//! Comparisons of one place with many at once, as wide as the processor can. None of them rounds in another way than one
//! after the other, so that all processors give the same.

use multiversion::multiversion;

use super::grid::square_between;

/// Number of the places `x_um` and `y_um` whose distance from `middle` has at most this square, µm².
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2"))]
pub(super) fn count_within(square_um2: f64, middle: [f64; 2], x_um: &[f64], y_um: &[f64]) -> u64 {
    let mut count = 0_u64;
    for (&x, &y) in x_um.iter().zip(y_um) {
        // Cannot run over; a check for it would keep them from being added together.
        count = count.wrapping_add(u64::from(square_between(middle, [x, y]) <= square_um2));
    }
    count
}

/// Adds the squares of the distances of the places from `middle` to a list, µm².
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2"))]
pub(super) fn push_squares(squares: &mut Vec<f64>, middle: [f64; 2], x_um: &[f64], y_um: &[f64]) {
    squares.extend(x_um.iter().zip(y_um).map(|(&x, &y)| square_between(middle, [x, y])));
}

/// The sum of those numbers whose square is at most this.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2"))]
pub(super) fn sum_within(square_um2: f64, squares: &[f64], numbers: &[u64]) -> u64 {
    let mut sum = 0_u64;
    for (&square, &number) in squares.iter().zip(numbers) {
        sum = sum.wrapping_add(if square <= square_um2 { number } else { 0 });
    }
    sum
}
