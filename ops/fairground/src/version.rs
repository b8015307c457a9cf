//! `fairground version`.

use serde_json::json;

use crate::cli::VersionArgs;
use crate::output;

pub(crate) fn run(arguments: &VersionArgs) -> anyhow::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    if arguments.json {
        return output::json(&json!({"name": "fairground", "version": version}));
    }
    output::line(&format!("fairground {version}"))?;
    Ok(())
}
