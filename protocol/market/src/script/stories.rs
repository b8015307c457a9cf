//! Verbs of tables about stories and what people do with them.
//!
//! ```text
//!  save S3 m [base N] [title X] [text X|none] [clips N] [asset N] [min EUR 100.00] [waits]
//!  submit S3 m [unattested]      takeback S3 m         checked S3 SCORE CONFIDENCE | nobody
//!  approve S3 [who]              reject S3 [who]       publish S3 m
//!  schedule S3 m TIME            unschedule S3 m       rollback S3 WHO N    putaway S3 m
//!  takedown S3 [who]             restore S3 [who]      appeal S3 m          dismiss S3 [who]
//!  like|unlike|keep|unkeep|report|share S3 a           watch|unwatch A a    views S3 N
//!  grant m moderator|admin
//! ```
//! `who` absent is the cluster. Read next: the parent module.

use fairground_types::command::{
    AccountCommand, Actor, CheckCategory, CheckResult, Clip, Command, Finding, RecordCheck,
    ReportGround, ReviewDecision, SaveDraft, ShareChannel, SocialCommand, StoryCommand, TakeDown,
    TakedownGround, ViewCount,
};
use fairground_types::text::{ClipLabel, Note, Overview, Title, ZoneName};
use fairground_types::{AssetId, EffectId, Role, ShareId, StoryId};

use super::notation::parse_time;
use super::{Words, World, auction_named, draft, edge_named, person, story_named};
use crate::Effect;

type Read = Result<(Actor, Command), String>;

fn text<T>(parsed: Result<T, fairground_types::text::TextError>) -> Result<T, String> {
    parsed.map_err(|why| why.to_string())
}

fn number<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("number {word}"))
}

fn user(words: &mut Words<'_>) -> Result<Actor, String> {
    person(words.next("person")?).map(Actor::User)
}

/// Somebody named, or the cluster.
fn anybody(words: &mut Words<'_>) -> Result<Actor, String> {
    match words.next("person") {
        Ok("cluster") | Err(_) => Ok(Actor::Cluster),
        Ok(letter) => person(letter).map(Actor::User),
    }
}

impl World {
    /// Reads a line about stories; none when its verb is another's.
    pub(super) fn read_story_line(&self, verb: &str, words: &mut Words<'_>) -> Option<Read> {
        // Others approve, reject and appeal, too: orders and issues.
        let is_story = words.peek().is_some_and(|word| word.starts_with('S'));
        match verb {
            "approve" | "reject" | "appeal" if !is_story => None,
            "save" => Some(read_save(words)),
            "submit" | "takeback" | "publish" | "schedule" | "unschedule" | "putaway"
            | "appeal" => Some(read_owner(verb, words)),
            "approve" | "reject" | "rollback" | "takedown" | "restore" | "dismiss" => {
                Some(read_staff(verb, words))
            }
            "checked" => Some(self.read_checked(words)),
            "like" | "unlike" | "keep" | "unkeep" | "report" | "share" | "watch" | "unwatch"
            | "views" => Some(self.read_social(verb, words)),
            "grant" => Some(read_grant(words)),
            _ => None,
        }
    }

    fn read_checked(&self, words: &mut Words<'_>) -> Read {
        let story = story_named(words.next("story")?)?;
        let asked = self.market.outbox().find_map(|pending| {
            let Effect::CheckStory(check) = &pending.effect else { return None };
            (check.story == story).then_some((pending.id, check.version))
        });
        let (effect, version) = asked.unwrap_or((EffectId::from_bits(0), 0));
        let first = words.next("score")?;
        let result = if first == "nobody" {
            CheckResult::Unavailable
        } else {
            let findings = vec![Finding { category: CheckCategory::Words, score: number(first)? }];
            CheckResult::Scored { findings, confidence: number(words.next("confidence")?)? }
        };
        let check = RecordCheck { effect, story, version, result };
        Ok((Actor::Cluster, Command::Story(StoryCommand::RecordCheck(check))))
    }

