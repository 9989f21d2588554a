//! Regions of interest: areas that a person drew, from any file that [`read`](super::read) knows.

use std::{collections::BTreeSet, path::Path};

use eval::{
    polygon::Polygon,
    truth::{Parts, QuPathObjects, ReadSettings, Reading, UNNAMED_CLASS},
};
use wsi_types::{
    Corner, DrawnFrame, DrawnPoint, DrawnPx, DrawnRegion, Level0Point, RegionsOfInterest, is_same_class,
    wording::counted,
};

use crate::{
    error::{ConvertError, Result, malformed},
    ring::{Grid, GridRing, area_without_on_grid},
};

const WHAT: &str = "the regions of interest";

/// Settings for reading a file of regions of interest.
#[derive(Debug, Clone, PartialEq)]
pub struct AreaSettings {
    /// Classes whose areas are cut out of the others, whatever their case. QuPath's `Ignore*` always is.
    pub exclude: Vec<String>,
    /// µm per px of the picture they were drawn on; `None`: they are in px of level 0.
    pub um_per_px: Option<f64>,
    /// Corner that px of level 0 count from.
    pub corner: Corner,
}

/// Contents of a file of regions of interest.
#[derive(Debug, Clone, PartialEq)]
pub struct Areas {
    /// Areas that count: excluded areas are cut out, each separate part is a region of its own.
    pub regions: RegionsOfInterest,
    /// The classes that were cut out, as the file has them.
    pub excluded: BTreeSet<String>,
    /// Notes on what was left out or had to be decided.
    pub notes: Vec<String>,
}

/// Reads the regions of interest of one slide. Detections and cells of QuPath are none; the labels of a picture are
/// classes.
///
/// # Errors
///
/// When the file cannot be read, is about several slides, or holds no area that counts.
pub fn read_areas(path: &Path, settings: &AreaSettings) -> Result<Areas> {
    let read = ReadSettings {
        ignore_classes: Vec::new(),
        parts: Parts::Whole,
        qupath: QuPathObjects::Annotations,
        ..ReadSettings::default()
    };
    let reading = super::read(path, &read)?;
    let frame = frame(&reading, settings, path)?;
    let drawn = Drawn::new(&reading, settings);
    let mut notes = reading.remarks.notes();
    notes.extend(drawn.notes());
    let regions = drawn.regions();
    if regions.is_empty() {
        let problem =
            format!("no area is left of {}, expected polygons", counted(drawn.kept.len(), "drawn area"));
        return Err(malformed(WHAT, problem, path));
    }
    let regions = match drawn.cut.is_empty() {
        true => RegionsOfInterest::new(regions, frame),
        false => RegionsOfInterest {
            uncut: drawn.kept.iter().flat_map(|area| area.without(&[])).collect(),
            excluded: drawn.cut.iter().flat_map(|area| area.without(&[])).collect(),
            ..RegionsOfInterest::new(regions, frame)
        },
    };
    let excluded = drawn.cut.into_iter().filter_map(|area| area.class).collect();
    Ok(Areas { regions, excluded, notes })
}

/// Returns the frame of the file's px.
fn frame(reading: &Reading, settings: &AreaSettings, path: &Path) -> Result<DrawnFrame> {
    let [image] = reading.set.images.as_slice() else {
        let problem = format!("they are of {}, expected one", counted(reading.set.images.len(), "slide"));
        return Err(malformed(WHAT, problem, path));
    };
    match settings.um_per_px {
        Some(um_per_px) => Ok(DrawnFrame::Picture { um_per_px, size: image.size }),
        None if reading.is_label_picture => Err(ConvertError::Refused(format!(
            "a picture of labels does not say how large its px are: give its µm per px with --within-mpp: {}",
            path.display()
        ))),
        None => Ok(DrawnFrame::Level0(settings.corner)),
    }
}

/// An area as its file has it.
struct Area {
    name: Option<String>,
    /// `None` where the file knows no classes.
    class: Option<String>,
    polygon: Polygon,
}

/// The areas of a file by what becomes of them.
#[derive(Default)]
struct Drawn {
    kept: Vec<Area>,
    cut: Vec<Area>,
    points: usize,
}

impl Drawn {
    /// QuPath's class of areas that do not count.
    const IGNORED: &str = "Ignore*";

    fn new(reading: &Reading, settings: &AreaSettings) -> Self {
        let mut drawn = Self::default();
        for (place, object) in reading.set.objects.iter().enumerate() {
            let class = reading.set.class_name(object.class);
            let class = match reading.is_label_picture {
                true => Some(object.id.to_string()),
                false => Some(class.to_owned()).filter(|class| class != UNNAMED_CLASS),
            };
            let Some(polygon) = object.shape.to_polygon() else {
                drawn.points += 1;
                continue;
            };
            let area = Area { name: reading.names.get(&place).cloned(), class, polygon };
            if area.is_excluded(settings) { drawn.cut.push(area) } else { drawn.kept.push(area) }
        }
        drawn
    }

