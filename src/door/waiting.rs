//! Connections that have not yet said what they want, and what becomes of too many of them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use slab::Slab;
use tokio::task::AbortHandle;

use crate::auth::network;

/// The most connections that may wait at the door.
pub const MOST_WAITING: usize = 256;

/// Connections at the door.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    room: RefCell<Slab<Visitor>>,
    arrivals: RefCell<u64>,
}

#[derive(Debug)]
struct Visitor {
    number: u64,
    network: IpAddr,
    task: Option<AbortHandle>,
}

/// A place at the door, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    waiting: Rc<Waiting>,
    id: usize,
}

impl Waiting {
    /// A place for a new connection. If there is none left, the client that holds most of them
    /// loses its oldest: whoever floods the door stands in its own way only.
    pub(super) fn enter(self: &Rc<Self>, client: IpAddr) -> Place {
        let mut room = self.room.borrow_mut();
        if room.len() >= MOST_WAITING {
            let mut held: HashMap<IpAddr, usize> = HashMap::new();
            room.iter().for_each(|(_, visitor)| *held.entry(visitor.network).or_default() += 1);
            let greediest = |(_, visitor): &(usize, &Visitor)| {
                (held[&visitor.network], std::cmp::Reverse(visitor.number))
            };
            let victim =
                room.iter().filter(|(_, visitor)| visitor.task.is_some()).max_by_key(greediest);
            if let Some(task) = victim.map(|(id, _)| id).and_then(|id| room[id].task.take()) {
                task.abort();
            }
        }
        let number = self.arrivals.replace_with(|n| *n + 1);
        let id = room.insert(Visitor { number, network: network(client), task: None });
        drop(room);
        Place { waiting: Rc::clone(self), id }
    }

    /// Says which task serves a place, if it is still there.
    pub(super) fn serves(&self, id: usize, task: AbortHandle) {
        if let Some(visitor) = self.room.borrow_mut().get_mut(id) {
            visitor.task = Some(task);
        }
    }
}

impl Place {
    /// For [`Waiting::serves`].
    pub(super) fn id(&self) -> usize {
        self.id
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.room.borrow_mut().try_remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    #[tokio::test]
    async fn whoever_floods_the_door_loses_its_own_oldest() {
        let waiting = Rc::new(Waiting::default());
        let mut places = Vec::new();
        let mut tasks = Vec::new();
        tokio::task::LocalSet::new()
            .run_until(async {
                for n in 0..=MOST_WAITING {
                    let place = waiting.enter(client(if n == 0 { 1 } else { 2 }));
                    let task = tokio::task::spawn_local(std::future::pending::<()>());
                    waiting.serves(place.id(), task.abort_handle());
                    places.push(place);
                    tasks.push(task);
                }
                assert!(tasks.remove(1).await.unwrap_err().is_cancelled(), "the flooder's oldest");
                assert!(tasks.iter().all(|task| !task.is_finished()), "and nobody else");
                assert_eq!(waiting.room.borrow().len(), MOST_WAITING + 1);
                places.clear();
                assert!(waiting.room.borrow().is_empty());
            })
            .await;
    }
}
