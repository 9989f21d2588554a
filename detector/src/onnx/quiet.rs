//! Nothing is sent anywhere, whoever opens ONNX Runtime.

/// Switches telemetry off before the library is loaded. ONNX Runtime's own builds keep a device id and a store of
/// events in the user's cache to send to their maker, and do so while they are loaded, before a session could ask them
/// not to. Slides are nobody's business but the laboratory's. Child processes inherit it.
///
/// A program whose other threads read the environment from C should set `ORT_DISABLE_TELEMETRY=1` itself, at its
/// start: then nothing is changed here.
#[allow(unsafe_code)]
pub(super) fn send_nothing_home() {
    const OFF: &str = "ORT_DISABLE_TELEMETRY";
    if std::env::var_os(OFF).is_some_and(|value| value == "1") {
        return;
    }
    // SAFETY: it happens once, behind the lock of the environment's `OnceLock`, and the standard library holds its own
    // lock against every reader and writer in Rust. A thread in C that calls `getenv` at this very moment could see
    // the list of variables half changed; the doc above tells such programs what to do.
    unsafe { std::env::set_var(OFF, "1") };
}
