//! A tree of servers: one stream on each link, however many listeners are at its leaves, and none
//! when there are none.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use ogg_splice::Page;
use serde_json::Value;

use crate::client::{Listener, admin, get, get_with};
use crate::daemon::{Daemon, PASSWORD};
use crate::ogg;
use crate::players::{OPUS, ffmpeg_source};
use crate::port::Port;
use crate::process::Running;
use crate::wait::{PATIENCE, until, when};

const MOUNT: &str = "/mic.opus";
const RELAY_PASSWORD: &str = "test-relay-secret";
/// Listeners of both leaves together.
const LISTENERS: usize = 1_000;

/// The settings of a server that pulls on demand from the one at this port.
fn pulls_from(port: u16) -> String {
    format!(
        "relay_password = {RELAY_PASSWORD:?}\n[limits]\nlisteners = {LISTENERS}\n\
         connections_per_ip = 0\n[mount-defaults]\ngap_after = \"300ms\"\n\
         [[relay]]\nfrom = \"http://127.0.0.1:{port}\"\npassword = {RELAY_PASSWORD:?}\n\
         on_demand = true\nlinger = \"200ms\"\n"
    )
}

/// A station, one server that pulls from it, and two that pull from that one.
struct Tree {
    root: Daemon,
    mid: Daemon,
    leaves: [Daemon; 2],
    port_of_mid: Port,
}

impl Tree {
    fn grow() -> Self {
        let root = Daemon::with("", &format!("relay_password = {RELAY_PASSWORD:?}"));
        let port_of_mid = Port::reserve();
        let mid = Daemon::on(&port_of_mid, PASSWORD, "", &pulls_from(root.port));
        let leaf = || Daemon::with("", &pulls_from(port_of_mid.number()));
        Self { root, mid, leaves: [leaf(), leaf()], port_of_mid }
    }

    /// Kills the server in the middle, without a chance to say anything.
    fn kill_mid(&mut self) {
        self.mid.signal(Signal::SIGKILL);
        assert_eq!(self.mid.wait(), None);
    }

    /// Starts it again at the same address.
    fn revive_mid(&mut self) {
        self.mid = Daemon::on(&self.port_of_mid, PASSWORD, "", &pulls_from(self.root.port));
    }

    /// The listeners of the root, of the middle and of the leaves.
    fn listeners(&self) -> [usize; 4] {
        [&self.root, &self.mid, &self.leaves[0], &self.leaves[1]]
            .map(|server| stream(server).map_or(0, |mount| number(&mount, "listeners")))
    }

    /// Waits until each server has so many listeners.
    #[track_caller]
    fn wait_for_listeners(&self, expected: [usize; 4]) {
        until("the listeners of the tree", PATIENCE, || {
            let listeners = self.listeners();
            when(listeners == expected, listeners)
        });
    }
}

/// What a server says of the mount.
fn said(server: &Daemon, list: &str) -> Option<Value> {
    let said: Value = serde_json::from_slice(&get(server, "/api/v1/mounts").body).unwrap();
    let mounts = said[list].as_array().unwrap().clone();
    mounts.into_iter().find(|mount| mount["name"] == MOUNT)
}

/// What a server says of the mount, if it has a stream.
fn stream(server: &Daemon) -> Option<Value> {
    said(server, "mounts")
}

fn number(mount: &Value, key: &str) -> usize {
    usize::try_from(mount[key].as_u64().unwrap()).unwrap()
}

fn recorder(server: &Daemon) -> Running {
    let source = ffmpeg_source(&OPUS, &["-f", "ogg", &server.push_url(MOUNT)]);
    server.wait_for_line(&["stream-began"]);
    source
}

/// Waits until a server offers the mount, or has it.
fn wait_until_listed(server: &Daemon) {
    until("the mount to be listed", PATIENCE, || {
        let idle = said(server, "off").is_some_and(|mount| mount["state"] == "idle");
        when(idle || stream(server).is_some(), get(server, "/api/v1/mounts").text())
    });
}

/// A listener that checks each page that it receives against the one before it.
struct Checked {
    socket: TcpStream,
    /// The beginning of an incomplete page.
    incomplete: Vec<u8>,
    /// Serial, page number and granule position of the last page.
    last: Option<(u32, u32, u64)>,
    /// Pages of silence.
    silent: usize,
    /// Pages of audio since the last silence.
    audible: usize,
}

impl Checked {
    fn join(server: &Daemon) -> Self {
        let mut listener = Listener::join(server, MOUNT);
        listener.headers();
        let socket = listener.socket;
        socket.set_nonblocking(true).unwrap();
        Self { socket, incomplete: Vec::new(), last: None, silent: 0, audible: 0 }
    }

