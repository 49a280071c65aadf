//! Limits the number of connections of each client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::client_addr::network;
use crate::quota::{Permit, Quota};

/// At this many clients or more, the entries of clients without connections are removed.
const PRUNE_AT: usize = 1024;

/// One quota for each client. All addresses of an IPv6 /64 are one client.
#[derive(Debug, Default)]
pub(crate) struct ConnectionQuotas {
    quotas: Mutex<HashMap<IpAddr, Weak<Quota>>>,
}

impl ConnectionQuotas {
    /// Takes a permit from the client's quota. `None` if the client holds `limit` permits.
    pub(crate) fn take(&self, client: IpAddr, limit: usize) -> Option<Permit> {
        let mut quotas = self.lock();
        if quotas.len() >= PRUNE_AT {
            quotas.retain(|_, quota| quota.strong_count() > 0);
        }
        let entry = quotas.entry(network(client)).or_default();
        let quota = entry.upgrade().unwrap_or_else(|| {
            let new = Arc::default();
            *entry = Arc::downgrade(&new);
            new
        });
        quota.take(limit)
    }

    /// The largest number of permits that one client holds.
    pub(crate) fn most(&self) -> usize {
        let quotas = self.lock();
        quotas.values().filter_map(Weak::upgrade).map(|quota| quota.taken()).max().unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Weak<Quota>>> {
        // Nothing panics while it holds this lock, so it cannot be poisoned.
        self.quotas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const TWO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn permits_are_limited_per_client_and_returned() {
        let quotas = ConnectionQuotas::default();
        let permit = quotas.take(ONE, 1);
        assert!(permit.is_some() && quotas.take(ONE, 1).is_none());
        assert!(quotas.take(TWO, 1).is_some());
        assert_eq!(quotas.most(), 1);
        drop(permit);
        assert_eq!(quotas.most(), 0);
        assert!(quotas.take(ONE, 1).is_some());
    }
}
