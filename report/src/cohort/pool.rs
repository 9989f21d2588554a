//! Quantities over all cells of a group together: cells and divisors are summed over its slides, then divided.

use std::collections::BTreeMap;

use measures::{
    Measures,
    index::{AreaOf, Counts, IndexValue, Over, Selection},
    interval::Level,
};

use super::findings::{DENSITY, Finding, Quantity, SHARE};
use crate::measured::unit;

/// Divisors of all quantities that can be summed, by name and unit.
#[derive(Debug)]
pub(super) struct Divisors(BTreeMap<(String, String), Over>);

impl Divisors {
    /// Those of densities, shares of cells and the measures of a definition.
    pub(super) fn new(definition: &Measures) -> Self {
        let area = |of| Over::Area { mm2: 1.0, of };
        let spots = definition.hot_spots.iter().map(|spot| (spot.name.as_str(), area(AreaOf::All)));
        let indices = definition.indices.iter().map(|index| (index.name.as_str(), index.over.clone()));
        let densities = [AreaOf::All, AreaOf::Tissue].map(|of| (DENSITY, area(of)));
        let counted = densities.into_iter().chain([(SHARE, Over::Share(Selection::default()))]);
        let all = spots.chain(indices).chain(counted);
        Self(all.map(|(name, over)| ((name.to_owned(), unit(&over)), over)).collect())
    }

    /// The quantity over all cells of some findings of it, with the interval of its kind. `None` where nothing says how
    /// to divide, a finding lacks its counts, or there is nothing to divide by.
    pub(super) fn pooled(&self, quantity: &Quantity, findings: &[&Finding]) -> Option<IndexValue> {
        let over = self.0.get(&(quantity.name.clone(), quantity.unit.clone()))?;
        let counts: Vec<Counts> =
            findings.iter().map(|finding| counts(over, finding)).collect::<Option<_>>()?;
        Some(over.value(counts.into_iter().sum(), Level::PERCENT_95)).filter(|pooled| pooled.value.is_some())
    }
}

/// The counts of one slide.
fn counts(over: &Over, finding: &Finding) -> Option<Counts> {
    let (cells, divisor) = (finding.cells?, finding.over?);
    Some(match over {
        Over::Area { .. } => Counts { cells, area_mm2: divisor, ..Counts::default() },
        Over::Share(_) | Over::Ratio(_) => Counts { cells, others: divisor as u64, ..Counts::default() },
        Over::HScore { .. } => {
            Counts { cells, others: divisor as u64, stronger: finding.stronger?, ..Counts::default() }
        }
    })
}

#[cfg(test)]
mod tests {
    use measures::interval::{poisson, wilson};

    use super::{
        super::findings::{PER_MM2, PER_MM2_TISSUE},
        *,
    };

    const WANTED: &str = r#"
[[hot-spot]]
name = "hot"
cells = {}
area-mm2 = 0.5

[[index]]
name = "Ki-67"
of = { class = ["positive"] }
share-of = {}

[[index]]
name = "mitoses"
of = { class = ["mitosis"] }
per-mm2 = 2

[[index]]
name = "ratio"
of = { class = ["positive"] }
ratio-to = { class = ["negative"] }

[[h-score]]
name = "ER"
cells = {}
column = "dab_od"
from = [0.1, 0.3, 0.6]
"#;

    fn finding(name: &str, unit: &str, cells: u64, over: f64, stronger: Option<[u64; 2]>) -> Finding {
        let quantity = Quantity { name: name.into(), place: "slide".into(), class: None, unit: unit.into() };
        Finding { quantity, value: 0.0, cells: Some(cells), over: Some(over), stronger, note: None }
    }

    fn pooled(one: Finding, other: &Finding) -> Option<IndexValue> {
        let divisors = Divisors::new(&Measures::from_toml(WANTED).unwrap());
        divisors.pooled(&one.quantity, &[&one, other])
    }

    /// Slides of 10 and of 1,000 cells have a mean of 50.5 %: the small one would count as much as the large one.
    #[test]
    fn counts_and_divisors_are_summed_before_they_are_divided() {
        let level = Level::PERCENT_95;
        let share = |cells, all| finding("Ki-67", "share", cells, all, None);
        let found = pooled(share(10, 10.0), &share(10, 1000.0)).unwrap();
        assert_eq!((found.value, (found.low, found.high)), (Some(20.0 / 1010.0), wilson(20, 1010, level)));

        let count = |cells, mm2| finding("mitoses", "per 2 mm²", cells, mm2, None);
        let found = pooled(count(3, 1.0), &count(0, 3.0)).unwrap();
        let (low, high) = poisson(3, level);
        assert_eq!((found.value, found.low, found.high), (Some(1.5), low / 2.0, high / 2.0));

        let ratio = |cells, others| finding("ratio", "ratio", cells, others, None);
        let found = pooled(ratio(2, 0.0), &ratio(1, 0.0));
        assert_eq!(found, None, "nothing to divide by");
        assert_eq!(pooled(ratio(2, 3.0), &ratio(1, 3.0)).unwrap().value, Some(0.5));

        let spot = |cells| finding("hot", "per mm²", cells, 0.5, None);
        assert_eq!(pooled(spot(30), &spot(10)).unwrap().value, Some(40.0));
    }

    #[test]
    fn an_h_score_is_pooled_by_its_strengths() {
        let score = |cells, all, stronger| finding("ER", "of 300", cells, all, stronger);
        let found = pooled(score(60, 100.0, Some([30, 10])), &score(0, 100.0, Some([0, 0]))).unwrap();
        assert_eq!(found.value, Some(50.0));
        let whole = Over::HScore { all: Selection::default(), stronger: Default::default() };
        let counts = Counts { cells: 60, others: 200, stronger: [30, 10], area_mm2: 0.0 };
        assert_eq!(found, whole.value(counts, Level::PERCENT_95));
        assert_eq!(pooled(score(60, 100.0, None), &score(0, 100.0, Some([0, 0]))), None, "an older table");
    }

    /// A measure may be called as one of our own quantities.
    #[test]
    fn quantities_are_told_apart_by_their_unit_too() {
        let text = WANTED.replace("name = \"Ki-67\"", "name = \"density\"");
        let divisors = Divisors::new(&Measures::from_toml(&text).unwrap());
        let value = |unit: &str| {
            let one = finding(DENSITY, unit, 5, 10.0, None);
            divisors.pooled(&one.quantity, &[&one]).map(|found| (found.value.unwrap(), found.high < 1.0))
        };
        assert_eq!(value("share"), Some((0.5, true)));
        assert_eq!([PER_MM2, PER_MM2_TISSUE].map(value), [Some((0.5, false)); 2]);
        assert_eq!(value("ratio"), None);
    }
}
