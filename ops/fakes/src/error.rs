//! What keeps the fakes from starting. Read next: [`crate::start`].

use std::net::IpAddr;

use crate::contract::ContractError;

/// The fakes did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FakesError {
    /// The fakes take any card and show all mail: they stay on the machine.
    #[error("listen on {0}: only a loopback address is allowed")]
    NotLoopback(IpAddr),
    /// A key for real money has no business here.
    #[error("start with a live Stripe key")]
    LiveKey,
    /// A port could not be had.
    #[error("listen for {part} on {address}")]
    Bind {
        /// Which stand-in.
        part: &'static str,
        /// Where.
        address: std::net::SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The client that delivers webhooks could not be made.
    #[error("make the webhook client")]
    Client(#[source] reqwest::Error),
    /// A service's key could not be made or used.
    #[error("make a key")]
    Key,
    /// The description to check Stripe's calls against could not be read.
    #[error("load the contract")]
    Contract(#[from] ContractError),
}
