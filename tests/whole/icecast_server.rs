//! Debian's Icecast, for tests that run it beside silvacast.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::client::{Server, read_to_end, try_connect};
use crate::daemon::{ADMIN_PASSWORD, PASSWORD};
use crate::port::Port;
use crate::process::Running;
use crate::wait::{PATIENCE, until};

const FILE: &str = "icecast.xml";

/// A running Icecast from Debian's package; killed when dropped.
pub(crate) struct Icecast {
    process: Running,
    port: Port,
    directory: TempDir,
}

impl Server for Icecast {
    fn port(&self) -> u16 {
        self.port.number()
    }
}

impl Icecast {
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// Starts with these elements added to its configuration.
    pub(crate) fn with(more: &str) -> Self {
        Self::on(Port::reserve(), more)
    }

    /// The URL that an encoder pushes to.
    pub(crate) fn push_url(&self, mount: &str) -> String {
        format!("icecast://source:{PASSWORD}@127.0.0.1:{}{mount}", self.port())
    }

    /// Stops it, and starts it again on the same port.
    pub(crate) fn restart(&mut self) {
        self.process.kill();
        self.process = launch(&self.directory);
        self.wait_until_well();
    }

    fn on(port: Port, more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // It writes its logs as the user it runs as.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
        let text = format!(
            "<icecast><location>Wood</location><admin>me@station.example</admin><hostname>station.example</hostname>\
             <limits><clients>100</clients><sources>10</sources></limits>\
             <authentication><source-password>{PASSWORD}</source-password><admin-user>admin</admin-user>\
             <admin-password>{ADMIN_PASSWORD}</admin-password></authentication>\
             <listen-socket><port>{}</port><bind-address>127.0.0.1</bind-address></listen-socket>\
             <paths><logdir>{}</logdir><webroot>/usr/share/icecast2/web</webroot>\
             <adminroot>/usr/share/icecast2/admin</adminroot></paths>{more}</icecast>",
            port.number(),
            directory.path().display()
        );
        fs::write(directory.path().join(FILE), text).unwrap();
        let process = launch(&directory);
        let mut icecast = Self { process, port, directory };
        icecast.wait_until_well();
        icecast
    }

    /// Waits until it answers. Icecast 2.4.4 itself crashes in about one of fifty starts if a request arrives in its
    /// first moments; then it is started again.
    fn wait_until_well(&mut self) {
        for _ in 0..5 {
            if self.is_well() {
                return;
            }
            self.process = launch(&self.directory);
        }
        panic!("icecast2 crashed five times");
    }

    /// Whether it is up; `false` if it has crashed.
    fn is_well(&mut self) -> bool {
        // In its first moments it may close a connection without an answer, or leave half of its status out.
        until("Icecast's whole status", PATIENCE, || {
            if let Some(status) = self.process.0.try_wait().unwrap() {
                assert_eq!(status.signal(), Some(Signal::SIGSEGV as i32), "icecast2 has ended");
                return Ok(false);
            }
            let mut socket = try_connect(self).map_err(|error| error.to_string())?;
            let asked = socket.write_all(b"GET /status-json.xsl HTTP/1.0\r\n\r\n");
            asked.map_err(|error| error.to_string())?;
            let answer = String::from_utf8_lossy(&read_to_end(&mut socket)).into_owned();
            if answer.contains("{\"admin\":") { Ok(true) } else { Err(answer) }
        })
    }
}

fn launch(directory: &TempDir) -> Running {
    let mut command = Command::new("icecast2");
    command.arg("-c").arg(directory.path().join(FILE));
    if nix::unistd::geteuid().is_root() {
        // It refuses to run as root.
        command.uid(65_534).gid(65_534);
    }
    Running::start_quietly(&mut command)
}
