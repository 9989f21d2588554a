//! Whether what was found depends on how slides were made: on scanner, scale, stain or date.

use measures::groups::{holm, kruskal_wallis, median};

use super::{
    findings::{CohortSlide, Quantity, SHARE, quantity_columns},
    groups::{members, quantities},
    table::{Column, Table},
};

/// The comparison of one quantity between the values of a column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Batch<'a> {
    pub(super) column: &'a str,
    pub(super) quantity: &'a Quantity,
    /// Values of the column that are compared, and slides with them.
    pub(super) levels: usize,
    pub(super) slides: usize,
    /// The values with the least and the largest median, and these.
    pub(super) lowest: (&'a str, f64),
    pub(super) highest: (&'a str, f64),
    /// Kruskal and Wallis' statistic, its probability by chance, and that corrected for all comparisons.
    pub(super) h: f64,
    pub(super) p: f64,
    pub(super) p_corrected: f64,
}

/// All comparisons that can be made, by column and quantity.
pub(super) fn batches<'a>(slides: &'a [CohortSlide], columns: &'a [String]) -> Vec<Batch<'a>> {
    // Shares say again what densities say.
    let all: Vec<_> =
        quantities(slides.iter()).into_iter().filter(|quantity| quantity.name != SHARE).collect();
    let pairs = columns.iter().flat_map(|column| all.iter().map(move |quantity| (column, *quantity)));
    let mut batches: Vec<Batch<'_>> =
        pairs.filter_map(|(column, quantity)| compared(slides, column, quantity)).collect();
    let probabilities: Vec<f64> = batches.iter().map(|batch| batch.p).collect();
    for (batch, corrected) in batches.iter_mut().zip(holm(&probabilities)) {
        batch.p_corrected = corrected;
    }
    batches
}

/// One comparison; `None` unless several values of the column have slides, and one of them more than one.
fn compared<'a>(slides: &'a [CohortSlide], column: &'a str, quantity: &'a Quantity) -> Option<Batch<'a>> {
    let levels: Vec<(&str, Vec<f64>)> = members(slides, column)
        .into_iter()
        .filter_map(|(level, members)| {
            let values: Vec<f64> = members.iter().filter_map(|slide| slide.value(quantity)).collect();
            Some((level?, values)).filter(|(_, values)| !values.is_empty())
        })
        .collect();
    let slides = levels.iter().map(|(_, values)| values.len()).sum();
    if slides == levels.len() {
        return None;
    }
    let groups: Vec<Vec<f64>> = levels.iter().map(|(_, values)| values.clone()).collect();
    let found = kruskal_wallis(&groups)?;
    let medians = levels.iter().filter_map(|(level, values)| Some((*level, median(values)?)));
    let lowest = medians.clone().min_by(|one, other| one.1.total_cmp(&other.1))?;
    let highest = medians.max_by(|one, other| one.1.total_cmp(&other.1))?;
    let levels = levels.len();
    Some(Batch {
        column,
        quantity,
        levels,
        slides,
        lowest,
        highest,
        h: found.h,
        p: found.p,
        p_corrected: found.p,
    })
}

/// A line for each comparison.
pub(super) fn table(batches: &[Batch<'_>]) -> Table {
    let mut columns = vec![Column::texts("column", batches.iter().map(|batch| Some(batch.column)))];
    columns.extend(quantity_columns(batches.iter().map(|batch| batch.quantity)));
    columns.extend([
        Column::counts("values", batches.iter().map(|batch| Some(batch.levels as u64))),
        Column::counts("slides", batches.iter().map(|batch| Some(batch.slides as u64))),
        Column::texts("lowest", batches.iter().map(|batch| Some(batch.lowest.0))),
        number("lowest_median", batches, |batch| batch.lowest.1),
        Column::texts("highest", batches.iter().map(|batch| Some(batch.highest.0))),
        number("highest_median", batches, |batch| batch.highest.1),
        number("h", batches, |batch| batch.h),
        number("p", batches, |batch| batch.p),
        number("p_corrected", batches, |batch| batch.p_corrected),
    ]);
    Table::new(columns)
}

fn number(name: &str, batches: &[Batch<'_>], of: fn(&Batch<'_>) -> f64) -> Column {
    Column::numbers(name, batches.iter().map(|batch| Some(of(batch))))
}

#[cfg(test)]
mod tests {
    use super::{super::example::slide, *};

    #[test]
    fn what_differs_between_scanners_is_found_and_what_does_not_is_not() {
        let slides: Vec<_> = (0..20_u8)
            .map(|place| {
                let (scanner, per_mm2) = if place % 2 == 0 { ("A", 1000.0) } else { ("B", 1400.0) };
                let block = ["one", "two"][usize::from(place / 10)];
                slide(
                    &format!("s{place}"),
                    &[("scanner", scanner), ("block", block)],
                    per_mm2 + f64::from(place % 10),
                )
            })
            .collect();
        let columns = ["scanner".to_owned(), "block".to_owned(), "mpp".to_owned()];
        let found = batches(&slides, &columns);
        assert_eq!(found.len(), 6, "three quantities; all slides have one scale");
        let first = &found[0];
        assert_eq!((first.column, first.levels, first.slides), ("scanner", 2, 20));
        assert_eq!((first.lowest.0, first.highest.0), ("A", "B"));
        assert!(first.p < 1e-3 && first.p_corrected > first.p && first.p_corrected < 0.01, "{first:?}");
        assert!(found.iter().filter(|batch| batch.column == "block").all(|batch| batch.p > 0.5), "{found:?}");
        assert_eq!(batches(&slides[..2], &columns), [], "a slide each");
    }
}
