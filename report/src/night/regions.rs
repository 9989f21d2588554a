//! The regions of one slide: how large they are, and how dense in cells.

use std::collections::BTreeSet;

use dataset::{
    RegionCount,
    wording::{counted, grouped},
};
use maud::{Markup, html};

use super::{charts, classes::density_interval};

/// Classes with a column of their own.
const CLASS_COLUMNS: usize = 6;

/// Lines of text of the table beside its rows: title and head.
pub(super) const LINES_AROUND: usize = 2;

/// A line for each kind of region; nothing for a slide that has none.
pub(super) fn table(kinds: &[RegionCount]) -> Markup {
    first_lines(kinds, kinds.len())
}

/// The same with the first `count` of them alone, and the number of those left out.
pub(super) fn first_lines(kinds: &[RegionCount], count: usize) -> Markup {
    if kinds.is_empty() {
        return html! {};
    }
    if count == 0 {
        return html! { p.note { (counted(kinds.len(), "kind")) " of regions: in the report." } };
    }
    let left_out = kinds.len().saturating_sub(count);
    let names: BTreeSet<&String> = kinds.iter().flat_map(|kind| kind.cells.keys()).collect();
    let columns: Vec<&String> = names.into_iter().collect();
    let columns = if (2..=CLASS_COLUMNS).contains(&columns.len()) { &columns[..] } else { &[] };
    html! {
        figure.regions {
            figcaption { "Regions" }
            div.scroll {
                table.sorts {
                    thead { tr {
                        th { "Kind" }
                        th.number { "Regions" }
                        th.number { "Area mm²" }
                        th.number.more { "Analysed mm²" }
                        th.number.more { "Tissue mm²" }
                        th.number { "Cells" }
                        th.number { "Cells per mm²" }
                        th.number.more { "95\u{a0}% interval" }
                        th.number.more { "Per mm² of tissue" }
                        @for name in columns { th.number.more { (name) " per mm²" } }
                    } }
                    tbody { @for kind in kinds.iter().take(count) { (line(kind, columns)) } }
                }
            }
            @if left_out > 0 { p.note { (counted(left_out, "more kind")) " of regions: in the report." } }
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
            td.number.more { (kind.analysed_tissue_mm2.map_or_else(|| NONE.to_owned(), area)) }
            td.number { (grouped(cells)) }
            td.number { (per_mm2(cells, kind.analysed_mm2)) }
            td.number.more { (density_interval(cells, kind.analysed_mm2)) }
            td.number.more { (per_mm2(cells, kind.analysed_tissue_mm2.unwrap_or(0.0))) }
            @for name in columns {
                td.number.more { (per_mm2(kind.cells.get(*name).copied().unwrap_or_default(), kind.analysed_mm2)) }
            }
        }
    }
}

/// What stands where a number is not known, or there is none.
const NONE: &str = "–";

/// Small regions have areas too.
fn area(mm2: f64) -> String {
    if mm2 < 0.1 { format!("{mm2:.4}") } else { format!("{mm2:.2}") }
}

fn per_mm2(cells: u64, mm2: f64) -> String {
    if mm2 > 0.0 { charts::per_mm2(cells as f64 / mm2) } else { NONE.to_owned() }
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
            analysed_tissue_mm2: (kind == "tissue").then_some(analysed_mm2 / 2.0),
            cells: [("tumour <b>".to_owned(), 30), ("immune".to_owned(), 10)].into(),
        };
        let html = table(&[kind("tissue", 0.04), kind("stroma", 0.0), kind("roi", 0.0)]).into_string();
        for expected in [
            "0.0500",
            ">40<",
            "1\u{202f}000",
            ">0.0200<",
            ">2\u{202f}000<",
            ">714 to 1\u{202f}362<",
            "750",
            "250",
            "tumour &lt;b&gt; per mm²",
            "–",
            ">roi: Tumor<",
        ] {
            assert!(html.contains(expected), "{expected}: {html}");
        }
        assert_eq!(table(&[]).into_string(), "");
    }
}