    /// Reads what has arrived.
    fn read(&mut self, buffer: &mut [u8]) {
        match self.socket.read(buffer) {
            Ok(0) => panic!("a listener was disconnected"),
            Ok(n) => self.incomplete.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
        let bytes = std::mem::take(&mut self.incomplete);
        let mut rest = &bytes[..];
        while let Some(page) = ogg::next_page(&mut rest) {
            self.check(&page);
        }
        self.incomplete = rest.to_vec();
    }

    fn check(&mut self, page: &Page<'_>) {
        let now = (page.serial(), page.sequence(), page.granule().expect("a granule position"));
        assert!(!page.is_first() && !page.is_last());
        if let Some((serial, sequence, granule)) = self.last {
            // All packets have 20 ms.
            let samples = 960 * page.pieces().count() as u64;
            assert_eq!(now, (serial, sequence + 1, granule + samples));
        }
        self.last = Some(now);
        if ogg::is_silence(page) {
            (self.silent, self.audible) = (self.silent + 1, 0);
        } else {
            self.audible += 1;
        }
    }
}

/// Reads until each listener has had what `is_enough` asks for.
#[track_caller]
fn listen(what: &str, listeners: &mut [Checked], is_enough: impl Fn(&Checked) -> bool) {
    let (began, mut buffer) = (Instant::now(), vec![0; 64 * 1024]);
    loop {
        let waiting = listeners.iter().filter(|listener| !is_enough(listener)).count();
        if waiting == 0 {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{waiting} listeners still wait for {what}");
        let sockets = listeners.iter().map(|it| PollFd::new(it.socket.as_fd(), PollFlags::POLLIN));
        let mut sockets: Vec<_> = sockets.collect();
        let second = PollTimeout::try_from(Duration::from_secs(1)).unwrap();
        poll(&mut sockets, second).unwrap();
        let ready: Vec<_> = sockets.iter().map(|socket| socket.any() == Some(true)).collect();
        for (listener, _) in listeners.iter_mut().zip(ready).filter(|(_, is_ready)| *is_ready) {
            listener.read(&mut buffer);
        }
    }
}

/// Every listener needs a descriptor here.
fn raise_descriptor_limit() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let wanted = LISTENERS as u64 + 200;
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard).unwrap();
    }
}

#[test]
fn a_thousand_listeners_of_a_tree_are_one_on_each_link_and_hear_a_kill_as_a_gap() {
    raise_descriptor_limit();
    let mut tree = Tree::grow();
    let _source = recorder(&tree.root);
    for leaf in &tree.leaves {
        wait_until_listed(leaf);
    }
    // Nobody listens: nothing is pulled.
    assert_eq!(tree.listeners(), [0; 4]);
    assert!(stream(&tree.mid).is_none() && tree.leaves.iter().all(|leaf| stream(leaf).is_none()));

    let join = |number: usize| Checked::join(&tree.leaves[number % 2]);
    let mut listeners: Vec<_> = (0..LISTENERS).map(join).collect();
    listen("audio", &mut listeners, |listener| listener.audible > 50);
    let half = LISTENERS / 2;
    assert_eq!(tree.listeners(), [1, 2, half, half]);

    for listener in &mut listeners {
        listener.silent = 0;
    }
    tree.kill_mid();
    listen("silence", &mut listeners, |listener| listener.silent > 10);
    tree.revive_mid();
    listen("audio after the gap", &mut listeners, |listener| listener.audible > 50);
    assert_eq!(tree.listeners(), [1, 2, half, half]);
    for leaf in &tree.leaves {
        assert_eq!(leaf.count_lines(&["listener-left"]), 0);
        let mount = stream(leaf).unwrap();
        assert_eq!((number(&mount, "listener_peak"), number(&mount, "gaps")), (half, 1));
        assert_eq!(number(&mount, "skips"), 0, "{mount}");
    }

    // The last listener of one leaf, then that of the other one.
    let mut number = 0;
    listeners.retain(|_| {
        number += 1;
        number % 2 == 1
    });
    tree.wait_for_listeners([1, 1, half, 0]);
    drop(listeners);
    tree.wait_for_listeners([0; 4]);
    assert!(stream(&tree.root).is_some());
}

#[test]
fn a_stream_that_would_come_back_is_refused_and_the_reason_is_shown() {
    let (here, there) = (Port::reserve(), Port::reserve());
    let pulls = |from: &Port, prefix: &str| {
        let from = format!("http://127.0.0.1:{}", from.number());
        format!("[mount-defaults]\n[[relay]]\nfrom = {from:?}\nprefix = {prefix:?}\n")
    };
    let first = Daemon::on(&here, PASSWORD, "", &pulls(&there, "/there"));
    let second = Daemon::on(&there, PASSWORD, "", &pulls(&here, "/here"));
    let _source = recorder(&first);
    second.wait_for_line(&["stream-began", "/here/mic.opus"]);
    until("the refusal", PATIENCE, || {
        let text = get_with(&first, "/api/v1/peers", &admin()).text();
        let list: Value = serde_json::from_str(&text).unwrap();
        let mut peers = list["peers"].as_array().unwrap().iter();
        let refused = peers.any(|peer| {
            let reason = peer["reason"].as_str().unwrap_or_default();
            peer["remote"] == "/here/mic.opus" && reason.contains("508")
        });
        when(refused, text)
    });
    let mounts: Value = serde_json::from_slice(&get(&first, "/api/v1/mounts").body).unwrap();
    assert_eq!(mounts["mounts"].as_array().unwrap().len(), 1, "{mounts}");
}
