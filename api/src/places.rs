//! Places for connections: how many there are, how many of them one client may have, who has to leave, and when.
//!
//! - One client (an IPv4 address or an IPv6 /64) has at most half of the places. Trusted proxies have no share, because they
//!   carry the requests of many.
//! - Where no place is free, the connections that have been idle for longest leave: those of the same client where its share
//!   is used up, else those of anyone.
//! - Where nobody is idle, a connection gets one of a few reserved places, which are for `/health/…` alone. They are taken
//!   in turn: who has had one for longest makes room. So a health check is answered in a full house.
//!
//! A table of all connections is looked through once a tick, and when the places are used up at most as often.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    activity::{Activity, Condition, End, LIMIT, Ticks},
    address::{ClientAddress, TrustedProxies},
};

/// Reserved places.
pub const RESERVED: usize = 64;

/// How long a connection at a reserved place may take to ask, in ticks.
const RESERVED_FOR: u32 = 3;

/// How long an idle connection that was told to end may take for its farewell, in ticks.
const FAREWELL: u32 = 2;

/// How long the other requests of a connection may still take once the client has left one answer unread for too long.
const LAST_REQUESTS: u32 = LIMIT / 3;

/// The settings.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Places.
    pub connections: usize,
    /// How long a client may take to send a head, to send the next request, and to take a part of an answer.
    pub client_time: Duration,
    /// Those without a share.
    pub proxies: TrustedProxies,
}

/// All places.
pub struct Places {
    limits: Limits,
    ticks: Arc<Ticks>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u64,
    all: HashMap<u64, Held>,
    ordinary: usize,
    /// Ordinary places by client.
    clients: HashMap<IpAddr, usize>,
    /// Connections that were told to leave their ordinary places, and have not gone yet.
    leaving: usize,
    /// Reserved places, in the order in which they were given.
    reserved: VecDeque<u64>,
    /// When somebody was looked for who could leave, and nobody was found: among the connections of one client, and among all.
    searched: [u32; 2],
}

struct Held {
    activity: Arc<Activity>,
    /// `None`: without a share.
    client: Option<IpAddr>,
    kind: Kind,
    /// Since when it has been told to end after its requests.
    ending: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ordinary,
    /// Was ordinary; its place was given to another.
    Leaving,
    Reserved,
}

/// A place, until it is dropped.
pub struct Place {
    places: Arc<Places>,
    id: u64,
    /// What happens on the connection.
    pub activity: Arc<Activity>,
    /// Whether it is good for `/health/…` alone.
    pub is_reserved: bool,
}

impl Places {
    /// Places that are all free.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ticks: Arc::default(), table: Mutex::default() }
    }

    /// How long a tick is.
    #[must_use]
    pub fn tick(&self) -> Duration {
        (self.limits.client_time / LIMIT).max(Duration::from_millis(1))
    }

    /// The settings.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn share(&self) -> usize {
        self.limits.connections.div_ceil(2)
    }

    /// A place for a connection from `peer`.
    #[must_use]
    pub fn take(self: &Arc<Self>, peer: IpAddr) -> Place {
        let address = ClientAddress(peer.to_canonical());
        let client = (!self.limits.proxies.contains(address.0)).then(|| address.network());
        let now = self.ticks.now();
        let mut table = self.table();
        let is_over = |table: &Table| {
            client.is_some_and(|client| table.clients.get(&client).is_some_and(|count| *count >= self.share()))
        };
        let is_full = |table: &Table| table.ordinary >= self.limits.connections;
        if is_over(&table) {
            self.make_room(&mut table, now, client);
        } else if is_full(&table) {
            self.make_room(&mut table, now, None);
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
        table.all.insert(id, Held { activity: activity.clone(), client, kind, ending: None });
        drop(table);
        Place { places: self.clone(), id, activity, is_reserved }
    }

    /// Tells idle connections to leave, where the operating system gives no further ones.
    pub fn make_any_room(&self) {
        self.make_room(&mut self.table(), self.ticks.now(), None);
    }

    /// Tells the connections that have been idle for longest to leave: of one client, or of all. Several at once, because each
    /// search looks at all connections. Their places are free from now on; as those who leave are still there for a moment,
    /// there may only be few of them.
    fn make_room(&self, table: &mut Table, now: u32, of: Option<IpAddr>) {
        let most = self.limits.connections.div_ceil(10).saturating_sub(table.leaving);
        let count = self.limits.connections.div_ceil(100).min(most);
        let search = usize::from(of.is_none());
        if count == 0 || table.searched[search] == now {
            return;
        }
        let is_meant = |held: &Held| held.kind == Kind::Ordinary && (of.is_none() || held.client == of);
        let idle = |(id, held): (&u64, &Held)| match held.activity.condition() {
            Condition::Idle(ticks) if ticks > 0 && is_meant(held) => Some((ticks, *id)),
            _ => None,
        };
        let mut idle: Vec<(u32, u64)> = table.all.iter().filter_map(idle).collect();
        if idle.is_empty() {
            table.searched[search] = now;
        } else if idle.len() > count {
            idle.select_nth_unstable_by_key(count, |(ticks, _)| std::cmp::Reverse(*ticks));
        }
        for (_, id) in idle.into_iter().take(count) {
            table.release(id);
            if let Some(held) = table.all.get_mut(&id) {
                held.kind = Kind::Leaving;
                held.ending = Some(now);
                held.activity.end(End::Graceful);
                table.leaving += 1;
            }
        }
    }

    /// The next tick: whoever has used up their time has to end.
    pub fn sweep(&self) {
        self.ticks.advance();
        let now = self.ticks.now();
        for held in self.table().all.values_mut() {
            held.sweep(now);
        }
    }
}

impl Held {
    fn sweep(&mut self, now: u32) {
        let condition = self.activity.condition();
        let ending_for = self.ending.map(|since| now - since);
        let end = match condition {
            Condition::Silent => End::Now,
            Condition::Stuck if !self.activity.is_http2() => End::Now,
            Condition::Stuck if ending_for.is_some_and(|ticks| ticks >= LAST_REQUESTS) => End::Now,
            Condition::Stuck => End::Graceful,
            Condition::Idle(_) if ending_for.is_some_and(|ticks| ticks >= FAREWELL) => End::Now,
            Condition::Idle(_) if self.kind == Kind::Reserved && now - self.activity.accepted() >= RESERVED_FOR => {
                End::Now
            }
            // HTTP/1 has this limit by itself.
            Condition::Idle(ticks) if ticks >= LIMIT && self.activity.is_http2() => End::Graceful,
            Condition::Idle(_) | Condition::Busy => return,
        };
        self.ending.get_or_insert(now);
        self.activity.end(end);
    }
}

impl Table {
    fn reserve(&mut self, id: u64) {
        if self.reserved.len() >= RESERVED
            && let Some(first) = self.reserved.pop_front()
            && let Some(held) = self.all.get(&first)
        {
            held.activity.end(End::Now);
        }
        self.reserved.push_back(id);
    }

    /// Gives back the place of a connection.
    fn release(&mut self, id: u64) {
        let Some(held) = self.all.get(&id) else { return };
        match held.kind {
            Kind::Leaving => self.leaving -= 1,
            Kind::Reserved => self.reserved.retain(|reserved| *reserved != id),
            Kind::Ordinary => {
                self.ordinary -= 1;
                if let Some(client) = held.client
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

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.places.table();
        table.release(self.id);
        table.all.remove(&self.id);
    }
}

#[cfg(test)]
mod tests;
