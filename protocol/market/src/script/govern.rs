//! Words of tables about governing a market and about notices.
//!
//! Who speaks is a letter, or `op` for the operator. Read next: the parent module.

use fairground_types::command::{
    Actor, AddPushDevice, ChangePolicy, Command, GovernCommand, MutedNotice, NoticeCommand,
    NoticePreferences, PushPlatform, QuietHours, SealedContact, SetFlag, SetTemplate, TemplateKey,
    TemplateText,
};
use fairground_types::flag::{FlagKind, FlagSetting, FlagValue};
use fairground_types::text::{FlagText, Locale, Note, TemplateBody, TemplateSubject, ZoneName};
use fairground_types::{
    Digest, Flag, MemberId, NoticeChannel, NoticeId, NoticeKind, PushDeviceId, SignInId,
};

use super::notation::{parse_length, set_policy};
use super::{Words, World, edge_named, person};

fn told<T, E: std::fmt::Display>(parsed: Result<T, E>) -> Result<T, String> {
    parsed.map_err(|why| why.to_string())
}

fn number<T: std::str::FromStr>(words: &mut Words<'_>, what: &str) -> Result<T, String> {
    let word = words.next(what)?;
    word.parse().map_err(|_| format!("{what} {word}"))
}

fn actor(words: &mut Words<'_>) -> Result<Actor, String> {
    match words.next("who")? {
        "op" => Ok(Actor::Cluster),
        letter => person(letter).map(Actor::User),
    }
}

fn reason() -> Result<Note, String> {
    told(Note::parse("as the table says"))
}

fn channel(word: &str) -> Result<NoticeChannel, String> {
    NoticeChannel::ALL
        .into_iter()
        .find(|channel| channel.as_str() == word)
        .ok_or_else(|| format!("channel {word}"))
}

fn kind(word: &str) -> Result<NoticeKind, String> {
    NoticeKind::parse(word).ok_or_else(|| format!("notice {word}"))
}

/// The push device that a table calls by a word.
fn device(word: &str) -> PushDeviceId {
    let bytes = word.bytes().fold(0_u128, |bits, byte| (bits << 8) | u128::from(byte));
    PushDeviceId::from_bits(bytes)
}

impl World {
    pub(super) fn read_govern(
        &self,
        verb: &str,
        words: &mut Words<'_>,
    ) -> Result<(Actor, Command), String> {
        if verb == "knows" {
            return read_knows(words);
        }
        let who = actor(words)?;
        let command = match verb {
            "advance" => {
                let by = parse_length(words.next("length")?)?;
                Command::Govern(GovernCommand::AdvanceClock { by, reason: reason()? })
            }
            "settings" => {
                let base_version = number(words, "version")?;
                let mut policy = self.market.policy().clone();
                let (name, value) = (words.next("name")?, words.next("value")?);
                set_policy(&mut policy, &format!("{name} {value}"))?;
                let policy = Box::new(policy);
                let change = ChangePolicy { base_version, policy, reason: reason()? };
                Command::Govern(GovernCommand::ChangePolicy(change))
            }
            "revert" => {
                let version = number(words, "version")?;
                let base_version = number(words, "base version")?;
                let reason = reason()?;
                Command::Govern(GovernCommand::RevertPolicy { version, base_version, reason })
            }
            "flag" => read_flag(words)?,
            "template" => read_template(words)?,
            "rules" => {
                let version = number(words, "version")?;
                Command::Govern(GovernCommand::ActivateRules { version, reason: reason()? })
            }
            "prefer" => read_preferences(words)?,
            "device" => {
                let name = words.next("device")?;
                let token = words.next("token")?;
                Command::Notice(NoticeCommand::AddPushDevice(AddPushDevice {
                    device: device(name),
                    sign_in: SignInId::from_bits(0),
                    platform: PushPlatform::Fcm,
                    digest: Digest::of(token.as_bytes()),
                    token: SealedContact { wrapped_key: vec![], sealed: token.into() },
                }))
            }
            "no-device" => Command::Notice(NoticeCommand::RemovePushDevice {
                device: device(words.next("device")?),
            }),
            "dead-token" => Command::Notice(NoticeCommand::DropPushToken {
                user: person(words.next("person")?)?,
                device: device(words.next("device")?),
            }),
            "bounced" => Command::Notice(NoticeCommand::SuppressMail {
                user: person(words.next("person")?)?,
            }),
            "read-all" => Command::Notice(NoticeCommand::ReadAllNotices),
            "read-one" => {
                let place: usize = number(words, "place")?;
                let Actor::User(user) = &who else { return Err("nobody reads".to_owned()) };
                let rows = self.market.notices_of(*user);
                let notice = rows.get(place).map_or(NoticeId::from_bits(0), |row| row.notice);
                Command::Notice(NoticeCommand::ReadNotice { notice })
            }
            _ => return Err(format!("unknown verb {verb}")),
        };
        Ok((who, command))
    }
}

