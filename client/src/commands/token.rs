//! `tribune token`: creation and inspection of tokens, offline.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use tribune_protocol::domain::attributes::{AttributeValue, Attributes, Number};
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{DisplayName, RoomName, Subject};
use tribune_protocol::limits::MAX_TOKEN_BYTES;
use tribune_protocol::token::{Claims, Grants, Metadata, Parts, TokenError};

use self::key::Key;
use crate::outcome::{CommandError, Exit};
use crate::output::Output;

mod key;
mod show;

/// Longest validity of a token: a token cannot be revoked.
const LONGEST_VALIDITY: Duration = Duration::from_secs(366 * 24 * 3_600);

/// Make tokens, or show what is in one
#[derive(Debug, Args)]
pub(crate) struct Token {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(Create),
    Show(Show),
}

/// Make a token and print it
///
/// The grants follow from the role: host and cohost get roomAdmin, canPublish and canSubscribe, speaker
/// canPublish and canSubscribe, any other canSubscribe. The token's name is that of --name, if it is on
/// the command line, and is then the one that the room shows.
#[derive(Debug, Args)]
struct Create {
    /// Which room it is for
    #[arg(long, value_name = "ROOM")]
    room: RoomName,
    /// Identity of its bearer, the same in all sessions, such as a user's id or mail address
    #[arg(long, value_name = "SUBJECT")]
    identity: Subject,
    /// The highest role that its bearer may come in as: host, cohost, speaker, listener or one of the
    /// operator's own
    #[arg(long, default_value = "listener")]
    role: Role,
    /// How long it is valid, such as 90s, 1h or 7d; at most 366 days
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_validity)]
    valid_for: Duration,
    /// From when it is valid: a time such as 2030-01-31T18:00:00Z, or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    not_before: Option<u64>,
    /// Attribute for rules of access; repeated. true, false and numbers are written as such
    #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = parse_attribute)]
    attributes: Vec<(String, AttributeValue)>,
    /// Text that goes with the bearer, for other programs
    #[arg(long, value_name = "TEXT")]
    metadata: Option<Metadata>,
    /// Not to be shown to others
    #[arg(long)]
    hidden: bool,
    /// Let its bearer open the room, and make it ahead of time
    #[arg(long)]
    create: bool,
    #[command(flatten)]
    key: KeyArgs,
}

/// Show what is in a token, how long it is valid, and what it lets its bearer come in as
///
/// Without a key nothing is verified: whoever made the token may have written anything.
#[derive(Debug, Args)]
struct Show {
    /// The token, or - to read it from standard input, which keeps it out of `ps`
    #[arg(value_name = "TOKEN")]
    token: String,
    #[command(flatten)]
    key: KeyArgs,
}

#[derive(Debug, Args)]
struct KeyArgs {
    /// The key as NAME:SECRET; better given by the variable, which `ps` does not show
    #[arg(long, env = "TRIBUNE_KEY", hide_env_values = true, value_name = "NAME:SECRET")]
    key: Option<Key>,
    /// The key in a file: TOML as the relay's --keys, or an Ed25519 private key in PEM with --key-name
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Which key of the file, or what the relay calls the private key in it
    #[arg(long, value_name = "NAME", requires = "key_file")]
    key_name: Option<String>,
}

impl Token {
    /// `name` is what `--name` says on the command line, if it does.
    pub(crate) fn run(
        self,
        name: Option<DisplayName>,
        output: &Output,
    ) -> Result<(), CommandError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        match self.action {
            Action::Create(create) => create.run(name, now.as_secs(), output),
            Action::Show(show) => show.run(now.as_secs(), output),
        }
    }
}

impl Create {
    fn run(
        self,
        name: Option<DisplayName>,
        now_s: u64,
        output: &Output,
    ) -> Result<(), CommandError> {
        let key = self.key.load()?.ok_or_else(|| {
            let message = "A token is signed with a key: give --key NAME:SECRET, TRIBUNE_KEY or \
                           --key-file FILE.";
            CommandError::new(Exit::Usage, "key", message)
        })?;
        let claims = self.claims(&key, name, now_s)?;
        let token = key.sign(&claims)?;
        output.json(&serde_json::json!({ "token": token, "claims": claims }));
        output.result(&token);
        Ok(())
    }

    fn claims(
        self,
        key: &Key,
        name: Option<DisplayName>,
        now_s: u64,
    ) -> Result<Claims, CommandError> {
        let usage = |message: String| CommandError::new(Exit::Usage, "usage", message);
        if self.identity.is_guest() {
            let message = "--identity: \"guest:\" is for those who have no token.";
            return Err(usage(message.to_owned()));
        }
        let mut attributes = Attributes::default();
        for (key, value) in self.attributes {
            attributes.insert(key, value).map_err(|why| usage(format!("--attribute: {why}.")))?;
        }
        let begins_s = self.not_before.unwrap_or(now_s);
        Ok(Claims {
            key_name: key.name().to_owned(),
            subject: self.identity,
            name,
            not_before_s: Some(begins_s),
            expires_s: begins_s.saturating_add(self.valid_for.as_secs().max(1)),
            issued_s: Some(now_s),
            metadata: self.metadata,
            attributes,
            grants: Grants {
                room: self.room.as_str().to_owned(),
                room_join: true,
                room_create: self.create,
                room_admin: self.role.moderates(),
                can_publish: self.role.speaks(),
                can_publish_sources: Vec::new(),
                can_subscribe: true,
                hidden: self.hidden,
            },
            role: Some(self.role),
        })
    }
}

