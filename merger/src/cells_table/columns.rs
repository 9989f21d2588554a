//! The columns of the cells table: meaning, filling and reading back.

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, Float32Builder, Int32Builder, ListBuilder, UInt32Builder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, DictionaryArray, Float32Array, Float64Array, Int64Array,
    PrimitiveArray, UInt8Array, UInt16Array,
};
use arrow_schema::{DataType, Field};
use wsi_types::{ClassId, Score};

use super::row::CellRow;
use crate::cell::Cell;
use crate::column::{
    Column, StoredRow, boxes, f32s, f32s_or_null, f64s, lists, numbers, numbers_or_null, polygons,
    repeated_text, same_text, texts, whole, whole_or_null,
};
use crate::feature::Feature;
use crate::geometry::box_area;
use crate::geoparquet::{TableContext, corner_fields, covering};
use crate::morphology::Shape;
use crate::neighbours::{Around, Neighbourhood};
use crate::texture::Texture;
use crate::wkb::{polygon_of_box, put_polygon};

/// The need of measures of shape that all tables have a column of.
const OUTLINES: &str = "a model that draws outlines";

/// One row: a cell and the values computed from it.
pub struct Row<'a> {
    pub(super) cell: &'a Cell,
    /// Its neighbours, if the table has them.
    pub(super) around: Option<Around<'a>>,
    pub(super) shape: Option<Shape>,
}

/// Rows that become columns together.
pub struct Block<'a> {
    pub(super) rows: &'a [Row<'a>],
    pub(super) context: &'a TableContext,
    /// Names of all classes up to the largest that occurs.
    pub(super) class_names: &'a ArrayRef,
}

