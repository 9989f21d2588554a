//! Values of options that are not given.

/// Values used where no option is given.
pub(crate) struct Defaults;

impl Defaults {
    pub(crate) const DEVICE: &str = "auto";
    pub(crate) const BATCH_CPU: usize = 1;
    pub(crate) const BATCH_GPU: usize = 4;
    pub(crate) const WINDOW: u32 = 2048;
    pub(crate) const OVERLAP: &str = "50%";
    /// Enlarging by up to a tenth bridges scanners that differ a little.
    pub(crate) const ENLARGE: f64 = 1.1;
    /// Limit with `--allow-enlarging`.
    pub(crate) const ALLOWED_ENLARGE: f64 = 4.0;
    pub(crate) const MEMORY: u64 = 2 << 30;
    pub(crate) const SLIDE_TIMEOUT_SECS: u64 = 600;
    /// Low enough for any threshold that a person would try; gives only a small multiple of the detections of
    /// an ordinary run.
    pub(crate) const RAW_FLOOR: f64 = 0.05;
    /// Px at the model's mpp. Measured: deeper than this inside a window, scores of neighbouring windows do
    /// not depend on their borders (`docs/decisions/0016`).
    pub(crate) const RIM_PX: f64 = 64.0;
    /// µm: to the membrane of most cells, and rarely into the nucleus of the next.
    pub(crate) const DAB_RING_UM: f64 = 3.0;
    pub(crate) const DENSE_RADIUS_UM: f64 = 50.0;
    pub(crate) const CONTEXT_WEIGHT: f64 = 0.5;
    pub(crate) const CONTEXT_OUTSIDE: f64 = 0.0;
}
