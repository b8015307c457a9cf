//! Puts hls.js into the build when `make setup` has installed it, and an empty file otherwise: the
//! page then relies on the browser's own player.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let installed = root.join("web/node_modules/hls.js/dist/hls.min.js");
    let target = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("hls.min.js");
    let bytes = if installed.is_file() { fs::read(&installed)? } else { Vec::new() };
    fs::write(target, bytes)?;
    // Cargo watches a path that is absent by looking again at each build, which is cheap here.
    let mut cargo = io::stdout();
    io::Write::write_all(
        &mut cargo,
        format!(
            "cargo::rerun-if-changed={}\ncargo::rerun-if-changed=build.rs\n",
            installed.display()
        )
        .as_bytes(),
    )
}
