//! tower-sessions in axum over HTTP, on three workers that share nothing but the master. Compiled
//! once for each version of tower-sessions, which is `super::tower`.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use memstore_cluster::integrations::{Conflicts, TowerSessionStore};

use super::tower::session::Error;
use super::tower::{Expiry, Session, SessionManagerLayer};
use crate::adapters::Scene;
use crate::browser::Browser;
use crate::common::{connect, parts, redis};

/// `GET /put/{key}/{value}`, `/get/{key}`, `/remove/{key}`, `/cycle`, `/clear`,
/// `/flush`, `/count`, `/expire/{seconds}`, `/fail`, `/nothing`.
fn app() -> Router {
    Router::new()
        .route("/nothing", get(async || "nothing"))
        .route(
            "/put/{key}/{value}",
            get(
                async |session: Session, Path(pair): Path<(String, String)>| {
                    answer(session.insert(&pair.0, pair.1).await)
                },
            ),
        )
        .route(
            "/get/{key}",
            get(async |session: Session, Path(key): Path<String>| {
                let value = session.get::<String>(&key).await;
                value.unwrap().ok_or(StatusCode::NOT_FOUND)
            }),
        )
        .route(
            "/remove/{key}",
            get(async |session: Session, Path(key): Path<String>| {
                answer(session.remove::<String>(&key).await.map(|_| ()))
            }),
        )
        .route(
            "/cycle",
            get(async |session: Session| answer(session.cycle_id().await)),
        )
        .route(
            "/clear",
            get(async |session: Session| session.clear().await),
        )
        .route(
            "/flush",
            get(async |session: Session| answer(session.flush().await)),
        )
        .route(
            "/count",
            get(async |session: Session| count(&session).await.unwrap().to_string()),
        )
        .route(
            "/expire/{seconds}",
            get(async |session: Session, Path(seconds): Path<i64>| {
                let age = time::Duration::seconds(seconds);
                session.set_expiry(Some(Expiry::OnInactivity(age)));
                answer(session.insert("expiry", "changed").await)
            }),
        )
        .route(
            "/fail",
            get(async |session: Session| {
                session.insert("failed", "yes").await.unwrap();
                StatusCode::INTERNAL_SERVER_ERROR
            }),
        )
}

fn answer(result: Result<(), Error>) -> StatusCode {
    result.map_or(StatusCode::BAD_GATEWAY, |()| StatusCode::OK)
}

/// Each visit is counted, whoever else counts at the same time.
async fn count(session: &Session) -> Result<u64, Error> {
    loop {
        let visits = session.get::<u64>("visits").await?.unwrap_or(0) + 1;
        session.insert("visits", visits).await?;
        if session.save().await.is_ok() {
            return Ok(visits);
        }
        session.load().await?;
    }
}

/// Serves the application on three workers.
fn serve(scene: &Scene, expiry: Option<Expiry>) -> Vec<SocketAddr> {
    let worker = |_| {
        let store = TowerSessionStore::new(scene.connect());
        let layer = SessionManagerLayer::new(store.with_conflicts(Conflicts::Refuse));
        let layer = expiry
            .into_iter()
            .fold(layer, SessionManagerLayer::with_expiry);
        let app = app().layer(layer);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0");
        let listener = scene.runtime.block_on(listener).unwrap();
        let address = listener.local_addr().unwrap();
        scene
            .runtime
            .spawn(async { axum::serve(listener, app).await });
        address
    };
    (0..3).map(worker).collect()
}

#[test]
fn a_request_that_uses_no_session_gets_no_cookie() {
    let scene = Scene::new();
    let mut browser = Browser::new(&serve(&scene, None));
    assert!(browser.get("/nothing").set_cookies.is_empty());
    assert_eq!(browser.get("/get/foo").status, 404);
    assert!(browser.cookies.is_empty());
}

#[test]
fn a_session_is_the_same_on_every_worker() {
    let scene = Scene::new();
    let mut browser = Browser::new(&serve(&scene, None));
    browser.get("/put/foo/bar").ok();
    let id = browser.cookies["id"].clone();
    for _ in 0..3 {
        assert_eq!(browser.get("/get/foo").ok(), "bar");
    }
    browser.get("/put/foo/baz").ok();
    assert_eq!(browser.get("/get/foo").ok(), "baz");
    browser.get("/remove/foo").ok();
    assert_eq!(browser.get("/get/foo").status, 404);
    assert_eq!(browser.cookies["id"], id);
}

#[test]
fn a_cookie_that_means_nothing_gets_a_new_session() {
    let scene = Scene::new();
    let servers = serve(&scene, None);
    for bogus in ["AAAAAAAAAAAAAAAAAAAAAA", "short", "not%20base64!", ""] {
        let mut browser = Browser::new(&servers);
        browser.cookies.insert("id".to_owned(), bogus.to_owned());
        browser.get("/put/foo/bar").ok();
        assert_ne!(browser.cookies["id"], bogus);
        assert_eq!(browser.get("/get/foo").ok(), "bar");
    }
}

