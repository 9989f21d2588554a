//! DICOM Microscopy Bulk Simple Annotations (PS3.3 A.87): one group per class.
//!
//! A group's coordinates are one value, written before its count is known to a stream. So coordinates, indices and
//! measurements of each class are spooled to the disk and copied into place at the end: memory stays that of a part.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io::{self, Write},
    path::{Path, PathBuf},
};

use dicom_core::{Tag, VR};
use dicom_dictionary_std::{tags, uids};
use wsi_types::ClassId;

use super::{
    files::{ColumnSpool, Columns, Spool, write_file},
    request::{Settings, Source},
    stream::{Maker, Outlined, Part, stream},
};
use crate::{
    dicom::{
        Attributes as _, Code, Items, MAKER, algorithm, begin_item, begin_sequence, begin_value, concept,
        end_item, end_sequence, our_scheme, unit_code, write_head, write_items,
    },
    error::{Result, unwritable},
    ids,
    measure::{AREA, Measure},
    ring::{Grid, twice_area},
    source::SlideFacts,
    tally::Tally,
};

const WHAT: &str = "the DICOM annotations";
/// Cells worked on at a time.
const ROWS: usize = 32_768;
/// A value's length is a number of 32 bits; a class that has more goes on in another group.
const MOST_BYTES: u64 = 1 << 31;
/// Up to here steps of 1/64 px are exact as `f32`.
const MOST_PX_AS_F32: u32 = 1 << 18;

/// Writes the annotations of a slide.
pub(crate) fn write(source: &Source<'_>, settings: &Settings, path: &Path) -> Result<Tally> {
    let slide = settings.dicom_slide(source.facts);
    let [width, height] = source.facts.size_px;
    let doubles = width.max(height) > MOST_PX_AS_F32;
    let measures = source.cells.measures();
    let um_per_px = source.facts.mpp.get();
    let maker = Coordinates { um_per_px, measures, points: settings.points, doubles };
    let mut groups = Groups {
        measures: measures.len(),
        points: settings.points,
        doubles,
        done: Vec::new(),
        open: BTreeMap::new(),
        path: path.to_owned(),
    };
    let mut tally = stream(source, settings, ROWS, &maker, |made| groups.take(made))?;
    let identity = source.identity(settings);
    let class = uids::MICROSCOPY_BULK_SIMPLE_ANNOTATIONS_STORAGE;
    let mut object = slide.object(class, "ANN", source.facts, &identity);
    let mut series = Items::new_empty();
    series.sequence(tags::REFERENCED_INSTANCE_SEQUENCE, vec![slide.image()]).text(
        tags::SERIES_INSTANCE_UID,
        VR::UI,
        slide.series_uid(),
    );
    object
        .sequence(tags::CODING_SCHEME_IDENTIFICATION_SEQUENCE, vec![our_scheme()])
        .sequence(tags::REFERENCED_SERIES_SEQUENCE, vec![series])
        .sequence(tags::REFERENCED_IMAGE_SEQUENCE, vec![slide.image()])
        .text(tags::SERIES_NUMBER, VR::IS, "2")
        // Type 2C: validators ask for it, empty.
        .text(tags::LATERALITY, VR::CS, "")
        .text(tags::PIXEL_ORIGIN_INTERPRETATION, VR::CS, "VOLUME")
        .text(tags::ANNOTATION_COORDINATE_TYPE, VR::CS, "2D")
        .text(tags::CONTENT_LABEL, VR::CS, "CELLS")
        .text(tags::CONTENT_DESCRIPTION, VR::LO, "Cells found by a model, not checked by a person")
        .text(tags::CONTENT_CREATOR_NAME, VR::PN, MAKER);
    slide.put_container(&mut object);
    let instance = object.text_of(tags::SOP_INSTANCE_UID).unwrap_or_default();
    let groups = groups.finished();
    write_file(path, WHAT, |out| {
        write_head(out, class, &instance)
            .and_then(|()| write_object(out, &object, groups, source, &identity))
            .map_err(unwritable(WHAT, path))
    })?;
    tally.notes.extend(slide.note());
    Ok(tally)
}

/// Elements before the groups, the groups, and those after them.
fn write_object(
    out: &mut impl Write,
    object: &Items,
    groups: Vec<Group>,
    source: &Source<'_>,
    identity: &str,
) -> io::Result<()> {
    write_items(out, &object.part(|tag| tag < tags::ANNOTATION_GROUP_SEQUENCE))?;
    begin_sequence(out, tags::ANNOTATION_GROUP_SEQUENCE)?;
    for (group, number) in groups.into_iter().zip(1..) {
        begin_item(out)?;
        group.write(out, number, source, identity)?;
        end_item(out)?;
    }
    end_sequence(out)?;
    write_items(out, &object.part(|tag| tag > tags::ANNOTATION_GROUP_SEQUENCE))
}

