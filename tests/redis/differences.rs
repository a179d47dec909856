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
    // Redis gives a large hash in several pages.
    Difference {
        explains: |name, redis, _| {
            let is_end = |cursor: &Reply| matches!(cursor, Reply::Bulk(_, text) if text == b"0");
            let has_more = |page: &Reply| matches!(page, Reply::Many(_, parts) if !parts.first().is_none_or(is_end));
            name == "HSCAN" && has_more(redis)
        },
    },
    // An error of Lua itself has the line of the script's last call of a command, and names a
    // field where Lua names a local.
    Difference {
        explains: |name, redis, ours| {
            let is_of_lua = |reply: &Reply| matches!(reply, Reply::Line(line) if line.starts_with(b"-ERR user_script:"));
            name.starts_with("EVAL") && is_of_lua(redis) && is_of_lua(ours)
        },
    },
    // There is no Lua.
    Difference {
        explains: |name, _, ours| {
            let is_unknown = |error: &[u8]| error.starts_with(b"-ERR this script is not among");
            matches!(name, "EVAL" | "EVAL_RO" | "SCRIPT")
                && matches!(ours, Reply::Line(line) if is_unknown(line))
        },
    },
    // Redis counts what has expired and is not yet removed.
    Difference {
        explains: |name, redis, ours| {
            name == "DBSIZE"
                && (0..redis.integer().unwrap_or(0)).contains(&ours.integer().unwrap_or(-1))
        },
    },
    // A deadline is in the year 10889 at the latest.
    Difference {
        explains: |_, redis, ours| is_same_or_far(redis, ours),
    },
];

/// Milliseconds that nobody waits for.
const FAR: i64 = 1 << 47;

/// Whether replies differ only in what is far in the future in both.
fn is_same_or_far(redis: &Reply, ours: &Reply) -> bool {
    match (redis, ours) {
        (Reply::Many(kind, redis), Reply::Many(other, ours)) => {
            let mut pairs = redis.iter().zip(ours);
            let is_alike = kind == other && redis.len() == ours.len();
            is_alike && pairs.all(|(redis, ours)| is_same_or_far(redis, ours))
        }
        (redis, ours) => {
            let is_far = |reply: &Reply| reply.integer().is_some_and(|number| number > FAR);
            redis == ours || (is_far(redis) && is_far(ours))
        }
    }
}

/// Whether a difference on purpose explains these replies to a command.
pub fn explain(args: &[Vec<u8>], redis: &Reply, ours: &Reply) -> bool {
    let name = String::from_utf8_lossy(&args[0]).to_uppercase();
    let mut differences = DIFFERENCES.iter();
    differences.any(|difference| (difference.explains)(&name, redis, ours))
}
