//! `tribune-relay keys generate`: makes a key for tokens, as a block for the file of `--keys`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};
use rand::TryRng as _;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use tribune_protocol::token::base64url;
use tribune_protocol::token::ed25519::{private_pem, public_pem};
use tribune_relay_core::auth::keys::{InvalidKey, check_name};

/// A new key, and a note about it.
#[derive(Debug)]
pub(super) struct Generated {
    /// For standard output.
    pub(super) stdout: String,
    /// For people, on standard error.
    pub(super) note: Option<String>,
}

/// A key that cannot be made. Its display is one sentence.
#[derive(Debug, thiserror::Error)]
pub(super) enum GenerateError {
    #[error("--name: {0}")]
    Name(#[from] InvalidKey),
    #[error("--out: {} cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("the system gives no random numbers: {0}")]
    NoRandomness(#[from] rand::rngs::SysError),
    #[error("the system gives no usable Ed25519 key")]
    NoKey,
}

/// The part of the command line.
pub(super) fn command() -> Command {
    let name = Arg::new("name")
        .long("name")
        .value_name("NAME")
        .default_value("key-1")
        .help("What the key is called; tokens name it in their claim \"iss\"");
    let ed25519 = Arg::new("ed25519").long("ed25519").action(ArgAction::SetTrue).help(
        "An Ed25519 key instead of a secret: the relay gets the public half alone, and cannot make tokens",
    );
    let out = Arg::new("out").long("out").value_name("FILE").help(
        "Where the secret part goes, with mode 0600, instead of standard output: the block, or with \
         --ed25519 the private key in PEM, the block going to standard output. A file that is there is \
         not touched",
    );
    let generate = Command::new("generate")
        .about("Make a key for tokens, as a block for the file of --keys")
        .args([name, ed25519, out]);
    Command::new("keys")
        .about("Keys that participants' tokens are checked with")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(generate)
}

/// Makes the key that the command line asks for.
pub(super) fn run(matches: &ArgMatches) -> Result<Generated, GenerateError> {
    // Clap lets nothing else through.
    let Some((_, matches)) = matches.subcommand() else { return Err(GenerateError::NoKey) };
    let name = matches.get_one::<String>("name").map_or("key-1", String::as_str);
    check_name(name)?;
    let mut seed = [0; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut seed)?;
    let out = matches.get_one::<String>("out").map(PathBuf::from);
    if matches.get_flag("ed25519") {
        return ed25519(name, &seed, out.as_deref());
    }
    let block = block(name, &format!("secret = \"{}\"", base64url::encode(&seed)));
    let Some(path) = out else { return Ok(Generated { stdout: block, note: None }) };
    write_secret(&path, &block)?;
    let note = Some(format!("the key {name:?} is in {}", path.display()));
    Ok(Generated { stdout: String::new(), note })
}

fn ed25519(name: &str, seed: &[u8; 32], out: Option<&Path>) -> Result<Generated, GenerateError> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| GenerateError::NoKey)?;
    let public = pair.public_key().as_ref().try_into().map_err(|_| GenerateError::NoKey)?;
    let block = block(name, &format!("ed25519 = \"\"\"\n{}\"\"\"", public_pem(&public)));
    let private = private_pem(seed);
    let Some(path) = out else {
        let stdout = format!("{private}\n{block}");
        let note = "the private key comes first and is for whoever makes tokens; the block is for \
                    the relay";
        return Ok(Generated { stdout, note: Some(note.to_owned()) });
    };
    write_secret(path, &private)?;
    let note = format!("the private key is in {}; the block is for the relay", path.display());
    Ok(Generated { stdout: block, note: Some(note) })
}

/// A name that was checked holds no character that TOML would want escaped but these two.
fn block(name: &str, value: &str) -> String {
    let name = name.replace('\\', "\\\\").replace('"', "\\\"");
    format!("[[key]]\nname = \"{name}\"\n{value}\n")
}

/// Into a new file that only its owner can read.
fn write_secret(path: &Path, text: &str) -> Result<(), GenerateError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| GenerateError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys_file::parse;

    fn generate(arguments: &[&str]) -> Result<Generated, String> {
        let all = ["keys", "generate"].iter().chain(arguments);
        let matches = command().try_get_matches_from(all).unwrap();
        run(&matches).map_err(|error| error.to_string())
    }

    #[test]
    fn a_secret_is_long_random_and_readable_as_a_file_of_keys() {
        let one = generate(&["--name", "we\"b\\"]).unwrap().stdout;
        let two = generate(&["--name", "web"]).unwrap().stdout;
        let secret = |text: &str| text.lines().last().unwrap().to_owned();
        assert_ne!(secret(&one), secret(&two));
        assert_eq!(parse(&format!("{one}{two}")).unwrap().len(), 2);
    }

    #[test]
    fn the_public_half_of_a_pair_is_for_the_relay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("private.pem");
        let path = path.to_str().unwrap();
        let generated = generate(&["--ed25519", "--out", path]).unwrap();
        assert_eq!(parse(&generated.stdout).unwrap().len(), 1);
        let private = std::fs::read_to_string(path).unwrap();
        assert!(private.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{private}");
        let again = generate(&["--out", path]).unwrap_err();
        assert!(again.starts_with(&format!("--out: {path} cannot be written: ")), "{again}");
        assert_eq!(std::fs::read_to_string(path).unwrap(), private);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let both = generate(&["--ed25519"]).unwrap().stdout;
        let at = both.find("[[key]]").unwrap();
        assert!(both[..at].contains("PRIVATE KEY") && !both[at..].contains("PRIVATE KEY"));
    }

    #[test]
    fn a_name_that_no_key_can_have_is_refused() {
        for name in ["", "a b", "a:b", "invitation"] {
            assert!(generate(&["--name", name]).unwrap_err().starts_with("--name: "), "{name}");
        }
    }
}
