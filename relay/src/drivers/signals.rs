//! The signals that end a relay: the first drains it, the second ends it at once.

/// Waits for SIGTERM or SIGINT, that many times.
#[cfg(unix)]
pub(crate) async fn signals(count: usize) {
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
pub(crate) async fn signals(count: usize) {
    for _ in 0..count {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
