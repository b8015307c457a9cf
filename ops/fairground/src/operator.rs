//! Calls of an operator at a member's machine: authorised by the key file in the member's folder.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::Value;

/// The admin API of the member whose folder this is.
#[derive(Debug)]
pub(crate) struct Operator {
    http: reqwest::Client,
    base: String,
    authorization: String,
}

impl Operator {
    /// Reads address and key from the member's folder.
    pub(crate) fn at(dir: &Path) -> anyhow::Result<Self> {
        let ready = std::fs::read(dir.join("ready.json")).with_context(|| {
            format!("no member runs in {} (ready.json is missing)", dir.display())
        })?;
        let ready: Value = serde_json::from_slice(&ready)?;
        let address = ready["httpAddr"].as_str().context("ready.json names no httpAddr")?;
        let scheme = if ready["tls"].as_bool().unwrap_or(false) { "https" } else { "http" };
        let base = format!("{scheme}://{address}");
        Ok(Self { http: client()?, base, authorization: authorization(dir)? })
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::DELETE, path, None).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .header("Authorization", &self.authorization)
            .header("Idempotency-Key", uuid::Uuid::new_v4().to_string());
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.context("the member does not answer")?;
        let status = answer.status();
        let text = answer.text().await?;
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if !status.is_success() {
            let detail = value["detail"].as_str().unwrap_or(&text);
            bail!("{} ({})", detail, value["code"].as_str().unwrap_or(status.as_str()));
        }
        Ok(value)
    }
}

/// The header that the key file of a member's folder stands for.
pub(crate) fn authorization(dir: &Path) -> anyhow::Result<String> {
    let file = dir.join("admin.key");
    let key = std::fs::read_to_string(&file)
        .with_context(|| format!("failed to read {}", file.display()))?;
    Ok(format!("Admin {}", key.trim()))
}

fn client() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(2))
        .timeout(Duration::from_secs(20))
        .build()?)
}
