//! Settings, flags, templates, rules and the test clock, for admins; every write has a reason.
//!
//! A change names the version that its author saw. A part of the settings is put on top of that
//! version here, so the log holds whole values. Read next: `fairground_market`'s `govern`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use fairground_market::{Authored, FlagChange, FlagState, Market, RulesReport};
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiJson, ApiPath, Problem};
use fairground_types::command::{
    ChangePolicy, Command, GovernCommand, MarketPolicy, SetFlag, SetTemplate, TemplateKey,
    TemplateText,
};
use fairground_types::flag::{FlagKind, FlagSetting, FlagValue};
use fairground_types::role::Action;
use fairground_types::text::{FlagText, Note, Region};
use fairground_types::{Code, Flag, Millis, Role, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::Api;
use super::answer::{fresh, submit};
use super::guard::{Caller, IntentKey};
use crate::effects::preview;

/// Passes admins, and finance, who may read what is set.
pub(super) fn may_read(api: &Api, caller: &Caller) -> Result<(), Problem> {
    let Err(refused) = caller.may(api, Action::Administer) else { return Ok(()) };
    let Caller::Account { user, .. } = caller else { return Err(refused) };
    let is_finance = api.member.state.read(|market| {
        market.account(*user).is_some_and(|account| account.has_role(Role::Finance))
    });
    if is_finance { Ok(()) } else { Err(refused) }
}

/// The reason of a write; a blank one is refused.
pub(super) fn reason_of(text: &str) -> Result<Note, Problem> {
    Note::parse(text).map_err(|error| {
        Problem::new(Code::ReasonRequired, "a reason is required")
            .with_field("reason", error.to_string())
    })
}

async fn give(
    api: &Api,
    (caller, key): (&Caller, &IntentKey),
    (operation, target): (&str, &str),
    command: GovernCommand,
) -> Result<(), Problem> {
    let id = caller.command(api, key, operation, target)?;
    submit(&api.member, caller.actor()?, id, Command::Govern(command)).await.map(|_| ())
}

/// Body that moves the clock.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AdvanceBody {
    /// By how much.
    by_ms: u64,
    reason: String,
}

/// The test clock.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClockMoved {
    /// How far log time is ahead of the machines' clocks.
    offset_ms: u64,
    /// Coordinator time now.
    now: Timestamp,
}

/// Moves the test clock of a sandbox cluster forward.
#[utoipa::path(post, path = "/v1/admin/clock/advance", operation_id = "advanceClock", tag = "operation",
    params(IdempotencyKeyHeader), request_body = AdvanceBody,
    responses((status = 200, description = "Where the clock is now.", body = ClockMoved)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED"]))))]
pub(super) async fn advance(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiJson(body): ApiJson<AdvanceBody>,
) -> Result<Response, Problem> {
    let reason = reason_of(&body.reason)?;
    let command = GovernCommand::AdvanceClock { by: Millis::new(body.by_ms), reason };
    give(&api, (&caller, &key), ("advance-clock", ""), command).await?;
    let offset_ms = api.member.state.clock_offset().as_millis();
    Ok(fresh(ClockMoved { offset_ms, now: api.member.now() }))
}

/// Settings in force.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Settings {
    version: u64,
    /// Every setting; spans in milliseconds.
    #[schema(value_type = Object)]
    policy: MarketPolicy,
}

fn settings(market: &Market) -> Settings {
    Settings { version: market.policy_version(), policy: market.policy().clone() }
}

/// The settings in force.
#[utoipa::path(get, path = "/v1/admin/policies", operation_id = "getSettings", tag = "operation",
    responses((status = 200, description = "The settings.", body = Settings)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn policies(
    State(api): State<Arc<Api>>,
    caller: Caller,
) -> Result<Response, Problem> {
    may_read(&api, &caller)?;
    Ok(fresh(api.member.state.read(settings)))
}

/// Body that changes settings.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SettingsChange {
    /// The version that was changed.
    base_version: u64,
    /// The settings that change, in the shape of the answer; the others stay.
    #[schema(value_type = Object)]
    changes: serde_json::Map<String, serde_json::Value>,
    reason: String,
}

