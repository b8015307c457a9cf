//! A disk that is full and clocks that step, on real processes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use fairground_faults::history::Line;
use fairground_faults::market::Shape;
use fairground_faults::market::api::Api;
use fairground_faults::market::bidder::Scene;
use fairground_faults::market::people::can_make_clips;
use fairground_faults::process::run;
use fairground_faults::round::{Size, Stage};
use fairground_faults::{binary, skip};
use fairground_kit::wait::until;
use tokio::time::{Duration, Instant, sleep};

const SIZE: Size = Size { bidders: 6, auctions: 2 };
/// Room of the small disk: what a fresh edge needs, and some bids.
const DISK: &str = "size=48m";

/// The binary, or a line that says why the test does not run.
fn able(name: &str, needs: impl FnOnce() -> anyhow::Result<()>) -> Option<PathBuf> {
    let found = binary().and_then(|binary| {
        can_make_clips()?;
        needs()?;
        Ok(binary)
    });
    match found {
        Ok(binary) => Some(binary),
        Err(reason) => {
            skip(name, &format!("{reason:#}"));
            None
        }
    }
}

fn note(scene: &Scene, what: &str) -> anyhow::Result<()> {
    scene.recorder.write(&Line::Blow { at: scene.recorder.now(), what: what.to_owned() })
}

/// A small file system of its own; gone when it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    async fn mount(at: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(at)?;
        let text = at.to_string_lossy().into_owned();
        let mount = Path::new("/bin/mount");
        run(mount, &["-t", "tmpfs", "-o", DISK, "tmpfs", &text]).await?;
        Ok(Self(at.to_owned()))
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Takes everything that is left.
    fn fill(&self) -> anyhow::Result<()> {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.filler())?;
        // In smaller and smaller pieces, until not a page is left.
        for size in [1 << 20, 1 << 16, 1 << 12] {
            let piece = vec![1_u8; size];
            while file.write_all(&piece).is_ok() {}
        }
        Ok(())
    }

    fn empty(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_file(self.filler())?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process may still be on its way out.
        let _ = std::process::Command::new("/bin/umount").arg("-l").arg(&self.0).status();
    }
}

fn is_root() -> anyhow::Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "mounting a small disk needs root");
    ensure!(Path::new("/bin/mount").exists(), "mount is not installed");
    Ok(())
}

#[tokio::test]
async fn an_edge_on_a_full_disk_declines_and_loses_nothing() -> anyhow::Result<()> {
    let name = "an_edge_on_a_full_disk_declines_and_loses_nothing";
    let Some(binary) = able(name, is_root) else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let disk = match SmallDisk::mount(&folder.path().join("small")).await {
        Ok(disk) => disk,
        Err(error) => {
            skip(name, &format!("no small disk can be mounted: {error:#}"));
            return Ok(());
        }
    };
    let dir = disk.0.join("e2");
    let shape =
        Shape { initial: Duration::from_secs(30), edge_dir: Some((1, dir)), ..Shape::default() };
    let mut stage = Stage::set(&binary, folder.path(), shape, SIZE, 3).await?;
    let file = folder.path().join("history.jsonl");
    let (report, declined) = stage
        .play(3, &file, async |market, scene| {
            sleep(Duration::from_secs(3)).await;
            note(scene, "the disk of e2 is full")?;
            disk.fill()?;
            // The journal has room of its own inside its file; bids use it up.
            let edge = Api::new(&market.edges[1].url)?;
            let declined = until("an edge that declines", Duration::from_secs(25), async || {
                let ready = edge.send("GET", "/readyz", &[], Vec::new()).await?;
                Ok((ready.status == 503).then(|| ready.body.to_string()))
            });
            let declined = declined.await;
            sleep(Duration::from_secs(2)).await;
            note(scene, "the disk of e2 has room again")?;
            disk.empty()?;
            // A store that failed is never written again; its daemon starts from what is durable.
            if declined.is_ok() {
                market.edges[1].kill().await?;
                market.edges[1].start()?;
                market.edges[1].daemon.ready(Duration::from_secs(30)).await?;
                market.wait_until_bid_ready(Duration::from_secs(30)).await?;
            }
            sleep(Duration::from_secs(2)).await;
            Ok(declined)
        })
        .await?;
    stage.market.stop().await;
    println!("{report}\n{declined:?}");
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.lost, 0, "{report}");
    let declined = declined.context("the edge took bids on a full disk, or failed otherwise")?;
    assert!(declined.contains("disk"), "what it says to operators: {declined}");
    Ok(())
}

