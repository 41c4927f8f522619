//! Roles that an operator defines, from `[roles.NAME]` of the TOML file to the policy table, and
//! `tribune-relay roles`, which shows the table: as text, as JSON, and as the page `PERMISSIONS.md`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::json;
use tribune_protocol::domain::permission::{Permission, PermissionSet};
use tribune_protocol::domain::role::Role;
use tribune_relay_core::room::authority::policy::{Policy, RolePolicy, overrules};

use super::error::ConfigError;
use super::file;

/// The part of the command line.
pub(super) fn command() -> Command {
    let config = Arg::new("config").long("config").value_name("FILE").help(
        "TOML file whose roles are shown besides the default ones [env: TRIBUNE_RELAY_CONFIG]",
    );
    let switch = |name| Arg::new(name).long(name).action(ArgAction::SetTrue);
    let markdown = switch("markdown").help("As a page, like PERMISSIONS.md");
    let json = switch("json").help("As one JSON object").conflicts_with("markdown");
    Command::new("roles").about("Show which role may do what").args([config, markdown, json])
}

/// Output of `tribune-relay roles`.
///
/// # Errors
/// [`ConfigError`], if the file cannot be used.
pub(super) fn run(
    flags: &ArgMatches,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<String, ConfigError> {
    let policy = policy_alone(flags, env)?;
    Ok(if flags.get_flag("json") {
        format!("{}\n", as_json(&policy))
    } else if flags.get_flag("markdown") {
        as_page(&policy)
    } else {
        as_text(&policy)
    })
}

/// The policy table alone, for commands that need no other setting.
fn policy_alone(
    flags: &ArgMatches,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Policy, ConfigError> {
    let variable = || env("TRIBUNE_RELAY_CONFIG").filter(|text| !text.is_empty());
    let path = flags.get_one::<String>("config").cloned().or_else(variable);
    match path.map(PathBuf::from) {
        None => Ok(Policy::default()),
        Some(path) => policy(file::read(&path)?.get("roles"), &path),
    }
}

/// The default table with the roles of a file's `roles`.
pub(super) fn policy(roles: Option<&toml::Value>, path: &Path) -> Result<Policy, ConfigError> {
    let mut policy = Policy::default();
    let Some(roles) = roles else { return Ok(policy) };
    let at = |key: &str| format!("{key} in {}", path.display());
    let wrong = |key: &str, value: String, why: &str| ConfigError::Wrong {
        option: at(key),
        value,
        why: why.to_owned(),
    };
    let Some(roles) = roles.as_table() else {
        let value = format!("a value of type {}", roles.type_str());
        return Err(wrong("roles", value, "is not a table of roles, such as [roles.moderator]"));
    };
    for (name, row) in roles {
        let key = format!("roles.{name}");
        let role = name.parse::<Role>();
        let role = role.map_err(|why| wrong("roles", "the".to_owned(), &why.to_string()))?;
        let Role::Custom(_) = role else {
            let why = "is a default role, which stays as it is; choose another name";
            return Err(wrong("roles", format!("{name:?}"), why));
        };
        let Some(row) = row.as_table() else {
            let value = format!("a value of type {}", row.type_str());
            return Err(wrong(&key, value, "is not a table with rank, may and like"));
        };
        let row = parse_row(role, row)
            .map_err(|(field, value, why)| wrong(&format!("{key}.{field}"), value, &why))?;
        let added = policy.add(row);
        added.map_err(|why| {
            wrong(&key, "this role cannot be added,".to_owned(), &format!("since {why}"))
        })?;
    }
    Ok(policy)
}

/// The field that is wrong, its value, and why.
type Fault = (String, String, String);

fn parse_row(role: Role, row: &toml::Table) -> Result<RolePolicy, Fault> {
    let fault = |field: &str, value: String, why: &str| (field.to_owned(), value, why.to_owned());
    let known = ["rank", "may", "like"];
    if let Some(unknown) = row.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(fault(unknown, "this key".to_owned(), "is not one of rank, may and like"));
    }
    let Some(rank) = row.get("rank") else {
        let why =
            "has to be given: 1 to 99, where hosts have 100, cohosts 80, speakers 20, listeners 10";
        return Err(fault("rank", "this key".to_owned(), why));
    };
    let number = rank.as_integer().and_then(|rank| u8::try_from(rank).ok());
    let Some(rank) = number.filter(|rank| (1..=99).contains(rank)) else {
        return Err(fault("rank", rank.to_string(), "is not a whole number from 1 to 99"));
    };
    let mut may = PermissionSet::NONE;
    if let Some(like) = row.get("like") {
        let defaults = [Role::Cohost, Role::Speaker, Role::Listener];
        let base =
            like.as_str().and_then(|like| defaults.iter().find(|role| role.as_str() == like));
        let Some(base) = base else {
            let why = "is none of \"cohost\", \"speaker\" and \"listener\"";
            return Err(fault("like", like.to_string(), why));
        };
        may = Policy::default().may(*base);
    }
    let words = match row.get("may") {
        None if row.contains_key("like") => Vec::new(),
        None => {
            let why = "has to be given, a list of permissions, or like has to";
            return Err(fault("may", "this key".to_owned(), why));
        }
        Some(may) => may
            .as_array()
            .cloned()
            .ok_or_else(|| fault("may", may.to_string(), "is not a list of permissions"))?,
    };
    for word in words {
        let permission = word.as_str().and_then(|word| word.parse::<Permission>().ok());
        let Some(permission) = permission else {
            let why = "is not a permission; \"tribune-relay roles\" lists them";
            return Err(fault("may", word.to_string(), why));
        };
        may = may.with(&[permission]);
    }
    Ok(RolePolicy { role, rank, may })
}

/// The table for a terminal.
fn as_text(policy: &Policy) -> String {
    let rows = policy.rows();
    let width = |row: &RolePolicy| row.role.as_str().len().max(3);
    let mut text = format!("{:18}", "");
    let mut line = |first: &str, cell: &dyn Fn(&RolePolicy) -> String| {
        let _ = write!(text, "\n{first:18}"); // a string takes everything
        for row in rows {
            let _ = write!(text, "  {:width$}", cell(row), width = width(row));
        }
    };
    line("", &|row| row.role.to_string());
    line("rank", &|row| row.rank.to_string());
    for permission in Permission::ALL {
        line(permission.as_str(), &|row| {
            if row.may.contains(*permission) { "yes" } else { "-" }.to_owned()
        });
    }
    let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    lines.map(|line| format!("{line}\n")).collect()
}

fn as_json(policy: &Policy) -> serde_json::Value {
    let row = |row: &RolePolicy| {
        let may: Vec<_> = row.may.iter().map(Permission::as_str).collect();
        json!({"role": row.role.as_str(), "rank": row.rank, "may": may})
    };
    json!({"roles": policy.rows().iter().map(row).collect::<Vec<_>>()})
}

/// The page that documents the table.
fn as_page(policy: &Policy) -> String {
    let mut page = PAGE_HEAD.to_owned();
    let cells = |cell: &dyn Fn(&RolePolicy) -> String| {
        policy.rows().iter().map(|row| format!(" {} |", cell(row))).collect::<String>()
    };
    let mut line = |first: &str, rest: String| {
        page.push_str(&format!("| {first} |{rest}\n"));
    };
    line("May", cells(&|row| row.role.to_string()));
    line("---", cells(&|_| ":-:".to_owned()));
    line("*rank*", cells(&|row| row.rank.to_string()));
    for permission in Permission::ALL {
        let mark = if overrules(*permission) { " *" } else { "" };
        let first = format!("`{permission}`{mark}: {}", permission.infinitive());
        line(
            &first,
            cells(&|row| if row.may.contains(*permission) { "yes" } else { "" }.to_owned()),
        );
    }
    page.push_str(PAGE_END);
    page
}

const PAGE_HEAD: &str = "\
# Who may do what

<!-- Made by: cargo run -q -p tribune-relay -- roles --markdown > PERMISSIONS.md -->

The policy table of a relay without roles of its own. What a role's column does not have is denied, and
so is everything to a role without a column.

";

const PAGE_END: &str = "
\\* Against somebody: only if their rank is not higher than one's own. So nobody but the host silences,
removes, bans or demotes the host, whatever permissions they have been given; and the room is handed
over by the host alone.

- Whoever is in a room acts in the role that they have on its stage; off the stage, in the one that
  their token or a moderator has given them. A room has one host: who could be another is a cohost.
- A host can give and take single permissions while the room is on (`tribune permission`). Nobody gives
  what they do not have.
- Nobody makes a role, an invitation or a permission that may do more than they themselves.
- Who is barred can appeal, and read what the log says of them, as everybody can.
- Locking the room, and opening and closing the queue of hands, are `lock` and `clear_hands`; any other
  setting is `set_room`.

## Roles of one's own

In the file of `--config`:

```toml
[roles.moderator]
rank = 50            # 1 to 99
like = \"listener\"    # everything that a listener may; or \"speaker\", \"cohost\"
may = [\"see_hands\", \"grant\", \"deny\", \"silence\", \"kick\"]
```

A token lets in as it with `\"role\": \"moderator\"`, and `tribune role set ROOM SUBJECT moderator` makes
somebody one. A role whose permissions have `speak` has a place on the stage. All relays of a tree need
the same roles. `tribune-relay roles --config FILE` shows the table with them.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Policy, String> {
        let table: toml::Table = text.parse().unwrap();
        policy(table.get("roles"), Path::new("relay.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn roles_of_a_file_are_rows_of_the_table() {
        let policy = read(
            "[roles.moderator]\nrank = 50\nlike = \"listener\"\nmay = [\"kick\", \"see_hands\"]\n\
             [roles.panelist]\nrank = 30\nmay = [\"listen\", \"speak\"]\n\
             [roles.deputy]\nrank = 79\nlike = \"cohost\"\n",
        )
        .unwrap();
        let moderator: Role = "moderator".parse().unwrap();
        let listener = policy.may(Role::Listener);
        let expected = listener.with(&[Permission::Kick, Permission::SeeHands]);
        assert_eq!((policy.may(moderator), policy.rank(moderator)), (expected, 50));
        assert!(!policy.speaks(moderator) && policy.speaks("panelist".parse().unwrap()));
        assert_eq!(policy.may("deputy".parse().unwrap()), policy.may(Role::Cohost));
        let order: Vec<_> = policy.rows().iter().map(|row| row.role.to_string()).collect();
        let by_rank = ["host", "cohost", "deputy", "moderator", "panelist", "speaker", "listener"];
        assert_eq!(order, by_rank);
        assert_eq!(read("top_n = 4").unwrap(), Policy::default());
    }

    #[test]
    fn a_wrong_role_is_refused_with_the_wrong_word() {
        for (text, why) in [
            (
                "roles = 7",
                "roles in relay.toml: a value of type integer is not a table of roles, such as [roles.moderator]",
            ),
            ("[roles.\"a b\"]\nrank = 1", "roles in relay.toml: the role \"a b\" "),
            (
                "[roles.host]\nrank = 1",
                "roles in relay.toml: \"host\" is a default role, which stays as it is; choose another name",
            ),
            (
                "[roles]\nx = 1",
                "roles.x in relay.toml: a value of type integer is not a table with rank, may and like",
            ),
            (
                "[roles.x]\nmay = []",
                "roles.x.rank in relay.toml: this key has to be given: 1 to 99, ",
            ),
            (
                "[roles.x]\nrank = 100\nmay = []",
                "roles.x.rank in relay.toml: 100 is not a whole number from 1 to 99",
            ),
            ("[roles.x]\nrank = 0\nmay = []", "roles.x.rank in relay.toml: 0 is not"),
            ("[roles.x]\nrank = \"9\"\nmay = []", "roles.x.rank in relay.toml: \"9\" is not"),
            (
                "[roles.x]\nrank = 9",
                "roles.x.may in relay.toml: this key has to be given, a list of permissions, or like has to",
            ),
            (
                "[roles.x]\nrank = 9\nmay = \"kick\"",
                "roles.x.may in relay.toml: \"kick\" is not a list of permissions",
            ),
            (
                "[roles.x]\nrank = 9\nmay = [\"kick\", \"fly\"]",
                "roles.x.may in relay.toml: \"fly\" is not a permission; ",
            ),
            (
                "[roles.x]\nrank = 9\nlike = \"host\"",
                "roles.x.like in relay.toml: \"host\" is none of \"cohost\", \"speaker\" and \"listener\"",
            ),
            (
                "[roles.x]\nrank = 9\nmay = []\ncan = []",
                "roles.x.can in relay.toml: this key is not one of rank, may and like",
            ),
        ] {
            let found = read(text).unwrap_err();
            assert!(found.starts_with(why), "{found}");
        }
        let many: String =
            (0..29).map(|id| format!("[roles.r{id}]\nrank = 9\nmay = []\n")).collect();
        assert!(read(&many).unwrap_err().contains("a table has at most 32 roles"));
    }

    #[test]
    fn the_page_is_what_the_table_says() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../PERMISSIONS.md");
        let page = std::fs::read_to_string(page).unwrap();
        assert!(
            page == as_page(&Policy::default()),
            "PERMISSIONS.md is not what the policy table says; make it anew: \
             cargo run -q -p tribune-relay -- roles --markdown > PERMISSIONS.md"
        );
    }

    #[test]
    fn every_permission_and_role_is_in_every_form() {
        let policy = read("[roles.moderator]\nrank = 50\nlike = \"listener\"\n").unwrap();
        let (text, json, page) = (as_text(&policy), as_json(&policy), as_page(&policy));
        for permission in Permission::ALL {
            let line = text.lines().find(|line| line.starts_with(&format!("{permission} ")));
            let cells = line.unwrap_or_else(|| panic!("no line for {permission}"));
            let cells: Vec<_> =
                cells.split_whitespace().skip(1).map(|cell| cell == "yes").collect();
            let table: Vec<_> =
                policy.rows().iter().map(|row| row.may.contains(*permission)).collect();
            assert_eq!(cells, table, "{permission}");
            assert!(page.contains(&format!("| `{permission}`")), "{permission}");
        }
        assert!(
            text.starts_with("                    host  cohost  moderator  speaker  listener\n"),
            "{text}"
        );
        assert_eq!(json["roles"][2]["role"], "moderator");
        assert_eq!(json["roles"][4]["may"][0], "listen");
    }
}
