//! Commands that govern a market, and those about notices.

use fairground_types::command::{
    AddPushDevice, ChangePolicy, Command, GovernCommand, MarketPolicy, MutedNotice, NoticeCommand,
    NoticePreferences, PushPlatform, QuietHours, SetFlag, SetSignaturePolicy, SetTemplate,
    SignaturePolicy, TemplateKey, TemplateText,
};
use fairground_types::flag::{FlagSetting, FlagValue};
use fairground_types::id::MemberId;
use fairground_types::text::{Locale, Note, TemplateBody, TemplateSubject, ZoneName};
use fairground_types::time::Millis;
use fairground_types::{Flag, NoticeChannel, NoticeId, NoticeKind, PushDeviceId};

use crate::{DIGEST, SIGN_IN, USER, contact, region};

const DEVICE: PushDeviceId = PushDeviceId::from_bits(0xd1);

fn reason() -> Note {
    Note::parse("The board decided so.").expect("valid")
}

pub(crate) fn setting() -> FlagSetting {
    FlagSetting {
        value: FlagValue::Bool(true),
        regions: vec![region()],
        users: vec![USER],
        users_only: false,
        killed: false,
    }
}

/// The name of a command about governing.
pub(crate) fn govern_name(command: &GovernCommand) -> &'static str {
    match command {
        GovernCommand::AdvanceClock { .. } => "advance_clock",
        GovernCommand::ChangePolicy(_) => "change_policy",
        GovernCommand::RevertPolicy { .. } => "revert_policy",
        GovernCommand::SetFlag(_) => "set_flag",
        GovernCommand::SetTemplate(_) => "set_template",
        GovernCommand::ActivateRules { .. } => "activate_rules",
        GovernCommand::ReportRules { .. } => "report_rules",
        GovernCommand::SetSignaturePolicy(_) => "set_signature_policy",
    }
}

/// The name of a command about notices.
pub(crate) fn notice_name(command: &NoticeCommand) -> &'static str {
    match command {
        NoticeCommand::SetPreferences { .. } => "set_preferences",
        NoticeCommand::ReadNotice { .. } => "read_notice",
        NoticeCommand::ReadAllNotices => "read_all_notices",
        NoticeCommand::AddPushDevice(_) => "add_push_device",
        NoticeCommand::RemovePushDevice { .. } => "remove_push_device",
        NoticeCommand::DropPushToken { .. } => "drop_push_token",
        NoticeCommand::SuppressMail { .. } => "suppress_mail",
    }
}

/// One of each.
pub(crate) fn govern_commands() -> Vec<Command> {
    let key = TemplateKey {
        kind: NoticeKind::Won,
        channel: NoticeChannel::Email,
        locale: Locale::parse("de").expect("valid"),
    };
    let text = TemplateText {
        subject: TemplateSubject::parse("Gewonnen: {title}").expect("valid"),
        body: TemplateBody::parse("Bitte zahlen: {amount}").expect("valid"),
    };
    let preferences = NoticePreferences {
        muted: vec![MutedNotice { kind: NoticeKind::Outbid, channel: NoticeChannel::Push }],
        quiet_hours: Some(QuietHours {
            start_minute: 22 * 60,
            end_minute: 7 * 60,
            days: vec![1, 2],
            zone: ZoneName::parse("Europe/Berlin").expect("valid"),
        }),
        locale: Some(Locale::parse("de").expect("valid")),
        ..NoticePreferences::default()
    };
    vec![
        Command::Govern(GovernCommand::AdvanceClock {
            by: Millis::from_hours(72),
            reason: reason(),
        }),
        Command::Govern(GovernCommand::ChangePolicy(ChangePolicy {
            base_version: 1,
            policy: Box::new(MarketPolicy::default()),
            reason: reason(),
        })),
        Command::Govern(GovernCommand::RevertPolicy {
            version: 1,
            base_version: 2,
            reason: reason(),
        }),
        Command::Govern(GovernCommand::SetFlag(SetFlag {
            flag: Flag::AuctionsProxyBids,
            setting: Some(Box::new(setting())),
            base_version: Some(3),
            reason: reason(),
        })),
        Command::Govern(GovernCommand::SetTemplate(SetTemplate {
            key,
            text: Some(text),
            base_version: 0,
            reason: reason(),
        })),
        Command::Govern(GovernCommand::ActivateRules { version: 2, reason: reason() }),
        Command::Govern(GovernCommand::ReportRules { member: Some(MemberId(1)), known: 2 }),
        Command::Govern(GovernCommand::SetSignaturePolicy(SetSignaturePolicy {
            base_version: 0,
            policy: SignaturePolicy::default(),
            reason: reason(),
        })),
        Command::Notice(NoticeCommand::SetPreferences {
            preferences: Box::new(preferences),
            base_version: 0,
        }),
        Command::Notice(NoticeCommand::ReadNotice { notice: NoticeId::from_bits(9) }),
        Command::Notice(NoticeCommand::ReadAllNotices),
        Command::Notice(NoticeCommand::AddPushDevice(AddPushDevice {
            sign_in: SIGN_IN,
            device: DEVICE,
            platform: PushPlatform::Fcm,
            digest: DIGEST,
            token: contact(),
        })),
        Command::Notice(NoticeCommand::RemovePushDevice { device: DEVICE }),
        Command::Notice(NoticeCommand::DropPushToken { user: USER, device: DEVICE }),
        Command::Notice(NoticeCommand::SuppressMail { user: USER }),
    ]
}