impl Show {
    fn run(self, now_s: u64, output: &Output) -> Result<(), CommandError> {
        let token = if self.token == "-" { read_token()? } else { self.token };
        let refused = |error: TokenError| {
            CommandError::new(Exit::Refused, error.code().as_str(), error.to_string())
        };
        let parts = Parts::of(token.trim()).map_err(refused)?;
        let key = self.key.load()?;
        if let Some(key) = &key {
            key.verify(&parts).map_err(refused)?;
        }
        let claims = parts.claims().map_err(refused)?;
        output.json(&show::json(&parts, &claims, key.is_some(), now_s));
        output.result(&show::text(&parts, &claims, key.is_some(), now_s));
        Ok(())
    }
}

impl KeyArgs {
    /// The key that is given; a file goes over the variable.
    fn load(&self) -> Result<Option<Key>, CommandError> {
        match &self.key_file {
            Some(file) => Key::load(file, self.key_name.as_deref()).map(Some),
            None => Ok(self.key.clone()),
        }
    }
}

fn read_token() -> Result<String, CommandError> {
    let mut text = String::new();
    // One byte more than there may be, and a line end, so that a longer one is noticed as such.
    let limit = MAX_TOKEN_BYTES as u64 + 3;
    let read = std::io::stdin().lock().take(limit).read_to_string(&mut text);
    read.map_err(|error| {
        CommandError::new(Exit::Other, "io", format!("The token cannot be read: {error}."))
    })?;
    Ok(text)
}

fn parse_validity(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration < Duration::from_secs(1) || duration > LONGEST_VALIDITY {
        return Err("a token is valid for 1 s to 366 days".to_owned());
    }
    Ok(duration)
}

/// Seconds since 1970.
fn parse_time(text: &str) -> Result<u64, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let time = humantime::parse_rfc3339_weak(text).map_err(|error| error.to_string())?;
    let since = time.duration_since(UNIX_EPOCH).map_err(|_| "it is before 1970".to_owned())?;
    Ok(since.as_secs())
}

fn parse_attribute(text: &str) -> Result<(String, AttributeValue), String> {
    let (key, value) = text.split_once('=').ok_or("an attribute is KEY=VALUE")?;
    let value = match value.parse::<bool>() {
        Ok(truth) => AttributeValue::Truth(truth),
        Err(_) => match Number::of_decimal(value) {
            // A text such as 007 would not be the same any more.
            Some(number) if number.to_string() == value => AttributeValue::Number(number),
            Some(_) | None => AttributeValue::Text(value.to_owned()),
        },
    };
    Ok((key.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        create: Create,
    }

    const KEY: &str = "web:a secret of thirty-two bytes: ok";

    fn create(arguments: &[&str]) -> Result<Claims, String> {
        let all = ["create", "--room", "stage", "--identity", "ada", "--key", KEY];
        let cli =
            Cli::try_parse_from(all.iter().chain(arguments)).map_err(|error| error.to_string())?;
        let key = cli.create.key.load().map_err(|error| error.message)?.unwrap();
        cli.create.claims(&key, None, 1_000).map_err(|error| error.message)
    }

    #[test]
    fn a_token_entitles_to_what_was_asked_for() {
        for role in ["host", "cohost", "speaker", "listener", "stage-manager"] {
            let claims = create(&["--role", role]).unwrap();
            assert_eq!(claims.check_room(&"stage".parse().unwrap()), Ok(()));
            let entitlement = claims.entitlement();
            assert_eq!(entitlement.role.as_str(), role);
            assert!(entitlement.may_listen && !entitlement.may_open && !entitlement.hidden);
        }
        let entitlement = create(&["--create", "--hidden"]).unwrap().entitlement();
        assert!(entitlement.may_open && entitlement.hidden);
    }

    #[test]
    fn times_are_as_asked_for() {
        let claims = create(&["--valid-for", "90s"]).unwrap();
        assert_eq!(
            (claims.not_before_s, claims.expires_s, claims.issued_s),
            (Some(1_000), 1_090, Some(1_000))
        );
        let claims = create(&["--not-before", "1970-01-02T00:00:00Z"]).unwrap();
        assert_eq!((claims.not_before_s, claims.expires_s), (Some(86_400), 90_000));
        assert_eq!(create(&["--not-before", "5000"]).unwrap().not_before_s, Some(5_000));
        for wrong in ["--valid-for=0s", "--valid-for=2y", "--valid-for=soon", "--not-before=now"] {
            assert!(create(&[wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn attributes_are_of_the_kind_that_they_look_like() {
        let arguments = ["followers=612", "member=true", "team=red", "code=007", "note=a=b"];
        let all: Vec<&str> = arguments.iter().flat_map(|value| ["--attribute", value]).collect();
        let claims = create(&all).unwrap();
        let json = serde_json::to_value(&claims.attributes).unwrap();
        let expected = serde_json::json!(
            {"followers": 612, "member": true, "team": "red", "code": "007", "note": "a=b"}
        );
        assert_eq!(json, expected);
        assert!(create(&["--attribute", "followers"]).is_err());
        assert!(
            create(&["--attribute", "a=1", "--attribute", "a=2"]).unwrap_err().contains("twice")
        );
    }

    #[test]
    fn what_no_relay_would_take_is_not_made() {
        assert!(create(&["--role", "Host"]).is_err());
        let all = ["create", "--room", "stage", "--identity", "guest:1", "--key", KEY];
        let cli = Cli::try_parse_from(all).unwrap();
        let key = cli.create.key.load().unwrap().unwrap();
        assert!(cli.create.claims(&key, None, 0).unwrap_err().message.contains("guest:"));
    }
}
