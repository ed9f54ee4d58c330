//! The order of service: ranks, weights, fair shares, ageing, and that nobody is lost.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn class(name: &str, rank: u32, weight: u32, age_after: u64) -> Arc<Class> {
    Arc::new(Class {
        name: Arc::from(name),
        rank,
        weight,
        max_wait: Duration::from_secs(30),
        max_depth: 1000,
        age_after: Duration::from_millis(age_after),
        reserved: 0,
    })
}

struct Bench {
    queue: Queue<u64>,
    turns: HashMap<u64, Turn>,
    next: u64,
}

impl Bench {
    fn new() -> Self {
        Self { queue: Queue::default(), turns: HashMap::new(), next: 0 }
    }

    fn push(&mut self, class: &Arc<Class>, key: &str, cost: u64, now: u64) -> u64 {
        self.next += 1;
        let turn = self.queue.push(self.next, class, &Arc::from(key), cost, now);
        self.turns.insert(self.next, turn);
        self.next
    }

    fn serve(&mut self, now: u64) -> Option<(u64, Turn)> {
        let id = self.queue.first(now, |_| true)?;
        let turn = self.turns.remove(&id).unwrap();
        self.queue.serve(id, &turn);
        Some((id, turn))
    }
}

#[test]
fn ranks_go_first_and_weights_share() {
    let mut bench = Bench::new();
    let (urgent, gold, iron) = (class("urgent", 0, 1, 0), class("gold", 1, 3, 0), class("iron", 1, 1, 0));
    for _ in 0..40 {
        bench.push(&iron, "a", 10, 0);
        bench.push(&gold, "b", 10, 0);
    }
    let first = bench.push(&urgent, "c", 1_000_000, 0);
    assert_eq!(bench.serve(0).unwrap().0, first);
    let gold = (0..40).filter(|_| &*bench.serve(0).unwrap().1.class.name == "gold").count();
    assert_eq!(gold, 30);
}

#[test]
fn keys_share_by_tokens_whatever_their_prompts() {
    let mut bench = Bench::new();
    let class = class("standard", 1, 1, 10);
    for _ in 0..10 {
        bench.push(&class, "large", 10_000, 0);
    }
    for _ in 0..1000 {
        bench.push(&class, "small", 100, 0);
    }
    let mut shares: HashMap<Arc<str>, u64> = HashMap::new();
    // Long after everybody has aged: ageing is between classes and does not undo fairness.
    for _ in 0..505 {
        let (_, turn) = bench.serve(1_000_000).unwrap();
        *shares.entry(turn.key).or_default() += turn.cost;
    }
    let (large, small) = (shares["large"], shares["small"]);
    assert!(large.abs_diff(small) <= 10_000, "{large} {small}");
}

#[test]
fn an_old_class_competes_without_credit_for_the_past() {
    let mut bench = Bench::new();
    let (fast, slow) = (class("interactive", 0, 8, 0), class("batch", 2, 1, 1000));
    for _ in 0..1000 {
        bench.push(&slow, "b", 10, 0);
    }
    for _ in 0..200 {
        bench.push(&fast, "a", 10, 0);
    }
    let batches = |bench: &mut Bench, now, count| {
        (0..count).filter(|_| &*bench.serve(now).unwrap().1.class.name == "batch").count()
    };
    assert_eq!(batches(&mut bench, 1999, 90), 0, "one rank better is not enough");
    assert_eq!(batches(&mut bench, 2000, 90), 11, "as good as interactive, at an eighth of its weight");
}

#[test]
fn who_leaves_gives_its_key_the_cost_back() {
    let mut bench = Bench::new();
    let class = class("standard", 1, 1, 0);
    let ids: Vec<u64> = (0..50).map(|_| bench.push(&class, "quitter", 1000, 0)).collect();
    for id in ids {
        let turn = bench.turns.remove(&id).unwrap();
        bench.queue.leave(id, &turn);
    }
    bench.push(&class, "other", 100, 0);
    let back = bench.push(&class, "quitter", 50, 0);
    assert_eq!(bench.serve(0).unwrap().0, back);
}

proptest! {
    /// Whatever is pushed, set aside, brought back, served and left: each waiter is served once,
    /// and an empty queue remembers nothing of keys.
    #[test]
    fn nobody_is_lost(ops in proptest::collection::vec((0..5u8, 0..3usize, 0..4u8, 1..500u64), 1..200)) {
        let classes = [class("a", 0, 2, 0), class("b", 1, 1, 50), class("c", 1, 3, 20)];
        let mut bench = Bench::new();
        let mut aside: Vec<(u64, Turn)> = Vec::new();
        let (mut pushed, mut ended) = (0, 0);
        for (now, (op, class, key, cost)) in (0u64..).zip(ops) {
            match op {
                0 | 1 => {
                    bench.push(&classes[class], &format!("k{key}"), cost, now);
                    pushed += 1;
                }
                2 => ended += usize::from(bench.serve(now).is_some()),
                3 => if let Some(id) = bench.queue.first(now, |_| true) {
                    let turn = bench.turns.remove(&id).unwrap();
                    bench.queue.set_aside(id, &turn);
                    aside.push((id, turn));
                },
                _ => if let Some((id, turn)) = aside.pop() {
                    if cost % 2 == 0 {
                        bench.queue.leave(id, &turn);
                        ended += 1;
                    } else {
                        bench.queue.ready(id, &turn);
                        bench.turns.insert(id, turn);
                    }
                },
            }
            let depth: u32 = bench.queue.depths().map(|(_, depth)| depth).sum();
            prop_assert_eq!(usize::try_from(depth).unwrap(), pushed - ended);
        }
        for (id, turn) in aside.drain(..) {
            bench.queue.ready(id, &turn);
            bench.turns.insert(id, turn);
        }
        while bench.serve(10_000).is_some() {
            ended += 1;
        }
        prop_assert_eq!(pushed, ended);
        prop_assert!(!bench.queue.has_ready() && bench.queue.lanes.is_empty());
    }
}
