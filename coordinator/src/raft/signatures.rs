//! Signatures of an entry's bids, looked into off the async threads before the entry is applied.
//!
//! ```text
//!  entry -> Market::claims -> shares, one a worker -> blocking threads -> Verified -> apply
//! ```
//! Entries are applied one after the other, so at most [`WORKERS_MAX`] threads are busy with it and
//! nothing queues. A share that is lost (the member stops) is no fault: apply computes what it is not
//! told. It must not know who must sign. Read next: `fairground_market`'s `signing`.

use fairground_market::{Checked, Claim, Verified};

/// Threads that look into the signatures of one entry at most.
const WORKERS_MAX: usize = 8;
/// Claims that are worth a thread of their own: about as long as handing them over takes.
const SHARE_MIN: usize = 8;

/// Looks into claims, many at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignaturePool {
    workers: usize,
}

impl SignaturePool {
    /// A pool as wide as this machine, within [`WORKERS_MAX`].
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { workers: cores.min(WORKERS_MAX) }
    }

    /// What holds of the claims of an entry.
    pub(crate) async fn check(self, claims: Vec<Claim>) -> Verified {
        if claims.is_empty() {
            return Verified::default();
        }
        let count = claims.len();
        let shares: Vec<_> = self
            .shares(claims)
            .into_iter()
            .map(|share| {
                tokio::task::spawn_blocking(move || {
                    share.iter().map(Claim::check).collect::<Vec<Checked>>()
                })
            })
            .collect();
        let mut checked = Vec::with_capacity(count);
        for share in shares {
            match share.await {
                Ok(share) => checked.extend(share),
                Err(error) => tracing::warn!(%error, "signatures are checked while applying"),
            }
        }
        let held = checked.iter().filter(|row| row.holds()).count();
        note(count, checked.len().saturating_sub(held));
        checked.into_iter().collect()
    }

    /// Claims in as many shares as there are workers, of [`SHARE_MIN`] or more where there are enough.
    fn shares(self, mut claims: Vec<Claim>) -> Vec<Vec<Claim>> {
        let size = claims.len().div_ceil(self.workers.max(1)).max(SHARE_MIN);
        let mut shares = Vec::new();
        while claims.len() > size {
            let rest = claims.split_off(size);
            shares.push(std::mem::replace(&mut claims, rest));
        }
        shares.push(claims);
        shares
    }
}

fn note(checked: usize, forged: usize) {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    metrics::counter!(crate::metrics::SIGNATURES_CHECKED).increment(count(checked));
    metrics::counter!(crate::metrics::SIGNATURES_FORGED).increment(count(forged));
}

#[cfg(test)]
mod tests {
    use fairground_market::script::World;
    use fairground_types::LogIndex;

    use super::*;

    /// A market in which `a` has a key, and an entry with so many bids that it signs.
    fn signed(bids: usize) -> (World, fairground_types::Entry) {
        let mut world = World::play(
            "signed above EUR 500.00
            12:00:00  offer S1 b EUR 100.00     -> opened A; A closes 3d12:00:00
            12:00:01  in a                      -> done
            12:00:02  key a ed                  -> done",
        )
        .unwrap();
        let line = |place: usize| {
            let amount = 105 + 5 * place;
            format!("bid A a EUR {amount}.00 signed ed")
        };
        let lines: Vec<String> = (0..bids).map(line).collect();
        let entry = world.entry_of("12:00:03", &lines).unwrap();
        (world, entry)
    }

    #[tokio::test]
    async fn shares_lose_no_claim_and_give_the_same_outcome() {
        let (world, entry) = signed(60);
        let claims = world.market.claims(&entry);
        assert_eq!(claims.len(), 60);
        for workers in [1, 2, 3, 8, 100] {
            let pool = SignaturePool { workers };
            let shares = pool.shares(claims.clone());
            assert!(shares.len() <= workers && shares.len() <= 8, "{workers}: {}", shares.len());
            assert_eq!(shares.concat(), claims);
            let verified = pool.check(claims.clone()).await;
            assert_eq!(verified.len(), 60);
            let (mut told, mut alone) = (world.market.clone(), world.market.clone());
            let next = LogIndex(world.market.last_index().0 + 1);
            let one = told.apply_verified(next, &entry, verified);
            assert_eq!(one, alone.apply(next, &entry));
            assert_eq!(told, alone);
            assert_eq!(
                one.judged.iter().filter(|row| row.judged.verdict.is_accepted()).count(),
                60
            );
        }
    }
}
