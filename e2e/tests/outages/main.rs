//! Tests that need the operator for themselves: they kill it, or count everything that it does. Run one at a time, after
//! the tests in `cases`.

mod budget;
mod crash;
mod failover;
