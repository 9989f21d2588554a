//! The terminal, shared by progress bars and by whoever has something to say meanwhile.

use indicatif::MultiProgress;

/// Standard error, with bars on it where it is a terminal.
#[derive(Debug, Clone, Default)]
pub struct Screen {
    bars: Option<MultiProgress>,
}

impl Screen {
    /// A terminal that these bars are drawn on.
    #[must_use]
    pub fn with_bars(bars: MultiProgress) -> Self {
        Self { bars: Some(bars) }
    }

    /// A line above the bars.
    pub fn say(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| errln!("{text}")),
            None => errln!("{text}"),
        }
    }

    /// Takes the bars away.
    pub fn clear(&self) {
        if let Some(bars) = &self.bars {
            // It can fail only when the terminal is gone.
            let _ = bars.clear();
        }
    }
}