/// `knows m1 2`, `knows e1 2`.
fn read_knows(words: &mut Words<'_>) -> Result<(Actor, Command), String> {
    let name = words.next("who")?;
    let known = number(words, "version")?;
    let report = |member| Command::Govern(GovernCommand::ReportRules { member, known });
    match name.strip_prefix('m').and_then(|digits| digits.parse().ok()) {
        Some(member) => Ok((Actor::Cluster, report(Some(MemberId(member))))),
        None => Ok((Actor::Edge(edge_named(name)?), report(None))),
    }
}

/// `flag op KEY VALUE VERSION`, `flag op KEY VALUE kill`, `flag op KEY default VERSION`.
fn read_flag(words: &mut Words<'_>) -> Result<Command, String> {
    let key = words.next("flag")?;
    let flag = Flag::parse(key).ok_or_else(|| format!("flag {key}"))?;
    let value = words.next("value")?;
    let base = words.next("version")?;
    let killed = base == "kill";
    let base_version = base.parse().ok();
    let parsed = match (value, flag.default_value().kind()) {
        ("on", _) => FlagValue::Bool(true),
        ("off", _) => FlagValue::Bool(false),
        (_, FlagKind::Percent) => FlagValue::Percent(told(value.parse())?),
        (_, FlagKind::Int) => FlagValue::Int(told(value.parse())?),
        (_, FlagKind::Bool | FlagKind::Text) => FlagValue::Text(told(FlagText::parse(value))?),
    };
    let setting =
        FlagSetting { value: parsed, regions: vec![], users: vec![], users_only: false, killed };
    let setting = (value != "default").then(|| Box::new(setting));
    let set = SetFlag { flag, setting, base_version, reason: reason()? };
    Ok(Command::Govern(GovernCommand::SetFlag(set)))
}

/// `template op KIND CHANNEL LOCALE VERSION BODY`; the body `default` gives the default back.
fn read_template(words: &mut Words<'_>) -> Result<Command, String> {
    let key = TemplateKey {
        kind: kind(words.next("kind")?)?,
        channel: channel(words.next("channel")?)?,
        locale: told(Locale::parse(words.next("locale")?))?,
    };
    let base_version = number(words, "version")?;
    let body = words.next("body")?;
    let text = TemplateText {
        subject: told(TemplateSubject::parse("{title}"))?,
        body: told(TemplateBody::parse(body))?,
    };
    let text = (body != "default").then_some(text);
    let set = SetTemplate { key, text, base_version, reason: reason()? };
    Ok(Command::Govern(GovernCommand::SetTemplate(set)))
}

/// `prefer a VERSION [no CHANNEL] [mute KIND CHANNEL] [quiet START END] [days N]`.
fn read_preferences(words: &mut Words<'_>) -> Result<Command, String> {
    let base_version = number(words, "version")?;
    let mut preferences = NoticePreferences::default();
    while let Ok(word) = words.next("option") {
        match word {
            "no" => match channel(words.next("channel")?)? {
                NoticeChannel::Push => preferences.push = false,
                NoticeChannel::Email => preferences.email = false,
                NoticeChannel::Sms => preferences.sms = false,
                NoticeChannel::InApp => preferences.in_app = false,
            },
            "mute" => {
                let kind = kind(words.next("kind")?)?;
                let channel = channel(words.next("channel")?)?;
                preferences.muted.push(MutedNotice { kind, channel });
            }
            "quiet" => {
                preferences.quiet_hours = Some(QuietHours {
                    start_minute: number(words, "start")?,
                    end_minute: number(words, "end")?,
                    days: vec![],
                    zone: told(ZoneName::parse("Europe/Berlin"))?,
                });
            }
            "day" => {
                let day = number(words, "day")?;
                if let Some(hours) = &mut preferences.quiet_hours {
                    hours.days.push(day);
                }
            }
            _ => return Err(format!("unknown option {word}")),
        }
    }
    let preferences = Box::new(preferences);
    Ok(Command::Notice(NoticeCommand::SetPreferences { preferences, base_version }))
}
