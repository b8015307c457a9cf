//! Accounts that sign in by the code in the inbox of the fakes, many at once.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use fairground_kit::answer::{new_code, text_at};
use fairground_kit::wait::Patience;
use fairground_load::http::Target;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::api::Api;

/// How many sign in, list or open at once.
pub(crate) const AT_ONCE: usize = 32;
/// An access token is good for 15 minutes; older than this it is exchanged before a run.
const FRESH_FOR: Duration = Duration::from_mins(8);

/// An account that is signed in.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    access: String,
    refresh: String,
    since: Instant,
}

impl Person {
    /// The header's value.
    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.access)
    }

    fn of(tokens: &Value) -> anyhow::Result<Self> {
        Ok(Self {
            access: text_at(tokens, "accessToken")?,
            refresh: text_at(tokens, "refreshToken")?,
            since: Instant::now(),
        })
    }

    /// Exchanges the token when it is getting old.
    pub(crate) async fn freshen(&mut self, edge: &Target) -> anyhow::Result<()> {
        if self.since.elapsed() > FRESH_FOR {
            let body = json!({"refreshToken": self.refresh});
            *self = Self::of(&Api::new(edge, None).post("/v1/auth/refresh", &body).await?)?;
        }
        Ok(())
    }
}

/// Signs an account in by mail.
pub(crate) async fn sign_in(
    edge: &Target,
    inbox: &Target,
    address: &str,
) -> anyhow::Result<Person> {
    let (mut api, mut mail) = (Api::new(edge, None), Api::new(inbox, None));
    let query = format!("/mail?to={address}");
    let known = mail.get(&query).await?["messages"].as_array().map_or(0, Vec::len);
    let request = json!({"identifier": address, "channel": "email"});
    api.post("/v1/auth/otp/request", &request).await?;
    let patience = Patience::new("the mail with the code", Duration::from_secs(60));
    let code = loop {
        let found = mail.get(&query).await?;
        if let Some(code) = new_code(&found, known) {
            break code;
        }
        patience.rest().await?;
    };
    let typed = json!({"identifier": address, "code": code});
    Person::of(&api.post("/v1/auth/otp/verify", &typed).await?)
}

/// Makes an account with a handle.
pub(crate) async fn join(edge: &Target, inbox: &Target, handle: &str) -> anyhow::Result<Person> {
    let person = sign_in(edge, inbox, &format!("{handle}@market.example"))
        .await
        .with_context(|| format!("{handle} could not sign in"))?;
    let mut api = Api::new(edge, Some(&person.authorization()));
    api.command("PUT", "/v1/users/me/handle", &json!({"handle": handle})).await?;
    Ok(person)
}

/// Makes `buyer-1` to `buyer-N`, in their order.
pub(crate) async fn crowd(
    edges: &[Target],
    inbox: &Target,
    count: usize,
) -> anyhow::Result<Vec<Person>> {
    let (edges, inbox) = (Arc::new(edges.to_vec()), inbox.clone());
    in_parallel(count, move |number| {
        let (edges, inbox) = (Arc::clone(&edges), inbox.clone());
        async move {
            let edge = edges.get(number % edges.len().max(1)).context("no edge")?;
            join(edge, &inbox, &format!("buyer-{}", number + 1)).await
        }
    })
    .await
}

/// Does `work` for 0 to `count`, some at a time; answers in order.
pub(crate) async fn in_parallel<T, F, Fut>(count: usize, work: F) -> anyhow::Result<Vec<T>>
where
    T: Send + 'static,
    F: Fn(usize) -> Fut,
    Fut: Future<Output = anyhow::Result<T>> + Send + 'static,
{
    let mut done: Vec<Option<T>> = (0..count).map(|_| None).collect();
    let mut tasks = JoinSet::new();
    let mut next = 0;
    loop {
        while next < count && tasks.len() < AT_ONCE {
            let task = work(next);
            let number = next;
            tasks.spawn(async move { (number, task.await) });
            next += 1;
        }
        let Some(joined) = tasks.join_next().await else { break };
        let (number, result) = joined?;
        if let Some(slot) = done.get_mut(number) {
            *slot = Some(result?);
        }
    }
    done.into_iter().collect::<Option<_>>().context("something was not done")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_done_at_once_is_answered_in_order() {
        let done = in_parallel(100, |number| async move {
            tokio::task::yield_now().await;
            Ok(number * 2)
        });
        let done = done.await.expect("done");
        assert_eq!(done, (0..100).map(|number| number * 2).collect::<Vec<_>>());
        let failed = in_parallel(3, |number| async move {
            if number == 1 { anyhow::bail!("no") } else { Ok(()) }
        });
        assert!(failed.await.is_err());
    }
}
