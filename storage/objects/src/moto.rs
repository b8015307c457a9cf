//! An S3-compatible server for tests: `moto_server` of PyPI's `moto`, a process on loopback.
//!
//! `make setup-test` installs it; a test says that it is skipped when it is absent. It checks no
//! signature and keeps everything in memory.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::settings::S3Settings;

/// How long the server may take to listen.
const START_WAIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct Moto {
    child: Child,
    address: SocketAddr,
}

/// `FAIRGROUND_MOTO_SERVER`, or where `make setup-test` puts it.
fn program() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    if let Some(program) = folder("FAIRGROUND_MOTO_SERVER") {
        return Some(PathBuf::from(program));
    }
    let cache = match folder("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => Path::new(&folder("HOME")?).join(".cache"),
    };
    let program = cache.join("fairground/python-tests/bin/moto_server");
    program.exists().then_some(program)
}

impl Moto {
    /// Starts a server and waits until it listens; `None`, after a line that says so, when it is not
    /// installed.
    ///
    /// # Errors
    /// When it cannot be started, ends, or does not listen in time.
    pub fn start() -> io::Result<Option<Self>> {
        let Some(program) = program() else {
            let mut out = io::stderr();
            writeln!(out, "skipped: moto_server is absent: `make setup-test` installs it")?;
            return Ok(None);
        };
        // Free a moment ago: the server cannot say which port it picked but in a log for people.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut server = Self { child, address };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                return Err(io::Error::other(format!("moto_server ended: {status}")));
            }
            if began.elapsed() > START_WAIT {
                return Err(io::Error::from(io::ErrorKind::TimedOut));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(Some(server))
    }

    /// Base URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes a bucket.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn make_bucket(&self, name: &str) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        let host = self.address;
        write!(
            stream,
            "PUT /{name} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if answer.starts_with("HTTP/1.1 200") {
            return Ok(());
        }
        Err(io::Error::other(answer.lines().next().unwrap_or("no answer").to_owned()))
    }

    /// Settings for a bucket of this server.
    #[must_use]
    pub fn settings(&self, bucket: &str, prefix: &str) -> S3Settings {
        S3Settings {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            endpoint: Some(self.endpoint()),
            region: "us-east-1".to_owned(),
            path_style: true,
            access_key_id: "test".to_owned(),
            secret_access_key: "test".to_owned(),
        }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
