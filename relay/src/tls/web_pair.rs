//! Self-signed certificates for browsers, which accept one by its hash only if it is of P-256 and valid for at
//! most 14 days: the present one and the next, whose hash is published long before it is shown. A plain
//! state machine; time comes in as a parameter.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::TlsError;
use super::identity::{TlsIdentity, parameters};
use super::leaf::Leaf;
use crate::config::Fingerprint;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Validity before the moment of making: browsers with a clock that is slow accept it too.
const BACKDATED: Duration = Duration::from_secs(12 * 3_600);
/// Validity from the moment of making. With [`BACKDATED`] 13 days and 20 hours: below the 14 days that
/// browsers allow by any way of counting.
const VALID: Duration = Duration::from_secs((13 * 24 + 8) * 3_600);
/// Time that a certificate waits as the next one, and then again the time that it is shown.
const TURN: Duration = Duration::from_secs(6 * 24 * 3_600);

// A certificate is shown until two turns after it was made. Pages opened a moment before still dial with
// its hash, and clocks may be fast.
const _: () = assert!(VALID.as_secs() >= 2 * TURN.as_secs() + DAY.as_secs());
const _: () =
    assert!((BACKDATED.as_secs() + VALID.as_secs()) < 14 * DAY.as_secs() - HOUR.as_secs());

/// The present certificate and the next.
#[derive(Debug, Clone)]
pub(super) struct WebPair {
    present: WebCertificate,
    next: WebCertificate,
}

/// One certificate for browsers.
#[derive(Debug, Clone)]
struct WebCertificate {
    identity: TlsIdentity,
    made: SystemTime,
    not_after: SystemTime,
}

/// Step of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Both are good.
    Stay,
    /// The next one becomes the present one.
    Advance,
    /// Neither can be shown for long: the relay was off, or the clock was wrong.
    Renew,
}

/// The step that is due, by the times at which present and next were made.
fn step(present: SystemTime, next: SystemTime, now: SystemTime) -> Step {
    let age = |made: SystemTime| now.duration_since(made);
    match (age(present), age(next)) {
        // Made in the future: the clock has been put back, and browsers may not accept them yet.
        (Err(_), _) | (_, Err(_)) => Step::Renew,
        (Ok(_), Ok(next)) if next >= 2 * TURN => Step::Renew,
        (Ok(_), Ok(next)) if next >= TURN => Step::Advance,
        (Ok(present), Ok(_)) if present >= 2 * TURN => Step::Advance,
        (Ok(_), Ok(_)) => Step::Stay,
    }
}

impl WebPair {
    /// Two new ones, for a relay of that name.
    ///
    /// # Errors
    /// [`TlsError::SelfSigned`].
    pub(super) fn fresh(name: &str, now: SystemTime) -> Result<Self, TlsError> {
        let (present, next) = (WebCertificate::make(name, now)?, WebCertificate::make(name, now)?);
        Ok(Self { present, next })
    }

    /// The pair that takes this one's place at `now`; `None` while this one is good.
    ///
    /// # Errors
    /// [`TlsError::SelfSigned`].
    pub(super) fn successor(&self, name: &str, now: SystemTime) -> Result<Option<Self>, TlsError> {
        match step(self.present.made, self.next.made, now) {
            Step::Stay => Ok(None),
            Step::Advance => {
                let (present, next) = (self.next.clone(), WebCertificate::make(name, now)?);
                Ok(Some(Self { present, next }))
            }
            Step::Renew => Self::fresh(name, now).map(Some),
        }
    }

    /// Whether the other pair was made later.
    pub(super) fn is_older_than(&self, other: &Self) -> bool {
        self.next.made < other.next.made
    }

    /// The present one.
    pub(super) const fn present(&self) -> &TlsIdentity {
        &self.present.identity
    }

    /// End of the present one's validity.
    pub(super) const fn not_after(&self) -> SystemTime {
        self.present.not_after
    }

    /// Hashes of the present one and the next.
    pub(super) fn hashes(&self) -> Vec<Fingerprint> {
        vec![self.present.identity.fingerprint(), self.next.identity.fingerprint()]
    }

    /// Both with their keys as PEM, the present one first.
    pub(super) fn to_pem(&self) -> String {
        self.present.identity.to_pem() + &self.next.identity.to_pem()
    }

