//! The attributes that are written or read here, by the names of the standard (PS3.6).

use super::element::Tag;

pub(crate) const SPECIFIC_CHARACTER_SET: Tag = Tag(0x0008, 0x0005);
pub(crate) const IMAGE_TYPE: Tag = Tag(0x0008, 0x0008);
pub(crate) const INSTANCE_CREATION_DATE: Tag = Tag(0x0008, 0x0012);
pub(crate) const INSTANCE_CREATION_TIME: Tag = Tag(0x0008, 0x0013);
pub(crate) const SOP_CLASS_UID: Tag = Tag(0x0008, 0x0016);
pub(crate) const SOP_INSTANCE_UID: Tag = Tag(0x0008, 0x0018);
pub(crate) const STUDY_DATE: Tag = Tag(0x0008, 0x0020);
pub(crate) const CONTENT_DATE: Tag = Tag(0x0008, 0x0023);
pub(crate) const STUDY_TIME: Tag = Tag(0x0008, 0x0030);
pub(crate) const CONTENT_TIME: Tag = Tag(0x0008, 0x0033);
pub(crate) const ACCESSION_NUMBER: Tag = Tag(0x0008, 0x0050);
pub(crate) const MODALITY: Tag = Tag(0x0008, 0x0060);
pub(crate) const MANUFACTURER: Tag = Tag(0x0008, 0x0070);
pub(crate) const REFERRING_PHYSICIAN_NAME: Tag = Tag(0x0008, 0x0090);
pub(crate) const CODE_VALUE: Tag = Tag(0x0008, 0x0100);
pub(crate) const CODING_SCHEME_DESIGNATOR: Tag = Tag(0x0008, 0x0102);
pub(crate) const CODE_MEANING: Tag = Tag(0x0008, 0x0104);
pub(crate) const MAPPING_RESOURCE: Tag = Tag(0x0008, 0x0105);
pub(crate) const CODING_SCHEME_IDENTIFICATION_SEQUENCE: Tag = Tag(0x0008, 0x0110);
pub(crate) const CODING_SCHEME_NAME: Tag = Tag(0x0008, 0x0115);
pub(crate) const CODING_SCHEME_RESPONSIBLE_ORGANIZATION: Tag = Tag(0x0008, 0x0116);
pub(crate) const TIMEZONE_OFFSET_FROM_UTC: Tag = Tag(0x0008, 0x0201);
pub(crate) const MANUFACTURER_MODEL_NAME: Tag = Tag(0x0008, 0x1090);
pub(crate) const REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE: Tag = Tag(0x0008, 0x1111);
pub(crate) const REFERENCED_SERIES_SEQUENCE: Tag = Tag(0x0008, 0x1115);
pub(crate) const REFERENCED_IMAGE_SEQUENCE: Tag = Tag(0x0008, 0x1140);
pub(crate) const REFERENCED_INSTANCE_SEQUENCE: Tag = Tag(0x0008, 0x114a);
pub(crate) const REFERENCED_SOP_CLASS_UID: Tag = Tag(0x0008, 0x1150);
pub(crate) const REFERENCED_SOP_INSTANCE_UID: Tag = Tag(0x0008, 0x1155);
pub(crate) const REFERENCED_SOP_SEQUENCE: Tag = Tag(0x0008, 0x1199);
pub(crate) const PATIENT_NAME: Tag = Tag(0x0010, 0x0010);
pub(crate) const PATIENT_ID: Tag = Tag(0x0010, 0x0020);
pub(crate) const PATIENT_BIRTH_DATE: Tag = Tag(0x0010, 0x0030);
pub(crate) const PATIENT_SEX: Tag = Tag(0x0010, 0x0040);
pub(crate) const DEVICE_SERIAL_NUMBER: Tag = Tag(0x0018, 0x1000);
pub(crate) const SOFTWARE_VERSIONS: Tag = Tag(0x0018, 0x1020);
pub(crate) const STUDY_INSTANCE_UID: Tag = Tag(0x0020, 0x000d);
pub(crate) const SERIES_INSTANCE_UID: Tag = Tag(0x0020, 0x000e);
pub(crate) const STUDY_ID: Tag = Tag(0x0020, 0x0010);
pub(crate) const SERIES_NUMBER: Tag = Tag(0x0020, 0x0011);
pub(crate) const INSTANCE_NUMBER: Tag = Tag(0x0020, 0x0013);
pub(crate) const LATERALITY: Tag = Tag(0x0020, 0x0060);
pub(crate) const CONTAINER_IDENTIFIER: Tag = Tag(0x0040, 0x0512);
pub(crate) const ISSUER_OF_THE_CONTAINER_IDENTIFIER_SEQUENCE: Tag = Tag(0x0040, 0x0513);
pub(crate) const CONTAINER_TYPE_CODE_SEQUENCE: Tag = Tag(0x0040, 0x0518);
pub(crate) const CONTAINER_COMPONENT_SEQUENCE: Tag = Tag(0x0040, 0x0520);
pub(crate) const SPECIMEN_IDENTIFIER: Tag = Tag(0x0040, 0x0551);
pub(crate) const SPECIMEN_UID: Tag = Tag(0x0040, 0x0554);
pub(crate) const SPECIMEN_DESCRIPTION_SEQUENCE: Tag = Tag(0x0040, 0x0560);
pub(crate) const MEASUREMENT_UNITS_CODE_SEQUENCE: Tag = Tag(0x0040, 0x08ea);
pub(crate) const RELATIONSHIP_TYPE: Tag = Tag(0x0040, 0xa010);
pub(crate) const VALUE_TYPE: Tag = Tag(0x0040, 0xa040);
pub(crate) const CONCEPT_NAME_CODE_SEQUENCE: Tag = Tag(0x0040, 0xa043);
pub(crate) const CONTINUITY_OF_CONTENT: Tag = Tag(0x0040, 0xa050);
pub(crate) const UID: Tag = Tag(0x0040, 0xa124);
pub(crate) const TEXT_VALUE: Tag = Tag(0x0040, 0xa160);
pub(crate) const FLOATING_POINT_VALUE: Tag = Tag(0x0040, 0xa161);
pub(crate) const CONCEPT_CODE_SEQUENCE: Tag = Tag(0x0040, 0xa168);
pub(crate) const ANNOTATION_GROUP_NUMBER: Tag = Tag(0x0040, 0xa180);
pub(crate) const MEASURED_VALUE_SEQUENCE: Tag = Tag(0x0040, 0xa300);
pub(crate) const NUMERIC_VALUE: Tag = Tag(0x0040, 0xa30a);
pub(crate) const PERFORMED_PROCEDURE_CODE_SEQUENCE: Tag = Tag(0x0040, 0xa372);
pub(crate) const CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE: Tag = Tag(0x0040, 0xa375);
pub(crate) const COMPLETION_FLAG: Tag = Tag(0x0040, 0xa491);
pub(crate) const VERIFICATION_FLAG: Tag = Tag(0x0040, 0xa493);
pub(crate) const PRELIMINARY_FLAG: Tag = Tag(0x0040, 0xa496);
pub(crate) const CONTENT_TEMPLATE_SEQUENCE: Tag = Tag(0x0040, 0xa504);
pub(crate) const CONTENT_SEQUENCE: Tag = Tag(0x0040, 0xa730);
pub(crate) const TEMPLATE_IDENTIFIER: Tag = Tag(0x0040, 0xdb00);
pub(crate) const TOTAL_PIXEL_MATRIX_COLUMNS: Tag = Tag(0x0048, 0x0006);
pub(crate) const TOTAL_PIXEL_MATRIX_ROWS: Tag = Tag(0x0048, 0x0007);
pub(crate) const PIXEL_ORIGIN_INTERPRETATION: Tag = Tag(0x0048, 0x0301);
pub(crate) const POINT_COORDINATES_DATA: Tag = Tag(0x0066, 0x0016);
pub(crate) const DOUBLE_POINT_COORDINATES_DATA: Tag = Tag(0x0066, 0x0022);
pub(crate) const ALGORITHM_FAMILY_CODE_SEQUENCE: Tag = Tag(0x0066, 0x002f);
pub(crate) const ALGORITHM_VERSION: Tag = Tag(0x0066, 0x0031);
pub(crate) const ALGORITHM_NAME: Tag = Tag(0x0066, 0x0036);
pub(crate) const LONG_PRIMITIVE_POINT_INDEX_LIST: Tag = Tag(0x0066, 0x0040);
pub(crate) const MEASUREMENTS_SEQUENCE: Tag = Tag(0x0066, 0x0121);
pub(crate) const FLOATING_POINT_VALUES: Tag = Tag(0x0066, 0x0125);
pub(crate) const MEASUREMENT_VALUES_SEQUENCE: Tag = Tag(0x0066, 0x0132);
pub(crate) const ANNOTATION_COORDINATE_TYPE: Tag = Tag(0x006a, 0x0001);
pub(crate) const ANNOTATION_GROUP_SEQUENCE: Tag = Tag(0x006a, 0x0002);
pub(crate) const ANNOTATION_GROUP_UID: Tag = Tag(0x006a, 0x0003);
pub(crate) const ANNOTATION_GROUP_LABEL: Tag = Tag(0x006a, 0x0005);
pub(crate) const ANNOTATION_GROUP_GENERATION_TYPE: Tag = Tag(0x006a, 0x0007);
pub(crate) const ANNOTATION_GROUP_ALGORITHM_IDENTIFICATION_SEQUENCE: Tag = Tag(0x006a, 0x0008);
pub(crate) const ANNOTATION_PROPERTY_CATEGORY_CODE_SEQUENCE: Tag = Tag(0x006a, 0x0009);
pub(crate) const ANNOTATION_PROPERTY_TYPE_CODE_SEQUENCE: Tag = Tag(0x006a, 0x000a);
pub(crate) const NUMBER_OF_ANNOTATIONS: Tag = Tag(0x006a, 0x000c);
pub(crate) const ANNOTATION_APPLIES_TO_ALL_OPTICAL_PATHS: Tag = Tag(0x006a, 0x000d);
pub(crate) const ANNOTATION_INDEX_LIST: Tag = Tag(0x006a, 0x0011);
pub(crate) const GRAPHIC_DATA: Tag = Tag(0x0070, 0x0022);
pub(crate) const GRAPHIC_TYPE: Tag = Tag(0x0070, 0x0023);
pub(crate) const CONTENT_LABEL: Tag = Tag(0x0070, 0x0080);
pub(crate) const CONTENT_DESCRIPTION: Tag = Tag(0x0070, 0x0081);
pub(crate) const CONTENT_CREATOR_NAME: Tag = Tag(0x0070, 0x0084);
pub(crate) const PIXEL_DATA: Tag = Tag(0x7fe0, 0x0010);

