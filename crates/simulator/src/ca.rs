//! The certificate authority that clients are told to trust, and the leaf they are shown.
//!
//! Promises: the authority in a directory stays the same over restarts; the leaf is made anew when the names change or
//! its end comes near. Relies on the clock that is handed in. Does not know what is served behind the certificate.

use std::io;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, date_time_ymd,
};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};

use crate::identity::{Readers, read_if_there, write_whole};

const DAY_MS: i64 = 86_400_000;
/// Ten years: nobody wants to hand out a new CA file because a simulator grew old.
const CA_DAYS: i64 = 3650;
/// Below the 398 days that the strictest clients allow a leaf.
const LEAF_DAYS: i64 = 390;
/// A leaf with less than this left is replaced at start.
const LEAF_DAYS_LEFT_MIN: i64 = 30;
/// Clients' clocks may be behind ours; twice this, as certificates count in whole days.
const BACKDATE_DAYS: i64 = 2;

pub(crate) const CA_FILE: &str = "ca.pem";
const CA_KEY_FILE: &str = "ca-key.pem";
const LEAF_FILE: &str = "leaf.json";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaError {
    #[error("read or write the certificate authority's files")]
    File(#[source] io::Error),
    #[error("make a certificate")]
    Make(#[source] rcgen::Error),
    #[error("load the certificate into TLS")]
    Tls(#[source] rustls::Error),
    #[error("read the stored leaf certificate, remove leaf.json to have a new one made")]
    Leaf,
}

/// The authority: what clients need (`pem`) and what signs leaves.
pub(crate) struct Authority {
    pub(crate) pem: String,
    key: KeyPair,
}

/// A leaf and what it was made for. Kept as one file, so that key and certificate cannot come apart.
#[derive(Serialize, Deserialize)]
struct Leaf {
    names: Vec<String>,
    expires_ms: i64,
    certificate_pem: String,
    key_pem: String,
}

impl Authority {
    /// The authority kept in `dir`, made on first use; without a directory a fresh one.
    pub(crate) fn open(dir: Option<&Path>, now_ms: i64) -> Result<Self, CaError> {
        let Some(dir) = dir else { return Self::make(now_ms) };
        let key = read_if_there(&dir.join(CA_KEY_FILE)).map_err(CaError::File)?;
        let pem = read_if_there(&dir.join(CA_FILE)).map_err(CaError::File)?;
        if let (Some(key), Some(pem)) = (key, pem) {
            return Ok(Self { pem, key: KeyPair::from_pem(&key).map_err(CaError::Make)? });
        }
        let made = Self::make(now_ms)?;
        // The key first: a certificate without its key would be trusted by clients and of no use to us.
        write_whole(&dir.join(CA_KEY_FILE), made.key.serialize_pem().as_bytes(), Readers::Owner)
            .map_err(CaError::File)?;
        write_whole(&dir.join(CA_FILE), made.pem.as_bytes(), Readers::Everyone).map_err(CaError::File)?;
        Ok(made)
    }

    fn make(now_ms: i64) -> Result<Self, CaError> {
        let key = KeyPair::generate().map_err(CaError::Make)?;
        let certificate = authority_params(now_ms).self_signed(&key).map_err(CaError::Make)?;
        Ok(Self { pem: certificate.pem(), key })
    }

    /// TLS 1.2 and 1.3 (Python's device SDK speaks only 1.2) with a leaf for `names`.
    pub(crate) fn server_config(
        &self,
        dir: Option<&Path>,
        names: &[String],
        now_ms: i64,
    ) -> Result<ServerConfig, CaError> {
        let leaf = self.leaf(dir, names, now_ms)?;
        let chain = vec![CertificateDer::from_pem_slice(leaf.certificate_pem.as_bytes()).map_err(|_| CaError::Leaf)?];
        let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).map_err(|_| CaError::Leaf)?;
        ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(CaError::Tls)
    }

    fn leaf(&self, dir: Option<&Path>, names: &[String], now_ms: i64) -> Result<Leaf, CaError> {
        let file = dir.map(|dir| dir.join(LEAF_FILE));
        if let Some(file) = &file
            && let Some(text) = read_if_there(file).map_err(CaError::File)?
            && let Ok(kept) = serde_json::from_str::<Leaf>(&text)
            && kept.serves(names, now_ms)
        {
            return Ok(kept);
        }
        let made = self.make_leaf(names, now_ms)?;
        if let Some(file) = &file {
            let text = serde_json::to_vec(&made).expect("strings and numbers always serialise");
            write_whole(file, &text, Readers::Owner).map_err(CaError::File)?;
        }
        Ok(made)
    }

    fn make_leaf(&self, names: &[String], now_ms: i64) -> Result<Leaf, CaError> {
        let expires_ms = now_ms + LEAF_DAYS * DAY_MS;
        let key = KeyPair::generate().map_err(CaError::Make)?;
        let issuer_params = authority_params(now_ms);
        let issuer = Issuer::from_params(&issuer_params, &self.key);
        let params = leaf_params(names, now_ms, expires_ms)?;
        let certificate_pem = params.signed_by(&key, &issuer).map_err(CaError::Make)?.pem();
        Ok(Leaf { names: names.to_vec(), expires_ms, certificate_pem, key_pem: key.serialize_pem() })
    }
}

impl Leaf {
    fn serves(&self, names: &[String], now_ms: i64) -> bool {
        self.names == names && self.expires_ms - now_ms > LEAF_DAYS_LEFT_MIN * DAY_MS
    }
}

/// The same for every start apart from the dates, so that a leaf made later still names its issuer.
fn authority_params(now_ms: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "longhaul azure-sim CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let (year, month, day) = civil(now_ms - BACKDATE_DAYS * DAY_MS);
    params.not_before = date_time_ymd(year, month, day);
    let (year, month, day) = civil(now_ms + CA_DAYS * DAY_MS);
    params.not_after = date_time_ymd(year, month, day);
    params
}

fn leaf_params(names: &[String], now_ms: i64, expires_ms: i64) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::new(names.to_vec()).map_err(CaError::Make)?;
    params.distinguished_name.push(DnType::CommonName, "longhaul azure-sim");
    for address in [std::net::Ipv4Addr::LOCALHOST.into(), std::net::Ipv6Addr::LOCALHOST.into()] {
        params.subject_alt_names.push(SanType::IpAddress(address));
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let (year, month, day) = civil(now_ms - BACKDATE_DAYS * DAY_MS);
    params.not_before = date_time_ymd(year, month, day);
    let (year, month, day) = civil(expires_ms);
    params.not_after = date_time_ymd(year, month, day);
    Ok(params)
}

/// The calendar day of a point in time. Certificates of a simulator need no finer grain.
fn civil(at_ms: i64) -> (i32, u8, u8) {
    let day = crate::identity::timestamp(at_ms).to_zoned(jiff::tz::TimeZone::UTC).date();
    (day.year().into(), day.month().unsigned_abs(), day.day().unsigned_abs())
}

#[cfg(test)]
mod tests;
