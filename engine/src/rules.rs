//! Rules by which detections become cells and regions: the options, checked once, and their meaning for a
//! model's classes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use dataset::{DENSE, ROI, TISSUE};
use detector::MergeTerms;
use merger::{
    CellFilter, ClassNames, MergeSettings, Method, Metric, PerClass, RegionSettings, UnseenCut,
    fusion::FusionSettings,
};
use tiler::Band;
use wsi_types::ClassId;

use crate::{
    checks::{fraction, nearest, one_of, within, word},
    defaults::Defaults,
    error::JobError,
    features::WantedFeatures,
    filter,
    fuse_rule::FuseRule,
    models::{ModelSet, SetModel},
    options::RunOptions,
};

/// The checked rules. Classes are still names: [`MergeRules::for_models`] gives each its number.
#[derive(Debug, Clone, PartialEq)]
pub struct MergeRules {
    /// Score from which detections are counted; `None` for the model's own.
    pub min_score: Option<f32>,
    /// Lowest scores of single classes, by class name.
    pub class_score: BTreeMap<String, f64>,
    /// Method by which boxes of one cell become one.
    pub method: Method,
    /// Measure of their agreement.
    pub metric: Metric,
    /// Agreement above which boxes are one cell; `None` for the model's own.
    pub merge_iou: Option<f64>,
    /// Exceptions to that, by class name.
    pub class_iou: BTreeMap<String, f64>,
    /// The same between different classes; `None` for the model's own.
    pub cross_class_iou: Option<f64>,
    /// See [`MergeSettings::rim_px`].
    pub rim_px: f64,
    /// See [`UnseenCut`].
    pub unseen_cut: UnseenCut,
    /// Conditions that a cell must meet to stay.
    pub filter: CellFilter,
    /// Rule by which cells of several detectors become one.
    pub fuse: FuseRule,
    /// Settings of that rule, one weight per detector.
    pub fusion: FusionSettings,
    /// See [`merger::fusion::apply_context`].
    pub context_weight: f64,
    /// See [`merger::fusion::apply_context`].
    pub context_outside: f64,
    /// Classes that are areas, by name.
    pub region_class: Vec<String>,
    /// Definition of dense areas; `None` if they are not sought.
    pub dense: Option<Dense>,
    /// Settings for cleaning and outlining regions.
    pub region: RegionSettings,
    /// Further columns of the cells.
    pub features: WantedFeatures,
}

/// Definition of a dense area: one with many cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// Lowest number of cells per mm².
    pub per_mm2: f64,
    /// Radius of the circle in which they are counted, µm.
    pub radius_um: f64,
    /// Names of the classes that are counted; all if empty.
    pub classes: Vec<String>,
}

impl MergeRules {
    /// Checks the options, for a run with this number of `detectors`, and fills in defaults.
    ///
    /// # Errors
    ///
    /// A usage failure naming the option, what was given and what was expected.
    pub fn new(options: &RunOptions, detectors: usize) -> Result<Self, JobError> {
        let fuse = one_of("--fuse", options.fuse.as_deref(), &["wbf", "noisy-or", "max", "context"])?;
        let min_score = fraction("--min-score", options.min_score.map(f64::from))?;
        let (weight, outside) = (options.context_weight, options.context_outside);
        Ok(Self {
            filter: filter::parse(options.filter.as_deref().unwrap_or_default())?,
            fusion: fusion(options, fuse, detectors)?,
            fuse,
            min_score: min_score.map(|score| score as f32),
            class_score: by_class("--class-score", options.class_score.as_deref())?,
            method: one_of("--merge", options.merge.as_deref(), &["nms", "nmm", "wbf"])?,
            metric: one_of("--merge-metric", options.merge_metric.as_deref(), &["iou", "ios", "mask-iou"])?,
            merge_iou: fraction("--merge-iou", options.merge_iou)?,
            class_iou: by_class("--class-iou", options.class_iou.as_deref())?,
            cross_class_iou: fraction("--cross-class-iou", options.cross_class_iou)?,
            rim_px: within("--rim", options.rim.unwrap_or(Defaults::RIM_PX), 0.0..=1024.0)?,
            unseen_cut: one_of("--unseen-cut", options.unseen_cut.as_deref(), &["keep", "drop"])?,
            context_weight: fraction("--context-weight", weight)?.unwrap_or(Defaults::CONTEXT_WEIGHT),
            context_outside: fraction("--context-outside", outside)?.unwrap_or(Defaults::CONTEXT_OUTSIDE),
            region_class: options.region_class.clone().unwrap_or_default(),
            dense: dense(options)?,
            region: region([
                ("--region-closing-um", options.region_closing_um),
                ("--region-opening-um", options.region_opening_um),
                ("--region-hole-um2", options.region_hole_um2),
                ("--region-min-um2", options.region_min_um2),
                ("--region-simplify-um", options.region_simplify_um),
            ])?,
            features: WantedFeatures::new(options)?,
        })
    }

