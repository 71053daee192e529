//! The score index: all rows in the order of difficulty, in one file that the sampler maps into memory.

pub mod file;
pub mod map;
pub mod order;
pub mod summary;
pub mod trained;
