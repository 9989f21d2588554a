//! How detections become cells and regions: the options, checked once, and what
//! they mean for a model's classes.

use std::collections::BTreeMap;

use clap::Args;
use detector::Manifest;
use merger::{
    CellFilter, MergeSettings, Method, Metric, PerClass, RegionSettings, UnseenCut,
    filters::Range,
    fusion::{Fuse, FusionSettings},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use wsi_types::ClassId;

use crate::{
    exit::Failure,
    settings::{nearest, within},
};

/// Options of everything that comes after the model, as typed or as a settings
/// file holds them. `slidemill merge` applies others to detections that were
/// kept.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MergeOptions {
    /// Lowest score of a cell that is counted, 0 to 1 [default: the model's own,
    /// or 0.25]
    #[arg(long, value_name = "S", help_heading = "Cells")]
    pub min_score: Option<f32>,

    /// The same for some classes: tumour=0.4,stroma=0.3
    #[arg(long, value_name = "CLASS=S", value_delimiter = ',', help_heading = "Cells")]
    pub class_score: Option<Vec<String>>,

    /// What becomes of several boxes of one cell: nms keeps the best, nmm grows it
    /// over those that agree, wbf takes their mean [default: nms]
    #[arg(long, value_name = "RULE", help_heading = "Cells")]
    pub merge: Option<String>,

    /// How agreement is measured: iou, ios (shared over the smaller one; nested
    /// boxes are one cell) or mask-iou (of outlines) [default: iou]
    #[arg(long, value_name = "METRIC", help_heading = "Cells")]
    pub merge_metric: Option<String>,

    /// Detections of one class that agree more than this are one cell; at most
    /// window-iou [default: the model's own, or 0.7]
    #[arg(long, value_name = "IOU", help_heading = "Cells")]
    pub merge_iou: Option<f64>,

    /// The same for some classes: tumour=0.4,stroma=0.3
    #[arg(long, value_name = "CLASS=IOU", value_delimiter = ',', help_heading = "Cells")]
    pub class_iou: Option<Vec<String>>,

    /// Detections of different classes that agree more than this are one cell; the
    /// better score wins, the other is kept as runner-up [default: the model's own,
    /// or 0.7]
    #[arg(long, value_name = "IOU", help_heading = "Cells")]
    pub cross_class_iou: Option<f64>,

    /// A cell nearer than this to the border of every window that saw it is
    /// dropped where another window sees its place deeper and found nothing; px
    /// at the model's mpp, 0 keeps what any window saw [default: 64]
    #[arg(long, value_name = "PX", help_heading = "Cells")]
    pub rim: Option<f64>,

    /// A piece cut by a window's border that no better view confirms: keep
    /// (flagged) or drop [default: keep]
    #[arg(long, value_name = "RULE", help_heading = "Cells")]
    pub unseen_cut: Option<String>,

    /// Keep only cells within ranges, ends included: area_um2=10..500,solidity=0.8..
    /// Measures: score, area_um2; circularity, solidity, eccentricity, max_diam_um,
    /// min_diam_um (for cells with an outline); hematoxylin_od, eosin_od (--stains)
    #[arg(long, value_name = "MEASURE=RANGE", value_delimiter = ',', help_heading = "Cells")]
    pub filter: Option<Vec<String>>,

    /// How cells of several detectors become one: wbf (weighted mean of boxes and
    /// scores, a detector that saw nothing counts as 0), noisy-or, max, or context
    /// (regions of the further detectors weigh the cells of the first)
    /// [default: wbf]
    #[arg(long, value_name = "RULE", help_heading = "Several detectors")]
    pub fuse: Option<String>,

    /// Weight of each detector, above 0: 1,0.8 [default: 1 each]
    #[arg(long, value_name = "W", value_delimiter = ',', help_heading = "Several detectors")]
    pub fuse_weights: Option<Vec<f64>>,

    /// Cells of two detectors that overlap by at least this intersection over
    /// union are one [default: 0.3]
    #[arg(long, value_name = "IOU", help_heading = "Several detectors")]
    pub fuse_iou: Option<f64>,

    /// So are cells whose centroids are at most this far apart, µm; 0: only by
    /// overlap [default: 0]
    #[arg(long, value_name = "UM", help_heading = "Several detectors")]
    pub fuse_distance_um: Option<f64>,

    /// Lowest score of a fused cell [default: 0]
    #[arg(long, value_name = "S", help_heading = "Several detectors")]
    pub fuse_score: Option<f32>,

    /// With context: a cell's score becomes score^(1-W) x region^W [default: 0.5]
    #[arg(long, value_name = "W", help_heading = "Several detectors")]
    pub context_weight: Option<f64>,

    /// With context: what stands for the region's score outside of all regions; 0
    /// is a veto [default: 0]
    #[arg(long, value_name = "S", help_heading = "Several detectors")]
    pub context_outside: Option<f64>,

    /// Classes of the model that are areas and not cells: their detections become
    /// rows of the regions table. They are worked on squares of 4 µm, or larger
    /// ones, with a warning, where a slide has more than 16 million of those
    #[arg(long, value_name = "CLASS", value_delimiter = ',', help_heading = "Regions")]
    pub region_class: Option<Vec<String>>,

    /// Also make regions of kind "dense" where at least this many cells lie per mm²
    #[arg(long, value_name = "PER_MM2", help_heading = "Regions")]
    pub dense_per_mm2: Option<f64>,

    /// Radius in which density is counted, µm [default: 50]
    #[arg(long, value_name = "UM", help_heading = "Regions")]
    pub dense_radius_um: Option<f64>,

    /// Classes counted for density [default: all]
    #[arg(long, value_name = "CLASS", value_delimiter = ',', help_heading = "Regions")]
    pub dense_class: Option<Vec<String>>,

    /// Gaps in regions that no disc of this radius fits into are closed, µm
    /// [default: 20]
    #[arg(long, value_name = "UM", help_heading = "Regions")]
    pub region_closing_um: Option<f64>,

    /// Then what no disc of this radius fits into is taken away, µm [default: 20]
    #[arg(long, value_name = "UM", help_heading = "Regions")]
    pub region_opening_um: Option<f64>,

    /// Then holes up to this area are filled, µm² [default: 5000]
    #[arg(long, value_name = "UM2", help_heading = "Regions")]
    pub region_hole_um2: Option<f64>,

    /// Then regions below this area are left out, µm² [default: 10000]
    #[arg(long, value_name = "UM2", help_heading = "Regions")]
    pub region_min_um2: Option<f64>,

    /// Outlines of regions may be off by this, µm [default: 4]
    #[arg(long, value_name = "UM", help_heading = "Regions")]
    pub region_simplify_um: Option<f64>,
}