    /// Returns the options of merging with all defaults filled in, and no others.
    pub(crate) fn in_full(&self) -> RunOptions {
        let several = self.fusion.weights.len() > 1;
        let dense = self.dense.as_ref();
        RunOptions {
            min_score: self.min_score,
            class_score: listed(class_pairs(&self.class_score)),
            merge: Some(word(&self.method)),
            merge_metric: Some(word(&self.metric)),
            merge_iou: self.merge_iou,
            class_iou: listed(class_pairs(&self.class_iou)),
            cross_class_iou: self.cross_class_iou,
            rim: Some(self.rim_px),
            unseen_cut: Some(word(&self.unseen_cut)),
            filter: listed(filter::describe(&self.filter)),
            fuse: several.then(|| self.fuse.to_string()),
            fuse_weights: several.then(|| self.fusion.weights.clone()),
            fuse_iou: Some(self.fusion.iou),
            fuse_distance_um: Some(self.fusion.distance_um),
            fuse_score: Some(self.fusion.min_score),
            context_weight: Some(self.context_weight),
            context_outside: Some(self.context_outside),
            region_class: listed(self.region_class.clone()),
            dense_per_mm2: dense.map(|dense| dense.per_mm2),
            dense_radius_um: dense.map(|dense| dense.radius_um),
            dense_class: dense.and_then(|dense| listed(dense.classes.clone())),
            region_closing_um: Some(self.region.closing_um),
            region_opening_um: Some(self.region.opening_um),
            region_hole_um2: Some(self.region.largest_hole_um2),
            region_min_um2: Some(self.region.least_area_um2),
            region_simplify_um: Some(self.region.simplify_um),
            features: listed(self.features.words()),
            ..RunOptions::default()
        }
    }

    /// Lowest score from which any class of any model that finds objects is counted; areas have no scores.
    #[must_use]
    pub fn score_floor(&self, models: &ModelSet) -> f32 {
        models.of_objects().map(|model| self.score_floor_of(&model.terms)).fold(1.0, f32::min)
    }

    fn score_floor_of(&self, terms: &MergeTerms) -> f32 {
        let all = self.min_score.unwrap_or(terms.conf);
        let own = terms.classes.iter().filter(|_| self.min_score.is_none()).filter_map(|class| class.1);
        own.chain(self.class_score.values().map(|&score| score as f32)).fold(all, f32::min)
    }

    /// Agreement above which detections of one class are one cell: the largest of all classes.
    fn largest_iou(&self, terms: &MergeTerms) -> f64 {
        let all = self.overall_iou(terms);
        self.class_iou.values().copied().fold(all, f64::max)
    }

    /// The rules for the slides of a job with these models, whose windows merge boxes above `window_iou` (`None`:
    /// each model's own).
    ///
    /// # Errors
    ///
    /// A usage failure for a class no model has, with the nearest one, or for an agreement within windows that
    /// leaves nothing for the one between them.
    pub fn for_models(&self, models: &ModelSet, window_iou: Option<f64>) -> Result<SlideRules, JobError> {
        let each = models.each.iter().map(|model| self.for_model(model, models, window_iou));
        let dense = self.dense.as_ref().map(|dense| {
            Ok::<_, JobError>(DenseOf {
                per_mm2: dense.per_mm2,
                radius_um: dense.radius_um,
                classes: class_ids("--dense-class", &dense.classes, models)?,
            })
        });
        Ok(SlideRules {
            each: each.collect::<Result<_, JobError>>()?,
            class_names: models.classes.clone(),
            filter: self.filter,
            fuse: self.fuse,
            fusion: self.fusion.clone(),
            context_weight: self.context_weight,
            context_outside: self.context_outside,
            region_classes: Arc::new(self.region_classes(models)?),
            dense: dense.transpose()?,
            region: self.region,
            features: self.features,
        })
    }

