//! The composition root: starts the threads, and takes them down again.
//!
//! The door runs on the thread that calls [`run`]; each data-plane thread and the control
//! plane have one of their own. They share the [`Table`] and nothing else.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::SystemTime;

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use crate::config::Config;
use crate::control::{Control, Station};
use crate::door::{self, Door};
use crate::mount::{Seats, Table};
use crate::worker::{self, Workers};

/// Requests on their way to the control plane.
const CONTROL_QUEUE: usize = 64;

/// Serves on `sockets` until `stop` turns true and the drain is over. `ready` is called once
/// every socket accepts.
///
/// # Errors
/// What the system says where it gives no thread or no runtime.
pub fn run(
    config: Config,
    sockets: Vec<TcpListener>,
    stop: &watch::Receiver<bool>,
    ready: impl FnOnce(),
) -> io::Result<()> {
    let table = Arc::new(Table::default());
    let (workers, queues) = Workers::new(config.workers);
    let (to_control, arrivals) = mpsc::channel(CONTROL_QUEUE);
    let control = Control {
        station: Station {
            port: sockets
                .first()
                .and_then(|socket| socket.local_addr().ok())
                .map_or(0, |a| a.port()),
            hostname: config.hostname,
            location: config.location,
            admin: config.admin,
            since: SystemTime::now(),
        },
        prefix: config.door.prefix.clone(),
        table: Arc::clone(&table),
    };
    let mut threads = Vec::new();
    for (number, queue) in queues.into_iter().enumerate() {
        let stop = stop.clone();
        threads.push(thread(&format!("audio-{number}"), move |runtime| {
            runtime.block_on(worker::run(queue, stop));
        })?);
    }
    let stop_control = stop.clone();
    threads.push(thread("control", move |runtime| {
        runtime.block_on(control.serve(arrivals, stop_control));
    })?);
    let door = Door::new(config.door, table, Arc::new(Seats::default()), workers, to_control);
    runtime()?.block_on(async {
        let mut accepting = Vec::new();
        for socket in sockets {
            accepting.push(door::accepting(socket)?);
        }
        ready();
        door.serve(accepting, stop.clone()).await;
        io::Result::Ok(())
    })?;
    for thread in threads {
        // A thread that panicked has taken the process with it, where panics abort.
        let _ = thread.join();
    }
    Ok(())
}

fn thread(name: &str, work: impl FnOnce(&Runtime) + Send + 'static) -> io::Result<JoinHandle<()>> {
    let runtime = runtime()?;
    Builder::new().name(name.into()).spawn(move || work(&runtime))
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
