//! `tribune man`: the man page, made from the same definitions as `--help`.

use std::io::Write;

use crate::outcome::{CommandError, Exit};

/// Prints the page of `tribune`, then one per command, for `man -l -` or a packager.
pub(crate) fn print(mut command: clap::Command) -> Result<(), CommandError> {
    let failed = |error: std::io::Error| {
        CommandError::new(Exit::Other, "io", format!("Cannot write the man page: {error}."))
    };
    let mut page = Vec::new();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut page).map_err(failed)?;
    append(&mut page, &command).map_err(failed)?;
    std::io::stdout().write_all(&page).map_err(failed)
}

/// The commands below `command`, each with what `--help` says, and theirs.
fn append(page: &mut Vec<u8>, command: &clap::Command) -> std::io::Result<()> {
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let man = clap_mangen::Man::new(sub.clone());
        writeln!(page, ".SH \"{}\"", sub.get_display_name().unwrap_or(sub.get_name()))?;
        man.render_description_section(page)?;
        man.render_synopsis_section(page)?;
        man.render_options_section(page)?;
        man.render_extra_section(page)?;
        append(page, sub)?;
    }
    Ok(())
}
