//! `silvacast push`: plays a file to a mount, and reports the progress on standard error.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use super::{Exit, PushArgs, block_on, failed, password_in};
use crate::push::{Clip, PushProgress, PushTarget, push};

/// Pushes the file until it ends or the server refuses it.
pub(super) fn run(args: &PushArgs) -> Result<(), Exit> {
    let target = PushTarget::parse(&args.url).map_err(|error| Exit::Invalid(error.to_string()))?;
    let password = match (&args.password_file, &target.password) {
        (Some(path), _) => password_in(path)?,
        (None, Some(password)) => password.clone(),
        (None, None) => {
            return Err(Exit::Invalid(
                "no password: put it into the URL, or give --password-file".into(),
            ));
        }
    };
    let mut clip = Clip::open(&args.file, args.looped)
        .map_err(|error| Exit::Invalid(format!("{}: {error}", args.file.display())))?;
    let mut reporter = ProgressReporter::new(&target);
    let pushed = block_on(async {
        push(&mut clip, &target, &password, |progress| reporter.report(&progress))
            .await
            .map_err(|error| failed(format!("{target}: {error}")))
    });
    reporter.finish();
    pushed
}

/// Reports the progress on standard error: on a terminal in one line that is overwritten, otherwise
/// in a new line every ten seconds.
struct ProgressReporter {
    target: String,
    is_terminal: bool,
    last: Option<Instant>,
}

impl ProgressReporter {
    fn new(target: &PushTarget) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { target: target.to_string(), is_terminal, last: None }
    }

    fn report(&mut self, progress: &PushProgress) {
        match progress {
            PushProgress::Connected => eprintln!("pushing to {}", self.target),
            PushProgress::Lost(reason, delay) => {
                self.finish();
                let seconds = delay.as_secs_f32();
                eprintln!("{}: {reason}; trying again in {seconds:.1} s", self.target);
            }
            PushProgress::Sent(time) => {
                let interval = Duration::from_millis(if self.is_terminal { 500 } else { 10_000 });
                if self.last.is_none_or(|last| last.elapsed() >= interval) {
                    self.last = Some(Instant::now());
                    let seconds = time.as_secs();
                    let text = format!(
                        "{:02}:{:02}:{:02} sent",
                        seconds / 3600,
                        seconds / 60 % 60,
                        seconds % 60
                    );
                    if self.is_terminal { eprint!("\r{text}") } else { eprintln!("{text}") }
                }
            }
        }
    }

    /// Ends the line that is overwritten.
    fn finish(&mut self) {
        if self.is_terminal && self.last.take().is_some() {
            eprintln!();
        }
    }
}
