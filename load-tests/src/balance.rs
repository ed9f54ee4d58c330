//! The gateway's own balancing over simulated engines, one of them slow, against an oracle that
//! knows every speed and every queue. Time is made up: the result does not depend on the machine.

use std::collections::{BinaryHeap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use sluice::telemetry::RouteMetrics;
use sluice::upstream::{Asked, ModelState, Picked, Serving, Targets};
use sluice_policies::PolicyFile;

use crate::Failure;
use crate::measure::float;
use crate::report::{Bounds, Table, progress};

const ENGINES: usize = 4;
/// The last engine takes so many times as long.
const SLOW: f64 = 5.0;
/// Requests an engine works on at once; more wait for their turn.
const SLOTS: usize = 16;
/// Of a mean request: until the first word, and all of it, seconds.
const FIRST: f64 = 0.1;
const WHOLE: f64 = 1.0;
/// Of the oracle's p99.
const MOST: f64 = 1.3;
/// Requests that only warm up.
const WARM: usize = 2_000;

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Requests of each run
    #[arg(long, default_value_t = 60_000)]
    requests: usize,
}

/// Who picks.
enum Picker {
    Gateway(Arc<ModelState>),
    Oracle,
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    Arrives,
    Speaks,
    Ends,
}

/// Something that happens; the earliest first.
#[derive(PartialEq)]
struct Event {
    at: f64,
    what: What,
    request: usize,
}

impl Eq for Event {}
impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Event {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.at.total_cmp(&self.at).then(other.request.cmp(&self.request))
    }
}

struct Engine {
    speed: f64,
    busy: usize,
    waiting: VecDeque<usize>,
    /// When each slot is free, for the oracle.
    free: Vec<f64>,
}

struct Request {
    arrived: f64,
    /// A mean one has a thousand.
    tokens: u64,
    engine: usize,
    serving: Option<Serving>,
}

impl Request {
    /// Over a mean one's.
    fn size(&self) -> f64 {
        float(self.tokens) / 1000.0
    }
}

struct World {
    picker: Picker,
    zero: Instant,
    engines: Vec<Engine>,
    requests: Vec<Request>,
    events: BinaryHeap<Event>,
    times: Vec<f64>,
    slow: usize,
}

/// Prints the table for several loads.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let header = ["load, % of all slots", "balance", "p50, s", "p99, s", "of the oracle's p99", "to the slow one, %"];
    let mut table = Table::new(header.map(str::to_owned).to_vec());
    let mut bounds = Bounds::default();
    for load in [0.3, 0.5, 0.7] {
        progress(&format!("{:.0} % of all slots are busy", load * 100.0));
        let mut oracle = 0.0;
        for balance in ["oracle", "p2c", "least_inflight", "round_robin"] {
            let mut world = World::new(balance, options.requests, load)?;
            world.run()?;
            let (p50, p99) = (world.percentile(50), world.percentile(99));
            if balance == "oracle" {
                oracle = p99;
            }
            let ratio = p99 / oracle;
            if balance == "p2c" {
                bounds.check(ratio <= MOST, || format!("p2c at {load}: {ratio:.2} of the oracle's p99"));
            }
            let share = 100.0 * float(world.slow as u64) / float(options.requests as u64);
            table.row(vec![
                format!("{:.0}", load * 100.0),
                balance.to_owned(),
                format!("{p50:.2}"),
                format!("{p99:.2}"),
                format!("{ratio:.2}"),
                format!("{share:.2}"),
            ]);
        }
    }
    table.print()?;
    bounds.result()
}

/// A model of the gateway's with as many targets as there are engines.
fn model(balance: &str) -> Result<Arc<ModelState>, Failure> {
    let policy = PolicyFile {
        name: "policy".to_owned(),
        text: format!("tenant: t\nkeys:\n  - {{ name: k, key: \"sha256:{}\" }}\n", "1".repeat(64)),
    };
    let targets: Vec<String> = (0..ENGINES).map(|number| format!("e{number}/m")).collect();
    let providers: String = (0..ENGINES)
        .map(|number| format!("  e{number}: {{ kind: openai, base_url: http://e{number}/v1 }}\n"))
        .collect();
    let text =
        format!("providers:\n{providers}models:\n  m: {{ targets: [{}], balance: {balance} }}\n", targets.join(", "));
    let config = sluice::config::from_str("simulated", &text, Path::new("."), &[policy], 1)?;
    let route = config.models.get("m").ok_or("there is no model")?;
    Ok(Targets::new(RouteMetrics::default()).model(route))
}

