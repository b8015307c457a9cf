//! Signatures of devices: who must sign, what an edge cannot do, how long a key lives.

use fairground_types::command::{
    Actor, Command, Entry, LogCommand, PeopleCommand, RegisterDeviceKey, SignaturePolicy,
};
use fairground_types::journal::{
    Batch, Intake, JournalEntry, Maximum, PlaceBid, Stamp, SubmitOffer,
};
use fairground_types::signature::signed_bytes;
use fairground_types::text::{Country, OfferNote};
use fairground_types::{
    AuctionId, ClusterId, Code, CommandId, Currency, DeviceId, DeviceKeyId, DevicePublicKey,
    DeviceSignature, KeyAlgorithm, LogIndex, Millis, Money, OfferId, SignInId, StoryId, Timestamp,
    UserId, Verdict,
};
use fairground_wire::codec::{self, CodecError};
use proptest::prelude::*;

use crate::script::{DeviceSigner, World, auction_named, edge_named, person};
use crate::{KeyError, Market, SinceVersion1, Snapshot, Verified, parse_key};

fn plays(table: &str) -> World {
    World::play(table).unwrap_or_else(|why| panic!("{why}"))
}

#[test]
fn accounts_with_a_key_sign_everything_and_everybody_signs_high_amounts() {
    plays(
        "signed above EUR 500.00
        12:00:00  in a                                   -> done
        12:00:01  key a ed                               -> done
        12:00:02  in b on 2                              -> done
        12:00:03  key b p256 on 2                        -> done
        12:00:04  offer S1 a EUR 100.00                  -> SIGNATURE_REQUIRED
        12:00:05  offer S1 a EUR 100.00 signed other     -> SIGNATURE_REFUSED
        12:00:06  offer S1 a EUR 100.00 signed ed        -> opened A; A closes 3d12:00:06
        12:00:07  bid A b EUR 105.00                     -> SIGNATURE_REQUIRED
        12:00:08  bid A b EUR 105.00 signed ed           -> SIGNATURE_REFUSED
        12:00:09  bid A b EUR 105.00 signed p256         -> placed
        12:00:10  bid A c EUR 500.00                     -> placed
        12:00:11  bid A c EUR 505.01                     -> SIGNATURE_REQUIRED
        12:00:12  bid A c EUR 505.01 signed c            -> SIGNATURE_REFUSED
        12:00:13  bid A a EUR 505.01 signed ed           -> placed",
    );
}

#[test]
fn a_private_maximum_counts_like_the_amount_it_may_become() {
    plays(
        "policy proxies on
        signed above EUR 500.00
        12:00:00  offer S1 a EUR 100.00                     -> opened A; A closes 3d12:00:00
        12:00:01  bid A b EUR 105.00 up-to EUR 500.01       -> SIGNATURE_REQUIRED
        12:00:02  bid A b EUR 105.00 up-to EUR 500.00       -> placed",
    );
}

/// The stamp is looked at first, the signature second, everything else after it: what may not be the
/// bidder's word leaves nothing in a record.
#[test]
fn a_signature_is_judged_behind_the_stamp_and_before_the_auction() {
    let world = plays(
        "signed above EUR 500.00
        intake e1 e2
        12:00:00  in a                                             -> done
        12:00:01  key a ed                                         -> done
        12:00:02  offer S1 b EUR 100.00                            -> opened A; A closes 3d12:00:02
        12:00:03  bid A a EUR 105.00 width 501                     -> STAMP_REFUSED
        12:00:04  bid Z a EUR 105.00                               -> SIGNATURE_REQUIRED
        12:00:05  bid Z a EUR 105.00 signed x                      -> SIGNATURE_REFUSED
        12:00:06  bid Z a EUR 105.00 signed ed                     -> NOT_FOUND
        12:00:07  bid A a USD 105.00                               -> SIGNATURE_REQUIRED
        12:00:08  bid A a USD 105.00 signed x                      -> SIGNATURE_REFUSED
        12:00:09  bid A a USD 105.00 signed ed                     -> CURRENCY_MISMATCH
        12:00:10  bid A a EUR 1.00                                 -> SIGNATURE_REQUIRED
        12:00:11  bid A a EUR 1.00 signed x                        -> SIGNATURE_REFUSED
        12:00:12  bid A a EUR 1.00 signed ed                       -> BID_TOO_LOW minimum 105.00
        12:00:13  bid A z EUR 600.00                               -> SIGNATURE_REQUIRED
        12:00:14  bid A m EUR 600.00                               -> SIGNATURE_REQUIRED
        12:00:15  flag op auctions.enabled off kill                -> done; auctions.enabled changed
        12:00:16  bid A a EUR 105.00                               -> SIGNATURE_REQUIRED
        12:00:17  bid A a EUR 105.00 signed ed                     -> FEATURE_DISABLED",
    );
    let auction = world.market.auction(auction_named("A").unwrap()).unwrap();
    assert_eq!(auction.judged_of(person("a").unwrap()), 2, "what was signed, nothing else");
    assert_eq!(auction.judged_of(person("z").unwrap()), 0);
}

