//! Limits the number of connections, by slots, and decides which connections are closed, and when.
//!
//! - One client (an IPv4 address or an IPv6 /64) has at most half of the slots. This does not apply to trusted proxies, because
//!   they send the requests of many clients.
//! - Without a free slot, the connections that have been idle for longest are closed: those of the same client if it has reached
//!   its maximum, else those of all clients.
//! - Without an idle connection, a new connection gets one of a few reserved slots, which serve `/health/…` only. If these are in
//!   use, the oldest one is replaced. So health checks are answered under overload.
//!
//! The table of all connections is scanned once per tick. The searches for idle connections are limited to one per tick, too.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    http::client_ip::{ClientAddress, TrustedProxies},
    server::connection::activity::{Activity, Condition, End, TIME_LIMIT_TICKS, Ticks},
};

/// The number of reserved slots.
pub const RESERVED_SLOTS: usize = 64;

/// How long a connection in a reserved slot may be idle before it is closed, in ticks since it was accepted.
const RESERVED_TICKS: u32 = 3;

/// How long a connection that is closing gracefully may be idle, in ticks: the time for the client to close it.
const CLOSE_TICKS: u32 = 2;

/// How long the other requests of an HTTP/2 connection may take after one response was stuck, in ticks.
const LAST_REQUESTS_TICKS: u32 = TIME_LIMIT_TICKS / 3;

/// The limits of connections.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// The maximum number of connections, without the reserved slots.
    pub connections: usize,
    /// How long a client may take to send a request's head, to send the next request, and to receive a part of a response.
    pub client_timeout: Duration,
    /// Trusted proxies, which have no maximum of their own.
    pub proxies: TrustedProxies,
}

/// The slots of all connections.
pub struct Slots {
    limits: ConnectionLimits,
    ticks: Arc<Ticks>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u64,
    all: HashMap<u64, Connection>,
    ordinary: usize,
    /// The number of ordinary slots of each client, by network.
    clients: HashMap<IpAddr, usize>,
    /// The number of connections that are closing because their slots were given to others.
    closing: usize,
    /// The connections in reserved slots, the oldest first.
    reserved: VecDeque<u64>,
    /// The tick of the last search for idle connections that found none: among those of one client, and among all.
    last_search: [u32; 2],
}

struct Connection {
    activity: Arc<Activity>,
    /// The network of the client. `None`: a trusted proxy.
    client: Option<IpAddr>,
    kind: Kind,
    /// The tick since which it is closing gracefully. `None`: it is not closing.
    closing_since: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ordinary,
    /// It is closing, and its ordinary slot was given to another connection.
    Closing,
    Reserved,
}

/// The slot of a connection, until it is dropped.
pub struct Slot {
    slots: Arc<Slots>,
    id: u64,
    /// The activity of the connection.
    pub activity: Arc<Activity>,
    /// Whether the connection serves `/health/…` only.
    pub is_reserved: bool,
}

impl Slots {
    /// All slots are free.
    #[must_use]
    pub fn new(limits: ConnectionLimits) -> Self {
        Self { limits, ticks: Arc::default(), table: Mutex::default() }
    }