/// Puts some members of an object in place of others, member by member.
fn put_over(base: &mut serde_json::Value, changes: serde_json::Map<String, serde_json::Value>) {
    let serde_json::Value::Object(base) = base else { return };
    for (name, value) in changes {
        match (base.get_mut(&name), value) {
            (Some(known @ serde_json::Value::Object(_)), serde_json::Value::Object(inner)) => {
                put_over(known, inner);
            }
            (_, value) => {
                base.insert(name, value);
            }
        }
    }
}

/// Puts some settings in force; auctions that run keep theirs.
#[utoipa::path(put, path = "/v1/admin/policies", operation_id = "changeSettings", tag = "operation",
    params(IdempotencyKeyHeader), request_body = SettingsChange,
    responses((status = 200, description = "The settings now.", body = Settings)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED", "VERSION_CONFLICT"]))))]
pub(super) async fn change_policies(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiJson(body): ApiJson<SettingsChange>,
) -> Result<Response, Problem> {
    let reason = reason_of(&body.reason)?;
    let current = api.member.state.read(|market| market.policy().clone());
    let mut whole = serde_json::to_value(&current).map_err(|error| Problem::internal(&error))?;
    put_over(&mut whole, body.changes);
    let policy: MarketPolicy = serde_json::from_value(whole)
        .map_err(|error| Problem::invalid("changes", error.to_string()))?;
    let policy = Box::new(policy);
    let change = ChangePolicy { base_version: body.base_version, policy, reason };
    give(&api, (&caller, &key), ("settings", ""), GovernCommand::ChangePolicy(change)).await?;
    Ok(fresh(api.member.state.read(settings)))
}

/// One version of the settings.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct SettingsVersion {
    version: u64,
    /// Who put it in force and why; absent for the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    authored: Option<Authored>,
    #[schema(value_type = Object)]
    policy: MarketPolicy,
}

/// Versions of the settings, newest first.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct SettingsHistory {
    versions: Vec<SettingsVersion>,
}

/// Versions of the settings that are kept, newest first.
#[utoipa::path(get, path = "/v1/admin/policies/history", operation_id = "listSettingsVersions",
    tag = "operation",
    responses((status = 200, description = "The versions.", body = SettingsHistory)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn policy_history(
    State(api): State<Arc<Api>>,
    caller: Caller,
) -> Result<Response, Problem> {
    may_read(&api, &caller)?;
    let versions = api.member.state.read(|market| {
        let rows = market.policy_history().rev().map(|known| SettingsVersion {
            version: known.version,
            authored: known.authored.clone(),
            policy: MarketPolicy::clone(&known.policy),
        });
        rows.collect()
    });
    Ok(fresh(SettingsHistory { versions }))
}

/// Body that brings earlier settings back.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RevertBody {
    /// Which version.
    version: u64,
    /// The version that is in force.
    base_version: u64,
    reason: String,
}

/// Puts the settings of an earlier version in force again, as a new version.
#[utoipa::path(post, path = "/v1/admin/policies/revert", operation_id = "revertSettings",
    tag = "operation", params(IdempotencyKeyHeader), request_body = RevertBody,
    responses((status = 200, description = "The settings now.", body = Settings)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED", "VERSION_CONFLICT", "NOT_FOUND"]))))]
pub(super) async fn revert_policies(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiJson(body): ApiJson<RevertBody>,
) -> Result<Response, Problem> {
    let command = GovernCommand::RevertPolicy {
        version: body.version,
        base_version: body.base_version,
        reason: reason_of(&body.reason)?,
    };
    give(&api, (&caller, &key), ("revert-settings", ""), command).await?;
    Ok(fresh(api.member.state.read(settings)))
}

/// For whom a flag has its value.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FlagRule {
    /// Of a switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    /// Of a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<i64>,
    /// Of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<FlagText>,
    /// Of a share, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    percent: Option<u8>,
    /// Regions; none for all.
    #[serde(default)]
    regions: Vec<Region>,
    /// Accounts that have it wherever they are.
    #[serde(default)]
    users: Vec<UserId>,
    /// Only those accounts.
    #[serde(default)]
    users_only: bool,
    /// Whether the kill switch is thrown.
    #[serde(default)]
    killed: bool,
}