#[test]
fn a_refusal_for_the_signature_does_not_stand_in_the_way_of_the_bid() {
    plays(
        "signed above EUR 500.00
        intake e1 e2
        12:00:00  in a                                                -> done
        12:00:01  key a ed                                            -> done
        12:00:02  offer S1 b EUR 100.00                               -> opened A; A closes 3d12:00:02
        12:00:03  bid A a EUR 105.00 key first-key                    -> SIGNATURE_REQUIRED
        12:00:04  bid A a EUR 999.00 key first-key signed x via e2    -> SIGNATURE_REFUSED
        12:00:05  bid A a EUR 105.00 key first-key signed ed via e2   -> placed
        12:00:06  bid A a EUR 105.00 key first-key                    -> placed
        12:00:07  bid A a EUR 999.00 key first-key signed ed          -> IDEMPOTENCY_KEY_REUSED",
    );
}

#[test]
fn an_edge_that_sends_again_hears_the_same_refusal() {
    let mut world = plays(
        "signed above EUR 500.00
        12:00:00  in a                                     -> done
        12:00:02  offer S1 b EUR 100.00                    -> opened A; A closes 3d12:00:02
        12:00:03  bid A a EUR 505.00 key the-key           -> SIGNATURE_REQUIRED",
    );
    let last = world.log.iter().rev().flat_map(|entry| &entry.commands).find_map(|command| {
        let LogCommand::Batch(batch) = command else { return None };
        Some((batch.edge.clone(), batch.entries[0].clone()))
    });
    let (edge, entry) = last.unwrap();
    let said = |world: &World| {
        let judged = world.market.verdict_on_entry(&edge, &entry).unwrap();
        (judged.verdict.code().unwrap(), judged.at)
    };
    let first = said(&world);
    assert_eq!(first.0, Code::SignatureRequired);
    world.play_on("12:09:00  key a ed -> done").unwrap();
    assert_eq!(said(&world), first);
    assert!(world.market.verdict(&entry.intake.command()).is_none());
}

#[test]
fn a_copy_that_is_not_signed_joins_no_held_bid() {
    plays(
        "policy initial 1h, window 15m, extension 15m
        signed above EUR 500.00
        intake e1 e2
        12:00:00      offer S1 b EUR 100.00                                        -> opened A; A closes 13:00:00
        12:59:58      in a                                                         -> done
        12:59:59      key a ed                                                     -> done
        13:00:01      bid A a EUR 110.00 key held-key signed ed                    -> held
        13:00:02      bid A a EUR 110.00 key held-key via e2 stamp 12:59:59.999    -> SIGNATURE_REQUIRED
        13:00:03      bid A c EUR 105.00 via e2 stamp 12:59:59.999                 -> placed; A closes 13:15:00; a placed; A closes 13:30:00",
    );
}

#[test]
fn a_held_bid_keeps_the_signature_it_came_with() {
    plays(
        "policy initial 1h, window 15m, extension 15m
        intake e1 e2
        signed above EUR 500.00
        intake e1 e2
        12:00:00      offer S1 b EUR 100.00                           -> opened A; A closes 13:00:00
        12:59:58      in a                                            -> done
        12:59:59      key a ed                                        -> done
        13:00:01      bid A a EUR 110.00 signed ed                    -> held
        13:00:02      out a                                           -> done
        13:00:03      bid A c EUR 105.00 via e2 stamp 12:59:59.999    -> placed; A closes 13:15:00; a placed; A closes 13:30:00",
    );
}

