//! Metrics of the process and of its async runtime, read when somebody asks.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Every metric, and what it means.
pub(super) const RUNTIME_METRICS: [(&str, &str); 5] = [
    ("sluice_runtime_workers", "threads of the async runtime"),
    ("sluice_runtime_alive_tasks", "tasks of the async runtime"),
    ("sluice_runtime_queue_depth", "tasks waiting for a thread"),
    ("sluice_runtime_busy_seconds", "time the runtime's threads were busy"),
    ("process_resident_memory_bytes", "resident memory"),
];

/// Metrics of the process.
pub(super) struct RuntimeMetrics {
    workers: Gauge,
    alive_tasks: Gauge,
    queue_depth: Gauge,
    busy_seconds: Gauge<f64, AtomicU64>,
    resident: Gauge,
}

impl RuntimeMetrics {
    /// Registers every metric.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let all = Self {
            workers: Gauge::default(),
            alive_tasks: Gauge::default(),
            queue_depth: Gauge::default(),
            busy_seconds: Gauge::default(),
            resident: Gauge::default(),
        };
        let [workers, alive_tasks, queue_depth, busy_seconds, resident] = RUNTIME_METRICS;
        registry.register(workers.0, workers.1, all.workers.clone());
        registry.register(alive_tasks.0, alive_tasks.1, all.alive_tasks.clone());
        registry.register(queue_depth.0, queue_depth.1, all.queue_depth.clone());
        registry.register(busy_seconds.0, busy_seconds.1, all.busy_seconds.clone());
        registry.register(resident.0, resident.1, all.resident.clone());
        all
    }

    /// Reads them. Those of the runtime only when called from it.
    pub(super) fn sample(&self) {
        if let Ok(handle) = tokio::runtime::Handle::try_current() {
            let runtime = handle.metrics();
            let workers = runtime.num_workers();
            self.workers.set(gauge(workers));
            self.alive_tasks.set(gauge(runtime.num_alive_tasks()));
            self.queue_depth.set(gauge(runtime.global_queue_depth()));
            let busy = (0..workers).map(|worker| runtime.worker_total_busy_duration(worker).as_secs_f64()).sum();
            self.busy_seconds.set(busy);
        }
        if let Some(bytes) = resident() {
            self.resident.set(gauge(bytes));
        }
    }
}

/// A count as a gauge has it.
pub(super) fn gauge(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Resident memory in bytes, where the system tells (Linux, 4 KiB pages).
fn resident() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    statm.split_whitespace().nth(1)?.parse::<usize>().ok()?.checked_mul(4096)
}