impl MergeOptions {
    /// Whether a filter looks at stains.
    #[must_use]
    pub fn filters_stains(&self) -> bool {
        self.filter.iter().flatten().any(|pair| pair.contains("_od="))
    }

    /// Fills what is not given here from `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        macro_rules! first_of {
            ($($field:ident),* $(,)?) => { Self { $($field: self.$field.or(other.$field)),* } };
        }
        first_of!(
            min_score,
            class_score,
            merge,
            merge_metric,
            merge_iou,
            class_iou,
            cross_class_iou,
            rim,
            unseen_cut,
            filter,
            fuse,
            fuse_weights,
            fuse_iou,
            fuse_distance_um,
            fuse_score,
            context_weight,
            context_outside,
            region_class,
            dense_per_mm2,
            dense_radius_um,
            dense_class,
            region_closing_um,
            region_opening_um,
            region_hole_um2,
            region_min_um2,
            region_simplify_um,
        )
    }
}

/// The checked rules. Classes are still names: which number each has, a model
/// says ([`MergeRules::of_model`]).
#[derive(Debug, Clone, PartialEq)]
pub struct MergeRules {
    /// `None`: the model's own.
    pub min_score: Option<f32>,
    /// Exceptions by class name.
    pub class_score: BTreeMap<String, f64>,
    /// What becomes of the boxes of one cell.
    pub method: Method,
    /// How agreement is measured.
    pub metric: Metric,
    /// `None`: the model's own.
    pub merge_iou: Option<f64>,
    /// Exceptions by class name.
    pub class_iou: BTreeMap<String, f64>,
    /// Between different classes. `None`: the model's own.
    pub cross_class_iou: Option<f64>,
    /// See [`MergeSettings::rim_px`].
    pub rim_px: f64,
    /// See [`UnseenCut`].
    pub unseen_cut: UnseenCut,
    /// What a cell must be to stay.
    pub filter: CellFilter,
    /// How cells of several detectors become one.
    pub fuse: FuseRule,
    /// The numbers of that, one weight per detector.
    pub fusion: FusionSettings,
    /// See [`merger::fusion::apply_context`].
    pub context_weight: f64,
    /// See [`merger::fusion::apply_context`].
    pub context_outside: f64,
    /// Classes that are areas, by name.
    pub region_class: Vec<String>,
    /// Where many cells lie.
    pub dense: Option<Dense>,
    /// How regions are cleaned and outlined.
    pub region: RegionSettings,
}

