//! The book in `docs`: its links, its list of pages, and the commands and snippets that it shows.

mod support;

#[path = "book/cases.rs"]
mod cases;
#[path = "book/commands.rs"]
mod commands;
#[path = "book/links.rs"]
mod links;
#[path = "book/markdown.rs"]
mod markdown;
#[path = "book/sessions.rs"]
mod sessions;
#[path = "book/snippets.rs"]
mod snippets;
