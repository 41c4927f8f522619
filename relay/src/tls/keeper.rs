//! Keeper of a relay's certificates: reads them at the start and again when their files change, makes the
//! ones for browsers and renews them. What cannot be used leaves the old ones in place.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::error::TlsError;
use super::file_watch::{FileWatch, Stamp};
use super::identity::TlsIdentity;
use super::shown::{Certificates, Shown};
use super::web_pair::WebPair;
use crate::config::{CertificateSource, Config, Fingerprint};
use crate::identity::{IdentityError, Readers, keep, replace};

/// The file of the certificates for browsers and their keys, in the directory of the self-signed one.
const WEB_FILE: &str = "web-certificates.pem";

/// One of a relay's certificates, by who sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The relay's own: participants, child relays, visitors over HTTPS, and, if it is from files, browsers.
    Relay,
    /// The one that a parent is shown (`--trunk-cert`).
    Trunk,
    /// The self-signed one for browsers.
    Web,
}

/// Reason to look after certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A while has passed: files are read if they have changed and have settled.
    Time,
    /// Somebody asks for it: files are read in any case.
    Order,
}

/// Outcome of reading or renewing one certificate.
#[derive(Debug)]
pub struct Outcome {
    /// The certificate.
    pub subject: Subject,
    /// SHA-256 of the new one, or why the old one stays.
    pub result: Result<Fingerprint, TlsError>,
}

/// End of the validity of each certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// The relay's own.
    pub relay: Option<SystemTime>,
    /// The one that a parent is shown, if there is any.
    pub trunk: Option<SystemTime>,
    /// The one for browsers.
    pub web: Option<SystemTime>,
}

/// Keeper of the certificates of one relay. `handle_*` may read and write files.
#[derive(Debug)]
pub struct CertificateKeeper {
    name: String,
    relay: Source,
    /// `--trunk-cert` and `--trunk-key`.
    trunk: Option<Files>,
    /// The self-signed ones for browsers, where the relay's own is self-signed too.
    web: Option<KeptPair>,
    certificates: Certificates,
}

#[derive(Debug)]
enum Source {
    Files(Files),
    /// Made once, and kept as it is.
    SelfSigned(TlsIdentity),
}

/// A certificate from files.
#[derive(Debug)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
    watch: FileWatch,
    identity: TlsIdentity,
}

/// A pair for browsers, in memory or in a file, which several relays of one user may share.
#[derive(Debug)]
struct KeptPair {
    file: Option<KeptFile>,
    pair: WebPair,
}

#[derive(Debug)]
struct KeptFile {
    path: PathBuf,
    /// Its state when it was last read or written.
    known: Stamp,
    /// Whether the pair in memory is newer, since the disk has not taken it.
    is_behind: bool,
}

impl CertificateKeeper {
    /// Reads and makes the certificates that the configuration asks for.
    ///
    /// # Errors
    /// [`TlsError`], naming the file that cannot be used.
    pub fn new(config: &Config, now: SystemTime) -> Result<Self, TlsError> {
        let name = config.name.as_str();
        let (relay, web) = match &config.certificate {
            CertificateSource::Files { cert, key } => {
                (Source::Files(Files::open(cert, key)?), None)
            }
            CertificateSource::SelfSigned { kept_in } => {
                let identity = TlsIdentity::from_config(config)?;
                let web = KeptPair::open(kept_in.as_deref(), name, now)?;
                (Source::SelfSigned(identity), Some(web))
            }
        };
        let trunk = config.trunk_certificate.as_ref();
        let trunk = trunk.map(|(cert, key)| Files::open(cert, key)).transpose()?;
        let shown = shown(&relay, trunk.as_ref(), web.as_ref())?;
        let certificates = Certificates::new(shown);
        Ok(Self { name: name.to_owned(), relay, trunk, web, certificates })
    }

    /// The certificates as they are shown at each moment.
    #[must_use]
    pub const fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// A DNS name that the relay's own certificate is good for, if it is from files.
    #[must_use]
    pub fn dns_name(&self) -> Option<String> {
        match &self.relay {
            Source::Files(files) => files.identity.leaf()?.name,
            Source::SelfSigned(_) => None,
        }
    }