/// How cells of several detectors become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FuseRule {
    /// [`Fuse::Wbf`].
    #[default]
    Wbf,
    /// [`Fuse::NoisyOr`].
    NoisyOr,
    /// [`Fuse::Max`].
    Max,
    /// The cells of the first detector, weighed by the regions of the others.
    Context,
}

impl FuseRule {
    /// How scores become one; `None` for context, where cells are of one detector.
    #[must_use]
    pub fn scores(self) -> Option<Fuse> {
        match self {
            Self::Wbf => Some(Fuse::Wbf),
            Self::NoisyOr => Some(Fuse::NoisyOr),
            Self::Max => Some(Fuse::Max),
            Self::Context => None,
        }
    }
}

impl std::fmt::Display for FuseRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Wbf => "wbf",
            Self::NoisyOr => "noisy-or",
            Self::Max => "max",
            Self::Context => "context",
        })
    }
}

/// What counts as many cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// At least so many.
    pub per_mm2: f64,
    /// Within this radius.
    pub radius_um: f64,
    /// Of these classes; none: of all.
    pub classes: Vec<String>,
}

impl MergeRules {
    /// Above this score the scores of neighbouring windows were measured not to
    /// depend on their borders: see `docs/decisions/0016`.
    const DEFAULT_RIM_PX: f64 = 64.0;
    const DEFAULT_RADIUS_UM: f64 = 50.0;

    /// Checks the options, for a run with so many `detectors`, and fills in
    /// defaults.
    ///
    /// # Errors
    ///
    /// A usage failure naming the option, what was given and what was expected.
    pub fn new(options: MergeOptions, detectors: usize) -> anyhow::Result<Self> {
        let fraction =
            |name, value: Option<f64>| value.map(|value| within(name, value, 0.0..=1.0)).transpose();
        let filter = filter(options.filter.as_deref().unwrap_or_default())?;
        let fuse = one_of("--fuse", options.fuse.clone(), &["wbf", "noisy-or", "max", "context"])?;
        if fuse == FuseRule::Context && options.region_class.is_none() {
            return Err(Failure::usage(
                "--fuse is context, but no class is an area: name those of the further detectors with --region-class",
            ));
        }
        let fusion = fusion(&options, fuse, detectors)?;
        Ok(Self {
            min_score: fraction("--min-score", options.min_score.map(f64::from))?.map(|score| score as f32),
            class_score: by_class("--class-score", options.class_score)?,
            method: one_of("--merge", options.merge, &["nms", "nmm", "wbf"])?,
            metric: one_of("--merge-metric", options.merge_metric, &["iou", "ios", "mask-iou"])?,
            merge_iou: fraction("--merge-iou", options.merge_iou)?,
            class_iou: by_class("--class-iou", options.class_iou)?,
            cross_class_iou: fraction("--cross-class-iou", options.cross_class_iou)?,
            rim_px: within("--rim", options.rim.unwrap_or(Self::DEFAULT_RIM_PX), 0.0..=1024.0)?,
            unseen_cut: one_of("--unseen-cut", options.unseen_cut, &["keep", "drop"])?,
            filter,
            fuse,
            fusion,
            context_weight: fraction("--context-weight", options.context_weight)?.unwrap_or(0.5),
            context_outside: fraction("--context-outside", options.context_outside)?.unwrap_or(0.0),
            region_class: options.region_class.unwrap_or_default(),
            dense: dense(options.dense_per_mm2, options.dense_radius_um, options.dense_class)?,
            region: region([
                ("--region-closing-um", options.region_closing_um),
                ("--region-opening-um", options.region_opening_um),
                ("--region-hole-um2", options.region_hole_um2),
                ("--region-min-um2", options.region_min_um2),
                ("--region-simplify-um", options.region_simplify_um),
            ])?,
        })
    }

