//! The pool on tokio: callers and the dispatcher are tasks on two runtime threads.

use crate::{Plan, Tally, PER_WORKER, QUEUE};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

const RUNTIME_THREADS: usize = 2;

#[derive(Clone, Copy)]
pub enum Workers {
    Tasks,
    Threads,
}

struct Request {
    number: u64,
    reply: oneshot::Sender<u64>,
}

fn answer(request: Request) {
    let _ = request.reply.send(request.number + 1);
}

async fn work_as_task(mut inbox: mpsc::Receiver<Request>, free: mpsc::Sender<usize>, me: usize) {
    while let Some(request) = inbox.recv().await {
        answer(request);
        if free.send(me).await.is_err() {
            return;
        }
    }
}

fn work_on_thread(mut inbox: mpsc::Receiver<Request>, free: mpsc::Sender<usize>, me: usize) {
    while let Some(request) = inbox.blocking_recv() {
        answer(request);
        if free.blocking_send(me).is_err() {
            return;
        }
    }
}

fn start_workers(plan: &Plan, workers: Workers, free: &mpsc::Sender<usize>) -> Vec<mpsc::Sender<Request>> {
    let start = |me: usize| {
        let (inbox, requests) = mpsc::channel(PER_WORKER);
        let free = free.clone();
        match workers {
            Workers::Tasks => drop(tokio::spawn(work_as_task(requests, free, me))),
            Workers::Threads => drop(std::thread::spawn(move || work_on_thread(requests, free, me))),
        }
        inbox
    };
    (0..plan.workers).map(start).collect()
}

/// One request at a time for each worker, like a slot's.
async fn dispatch(mut queue: mpsc::Receiver<Request>, mut freed: mpsc::Receiver<usize>,
                  workers: Vec<mpsc::Sender<Request>>) {
    let mut free: Vec<usize> = (0..workers.len()).collect();
    let mut waiting = VecDeque::new();
    loop {
        tokio::select! {
            request = queue.recv() => match request {
                Some(request) => waiting.push_back(request),
                None => return,
            },
            Some(worker) = freed.recv() => free.push(worker),
        }
        while !free.is_empty() && !waiting.is_empty() {
            let (worker, request) = (free.pop().unwrap(), waiting.pop_front().unwrap());
            if workers[worker].send(request).await.is_err() {
                return;
            }
        }
    }
}

async fn call(queue: mpsc::Sender<Request>, tally: Arc<Tally>) {
    let mut number = 0;
    while tally.goes_on() {
        let (reply, answered) = oneshot::channel();
        if queue.send(Request { number, reply }).await.is_err() {
            return;
        }
        match answered.await {
            Ok(got) => tally.replied(number, got),
            Err(_) => return,
        }
        number += 1;
    }
}

pub fn measure(plan: &Plan, workers: Workers) -> f64 {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .enable_time()
        .build()
        .expect("a runtime");
    let tally = Arc::new(Tally::default());
    let (queue, requests) = mpsc::channel(QUEUE);
    let (free, freed) = mpsc::channel(1024);
    let guard = runtime.enter();
    let inboxes = start_workers(plan, workers, &free);
    tokio::spawn(dispatch(requests, freed, inboxes));
    let callers: Vec<_> =
        (0..plan.callers).map(|_| tokio::spawn(call(queue.clone(), tally.clone()))).collect();
    drop(guard);
    let rate = tally.watch(plan);
    runtime.block_on(async {
        for caller in callers {
            let _ = caller.await;
        }
    });
    rate
}
