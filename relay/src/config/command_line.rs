//! Command line of the relay, from the table of settings: for parsing, `--help` and the man page.

use std::io::Write as _;

use clap::{Arg, ArgAction, Command};

use super::table::{Kind, OPERATION, SETTINGS, Setting};
use super::{keys_command, roles};

/// The command line, for parsing, `--help` and the man page.
pub(super) fn command() -> Command {
    let config = Arg::new("config").long("config").value_name("FILE").help_heading(OPERATION).help(
        "TOML file with settings, by the flags' names with _ for -, such as top_n = 4, and roles of one's own ([roles.NAME], see PERMISSIONS.md) [env: TRIBUNE_RELAY_CONFIG]",
    );
    let man = Arg::new("man").long("man").action(ArgAction::SetTrue).hide(true);
    Command::new("tribune-relay")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Carries live audio rooms over QUIC, alone or as a part of a tree of relays")
        .after_help("A flag goes over an environment variable, which goes over the file.")
        .max_term_width(100)
        .args(SETTINGS.iter().map(argument))
        .arg(config)
        .arg(man)
        .args_conflicts_with_subcommands(true)
        .subcommand(keys_command::command())
        .subcommand(roles::command())
}

/// The man page: the relay's own, and a section for each command.
pub(super) fn man_page() -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let mut command = command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    for noun in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let mut verbs = noun.get_subcommands().filter(|sub| sub.get_name() != "help").peekable();
        if verbs.peek().is_none() {
            man_section(&mut page, noun.get_name(), noun)?;
        }
        for verb in verbs {
            let name = format!("{} {}", noun.get_name(), verb.get_name());
            man_section(&mut page, &name, verb)?;
        }
    }
    Ok(page)
}

fn man_section(page: &mut Vec<u8>, name: &str, command: &Command) -> std::io::Result<()> {
    writeln!(page, ".SH \"tribune-relay {name}\"")?;
    let man = clap_mangen::Man::new(command.clone());
    man.render_description_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_options_section(page)
}

fn argument(setting: &Setting) -> Arg {
    let Setting { default, env, help, .. } = setting;
    let argument = Arg::new(setting.key)
        .long(setting.flag)
        .help_heading(setting.group)
        .help(format!("{help} [default: {default}] [env: {env}]"));
    match setting.kind {
        Kind::One | Kind::Secret => argument.value_name(setting.value),
        Kind::Many => argument.value_name(setting.value).action(ArgAction::Append),
        Kind::Switch => argument.action(ArgAction::SetTrue),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound_and_every_setting_is_in_its_help() {
        command().debug_assert();
        let help = command().render_long_help().to_string();
        for setting in &SETTINGS {
            assert!(help.contains(&format!("--{}", setting.flag)), "{}", setting.flag);
            assert!(help.contains(setting.env), "{}", setting.env);
        }
    }
}
