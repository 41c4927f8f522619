//! Settings as given, from the four places: a flag, over an environment variable, over the TOML file,
//! over the default.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use tribune_relay_core::room::authority::policy::Policy;

use super::error::ConfigError;
use super::table::{Kind, SETTINGS, Setting};
use super::{file, roles};

/// Origin of a value, as errors name it.
#[derive(Debug, Clone)]
enum Source {
    Flag(&'static str),
    Variable(&'static str),
    File(&'static str, PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Variable(name) => f.write_str(name),
            Self::File(key, path) => write!(f, "{key} in {}", path.display()),
        }
    }
}

/// Texts given for one setting, not yet parsed.
struct Given {
    source: Source,
    texts: Vec<String>,
    is_secret: bool,
}

/// All settings given, the strongest place for each, and the policy table.
pub(super) struct Settings {
    given: BTreeMap<&'static str, Given>,
    policy: Policy,
}

impl Settings {
    /// Collects from the three places. Empty variables count as absent.
    pub(super) fn collect(
        flags: &ArgMatches,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let variable = |name: &str| env(name).filter(|text| !text.is_empty());
        let path = flags.get_one::<String>("config").cloned();
        let path = path.or_else(|| variable("TRIBUNE_RELAY_CONFIG")).map(PathBuf::from);
        let mut table = path.as_deref().map(file::read).transpose()?.unwrap_or_default();
        let roles_given = table.remove("roles");
        let policy = match &path {
            Some(path) => roles::policy(roles_given.as_ref(), path)?,
            None => Policy::default(),
        };
        let mut settings = BTreeMap::new();
        for setting in &SETTINGS {
            // Taken out of the file's table first, so that what is left there is unknown.
            let in_file = table.remove(setting.key);
            let given = from_flag(setting, flags)
                .or_else(|| variable(setting.env).map(|text| from_variable(setting, text)));
            let given = match (given, in_file, &path) {
                (Some(given), _, _) => given,
                (None, Some(value), Some(path)) => from_file(setting, value, path)?,
                (None, None, _) | (None, Some(_), None) => continue,
            };
            settings.insert(setting.key, given);
        }
        match (path, table.is_empty()) {
            (Some(path), false) => {
                Err(ConfigError::UnknownKeys { path, keys: table.keys().cloned().collect() })
            }
            (Some(_) | None, _) => Ok(Self { given: settings, policy }),
        }
    }

    /// The policy table: the default roles and those of the file.
    pub(super) const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The one value of a setting, parsed. The reason of a failure goes on from the value: `is not …`.
    pub(super) fn one<T, E: fmt::Display>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, ConfigError> {
        Ok(self.many(key, parse)?.pop())
    }

    /// All values of a setting, parsed.
    pub(super) fn many<T, E: fmt::Display>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Vec<T>, ConfigError> {
        let Some(given) = self.given.get(key) else { return Ok(Vec::new()) };
        let wrong = |text: &String, why: E| ConfigError::Wrong {
            option: given.source.to_string(),
            value: if given.is_secret { "the value".to_owned() } else { format!("{text:?}") },
            why: why.to_string(),
        };
        given.texts.iter().map(|text| parse(text).map_err(|why| wrong(text, why))).collect()
    }
}

fn from_flag(setting: &Setting, flags: &ArgMatches) -> Option<Given> {
    let texts: Vec<String> = match setting.kind {
        Kind::Switch if flags.get_flag(setting.key) => vec!["true".to_owned()],
        Kind::Switch => return None,
        Kind::One | Kind::Secret | Kind::Many => {
            flags.get_many::<String>(setting.key)?.cloned().collect()
        }
    };
    Some(given(setting, Source::Flag(setting.flag), texts))
}

fn from_variable(setting: &Setting, text: String) -> Given {
    let texts = match setting.kind {
        Kind::Many => text.split(',').map(|part| part.trim().to_owned()).collect(),
        Kind::One | Kind::Secret | Kind::Switch => vec![text],
    };
    given(setting, Source::Variable(setting.env), texts)
}

fn from_file(setting: &Setting, value: toml::Value, path: &Path) -> Result<Given, ConfigError> {
    let source = Source::File(setting.key, path.to_owned());
    let texts = if let (Kind::Many, Some(values)) = (setting.kind, value.as_array()) {
        values.iter().map(scalar).collect()
    } else {
        scalar(&value).map(|text| vec![text])
    };
    match texts {
        Ok(texts) => Ok(given(setting, source, texts)),
        Err(kind) => Err(ConfigError::Wrong {
            option: source.to_string(),
            value: format!("a value of type {kind}"),
            why: "is not what this setting takes".to_owned(),
        }),
    }
}

/// The text of a string, number or truth value; the name of any other type.
fn scalar(value: &toml::Value) -> Result<String, &'static str> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Boolean(truth) => Ok(truth.to_string()),
        toml::Value::Float(_)
        | toml::Value::Datetime(_)
        | toml::Value::Array(_)
        | toml::Value::Table(_) => Err(value.type_str()),
    }
}

fn given(setting: &Setting, source: Source, texts: Vec<String>) -> Given {
    Given { source, texts, is_secret: setting.kind == Kind::Secret }
}
