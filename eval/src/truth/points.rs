//! Tables of points or boxes: CSV, TSV, and QuPath's measurement tables.

use std::path::Path;

use csv::StringRecord;
use wsi_types::{Level0Box, Mpp};

use super::{ReadSettings, UNNAMED_CLASS, image_name, malformed};
use crate::{
    EvalError,
    error::Result,
    objects::{Detail, Object, ObjectSet, Role, Shape},
};

const FORMAT: &str = "CSV";

const X: &[&str] = &["x", "x_px", "cx", "centroid_x", "centroid x px", "x_level0"];
const Y: &[&str] = &["y", "y_px", "cy", "centroid_y", "centroid y px", "y_level0"];
const X_UM: &[&str] = &["x_um", "centroid x µm", "centroid_x_um"];
const Y_UM: &[&str] = &["y_um", "centroid y µm", "centroid_y_um"];
const X0: &[&str] = &["x0", "xmin", "x_min", "minx", "left"];
const Y0: &[&str] = &["y0", "ymin", "y_min", "miny", "top"];
const X1: &[&str] = &["x1", "xmax", "x_max", "maxx", "right"];
const Y1: &[&str] = &["y1", "ymax", "y_max", "maxy", "bottom"];
const CLASS: &[&str] =
    &["class", "class_name", "label", "classification", "category", "type", "name", "class_id"];
const SCORE: &[&str] = &["score", "probability", "prob", "confidence", "detection probability"];
const IMAGE: &[&str] = &["image", "image_name", "slide", "slide_id", "file", "file_name"];

/// Comma, tab or semicolon: whichever the header has most of.
fn delimiter(text: &str) -> u8 {
    let header = text.lines().next().unwrap_or_default().as_bytes();
    let count = |delimiter: u8| header.iter().filter(|&&byte| byte == delimiter).count();
    b",\t;".iter().copied().rev().max_by_key(|&delimiter| count(delimiter)).unwrap_or(b',')
}

/// Whether the first line names columns we can place objects by.
pub(super) fn looks_like(text: &str) -> bool {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter(text)).from_reader(text.as_bytes());
    reader.headers().is_ok_and(|header| Columns::of(header).is_some())
}

/// Where the columns stand.
struct Columns {
    place: Place,
    bounds: Option<[usize; 4]>,
    class: Option<usize>,
    score: Option<usize>,
    image: Option<usize>,
}

/// Which columns give the centre.
enum Place {
    Px(usize, usize),
    Um(usize, usize),
    /// Boxes only: their centres.
    Bounds,
}

impl Columns {
    fn of(header: &StringRecord) -> Option<Self> {
        let find = |names: &[&str]| {
            let named = |name: &&str| header.iter().position(|column| column.trim().to_lowercase() == **name);
            names.iter().find_map(named)
        };
        let both = |x, y| find(x).zip(find(y));
        let bounds = both(X0, Y0).zip(both(X1, Y1)).map(|((x0, y0), (x1, y1))| [x0, y0, x1, y1]);
        let place = (both(X, Y).map(|(x, y)| Place::Px(x, y)))
            .or_else(|| both(X_UM, Y_UM).map(|(x, y)| Place::Um(x, y)))
            .or_else(|| bounds.map(|_| Place::Bounds))?;
        Some(Self { place, bounds, class: find(CLASS), score: find(SCORE), image: find(IMAGE) })
    }
}

pub(super) fn read(text: &str, path: &Path, settings: &ReadSettings) -> Result<ObjectSet> {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter(text)).from_reader(text.as_bytes());
    let broken = |error: csv::Error| {
        let line = error.position().map_or_else(String::new, |at| format!("line {}", at.line()));
        malformed(FORMAT, line, error.to_string(), path)
    };
    let header = reader.headers().map_err(broken)?.clone();
    let Some(columns) = Columns::of(&header) else {
        return Err(EvalError::UnknownFormat { path: path.to_owned() });
    };
    let mut set = ObjectSet::default();
    let own_name = image_name(path);
    if columns.image.is_none() {
        set.image_named(&own_name);
    }
    for record in reader.records() {
        let record = record.map_err(broken)?;
        let line = record.position().map_or(0, csv::Position::line);
        let bad = |problem: String| malformed(FORMAT, format!("line {line}"), problem, path);
        let row = Row { header: &header, record: &record };
        let image = columns.image.and_then(|column| record.get(column)).unwrap_or(&own_name);
        let image = set.image_named(image);
        let mpp = set.image_mpp(image).or(settings.mpp);
        let shape = row.shape(&columns, settings.detail, mpp).map_err(bad)?;
        let class = columns.class.and_then(|column| record.get(column)).map(str::trim);
        let class = class.filter(|name| !name.is_empty()).unwrap_or(UNNAMED_CLASS);
        let score = match columns.score {
            Some(column) => Some(row.number(column).map_err(bad)? as f32),
            None => None,
        };
        let class = set.class_named(class)?;
        set.objects.push(Object { id: line, image, class, score, shape, role: Role::Object });
    }
    Ok(set)
}

