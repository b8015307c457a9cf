//! `fairground media lint`: judges a published revision, in a folder or behind a URL.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use fairground_media::conformance::{
    Answer, Client, Folder, Lint, Request, Source, SourceError, lint,
};
use fairground_media::{Launcher, Tools};
use reqwest::redirect::Policy;
use reqwest::{Method, Url};
use tokio::runtime::Handle;

use crate::cli::MediaVerb;
use crate::output;

/// The multivariant playlist of a folder.
const FULL: &str = "master.m3u8";
/// Exit code of a revision that breaks a rule.
const EXIT_ERRORS: u8 = 1;
/// Exit code when the revision could not be read.
const EXIT_UNREAD: u8 = 2;
/// Longest answer that is read for a rule of delivery, in bytes.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// Ends with 0, with 1 when an error was found, with 2 when nothing could be judged.
pub(crate) fn run(verb: MediaVerb) -> ExitCode {
    let MediaVerb::Lint { place, json, decode } = verb;
    // What a source does is synchronous; this thread may wait.
    let done = tokio::task::block_in_place(|| judge(&place, json, decode));
    match done {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(EXIT_ERRORS),
        Err(error) => {
            // Nothing is left to say when even this cannot be written.
            let _ = output::note(&format!("fairground: {error:#}"));
            ExitCode::from(EXIT_UNREAD)
        }
    }
}

/// Lints, prints, and returns the number of errors.
fn judge(place: &str, json: bool, decode: bool) -> anyhow::Result<u64> {
    let linted = if place.starts_with("http://") || place.starts_with("https://") {
        let server = Server::new(place)?;
        let mut linted = lint(&server, &server.entry).context("read the multivariant playlist")?;
        linted.delivery(place, &server);
        decoded(&mut linted, &server, decode)?;
        linted
    } else {
        let (folder, entry) = split(Path::new(place))?;
        let source = Folder::new(folder);
        let mut linted =
            lint(&source, &entry).with_context(|| format!("read {entry} in {place}"))?;
        decoded(&mut linted, &source, decode)?;
        linted
    };
    let report = linted.report();
    if json {
        output::json(&report.to_json()?)?;
    } else {
        output::line(&report.to_string())?;
    }
    Ok(report.errors())
}

/// A folder, or a multivariant playlist in one.
fn split(place: &Path) -> anyhow::Result<(PathBuf, String)> {
    if place.is_dir() {
        return Ok((place.to_owned(), FULL.to_owned()));
    }
    ensure!(place.is_file(), "{} is neither a folder nor a playlist", place.display());
    let folder = place.parent().context("the playlist is in no folder")?;
    let entry = place.file_name().and_then(|name| name.to_str()).context("an odd file name")?;
    Ok((folder.to_owned(), entry.to_owned()))
}

fn decoded(linted: &mut Lint, source: &dyn Source, wanted: bool) -> anyhow::Result<()> {
    if !wanted {
        return Ok(());
    }
    let program = std::env::current_exe().context("find this program")?;
    match Tools::find(Some(Launcher { program, verb: "transcode-jail".to_owned() })) {
        Ok(tools) => {
            let folder = tempfile::tempdir().context("make a folder to decode in")?;
            let folder = folder.path().canonicalize()?;
            linted.decode(source, &tools, &folder);
        }
        Err(error) => linted.skip_decode(&format!("failed to {error}")),
    }
    Ok(())
}

/// A server that publishes a revision.
struct Server {
    http: reqwest::Client,
    base: Url,
    entry: String,
    runtime: Handle,
}

