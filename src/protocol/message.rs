//! What the frames mean: requests and replies, borrowed from the buffer they came in.

mod reply;
mod request;

pub use reply::{
    Delivery, Entry, ErrorCode, Failure, Item, Messages, Page, Record, Records, Reply, Status,
    Welcome,
};
pub use request::{Auth, Hello, Op, Put, Regenerate, Request, Set, Subscribe, Topic};

/// Bytes of a nonce and of a proof.
pub const PROOF_LEN: usize = 32;
