//! Choice of the format that a client wants: `Accept` (RFC 9110, 12.5.1).

use axum::http::{HeaderMap, header};

use crate::problem::{Kind, Problem};

/// Formats of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResultType {
    /// The report.
    Json,
    /// The table of cells.
    Parquet,
    /// Cells and regions.
    GeoJson,
    /// The same for QuPath.
    Zip,
    /// Annotations or a structured report.
    Dicom,
}

impl ResultType {
    /// All of them; the first is given to those who take anything.
    const ALL: [Self; 5] = [Self::Json, Self::Parquet, Self::GeoJson, Self::Zip, Self::Dicom];

    /// Its media type.
    pub(super) fn media(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::GeoJson => "application/geo+json",
            Self::Zip => "application/zip",
            Self::Dicom => "application/dicom",
        }
    }

    /// The one that `Accept` likes best.
    ///
    /// # Errors
    ///
    /// A [`Problem`] when it likes none.
    pub(super) fn wanted(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(ranges) = ranges(headers) else { return Ok(Self::Json) };
        let liked = Self::ALL.iter().map(|&kind| (kind, quality(&ranges, kind.media())));
        // Of those that are liked alike, the first.
        let best = liked.rev().max_by(|one, other| one.1.total_cmp(&other.1));
        best.filter(|(_, quality)| *quality > 0.0).map(|(kind, _)| kind).ok_or_else(|| {
            let known = Self::ALL.map(Self::media).join(", ");
            Problem::new(Kind::NotAcceptable, format!("results are given as {known}; say which by `Accept`"))
        })
    }
}

/// Checks that `Accept` takes this type.
///
/// # Errors
///
/// A [`Problem`] when it does not.
pub(super) fn must_take(headers: &HeaderMap, media: &str) -> Result<(), Problem> {
    if ranges(headers).is_none_or(|ranges| quality(&ranges, media) > 0.0) {
        return Ok(());
    }
    Err(Problem::new(Kind::NotAcceptable, format!("this is answered as {media}; let `Accept` take it")))
}

/// What `Accept` names; `None` where there is none.
fn ranges(headers: &HeaderMap) -> Option<Vec<Range<'_>>> {
    let mut values =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    values.peek()?;
    Some(values.flat_map(|value| value.split(',')).filter_map(Range::parse).collect())
}

/// A media range and how much it is liked.
struct Range<'a> {
    kind: &'a str,
    quality: f32,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let kind = parts.next().filter(|kind| !kind.is_empty())?;
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let quality = quality.and_then(|text| text.parse().ok()).unwrap_or(1.0);
        Some(Self { kind, quality })
    }

    /// Returns how exactly it names a type; 0: not at all.
    fn names(&self, media: &str) -> u8 {
        if self.kind.eq_ignore_ascii_case(media) {
            3
        } else if self.kind == "*/*" {
            1
        } else {
            let all = self.kind.strip_suffix("/*").zip(media.split_once('/'));
            u8::from(all.is_some_and(|(wanted, (main, _))| wanted.eq_ignore_ascii_case(main))) * 2
        }
    }
}

/// The most exact range counts.
fn quality(ranges: &[Range<'_>], media: &str) -> f32 {
    let naming = ranges.iter().map(|range| (range.names(media), range.quality));
    naming
        .filter(|(exactness, _)| *exactness > 0)
        .max_by_key(|(exactness, _)| *exactness)
        .map_or(0.0, |(_, q)| q)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(accept: &str) -> Option<ResultType> {
        let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
        ResultType::wanted(&headers).ok()
    }

    #[test]
    fn the_format_that_is_liked_best_is_given() {
        assert_eq!(ResultType::wanted(&HeaderMap::new()).ok(), Some(ResultType::Json));
        for (accept, expected) in [
            ("*/*", Some(ResultType::Json)),
            ("application/*", Some(ResultType::Json)),
            ("application/geo+json", Some(ResultType::GeoJson)),
            ("text/html, application/dicom;q=0.5, */*;q=0.1", Some(ResultType::Dicom)),
            ("application/json;q=0, */*", Some(ResultType::Parquet)),
            ("Application/Zip", Some(ResultType::Zip)),
            ("text/html", None),
            ("application/json;q=0", None),
        ] {
            assert_eq!(wanted(accept), expected, "{accept}");
        }
    }
}
