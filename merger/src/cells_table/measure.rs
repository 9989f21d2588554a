//! Columns of numbers that cells can be chosen by.

use super::row::CellRow;
use crate::column::StoredRow as _;

/// A column of numbers of the cells table.
#[derive(Debug, Clone, Copy)]
pub struct CellMeasure {
    name: &'static str,
    needs: Option<&'static str>,
    of: fn(&CellRow) -> Option<f64>,
}

impl CellMeasure {
    /// All of them, in the order of the table, with those that only some tables have.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let columns = CellRow::columns().into_iter();
        let measures = columns
            .filter_map(|column| Some(Self { name: column.name, needs: column.needs, of: column.measure? }));
        measures.collect()
    }

    /// The column of that name; `None` where there is none, or one of other things than numbers.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|measure| measure.name == name)
    }

    /// The name of the column.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The option or the model that a run needs to measure it; `None` if every run does.
    #[must_use]
    pub fn needs(&self) -> Option<&'static str> {
        self.needs
    }

    /// The value of a cell in the unit of the column; `None` where it was not measured.
    #[must_use]
    pub fn of(&self, cell: &CellRow) -> Option<f64> {
        (self.of)(cell)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float32Array, Int32Array};
    use arrow_schema::DataType;

    use super::*;
    use crate::feature::Feature;

    /// Places, ids and flags are no measures; all else that is a number is.
    #[test]
    fn every_number_of_every_feature_is_a_measure() {
        let of_feature = CellRow::columns().into_iter().filter(|column| column.feature.is_some());
        let numbers: BTreeSet<&str> = of_feature
            .filter(|column| !matches!(column.kind, DataType::List(_)))
            .map(|column| column.name)
            .collect();
        let measures = CellMeasure::all();
        let names: BTreeSet<&str> = measures.iter().map(CellMeasure::name).collect();
        assert!(numbers.len() > 15 && numbers.is_subset(&names), "{numbers:?}, {names:?}");
        let needs = |name: &str| CellMeasure::named(name).and_then(|measure| measure.needs());
        assert_eq!(needs("clustering_entropy"), Some(Feature::Neighbours.asked_with()));
        assert_eq!((needs("distance_um"), needs("score")), (Some("--within"), None));
        assert!(CellMeasure::named("n_by_class_50um").is_none() && CellMeasure::named("cell_id").is_none());
    }

    /// Each measure reads its own column and no other.
    #[test]
    fn a_measure_is_the_value_of_its_column() {
        for column in CellRow::columns().into_iter().filter(|column| column.measure.is_some()) {
            let mut rows = [CellRow::default()];
            (column.read)(one_number(7, &column.kind).as_ref(), &mut rows).unwrap();
            let measures = CellMeasure::all().into_iter();
            let changed: Vec<&str> = measures
                .filter(|measure| measure.of(&rows[0]) == Some(7.0))
                .map(|measure| measure.name)
                .collect();
            assert_eq!(changed, [column.name]);
        }
    }

    /// A column of one number.
    fn one_number(number: i16, kind: &DataType) -> ArrayRef {
        match kind {
            DataType::Float32 => Arc::new(Float32Array::from(vec![f32::from(number)])),
            DataType::Int32 => Arc::new(Int32Array::from(vec![i32::from(number)])),
            other => panic!("no measure is of the type {other}"),
        }
    }
}
