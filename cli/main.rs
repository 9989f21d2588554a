//! The `slidemill` command.
fn main() {}
