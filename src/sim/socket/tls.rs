//! A throw-away certificate authority and server identity for simulated venues behind TLS.
//!
//! Generated anew for each run and never written to disk by this module; clients are told to trust it.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fmt;
use std::sync::Arc;

/// A generated authority and the identity of a server at `localhost` and `127.0.0.1`.
#[derive(Clone)]
pub struct TlsIdentity {
    config: Arc<ServerConfig>,
    ca_der: Vec<u8>,
    ca_pem: String,
}

/// Why no identity could be generated.
#[derive(Debug, thiserror::Error)]
pub enum TlsIdentityError {
    /// Key or certificate generation failed.
    #[error("cannot generate the simulated venue's certificate: {0}")]
    Generate(#[from] rcgen::Error),
    /// The TLS library refused key, certificate or protocol versions.
    #[error("cannot use the simulated venue's certificate: {0}")]
    Config(#[from] rustls::Error),
}

impl TlsIdentity {
    /// Generates authority, key and certificate (ECDSA P-256).
    pub fn generate() -> Result<Self, TlsIdentityError> {
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, "perpring simulated venues");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let ca_certificate = ca.self_signed(&ca_key)?;
        let issuer = Issuer::new(ca, ca_key);

        let key = KeyPair::generate()?;
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut leaf = CertificateParams::new(names)?;
        leaf.distinguished_name.push(DnType::CommonName, "localhost");
        leaf.use_authority_key_identifier_extension = true;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.insert_extended_key_usage(ExtendedKeyUsagePurpose::ServerAuth);
        let certificate = leaf.signed_by(&key, &issuer)?;

        let chain: Vec<CertificateDer<'static>> =
            vec![certificate.der().clone(), ca_certificate.der().clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
            ca_der: ca_certificate.der().to_vec(),
            ca_pem: ca_certificate.pem(),
        })
    }

    /// The authority's certificate in DER, for a client's root store.
    pub fn ca_der(&self) -> &[u8] {
        &self.ca_der
    }

    /// The authority's certificate in PEM, for a client's CA file.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity").finish_non_exhaustive() // never the key
    }
}
