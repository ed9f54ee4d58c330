//! What every engine must do: each test runs on memory, on one Redis and on a Redis Cluster.

use std::time::Duration;

use sluice::state::Entry;
use sluice_policies::Pool;

use crate::world::{Rig, World, limit_of};

const LONG: Duration = Duration::from_secs(20);

macro_rules! on_every_engine {
    ($($name:ident),* $(,)?) => {
        mod memory { $(#[tokio::test] async fn $name() { super::$name(crate::world::Rig::memory()).await })* }
        mod redis { $(#[tokio::test] async fn $name() { super::$name(crate::world::Rig::redis().await).await })* }
        mod cluster {
            /// One cluster for all: starting it takes longer than the tests.
            #[tokio::test]
            async fn all_of_them() {
                let cluster = crate::servers::Cluster::start();
                $({
                    let rig = crate::world::Rig::on_cluster(&cluster).await;
                    super::$name(rig).await;
                    crate::world::flush(&cluster);
                })*
            }
        }
    };
}

on_every_engine!(
    all_limits_or_none,
    settling_twice_or_an_unknown_lease_does_nothing,
    asking_twice_is_granted_once,
    the_promised_moment_is_true,
    a_free_slot_goes_to_the_next_in_line,
    better_classes_go_first_and_keys_share,
    equal_turns_are_counted_in_their_order,
    a_waiter_that_does_not_fit_does_not_block_the_next,
    a_bucket_is_kept_for_the_better_class,
    time_lets_waiters_in,
    a_waiter_that_leaves_frees_its_place,
    hopeless_waits_are_refused_at_once,
    reserved_slots_are_kept,
    the_rate_of_a_pool_is_taken_in_line,
    a_pool_that_is_held_lets_nobody_in,
    observing_limits_let_pass_and_spend_only_what_fits,
    concurrency_wakes_across_pools,
    levels_show_what_is_in_use,
);

async fn all_limits_or_none(rig: Rig) {
    let world = World::new(&["1k tokens/day per key", "100 input tokens/day per key"], None);
    let refusal = rig.denied(&world.ask("a", "standard", 101), Duration::ZERO).await;
    assert!(limit_of(&refusal).contains("input") && refusal.retry_after.is_none(), "{refusal:?}");
    assert!(refusal.seen.iter().all(|seen| seen.view.remaining == i64::try_from(seen.view.amount).unwrap()));
    assert_eq!((rig.store.open_leases(), rig.left("key=a").await), (0, None));
}

async fn settling_twice_or_an_unknown_lease_does_nothing(rig: Rig) {
    let world = World::new(&["1k tokens/day per key"], None);
    let (ask, other) = (world.ask("a", "standard", 100), world.ask("a", "standard", 500));
    rig.granted(&ask).await;
    for _ in 0..3 {
        rig.settle(&ask, 15).await;
        rig.settle(&other, 500).await;
    }
    assert_eq!(rig.left("key=a").await, Some(985));
}

async fn asking_twice_is_granted_once(rig: Rig) {
    let world = World::new(&["1k tokens/day per key", "5 concurrent per key"], Some(2));
    let ask = world.ask("a", "standard", 100);
    for _ in 0..3 {
        let grant = rig.granted(&ask).await;
        assert_eq!(grant.seen[0].view.remaining, 900);
    }
    assert_eq!(rig.store.open_leases(), 1);
    rig.granted(&world.ask("a", "standard", 100)).await;
    rig.denied(&world.ask("a", "standard", 100), Duration::ZERO).await;
}

async fn the_promised_moment_is_true(rig: Rig) {
    let world = World::new(&["200 tokens/s per key", "1k tokens/day per tenant"], None);
    rig.granted(&world.ask("a", "standard", 150)).await;
    let next = world.ask("a", "standard", 200);
    let refusal = rig.denied(&next, Duration::ZERO).await;
    assert!(limit_of(&refusal).contains("tokens/s"));
    let wait = refusal.retry_after.unwrap();
    assert!(wait <= Duration::from_millis(750) && wait > Duration::from_millis(400), "{wait:?}");
    tokio::time::sleep(wait.saturating_sub(Duration::from_millis(100))).await;
    rig.denied(&next, Duration::ZERO).await;
    tokio::time::sleep(Duration::from_millis(101)).await;
    rig.granted(&next).await;
}

async fn a_free_slot_goes_to_the_next_in_line(rig: Rig) {
    let world = World::new(&["1k tokens/day per key"], Some(1));
    let asks: Vec<_> = (0..4).map(|_| world.ask("a", "standard", 10)).collect();
    rig.granted(&asks[0]).await;
    let mut places = Vec::new();
    for (ahead, ask) in (0..).zip(&asks[1..]) {
        let place = rig.queued(ask).await;
        assert_eq!(place.ahead, ahead);
        places.push(place);
    }
    assert_eq!(rig.left("key=a").await, Some(990), "who waits has reserved nothing");
    for (before, (ask, place)) in asks.iter().zip(asks[1..].iter().zip(places)) {
        rig.settle(before, 10).await;
        rig.woken(ask, place).await;
    }
    assert_eq!(rig.store.open_leases(), 1);
}

/// Two keys with the same cost have the same virtual finish time: who came first is ahead.
async fn equal_turns_are_counted_in_their_order(rig: Rig) {
    let world = World::new(&[], Some(1));
    let (first, one, two) =
        (world.ask("x", "standard", 1), world.ask("a", "standard", 10), world.ask("b", "standard", 10));
    rig.granted(&first).await;
    assert_eq!(rig.queued(&one).await.ahead, 0);
    assert_eq!(rig.queued(&two).await.ahead, 1);
    assert_eq!(rig.queued(&one).await.ahead, 0);
}

/// Serves one slot and says in which order.
async fn order(rig: &Rig, first: &sluice::state::Ask, waiting: &[std::sync::Arc<sluice::state::Ask>]) -> Vec<usize> {
    let mut places = Vec::new();
    for ask in waiting {
        places.push(Some(rig.queued(ask).await));
    }
    rig.settle(first, 1).await;
    let mut order = Vec::new();
    while order.len() < waiting.len() {
        let begun = std::time::Instant::now();
        let next = loop {
            let woken =
                places.iter_mut().position(|place| place.as_mut().is_some_and(|place| place.woken.try_recv().is_ok()));
            if let Some(next) = woken {
                break next;
            }
            assert!(begun.elapsed() < Duration::from_secs(5), "nobody was woken after {order:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        places[next] = None;
        if let Entry::Queued(place) = rig.enter(&waiting[next], LONG).await {
            // Woken for nothing, which is allowed.
            places[next] = Some(place);
            continue;
        }
        order.push(next);
        rig.settle(&waiting[next], 1).await;
    }
    order
}

async fn better_classes_go_first_and_keys_share(rig: Rig) {
    let world = World::new(&[], Some(1));
    let first = world.ask("x", "standard", 1);
    rig.granted(&first).await;
    let waiting = [
        world.ask("b", "batch", 10),
        world.ask("large", "standard", 300),
        world.ask("large", "standard", 300),
        world.ask("small", "standard", 100),
        world.ask("small", "standard", 100),
        world.ask("small", "standard", 100),
        world.ask("small", "standard", 100),
        world.ask("i", "interactive", 1_000_000),
    ];
    // Virtual finish times: large 300 and 600, small 100, 200, 300 and 400. Ties: who came first.
    let order = order(&rig, &first, &waiting).await;
    assert_eq!(order, [7, 3, 4, 1, 5, 6, 2, 0]);
}

async fn a_waiter_that_does_not_fit_does_not_block_the_next(rig: Rig) {
    let world = World::new(&["1k tokens/hour per key"], Some(1));
    let first = world.ask("a", "standard", 500);
    rig.granted(&first).await;
    // It needs 900 of what is 500 now and for long.
    let large = world.ask("a", "standard", 900);
    assert!(matches!(rig.enter(&large, Duration::from_hours(2)).await, Entry::Queued(_)));
    let (other, small) = (world.ask("b", "standard", 900), world.ask("a", "standard", 100));
    let (other_place, small_place) = (rig.queued(&other).await, rig.queued(&small).await);
    rig.settle(&first, 500).await;
    // In the order of their virtual finish times; neither waits for the large one.
    rig.woken(&other, other_place).await;
    rig.settle(&other, 900).await;
    rig.woken(&small, small_place).await;
    rig.settle(&small, 100).await;
    assert_eq!(rig.left("key=a").await, Some(400));
}

async fn a_bucket_is_kept_for_the_better_class(rig: Rig) {
    let world = World::new(&["10k tokens/s per tenant burst 1k"], Some(10));
    rig.granted(&world.ask("a", "batch", 1000)).await;
    let large = world.ask("a", "interactive", 1000);
    let place = rig.queued(&large).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    // 300 tokens have refilled, but they are the interactive request's.
    let small = world.ask("b", "batch", 10);
    let small_place = rig.queued(&small).await;
    rig.woken(&large, place).await;
    rig.woken(&small, small_place).await;
}

async fn time_lets_waiters_in(rig: Rig) {
    let world = World::new(&["1k tokens/s per key"], None);
    rig.granted(&world.ask("a", "standard", 1000)).await;
    let begun = std::time::Instant::now();
    let waiting: Vec<_> = (0..5).map(|_| world.ask("a", "standard", 100)).collect();
    let mut places = Vec::new();
    for ask in &waiting {
        places.push(rig.queued(ask).await);
    }
    for (ask, place) in waiting.iter().zip(places) {
        rig.woken(ask, place).await;
    }
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(400) && took < Duration::from_millis(1500), "{took:?}");
}

async fn a_waiter_that_leaves_frees_its_place(rig: Rig) {
    let text = "classes:\n  standard: { rank: 1, max_depth: 2 }\n";
    let world = World::with(&["1k tokens/day per key"], text, Pool::new("m", Some(1), None, Vec::new()));
    let first = world.ask("a", "standard", 10);
    rig.granted(&first).await;
    let (gone, next) = (world.ask("a", "standard", 10), world.ask("a", "standard", 10));
    let _place = rig.queued(&gone).await;
    let place = rig.queued(&next).await;
    let full = rig.denied(&world.ask("a", "standard", 10), LONG).await;
    assert_eq!(limit_of(&full), "full");
    rig.settle(&gone, 0).await;
    let _third = rig.queued(&world.ask("a", "standard", 10)).await;
    rig.settle(&first, 10).await;
    rig.woken(&next, place).await;
    // A wait of zero gives up a place too.
    let last = world.ask("b", "standard", 10);
    let _last = rig.queued(&last).await;
    assert_eq!(limit_of(&rig.denied(&last, Duration::ZERO).await), "busy");
}

async fn hopeless_waits_are_refused_at_once(rig: Rig) {
    let world = World::new(&["60 tokens/min per key", "1k tokens/day per tenant"], None);
    rig.granted(&world.ask("a", "standard", 60)).await;
    let refusal = rig.denied(&world.ask("a", "standard", 30), Duration::from_secs(25)).await;
    assert!(refusal.retry_after.unwrap() > Duration::from_secs(25));
    rig.denied(&world.ask("b", "standard", 61), LONG).await;
    let _place = rig.queued(&world.ask("a", "standard", 10)).await;
}

async fn reserved_slots_are_kept(rig: Rig) {
    let reserved = vec![(std::sync::Arc::from("interactive"), 1)];
    let world = World::with(&[], "", Pool::new("m", Some(2), None, reserved));
    let batch = world.ask("a", "batch", 1);
    rig.granted(&batch).await;
    let waiting = world.ask("a", "batch", 1);
    let place = rig.queued(&waiting).await;
    let urgent = world.ask("b", "interactive", 1);
    rig.granted(&urgent).await;
    rig.settle(&batch, 1).await;
    rig.woken(&waiting, place).await;
}

async fn the_rate_of_a_pool_is_taken_in_line(rig: Rig) {
    // 100 tokens a second, and 6,000 saved up.
    let world = World::with(&[], "", Pool::new("m", None, Some(6000), Vec::new()));
    rig.granted(&world.ask("a", "standard", 6000)).await;
    let large = world.ask("a", "standard", 30);
    let place = rig.queued(&large).await;
    // It would fit sooner, but it is not its turn.
    let small = world.ask("a", "standard", 10);
    let small_place = rig.queued(&small).await;
    let urgent = world.ask("b", "interactive", 10);
    let urgent_place = rig.queued(&urgent).await;
    let begun = std::time::Instant::now();
    rig.woken(&urgent, urgent_place).await;
    rig.woken(&large, place).await;
    rig.woken(&small, small_place).await;
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(400) && took < Duration::from_secs(2), "{took:?}");
    let refusal = rig.denied(&world.ask("a", "standard", 6001), LONG).await;
    assert_eq!((limit_of(&refusal), refusal.retry_after), ("busy", None));
}

async fn a_pool_that_is_held_lets_nobody_in(rig: Rig) {
    let world = World::new(&[], Some(4));
    rig.granted(&world.ask("a", "standard", 1)).await;
    rig.store.hold(&world.pool, Duration::from_millis(400)).await.unwrap();
    let refusal = rig.denied(&world.ask("a", "standard", 1), Duration::from_millis(50)).await;
    assert_eq!(limit_of(&refusal), "held");
    assert!(refusal.retry_after.unwrap() > Duration::from_millis(200), "{refusal:?}");
    let waiting = world.ask("a", "standard", 1);
    let place = rig.queued(&waiting).await;
    rig.woken(&waiting, place).await;
}

async fn observing_limits_let_pass_and_spend_only_what_fits(rig: Rig) {
    let world = World::new(&["100 tokens/day per key observe", "1k tokens/day per tenant"], None);
    let first = world.ask("a", "standard", 80);
    assert!(rig.granted(&first).await.observed.is_empty());
    let second = world.ask("a", "standard", 80);
    assert_eq!(rig.granted(&second).await.observed.len(), 1);
    rig.settle(&first, 70).await;
    rig.settle(&second, 70).await;
    assert_eq!(rig.left("key=a").await, Some(30));
    assert_eq!(rig.left("1k tokens").await, Some(860));
}

async fn concurrency_wakes_across_pools(rig: Rig) {
    let world = World::new(&["1 concurrent per key"], Some(8));
    let other = std::sync::Arc::new(Pool::new("other", Some(8), None, Vec::new()));
    let first = world.ask("a", "standard", 1);
    rig.granted(&first).await;
    let demand = sluice_policies::Demand { input: 1, output: 1, cost_micros: 0 };
    let waiting = world.ask_in(&other, "a", "standard", demand);
    let place = rig.queued(&waiting).await;
    let begun = std::time::Instant::now();
    rig.settle(&first, 1).await;
    rig.woken(&waiting, place).await;
    assert!(begun.elapsed() < Duration::from_millis(500), "woken by the settlement, not by time");
}

async fn levels_show_what_is_in_use(rig: Rig) {
    let world = World::new(&["1k tokens/day per key"], Some(1));
    let ask = world.ask("a", "standard", 10);
    rig.granted(&ask).await;
    let _place = rig.queued(&world.ask("a", "batch", 10)).await;
    let levels = rig.store.levels().await.unwrap();
    let pool = &levels.pools[0];
    assert_eq!((pool.name.as_str(), pool.slots, pool.in_use), ("m", Some(1), 1));
    assert_eq!(pool.waiting, [("batch".to_owned(), 1)]);
    assert_eq!((levels.leases, levels.replicas, levels.limits.len()), (1, 1, 1));
    assert_eq!(levels.limits[0].view.remaining, 990);
}
