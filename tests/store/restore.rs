//! A replica that dies, and a store that loses its memory: leases come back, budgets do not begin
//! anew.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice::config::RedisMode;
use sluice::state::{Ask, Entry, SharedStore, Store};
use sluice_policies::Demand;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::servers::Server;
use crate::world::{NOTHING, World, config, shared};

/// A replica; dropping its work is its sudden death.
struct Replica {
    store: Arc<SharedStore>,
    work: JoinSet<()>,
}

impl Replica {
    async fn start(server: &Server) -> Self {
        let store = shared(&config(&[server.url()], RedisMode::Single));
        store.connect().await.unwrap();
        let (working, mut work) = (Arc::clone(&store), JoinSet::new());
        work.spawn(async move { working.run(CancellationToken::new()).await });
        Self { store, work }
    }

    async fn granted(&self, ask: &Arc<Ask>) {
        let entry = self.store.enter(ask, Duration::ZERO).await.unwrap();
        assert!(matches!(entry, Entry::Granted(_)), "{entry:?}");
    }

    async fn left(&self, part: &str) -> Option<i64> {
        let levels = self.store.levels().await.unwrap();
        levels.limits.iter().find(|row| row.scope.contains(part)).map(|row| row.view.remaining)
    }
}

#[tokio::test]
async fn a_dead_replicas_slots_and_reservations_come_back_and_a_live_ones_do_not() {
    let server = Server::start(&[]);
    let (mut dead, alive) = (Replica::start(&server).await, Replica::start(&server).await);
    let world = World::new(&["10k tokens/day per key", "4 concurrent per key"], Some(3));
    let demand = Demand { input: 10, output: 990, cost_micros: 0 };
    let ask = || world.ask_in(&world.pool, "a", "standard", demand);
    let (lost, kept) = (ask(), ask());
    dead.store.enter(&lost, Duration::ZERO).await.unwrap();
    dead.granted(&ask()).await;
    alive.granted(&kept).await;
    // Places of the dead replica do not stop the others either.
    let waits = ask();
    assert!(matches!(dead.store.enter(&waits, Duration::from_secs(20)).await.unwrap(), Entry::Queued(_)));
    assert_eq!(alive.store.levels().await.unwrap().leases, 3);
    dead.work.abort_all();
    let next = ask();
    let begun = Instant::now();
    // The dead replica's waiter is granted a slot nobody takes up, which comes back in turn.
    loop {
        match alive.store.enter(&next, Duration::from_secs(20)).await.unwrap() {
            Entry::Granted(_) => break,
            Entry::Queued(place) => drop(tokio::time::timeout(Duration::from_secs(8), place.woken).await),
            Entry::Denied(refusal) => panic!("{refusal:?}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(8));
    }
    // The lease time is 3 s, and a second place's grant may take as long again.
    assert!(begun.elapsed() > Duration::from_secs(2), "{:?}", begun.elapsed());
    while alive.store.levels().await.unwrap().leases != 2 {
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", alive.store.levels().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Two open reservations, and the prompts that the dead replica had sent.
    let sunk = 10_000 - alive.left("tokens/day").await.unwrap() - 2000;
    assert!([20, 30].contains(&sunk), "{sunk}");
    alive.store.settle(kept.lease, NOTHING).await.unwrap();
    assert_eq!(alive.left("concurrent").await, Some(3));
}

/// A replica that could not renew in time, but lives: its lease is opened again, and settles with
/// what was used.
#[tokio::test]
async fn a_lease_that_expired_under_a_live_replica_settles_exactly() {
    let server = Server::start(&[]);
    let (mut silent, alive) = (Replica::start(&server).await, Replica::start(&server).await);
    let world = World::new(&["10k tokens/day per key"], None);
    let ask = world.ask_in(&world.pool, "a", "standard", Demand { input: 10, output: 990, cost_micros: 0 });
    silent.granted(&ask).await;
    silent.work.abort_all();
    let begun = Instant::now();
    while alive.left("tokens/day").await != Some(9_990) {
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", alive.store.levels().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    silent.store.settle(ask.lease, Demand { input: 10, output: 500, cost_micros: 0 }).await.unwrap();
    assert_eq!(alive.left("tokens/day").await, Some(9_490));
    silent.store.settle(ask.lease, Demand { input: 10, output: 500, cost_micros: 0 }).await.unwrap();
    assert_eq!(alive.left("tokens/day").await, Some(9_490), "once");
}

#[tokio::test]
async fn a_flushed_store_is_restored_from_what_replicas_know() {
    let server = Server::start(&[]);
    let (one, two) = (Replica::start(&server).await, Replica::start(&server).await);
    let world = World::new(&["10k tokens/day per key", "1M tokens/month", "5 concurrent per key"], Some(4));
    let (spent, open) = (world.ask("a", "standard", 700), world.ask("a", "standard", 300));
    one.granted(&spent).await;
    one.store.settle(spent.lease, Demand { input: 600, ..NOTHING }).await.unwrap();
    one.granted(&open).await;
    let other = world.ask("b", "standard", 50);
    two.granted(&other).await;
    // What is known of a bucket in use is a second old at most.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(server.cli(&["flushall"]), "OK");
    // Whoever asks first notices, and brings back what it knows; the other does when it asks.
    let begun = Instant::now();
    loop {
        let levels = one.store.levels().await.unwrap();
        if levels.leases == 2 && levels.replicas == 2 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(8), "{levels:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(one.left("day per key|key=a").await, Some(10_000 - 600 - 300));
    assert_eq!(one.left("month").await, Some(1_000_000 - 600 - 300 - 50));
    assert_eq!(one.left("concurrent per key|key=b").await, Some(4));
    one.store.settle(open.lease, Demand { input: 100, ..NOTHING }).await.unwrap();
    two.store.settle(other.lease, Demand { input: 50, ..NOTHING }).await.unwrap();
    assert_eq!(one.left("day per key|key=a").await, Some(10_000 - 700));
    let levels = two.store.levels().await.unwrap();
    assert_eq!((levels.leases, levels.pools.len()), (0, 0), "{levels:?}");
}

/// Leases of an outage become the store's when it is back: their slots stay taken meanwhile.
#[tokio::test]
async fn leases_that_are_handed_over_let_nobody_in() {
    let server = Server::start(&[]);
    let replica = Replica::start(&server).await;
    let world = World::new(&[], Some(4));
    server.signal("STOP");
    let asks: Vec<_> = (0..12).map(|_| world.ask("a", "standard", 1)).collect();
    let (open, waiting) = asks.split_at(4);
    for ask in open {
        replica.granted(ask).await;
    }
    let long = Duration::from_secs(20);
    let mut places = Vec::new();
    for ask in waiting {
        let Entry::Queued(place) = replica.store.enter(ask, long).await.unwrap() else { panic!("not queued") };
        places.push(place);
    }
    server.signal("CONT");
    // They are woken, to wait where all replicas do.
    for (ask, mut place) in waiting.iter().zip(places) {
        loop {
            tokio::time::timeout(Duration::from_secs(8), place.woken).await.expect("nobody woke the waiter").ok();
            let Entry::Queued(next) = replica.store.enter(ask, long).await.unwrap() else { panic!("let in") };
            place = next;
            if replica.store.is_up() {
                break;
            }
        }
    }
    let begun = Instant::now();
    while replica.store.levels().await.unwrap().leases != 4 {
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", replica.store.levels().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let pool = replica.store.levels().await.unwrap().pools.remove(0);
    assert_eq!((pool.in_use, pool.waiting, replica.store.open_leases()), (4, vec![("standard".to_owned(), 8)], 4));
    for ask in open {
        replica.store.settle(ask.lease, NOTHING).await.unwrap();
    }
    for ask in &waiting[..4] {
        let granted = matches!(replica.store.enter(ask, long).await.unwrap(), Entry::Granted(_));
        assert!(granted, "four slots are free again");
    }
}
