//! The client of OTLP/HTTP: hyper with rustls.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use hyper_rustls::{ConfigBuilderExt, HttpsConnectorBuilder};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response, hyper::HyperClient};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::{OpenError, OtlpConfig};

/// Why the last request got no answer.
#[derive(Clone, Debug, Default)]
pub(super) struct LastError(Arc<Mutex<Option<String>>>);

impl LastError {
    pub fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub fn clear(&self) {
        self.take();
    }

    fn set(&self, error: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}

/// A client that remembers why a request failed.
#[derive(Debug)]
pub(super) struct Client<C> {
    inner: C,
    last_error: LastError,
}

/// The client for these settings.
pub(super) fn client(
    config: &OtlpConfig,
    last_error: &LastError,
) -> Result<Client<impl HttpClient + use<>>, OpenError> {
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls(config)?).https_or_http().enable_http1().build();
    let inner = HyperClient::new(connector, config.timeout, None);
    Ok(Client { inner, last_error: last_error.clone() })
}

fn tls(config: &OtlpConfig) -> Result<ClientConfig, OpenError> {
    fn wrong(what: impl fmt::Display) -> OpenError {
        OpenError::Otlp(what.to_string())
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(wrong)?;
    let builder = match &config.tls.certificate {
        // Without TLS nothing has to be trusted, and a machine need not have any certificates.
        _ if !config.is_https() => builder.with_root_certificates(RootCertStore::empty()),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(pem)? {
                roots.add(certificate).map_err(wrong)?;
            }
            builder.with_root_certificates(roots)
        }
        None => builder.with_native_roots().map_err(|error| {
            wrong(format_args!("{error}: install ca-certificates, or set OTEL_EXPORTER_OTLP_CERTIFICATE"))
        })?,
    };
    match &config.tls.client {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_slice(key)
                .map_err(|_| wrong("the client key holds no private key in PEM form"))?;
            builder.with_client_auth_cert(certificates(certificate)?, key).map_err(wrong)
        }
    }
}

/// The certificates in a PEM file.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, OpenError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(OpenError::Otlp("a certificate file holds no certificate in PEM form".into())),
    }
}

impl<C: HttpClient> HttpClient for Client<C> {
    // The form into which `async_trait` puts the trait's method.
    fn send_bytes<'life0, 'async_trait>(
        &'life0 self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let result = self.inner.send_bytes(request).await;
            self.last_error.set(result.as_ref().err().map(|error| chain(&**error)));
            result
        })
    }
}

/// An error with its causes, without repeating those that an error already quotes.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
