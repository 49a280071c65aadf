//! Admission control: who gets one of a limited number of places when there are more who want one.
//!
//! A client's share is what it holds, counted per address (an IPv6 /64 is one client). When all places
//! are taken, a client that holds more than the newcomer would loses its oldest. Where nobody does,
//! [`WhenFull`] says who gives way.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use slab::Slab;
use tokio::task::AbortHandle;

use crate::client_addr::network;

/// A limited number of places, each held by one task of a client.
#[derive(Debug)]
pub(crate) struct Admission {
    limit: usize,
    when_full: WhenFull,
    places: RefCell<Slab<AdmittedTask>>,
    arrivals: Cell<u64>,
}

/// Who gives way when all places are taken and nobody holds more than the newcomer would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// The newcomer is refused: nobody who is being served loses a place to a client that holds as many.
    RefuseNewest,
    /// The oldest of the newcomer's client, or the oldest of all: for places that anyone who is serious holds for
    /// a moment only, so that nobody can keep others out by holding them.
    EvictOldest,
}

#[derive(Debug)]
struct AdmittedTask {
    /// Counts arrivals: the lowest is the oldest.
    number: u64,
    /// `None`: counted by itself.
    network: Option<IpAddr>,
    /// What is aborted to free the place; taken once that has been done.
    task: Option<AbortHandle>,
    aborted: bool,
}

/// One place, given back when dropped.
#[derive(Debug)]
pub(crate) struct AdmissionSlot {
    admission: Rc<Admission>,
    id: usize,
}

/// All places are taken, and nobody gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Admission {
    /// `limit` free places.
    pub(crate) fn new(limit: usize, when_full: WhenFull) -> Rc<Self> {
        Rc::new(Self { limit, when_full, places: RefCell::default(), arrivals: Cell::new(0) })
    }

    /// A place for a client, or for one of whom nothing is known: a connection of a proxy may be anybody's, and is
    /// counted by itself. Name the task that holds it with [`Self::held_by`].
    ///
    /// # Errors
    /// [`Full`].
    pub(crate) fn admit(self: &Rc<Self>, client: Option<IpAddr>) -> Result<AdmissionSlot, Full> {
        let network = client.map(network);
        let mut places = self.places.borrow_mut();
        if places.len() >= self.limit {
            self.make_room(&mut places, network)?;
        }
        let number = self.arrivals.replace(self.arrivals.get() + 1);
        let id = places.insert(AdmittedTask { number, network, task: None, aborted: false });
        drop(places);
        Ok(AdmissionSlot { admission: Rc::clone(self), id })
    }

    /// Says which task holds a place, if it still does.
    pub(crate) fn held_by(&self, id: usize, task: AbortHandle) {
        if let Some(place) = self.places.borrow_mut().get_mut(id) {
            place.task = Some(task);
        }
    }

    /// Aborts the task of one place, unless enough places are about to become free.
    fn make_room(
        &self,
        places: &mut Slab<AdmittedTask>,
        newcomer: Option<IpAddr>,
    ) -> Result<(), Full> {
        let mut held: HashMap<IpAddr, usize> = HashMap::new();
        let staying = places.iter().filter(|(_, place)| !place.aborted);
        let mut taken = 0;
        for (_, place) in staying.clone() {
            if let Some(network) = place.network {
                *held.entry(network).or_default() += 1;
            }
            taken += 1;
        }
        if taken < self.limit {
            return Ok(());
        }
        let own = newcomer.and_then(|newcomer| held.get(&newcomer).copied()).unwrap_or(0);
        let greediest = held.iter().max_by_key(|(_, count)| **count);
        let greedier = greediest.filter(|(_, most)| **most > own + 1).map(|(network, _)| *network);
        let loser = if greedier.is_some() {
            greedier
        } else if self.when_full == WhenFull::EvictOldest {
            newcomer.filter(|_| own > 0)
        } else {
            return Err(Full);
        };
        let is_losers = |place: &AdmittedTask| loser.is_none() || place.network == loser;
        let oldest = staying
            .filter(|(_, place)| is_losers(place) && place.task.is_some())
            .max_by_key(|(_, place)| Reverse(place.number))
            .map(|(id, _)| id);
        let place = oldest.and_then(|id| places.get_mut(id)).ok_or(Full)?;
        place.aborted = true;
        if let Some(task) = place.task.take() {
            task.abort();
        }
        Ok(())
    }
}

impl AdmissionSlot {
    /// Names the place, for [`Admission::held_by`].
    pub(crate) fn id(&self) -> usize {
        self.id
    }
}

impl Drop for AdmissionSlot {
    fn drop(&mut self) {
        self.admission.places.borrow_mut().try_remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 8;

    fn client(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    /// Clients that take places one after the other; who is refused, and whose task is aborted.
    async fn admit(when_full: WhenFull, clients: &[u8]) -> (Vec<usize>, Vec<usize>) {
        let admission = Admission::new(LIMIT, when_full);
        let (mut permits, mut tasks, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        tokio::task::LocalSet::new()
            .run_until(async {
                for (number, n) in clients.iter().enumerate() {
                    let Ok(permit) = admission.admit((*n > 0).then(|| client(*n))) else {
                        refused.push(number);
                        continue;
                    };
                    let task = tokio::task::spawn_local(std::future::pending::<()>());
                    admission.held_by(permit.id(), task.abort_handle());
                    permits.push(permit);
                    tasks.push((number, task));
                }
                let mut aborted = Vec::new();
                for (number, task) in tasks {
                    tokio::task::yield_now().await;
                    if task.is_finished() {
                        aborted.push(number);
                    }
                }
                permits.clear();
                assert!(admission.places.borrow().is_empty());
                (refused, aborted)
            })
            .await
    }

    #[tokio::test]
    async fn who_takes_more_than_its_share_loses_its_oldest_to_others() {
        let flood = [1, 1, 1, 1, 1, 1, 1, 2, 3, 2];
        for when_full in [WhenFull::RefuseNewest, WhenFull::EvictOldest] {
            assert_eq!(admit(when_full, &flood).await, (vec![], vec![0, 1]));
        }
    }

    #[tokio::test]
    async fn nobody_loses_a_place_to_a_client_that_holds_as_many() {
        let honest = [1, 2, 3, 4, 5, 6, 7, 8, 9, 1];
        assert_eq!(admit(WhenFull::RefuseNewest, &honest).await, (vec![8, 9], vec![]));
        assert_eq!(admit(WhenFull::EvictOldest, &honest).await, (vec![], vec![0, 1]));
    }

    #[tokio::test]
    async fn connections_of_a_proxy_are_not_one_client() {
        let proxied = [0, 0, 0, 0, 0, 0, 1, 1, 2, 0];
        assert_eq!(admit(WhenFull::RefuseNewest, &proxied).await, (vec![9], vec![6]));
        assert_eq!(admit(WhenFull::EvictOldest, &proxied).await, (vec![], vec![0, 6]));
    }

    #[tokio::test]
    async fn a_client_alone_is_refused_or_drops_its_own() {
        assert_eq!(admit(WhenFull::RefuseNewest, &[1; 10]).await, (vec![8, 9], vec![]));
        assert_eq!(admit(WhenFull::EvictOldest, &[1; 10]).await, (vec![], vec![0, 1]));
    }
}
