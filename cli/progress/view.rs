//! Ways of showing events.

use engine::{Event, Totals};

use super::pace::Pace;

/// One way of showing events.
pub(super) trait View: Send {
    /// `totals` and `pace` have the event in them.
    fn show(&mut self, event: &Event, totals: &Totals, pace: &Pace);
}
