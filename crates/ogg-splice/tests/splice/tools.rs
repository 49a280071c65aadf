//! Programs that read a stream, and that not every machine has.

use std::env;
use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

/// The longest that a program may take.
const DEADLINE: Duration = Duration::from_mins(1);

/// Whether a program is installed. If it is not, this says so past the test harness, which keeps
/// the output of tests that pass; under CI it panics.
pub(crate) fn installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    if env::split_paths(&path).any(|directory| directory.join(program).is_file()) {
        return true;
    }
    let current = thread::current();
    let said = format!("{}: needs {program}", current.name().unwrap_or("a test"));
    assert!(env::var_os("CI").is_none(), "{said}");
    std::io::stderr().write_all(format!("SKIPPED {said}\n").as_bytes()).unwrap();
    false
}

/// Runs a program without input to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    let name = format!("{command:?}");
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (sender, receiver) = sync_channel(2);
    let mut stdout = child.stdout.take().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let error_sender = sender.clone();
    let output = thread::spawn(move || read(&mut stdout, || sender.send(())));
    let errors = thread::spawn(move || read(&mut stderr, || error_sender.send(())));
    for _ in 0..2 {
        if receiver.recv_timeout(DEADLINE).is_err() {
            child.kill().unwrap();
            panic!("{name} took longer than {DEADLINE:?}");
        }
    }
    let (stdout, stderr) = (output.join().unwrap(), errors.join().unwrap());
    Output { status: child.wait().unwrap(), stdout, stderr }
}

/// Reads a pipe to its end, and then tells of it.
fn read<T>(pipe: &mut impl Read, done: impl FnOnce() -> T) -> Vec<u8> {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes).unwrap();
    done();
    bytes
}
