//! The ways out of this process, as configured: mail, text messages, push.
//!
//! What is not configured is off, and what needs it is abandoned. It must not know what is sent. Read
//! next: `fairground_providers`.

use std::sync::Arc;

use fairground_providers::{
    ApnsOptions, FcmOptions, MachineTime, Mailer, Platform, Ports, PostmarkOptions, ProviderError,
    Push, SendGridOptions, ServiceAccount, SignInProvider, SmtpOptions, Texter, TexterOptions,
};
use fairground_runtime::config::Secret;

use super::push::PushOutlet;
use crate::error::Error;
use crate::member::Member;
use crate::options::{MailOptions, MailProvider, Options, PushOptions, SmsOptions};

/// The ways out of this process.
pub(crate) struct Outlets {
    pub(crate) mailer: Option<Mailer>,
    pub(crate) texter: Option<Texter>,
    pub(crate) push: PushOutlet,
}

/// Time and chance for the clients of a member.
pub(crate) fn ports(clock: fairground_runtime::clock::Clock, seed: u64) -> Ports {
    Ports { time: Arc::new(MachineTime(clock)), seed }
}

impl Outlets {
    /// Everything that `options` names.
    pub(crate) fn new(options: &Options, member: &Member) -> Result<Self, Error> {
        let ports = ports(member.clock, member.id.0);
        let cluster = member.cluster.to_string();
        let outlets = Self {
            mailer: mailer(&options.mail, &cluster, ports.clone())?,
            texter: texter(&options.sms, ports.clone())?,
            push: PushOutlet::new(push(&options.push, ports)?),
        };
        tracing::info!(
            mail = outlets.mailer.is_some(),
            sms = outlets.texter.is_some(),
            fcm = outlets.push.is_on(Platform::FcmInstallation),
            apns = outlets.push.is_on(Platform::Apns),
            apple_sign_in = member.social.is_on(SignInProvider::Apple),
            google_sign_in = member.social.is_on(SignInProvider::Google),
            "outside services"
        );
        Ok(outlets)
    }
}

/// Warns of an address that is not the provider's own: right for tests, else somebody's mistake.
pub(crate) fn warn_of(setting: &'static str, base_url: Option<&str>) {
    if base_url.is_some() {
        tracing::warn!(setting, "a provider is reached at an address that is not its own");
    }
}

fn mailer(options: &MailOptions, cluster: &str, ports: Ports) -> Result<Option<Mailer>, Error> {
    let (from, domain) = (options.from.clone(), cluster.to_owned());
    let base_url = options.base_url.clone();
    let key = || needed(Secret::from_option(options.key_file.as_deref())?, "mail.key_file");
    let made = match options.provider {
        MailProvider::Smtp => {
            let Some(address) = options.smtp_address.clone() else { return Ok(None) };
            let password = Secret::from_option(options.password_file.as_deref())?;
            let login = options.user.clone().zip(password);
            Mailer::smtp(SmtpOptions { address, login, from, domain }, ports)
        }
        MailProvider::Sendgrid => {
            warn_of("mail.base_url", base_url.as_deref());
            Mailer::sendgrid(SendGridOptions { base_url, key: key()?, from, domain }, ports)
        }
        MailProvider::Postmark => {
            warn_of("mail.base_url", base_url.as_deref());
            Mailer::postmark(PostmarkOptions { base_url, token: key()?, from, domain }, ports)
        }
    };
    made.map(Some).map_err(Error::provider)
}

fn texter(options: &SmsOptions, ports: Ports) -> Result<Option<Texter>, Error> {
    let Some(base_url) = options.url.clone() else { return Ok(None) };
    let token = Secret::from_option(options.auth_token_file.as_deref())?;
    let token = needed(token, "sms.auth_token_file")?;
    let (account, from) = (options.account.clone(), options.from.clone());
    let options = TexterOptions { base_url: Some(base_url), account, token, from };
    Texter::new(options, ports).map(Some).map_err(Error::provider)
}

fn push(options: &PushOptions, ports: Ports) -> Result<Push, Error> {
    let mut fcm = None;
    if let Some(file) = Secret::from_option(options.fcm_service_account_file.as_deref())? {
        warn_of("push.fcm_base_url", options.fcm_base_url.as_deref());
        let account = ServiceAccount::parse(file.expose()).map_err(|error| Error::Setting {
            key: "push.fcm_service_account_file",
            problem: error.to_string(),
        })?;
        fcm = Some(FcmOptions { base_url: options.fcm_base_url.clone(), account });
    }
    let mut apns = None;
    if let Some(key) = Secret::from_option(options.apns_key_file.as_deref())? {
        warn_of("push.apns_base_url", options.apns_base_url.as_deref());
        apns = Some(ApnsOptions {
            base_url: options.apns_base_url.clone(),
            sandbox_url: options.apns_sandbox_url.clone(),
            key,
            key_id: options.apns_key_id.clone(),
            team_id: options.apns_team_id.clone(),
            topic: options.apns_topic.clone(),
        });
    }
    Push::new(fcm, apns, ports).map_err(Error::provider)
}

fn needed(secret: Option<Secret>, key: &'static str) -> Result<Secret, Error> {
    secret.ok_or_else(|| Error::Setting { key, problem: "needed by what is set".to_owned() })
}

impl Error {
    /// A provider's client that cannot be made.
    pub(crate) fn provider(error: ProviderError) -> Self {
        Self::Provider(Box::new(error))
    }
}
