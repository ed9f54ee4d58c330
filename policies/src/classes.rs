//! Priority classes: the built-in ones, and those of a policy file.

use std::sync::Arc;
use std::time::Duration;

use crate::compile::{naming, plain};
use crate::raw::RawClass;
use crate::set::Class;

pub(crate) fn built_in() -> [Class; 3] {
    let class = |name: &str, rank, weight, wait| Class {
        name: Arc::from(name),
        rank,
        weight,
        max_wait: Duration::from_secs(wait),
        max_depth: 1000,
        age_after: Duration::from_secs(10),
        reserved: 0,
    };
    [class("interactive", 0, 8, 30), class("standard", 1, 4, 30), class("batch", 2, 1, 600)]
}

pub(crate) fn compile(name: &str, raw: &RawClass) -> Result<Class, String> {
    if !plain(name) {
        return Err(naming(name));
    }
    let time = |field: &str, text: &Option<String>, default: u64| match text {
        None => Ok(Duration::from_secs(default)),
        Some(text) => {
            duration(text).ok_or_else(|| format!("{field}: `{text}` is not a duration; write 500ms, 30s or 2m"))
        }
    };
    let weight = raw.weight.unwrap_or(1);
    if weight == 0 || weight > 1000 {
        return Err("weight must be 1 to 1000".to_owned());
    }
    if raw.rank > 255 {
        return Err("rank must be 0 to 255".to_owned());
    }
    Ok(Class {
        name: Arc::from(name),
        rank: raw.rank,
        weight,
        max_wait: time("max_wait", &raw.max_wait, 30)?,
        max_depth: raw.max_depth.unwrap_or(1000),
        age_after: time("age_after", &raw.age_after, 10)?,
        reserved: raw.reserved.unwrap_or(0),
    })
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let millis = match text.strip_prefix(digits)? {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(Duration::from_millis(digits.parse::<u64>().ok()?.checked_mul(millis)?))
}
