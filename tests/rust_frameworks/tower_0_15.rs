//! tower-sessions 0.15 over HTTP.

use tower_sessions_0_15 as tower;

#[path = "axum_app.rs"]
#[allow(clippy::duplicate_mod, reason = "each version is compiled by itself")]
mod app;
