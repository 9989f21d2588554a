//! A row of the cells table.

use std::sync::Arc;

use wsi_types::{ClassId, Level0Box, Level0Point};

/// A row of the cells table. Each field has the name of its column; `docs/output.md` gives the meanings.
#[derive(Debug, Clone, PartialEq)]
pub struct CellRow {
    /// Unique within the slide.
    pub cell_id: u64,
    /// Place in the model's list of classes.
    pub class_id: ClassId,
    /// The class's name.
    pub class_name: Arc<str>,
    /// The model's confidence, 0 to 1.
    pub score: f32,
    /// `x_px`, `y_px`: in level-0 px.
    pub centroid: Level0Point,
    /// `x_um`, `y_um`: in µm from the top left corner of the slide.
    pub centroid_um: (f64, f64),
    /// Of the outline, or of the ellipse in the box without one.
    pub area_um2: f32,
    /// Of the outline.
    pub perimeter_um: Option<f32>,
    /// Of the outline.
    pub circularity: Option<f32>,
    /// Of the outline.
    pub solidity: Option<f32>,
    /// Of the outline.
    pub eccentricity: Option<f32>,
    /// Of the outline.
    pub max_diam_um: Option<f32>,
    /// Of the outline.
    pub min_diam_um: Option<f32>,
    /// Mean optical density inside.
    pub hematoxylin_od: Option<f32>,
    /// Mean optical density inside.
    pub eosin_od: Option<f32>,
    /// Mean optical density inside, where DAB was measured.
    pub dab_od: Option<f32>,
    /// Mean optical density in the ring around it, where DAB was measured.
    pub dab_ring_od: Option<f32>,
    /// Of the box.
    pub width_um: f32,
    /// Of the box.
    pub height_um: f32,
    /// In level-0 px, rounded outward to `f32`.
    pub bbox: Level0Box,
    /// `geometry`: the outline or the box, in level-0 px, the first point not
    /// repeated.
    pub outline: Vec<Level0Point>,
    /// Raw detections that are this cell.
    pub n_merged: u16,
    /// From the centroid to the nearest inner window border.
    pub seam_dist_um: Option<f32>,
    /// Bits for parts that may be missing; see [`edge`](crate::cell::edge).
    pub edge_flag: u8,
    /// Indices in the plan of the windows that saw it.
    pub windows: Vec<u32>,
    /// Lowest score among its raw detections.
    pub score_min: f32,
    /// Highest score among them.
    pub score_max: f32,
    /// The best other class that some window gave it.
    pub runner_up_class: Option<ClassId>,
    /// The smallest region that the centroid lies in.
    pub region_id: Option<u64>,
    /// From the centroid to the nearest border of the regions of interest, negative inside.
    pub distance_um: Option<f32>,
    /// The score that each of several detectors gave it, `None` for one that did not see it. `None` when
    /// there is only one.
    pub detector_scores: Option<Vec<Option<f32>>>,
    /// The score of `runner_up_class`.
    pub runner_up_score: Option<f32>,
    /// Distance to the nearest other centroid. This and the next are `None` in tables without neighbours.
    pub nn1_um: Option<f32>,
    /// Distance to the fifth nearest.
    pub nn5_um: Option<f32>,
    /// Other cells at most 50 µm away.
    pub n_50um: Option<u32>,
    /// Those by class; empty in tables without neighbours.
    pub n_by_class_50um: Vec<u32>,
    /// Cells at most 100 µm away per mm² of analysed tissue there.
    pub local_density_mm2: Option<f32>,
    /// Sides of the Delaunay triangulation up to 50 µm.
    pub delaunay_degree: Option<u32>,
    /// Their mean length.
    pub delaunay_mean_um: Option<f32>,
    /// Entropy of the classes of the 10 nearest, nats.
    pub clustering_entropy: Option<f32>,
    /// Direction of the outline's long axis. This and the next are `None` in tables without shape.
    pub nucleus_orientation_deg: Option<f32>,
    /// Long over short axis of the outline.
    pub elongation: Option<f32>,
    /// Contrast of pairs of grey levels. This and all below are `None` in tables without texture.
    pub glcm_contrast: Option<f32>,
    /// Homogeneity of these.
    pub glcm_homogeneity: Option<f32>,
    /// Entropy of these, nats.
    pub glcm_entropy: Option<f32>,
    /// Correlation of these.
    pub glcm_correlation: Option<f32>,
    /// Standard deviation of hematoxylin inside.
    pub hematoxylin_od_sd: Option<f32>,
    /// The density that a tenth of the pixels are below.
    pub hematoxylin_od_p10: Option<f32>,
    /// The density that a tenth of the pixels are above.
    pub hematoxylin_od_p90: Option<f32>,
    /// Standard deviation of eosin inside.
    pub eosin_od_sd: Option<f32>,
    /// The density that a tenth of the pixels are below.
    pub eosin_od_p10: Option<f32>,
    /// The density that a tenth of the pixels are above.
    pub eosin_od_p90: Option<f32>,
}

impl Default for CellRow {
    /// An empty row at the origin.
    fn default() -> Self {
        Self {
            cell_id: 0,
            class_id: ClassId(0),
            class_name: Arc::default(),
            score: 0.0,
            centroid: Level0Point::origin(),
            centroid_um: (0.0, 0.0),
            area_um2: 0.0,
            perimeter_um: None,
            circularity: None,
            solidity: None,
            eccentricity: None,
            max_diam_um: None,
            min_diam_um: None,
            hematoxylin_od: None,
            eosin_od: None,
            dab_od: None,
            dab_ring_od: None,
            width_um: 0.0,
            height_um: 0.0,
            bbox: Level0Box::zero(),
            outline: Vec::new(),
            n_merged: 0,
            seam_dist_um: None,
            edge_flag: 0,
            windows: Vec::new(),
            score_min: 0.0,
            score_max: 0.0,
            runner_up_class: None,
            region_id: None,
            distance_um: None,
            detector_scores: None,
            runner_up_score: None,
            nn1_um: None,
            nn5_um: None,
            n_50um: None,
            n_by_class_50um: Vec::new(),
            local_density_mm2: None,
            delaunay_degree: None,
            delaunay_mean_um: None,
            clustering_entropy: None,
            nucleus_orientation_deg: None,
            elongation: None,
            glcm_contrast: None,
            glcm_homogeneity: None,
            glcm_entropy: None,
            glcm_correlation: None,
            hematoxylin_od_sd: None,
            hematoxylin_od_p10: None,
            hematoxylin_od_p90: None,
            eosin_od_sd: None,
            eosin_od_p10: None,
            eosin_od_p90: None,
        }
    }
}
