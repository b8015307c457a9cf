//! The cluster itself: its id and rules, join tokens, members, and names of edges.
//!
//! It must not know certificates or sockets; a shell admits whoever the verdict admits. Read next:
//! `edge_ledger.rs` for what is known about a registered edge.

use std::collections::BTreeMap;

use fairground_types::command::{
    ClusterKey, CreateJoinToken, InitialiseCluster, JoinProof, JoinRole, KeyPurpose, MarketPolicy,
    MemberRow, RegisterEdge, RegisterMember,
};
use fairground_types::limits;
use fairground_types::text::Region;
use fairground_types::{
    Accepted, ClusterId, Code, Digest, EdgeId, JoinTokenId, MemberId, PublicEvent, Rejection,
    Timestamp,
};
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::deadline::DueKind;
use crate::edge_ledger::EdgeState;

/// Bytes of an address or URL that the state keeps.
pub(crate) const ADDRESS_MAX: usize = 512;

/// What the cluster knows about itself.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Cluster {
    pub(crate) id: Option<ClusterId>,
    pub(crate) policy: MarketPolicy,
    pub(crate) tokens: BTreeMap<JoinTokenId, JoinToken>,
    pub(crate) members: BTreeMap<MemberId, MemberRow>,
    pub(crate) incarnations: BTreeMap<String, u64>,
}

/// A right to join, once.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct JoinToken {
    pub(crate) token: JoinTokenId,
    pub(crate) secret: Digest,
    pub(crate) role: JoinRole,
    pub(crate) region: Region,
    pub(crate) expires_at: Timestamp,
}

fn refused(detail: &str) -> Rejection {
    Rejection::new(Code::JoinRefused, detail)
}

fn bounded_address(text: &str) -> Result<(), Rejection> {
    if (1..=ADDRESS_MAX).contains(&text.len()) {
        Ok(())
    } else {
        Err(Rejection::new(Code::ValidationFailed, "an address is empty or too long"))
    }
}

impl Cluster {
    pub(crate) fn expire_token(&mut self, token: JoinTokenId, due: Timestamp) {
        if self.tokens.get(&token).is_some_and(|known| known.expires_at == due) {
            self.tokens.remove(&token);
        }
    }

    /// Checks a proof and says where its bearer belongs. One answer for every failure: a stranger
    /// learns nothing.
    fn check(&self, proof: &JoinProof, role: JoinRole, at: Timestamp) -> Result<Region, Rejection> {
        self.tokens
            .get(&proof.token)
            .filter(|token| token.secret == proof.secret)
            .filter(|token| token.role == role && at < token.expires_at)
            .map(|token| token.region.clone())
            .ok_or_else(|| refused("the join token is unknown, used, expired or for another role"))
    }
}

impl Market {
    pub(crate) fn initialise(&mut self, turn: &mut Turn, command: &InitialiseCluster) -> Answer {
        if let Some(known) = self.cluster.id {
            if known == command.cluster {
                return Ok(Accepted::Done);
            }
            return Err(Rejection::new(Code::InvalidState, "the cluster is initialised"));
        }
        if let Some(fault) = command.policy.fault() {
            return Err(Rejection::new(Code::ValidationFailed, fault));
        }
        self.begin_rules(command.rules)?;
        self.cluster.id = Some(command.cluster);
        self.first_policy(command.policy.clone());
        self.govern.clock.is_sandbox = command.sandbox;
        turn.events.push(PublicEvent::ClusterInitialised { cluster: command.cluster });
        turn.events.push(PublicEvent::RulesActivated { version: command.rules });
        for key in &command.keys {
            turn.events.push(PublicEvent::KeyAdded { key: key.clone() });
        }
        Ok(Accepted::Done)
    }

