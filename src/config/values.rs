//! Scalars of the config: sizes, durations, and references to secrets.

use std::path::Path;
use std::time::Duration;

/// Parses `20MiB`, `64KiB` or plain bytes.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let (digits, unit) = split(text);
    let scale: usize = match unit {
        "" | "B" => 1,
        "KiB" | "K" | "k" | "KB" => 1 << 10,
        "MiB" | "M" | "MB" => 1 << 20,
        "GiB" | "G" | "GB" => 1 << 30,
        _ => return Err(format!("`{text}` is not a size; write 20MiB, 64KiB or plain bytes")),
    };
    let value = digits.parse::<usize>().ok().and_then(|value| value.checked_mul(scale));
    value.ok_or_else(|| format!("`{text}` is not a size; write 20MiB, 64KiB or plain bytes"))
}

/// Parses `0.5%` as 0.005; nothing below 0 or above 100 %.
pub fn percent(text: &str) -> Option<f64> {
    let part = text.trim().strip_suffix('%')?.trim().parse::<f64>().ok()? / 100.0;
    (0.0..=1.0).contains(&part).then_some(part)
}

/// Parses `500ms`, `30s`, `2m` or `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = split(text);
    let scale = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" | "min" => Some(60_000),
        "h" => Some(3_600_000u64),
        _ => None,
    };
    let value = digits.parse::<u64>().ok().and_then(|value| value.checked_mul(scale?));
    value.map(Duration::from_millis).ok_or_else(|| format!("`{text}` is not a duration; write 500ms, 30s, 2m or 1h"))
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    (digits, text.strip_prefix(digits).unwrap_or(""))
}

/// Resolves `file:/path` (relative paths below `dir`) and every `${VAR}` or `${VAR:-default}`.
/// Errors name the variable or the path, never a value.
pub(super) fn resolve(text: &str, dir: &Path) -> Result<String, String> {
    if let Some(path) = text.strip_prefix("file:") {
        let path = dir.join(path);
        let content =
            std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        return Ok(content.trim().to_owned());
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (inner, tail) = after.split_once('}').ok_or("`${` without `}`")?;
        let (name, default) = inner.split_once(":-").map_or((inner, None), |(name, default)| (name, Some(default)));
        out.push_str(before);
        match (std::env::var(name).ok().filter(|value| !value.is_empty()), default) {
            (Some(value), _) => out.push_str(value.trim()),
            (None, Some(default)) => out.push_str(default),
            (None, None) => return Err(format!("environment variable {name} is not set")),
        }
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations() {
        assert_eq!(size("20MiB"), Ok(20 << 20));
        assert_eq!(size("512"), Ok(512));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        for bad in ["", "5", "s", "-1s", "5 weeks", "99999999999999999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        for bad in ["", "MiB", "1.5MiB", "5 parsecs", "99999999999G"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn references_resolve_or_say_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key"), "secret\n").unwrap();
        assert_eq!(resolve("file:key", dir.path()).unwrap(), "secret");
        assert!(resolve("file:none", dir.path()).unwrap_err().contains("none"));
        assert_eq!(resolve("a${SLUICE_NO_SUCH:-b}c", dir.path()).unwrap(), "abc");
        let error = resolve("x${SLUICE_NO_SUCH}", dir.path()).unwrap_err();
        assert_eq!(error, "environment variable SLUICE_NO_SUCH is not set");
        assert_eq!(resolve("${CARGO_PKG_NAME:-x}", dir.path()).unwrap(), "sluice");
        assert!(resolve("${OPEN", dir.path()).is_err());
    }
}