    /// End of the validity of each.
    #[must_use]
    pub fn expiry(&self) -> Expiry {
        let not_after = |identity: &TlsIdentity| Some(identity.leaf()?.not_after);
        let relay = not_after(self.relay.identity());
        let trunk = match (&self.trunk, &self.relay) {
            (Some(files), _) => not_after(&files.identity),
            (None, Source::Files(_)) => relay,
            (None, Source::SelfSigned(_)) => None,
        };
        let web = self.web.as_ref().map_or(relay, |web| Some(web.pair.not_after()));
        Expiry { relay, trunk, web }
    }

    /// Looks after all of them. New ones hold for handshakes from now on.
    pub fn handle_look(&mut self, now: SystemTime, reason: Reason) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let mut note = |subject, result: Option<Result<Fingerprint, TlsError>>| {
            outcomes.extend(result.map(|result| Outcome { subject, result }));
        };
        if let Source::Files(files) = &mut self.relay {
            note(Subject::Relay, files.handle_look(now, reason));
        }
        if let Some(files) = &mut self.trunk {
            note(Subject::Trunk, files.handle_look(now, reason));
        }
        if let Some(web) = &mut self.web {
            note(Subject::Web, web.handle_look(&self.name, now));
        }
        // A pair that could not be kept is shown all the same.
        if !outcomes.is_empty() {
            // Each identity has been checked when it was taken.
            if let Ok(shown) = shown(&self.relay, self.trunk.as_ref(), self.web.as_ref()) {
                self.certificates.replace(shown);
            }
        }
        outcomes
    }
}

/// Distribution of the certificates to those who see them.
fn shown(relay: &Source, trunk: Option<&Files>, web: Option<&KeptPair>) -> Result<Shown, TlsError> {
    let own = relay.identity().certified()?;
    let web_key = web.map(|web| web.pair.present().certified()).transpose()?;
    let hashes = match (web, relay.identity().leaf()) {
        (Some(web), _) => web.pair.hashes(),
        // A private set-up that renews its own certificate so often can be pinned.
        (None, Some(leaf)) if leaf.is_pinnable() => vec![relay.identity().fingerprint()],
        (None, Some(_) | None) => Vec::new(),
    };
    // An authority can have signed either of those from files; a self-signed one proves nothing.
    let trunk = match (trunk, relay) {
        (Some(files), _) => Some(files.identity.certified()?),
        (None, Source::Files(_)) => Some(own.clone()),
        (None, Source::SelfSigned(_)) => None,
    };
    Ok(Shown { web: web_key.unwrap_or_else(|| own.clone()), relay: own, trunk, hashes })
}

impl Source {
    const fn identity(&self) -> &TlsIdentity {
        match self {
            Self::Files(files) => &files.identity,
            Self::SelfSigned(identity) => identity,
        }
    }
}

impl Files {
    fn open(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        // From before the reading: a change meanwhile is one.
        let watch = FileWatch::new(Stamp::of(&[cert, key]));
        let identity = TlsIdentity::from_files(cert, key)?;
        identity.certified()?;
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), watch, identity })
    }

    fn handle_look(
        &mut self,
        now: SystemTime,
        reason: Reason,
    ) -> Option<Result<Fingerprint, TlsError>> {
        let stamp = Stamp::of(&[&self.cert, &self.key]);
        let is_due = match reason {
            Reason::Time => self.watch.handle_look(stamp),
            Reason::Order => {
                self.watch.handle_read(stamp);
                true
            }
        };
        is_due.then(|| self.read(now))
    }

    fn read(&mut self, now: SystemTime) -> Result<Fingerprint, TlsError> {
        let identity = TlsIdentity::from_files(&self.cert, &self.key)?;
        identity.certified()?;
        if identity.leaf().is_some_and(|leaf| leaf.not_after <= now) {
            return Err(TlsError::File {
                path: self.cert.clone(),
                what: "certificate",
                why: "it has expired".to_owned(),
            });
        }
        self.identity = identity;
        Ok(self.identity.fingerprint())
    }
}

