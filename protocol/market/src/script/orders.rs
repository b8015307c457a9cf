//! Verbs of the tables about orders, parcels and issues.
//!
//! An order has the letter of its auction, an issue the number that `issue` gives it. Read next: the
//! parent module.

use fairground_types::command::{
    Actor, Carrier, CarrierEvent, CarrierStatus, Command, Decision, Evidence, IssueCommand,
    IssueKind, MakerOffer, OpenIssue, OrderCommand, Party, Review, SealedText, ShippingAddress,
};
use fairground_types::text::{Country, Note, TrackingNumber};
use fairground_types::{BlobHash, Digest, IssueId, Timestamp};

use super::notation::parse_time;
use super::{Words, World, order_of, person};

/// Whether a line is about an order, a parcel or an issue.
pub(super) fn is_verb(verb: &str) -> bool {
    const VERBS: [&str; 19] = [
        "ship",
        "correct",
        "carrier",
        "address",
        "confirm",
        "withdraw",
        "message",
        "admin-cancel",
        "admin-deliver",
        "admin-complete",
        "issue",
        "evidence",
        "suggest",
        "answer",
        "take",
        "appeal",
        "assign",
        "ask",
        "decide",
    ];
    VERBS.contains(&verb)
}

/// A sealed text of so many characters.
#[must_use]
pub(super) fn sealed(chars: u32) -> SealedText {
    SealedText { key: vec![1; 60], body: vec![2; 40], mark: Digest::of(b"text"), chars }
}

fn issue(words: &mut Words<'_>) -> Result<IssueId, String> {
    let number = words.next("issue")?;
    let bits = number.strip_prefix('#').and_then(|digits| digits.parse().ok());
    bits.map(IssueId::from_bits).ok_or_else(|| format!("issue {number}"))
}

fn note(words: &mut Words<'_>) -> Result<Note, String> {
    let reason = words.next("reason").unwrap_or("because");
    Note::parse(reason).map_err(|why| why.to_string())
}

fn number(text: &str) -> Result<TrackingNumber, String> {
    TrackingNumber::parse(text).map_err(|why| why.to_string())
}

fn carrier(text: &str) -> Result<Carrier, String> {
    Ok(match text {
        "usps" => Carrier::Usps,
        "ups" => Carrier::Ups,
        "fedex" => Carrier::Fedex,
        "dhl" => Carrier::Dhl,
        "other" => Carrier::Other,
        _ => return Err(format!("carrier {text}")),
    })
}

fn status(text: &str) -> Result<CarrierStatus, String> {
    Ok(match text {
        "unknown" => CarrierStatus::Unknown,
        "label" => CarrierStatus::InfoReceived,
        "transit" => CarrierStatus::InTransit,
        "out" => CarrierStatus::OutForDelivery,
        "counter" => CarrierStatus::AvailableForPickup,
        "attempt" => CarrierStatus::AttemptFailed,
        "delivered" => CarrierStatus::Delivered,
        "returned" => CarrierStatus::ReturnToSender,
        "exception" => CarrierStatus::Exception,
        "expired" => CarrierStatus::Expired,
        _ => return Err(format!("status {text}")),
    })
}

fn kind(text: &str) -> Result<IssueKind, String> {
    Ok(match text {
        "not-received" => IssueKind::NotReceived,
        "damaged" => IssueKind::Damaged,
        "not-as-described" => IssueKind::NotAsDescribed,
        "wrong-item" => IssueKind::WrongItem,
        "missing-parts" => IssueKind::MissingParts,
        "other" => IssueKind::Other,
        _ => return Err(format!("kind {text}")),
    })
}

fn party(text: &str) -> Result<Party, String> {
    match text {
        "buyer" => Ok(Party::Buyer),
        "maker" => Ok(Party::Maker),
        _ => Err(format!("party {text}")),
    }
}

fn count(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("number {text}"))
}

fn pictures(how_many: u32) -> Vec<Evidence> {
    (0..how_many).map(|place| Evidence::Image(BlobHash::of(&place.to_le_bytes()))).collect()
}

/// The cluster itself, or somebody of staff.
fn staff(letter: &str) -> Result<Actor, String> {
    if letter == "cluster" { Ok(Actor::Cluster) } else { person(letter).map(Actor::User) }
}

