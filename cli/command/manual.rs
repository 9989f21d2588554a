//! `slidemill manual`: the manual pages, made from the help.

use std::{fs, io, path::Path};

use clap_mangen::Man;

use crate::{args, exit::Exit, exit::Failure};

/// Writes a page for slidemill and one for each command.
///
/// # Errors
///
/// An output failure with the path last when a page cannot be written.
pub fn manual(args: &args::Manual) -> anyhow::Result<Exit> {
    write_pages(&args.folder).map_err(|error| {
        Failure::output(format!("cannot write the manual: {error}: {}", args.folder.display()))
    })?;
    Ok(Exit::Done)
}

fn write_pages(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut slidemill = args::command_line().disable_help_subcommand(true);
    // Each page shows how its command is called from a shell.
    slidemill.build();
    write_page(&slidemill, "slidemill", folder)?;
    for command in slidemill.get_subcommands() {
        write_page(command, &format!("slidemill-{}", command.get_name()), folder)?;
    }
    Ok(())
}

fn write_page(command: &clap::Command, name: &str, folder: &Path) -> io::Result<()> {
    let mut page = Vec::new();
    Man::new(command.clone()).title(name).render(&mut page)?;
    whole_file::write_bytes(&folder.join(format!("{name}.1")), &page)
}
