//! The client of OTLP/gRPC: the generated one, over tonic.

use ::http::uri::PathAndQuery;
use tonic::{
    Request,
    client::Grpc,
    codec::CompressionEncoding,
    metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tonic_prost::ProstCodec;

use super::{Compression, OpenError, OtlpConfig, answer, answer::Answer, build_error, http, signal::Export};

#[derive(Debug)]
pub(super) struct Client {
    client: Grpc<Channel>,
    /// `OTEL_EXPORTER_OTLP_HEADERS`; marked sensitive, so that they are never shown.
    headers: MetadataMap,
}

impl Client {
    pub fn new(config: &OtlpConfig) -> Result<Self, OpenError> {
        let mut endpoint = Endpoint::from(answer::uri(&config.endpoint)?)
            .user_agent(http::USER_AGENT)
            .map_err(build_error)?
            .connect_timeout(config.timeout);
        if config.is_https() {
            endpoint =
                endpoint.tls_config(tls(config)?).map_err(|error| build_error(answer::chain(&error)))?;
        }
        let mut client = Grpc::new(endpoint.connect_lazy());
        if config.compression == Some(Compression::Gzip) {
            client = client
                .send_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Gzip);
        }
        let mut headers = MetadataMap::new();
        for (name, value) in &config.headers {
            let key: MetadataKey<Ascii> = name.to_ascii_lowercase().parse().map_err(|_| unfit(name))?;
            let mut value: MetadataValue<Ascii> = value.parse().map_err(|_| unfit(name))?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        Ok(Self { client, headers })
    }

    pub async fn send<R: Export>(&mut self, request: R) -> Answer {
        let mut request = Request::new(request);
        *request.metadata_mut() = self.headers.clone();
        if let Err(error) = self.client.ready().await {
            return Answer::Later { reason: answer::chain(&error), after: None };
        }
        let codec = ProstCodec::<R, R::Response>::default();
        match self.client.unary(request, PathAndQuery::from_static(R::METHOD), codec).await {
            Ok(response) => Answer::Taken(response.into_inner().into()),
            Err(status) => answer::of_status(&status),
        }
    }
}

fn unfit(name: &str) -> OpenError {
    build_error(format_args!("OTEL_EXPORTER_OTLP_HEADERS: {name:?} can't be sent as a header of gRPC"))
}

fn tls(config: &OtlpConfig) -> Result<ClientTlsConfig, OpenError> {
    let mut tls = ClientTlsConfig::new();
    tls = match &config.tls.certificate {
        Some(pem) => {
            // Otherwise it would come to light with the first span, as a failure to connect.
            http::certificates(pem)?;
            tls.ca_certificate(Certificate::from_pem(pem))
        }
        None => tls.with_enabled_roots(),
    };
    if let Some((certificate, key)) = &config.tls.client {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    Ok(tls)
}
