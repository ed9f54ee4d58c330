//! CPU and memory of a process and its children, as the kernel counts them.

use std::fs;
use std::time::Duration;

use crate::Failure;

/// Linux reports CPU time to programs in hundredths of a second on every architecture.
const TICK: Duration = Duration::from_millis(10);

/// User and system time so far. Exact to 10 ms per process.
pub(crate) fn cpu(pid: u32) -> Result<Duration, Failure> {
    let mut ticks = 0;
    for pid in family(pid) {
        ticks += ticks_of(&fs::read_to_string(format!("/proc/{pid}/stat"))?).ok_or("unreadable /proc/PID/stat")?;
    }
    Ok(TICK.saturating_mul(u32::try_from(ticks)?))
}

/// Resident memory in bytes.
pub(crate) fn rss(pid: u32) -> Result<u64, Failure> {
    let mut bytes = 0;
    for pid in family(pid) {
        bytes += rss_of(&fs::read_to_string(format!("/proc/{pid}/status"))?).ok_or("unreadable /proc/PID/status")?;
    }
    Ok(bytes)
}

/// Fails if this process, or one that it starts, may not have so many files open.
pub(crate) fn need_files(needed: u64, what: &str, option: &str) -> Result<(), Failure> {
    let allowed = open_files()?;
    if allowed < needed {
        let hint = format!("raise it with `ulimit -n` or lower {option}");
        return Err(format!("{what} need {needed} open files, {allowed} are allowed: {hint}").into());
    }
    Ok(())
}

/// How many files this process, and so those it starts, may have open.
fn open_files() -> Result<u64, Failure> {
    open_files_of(&fs::read_to_string("/proc/self/limits")?).ok_or_else(|| "unreadable /proc/self/limits".into())
}

/// The process and its children: a server may do its work in worker processes.
fn family(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    std::iter::once(pid).chain(children).collect()
}

fn ticks_of(stat: &str) -> Option<u64> {
    // The name before it, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn rss_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn open_files_of(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        soft => soft.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        assert_eq!(ticks_of("12 (a) b) S 1 12 12 0 -1 4194560 100 0 0 0 31 11 0 0 20 0 3"), Some(42));
        assert_eq!(rss_of("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2 << 20));
        let limits =
            "Limit   Soft Limit  Hard Limit  Units\nMax open files            20000                20001   files\n";
        assert_eq!(open_files_of(limits), Some(20_000));
    }

    #[test]
    fn this_process_is_readable() {
        assert!(rss(std::process::id()).unwrap() > 0);
        cpu(std::process::id()).unwrap();
        assert!(open_files().unwrap() > 0);
    }
}