#[test]
fn a_key_ends_with_its_sign_in_and_the_duty_to_sign_does_not() {
    plays(
        "signed above EUR 500.00
        12:00:00  in a                                 -> done
        12:00:01  key a ed                             -> done
        12:00:02  offer S1 b EUR 100.00                -> opened A; A closes 3d12:00:02
        12:00:03  bid A a EUR 105.00 signed ed         -> placed
        12:00:04  out a                                -> done
        12:00:05  bid A a EUR 110.00 signed ed         -> SIGNATURE_REFUSED
        12:00:06  bid A a EUR 110.00                   -> SIGNATURE_REQUIRED
        12:00:07  in a                                 -> done
        12:00:08  bid A a EUR 110.00 signed ed         -> SIGNATURE_REFUSED
        12:00:09  key a second                         -> done
        12:00:10  bid A a EUR 110.00 signed second     -> placed
        12:00:11  in a on 2                            -> done
        12:00:12  key a p256 on 2                      -> done
        12:00:13  bid A a EUR 115.00 signed second     -> placed
        12:00:14  bid A a EUR 120.00 signed p256       -> placed
        12:06:00  in a                                 -> done
        12:06:01  key a third                          -> done
        12:06:02  bid A a EUR 125.00 signed second     -> SIGNATURE_REFUSED
        12:06:03  bid A a EUR 125.00 signed third      -> placed",
    );
}

#[test]
fn a_sign_in_gives_one_key_while_it_is_fresh() {
    plays(
        "signed above EUR 500.00
        12:00:00  key a ed                       -> NOT_FOUND
        12:00:01  in a                           -> done
        12:00:02  key a ed on 2                  -> NOT_FOUND
        12:00:03  key a ed                       -> done
        12:00:04  key a ed                       -> done
        12:00:05  key a other                    -> INVALID_STATE
        12:00:06  in b                           -> done
        12:10:07  key b ed                       -> STEP_UP_REQUIRED
        12:10:08  key a ed                       -> done
        12:10:09  no-key a                       -> STEP_UP_REQUIRED",
    );
}

#[test]
fn who_takes_the_last_key_away_bids_unsigned_again() {
    plays(
        "signed above EUR 500.00
        12:00:00  offer S1 b EUR 100.00          -> opened A; A closes 3d12:00:00
        12:00:01  in a                           -> done
        12:00:02  no-key a                       -> NOT_FOUND
        12:00:03  key a ed                       -> done
        12:00:04  in a on 2                      -> done
        12:00:05  key a p256 on 2                -> done
        12:00:06  no-key a                       -> done
        12:00:07  bid A a EUR 105.00             -> SIGNATURE_REQUIRED
        12:00:08  bid A a EUR 105.00 signed ed   -> SIGNATURE_REFUSED
        12:00:09  no-key a on 2                  -> done
        12:00:10  bid A a EUR 105.00             -> placed",
    );
}

#[test]
fn an_auction_keeps_the_policy_that_it_opened_with() {
    plays(
        "signed above EUR 500.00
        12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 3d12:00:00
        12:00:01  sign above EUR 120.00      -> done
        12:00:02  bid A b EUR 400.00         -> placed
        12:00:03  offer S2 a EUR 130.00      -> SIGNATURE_REQUIRED
        12:00:04  offer S2 a EUR 120.00 opens B -> opened B; B closes 3d12:00:04
        12:00:05  bid B b EUR 130.00         -> SIGNATURE_REQUIRED
        12:00:06  sign above EUR 900.00      -> done
        12:00:07  bid B b EUR 130.00         -> SIGNATURE_REQUIRED
        12:00:08  bid A c EUR 600.00         -> SIGNATURE_REQUIRED",
    );
}

