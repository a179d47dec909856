//! What a worker finds when it starts, asked of real ones.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{SigSet, Signal};

use super::testing::{DEADLINE, Worker, ended, start};
use super::*;
use crate::supervisor::reap::Exit;

/// Set for a test that has a process to itself.
const ALONE: &str = "MEMSTORE_TEST_ALONE";

/// Runs a test of this file again in a process of its own, which a shell has prepared.
fn alone(test: &str, prepare: &str) -> Command {
    let module = module_path!().split_once("::").unwrap().1;
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("{prepare}; exec \"$0\" \"$@\""))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::{test}"), "--nocapture"])
        .env(ALONE, "1");
    command
}

fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

fn assert_passed(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A descriptor without close-on-exec, as careless libraries have them.
fn leak() -> OwnedFd {
    let fd = OwnedFd::from(File::open("/dev/zero").unwrap());
    fcntl(&fd, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    fd
}

/// Lists the descriptors of the process that it has become, the directory it reads included.
const LIST_FDS: &str = "exec ls -l /proc/self/fd >&$MEMSTORE_FD";

/// The number and the target of what [`LIST_FDS`] found open.
fn open_fds(listing: &str) -> Vec<(u32, String)> {
    let lines = listing.lines().filter_map(|line| line.split_once(" -> "));
    let lines = lines.filter(|(_, target)| !target.ends_with("/fd"));
    let mut fds: Vec<_> = lines
        .map(|(left, target)| {
            let number = left.rsplit(' ').next().unwrap().parse().unwrap();
            (number, target.to_owned())
        })
        .collect();
    fds.sort();
    fds
}

fn inode_of(fd: impl AsFd) -> String {
    let inode = nix::sys::stat::fstat(fd).unwrap().st_ino;
    format!("socket:[{inode}]")
}

fn assert_only_its_own_descriptors(mut spawner: Spawner) {
    let _leaked = [leak(), leak()];
    let listeners = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let named = [
        (listeners[0].as_fd(), "http"),
        (listeners[1].as_fd(), "admin"),
    ];
    let mut worker = Worker::run(&mut spawner, LIST_FDS, &[], &named);
    let output = worker.output();
    let fds = open_fds(&output);
    let numbers: Vec<u32> = fds.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5], "{output}");
    assert_eq!(fds[0].1, "/dev/null");
    assert_eq!(fds[3].1, inode_of(&listeners[0]));
    assert_eq!(fds[4].1, inode_of(&listeners[1]));
    assert!(fds[5].1.starts_with("socket:"), "{output}");
    assert_eq!(ended(worker.pid), Exit::Code(0));
}

#[test]
fn a_worker_has_its_own_descriptors_and_no_other() {
    assert_only_its_own_descriptors(Spawner::new().unwrap());
}

#[test]
fn a_worker_has_its_own_descriptors_and_no_other_on_an_old_kernel() {
    let mut spawner = Spawner::new().unwrap();
    spawner.has_close_range = false;
    assert_only_its_own_descriptors(spawner);
}

/// In a process of its own the lowest descriptors are free, so that sources and targets overlap.
#[test]
fn descriptors_that_overlap_their_places_are_not_overwritten() {
    if !is_alone() {
        let test = "descriptors_that_overlap_their_places_are_not_overwritten";
        let mut alone = alone(test, "exec 9</dev/null");
        // It must not reach the worker.
        return assert_passed(&alone.stdin(Stdio::piped()).output().unwrap());
    }
    let listeners: Vec<TcpListener> = (0..6)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    assert!(listeners.iter().any(|listener| listener.as_raw_fd() < 9));
    // Reversed, so that almost each one's place is another one's source.
    let named: Vec<_> = listeners.iter().rev().map(|it| (it.as_fd(), "x")).collect();
    let mut spawner = Spawner::new().unwrap();
    let output = Worker::run(&mut spawner, LIST_FDS, &[], &named).output();
    let seen: Vec<String> = open_fds(&output)
        .into_iter()
        .map(|(_, target)| target)
        .collect();
    let wanted: Vec<String> = listeners.iter().rev().map(inode_of).collect();
    assert_eq!(seen[0], "/dev/null", "{output}");
    assert_eq!(seen[3..9], wanted, "{output}");
    assert_eq!(seen.len(), 10, "{output}");
}

#[test]
fn a_worker_sees_exactly_its_environment_and_its_own_pid() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let named = [(listener.as_fd(), "http")];
    let changes = [("GREETING".into(), Some("hello".into()))];
    let mut worker = Worker::run(
        &mut Spawner::new().unwrap(),
        "exec cat /proc/$$/environ >&$MEMSTORE_FD",
        &changes,
        &named,
    );
    let output = worker.output();
    let seen: BTreeSet<String> = output.split_terminator('\0').map(str::to_owned).collect();
    let identity = Identity {
        slot: 1,
        workers: 2,
        generation: 3,
        sock: None,
    };
    let env = worker_env(std::env::vars_os(), &changes, &identity, &["http"]);
    let mut wanted: BTreeSet<String> = env
        .iter()
        .map(|(name, value)| format!("{}={}", name.to_string_lossy(), value.to_string_lossy()))
        .collect();
    wanted.insert(format!("LISTEN_PID={}", worker.pid));
    // The shell may add to what it was given before it becomes `cat`.
    let missing: Vec<_> = wanted.difference(&seen).collect();
    assert!(missing.is_empty(), "missing {missing:?}");
    let more = |name: &str| seen.iter().any(|entry| entry.starts_with(name));
    assert!(more("LISTEN_FDS=1") && more("GREETING=hello") && !more("LISTEN_PIDFDID"));
}