impl Server {
    fn new(address: &str) -> anyhow::Result<Self> {
        let base = Url::parse(address).context("read the URL")?;
        let entry = base.path_segments().and_then(|mut parts| parts.next_back());
        let entry = entry.filter(|entry| !entry.is_empty()).context("the URL names no playlist")?;
        let entry = entry.to_owned();
        // A redirect breaks a rule, and compression is part of what is looked at.
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(60))
            .build()?;
        Ok(Self { http, base, entry, runtime: Handle::current() })
    }

    fn send(&self, name: &str, request: &Request, bytes_max: u64) -> Result<Answer, SourceError> {
        let failed = |error: &dyn std::fmt::Display| SourceError::Failed(error.to_string());
        let url = self.base.join(name).map_err(|error| failed(&error))?;
        let method = if request.head { Method::HEAD } else { Method::GET };
        let mut call = self.http.request(method, url);
        for (name, value) in &request.headers {
            call = call.header(*name, value);
        }
        self.runtime.block_on(async {
            // The address may hold a token: it is not told.
            let fault = |error: reqwest::Error| failed(&error.without_url());
            let mut answer = call.send().await.map_err(fault)?;
            let headers = answer.headers().iter();
            let headers = headers
                .map(|(name, value)| {
                    (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into())
                })
                .collect();
            let status = answer.status().as_u16();
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await.map_err(fault)? {
                body.extend_from_slice(&chunk);
                if u64::try_from(body.len()).map_or(true, |length| length > bytes_max) {
                    return Err(SourceError::TooLong { bytes_max });
                }
            }
            Ok(Answer { status, headers, body })
        })
    }
}

impl Source for Server {
    fn get(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>, SourceError> {
        let answer = self.send(name, &Request::default(), bytes_max)?;
        match answer.status {
            200 => Ok(answer.body),
            404 | 410 => Err(SourceError::Absent),
            status => Err(SourceError::Failed(format!("status {status}"))),
        }
    }
}

impl Client for Server {
    fn ask(&self, name: &str, request: &Request) -> Result<Answer, String> {
        self.send(name, request, ANSWER_BYTES_MAX).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASTER: &str = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-STREAM-INF:BANDWIDTH=1\nc.m3u8\n";

    #[tokio::test(flavor = "multi_thread")]
    async fn a_revision_that_breaks_rules_ends_with_one_and_no_revision_with_two() {
        let folder = tempfile::tempdir().expect("made");
        let ask = |place: &Path| {
            let place = place.to_str().expect("text").to_owned();
            run(MediaVerb::Lint { place, json: true, decode: false })
        };
        let code = |code: u8| format!("{:?}", ExitCode::from(code));
        assert_eq!(format!("{:?}", ask(folder.path())), code(EXIT_UNREAD));
        std::fs::write(folder.path().join(FULL), MASTER).expect("written");
        assert_eq!(format!("{:?}", ask(folder.path())), code(EXIT_ERRORS));
        assert_eq!(format!("{:?}", ask(&folder.path().join(FULL))), code(EXIT_ERRORS));
        assert_eq!(format!("{:?}", ask(&folder.path().join("absent"))), code(EXIT_UNREAD));
    }

    /// Answers one request per connection with a fixed text, as a plain file server does.
    async fn serve(listener: tokio::net::TcpListener) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.unwrap_or(0);
            let request = String::from_utf8_lossy(request.get(..read).unwrap_or_default());
            let found = request.split(' ').nth(1).is_some_and(|path| path.ends_with(FULL));
            let (status, body) = if found { ("200 OK", MASTER) } else { ("404 Not Found", "") };
            let body = if request.starts_with("HEAD") { "" } else { body };
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                MASTER.len() * usize::from(found)
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_is_asked_as_players_ask_it() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        let asking = tokio::task::spawn_blocking(move || {
            let place = format!("http://{address}/p/x/{FULL}");
            let server = Server::new(&place).expect("made");
            let mut linted = lint(&server, &server.entry).expect("read");
            linted.delivery(&place, &server);
            linted.report().to_json().expect("written")
        });
        let report = tokio::select! {
            () = serve(listener) => unreachable!("it serves for ever"),
            report = asking => report.expect("ended"),
        };
        let rules: Vec<&str> = report["findings"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|finding| finding["rule"].as_str())
            .collect();
        for rule in ["F1", "M3", "D1", "D2", "D4", "D5", "D7"] {
            assert!(rules.contains(&rule), "{rule} is not in {rules:?}");
        }
        assert!(!rules.contains(&"D3"), "{rules:?}");
    }
}
