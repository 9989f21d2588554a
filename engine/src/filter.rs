//! Filters of cells as typed: ranges that a cell's measures must lie in for it to stay.

use merger::{CellFilter, CellMeasure, filters::Range};

use crate::{checks::nearest, error::JobError};

/// Parses `MEASURE=MIN..MAX` pairs; either end may be left out.
pub(crate) fn parse(pairs: &[String]) -> Result<CellFilter, JobError> {
    let mut filter = CellFilter::default();
    for text in pairs {
        let (measure, range) = text.split_once('=').unwrap_or((text, ""));
        let slot = filter.range_mut(measure).ok_or_else(|| no_filter(measure))?;
        *slot = parse_range(range).ok_or_else(|| {
            JobError::usage(format!("--filter is {text:?}, expected a range such as {measure}=10..500"))
        })?;
    }
    Ok(filter)
}

/// Refuses a word that names no range, and says where columns that have none are chosen by.
fn no_filter(measure: &str) -> JobError {
    if CellMeasure::named(measure).is_some() {
        return JobError::usage(format!(
            "--filter takes no {measure}, which is measured of the cells that are left: choose by it in measures (`where`); \
             expected one of {}",
            CellFilter::MEASURES.join(", ")
        ));
    }
    let hint = nearest(measure, CellFilter::MEASURES.into_iter());
    JobError::usage(format!("--filter: unknown measure {measure:?}{hint}"))
}

fn parse_range(text: &str) -> Option<Range> {
    let (min, max) = text.split_once("..")?;
    let [min, max] = [min, max].map(|end| match end.trim() {
        "" => Some(None),
        number => number.parse::<f64>().ok().filter(|number| number.is_finite()).map(Some),
    });
    let range = Range { min: min?, max: max? };
    let in_order = range.min.zip(range.max).is_none_or(|(min, max)| min <= max);
    (in_order && range != Range::default()).then_some(range)
}

/// Writes the ranges of a filter as they are typed.
pub(crate) fn describe(filter: &CellFilter) -> Vec<String> {
    let mut filter = *filter;
    let described = CellFilter::MEASURES.into_iter().filter_map(|measure| {
        let range = filter.range_mut(measure).copied().filter(|range| *range != Range::default())?;
        let [min, max] =
            [range.min, range.max].map(|end| end.map_or_else(String::new, |value| value.to_string()));
        Some(format!("{measure}={min}..{max}"))
    });
    described.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_is_measured_later_is_refused_with_where_it_can_be_chosen_by() {
        let refused = |text: &str| parse(&[text.to_owned()]).unwrap_err().to_string();
        assert!(
            refused("nn1_um=5..").contains("--filter takes no nn1_um")
                && refused("nn1_um=5..").contains("`where`")
        );
        assert_eq!(
            refused("solidty=0.5.."),
            "--filter: unknown measure \"solidty\", did you mean \"solidity\"?"
        );
    }
}
