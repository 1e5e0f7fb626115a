//! Who gets a place, and who has to leave one.

use std::net::Ipv4Addr;

use super::*;

fn places(connections: usize) -> Arc<Places> {
    let proxies = TrustedProxies(vec!["10.9.0.0/16".parse().expect("a network")]);
    Arc::new(Places::new(Limits { connections, client_time: Duration::from_secs(30), proxies }))
}

fn address(n: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, n).into()
}

fn wait(places: &Places, ticks: u32) {
    (0..ticks).for_each(|_| places.sweep());
}

/// Whether a connection was told to end at least like this.
fn is_told(place: &Place, end: End) -> bool {
    place.activity.told() >= end
}

#[test]
fn one_client_has_half_of_the_places_and_a_proxy_all() {
    let places = places(10);
    let busy = |place: Place| (place.activity.begin(), place);
    let mine: Vec<_> = (0..6).map(|_| busy(places.take(address(1)))).collect();
    assert_eq!(mine.iter().filter(|(_, place)| !place.is_reserved).count(), 5);
    let other = places.take(address(2));
    assert!(!other.is_reserved, "others have the rest");
    drop((mine, other));
    let proxied: Vec<_> = (0..11).map(|_| busy(places.take([10, 9, 0, 1].into()))).collect();
    assert_eq!(proxied.iter().filter(|(_, place)| !place.is_reserved).count(), 10);
    assert!(places.take(address(2)).is_reserved, "there are no more than ten");
    drop(proxied);
    let table = places.table();
    assert_eq!((table.all.len(), table.ordinary, table.leaving), (0, 0, 0));
    assert!(table.clients.is_empty() && table.reserved.is_empty(), "every place was given back");
}

#[test]
fn who_has_been_idle_for_longest_makes_room() {
    let places = places(4);
    let used = places.take(address(1));
    let request = used.activity.begin();
    wait(&places, 1);
    let oldest = places.take(address(2));
    wait(&places, 1);
    let newer = places.take(address(3));
    let newest = places.take(address(4));
    wait(&places, 1);
    let guest = places.take(address(5));
    assert!(!guest.is_reserved, "it has the place of another");
    assert!(is_told(&oldest, End::Graceful) && !is_told(&newer, End::Graceful) && !is_told(&newest, End::Graceful));
    assert!(!is_told(&oldest, End::Now), "it may say farewell");
    let second = places.take(address(6));
    assert!(second.is_reserved, "those who leave may not become many");
    wait(&places, FAREWELL);
    assert!(is_told(&oldest, End::Now), "but it may not stay for that");
    drop(oldest);
    assert!(!places.take(address(6)).is_reserved);
    assert!(!is_told(&used, End::Graceful), "a request is being answered there");
    drop(request);
}

#[test]
fn a_client_that_has_used_up_its_share_gets_room_from_itself() {
    let places = places(4);
    let other = places.take(address(9));
    let mine: Vec<Place> = (0..2).map(|_| places.take(address(1))).collect();
    wait(&places, 1);
    let next = places.take(address(1));
    assert!(!next.is_reserved);
    assert!(mine.iter().any(|place| is_told(place, End::Graceful)));
    assert!(!is_told(&other, End::Graceful));
}

#[test]
fn reserved_places_are_taken_in_turn_and_for_a_short_time() {
    let places = places(1);
    let used = places.take(address(1));
    let _request = used.activity.begin();
    let reserved: Vec<Place> = (0..=RESERVED).map(|_| places.take(address(2))).collect();
    assert!(reserved.iter().all(|place| place.is_reserved));
    assert!(is_told(&reserved[0], End::Now) && !is_told(&reserved[1], End::Now));
    wait(&places, RESERVED_FOR);
    assert!(reserved.iter().all(|place| is_told(place, End::Now)));
}

#[test]
fn idle_http2_connections_end_in_order_and_stuck_ones_in_the_end() {
    let places = places(10);
    let [idle, stuck, silent, kept] = [(); 4].map(|()| places.take([10, 9, 0, 1].into()));
    for place in [&idle, &stuck, &kept] {
        place.activity.received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        drop(place.activity.begin());
    }
    let _part = stuck.activity.begin().part();
    wait(&places, LIMIT - 1);
    drop(kept.activity.begin());
    wait(&places, 1);
    assert!(is_told(&idle, End::Graceful) && !is_told(&idle, End::Now));
    assert!(is_told(&silent, End::Now));
    wait(&places, LAST_REQUESTS - 1);
    assert!(is_told(&idle, End::Now), "a client that does not answer the farewell is not waited for");
    assert!(is_told(&stuck, End::Graceful) && !is_told(&stuck, End::Now), "its other requests are answered");
    wait(&places, 1);
    assert!(is_told(&stuck, End::Now));
    assert!(!is_told(&kept, End::Graceful));
}
