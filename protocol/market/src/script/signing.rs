//! Words of tables about device keys and who must sign.
//!
//! ```text
//!   in a | in a on 2                 signs in by a code, on a device of that number
//!   key a ed | key a p256 on 2       gives the device its key
//!   no-key a on 2 | out a on 2       takes the key away | ends the sign-in
//!   sign above EUR 500.00            a new policy, for accounts with a key and for everybody
//!   bid A a EUR 105.00 signed ed     an option of bids and offers
//! ```
//! A key is called by a word; one that begins with `p` is of P-256. Read next: the parent module.

use ed25519_dalek::Signer as _;
use fairground_types::command::{
    AccountCommand, Actor, Channel, Command, Entry, GovernCommand, LogCommand, PeopleCommand,
    RegisterDevice, RegisterDeviceKey, RequestCode, SealedContact, SetSignaturePolicy,
    SignaturePolicy, UnsignedMax, VerifyCode,
};
use fairground_types::journal::Intake;
use fairground_types::people::{DevicePlatform, DeviceSignals};
use fairground_types::signature::signed_bytes;
use fairground_types::text::Note;
use fairground_types::{
    ChallengeId, ClusterId, DeviceId, DevicePublicKey, DeviceSignature, Digest, Money, SignInId,
    Timestamp, UserId, limits,
};

use super::{Asked, Words, World, person};

/// Every verb of this page.
pub(super) const VERBS: [&str; 4] = ["key", "no-key", "out", "sign"];

/// A device that signs.
#[derive(Clone, Debug)]
pub struct DeviceSigner {
    secret: Secret,
    public: DevicePublicKey,
}

#[derive(Clone, Debug)]
enum Secret {
    Ed25519(ed25519_dalek::SigningKey),
    P256(p256::ecdsa::SigningKey),
}

impl DeviceSigner {
    /// The device of a word; it has P-256 when the word begins with `p`, else Ed25519.
    #[must_use]
    pub fn named(word: &str) -> Self {
        let seed = *Digest::of(word.as_bytes()).as_bytes();
        if word.starts_with('p') { Self::p256(seed) } else { Self::ed25519(seed) }
    }

    /// A device with this Ed25519 seed.
    #[must_use]
    pub fn ed25519(seed: [u8; 32]) -> Self {
        let secret = ed25519_dalek::SigningKey::from_bytes(&seed);
        let public = DevicePublicKey::Ed25519(secret.verifying_key().to_bytes());
        Self { secret: Secret::Ed25519(secret), public }
    }

    /// A device with this P-256 scalar; one that is none is that of a fixed other.
    #[must_use]
    pub fn p256(scalar: [u8; 32]) -> Self {
        let mut low = scalar;
        low[0] &= 0x7f;
        low[31] |= 1;
        let secret = p256::ecdsa::SigningKey::from_slice(&low).ok();
        let secret = secret.map(|secret| {
            let point = secret.verifying_key().to_sec1_point(true);
            (point.as_bytes().try_into().unwrap_or([0; 33]), secret)
        });
        match secret {
            Some((public, secret)) => {
                Self { secret: Secret::P256(secret), public: DevicePublicKey::P256(public) }
            }
            None => Self::ed25519(scalar),
        }
    }

    /// Its public key.
    #[must_use]
    pub const fn public(&self) -> DevicePublicKey {
        self.public
    }

    /// Its signature over any bytes. Both algorithms give the same one each time.
    #[must_use]
    pub fn signature(&self, bytes: &[u8]) -> DeviceSignature {
        let signature = match &self.secret {
            Secret::Ed25519(secret) => secret.sign(bytes).to_bytes(),
            Secret::P256(secret) => {
                let signature: p256::ecdsa::Signature = secret.sign(bytes);
                signature.to_bytes().into()
            }
        };
        DeviceSignature { key: self.public.id(), bytes: signature }
    }

    /// A bid or an offer with its signature.
    #[must_use]
    pub fn sign(&self, cluster: ClusterId, intake: Intake) -> Intake {
        let signature = self.signature(&signed_bytes(cluster, &intake, self.public.id()));
        intake.signed(signature)
    }
}

fn reason() -> Result<Note, String> {
    Note::parse("as the table says").map_err(|why| why.to_string())
}

/// Each sign-in has an id of its own, which says when it began.
fn sign_in_on(user: UserId, device: u128, at: Timestamp) -> SignInId {
    let bits = (u128::from(at.as_unix_millis()) << 32) | (user.to_bits() << 8) | device;
    SignInId::from_bits(bits)
}

/// `on 2`, or the first device.
fn device_of(words: &mut Words<'_>) -> Result<u128, String> {
    match words.next("on") {
        Ok(_) => words.next("device")?.parse().map_err(|_| "a device is a number".to_owned()),
        Err(_) => Ok(1),
    }
}

/// `EUR 500.00`.
pub(super) fn parse_amount(text: &str) -> Result<Money, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    Words { words: words.into_iter() }.money()
}

