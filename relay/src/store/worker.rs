//! Thread of the store: carries requests out in order, so that nothing else waits for a disk. The hub's
//! driver hands requests in and takes replies.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::mpsc;
use tribune_relay_core::store::{Batch, Store, StoreError, StoreReply, StoreRequest, WriteId};

use crate::metrics::Metrics;
use crate::monitor::Monitor;

/// Requests that wait for the store; more are refused ([`StoreError::Busy`]). A disk that flushes in
/// 10 ms clears them in less than a second, and one that hangs holds no more than these.
const REQUEST_QUEUE: usize = 1024;
/// Replies that wait for the hub. The store waits when it is full; the hub never waits for the store.
const REPLY_QUEUE: usize = 1024;
/// Requests that are taken at once. Their writes share a commit, so that the number of decisions a
/// second is not that of flushes.
const GROUP: usize = 64;

/// A store at work.
#[derive(Debug)]
pub struct Worker {
    /// Sender of requests. The thread ends when it has carried out all of them and this is dropped.
    pub requests: RequestSender,
    /// Replies, one for each request, in the same order.
    pub replies: mpsc::Receiver<StoreReply>,
    /// To be joined at the end, so that the store is closed.
    pub thread: JoinHandle<()>,
}

/// Sender of requests to a store at work.
#[derive(Debug)]
pub struct RequestSender {
    sender: mpsc::Sender<StoreRequest>,
    monitor: Arc<Monitor>,
}

impl RequestSender {
    /// Requests that wait now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.sender.max_capacity() - self.sender.capacity()
    }

    /// Requests that can wait.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.sender.max_capacity()
    }

    /// Hands a request in, without waiting.
    ///
    /// # Errors
    /// The reply that refuses it, if too many wait already or if the store has ended. It is meant for
    /// the hub like any other; none will come for this request by the channel.
    pub fn hand_in(&self, request: StoreRequest) -> Result<(), StoreReply> {
        let Err(error) = self.sender.try_send(request) else { return Ok(()) };
        let (request, error) = match error {
            mpsc::error::TrySendError::Full(request) => (request, StoreError::Busy),
            mpsc::error::TrySendError::Closed(request) => {
                (request, StoreError::Failed("its thread has ended".to_owned()))
            }
        };
        Err(match request {
            StoreRequest::Write { id, .. } => {
                let result = Err(error);
                self.monitor.metrics().count_store_write(&result);
                StoreReply::Written { id, result }
            }
            StoreRequest::ReadLog { id, .. } => StoreReply::Log { id, result: Err(error) },
            StoreRequest::ReadStatistics { id, .. } => {
                StoreReply::Statistics { id, result: Err(error) }
            }
            StoreRequest::ForgetStatistics { .. } => StoreReply::Forgotten { result: Err(error) },
        })
    }
}

/// Starts the thread `store`. Commits are counted and timed in the metrics.
///
/// # Errors
/// The system's error, if there can be no thread.
pub fn spawn(store: Box<dyn Store>, monitor: Arc<Monitor>) -> io::Result<Worker> {
    let (sender, receiver) = mpsc::channel(REQUEST_QUEUE);
    let (reply_sender, replies) = mpsc::channel(REPLY_QUEUE);
    let requests = RequestSender { sender, monitor: Arc::clone(&monitor) };
    let thread = std::thread::Builder::new()
        .name("store".to_owned())
        .spawn(move || run(store, receiver, &reply_sender, monitor.metrics()))?;
    Ok(Worker { requests, replies, thread })
}

fn run(
    mut store: Box<dyn Store>,
    mut requests: mpsc::Receiver<StoreRequest>,
    replies: &mpsc::Sender<StoreReply>,
    metrics: &Metrics,
) {
    let mut group = Vec::with_capacity(GROUP);
    while requests.blocking_recv_many(&mut group, GROUP) > 0 {
        let answer = |reply| {
            // A hub that has gone needs no replies; its requests are carried out all the same.
            let _ = replies.blocking_send(reply);
        };
        carry_out(store.as_mut(), group.drain(..), metrics, answer);
    }
}

/// Writes that stand next to each other are committed together; a read finds all that was written
/// before it.
fn carry_out(
    store: &mut dyn Store,
    requests: impl Iterator<Item = StoreRequest>,
    metrics: &Metrics,
    mut answer: impl FnMut(StoreReply),
) {
    let (mut ids, mut batches) = (Vec::new(), Vec::new());
    for request in requests {
        match request {
            StoreRequest::Write { id, batch } => {
                ids.push(id);
                batches.push(batch);
            }
            StoreRequest::ReadLog { id, room, from, limit } => {
                commit_together(store, &mut ids, &mut batches, metrics, &mut answer);
                answer(StoreReply::Log { id, result: store.read_log(&room, from, limit) });
            }
            StoreRequest::ReadStatistics { id, room, run } => {
                commit_together(store, &mut ids, &mut batches, metrics, &mut answer);
                answer(StoreReply::Statistics { id, result: store.read_statistics(&room, run) });
            }
            StoreRequest::ForgetStatistics { before_ms } => {
                commit_together(store, &mut ids, &mut batches, metrics, &mut answer);
                answer(StoreReply::Forgotten { result: store.forget_statistics(before_ms) });
            }
        }
    }
    commit_together(store, &mut ids, &mut batches, metrics, &mut answer);
}

