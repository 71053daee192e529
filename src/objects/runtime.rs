//! The threads that wait for answers of object stores. Whoever reads a file waits on its own thread.

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

const THREADS: usize = 2;

#[expect(clippy::expect_used, reason = "without threads nothing of this process works")]
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("objects")
            .enable_all()
            .build()
            .expect("threads can be started")
    })
}

/// Waits for an answer. Not from a thread of another runtime.
pub(super) fn wait<T>(answer: impl Future<Output = T>) -> T {
    runtime().block_on(answer)
}

/// Lets something go on meanwhile.
pub(super) fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    runtime().spawn(work)
}