    /// Classes that are areas and never cells: those that are named, and those of semantic models alone.
    fn region_classes(&self, models: &ModelSet) -> Result<Vec<ClassId>, JobError> {
        refuse_areas_that_mix(models)?;
        let mut classes = class_ids("--region-class", &self.region_class, models)?;
        classes.extend(models.only_semantic());
        classes.sort_unstable();
        classes.dedup();
        for &class in &classes {
            refuse_own_kind(&models.classes.name(class))?;
        }
        if self.fuse == FuseRule::Context && classes.is_empty() {
            return Err(JobError::usage(
                "--fuse is context, but no class is an area: name those of the further detectors with --region-class",
            ));
        }
        Ok(classes)
    }

    fn for_model(
        &self,
        model: &SetModel,
        models: &ModelSet,
        window_iou: Option<f64>,
    ) -> Result<DetectorRules, JobError> {
        let within = window_iou.unwrap_or_else(|| f64::from(model.terms.nms_iou));
        let between = self.largest_iou(&model.terms);
        if between > within {
            return Err(JobError::usage(format!(
                "--merge-iou or --class-iou is {between}, above --window-iou {within}: boxes of one window that \
                 overlap more than that are one already; give --window-iou {between} too"
            )));
        }
        let merge = MergeSettings {
            method: self.method,
            metric: self.metric,
            iou: self.ious(model, models)?,
            cross_class_iou: self.cross_class_iou(&model.terms),
            min_score: self.scores(model, models)?,
            rim_px: self.rim_px,
            unseen_cut: self.unseen_cut,
            ..MergeSettings::default()
        };
        merge.validate().map_err(JobError::usage)?;
        let is_semantic = model.terms.head.is_semantic();
        let has_objects = model.terms.head.has_objects();
        let is_of_one_size = model.terms.fixed_input.is_some();
        Ok(DetectorRules { merge, classes: model.classes.clone(), is_semantic, has_objects, is_of_one_size })
    }

    fn cross_class_iou(&self, terms: &MergeTerms) -> f64 {
        let default = MergeSettings::default().cross_class_iou;
        self.cross_class_iou.or(terms.cross_class_iou).unwrap_or(default)
    }

    fn ious(&self, model: &SetModel, models: &ModelSet) -> Result<PerClass<f64>, JobError> {
        let mut ious = PerClass::all(self.overall_iou(&model.terms));
        for (name, &iou) in &self.class_iou {
            ious.class.insert(class_id("--class-iou", name, models)?, iou);
        }
        Ok(ious)
    }

    fn overall_iou(&self, terms: &MergeTerms) -> f64 {
        self.merge_iou.unwrap_or_else(|| f64::from(terms.nms_iou))
    }

    /// Agreement in words, in the precision it was given in.
    fn merge_iou_in_words(&self, terms: &MergeTerms) -> String {
        self.merge_iou.map_or_else(|| terms.nms_iou.to_string(), |iou| iou.to_string())
    }

    fn scores(&self, model: &SetModel, models: &ModelSet) -> Result<PerClass<f32>, JobError> {
        let mut scores = PerClass::all(self.overall_score(&model.terms));
        for (name, score) in self.class_scores(&model.terms) {
            scores.class.insert(class_id("--class-score", &name, models)?, score);
        }
        Ok(scores)
    }

    /// The threshold of classes without one of their own: the user's, or the model's.
    fn overall_score(&self, terms: &MergeTerms) -> f32 {
        self.min_score.unwrap_or(terms.conf)
    }