#[test]
fn older_rules_know_no_signature_and_what_opened_under_them_has_no_limit() {
    let mut world = plays(
        "rules 2
        12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 3d12:00:00
        12:00:01  bid A b EUR 600.00         -> placed
        12:00:02  bid A c EUR 700.00 signed nobody  -> placed
        12:00:03  in a                       -> done
        12:00:04  key a ed                   -> INVALID_STATE
        12:00:05  no-key a                   -> INVALID_STATE
        12:00:06  sign above EUR 1.00        -> INVALID_STATE",
    );
    assert_eq!(world.market.snapshot().shape(), 1);
    world
        .play_on(
            "12:00:07  knows m1 3                -> done
            12:00:08  knows e1 3                 -> done
            12:00:09  rules op 3                 -> done; rules 3
            12:00:10  bid A b EUR 800.00         -> placed
            12:00:11  offer S2 b EUR 800.00 opens B -> SIGNATURE_REQUIRED
            12:00:12  key a ed                   -> done
            12:00:13  bid A a EUR 900.00         -> SIGNATURE_REQUIRED
            12:00:14  bid A a EUR 900.00 signed ed -> placed",
        )
        .unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(world.market.snapshot().shape(), 2);
}

#[test]
fn a_state_from_before_signatures_is_read_and_written_as_it_was() {
    let world = plays(
        "rules 2
        12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 3d12:00:00
        12:00:01  bid A b EUR 600.00         -> placed",
    );
    let none = SinceVersion1::default();
    let snapshot = world.market.snapshot();
    let older = codec::encode_state_before(1, &snapshot, &none).unwrap();
    // The first shape, byte for byte: it never changes.
    assert_eq!(fairground_types::Digest::of(&older).to_string(), STATE_1);
    let (version, payload) = codec::open_state(2, &older).unwrap();
    assert_eq!(version, 1);
    let read: Snapshot = codec::decode_state_before(payload, &none).unwrap();
    assert_eq!(Market::restore(read), world.market);

    let newer = plays("signed above EUR 500.00").market.snapshot();
    let refused = codec::encode_state_before(1, &newer, &none);
    assert!(matches!(refused, Err(CodecError::NoPlace(1))));
    let bytes = codec::encode_state(newer.shape(), &newer).unwrap();
    let (version, read) = codec::decode_state::<Snapshot>(3, &bytes).unwrap();
    assert_eq!((version, read), (3, newer));
}

/// BLAKE3 of the state of the test above in its first shape.
const STATE_1: &str = "153f624877d43a15ed8c1ace4d8b5ac034cd8b93673596d28c17888677fb0a4c";

#[test]
fn a_revoked_device_and_an_erased_account_keep_no_key() {
    let mut world = plays(
        "signed above EUR 500.00
        12:00:00  in a            -> done
        12:00:01  key a ed        -> done
        12:00:02  in a on 2       -> done
        12:00:03  key a p256 on 2 -> done",
    );
    let a = person("a").unwrap();
    let key =
        |world: &World, device| world.market.device_key(a, DeviceId::from_bits(device)).is_some();
    assert!(key(&world, 1) && key(&world, 2));
    let revoke = PeopleCommand::RevokeDevice { device: DeviceId::from_bits(1) };
    let at = world.market.last_at();
    assert!(world.direct(at, Actor::User(a), Command::People(revoke)).is_accepted());
    assert!(!key(&world, 1) && key(&world, 2));
    let sign_in = world.market.sign_ins_of(a, SignInId::from_bits(0)).sessions[0].sign_in_id;
    let leave = PeopleCommand::RequestDeletion {
        request: fairground_types::DataRequestId::from_bits(1),
        sign_in,
        waits: false,
    };
    assert!(world.direct(at, Actor::User(a), Command::People(leave)).is_accepted());
    assert!(!key(&world, 2));
    assert!(world.market.signing.signers.contains_key(&a));
    world.keep_time(at.plus(Millis::from_hours(31 * 24)));
    assert!(!world.market.signing.signers.contains_key(&a));
    assert_eq!(world.market.violations(), Vec::<String>::new());
}

