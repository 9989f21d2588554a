//! The terminal, shared by progress bars and by other messages.

use indicatif::MultiProgress;

/// Standard error, with bars on it where it is a terminal.
#[derive(Debug, Clone, Default)]
pub struct Screen {
    bars: Option<MultiProgress>,
}

impl Screen {
    /// A terminal with these bars.
    #[must_use]
    pub fn with_bars(bars: MultiProgress) -> Self {
        Self { bars: Some(bars) }
    }

    /// Prints a line above the bars.
    pub fn say(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| errln!("{text}")),
            None => errln!("{text}"),
        }
    }

    /// Removes the bars.
    pub fn clear(&self) {
        if let Some(bars) = &self.bars {
            // It can fail only when the terminal is gone.
            let _ = bars.clear();
        }
    }
}
