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

/// A running Icecast from Debian's package; killed when dropped.
pub(crate) struct Icecast {
    process: Running,
    port: Port,
    _directory: TempDir,
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
        // Icecast 2.4.4 itself crashes in about one of fifty starts if a request arrives in its first moments.
        (0..5)
            .find_map(|_| Self::start_unless_it_crashes(more))
            .expect("icecast2 crashed five times")
    }

    fn start_unless_it_crashes(more: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        // It writes its logs as the user it runs as.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
        let port = Port::reserve();
        let file = directory.path().join("icecast.xml");
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
        fs::write(&file, text).unwrap();
        let mut command = Command::new("icecast2");
        command.arg("-c").arg(file);
        if nix::unistd::geteuid().is_root() {
            // It refuses to run as root.
            command.uid(65_534).gid(65_534);
        }
        let process = Running::start_quietly(&mut command);
        let mut icecast = Self { process, port, _directory: directory };
        // In its first moments it may close a connection without an answer, or leave half of its status out.
        let is_well = until("Icecast's whole status", PATIENCE, || {
            if let Some(status) = icecast.process.0.try_wait().unwrap() {
                assert_eq!(status.signal(), Some(Signal::SIGSEGV as i32), "icecast2 has ended");
                return Ok(false);
            }
            let mut socket = try_connect(&icecast).map_err(|error| error.to_string())?;
            let asked = socket.write_all(b"GET /status-json.xsl HTTP/1.0\r\n\r\n");
            asked.map_err(|error| error.to_string())?;
            let answer = String::from_utf8_lossy(&read_to_end(&mut socket)).into_owned();
            if answer.contains("{\"admin\":") { Ok(true) } else { Err(answer) }
        });
        is_well.then_some(icecast)
    }
}