impl FlagRule {
    fn of(setting: &FlagSetting) -> Self {
        let (mut enabled, mut number, mut text, mut percent) = (None, None, None, None);
        match &setting.value {
            FlagValue::Bool(value) => enabled = Some(*value),
            FlagValue::Int(value) => number = Some(*value),
            FlagValue::Text(value) => text = Some(value.clone()),
            FlagValue::Percent(value) => percent = Some(*value),
        }
        Self {
            enabled,
            number,
            text,
            percent,
            regions: setting.regions.clone(),
            users: setting.users.clone(),
            users_only: setting.users_only,
            killed: setting.killed,
        }
    }

    fn setting(self) -> Result<FlagSetting, Problem> {
        let value = match (self.enabled, self.number, self.text, self.percent) {
            (Some(value), None, None, None) => FlagValue::Bool(value),
            (None, Some(value), None, None) => FlagValue::Int(value),
            (None, None, Some(value), None) => FlagValue::Text(value),
            (None, None, None, Some(value)) => FlagValue::Percent(value),
            _ => {
                let why = "one of enabled, number, text and percent";
                return Err(Problem::invalid("rule", why));
            }
        };
        Ok(FlagSetting {
            value,
            regions: self.regions,
            users: self.users,
            users_only: self.users_only,
            killed: self.killed,
        })
    }
}

/// One change of a flag.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct FlagChangeRow {
    version: u64,
    authored: Authored,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<FlagRule>,
}

/// A flag.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct FlagRow {
    key: Flag,
    about: &'static str,
    kind: FlagKind,
    /// 0 while nobody has set it.
    version: u64,
    /// What it is for those whom no rule names.
    default: FlagRule,
    /// How it is set; absent for the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<FlagRule>,
    /// The newest changes, newest first.
    history: Vec<FlagChangeRow>,
}

fn flag_row(market: &Market, flag: Flag) -> FlagRow {
    let state = market.flag(flag);
    let plain = FlagSetting {
        value: flag.default_value(),
        regions: Vec::new(),
        users: Vec::new(),
        users_only: false,
        killed: false,
    };
    let change = |change: &FlagChange| FlagChangeRow {
        version: change.version,
        authored: change.authored.clone(),
        rule: change.setting.as_ref().map(FlagRule::of),
    };
    let history = |state: &FlagState| state.history.iter().rev().map(change).collect();
    FlagRow {
        key: flag,
        about: flag.about(),
        kind: flag.default_value().kind(),
        version: state.map_or(0, |state| state.version),
        default: FlagRule::of(&plain),
        rule: state.and_then(|state| state.setting.as_ref()).map(FlagRule::of),
        history: state.map(history).unwrap_or_default(),
    }
}

fn known_flag(key: &str) -> Result<Flag, Problem> {
    Flag::parse(key).ok_or_else(|| Problem::new(Code::NotFound, "there is no such flag"))
}

/// Every flag.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct FlagRows {
    flags: Vec<FlagRow>,
}

/// Every flag, as it is set.
#[utoipa::path(get, path = "/v1/admin/flags", operation_id = "listFlagSettings", tag = "operation",
    responses((status = 200, description = "The flags.", body = FlagRows)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn flags(
    State(api): State<Arc<Api>>,
    caller: Caller,
) -> Result<Response, Problem> {
    may_read(&api, &caller)?;
    let flags = api
        .member
        .state
        .read(|market| Flag::ALL.iter().map(|flag| flag_row(market, *flag)).collect());
    Ok(fresh(FlagRows { flags }))
}

/// Body that sets a flag.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FlagBody {
    /// The version that was changed, 0 for never set.
    base_version: u64,
    /// How it is set; absent for the default.
    #[serde(default)]
    rule: Option<FlagRule>,
    reason: String,
}

