//! The command tree. One variant per verb; each verb has a file.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A self-hosted craft-video marketplace.
#[derive(Debug, Parser)]
#[command(name = "fairground", version, about, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Start a whole market on this machine: 3 members, 2 edges, makers, a live auction.
    Demo(DemoArgs),
    /// Make a cluster: its certificate authority, its keys and its first member.
    Init(InitArgs),
    /// Join a cluster by a token, as a member or as an edge.
    Join(JoinArgs),
    /// Make, list and revoke join tokens.
    #[command(subcommand)]
    Token(TokenVerb),
    /// Run a member of the coordinator cluster.
    Coordinator(DaemonArgs),
    /// Run an edge node.
    Node(DaemonArgs),
    /// Show members, leader, digests, edges.
    Status(StatusArgs),
    /// Show how clips are made, and have a failed one made again.
    #[command(subcommand)]
    Jobs(JobsVerb),
    /// Move the viewers of an edge elsewhere before it ends.
    #[command(subcommand)]
    Edge(EdgeVerb),
    /// Make an account with the admin duty.
    #[command(subcommand)]
    Admin(AdminVerb),
    /// Move the clock of a sandbox cluster.
    #[command(subcommand)]
    Clock(ClockVerb),
    /// Show and change the version of the rules.
    #[command(subcommand)]
    Rules(RulesVerb),
    /// Run stand-ins for Stripe, mail and SMS on loopback.
    Fakes(FakesArgs),
    /// Check what somebody was given, without asking anybody.
    #[command(subcommand)]
    Verify(VerifyVerb),
    /// Look at what viewers get.
    #[command(subcommand)]
    Media(MediaVerb),
    /// Show the version.
    Version(VersionArgs),
    /// Run a tool fenced in; called by the media pipeline.
    #[command(hide = true)]
    TranscodeJail {
        /// What may be used, then the tool and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Use this clip instead of generated ones.
    #[arg(long, value_name = "FILE")]
    pub(crate) clip: Option<PathBuf>,
    /// Run a path without a human and report it.
    #[arg(long, value_enum)]
    pub(crate) scenario: Option<Scenario>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    /// Keep the files here instead of removing them.
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// How many bots bid in the live auction.
    #[arg(long, default_value_t = 3)]
    pub(crate) bots: usize,
    /// How long the live auction lasts, unless extended.
    #[arg(long, default_value = "10m", value_parser = parse_duration)]
    pub(crate) auction: Duration,
    /// Where bots stop, in whole euros; at 485 in any case: above 500 a bid is signed by a device.
    #[arg(long, default_value_t = 180)]
    pub(crate) bot_budget: u64,
}

