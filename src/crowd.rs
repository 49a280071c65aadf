//! Connections for which there are only so many places, such as those that have not yet said what they want, and what
//! becomes of too many of them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use slab::Slab;
use tokio::task::AbortHandle;

use crate::auth::network;

/// A room with so many places.
#[derive(Debug)]
pub struct Crowd {
    most: usize,
    room: RefCell<Slab<Visitor>>,
    arrivals: RefCell<u64>,
}

#[derive(Debug)]
struct Visitor {
    number: u64,
    network: IpAddr,
    task: Option<AbortHandle>,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub struct Place {
    crowd: Rc<Crowd>,
    id: usize,
}

impl Crowd {
    /// An empty room.
    pub fn new(most: usize) -> Rc<Self> {
        Rc::new(Self { most, room: RefCell::default(), arrivals: RefCell::default() })
    }

    /// A place for a new connection. If there is none left, the client that holds most of them
    /// loses its oldest: whoever floods the room stands in its own way only.
    pub fn enter(self: &Rc<Self>, client: IpAddr) -> Place {
        let mut room = self.room.borrow_mut();
        if room.len() >= self.most {
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
        Place { crowd: Rc::clone(self), id }
    }

    /// Says which task serves a place, if it is still there.
    pub fn serves(&self, id: usize, task: AbortHandle) {
        if let Some(visitor) = self.room.borrow_mut().get_mut(id) {
            visitor.task = Some(task);
        }
    }
}

impl Place {
    /// For [`Crowd::serves`].
    pub fn id(&self) -> usize {
        self.id
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.room.borrow_mut().try_remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 256;

    fn client(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    #[tokio::test]
    async fn whoever_floods_the_room_loses_its_own_oldest() {
        let waiting = Crowd::new(MOST);
        let mut places = Vec::new();
        let mut tasks = Vec::new();
        tokio::task::LocalSet::new()
            .run_until(async {
                for n in 0..=MOST {
                    let place = waiting.enter(client(if n == 0 { 1 } else { 2 }));
                    let task = tokio::task::spawn_local(std::future::pending::<()>());
                    waiting.serves(place.id(), task.abort_handle());
                    places.push(place);
                    tasks.push(task);
                }
                assert!(tasks.remove(1).await.unwrap_err().is_cancelled(), "the flooder's oldest");
                assert!(tasks.iter().all(|task| !task.is_finished()), "and nobody else");
                assert_eq!(waiting.room.borrow().len(), MOST + 1);
                places.clear();
                assert!(waiting.room.borrow().is_empty());
            })
            .await;
    }
}