/// Sets a flag, or gives it its default back.
#[utoipa::path(put, path = "/v1/admin/flags/{key}", operation_id = "setFlag", tag = "operation",
    params(("key" = String, Path, description = "Key of the flag."), IdempotencyKeyHeader),
    request_body = FlagBody,
    responses((status = 200, description = "The flag now.", body = FlagRow)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED", "VERSION_CONFLICT"]))))]
pub(super) async fn set_flag(
    State(api): State<Arc<Api>>,
    caller: Caller,
    intent: IntentKey,
    ApiPath(key): ApiPath<String>,
    ApiJson(body): ApiJson<FlagBody>,
) -> Result<Response, Problem> {
    let flag = known_flag(&key)?;
    let reason = reason_of(&body.reason)?;
    let setting = body.rule.map(FlagRule::setting).transpose()?.map(Box::new);
    let set = SetFlag { flag, setting, base_version: Some(body.base_version), reason };
    give(&api, (&caller, &intent), ("flag", &key), GovernCommand::SetFlag(set)).await?;
    Ok(fresh(api.member.state.read(|market| flag_row(market, flag))))
}

/// Body of a write that needs nothing but a reason.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ReasonBody {
    reason: String,
}

/// Throws the kill switch of a flag, whatever version it has.
#[utoipa::path(post, path = "/v1/admin/flags/{key}/kill", operation_id = "killFlag", tag = "operation",
    params(("key" = String, Path, description = "Key of the flag."), IdempotencyKeyHeader),
    request_body = ReasonBody,
    responses((status = 200, description = "The flag now.", body = FlagRow)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED"]))))]
pub(super) async fn kill_flag(
    State(api): State<Arc<Api>>,
    caller: Caller,
    intent: IntentKey,
    ApiPath(key): ApiPath<String>,
    ApiJson(body): ApiJson<ReasonBody>,
) -> Result<Response, Problem> {
    let flag = known_flag(&key)?;
    let reason = reason_of(&body.reason)?;
    let known = api.member.state.read(|market| market.flag(flag)?.setting.clone());
    let mut setting = known.unwrap_or_else(|| FlagSetting {
        value: flag.default_value(),
        regions: Vec::new(),
        users: Vec::new(),
        users_only: false,
        killed: false,
    });
    setting.killed = true;
    let set = SetFlag { flag, setting: Some(Box::new(setting)), base_version: None, reason };
    give(&api, (&caller, &intent), ("kill-flag", &key), GovernCommand::SetFlag(set)).await?;
    Ok(fresh(api.member.state.read(|market| flag_row(market, flag))))
}

/// One template that somebody wrote.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TemplateRow {
    #[serde(flatten)]
    key: TemplateKey,
    version: u64,
    /// The words; absent for the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<TemplateText>,
    /// Who changed it last, when and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    authored: Option<Authored>,
}

/// Every template that somebody wrote.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct TemplateRows {
    templates: Vec<TemplateRow>,
}

/// Templates that are not the default ones.
#[utoipa::path(get, path = "/v1/admin/templates", operation_id = "listTemplates", tag = "operation",
    responses((status = 200, description = "The templates.", body = TemplateRows)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn templates(
    State(api): State<Arc<Api>>,
    caller: Caller,
) -> Result<Response, Problem> {
    may_read(&api, &caller)?;
    let templates = api.member.state.read(|market| {
        let rows = market.templates().map(|(key, state)| TemplateRow {
            key: key.clone(),
            version: state.version,
            text: state.text.clone(),
            authored: state.history.back().map(|change| change.authored.clone()),
        });
        rows.collect()
    });
    Ok(fresh(TemplateRows { templates }))
}

/// Body that sets a template.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SetTemplateBody {
    key: TemplateKey,
    /// The words; absent for the default.
    #[serde(default)]
    text: Option<TemplateText>,
    /// The version that was changed, 0 for never set.
    base_version: u64,
    reason: String,
}

