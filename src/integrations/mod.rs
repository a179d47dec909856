//! Session stores for web frameworks, each behind the feature of its name.
//!
//! | feature | type | for |
//! |---|---|---|
//! | `tower-sessions` | [`TowerSessionStore`] | tower-sessions 0.15 and 0.14 (axum, tonic, …) |
//! | `actix-session` | [`ActixSessionStore`] | actix-session 0.11 (actix-web 4) |
//!
//! Both keep a session as a JSON object under `sess:` and its id, over an
//! [`AsyncStore`](crate::AsyncStore), and follow the same rules:
//!
//! - A new session never takes the place of another: where its id is taken, it gets another id.
//! - A session is saved only where it still exists. A request that began before somebody logged
//!   out does not bring the session back when it ends; what it would have saved is dropped.
//! - What was saved since by another request is overwritten, unless [`Conflicts::Refuse`] is asked
//!   for.
//! - Prolonging a session moves its deadline and writes no data.
//! - Where the connection broke and nobody knows whether a write was done, it is repeated; under
//!   the rules above that does no harm.
//!
//! `sessions` holds those rules; the other modules only speak each crate's language.

#[cfg(feature = "actix-session")]
mod actix_session;
mod sessions;
#[cfg(feature = "tower-sessions")]
mod tower_sessions;

#[cfg(feature = "actix-session")]
pub use actix_session::ActixSessionStore;
pub use sessions::Conflicts;
#[cfg(feature = "tower-sessions")]
pub use tower_sessions::TowerSessionStore;