#[test]
fn what_is_no_key_is_no_key() {
    let (ed, p) = (DeviceSigner::named("ed").public(), DeviceSigner::named("p").public());
    assert_eq!(parse_key(KeyAlgorithm::Ed25519, ed.as_bytes()), Ok(ed));
    assert_eq!(parse_key(KeyAlgorithm::P256, p.as_bytes()), Ok(p));
    let whole = p256::ecdsa::VerifyingKey::from_sec1_bytes(p.as_bytes()).unwrap();
    let whole = whole.to_sec1_point(false);
    assert_eq!(whole.as_bytes().len(), 65);
    assert_eq!(parse_key(KeyAlgorithm::P256, whole.as_bytes()), Ok(p));

    // The neutral element, a point of order eight, and the number one again, past the prime.
    let neutral = {
        let mut bytes = [0; 32];
        bytes[0] = 1;
        bytes
    };
    let past = {
        let mut bytes = [0xff; 32];
        bytes[0] = 0xee;
        bytes[31] = 0x7f;
        bytes
    };
    let eight = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
    let eight: [u8; 32] = *eight.parse::<fairground_types::Digest>().unwrap().as_bytes();
    let nowhere = {
        let mut bytes = [0; 32];
        bytes[0] = 2;
        bytes
    };
    for bytes in [neutral, past, eight, nowhere] {
        assert_eq!(parse_key(KeyAlgorithm::Ed25519, &bytes), Err(KeyError::Point), "{bytes:?}");
    }
    let mut off = [0; 33];
    off[0] = 2;
    // x = 1 is on no point of P-256; an x past the prime is no number of its field.
    off[32] = 1;
    assert_eq!(parse_key(KeyAlgorithm::P256, &off), Err(KeyError::Point));
    let mut past = [0xff; 33];
    past[0] = 2;
    assert_eq!(parse_key(KeyAlgorithm::P256, &past), Err(KeyError::Point));
    for length in [0, 31, 33, 64] {
        assert_eq!(parse_key(KeyAlgorithm::Ed25519, &vec![1; length]), Err(KeyError::Length));
    }
    for length in [32, 34, 64, 66] {
        assert_eq!(parse_key(KeyAlgorithm::P256, &vec![2; length]), Err(KeyError::Length));
    }
    // Apply looks again: an edge may put anything into a command.
    let mut world = plays("12:00:00  in a -> done");
    let user = person("a").unwrap();
    let sign_in = world.market.sign_ins_of(user, SignInId::from_bits(0)).sessions[0].sign_in_id;
    for key in [DevicePublicKey::Ed25519(neutral), DevicePublicKey::P256(off)] {
        let register = RegisterDeviceKey { device: DeviceId::from_bits(1), sign_in, key };
        let command = Command::People(PeopleCommand::RegisterDeviceKey(register));
        let at = world.market.last_at();
        let refused = world.direct(at, Actor::User(user), command);
        assert_eq!(refused.code(), Some(Code::ValidationFailed));
    }
}

/// A market in which `a` and `b` have keys and an auction is open.
fn fair(keys: (&str, &str)) -> World {
    plays(&format!(
        "policy proxies on
        signed above EUR 500.00
        intake e1 e2
        12:00:00  in a                      -> done
        12:00:01  key a {}                  -> done
        12:00:02  in b on 2                 -> done
        12:00:03  key b {} on 2             -> done
        12:00:04  offer S1 c EUR 100.00     -> opened A; A closes 3d12:00:04
        12:00:05  offer S2 c EUR 100.00 opens B -> opened B; B closes 3d12:00:05",
        keys.0, keys.1
    ))
}

const CLUSTER: ClusterId = ClusterId::from_bits(1);

fn a_bid(at: Timestamp) -> PlaceBid {
    PlaceBid {
        command: CommandId::derive(person("a").unwrap(), "a-key-of-a", "bid", "A"),
        auction: auction_named("A").unwrap(),
        bidder: person("a").unwrap(),
        amount: Money::new(20_000, Currency::Eur),
        maximum: Some(Maximum::new(Money::new(30_000, Currency::Eur))),
        valid_until: at.plus(Millis::from_secs(60)),
    }
}

