//! Limits the connections of each client.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use crate::client_addr::network;
use crate::quota::{Permit, Quota};

/// How many seats each client has; an IPv6 host is one client, whatever address it takes.
#[derive(Debug, Default)]
pub(super) struct ClientQuotas {
    permits: RefCell<HashMap<IpAddr, Weak<Quota>>>,
}

impl ClientQuotas {
    /// A seat for one more of this client, or `None` if it has `limit`.
    pub(super) fn take(&self, client: IpAddr, limit: usize) -> Option<Permit> {
        let mut permits = self.permits.borrow_mut();
        if permits.len() >= 1024 {
            permits.retain(|_, permits| permits.strong_count() > 0);
        }
        let entry = permits.entry(network(client)).or_default();
        let of_client = entry.upgrade().unwrap_or_else(|| {
            let new = Arc::default();
            *entry = Arc::downgrade(&new);
            new
        });
        of_client.take(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const TWO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn a_client_has_so_many_seats_and_gets_them_back() {
        let per_client = ClientQuotas::default();
        let one = per_client.take(ONE, 1);
        assert!(one.is_some() && per_client.take(ONE, 1).is_none());
        assert!(per_client.take(TWO, 1).is_some());
        drop(one);
        assert!(per_client.take(ONE, 1).is_some());
    }
}
