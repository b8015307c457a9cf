//! Signatures of devices: the keys of accounts, who must sign, and what becomes of who does not.
//!
//! ```text
//!  sign-in -> device named -> key registered, once a sign-in, while it is fresh
//!                                 \-> gone with the sign-in; the duty to sign stays with the account
//!  bid, offer -> retry? -> stamp good? -> signature: SIGNATURE_REFUSED, SIGNATURE_REQUIRED
//!                                             \-> everything about the auction
//! ```
//! A refusal for the signature is remembered for the journal entry alone, never for the command: what
//! may not be the bidder's own word must not stand in the way of it, and leaves nothing in the
//! auction's record. Read next: [`claim`] for the pure part, `fairground_types::signature` for what is
//! signed, `../offer.rs` for when it is asked.

mod claim;
mod policy;

use std::sync::Arc;

use fairground_types::command::{Entry, LogCommand, RegisterDeviceKey, SignaturePolicy};
use fairground_types::journal::Intake;
use fairground_types::limits::SIGN_INS_PER_USER_MAX;
use fairground_types::signature::{DeviceSignature, SIGNED_BIDS_RULES, signed_bytes};
use fairground_types::{
    Accepted, AuctionId, ClusterId, Code, CommandId, DeviceId, DeviceKeyId, DevicePublicKey,
    EdgeId, Rejection, SignInId, Timestamp, UserId,
};
use wincode::{SchemaRead, SchemaWrite};

pub use claim::{Checked, Claim, KeyError, Verified, parse_key};
pub use policy::SignaturePolicyVersion;
pub(crate) use policy::SignatureSettings;

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::cow_map::CowMap;
use crate::people::not_found;

/// The key of a device, with the sign-in that it lives and ends with.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct DeviceKey {
    pub(crate) id: DeviceKeyId,
    pub(crate) device: DeviceId,
    pub(crate) sign_in: SignInId,
    pub(crate) public: DevicePublicKey,
    pub(crate) registered_at: Timestamp,
}

impl DeviceKey {
    /// The key.
    #[must_use]
    pub const fn public(&self) -> &DevicePublicKey {
        &self.public
    }

    /// When it was registered.
    #[must_use]
    pub const fn registered_at(&self) -> Timestamp {
        self.registered_at
    }
}

/// An account that has registered a key, also when it has none any more.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Signer {
    /// Since when it signs.
    pub(crate) since: Timestamp,
    /// At most one a sign-in, and so at most [`SIGN_INS_PER_USER_MAX`].
    pub(crate) keys: Vec<DeviceKey>,
}

/// Everything in this module's care.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Signing {
    pub(crate) settings: SignatureSettings,
    pub(crate) signers: CowMap<UserId, Arc<Signer>>,
    /// The policy that each auction opened with; none for what opened before rules 3.
    pub(crate) opened_with: CowMap<AuctionId, SignaturePolicy>,
}

impl Signing {
    fn key(&self, user: UserId, id: DeviceKeyId) -> Option<&DeviceKey> {
        self.signers.get(&user)?.keys.iter().find(|key| key.id == id)
    }

    /// A sign-in is over, and the key with it.
    pub(crate) fn end_sign_in(&mut self, user: UserId, sign_in: SignInId) {
        let has_key = |signer: &Arc<Signer>| signer.keys.iter().any(|key| key.sign_in == sign_in);
        if let Some(signer) = self.signers.get_mut(&user).filter(|signer| has_key(signer)) {
            Arc::make_mut(signer).keys.retain(|key| key.sign_in != sign_in);
        }
    }

    /// An account is erased.
    pub(crate) fn erase(&mut self, user: UserId) {
        self.signers.remove(&user);
    }

    pub(crate) fn let_go(&mut self, auction: AuctionId) {
        self.opened_with.remove(&auction);
    }
}

/// The name under which the refusal of a journal entry is remembered.
pub(crate) fn refusal_of(edge: &EdgeId, seq: u64) -> CommandId {
    CommandId::derive_system("signature refusal", &edge.to_string(), &seq.to_string())
}

impl Market {
    /// The key of a device, while its sign-in lasts.
    #[must_use]
    pub fn device_key(&self, user: UserId, device: DeviceId) -> Option<&DeviceKey> {
        self.signing.signers.get(&user)?.keys.iter().find(|key| key.device == device)
    }

    /// Whether the rules in force know signatures.
    #[must_use]
    pub const fn knows_signatures(&self) -> bool {
        self.rules_version >= SIGNED_BIDS_RULES
    }

    /// What of an entry can be looked into before it is applied. The keys are those of now; what the
    /// entry itself changes about them is looked into by apply.
    #[must_use]
    pub fn claims(&self, entry: &Entry) -> Vec<Claim> {
        if !self.knows_signatures() {
            return Vec::new();
        }
        let batches = entry.commands.iter().filter_map(|command| match command {
            LogCommand::Direct(_) => None,
            LogCommand::Batch(batch) => Some(batch),
        });
        batches
            .flat_map(|batch| &batch.entries)
            .filter_map(|entry| {
                let signature = entry.intake.signature()?;
                self.claim_of(&entry.intake, signature)
            })
            .collect()
    }

