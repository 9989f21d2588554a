//! slidemill.
