//! Facts of a certificate that TLS itself does not ask about: when it is valid, the kind of its key, its names.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY};
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

/// Longest validity of a certificate that browsers accept by its hash (WebTransport, section 5.7, "custom
/// certificate requirements").
const MAX_PINNED_VALIDITY: Duration = Duration::from_secs(14 * 24 * 3_600);

/// A relay's own certificate, as far as this relay looks into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf {
    /// Beginning of its validity.
    pub(super) not_before: SystemTime,
    /// End of its validity.
    pub(super) not_after: SystemTime,
    /// Whether its key is one of ECDSA on P-256.
    is_p256: bool,
    /// The first DNS name that it is good for, `localhost` and wildcards apart.
    pub(super) name: Option<String>,
}

impl Leaf {
    /// Reads a certificate; `None`, if it is none.
    pub(super) fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let key = &certificate.public_key().algorithm;
        let curve = key.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
        let names = certificate.subject_alternative_name().ok().flatten();
        let mut names = names.into_iter().flat_map(|names| &names.value.general_names);
        let name = names.find_map(|name| {
            let GeneralName::DNSName(name) = name else { return None };
            let is_one = !name.contains('*') && *name != "localhost";
            is_one.then(|| (*name).to_owned())
        });
        Some(Self {
            not_before: system_time(certificate.validity().not_before),
            not_after: system_time(certificate.validity().not_after),
            is_p256: key.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY && curve == Some(OID_EC_P256),
            name,
        })
    }

    /// Whether browsers accept it by its hash: a key of ECDSA on P-256, valid for at most 14 days.
    pub(super) fn is_pinnable(&self) -> bool {
        let validity = self.not_after.duration_since(self.not_before);
        self.is_p256 && validity.is_ok_and(|validity| validity <= MAX_PINNED_VALIDITY)
    }
}

/// Times before 1970 count as 1970: they are all past.
fn system_time(time: ASN1Time) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};

    fn leaf(algorithm: &'static SignatureAlgorithm, validity: Duration, names: &[&str]) -> Leaf {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2026, 11, 30);
        parameters.not_after = parameters.not_before + validity;
        let key = KeyPair::generate_for(algorithm).unwrap();
        Leaf::read(parameters.self_signed(&key).unwrap().der()).unwrap()
    }

    #[test]
    fn browsers_pin_short_certificates_of_one_curve() {
        let (p256, p384) = (&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384);
        let day = Duration::from_secs(24 * 3_600);
        assert!(leaf(p256, 14 * day, &[]).is_pinnable());
        assert!(!leaf(p256, 14 * day + Duration::from_secs(1), &[]).is_pinnable());
        assert!(!leaf(p384, day, &[]).is_pinnable());
        assert!(!leaf(&rcgen::PKCS_ED25519, day, &[]).is_pinnable());
    }

    #[test]
    fn validity_and_name_are_those_of_the_certificate() {
        let names =
            ["localhost", "10.0.0.1", "*.example.org", "fra-1.example.org", "b.example.org"];
        let leaf = leaf(&rcgen::PKCS_ED25519, Duration::from_secs(60), &names);
        assert_eq!(leaf.not_before, UNIX_EPOCH + Duration::from_secs(1_795_996_800));
        assert_eq!(leaf.not_after, leaf.not_before + Duration::from_secs(60));
        assert_eq!(leaf.name.as_deref(), Some("fra-1.example.org"));
        assert_eq!(Leaf::read(&CertificateDer::from(&b"no certificate"[..])), None);
    }
}