    /// Thresholds of single classes: the model's, where the user gives none for all; then the user's.
    fn class_scores(&self, terms: &MergeTerms) -> BTreeMap<String, f32> {
        let own = terms.classes.iter().filter(|_| self.min_score.is_none());
        let own = own.filter_map(|(name, conf)| Some((name.clone(), (*conf)?)));
        let given = self.class_score.iter().map(|(name, &score)| (name.clone(), score as f32));
        own.chain(given).collect()
    }

    /// Settings that can change a result, by name, for hashes and provenance.
    #[must_use]
    pub fn result_relevant(&self, models: &ModelSet) -> Vec<(&'static str, String)> {
        let RegionSettings { closing_um, opening_um, largest_hole_um2, least_area_um2, simplify_um } =
            self.region;
        let always = vec![
            ("class_names", models.joined(|model| class_names(&model.terms))),
            ("min_score", models.joined(|model| self.overall_score(&model.terms).to_string())),
            ("class_score", models.joined(|model| class_pairs(&self.class_scores(&model.terms)).join(","))),
            ("merge", word(&self.method)),
            ("merge_metric", word(&self.metric)),
            ("merge_iou", models.joined(|model| self.merge_iou_in_words(&model.terms))),
            ("class_iou", class_pairs(&self.class_iou).join(",")),
            ("cross_class_iou", models.joined(|model| self.cross_class_iou(&model.terms).to_string())),
            ("rim_px", self.rim_px.to_string()),
            ("unseen_cut", word(&self.unseen_cut)),
            ("filter", filter::describe(&self.filter).join(",")),
            ("fuse", self.describe_fusion()),
            ("region_class", self.region_class.join(",")),
            ("dense", self.dense.as_ref().map_or_else(String::new, Dense::describe)),
            (
                "region",
                format!(
                    "closing {closing_um} µm, opening {opening_um} µm, holes {largest_hole_um2} µm², \
                     least {least_area_um2} µm², outline {simplify_um} µm"
                ),
            ),
        ];
        // Of tables with further columns alone: the others are what they were without them.
        let features = self.features.words();
        let features = (!features.is_empty()).then(|| ("features", features.join(",")));
        always.into_iter().chain(features).collect()
    }

    /// Fusion in words; empty for a single detector.
    fn describe_fusion(&self) -> String {
        let FusionSettings { weights, iou, distance_um, min_score, .. } = &self.fusion;
        if weights.len() < 2 {
            return String::new();
        }
        let rule = self.fuse;
        let (weight, outside) = (self.context_weight, self.context_outside);
        match rule {
            FuseRule::Context => {
                format!("{rule}, weight {weight}, outside {outside}, least score {min_score}")
            }
            _ => format!(
                "{rule}, weights {weights:?}, IoU {iou}, within {distance_um} µm, least score {min_score}"
            ),
        }
    }
}

impl Dense {
    fn describe(&self) -> String {
        let Self { per_mm2, radius_um, classes } = self;
        let of = if classes.is_empty() { "all classes".to_owned() } else { classes.join(",") };
        format!("{per_mm2} per mm² within {radius_um} µm of {of}")
    }
}

/// Rules by which the detections of all models of a job become the cells and regions of a slide.
#[derive(Debug, Clone, PartialEq)]
pub struct SlideRules {
    /// Rules of each detector.
    pub each: Vec<DetectorRules>,
    /// Names of the classes of the job.
    pub class_names: ClassNames,
    /// Conditions that a cell must meet to stay.
    pub filter: CellFilter,
    /// Rule by which cells of several detectors become one.
    pub fuse: FuseRule,
    /// Settings of that rule.
    pub fusion: FusionSettings,
    /// See [`merger::fusion::apply_context`].
    pub context_weight: f64,
    /// See [`merger::fusion::apply_context`].
    pub context_outside: f64,
    /// Classes whose detections are areas.
    pub region_classes: Arc<Vec<ClassId>>,
    /// Definition of dense areas; `None` if they are not sought.
    pub dense: Option<DenseOf>,
    /// Settings for cleaning and outlining regions.
    pub region: RegionSettings,
    /// Further columns of the cells.
    pub features: WantedFeatures,
}

