//! A store of other people's that runs as a process and tells where it is, in one line of JSON.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

/// A running store; gone with it.
pub struct ToldStore {
    process: Child,
    told: Value,
}

impl ToldStore {
    /// Starts it; it ends when its standard input does.
    pub fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the store starts");
        let mut line = String::new();
        let said = process.stdout.take().expect("its output is read");
        BufReader::new(said).read_line(&mut line).expect("it says where it is");
        let told = serde_json::from_str(&line).expect("it says where it is, in JSON");
        Self { process, told }
    }

    /// What it told, such as `/user/secret`.
    pub fn text(&self, at: &str) -> &str {
        self.told.pointer(at).and_then(Value::as_str).unwrap_or_else(|| panic!("it says {at}"))
    }
}

impl Drop for ToldStore {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
