//! What `/levels` answers, and how `sluice levels` shows it.

use std::fmt::Write as _;

use serde_json::{Value, json};
use sluice_policies::Mode;

use crate::state::Levels;

/// The answer of `/levels`; `own_leases` are those of this replica.
pub(super) fn json(mut levels: Levels, own_leases: usize) -> Value {
    levels.limits.sort_by(|a, b| a.scope.cmp(&b.scope));
    levels.pools.sort_by(|a, b| a.name.cmp(&b.name));
    let store = match levels.shared {
        None => "memory",
        Some(true) => "shared",
        Some(false) => "shared, down: this replica's slices",
    };
    let limits = levels.limits.iter().map(|row| {
        json!({
            "limit": &*row.limit.id,
            "scope": row.scope,
            "mode": if row.limit.mode == Mode::Observe { "observe" } else { "enforce" },
            "amount": row.view.amount,
            "remaining": row.view.remaining,
            "debt": row.view.debt,
            "reset_ms": u64::try_from(row.view.reset.as_millis()).unwrap_or(u64::MAX),
        })
    });
    let pools = levels.pools.iter().map(|row| {
        let waiting: serde_json::Map<_, _> =
            row.waiting.iter().map(|(class, count)| (class.clone(), Value::from(*count))).collect();
        json!({
            "model": row.name,
            "slots": row.slots,
            "in_use": row.in_use,
            "held_ms": u64::try_from(row.held_for.as_millis()).unwrap_or(u64::MAX),
            "waiting": waiting,
        })
    });
    json!({
        "store": store,
        "replicas": levels.replicas,
        "leases_open": own_leases,
        "leases_open_total": levels.leases,
        "pools": pools.collect::<Vec<_>>(),
        "limits": limits.collect::<Vec<_>>(),
    })
}

/// The same for a terminal. Fields that are missing show as `-`.
pub fn table(levels: &Value) -> String {
    let show = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let rows = |name: &str| levels[name].as_array().cloned().unwrap_or_default();
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |args: std::fmt::Arguments<'_>| text.write_fmt(args).unwrap_or_default();
    line(format_args!(
        "store {}   replicas {}   leases {} (this replica {})\n",
        show(&levels["store"]),
        show(&levels["replicas"]),
        show(&levels["leases_open_total"]),
        show(&levels["leases_open"]),
    ));
    line(format_args!("\n{:<32} {:>12} {:>12}  {}\n", "MODEL", "IN USE", "HELD", "WAITING"));
    for pool in rows("pools") {
        let slots = pool["slots"].as_u64().map(|slots| format!("/{slots}")).unwrap_or_default();
        let in_use = format!("{}{slots}", show(&pool["in_use"]));
        let held = match pool["held_ms"].as_u64() {
            None | Some(0) => "-".to_owned(),
            Some(ms) => format!("{:.1}s", std::time::Duration::from_millis(ms).as_secs_f64()),
        };
        let waiting = pool["waiting"].as_object().cloned().unwrap_or_default();
        let waiting: Vec<String> = waiting.iter().map(|(class, count)| format!("{class} {}", show(count))).collect();
        let waiting = if waiting.is_empty() { "-".to_owned() } else { waiting.join(", ") };
        line(format_args!("{:<32} {in_use:>12} {held:>12}  {waiting}\n", show(&pool["model"])));
    }
    line(format_args!("\n{:<48} {:>12} {:>12} {:>10} {:>10}\n", "LIMIT", "LEFT", "OF", "DEBT", "RESET"));
    for row in rows("limits") {
        let reset = std::time::Duration::from_millis(row["reset_ms"].as_u64().unwrap_or(0)).as_secs_f64();
        line(format_args!(
            "{:<48} {:>12} {:>12} {:>10} {reset:>9.1}s\n",
            show(&row["scope"]),
            show(&row["remaining"]),
            show(&row["amount"]),
            show(&row["debt"]),
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_sees_pools_and_limits() {
        let text = table(&json!({
            "store": "shared", "replicas": 2, "leases_open": 1, "leases_open_total": 3,
            "pools": [{"model": "m", "slots": 8, "in_use": 8, "held_ms": 1500, "waiting": {"batch": 4}}],
            "limits": [{"scope": "t/l", "remaining": -5, "amount": 10, "debt": 5, "reset_ms": 90000}],
        }));
        for part in ["replicas 2", "8/8", "1.5s", "batch 4", "t/l", "-5", "90.0s"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
