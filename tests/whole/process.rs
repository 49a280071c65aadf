//! Child processes with a deadline: each one is killed when it takes too long or when its test is over.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::{PATIENCE, until, until_received};

/// How long a command may take that a test runs to its end.
const COMMAND: Duration = Duration::from_mins(3);
/// How long a command may take that downloads or builds something.
pub(crate) const BUILD: Duration = Duration::from_mins(10);

/// Runs a command to its end.
pub(crate) trait Run {
    /// Runs it without input and collects what it prints.
    ///
    /// # Panics
    /// If the program is missing or does not end in time.
    fn run(&mut self) -> Output;

    /// The same, with these bytes as its input.
    fn run_with_input(&mut self, input: &[u8]) -> Output;

    /// Runs it without input and within `limit`.
    ///
    /// # Errors
    /// If the program cannot be started.
    fn try_run(&mut self, limit: Duration) -> io::Result<Output>;
}

impl Run for Command {
    fn run(&mut self) -> Output {
        let name = name(self);
        self.try_run(COMMAND).unwrap_or_else(|error| panic!("{name} is needed here: {error}"))
    }

    fn run_with_input(&mut self, input: &[u8]) -> Output {
        let what = format!("{self:?}");
        let child = self.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        collect(&what, COMMAND, child.spawn().unwrap(), input.to_vec())
    }

    fn try_run(&mut self, limit: Duration) -> io::Result<Output> {
        let what = format!("{self:?}");
        let child = self.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(collect(&what, limit, child.spawn()?, Vec::new()))
    }
}

fn collect(what: &str, limit: Duration, mut child: Child, input: Vec<u8>) -> Output {
    let process = pid(&child);
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        if let Some(mut stdin) = child.stdin.take() {
            // A command that ends early does not read all of it; its exit status says so.
            let _ = stdin.write_all(&input);
        }
        let _ = sender.send(child.wait_with_output());
    });
    if let Ok(output) = receiver.recv_timeout(limit) {
        return output.unwrap();
    }
    let _ = kill(process, Signal::SIGKILL);
    // What it has printed, unless a process that it started keeps its pipes open.
    let output = receiver.recv_timeout(Duration::from_secs(1));
    panic!("killed after {limit:?}: {what}\n{output:?}");
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// A process that runs beside the test; killed when dropped.
pub(crate) struct Running(pub Child);

impl Running {
    /// Starts a command that prints nothing to the test's own output, unless the test reads it.
    pub(crate) fn start(command: &mut Command) -> Self {
        let name = name(command);
        Self(command.spawn().unwrap_or_else(|error| panic!("{name} is needed here: {error}")))
    }

    /// The same, with no input and no output.
    pub(crate) fn start_quietly(command: &mut Command) -> Self {
        Self::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))
    }

    /// Its standard output, which the command must have as a pipe.
    pub(crate) fn stdout(&mut self) -> Pipe<&mut ChildStdout> {
        let pipe = self.0.stdout.as_mut().expect("a pipe as standard output");
        Pipe { pipe, patience: PATIENCE }
    }

    /// Its standard error, which the command must have as a pipe.
    pub(crate) fn stderr(&mut self) -> Pipe<&mut ChildStderr> {
        let pipe = self.0.stderr.as_mut().expect("a pipe as standard error");
        Pipe { pipe, patience: PATIENCE }
    }

    /// The lines of its standard error, which the command must have as a pipe.
    #[allow(dead_code, reason = "for tests/whole")]
    pub(crate) fn error_lines(&mut self) -> impl Iterator<Item = String> + use<> {
        let pipe = self.0.stderr.take().expect("a pipe as standard error");
        let pipe = Pipe { pipe, patience: PATIENCE };
        BufReader::new(pipe).lines().map(|line| line.expect("a line in time"))
    }

    /// What it prints on its standard output until it ends, within `limit`.
    #[allow(dead_code, reason = "for tests/hostile")]
    #[track_caller]
    pub(crate) fn printed(mut self, limit: Duration) -> String {
        let mut stdout = Pipe { patience: limit, ..self.stdout() };
        let (mut all, mut some) = (Vec::new(), [0; 4096]);
        until_received("a process to end", limit, || match stdout.read(&mut some).unwrap() {
            0 => Ok(()),
            n => {
                all.extend_from_slice(&some[..n]);
                Err(String::from_utf8_lossy(&some[..n]).into_owned())
            }
        });
        String::from_utf8(all).unwrap()
    }

    /// Kills it, if it still runs.
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(pid(&self.0), signal).unwrap();
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Waits for it to end.
    ///
    /// # Panics
    /// If it runs for longer than `limit`.
    #[track_caller]
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        let process = self.0.id();
        until("a process to end", limit, || {
            self.0.try_wait().unwrap().ok_or_else(|| format!("process {process} is running"))
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A pipe from another process. A read fails if nothing arrives in time.
pub(crate) struct Pipe<R> {
    pipe: R,
    patience: Duration,
}

impl<R: Read + AsFd> Read for Pipe<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut pipe = [PollFd::new(self.pipe.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(self.patience).expect("less than 24 days");
        if poll(&mut pipe, timeout)? == 0 {
            let why = format!("nothing was printed for {:?}", self.patience);
            return Err(io::Error::new(ErrorKind::TimedOut, why));
        }
        self.pipe.read(buffer)
    }
}

#[test]
#[should_panic(expected = "killed after 50ms")]
fn a_command_that_does_not_end_is_killed() {
    let _ = Command::new("sleep").arg("60").try_run(Duration::from_millis(50));
}

#[test]
fn a_command_gets_its_input_and_its_output_is_collected() {
    let output = Command::new("tr").args(["a-z", "A-Z"]).run_with_input(b"hear");
    assert_eq!(output.stdout, b"HEAR");
}
