//! The regions of one slide: how large they are, and how dense in cells.

use std::collections::BTreeSet;

use dataset::{RegionCount, wording::grouped};
use maud::{Markup, html};

use super::charts;

/// Classes with a column of their own.
const CLASS_COLUMNS: usize = 6;

/// A line for each kind of region; nothing for a slide that has none.
pub(super) fn table(kinds: &[RegionCount]) -> Markup {
    if kinds.is_empty() {
        return html! {};
    }
    let names: BTreeSet<&String> = kinds.iter().flat_map(|kind| kind.cells.keys()).collect();
    let columns: Vec<&String> = names.into_iter().collect();
    let columns = if (2..=CLASS_COLUMNS).contains(&columns.len()) { &columns[..] } else { &[] };
    html! {
        figure.regions {
            figcaption { "Regions" }
            div.scroll {
                table {
                    thead { tr {
                        th { "Kind" }
                        th.number { "Regions" }
                        th.number { "Area mm²" }
                        th.number.more { "Analysed mm²" }
                        th.number { "Cells" }
                        th.number { "Cells per mm²" }
                        @for name in columns { th.number.more { (name) " per mm²" } }
                    } }
                    tbody { @for kind in kinds { (line(kind, columns)) } }
                }
            }
        }
    }
}

fn line(kind: &RegionCount, columns: &[&String]) -> Markup {
    let cells: u64 = kind.cells.values().sum();
    html! {
        tr {
            th scope="row" { (kind.label()) }
            td.number { (grouped(kind.regions)) }
            td.number { (area(kind.area_mm2)) }
            td.number.more { (area(kind.analysed_mm2)) }
            td.number { (grouped(cells)) }
            td.number { (per_mm2(cells, kind)) }
            @for name in columns {
                td.number.more { (per_mm2(kind.cells.get(*name).copied().unwrap_or_default(), kind)) }
            }
        }
    }
}

/// Small regions have areas too.
fn area(mm2: f64) -> String {
    if mm2 < 0.1 { format!("{mm2:.4}") } else { format!("{mm2:.2}") }
}

fn per_mm2(cells: u64, kind: &RegionCount) -> String {
    if kind.analysed_mm2 > 0.0 { charts::per_mm2(cells as f64 / kind.analysed_mm2) } else { "–".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_area_and_its_density() {
        let kind = |kind: &str, analysed_mm2| RegionCount {
            kind: kind.into(),
            class_name: (kind == "roi").then(|| "Tumor".to_owned()),
            regions: 3,
            area_mm2: 0.05,
            analysed_mm2,
            cells: [("tumour <b>".to_owned(), 30), ("immune".to_owned(), 10)].into(),
        };
        let html = table(&[kind("tissue", 0.04), kind("stroma", 0.0), kind("roi", 0.0)]).into_string();
        for expected in
            ["0.0500", ">40<", "1\u{202f}000", "750", "250", "tumour &lt;b&gt; per mm²", "–", ">roi: Tumor<"]
        {
            assert!(html.contains(expected), "{expected}: {html}");
        }
        assert_eq!(table(&[]).into_string(), "");
    }
}