impl KeptPair {
    fn open(directory: Option<&Path>, name: &str, now: SystemTime) -> Result<Self, TlsError> {
        let fresh = WebPair::fresh(name, now)?;
        let Some(directory) = directory else { return Ok(Self { file: None, pair: fresh }) };
        let path = directory.join(WEB_FILE);
        let text = keep(&path, Readers::OnlyUs, || fresh.to_pem())?;
        let known = Stamp::of(&[&path]);
        let pair = WebPair::from_pem(&text).ok_or_else(|| IdentityError::Damaged {
            path: path.clone(),
            what: "two certificates of P-256 for 14 days and their keys",
        })?;
        let mut kept = Self { file: Some(KeptFile { path, known, is_behind: false }), pair };
        kept.renew(name, now)?;
        Ok(kept)
    }

    fn handle_look(
        &mut self,
        name: &str,
        now: SystemTime,
    ) -> Option<Result<Fingerprint, TlsError>> {
        let before = self.pair.hashes();
        self.take_from_file();
        match self.renew(name, now) {
            Err(error) => Some(Err(error)),
            Ok(()) if self.pair.hashes() != before => Some(Ok(self.pair.present().fingerprint())),
            Ok(()) => None,
        }
    }

    /// Takes over what another relay that shares the file has renewed.
    fn take_from_file(&mut self) {
        let Some(file) = &mut self.file else { return };
        let now = Stamp::of(&[&file.path]);
        if now == file.known {
            return;
        }
        file.known = now;
        let text = std::fs::read_to_string(&file.path);
        // Whatever else may stand there, the pair in memory goes on, and takes its place.
        match text.ok().and_then(|text| WebPair::from_pem(&text)) {
            Some(pair) if !pair.is_older_than(&self.pair) => {
                (self.pair, file.is_behind) = (pair, false);
            }
            Some(_) | None => file.is_behind = true,
        }
    }

