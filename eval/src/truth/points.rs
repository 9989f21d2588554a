//! Tables of points or boxes: CSV, TSV, QuPath's measurement tables and those of
//! scikit-image's `regionprops_table`.

use std::collections::{BTreeMap, BTreeSet};

use csv::StringRecord;
use wsi_types::{Level0Box, Level0Point, Mpp};

use super::{
    files::{Source, malformed},
    reading::Reading,
    remarks::{Remark, Remarks},
    settings::ReadSettings,
    sheet::{Sheet, column, columns},
};
use crate::{
    EvalError,
    error::Result,
    objects::{Detail, Object, Role, SetBuilder, Shape, UNNAMED_CLASS},
};

const FORMAT: &str = "CSV";

// In the form that `sheet::plain` returns.
const X: &[&str] = &["x", "x px", "cx", "centroid x", "centroid x px", "x level0"];
const Y: &[&str] = &["y", "y px", "cy", "centroid y", "centroid y px", "y level0"];
const X_UM: &[&str] = &["x um", "centroid x um"];
const Y_UM: &[&str] = &["y um", "centroid y um"];
const X0: &[&str] = &["x0", "xmin", "x min", "minx", "left"];
const Y0: &[&str] = &["y0", "ymin", "y min", "miny", "top"];
const X1: &[&str] = &["x1", "xmax", "x max", "maxx", "right"];
const Y1: &[&str] = &["y1", "ymax", "y max", "maxy", "bottom"];
const CLASS: &[&str] = &["class", "class name", "classification", "category", "type", "name", "class id"];
const LABEL: &[&str] = &["label"];
const SCORE: &[&str] = &["score", "probability", "prob", "confidence", "detection probability"];
const IMAGE: &[&str] = &["image", "image name", "slide", "slide id", "file", "file name"];

/// Texts that R, pandas and spreadsheets write for a missing value.
const NOTHING: [&str; 4] = ["", "NA", "NaN", "nan"];

/// `true` if the first line names columns that place objects.
pub(super) fn looks_like(text: &str) -> bool {
    Sheet::header_of(text).is_some_and(|header| Columns::find(&header).is_some())
}

/// Places of the columns.
struct Columns {
    place: Place,
    bounds: Option<[usize; 4]>,
    class: Option<usize>,
    score: Option<usize>,
    image: Option<usize>,
    /// The column of the object's number, or of its class.
    label: Option<usize>,
}

/// Columns that give the centre.
#[derive(Clone, Copy)]
enum Place {
    Px(usize, usize),
    Um(usize, usize),
    /// scikit-image's: from pixel centres, while all others count from pixel corners.
    PixelCentres(usize, usize),
    /// Boxes only: their centres.
    Bounds,
}

impl Columns {
    fn find(header: &StringRecord) -> Option<Self> {
        // A third axis means a volume, whose planes we cannot tell.
        let flat = column(header, &["centroid 2"]).is_none() && column(header, &["bbox 4"]).is_none();
        let corners =
            columns(header, &["bbox 1"], &["bbox 0"]).zip(columns(header, &["bbox 3"], &["bbox 2"]));
        let in_rows = corners.filter(|_| flat);
        let bounds = columns(header, X0, Y0).zip(columns(header, X1, Y1)).or(in_rows);
        let place = (columns(header, X, Y).map(|(x, y)| Place::Px(x, y)))
            .or_else(|| columns(header, X_UM, Y_UM).map(|(x, y)| Place::Um(x, y)))
            .or_else(|| {
                let centre = columns(header, &["centroid 1"], &["centroid 0"]).filter(|_| flat);
                centre.map(|(x, y)| Place::PixelCentres(x, y))
            })
            .or_else(|| bounds.map(|_| Place::Bounds))?;
        Some(Self {
            place,
            bounds: bounds.map(|((x0, y0), (x1, y1))| [x0, y0, x1, y1]),
            class: column(header, CLASS),
            score: column(header, SCORE),
            image: column(header, IMAGE),
            label: column(header, LABEL),
        })
    }

    /// All columns that hold numbers.
    fn of_numbers(&self) -> Vec<usize> {
        let centre = match self.place {
            Place::Px(x, y) | Place::Um(x, y) | Place::PixelCentres(x, y) => vec![x, y],
            Place::Bounds => Vec::new(),
        };
        centre.into_iter().chain(self.bounds.into_iter().flatten()).chain(self.score).collect()
    }
}

