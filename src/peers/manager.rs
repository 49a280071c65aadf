//! Runs a task for each mount that is pulled or pushed, and follows the configuration.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle, JoinSet, spawn_local};
use tokio::time::sleep;

use super::directory::{PeerEntry, PeerKind, PeerState};
use super::discovery::follow_mounts;
use super::pull::pull;
use super::push::push;
use super::settings::{ForwardSettings, RelaySettings};
use super::shared::{Peers, Shared};
use crate::log::journal;
use crate::mount::Name;

/// How often it is checked whether what was refused can be pulled.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// The names that relays use here, each by the number of its relay.
type LocalNames = Rc<RefCell<BTreeMap<Name, usize>>>;

/// The task of a `[[relay]]` or a `[[forward]]` with these settings.
struct PeerTask<S> {
    settings: Rc<S>,
    task: JoinHandle<()>,
}

impl Peers {
    /// Pulls and pushes what the configuration says, until `stop` becomes true. Runs on a
    /// [`LocalRuntime`](tokio::runtime::LocalRuntime).
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let shared = Rc::new(self);
        let mut changes = shared.table.changes();
        let names = LocalNames::default();
        let (mut relays, mut forwards) = (Vec::new(), Vec::new());
        let mut number = 0;
        loop {
            let settings = shared.settings.load_full();
            replace(&mut relays, &settings.relays, |relay| {
                number += 1;
                spawn_local(run_relay(Rc::clone(&shared), relay, number, Rc::clone(&names)))
            })
            .await;
            replace(&mut forwards, &settings.forwards, |forward| {
                spawn_local(run_forward(Rc::clone(&shared), forward))
            })
            .await;
            while Arc::ptr_eq(&shared.settings.load(), &settings) {
                tokio::select! {
                    // A reload is a change too.
                    _ = changes.changed() => {}
                    _ = stop.wait_for(|&stop| stop) => return,
                }
            }
        }
    }
}

/// Ends the tasks whose settings are no more, and begins those that are new. The others go on.
async fn replace<S: Clone + PartialEq>(
    tasks: &mut Vec<PeerTask<S>>,
    wanted: &[S],
    mut begin: impl FnMut(Rc<S>) -> JoinHandle<()>,
) {
    let (kept, ended): (Vec<_>, Vec<_>) =
        std::mem::take(tasks).into_iter().partition(|task| wanted.contains(&*task.settings));
    *tasks = kept;
    for PeerTask { task, .. } in ended {
        task.abort();
        // Its names are free, and its connections ended, when it is gone.
        let _ = task.await;
    }
    for settings in wanted {
        if !tasks.iter().any(|task| *task.settings == *settings) {
            let settings = Rc::new(settings.clone());
            tasks.push(PeerTask { task: begin(Rc::clone(&settings)), settings });
        }
    }
}

/// Pulls the mounts of one relay.
async fn run_relay(shared: Rc<Shared>, relay: Rc<RelaySettings>, number: usize, names: LocalNames) {
    let mut pulls = Pulls {
        shared,
        relay: Rc::clone(&relay),
        number,
        names,
        running: BTreeMap::new(),
        tasks: JoinSet::new(),
        refused: BTreeSet::new(),
        has_too_many: false,
    };
    let named: BTreeSet<_> = relay.named().collect();
    let list = relay.needs_list().then(|| {
        let server = relay.from.to_string();
        pulls.shared.directory.enter(PeerKind::Relay, None, server)
    });
    pulls.follow(&named);
    let there = RefCell::new(named.clone());
    let pulls = RefCell::new(pulls);
    let listed = async {
        let Some(list) = list else { return std::future::pending().await };
        follow_mounts(&relay, &list, |listed| {
            there.replace(listed.union(&named).cloned().collect());
            pulls.borrow_mut().follow(&there.borrow());
        })
        .await;
    };
    // What is not on the list any more ends some time later, and a name that is taken may become free.
    let looked_at_again = async {
        loop {
            sleep(LOOK_INTERVAL).await;
            pulls.borrow_mut().follow(&there.borrow());
        }
    };
    tokio::join!(listed, looked_at_again);
}

/// A mount that is being pulled.
struct Pulling {
    local: Name,
    task: AbortHandle,
    entry: Rc<PeerEntry>,
}