fn an_offer(at: Timestamp) -> SubmitOffer {
    SubmitOffer {
        command: CommandId::derive(person("a").unwrap(), "a-key-of-a", "offer", "S1"),
        offer: OfferId::from_bits(77),
        auction: AuctionId::from_bits(78),
        story: StoryId::from_bits(1),
        buyer: person("a").unwrap(),
        amount: Money::new(20_000, Currency::Eur),
        note: Some(OfferNote::parse("as a present").unwrap()),
        ship_to: Some(Country::parse("DE").unwrap()),
        eligibility: fairground_types::journal::Eligibility::Allowed,
        bid_if_open: true,
        valid_until: at.plus(Millis::from_secs(60)),
    }
}

/// Every field that an edge could change of a bid.
fn altered_bids(bid: &PlaceBid) -> Vec<(&'static str, PlaceBid)> {
    let euros = |minor| Some(Maximum::new(Money::new(minor, Currency::Eur)));
    let with = |change: &dyn Fn(&mut PlaceBid)| {
        let mut bid = bid.clone();
        change(&mut bid);
        bid
    };
    let other = CommandId::from_bytes([9; 32]);
    vec![
        ("amount up", with(&|bid| bid.amount = Money::new(20_001, Currency::Eur))),
        ("amount down", with(&|bid| bid.amount = Money::new(19_999, Currency::Eur))),
        ("currency", with(&|bid| bid.amount = Money::new(20_000, Currency::Usd))),
        ("auction", with(&|bid| bid.auction = auction_named("B").unwrap())),
        ("account", with(&|bid| bid.bidder = person("b").unwrap())),
        ("another's account", with(&|bid| bid.bidder = person("c").unwrap())),
        ("command", with(&|bid| bid.command = other)),
        ("longer", with(&|bid| bid.valid_until = bid.valid_until.plus(Millis::new(1)))),
        ("shorter", with(&|bid| bid.valid_until = bid.valid_until.minus(Millis::new(1)))),
        ("maximum up", with(&|bid| bid.maximum = euros(30_001))),
        ("maximum down", with(&|bid| bid.maximum = euros(29_999))),
        ("no maximum", with(&|bid| bid.maximum = None)),
    ]
}

fn altered_offers(offer: &SubmitOffer) -> Vec<(&'static str, SubmitOffer)> {
    let with = |change: &dyn Fn(&mut SubmitOffer)| {
        let mut offer = offer.clone();
        change(&mut offer);
        offer
    };
    vec![
        ("amount", with(&|offer| offer.amount = Money::new(20_001, Currency::Eur))),
        ("currency", with(&|offer| offer.amount = Money::new(20_000, Currency::Usd))),
        ("story", with(&|offer| offer.story = StoryId::from_bits(2))),
        ("account", with(&|offer| offer.buyer = person("b").unwrap())),
        ("command", with(&|offer| offer.command = CommandId::from_bytes([9; 32]))),
        ("validity", with(&|offer| offer.valid_until = offer.valid_until.plus(Millis::new(1)))),
        ("note", with(&|offer| offer.note = Some(OfferNote::parse("as a threat").unwrap()))),
        ("no note", with(&|offer| offer.note = None)),
        ("country", with(&|offer| offer.ship_to = Some(Country::parse("FR").unwrap()))),
        ("no bid", with(&|offer| offer.bid_if_open = false)),
    ]
}

/// One journal entry of an edge that holds its own chain well, applied.
fn send(world: &mut World, edge: &str, intake: Intake) -> Option<Code> {
    let edge = edge_named(edge).unwrap();
    let at = world.market.last_at().plus(Millis::new(1));
    let tail = world.market.edge(&edge).unwrap().applied();
    let stamp = Stamp { earliest: at, latest: at };
    let entries = vec![JournalEntry::after(tail, stamp, intake)];
    let commands = vec![LogCommand::Batch(Batch { edge, mark: None, entries })];
    let applied = world.apply(Entry { term: 1, at, marks: vec![], commands });
    applied.judged[0].judged.verdict.code()
}

