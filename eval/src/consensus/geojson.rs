//! Agreed objects as GeoJSON that QuPath opens; the coordinates are those of the
//! annotators' own files.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::{AgreedObject, Consensus, Dispute};
use crate::{
    objects::ImageId,
    qupath::{colour, geometry, uuid, write_collection},
};

/// Contents of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The agreed truth, as detections.
    Kept,
    /// Objects someone should look at, as annotations that can be edited.
    Disputed,
}

impl Consensus {
    /// Writes the objects of one image as a `FeatureCollection`, one feature a
    /// line.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write_geojson(&self, image: ImageId, which: Which, out: &mut impl Write) -> io::Result<()> {
        // Sorted by image, so that many images are written in the time of their objects.
        let from = self.objects.partition_point(|agreed| agreed.object.image < image);
        let to = self.objects.partition_point(|agreed| agreed.object.image <= image);
        let wanted = self.objects[from..to].iter().filter(|agreed| match which {
            Which::Kept => agreed.kept,
            Which::Disputed => !agreed.disputes.is_empty(),
        });
        let features = wanted.map(|agreed| self.feature(agreed, which));
        write_collection(features, out)
    }

    fn feature(&self, agreed: &AgreedObject, which: Which) -> Value {
        let object = &agreed.object;
        let class = &self.classes[usize::from(object.class.0)].name;
        let supporters: Vec<&str> =
            agreed.supporters.iter().map(|&place| self.annotators[place].name.as_str()).collect();
        let mut measurements = Map::new();
        measurements.insert("Supporters".to_owned(), json!(agreed.supporters.len()));
        measurements.insert("Readers".to_owned(), json!(agreed.readers));
        measurements.insert("Agreement".to_owned(), json!(agreed.agreement));
        measurements.insert("Class share".to_owned(), json!(agreed.class_share));
        if let Some(probability) = agreed.probability {
            measurements.insert("Probability".to_owned(), json!(probability));
        }
        let disputes: Vec<&str> = agreed.disputes.iter().copied().map(Dispute::as_str).collect();
        let image = &self.images[object.image.0 as usize].name;
        json!({
            "type": "Feature",
            "id": uuid(image, class, object),
            "geometry": geometry(&object.shape),
            "properties": {
                "objectType": if which == Which::Kept { "detection" } else { "annotation" },
                "name": format!("{} of {}", agreed.supporters.len(), agreed.readers),
                "classification": { "name": class, "color": colour(object.class) },
                "measurements": measurements,
                "metadata": {
                    "Supporters": supporters.join(", "),
                    "Kept": if agreed.kept { "yes" } else { "no" },
                    "Disputes": disputes.join(", "),
                },
            },
        })
    }
}