/// The mounts that one relay pulls.
struct Pulls {
    shared: Rc<Shared>,
    relay: Rc<RelaySettings>,
    number: usize,
    names: LocalNames,
    /// By the name at the other server.
    running: BTreeMap<Name, Pulling>,
    tasks: JoinSet<()>,
    /// The names here that another relay has.
    refused: BTreeSet<Name>,
    /// Whether the other server has more mounts than can be pulled.
    has_too_many: bool,
}

impl Pulls {
    /// Begins to pull the mounts that are new, and stops with those that are gone.
    fn follow(&mut self, there: &BTreeSet<Name>) {
        while self.tasks.try_join_next().is_some() {}
        self.running.retain(|remote, pulling| {
            // A list may be older than the stream.
            let is_heard = !self.relay.on_demand && pulling.entry.is_connected();
            let stays = there.contains(remote) || is_heard;
            if !stays {
                pulling.task.abort();
                self.names.borrow_mut().remove(&pulling.local);
            }
            stays
        });
        let settings = self.shared.settings.load_full();
        // Each is logged once.
        let before = std::mem::take(&mut self.refused);
        let had_too_many = std::mem::take(&mut self.has_too_many);
        for remote in there {
            let Some(local) = self.relay.local_name(remote) else { continue };
            if self.running.contains_key(remote) {
                continue;
            }
            if self.running.len() >= settings.limits.sources {
                let reason = "the other server has more mounts than limits.sources";
                self.has_too_many = true;
                if !had_too_many {
                    self.log_refusal(&local, reason);
                }
                break;
            }
            let owner = *self.names.borrow_mut().entry(local.clone()).or_insert(self.number);
            if owner != self.number {
                if !before.contains(&local) {
                    self.log_refusal(&local, "another [[relay]] has a mount of the same name");
                }
                self.refused.insert(local);
                continue;
            }
            let offer = self
                .relay
                .on_demand
                .then(|| self.shared.table.offer(&local, settings.rules.of(&local)));
            let server = self.relay.from.to_string();
            let entry =
                self.shared.directory.enter(PeerKind::Relay, Some((remote, &local)), server);
            let entry = Rc::new(entry);
            let (shared, relay) = (Rc::clone(&self.shared), Rc::clone(&self.relay));
            let names = (remote.clone(), local.clone());
            let task = self.tasks.spawn_local(pull(shared, relay, names, offer, Rc::clone(&entry)));
            self.running.insert(remote.clone(), Pulling { local, task, entry });
        }
    }

    fn log_refusal(&self, local: &Name, reason: &str) {
        let (mount, server) = (local.as_str(), self.relay.from.to_string());
        journal!(
            warn,
            PEER_FAILED,
            mount,
            server,
            reason,
            "a mount of another server is not pulled"
        );
    }
}

impl Drop for Pulls {
    fn drop(&mut self) {
        let mut names = self.names.borrow_mut();
        names.retain(|_, owner| *owner != self.number);
    }
}

/// Pushes the mounts of one forward.
async fn run_forward(shared: Rc<Shared>, forward: Rc<ForwardSettings>) {
    let mut running: BTreeMap<Name, AbortHandle> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    let mut changes = shared.table.changes();
    loop {
        let streams = shared.table.streams();
        let there: BTreeSet<_> = streams.iter().map(|(mount, _)| mount.name.clone()).collect();
        // Not held while waiting: it would count against `limits.sources`.
        drop(streams);
        while tasks.try_join_next().is_some() {}
        // A mount whose stream has ended is waited for: the configuration limits how many there are.
        running.retain(|_, task| !task.is_finished());
        for local in there {
            let Some(remote) = forward.remote_name(&local) else { continue };
            if running.contains_key(&local) {
                continue;
            }
            let server = forward.to.to_string();
            let entry = shared.directory.enter(PeerKind::Forward, Some((&remote, &local)), server);
            entry.set(PeerState::Connecting);
            let names = (local.clone(), remote);
            let pushing = push(Rc::clone(&shared), Rc::clone(&forward), names, entry);
            running.insert(local, tasks.spawn_local(pushing));
        }
        // Fails only without the table, which is shared.
        let _ = changes.changed().await;
    }
}