/// Rules by which the detections of one model become cells.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectorRules {
    /// Thresholds and agreement, by class of the job.
    pub merge: MergeSettings,
    /// Class of the job for each of the model's own classes, in order.
    pub classes: Vec<ClassId>,
    /// `true` if the model answers class maps, and no objects.
    pub is_semantic: bool,
    /// `true` if it answers objects: neither class maps nor vectors.
    pub has_objects: bool,
    /// `true` if the model takes one size of input.
    pub is_of_one_size: bool,
}

impl SlideRules {
    /// Returns the same rules with one threshold for all classes of all models.
    #[must_use]
    pub fn at_score(&self, min_score: f32) -> Self {
        let mut rules = self.clone();
        for detector in &mut rules.each {
            detector.merge.min_score = PerClass::all(min_score);
        }
        rules
    }

    /// Lowest score at which every class of objects of every model is counted.
    #[must_use]
    pub fn highest_threshold(&self) -> f32 {
        let of_objects = self.each.iter().filter(|each| each.has_objects);
        let of_each = of_objects.flat_map(|each| {
            let own = each.classes.iter().filter(|class| !self.region_classes.contains(class));
            own.map(|&class| each.merge.min_score.get(class))
        });
        of_each.fold(0.0, f32::max)
    }
}

/// [`Dense`] with the numbers of the classes in place of names.
#[derive(Debug, Clone, PartialEq)]
pub struct DenseOf {
    /// Lowest number of cells per mm².
    pub per_mm2: f64,
    /// Radius of the circle in which they are counted, µm.
    pub radius_um: f64,
    /// Classes that are counted; all if empty.
    pub classes: Vec<ClassId>,
}

/// Refuses an area of the model that would be taken for one that slidemill finds itself.
fn refuse_own_kind(class: &str) -> Result<(), JobError> {
    if [TISSUE, DENSE, ROI].contains(&class) || class.starts_with(Band::PREFIX) {
        return Err(JobError::usage(format!(
            "the class {class} is an area, but that is what slidemill calls a kind of its own regions: give the class \
             another name in a TOML beside the model"
        )));
    }
    Ok(())
}

/// Refuses two models that draw areas of one class: they would overlap, and nothing would tell them apart.
fn refuse_areas_that_mix(models: &ModelSet) -> Result<(), JobError> {
    let mut drawn = BTreeSet::new();
    for class in models.semantic().flat_map(|model| &model.classes) {
        if !drawn.insert(class) {
            return Err(JobError::usage(format!(
                "two models draw areas of the class {}: give it another name in a TOML beside one of them",
                models.classes.name(*class)
            )));
        }
    }
    Ok(())
}

/// Returns `None` for an empty list, as if it were not given.
fn listed(values: Vec<String>) -> Option<Vec<String>> {
    (!values.is_empty()).then_some(values)
}

/// Writes `CLASS=NUMBER` pairs, as typed.
fn class_pairs<Value: fmt::Display>(values: &BTreeMap<String, Value>) -> Vec<String> {
    values.iter().map(|(class, value)| format!("{class}={value}")).collect()
}

/// Names of a model's classes, in order, as JSON, because a name may hold a comma.
fn class_names(terms: &MergeTerms) -> String {
    serde_json::Value::from_iter(terms.class_names()).to_string()
}

/// Parses `CLASS=NUMBER` pairs, with numbers between 0 and 1.
fn by_class(option: &str, pairs: Option<&[String]>) -> Result<BTreeMap<String, f64>, JobError> {
    let pair = |text: &String| {
        let number =
            text.rsplit_once('=').and_then(|(class, number)| Some((class, number.trim().parse().ok()?)));
        let (class, number): (&str, f64) = number.ok_or_else(|| {
            JobError::usage(format!("{option} is {text:?}, expected CLASS=NUMBER such as tumour=0.4"))
        })?;
        Ok((class.trim().to_owned(), within(option, number, 0.0..=1.0)?))
    };
    pairs.unwrap_or_default().iter().map(pair).collect()
}

fn class_id(option: &str, name: &str, models: &ModelSet) -> Result<ClassId, JobError> {
    models.classes.class(name).ok_or_else(|| {
        let hint = nearest(name, models.classes.iter().map(|(_, name)| name));
        JobError::usage(format!("{option}: the model has no class {name:?}{hint}"))
    })
}

