//! Who gets a place, who waits, and who is sent away.

use futures_util::poll;
use std::{pin::pin, task::Poll};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::*;

fn organization(n: u128) -> OrganizationId {
    OrganizationId::from_uuid(Uuid::from_u128(n))
}

fn places() -> Places {
    Places::new(Limits { all: 3, of_one: 2, waiting: 3, waiting_of_one: 2 })
}

async fn taken(places: &Places, n: u128) -> Place {
    places.enter(organization(n), PATIENCE).await.expect("a place")
}

#[tokio::test(start_paused = true)]
async fn an_organization_has_a_share_and_waits_for_its_own_places() {
    let places = places();
    let (one, _two) = (taken(&places, 1).await, taken(&places, 1).await);
    let mut third = pin!(places.enter(organization(1), PATIENCE));
    let mut fourth = pin!(places.enter(organization(1), PATIENCE));
    assert!(poll!(third.as_mut()).is_pending() && poll!(fourth.as_mut()).is_pending(), "they wait");
    assert_eq!(places.enter(organization(1), PATIENCE).await.err(), Some(Taken::Organization), "the queue is full");
    let _other = taken(&places, 2).await;
    drop(one);
    let Poll::Ready(Ok(_third)) = poll!(third.as_mut()) else { panic!("in turn") };
    assert_eq!(fourth.await.err(), Some(Taken::Organization), "not for ever");
}

#[tokio::test(start_paused = true)]
async fn where_all_places_are_taken_everybody_waits_in_turn_but_not_for_ever() {
    let places = places();
    let (one, _two, _other) = (taken(&places, 1).await, taken(&places, 1).await, taken(&places, 2).await);
    let mut first = pin!(places.enter(organization(3), PATIENCE));
    let mut second = pin!(places.enter(organization(4), PATIENCE));
    let mut third = pin!(places.enter(organization(5), PATIENCE));
    assert!(poll!(first.as_mut()).is_pending() && poll!(second.as_mut()).is_pending());
    assert!(poll!(third.as_mut()).is_pending());
    assert_eq!(places.enter(organization(6), PATIENCE).await.err(), Some(Taken::Service), "the queue is full");
    drop(one);
    assert!(poll!(second.as_mut()).is_pending(), "the first is first");
    let place = first.await.expect("a place");
    assert_eq!(place.organization(), organization(3));
    assert_eq!(second.await.err(), Some(Taken::Service), "not for ever");
    assert_eq!(third.await.err(), Some(Taken::Service), "nor is this one");
    drop(place);
}

#[tokio::test(start_paused = true)]
async fn nobody_who_has_gone_is_remembered() {
    let places = places();
    for n in 0..100 {
        let (one, two) = (taken(&places, n).await, taken(&places, n).await);
        let mut waiting = Box::pin(places.enter(organization(n), PATIENCE));
        assert!(poll!(waiting.as_mut()).is_pending());
        assert_eq!(lock(&places.users).count, 3);
        drop(waiting);
        drop((one, two));
    }
    assert!(lock(&places.users).by_organization.is_empty());
    assert_eq!((lock(&places.users).count, places.all.available_permits()), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn a_read_keeps_its_place_when_its_client_has_gone() {
    let lists = Lists::new(2, PATIENCE);
    let (end, ended) = oneshot::channel::<()>();
    let read = async {
        let _ = ended.await;
        Ok::<_, Failure>(())
    };
    let mut asked = Box::pin(lists.read(organization(1), read));
    assert!(poll!(asked.as_mut()).is_pending());
    drop(asked);
    let mut next = pin!(lists.hold(organization(1)));
    assert!(poll!(next.as_mut()).is_pending(), "the statement is still running");
    end.send(()).expect("it runs");
    assert!(next.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_read_that_takes_too_long_gives_its_place_back() {
    let lists = Lists::new(2, PATIENCE);
    let endless = std::future::pending::<Result<(), Failure>>();
    assert!(matches!(lists.read(organization(1), endless).await, Err(Failure::Timeout)));
    assert!(lists.hold(organization(1)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn streams_do_not_wait() {
    let lists = Lists::new(10, PATIENCE);
    let mut open = Vec::new();
    for _ in 0..STREAMS_OF_ONE {
        open.push(lists.open_stream(organization(1)).await.expect("a stream"));
    }
    let refused = lists.open_stream(organization(1)).await.err();
    assert!(matches!(refused, Some(Failure::TooManyLists(Taken::Organization))));
    for n in STREAMS_OF_ONE..STREAMS {
        open.push(lists.open_stream(organization(n as u128)).await.expect("a stream"));
    }
    let refused = lists.open_stream(organization(1_000)).await.err();
    assert!(matches!(refused, Some(Failure::TooManyLists(Taken::Service))));
    open.pop();
    assert!(lists.open_stream(organization(1_000)).await.is_ok());
}