/// Commits these writes as one. If one of them is at fault for a refusal, each stands for itself.
fn commit_together(
    store: &mut dyn Store,
    ids: &mut Vec<WriteId>,
    batches: &mut Vec<Batch>,
    metrics: &Metrics,
    answer: &mut impl FnMut(StoreReply),
) {
    if batches.is_empty() {
        return;
    }
    let result = commit(store, batches, metrics);
    let alone = batches.len() > 1 && result.as_ref().is_err_and(may_be_the_fault_of_one);
    for (id, batch) in ids.drain(..).zip(batches.drain(..)) {
        let result = if alone { commit(store, &[batch], metrics) } else { result.clone() };
        metrics.count_store_write(&result);
        answer(StoreReply::Written { id, result });
    }
}

fn commit(store: &mut dyn Store, batches: &[Batch], metrics: &Metrics) -> Result<(), StoreError> {
    let begin = Instant::now();
    let result = store.write(batches);
    metrics.observe_store_write(begin.elapsed());
    if let Err(error) = &result {
        tracing::warn!(%error, decisions = batches.len(), "not stored");
    }
    result
}

/// Whether the others may succeed without it. After a failure of the disk nothing is tried again: a
/// second try of many is a second wait for each of them.
const fn may_be_the_fault_of_one(error: &StoreError) -> bool {
    match error {
        StoreError::Gap { .. } | StoreError::TooLarge { .. } | StoreError::Full(_) => true,
        StoreError::Busy
        | StoreError::Failed(_)
        | StoreError::Damaged(_)
        | StoreError::Unusable { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU8;
    use std::sync::Mutex;

    use tribune_protocol::ids::RoomName;

    use super::super::conformance::{batch, room};
    use super::*;
    use crate::metrics::SeriesLimits;
    use tribune_relay_core::store::{LogPage, MemoryStore, ReadId, StatisticsRow, StoredRoom};

    /// A memory store that notes how many batches each write had, and fails if it is told to.
    #[derive(Default)]
    struct Watched {
        store: MemoryStore,
        writes: Arc<Mutex<Vec<usize>>>,
        fails: bool,
    }

    impl Store for Watched {
        fn load(&mut self) -> Result<Vec<StoredRoom>, StoreError> {
            self.store.load()
        }

        fn write(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
            self.writes.lock().unwrap().push(batches.len());
            if self.fails {
                return Err(StoreError::Failed("the disk is on fire".to_owned()));
            }
            self.store.write(batches)
        }

        fn read_log(
            &mut self,
            room: &RoomName,
            from: u64,
            limit: usize,
        ) -> Result<LogPage, StoreError> {
            self.store.read_log(room, from, limit)
        }

        fn read_statistics(
            &mut self,
            room: &RoomName,
            run: Option<u32>,
        ) -> Result<Option<StatisticsRow>, StoreError> {
            self.store.read_statistics(room, run)
        }

        fn forget_statistics(&mut self, before_ms: u64) -> Result<bool, StoreError> {
            self.store.forget_statistics(before_ms)
        }
    }

    fn write(id: u64, batch: Batch) -> StoreRequest {
        StoreRequest::Write { id: WriteId(id), batch }
    }

    fn read(id: u64, name: &str) -> StoreRequest {
        StoreRequest::ReadLog { id: ReadId(id), room: room(name), from: 1, limit: 10 }
    }

    fn monitor() -> Arc<Monitor> {
        Arc::new(Monitor::new(NonZeroU8::MIN, SeriesLimits::default()).unwrap())
    }

    /// A reply's id, and whether it is `Ok`, with the size of a log that was read.
    type Brief = (u64, Result<u64, StoreError>);

    /// Has a group carried out. Gives the replies, and how many batches each write had.
    fn carried_out(
        store: Watched,
        monitor: &Monitor,
        requests: Vec<StoreRequest>,
    ) -> (Vec<Brief>, Vec<usize>) {
        let mut store = store;
        let mut replies = Vec::new();
        carry_out(&mut store, requests.into_iter(), monitor.metrics(), |reply| {
            replies.push(match reply {
                StoreReply::Written { id, result } => (id.0, result.map(|()| 0)),
                StoreReply::Log { id, result } => (id.0, result.map(|page| page.total)),
                StoreReply::Statistics { id, result } => (id.0, result.map(|_| 0)),
                StoreReply::Forgotten { result } => (0, result.map(u64::from)),
            });
        });
        let writes = store.writes.lock().unwrap().clone();
        (replies, writes)
    }

    #[test]
    fn writes_that_wait_together_are_committed_together() {
        let requests = (0..9).map(|n| write(n, batch("forum", None, n + 1, 1))).collect();
        let (replies, writes) = carried_out(Watched::default(), &monitor(), requests);
        assert_eq!(replies, (0..9).map(|n| (n, Ok(0))).collect::<Vec<_>>());
        assert_eq!(writes, [9]);
    }

    #[test]
    fn one_that_does_not_follow_does_not_fail_the_others() {
        let requests = vec![
            write(1, batch("a", None, 1, 1)),
            write(2, batch("b", None, 7, 1)),
            write(3, batch("a", None, 2, 1)),
            write(4, batch("b", None, 8, 1)),
            read(5, "a"),
        ];
        let monitor = monitor();
        let (replies, writes) = carried_out(Watched::default(), &monitor, requests);
        let gap = |found| Err(StoreError::Gap { room: room("b"), next: 1, found });
        assert_eq!(replies, [(1, Ok(0)), (2, gap(7)), (3, Ok(0)), (4, gap(8)), (5, Ok(2))]);
        assert_eq!(writes, [4, 1, 1, 1, 1]);
        let text = monitor.metrics().render().unwrap();
        let has = |line: &str| assert!(text.lines().any(|found| found == line), "{line}: {text}");
        has("tribune_relay_store_writes_total{result=\"stored\"} 2");
        has("tribune_relay_store_writes_total{result=\"gap\"} 2");
        has("tribune_relay_store_write_seconds_count 5");
    }

    #[test]
    fn a_failing_disk_is_tried_once_for_all() {
        let requests = (0..3).map(|n| write(n, batch("forum", None, n + 1, 1))).collect();
        let store = Watched { fails: true, ..Watched::default() };
        let (replies, writes) = carried_out(store, &monitor(), requests);
        assert!(replies.iter().all(|(_, result)| matches!(result, Err(StoreError::Failed(_)))));
        assert_eq!((replies.len(), writes), (3, vec![3]));
    }

    #[test]
    fn a_read_finds_what_was_written_before_it_and_nothing_after() {
        let requests = vec![
            write(1, batch("forum", None, 1, 2)),
            read(2, "forum"),
            write(3, batch("forum", None, 3, 1)),
            read(4, "forum"),
        ];
        let (replies, writes) = carried_out(Watched::default(), &monitor(), requests);
        assert_eq!(replies, [(1, Ok(0)), (2, Ok(2)), (3, Ok(0)), (4, Ok(3))]);
        assert_eq!(writes, [1, 1]);
    }

    #[test]
    fn the_thread_does_all_that_was_asked_for_and_ends() {
        let worker = spawn(Box::<Watched>::default(), monitor()).unwrap();
        let Worker { requests, mut replies, thread } = worker;
        for n in 0..200 {
            requests.hand_in(write(n, batch("forum", None, n + 1, 1))).unwrap();
        }
        requests.hand_in(read(200, "forum")).unwrap();
        drop(requests);
        for n in 0..200 {
            let written = StoreReply::Written { id: WriteId(n), result: Ok(()) };
            assert_eq!(replies.blocking_recv(), Some(written));
        }
        let log = replies.blocking_recv();
        assert!(matches!(log, Some(StoreReply::Log { result: Ok(page), .. }) if page.total == 200));
        assert_eq!(replies.blocking_recv(), None);
        thread.join().unwrap();
    }

    #[test]
    fn who_asks_never_waits() {
        let (sender, receiver) = mpsc::channel(1);
        let monitor = monitor();
        let requests = RequestSender { sender, monitor: Arc::clone(&monitor) };
        requests.hand_in(read(1, "forum")).unwrap();
        let busy = StoreReply::Log { id: ReadId(2), result: Err(StoreError::Busy) };
        assert_eq!(requests.hand_in(read(2, "forum")), Err(busy));
        let Err(StoreReply::Written { id: WriteId(2), result: Err(StoreError::Busy) }) =
            requests.hand_in(write(2, batch("forum", None, 1, 1)))
        else {
            panic!("not refused");
        };
        let text = monitor.metrics().render().unwrap();
        assert!(text.contains("tribune_relay_store_writes_total{result=\"busy\"} 1\n"), "{text}");
        drop(receiver);
        let Err(StoreReply::Written { id: WriteId(3), result: Err(StoreError::Failed(why)) }) =
            requests.hand_in(write(3, batch("forum", None, 1, 1)))
        else {
            panic!("not refused");
        };
        assert_eq!(why, "its thread has ended");
    }
}
