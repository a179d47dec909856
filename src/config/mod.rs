//! What was asked for, validated. Pure: nothing here opens, reads or asks the machine.

mod limits;

pub use limits::Limits;
