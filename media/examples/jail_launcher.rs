//! The launcher alone, so that the crate's own tests can jail ffmpeg without the whole binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_none_or(|verb| verb != "transcode-jail") {
        return ExitCode::from(2);
    }
    let code = fairground_media::launch_main(args.collect());
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
