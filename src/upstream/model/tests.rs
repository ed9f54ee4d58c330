//! Which target is next: priorities, ejections, probation, circuits, operators.

use std::path::Path;
use std::time::Duration;

use sluice_policies::PolicyFile;

use super::*;
use crate::config;
use crate::telemetry::RouteMetrics;
use crate::upstream::{Override, Targets};

fn model(targets: &str) -> Arc<ModelState> {
    let key = "1".repeat(64);
    let policy = PolicyFile {
        name: "policy.yaml".to_owned(),
        text: format!("tenant: t\nkeys:\n  - {{ name: k, key: \"sha256:{key}\" }}\n"),
    };
    let text = format!(
        "providers:\n  a: {{ kind: openai, base_url: http://a/v1 }}\n  b: {{ kind: openai, base_url: http://b/v1 }}\n  \
         c: {{ kind: openai, base_url: http://c/v1 }}\nmodels:\n  m: {targets}\n"
    );
    let config = config::from_str("sluice.yaml", &text, Path::new("."), &[policy], 1);
    let config = config.unwrap_or_else(|errors| panic!("{errors}"));
    Targets::new(RouteMetrics::default()).model(&config.models["m"])
}

fn asked() -> Asked {
    Asked { input: 10, output: 10, stream: true, able: u64::MAX, ..Asked::default() }
}

/// The target that is picked, and why; the request goes on.
fn go(model: &Arc<ModelState>, tried: u64, now: Instant) -> Option<(Serving, Why)> {
    match model.pick(&asked(), tried, now) {
        Picked::Go(serving, why) => Some((serving, why)),
        Picked::Full(..) | Picked::Nothing => None,
    }
}

fn index(model: &Arc<ModelState>, tried: u64, now: Instant) -> Option<usize> {
    go(model, tried, now).map(|(serving, _)| serving.index)
}

fn eject(model: &Arc<ModelState>, target: usize, now: Instant) {
    for _ in 0..5 {
        let (serving, _) = go(model, !bit(target), now).unwrap();
        assert_eq!(serving.index, target);
        serving.fault(now, "test");
    }
    assert!(matches!(model.targets[target].standing(now), Standing::Ejected(_)));
}

#[test]
fn a_list_is_an_order_and_what_failed_is_not_tried_again() {
    let (model, now) = (model("[a/x, b/x, c/x]"), Instant::now());
    assert_eq!(index(&model, 0, now), Some(0));
    assert_eq!(index(&model, bit(0), now), Some(1));
    assert_eq!(index(&model, bit(0) | bit(1), now), Some(2));
    assert!(matches!(model.pick(&asked(), 7, now), Picked::Nothing));
    let only_second = Asked { able: bit(1), ..asked() };
    assert!(matches!(model.pick(&only_second, 0, now), Picked::Go(serving, _) if serving.index == 1));
}

#[test]
fn an_ejected_target_is_tried_by_one_request_when_its_time_is_over() {
    let (model, now) = (model("[a/x, b/x, c/x]"), Instant::now());
    eject(&model, 0, now);
    assert_eq!(index(&model, 0, now), Some(1));
    assert_eq!(go(&model, bit(1) | bit(2), now).map(|(_, why)| why), Some(Why::LastResort));
    let later = now + Duration::from_secs(6);
    let (mut probe, why) = go(&model, 0, later).unwrap();
    assert_eq!((probe.index, why), (0, Why::Probe));
    assert_eq!(index(&model, 0, later), Some(1), "one probe at a time");
    probe.spoke(later);
    assert_eq!(index(&model, 0, later), Some(0), "it is back");
}

#[test]
fn a_probe_whose_client_leaves_makes_room_for_another() {
    let (model, now) = (model("[a/x, b/x]"), Instant::now());
    eject(&model, 0, now);
    let later = now + Duration::from_secs(6);
    drop(go(&model, 0, later).unwrap());
    assert_eq!(go(&model, 0, later).map(|(serving, why)| (serving.index, why)), Some((0, Why::Probe)));
}

