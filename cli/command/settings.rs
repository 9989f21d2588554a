//! `slidemill settings`: the effective settings, as a file that can be used.

use engine::{KNOBS, Knob, RunOptions, Settings};

use crate::{args, exit::Exit, machine};

/// Prints the effective settings with their origin.
///
/// # Errors
///
/// A usage failure when a setting is wrong.
pub fn settings(args: args::ShowSettings) -> anyhow::Result<Exit> {
    let file = args.config.as_deref().map(RunOptions::from_file).transpose()?.unwrap_or_default();
    let effective = Settings::on(&machine(), args.options.0.clone().or(file.clone()))?;
    print!("{}", describe(&args.options.0, &file, &effective));
    Ok(Exit::Done)
}

fn describe(flags: &RunOptions, file: &RunOptions, settings: &Settings) -> String {
    let lines: Vec<String> = KNOBS.iter().map(|knob| line(knob, flags, file, settings)).collect();
    lines.join("\n") + "\n"
}

/// One line of the file: name, value, where that is from, and a remark. A comment when there is no value.
fn line(knob: &Knob, flags: &RunOptions, file: &RunOptions, settings: &Settings) -> String {
    let origin = match ((knob.is_given)(flags), (knob.is_given)(file)) {
        (true, _) => "flag",
        (_, true) => "file",
        _ => "default",
    };
    let value = (knob.shown)(&settings.options, settings);
    let (mark, value) = value.map_or(("# ", "…".to_owned()), |value| ("", value));
    format!("{:<33} # {origin}{}", format!("{mark}{} = {value}", knob.name), knob.remark)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let again = Settings::new(RunOptions::from_file(&path).unwrap()).unwrap();
        assert_eq!(
            describe(&RunOptions::default(), &RunOptions::default(), &again).replace("default", ""),
            text.replace("default", "").replace("flag", "")
        );
        assert!(text.contains("mpp = 0.25") && text.contains("# flag"));
    }
}
