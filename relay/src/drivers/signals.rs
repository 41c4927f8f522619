//! Signals: SIGTERM and SIGINT end a relay, the first by draining it, the second at once; SIGHUP has it read its
//! certificates again.

use super::orders::Orders;

/// Turns signals into orders, until the relay ends.
pub async fn obey_signals(orders: Orders) {
    // Both wait from the beginning, so that two signals in quick succession are two.
    let first = async {
        signals(1).await;
        orders.drain();
    };
    let second = async {
        signals(2).await;
        tracing::warn!("a second signal: the relay ends at once");
        orders.end();
    };
    tokio::join!(first, second, obey_hangups(&orders));
}

/// Turns each SIGHUP into the order to read certificates again.
#[cfg(unix)]
async fn obey_hangups(orders: &Orders) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hangups) = signal(SignalKind::hangup()) else { return };
    while hangups.recv().await.is_some() {
        orders.reload_certificates();
    }
}

/// There is no SIGHUP here; files are looked at from time to time all the same.
#[cfg(not(unix))]
fn obey_hangups(_orders: &Orders) -> std::future::Ready<()> {
    std::future::ready(())
}

/// Waits for SIGTERM or SIGINT, that many times.
#[cfg(unix)]
async fn signals(count: usize) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    for _ in 0..count {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
async fn signals(count: usize) {
    for _ in 0..count {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