    fn renew(&mut self, name: &str, now: SystemTime) -> Result<(), TlsError> {
        if let Some(successor) = self.pair.successor(name, now)? {
            // It holds even if it cannot be kept: browsers must be shown one that they accept.
            self.pair = successor;
            return self.write();
        }
        if self.file.as_ref().is_some_and(|file| file.is_behind) {
            // That it fails has been said before.
            let _ = self.write();
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), TlsError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.is_behind = true;
        replace(&file.path, Readers::OnlyUs, &self.pair.to_pem())?;
        (file.known, file.is_behind) = (Stamp::of(&[&file.path]), false);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use rcgen::KeyPair;

    use super::*;
    use crate::tls::identity::parameters;

    const DAY: Duration = Duration::from_secs(24 * 3_600);

    /// Files of a certificate, in a directory of their own.
    struct Given {
        directory: tempfile::TempDir,
        now: SystemTime,
    }

    impl Given {
        fn new() -> Self {
            let unix = Duration::from_secs(1_795_996_800);
            Self { directory: tempfile::tempdir().unwrap(), now: SystemTime::UNIX_EPOCH + unix }
        }

        fn path(&self, name: &str) -> String {
            self.directory.path().join(name).display().to_string()
        }

        /// A certificate of P-256 that is valid for so many days, yesterday's first.
        fn identity(&self, days: u32) -> TlsIdentity {
            let mut parameters = parameters("relay.example.org").unwrap();
            parameters.not_before = rcgen::date_time_ymd(2026, 11, 29);
            parameters.not_after = parameters.not_before + days * DAY;
            let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
            TlsIdentity::signed_by_itself(&parameters, &key).unwrap()
        }

        fn write(&self, name: &str, identity: &TlsIdentity) {
            let pem = identity.to_pem();
            let (cert, key) = pem.split_at(pem.find("-----BEGIN PRIVATE KEY").unwrap());
            fs::write(self.path(&format!("{name}.pem")), cert).unwrap();
            fs::write(self.path(&format!("{name}.key")), key).unwrap();
        }

        fn keeper(&self, arguments: &[&str]) -> Result<CertificateKeeper, TlsError> {
            let arguments = [&["relay", "--keys=k"], arguments].concat();
            let config = Config::from_args(arguments, &|_| None).unwrap();
            CertificateKeeper::new(&config, self.now)
        }

        fn with_files(&self) -> CertificateKeeper {
            let (cert, key) = (self.path("relay.pem"), self.path("relay.key"));
            self.keeper(&["--cert", &cert, "--key", &key]).unwrap()
        }

        fn kept(&self) -> CertificateKeeper {
            self.keeper(&["--dev", "--data", &self.path("data")]).unwrap()
        }
    }

    /// Outcomes of a look, by subject, with the errors as text.
    fn look(
        keeper: &mut CertificateKeeper,
        now: SystemTime,
        reason: Reason,
    ) -> Vec<(Subject, Result<Fingerprint, String>)> {
        let outcomes = keeper.handle_look(now, reason).into_iter();
        outcomes
            .map(|outcome| (outcome.subject, outcome.result.map_err(|error| error.to_string())))
            .collect()
    }

    #[test]
    fn a_replaced_certificate_is_taken_once_it_has_settled() {
        let given = Given::new();
        let (first, second) = (given.identity(90), given.identity(90));
        given.write("relay", &first);
        let mut keeper = given.with_files();
        let shown = keeper.certificates().clone();
        assert!(look(&mut keeper, given.now, Reason::Time).is_empty());
        given.write("relay", &second);
        assert!(look(&mut keeper, given.now, Reason::Time).is_empty(), "it may not be whole yet");
        assert_eq!(shown.fingerprint(), first.fingerprint());
        let outcomes = look(&mut keeper, given.now, Reason::Time);
        assert_eq!(outcomes, [(Subject::Relay, Ok(second.fingerprint()))]);
        assert_eq!(shown.fingerprint(), second.fingerprint());
        assert!(look(&mut keeper, given.now, Reason::Time).is_empty());
        given.write("relay", &first);
        let outcomes = look(&mut keeper, given.now, Reason::Order);
        assert_eq!(outcomes, [(Subject::Relay, Ok(first.fingerprint()))], "at once, on demand");
        assert_eq!(keeper.dns_name().as_deref(), Some("relay.example.org"));
    }

    #[test]
    fn a_broken_replacement_leaves_the_old_one_and_is_told_once() {
        let given = Given::new();
        let first = given.identity(90);
        given.write("relay", &first);
        let mut keeper = given.with_files();
        let shown = keeper.certificates().clone();
        let fails = |keeper: &mut CertificateKeeper, why: &str| {
            assert!(look(keeper, given.now, Reason::Time).is_empty());
            let outcomes = look(keeper, given.now, Reason::Time);
            let [(Subject::Relay, Err(error))] = &outcomes[..] else { panic!("{outcomes:?}") };
            assert!(error.contains(why), "{error}");
            assert!(look(keeper, given.now, Reason::Time).is_empty(), "once");
            assert_eq!(shown.fingerprint(), first.fingerprint());
        };
        fs::write(given.path("relay.pem"), "no certificate").unwrap();
        fails(&mut keeper, "relay.pem has no usable certificate");
        given.write("relay", &given.identity(1));
        fails(&mut keeper, "it has expired");
        let key = fs::read(given.path("relay.key")).unwrap();
        given.write("relay", &given.identity(90));
        fs::write(given.path("relay.key"), key).unwrap();
        fails(&mut keeper, "cannot be used");
        fs::remove_file(given.path("relay.key")).unwrap();
        fails(&mut keeper, "relay.key has no usable private key");
        // And a good one is taken after all of these.
        let second = given.identity(90);
        given.write("relay", &second);
        look(&mut keeper, given.now, Reason::Order);
        assert_eq!(shown.fingerprint(), second.fingerprint());
    }

    #[test]
    fn hashes_are_published_where_browsers_take_them() {
        let given = Given::new();
        for (days, is_published) in [(90, false), (15, false), (14, true)] {
            let identity = given.identity(days);
            given.write("relay", &identity);
            let keeper = given.with_files();
            let hashes = keeper.certificates().web_hashes();
            let expected = if is_published { vec![identity.fingerprint()] } else { Vec::new() };
            assert_eq!(hashes, expected, "{days} days");
            assert_eq!(keeper.expiry().web, keeper.expiry().relay);
            assert_eq!(keeper.expiry().trunk, identity.leaf().map(|leaf| leaf.not_after));
        }
    }

    #[test]
    fn what_a_parent_is_shown_is_replaced_too() {
        let given = Given::new();
        given.write("trunk", &given.identity(90));
        let (cert, key) = (given.path("trunk.pem"), given.path("trunk.key"));
        let arguments = ["--dev", "--trunk-cert", &cert, "--trunk-key", &key];
        let mut keeper = given.keeper(&arguments).unwrap();
        let second = given.identity(60);
        given.write("trunk", &second);
        let outcomes = look(&mut keeper, given.now, Reason::Order);
        assert_eq!(outcomes, [(Subject::Trunk, Ok(second.fingerprint()))]);
        let shown = keeper.certificates().read(|shown| shown.trunk.clone()).unwrap();
        assert_eq!(shown.cert[..], second.chain()[..]);
        assert_eq!(keeper.expiry().trunk, second.leaf().map(|leaf| leaf.not_after));
        assert_eq!(given.kept().expiry().trunk, None, "a self-signed one is shown to no parent");
    }

    #[test]
    fn certificates_for_browsers_are_kept_and_renewed() {
        let given = Given::new();
        let mut keeper = given.kept();
        let shown = keeper.certificates().clone();
        let first = shown.web_hashes();
        assert_eq!(given.kept().certificates().web_hashes(), first, "a restart keeps them");
        assert!(look(&mut keeper, given.now + 5 * DAY, Reason::Order).is_empty());
        let outcomes = look(&mut keeper, given.now + 6 * DAY, Reason::Time);
        assert_eq!(outcomes, [(Subject::Web, Ok(first[1]))], "the next has become the present one");
        assert_eq!(shown.web_hashes()[0], first[1]);
        assert_eq!(shown.read(|shown| crate::tls::fingerprint(&shown.web.cert[0])), first[1]);
        // What is on the disk is the new pair, also for a relay that is started then.
        let later = Given { now: given.now + 6 * DAY, ..given };
        assert_eq!(later.kept().certificates().web_hashes(), shown.web_hashes());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let kept = fs::metadata(later.path("data/web-certificates.pem")).unwrap();
            assert_eq!(kept.permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn relays_that_share_a_directory_agree_on_what_browsers_are_shown() {
        let given = Given::new();
        let (mut one, mut other) = (given.kept(), given.kept());
        let then = given.now + 6 * DAY;
        look(&mut one, then, Reason::Time);
        look(&mut other, then, Reason::Time);
        let hashes = one.certificates().web_hashes();
        assert_eq!(other.certificates().web_hashes(), hashes);
        assert_ne!(hashes, given.kept().certificates().web_hashes(), "not yet valid then");
    }

    #[test]
    fn a_disk_that_takes_nothing_does_not_end_what_browsers_accept() {
        let given = Given::new();
        let mut keeper = given.kept();
        let first = keeper.certificates().web_hashes();
        let data = given.path("data");
        fs::rename(&data, given.path("gone")).unwrap();
        let outcomes = look(&mut keeper, given.now + 6 * DAY, Reason::Time);
        let [(Subject::Web, Err(error))] = &outcomes[..] else { panic!("{outcomes:?}") };
        assert!(error.contains("web-certificates.pem cannot be kept"), "{error}");
        let hashes = keeper.certificates().web_hashes();
        assert_eq!(hashes[0], first[1], "renewed in memory");
        fs::rename(given.path("gone"), &data).unwrap();
        assert!(look(&mut keeper, given.now + 6 * DAY, Reason::Time).is_empty());
        assert_eq!(keeper.certificates().web_hashes(), hashes);
        let restarted = Given { now: given.now + 6 * DAY, ..given };
        assert_eq!(restarted.kept().certificates().web_hashes(), hashes, "kept in the end");
    }

    #[test]
    fn a_damaged_file_is_named_and_not_replaced() {
        let given = Given::new();
        given.kept();
        fs::write(given.path("data/web-certificates.pem"), "what?").unwrap();
        let error =
            given.keeper(&["--dev", "--data", &given.path("data")]).unwrap_err().to_string();
        assert!(error.contains("web-certificates.pem holds no two certificates"), "{error}");
    }
}
