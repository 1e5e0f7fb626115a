//! Tests which lists get a slot, which wait, and which are denied.

use futures_util::poll;
use std::{pin::pin, task::Poll};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::*;

fn organization(n: u128) -> OrganizationId {
    OrganizationId::from_uuid(Uuid::from_u128(n))
}

fn slots() -> SlotPool {
    SlotPool::new(ListLimits { all: 3, per_organization: 2, waiting: 3, waiting_per_organization: 2 })
}

async fn acquired(slots: &SlotPool, n: u128) -> Slot {
    slots.acquire(organization(n), MAX_WAIT).await.expect("a slot")
}

#[tokio::test(start_paused = true)]
async fn an_organization_waits_for_its_own_list_slots() {
    let slots = slots();
    let (one, _two) = (acquired(&slots, 1).await, acquired(&slots, 1).await);
    let mut third = pin!(slots.acquire(organization(1), MAX_WAIT));
    let mut fourth = pin!(slots.acquire(organization(1), MAX_WAIT));
    assert!(poll!(third.as_mut()).is_pending() && poll!(fourth.as_mut()).is_pending(), "both wait");
    assert_eq!(
        slots.acquire(organization(1), MAX_WAIT).await.err(),
        Some(ExhaustedSlots::Organization),
        "the queue is full"
    );
    let _other = acquired(&slots, 2).await;
    drop(one);
    let Poll::Ready(Ok(_third)) = poll!(third.as_mut()) else { panic!("slots are assigned in order") };
    assert_eq!(fourth.await.err(), Some(ExhaustedSlots::Organization), "the wait is limited");
}

#[tokio::test(start_paused = true)]
async fn without_free_list_slots_organizations_wait_in_turn_with_a_limit() {
    let slots = slots();
    let (one, _two, _other) = (acquired(&slots, 1).await, acquired(&slots, 1).await, acquired(&slots, 2).await);
    let mut first = pin!(slots.acquire(organization(3), MAX_WAIT));
    let mut second = pin!(slots.acquire(organization(4), MAX_WAIT));
    let mut third = pin!(slots.acquire(organization(5), MAX_WAIT));
    assert!(poll!(first.as_mut()).is_pending() && poll!(second.as_mut()).is_pending());
    assert!(poll!(third.as_mut()).is_pending());
    assert_eq!(
        slots.acquire(organization(6), MAX_WAIT).await.err(),
        Some(ExhaustedSlots::Service),
        "the queue is full"
    );
    drop(one);
    assert!(poll!(second.as_mut()).is_pending(), "slots are assigned in order");
    let slot = first.await.expect("a slot");
    assert_eq!(slot.organization(), organization(3));
    assert_eq!(second.await.err(), Some(ExhaustedSlots::Service), "the wait is limited");
    assert_eq!(third.await.err(), Some(ExhaustedSlots::Service), "the wait is limited");
    drop(slot);
}

#[tokio::test(start_paused = true)]
async fn cancelled_waiters_leave_no_entry_in_list_slots() {
    let slots = slots();
    for n in 0..100 {
        let (one, two) = (acquired(&slots, n).await, acquired(&slots, n).await);
        let mut waiting = Box::pin(slots.acquire(organization(n), MAX_WAIT));
        assert!(poll!(waiting.as_mut()).is_pending());
        assert_eq!(lock(&slots.usage).count, 3);
        drop(waiting);
        drop((one, two));
    }
    assert!(lock(&slots.usage).by_organization.is_empty());
    assert_eq!((lock(&slots.usage).count, slots.all.available_permits()), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn a_read_keeps_its_list_slot_when_the_client_disconnects() {
    let lists = ListSlots::new(2, MAX_WAIT);
    let (end, ended) = oneshot::channel::<()>();
    let read = async {
        let _ = ended.await;
        Ok::<_, ApiError>(())
    };
    let mut asked = Box::pin(lists.read(organization(1), read));
    assert!(poll!(asked.as_mut()).is_pending());
    drop(asked);
    let mut next = pin!(lists.acquire(organization(1)));
    assert!(poll!(next.as_mut()).is_pending(), "the statement is still running");
    end.send(()).expect("it runs");
    assert!(next.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_read_past_its_time_limit_releases_its_list_slot() {
    let lists = ListSlots::new(2, MAX_WAIT);
    let endless = std::future::pending::<Result<(), ApiError>>();
    assert!(matches!(lists.read(organization(1), endless).await, Err(ApiError::Timeout)));
    assert!(lists.acquire(organization(1)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn streams_do_not_wait_for_a_slot() {
    let lists = ListSlots::new(10, MAX_WAIT);
    let mut open = Vec::new();
    for _ in 0..MAX_STREAMS_PER_ORGANIZATION {
        open.push(lists.open_stream(organization(1)).await.expect("a stream"));
    }
    let refused = lists.open_stream(organization(1)).await.err();
    assert!(matches!(refused, Some(ApiError::TooManyLists(ExhaustedSlots::Organization))));
    for n in MAX_STREAMS_PER_ORGANIZATION..MAX_STREAMS {
        open.push(lists.open_stream(organization(n as u128)).await.expect("a stream"));
    }
    let refused = lists.open_stream(organization(1_000)).await.err();
    assert!(matches!(refused, Some(ApiError::TooManyLists(ExhaustedSlots::Service))));
    open.pop();
    assert!(lists.open_stream(organization(1_000)).await.is_ok());
}