/// Debian's library, in the folder of this machine's architecture.
fn faketime() -> anyhow::Result<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib")?.flatten().map(|entry| entry.path());
    let mut files = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    files.find(|file| file.exists()).context("libfaketime is not installed")
}

/// A wall clock that follows a file; the monotonic one stays as it is.
struct Clock(PathBuf);

impl Clock {
    fn of(folder: &Path, daemon: &str) -> anyhow::Result<Self> {
        let clock = Self(folder.join(format!("{daemon}.clock")));
        clock.step("+0")?;
        Ok(clock)
    }

    fn step(&self, by: &str) -> anyhow::Result<()> {
        // Replaced as a whole: it is read at any moment.
        let new = self.0.with_extension("new");
        std::fs::write(&new, format!("{by}\n"))?;
        Ok(std::fs::rename(new, &self.0)?)
    }

    fn environment(&self, library: &Path) -> Vec<(String, String)> {
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        vec![
            set("LD_PRELOAD", &library.to_string_lossy()),
            set("FAKETIME_TIMESTAMP_FILE", &self.0.to_string_lossy()),
            set("FAKETIME_NO_CACHE", "1"),
            set("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            set("DONT_FAKE_MONOTONIC", "1"),
        ]
    }
}

/// What a daemon takes for the time.
async fn wall(url: &str) -> anyhow::Result<jiff::Timestamp> {
    let answer = reqwest::Client::builder().no_proxy().build()?;
    let answer = answer.get(format!("{url}/livez")).send().await?;
    let date = answer.headers().get("date").context("no date")?.to_str()?;
    Ok(jiff::fmt::rfc2822::parse(date)?.timestamp())
}

#[tokio::test]
async fn wall_clocks_that_step_close_nothing_early() -> anyhow::Result<()> {
    let name = "wall_clocks_that_step_close_nothing_early";
    let Some(binary) = able(name, || faketime().map(|_| ())) else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let daemons = ["m1", "m2", "m3", "e1", "e2"];
    let clocks: Vec<Clock> =
        daemons.iter().map(|it| Clock::of(folder.path(), it)).collect::<anyhow::Result<_>>()?;
    let named = daemons.iter().map(|it| (*it).to_owned());
    let library = faketime()?;
    let environment = named.zip(clocks.iter().map(|it| it.environment(&library))).collect();
    let initial = Duration::from_secs(30);
    let shape = Shape { initial, environment, ..Shape::default() };
    let mut stage = Stage::set(&binary, folder.path(), shape, SIZE, 4).await?;
    let file = folder.path().join("history.jsonl");
    let began = Instant::now();
    let act = async |market: &mut fairground_faults::market::Market, scene: &Arc<Scene>| {
        sleep(Duration::from_secs(2)).await;
        let leader = market.leader().await?;
        note(scene, &format!("the wall clock of m{}, which leads, steps an hour", leader + 1))?;
        clocks[leader].step("+3600s")?;
        sleep(Duration::from_secs(4)).await;
        note(scene, "the wall clock of e1 steps a day, that of e2 back an hour")?;
        clocks[3].step("+86400s")?;
        clocks[4].step("-3600s")?;
        let shifted = (wall(&market.edges[0].url).await?, wall(&market.edges[1].url).await?);
        let ahead = shifted.0.duration_since(shifted.1).as_secs();
        // A date that an answer shows is kept for a second and never goes back: the day shows alone.
        ensure!(ahead > 86_000, "the clocks of the edges are only {ahead} s apart");
        sleep(Duration::from_secs(4)).await;
        note(scene, "the wall clock of m1 is right again")?;
        clocks[leader].step("+0")?;
        sleep(Duration::from_secs(3)).await;
        Ok(scene.load.verdicts())
    };
    let (report, verdicts) = stage.play(4, &file, act).await?;
    let took = began.elapsed();
    stage.market.stop().await;
    println!("{report}\n{verdicts} verdicts, closed after {took:?}");
    assert!(report.is_clean(), "{report}");
    assert!(took >= initial, "everything was over after {took:?} instead of {initial:?}");
    assert!(verdicts > 50, "only {verdicts} verdicts while clocks stepped");
    Ok(())
}
