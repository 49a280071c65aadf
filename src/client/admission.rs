//! Admission control: decides which client gets one of a limited number of slots.
//!
//! Slots are counted per client, which is an IPv4 address or an IPv6 /64. When all slots are taken
//! and some client holds more than the newcomer would, the client that holds the most loses its
//! oldest slot. If no client does, [`WhenFull`] decides.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use slab::Slab;
use tokio::task::AbortHandle;

use crate::client_addr::network;

/// A limited number of slots, each held by one task that serves a client.
#[derive(Debug)]
pub(crate) struct Admission {
    limit: usize,
    when_full: WhenFull,
    slots: RefCell<Slab<AdmittedTask>>,
    admitted: Cell<u64>,
}

/// What happens when all slots are taken and no client holds more than the newcomer would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// The newcomer is refused. A client never loses a slot to one that holds as many.
    RefuseNewest,
    /// The newcomer gets the oldest slot of its own client or, if its client holds none, the oldest
    /// slot of all. For slots that honest clients hold for a moment only: nobody can block others
    /// by holding slots.
    EvictOldest,
}

#[derive(Debug)]
struct AdmittedTask {
    /// Order of admission: the lowest is the oldest.
    number: u64,
    /// The client that the slot counts for; `None` if it is unknown.
    network: Option<IpAddr>,
    /// Aborted to free the slot; `None` before it is known and after it was aborted.
    task: Option<AbortHandle>,
    aborted: bool,
}

/// One slot, freed when dropped.
#[derive(Debug)]
pub(crate) struct AdmissionSlot {
    admission: Rc<Admission>,
    id: usize,
}

/// All slots are taken, and none can be freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Admission {
    /// An admission with `limit` free slots.
    pub(crate) fn new(limit: usize, when_full: WhenFull) -> Rc<Self> {
        Rc::new(Self { limit, when_full, slots: RefCell::default(), admitted: Cell::new(0) })
    }

    /// Takes a slot for a client. `None` stands for a client that is unknown because the connection
    /// comes from a proxy; such slots are not counted as one client's. Pass the task that holds the
    /// slot to [`Self::set_task`].
    ///
    /// # Errors
    /// [`Full`] if all slots are taken and none can be freed.
    pub(crate) fn admit(self: &Rc<Self>, client: Option<IpAddr>) -> Result<AdmissionSlot, Full> {
        let network = client.map(network);
        let mut slots = self.slots.borrow_mut();
        if slots.len() >= self.limit {
            self.make_room(&mut slots, network)?;
        }
        let number = self.admitted.replace(self.admitted.get() + 1);
        let id = slots.insert(AdmittedTask { number, network, task: None, aborted: false });
        drop(slots);
        Ok(AdmissionSlot { admission: Rc::clone(self), id })
    }

    /// Sets the task that is aborted if slot `id` has to be freed. Does nothing if the slot is
    /// free.
    pub(crate) fn set_task(&self, id: usize, task: AbortHandle) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(id) {
            slot.task = Some(task);
        }
    }

    /// Aborts the task of one slot, unless enough tasks have already been aborted.
    fn make_room(
        &self,
        slots: &mut Slab<AdmittedTask>,
        newcomer: Option<IpAddr>,
    ) -> Result<(), Full> {
        let mut held: HashMap<IpAddr, usize> = HashMap::new();
        let active = slots.iter().filter(|(_, slot)| !slot.aborted);
        let mut taken = 0;
        for (_, slot) in active.clone() {
            if let Some(network) = slot.network {
                *held.entry(network).or_default() += 1;
            }
            taken += 1;
        }
        if taken < self.limit {
            return Ok(());
        }
        let held_by_newcomer =
            newcomer.and_then(|newcomer| held.get(&newcomer).copied()).unwrap_or(0);
        let largest = held.iter().max_by_key(|(_, count)| **count);
        let larger = largest
            .filter(|(_, count)| **count > held_by_newcomer + 1)
            .map(|(network, _)| *network);
        // The client that loses a slot; `None` for any client.
        let victim = if larger.is_some() {
            larger
        } else if self.when_full == WhenFull::EvictOldest {
            newcomer.filter(|_| held_by_newcomer > 0)
        } else {
            return Err(Full);
        };
        let is_candidate = |slot: &AdmittedTask| victim.is_none() || slot.network == victim;
        let oldest = active
            .filter(|(_, slot)| is_candidate(slot) && slot.task.is_some())
            .max_by_key(|(_, slot)| Reverse(slot.number))
            .map(|(id, _)| id);
        let slot = oldest.and_then(|id| slots.get_mut(id)).ok_or(Full)?;
        slot.aborted = true;
        if let Some(task) = slot.task.take() {
            task.abort();
        }
        Ok(())
    }
}