impl Block<'_> {
    fn f32(&self, value: impl Fn(&Row<'_>) -> f64) -> ArrayRef {
        Arc::new(Float32Array::from_iter_values(self.rows.iter().map(|row| value(row) as f32)))
    }

    /// A column of values that need an outline.
    fn shape(&self, value: impl Fn(&Shape) -> f64) -> ArrayRef {
        self.maybe_f32(|row| row.shape.as_ref().map(&value))
    }

    fn maybe_f32(&self, value: impl Fn(&Row<'_>) -> Option<f64>) -> ArrayRef {
        self.maybe::<Float32Type>(|row| value(row).map(|value| value as f32))
    }

    /// A column with gaps; most runs leave most of these empty.
    fn maybe<T: ArrowPrimitiveType>(&self, value: impl Fn(&Row<'_>) -> Option<T::Native>) -> ArrayRef {
        if self.rows.iter().all(|row| value(row).is_none()) {
            return Arc::new(PrimitiveArray::<T>::new_null(self.rows.len()));
        }
        Arc::new(PrimitiveArray::<T>::from_iter(self.rows.iter().map(value)))
    }

    fn f64(&self, value: impl Fn(&Row<'_>) -> f64) -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(self.rows.iter().map(value)))
    }

    fn score(&self, value: impl Fn(&Cell) -> Score) -> ArrayRef {
        Arc::new(Float32Array::from_iter_values(self.rows.iter().map(|row| value(row.cell).get())))
    }

    /// A column of measures of neighbours.
    fn around(&self, value: impl Fn(&Neighbourhood) -> Option<f32>) -> ArrayRef {
        self.maybe::<Float32Type>(|row| value(row.around?.measures))
    }

    /// A column of measures of texture.
    fn texture(&self, value: impl Fn(&Texture) -> Option<f32>) -> ArrayRef {
        self.maybe::<Float32Type>(|row| value(row.cell.texture.as_deref()?))
    }

    fn um(&self) -> f64 {
        self.context.mpp.get()
    }
}

impl StoredRow for CellRow {
    type Block<'a> = Block<'a>;
    const TABLE: &'static str = "the cell table";

    fn columns() -> Vec<Column<Self>> {
        use DataType::{Binary, Float32, Float64, Int32, Int64, UInt8, UInt16, UInt32};
        vec![
            Column::<Self>::new(
                "cell_id",
                Int64,
                "from slide content, class and place: the same every time, below 2^53",
                |block| {
                    Arc::new(Int64Array::from_iter_values(
                        block.rows.iter().map(|row| row.cell.id.cast_signed()),
                    ))
                },
                |array, rows| whole(array, rows, |row, id| row.cell_id = id),
            ),
            Column::<Self>::new(
                "slide_id",
                repeated_text(),
                "the slide's id in the dataset",
                |block| same_text(&block.context.slide_id, block.rows.len()),
                texts,
            ),
            Column::<Self>::new(
                "class_id",
                UInt16,
                "place in the model's list of classes",
                |block| {
                    Arc::new(UInt16Array::from_iter_values(block.rows.iter().map(|row| row.cell.class.0)))
                },
                |array, rows| {
                    numbers::<UInt16Type, _>(array, rows, |row, class| row.class_id = ClassId(class))
                },
            ),
            Column::<Self>::new(
                "class_name",
                repeated_text(),
                "the class's name",
                class_names,
                read_class_names,
            ),
            Column::<Self>::new(
                "score",
                Float32,
                "the model's confidence, 0 to 1",
                |block| block.score(|cell| cell.score),
                |array, rows| f32s(array, rows, |row, value| row.score = value),
            )
            .measure(|row| Some(row.score.into())),
            Column::<Self>::new(
                "x_px",
                Float64,
                "centroid, level-0 px from the left of the slide",
                |block| block.f64(|row| row.cell.centroid.x),
                |array, rows| f64s(array, rows, |row, x| row.centroid.x = x),
            ),
            Column::<Self>::new(
                "y_px",
                Float64,
                "centroid, level-0 px from the top of the slide",
                |block| block.f64(|row| row.cell.centroid.y),
                |array, rows| f64s(array, rows, |row, y| row.centroid.y = y),
            ),
            Column::<Self>::new(
                "x_um",
                Float64,
                "centroid, µm from the left of the slide",
                |block| {
                    let um = block.um();
                    block.f64(|row| row.cell.centroid.x * um)
                },
                |array, rows| f64s(array, rows, |row, x| row.centroid_um.0 = x),
            ),
            Column::<Self>::new(
                "y_um",
                Float64,
                "centroid, µm from the top of the slide",
                |block| {
                    let um = block.um();
                    block.f64(|row| row.cell.centroid.y * um)
                },
                |array, rows| f64s(array, rows, |row, y| row.centroid_um.1 = y),
            ),
            Column::<Self>::new(
                "area_um2",
                Float32,
                "area inside the outline; without one, of the ellipse inscribed in the box",
                |block| {
                    let ellipse = block.um() * block.um() * std::f64::consts::FRAC_PI_4;
                    block.f32(|row| {
                        row.shape.map_or(box_area(&row.cell.bbox) * ellipse, |shape| shape.area_um2)
                    })
                },
                |array, rows| f32s(array, rows, |row, area| row.area_um2 = area),
            )
            .measure(|row| Some(row.area_um2.into())),
            Column::<Self>::new(
                "perimeter_um",
                Float32,
                "length of the outline; null without one",
                |block| block.shape(|shape| shape.perimeter_um),
                |array, rows| f32s_or_null(array, rows, |row, value| row.perimeter_um = value),
            )
            .or_null()
            .needs(OUTLINES)
            .measure(|row| row.perimeter_um.map(f64::from)),
            Column::<Self>::new(
                "circularity",
                Float32,
                "4π·area/perimeter² of the outline; null without one",
                |block| block.shape(|shape| shape.circularity),
                |array, rows| f32s_or_null(array, rows, |row, value| row.circularity = value),
            )
            .or_null()
            .needs(OUTLINES)
            .measure(|row| row.circularity.map(f64::from)),
            Column::<Self>::new(
                "solidity",
                Float32,
                "area over convex hull of the outline; null without one",
                |block| block.shape(|shape| shape.solidity),
                |array, rows| f32s_or_null(array, rows, |row, value| row.solidity = value),
            )
            .or_null()
            .needs(OUTLINES)
            .measure(|row| row.solidity.map(f64::from)),
            Column::<Self>::new(
                "eccentricity",
                Float32,
                "of the ellipse with the outline's second moments",
                |block| block.shape(|shape| shape.eccentricity),
                |array, rows| f32s_or_null(array, rows, |row, value| row.eccentricity = value),
            )
            .or_null()
            .needs(OUTLINES)
            .measure(|row| row.eccentricity.map(f64::from)),
            Column::<Self>::new(
                "max_diam_um",
                Float32,
                "diameter of the smallest circle around the outline",
                |block| block.shape(|shape| shape.max_diam_um),
                |array, rows| f32s_or_null(array, rows, |row, value| row.max_diam_um = value),
            )
            .or_null()
            .needs(OUTLINES)
            .measure(|row| row.max_diam_um.map(f64::from)),
            Column::<Self>::new(
                "min_diam_um",
                Float32,
                "least width of the outline",
                |block| block.shape(|shape| shape.min_diam_um),
                |array, rows| f32s_or_null(array, rows, |row, value| row.min_diam_um = value),
            )
            .or_null()
            .needs(OUTLINES)
            .measure(|row| row.min_diam_um.map(f64::from)),
            Column::<Self>::new(
                "hematoxylin_od",
                Float32,
                "mean optical density of hematoxylin inside; null when not measured",
                |block| block.maybe_f32(|row| row.cell.stains.map(|od| od.hematoxylin().into())),
                |array, rows| f32s_or_null(array, rows, |row, value| row.hematoxylin_od = value),
            )
            .or_null()
            .needs("--stains")
            .measure(|row| row.hematoxylin_od.map(f64::from)),
            Column::<Self>::new(
                "eosin_od",
                Float32,
                "the same of eosin",
                |block| block.maybe_f32(|row| row.cell.stains?.eosin().map(f64::from)),
                |array, rows| f32s_or_null(array, rows, |row, value| row.eosin_od = value),
            )
            .or_null()
            .needs("--stains he")
            .measure(|row| row.eosin_od.map(f64::from)),
            Column::<Self>::new(
                "dab_od",
                Float32,
                "the same of DAB; with `--stains h-dab` alone",
                |block| block.maybe_f32(|row| row.cell.stains?.dab().map(f64::from)),
                |array, rows| f32s_or_null(array, rows, |row, value| row.dab_od = value),
            )
            .only_with(Feature::Dab)
            .measure(|row| row.dab_od.map(f64::from)),
            Column::<Self>::new(
                "dab_ring_od",
                Float32,
                "mean optical density of DAB in the ring around it; with `--stains h-dab` alone",
                |block| block.maybe_f32(|row| row.cell.stains?.dab_ring().map(f64::from)),
                |array, rows| f32s_or_null(array, rows, |row, value| row.dab_ring_od = value),
            )
            .only_with(Feature::Dab)
            .measure(|row| row.dab_ring_od.map(f64::from)),
            Column::<Self>::new(
                "width_um",
                Float32,
                "width of the box",
                |block| {
                    let um = block.um();
                    block.f32(|row| row.cell.bbox.width() * um)
                },
                |array, rows| f32s(array, rows, |row, width| row.width_um = width),
            )
            .measure(|row| Some(row.width_um.into())),
            Column::<Self>::new(
                "height_um",
                Float32,
                "height of the box",
                |block| {
                    let um = block.um();
                    block.f32(|row| row.cell.bbox.height() * um)
                },
                |array, rows| f32s(array, rows, |row, height| row.height_um = height),
            )
            .measure(|row| Some(row.height_um.into())),
            Column::<Self>::new(
                "bbox",
                DataType::Struct(corner_fields()),
                "box in level-0 px, rounded outwards to f32",
                corners,
                |array, rows| boxes(array, rows, |row, bbox| row.bbox = bbox),
            ),
            Column::<Self>::new(
                "geometry",
                Binary,
                "WKB polygon in level-0 px: the outline, on a grid of 1/16 px, or the box",
                geometry,
                |array, rows| {
                    polygons(array, rows, |row, rings| {
                        row.outline = rings.into_iter().next().unwrap_or_default();
                    })
                },
            ),
            Column::<Self>::new(
                "n_merged",
                UInt16,
                "raw detections that are this cell",
                |block| {
                    Arc::new(UInt16Array::from_iter_values(block.rows.iter().map(|row| row.cell.n_merged)))
                },
                |array, rows| numbers::<UInt16Type, _>(array, rows, |row, count| row.n_merged = count),
            ),
            Column::<Self>::new(
                "seam_dist_um",
                Float32,
                "centroid to the nearest inner window border; null where the plan has none",
                |block| {
                    block.maybe_f32(|row| {
                        Some(f64::from(row.cell.seam_dist_um)).filter(|distance| distance.is_finite())
                    })
                },
                |array, rows| f32s_or_null(array, rows, |row, value| row.seam_dist_um = value),
            )
            .or_null(),
            Column::<Self>::new(
                "edge_flag",
                UInt8,
                "bits: 1 at the slide's edge, 2 cut where nothing was planned, 4 cut beside a failed window, \
             8 cut and never seen whole, 16 joined from pieces",
                |block| {
                    Arc::new(UInt8Array::from_iter_values(block.rows.iter().map(|row| row.cell.edge_flag)))
                },
                |array, rows| numbers::<UInt8Type, _>(array, rows, |row, bits| row.edge_flag = bits),
            ),
            Column::<Self>::new(
                "windows",
                DataType::List(Arc::new(Field::new("item", UInt32, false))),
                "indices in the plan of the windows that saw it",
                windows,
                |array, rows| lists::<UInt32Type, _>(array, rows, |row, windows| row.windows = windows),
            ),
            Column::<Self>::new(
                "score_min",
                Float32,
                "lowest score among its raw detections",
                |block| block.score(|cell| cell.score_min),
                |array, rows| f32s(array, rows, |row, score| row.score_min = score),
            ),
            Column::<Self>::new(
                "score_max",
                Float32,
                "highest score among its raw detections",
                |block| block.score(|cell| cell.score_max),
                |array, rows| f32s(array, rows, |row, score| row.score_max = score),
            ),
            Column::<Self>::new(
                "runner_up_class",
                UInt16,
                "the best other class that some window gave it",
                |block| block.maybe::<UInt16Type>(|row| row.cell.runner_up.map(|(class, _)| class.0)),
                |array, rows| {
                    numbers_or_null::<UInt16Type, _>(array, rows, |row, class| {
                        row.runner_up_class = class.map(ClassId);
                    })
                },
            )
            .or_null(),
            Column::<Self>::new(
                "region_id",
                Int64,
                "the smallest region that the centroid lies in",
                |block| block.maybe::<Int64Type>(|row| row.cell.region.map(u64::cast_signed)),
                |array, rows| whole_or_null(array, rows, |row, id| row.region_id = id),
            )
            .or_null(),
            Column::<Self>::new(
                "distance_um",
                Float32,
                "centroid to the nearest border of the regions of interest, negative inside; null without them",
                |block| block.maybe::<Float32Type>(|row| row.cell.distance_um),
                |array, rows| f32s_or_null(array, rows, |row, value| row.distance_um = value),
            )
            .or_null()
            .needs("--within")
            .measure(|row| row.distance_um.map(f64::from)),
            Column::<Self>::new(
                "detector_scores",
                DataType::List(Arc::new(Field::new("item", Float32, true))),
                "of several detectors: the score each gave it, null where it did not see it; null for one",
                detector_scores,
                read_detector_scores,
            )
            .or_null(),
            Column::<Self>::new(
                "runner_up_score",
                Float32,
                "the score of that class",
                |block| block.maybe::<Float32Type>(|row| row.cell.runner_up.map(|(_, score)| score.get())),
                |array, rows| f32s_or_null(array, rows, |row, value| row.runner_up_score = value),
            )
            .or_null(),
            Column::<Self>::new(
                "nn1_um",
                Float32,
                "with neighbours: from the centroid to the nearest other, µm",
                |block| block.around(|around| around.nearest_um),
                |array, rows| f32s_or_null(array, rows, |row, value| row.nn1_um = value),
            )
            .only_with(Feature::Neighbours)
            .measure(|row| row.nn1_um.map(f64::from)),
            Column::<Self>::new(
                "nn5_um",
                Float32,
                "with neighbours: to the fifth nearest, µm",
                |block| block.around(|around| around.fifth_um),
                |array, rows| f32s_or_null(array, rows, |row, value| row.nn5_um = value),
            )
            .only_with(Feature::Neighbours)
            .measure(|row| row.nn5_um.map(f64::from)),
            Column::<Self>::new(
                "n_50um",
                Int32,
                "with neighbours: other cells at most 50 µm away",
                |block| block.maybe::<Int32Type>(|row| Some(row.around?.measures.near.cast_signed())),
                |array, rows| counts_or_null(array, rows, |row, count| row.n_50um = count),
            )
            .only_with(Feature::Neighbours)
            .measure(|row| row.n_50um.map(f64::from)),
            Column::<Self>::new(
                "n_by_class_50um",
                DataType::List(Arc::new(Field::new("item", Int32, false))),
                "with neighbours: those by class, in the order of `class_id`",
                near_by_class,
                |array, rows| {
                    lists::<Int32Type, _>(array, rows, |row, counts| {
                        row.n_by_class_50um = counts.into_iter().map(i32::cast_unsigned).collect();
                    })
                },
            )
            .only_with(Feature::Neighbours),
            Column::<Self>::new(
                "local_density_mm2",
                Float32,
                "with neighbours: cells at most 100 µm away, itself included, per mm² of the tissue there that was analysed",
                |block| block.around(|around| Some(around.per_mm2)),
                |array, rows| f32s_or_null(array, rows, |row, value| row.local_density_mm2 = value),
            )
            .only_with(Feature::Neighbours)
            .measure(|row| row.local_density_mm2.map(f64::from)),
            Column::<Self>::new(
                "delaunay_degree",
                Int32,
                "with neighbours: sides up to 50 µm of the Delaunay triangulation of all centroids that end at it",
                |block| block.maybe::<Int32Type>(|row| Some(row.around?.measures.sides.cast_signed())),
                |array, rows| counts_or_null(array, rows, |row, count| row.delaunay_degree = count),
            )
            .only_with(Feature::Neighbours)
            .measure(|row| row.delaunay_degree.map(f64::from)),
            Column::<Self>::new(
                "delaunay_mean_um",
                Float32,
                "with neighbours: mean length of those, µm",
                |block| block.around(|around| around.mean_side_um),
                |array, rows| f32s_or_null(array, rows, |row, value| row.delaunay_mean_um = value),
            )
            .only_with(Feature::Neighbours)
            .measure(|row| row.delaunay_mean_um.map(f64::from)),
            Column::<Self>::new(
                "clustering_entropy",
                Float32,
                "with neighbours: entropy of the classes of the 10 nearest, in nats; 0 where all are of one class",
                |block| block.around(|around| around.class_entropy),
                |array, rows| f32s_or_null(array, rows, |row, value| row.clustering_entropy = value),
            )
            .only_with(Feature::Neighbours)
            .measure(|row| row.clustering_entropy.map(f64::from)),
            Column::<Self>::new(
                "nucleus_orientation_deg",
                Float32,
                "with shape: direction of the long axis of the outline, from x (right) towards y (down), 0 to 180°",
                |block| block.maybe_f32(|row| row.shape?.orientation_deg),
                |array, rows| f32s_or_null(array, rows, |row, value| row.nucleus_orientation_deg = value),
            )
            .only_with(Feature::Shape)
            .measure(|row| row.nucleus_orientation_deg.map(f64::from)),
            Column::<Self>::new(
                "elongation",
                Float32,
                "with shape: long over short axis of the ellipse with the outline's second moments, 1 for a circle",
                |block| block.shape(|shape| shape.elongation),
                |array, rows| f32s_or_null(array, rows, |row, value| row.elongation = value),
            )
            .only_with(Feature::Shape)
            .measure(|row| row.elongation.map(f64::from)),
            Column::<Self>::new(
                "glcm_contrast",
                Float32,
                "with texture: contrast of neighbouring pixels in 16 levels of hematoxylin, 0 for an even grey",
                |block| block.texture(|texture| Some(texture.pairs?.contrast)),
                |array, rows| f32s_or_null(array, rows, |row, value| row.glcm_contrast = value),
            )
            .only_with(Feature::Texture)
            .measure(|row| row.glcm_contrast.map(f64::from)),
            Column::<Self>::new(
                "glcm_homogeneity",
                Float32,
                "with texture: the same of homogeneity, 1 for an even grey",
                |block| block.texture(|texture| Some(texture.pairs?.homogeneity)),
                |array, rows| f32s_or_null(array, rows, |row, value| row.glcm_homogeneity = value),
            )
            .only_with(Feature::Texture)
            .measure(|row| row.glcm_homogeneity.map(f64::from)),
            Column::<Self>::new(
                "glcm_entropy",
                Float32,
                "with texture: the same of entropy, in nats; 0 for an even grey",
                |block| block.texture(|texture| Some(texture.pairs?.entropy)),
                |array, rows| f32s_or_null(array, rows, |row, value| row.glcm_entropy = value),
            )
            .only_with(Feature::Texture)
            .measure(|row| row.glcm_entropy.map(f64::from)),
            Column::<Self>::new(
                "glcm_correlation",
                Float32,
                "with texture: the same of correlation, 1 for an even grey",
                |block| block.texture(|texture| Some(texture.pairs?.correlation)),
                |array, rows| f32s_or_null(array, rows, |row, value| row.glcm_correlation = value),
            )
            .only_with(Feature::Texture)
            .measure(|row| row.glcm_correlation.map(f64::from)),
            Column::<Self>::new(
                "hematoxylin_od_sd",
                Float32,
                "with texture: standard deviation of the optical density of hematoxylin inside",
                |block| block.texture(|texture| Some(texture.hematoxylin.sd)),
                |array, rows| f32s_or_null(array, rows, |row, value| row.hematoxylin_od_sd = value),
            )
            .only_with(Feature::Texture)
            .measure(|row| row.hematoxylin_od_sd.map(f64::from)),
            Column::<Self>::new(
                "hematoxylin_od_p10",
                Float32,
                "with texture: the density of hematoxylin that a tenth of the pixels are below",
                |block| block.texture(|texture| Some(texture.hematoxylin.p10)),
                |array, rows| f32s_or_null(array, rows, |row, value| row.hematoxylin_od_p10 = value),
            )
            .only_with(Feature::Texture)
            .measure(|row| row.hematoxylin_od_p10.map(f64::from)),
            Column::<Self>::new(
                "hematoxylin_od_p90",
                Float32,
                "with texture: the density of hematoxylin that a tenth of the pixels are above",
                |block| block.texture(|texture| Some(texture.hematoxylin.p90)),
                |array, rows| f32s_or_null(array, rows, |row, value| row.hematoxylin_od_p90 = value),
            )
            .only_with(Feature::Texture)
            .measure(|row| row.hematoxylin_od_p90.map(f64::from)),
            Column::<Self>::new(
                "eosin_od_sd",
                Float32,
                "with texture: standard deviation of the optical density of eosin inside",
                |block| block.texture(|texture| Some(texture.eosin.sd)),
                |array, rows| f32s_or_null(array, rows, |row, value| row.eosin_od_sd = value),
            )
            .only_with(Feature::Texture)
            .measure(|row| row.eosin_od_sd.map(f64::from)),
            Column::<Self>::new(
                "eosin_od_p10",
                Float32,
                "with texture: the density of eosin that a tenth of the pixels are below",
                |block| block.texture(|texture| Some(texture.eosin.p10)),
                |array, rows| f32s_or_null(array, rows, |row, value| row.eosin_od_p10 = value),
            )
            .only_with(Feature::Texture)
            .measure(|row| row.eosin_od_p10.map(f64::from)),
            Column::<Self>::new(
                "eosin_od_p90",
                Float32,
                "with texture: the density of eosin that a tenth of the pixels are above",
                |block| block.texture(|texture| Some(texture.eosin.p90)),
                |array, rows| f32s_or_null(array, rows, |row, value| row.eosin_od_p90 = value),
            )
            .only_with(Feature::Texture)
            .measure(|row| row.eosin_od_p90.map(f64::from)),
        ]
    }
}

/// Puts counts with gaps into rows.
fn counts_or_null(
    array: &dyn Array,
    rows: &mut [CellRow],
    put: impl Fn(&mut CellRow, Option<u32>),
) -> Option<()> {
    numbers_or_null::<Int32Type, _>(array, rows, |row, count| put(row, count.map(i32::cast_unsigned)))
}

fn near_by_class(block: &Block<'_>) -> ArrayRef {
    let item = Field::new("item", DataType::Int32, false);
    let mut lists = ListBuilder::new(Int32Builder::new()).with_field(item);
    for row in block.rows {
        let counts = row.around.map_or(&[][..], |around| around.near_by_class);
        counts.iter().for_each(|count| lists.values().append_value(count.cast_signed()));
        lists.append(row.around.is_some());
    }
    Arc::new(lists.finish())
}

fn class_names(block: &Block<'_>) -> ArrayRef {
    let keys = UInt16Array::from_iter_values(block.rows.iter().map(|row| row.cell.class.0));
    Arc::new(DictionaryArray::<UInt16Type>::new(keys, Arc::clone(block.class_names)))
}

fn corners(block: &Block<'_>) -> ArrayRef {
    covering(block.rows.iter().map(|row| &row.cell.bbox))
}

fn windows(block: &Block<'_>) -> ArrayRef {
    let item = Field::new("item", DataType::UInt32, false);
    let mut lists = ListBuilder::new(UInt32Builder::with_capacity(4 * block.rows.len())).with_field(item);
    for row in block.rows {
        lists.values().append_slice(&row.cell.windows);
        lists.append(true);
    }
    Arc::new(lists.finish())
}

fn detector_scores(block: &Block<'_>) -> ArrayRef {
    let item = Field::new("item", DataType::Float32, true);
    let mut lists = ListBuilder::new(Float32Builder::new()).with_field(item);
    for row in block.rows {
        let scores = &row.cell.detector_scores;
        lists.values().extend(scores.iter().map(|score| score.map(Score::get)));
        lists.append(!scores.is_empty());
    }
    Arc::new(lists.finish())
}

fn geometry(block: &Block<'_>) -> ArrayRef {
    let mut polygons = BinaryBuilder::with_capacity(block.rows.len(), block.rows.len() * 96);
    let mut bytes = Vec::new();
    for row in block.rows {
        let Some(ring) = &row.cell.outline else {
            polygons.append_value(polygon_of_box(&row.cell.bbox));
            continue;
        };
        bytes.clear();
        put_polygon(&[ring], &mut bytes);
        polygons.append_value(&bytes);
    }
    Arc::new(polygons.finish())
}

fn read_class_names(array: &dyn Array, rows: &mut [CellRow]) -> Option<()> {
    let keys = array.as_dictionary_opt::<UInt16Type>()?;
    let names: Vec<Arc<str>> =
        keys.values().as_string_opt::<i32>()?.iter().map(|name| name.unwrap_or_default().into()).collect();
    for (row, key) in rows.iter_mut().zip(keys.keys()) {
        row.class_name = Arc::clone(names.get(usize::from(key?))?);
    }
    Some(())
}

fn read_detector_scores(array: &dyn Array, rows: &mut [CellRow]) -> Option<()> {
    for (row, scores) in rows.iter_mut().zip(array.as_list_opt::<i32>()?.iter()) {
        row.detector_scores = match scores {
            Some(scores) => Some(scores.as_primitive_opt::<Float32Type>()?.iter().collect()),
            None => None,
        };
    }
    Some(())
}