/// Those that hold items: files of implicit kind do not say it.
pub(crate) const SEQUENCES: [Tag; 25] = [
    CODING_SCHEME_IDENTIFICATION_SEQUENCE,
    REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE,
    REFERENCED_SERIES_SEQUENCE,
    REFERENCED_IMAGE_SEQUENCE,
    REFERENCED_INSTANCE_SEQUENCE,
    REFERENCED_SOP_SEQUENCE,
    ISSUER_OF_THE_CONTAINER_IDENTIFIER_SEQUENCE,
    CONTAINER_TYPE_CODE_SEQUENCE,
    CONTAINER_COMPONENT_SEQUENCE,
    SPECIMEN_DESCRIPTION_SEQUENCE,
    MEASUREMENT_UNITS_CODE_SEQUENCE,
    CONCEPT_NAME_CODE_SEQUENCE,
    CONCEPT_CODE_SEQUENCE,
    MEASURED_VALUE_SEQUENCE,
    PERFORMED_PROCEDURE_CODE_SEQUENCE,
    CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE,
    CONTENT_TEMPLATE_SEQUENCE,
    CONTENT_SEQUENCE,
    ALGORITHM_FAMILY_CODE_SEQUENCE,
    MEASUREMENTS_SEQUENCE,
    MEASUREMENT_VALUES_SEQUENCE,
    ANNOTATION_GROUP_SEQUENCE,
    ANNOTATION_GROUP_ALGORITHM_IDENTIFICATION_SEQUENCE,
    ANNOTATION_PROPERTY_CATEGORY_CODE_SEQUENCE,
    ANNOTATION_PROPERTY_TYPE_CODE_SEQUENCE,
];
