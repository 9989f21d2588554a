//! A row of the regions table.

use wsi_types::{Level0Box, Level0Point};

/// A row of the regions table. Each field has the name of its column; `docs/output.md` gives the meanings.
#[derive(Debug, Clone, PartialEq)]
pub struct RegionRow {
    /// Unique within the slide.
    pub region_id: u64,
    /// `tissue`, `dense`, `roi`, a band (`margin:-200..0`), or a class of the model.
    pub kind: String,
    /// Name that a person gave it, if one drew it.
    pub name: Option<String>,
    /// The class that person gave it; of a band, that of its border.
    pub class_name: Option<String>,
    /// `x_px`, `y_px`: centre of mass of the outer ring, in level-0 px.
    pub centroid: Level0Point,
    /// Without holes.
    pub area_um2: f64,
    /// Of all rings.
    pub perimeter_um: f64,
    /// The share of it that a window with a result saw, 0 to 1.
    pub coverage: f64,
    /// The part of its area that was seen.
    pub analysed_um2: f64,
    /// The part of that which is tissue.
    pub analysed_tissue_um2: Option<f64>,
    /// The best of the detections it is made of.
    pub score: Option<f32>,
    /// Holes in it.
    pub n_holes: u32,
    /// Cells whose centroid lies in it.
    pub n_cells: u64,
    /// Number of them per mm² of `analysed_um2`.
    pub cells_per_mm2: f64,
    /// Number of them per mm² of `analysed_tissue_um2`.
    pub cells_per_mm2_tissue: Option<f64>,
    /// Number of them by class.
    pub n_cells_by_class: Vec<u64>,
    /// In level-0 px, rounded outward to `f32`.
    pub bbox: Level0Box,
    /// `geometry`: the outer ring, then holes, in level-0 px; the first point of
    /// each not repeated.
    pub rings: Vec<Vec<Level0Point>>,
}

impl Default for RegionRow {
    /// An empty row at the origin.
    fn default() -> Self {
        Self {
            region_id: 0,
            kind: String::new(),
            name: None,
            class_name: None,
            centroid: Level0Point::origin(),
            area_um2: 0.0,
            perimeter_um: 0.0,
            coverage: 0.0,
            analysed_um2: 0.0,
            analysed_tissue_um2: None,
            score: None,
            n_holes: 0,
            n_cells: 0,
            cells_per_mm2: 0.0,
            cells_per_mm2_tissue: None,
            n_cells_by_class: Vec::new(),
            bbox: Level0Box::zero(),
            rings: Vec::new(),
        }
    }
}