#[test]
fn without_listeners_nothing_speaks_of_them() {
    let mut worker = Worker::sh("env | grep ^LISTEN_ >&$MEMSTORE_FD; exit 0");
    assert_eq!(worker.output(), "");
}

#[test]
fn signals_are_default_and_unblocked_whatever_the_master_does() {
    if !is_alone() {
        let test = "signals_are_default_and_unblocked_whatever_the_master_does";
        let prepare = "trap '' HUP INT QUIT USR1 USR2 TERM CHLD TTIN TTOU";
        return assert_passed(&alone(test, prepare).output().unwrap());
    }
    let blocked = SigSet::from_iter([Signal::SIGTERM, Signal::SIGALRM]);
    blocked.thread_set_mask().unwrap();
    let own = fs::read_to_string("/proc/thread-self/status").unwrap();
    let mut worker = Worker::sh("exec cat /proc/self/status >&$MEMSTORE_FD");
    let output = worker.output();
    let field = |status: &str, name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
    };
    assert_ne!(field(&own, "SigBlk:"), 0);
    assert_ne!(field(&own, "SigIgn:"), 0);
    for name in ["SigPnd:", "ShdPnd:", "SigBlk:", "SigIgn:", "SigCgt:"] {
        assert_eq!(field(&output, name), 0, "{name} of\n{output}");
    }
    let after = fs::read_to_string("/proc/thread-self/status").unwrap();
    for name in ["SigBlk:", "SigIgn:"] {
        assert_eq!(
            field(&own, name),
            field(&after, name),
            "{name} of the master"
        );
    }
}

#[test]
fn a_worker_leads_a_process_group_of_its_own() {
    let mut worker = Worker::sh("exec cat /proc/self/stat >&$MEMSTORE_FD");
    let stat = worker.output();
    let group = stat.rsplit(") ").next().unwrap().split(' ').nth(2).unwrap();
    assert_eq!(group, worker.pid.to_string(), "{stat}");
}

/// What came of a command that cannot start, and what is left of it.
fn failure(program: &str, path: Option<&str>) -> (SpawnErrorKind, String) {
    let env: Vec<EnvChange> = path
        .map(|path| ("PATH".into(), Some(path.into())))
        .into_iter()
        .collect();
    let error = start(&mut Spawner::new().unwrap(), program, &[], &env, &[]).unwrap_err();
    // Every test has a thread of its own, so these are only its children.
    let children = fs::read_to_string("/proc/thread-self/children").unwrap();
    assert_eq!(children, "", "a zombie is left of {program}");
    let text = error.to_string();
    let error = (error.kind(), crate::Error::from(error));
    assert_eq!(error.1.to_string(), text);
    (error.0, text)
}

#[test]
fn a_command_that_does_not_exist_is_not_found() {
    let (kind, text) = failure("no-such-command", None);
    assert_eq!(kind, SpawnErrorKind::NotFound);
    assert_eq!(
        text,
        "cannot start no-such-command: no directory in PATH has this command"
    );
    assert_eq!(failure("/no/such/file", None).0, SpawnErrorKind::NotFound);
    assert_eq!(failure("", None).0, SpawnErrorKind::NotFound);
}

#[test]
fn a_directory_and_a_file_without_permission_are_not_executable() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("plain");
    fs::write(&file, "echo").unwrap();
    let folder = dir.path().to_str().unwrap();
    let (kind, text) = failure(folder, None);
    assert_eq!(kind, SpawnErrorKind::NotExecutable);
    assert!(text.ends_with("it is a directory"), "{text}");
    let (kind, text) = failure(file.to_str().unwrap(), None);
    assert_eq!(kind, SpawnErrorKind::NotExecutable);
    assert!(text.contains("may not execute"), "{text}");
    // A name that one directory of `PATH` has without permission and no other has at all.
    let path = format!("{folder}:/nonexistent");
    assert_eq!(
        failure("plain", Some(&path)).0,
        SpawnErrorKind::NotExecutable
    );
}

#[test]
fn a_missing_interpreter_is_named_as_the_cause() {
    let dir = tempfile::tempdir().unwrap();
    let script = executable(dir.path(), "script", "#!/no/such/interpreter\n");
    let (kind, text) = failure(script.to_str().unwrap(), None);
    assert_eq!(kind, SpawnErrorKind::NotFound);
    assert!(text.contains("interpreter"), "{text}");
}

