//! The `slidemill` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    send_nothing_home();
    slidemill::args::main()
}

/// ONNX Runtime's own builds keep a device id and a store of events in the user's cache to send to their maker, and
/// do so while they are loaded, before a session could ask them not to. Slides are nobody's business but the
/// laboratory's. Workers inherit it.
#[allow(unsafe_code)]
fn send_nothing_home() {
    // SAFETY: nothing has started a thread yet that could read the environment.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
}
