//! A member says which rules it knows, once after each start: a newer version waits for everybody.
//!
//! It must not know what a version changes. Read next: `fairground_market`'s `govern`.

use std::sync::Arc;
use std::time::Duration;

use fairground_market::RULES_VERSION;
use fairground_runtime::shutdown::Shutdown;
use fairground_types::command::{Command, GovernCommand};

use crate::member::Member;

/// Pause between two looks, and between two tries.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// Runs until the log knows it, or until `shutdown`.
pub(crate) async fn report(member: Arc<Member>, shutdown: Shutdown) {
    loop {
        let (is_member, is_known) = member.state.read(|market| {
            let is_member = market.members().any(|row| row.member == member.id);
            (is_member, market.has_reported_rules(member.id, RULES_VERSION))
        });
        if is_known {
            return;
        }
        if is_member {
            let known =
                GovernCommand::ReportRules { member: Some(member.id), known: RULES_VERSION };
            let id = member.new_command("rules");
            if let Err(error) = member.command(id, Command::Govern(known)).await {
                tracing::debug!(%error, "rules not reported yet");
            }
        }
        tokio::select! {
            biased;
            () = shutdown.wait() => return,
            () = tokio::time::sleep(LOOK_PERIOD) => {}
        }
    }
}
