//! The section of one slide.

use dataset::{
    Analysis, Outcome, RunAccount,
    wording::{fixed, grouped, number, span},
};
use maud::{Markup, PreEscaped, html};

use super::{
    charts,
    figures::{ClassFigures, DIAMETER_STEP_UM, Figures, quantile},
    full_size, measures, regions,
    scale::{Bar, scale_bar},
    slide::SlideReport,
    words,
};
use crate::{draw::density_gradient, error::ReportError, file_names::FileNames, page::data_url};

impl SlideReport {
    /// All that is known of the slide; in a private report with the name of its file.
    ///
    /// # Errors
    ///
    /// When a chart cannot be drawn.
    pub(super) fn section(&self, names: Option<&FileNames>) -> Result<Markup, ReportError> {
        let account = &self.account;
        let failures = account.analysis.as_ref().map(words::failures).unwrap_or_default();
        Ok(html! {
            section.slide id=(self.anchor()) {
                h2 {
                    @if let Some(name) = names.and_then(|names| names.get(account.slide.as_str())) { (name) " " }
                    (account.slide) " " (badge(account.outcome)) (doubtful(account))
                }
                p.ending { (words::ending(account)) }
                @if let Some(copies) = words::copies(account) { p.note { (copies) } }
                @for problem in &self.problems { p.problem { (problem) "; run " code { "slidemill verify" } "." } }
                @if !account.doubts.is_empty() {
                    p.problem { "Its results are to be doubted:" }
                    ul.problem { @for doubt in &account.doubts { li { (doubt) } } }
                }
                @if !failures.is_empty() { ul.problem { @for failure in &failures { li { (failure) } } } }
                @if !account.warnings.is_empty() {
                    ul.warning { @for warning in &account.warnings { li { (warning) } } }
                }
                @if let Some(analysis) = &account.analysis {
                    (self.pictures(analysis))
                    (full_size::pictures(&self.full_size, account.slide.as_str(), analysis.mpp))
                    (self.facts(analysis))
                    (measures::table(&self.measured))
                    (regions::table(&analysis.regions))
                }
                @if let (Some(figures), Some(analysis)) = (&self.figures, &account.analysis) {
                    (charts_of(figures, analysis, self.threshold())?)
                    (self.other_thresholds(figures, analysis))
                }
            }
        })
    }

    /// The slide, its density and its coverage side by side; the slide's own
    /// picture is in the page once.
    fn pictures(&self, analysis: &Analysis) -> Markup {
        let (Some(overview), [width, height]) = (&self.overview, analysis.slide_px) else {
            return html! { p.note { "There is no picture of this slide." } };
        };
        let id = self.picture_id();
        let view = format!("0 0 {width} {height}");
        let name = &self.account.slide;
        let slide = html! {
            image id=(id) width=(width) height=(height) preserveAspectRatio="none"
                href=(data_url("image/jpeg", overview)) {}
        };
        let again = html! { use href=(format!("#{id}")) {} };
        let density = self.figures.as_ref().and_then(|figures| figures.density.as_ref());
        html! {
            div.pictures {
                figure {
                    svg viewBox=(view) role="img" aria-label=(format!("Slide {name}")) {
                        (slide) (full_size::places(&self.full_size, analysis.slide_px))
                        (measures::fields(&self.measured, analysis)) (scale_bar(&Bar::over(analysis)))
                    }
                    figcaption { "Slide, " (size_mm(analysis)) (measures::legend(&self.measured)) }
                }
                @if let Some(density) = density {
                    figure {
                        svg viewBox=(view) role="img" aria-label=(format!("Cell density of slide {name}")) {
                            (again)
                            image width=(density.level0_px[0]) height=(density.level0_px[1])
                                preserveAspectRatio="none" href=(data_url("image/png", &density.png)) {}
                        }
                        figcaption {
                            "Cells per mm² "
                            span.key { "0 " span.ramp style=(format!("background:{}", density_gradient())) {}
                                " " (charts::per_mm2(density.top)) " and more" }
                        }
                    }
                }
                @if let Some(coverage) = &self.coverage {
                    figure {
                        svg viewBox=(view) role="img" aria-label=(format!("Analysed area of slide {name}")) {
                            (again)
                            image width=(width) height=(height) preserveAspectRatio="none"
                                href=(data_url("image/png", coverage)) {}
                        }
                        figcaption {
                            "Analysed tissue " span.key { span.swatch.analysed {} }
                            @if self.account.outcome != Outcome::Done {
                                ", missing " span.key { span.swatch.missing {} }
                            }
                        }
                    }
                }
            }
        }
    }

