//! The core of the curriculum operator for Python: the extension module `curriculum._native`.
//!
//! It takes plain values, and `curriculum/plan.py`, its only user, has the interface and its documentation.

mod errors;
mod open;
mod plan;

/// The module.
#[pyo3::pymodule(name = "_native")]
mod native {
    #[pymodule_export]
    use crate::open::{compile, open};
    #[pymodule_export]
    use crate::plan::Plan;
}