pub(super) fn read(text: &str, source: &Source<'_>, settings: &ReadSettings) -> Result<Reading> {
    let sheet = Sheet::new(text, source.path)?;
    let Some(columns) = Columns::find(&sheet.header) else {
        return Err(EvalError::UnknownFormat { path: source.path.to_owned() });
    };
    let mut remarks = Remarks::default();
    let numbers_objects = columns.label.filter(|label| numbers_objects(&sheet, &columns, *label));
    let labels_are_numbers = columns.class.is_none() && numbers_objects.is_some();
    remarks
        .add(Remark::LabelsAreNumbers, u64::from(labels_are_numbers), || source.path.display().to_string());
    let class_column = columns.class.or(columns.label.filter(|_| !labels_are_numbers));
    let decimal_comma = sheet.has_decimal_commas(&columns.of_numbers());
    let mut set = SetBuilder::new();
    if columns.image.is_none() {
        set.image_named(&source.image);
    }
    for record in &sheet.rows {
        let row = Row { header: &sheet.header, record, decimal_comma };
        let line = sheet.line(record);
        let image = columns.image.and_then(|column| row.text(column)).unwrap_or(&source.image);
        let image = set.image_named(image);
        let mpp = set.image(image).mpp.or(settings.mpp);
        let bad = |problem: String| malformed(FORMAT, format!("line {line}"), problem, source.path);
        let shape = row.shape(&columns, settings.detail, mpp).map_err(bad)?;
        let score = columns.score.filter(|column| row.text(*column).is_some());
        let score = score.map(|column| row.number(column)).transpose().map_err(bad)?;
        let class = class_column.and_then(|column| row.text(column)).unwrap_or(UNNAMED_CLASS);
        let class = set.class_named(class)?;
        let number = numbers_objects.and_then(|column| row.text(column)?.parse().ok());
        set.push(Object {
            id: number.unwrap_or(line),
            image,
            class,
            score: score.map(|score| score as f32),
            shape,
            role: Role::Object,
        });
    }
    Ok(Reading { set: set.finish(), remarks, ..Reading::default() })
}

/// `true` if the column `label` holds, in each row, a whole number that no other row of the same image has:
/// then it counts objects, as label maps do.
fn numbers_objects(sheet: &Sheet, columns: &Columns, label: usize) -> bool {
    let mut seen: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    let each_once = sheet.rows.iter().all(|row| {
        let image = columns.image.and_then(|column| row.get(column)).unwrap_or_default();
        let number = row.get(label).and_then(whole_number);
        number.is_some_and(|number| seen.entry(image).or_default().insert(number))
    });
    each_once && seen.values().any(|numbers| numbers.len() > 1)
}

/// Reads a whole number, also as pandas writes it, with a point and a zero.
fn whole_number(text: &str) -> Option<u64> {
    let text = text.trim();
    text.strip_suffix(".0").unwrap_or(text).parse().ok()
}

struct Row<'a> {
    header: &'a StringRecord,
    record: &'a StringRecord,
    decimal_comma: bool,
}