    fn notes(&self) -> Vec<String> {
        let points = (self.points > 0).then(|| {
            format!("{} among the regions of interest: no areas, left out", counted(self.points, "point"))
        });
        points.into_iter().collect()
    }

    /// Returns what is left of the areas that count.
    fn regions(&self) -> Vec<DrawnRegion<DrawnPx>> {
        self.kept.iter().flat_map(|area| self.left_of(area)).collect()
    }

    fn left_of<'a>(&self, area: &'a Area) -> impl Iterator<Item = DrawnRegion<DrawnPx>> + use<'a> {
        let bounds = area.polygon.bounds();
        let near = self.cut.iter().filter(|cut| cut.polygon.bounds().intersects(&bounds));
        area.without(&near.map(|cut| cut.polygon.rings.as_slice()).collect::<Vec<_>>())
    }
}

impl Area {
    /// The separate parts of what these areas do not cover.
    fn without(&self, cuts: &[&[Vec<Level0Point>]]) -> impl Iterator<Item = DrawnRegion<DrawnPx>> + use<'_> {
        let parts = area_without_on_grid(&self.polygon.rings, cuts, Grid::DYADIC);
        parts.into_iter().map(|rings| DrawnRegion {
            name: self.name.clone(),
            class: self.class.clone(),
            rings: rings.iter().map(drawn_ring).collect(),
        })
    }

    fn is_excluded(&self, settings: &AreaSettings) -> bool {
        let class = self.class.as_deref().unwrap_or_default();
        class == Drawn::IGNORED || settings.exclude.iter().any(|excluded| is_same_class(excluded, class))
    }
}

/// Grid places in px of whatever was drawn on.
fn drawn_ring(ring: &GridRing) -> Vec<DrawnPoint> {
    ring.iter().map(|&place| Grid::DYADIC.point(place).cast_unit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> AreaSettings {
        AreaSettings { exclude: vec!["necrosis".into()], um_per_px: None, corner: Corner::Unstated }
    }

    fn feature(kind: &str, class: &str, name: &str, side: u32, at: u32) -> String {
        let end = at + side;
        format!(
            r#"{{"type":"Feature","geometry":{{"type":"Polygon","coordinates":[[[{at},{at}],[{end},{at}],[{end},{end}],
            [{at},{end}],[{at},{at}]]]}},"properties":{{"objectType":"{kind}","name":"{name}",
            "classification":{{"name":"{class}"}}}}}}"#
        )
    }

    fn read(features: &[String]) -> Result<Areas> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slide.geojson");
        let text = format!(r#"{{"type":"FeatureCollection","features":[{}]}}"#, features.join(","));
        std::fs::write(&path, text).unwrap();
        read_areas(&path, &settings())
    }

    #[test]
    fn excluded_areas_are_cut_out_and_detections_are_none() {
        let areas = read(&[
            feature("annotation", "Tumor", "front", 100, 0),
            feature("annotation", "Necrosis", "", 20, 90),
            feature("detection", "Tumor", "", 5, 50),
            r#"{"type":"Feature","geometry":{"type":"Point","coordinates":[1,1]},"properties":{}}"#.into(),
        ])
        .unwrap();
        let [region] = areas.regions.regions.as_slice() else { panic!("{areas:?}") };
        assert_eq!((region.name.as_deref(), region.class.as_deref()), (Some("front"), Some("Tumor")));
        assert_eq!(region.rings.len(), 1);
        assert!(region.rings[0].contains(&DrawnPoint::new(90.0, 90.0)), "{:?}", region.rings);
        assert_eq!(areas.excluded, BTreeSet::from(["Necrosis".to_owned()]));
        // What bands need: the border as it was drawn, and where none may lie.
        let [uncut] = areas.regions.uncut.as_slice() else { panic!("{areas:?}") };
        assert_eq!((uncut.rings[0].len(), uncut.class.as_deref()), (4, Some("Tumor")));
        let [necrosis] = areas.regions.excluded.as_slice() else { panic!("{areas:?}") };
        assert!(necrosis.rings[0].contains(&DrawnPoint::new(110.0, 110.0)), "{necrosis:?}");
        assert_eq!(areas.notes, ["1 point among the regions of interest: no areas, left out"]);
    }

    #[test]
    fn a_file_of_which_nothing_counts_is_refused() {
        let refused = read(&[feature("annotation", "Ignore*", "", 100, 0)]).unwrap_err().to_string();
        assert!(refused.contains("no area is left of 0 drawn areas, expected polygons"), "{refused}");
    }
}