    fn read_social(&self, verb: &str, words: &mut Words<'_>) -> Read {
        if matches!(verb, "watch" | "unwatch") {
            let auction = auction_named(words.next("auction")?)?;
            let on = verb == "watch";
            return Ok((user(words)?, Command::Social(SocialCommand::SetWatch { auction, on })));
        }
        let story = story_named(words.next("story")?)?;
        if verb == "views" {
            let views = number(words.next("how many")?)?;
            let counts = vec![ViewCount { story, views }];
            let command = Command::Social(SocialCommand::CountViews { counts });
            return Ok((Actor::Edge(edge_named("e1")?), command));
        }
        let actor = user(words)?;
        let command = match verb {
            "like" | "unlike" => SocialCommand::SetLike { story, on: verb == "like" },
            "keep" | "unkeep" => SocialCommand::SetSave { story, on: verb == "keep" },
            "report" => {
                SocialCommand::ReportStory { story, ground: ReportGround::Spam, note: None }
            }
            _ => SocialCommand::ShareStory {
                share: ShareId::from_bits(self.keys.saturating_add(1).into()),
                story,
                channel: ShareChannel::Link,
            },
        };
        Ok((actor, Command::Social(command)))
    }
}

fn read_save(words: &mut Words<'_>) -> Read {
    let name = words.next("story")?;
    let story: StoryId = story_named(name)?;
    let actor = user(words)?;
    let mut wanted = draft(name, AssetId::from_bits(1))?;
    let mut base_version = None;
    while let Ok(word) = words.next("option") {
        match word {
            "base" => base_version = Some(number(words.next("version")?)?),
            "title" => wanted.title = text(Title::parse(words.next("title")?))?,
            "text" => {
                let overview = words.next("text")?;
                wanted.overview = text(Overview::parse(overview.trim_start_matches("none")))?;
            }
            "clips" => {
                let count: usize = number(words.next("count")?)?;
                let clip = Clip {
                    asset_id: AssetId::from_bits(1),
                    label: text(ClipLabel::parse("the wheel"))?,
                };
                wanted.clips = vec![clip; count];
            }
            "asset" => {
                let asset_id = AssetId::from_bits(number(words.next("asset")?)?);
                wanted.clips = vec![Clip { asset_id, label: text(ClipLabel::parse("clay"))? }];
            }
            "min" => wanted.minimum_offer = words.money()?,
            "waits" => wanted.publish_when_approved = false,
            _ => return Err(format!("unknown option {word}")),
        }
    }
    let save = SaveDraft { story, base_version, draft: wanted };
    Ok((actor, Command::Story(StoryCommand::SaveDraft(save))))
}

fn read_owner(verb: &str, words: &mut Words<'_>) -> Read {
    let story = story_named(words.next("story")?)?;
    let actor = user(words)?;
    let command = match verb {
        "submit" => StoryCommand::SubmitStory { story, attested: words.next("option").is_err() },
        "takeback" => StoryCommand::WithdrawStory { story },
        "publish" => StoryCommand::PublishStory { story },
        "schedule" => StoryCommand::ScheduleStory {
            story,
            publish_at: parse_time(words.next("time")?)?,
            zone: text(ZoneName::parse("Europe/Berlin"))?,
        },
        "unschedule" => StoryCommand::UnscheduleStory { story },
        "putaway" => StoryCommand::ArchiveStory { story },
        _ => StoryCommand::AppealTakedown { story, text: text(Note::parse("it is my own"))? },
    };
    Ok((actor, Command::Story(command)))
}

fn read_staff(verb: &str, words: &mut Words<'_>) -> Read {
    let story = story_named(words.next("story")?)?;
    let actor = anybody(words)?;
    let reason = text(Note::parse("as agreed"))?;
    let command = match verb {
        "approve" => StoryCommand::ReviewStory { story, decision: ReviewDecision::Approve },
        "reject" => {
            StoryCommand::ReviewStory { story, decision: ReviewDecision::Reject { notes: reason } }
        }
        "rollback" => {
            let version = number(words.next("version")?)?;
            StoryCommand::RollBackStory { story, version, reason }
        }
        "takedown" => StoryCommand::TakeDownStory(TakeDown {
            story,
            ground: TakedownGround::Policy,
            reason,
            is_strike: false,
        }),
        "restore" => StoryCommand::RestoreStory { story, reason },
        _ => StoryCommand::DismissReports { story, reason },
    };
    Ok((actor, Command::Story(command)))
}

fn read_grant(words: &mut Words<'_>) -> Read {
    let user = person(words.next("person")?)?;
    let role = match words.next("role")? {
        "moderator" => Role::Moderator,
        "admin" => Role::Admin,
        other => return Err(format!("role {other}")),
    };
    Ok((Actor::Cluster, Command::Account(AccountCommand::GrantRole { user, role })))
}
