//! The child's side of the jail: fence this process, then become the tool.
//!
//! Runs in a fresh process with one thread. It must not open anything that the fence would forbid
//! later, nor write to standard output unless asked to report. Read next: `super`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, Signal};
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::{EXIT_JAIL, JailLevel, Spec};

/// Newest kernel interface whose rights are asked for; older kernels enforce what they know.
const LANDLOCK_ABI: ABI = ABI::V6;

/// Folders that programs and libraries are read from.
const SYSTEM_READ: [&str; 8] = [
    "/usr",
    "/lib",
    "/lib64",
    "/bin",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/localtime",
    "/dev/urandom",
];

/// Program interpreters, which the kernel must be allowed to execute.
const INTERPRETERS: [&str; 4] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
];

/// Runs the hidden verb of the binary: `<spec> -- <arguments of the tool>`.
///
/// On success it does not return, because the process has become the tool. The returned value is
/// the exit code: zero after a report, 125 when fencing or starting failed (the reason is then on
/// standard error).
#[must_use]
pub fn launch_main(args: Vec<OsString>) -> i32 {
    match launch(args) {
        Ok(()) => 0,
        Err(reason) => {
            // Nothing more can be done when standard error is closed.
            let _ = writeln!(std::io::stderr(), "jail: {reason}");
            EXIT_JAIL
        }
    }
}

fn launch(args: Vec<OsString>) -> Result<(), String> {
    let mut args = args.into_iter();
    let spec = args.next().ok_or("no spec")?;
    let spec = spec.to_str().ok_or("spec is not text")?;
    let spec: Spec = serde_json::from_str(spec).map_err(|error| format!("spec: {error}"))?;
    if args.next().is_some_and(|word| word != "--") {
        return Err("no -- after the spec".to_owned());
    }
    detach(&spec)?;
    limit(&spec)?;
    rustix::thread::set_no_new_privs(true).map_err(|error| format!("no new privs: {error}"))?;
    let level = fence_files(&spec).map_err(|error| format!("landlock: {error}"))?;
    fence_calls()?;
    if spec.report {
        let mut output = std::io::stdout();
        return output
            .write_all(level.name().as_bytes())
            .and_then(|()| output.flush())
            .map_err(|error| format!("report: {error}"));
    }
    let error = Command::new(&spec.program).args(args).env_clear().exec();
    Err(format!("exec: {error}"))
}

/// Own session and group, and death with the parent, even if it has died meanwhile.
fn detach(spec: &Spec) -> Result<(), String> {
    rustix::process::setsid().map_err(|error| format!("setsid: {error}"))?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| format!("death signal: {error}"))?;
    let parent = rustix::process::getppid().map(rustix::process::Pid::as_raw_pid);
    if parent != Some(spec.parent) {
        return Err("the parent is gone".to_owned());
    }
    Ok(())
}

fn limit(spec: &Spec) -> Result<(), String> {
    let limits = [
        (Resource::As, spec.limits.address_space),
        (Resource::Cpu, spec.limits.cpu_seconds),
        (Resource::Nofile, spec.limits.files),
        (Resource::Fsize, spec.limits.file_bytes),
        (Resource::Core, 0),
    ];
    for (resource, value) in limits {
        // An operator's own lower limit stays.
        let old = rustix::process::getrlimit(resource);
        let maximum = old.maximum.map_or(value, |hard| hard.min(value));
        let new = Rlimit { current: Some(maximum), maximum: Some(maximum) };
        rustix::process::setrlimit(resource, new).map_err(|error| format!("rlimit: {error}"))?;
    }
    Ok(())
}

fn fence_files(spec: &Spec) -> Result<JailLevel, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write =
        read | AccessFs::WriteFile | AccessFs::MakeReg | AccessFs::RemoveFile | AccessFs::Truncate;
    let programs: Vec<PathBuf> = INTERPRETERS
        .iter()
        .map(PathBuf::from)
        .chain([spec.program.clone()])
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    let libraries = spec.program.parent().map(Path::to_path_buf);
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK_ABI))?
        .handle_access(AccessNet::from_all(LANDLOCK_ABI))?
        .scope(Scope::from_all(LANDLOCK_ABI))?
        .create()?
        .add_rules(path_beneath_rules(SYSTEM_READ, read))?
        .add_rules(path_beneath_rules(libraries, read))?
        .add_rules(path_beneath_rules(&programs, AccessFs::ReadFile | AccessFs::Execute))?
        .add_rules(path_beneath_rules(&spec.read, read))?
        .add_rules(path_beneath_rules(["/dev/null"], read | AccessFs::WriteFile))?
        .add_rules(path_beneath_rules(&spec.write, write))?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => JailLevel::Full,
        RulesetStatus::PartiallyEnforced | RulesetStatus::NotEnforced => JailLevel::Partial,
    })
}

/// Two filters, because one has a single answer: calls that are refused, and `clone3`, which must
/// look absent so that the C library starts threads by `clone`, whose flags can be judged.
fn fence_calls() -> Result<(), String> {
    let not_permitted = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let not_there = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let mut refused: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED_CALLS.iter().map(|call| (*call, Vec::new())).collect();
    refused.extend(LEGACY_CALLS.iter().map(|call| (*call, Vec::new())));
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    let no_thread =
        SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(thread), 0)
            .and_then(|condition| SeccompRule::new(vec![condition]))
            .map_err(|error| format!("seccomp: {error}"))?;
    refused.insert(libc::SYS_clone, vec![no_thread]);
    install(refused.into_iter().collect(), not_permitted)?;
    install([(libc::SYS_clone3, Vec::new())].into(), not_there)
}

fn install(rules: BTreeMap<i64, Vec<SeccompRule>>, answer: SeccompAction) -> Result<(), String> {
    let fault = |error: seccompiler::BackendError| format!("seccomp: {error}");
    let arch = std::env::consts::ARCH.try_into().map_err(fault)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, arch).map_err(fault)?;
    let program: seccompiler::BpfProgram = filter.try_into().map_err(fault)?;
    seccompiler::apply_filter(&program).map_err(|error| format!("seccomp: {error}"))
}

/// Calls that no decoder needs. `execve` stays, since the tool itself starts by it; Landlock lets
/// it reach the tool and nothing else.
const REFUSED_CALLS: [i64; 45] = [
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_fsconfig,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_execveat,
];

/// Calls that newer architectures do not have any more.
#[cfg(target_arch = "x86_64")]
const LEGACY_CALLS: [i64; 2] = [libc::SYS_fork, libc::SYS_vfork];
#[cfg(not(target_arch = "x86_64"))]
const LEGACY_CALLS: [i64; 0] = [];
