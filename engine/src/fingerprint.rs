//! Settings and facts of models and slide that can change a result: the lists whose hash a fingerprint is.

use std::{collections::BTreeMap, fmt};

use dataset::{hex, wording::counted};
use detector::MergeTerms;
use sha2::{Digest as _, Sha256};
use tiler::SurveySettings;
use wsi_reader::{Scale, SlideInfo};
use wsi_types::{Margin, RegionsOfInterest};

use crate::{
    made_with::MadeWith,
    models::ModelSet,
    opening,
    settings::Settings,
    staining::{Dyes, Staining},
    stretching::Stretches,
};

/// Everything that can change the results of a job, but for what is the slides' own.
#[must_use]
pub(crate) fn of_job(settings: &Settings, models: &ModelSet) -> MadeWith {
    of_windows(settings, models).with(&of_cells(settings, models))
}

/// Settings that can change what a window gives: which windows there are, what the model is shown of them,
/// and which of its answers are detections. Threads, batch and memory are not among them.
pub(crate) fn of_windows(settings: &Settings, models: &ModelSet) -> MadeWith {
    let (stains, vectors, ring_um) = Staining::in_full(settings.stains.as_ref());
    let always = [
        ("slidemill", env!("CARGO_PKG_VERSION").to_owned()),
        ("model_sha256", models.facts().sha256),
        ("model_mpp", models.mpps()),
        ("model_head", models.joined(|model| model.terms.head.to_string())),
        ("model_classes", models.joined(|model| model.terms.classes.len().to_string())),
        ("model_pixels", models.joined(|model| model.terms.normalisation.to_string())),
        ("model_stride_px", models.joined(|model| model.terms.stride.to_string())),
        ("window_px", opening::windows(settings, models)),
        ("window_iou", models.joined(|model| opening::window_iou(settings, model).to_string())),
        ("max_object_um", models.joined(|model| or_none(opening::deciding_object_um(settings, model)))),
        ("shrink_margin_px", models.joined(|model| or_none(opening::shrink_margin(settings, model)))),
        ("overlap", settings.overlap.to_string()),
        ("tissue_mask", settings.tissue_mask.to_string()),
        ("max_enlarge", settings.max_enlarge.to_string()),
        ("stains", stains.to_string()),
    ];
    // Of jobs with DAB alone.
    let vectors = vectors.map(|vectors| ("stain_vectors", vectors));
    let ring = ring_um.map(|um| ("dab_ring_um", um.to_string()));
    // Of jobs with pieces alone: the others are what they were without it.
    let pieces = opening::pieces(settings, models).map(|pieces| ("pieces", pieces));
    // And of models of points, of areas, of rays, of nuclei with offsets and of numbered objects.
    let points = of_some("model_points", models, |terms| terms.points.as_ref());
    let areas = of_some("model_areas", models, |terms| terms.semantic.as_ref());
    let rays = of_some("model_rays", models, |terms| terms.star.as_ref());
    let nuclei = of_some("model_nuclei", models, |terms| terms.hover.as_ref());
    let numbered = of_some("model_numbered", models, |terms| terms.labels.as_ref());
    // And of jobs that measure it.
    let texture = settings.merging.features.texture.then(|| ("texture", "true".to_owned()));
    let further = vectors
        .into_iter()
        .chain(ring)
        .chain(pieces)
        .chain(points)
        .chain(areas)
        .chain(rays)
        .chain(nuclei)
        .chain(numbered)
        .chain(texture);
    MadeWith::new(always.into_iter().chain(further))
}

/// A setting that only some kinds of models have: left out of jobs without any of them, which are what they were before
/// there was such a kind.
fn of_some<T: fmt::Display>(
    name: &'static str,
    models: &ModelSet,
    setting: fn(&MergeTerms) -> Option<&T>,
) -> Option<(&'static str, String)> {
    let is_there = models.each.iter().any(|model| setting(&model.terms).is_some());
    is_there.then(|| (name, models.joined(|model| or_none(setting(&model.terms)))))
}

