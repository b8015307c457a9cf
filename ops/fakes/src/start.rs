//! Starting and ending the stand-ins.
//!
//! Read next: [`crate::stripe`], [`crate::inbox`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::contract::Contract;
use crate::error::FakesError;
use crate::inbox::{self, Inbox, Mail, Sms, SmsAccount};
use crate::outside::Outside;
use crate::serve;
use crate::stripe::{CallRecord, DeliveryRecord, Faults, StripeFake, StripeSettings, Webhooks};

const END_WAIT: Duration = Duration::from_secs(5);

/// What to start.
#[derive(Clone)]
pub struct FakesOptions {
    /// Where to listen; a loopback address. Default: 127.0.0.1.
    pub listen: IpAddr,
    /// Port of Stripe's API, hosted page and control. Default: 0, any.
    pub stripe_port: u16,
    /// Port of the inbox and the SMS gateway. Default: 0, any.
    pub inbox_port: u16,
    /// Port of the mail relay. Default: 0, any.
    pub smtp_port: u16,
    /// Port of SendGrid, Postmark, FCM and the sign-in services. Default: 0, any.
    pub outside_port: u16,
    /// Port of APNs, HTTP/2. Default: 0, any.
    pub apns_port: u16,
    /// Where webhooks go. Default: none; they wait until one is set.
    pub webhook_url: Option<String>,
    /// What webhooks are signed with. Default: `whsec_fairground_fakes`.
    pub webhook_secret: String,
    /// The key that Stripe's API wants. Default: `sk_test_fairground_fakes`.
    pub stripe_key: String,
    /// The account that the SMS gateway wants. Default: `AC` and 32 zeros.
    pub sms_account: String,
    /// The token of that account. Default: `fairground-fakes`.
    pub sms_token: String,
    /// Wait before the second attempt at a webhook; it doubles up to a minute. Default: 500 ms.
    pub webhook_first_gap: Duration,
    /// Stripe's OpenAPI description to check every call and answer against. Default: none.
    pub stripe_contract: Option<PathBuf>,
    /// Seed of the ids. Default: another one at each start.
    pub seed: Option<u64>,
}

impl Default for FakesOptions {
    fn default() -> Self {
        Self {
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            stripe_port: 0,
            inbox_port: 0,
            smtp_port: 0,
            outside_port: 0,
            apns_port: 0,
            webhook_url: None,
            webhook_secret: "whsec_fairground_fakes".to_owned(),
            stripe_key: "sk_test_fairground_fakes".to_owned(),
            sms_account: format!("AC{}", "0".repeat(32)),
            sms_token: "fairground-fakes".to_owned(),
            webhook_first_gap: Duration::from_millis(500),
            stripe_contract: None,
            seed: None,
        }
    }
}

/// The stand-ins.
#[derive(Debug, Clone, Copy)]
pub struct Fakes;

/// Running stand-ins. Dropped, they end at once; see [`FakesHandle::shutdown`].
pub struct FakesHandle {
    /// Stripe's API and hosted page, without a slash at the end.
    pub stripe_url: String,
    /// The inbox: `/`, `/mail?to=`, `/sms?to=`.
    pub inbox_url: String,
    /// The SMS gateway's API.
    pub sms_url: String,
    /// The mail relay.
    pub smtp_addr: SocketAddr,
    /// SendGrid at `/sendgrid`, Postmark at `/postmark`, FCM at `/fcm`, and the sign-in services.
    pub outside_url: String,
    /// APNs, HTTP/2 without TLS.
    pub apns_url: String,
    stripe: Arc<StripeFake>,
    inbox: Arc<Inbox>,
    outside: Arc<Outside>,
    webhooks: Arc<Webhooks>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl fmt::Debug for FakesOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakesOptions")
            .field("listen", &self.listen)
            .field("webhook_url", &self.webhook_url)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for FakesHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakesHandle")
            .field("stripe_url", &self.stripe_url)
            .field("inbox_url", &self.inbox_url)
            .field("smtp_addr", &self.smtp_addr)
            .finish_non_exhaustive()
    }
}

