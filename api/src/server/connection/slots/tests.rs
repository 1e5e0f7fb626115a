//! Tests which connections get a slot, and which are closed.

use std::net::Ipv4Addr;

use super::*;

fn slots(connections: usize) -> Arc<Slots> {
    let proxies = TrustedProxies(vec!["10.9.0.0/16".parse().expect("a network")]);
    Arc::new(Slots::new(ConnectionLimits { connections, client_timeout: Duration::from_secs(30), proxies }))
}

fn address(n: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, n).into()
}

fn wait(slots: &Slots, ticks: u32) {
    (0..ticks).for_each(|_| slots.sweep());
}

/// Whether the connection was asked for this end, or for an earlier one.
fn has_end(slot: &Slot, end: End) -> bool {
    slot.activity.requested_end() >= end
}

#[test]
fn one_client_gets_half_of_the_connections_and_a_trusted_proxy_all() {
    let slots = slots(10);
    let busy = |slot: Slot| (slot.activity.begin(), slot);
    let own: Vec<_> = (0..6).map(|_| busy(slots.assign(address(1)))).collect();
    assert_eq!(own.iter().filter(|(_, slot)| !slot.is_reserved).count(), 5);
    let other = slots.assign(address(2));
    assert!(!other.is_reserved, "the other slots are for other clients");
    drop((own, other));
    let proxied: Vec<_> = (0..11).map(|_| busy(slots.assign([10, 9, 0, 1].into()))).collect();
    assert_eq!(proxied.iter().filter(|(_, slot)| !slot.is_reserved).count(), 10);
    assert!(slots.assign(address(2)).is_reserved, "there are only ten slots");
    drop(proxied);
    let table = slots.table();
    assert_eq!((table.all.len(), table.ordinary, table.closing), (0, 0, 0));
    assert!(table.clients.is_empty() && table.reserved.is_empty(), "every slot was released");
}

#[test]
fn the_connection_that_was_idle_longest_is_closed_for_a_new_one() {
    let slots = slots(4);
    let used = slots.assign(address(1));
    let request = used.activity.begin();
    wait(&slots, 1);
    let oldest = slots.assign(address(2));
    wait(&slots, 1);
    let newer = slots.assign(address(3));
    let newest = slots.assign(address(4));
    wait(&slots, 1);
    let guest = slots.assign(address(5));
    assert!(!guest.is_reserved, "it has the slot of another connection");
    assert!(has_end(&oldest, End::Graceful) && !has_end(&newer, End::Graceful) && !has_end(&newest, End::Graceful));
    assert!(!has_end(&oldest, End::Now), "it may close gracefully");
    let second = slots.assign(address(6));
    assert!(second.is_reserved, "the number of closing connections is limited");
    wait(&slots, CLOSE_TICKS);
    assert!(has_end(&oldest, End::Now), "the time for closing gracefully is limited");
    drop(oldest);
    assert!(!slots.assign(address(6)).is_reserved);
    assert!(!has_end(&used, End::Graceful), "a request is in progress there");
    drop(request);
}

#[test]
fn a_client_over_its_share_loses_its_own_idle_connection() {
    let slots = slots(4);
    let other = slots.assign(address(9));
    let own: Vec<Slot> = (0..2).map(|_| slots.assign(address(1))).collect();
    wait(&slots, 1);
    let next = slots.assign(address(1));
    assert!(!next.is_reserved);
    assert!(own.iter().any(|slot| has_end(slot, End::Graceful)));
    assert!(!has_end(&other, End::Graceful));
}

#[test]
fn reserved_connections_are_replaced_in_turn_and_end_soon() {
    let slots = slots(1);
    let used = slots.assign(address(1));
    let _request = used.activity.begin();
    let reserved: Vec<Slot> = (0..=RESERVED_SLOTS).map(|_| slots.assign(address(2))).collect();
    assert!(reserved.iter().all(|slot| slot.is_reserved));
    assert!(has_end(&reserved[0], End::Now) && !has_end(&reserved[1], End::Now));
    wait(&slots, RESERVED_TICKS);
    assert!(reserved.iter().all(|slot| has_end(slot, End::Now)));
}

#[test]
fn an_idle_connection_that_is_closing_is_dropped_after_its_time() {
    let slots = slots(10);
    let [idle, busy] = [(); 2].map(|()| slots.assign([10, 9, 0, 1].into()));
    for slot in [&idle, &busy] {
        slot.activity.received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        slot.activity.end(End::Graceful);
    }
    let request = busy.activity.begin();
    wait(&slots, CLOSE_TICKS);
    assert!(!has_end(&idle, End::Now));
    wait(&slots, 1);
    assert!(has_end(&idle, End::Now) && !has_end(&busy, End::Now));
    wait(&slots, 10);
    drop(request);
    wait(&slots, CLOSE_TICKS - 1);
    assert!(!has_end(&busy, End::Now), "it was in use until a moment ago");
    wait(&slots, 1);
    assert!(has_end(&busy, End::Now));
}

#[test]
fn idle_http2_connections_close_gracefully_and_stuck_ones_are_dropped() {
    let slots = slots(10);
    let [idle, stuck, silent, kept] = [(); 4].map(|()| slots.assign([10, 9, 0, 1].into()));
    for slot in [&idle, &stuck, &kept] {
        slot.activity.received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        drop(slot.activity.begin());
    }
    let _part = stuck.activity.begin().part();
    wait(&slots, TIME_LIMIT_TICKS - 1);
    drop(kept.activity.begin());
    wait(&slots, 1);
    assert!(has_end(&idle, End::Graceful) && !has_end(&idle, End::Now));
    assert!(has_end(&silent, End::Now));
    wait(&slots, LAST_REQUESTS_TICKS - 1);
    assert!(has_end(&idle, End::Now), "a client that does not close the connection is not waited for");
    assert!(has_end(&stuck, End::Graceful) && !has_end(&stuck, End::Now), "its other requests get responses");
    wait(&slots, 1);
    assert!(has_end(&stuck, End::Now));
    assert!(!has_end(&kept, End::Graceful));
}
