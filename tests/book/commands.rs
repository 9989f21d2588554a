//! The command lines of all pages are such as the command takes.

use std::path::Path;

use super::markdown::{Block, Page, pages};

/// Commands of a line of shell, as their words: `a | b && c` are three. Quotes are taken off; a file behind `>` comes out
/// as a command of its own.
fn split(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let (mut word, mut quote): (Option<String>, Option<char>) = (None, None);
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ' ' | '|' | '&' | ';' | '>') => {
                if let Some(command) = commands.last_mut() {
                    command.extend(word.take());
                }
                if letter != ' ' {
                    commands.push(Vec::new());
                }
            }
            _ => word.get_or_insert_default().push(letter),
        }
    }
    if let Some(command) = commands.last_mut() {
        command.extend(word);
    }
    commands
}

/// Commands of slidemill in a block of shell.
fn commands(block: &Block) -> Vec<Vec<String>> {
    let lines = block.text.replace("\\\n", " ");
    lines.lines().flat_map(split).filter(|words| is_ours(words)).collect()
}

/// `true` for a command of slidemill that is built here.
fn is_ours(words: &[String]) -> bool {
    let program = words.first().and_then(|word| Path::new(word).file_name());
    let is_built = cfg!(feature = "serve") || words.get(1).is_none_or(|name| name != "serve");
    program.is_some_and(|name| name == "slidemill") && is_built
}

/// The refusal of a command line, if it is refused.
fn refusal(words: &[String]) -> Option<String> {
    let error = slidemill::args::command_line().try_get_matches_from(words).err()?;
    // Help and version come as errors, too.
    error.use_stderr().then(|| error.to_string())
}

/// The refusal with its page, if the line is refused.
fn complaint(page: &Page, words: &[String]) -> Option<String> {
    refusal(words).map(|reason| format!("{}: {}\n{reason}", page.name(), words.join(" ")))
}

#[test]
fn every_command_line_of_a_page_is_accepted() {
    let pages = pages();
    let shown: Vec<(&Page, Vec<String>)> = pages
        .iter()
        .flat_map(|page| page.blocks.iter().map(move |block| (page, block)))
        .filter(|(_, block)| block.language == "sh")
        .flat_map(|(page, block)| commands(block).into_iter().map(move |words| (page, words)))
        .collect();
    assert!(shown.len() > 40, "{} command lines", shown.len());
    let refused: Vec<String> = shown.iter().filter_map(|(page, words)| complaint(page, words)).collect();
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
fn a_line_is_split_as_a_shell_does() {
    let words = split("a \"b c\" 'd' | e --f=g && h > i # j");
    assert_eq!(words, [vec!["a", "b c", "d"], vec!["e", "--f=g"], vec![], vec!["h"], vec!["i"]]);
    assert!(refusal(&["slidemill".to_owned(), "run".to_owned(), "--no-such-flag".to_owned()]).is_some());
}
