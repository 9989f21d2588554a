//! The `input.percentile` section of a manifest: pixels stretched between two percentiles of the slide.

use wsi_types::Percentiles;

use super::{
    Element,
    file::{InputSection, PercentileSection},
};
use crate::DetectorError;

const SECTION: &str = "input.percentile";

/// The section, checked; `None` where there is none.
///
/// # Errors
///
/// [`DetectorError::Manifest`] for what is open, out of range, or not to be had together.
pub(super) fn percentiles(
    section: &InputSection,
    element: Element,
) -> Result<Option<Percentiles>, DetectorError> {
    let Some(PercentileSection { low, high, per, channels, epsilon }) = &section.percentile else {
        return Ok(None);
    };
    let refused =
        |key: &str, reason: String| Err(DetectorError::manifest(format!("{SECTION}.{key}"), reason));
    let others = [
        ("scale", section.scale.is_some()),
        ("mean", section.mean.is_some()),
        ("std", section.std.is_some()),
    ];
    if let Some((name, _)) = others.iter().find(|(_, is_stated)| *is_stated) {
        let reason =
            format!("stretches bytes itself, and input.{name} would do so again; leave one of them out");
        return Err(DetectorError::manifest(SECTION, reason));
    }
    if element == Element::U8 {
        let reason =
            "the model takes bytes, which are not stretched; it does so itself, or is to take floats";
        return Err(DetectorError::manifest(SECTION, reason));
    }
    match per.as_deref() {
        Some("slide") => {}
        Some(other @ ("window" | "picture" | "image")) => {
            return refused(
                "per",
                format!(
                    "is {other}: one cell would be given to the model otherwise in each window that sees it, glass would \
                     be stretched to noise, and answers would hang on where windows lie; say \"slide\""
                ),
            );
        }
        found => {
            let found = found.unwrap_or("not there");
            return refused("per", format!("is {found}, expected \"slide\": the percentiles of its tissue"));
        }
    }
    let (Some(low), Some(high)) = (*low, *high) else {
        return refused("low", "expected low and high, such as 1 and 99.8".to_owned());
    };
    if !(0.0..=100.0).contains(&low) || !(0.0..=100.0).contains(&high) || low >= high {
        return refused("low", format!("to high is {low} to {high}, expected 0 to 100, the lower one first"));
    }
    let Some(channels) = *channels else {
        let reason = "makers differ: expected \"each\" (each channel by its own percentiles) or \"together\" (all by \
                      the same two)";
        return refused("channels", reason.to_owned());
    };
    let epsilon = epsilon.unwrap_or(0.0);
    if !(0.0..=1.0).contains(&epsilon) {
        return refused("epsilon", format!("is {epsilon}, expected 0 to 1"));
    }
    Ok(Some(Percentiles { low, high, channels, epsilon }))
}

#[cfg(test)]
mod tests {
    use wsi_types::StretchedChannels;

    use super::*;
    use crate::manifest::ManifestFile;

    fn read(text: &str, element: Element) -> Result<Option<Percentiles>, String> {
        let file = ManifestFile::parse(text).map_err(|e| e.to_string())?;
        percentiles(&file.input, element).map_err(|e| e.to_string())
    }

    const STARDIST: &str = "[input.percentile]\nlow = 1\nhigh = 99.8\nper = 'slide'\nchannels = 'each'";

    #[test]
    fn percentiles_are_read_where_they_are_stated() {
        let expected = Percentiles { low: 1.0, high: 99.8, channels: StretchedChannels::Each, epsilon: 0.0 };
        assert_eq!(read(STARDIST, Element::F32), Ok(Some(expected)));
        assert_eq!(read("", Element::U8), Ok(None));
    }

    #[test]
    fn what_is_open_or_means_something_else_is_refused() {
        let said = |from: &str, to: &str| read(&STARDIST.replace(from, to), Element::F16).unwrap_err();
        assert!(said("'slide'", "'window'").contains("answers would hang on where windows lie"));
        assert!(said("per = 'slide'\n", "").contains("per: is not there, expected \"slide\""));
        assert!(said("high = 99.8\n", "").contains("expected low and high"));
        assert!(said("99.8", "0.5").contains("is 1 to 0.5, expected 0 to 100"));
        assert!(said("channels = 'each'", "").contains("makers differ"));
        assert!(
            said("channels = 'each'", "channels = 'each'\nepsilon = 2").contains("is 2, expected 0 to 1")
        );
        assert!(said("low", "lov").contains("nearest known: input.percentile.low"));
        let twice = read(&format!("[input]\nmean = [0.0, 0.0, 0.0]\n{STARDIST}"), Element::F32).unwrap_err();
        assert!(twice.contains("input.mean would do so again"), "{twice}");
        assert!(read(STARDIST, Element::U8).unwrap_err().contains("the model takes bytes"));
    }
}
