//! The promises for the morning after a night: the report, shards, and faults of every kind.

mod support;

#[cfg(target_os = "linux")]
#[path = "night/away.rs"]
mod away;
#[cfg(target_os = "linux")]
#[path = "night/calls.rs"]
mod calls;
#[cfg(target_os = "linux")]
#[path = "night/clock.rs"]
mod clock;
#[path = "night/cohort.rs"]
mod cohort;
#[cfg(target_os = "linux")]
#[path = "night/faults.rs"]
mod faults;
#[path = "night/help.rs"]
mod help;
#[path = "night/inputs.rs"]
mod inputs;
#[cfg(target_os = "linux")]
#[path = "night/limits.rs"]
mod limits;
#[path = "night/notebook.rs"]
mod notebook;
#[path = "night/paper.rs"]
mod paper;
#[path = "night/report.rs"]
mod report;
#[path = "night/said.rs"]
mod said;
#[path = "night/shards.rs"]
mod shards;
#[path = "night/slabs.rs"]
mod slabs;
#[cfg(target_os = "linux")]
#[path = "night/terminal.rs"]
mod terminal;
#[cfg(target_os = "linux")]
#[path = "night/together.rs"]
mod together;
#[path = "night/verify.rs"]
mod verify;