    /// Lowest score that some class of `manifest` is counted from.
    #[must_use]
    pub fn score_floor(&self, manifest: &Manifest) -> f32 {
        let all = self.min_score.unwrap_or(manifest.conf);
        let own = manifest.classes.iter().filter(|_| self.min_score.is_none()).filter_map(|class| class.conf);
        own.chain(self.class_score.values().map(|&score| score as f32)).fold(all, f32::min)
    }

    /// Agreement above which detections of one class are one cell, of all
    /// classes the largest.
    #[must_use]
    pub fn largest_iou(&self, manifest: &Manifest) -> f64 {
        let all = self.merge_iou.unwrap_or_else(|| f64::from(manifest.nms_iou));
        self.class_iou.values().copied().fold(all, f64::max)
    }

    /// The rules with the numbers that `manifest` gives to classes.
    ///
    /// # Errors
    ///
    /// A usage failure for a class the model does not have, with the nearest one.
    pub fn of_model(&self, manifest: &Manifest) -> anyhow::Result<SlideRules> {
        let ids = |option: &str, names: &[String]| {
            names.iter().map(|name| class_id(option, name, manifest)).collect::<anyhow::Result<Vec<_>>>()
        };
        let merge = MergeSettings {
            method: self.method,
            metric: self.metric,
            iou: self.ious(manifest)?,
            cross_class_iou: self.cross_class_iou(manifest),
            min_score: self.scores(manifest)?,
            rim_px: self.rim_px,
            unseen_cut: self.unseen_cut,
            ..MergeSettings::default()
        };
        merge.validate().map_err(Failure::usage)?;
        let dense = self.dense.as_ref().map(|dense| {
            anyhow::Ok(DenseOf {
                per_mm2: dense.per_mm2,
                radius_um: dense.radius_um,
                classes: ids("--dense-class", &dense.classes)?,
            })
        });
        Ok(SlideRules {
            merge,
            filter: self.filter,
            region_classes: ids("--region-class", &self.region_class)?,
            dense: dense.transpose()?,
            region: self.region,
        })
    }

    fn cross_class_iou(&self, manifest: &Manifest) -> f64 {
        let default = MergeSettings::default().cross_class_iou;
        self.cross_class_iou.or(manifest.cross_class_iou).unwrap_or(default)
    }

    fn ious(&self, manifest: &Manifest) -> anyhow::Result<PerClass<f64>> {
        let mut ious = PerClass::all(self.merge_iou.unwrap_or_else(|| f64::from(manifest.nms_iou)));
        for (name, &iou) in &self.class_iou {
            ious.class.insert(class_id("--class-iou", name, manifest)?, iou);
        }
        Ok(ious)
    }

    /// The user's threshold for all classes, or the model's for each; then the
    /// user's for single ones.
    fn scores(&self, manifest: &Manifest) -> anyhow::Result<PerClass<f32>> {
        let mut scores = PerClass::all(self.min_score.unwrap_or(manifest.conf));
        if self.min_score.is_none() {
            let own =
                |(index, class): (usize, &detector::ClassInfo)| Some((ClassId(index as u16), class.conf?));
            scores.class = manifest.classes.iter().enumerate().filter_map(own).collect();
        }
        for (name, &score) in &self.class_score {
            scores.class.insert(class_id("--class-score", name, manifest)?, score as f32);
        }
        Ok(scores)
    }