impl World {
    pub(super) fn read_order(
        &self,
        verb: &str,
        words: &mut Words<'_>,
        at: Timestamp,
    ) -> Result<(Actor, Command), String> {
        match verb {
            "ship" | "correct" => {
                let order = order_of(words.next("auction")?)?;
                let maker = person(words.next("maker")?)?;
                let number = number(words.next("number")?)?;
                let carrier = words.next("carrier").map_or(Ok(Carrier::Other), carrier)?;
                let command = if verb == "ship" {
                    OrderCommand::AddTracking { order, carrier, number }
                } else {
                    OrderCommand::CorrectTracking { order, carrier, number }
                };
                Ok((Actor::User(maker), Command::Order(command)))
            }
            "carrier" => {
                let number = number(words.next("number")?)?;
                let carrier = carrier(words.next("carrier")?)?;
                let status = status(words.next("status")?)?;
                let id = words.next("event")?.to_owned();
                let at = words.next("time").map_or(Ok(at), parse_time)?;
                let event = CarrierEvent { id, at, status };
                let command = OrderCommand::RecordCarrierEvent { carrier, number, event };
                Ok((Actor::Cluster, Command::Order(command)))
            }
            "address" => {
                let order = order_of(words.next("auction")?)?;
                let buyer = person(words.next("buyer")?)?;
                let country = Country::parse(words.next("country")?);
                let country = country.map_err(|why| why.to_string())?;
                let chars = words.next("characters").map_or(Ok(40), count)?;
                let address = ShippingAddress { country, sealed: sealed(chars) };
                let command = OrderCommand::ChangeAddress { order, address };
                Ok((Actor::User(buyer), Command::Order(command)))
            }
            "confirm" | "withdraw" | "message" => Self::read_party(verb, words),
            "admin-cancel" | "admin-deliver" | "admin-complete" => {
                let order = order_of(words.next("auction")?)?;
                let actor = staff(words.next("who").unwrap_or("cluster"))?;
                let reason = note(words)?;
                let command = match verb {
                    "admin-cancel" => OrderCommand::AdminCancelOrder { order, reason },
                    "admin-deliver" => OrderCommand::AdminConfirmDelivery { order, reason },
                    _ => OrderCommand::AdminCompleteOrder { order, reason },
                };
                Ok((actor, Command::Order(command)))
            }
            _ => Self::read_issue(verb, words),
        }
    }

    fn read_party(verb: &str, words: &mut Words<'_>) -> Result<(Actor, Command), String> {
        let order = order_of(words.next("auction")?)?;
        let actor = Actor::User(person(words.next("party")?)?);
        let more = words.next("more").ok();
        let command = match verb {
            "confirm" => {
                let rating = more.map(count).transpose()?;
                let rating = rating.map(|rating| u8::try_from(rating).unwrap_or(u8::MAX));
                let review = rating.map(|rating| Review { rating: Some(rating), text: None });
                OrderCommand::ConfirmDelivery { order, review }
            }
            "withdraw" => {
                let reason = more.map(count).transpose()?.map(sealed);
                OrderCommand::CancelOrder { order, reason }
            }
            _ => {
                let mut text = sealed(more.map_or(Ok(10), count)?);
                if words.next("how").is_ok() {
                    text.key.clear();
                }
                OrderCommand::PostMessage { order, text }
            }
        };
        Ok((actor, Command::Order(command)))
    }

    fn read_issue(verb: &str, words: &mut Words<'_>) -> Result<(Actor, Command), String> {
        if verb == "issue" {
            let order = order_of(words.next("auction")?)?;
            let buyer = person(words.next("buyer")?)?;
            let issue = issue(words)?;
            let kind = kind(words.next("kind")?)?;
            let evidence = pictures(words.next("pictures").map_or(Ok(1), count)?);
            let description = sealed(words.next("characters").map_or(Ok(60), count)?);
            let open = OpenIssue { issue, order, kind, description, evidence };
            return Ok((Actor::User(buyer), Command::Issue(IssueCommand::OpenIssue(open))));
        }
        let issue = issue(words)?;
        let actor = staff(words.next("who")?)?;
        let command = match verb {
            "evidence" => {
                let evidence = pictures(count(words.next("pictures")?)?);
                IssueCommand::AddEvidence { issue, evidence }
            }
            "suggest" => {
                let offer = match words.next("offer")? {
                    "full" => MakerOffer::FullRefund,
                    "replacement" => MakerOffer::Replacement,
                    percent => {
                        let percent = u8::try_from(count(percent)?).map_err(|_| "percent")?;
                        MakerOffer::PartialRefund { percent }
                    }
                };
                let text = words.next("characters").ok().map(count).transpose()?.map(sealed);
                IssueCommand::OfferResolution { issue, offer, text }
            }
            "answer" => {
                let text = sealed(words.next("characters").map_or(Ok(20), count)?);
                IssueCommand::AnswerIssue { issue, text }
            }
            "take" => IssueCommand::AcceptResolution { issue },
            "appeal" => IssueCommand::AppealIssue { issue, text: sealed(20) },
            "assign" => {
                let assignee = words.next("assignee").ok().map(person).transpose()?;
                IssueCommand::AssignIssue { issue, assignee, reason: note(words)? }
            }
            "ask" => {
                let party = party(words.next("party")?)?;
                IssueCommand::RequestAnswer { issue, party, reason: note(words)? }
            }
            "decide" => {
                let decision = match words.next("decision")? {
                    "full" => Decision::FullRefund,
                    "nothing" => Decision::NoAction,
                    "replacement" => Decision::Replacement,
                    "partial" => Decision::PartialRefund { amount: words.money()? },
                    other => return Err(format!("decision {other}")),
                };
                IssueCommand::DecideIssue { issue, decision, reason: note(words)? }
            }
            _ => return Err(format!("unknown verb {verb}")),
        };
        Ok((actor, Command::Issue(command)))
    }
}