impl AdmissionSlot {
    /// The slot's id, for [`Admission::set_task`].
    pub(crate) fn id(&self) -> usize {
        self.id
    }
}

impl Drop for AdmissionSlot {
    fn drop(&mut self) {
        self.admission.slots.borrow_mut().try_remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 8;

    fn client(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    /// Admits `clients` one after the other; 0 stands for an unknown client. Returns the indices of
    /// those that were refused and of those whose task was aborted.
    async fn admit(when_full: WhenFull, clients: &[u8]) -> (Vec<usize>, Vec<usize>) {
        let admission = Admission::new(LIMIT, when_full);
        let (mut taken_slots, mut tasks, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        tokio::task::LocalSet::new()
            .run_until(async {
                for (number, n) in clients.iter().enumerate() {
                    let Ok(taken_slot) = admission.admit((*n > 0).then(|| client(*n))) else {
                        refused.push(number);
                        continue;
                    };
                    let task = tokio::task::spawn_local(std::future::pending::<()>());
                    admission.set_task(taken_slot.id(), task.abort_handle());
                    taken_slots.push(taken_slot);
                    tasks.push((number, task));
                }
                let mut aborted = Vec::new();
                for (number, task) in tasks {
                    tokio::task::yield_now().await;
                    if task.is_finished() {
                        aborted.push(number);
                    }
                }
                taken_slots.clear();
                assert!(admission.slots.borrow().is_empty());
                (refused, aborted)
            })
            .await
    }

    #[tokio::test]
    async fn the_client_with_the_most_slots_loses_its_oldest() {
        let flood = [1, 1, 1, 1, 1, 1, 1, 2, 3, 2];
        for when_full in [WhenFull::RefuseNewest, WhenFull::EvictOldest] {
            assert_eq!(admit(when_full, &flood).await, (vec![], vec![0, 1]));
        }
    }

    #[tokio::test]
    async fn no_client_loses_a_slot_to_one_that_holds_as_many() {
        let honest = [1, 2, 3, 4, 5, 6, 7, 8, 9, 1];
        assert_eq!(admit(WhenFull::RefuseNewest, &honest).await, (vec![8, 9], vec![]));
        assert_eq!(admit(WhenFull::EvictOldest, &honest).await, (vec![], vec![0, 1]));
    }

    #[tokio::test]
    async fn connections_of_a_proxy_are_not_counted_as_one_client() {
        let proxied = [0, 0, 0, 0, 0, 0, 1, 1, 2, 0];
        assert_eq!(admit(WhenFull::RefuseNewest, &proxied).await, (vec![9], vec![6]));
        assert_eq!(admit(WhenFull::EvictOldest, &proxied).await, (vec![], vec![0, 6]));
    }

    #[tokio::test]
    async fn a_single_client_is_refused_or_loses_its_own_oldest() {
        assert_eq!(admit(WhenFull::RefuseNewest, &[1; 10]).await, (vec![8, 9], vec![]));
        assert_eq!(admit(WhenFull::EvictOldest, &[1; 10]).await, (vec![], vec![0, 1]));
    }
}
