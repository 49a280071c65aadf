//! The certificate with which the server identifies itself in DTLS.
//!
//! It is self-signed, and each start of the process makes a new one. A client trusts it because the answer
//! to its offer, which it received over HTTP, contains the fingerprint (RFC 8122).

use std::fmt::Write as _;
use std::io;
use std::str::FromStr;

use dimpl::DtlsCertificate;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::pkcs8::EncodePrivateKey;
use sha2::{Digest, Sha256};
use x509_cert::TbsCertificate;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::der::asn1::{GeneralizedTime, UtcTime};
use x509_cert::der::{DateTime, Encode};
use x509_cert::ext::Extension;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{SubjectPublicKeyInfo, SubjectPublicKeyInfoRef};
use x509_cert::time::{Time, Validity};

/// The SHA-256 of a certificate in DER.
pub type Fingerprint = [u8; 32];

/// A certificate, its key and its fingerprint.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// As the DTLS library takes it.
    pub dtls: DtlsCertificate,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
}

/// A certificate without extensions whose issuer is its subject.
struct SelfSigned(Name);

impl Certificate {
    /// Makes a certificate.
    ///
    /// # Errors
    /// The system's error if it has no random numbers, or one that says what failed.
    pub fn generate() -> io::Result<Self> {
        let mut serial = [0; 16];
        getrandom::fill(&mut serial).map_err(io::Error::other)?;
        // Firefox takes two certificates of one issuer with the same serial number for an attack.
        let serial = SerialNumber::new(&serial).map_err(io::Error::other)?;
        let key = signing_key()?;
        Self::sign(serial, &key).map_err(io::Error::other)
    }

    fn sign(
        serial: SerialNumber,
        key: &SigningKey,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let public = SubjectPublicKeyInfo::from_key(key.verifying_key())?;
        let profile = SelfSigned(Name::from_str("CN=silvacast")?);
        let builder = CertificateBuilder::new(profile, serial, always()?, public)?;
        let certificate = builder.build::<_, DerSignature>(key)?.to_der()?;
        let private_key = key.to_pkcs8_der()?.as_bytes().to_vec();
        let fingerprint = fingerprint(&certificate);
        Ok(Self { dtls: DtlsCertificate { certificate, private_key }, fingerprint })
    }
}

impl BuilderProfile for SelfSigned {
    fn get_issuer(&self, subject: &Name) -> Name {
        subject.clone()
    }

    fn get_subject(&self) -> Name {
        self.0.clone()
    }

    fn build_extensions(
        &self,
        _: SubjectPublicKeyInfoRef<'_>,
        _: SubjectPublicKeyInfoRef<'_>,
        _: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        Ok(Vec::new())
    }
}

/// The fingerprint of a certificate.
pub(super) fn fingerprint(certificate: &[u8]) -> Fingerprint {
    Sha256::digest(certificate).into()
}

/// A fingerprint as SDP has it: `AB:CD:…`.
pub(super) fn written(fingerprint: &Fingerprint) -> String {
    let mut text = String::with_capacity(3 * fingerprint.len());
    for (at, byte) in fingerprint.iter().enumerate() {
        let colon = if at == 0 { "" } else { ":" };
        // Writing to a string cannot fail.
        let _ = write!(text, "{colon}{byte:02X}");
    }
    text
}

/// A random key.
fn signing_key() -> io::Result<SigningKey> {
    loop {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        // All but one of 2^32 numbers are keys.
        if let Ok(key) = SigningKey::from_slice(&bytes) {
            return Ok(key);
        }
    }
}

/// Any time: a station without a clock may be in 1970.
fn always() -> x509_cert::der::Result<Validity> {
    let begin = UtcTime::from_date_time(DateTime::new(1970, 1, 1, 0, 0, 0)?)?;
    let end = GeneralizedTime::from_date_time(DateTime::new(9999, 12, 31, 23, 59, 59)?);
    Ok(Validity::new(Time::UtcTime(begin), Time::GeneralTime(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_certificate_is_another_one() {
        let (one, other) = (Certificate::generate().unwrap(), Certificate::generate().unwrap());
        assert_ne!(one.fingerprint, other.fingerprint);
        assert_eq!(one.fingerprint, fingerprint(&one.dtls.certificate));
        let text = written(&one.fingerprint);
        assert_eq!((text.len(), text.split(':').count()), (95, 32));
    }
}
