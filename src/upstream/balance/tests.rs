//! Each way of picking, on targets made up.

use super::*;

fn group(count: usize) -> Vec<Candidate> {
    (0..count)
        .map(|index| Candidate { index, weight: 1, salt: number(&format!("target {index}")), ..Candidate::default() })
        .collect()
}

fn share(balance: Balance, all: &[Candidate], need: impl Fn(u64) -> Need) -> Vec<u32> {
    let mut counts = vec![0; all.len()];
    (0..10_000).for_each(|turn| counts[pick(balance, all, &need(turn)).0] += 1);
    counts
}

fn some(turn: u64) -> Need {
    Need { tokens: 100, turn, ..Need::default() }
}

#[test]
fn two_choices_avoid_the_slow_and_the_loaded_and_try_the_unknown() {
    let mut all = group(4);
    for one in &mut all {
        one.latency = Some(0.1);
    }
    all[3].latency = Some(0.5);
    let counts = share(Balance::P2c, &all, some);
    assert_eq!(counts[3], 0, "no pair prefers the slow one");
    all[3].latency = Some(0.1);
    all[2].tokens = 1000;
    assert_eq!(share(Balance::P2c, &all, some)[2], 0);
    all[2].tokens = 0;
    all[0].latency = None;
    assert!(share(Balance::P2c, &all, some)[0] > 1000, "what is not known is tried");
}

#[test]
fn weights_are_shares() {
    let mut all = group(2);
    all[0].weight = 3;
    for (balance, expected) in [(Balance::RoundRobin, 7495..=7505), (Balance::P2c, 5000..=10_000)] {
        let counts = share(balance, &all, some);
        assert!(expected.contains(&counts[0]), "{balance:?}: {counts:?}");
    }
    let order: Vec<usize> = (0..8).map(|turn| pick(Balance::RoundRobin, &all, &some(turn)).0).collect();
    assert!(!order.windows(5).any(|five| five.iter().all(|at| *at == 0)), "spread: {order:?}");
    let sessions = share(Balance::Affinity, &all, |turn| Need { session: Some(mix(turn)), ..Need::default() });
    assert!((7200..7800).contains(&sessions[0]), "{sessions:?}");
    all[0].in_flight = 2;
    all[1].in_flight = 1;
    assert_eq!(pick(Balance::LeastInflight, &all, &some(0)).0, 0, "two of three is less than one of one");
}

#[test]
fn equal_targets_take_turns() {
    let order: Vec<usize> = (0..6).map(|turn| pick(Balance::RoundRobin, &group(3), &some(turn)).0).collect();
    assert_eq!(order, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn a_session_moves_only_if_its_target_goes() {
    let all = group(5);
    let need = |session| Need { session: Some(mix(session)), ..Need::default() };
    for session in 0..1000 {
        let at = pick(Balance::Affinity, &all, &need(session)).0;
        let mut fewer = all.clone();
        let gone = fewer.remove(2);
        let then = pick(Balance::Affinity, &fewer, &need(session)).0;
        assert!(at == gone.index || fewer[then].index == at);
    }
    assert_eq!(pick(Balance::Affinity, &all, &some(0)).1, Why::Balance(Balance::P2c), "nothing names the session");
}

#[test]
fn the_cheapest_is_used_and_what_has_no_price_is_last() {
    let mut all = group(3);
    (all[0].price, all[1].price) = (Some(30), Some(20));
    assert_eq!(share(Balance::Cheapest, &all, some), [0, 10_000, 0]);
}

#[test]
fn a_prompt_goes_where_it_was_until_that_is_too_much() {
    let mut all = group(3);
    (all[1].seen, all[2].seen) = (8, 3);
    let need = Need { tokens: 300, blocks: 10, ..Need::default() };
    assert_eq!(pick(Balance::Prefix, &all, &need), (1, Why::Prefix(8, 10)));
    // 400 of 700 tokens are more than its share and a quarter.
    all[1].tokens = 400;
    assert_eq!(pick(Balance::Prefix, &all, &need).1, Why::Balance(Balance::Prefix), "three of ten are not worth it");
    all[2].seen = 6;
    assert_eq!(pick(Balance::Prefix, &all, &need), (2, Why::Prefix(6, 10)));
    let fresh = Need { tokens: 300, blocks: 100, ..Need::default() };
    (all[0].recent, all[1].tokens, all[2].recent) = (500.0, 0, 600.0);
    assert_eq!(pick(Balance::Prefix, &all, &fresh).0, 1, "what is new goes where the least was sent");
}

#[test]
fn the_zone_is_left_only_under_load() {
    let mut all = group(4);
    for one in &mut all {
        one.latency = Some(0.1);
    }
    (all[0].local, all[1].local) = (true, true);
    assert!(share(Balance::Locality, &all, some)[2..].iter().all(|count| *count == 0));
    for one in &mut all[..2] {
        (one.tokens, one.in_flight) = (1000, 10);
    }
    assert_eq!(pick(Balance::Locality, &all, &some(0)).1, Why::Spill);
    for one in &mut all {
        one.local = false;
    }
    assert_eq!(pick(Balance::Locality, &all, &some(0)).1, Why::Balance(Balance::P2c));
}
