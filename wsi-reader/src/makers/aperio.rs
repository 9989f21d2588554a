//! Aperio SVS: `Key = Value` pairs after the first `|` of the description.

use std::collections::BTreeMap;

use wsi_types::ObjectivePower;

use crate::{
    scale::{self, Axes},
    slide::{MppSource, Scale, ScaleProblem},
};

/// The pairs of an Aperio `ImageDescription`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Description {
    pairs: BTreeMap<String, String>,
}

/// Splits a description into its pairs. Text without pairs gives none.
pub(crate) fn parse(description: &str) -> Description {
    let pairs = description
        .split('|')
        .skip(1)
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .collect();
    Description { pairs }
}

impl Description {
    /// `true` if the text states nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Returns `MPP`, checked against `AppMag`.
    pub(crate) fn scale(&self) -> Result<Scale, ScaleProblem> {
        let mpp = self.pairs.get("MPP").ok_or(ScaleProblem::Missing)?;
        let value = scale::number("MPP", mpp)?;
        Axes { tag: "MPP", x: value, y: value, source: MppSource::Vendor }.scale(self.objective())
    }

    /// Returns `AppMag`.
    pub(crate) fn objective(&self) -> Option<ObjectivePower> {
        scale::objective(self.pairs.get("AppMag")?)
    }

    /// Returns the pairs under OpenSlide's names, `aperio.MPP` and so on.
    pub(crate) fn properties(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.pairs.iter().map(|(key, value)| (format!("aperio.{key}"), value.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale_of(pairs: &str) -> Result<f64, ScaleProblem> {
        parse(&format!("Aperio Image Library v11.2.1 \r\n10x10 (240x240) JPEG/RGB Q=30{pairs}"))
            .scale()
            .map(|s| s.mpp.get())
    }

    fn message(pairs: &str) -> String {
        scale_of(pairs).unwrap_err().to_string()
    }

    #[test]
    fn every_way_to_have_no_scale_has_its_own_words() {
        assert_eq!(scale_of("|AppMag = 20|MPP = 0.4990"), Ok(0.499));
        assert_eq!(scale_of("|AppMag = 20"), Err(ScaleProblem::Missing));
        assert_eq!(
            message("|MPP = unknown"),
            r#"MPP holds "unknown", expected microns per pixel such as 0.25"#
        );
        assert!(message("|MPP = 0").contains("mpp is 0, expected a positive number"));
        assert!(message("|MPP = NaN").contains("not a finite number"));
        assert!(message("|MPP = 352.8").contains("expected between 0.05 and 5"));
        assert_eq!(
            message("|AppMag = 20|MPP = 0.25"),
            "the file says 0.25 µm/px and 20x, which do not fit: 20x is about 0.5 µm/px"
        );
    }
}