fn class_ids(option: &str, names: &[String], models: &ModelSet) -> Result<Vec<ClassId>, JobError> {
    names.iter().map(|name| class_id(option, name, models)).collect()
}

fn fusion(options: &RunOptions, fuse: FuseRule, detectors: usize) -> Result<FusionSettings, JobError> {
    let defaults = FusionSettings::default();
    let alone = detectors < 2 && (options.fuse.is_some() || options.fuse_weights.is_some());
    if alone {
        return Err(JobError::usage(
            "--fuse is given with a single detector, expected two or more --detector",
        ));
    }
    let fusion = FusionSettings {
        fuse: fuse.scores().unwrap_or_default(),
        weights: options.fuse_weights.clone().unwrap_or_else(|| vec![1.0; detectors]),
        iou: options.fuse_iou.unwrap_or(defaults.iou),
        distance_um: options.fuse_distance_um.unwrap_or(defaults.distance_um),
        min_score: options.fuse_score.unwrap_or(defaults.min_score),
    };
    fusion.validate(detectors).map_err(|error| JobError::usage(format!("fusion: {error}")))?;
    Ok(fusion)
}

fn dense(options: &RunOptions) -> Result<Option<Dense>, JobError> {
    let Some(per_mm2) = options.dense_per_mm2 else {
        let radius = options.dense_radius_um.map(|_| "--dense-radius-um");
        return match radius.or(options.dense_class.as_ref().map(|_| "--dense-class")) {
            None => Ok(None),
            Some(name) => Err(JobError::usage(format!(
                "{name} is given without --dense-per-mm2, which asks for dense regions"
            ))),
        };
    };
    let radius_um = options.dense_radius_um.unwrap_or(Defaults::DENSE_RADIUS_UM);
    Ok(Some(Dense {
        per_mm2: within("--dense-per-mm2", per_mm2, 1.0..=1e6)?,
        radius_um: within("--dense-radius-um", radius_um, 4.0..=2000.0)?,
        classes: options.dense_class.clone().unwrap_or_default(),
    }))
}

fn region(given: [(&str, Option<f64>); 5]) -> Result<RegionSettings, JobError> {
    let mut region = RegionSettings::default();
    let fields = [
        &mut region.closing_um,
        &mut region.opening_um,
        &mut region.largest_hole_um2,
        &mut region.least_area_um2,
        &mut region.simplify_um,
    ];
    for (field, (name, value)) in fields.into_iter().zip(given) {
        *field = within(name, value.unwrap_or(*field), 0.0..=1e9)?;
    }
    Ok(region)
}

#[cfg(test)]
mod tests {
    use wsi_types::Mpp;

    use super::*;
    use crate::models::DetectorSpec;

    fn rules(options: RunOptions) -> Result<MergeRules, String> {
        MergeRules::new(&options, 1).map_err(|error| error.to_string())
    }

    fn filtered(text: &str) -> Result<MergeRules, String> {
        rules(RunOptions { filter: Some(vec![text.to_owned()]), ..RunOptions::default() })
    }

    #[test]
    fn ranges_are_read_and_shown_as_typed() {
        let found = filtered("area_um2=10..500").unwrap();
        assert_eq!(filter::describe(&found.filter), ["area_um2=10..500"]);
        assert_eq!(filter::describe(&filtered("solidity=0.8..").unwrap().filter), ["solidity=0.8.."]);
        for wrong in ["area_um2", "area_um2=", "area_um2=..", "area_um2=9..3", "area_um2=a..b"] {
            assert!(filtered(wrong).unwrap_err().contains("expected a range"), "{wrong}");
        }
    }

    #[test]
    fn unknown_words_are_refused_with_the_nearest() {
        assert!(filtered("area=3..").unwrap_err().contains("did you mean \"area_um2\"?"));
        let far = filtered("foo=3..").unwrap_err();
        assert!(far.contains("unknown measure \"foo\", expected one of score, area_um2"), "{far}");
        let merge = RunOptions { merge: Some("nns".into()), ..RunOptions::default() };
        assert_eq!(rules(merge).unwrap_err(), "--merge is \"nns\", expected nms, nmm, wbf");
        let alone = RunOptions { dense_radius_um: Some(50.0), ..RunOptions::default() };
        assert!(rules(alone).unwrap_err().contains("without --dense-per-mm2"));
    }

