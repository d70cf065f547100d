//! The pool on crossbeam's channels: every caller, worker and dispatcher is a thread.

use crate::{Plan, Tally, PER_WORKER, QUEUE};
use crossbeam_channel::{bounded, select, Receiver, Sender};
use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;

#[derive(Clone, Copy)]
pub enum Queue {
    Shared,
    Dispatched,
}

struct Request {
    number: u64,
    reply: Sender<u64>,
}

fn work(requests: Receiver<Request>, after: impl Fn()) {
    for request in requests {
        let _ = request.reply.send(request.number + 1);
        after();
    }
}

fn dispatch(queue: Receiver<Request>, freed: Receiver<usize>, workers: Vec<Sender<Request>>) {
    let mut free: Vec<usize> = (0..workers.len()).collect();
    let mut waiting = VecDeque::new();
    loop {
        select! {
            recv(queue) -> request => match request {
                Ok(request) => waiting.push_back(request),
                Err(_) => return,
            },
            recv(freed) -> worker => free.extend(worker),
        }
        while !free.is_empty() && !waiting.is_empty() {
            let (worker, request) = (free.pop().unwrap(), waiting.pop_front().unwrap());
            if workers[worker].send(request).is_err() {
                return;
            }
        }
    }
}

fn start_workers(plan: &Plan, kind: Queue, queue: Receiver<Request>) {
    let (free, freed) = bounded(1024);
    let mut inboxes = vec![];
    for me in 0..plan.workers {
        match kind {
            Queue::Shared => {
                let requests = queue.clone();
                thread::spawn(move || work(requests, || ()));
            }
            Queue::Dispatched => {
                let (inbox, requests) = bounded(PER_WORKER);
                let free = free.clone();
                inboxes.push(inbox);
                thread::spawn(move || {
                    work(requests, || {
                        let _ = free.send(me);
                    })
                });
            }
        }
    }
    if let Queue::Dispatched = kind {
        thread::spawn(move || dispatch(queue, freed, inboxes));
    }
}

fn call(queue: Sender<Request>, tally: Arc<Tally>) {
    let (reply, answers) = bounded(1);
    let mut number = 0;
    while tally.goes_on() {
        if queue.send(Request { number, reply: reply.clone() }).is_err() {
            return;
        }
        match answers.recv() {
            Ok(got) => tally.replied(number, got),
            Err(_) => return,
        }
        number += 1;
    }
}

pub fn measure(plan: &Plan, kind: Queue) -> f64 {
    let tally = Arc::new(Tally::default());
    let (queue, requests) = bounded(QUEUE);
    start_workers(plan, kind, requests);
    let start = |_| {
        let (queue, tally) = (queue.clone(), tally.clone());
        thread::spawn(move || call(queue, tally))
    };
    let callers: Vec<_> = (0..plan.callers).map(start).collect();
    let rate = tally.watch(plan);
    for caller in callers {
        let _ = caller.join();
    }
    rate
}
