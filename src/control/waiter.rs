//! The slot that a request holds while it is answered, and another one for a request that waits for
//! audio: so requests that wait do not keep others from being answered.

use std::cell::{Cell, OnceCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::client::{Admission, AdmissionSlot, Full};

/// Maximum number of requests that wait for audio.
pub(crate) const MAX_WAITING_REQUESTS: usize = 64;

/// The task that serves a request, and its slot.
#[derive(Default)]
pub(super) struct RequestTask {
    task: OnceCell<AbortHandle>,
    slot: Cell<Option<AdmissionSlot>>,
}

impl RequestTask {
    /// A request that holds this slot.
    pub(super) fn new(slot: AdmissionSlot) -> Self {
        Self { task: OnceCell::new(), slot: Cell::new(Some(slot)) }
    }

    /// Sets the task that is aborted if a slot has to be freed. `admission` is that of the slot with
    /// this id.
    pub(super) fn set(&self, admission: &Admission, id: usize, task: AbortHandle) {
        admission.set_task(id, task.clone());
        // Cannot fail: this is called once.
        let _ = self.task.set(task);
    }

    /// Frees the slot, because the request holds the one with this id of `admission` instead.
    pub(super) fn exchange(&self, admission: &Admission, id: usize) {
        if let Some(task) = self.task.get() {
            admission.set_task(id, task.clone());
            self.slot.take();
        }
    }
}

/// Lets a request wait.
pub(super) struct Waiter<'w> {
    waiting: &'w Rc<Admission>,
    request: &'w RequestTask,
    client: Option<IpAddr>,
    /// Held until the request is answered.
    slot: Option<AdmissionSlot>,
}

impl<'w> Waiter<'w> {
    /// For a request of this client.
    pub(super) fn new(
        waiting: &'w Rc<Admission>,
        request: &'w RequestTask,
        client: Option<IpAddr>,
    ) -> Self {
        Self { waiting, request, client, slot: None }
    }

    /// Waits.
    ///
    /// # Errors
    /// [`Full`] if too many requests wait.
    pub(super) async fn sleep(&mut self, time: Duration) -> Result<(), Full> {
        if self.slot.is_none() {
            let slot = self.waiting.admit(self.client)?;
            self.request.exchange(self.waiting, slot.id());
            self.slot = Some(slot);
        }
        sleep(time).await;
        Ok(())
    }
}
