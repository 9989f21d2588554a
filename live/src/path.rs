//! Ways of a virtual stage over a slide.

use std::f64::consts::{PI, TAU};

use wsi_types::{Level0Box, Level0Point};

use crate::{LiveError, dice::Dice};

/// Centres of the field, one per frame, level-0 px of the slide.
#[derive(Debug, Clone, PartialEq)]
pub struct StagePath(pub Vec<Level0Point>);

/// Most frames of a path: a day at 30 per second.
const MOST_FRAMES: u64 = 30 * 86_400;

impl StagePath {
    /// A stage that stands at `centre` for some frames.
    #[must_use]
    pub fn still(centre: Level0Point, frames: u64) -> Self {
        Self((0..frames.min(MOST_FRAMES)).map(|_| centre).collect())
    }
}

/// Reads a list of places and goes from one to the next in straight lines, `step` px (level 0) per frame.
///
/// A line is `x,y`, or `x,y,frames` to stand there for some frames; lines that begin with `#` are left out.
///
/// # Errors
///
/// [`LiveError::Path`] names the first line that is none of these.
pub fn waypoints(text: &str, step: f64) -> Result<StagePath, LiveError> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#'));
    let mut path: Vec<Level0Point> = Vec::new();
    for (line, number) in lines {
        let (place, frames) = waypoint(line).ok_or_else(|| {
            LiveError::Path(format!("line {number} is {line:?}, expected x,y or x,y,frames in px of level 0"))
        })?;
        if let Some(&from) = path.last() {
            go(from, place, step, &mut path)?;
        }
        path.extend((0..frames.clamp(1, MOST_FRAMES)).map(|_| place));
        refuse_endless(path.len() as f64)?;
    }
    if path.is_empty() {
        return Err(LiveError::Path("it has no places, expected lines x,y".into()));
    }
    Ok(StagePath(path))
}

fn waypoint(line: &str) -> Option<(Level0Point, u64)> {
    let mut parts = line.split(',').map(str::trim);
    let [x, y] = [parts.next()?.parse::<f64>().ok()?, parts.next()?.parse::<f64>().ok()?];
    let frames = parts.next().map_or(Some(1), |text| text.parse().ok())?;
    (x.is_finite() && y.is_finite() && parts.next().is_none()).then_some((Level0Point::new(x, y), frames))
}

/// Adds the places between two, both left out.
fn go(from: Level0Point, to: Level0Point, step: f64, path: &mut Vec<Level0Point>) -> Result<(), LiveError> {
    let steps = ((to - from).length() / step).ceil();
    refuse_endless(steps)?;
    path.extend((1..steps as u64).map(|at| from.lerp(to, at as f64 / steps)));
    Ok(())
}

fn refuse_endless(frames: f64) -> Result<(), LiveError> {
    if frames <= MOST_FRAMES as f64 {
        return Ok(());
    }
    Err(LiveError::Path(format!("it takes {frames:.0} frames, expected at most {MOST_FRAMES}")))
}

/// A hand that pans over `area` (level-0 px, of field centres) without a plan: `step` px per frame, the direction turning
/// slowly, away from the borders.
#[must_use]
pub fn smooth_pan(seed: u64, area: &Level0Box, step: f64, frames: u64) -> StagePath {
    let mut dice = Dice::new(seed);
    let mut place = area.center();
    let (mut heading, mut turn) = (dice.range(0.0, TAU), 0.0);
    let path = (0..frames.min(MOST_FRAMES)).map(|_| {
        let here = place;
        turn = 0.9 * turn + dice.range(-0.02, 0.02);
        heading += turn + towards(here, heading, area);
        let next = here + euclid::vec2(heading.cos(), heading.sin()) * step;
        place = next.clamp(area.min, area.max);
        here
    });
    StagePath(path.collect())
}

/// Turn towards the middle of `area`, radians; 0 far from its borders.
fn towards(place: Level0Point, heading: f64, area: &Level0Box) -> f64 {
    const SHARPEST: f64 = 0.15;
    let half = area.size() * 0.5;
    let off = place - area.center();
    let nearness = (off.x / half.width.max(1.0)).abs().max((off.y / half.height.max(1.0)).abs());
    let wanted = (-off.y).atan2(-off.x) - heading;
    let turn = (wanted + PI).rem_euclid(TAU) - PI;
    turn.clamp(-SHARPEST, SHARPEST) * ((nearness - 0.6) / 0.4).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_joined_by_straight_lines() {
        let path = waypoints("# to the tumour\n0,0\n10, 0, 3\n\n10,4\n", 4.0).unwrap();
        let xy: Vec<(f64, f64)> = path.0.iter().map(|place| (place.x, place.y)).collect();
        let third = 10.0 / 3.0;
        let expected = [
            (0.0, 0.0),
            (third, 0.0),
            (2.0 * third, 0.0),
            (10.0, 0.0),
            (10.0, 0.0),
            (10.0, 0.0),
            (10.0, 4.0),
        ];
        assert!(
            xy.iter().zip(expected).all(|(a, b)| (a.0 - b.0).abs() < 1e-9 && (a.1 - b.1).abs() < 1e-9),
            "{xy:?}"
        );
        assert_eq!(xy.len(), expected.len());
    }

    #[test]
    fn a_list_that_is_none_is_refused_by_line() {
        for (text, part) in
            [("", "no places"), ("0,0\n1;2", "line 2"), ("0,NaN", "line 1"), ("0,0\n1e18,0", "at most")]
        {
            let error = waypoints(text, 1.0).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_pan_is_smooth_stays_within_and_repeats() {
        let area = Level0Box::new(euclid::point2(100.0, 200.0), euclid::point2(900.0, 700.0));
        let path = smooth_pan(3, &area, 12.0, 2000);
        assert_eq!(path, smooth_pan(3, &area, 12.0, 2000));
        assert_ne!(path, smooth_pan(4, &area, 12.0, 2000));
        assert!(path.0.iter().all(|place| area.inflate(1e-6, 1e-6).contains(*place)));
        assert!(path.0.windows(2).all(|pair| (pair[1] - pair[0]).length() < 12.001));
        let spread = path.0.iter().map(|place| place.x).fold(f64::INFINITY, f64::min);
        assert!(spread < 300.0, "it goes about: {spread}");
    }
}
