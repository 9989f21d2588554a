//! `slidemill settings`: the effective settings, as a file that can be used.

use engine::{KNOBS, Knob, Phase, RunOptions, Settings};

use crate::{args, exit::Exit, machine};

/// Prints the effective settings with their origin.
///
/// # Errors
///
/// A usage failure when a setting is wrong.
pub fn settings(args: args::ShowSettings) -> anyhow::Result<Exit> {
    let file = args.config.as_deref().map(RunOptions::from_file).transpose()?.unwrap_or_default();
    let effective = Settings::on(&machine(), args.options.0.clone().or(file.clone()))?;
    out!("{}", describe(&args.options.0, &file, &effective))?;
    Ok(Exit::Done)
}

fn describe(flags: &RunOptions, file: &RunOptions, settings: &Settings) -> String {
    let in_full = settings.in_full();
    let lines: Vec<String> = KNOBS.iter().map(|knob| line(knob, flags, file, &in_full)).collect();
    lines.join("\n") + "\n"
}

/// One line of the file: name, value, origin of the value, and a remark. A comment when there is no value.
fn line(knob: &Knob, flags: &RunOptions, file: &RunOptions, in_full: &RunOptions) -> String {
    let origin = match ((knob.is_given)(flags), (knob.is_given)(file)) {
        (true, _) => "flag",
        (_, true) => "file",
        _ => "default",
    };
    // Values found for this machine hold for this machine alone: a file that names them would fix them on the
    // next machine.
    let is_machines = knob.phase == Phase::Machine && origin == "default";
    let value = (knob.shown)(in_full);
    let mark = if value.is_none() || is_machines { "# " } else { "" };
    let value = value.unwrap_or_else(|| "…".to_owned());
    format!("{:<33} # {origin}{}", format!("{mark}{} = {value}", knob.name), knob.remark)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text of a file without the origins of its values.
    fn without_origins(text: &str) -> String {
        ["# flag", "# file", "# default"]
            .iter()
            .fold(text.to_owned(), |text, origin| text.replace(origin, "#"))
    }

    #[test]
    fn what_this_machine_decides_is_shown_and_not_set() {
        let settings = Settings::new(RunOptions::default()).unwrap();
        let text = describe(&RunOptions::default(), &RunOptions::default(), &settings);
        let of_machine = KNOBS.iter().filter(|knob| knob.phase == Phase::Machine).map(|knob| knob.name);
        let names: Vec<&str> = of_machine.collect();
        assert!(
            names.contains(&"threads") && names.contains(&"mem") && names.contains(&"device"),
            "{names:?}"
        );
        let set: Vec<&str> =
            text.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name).collect();
        assert!(set.iter().all(|name| !names.contains(name)), "{text}");
        assert!(text.contains("# threads = "), "{text}");
        let given = RunOptions { threads: Some(3), ..RunOptions::default() };
        let settings = Settings::new(given.clone()).unwrap();
        assert!(describe(&given, &RunOptions::default(), &settings).contains("\nthreads = 3"));
    }

    #[test]
    fn what_is_printed_is_a_settings_file_with_the_same_effect() {
        let flags = RunOptions {
            overlap: Some("12um".into()),
            mpp: Some(engine::GivenMpp::Number(0.25)),
            mem: Some("1.5G".into()),
            ..Default::default()
        };
        let settings = Settings::new(flags.clone()).unwrap();
        let text = describe(&flags, &RunOptions::default(), &settings);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slidemill.toml");
        std::fs::write(&path, &text).unwrap();
        let file = RunOptions::from_file(&path).unwrap();
        let again = describe(&RunOptions::default(), &file, &Settings::new(file.clone()).unwrap());
        assert_eq!(without_origins(&again), without_origins(&text));
        assert!(text.contains("mpp = 0.25") && text.contains("# flag"));
    }
}