impl Fakes {
    /// Starts all of them; they listen when this returns.
    ///
    /// # Errors
    /// See [`FakesError`]; nothing is left running.
    pub async fn start(options: FakesOptions) -> Result<FakesHandle, FakesError> {
        if !options.listen.is_loopback() {
            return Err(FakesError::NotLoopback(options.listen));
        }
        // Secrets come from files, and files end with a line's end.
        let stripe_key = options.stripe_key.trim().to_owned();
        let webhook_secret = options.webhook_secret.trim().to_owned();
        if stripe_key.contains("_live_") {
            return Err(FakesError::LiveKey);
        }
        let contract = options.stripe_contract.as_deref().map(Contract::load).transpose()?;
        let seed = options.seed.unwrap_or_else(random_seed);
        let (stripe_listener, stripe_at) =
            bind("Stripe", options.listen, options.stripe_port).await?;
        let (inbox_listener, inbox_at) =
            bind("the inbox", options.listen, options.inbox_port).await?;
        let (smtp_listener, smtp_addr) = bind("mail", options.listen, options.smtp_port).await?;
        let (outside_listener, outside_at) =
            bind("outside services", options.listen, options.outside_port).await?;
        let (apns_listener, apns_at) = bind("APNs", options.listen, options.apns_port).await?;
        let (webhooks, queued) =
            Webhooks::new(options.webhook_url, webhook_secret, options.webhook_first_gap)
                .map_err(FakesError::Client)?;
        let stripe_url = format!("http://{stripe_at}");
        let settings =
            StripeSettings { key: stripe_key, base_url: stripe_url.clone(), seed, contract };
        let stripe = Arc::new(StripeFake::new(settings, Arc::clone(&webhooks)));
        let account = SmsAccount { account: options.sms_account, token: options.sms_token };
        let inbox = Arc::new(Inbox::new(account, seed));

        let outside_url = format!("http://{outside_at}");
        let outside = Outside::new(Arc::clone(&inbox), outside_url.clone(), seed)?;

        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve::http(stripe_listener, stripe.router(), stopping.clone()));
        tasks.spawn(serve::http(inbox_listener, inbox.router(), stopping.clone()));
        tasks.spawn(serve::http(outside_listener, outside.router(), stopping.clone()));
        tasks.spawn(serve::http2(apns_listener, outside.apns_router(), stopping.clone()));
        tasks.spawn(inbox::relay(smtp_listener, Arc::clone(&inbox), stopping.clone()));
        tasks.spawn(Arc::clone(&webhooks).run(queued, stopping.clone()));
        tasks.spawn(Arc::clone(&stripe).sweep(stopping));
        let inbox_url = format!("http://{inbox_at}");
        let sms_url = inbox_url.clone();
        Ok(FakesHandle {
            stripe_url,
            inbox_url,
            sms_url,
            smtp_addr,
            outside_url,
            apns_url: format!("http://{apns_at}"),
            stripe,
            inbox,
            outside,
            webhooks,
            stop,
            tasks,
        })
    }
}

impl FakesHandle {
    /// Sends webhooks here from now on, also those that wait.
    pub fn set_webhook_url(&self, url: impl Into<String>) {
        self.webhooks.set_url(Some(url.into()));
    }

    /// Changes how Stripe misbehaves.
    pub fn set_faults(&self, faults: Faults) {
        self.stripe.set_faults(faults);
    }

    /// Moves Stripe's clock ahead; sessions whose time has come expire.
    pub fn advance_stripe_clock(&self, by: fairground_types::Millis) {
        self.stripe.advance_clock(by);
    }

    /// The newest 2,000 calls to Stripe's API, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<CallRecord> {
        self.stripe.calls()
    }

    /// The newest 2,000 attempts at webhooks, oldest first.
    #[must_use]
    pub fn deliveries(&self) -> Vec<DeliveryRecord> {
        self.webhooks.records()
    }

    /// Where calls to Stripe, or answers of it, were not as its description says.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.stripe.violations()
    }

    /// Mail to this address, newest first.
    #[must_use]
    pub fn mail_to(&self, address: &str) -> Vec<Mail> {
        self.inbox.mails(Some(address))
    }

    /// Text messages to this number, newest first.
    #[must_use]
    pub fn sms_to(&self, number: &str) -> Vec<Sms> {
        self.inbox.texts(Some(number))
    }

    /// SendGrid, Postmark, FCM, APNs and the sign-in services: what they got, how they misbehave.
    #[must_use]
    pub fn outside(&self) -> &Outside {
        &self.outside
    }

    /// Ends everything: no new connections, a moment for open ones, then the rest is cut.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(END_WAIT, all).await.is_err() {
            self.tasks.shutdown().await;
        }
    }
}

async fn bind(
    part: &'static str,
    listen: IpAddr,
    port: u16,
) -> Result<(TcpListener, SocketAddr), FakesError> {
    let address = SocketAddr::new(listen, port);
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let at = listener.local_addr()?;
        Ok((listener, at))
    };
    bound.await.map_err(|source| FakesError::Bind { part, address, source })
}

fn random_seed() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}