/// Everything but time, the edge's sequence and the memory of the refusal.
fn is_untouched(before: &Market, after: &Market) -> bool {
    before.auctions == after.auctions
        && before.accounts == after.accounts
        && before.offering == after.offering
        && before.stories == after.stories
        && before.open == after.open
        && before.locks == after.locks
        && before.outbox == after.outbox
        && before.inbox == after.inbox
        && before.ledger == after.ledger
        && before.signing == after.signing
        && before.deadlines == after.deadlines
        && before.view.open_auctions().eq(after.view.open_auctions())
}

#[test]
fn an_edge_alters_nothing_that_a_device_has_signed() {
    for keys in [("ed", "p-b"), ("p-a", "ed")] {
        let mut world = fair(keys);
        let signer = DeviceSigner::named(keys.0);
        let bid = a_bid(world.market.last_at());
        let Intake::SignedBid(_, signature) = signer.sign(CLUSTER, Intake::Bid(bid.clone())) else {
            panic!("signed")
        };
        for (what, altered) in altered_bids(&bid) {
            let before = world.market.clone();
            let code = send(&mut world, "e1", Intake::SignedBid(altered.clone(), signature));
            assert_eq!(code, Some(Code::SignatureRefused), "{what}");
            assert!(is_untouched(&before, &world.market), "{what}");
            // Without the signature it is no better; an account without a key is the exception.
            if altered.bidder != person("c").unwrap() {
                let code = send(&mut world, "e1", Intake::Bid(altered));
                assert_eq!(code, Some(Code::SignatureRequired), "{what}");
                assert!(is_untouched(&before, &world.market), "{what}");
            }
        }
        assert_eq!(send(&mut world, "e2", Intake::SignedBid(bid, signature)), None);
    }
}

#[test]
fn an_edge_alters_no_signed_offer() {
    let mut world = fair(("p-a", "ed"));
    let offer = an_offer(world.market.last_at());
    let signed = DeviceSigner::named("p-a").sign(CLUSTER, Intake::Offer(offer.clone()));
    let signature = *signed.signature().unwrap();
    for (what, altered) in altered_offers(&offer) {
        let before = world.market.clone();
        let code = send(&mut world, "e1", Intake::SignedOffer(altered, signature));
        assert_eq!(code, Some(Code::SignatureRefused), "{what}");
        assert!(is_untouched(&before, &world.market), "{what}");
    }
    assert_eq!(send(&mut world, "e2", signed), None);
}