    /// Reads what [`Self::to_pem`] has written; `None`, if it is anything else.
    pub(super) fn from_pem(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        let chain: Vec<_> = CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().ok()?;
        let keys: Vec<_> = PrivateKeyDer::pem_slice_iter(text).collect::<Result<_, _>>().ok()?;
        let [present, next] = <[CertificateDer<'static>; 2]>::try_from(chain).ok()?;
        let [present_key, next_key] = <[PrivateKeyDer<'static>; 2]>::try_from(keys).ok()?;
        let present = WebCertificate::read(present, present_key)?;
        Some(Self { present, next: WebCertificate::read(next, next_key)? })
    }
}

impl WebCertificate {
    fn make(name: &str, now: SystemTime) -> Result<Self, TlsError> {
        // Whole seconds, as a certificate has them: what is read back is equal.
        let unix = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let now = UNIX_EPOCH + Duration::from_secs(unix);
        let mut parameters = parameters(name)?;
        let made = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(unix);
        parameters.not_before = made - BACKDATED;
        parameters.not_after = made + VALID;
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let identity = TlsIdentity::signed_by_itself(&parameters, &key)?;
        Ok(Self { identity, made: now, not_after: now + VALID })
    }

    fn read(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> Option<Self> {
        let leaf = Leaf::read(&certificate).filter(Leaf::is_pinnable)?;
        let identity = TlsIdentity::new(vec![certificate], key);
        identity.certified().ok()?;
        Some(Self { identity, made: leaf.not_before + BACKDATED, not_after: leaf.not_after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADE: SystemTime = UNIX_EPOCH;

    fn at(days: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000) + days as u32 * DAY
    }

    #[test]
    fn the_next_one_waits_a_turn_and_is_shown_a_turn() {
        let mut pair = WebPair::fresh("relay", at(0)).unwrap();
        let (mut turns, mut published) = (0, pair.hashes());
        for hour in 1..100 * 24 {
            let now = at(0) + hour * HOUR;
            let shown_before = pair.present().fingerprint();
            if let Some(successor) = pair.successor("relay", now).unwrap() {
                turns += 1;
                pair = successor;
                let shown = pair.present().fingerprint();
                assert_ne!(shown, shown_before);
                assert!(published.contains(&shown), "shown only after its hash was published");
                published = pair.hashes();
            }
            let leaf = Leaf::read(&pair.present().chain()[0]).unwrap();
            assert!(leaf.is_pinnable());
            assert!(leaf.not_before + BACKDATED <= now && now + DAY <= leaf.not_after);
            assert_eq!(leaf.not_after, pair.not_after());
        }
        assert_eq!(turns, 99 / 6, "one in six days");
    }

    #[test]
    fn a_relay_that_was_off_goes_on_with_what_is_still_good() {
        let pair = WebPair::fresh("relay", at(0)).unwrap();
        assert!(pair.successor("relay", at(5)).unwrap().is_none());
        let later = pair.successor("relay", at(11)).unwrap().unwrap();
        assert_eq!(later.hashes()[0], pair.hashes()[1], "the next one has become the present one");
        assert_ne!(later.hashes()[1], pair.hashes()[1]);
        let much_later = pair.successor("relay", at(12)).unwrap().unwrap();
        assert!(!much_later.hashes().iter().any(|hash| pair.hashes().contains(hash)));
        assert!(much_later.successor("relay", at(12)).unwrap().is_none(), "one step is enough");
    }

    #[test]
    fn a_clock_that_was_put_back_takes_new_ones() {
        assert_eq!(step(MADE + DAY, MADE + DAY, MADE), Step::Renew);
        assert_eq!(step(MADE, MADE + DAY, MADE), Step::Renew);
        assert_eq!(step(MADE, MADE, MADE), Step::Stay);
        // The present one first: two of different age, as after each turn.
        assert_eq!(step(MADE, MADE + TURN + DAY, MADE + 2 * TURN), Step::Advance);
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let pair = WebPair::fresh("relay", at(3)).unwrap();
        let read = WebPair::from_pem(&pair.to_pem()).unwrap();
        assert_eq!(read.hashes(), pair.hashes());
        assert_eq!((read.present.made, read.next.made), (pair.present.made, pair.next.made));
        assert_eq!(read.not_after(), pair.not_after());
        let text = pair.to_pem();
        let half = &text[..text.len() / 2];
        for damaged in ["", "no PEM", half, &text.replace("CERTIFICATE", "NOTHING")] {
            assert!(WebPair::from_pem(damaged).is_none(), "{damaged}");
        }
        // Keys that belong to the other certificate.
        let swapped = WebPair { present: pair.next.clone(), next: pair.present.clone() };
        let lines = |pair: &WebPair, tag: &str| -> String {
            let all = pem::parse_many(pair.to_pem()).unwrap();
            all.iter().filter(|pem| pem.tag() == tag).map(pem::encode).collect()
        };
        let mixed = lines(&pair, "CERTIFICATE") + &lines(&swapped, "PRIVATE KEY");
        assert!(WebPair::from_pem(&mixed).is_none());
    }
}
