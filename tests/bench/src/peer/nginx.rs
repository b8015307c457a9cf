//! nginx as an operator would set it up for this: HTTPS with TLS 1.3, HTTP/1.1 and HTTP/2, files from
//! the page cache, links that are signed and expire (`secure_link`).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fairground_kit::place::{find, free_tcp};
use fairground_kit::wait::Patience;
use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::place::{LOOPBACK, Place};
use crate::process::{Account, Daemon, Program};

/// What links are signed with.
const SECRET: &str = "a secret of both sides";
/// When links expire, in seconds of the epoch: long after any run.
const EXPIRES: u64 = 4_102_444_800;

/// Why it cannot run here, if so.
pub(crate) fn missing() -> Option<String> {
    find("nginx").is_none().then(|| "nginx is not installed (Debian: nginx-light)".to_owned())
}

/// A server of a folder of files.
pub(crate) struct Nginx {
    daemon: Daemon,
    address: SocketAddr,
    paths: BTreeMap<String, String>,
}

impl Nginx {
    /// Writes the files, starts it and waits until it takes connections.
    pub(crate) async fn start(
        place: &Place,
        files: &BTreeMap<String, Vec<u8>>,
    ) -> anyhow::Result<Self> {
        let dir = place.folder("nginx")?;
        let mut paths = BTreeMap::new();
        for (name, bytes) in files {
            std::fs::write(dir.join(name), bytes)?;
            paths.insert(name.clone(), signed(&dir, name).await?);
        }
        let address = free_tcp(LOOPBACK)?;
        let file = dir.join("nginx.conf");
        std::fs::write(&file, configuration(place, &dir, address))?;
        let file = file.to_string_lossy().into_owned();
        let program = find("nginx").context("there is no nginx")?;
        let program = Program::new("nginx", Account::Own, &program, &["-c", &file]);
        let daemon = Daemon::start(program, dir.join("nginx.log"), Signal::TERM)?;
        let mut nginx = Self { daemon, address, paths };
        let patience = Patience::new("connecting to nginx", std::time::Duration::from_secs(10));
        while TcpStream::connect(address).await.is_err() {
            nginx.daemon.check()?;
            patience.rest().await?;
        }
        Ok(nginx)
    }

    /// Where a file is.
    pub(crate) fn url(&self, name: &str) -> anyhow::Result<String> {
        let path = self.paths.get(name).context("no such file")?;
        Ok(format!("https://{}{path}", self.address))
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        self.daemon.pid().into_iter().collect()
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.daemon.stop().await
    }
}

/// The signed path of a file, as the module's documentation makes one. Its hash is MD5, which the
/// system's tool computes.
async fn signed(dir: &Path, name: &str) -> anyhow::Result<String> {
    let text = dir.join("signed");
    std::fs::write(&text, format!("{EXPIRES}{name} {SECRET}"))?;
    let tool = find("md5sum").context("there is no md5sum")?;
    let text = text.to_string_lossy().into_owned();
    let told = Program::new("md5sum", Account::Own, &tool, &[&text]).run().await?;
    let digits = told.get(..32).context("md5sum printed no hash")?;
    let hash = u128::from_str_radix(digits, 16)?.to_be_bytes();
    Ok(format!("/p/{}/{EXPIRES}/{name}", URL_SAFE_NO_PAD.encode(hash)))
}

fn configuration(place: &Place, dir: &Path, address: SocketAddr) -> String {
    let (dir, certificate, key) = (dir.display(), place.certificate.display(), place.key.display());
    // Workers of root may read the folder; for anybody else the line is only a warning.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    format!(
        "{user}
daemon off;
pid {dir}/pid;
error_log {dir}/error.log;
worker_processes auto;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000000;
  open_file_cache max=1000 inactive=600s;
  types {{ application/vnd.apple.mpegurl m3u8; video/mp4 m4s mp4; }}
  server {{
    listen {address} ssl http2;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.3;
    location ~ ^/p/(?<sum>[A-Za-z0-9_-]+)/(?<until>[0-9]+)/(?<file>.+)$ {{
      secure_link $sum,$until;
      secure_link_md5 \"$secure_link_expires$file {SECRET}\";
      if ($secure_link = \"\") {{ return 403; }}
      if ($secure_link = \"0\") {{ return 410; }}
      add_header Cache-Control \"private, max-age=31536000, immutable\";
      add_header Access-Control-Allow-Origin \"*\";
      alias {dir}/$file;
    }}
  }}
}}
"
    )
}
