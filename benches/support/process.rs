//! What a benchmark's own process took of the machine.

/// Returns the CPU time of this thread so far (wall time if the system does not report it).
pub(crate) fn cpu_secs() -> f64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok());
    nanos.map_or_else(
        || START.get_or_init(std::time::Instant::now).elapsed().as_secs_f64(),
        |nanos| nanos / 1e9,
    )
}

/// Returns the most memory that this process ever held, MB; 0 if the system does not report it.
pub(crate) fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb = line.and_then(|line| line.trim().split(' ').next()).and_then(|kb| kb.parse::<f64>().ok());
    kb.unwrap_or(0.0) / 1e3
}