impl World {
    fn new(balance: &str, count: usize, load: f64) -> Result<Self, Failure> {
        let picker = if balance == "oracle" { Picker::Oracle } else { Picker::Gateway(model(balance)?) };
        let speed = |number| if number + 1 == ENGINES { 1.0 / SLOW } else { 1.0 };
        let engine =
            |number| Engine { speed: speed(number), busy: 0, waiting: VecDeque::new(), free: vec![0.0; SLOTS] };
        let power: f64 = (0..ENGINES).map(speed).sum();
        let rate = load * power * float(SLOTS as u64) / WHOLE;
        let (mut at, mut requests, mut events) = (0.0, Vec::new(), BinaryHeap::new());
        for request in 0..count {
            // Poisson arrivals; sizes between half and one and a half.
            at += -(1.0 - rand::random::<f64>()).ln() / rate;
            requests.push(Request { arrived: at, tokens: rand::random_range(500..=1500), engine: 0, serving: None });
            events.push(Event { at, what: What::Arrives, request });
        }
        let engines = (0..ENGINES).map(engine).collect();
        Ok(Self { picker, zero: Instant::now(), engines, requests, events, times: Vec::new(), slow: 0 })
    }

    fn time(&self, at: f64) -> Instant {
        self.zero + Duration::from_secs_f64(at)
    }

    fn run(&mut self) -> Result<(), Failure> {
        while let Some(Event { at, what, request }) = self.events.pop() {
            match what {
                What::Arrives => self.arrive(at, request)?,
                What::Speaks => {
                    let now = self.time(at);
                    if let Some(serving) = self.requests.get_mut(request).and_then(|one| one.serving.as_mut()) {
                        serving.spoke(now);
                    }
                }
                What::Ends => self.end(at, request)?,
            }
        }
        Ok(())
    }

    fn arrive(&mut self, at: f64, number: usize) -> Result<(), Failure> {
        let request = self.requests.get(number).ok_or("no request")?;
        let (tokens, size) = (request.tokens, request.size());
        let (engine, serving) = match &self.picker {
            Picker::Oracle => (self.soonest(at, size), None),
            Picker::Gateway(model) => {
                let asked = Asked { input: tokens, output: 0, stream: true, able: u64::MAX, ..Asked::default() };
                match model.pick(&asked, 0, self.time(at)) {
                    Picked::Go(serving, _) => (serving.index(), Some(serving)),
                    _ => return Err("no target was picked".into()),
                }
            }
        };
        self.slow += usize::from(engine + 1 == ENGINES);
        let request = self.requests.get_mut(number).ok_or("no request")?;
        (request.engine, request.serving) = (engine, serving);
        let target = self.engines.get_mut(engine).ok_or("no engine")?;
        if let Some(slot) = target.free.iter_mut().min_by(|a, b| a.total_cmp(b)) {
            *slot = slot.max(at) + size * WHOLE / target.speed;
        }
        target.waiting.push_back(number);
        self.begin(at, engine)
    }

    /// The engine that would be done with it first.
    fn soonest(&self, at: f64, size: f64) -> usize {
        let done = |engine: &Engine| {
            let free = engine.free.iter().copied().fold(f64::MAX, f64::min);
            free.max(at) + size * WHOLE / engine.speed
        };
        let best = self.engines.iter().enumerate().min_by(|a, b| done(a.1).total_cmp(&done(b.1)));
        best.map_or(0, |(number, _)| number)
    }

    /// Starts what waits while there are slots.
    fn begin(&mut self, at: f64, number: usize) -> Result<(), Failure> {
        let engine = self.engines.get_mut(number).ok_or("no engine")?;
        while engine.busy < SLOTS {
            let Some(request) = engine.waiting.pop_front() else { break };
            engine.busy += 1;
            let size = self.requests.get(request).ok_or("no request")?.size();
            self.events.push(Event { at: at + size * FIRST / engine.speed, what: What::Speaks, request });
            self.events.push(Event { at: at + size * WHOLE / engine.speed, what: What::Ends, request });
        }
        Ok(())
    }

    fn end(&mut self, at: f64, number: usize) -> Result<(), Failure> {
        let now = self.time(at);
        let request = self.requests.get_mut(number).ok_or("no request")?;
        if let Some(serving) = request.serving.take() {
            serving.success(now);
        }
        if number >= WARM {
            self.times.push(at - request.arrived);
        }
        let engine = request.engine;
        self.engines.get_mut(engine).ok_or("no engine")?.busy -= 1;
        self.begin(at, engine)
    }

    fn percentile(&mut self, percent: usize) -> f64 {
        self.times.sort_by(f64::total_cmp);
        let at = self.times.len() * percent / 100;
        self.times.get(at.min(self.times.len().saturating_sub(1))).copied().unwrap_or(0.0)
    }
}