impl World {
    pub(super) fn cluster(&self) -> ClusterId {
        self.market.cluster.id.unwrap_or(ClusterId::from_bits(0))
    }

    /// Most tables are about something else: no amount needs a signature in them.
    pub(super) fn sign_nothing(&mut self, at: Timestamp) -> Result<(), String> {
        if !self.market.knows_signatures() {
            return Ok(());
        }
        let unsigned_max_minor = UnsignedMax::flat(limits::AMOUNT_MAX_MINOR);
        self.set_signatures(at, SignaturePolicy { unsigned_max_minor, ..SignaturePolicy::DEFAULT })
    }

    pub(super) fn sign_above(&mut self, amount: Money) -> Result<(), String> {
        let unsigned_max_minor = UnsignedMax::flat(amount.minor());
        let policy = SignaturePolicy { unsigned_max_minor, ..SignaturePolicy::DEFAULT };
        self.set_signatures(self.market.last_at(), policy)
    }

    fn set_signatures(&mut self, at: Timestamp, policy: SignaturePolicy) -> Result<(), String> {
        let base_version = self.market.signature_policy().version;
        let set = SetSignaturePolicy { base_version, policy, reason: reason()? };
        let command = Command::Govern(GovernCommand::SetSignaturePolicy(set));
        self.must(at, Actor::Cluster, command).map(|_| ())
    }

    /// Three commands: the code, the sign-in, the device. The line waits for the last.
    pub(super) fn read_sign_in(
        &mut self,
        words: &mut Words<'_>,
        at: Timestamp,
        entry: &mut Entry,
    ) -> Result<Asked, String> {
        let letter = words.next("person")?;
        let user = person(letter)?;
        let number = device_of(words)?;
        let sign_in = sign_in_on(user, number, at);
        let challenge = ChallengeId::from_bits(sign_in.to_bits());
        let (identifier, code) = (Digest::of(letter.as_bytes()), Digest::of(b"the code"));
        let request = AccountCommand::RequestCode(RequestCode {
            challenge,
            identifier,
            contact: SealedContact { wrapped_key: vec![], sealed: vec![] },
            channel: Channel::Email,
            code,
            origin: None,
        });
        let verify = AccountCommand::VerifyCode(VerifyCode {
            identifier,
            code,
            new_user: user,
            sign_in,
            refresh: Digest::of(b"refresh"),
        });
        let register = PeopleCommand::RegisterDevice(RegisterDevice {
            device: DeviceId::from_bits(number),
            sign_in,
            platform: DevicePlatform::Web,
            signals: DeviceSignals::default(),
        });
        let given = [
            (Actor::Anonymous, Command::Account(request)),
            (Actor::Anonymous, Command::Account(verify)),
            (Actor::User(user), Command::People(register)),
        ];
        let direct = |known: &&LogCommand| matches!(known, LogCommand::Direct(_));
        let before = entry.commands.iter().filter(direct).count();
        for (actor, command) in given {
            let envelope = self.envelope(actor, command);
            entry.commands.push(LogCommand::Direct(envelope));
        }
        Ok(Asked::Direct(before.saturating_add(2)))
    }

    /// The sign-in of an account that is on a device.
    fn sign_in_here(&self, user: UserId, device: DeviceId) -> SignInId {
        let signed_in = self.market.sign_ins_of(user, SignInId::from_bits(0)).sessions;
        let here = signed_in.into_iter().rev().find(|row| row.device_id == Some(device));
        here.map_or(SignInId::from_bits(0), |row| row.sign_in_id)
    }

    pub(super) fn read_signing(
        &self,
        verb: &str,
        words: &mut Words<'_>,
    ) -> Result<(Actor, Command), String> {
        if verb == "sign" {
            words.next("above")?;
            let base_version = self.market.signature_policy().version;
            let unsigned_max_minor = UnsignedMax::flat(words.money()?.minor());
            let policy = SignaturePolicy { unsigned_max_minor, ..SignaturePolicy::DEFAULT };
            let set = SetSignaturePolicy { base_version, policy, reason: reason()? };
            return Ok((Actor::Cluster, Command::Govern(GovernCommand::SetSignaturePolicy(set))));
        }
        let user = person(words.next("person")?)?;
        let key = (verb == "key").then(|| words.next("key")).transpose()?;
        let number = device_of(words)?;
        let device = DeviceId::from_bits(number);
        let sign_in = self.sign_in_here(user, device);
        let command = match key {
            Some(key) => Command::People(PeopleCommand::RegisterDeviceKey(RegisterDeviceKey {
                device,
                sign_in,
                key: DeviceSigner::named(key).public(),
            })),
            None if verb == "no-key" => {
                Command::People(PeopleCommand::RemoveDeviceKey { device, sign_in })
            }
            None => Command::Account(AccountCommand::SignOut { sign_in }),
        };
        Ok((Actor::User(user), command))
    }
}
