//! A proxy that simulates a fault: while it is closed it accepts connections but forwards nothing.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use socket2::SockRef;

pub(crate) struct Valve {
    pub port: u16,
    state: Arc<(Mutex<bool>, Condvar)>,
}

impl Valve {
    /// Starts an open one in front of a server.
    pub(crate) fn before(server: u16) -> Self {
        let front = TcpListener::bind("127.0.0.1:0").unwrap();
        // With a small receive buffer, the other side notices soon that nothing is read.
        SockRef::from(&front).set_recv_buffer_size(4096).unwrap();
        let port = front.local_addr().unwrap().port();
        let state = Arc::new((Mutex::new(true), Condvar::new()));
        let valve = Arc::clone(&state);
        thread::spawn(move || {
            for near in front.incoming().map_while(Result::ok) {
                wait_until_open(&valve);
                let Ok(far) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                SockRef::from(&far).set_recv_buffer_size(4096).unwrap();
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let valve = Arc::clone(&valve);
                    thread::spawn(move || pass(&from, &to, &valve));
                }
            }
        });
        Self { port, state }
    }

    pub(crate) fn close(&self) {
        *self.state.0.lock().unwrap() = false;
    }

    pub(crate) fn open(&self) {
        *self.state.0.lock().unwrap() = true;
        self.state.1.notify_all();
    }
}

fn wait_until_open(state: &(Mutex<bool>, Condvar)) {
    // Without a deadline, because no test waits for the threads that wait here.
    drop(state.1.wait_while(state.0.lock().unwrap(), |open| !*open).unwrap());
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, valve: &(Mutex<bool>, Condvar)) {
    let mut bytes = [0; 1024];
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        wait_until_open(valve);
        if to.write_all(&bytes[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
