//! Servers that answer as a test tells them to, for what no real server does.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::client::{Server, try_connect};
use crate::wait::{PATIENCE, until, when};

/// A server that answers each request as a test tells it to. It reads the head; what is written to a
/// client that has hung up is lost.
pub(crate) struct FakeServer {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
}

impl FakeServer {
    /// Starts it. Each request has a thread of its own, which closes the connection when `answer` returns.
    pub(crate) fn start(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (heads, stopped) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (answer, kept, stop) = (Arc::new(answer), Arc::clone(&heads), Arc::clone(&stopped));
        thread::spawn(move || {
            for socket in listener.incoming() {
                if stop.load(SeqCst) {
                    return;
                }
                let (mut socket, answer, kept) =
                    (socket.unwrap(), Arc::clone(&answer), Arc::clone(&kept));
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket.set_write_timeout(Some(PATIENCE)).unwrap();
                thread::spawn(move || {
                    let Some(head) = read_request(&mut socket) else { return };
                    kept.lock().unwrap().push(head.clone());
                    answer(&head, &mut socket);
                });
            }
        });
        Self { port, heads, stopped }
    }

    /// The same for one path; others are not found.
    pub(crate) fn at(
        path: &'static str,
        answer: impl Fn(&mut TcpStream) + Send + Sync + 'static,
    ) -> Self {
        Self::start(move |head, socket| {
            if head.split(' ').nth(1) == Some(path) {
                answer(socket);
            } else {
                let _ = socket.write_all(b"HTTP/1.0 404 Not Found\r\n\r\n");
            }
        })
    }

    /// The same, with the same answer to every request.
    pub(crate) fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |_, socket| _ = socket.write_all(&answer))
    }

    /// The request heads so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// Waits until so many requests have come.
    pub(crate) fn wait_for_requests(&self, count: usize) {
        until(&format!("{count} requests"), PATIENCE, || {
            let heads = self.heads();
            when(heads.len() >= count, heads)
        });
    }
}

impl Server for FakeServer {
    fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.stopped.store(true, SeqCst);
        // It accepts this connection, and sees that it has to stop.
        let _ = try_connect(self);
    }
}

/// The head of a request; `None` if the client hangs up.
fn read_request(socket: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match socket.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => return None,
        }
    }
    String::from_utf8(head).ok()
}

/// Reads what a client sends, until it hangs up.
pub(crate) fn wait_for_hangup(socket: &mut TcpStream) {
    while socket.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {}
}
