//! Whether the operator does its work yet, and if not, what it waits for.

use std::sync::{Arc, PoisonError, RwLock};

/// Shared between the controller, which sets it, and `/readyz`, which tells it.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<RwLock<Result<(), String>>>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(RwLock::new(Err("starting".to_owned()))))
    }
}

impl Readiness {
    /// Everything is there.
    pub fn set_ready(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Ok(());
    }

    /// Something is missing; true if that is news.
    pub fn set_waiting(&self, reason: &str) -> bool {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let news = state.as_ref().err().map(String::as_str) != Some(reason);
        *state = Err(reason.to_owned());
        news
    }

    /// Ready, or why not.
    ///
    /// # Errors
    /// What the operator waits for, in words.
    pub fn get(&self) -> Result<(), String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
