//! What was asked for, validated. Pure: nothing here opens, reads or asks the machine.

mod address;
mod limits;

pub use address::{BindAddress, BindAddressError};
pub use limits::Limits;
