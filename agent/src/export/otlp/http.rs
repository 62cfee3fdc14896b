//! The client of OTLP/HTTP: hyper with rustls.

use std::{fmt, io::Write as _, sync::Arc};

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use flate2::write::GzEncoder;
use hyper_rustls::{ConfigBuilderExt, HttpsConnectorBuilder};
use opentelemetry_http::{Bytes, HttpClient, Request, hyper::HyperClient};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::{
    Compression, OpenError, OtlpConfig, answer,
    answer::{Answer, chain},
    build_error,
    signal::Export,
};

/// How the agent calls itself.
pub(super) const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

pub(super) struct Client {
    inner: Box<dyn HttpClient>,
    uri: Uri,
    headers: HeaderMap,
    gzip: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("Client").field("gzip", &self.gzip).finish_non_exhaustive()
    }
}

impl Client {
    pub fn new(config: &OtlpConfig) -> Result<Self, OpenError> {
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls(config)?).https_or_http().enable_http1().build();
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let unfit = || {
                build_error(format_args!(
                    "OTEL_EXPORTER_OTLP_HEADERS: {name:?} can't be sent as a header of HTTP"
                ))
            };
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit())?;
            let mut value = HeaderValue::from_str(value).map_err(|_| unfit())?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        headers.insert("content-type", HeaderValue::from_static("application/x-protobuf"));
        headers.insert("user-agent", HeaderValue::from_static(USER_AGENT));
        let gzip = config.compression == Some(Compression::Gzip);
        if gzip {
            headers.insert("content-encoding", HeaderValue::from_static("gzip"));
        }
        let inner = Box::new(HyperClient::new(connector, config.timeout, None));
        Ok(Self { inner, uri: answer::uri(&config.endpoint)?, headers, gzip })
    }

    pub async fn send<R: Export>(&mut self, request: &R) -> Answer {
        let mut body = request.encode_to_vec();
        if self.gzip {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
            body = match encoder.write_all(&body).and_then(|()| encoder.finish()) {
                Ok(body) => body,
                Err(error) => return Answer::Never(error.to_string()),
            };
        }
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        match self.inner.send_bytes(request).await {
            Ok(response) => answer::of_response::<R>(&response, jiff::Timestamp::now()),
            Err(error) => Answer::Later { reason: chain(&*error), after: None },
        }
    }
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