/// The classes at work.
struct Groups {
    /// Number of measures.
    measures: usize,
    points: bool,
    doubles: bool,
    /// Those that are full.
    done: Vec<Group>,
    open: BTreeMap<ClassId, Group>,
    path: PathBuf,
}

impl Groups {
    fn take(&mut self, made: Vec<MadeClass>) -> Result<()> {
        for made in made {
            self.group(made.class, made.coordinates.len() as u64)?.push(&made)?;
        }
        Ok(())
    }

    /// All groups, by class.
    fn finished(self) -> Vec<Group> {
        let mut all = self.done;
        all.extend(self.open.into_values());
        all.sort_by_key(|group| (group.class, group.number_in_class));
        all
    }

    fn group(&mut self, class: ClassId, bytes: u64) -> Result<&mut Group> {
        let full = self.open.get(&class).is_some_and(|group| group.coordinates.bytes() + bytes > MOST_BYTES);
        let number_in_class =
            self.open.get(&class).map_or(0, |group| group.number_in_class + u32::from(full));
        if full {
            self.done.extend(self.open.remove(&class));
        }
        match self.open.entry(class) {
            Entry::Occupied(open) => Ok(open.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(Group {
                class,
                number_in_class,
                points: self.points,
                doubles: self.doubles,
                cells: 0,
                values: 0,
                coordinates: Spool::beside(&self.path)?,
                firsts: Spool::beside(&self.path)?,
                measures: ColumnSpool::beside(&self.path, self.measures)?,
            })),
        }
    }
}

/// The cells of one class in a part, as bytes.
struct MadeClass {
    class: ClassId,
    coordinates: Vec<u8>,
    /// Values (not bytes, not points) of each cell.
    values: Vec<u32>,
    /// Values of each measure, NaN for cells without one.
    measures: Vec<Vec<f32>>,
}

/// Makes coordinates of cells.
struct Coordinates<'a> {
    um_per_px: f64,
    measures: &'a [Measure],
    points: bool,
    doubles: bool,
}

impl Coordinates<'_> {
    /// A measure of a cell; the area is that of the ring as it is written.
    fn measured(&self, measure: &Measure, Outlined { row, ring }: &Outlined) -> f32 {
        if measure.name == AREA && !self.points {
            let um = self.grid().px(1) * self.um_per_px;
            return (twice_area(ring) as f64 / 2.0 * um * um) as f32;
        }
        measure.of(row).unwrap_or(f32::NAN)
    }
}

impl Maker for Coordinates<'_> {
    type Made = Vec<MadeClass>;

    fn grid(&self) -> Grid {
        Grid::DYADIC
    }

    fn make(&self, part: &Part<'_>) -> Result<Self::Made> {
        let mut made: BTreeMap<ClassId, MadeClass> = BTreeMap::new();
        let grid = self.grid();
        for cell in part.cells {
            let Outlined { row, ring } = cell;
            let class =
                made.entry(row.class_id).or_insert_with(|| MadeClass::new(row.class_id, self.measures.len()));
            if self.points {
                class.push(row.centroid.x, self.doubles);
                class.push(row.centroid.y, self.doubles);
            }
            for place in ring {
                class.push(grid.px(place.x), self.doubles);
                class.push(grid.px(place.y), self.doubles);
            }
            class.values.push(if self.points { 2 } else { 2 * ring.len() as u32 });
            for (measure, values) in self.measures.iter().zip(&mut class.measures) {
                values.push(self.measured(measure, cell));
            }
        }
        Ok(made.into_values().collect())
    }
}

impl MadeClass {
    fn new(class: ClassId, measures: usize) -> Self {
        Self { class, coordinates: Vec::new(), values: Vec::new(), measures: vec![Vec::new(); measures] }
    }

    fn push(&mut self, px: f64, doubles: bool) {
        if doubles {
            self.coordinates.extend(px.to_le_bytes());
        } else {
            self.coordinates.extend((px as f32).to_le_bytes());
        }
    }
}

/// The cells of one class, or a part of them where they are very many.
struct Group {
    class: ClassId,
    number_in_class: u32,
    points: bool,
    doubles: bool,
    cells: u32,
    /// Coordinate values so far.
    values: u32,
    coordinates: Spool,
    firsts: Spool,
    measures: ColumnSpool,
}

impl Group {
    fn push(&mut self, made: &MadeClass) -> Result<()> {
        for count in &made.values {
            // From 1, and of values: what the standard counts.
            self.firsts.push(&(self.values + 1).to_le_bytes())?;
            self.values += count;
        }
        self.cells += made.values.len() as u32;
        self.coordinates.push(&made.coordinates)?;
        self.measures.push(&made.measures)
    }

