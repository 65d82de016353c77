//! The thread on which the store lives, and the handle to it.

use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;

use super::{Store, StoreError};
use crate::board::{Records, Write};

/// Orders in flight; the one that orders waits for each, so that few are needed.
const ORDERS_MAX: usize = 16;

/// Orders the store about from asynchronous code. Orders are done one after the other; the thread
/// ends with the last handle.
#[derive(Debug, Clone)]
pub struct Writer {
    orders: mpsc::SyncSender<Order>,
}

enum Order {
    Load(oneshot::Sender<Result<Records, StoreError>>),
    Commit(Vec<Write>, oneshot::Sender<Result<(), StoreError>>),
    End(oneshot::Sender<Result<(), StoreError>>),
}

// === impl Writer ===

impl Writer {
    /// Gives the store a thread.
    pub fn spawn(store: impl Store) -> std::io::Result<Self> {
        let (orders, inbox) = mpsc::sync_channel(ORDERS_MAX);
        thread::Builder::new()
            .name("brain-store".to_owned())
            .spawn(move || serve(store, &inbox))?;
        Ok(Self { orders })
    }

    /// All that is kept.
    pub async fn load(&self) -> Result<Records, StoreError> {
        self.order(Order::Load).await
    }

    /// Keeps all of this or nothing; durable when it returns.
    pub async fn commit(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.order(|answer| Order::Commit(writes, answer)).await
    }

    /// Closes the store, so that it may be opened anew.
    pub async fn end(&self) {
        // An error means that it is closed.
        let _ = self.order(Order::End).await;
    }

    async fn order<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Order,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        // Full means that the thread has ended its days in one statement.
        self.orders.try_send(order(answer)).map_err(|_| StoreError::Ended)?;
        answered.await.map_err(|_| StoreError::Ended)?
    }
}

fn serve(mut store: impl Store, inbox: &mpsc::Receiver<Order>) {
    // Whoever does not wait for the answer any more does not need it.
    while let Ok(order) = inbox.recv() {
        match order {
            Order::Load(answer) => drop(answer.send(store.load())),
            Order::Commit(writes, answer) => drop(answer.send(store.commit(&writes))),
            Order::End(answer) => {
                drop(store);
                drop(answer.send(Ok(())));
                return;
            }
        }
    }
}