#[test]
fn when_all_are_ejected_the_least_bad_is_tried() {
    let text = "{ targets: [a/x, b/x], balance: p2c }";
    let model = model(&text.replace("a/x", "{ target: a/x, health: { max_ejected_percent: 100 } }"));
    let now = Instant::now();
    eject(&model, 1, now);
    eject(&model, 0, now + Duration::from_secs(1));
    let (serving, why) = go(&model, 0, now + Duration::from_secs(2)).unwrap();
    assert_eq!((serving.index, why), (1, Why::LastResort), "the one whose ejection ends first");
}

#[test]
fn one_that_asked_to_be_left_alone_is_left_alone() {
    let (model, now) = (model("[a/x, b/x]"), Instant::now());
    go(&model, 0, now).unwrap().0.rest(now, Duration::from_secs(7));
    assert_eq!(index(&model, 0, now), Some(1));
    assert_eq!(index(&model, 0, now + Duration::from_secs(8)), Some(0));
    go(&model, 0, now).unwrap().0.rest_credential(now, Duration::from_secs(30));
    assert!(matches!(model.targets[1].standing(now), Standing::Resting(_)));
}

#[test]
fn a_full_target_is_passed_by_and_waited_for_if_all_are() {
    let model = model("[{ target: a/x, circuit: { in_flight: 1 } }, { target: b/x, circuit: { connections: 1 } }]");
    let now = Instant::now();
    let first = go(&model, 0, now).unwrap();
    let second = go(&model, 0, now).unwrap();
    assert_eq!((first.0.index, second.0.index), (0, 1));
    assert!(matches!(model.pick(&asked(), 0, now), Picked::Full(target, 1000) if *target.label == *"a/x"));
    drop(first);
    assert_eq!(index(&model, 0, now), Some(0));
}

#[test]
fn operators_drain_disable_and_reweight() {
    let model = model("{ targets: [a/x, b/x], balance: round_robin }");
    let now = Instant::now();
    let set = |target: usize, mode, weight| model.targets[target].set_rule(Override { mode, weight });
    set(0, Mode::Drained, None);
    assert!((0..9).all(|_| index(&model, 0, now) == Some(1)));
    set(1, Mode::Disabled, None);
    assert_eq!(go(&model, 0, now).map(|(serving, why)| (serving.index, why)), Some((0, Why::LastResort)));
    set(0, Mode::Disabled, None);
    assert!(matches!(model.pick(&asked(), 0, now), Picked::Nothing));
    set(0, Mode::On, Some(9));
    set(1, Mode::On, None);
    let first = (0..1000).filter(|_| index(&model, 0, now) == Some(0)).count();
    assert!((890..=910).contains(&first), "{first}");
}

#[test]
fn clients_that_leave_are_nobodys_fault() {
    let (model, now) = (model("[a/x, b/x]"), Instant::now());
    (0..50).for_each(|_| drop(go(&model, 0, now)));
    assert_eq!(model.targets[0].counts(now), (0, 0));
    let (mut serving, _) = go(&model, 0, now).unwrap();
    serving.spoke(now);
    drop(serving);
    assert_eq!(model.targets[0].counts(Instant::now()), (1, 0), "it had begun to answer well");
}

#[tokio::test]
async fn waiting_for_room_ends_when_a_request_does() {
    let model = model("[{ target: a/x, circuit: { in_flight: 1 } }]");
    let now = Instant::now();
    let held = go(&model, 0, now).unwrap();
    let Picked::Full(target, _) = model.pick(&asked(), 0, now) else { panic!("it has room") };
    assert!(!target.room(0, Duration::from_secs(9)).await, "nobody may wait");
    assert!(!target.room(1, Duration::from_millis(1)).await, "not for ever");
    let leave = async {
        tokio::task::yield_now().await;
        drop(held);
    };
    let (found, ()) = tokio::join!(target.room(1, Duration::from_mins(1)), leave);
    assert!(found);
}
