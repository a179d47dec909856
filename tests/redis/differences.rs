//! Where the server under test answers otherwise than Redis, on purpose.
//!
//! The list stands for users in the documentation of `exec::redis`.

use super::reply::Reply;

/// A difference on purpose.
struct Difference {
    /// Whether it explains these replies to this command.
    explains: fn(name: &str, redis: &Reply, ours: &Reply) -> bool,
}

const DIFFERENCES: &[Difference] = &[
    // Redis counts what has expired and is not yet removed.
    Difference {
        explains: |name, redis, ours| {
            name == "DBSIZE"
                && (0..redis.integer().unwrap_or(0)).contains(&ours.integer().unwrap_or(-1))
        },
    },
];

/// Whether a difference on purpose explains these replies to a command.
pub fn explain(args: &[Vec<u8>], redis: &Reply, ours: &Reply) -> bool {
    let name = String::from_utf8_lossy(&args[0]).to_uppercase();
    let mut differences = DIFFERENCES.iter();
    differences.any(|difference| (difference.explains)(&name, redis, ours))
}
