//! Who may speak inside a cluster: its own certificate authority, leaves of a day, join tokens.
//!
//! ```text
//!   operator ── token create ──► member: JoinToken { cluster, CA hash, secret, role, region }
//!      │                                        only the secret's hash goes into the log
//!      ▼ (paper, scp, a vault)
//!   joiner ─ ALPN fairground-join/1, accepts only a chain whose CA hashes to the token's ─► member
//!   joiner ─ secret, CSR ─► member ─ RegisterEdge | RegisterMember through the log ─► CA signs
//!   joiner ◄─ leaf (24 h, URI SAN fairground://cluster/role/name), CA certificate ─ member
//!   joiner ─ ALPN fairground/1, both sides show leaves, renews at two thirds ─► any member
//! ```
//!
//! TLS 1.3 only, Ed25519, aws-lc-rs. It must not know QUIC, the log or the market. Read next:
//! `docs/src/internals/identity.md`.

mod ca;
mod identity;
mod join_token;
mod peer;
mod tls;

pub use crate::error::PkiError;
pub use crate::pki::ca::{Ca, NewKey, certificate_pem, new_key_and_csr};
pub use crate::pki::identity::{Identity, write_private};
pub use crate::pki::join_token::JoinToken;
pub use crate::pki::peer::{PeerIdentity, Role};
pub use crate::pki::tls::{client_config, install_provider, join_client_config, server_config};
pub use fairground_types::command::JoinRole;

use fairground_types::Millis;

/// ALPN of everything between daemons that know each other.
pub const ALPN: &[u8] = b"fairground/1";
/// ALPN of a join: the client has a token and no certificate yet.
pub const ALPN_JOIN: &[u8] = b"fairground-join/1";
/// Name that every member's certificate carries, and that who dials a member asks for.
pub const MEMBER_SERVER_NAME: &str = "member.fairground.internal";
/// Name that every edge's certificate carries.
pub const EDGE_SERVER_NAME: &str = "edge.fairground.internal";
/// Life of a leaf.
pub const LEAF_LIFE: Millis = Millis::from_hours(24);

#[cfg(test)]
mod tests;