    /// The duration of a tick: at least 1 ms.
    #[must_use]
    pub fn tick(&self) -> Duration {
        (self.limits.client_timeout / TIME_LIMIT_TICKS).max(Duration::from_millis(1))
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> &ConnectionLimits {
        &self.limits
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn max_per_client(&self) -> usize {
        self.limits.connections.div_ceil(2)
    }

    /// Assigns a slot to a new connection from `peer`. There always is one, but it may be reserved.
    #[must_use]
    pub fn assign(self: &Arc<Self>, peer: IpAddr) -> Slot {
        let address = ClientAddress(peer.to_canonical());
        let client = (!self.limits.proxies.contains(address.0)).then(|| address.network());
        let now = self.ticks.now();
        let mut table = self.table();
        let is_over = |table: &Table| {
            client.is_some_and(|client| table.clients.get(&client).is_some_and(|count| *count >= self.max_per_client()))
        };
        let is_full = |table: &Table| table.ordinary >= self.limits.connections;
        if is_over(&table) {
            self.close_idle_of(&mut table, now, client);
        } else if is_full(&table) {
            self.close_idle_of(&mut table, now, None);
        }
        let is_reserved = is_over(&table) || is_full(&table);
        let id = table.next;
        table.next += 1;
        if is_reserved {
            table.reserve(id);
        } else {
            table.ordinary += 1;
            if let Some(client) = client {
                *table.clients.entry(client).or_default() += 1;
            }
        }
        let activity = Arc::new(Activity::new(self.ticks.clone()));
        let kind = if is_reserved { Kind::Reserved } else { Kind::Ordinary };
        table.all.insert(id, Connection { activity: activity.clone(), client, kind, closing_since: None });
        drop(table);
        Slot { slots: self.clone(), id, activity, is_reserved }
    }

    /// Closes idle connections, because the operating system accepts no further ones.
    pub fn close_idle(&self) {
        self.close_idle_of(&mut self.table(), self.ticks.now(), None);
    }

    /// Closes the connections that have been idle for longest: those of the client `only_client`, or of all clients. It closes several
    /// at once, because each search scans all connections. Their slots are free at once, although they take a moment to close;
    /// therefore the number of closing connections is limited.
    fn close_idle_of(&self, table: &mut Table, now: u32, only_client: Option<IpAddr>) {
        let max = self.limits.connections.div_ceil(10).saturating_sub(table.closing);
        let count = self.limits.connections.div_ceil(100).min(max);
        let search = usize::from(only_client.is_none());
        if count == 0 || table.last_search[search] == now {
            return;
        }
        let is_meant = |connection: &Connection| {
            connection.kind == Kind::Ordinary && (only_client.is_none() || connection.client == only_client)
        };
        let idle = |(id, connection): (&u64, &Connection)| match connection.activity.condition() {
            Condition::Idle(ticks) if ticks > 0 && is_meant(connection) => Some((ticks, *id)),
            _ => None,
        };
        let mut idle: Vec<(u32, u64)> = table.all.iter().filter_map(idle).collect();
        if idle.is_empty() {
            table.last_search[search] = now;
        } else if idle.len() > count {
            idle.select_nth_unstable_by_key(count, |(ticks, _)| std::cmp::Reverse(*ticks));
        }
        for (_, id) in idle.into_iter().take(count) {
            table.release(id);
            if let Some(connection) = table.all.get_mut(&id) {
                connection.kind = Kind::Closing;
                connection.closing_since = Some(now);
                connection.activity.end(End::Graceful);
                table.closing += 1;
            }
        }
    }

    /// Begins the next tick, and closes the connections that have reached a time limit.
    pub fn sweep(&self) {
        self.ticks.advance();
        let now = self.ticks.now();
        for connection in self.table().all.values_mut() {
            connection.sweep(now);
        }
    }
}

impl Connection {
    fn sweep(&mut self, now: u32) {
        let condition = self.activity.condition();
        if self.activity.requested_end() >= End::Graceful {
            self.closing_since.get_or_insert(now);
        }
        let closing_for = self.closing_since.map(|since| now - since);
        let end = match condition {
            Condition::Silent => End::Now,
            Condition::Stuck if !self.activity.is_http2() => End::Now,
            Condition::Stuck if closing_for.is_some_and(|ticks| ticks >= LAST_REQUESTS_TICKS) => End::Now,
            Condition::Stuck => End::Graceful,
            Condition::Idle(idle) if closing_for.is_some_and(|ticks| ticks.min(idle) >= CLOSE_TICKS) => End::Now,
            Condition::Idle(_) if self.kind == Kind::Reserved && now - self.activity.accepted() >= RESERVED_TICKS => {
                End::Now
            }
            // hyper has this limit for HTTP/1.
            Condition::Idle(ticks) if ticks >= TIME_LIMIT_TICKS && self.activity.is_http2() => End::Graceful,
            Condition::Idle(_) | Condition::Busy => return,
        };
        self.closing_since.get_or_insert(now);
        self.activity.end(end);
    }
}

impl Table {
    fn reserve(&mut self, id: u64) {
        if self.reserved.len() >= RESERVED_SLOTS
            && let Some(first) = self.reserved.pop_front()
            && let Some(connection) = self.all.get(&first)
        {
            connection.activity.end(End::Now);
        }
        self.reserved.push_back(id);
    }

    /// Releases the slot of a connection.
    fn release(&mut self, id: u64) {
        let Some(connection) = self.all.get(&id) else { return };
        match connection.kind {
            Kind::Closing => self.closing -= 1,
            Kind::Reserved => self.reserved.retain(|reserved| *reserved != id),
            Kind::Ordinary => {
                self.ordinary -= 1;
                if let Some(client) = connection.client
                    && let Some(count) = self.clients.get_mut(&client)
                {
                    *count -= 1;
                    if *count == 0 {
                        self.clients.remove(&client);
                    }
                }
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut table = self.slots.table();
        table.release(self.id);
        table.all.remove(&self.id);
    }
}

#[cfg(test)]
mod tests;
