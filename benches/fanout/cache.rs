//! nginx as the cache of `docs/scale.md`, with the configuration that stands there.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::Process;
use crate::{Outcome, cores};

/// Debian's nginx.
const NGINX: &str = "nginx";
/// How long it may take until it accepts connections.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A running nginx; killed when it is dropped.
pub(crate) struct Cache {
    /// The address on which it listens.
    pub(crate) address: SocketAddr,
    /// Its process.
    pub(crate) process: Process,
    child: Child,
    _home: TempDir,
}

impl Cache {
    /// Starts nginx on the load's core, in front of this server.
    pub(crate) fn start(server: SocketAddr) -> Outcome<Self> {
        let home = TempDir::new()?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let place = home.path().display().to_string();
        let file = home.path().join("nginx.conf");
        fs::write(&file, configuration(&place, address, server)?)?;
        cores::pin_to_load_core()?;
        let mut child = Command::new(NGINX)
            .args(["-p", &place, "-e", &format!("{place}/error.log"), "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("nginx (nginx-light) is needed: {error}"))?;
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if child.try_wait()?.is_some() || began.elapsed() > START_TIMEOUT {
                // An error means that it has ended already.
                let _ = child.kill();
                let _ = child.wait();
                let log = fs::read_to_string(home.path().join("error.log")).unwrap_or_default();
                return Err(format!("nginx does not accept connections: {log}").into());
            }
            sleep(Duration::from_millis(5));
        }
        let process = Process::new(child.id())?;
        Ok(Self { address, process, child, _home: home })
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The configuration of the document with the addresses and the directory of this run, as one
/// process, which is gone when it is killed.
fn configuration(home: &str, address: SocketAddr, server: SocketAddr) -> Outcome<String> {
    let document = include_str!("../../docs/scale.md");
    let block = document.split("```nginx\n").nth(1).and_then(|rest| rest.split("```").next());
    let mut text = block.ok_or("docs/scale.md has no configuration of nginx")?.to_owned();
    for (from, to) in [
        ("user www-data;", ""),
        ("worker_processes auto;", "master_process off;\ndaemon off;"),
        ("listen 80;", &format!("listen {address};")),
        ("listen [::]:80;", ""),
        ("STATION:8080", &server.to_string()),
        ("/run/nginx.pid", &format!("{home}/pid")),
        ("/var/cache/nginx-hls", &format!("{home}/cache")),
        ("http {", &format!("http {{\n{}", temporary(home))),
    ] {
        if !text.contains(from) {
            return Err(format!("docs/scale.md: nginx's configuration has no {from}").into());
        }
        text = text.replace(from, to);
    }
    Ok(text)
}

/// Directories that nginx must not look for where the system's nginx has them.
fn temporary(home: &str) -> String {
    ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {home}/{kind};\n"))
        .concat()
}