#[test]
fn the_cookie_says_how_long_the_session_stays() {
    let scene = Scene::new();
    let ages = |expiry: Option<Expiry>| {
        let mut browser = Browser::new(&serve(&scene, expiry));
        let answer = browser.get("/put/foo/bar");
        let age = answer.attribute("max-age");
        let age = age.map(|age| age.parse::<i64>().unwrap());
        let store = connect(&scene.master.sock());
        let key = format!("sess:{}", browser.cookies["id"]);
        let ttl = store.get(key).unwrap().unwrap().ttl.unwrap();
        (age, i64::try_from(ttl.as_secs()).unwrap())
    };
    let hour = time::Duration::hours(1);
    let (age, ttl) = ages(Some(Expiry::OnInactivity(hour)));
    assert_eq!(age, Some(3600));
    assert!((3590..=3600).contains(&ttl), "{ttl}");
    let at = time::OffsetDateTime::now_utc() + hour;
    let (age, ttl) = ages(Some(Expiry::AtDateTime(at)));
    assert!((3590..=3600).contains(&age.unwrap()), "{age:?}");
    assert!((3590..=3600).contains(&ttl), "{ttl}");
    for expiry in [None, Some(Expiry::OnSessionEnd)] {
        let (age, ttl) = ages(expiry);
        assert_eq!(age, None);
        let weeks = time::Duration::weeks(2).whole_seconds();
        assert!((weeks - 10..=weeks).contains(&ttl), "{ttl}");
    }
}

#[test]
fn a_handler_may_change_how_long_the_session_stays() {
    let scene = Scene::new();
    let mut browser = Browser::new(&serve(&scene, None));
    let answer = browser.get("/expire/60");
    assert_eq!(answer.attribute("max-age"), Some("60"));
    let id = browser.cookies["id"].clone();
    // An expiry that lies in the past ends the session.
    browser.get("/expire/-1");
    browser.cookies.insert("id".to_owned(), id);
    assert_eq!(browser.get("/get/expiry").status, 404);
}

#[test]
fn cycling_gives_another_id_and_ends_the_old_one() {
    let scene = Scene::new();
    let mut browser = Browser::new(&serve(&scene, None));
    browser.get("/put/foo/bar").ok();
    let mut thief = browser.clone();
    browser.get("/cycle").ok();
    assert_ne!(browser.cookies["id"], thief.cookies["id"]);
    assert_eq!(browser.get("/get/foo").ok(), "bar");
    assert_eq!(thief.get("/get/foo").status, 404);
    assert_eq!(browser.get("/get/foo").ok(), "bar");
}

#[test]
fn flushing_ends_the_session_and_its_cookie() {
    let scene = Scene::new();
    let mut browser = Browser::new(&serve(&scene, None));
    browser.get("/put/foo/bar").ok();
    let mut other = browser.clone();
    let answer = browser.get("/flush");
    assert_eq!(answer.attribute("max-age"), Some("0"));
    assert!(browser.cookies.is_empty());
    assert_eq!(other.get("/get/foo").status, 404);
}

#[test]
fn clearing_keeps_the_session_and_drops_what_it_has() {
    let scene = Scene::new();
    let mut browser = Browser::new(&serve(&scene, None));
    browser.get("/put/foo/bar").ok();
    let id = browser.cookies["id"].clone();
    browser.get("/clear").ok();
    assert_eq!(browser.get("/get/foo").status, 404);
    browser.get("/put/foo/new").ok();
    assert_eq!(browser.cookies["id"], id);
}

#[test]
fn a_request_that_fails_saves_nothing() {
    let scene = Scene::new();
    let mut browser = Browser::new(&serve(&scene, None));
    assert_eq!(browser.get("/fail").status, 500);
    assert!(browser.cookies.is_empty());
}

#[test]
fn visits_that_come_at_once_are_all_counted() {
    let scene = Scene::new();
    let servers = serve(&scene, None);
    let mut browser = Browser::new(&servers);
    assert_eq!(browser.get("/count").ok(), "1");
    std::thread::scope(|scope| {
        for tab in 0..4 {
            let mut tab_browser = browser.clone();
            // Each begins at another worker.
            for _ in 0..tab {
                tab_browser.get("/nothing").ok();
            }
            scope.spawn(move || {
                for _ in 0..15 {
                    tab_browser.get("/count").ok();
                }
            });
        }
    });
    assert_eq!(browser.get("/count").ok(), "62");
}

#[test]
fn without_a_master_a_request_fails_and_later_ones_work() {
    let scene = Scene::new();
    let sock = scene.master.sock();
    let store = scene.connect().with_timeout(Duration::from_millis(50));
    let layer = SessionManagerLayer::new(TowerSessionStore::new(store));
    let app = app().layer(layer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0");
    let listener = scene.runtime.block_on(listener).unwrap();
    let mut browser = Browser::new(&[listener.local_addr().unwrap()]);
    scene
        .runtime
        .spawn(async { axum::serve(listener, app).await });
    browser.get("/put/foo/bar").ok();
    let Scene { master, runtime } = scene;
    let redis::Master { running, folder } = master;
    drop(running);
    assert_eq!(browser.get("/put/foo/baz").status, 502);
    let again = parts::serve(&sock, ["--log", "info"]);
    browser.get("/put/foo/new").ok();
    assert_eq!(browser.get("/get/foo").ok(), "new");
    drop((again, runtime, folder));
}
