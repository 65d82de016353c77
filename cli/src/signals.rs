//! The signals that end `ltc`.

/// Returns when the person, or the system, wants an end.
#[cfg(unix)]
pub async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).ok();
    let mut term = listen(SignalKind::terminate());
    let mut hangup = listen(SignalKind::hangup());
    let mut interrupt = listen(SignalKind::interrupt());
    tokio::select! {
        () = arrival(&mut term) => {}
        () = arrival(&mut hangup) => {}
        () = arrival(&mut interrupt) => {}
    }
}

#[cfg(unix)]
async fn arrival(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        // It cannot be listened for, so it ends the process by itself.
        None => std::future::pending().await,
    }
}

/// Returns when the person wants an end.
#[cfg(not(unix))]
pub async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
