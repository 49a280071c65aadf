//! Real reverse proxies in front of the server: Debian's Caddy, nginx and `HAProxy`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::client::{Server, try_connect};
use crate::daemon::Daemon;
use crate::port::Port;
use crate::process::Running;
use crate::wait::{PATIENCE, until};

/// A running proxy; killed when dropped.
pub(crate) struct Proxy {
    process: Running,
    port: Port,
    home: TempDir,
}

impl Server for Proxy {
    fn port(&self) -> u16 {
        self.port.number()
    }
}

impl Proxy {
    /// Caddy with these directives, in which UPSTREAM stands for the server's address.
    pub(crate) fn caddy(server: &impl Server, directives: &str) -> Self {
        let text =
            "{\n admin off\n auto_https off\n}\nhttp://:PORT {\n bind 127.0.0.1\n DIRECTIVES\n}\n";
        Self::caddy_of(server, &text.replace("DIRECTIVES", directives))
    }

    /// Caddy with this configuration, in which UPSTREAM, PORT and HOME stand for the server's
    /// address, its own port and its own directory.
    pub(crate) fn caddy_of(server: &impl Server, configuration: &str) -> Self {
        Self::start(server, configuration, |file, home| {
            let mut command = Command::new("caddy");
            command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
            for folder in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
                command.env(folder, home);
            }
            command
        })
    }

    /// nginx with these directives of its server block.
    pub(crate) fn nginx(server: &Daemon, directives: &str) -> Self {
        Self::nginx_of(
            server,
            &format!(
                "daemon off;\nmaster_process off;\npid HOME/pid;\nevents {{}}\n\
                 http {{\n access_log off;\n server {{\n  listen 127.0.0.1:PORT;\n\
                 {directives}\n }}\n}}\n"
            ),
        )
    }

    /// nginx with this configuration, in which UPSTREAM, PORT and HOME stand for the server's address, its own port and
    /// its own directory.
    pub(crate) fn nginx_of(server: &Daemon, configuration: &str) -> Self {
        let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!(" {kind}_temp_path HOME/{kind};\n"))
            .concat();
        let text = configuration.replace("http {\n", &format!("http {{\n{folders}"));
        Self::start(server, &text, |file, home| {
            let mut command = Command::new("nginx");
            command.arg("-p").arg(home).arg("-e").arg(home.join("error.log")).arg("-c").arg(file);
            command
        })
    }

    /// `HAProxy` as its manual begins, with timeouts for a stream.
    pub(crate) fn haproxy(server: &Daemon) -> Self {
        let text = "defaults\n mode http\n timeout connect 5s\n timeout client 1m\n\
                    \u{20}timeout server 1m\n option forwardfor\nlisten station\n\
                    \u{20}bind 127.0.0.1:PORT\n server silvacast UPSTREAM\n";
        Self::start(server, text, |file, _| {
            let mut command = Command::new("haproxy");
            command.arg("-db").arg("-f").arg(file);
            command
        })
    }

    /// What it has written to a file of its directory.
    pub(crate) fn written(&self, name: &str) -> String {
        fs::read_to_string(self.place(name)).unwrap()
    }

    /// A file of its directory.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn start(
        server: &impl Server,
        configuration: &str,
        command: impl FnOnce(&Path, &Path) -> Command,
    ) -> Self {
        let home = tempfile::tempdir().unwrap();
        let port = Port::reserve();
        let text = configuration
            .replace("PORT", &port.number().to_string())
            .replace("UPSTREAM", &format!("127.0.0.1:{}", server.port()))
            .replace("HOME", home.path().to_str().unwrap());
        let file = home.path().join("configuration");
        fs::write(&file, &text).unwrap();
        let process = Running::start_quietly(&mut command(&file, home.path()));
        let mut proxy = Self { process, port, home };
        until("a proxy to listen", PATIENCE, || {
            assert!(proxy.process.is_running(), "the proxy has ended: {text}");
            try_connect(&proxy)
        });
        proxy
    }
}
