//! Flags made from the list of options ([`engine::KNOBS`]).

use std::ffi::OsString;

use clap::{
    Arg, ArgAction, ArgMatches, Command, builder::OsStringValueParser, builder::TypedValueParser as _,
};
use engine::{Arity, KNOBS, Knob, Phase, RunOptions};

/// The options of a run.
#[derive(Debug, Clone, Default)]
pub struct AllOptions(pub RunOptions);

/// The options that act after the model, for `slidemill merge`.
#[derive(Debug, Clone, Default)]
pub struct CellOptions(pub RunOptions);

fn all(_: &&Knob) -> bool {
    true
}

fn of_cells(knob: &&Knob) -> bool {
    knob.phase == Phase::Cells
}

macro_rules! flags {
    ($type:ident, $which:ident) => {
        impl clap::Args for $type {
            fn augment_args(command: Command) -> Command {
                command.args(KNOBS.iter().filter($which).map(flag))
            }

            fn augment_args_for_update(command: Command) -> Command {
                Self::augment_args(command)
            }
        }

        impl clap::FromArgMatches for $type {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                given(matches, KNOBS.iter().filter($which)).map(Self)
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                self.0 = given(matches, KNOBS.iter().filter($which))?.or(std::mem::take(&mut self.0));
                Ok(())
            }
        }
    };
}
flags!(AllOptions, all);
flags!(CellOptions, of_cells);

fn flag(knob: &'static Knob) -> Arg {
    let arg = Arg::new(knob.name)
        .long(knob.name)
        .value_name(knob.value)
        .help_heading(knob.section)
        .help(knob.help())
        .allow_hyphen_values(knob.negative);
    if knob.arity == Arity::Switch {
        return arg.num_args(0..=1).default_missing_value("true").value_parser(clap::value_parser!(bool));
    }
    let checked = OsStringValueParser::new().try_map(|value| check(knob, value));
    let arg = arg.value_parser(checked);
    match knob.arity {
        Arity::List => arg.value_delimiter(',').action(ArgAction::Append),
        Arity::Repeated => arg.action(ArgAction::Append),
        Arity::WordSwitch => arg.num_args(0..=1).default_missing_value("true"),
        Arity::One | Arity::Switch => arg,
    }
}

/// Checks a value that is text. One that is not may be a path; for all other options it is refused when it is
/// taken.
fn check(knob: &Knob, value: OsString) -> Result<OsString, String> {
    match value.to_str() {
        Some(text) => (knob.check)(text).map(|()| value),
        None => Ok(value),
    }
}

fn given(
    matches: &ArgMatches,
    knobs: impl Iterator<Item = &'static Knob>,
) -> Result<RunOptions, clap::Error> {
    let mut options = RunOptions::default();
    for knob in knobs {
        let values: Vec<OsString> = match knob.arity {
            Arity::Switch => {
                matches.get_one::<bool>(knob.name).map(|on| on.to_string().into()).into_iter().collect()
            }
            _ => matches.get_many::<OsString>(knob.name).into_iter().flatten().cloned().collect(),
        };
        if !values.is_empty() {
            (knob.set)(&mut options, &values).map_err(|reason| {
                let text = format!("--{}: {reason}\n", knob.name);
                clap::Error::raw(clap::error::ErrorKind::InvalidValue, text)
            })?;
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct All {
        #[command(flatten)]
        options: AllOptions,
    }

    #[derive(Debug, Parser)]
    struct Cells {
        #[command(flatten)]
        options: CellOptions,
    }

    #[test]
    fn every_option_is_a_flag_that_takes_its_sample() {
        for knob in KNOBS {
            let typed = ["x".to_owned(), format!("--{}={}", knob.name, knob.sample)];
            let options = All::try_parse_from(&typed).unwrap_or_else(|error| panic!("{error}")).options.0;
            assert!((knob.is_given)(&options), "{}", knob.name);
            assert_eq!(Cells::try_parse_from(&typed).is_ok(), knob.phase == Phase::Cells, "{}", knob.name);
        }
        All::command().debug_assert();
    }

    #[test]
    fn flags_are_typed_as_their_arity_says() {
        let parse = |typed: &[&str]| All::try_parse_from([&["x"], typed].concat()).map(|all| all.options.0);
        let options = parse(&["--stains", "--keep-raw", "false", "--class-score", "a=0.1,b=0.2"]).unwrap();
        assert_eq!((options.stains, options.keep_raw), (Some(engine::StainSet::He), Some(false)));
        assert_eq!(options.class_score.unwrap(), ["a=0.1", "b=0.2"]);
        let options = parse(&["--detector", "mpp=0.25", "--detector", "mpp=0.5,model=m.onnx"]).unwrap();
        assert_eq!(options.detector.unwrap().len(), 2);
        assert!(parse(&["--map-range", "-5:9"]).unwrap().map_range.is_some());
        let wrong = parse(&["--min-score", "high"]).unwrap_err().to_string();
        let expected = "invalid value 'high' for '--min-score <S>': expected a number";
        assert!(wrong.contains(expected), "{wrong}");
        assert!(parse(&["--batch", "2", "--batch", "3"]).is_err());
    }
}
