//! The slot that a request holds while it is answered, and another one for a request that waits for
//! audio or for a change: so requests that wait do not keep others from being answered.

use std::cell::{Cell, OnceCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::client::{Admission, AdmissionSlot, Full};
use crate::http::Reply;

/// Maximum number of requests that wait for audio or for a change.
pub(crate) const MAX_WAITING_REQUESTS: usize = 64;

/// The task that serves a request, and its slot.
pub(super) struct RequestTask {
    task: OnceCell<AbortHandle>,
    slot: Cell<Option<AdmissionSlot>>,
}

impl RequestTask {
    /// A request without a slot.
    pub(super) fn new() -> Self {
        Self { task: OnceCell::new(), slot: Cell::new(None) }
    }

    /// Sets the task that is aborted if its slot has to be freed.
    pub(super) fn set(&self, task: AbortHandle) {
        // Cannot fail: this is called once.
        let _ = self.task.set(task);
    }

    /// Makes the request hold this slot of `admission`, in place of the one that it holds.
    pub(super) fn hold(&self, admission: &Admission, slot: AdmissionSlot) {
        self.is_at(admission, slot.id());
        self.slot.set(Some(slot));
    }

    /// Frees the slot, because somebody else holds the one with this id of `admission` for it.
    pub(super) fn exchange(&self, admission: &Admission, id: usize) {
        self.is_at(admission, id);
        self.slot.take();
    }

    /// Lets the slot with this id of `admission` be freed by ending the request.
    fn is_at(&self, admission: &Admission, id: usize) {
        if let Some(task) = self.task.get() {
            admission.set_task(id, task.clone());
        }
    }
}

/// Lets a request wait.
pub(super) struct Waiter<'w> {
    /// Slots of requests that are being answered.
    requests: &'w Rc<Admission>,
    /// Slots of requests that wait.
    waiting: &'w Rc<Admission>,
    request: &'w RequestTask,
    client: Option<IpAddr>,
    has_waited: bool,
}

impl<'w> Waiter<'w> {
    /// For a request of this client, which holds a slot of the first of these.
    pub(super) fn new(
        (requests, waiting): (&'w Rc<Admission>, &'w Rc<Admission>),
        request: &'w RequestTask,
        client: Option<IpAddr>,
    ) -> Self {
        Self { requests, waiting, request, client, has_waited: false }
    }

    /// Waits for `event`, but no longer than this.
    ///
    /// # Errors
    /// The reply to send, with status 503, if too many requests wait.
    pub(super) async fn wait(&mut self, limit: Duration, event: impl Future) -> Result<(), Reply> {
        if !self.has_waited {
            let slot = self.waiting.admit(self.client).map_err(|Full| {
                let sentence = "Too many requests are waiting; try again in a moment.";
                Reply::new(503, sentence).with("Retry-After", "1")
            })?;
            self.request.hold(self.waiting, slot);
            self.has_waited = true;
        }
        tokio::select! {
            _ = event => {}
            () = sleep(limit) => {}
        }
        Ok(())
    }

    /// The request is about to be answered: it holds a slot for that again, if one is free. Many wait
    /// for the same moment, and their clients' next requests come before all of them are answered.
    pub(super) fn finish(self) {
        if self.has_waited
            && let Ok(slot) = self.requests.admit(self.client)
        {
            self.request.hold(self.requests, slot);
        }
    }
}
