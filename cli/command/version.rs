//! `slidemill --version`: the program, its libraries, and the devices that can be used.

use detector::DeviceState;
use native::{Library, Platform};

use crate::{exit::Exit, stdout};

/// Prints the version with all that a bug report should contain. The line of a missing library says so.
///
/// # Errors
///
/// An output failure when it cannot be printed.
pub fn version() -> anyhow::Result<Exit> {
    let devices = detector::devices();
    let runtime = devices.as_ref().map(|_| runtime_version()).map_err(ToString::to_string);
    let openslide = wsi_reader::openslide_version().map_err(|error| error.to_string());
    let mut lines = vec![
        format!("slidemill {}", env!("CARGO_PKG_VERSION")),
        library_line(Library::OnnxRuntime, runtime),
        library_line(Library::OpenSlide, openslide),
    ];
    // Without the runtime, its own line has given the reason.
    lines.extend(devices.iter().flatten().map(device_line));
    stdout::print("the version", |out| writeln!(out, "{}", lines.join("\n")))?;
    Ok(Exit::Done)
}

/// `OpenSlide 4.0.1: /usr/lib/libopenslide.so.1`, or the reason that it cannot be used, in one line.
fn library_line(library: Library, version: Result<String, String>) -> String {
    match (version, native::find(library)) {
        (Ok(version), Ok(path)) => format!("{library} {version}: {}", path.display()),
        (_, Err(missing)) => format!("{library}: {}", missing.summary()),
        (Err(reason), Ok(_)) => format!("{library}: cannot be used: {}", one_line(&reason)),
    }
}

/// Version of ONNX Runtime, from its file name: the library does not tell it while it runs.
fn runtime_version() -> String {
    let named = native::find(Library::OnnxRuntime)
        .ok()
        .and_then(|path| Library::OnnxRuntime.version_of(&path, Platform::HERE))
        .map(|version| version.to_string())
        .filter(|text| !text.is_empty());
    named.unwrap_or_else(|| "of unknown version".into())
}

fn device_line(state: &DeviceState) -> String {
    let DeviceState { device, fault } = state;
    match fault {
        None => format!("device {device}: can be used"),
        Some(fault) => format!("device {device}: cannot be used: {}", one_line(&fault.to_string())),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