    fn claim_of(&self, intake: &Intake, signature: &DeviceSignature) -> Option<Claim> {
        let key = self.signing.key(intake.user(), signature.key)?;
        let cluster = self.cluster.id.unwrap_or(ClusterId::from_bits(0));
        Some(Claim {
            key: key.public,
            bytes: signed_bytes(cluster, intake, signature.key),
            signature: signature.bytes,
        })
    }

    /// Refuses what a signature says is not its bidder's word, and what comes without one where one is
    /// needed.
    pub(crate) fn check_signature(
        &self,
        verified: &Verified,
        intake: &Intake,
    ) -> Result<(), Rejection> {
        if !self.knows_signatures() {
            return Ok(());
        }
        let Some(signature) = intake.signature() else { return self.may_be_unsigned(intake) };
        let refused = |why: &str| Err(Rejection::new(Code::SignatureRefused, why));
        let Some(claim) = self.claim_of(intake, signature) else {
            return refused("the account has no such key: sign in and register one");
        };
        if !verified.holds(&claim) {
            return refused("the signature is not over this bid");
        }
        Ok(())
    }

    fn may_be_unsigned(&self, intake: &Intake) -> Result<(), Rejection> {
        let required = |why: &str| Err(Rejection::new(Code::SignatureRequired, why));
        let (policy, limit) = self.signature_rules(self.auction_meant(intake));
        if policy.registered_accounts && self.signing.signers.contains_key(&intake.user()) {
            return required("the account has registered a device key: its bids are signed");
        }
        // What the market may bid for somebody counts like what they bid themselves.
        let maximum = intake.maximum().map(|maximum| maximum.reveal());
        let is_above = std::iter::once(intake.amount())
            .chain(maximum)
            .any(|amount| limit.is_some_and(|limit| limit.is_below(amount)));
        if is_above {
            return required("so high a bid must be signed by a device of the account");
        }
        Ok(())
    }

    pub(crate) fn register_device_key(
        &mut self,
        turn: &Turn,
        user: UserId,
        register: &RegisterDeviceKey,
    ) -> Answer {
        self.require_signatures()?;
        let refused = |code, why: &str| Err(Rejection::new(code, why));
        let person = self.person(user)?;
        let device = person.devices.get(&register.device);
        if device.is_none_or(|device| device.revoked_at.is_some()) {
            return Err(not_found());
        }
        let sign_in = self.accounts.sign_ins.get(&register.sign_in);
        let is_on_it =
            sign_in.is_some_and(|row| row.user == user && row.device == Some(register.device));
        if !is_on_it {
            return refused(Code::InvalidState, "the sign-in is not on this device");
        }
        if !claim::is_sound_key(&register.key) {
            return refused(Code::ValidationFailed, "the key is not a point of its curve");
        }
        let signer = self.signing.signers.get(&user);
        let known = signer
            .and_then(|signer| signer.keys.iter().find(|key| key.sign_in == register.sign_in));
        if let Some(known) = known {
            if known.public == register.key {
                return Ok(Accepted::Done);
            }
            return refused(
                Code::InvalidState,
                "the sign-in has its key: sign in anew for another",
            );
        }
        self.require_fresh(turn, user, register.sign_in)?;
        let key = DeviceKey {
            id: register.key.id(),
            device: register.device,
            sign_in: register.sign_in,
            public: register.key,
            registered_at: turn.at,
        };
        let mut signer = signer
            .map_or_else(|| Signer { since: turn.at, keys: Vec::new() }, |row| Signer::clone(row));
        signer.keys.retain(|known| known.device != key.device && known.id != key.id);
        signer.keys.push(key);
        let surplus = signer.keys.len().saturating_sub(SIGN_INS_PER_USER_MAX);
        signer.keys.drain(..surplus);
        self.signing.signers.insert(user, Arc::new(signer));
        Ok(Accepted::Done)
    }

    /// Takes the key of a device away; with the last one ends the duty to sign.
    pub(crate) fn remove_device_key(
        &mut self,
        turn: &Turn,
        user: UserId,
        (device, sign_in): (DeviceId, SignInId),
    ) -> Answer {
        self.require_signatures()?;
        self.require_fresh(turn, user, sign_in)?;
        let Some(signer) = self.signing.signers.get_mut(&user) else { return Err(not_found()) };
        // Also when it has ended by itself: this is how an account that cannot sign any more bids again.
        let signer = Arc::make_mut(signer);
        signer.keys.retain(|key| key.device != device);
        if signer.keys.is_empty() {
            self.signing.signers.remove(&user);
        }
        Ok(Accepted::Done)
    }

    fn require_signatures(&self) -> Result<(), Rejection> {
        if self.knows_signatures() {
            return Ok(());
        }
        Err(Rejection::new(Code::InvalidState, "the rules in force know no signatures"))
    }

    /// What is broken about keys; nothing in a sound state.
    pub(crate) fn check_signers(&self, broken: &mut Vec<String>) {
        for (user, signer) in self.signing.signers.iter() {
            for key in &signer.keys {
                let sign_in = self.accounts.sign_ins.get(&key.sign_in);
                if sign_in.is_none_or(|row| row.user != *user) {
                    broken.push(format!("a key of {user} outlived its sign-in"));
                }
                if key.id != key.public.id() {
                    broken.push(format!("a key of {user} has another's name"));
                }
            }
        }
        for (auction, _) in self.signing.opened_with.iter() {
            if !self.auctions.contains_key(auction) {
                broken.push(format!("a signature policy outlived {auction}"));
            }
        }
    }
}