    pub(crate) fn create_join_token(&mut self, turn: &Turn, create: &CreateJoinToken) -> Answer {
        let life_ends = turn.at.plus(limits::JOIN_TOKEN_LIFE_MAX);
        if create.expires_at <= turn.at || create.expires_at > life_ends {
            return Err(Rejection::new(
                Code::ValidationFailed,
                "a join token lives at most 7 days",
            ));
        }
        if self.cluster.tokens.contains_key(&create.token) {
            return Err(Rejection::new(Code::InvalidState, "the join token exists"));
        }
        if self.cluster.tokens.len() >= limits::JOIN_TOKENS_MAX {
            return Err(Rejection::new(Code::LimitReached, "too many join tokens are open"));
        }
        let token = JoinToken {
            token: create.token,
            secret: create.secret,
            role: create.role,
            region: create.region.clone(),
            expires_at: create.expires_at,
        };
        self.cluster.tokens.insert(create.token, token);
        self.deadlines.add(create.expires_at, DueKind::JoinToken(create.token));
        Ok(Accepted::Done)
    }

    pub(crate) fn revoke_join_token(&mut self, token: JoinTokenId) -> Answer {
        self.use_token(token);
        Ok(Accepted::Done)
    }

    fn use_token(&mut self, token: JoinTokenId) {
        if let Some(gone) = self.cluster.tokens.remove(&token) {
            self.deadlines.remove(gone.expires_at, DueKind::JoinToken(token));
        }
    }

    /// The first member names itself; every other one needs a token. A member that registers its
    /// address again keeps its number.
    pub(crate) fn register_member(
        &mut self,
        turn: &mut Turn,
        register: &RegisterMember,
        is_cluster: bool,
    ) -> Answer {
        bounded_address(&register.cluster_address)?;
        bounded_address(&register.public_url)?;
        match &register.proof {
            Some(proof) => {
                self.cluster.check(proof, JoinRole::Member, turn.at)?;
            }
            None => {
                let known = self
                    .cluster
                    .members
                    .values()
                    .any(|member| member.cluster_address == register.cluster_address);
                if !is_cluster || !(self.cluster.members.is_empty() || known) {
                    return Err(refused("a join token is needed"));
                }
            }
        }
        let same_address = self
            .cluster
            .members
            .values()
            .find(|member| member.cluster_address == register.cluster_address)
            .map(|member| member.member);
        let next = self.cluster.members.last_key_value().map_or(0, |(last, _)| last.0);
        let member = same_address.unwrap_or_else(|| MemberId(next.saturating_add(1)));
        if let Some(proof) = &register.proof {
            self.use_token(proof.token);
        }
        let row = MemberRow {
            member,
            cluster_address: register.cluster_address.clone(),
            public_url: register.public_url.clone(),
        };
        if self.cluster.members.get(&member) != Some(&row) {
            self.cluster.members.insert(member, row.clone());
            turn.events.push(PublicEvent::MemberChanged { member: row });
        }
        Ok(Accepted::MemberRegistered { member })
    }

    pub(crate) fn register_edge(&mut self, turn: &mut Turn, register: &RegisterEdge) -> Answer {
        bounded_address(&register.public_url)?;
        let region = self.cluster.check(&register.proof, JoinRole::Edge, turn.at)?;
        let known = self.cluster.incarnations.get(&register.name).copied().unwrap_or(0);
        let incarnation = known.saturating_add(1);
        let edge = EdgeId::new(&register.name, incarnation)
            .map_err(|_| Rejection::new(Code::ValidationFailed, "the edge's name is not valid"))?;
        if self.edges.len() >= limits::EDGES_MAX {
            return Err(Rejection::new(Code::LimitReached, "the cluster has too many edges"));
        }
        self.use_token(register.proof.token);
        self.cluster.incarnations.insert(register.name.clone(), incarnation);
        let state = EdgeState::new(
            edge.clone(),
            region.clone(),
            register.public_url.clone(),
            register.takes_bids,
        );
        self.edges.insert(edge.clone(), state);
        let key = ClusterKey {
            kid: edge.to_string(),
            purpose: KeyPurpose::Receipt,
            public: register.receipt_key,
        };
        turn.events.push(PublicEvent::KeyAdded { key });
        turn.events.push(PublicEvent::EdgeRegistered {
            edge: edge.clone(),
            region,
            public_url: register.public_url.clone(),
        });
        Ok(Accepted::EdgeRegistered { edge })
    }
}