impl<'a> Row<'a> {
    /// The text of a cell; `None` if it is empty.
    fn text(&self, column: usize) -> Option<&'a str> {
        self.record.get(column).map(str::trim).filter(|text| !NOTHING.contains(text))
    }

    fn number(&self, column: usize) -> Result<f64, String> {
        let text = self.record.get(column).unwrap_or_default().trim();
        let number = if self.decimal_comma { text.replace(',', ".").parse() } else { text.parse() };
        number.ok().filter(|number: &f64| number.is_finite()).ok_or_else(|| {
            let name = self.header.get(column).unwrap_or_default();
            format!("column {name} holds {text:?}, expected a number")
        })
    }

    fn point(&self, x: usize, y: usize) -> Result<Level0Point, String> {
        Ok(euclid::point2(self.number(x)?, self.number(y)?))
    }

    fn shape(&self, columns: &Columns, detail: Detail, mpp: Option<Mpp>) -> Result<Shape, String> {
        if let Some([x0, y0, x1, y1]) = columns.bounds
            && (detail != Detail::Points || matches!(columns.place, Place::Bounds))
        {
            let bounds = Level0Box::new(self.point(x0, y0)?, self.point(x1, y1)?);
            return Ok(Shape::Box(bounds).reduced(detail));
        }
        match columns.place {
            Place::Px(x, y) => Ok(Shape::Point(self.point(x, y)?)),
            Place::PixelCentres(x, y) => Ok(Shape::Point(self.point(x, y)? + euclid::vec2(0.5, 0.5))),
            Place::Um(x, y) => {
                let mpp = mpp.ok_or("places are in µm and microns per pixel are not known; give --mpp")?;
                Ok(Shape::Point(self.point(x, y)? / mpp.get()))
            }
            Place::Bounds => Err("the box has no columns".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::{names::stem, objects::ObjectSet};

    fn reading(text: &str, settings: &ReadSettings) -> Result<Reading> {
        assert!(looks_like(text), "{text}");
        read(text, &Source::new(std::path::Path::new("tables/t.csv")), settings)
    }

    fn parsed(text: &str, settings: &ReadSettings) -> Result<ObjectSet> {
        reading(text, settings).map(|reading| reading.set)
    }

    fn parsed_as(text: &str, detail: Detail) -> ObjectSet {
        parsed(text, &ReadSettings { detail, ..ReadSettings::default() }).unwrap()
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
            "x;y;class\n3,0;4,0;a\n",
            "sep=;\nx;y;class\n3;4;a\n",
            "\"X\",\"x\",\"y\",\"class\"\n\"1\",3,4,\"a\"\n",
            "Image,Class,Centroid.X.µm,Centroid.Y.µm\nt.svs,a,1.5,2\n",
            "Image\tClass\tCentroid X \u{3bc}m\tCentroid Y \u{3bc}m\nt.svs\ta\t1,5\t2,0\n",
            ",class,centroid-0,centroid-1\n0,a,3.5,2.5\n",
        ] {
            let set = parsed(text, &settings).unwrap();
            assert_eq!((centre(&set, 0), set.class_name(set.objects[0].class)), ((3.0, 4.0), "a"), "{text}");
            assert_eq!(stem(&set.images[0].name), "t");
        }
        assert!(!looks_like("id,src,area\n1,2,3\n"));
    }

    #[test]
    fn boxes_and_centres_may_stand_side_by_side() {
        let text = "id,x0,y0,x1,y1,cx,cy\n1,0,0,10,10,4,6\n";
        assert_eq!(centre(&parsed_as(text, Detail::Points), 0), (4.0, 6.0));
        assert_eq!(parsed_as(text, Detail::Boxes).objects[0].shape.area(), 100.0);
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
    #[test]
    fn tables_of_scikit_image_count_rows_before_columns() {
        let text = ",label,bbox-0,bbox-1,bbox-2,bbox-3,centroid-0,centroid-1\n\
                    0,4,50,40,72,64,60.5,51.5\n1,9,50,130,73,155,61.0,142.0\n";
        let boxes = parsed_as(text, Detail::Boxes);
        let bounds = boxes.objects[0].shape.bounds();
        assert_eq!((bounds.min.to_tuple(), bounds.max.to_tuple()), ((40.0, 50.0), (64.0, 72.0)));
        assert_eq!(centre(&parsed_as(text, Detail::Points), 0), (52.0, 61.0));
        assert_eq!((boxes.objects[1].id, boxes.class_name(boxes.objects[1].class)), (9, UNNAMED_CLASS));
        let volume = "label,centroid-0,centroid-1,centroid-2\n1,2,3,4\n";
        assert!(!looks_like(volume));
    }

    #[test]
    fn a_label_that_counts_is_no_class_and_it_is_said() {
        let classes = |text: &str| {
            let found = reading(text, &ReadSettings::default()).unwrap();
            (found.set.classes.len(), found.remarks.count(Remark::LabelsAreNumbers))
        };
        assert_eq!(classes("label,x,y\n1,1,2\n2,3,4\n3,5,6\n"), (1, 1));
        assert_eq!(classes("label,x,y\n1.0,1,2\n2.0,3,4\n"), (1, 1));
        assert_eq!(classes("image,label,x,y\na,1,1,2\na,2,1,2\nb,1,3,4\n"), (1, 1));
        assert_eq!(classes("label,x,y\n1,1,2\n2,3,4\n1,5,6\n"), (2, 0));
        assert_eq!(classes("label,x,y\n7,1,2\n"), (1, 0));
        assert_eq!(classes("label,class,x,y\n1,a,1,2\n2,b,3,4\n"), (2, 0));
    }

    #[test]
    fn what_is_not_there_is_no_class_and_no_score() {
        let set = parsed("x,y,class,score\n1,2,NA,NA\n3,4,,\n5,6,a,0.5\n", &ReadSettings::default()).unwrap();
        let found: Vec<_> = set.objects.iter().map(|o| (set.class_name(o.class), o.score)).collect();
        assert_eq!(found, [("object", None), ("object", None), ("a", Some(0.5))]);
    }

    #[test]
    fn a_number_with_a_comma_among_points_is_refused() {
        let message = parsed("x;y\n1.5;2\n1,5;2\n", &ReadSettings::default()).unwrap_err().to_string();
        assert!(message.contains("line 3: column x holds \"1,5\""), "{message}");
    }
}
