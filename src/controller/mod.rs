//! The controller: `observe → validate → decide → act`.

mod actions;
pub mod build;
mod decide;
mod evidence;
mod observed;
mod stand_in;
mod untrusted;
mod validate;

pub use decide::Settings;
