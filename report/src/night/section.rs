//! The section of one slide.

use dataset::{
    Analysis, Outcome, RunAccount, SlideId,
    wording::{fixed, grouped, number, span},
};
use maud::{Markup, PreEscaped, html};

use super::{
    areas, charts, classes,
    figures::{ClassFigures, DIAMETER_STEP_UM, Figures, quantile},
    full_size,
    links::Links,
    measures, regions,
    scale::{Bar, scale_bar},
    slide::SlideReport,
    words,
};
use crate::{
    draw::{DensityMap, density_gradient},
    error::ReportError,
    page::data_url,
    private_facts::PrivateFacts,
};

impl SlideReport {
    /// All that is known of the slide; in a private report with the name of its file and what lists say of it.
    ///
    /// # Errors
    ///
    /// When a chart cannot be drawn.
    pub(super) fn section(
        &self,
        private: Option<&PrivateFacts>,
        links: &Links,
    ) -> Result<Markup, ReportError> {
        let account = &self.account;
        let failures = account.analysis.as_ref().map(words::failures).unwrap_or_default();
        Ok(html! {
            section.slide id=(self.anchor()) {
                h2 {
                    @if let Some(name) = private.and_then(|private| private.name(&account.slide)) { (name) " " }
                    (account.slide) " " (badge(account.outcome)) (doubtful(account))
                }
                @if let Some(private) = private { (columns(private, &account.slide)) }
                (ways(&account.slide, links))
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
                    @if let Some(figures) = &self.figures {
                        (classes::table(&figures.classes, analysis, self.thresholds.as_ref()))
                    }
                    (measures::table(&self.measured))
                    @let rules = self.rules.all_in_words();
                    @if !rules.is_empty() { p.note { (rules) } }
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
    pub(super) fn pictures(&self, analysis: &Analysis) -> Markup {
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
                        (slide) (areas::over_slide(&self.areas, analysis.slide_px))
                        (full_size::places(&self.full_size, analysis.slide_px))
                        (measures::fields(&self.measured, analysis)) (scale_bar(&Bar::over(analysis)))
                    }
                    figcaption {
                        "Slide, " (size_mm(analysis)) (measures::legend(&self.measured)) " " (areas::legend(&self.areas))
                    }
                }
                @if let Some(density) = density {
                    figure {
                        svg viewBox=(view) role="img" aria-label=(format!("Cell density of slide {name}")) {
                            (again) (density_picture(density))
                        }
                        figcaption { (density_key(density)) }
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

    pub(super) fn other_thresholds(&self, figures: &Figures, analysis: &Analysis) -> Markup {
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

fn density_picture(density: &DensityMap) -> Markup {
    let [width, height] = density.level0_px;
    html! {
        image width=(width) height=(height) preserveAspectRatio="none" href=(data_url("image/png", &density.png)) {}
    }
}

fn density_key(density: &DensityMap) -> Markup {
    html! {
        "Cells per mm² "
        span.key { "0 " span.ramp style=(format!("background:{}", density_gradient())) {}
            " " (charts::per_mm2(density.top)) " and more" }
    }
}

/// What lists say of a slide: its patient, its group.
pub(super) fn columns(private: &PrivateFacts, id: &SlideId) -> Markup {
    html! {
        @if private.columns(id).next().is_some() {
            dl.columns {
                @for (name, value) in private.columns(id) { div { dt { (name) } dd { (value) } } }
            }
        }
    }
}

/// Links to what else shows a slide. The viewer is linked where its pages lie beside the report, or while it serves the
/// report itself; elsewhere its command is told.
pub(super) fn ways(id: &SlideId, links: &Links) -> Markup {
    html! {
        p.ways {
            @if let Some(href) = &links.print { a href=(href) { "Page for paper" } }
            a.served[!links.has_viewer] href=(links.viewer) hidden[!links.has_viewer] { "Look at its cells" }
            @if !links.has_viewer {
                span.command { "Look at its cells: " code { "slidemill view . " (id) " --open" } ", in the folder of the dataset" }
            }
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
    html! { @if !account.doubts.is_empty() { " " (doubtful_badge()) } }
}

pub(super) fn doubtful_badge() -> Markup {
    html! { span.badge.incomplete { "doubtful" } }
}

/// One of the facts, with its name.
pub(super) fn fact(name: &str, value: &str) -> Markup {
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