    /// The group as the item of its sequence, in order of tags.
    fn write(self, out: &mut impl Write, number: u16, source: &Source<'_>, identity: &str) -> io::Result<()> {
        let mut before = Items::new_empty();
        before.u16(tags::ANNOTATION_GROUP_NUMBER, number);
        let about = self.about(source.facts, identity);
        write_items(out, &before)?;
        let (tag, vr) = if self.doubles {
            (tags::DOUBLE_POINT_COORDINATES_DATA, VR::OD)
        } else {
            (tags::POINT_COORDINATES_DATA, VR::OF)
        };
        write_spool(out, tag, vr, self.coordinates)?;
        if !self.points {
            write_spool(out, tags::LONG_PRIMITIVE_POINT_INDEX_LIST, VR::OL, self.firsts)?;
        }
        begin_sequence(out, tags::MEASUREMENTS_SEQUENCE)?;
        let mut measured = self.measures.finish()?;
        for (measure, column) in source.cells.measures().iter().zip(0..) {
            write_measurement(out, measure, &mut measured, column, self.cells)?;
        }
        end_sequence(out)?;
        write_items(out, &about)
    }

    fn about(&self, facts: &SlideFacts, identity: &str) -> Items {
        let mut label = facts.class_name(self.class);
        if self.number_in_class > 0 {
            label = format!("{label} ({})", self.number_in_class + 1);
        }
        let (class, part) = (self.class.0.to_le_bytes(), self.number_in_class.to_le_bytes());
        let mut about = Items::new_empty();
        about
            .text(
                tags::ANNOTATION_GROUP_UID,
                VR::UI,
                &ids::uid(&[b"group", facts.id.as_bytes(), identity.as_bytes(), &class, &part]),
            )
            .text(tags::ANNOTATION_GROUP_LABEL, VR::LO, &label)
            .text(tags::ANNOTATION_GROUP_GENERATION_TYPE, VR::CS, "AUTOMATIC")
            .sequence(tags::ANNOTATION_GROUP_ALGORITHM_IDENTIFICATION_SEQUENCE, vec![algorithm(&facts.model)])
            .sequence(
                tags::ANNOTATION_PROPERTY_CATEGORY_CODE_SEQUENCE,
                vec![Code("91723000", "SCT", "Anatomical Structure").item()],
            )
            .sequence(
                tags::ANNOTATION_PROPERTY_TYPE_CODE_SEQUENCE,
                vec![Code("84640000", "SCT", "Nucleus").item()],
            )
            .u32(tags::NUMBER_OF_ANNOTATIONS, self.cells)
            .text(tags::ANNOTATION_APPLIES_TO_ALL_OPTICAL_PATHS, VR::CS, "YES")
            .text(tags::GRAPHIC_TYPE, VR::CS, if self.points { "POINT" } else { "POLYGON" });
        about
    }
}

fn write_spool(out: &mut impl Write, tag: Tag, vr: VR, spool: Spool) -> io::Result<()> {
    let bytes = u32::try_from(spool.bytes()).map_err(io::Error::other)?;
    begin_value(out, tag, vr, bytes)?;
    spool.pour(out)
}

/// A measure of the cells that have it: where some have none, the others are told by their numbers. Nothing where none has
/// it.
fn write_measurement(
    out: &mut impl Write,
    measure: &Measure,
    measured: &mut Columns,
    column: usize,
    cells: u32,
) -> io::Result<()> {
    const BYTES: u32 = 4;
    let known = measured.known(column);
    if known == 0 {
        return Ok(());
    }
    let mut about = Items::new_empty();
    about
        .sequence(tags::MEASUREMENT_UNITS_CODE_SEQUENCE, vec![unit_code(measure.unit).item()])
        .sequence(tags::CONCEPT_NAME_CODE_SEQUENCE, vec![concept(measure)]);
    begin_item(out)?;
    write_items(out, &about)?;
    begin_sequence(out, tags::MEASUREMENT_VALUES_SEQUENCE)?;
    begin_item(out)?;
    begin_value(out, tags::FLOATING_POINT_VALUES, VR::OF, BYTES * known)?;
    measured.for_each_known(column, |_, value| out.write_all(&value.to_le_bytes()))?;
    if known < cells {
        begin_value(out, tags::ANNOTATION_INDEX_LIST, VR::OL, BYTES * known)?;
        // Counted from 1.
        measured.for_each_known(column, |row, _| out.write_all(&(row + 1).to_le_bytes()))?;
    }
    end_item(out)?;
    end_sequence(out)?;
    end_item(out)
}
