//! The page for paper of one slide: one sheet of A4 or Letter, whole in itself.

use dataset::{
    Analysis, Outcome, RegionCount, RunAccount, TISSUE,
    wording::{counted, fixed, grouped, number},
};
use maud::{Markup, PreEscaped, html};

use super::{
    charts, classes, full_size,
    links::Links,
    measures, regions,
    section::{badge, columns, doubtful, fact, ways},
    slide::SlideReport,
    words,
};
use crate::{
    error::ReportError,
    page::{SCRIPT, document},
    private_facts::PrivateFacts,
};

const STYLE: &str = include_str!("print.css");

/// Lines of text that verdict and tables have room for together; the picture of the slide takes what is left.
const SHEET_LINES: usize = 24;
/// Lines that there is room for in the place of parts at full size.
const LINES_OF_CROPS: usize = 10;
/// Reasons and warnings that are told, of two lines at most; more are in the report.
const MOST_REASONS: usize = 4;
const LINES_OF_A_REASON: usize = 2;
/// Thresholds of measures that are told; more are in the report.
const MOST_RULES: usize = 5;
/// Letters that fit in a line across the sheet, at least.
const LETTERS_OF_A_LINE: usize = 100;
/// Kinds of regions that have their lines before measures take theirs.
const FIRST_KINDS: usize = 4;
/// Classes that have a line, at most.
const MOST_CLASSES: usize = 8;
/// Settings that change a count most, told by name.
const SETTINGS: [&str; 6] = ["min_score", "class_score", "window_px", "overlap", "merge_iou", "filter"];

impl SlideReport {
    /// The page; in a private report with the name of the slide's file and what lists say of it.
    ///
    /// # Errors
    ///
    /// When a picture cannot be drawn.
    pub(super) fn print_page(
        &self,
        now: &str,
        private: Option<&PrivateFacts>,
        links: &Links,
    ) -> Result<String, ReportError> {
        let id = &self.account.slide;
        let name = private.and_then(|private| private.name(id)).unwrap_or(id.as_str());
        let reasons = self.reasons();
        let crops = if self.full_size.is_shown() { 0 } else { LINES_OF_CROPS };
        let told = reasons.iter().take(MOST_REASONS).map(|reason| lines_of(reason).min(LINES_OF_A_REASON));
        let taken = 2 + told.sum::<usize>() + lines_of(&self.rules.in_words(MOST_RULES));
        let room = Room((SHEET_LINES + crops).saturating_sub(taken));
        let body = html! {
            nav { a href=(format!("../../report.html#{}", self.anchor())) { "Report" } (ways(id, links)) }
            main.sheet {
                (self.head(name, now, private))
                (self.verdict(&reasons))
                @if let Some(analysis) = &self.account.analysis {
                    (self.pictures(analysis))
                    (full_size::pictures(&self.full_size, id.as_str(), analysis.mpp))
                    (self.key_facts(analysis))
                    (self.tables(analysis, room))
                }
                (self.foot())
            }
            script { (PreEscaped(SCRIPT)) }
        };
        Ok(document(&format!("slidemill: slide {name}"), STYLE, &body).into_string())
    }

    fn head(&self, name: &str, now: &str, private: Option<&PrivateFacts>) -> Markup {
        let account = &self.account;
        html! {
            header {
                h1 { (name) " " (badge(account.outcome)) (doubtful(account)) }
                p.note {
                    @if private.is_some() { "Slide " (account.slide) ". " b { "Private." } " " }
                    "For research use. Not a medical device. Written " time { (now) } "."
                }
                @if let Some(private) = private { (columns(private, &account.slide)) }
            }
        }
    }

    /// Why its numbers may be wrong, the gravest first.
    fn reasons(&self) -> Vec<String> {
        let account = &self.account;
        let failures = account.analysis.as_ref().map(words::failures).unwrap_or_default();
        let doubts = account.doubts.iter().map(|doubt| format!("To be doubted: {doubt}"));
        let others = self.problems.iter().chain(&account.warnings).cloned();
        doubts.chain(failures).chain(others).collect()
    }

    /// How the slide ended, with reasons.
    fn verdict(&self, reasons: &[String]) -> Markup {
        let account = &self.account;
        let left_out = reasons.len().saturating_sub(MOST_REASONS);
        html! {
            section class={ "verdict " (verdict_class(account)) } {
                p.clamped { (words::ending(account)) }
                @if !reasons.is_empty() {
                    ul { @for reason in reasons.iter().take(MOST_REASONS) { li { span.clamped { (reason) } } } }
                }
                @if left_out > 0 { p { (counted(left_out, "more remark")) ": in the report." } }
            }
        }
    }