    fn picture_id(&self) -> String {
        format!("picture-{}", self.account.slide)
    }

    /// The least score of the run, where it was one for all classes.
    fn threshold(&self) -> Option<f64> {
        self.thresholds.as_ref()?.one().map(f64::from)
    }

    fn other_thresholds(&self, figures: &Figures, analysis: &Analysis) -> Markup {
        let own = self.thresholds.as_ref();
        let text =
            own.map(|used| words::other_thresholds(used, &figures.classes, analysis)).unwrap_or_default();
        html! { @if !text.is_empty() { p.note { (text) } } }
    }

    fn facts(&self, analysis: &Analysis) -> Markup {
        let (account, coverage) = (&self.account, &analysis.coverage);
        let cells = account.cells();
        html! {
            dl.facts {
                (fact("Tissue", &format!("{} mm²", fixed(coverage.tissue_mm2, 2))))
                (fact("Analysed", &format!("{} mm², {:.1}\u{a0}%", fixed(coverage.analysed_mm2, 2), 100.0 * coverage.fraction)))
                (fact("Cells", &grouped(cells)))
                @if let Some(density) = self.density(cells) { (fact("Cells per mm²", &charts::per_mm2(density))) }
                @if let Some(figures) = &self.figures { (sizes(figures)) }
                (fact("Pixel", &format!("{} µm, {}", number(analysis.mpp), analysis.mpp_source)))
                (fact("Windows", &format!("{} done, {} failed", grouped(analysis.windows.done as u64), analysis.windows.failed)))
                (fact("Tiles", &format!("{} decoded, {} unreadable", grouped(analysis.tiles.decoded), analysis.tiles.failed)))
                (fact("Time", &span(account.elapsed_secs)))
                @if let Some(ended) = &account.ended { (fact("Ended", &ended.replace('T', " ").replace('Z', " UTC"))) }
            }
            @if let Some(seams) = words::seams(analysis) { p.note { (seams) } }
        }
    }
}

/// The picture of a slide, small, on the page that has it in the slide's section.
pub(super) fn thumbnail(slide: &SlideReport) -> Option<Markup> {
    let [width, height] = slide.account.analysis.as_ref()?.slide_px;
    slide.overview.as_ref()?;
    Some(html! {
        svg.thumbnail viewBox=(format!("0 0 {width} {height}")) aria-hidden="true" {
            use href=(format!("#{}", slide.picture_id())) {}
        }
    })
}

/// Done, incomplete or failed, in its colour and in a word.
pub(super) fn badge(outcome: Outcome) -> Markup {
    html! { span class={ "badge " (words::outcome(outcome)) } { (words::outcome(outcome)) } }
}

/// That results are to be doubted, beside the badge.
pub(super) fn doubtful(account: &RunAccount) -> Markup {
    html! { @if !account.doubts.is_empty() { " " span.badge.incomplete { "doubtful" } } }
}

fn fact(name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn sizes(figures: &Figures) -> Markup {
    let median = |class: &ClassFigures| quantile(&class.diameters, DIAMETER_STEP_UM, 0.5);
    let texts: Vec<_> = figures
        .classes
        .iter()
        .filter_map(|class| Some(format!("{} {:.1} µm", class.name, median(class)?)))
        .collect();
    html! { @if !texts.is_empty() { (fact("Median diameter", &texts.join(", "))) } }
}

fn charts_of(figures: &Figures, analysis: &Analysis, used: Option<f64>) -> Result<Markup, ReportError> {
    let classes = &figures.classes;
    if classes.is_empty() {
        return Ok(html! { p.note { "No cell was found, so there is nothing to draw." } });
    }
    let charts = [
        ("Cells by size", charts::size_histogram(classes)?),
        ("Cells by score", charts::score_histogram(classes)?),
        ("Cells with another threshold", charts::count_by_threshold(classes, &analysis.by_threshold, used)?),
    ];
    Ok(html! {
        @if classes.len() > 1 {
            figure.classes {
                figcaption { "Cells by class" }
                (PreEscaped(charts::class_bars(classes, analysis.coverage.analysed_mm2)?))
            }
        }
        div.charts {
            @for (title, chart) in charts {
                figure { figcaption { (title) } (PreEscaped(chart)) }
            }
        }
    })
}

fn size_mm(analysis: &Analysis) -> String {
    let [width, height] = analysis.slide_px.map(|side| f64::from(side) * analysis.mpp / 1000.0);
    format!("{width:.1} × {height:.1} mm")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(data_url("a/b", bytes.as_bytes()), format!("data:a/b;base64,{expected}"));
        }
    }
}
