//! The certificate: read from files, served by a resolver that swaps it when the files change. A bad
//! new file keeps the old certificate and is said in the log.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use stint_supervise::{Clock, Stop, chain};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use crate::config::TlsFiles;

/// Why a certificate cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("read {path} as PEM: {what}")]
    Pem {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Certificate and key do not fit.
    #[error("use the certificate with its key")]
    Pair(#[source] rustls::Error),
}

/// The certificate in use.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: TlsFiles,
    current: Arc<Current>,
}

#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Certificates {
    pub(crate) async fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let key = read(&files).await?;
        Ok(Self { files, current: Arc::new(Current(RwLock::new(Arc::new(key)))) })
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.current) as _);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// Looks at the files from time to time and swaps the certificate when they changed.
    pub(crate) async fn watch(self: Arc<Self>, clock: Clock, stop: Stop) {
        let mut seen = self.modified().await;
        while stop.until(clock.sleep(self.files.reload_every)).await.is_some() {
            let now = self.modified().await;
            if now == seen {
                continue;
            }
            match read(&self.files).await {
                Ok(key) => {
                    let mut current =
                        self.current.0.write().unwrap_or_else(PoisonError::into_inner);
                    *current = Arc::new(key);
                    seen = now;
                    tracing::info!("the certificate was read again");
                }
                // Looked at again next time: a file may be half written.
                Err(error) => {
                    tracing::warn!(error = chain(&error), "the old certificate stays in use");
                }
            }
        }
    }

    async fn modified(&self) -> [Option<SystemTime>; 2] {
        let mut times = [None; 2];
        for (time, path) in times.iter_mut().zip([&self.files.certificate, &self.files.key]) {
            *time = tokio::fs::metadata(path).await.and_then(|data| data.modified()).ok();
        }
        times
    }
}

async fn read(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let file = async |path: &PathBuf| {
        let read = tokio::fs::read(path).await;
        read.map_err(|source| TlsError::Read { path: path.clone(), source })
    };
    let (chain, key) = (file(&files.certificate).await?, file(&files.key).await?);
    let bad = |path: &PathBuf, what: String| TlsError::Pem { path: path.clone(), what };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<_, _>>()
        .map_err(|error| bad(&files.certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(bad(&files.certificate, "no certificate in it".to_owned()));
    }
    let key =
        PrivateKeyDer::from_pem_slice(&key).map_err(|error| bad(&files.key, error.to_string()))?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(TlsError::Pair)
}