    fn key_facts(&self, analysis: &Analysis) -> Markup {
        let (coverage, cells) = (&analysis.coverage, self.account.cells());
        html! {
            dl.facts {
                (fact("Cells", &grouped(cells)))
                @if let Some(density) = self.density(cells) {
                    (fact("Cells per mm²", &charts::per_mm2(density)))
                    (fact("95\u{a0}% interval", &classes::density_interval(cells, coverage.analysed_mm2)))
                }
                (fact("Tissue", &format!("{} mm²", fixed(coverage.tissue_mm2, 2))))
                (fact("Analysed", &format!("{} mm², {:.1}\u{a0}%", fixed(coverage.analysed_mm2, 2), 100.0 * coverage.fraction)))
                (fact("Pixel", &format!("{} µm, {}", number(analysis.mpp), analysis.mpp_source)))
            }
        }
    }

    /// Classes, measures and regions, as many lines as there is room for.
    fn tables(&self, analysis: &Analysis, mut room: Room) -> Markup {
        // All that is told of one class alone stands among the facts.
        let classes = self.figures.as_ref().map(|figures| &figures.classes[..]).filter(|all| all.len() > 1);
        let classes = classes.unwrap_or_default();
        let class_lines = room.take(classes::LINES_AROUND, classes.iter().take(MOST_CLASSES).map(|_| 1));
        // What is told of tissue stands there too.
        let kinds: Vec<RegionCount> =
            analysis.regions.iter().filter(|kind| kind.kind != TISSUE).cloned().collect();
        let first_kinds = room.take(regions::LINES_AROUND, kinds.iter().take(FIRST_KINDS).map(|_| 1));
        let measures = self.measured.iter().map(measures::lines_of_text);
        let measure_lines = room.take(measures::LINES_AROUND, measures);
        let kind_lines = match first_kinds {
            0 => 0,
            first => first + room.take(0, kinds.iter().skip(first).map(|_| 1)),
        };
        let rules = self.rules.in_words(MOST_RULES);
        html! {
            div.tables {
                (classes::first_lines(classes, analysis, self.thresholds.as_ref(), class_lines))
                (regions::first_lines(&kinds, kind_lines))
                (measures::first_lines(&self.measured, measure_lines))
                @if !rules.is_empty() { p.note { (rules) } }
                @if let Some(figures) = &self.figures { (self.other_thresholds(figures, analysis)) }
            }
        }
    }

    /// Model, settings and versions.
    fn foot(&self) -> Markup {
        let account = &self.account;
        let settings: Vec<String> = SETTINGS
            .iter()
            .filter_map(|name| Some((name, account.settings.get(*name).filter(|value| !value.is_empty())?)))
            .map(|(name, value)| format!("{} {value}", name.replace('_', " ")))
            .collect();
        html! {
            footer.note {
                p.clamped {
                    "Model " b { (account.model) } " on " (account.device)
                    ", SHA-256 " (short_hash(&account.model.sha256)) ". Settings: " (settings.join(", "))
                    "; all of them as " (short_hash(&account.fingerprint)) " in the account of the slide."
                    @if let Some(ended) = &account.ended { " Analysed " (ended.split('T').next().unwrap_or(ended)) "." }
                    " slidemill " (env!("CARGO_PKG_VERSION")) "."
                }
                p { "Cells per mm² are over the tissue that was analysed. Crops are at full size, chosen by where the cells lie." }
            }
        }
    }
}

fn verdict_class(account: &RunAccount) -> &'static str {
    match account.outcome {
        Outcome::Done if account.doubts.is_empty() => "done",
        _ => "incomplete",
    }
}

/// Lines that a text takes across the sheet.
fn lines_of(text: &str) -> usize {
    text.chars().count().div_ceil(LETTERS_OF_A_LINE)
}

/// Digits that tell one checksum from another.
fn short_hash(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

/// Lines of text that are left on the sheet.
struct Room(usize);

impl Room {
    /// Takes room for a table with so many lines `around` its rows, which have so many lines each, and returns the number of
    /// rows that fit.
    fn take(&mut self, around: usize, rows: impl Iterator<Item = usize>) -> usize {
        let mut left = self.0.saturating_sub(around);
        let mut fitting = 0;
        for lines in rows {
            if lines > left {
                break;
            }
            left -= lines;
            fitting += 1;
        }
        if fitting > 0 {
            self.0 = left;
        }
        fitting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_share_the_room_of_a_sheet() {
        let mut room = Room(20);
        assert_eq!(room.take(3, [1; 4].into_iter()), 4);
        assert_eq!(room.take(3, [5, 4, 2].into_iter()), 2, "ten lines are left, and the third row needs two");
        assert_eq!(room.take(1, [1].into_iter()), 0, "nothing is left beside the head");
        let mut room = Room(20);
        assert_eq!(room.take(3, std::iter::empty()), 0);
        assert_eq!(room.take(3, [1; 30].into_iter()), 17, "a table that is not there takes no room");
        assert_eq!([0, 1, 100, 101].map(|letters| lines_of(&"é".repeat(letters))), [0, 1, 1, 2]);
        assert_eq!(["0123456789abcdef", "01"].map(short_hash), ["0123456789ab", "01"]);
    }
}