/// Sets the words of a notice, or gives them their default back.
#[utoipa::path(put, path = "/v1/admin/templates", operation_id = "setTemplate", tag = "operation",
    params(IdempotencyKeyHeader), request_body = SetTemplateBody,
    responses((status = 200, description = "The template now.", body = TemplateRow)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED", "VERSION_CONFLICT", "LIMIT_REACHED"]))))]
pub(super) async fn set_template(
    State(api): State<Arc<Api>>,
    caller: Caller,
    intent: IntentKey,
    ApiJson(body): ApiJson<SetTemplateBody>,
) -> Result<Response, Problem> {
    let reason = reason_of(&body.reason)?;
    let key = body.key;
    let target = format!("{} {} {}", key.kind.as_str(), key.channel.as_str(), key.locale);
    let set =
        SetTemplate { key: key.clone(), text: body.text, base_version: body.base_version, reason };
    give(&api, (&caller, &intent), ("template", &target), GovernCommand::SetTemplate(set)).await?;
    let row = api.member.state.read(|market| {
        let state = market.template(&key)?;
        Some(TemplateRow {
            key: key.clone(),
            version: state.version,
            text: state.text.clone(),
            authored: state.history.back().map(|change| change.authored.clone()),
        })
    });
    row.map(fresh).ok_or_else(|| Problem::from(Code::NotFound))
}

/// Body of a preview.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PreviewBody {
    key: TemplateKey,
    /// Words to try; those in force when absent.
    #[serde(default)]
    text: Option<TemplateText>,
}

/// A notice as it would be sent.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Preview {
    subject: String,
    body: String,
}

/// Shows a notice as it would be sent, about an invented piece.
#[utoipa::path(post, path = "/v1/admin/templates/preview", operation_id = "previewTemplate",
    tag = "operation", params(IdempotencyKeyHeader), request_body = PreviewBody,
    responses((status = 200, description = "The notice.", body = Preview)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn preview_template(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiJson(body): ApiJson<PreviewBody>,
) -> Result<Response, Problem> {
    may_read(&api, &caller)?;
    // Nothing is changed, so the name of the intent is only looked at.
    caller.command(&api, &key, "preview-template", "")?;
    let known =
        || api.member.state.read(|market| market.template(&body.key).and_then(|t| t.text.clone()));
    let words = body.text.clone().or_else(known);
    let (subject, text) = preview(&body.key, words.as_ref());
    Ok(fresh(Preview { subject, body: text }))
}

/// The rules in force and who knows which.
#[utoipa::path(get, path = "/v1/admin/rules", operation_id = "getRules", tag = "operation",
    responses((status = 200, description = "The rules.", body = RulesReport)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn rules(
    State(api): State<Arc<Api>>,
    caller: Caller,
) -> Result<Response, Problem> {
    may_read(&api, &caller)?;
    Ok(fresh(api.member.state.read(Market::rules_report)))
}

/// Body that puts rules in force.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RulesBody {
    version: u32,
    reason: String,
}

/// Puts a newer version of the rules in force, once every member and edge knows it.
#[utoipa::path(post, path = "/v1/admin/rules/activate", operation_id = "activateRules",
    tag = "operation", params(IdempotencyKeyHeader), request_body = RulesBody,
    responses((status = 200, description = "The rules now.", body = RulesReport)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["REASON_REQUIRED"]))))]
pub(super) async fn activate_rules(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IntentKey,
    ApiJson(body): ApiJson<RulesBody>,
) -> Result<Response, Problem> {
    let reason = reason_of(&body.reason)?;
    let command = GovernCommand::ActivateRules { version: body.version, reason };
    give(&api, (&caller, &key), ("rules", &body.version.to_string()), command).await?;
    Ok(fresh(api.member.state.read(Market::rules_report)))
}
