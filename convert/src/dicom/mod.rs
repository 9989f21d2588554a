//! Common ground of all DICOM objects: attributes, codes, and whose slide it is. dicom-rs reads and encodes them.

mod codes;
mod frame;
pub(crate) mod identity;
mod read;
pub(crate) mod slide;
mod write;

pub(crate) use codes::{
    AREA, Code, MAKER, NO_UNITS, OUR_CODES, SCORE, TISSUE_CODE, algorithm, concept, kind_code, our_scheme,
    unit_code,
};
pub(crate) use dicom_file::{Attributes, EVERYTHING, Items};
pub(crate) use read::read_file;
pub(crate) use write::{
    begin_item, begin_sequence, begin_value, end_item, end_sequence, write_head, write_items,
};
