//! Whom we trust over TLS: one set of root certificates for sockets and HTTP alike.
//!
//! Verification is never switched off; a simulated venue is trusted by adding its generated certificate.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use std::sync::Arc;
use thiserror::Error;

/// Root certificates that a server's certificate must lead to.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    roots: Vec<CertificateDer<'static>>,
}

/// A set of roots that cannot be made.
#[derive(Debug, Error)]
pub enum TrustError {
    /// The file cannot be read as PEM certificates.
    #[error("cannot read certificates from {path}: {what}; it must be a readable PEM file")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// The TLS library refuses its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

impl Trust {
    /// Nobody yet; add roots by [`Trust::add`].
    pub fn nobody() -> Self {
        Self::default()
    }

    /// The operating system's root certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured).
    /// Unreadable ones are left out; without any, every TLS connection is refused as untrusted.
    pub fn system() -> Self {
        Self { roots: rustls_native_certs::load_native_certs().certs }
    }

    /// Trusts a certificate (DER) too, such as that of a simulated venue.
    pub fn add(&mut self, certificate: CertificateDer<'static>) {
        self.roots.push(certificate);
    }

    /// Trusts every certificate of a PEM file too.
    ///
    /// # Errors
    /// [`TrustError::File`] when it is unreadable or holds no certificate.
    pub fn add_pem_file(&mut self, path: &Path) -> Result<(), TrustError> {
        let fail = |what: String| TrustError::File { path: path.display().to_string(), what };
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| fail(error.to_string()))?;
        if certificates.is_empty() {
            return Err(fail("it holds no certificate".to_owned()));
        }
        self.roots.extend(certificates);
        Ok(())
    }

    /// How many roots there are.
    pub fn len(&self) -> usize {
        self.roots.len()
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// The client side of TLS 1.2 and 1.3 for sockets. Make it once and share it: it also keeps the
    /// session tickets that make reconnects cheaper.
    ///
    /// # Errors
    /// [`TrustError::Setup`] when the cryptography provider supports neither version.
    pub fn client_config(&self) -> Result<Arc<rustls::ClientConfig>, TrustError> {
        let mut store = rustls::RootCertStore::empty();
        // Systems carry a few certificates that webpki cannot parse; they don't matter to the others.
        store.add_parsable_certificates(self.roots.iter().cloned());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(store)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }

    /// The same roots in the HTTP client's form.
    pub(super) fn http_config(&self) -> ureq::tls::TlsConfig {
        let roots = self.roots.iter().map(|root| ureq::tls::Certificate::from_der(root).to_owned());
        ureq::tls::TlsConfig::builder()
            .provider(ureq::tls::TlsProvider::Rustls)
            .root_certs(roots.into())
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build()
    }
}
