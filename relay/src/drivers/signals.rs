//! Signals that end a relay: the first drains it, the second ends it at once.

use super::orders::Orders;

/// Turns SIGTERM and SIGINT into orders, until the relay ends.
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
    tokio::join!(first, second);
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
