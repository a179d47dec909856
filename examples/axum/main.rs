//! An axum application on every core behind one port, its sessions in the master: login, a counter
//! and logout with tower-sessions.
//!
//! ```text
//! cargo build --release --example axum --features tower-sessions
//! memstore-cluster run --bind 127.0.0.1:8080 -- target/release/examples/axum
//! ```
//!
//! The page counts your visits since you logged in. Whichever worker answers, the count goes on;
//! visits that come at once are all counted, and a logout in one tab is one in every tab.

use std::error::Error;
use std::io;

use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Router, serve};
use listenfd::ListenFd;
use memstore_cluster::integrations::{Conflicts, TowerSessionStore};
use memstore_cluster::{AsyncStore, Options};
use serde::Deserialize;
use time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tower_sessions::cookie::SameSite;
use tower_sessions::session::Error as SessionError;
use tower_sessions::{Expiry, Session, SessionManagerLayer};
use tower_sessions_0_15 as tower_sessions;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // The master's store in a worker, one of its own where there is no master.
    let store = Options::default().create_async().await?;
    let sessions = TowerSessionStore::new(store.clone()).with_conflicts(Conflicts::Refuse);
    let sessions = SessionManagerLayer::new(sessions)
        .with_secure(false) // because this is no HTTPS
        .with_same_site(SameSite::Lax)
        .with_expiry(Expiry::OnInactivity(Duration::minutes(30)));
    let app = Router::new()
        .route("/", get(home))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .layer(sessions)
        .with_state(store);
    let mut stop = signal(SignalKind::terminate())?;
    let stopped = async move {
        stop.recv().await;
    };
    serve(listener()?, app)
        .with_graceful_shutdown(stopped)
        .await?;
    Ok(())
}

/// The socket that all workers share, or one of its own.
fn listener() -> io::Result<TcpListener> {
    let listener = match ListenFd::from_env().take_tcp_listener(0)? {
        Some(shared) => shared,
        None => std::net::TcpListener::bind("127.0.0.1:8080")?,
    };
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

async fn home(State(store): State<AsyncStore>, session: Session) -> Result<Html<String>, Failed> {
    let Some(user) = session.get::<String>("user").await? else {
        let form =
            "<form method=post action=/login><input name=user><button>log in</button></form>";
        return Ok(Html(format!("<p id=who>nobody</p>{form}")));
    };
    let visits = visit(&session).await?;
    let worker = match store.worker() {
        Some(slot) => format!("worker {slot}"),
        None => "standalone".to_owned(),
    };
    Ok(Html(format!(
        "<p id=who>{}</p><p>visit <b id=visits>{visits}</b>, answered by <b id=worker>{worker}</b>, \
         process <b id=pid>{}</b></p>\
         <form method=post action=/logout><button>log out</button></form>",
        escaped(&user),
        std::process::id()
    )))
}

/// Counts a visit. Two workers may answer the same session at once: whoever finds that the other
/// was faster starts again from what the other wrote, so no visit is lost.
async fn visit(session: &Session) -> Result<u64, SessionError> {
    loop {
        let visits = session.get::<u64>("visits").await?.unwrap_or(0) + 1;
        session.insert("visits", visits).await?;
        if session.save().await.is_ok() {
            return Ok(visits);
        }
        session.load().await?;
    }
}

#[derive(Deserialize)]
struct Login {
    user: String,
}

async fn login(session: Session, Form(login): Form<Login>) -> Result<Redirect, Failed> {
    // Whoever knew the id of the session before knows nothing now.
    session.cycle_id().await?;
    session.insert("user", login.user).await?;
    Ok(Redirect::to("/"))
}

async fn logout(session: Session) -> Result<Redirect, Failed> {
    session.flush().await?;
    Ok(Redirect::to("/"))
}

/// The session could not be had.
struct Failed(SessionError);

impl From<SessionError> for Failed {
    fn from(error: SessionError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let text = format!("no session: {}", self.0);
        (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
