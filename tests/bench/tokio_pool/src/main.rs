//! tokio_pool WAY [CALLERS [WORKERS [SECONDS]]] - a pool of workers as one would write it in Rust, without any
//! work, queue policy, deadline or cancel: callers → one bounded queue → (dispatcher) → workers → the caller.
//!
//! WAY: tokio-tasks           workers are tasks of the runtime (they must never block)
//!      tokio-threads         each worker has a thread, a task dispatches to the free ones
//!      crossbeam-shared      worker threads pull from the one queue, nobody dispatches
//!      crossbeam-dispatched  a thread selects over requests and free workers, one channel a worker
//!
//! Prints one line of JSON. Every reply is checked; a wrong one ends the program with 1.

mod channels;
mod tasks;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub const QUEUE: usize = 10_000;
pub const PER_WORKER: usize = 16;
const WARM_UP: Duration = Duration::from_millis(200);

pub struct Plan {
    pub callers: usize,
    pub workers: usize,
    seconds: f64,
}

/// What every caller counts into, and when it may stop.
#[derive(Default)]
pub struct Tally {
    replies: AtomicU64,
    over: AtomicBool,
}

impl Tally {
    pub fn replied(&self, sent: u64, got: u64) {
        if got != sent + 1 {
            eprintln!("tokio_pool: sent {sent}, got {got}");
            std::process::exit(1);
        }
        self.replies.fetch_add(1, Ordering::Relaxed);
    }

    pub fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    /// Replies a second, after a moment in which everything gets under way.
    pub fn watch(&self, plan: &Plan) -> f64 {
        std::thread::sleep(WARM_UP);
        let before = self.replies.load(Ordering::Relaxed);
        let began = Instant::now();
        std::thread::sleep(Duration::from_secs_f64(plan.seconds));
        let seen = self.replies.load(Ordering::Relaxed) - before;
        let rate = seen as f64 / began.elapsed().as_secs_f64();
        self.over.store(true, Ordering::Relaxed);
        rate
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, otherwise: f64| match words.get(at) {
        Some(word) => word.parse().expect("a number"),
        None => otherwise,
    };
    let plan = Plan {
        callers: number(1, 1024.0) as usize,
        workers: number(2, 4.0) as usize,
        seconds: number(3, 3.0),
    };
    let way = words.first().map_or("", String::as_str);
    let rate = match way {
        "tokio-tasks" => tasks::measure(&plan, tasks::Workers::Tasks),
        "tokio-threads" => tasks::measure(&plan, tasks::Workers::Threads),
        "crossbeam-shared" => channels::measure(&plan, channels::Queue::Shared),
        "crossbeam-dispatched" => channels::measure(&plan, channels::Queue::Dispatched),
        _ => {
            eprintln!("usage: tokio_pool tokio-tasks|tokio-threads|crossbeam-shared|crossbeam-dispatched \
                       [CALLERS [WORKERS [SECONDS]]]");
            std::process::exit(2);
        }
    };
    println!("{{\"way\": \"{way}\", \"callers\": {}, \"rate\": {rate:.1}}}", plan.callers);
    std::process::exit(0); // workers that wait for more are left where they are
}