    #[test]
    fn classes_are_those_of_the_model() {
        let mpp = Mpp::new(0.5).ok();
        let terms = detector::Manifest::without_model("m", &["tumour", "stroma"], mpp).merge_terms();
        let models = ModelSet::new(&[DetectorSpec { model: None, mpp: None }], vec![terms]).unwrap();
        let of = |pairs: &str| {
            let pairs = pairs.split(',').map(str::to_owned).collect();
            rules(RunOptions { class_score: Some(pairs), ..RunOptions::default() })
                .unwrap()
                .for_models(&models, None)
                .map_err(|error| error.to_string())
        };
        let found = of("stroma=0.5").unwrap().each[0].merge.min_score.clone();
        assert_eq!((found.get(ClassId(0)), found.get(ClassId(1))), (0.25, 0.5));
        assert!(of("tumor=0.5").unwrap_err().contains("no class \"tumor\", did you mean \"tumour\"?"));
    }

    /// A program that merges by itself got other counts than the command.
    #[test]
    fn the_library_merges_by_default_as_a_run_does() {
        let terms = detector::Manifest::without_model("m", &["a"], Mpp::new(0.5).ok()).merge_terms();
        let models = ModelSet::new(&[DetectorSpec { model: None, mpp: None }], vec![terms]).unwrap();
        let rules = rules(RunOptions::default()).unwrap().for_models(&models, None).unwrap();
        assert_eq!(rules.each[0].merge, MergeSettings::default());
    }

    /// A model of areas lowered the score from which others gave boxes, and hid counts at thresholds below its own.
    #[test]
    fn models_of_areas_have_no_say_in_thresholds() {
        let spec = DetectorSpec { model: None, mpp: Mpp::new(0.5).ok() };
        for of_areas in [0.1, 0.9] {
            let cells = detector::Manifest::without_model("cells", &["cell"], None);
            let areas = detector::Manifest {
                conf: of_areas,
                head: detector::manifest::Head::Semantic { scores: None },
                ..detector::Manifest::without_model("areas", &["gland"], None)
            };
            let terms = [areas, detector::Manifest { conf: 0.4, ..cells }].map(|model| model.merge_terms());
            let models = ModelSet::new(&[spec.clone(), spec.clone()], terms.to_vec()).unwrap();
            let rules = MergeRules::new(&RunOptions::default(), 2).unwrap();
            assert_eq!(rules.score_floor(&models), 0.4);
            assert_eq!(rules.for_models(&models, None).unwrap().highest_threshold(), 0.4);
        }
    }

    /// The account named the threshold of the first model alone.
    #[test]
    fn the_thresholds_of_two_models_are_both_named() {
        let spec = DetectorSpec { model: None, mpp: Mpp::new(0.5).ok() };
        let named = |conf: f32| {
            let manifest =
                detector::Manifest { conf, ..detector::Manifest::without_model("m", &["a"], None) };
            manifest.merge_terms()
        };
        let options = RunOptions::default();
        let relevant = |terms: Vec<MergeTerms>, options: &RunOptions| {
            let models = ModelSet::new(&vec![spec.clone(); terms.len()], terms).unwrap();
            let rules = MergeRules::new(options, 2).unwrap();
            assert_eq!(rules.for_models(&models, None).unwrap().highest_threshold(), 0.5);
            rules.result_relevant(&models).into_iter().collect::<BTreeMap<_, _>>()["min_score"].clone()
        };
        assert_eq!(relevant(vec![named(0.25), named(0.5)], &options), "0.25+0.5");
        assert_eq!(relevant(vec![named(0.5), named(0.5)], &options), "0.5");
        let given = RunOptions { min_score: Some(0.5), ..options };
        assert_eq!(relevant(vec![named(0.25), named(0.5)], &given), "0.5");
    }
}