    /// What can change a result, by name, for hashes and provenance.
    #[must_use]
    pub fn result_relevant(&self, manifest: &Manifest) -> Vec<(&'static str, String)> {
        let per_class = |values: &BTreeMap<String, f64>| {
            let each = values.iter().map(|(class, value)| format!("{class}={value}"));
            each.collect::<Vec<_>>().join(",")
        };
        let named = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let name = |value: &dyn Fn() -> serde_json::Result<serde_json::Value>| {
            value().map(named).unwrap_or_default()
        };
        let RegionSettings { closing_um, opening_um, largest_hole_um2, least_area_um2, simplify_um } =
            self.region;
        vec![
            ("min_score", self.min_score.unwrap_or(manifest.conf).to_string()),
            ("class_score", per_class(&self.class_score)),
            ("merge", name(&|| serde_json::to_value(self.method))),
            ("merge_metric", name(&|| serde_json::to_value(self.metric))),
            ("merge_iou", self.merge_iou.map_or_else(|| "model".to_owned(), |iou| iou.to_string())),
            ("class_iou", per_class(&self.class_iou)),
            ("cross_class_iou", self.cross_class_iou(manifest).to_string()),
            ("rim_px", self.rim_px.to_string()),
            ("unseen_cut", name(&|| serde_json::to_value(self.unseen_cut))),
            ("filter", describe_filter(&self.filter).join(",")),
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
        ]
    }
}

impl MergeRules {
    /// Empty for a single detector.
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

/// The rules for the slides of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct SlideRules {
    /// How detections become cells.
    pub merge: MergeSettings,
    /// Which cells stay.
    pub filter: CellFilter,
    /// Classes whose detections are areas.
    pub region_classes: Vec<ClassId>,
    /// Where many cells lie.
    pub dense: Option<DenseOf>,
    /// How regions are cleaned and outlined.
    pub region: RegionSettings,
}

/// [`Dense`] with the classes of a model; none: all.
#[derive(Debug, Clone, PartialEq)]
pub struct DenseOf {
    /// At least so many.
    pub per_mm2: f64,
    /// Within this radius.
    pub radius_um: f64,
    /// Of these classes.
    pub classes: Vec<ClassId>,
}

/// The value a word stands for, or the default; `known` are all words.
fn one_of<T: DeserializeOwned + Default>(
    option: &str,
    word: Option<String>,
    known: &[&str],
) -> anyhow::Result<T> {
    let Some(word) = word else { return Ok(T::default()) };
    serde_json::from_value(serde_json::Value::String(word.clone()))
        .map_err(|_| Failure::usage(format!("{option} is {word:?}, expected {}", known.join(", "))))
}

/// `CLASS=NUMBER` pairs, numbers between 0 and 1.
fn by_class(option: &str, pairs: Option<Vec<String>>) -> anyhow::Result<BTreeMap<String, f64>> {
    let pair = |text: String| {
        let number =
            text.rsplit_once('=').and_then(|(class, number)| Some((class, number.trim().parse().ok()?)));
        let (class, number): (&str, f64) = number.ok_or_else(|| {
            Failure::usage(format!("{option} is {text:?}, expected CLASS=NUMBER such as tumour=0.4"))
        })?;
        Ok((class.trim().to_owned(), within(option, number, 0.0..=1.0)?))
    };
    pairs.unwrap_or_default().into_iter().map(pair).collect()
}

fn class_id(option: &str, name: &str, manifest: &Manifest) -> anyhow::Result<ClassId> {
    let names = || manifest.classes.iter().map(|class| class.name.as_str());
    if let Some(index) = names().position(|known| known == name) {
        return Ok(ClassId(index as u16));
    }
    let hint = nearest(name, names());
    Err(Failure::usage(format!("{option}: the model has no class {name:?}{hint}")))
}

