//! Slides that stand apart from the others in some quantity.

use measures::groups::{APART, modified_z};

use super::{
    findings::{CohortSlide, Quantity, quantity_columns},
    groups::quantities,
    table::{Column, Table},
};

/// A slide that stands apart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outlier<'a> {
    pub(super) slide: &'a CohortSlide,
    pub(super) quantity: &'a Quantity,
    pub(super) value: f64,
    /// Distance from the median of all slides, as [`modified_z`] has it.
    pub(super) z: f64,
}

/// The slides whose modified z is beyond [`APART`], by quantity, then by slide.
pub(super) fn outliers(slides: &[CohortSlide]) -> Vec<Outlier<'_>> {
    quantities(slides.iter()).into_iter().flat_map(|quantity| apart(slides, quantity)).collect()
}

fn apart<'a>(slides: &'a [CohortSlide], quantity: &'a Quantity) -> Vec<Outlier<'a>> {
    let with: Vec<(&CohortSlide, f64)> =
        slides.iter().filter_map(|slide| Some((slide, slide.value(quantity)?))).collect();
    let values: Vec<f64> = with.iter().map(|(_, value)| *value).collect();
    let Some(distances) = modified_z(&values) else { return Vec::new() };
    let judged = with.into_iter().zip(distances).filter(|(_, z)| z.abs() > APART);
    judged.map(|((slide, value), z)| Outlier { slide, quantity, value, z }).collect()
}

/// A line for each.
pub(super) fn table(outliers: &[Outlier<'_>]) -> Table {
    let mut columns =
        vec![Column::texts("slide_id", outliers.iter().map(|outlier| Some(outlier.slide.id.as_str())))];
    columns.extend(quantity_columns(outliers.iter().map(|outlier| outlier.quantity)));
    columns.extend([
        Column::numbers("value", outliers.iter().map(|outlier| Some(outlier.value))),
        Column::numbers("z", outliers.iter().map(|outlier| Some(outlier.z))),
    ]);
    Table::new(columns)
}

#[cfg(test)]
mod tests {
    use super::{super::example::slide, *};

    #[test]
    fn a_slide_far_from_the_others_stands_apart() {
        let mut slides: Vec<_> = (0..9_u8)
            .map(|place| slide(&format!("s{place}"), &[], 1000.0 + f64::from(place) * 10.0))
            .collect();
        assert_eq!(outliers(&slides), []);
        slides.push(slide("far", &[], 5000.0));
        let found = outliers(&slides);
        assert!(
            found.iter().all(|outlier| outlier.slide.id.as_str() == "far" && outlier.z > APART),
            "{found:?}"
        );
        assert_eq!(found.len(), 3, "of all cells and of each class");
        assert!(outliers(&slides[6..]).is_empty(), "four slides judge none of them");
    }
}