#[test]
fn a_signature_counts_in_its_own_cluster_and_for_its_own_kind() {
    let mut world = fair(("ed", "p-b"));
    let signer = DeviceSigner::named("ed");
    let bid = Intake::Bid(a_bid(world.market.last_at()));
    let elsewhere = signer.sign(ClusterId::from_bits(2), bid.clone());
    assert_eq!(send(&mut world, "e1", elsewhere), Some(Code::SignatureRefused));
    // A key of another account signs what it likes: it is not this account's.
    let another = DeviceSigner::named("p-b").sign(CLUSTER, bid.clone());
    assert_eq!(send(&mut world, "e1", another), Some(Code::SignatureRefused));
    // Bytes of another domain, signed by the right key.
    let mut bytes = signed_bytes(CLUSTER, &bid, signer.public().id());
    bytes[23] = b'2';
    let other = bid.clone().signed(signer.signature(&bytes));
    assert_eq!(send(&mut world, "e1", other), Some(Code::SignatureRefused));
    assert_eq!(send(&mut world, "e1", signer.sign(CLUSTER, bid)), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Law: one flipped bit anywhere in what was signed, or in the signature, is refused.
    #[test]
    fn a_flipped_bit_is_refused(place in 0..148_usize, bit in 0..8_u8, in_bytes: bool, ed: bool) {
        let mut world = fair(if ed { ("ed", "p-b") } else { ("p-a", "ed") });
        let signer = DeviceSigner::named(if ed { "ed" } else { "p-a" });
        let bid = Intake::Bid(a_bid(world.market.last_at()));
        let mut bytes = signed_bytes(CLUSTER, &bid, signer.public().id());
        let mut signature = signer.signature(&bytes);
        if in_bytes {
            bytes[place] ^= 1 << bit;
            signature = signer.signature(&bytes);
        } else {
            signature.bytes[place % 64] ^= 1 << bit;
        }
        let code = send(&mut world, "e1", bid.signed(signature));
        prop_assert_eq!(code, Some(Code::SignatureRefused));
    }

    /// Law: what was looked into before an entry is applied changes nothing but the time it takes,
    /// whatever part of it is known.
    #[test]
    fn apply_says_the_same_whatever_was_looked_into(
        bids in proptest::collection::vec((0..4_u8, 0..3_u8, any::<bool>()), 1..24)
    ) {
        let mut world = fair(("ed", "p-b"));
        let lines: Vec<String> = (0..).zip(&bids).map(|(place, (who, how, _))| {
            let (letter, key) = [("a", "ed"), ("b", "p-b"), ("c", "ed"), ("d", "x")][usize::from(*who)];
            let signed = [String::new(), format!(" signed {key}"), " signed forged".to_owned()];
            format!("bid A {letter} EUR {}.00{}", 105 + 5 * place, signed[usize::from(*how)])
        }).collect();
        let entry = world.entry_of("12:00:06", &lines).unwrap();
        let claims = world.market.claims(&entry);
        let known = claims.iter().zip(&bids).filter(|(_, (_, _, known))| *known);
        let verified: Verified = known.map(|(claim, _)| claim.check()).collect();
        let next = LogIndex(world.market.last_index().0 + 1);
        let (mut one, mut other) = (world.market.clone(), world.market.clone());
        let first = one.apply(next, &entry);
        prop_assert_eq!(&first, &other.apply_verified(next, &entry, verified));
        prop_assert_eq!(&one, &other);
        let all: Verified = claims.iter().map(crate::Claim::check).collect();
        prop_assert_eq!(&first, &world.market.apply_verified(next, &entry, all));
        let judged = first.judged.iter().filter(|row| matches!(row.judged.verdict, Verdict::Rejected(_)));
        prop_assert!(judged.count() <= bids.len());
    }
}

/// The vectors of `docs/src/internals/formats.md`: who writes an app checks its bytes against them.
#[test]
fn the_documented_vectors_are_what_is_signed() {
    let hex =
        |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/internals/formats.md");
    let page = std::fs::read_to_string(page).unwrap();
    let cluster: ClusterId = "clu_01k6x0000000000000000000c1".parse().unwrap();
    let bidder: UserId = "usr_01k6x0000000000000000000v1".parse().unwrap();
    let auction: AuctionId = "auc_01k6x0000000000000000000a1".parse().unwrap();
    let command = CommandId::derive(bidder, "3f2b8c1e-key-of-the-bid", "bid", &auction.to_string());
    let bid = Intake::Bid(PlaceBid {
        command,
        auction,
        bidder,
        amount: Money::new(12_500, Currency::Eur),
        maximum: Some(Maximum::new(Money::new(20_000, Currency::Eur))),
        valid_until: Timestamp::from_unix_millis(1_790_000_120_000),
    });
    let mut wanted = vec![format!("commandId  {command}")];
    for (name, signer) in
        [("ed25519", DeviceSigner::ed25519([1; 32])), ("p256", DeviceSigner::p256([1; 32]))]
    {
        let key = signer.public();
        let bytes = signed_bytes(cluster, &bid, key.id());
        let signature: DeviceSignature = signer.signature(&bytes);
        let id: DeviceKeyId = key.id();
        wanted.push(format!("{name}\npublicKey  {}\nkeyId      {id}", hex(key.as_bytes())));
        wanted.push(format!("bytes      {}\nsignature  {}", hex(&bytes), hex(&signature.bytes)));
    }
    let wanted = wanted.join("\n");
    let missing: Vec<&str> = wanted.lines().filter(|line| !page.contains(line)).collect();
    assert!(missing.is_empty(), "not in formats.md:\n{wanted}");
}

#[test]
fn the_default_is_five_hundred_for_everybody_and_everything_for_who_has_a_key() {
    let policy = SignaturePolicy::DEFAULT;
    assert!(policy.registered_accounts);
    assert_eq!(policy.unsigned_max_minor.of(Currency::Eur), 50_000);
    assert_eq!(policy.unsigned_max_minor.of(Currency::Usd), 50_000);
    assert_eq!(Market::default().signature_policy().policy, policy);
}
