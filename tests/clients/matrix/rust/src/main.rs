//! Two chat completions with reqwest: a plain answer, and a stream. Its features choose the TLS stack.

use std::{env, error::Error, fs};

use reqwest::{Certificate, Client};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    #[cfg(feature = "ring")]
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ca = Certificate::from_pem(&fs::read(env::var("MATRIX_CA")?)?)?;
    let client = Client::builder().add_root_certificate(ca).build()?;
    let url = format!("{}/v1/chat/completions", env::var("MATRIX_URL")?);
    for stream in [false, true] {
        let request = client.post(&url).header("content-type", "application/json").bearer_auth("k");
        let body = format!(r#"{{"model": "gpt-4o-mini", "stream": {stream}, "messages": []}}"#);
        request.body(body).send().await?.error_for_status()?.bytes().await?;
    }
    Ok(())
}