struct Row<'a> {
    header: &'a StringRecord,
    record: &'a StringRecord,
}

impl Row<'_> {
    fn number(&self, column: usize) -> Result<f64, String> {
        let text = self.record.get(column).unwrap_or_default().trim();
        text.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(|| {
            let name = self.header.get(column).unwrap_or_default();
            format!("column {name} holds {text:?}, expected a number")
        })
    }

    fn shape(&self, columns: &Columns, detail: Detail, mpp: Option<Mpp>) -> Result<Shape, String> {
        if let Some([x0, y0, x1, y1]) = columns.bounds
            && (detail != Detail::Points || matches!(columns.place, Place::Bounds))
        {
            let min = euclid::point2(self.number(x0)?, self.number(y0)?);
            let max = euclid::point2(self.number(x1)?, self.number(y1)?);
            return Ok(Shape::Box(Level0Box::new(min, max)).reduced(detail));
        }
        match columns.place {
            Place::Px(x, y) => Ok(Shape::Point(euclid::point2(self.number(x)?, self.number(y)?))),
            Place::Um(x, y) => {
                let mpp = mpp.ok_or("places are in µm and microns per pixel are not known; give --mpp")?;
                let px = |um: f64| um / mpp.get();
                Ok(Shape::Point(euclid::point2(px(self.number(x)?), px(self.number(y)?))))
            }
            Place::Bounds => Err("the box has no columns".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parsed(text: &str, settings: &ReadSettings) -> Result<ObjectSet> {
        read(text, Path::new("tables/t.csv"), settings)
    }

    fn centre(set: &ObjectSet, object: usize) -> (f64, f64) {
        set.objects[object].shape.centroid().to_tuple()
    }

    #[test]
    fn headers_have_many_names() {
        let mpp = Mpp::new(0.5).ok();
        let settings = ReadSettings { mpp, ..ReadSettings::default() };
        for text in [
            "x,y,class\n3,4,a\n",
            "Class;CX;CY\na;3;4\n",
            "Image\tClassification\tCentroid X µm\tCentroid Y µm\nt\ta\t1.5\t2\n",
            "id,xmin,ymin,xmax,ymax,label\n1,2,3,4,5,a\n",
        ] {
            assert!(looks_like(text), "{text}");
            let set = parsed(text, &settings).unwrap();
            assert_eq!((centre(&set, 0), set.class_name(set.objects[0].class)), ((3.0, 4.0), "a"), "{text}");
            assert_eq!(set.images[0].name, "t");
        }
        assert!(!looks_like("id,src,area\n1,2,3\n"));
    }

    #[test]
    fn boxes_and_centres_may_stand_side_by_side() {
        let text = "id,x0,y0,x1,y1,cx,cy\n1,0,0,10,10,4,6\n";
        let read_as = |detail| parsed(text, &ReadSettings { detail, ..ReadSettings::default() }).unwrap();
        assert_eq!(centre(&read_as(Detail::Points), 0), (4.0, 6.0));
        assert_eq!(read_as(Detail::Boxes).objects[0].shape.area(), 100.0);
    }

    #[test]
    fn errors_name_line_and_column() {
        let message = parsed("x,y\n1,2\n3,abc\n", &ReadSettings::default()).unwrap_err().to_string();
        assert!(message.starts_with("bad CSV, line 3: column y holds \"abc\""), "{message}");
        let um = parsed("x_um,y_um\n1,2\n", &ReadSettings::default()).unwrap_err().to_string();
        assert!(um.contains("give --mpp"), "{um}");
    }

    #[test]
    fn one_table_may_speak_of_many_images() {
        let set = parsed("image,x,y\nb,1,2\na,3,4\nb,5,6\n", &ReadSettings::default()).unwrap();
        assert_eq!(set.images.len(), 2);
        assert_eq!(set.objects.iter().map(|o| o.image.0).collect::<Vec<_>>(), [0, 1, 0]);
    }
}
