//! What the drivers have in common. No driver itself: there is no `main.rs` here.
//!
//! | file | holds |
//! |---|---|
//! | `driver` | how a driver begins, ends and is interrupted |
//! | `args` | the arguments that several drivers know |
//! | `server`, `floor` | the servers that are measured |
//! | `dialect`, `answers`, `connection` | what they are asked, and what they answer |
//! | `keys` | which entries there are |
//! | `wire`, `load` | the same one request again and again, at the least cost for the client |
//! | `probe` | the same one request at fixed times |
//! | `machine`, `memory` | what the machine is and does; what a process holds |
//! | `histogram`, `table` | from measurements to figures to Markdown |

pub(crate) mod answers;
pub(crate) mod args;
pub(crate) mod connection;
pub(crate) mod dialect;
pub(crate) mod driver;
pub(crate) mod floor;
pub(crate) mod histogram;
pub(crate) mod keys;
pub(crate) mod load;
pub(crate) mod machine;
pub(crate) mod memory;
pub(crate) mod probe;
pub(crate) mod server;
pub(crate) mod table;
pub(crate) mod wire;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
