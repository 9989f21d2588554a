//! Identifiers of the standard (PS3.6).

pub(crate) const EXPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";
pub(crate) const WHOLE_SLIDE_IMAGE: &str = "1.2.840.10008.5.1.4.1.1.77.1.6";
pub(crate) const COMPREHENSIVE_SR: &str = "1.2.840.10008.5.1.4.1.1.88.33";
pub(crate) const BULK_ANNOTATIONS: &str = "1.2.840.10008.5.1.4.1.1.91.1";
