//! The headline figures of an evaluation, declared once.

use serde::Serialize;

use crate::bootstrap::Estimate;

macro_rules! figures {
    ($($(#[$doc:meta])* $field:ident = $label:literal,)*) => {
        /// The headline figures. Absent where there is nothing to judge.
        #[derive(Debug, Clone, PartialEq, Default, Serialize)]
        pub struct Figures {
            $($(#[$doc])* pub $field: Option<Estimate>,)*
        }

        impl Figures {
            /// Labels, in the order of [`Figures::values`].
            pub const LABELS: &[&str] = &[$($label),*];

            /// All figures in order.
            #[must_use]
            pub fn values(&self) -> Vec<Option<Estimate>> {
                vec![$(self.$field),*]
            }

            pub(super) fn from_values(values: &[Option<Estimate>]) -> Self {
                let mut values = values.iter().copied();
                Self { $($field: values.next().flatten(),)* }
            }
        }

        /// The same for one draw of images.
        #[derive(Default)]
        pub(super) struct Drawn { $(pub(super) $field: Option<f64>,)* }

        impl Drawn {
            pub(super) fn into_values(self) -> Vec<Option<f64>> {
                vec![$(self.$field),*]
            }
        }
    };
}

figures! {
    /// Average precision at the criterion of the settings.
    ap = "AP",
    /// Average precision at IoU 0.5; absent for distances.
    ap50 = "AP50",
    /// Mean of average precision at IoU 0.5, 0.55, … 0.95; absent for distances.
    ap50_95 = "AP50:95",
    /// Share of predictions at the working threshold that are right.
    precision = "precision",
    /// Share of truth objects found at the working threshold.
    recall = "recall",
    /// Harmonic mean of both.
    f1 = "F1",
    /// Mean sensitivity at the stated rates per image.
    froc_per_image = "FROC/image",
    /// Mean sensitivity at the stated rates per mm².
    froc_per_mm2 = "FROC/mm2",
    /// Panoptic quality.
    pq = "PQ",
    /// Segmentation quality: mean IoU of matched pairs.
    sq = "SQ",
    /// Recognition quality: F1 at IoU over 0.5.
    rq = "RQ",
    /// (predicted − truth) / truth.
    count_error = "count error",
}

/// One figure of one class, for a table in long form (Parquet, CSV).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FigureRow {
    /// The class; `all` pooled, `mean` over classes.
    pub class: String,
    /// Its label in [`Figures::LABELS`].
    pub figure: &'static str,
    /// The figure.
    pub value: f64,
    /// Lower end of its interval.
    pub low: Option<f64>,
    /// Upper end of its interval.
    pub high: Option<f64>,
}

impl FigureRow {
    pub(super) fn new(class: &str, figure: &'static str, estimate: Estimate) -> Self {
        Self {
            class: class.to_owned(),
            figure,
            value: estimate.value,
            low: estimate.interval.map(|(low, _)| low),
            high: estimate.interval.map(|(_, high)| high),
        }
    }
}
