//! The name of this machine.

/// This machine's name, or `unknown` if the system does not tell it.
#[must_use]
pub fn host_name() -> String {
    let name = system_name();
    let name = name.trim();
    if name.is_empty() { "unknown".into() } else { name.to_owned() }
}

#[cfg(unix)]
fn system_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn system_name() -> String {
    String::new()
}
