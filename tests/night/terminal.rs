//! The output that a person at a terminal sees: `script` (util-linux) gives the command one.

use std::{
    io::{Read as _, Write as _},
    path::Path,
    process::{Command, Stdio},
};

use super::support::{SMALL_WINDOWS, small_slide};

/// The text on a terminal after all that was written to it; knows as much of its language as progress bars
/// use.
#[derive(Default)]
struct Screen {
    lines: Vec<String>,
    row: usize,
    column: usize,
}

impl Screen {
    fn after(written: &str) -> Self {
        let mut screen = Self::default();
        let mut rest = written.chars().peekable();
        while let Some(next) = rest.next() {
            match next {
                '\r' => screen.column = 0,
                '\n' => screen.row += 1,
                '\u{1b}' => {
                    let sequence: String =
                        std::iter::from_fn(|| rest.next_if(|c| !c.is_ascii_alphabetic())).collect();
                    let command = rest.next().unwrap_or_default();
                    screen.obey(sequence.trim_start_matches('['), command);
                }
                text if !text.is_control() => screen.put(text),
                _ => {}
            }
        }
        screen
    }

    fn obey(&mut self, number: &str, command: char) {
        let count = number.parse().unwrap_or(1);
        match command {
            'A' => self.row = self.row.saturating_sub(count),
            'B' => self.row += count,
            'K' if number == "2" => self.line().clear(),
            'K' => {
                let column = self.column;
                let kept: String = self.line().chars().take(column).collect();
                *self.line() = kept;
            }
            'J' => {
                self.line();
                self.lines.truncate(self.row + 1);
                self.obey("", 'K');
            }
            _ => {}
        }
    }

    fn put(&mut self, text: char) {
        let column = self.column;
        let mut line: Vec<char> = self.line().chars().collect();
        line.resize(line.len().max(column + 1), ' ');
        line[column] = text;
        *self.line() = line.into_iter().collect();
        self.column += 1;
    }

    fn line(&mut self) -> &mut String {
        let rows = self.lines.len().max(self.row + 1);
        self.lines.resize(rows, String::new());
        &mut self.lines[self.row]
    }
}

/// A terminal of some kind that runs a command line in a folder; what is typed and shown goes through pipes.
fn on_terminal(kind: &str, folder: &Path, command: &str) -> Command {
    let command = format!("stty rows 30 cols 100; exec {command}");
    let mut script = Command::new("script");
    script.args(["--quiet", "--flush", "--return", "--command", &command, "/dev/null"]);
    script.env("TERM", kind).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
    script
}

fn there_is_no_script() -> bool {
    let is_missing = Command::new("script").arg("--version").output().is_err();
    if is_missing {
        eprintln!("skipped: there is no `script` to make a terminal");
    }
    is_missing
}

/// Once nothing was shown at all, not even what failed.
#[test]
fn a_terminal_that_cannot_draw_gets_lines() {
    if there_is_no_script() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    small_slide(&folder.path().join("slide.tif"), 40);
    let options = SMALL_WINDOWS.join(" ");
    let command = format!("{} run . -o out {options}", env!("CARGO_BIN_EXE_slidemill"));
    let output = on_terminal("dumb", folder.path(), &command).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("slide.tif: ") && shown.contains("1 slide done"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}

/// Runs a command line on a terminal, types Ctrl-C as soon as it shows `sign`, and returns all output and the
/// exit code.
fn interrupted_at(sign: &str, folder: &Path, command: &str) -> (String, Option<i32>) {
    let mut script = on_terminal("xterm", folder, command).spawn().expect("script starts");
    let (mut keys, mut output) = (script.stdin.take().expect("keys"), script.stdout.take().expect("output"));
    let (mut written, mut typed) = (Vec::new(), false);
    let mut piece = [0; 4096];
    loop {
        let count = output.read(&mut piece).expect("output");
        if count == 0 {
            break;
        }
        written.extend_from_slice(&piece[..count]);
        if !typed && String::from_utf8_lossy(&written).contains(sign) {
            keys.write_all(b"\x03").expect("the terminal takes keys");
            typed = true;
        }
    }
    let ended = script.wait().expect("script ends");
    (String::from_utf8_lossy(&written).into_owned(), ended.code())
}

#[test]
fn ctrl_c_is_answered_and_leaves_a_clean_screen() {
    if there_is_no_script() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..4 {
        small_slide(&folder.path().join(format!("slide-{seed}.tif")), 40 + seed);
    }
    let options = [&["--threads", "1"], &SMALL_WINDOWS[..2]].concat().join(" ");
    let command = format!("{} run . -o out {options}", env!("CARGO_BIN_EXE_slidemill"));
    let (written, code) = interrupted_at("windows", folder.path(), &command);
    assert_eq!(code, Some(75), "{written}");
    assert!(written.contains("Stopping after the windows at work"), "{written}");
    let screen = Screen::after(&written);
    let shown = screen.lines.join("\n");
    assert!(shown.contains("Stopped. All finished windows are kept"), "{shown}");
    for bar in ["━", "╸", "─"] {
        assert!(!shown.contains(bar), "a bar is left:\n{shown}");
    }
}

#[test]
fn a_screen_is_what_was_written_last() {
    let screen = Screen::after("one\r\ntwo\r\u{1b}[1A\u{1b}[2Kthree\n\rfour\u{1b}[J");
    assert_eq!(screen.lines, ["three", "four"]);
}
