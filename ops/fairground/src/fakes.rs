//! `fairground fakes`: stand-ins for Stripe, mail and SMS, until asked to stop.

use anyhow::Context;
use fairground_fakes::{Fakes, FakesOptions};
use fairground_runtime::config::Secret;
use fairground_runtime::shutdown::Shutdown;
use serde_json::json;

use crate::cli::FakesArgs;

pub(crate) async fn run(arguments: FakesArgs) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals()?;
    let options = FakesOptions {
        webhook_url: Some(arguments.webhook_url),
        webhook_secret: Secret::from_file(&arguments.webhook_secret_file)?.expose().to_owned(),
        stripe_key: Secret::from_file(&arguments.stripe_key_file)?.expose().to_owned(),
        ..FakesOptions::default()
    };
    let handle = Fakes::start(options).await?;
    let ready = json!({
        "pid": std::process::id(),
        "httpAddr": handle.inbox_url,
        "stripeUrl": handle.stripe_url,
        "inboxUrl": handle.inbox_url,
        "smsUrl": handle.sms_url,
        "smtpAddr": handle.smtp_addr.to_string(),
    });
    let file = arguments.dir.join("ready.json");
    std::fs::write(&file, ready.to_string())
        .with_context(|| format!("failed to write {}", file.display()))?;
    shutdown.wait().await;
    handle.shutdown().await;
    Ok(())
}
