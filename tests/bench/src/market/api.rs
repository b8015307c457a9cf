//! JSON over one connection, for everything that is set up and looked at.

use std::time::Duration;

use anyhow::{Context as _, bail};
use fairground_load::http::{Http, Target, header};
use serde_json::Value;

const WAIT: Duration = Duration::from_secs(30);
/// How long a server that says "not now" is asked again.
const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(50);

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// The header `Fairground-Asset`.
    pub(crate) asset: Option<String>,
}

/// One account at one daemon.
pub(crate) struct Api {
    http: Http,
    host: String,
    authorization: Option<String>,
}

impl Api {
    pub(crate) fn new(target: &Target, authorization: Option<&str>) -> Self {
        Self {
            http: Http::new(target.clone()),
            host: target.address.to_string(),
            authorization: authorization.map(str::to_owned),
        }
    }

    /// Sends a request with further header lines, each ended by CR LF.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> anyhow::Result<Reply> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.host);
        if let Some(authorization) = &self.authorization {
            request.push_str(&format!("authorization: {authorization}\r\n"));
        }
        request.push_str(&format!("{headers}content-length: {}\r\n\r\n", body.len()));
        let mut request = request.into_bytes();
        request.extend_from_slice(body);
        let answer = self
            .http
            .send(&request, WAIT)
            .await
            .with_context(|| format!("{method} {path} was not answered"))?;
        let asset = header(answer.head, b"fairground-asset");
        let text = String::from_utf8_lossy(answer.body);
        Ok(Reply {
            status: answer.status,
            body: serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.into_owned())),
            asset: asset.map(|asset| String::from_utf8_lossy(asset).into_owned()),
        })
    }

    /// Sends a command until it is answered otherwise than "not now", under one key.
    pub(crate) async fn command(
        &mut self,
        method: &str,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<Value> {
        let headers = format!(
            "content-type: application/json\r\nidempotency-key: {}\r\nprefer: wait=10\r\n",
            uuid::Uuid::new_v4()
        );
        let text = body.to_string();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let last = match self.send(method, path, &headers, text.as_bytes()).await {
                Ok(reply) if (200..300).contains(&reply.status) && reply.status != 202 => {
                    return Ok(reply.body);
                }
                Ok(reply) if matches!(reply.status, 202 | 429 | 502 | 503 | 504) => {
                    format!("{}: {}", reply.status, reply.body)
                }
                Ok(reply) => bail!("{method} {path}: {}: {}", reply.status, reply.body),
                Err(error) => format!("{error:#}"),
            };
            if tokio::time::Instant::now() > deadline {
                bail!("{method} {path} was not done in {PATIENCE:?}: {last}");
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.command("POST", path, body).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Value> {
        let reply = self.send("GET", path, "", b"").await?;
        if reply.status != 200 {
            bail!("GET {path}: {}: {}", reply.status, reply.body);
        }
        Ok(reply.body)
    }
}
