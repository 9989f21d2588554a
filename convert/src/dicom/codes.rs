//! Codes: what is meant, of which scheme, in words.

use dataset::TISSUE;
use dicom_core::VR;
use dicom_dictionary_std::tags;

use crate::{
    ids,
    measure::{self, Measure, Unit},
    source::ModelName,
};
use dicom_file::{Attributes as _, Items};

/// Our name in the attributes that ask who made an object.
pub(crate) const MAKER: &str = "slidemill";
/// The scheme of codes that are ours: no standard has them.
pub(crate) const OUR_CODES: &str = "99SLIDEMILL";

/// A code, of a scheme, with its meaning in words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Code<'a>(pub(crate) &'a str, pub(crate) &'a str, pub(crate) &'a str);

impl Code<'_> {
    pub(crate) fn item(self) -> Items {
        let Self(value, scheme, meaning) = self;
        let mut item = Items::new_empty();
        item.text(tags::CODE_VALUE, VR::SH, value).text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, scheme).text(
            tags::CODE_MEANING,
            VR::LO,
            meaning,
        );
        item
    }
}

/// Says whose codes [`OUR_CODES`] are.
pub(crate) fn our_scheme() -> Items {
    let mut item = Items::new_empty();
    item.text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, OUR_CODES)
        .text(tags::CODING_SCHEME_NAME, VR::ST, "slidemill's own codes")
        .text(tags::CODING_SCHEME_RESPONSIBLE_ORGANIZATION, VR::ST, MAKER);
    item
}

/// Area in µm².
pub(crate) const AREA: Code<'_> = Code("42798000", "SCT", "Area");
const UM2: Code<'_> = Code("um2", "UCUM", "square micrometer");
pub(crate) const NO_UNITS: Code<'_> = Code("1", "UCUM", "no units");
pub(crate) const SCORE: Code<'_> = Code("score", OUR_CODES, "Score of the model, 0 to 1");
/// Tissue, as a property of a segment.
pub(crate) const TISSUE_CODE: Code<'_> = Code("85756007", "SCT", "Tissue");

/// The concept of a measure: the standard's where it has one, else ours, the same for a name on every slide.
pub(crate) fn concept(measure: &Measure) -> Items {
    const LONGEST_VALUE: usize = 16;
    match measure.name.as_str() {
        measure::AREA => AREA.item(),
        measure::SCORE => SCORE.item(),
        name if name.len() <= LONGEST_VALUE => Code(name, OUR_CODES, &measure.qupath).item(),
        name => Code(&our_value("measure", name), OUR_CODES, &measure.qupath).item(),
    }
}

/// The code of a unit.
pub(crate) fn unit_code(unit: Unit) -> Code<'static> {
    match unit {
        Unit::None => NO_UNITS,
        Unit::Um => Code("um", "UCUM", "micrometer"),
        Unit::Um2 => UM2,
        Unit::PerMm2 => Code("/mm2", "UCUM", "per square millimeter"),
        Unit::Degrees => Code("deg", "UCUM", "degree"),
    }
}

/// A short value for a name.
fn our_value(what: &str, name: &str) -> String {
    format!("{what}-{}", &ids::uuid(&[what.as_bytes(), name.as_bytes()])[..8])
}

/// Code of a kind of regions: the standard's where it has one, else ours, the same for a name on every slide.
pub(crate) fn kind_code(kind: &str) -> Items {
    if kind == TISSUE {
        return TISSUE_CODE.item();
    }
    Code(&our_value("kind", kind), OUR_CODES, kind).item()
}

/// The model that found something.
pub(crate) fn algorithm(model: &ModelName) -> Items {
    let mut item = Items::new_empty();
    item.sequence(
        tags::ALGORITHM_FAMILY_CODE_SEQUENCE,
        vec![Code("123110", "DCM", "Artificial Intelligence").item()],
    )
    .text(tags::ALGORITHM_VERSION, VR::LO, model.stated_version())
    .text(tags::ALGORITHM_NAME, VR::LO, &model.name);
    item
}
