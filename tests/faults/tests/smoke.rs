//! The faults at their smallest, on real processes: some of each kind, and nothing may be lost.

use fairground_faults::market::Shape;
use fairground_faults::market::people::can_make_clips;
use fairground_faults::nemesis::Plan;
use fairground_faults::round::{Size, Stage};
use fairground_faults::{binary, skip};
use tokio::time::Duration;

#[tokio::test]
async fn kills_stops_and_troubled_links_lose_no_verdict() -> anyhow::Result<()> {
    let name = "kills_stops_and_troubled_links_lose_no_verdict";
    let binary = match binary().and_then(|binary| can_make_clips().map(|_| binary)) {
        Ok(binary) => binary,
        Err(reason) => {
            skip(name, &format!("{reason:#}"));
            return Ok(());
        }
    };
    let plan = Plan { single: 6, whole: 1, edges: 2, pauses: 2, troubles: Duration::from_secs(12) };
    let size = Size { bidders: 8, auctions: 3 };
    let shape = Shape { initial: Duration::from_secs(20), ..Shape::default() };
    // Another history every time; the seed is printed and makes the same choices again.
    let seed = u64::from(std::process::id());
    println!("reproduce: fairground-faults run --seed {seed} --single 6 --edges 2 --pauses 2");
    let folder = tempfile::tempdir()?;
    let began = std::time::Instant::now();
    let mut stage = Stage::set(&binary, folder.path(), shape, size, seed).await?;
    println!("set up after {:?}", began.elapsed());
    let file = folder.path().join("history.jsonl");
    let outcome = stage.round(&plan, seed, &file).await?;
    stage.market.stop().await;
    let report = &outcome.report;
    println!("{report}\n{:?}\nall of it {:?}", outcome.recoveries, began.elapsed());
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.lost, report.undecided), (0, 0), "{report}");
    assert!(report.judged >= 100, "too few bids to prove anything: {report}");
    for rule in ["prices", "real time", "views equal the model", "what is received is judged"] {
        assert!(report.looked_at.get(rule).is_some_and(|count| *count > 50), "{rule}: {report}");
    }
    let counts: u64 = stage.market.members.iter().map(|it| it.proxy.counts().sent).sum();
    assert!(counts > 1_000, "nothing went through the proxies");
    Ok(())
}