fn fusion(options: &MergeOptions, fuse: FuseRule, detectors: usize) -> anyhow::Result<FusionSettings> {
    let defaults = FusionSettings::default();
    let alone = detectors < 2 && (options.fuse.is_some() || options.fuse_weights.is_some());
    if alone {
        return Err(Failure::usage(
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
    fusion.validate(detectors).map_err(|error| Failure::usage(format!("fusion: {error}")))?;
    Ok(fusion)
}

fn dense(
    per_mm2: Option<f64>,
    radius_um: Option<f64>,
    classes: Option<Vec<String>>,
) -> anyhow::Result<Option<Dense>> {
    let Some(per_mm2) = per_mm2 else {
        let alone = radius_um.map(|_| "--dense-radius-um").or(classes.map(|_| "--dense-class"));
        return alone.map_or(Ok(None), |name| {
            Err(Failure::usage(format!(
                "{name} is given without --dense-per-mm2, which asks for dense regions"
            )))
        });
    };
    let radius_um = radius_um.unwrap_or(MergeRules::DEFAULT_RADIUS_UM);
    Ok(Some(Dense {
        per_mm2: within("--dense-per-mm2", per_mm2, 1.0..=1e6)?,
        radius_um: within("--dense-radius-um", radius_um, 4.0..=2000.0)?,
        classes: classes.unwrap_or_default(),
    }))
}

fn region(given: [(&str, Option<f64>); 5]) -> anyhow::Result<RegionSettings> {
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

/// `MEASURE=MIN..MAX` pairs; either end may be left out.
fn filter(pairs: &[String]) -> anyhow::Result<CellFilter> {
    let mut filter = CellFilter::default();
    for text in pairs {
        let (measure, range) = text.split_once('=').unwrap_or((text, ""));
        let slot = filter.range_mut(measure).ok_or_else(|| {
            let hint = nearest(measure, CellFilter::MEASURES.into_iter());
            Failure::usage(format!("--filter: unknown measure {measure:?}{hint}"))
        })?;
        *slot = parse_range(range).ok_or_else(|| {
            Failure::usage(format!("--filter is {text:?}, expected a range such as {measure}=10..500"))
        })?;
    }
    Ok(filter)
}

fn parse_range(text: &str) -> Option<Range> {
    let (min, max) = text.split_once("..")?;
    let end = |text: &str| match text.trim() {
        "" => Some(None),
        number => number.parse::<f64>().ok().filter(|number| number.is_finite()).map(Some),
    };
    let range = Range { min: end(min)?, max: end(max)? };
    let in_order = range.min.zip(range.max).is_none_or(|(min, max)| min <= max);
    (in_order && range != Range::default()).then_some(range)
}

/// The ranges of a filter as they are typed.
#[must_use]
pub fn describe_filter(filter: &CellFilter) -> Vec<String> {
    let mut filter = *filter;
    let end = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let described = |measure: &'static str| {
        let range = filter.range_mut(measure).copied().filter(|range| *range != Range::default())?;
        Some(format!("{measure}={}..{}", end(range.min), end(range.max)))
    };
    CellFilter::MEASURES.into_iter().filter_map(described).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(options: MergeOptions) -> Result<MergeRules, String> {
        MergeRules::new(options, 1).map_err(|error| error.to_string())
    }

    fn filtered(text: &str) -> Result<MergeRules, String> {
        rules(MergeOptions { filter: Some(vec![text.to_owned()]), ..MergeOptions::default() })
    }

    #[test]
    fn ranges_are_read_and_shown_as_typed() {
        let found = filtered("area_um2=10..500").unwrap();
        assert_eq!(describe_filter(&found.filter), ["area_um2=10..500"]);
        assert_eq!(describe_filter(&filtered("solidity=0.8..").unwrap().filter), ["solidity=0.8.."]);
        for wrong in ["area_um2", "area_um2=", "area_um2=..", "area_um2=9..3", "area_um2=a..b"] {
            assert!(filtered(wrong).unwrap_err().contains("expected a range"), "{wrong}");
        }
    }

    #[test]
    fn unknown_words_are_refused_with_the_nearest() {
        assert!(filtered("area=3..").unwrap_err().contains("did you mean \"area_um2\"?"));
        let merge = MergeOptions { merge: Some("nns".into()), ..MergeOptions::default() };
        assert_eq!(rules(merge).unwrap_err(), "--merge is \"nns\", expected nms, nmm, wbf");
        let alone = MergeOptions { dense_radius_um: Some(50.0), ..MergeOptions::default() };
        assert!(rules(alone).unwrap_err().contains("without --dense-per-mm2"));
    }

    #[test]
    fn classes_are_those_of_the_model() {
        let manifest = Manifest::without_model("m", &["tumour", "stroma"], None);
        let of = |pairs: &str| {
            let pairs = pairs.split(',').map(str::to_owned).collect();
            rules(MergeOptions { class_score: Some(pairs), ..MergeOptions::default() })
                .unwrap()
                .of_model(&manifest)
                .map_err(|error| error.to_string())
        };
        let found = of("stroma=0.5").unwrap().merge.min_score;
        assert_eq!((found.get(ClassId(0)), found.get(ClassId(1))), (0.25, 0.5));
        assert!(of("tumor=0.5").unwrap_err().contains("no class \"tumor\", did you mean \"tumour\"?"));
    }
}
