//! Numbers of options: negative ones are values, and what is wrong is said with what is expected.

use std::ops::RangeInclusive;

use clap::{
    Arg, Command,
    builder::{StringValueParser, TypedValueParser},
};

/// A parser of whole numbers within a range, ends included; an end of `u64::MAX` is none.
pub(crate) fn whole<T>(range: RangeInclusive<u64>) -> impl TypedValueParser<Value = T>
where
    T: TryFrom<u64> + Clone + Send + Sync + 'static,
{
    StringValueParser::new().try_map(move |text| whole_in(&text, &range))
}

fn whole_in<T: TryFrom<u64>>(text: &str, range: &RangeInclusive<u64>) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| match range.end() {
        &u64::MAX => format!("expected a whole number, {} or more", range.start()),
        end => format!("expected a whole number from {} to {end}", range.start()),
    })
}

/// The same command, whose options take what begins with a minus and is a number as their value: otherwise it would be
/// called an unexpected argument, and nobody would learn what is expected.
pub(crate) fn with_negative_numbers(command: Command) -> Command {
    command.mut_args(with_negative_number).mut_subcommands(with_negative_numbers)
}

fn with_negative_number(arg: Arg) -> Arg {
    let takes_one = arg.get_action().takes_values() && !arg.is_positional();
    if takes_one { arg.allow_negative_numbers(true) } else { arg }
}

#[cfg(test)]
mod tests {
    use std::any::TypeId;

    use super::*;
    use crate::args::command_line;

    /// What the command says to an option of one of its commands with a value.
    fn said_to(command: &Command, arg: &Arg, value: &str) -> Option<String> {
        let name = arg.get_long().expect("options have long names");
        let typed = ["slidemill", command.get_name(), &format!("--{name}"), value];
        command_line().try_get_matches_from(typed).err().map(|error| error.to_string())
    }

    /// Once `--threads -1` was answered with "unexpected argument '-1'".
    #[test]
    fn every_option_answers_a_negative_number_in_our_own_words() {
        let line = command_line();
        let mut numbers = 0;
        for command in line.get_subcommands() {
            let options = command.get_opts().filter(|arg| arg.get_action().takes_values());
            for arg in options {
                let name = format!("{} {}", command.get_name(), arg.get_id());
                let said = said_to(command, arg, "-1").unwrap_or_default();
                assert!(!said.contains("unexpected argument"), "{name}: {said}");
                let parser = arg.get_value_parser().type_id();
                let is_whole =
                    [TypeId::of::<u16>(), TypeId::of::<u32>(), TypeId::of::<u64>(), TypeId::of::<usize>()]
                        .iter()
                        .any(|whole| parser == *whole);
                numbers += usize::from(is_whole);
                let is_said = said.contains("expected a whole number");
                assert!(!is_whole || is_said, "{name}: {said}");
            }
        }
        assert!(numbers > 20, "{numbers}");
    }

    #[test]
    fn ranges_are_said() {
        assert_eq!(whole_in::<u16>("65535", &(0..=65535)), Ok(65535));
        for (text, range, expected) in [
            ("0", 1..=9, "expected a whole number from 1 to 9"),
            ("1.5", 1..=u64::MAX, "expected a whole number, 1 or more"),
            ("", 0..=9, "expected a whole number from 0 to 9"),
        ] {
            assert_eq!(whole_in::<u64>(text, &range), Err(expected.to_owned()), "{text:?}");
        }
    }
}