fn or_none(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

/// Settings that count after the windows.
pub(crate) fn of_cells(settings: &Settings, models: &ModelSet) -> MadeWith {
    MadeWith::new(settings.merging.result_relevant(models))
}

/// Regions in which windows of a slide are planned. Only for slides with regions of interest: the lists of
/// others stay as they were without it.
pub(crate) fn of_looked(wanted: &SurveySettings) -> MadeWith {
    let grown: Vec<String> = wanted.plans.iter().map(|plan| plan.grow_um.to_string()).collect();
    let looked = wanted.looked_within.as_ref().map(|regions| {
        let regions = regions.as_looked_at();
        let around =
            regions.margin.outside_um().map(|(from, to)| format!(", with {from} to {to} µm around them"));
        let words = regions_in_words(&regions) + &around.unwrap_or_default();
        ("looked_within", format!("{words}, grown by {} µm", grown.join("+")))
    });
    MadeWith::new(looked)
}

/// Regions in which cells of a slide are counted.
pub(crate) fn of_counted(wanted: &SurveySettings) -> MadeWith {
    let counted = wanted.counted_within.as_ref();
    let drawn = counted.map(|regions| RegionsOfInterest { margin: Margin::default(), ..regions.clone() });
    let within = drawn.map(|regions| ("counted_within", regions_in_words(&regions)));
    let margin = counted.map(|regions| &regions.margin).filter(|margin| !margin.is_default());
    MadeWith::new(within.into_iter().chain(margin.map(|margin| ("margin", margin_in_words(margin)))))
}

/// Ends of the bands, and whose border they lie along.
fn margin_in_words(margin: &Margin) -> String {
    let edges: Vec<_> = margin.edges_um.iter().map(f64::to_string).collect();
    let bands =
        if edges.is_empty() { "no bands".to_owned() } else { format!("bands at {} µm", edges.join(",")) };
    let of = if margin.of.is_empty() { "the only class".to_owned() } else { margin.of.join(",") };
    format!("{bands} from the border of {of}")
}

/// Number of regions, and a hash of all that was drawn.
fn regions_in_words(regions: &RegionsOfInterest) -> String {
    // Numbers and texts are always JSON.
    let drawn = Sha256::digest(serde_json::to_vec(regions).unwrap_or_default());
    format!("{} {}", counted(regions.regions.len(), "region"), &hex(&drawn)[..16])
}

/// Facts of the slide itself: its content, its scale, the mapping of its samples to 8 bits, and what it told of its
/// colours: stain vectors, and ends between which its pixels are stretched.
pub(crate) fn of_slide(
    content: &str,
    scale: &Scale,
    info: &SlideInfo,
    dyes: Option<&Dyes>,
    stretches: &Stretches,
) -> MadeWith {
    let always = [("slide_content", content.to_owned()), ("mpp", scale.mpp.get().to_string())];
    // Of slides it applies to alone: the others are what they were without it.
    let mapping = info.mapping.map(|mapping| ("map_range", mapping.to_string()));
    let estimated = dyes.and_then(Dyes::estimated);
    let estimated = estimated.map(|vectors| ("stain_vectors_estimated", vectors.to_string()));
    let stretched = stretches.in_words().map(|words| ("pixels_stretched", words));
    MadeWith::new(always.into_iter().chain(mapping).chain(estimated).chain(stretched))
}

/// The same as an account has it.
pub(crate) fn of_what_it_told(settings: &BTreeMap<String, String>) -> MadeWith {
    let names = ["slide_content", "mpp", "map_range", "stain_vectors_estimated", "pixels_stretched"];
    MadeWith::new(names.into_iter().filter_map(|name| Some((name, settings.get(name)?.clone()))))
}

#[cfg(test)]
mod tests {
    use detector::{
        Manifest,
        manifest::{ColourOrder, Head, Hover, Labels, Normalisation, Points, Semantic, Star},
    };
    use wsi_types::{ModelFacts, Mpp};

    use super::*;
    use crate::{models::DetectorSpec, options::RunOptions};

    fn plain() -> MergeTerms {
        Manifest::without_model("m", &["tumour", "stroma"], Mpp::new(0.5).ok()).merge_terms()
    }

    /// Terms that differ from the plain ones in one field, and the name under which that is said.
    fn each_term() -> Vec<(&'static str, MergeTerms)> {
        // Without `..`: a field that is added needs a line below.
        let MergeTerms {
            facts,
            mpp: _,
            classes,
            conf: _,
            nms_iou: _,
            cross_class_iou: _,
            max_object_um: _,
            stride: _,
            fixed_input: _,
            piece_overlap_px: _,
            points: _,
            semantic: _,
            star: _,
            hover: _,
            labels: _,
            head: _,
            normalisation,
        } = plain();
        let named = |first: &str| vec![(first.to_owned(), None), classes[1].clone()];
        let of_class = vec![("tumour".to_owned(), Some(0.5)), classes[1].clone()];
        let points = Points { min_distance_um: 2.5, diameter_um: 8.0, channels: vec![0, 1] };
        let semantic = Semantic { channels: vec![1, 2], least_probability: 0.5 };
        let star = Star { overlap: 0.3, log: false };
        let blue_first = Normalisation { colour_order: ColourOrder::Bgr, ..normalisation };
        vec![
            ("model_sha256", MergeTerms { facts: ModelFacts { sha256: "ab".into(), ..facts }, ..plain() }),
            ("model_mpp", MergeTerms { mpp: Mpp::new(0.25).ok(), ..plain() }),
            ("class_names", MergeTerms { classes: named("tumor"), ..plain() }),
            ("class_score", MergeTerms { classes: of_class, ..plain() }),
            ("model_classes", MergeTerms { classes: named("tumour")[..1].to_vec(), ..plain() }),
            ("min_score", MergeTerms { conf: 0.3, ..plain() }),
            ("window_iou", MergeTerms { nms_iou: 0.6, ..plain() }),
            ("merge_iou", MergeTerms { nms_iou: 0.6, ..plain() }),
            ("cross_class_iou", MergeTerms { cross_class_iou: Some(0.3), ..plain() }),
            ("max_object_um", MergeTerms { max_object_um: Some(40.0), ..plain() }),
            ("model_stride_px", MergeTerms { stride: 64, ..plain() }),
            ("window_px", MergeTerms { fixed_input: Some((640, 640)), ..plain() }),
            ("shrink_margin_px", MergeTerms { fixed_input: Some((640, 640)), ..plain() }),
            ("model_head", MergeTerms { head: Head::DetrRows, ..plain() }),
            ("model_pixels", MergeTerms { normalisation: blue_first, ..plain() }),
            ("model_points", MergeTerms { points: Some(points), ..plain() }),
            ("model_areas", MergeTerms { semantic: Some(semantic), ..plain() }),
            ("model_rays", MergeTerms { star: Some(star), ..plain() }),
            ("model_nuclei", MergeTerms { hover: Some(Hover { sobel_px: 21, min_px: 10 }), ..plain() }),
            ("model_numbered", MergeTerms { labels: Some(Labels { channels: vec![1, 0] }), ..plain() }),
        ]
    }

    fn models(terms: MergeTerms) -> ModelSet {
        ModelSet::new(&[DetectorSpec { model: None, mpp: None }], vec![terms]).unwrap()
    }

    /// Thresholds, agreement and input of a model come from a TOML beside it: after an edit its slides were taken for
    /// done.
    #[test]
    fn every_term_of_a_model_that_changes_results_is_named() {
        let options = RunOptions { overlap: Some("auto".into()), ..RunOptions::default() };
        let settings = Settings::new(options).unwrap();
        for (name, terms) in each_term() {
            let changed = of_job(&settings, &models(terms)).differences(&of_job(&settings, &models(plain())));
            assert!(changed.iter().any(|difference| difference.name == name), "{name}: {changed}");
        }
    }

    /// Merging again is offered for what only counts after the windows.
    #[test]
    fn thresholds_and_names_of_classes_count_after_the_windows() {
        let settings = Settings::new(RunOptions::default()).unwrap();
        for (name, terms) in each_term() {
            let stays = of_windows(&settings, &models(terms)) == of_windows(&settings, &models(plain()));
            let is_of_cells = ["class_names", "class_score", "min_score", "cross_class_iou"].contains(&name);
            // The longest object decides nothing where the overlap is given.
            assert_eq!(stays, is_of_cells || name == "max_object_um", "{name}");
        }
    }

    /// Pieces that share more see more objects whole: other cells of the same slide and model.
    #[test]
    fn size_and_overlap_of_pieces_are_named_where_windows_are_cut() {
        let pieces = |window: Option<u32>, terms: MergeTerms| {
            let settings = Settings::new(RunOptions { window, ..RunOptions::default() }).unwrap();
            of_job(&settings, &models(terms)).get("pieces").map(str::to_owned)
        };
        let small = MergeTerms { fixed_input: Some((640, 640)), max_object_um: Some(40.0), ..plain() };
        assert_eq!(pieces(Some(2048), plain()), None);
        assert_eq!(pieces(None, small.clone()), None);
        assert_eq!(pieces(Some(2048), small.clone()).as_deref(), Some("640 × 640 px sharing 160 px"));
        let stated = MergeTerms { piece_overlap_px: Some(96), ..small };
        assert_eq!(pieces(Some(2048), stated).as_deref(), Some("640 × 640 px sharing 96 px"));
    }

    #[test]
    fn what_a_model_is_called_changes_no_result() {
        let settings = Settings::new(RunOptions::default()).unwrap();
        let facts = ModelFacts { name: "other".into(), version: "2".into(), sha256: String::new() };
        let renamed = models(MergeTerms { facts, ..plain() });
        assert_eq!(of_job(&settings, &renamed), of_job(&settings, &models(plain())));
    }

    /// A square with these bands along its border, as a survey is to look at it and to count in it.
    fn within(edges_um: &[f64]) -> SurveySettings {
        let corners = [(0.0, 0.0), (9.0, 0.0), (9.0, 9.0)].map(|(x, y)| wsi_types::DrawnPoint::new(x, y));
        let region = wsi_types::DrawnRegion { name: None, class: None, rings: vec![corners.to_vec()] };
        let frame = wsi_types::DrawnFrame::Level0(wsi_types::Corner::Level0);
        let mut regions = RegionsOfInterest::new(vec![region], frame);
        if !edges_um.is_empty() {
            regions.margin = Margin::new(Vec::new(), edges_um.to_vec()).unwrap();
        }
        let (looked_within, counted_within) = (Some(regions.clone()), Some(regions));
        SurveySettings { looked_within, counted_within, ..SurveySettings::default() }
    }

    #[test]
    fn bands_change_windows_only_where_they_reach_out() {
        let (none, inside, around) = (within(&[]), within(&[-20.0, 0.0]), within(&[-20.0, 0.0, 50.0]));
        assert_eq!(of_looked(&none), of_looked(&inside));
        let wider = of_looked(&around).get("looked_within").unwrap().to_owned();
        assert!(
            wider.starts_with("1 region ") && wider.contains(", with 0 to 50 µm around them, grown"),
            "{wider}"
        );
        assert_ne!(of_looked(&around), of_looked(&within(&[0.0, 80.0])));
        assert_eq!(of_looked(&around), of_looked(&within(&[-5.0, 50.0])));
        let changed = of_counted(&inside).differences(&of_counted(&around));
        let names: Vec<_> = changed.iter().map(|difference| difference.name.clone()).collect();
        assert_eq!(names, ["margin"]);
        assert_eq!(of_counted(&none).get("margin"), None, "as it was before there were bands");
    }
}