#[test]
fn a_nul_byte_in_an_argument_is_an_error() {
    let args = ["a\0b".into()];
    let error = start(&mut Spawner::new().unwrap(), "true", &args, &[], &[]).unwrap_err();
    assert_eq!(error.kind(), SpawnErrorKind::Other);
    assert!(error.to_string().contains("NUL"), "{error}");
}

fn executable(dir: &Path, name: &str, text: &str) -> std::path::PathBuf {
    // Another test's child may hold a file open for writing that this thread writes, and then it
    // cannot be executed; a file that another process writes cannot be held so.
    let path = dir.join(name);
    let mut writer = Command::new("sh")
        .args(["-c", "cat >\"$0\" && chmod 755 \"$0\""])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writer
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    assert!(writer.wait().unwrap().success());
    path
}

#[test]
fn a_script_without_a_first_line_for_it_is_run_by_the_shell() {
    let dir = tempfile::tempdir().unwrap();
    executable(dir.path(), "tell", "echo \"$0 $1 $2\" >&$MEMSTORE_FD\n");
    let path = format!("/nonexistent:{}:/usr/bin", dir.path().display());
    let env = [("PATH".into(), Some(path.into()))];
    let args: Vec<OsString> = vec!["one".into(), "two".into()];
    let (pid, mut channel) = start(&mut Spawner::new().unwrap(), "tell", &args, &env, &[]).unwrap();
    let mut output = String::new();
    channel.read_to_string(&mut output).unwrap();
    assert_eq!(output, format!("{}/tell one two\n", dir.path().display()));
    assert_eq!(ended(pid), Exit::Code(0));
}

#[test]
fn a_directory_of_the_path_without_permission_does_not_hide_the_next() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let hidden = executable(dirs[0].path(), "tell", "exit 1\n");
    fs::set_permissions(&hidden, Permissions::from_mode(0o644)).unwrap();
    executable(dirs[1].path(), "tell", "exit 5\n");
    let path = format!("{}:{}", dirs[0].path().display(), dirs[1].path().display());
    let env = [("PATH".into(), Some(path.into()))];
    let (pid, _channel) = start(&mut Spawner::new().unwrap(), "tell", &[], &env, &[]).unwrap();
    assert_eq!(ended(pid), Exit::Code(5));
}

#[test]
fn a_child_whose_master_is_gone_before_it_could_ask_does_not_start() {
    let mut spawner = Spawner::new().unwrap();
    spawner.master = nix::unistd::getppid();
    let error = start(&mut spawner, "true", &[], &[], &[]).unwrap_err();
    assert!(error.to_string().contains("its master ended"), "{error}");
}

#[test]
fn a_worker_does_not_outlive_its_master() {
    if is_alone() {
        // It writes nothing and holds its standard output, the pipe that the other process reads.
        let worker = Worker::sh("exec sleep 600");
        println!("\nworker {}", worker.pid);
        io::stdin().read_line(&mut String::new()).unwrap();
        unreachable!("the other process kills this one");
    }
    let mut master = alone("a_worker_does_not_outlive_its_master", ":")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(master.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("worker ") {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "no worker");
    }
    master.kill().unwrap();
    master.wait().unwrap();
    // The end of the pipe is the end of the worker.
    let mut pipe = [nix::poll::PollFd::new(
        output.get_ref().as_fd(),
        nix::poll::PollFlags::POLLIN,
    )];
    let millis = u16::try_from(DEADLINE.as_millis()).unwrap();
    assert_eq!(nix::poll::poll(&mut pipe, millis), Ok(1), "{line}");
    assert_eq!(output.read_line(&mut line).unwrap(), 0, "{line}");
}

#[test]
fn many_starts_leave_no_descriptor_behind() {
    if !is_alone() {
        let test = "many_starts_leave_no_descriptor_behind";
        return assert_passed(&alone(test, ":").output().unwrap());
    }
    let count = || fs::read_dir("/proc/self/fd").unwrap().count();
    let mut spawner = Spawner::new().unwrap();
    let before = count();
    for round in 0..100 {
        let program = if round % 2 == 0 { "true" } else { "/no/such" };
        if let Ok((pid, _channel)) = start(&mut spawner, program, &[], &[], &[]) {
            ended(pid);
        }
        assert_eq!(count(), before, "after start {round}");
    }
    assert_eq!(
        fs::read_to_string("/proc/thread-self/children").unwrap(),
        ""
    );
}

#[test]
fn the_ends_of_a_channel_block_as_their_sides_need() {
    let (master, worker) = channel().unwrap();
    let nonblock = |fd: &OwnedFd| fcntl(fd, FcntlArg::F_GETFL).unwrap() & libc::O_NONBLOCK != 0;
    let cloexec = |fd: &OwnedFd| fcntl(fd, FcntlArg::F_GETFD).unwrap() & libc::FD_CLOEXEC != 0;
    assert!(nonblock(&master) && !nonblock(&worker));
    assert!(cloexec(&master) && cloexec(&worker));
}