/// A path that the demo can walk by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// From an uploaded clip to a completed order, with the leader killed on the way.
    Full,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Where the member keeps everything.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Where other daemons reach this member (QUIC).
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:7400")]
    pub(crate) cluster_listen: SocketAddr,
    /// Where the console, the admin API and the webhooks are served.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:7480")]
    pub(crate) http_listen: SocketAddr,
    /// A cluster to try things in, for ever: its clock can be moved.
    #[arg(long)]
    pub(crate) sandbox: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VerifyVerb {
    /// Check the receipt of a bid with the public keys of the cluster.
    Receipt {
        /// File with the receipt, or with the answer that holds it.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// File with the keys, as any edge lists them at `/.well-known/keys`.
        #[arg(long, value_name = "FILE")]
        keys: PathBuf,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum MediaVerb {
    /// Judge a published revision; ends with 0, 1 (an error was found) or 2 (nothing was read).
    Lint {
        /// A folder of files as players see them, or the URL of a multivariant playlist.
        #[arg(value_name = "DIR|URL")]
        place: String,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
        /// Decode every rendition as well, with ffmpeg in the jail.
        #[arg(long)]
        decode: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// File with the text that `fairground token create` printed.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: PathBuf,
    /// Where the daemon keeps everything.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// An edge's name.
    #[arg(long, default_value = "edge")]
    pub(crate) name: String,
    /// Where other daemons reach a member (QUIC).
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:7400")]
    pub(crate) cluster_listen: SocketAddr,
    /// Where HTTP is served.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:7480")]
    pub(crate) http_listen: SocketAddr,
    /// The base URL that clients use, when it is not the HTTP address.
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenVerb {
    /// Make a token that admits one member or one edge.
    Create {
        /// The member's folder.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// What it admits.
        #[arg(long, value_enum)]
        role: TokenRole,
        /// Where the edge is.
        #[arg(long, default_value = "local")]
        region: String,
        /// How long it is good.
        #[arg(long, default_value = "1h", value_parser = parse_duration)]
        ttl: Duration,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List open tokens.
    List {
        /// The member's folder.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
    /// End a token.
    Revoke {
        /// The member's folder.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Its id (`jtk_...`).
        id: String,
    },
}

/// What a token admits.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum TokenRole {
    /// A member of the coordinator cluster.
    Member,
    /// An edge node.
    Edge,
}

#[derive(Debug, Args)]
pub(crate) struct DaemonArgs {
    /// The TOML file; environment variables `FAIRGROUND__SECTION__KEY` override it.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The member's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobsVerb {
    /// List transcode jobs that are open, then those that failed.
    List {
        /// The member's folder.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Keep the list up to date, until no job is open.
        #[arg(long)]
        watch: bool,
        /// Print JSON; one document a line with `--watch`.
        #[arg(long)]
        json: bool,
    },
    /// Have a failed job done again.
    Requeue {
        /// The clip (`ast_...`).
        asset: String,
        /// The member's folder.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Why.
        #[arg(long, default_value = "from the command line")]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum EdgeVerb {
    /// Send the viewers of the edge on this machine to others, then end it.
    Drain {
        /// The edge's folder.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Also when no other edge serves video.
        #[arg(long)]
        alone: bool,
        /// Come back when it has ended.
        #[arg(long)]
        wait: bool,
    },
    /// Show what the edge on this machine has sent today and whether it leaves.
    Status {
        /// The edge's folder.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// As JSON, one line.
        #[arg(long)]
        json: bool,
    },
    /// Have an edge that is being drained stay.
    Undrain {
        /// The edge's folder.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdminVerb {
    /// Make an account, or give an existing one the admin duty.
    Create {
        /// The member's folder.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Where the account's codes go.
        #[arg(long)]
        email: String,
        /// Public name.
        #[arg(long)]
        handle: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClockVerb {
    /// Move the clock forward.
    Advance {
        /// By how much, such as `72h`.
        #[arg(value_parser = parse_duration)]
        by: Duration,
        /// The member's folder.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Why.
        #[arg(long, default_value = "from the command line")]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RulesVerb {
    /// Show which rules are in force and who knows which.
    Show {
        /// The member's folder.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
    /// Put a newer version in force, once every member and edge knows it.
    Activate {
        /// Which version.
        #[arg(value_name = "VERSION")]
        rules: u32,
        /// The member's folder.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Why.
        #[arg(long, default_value = "from the command line")]
        reason: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct FakesArgs {
    /// Where `ready.json` with the addresses is written.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Where webhooks are sent.
    #[arg(long, value_name = "URL")]
    pub(crate) webhook_url: String,
    /// File with the secret that webhooks are signed with.
    #[arg(long, value_name = "FILE")]
    pub(crate) webhook_secret_file: PathBuf,
    /// File with the API key that callers must show.
    #[arg(long, value_name = "FILE")]
    pub(crate) stripe_key_file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default();
    let number: u64 =
        digits.parse().map_err(|_| format!("{text:?} is no duration such as 90s, 10m or 1h"))?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(format!("{text:?} needs a unit: s, m or h")),
    };
    number
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or_else(|| format!("{text:?} is too long"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_tree_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_need_a_number_and_a_unit() {
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7_200)));
        assert!(parse_duration("10").is_err());
        assert!(parse_duration("m").is_err());
    }
}
