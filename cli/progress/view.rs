//! Ways of showing events.

use std::io;

use engine::{Event, Totals};

use super::pace::Pace;

/// One way of showing events.
pub(super) trait View: Send {
    /// Shows an event; `totals` and `pace` already include it.
    ///
    /// # Errors
    ///
    /// When it cannot be shown: nobody reads it any more, or there is no room.
    fn show(&mut self, event: &Event, totals: &Totals, pace: &Pace) -> io::Result<()>;
}
