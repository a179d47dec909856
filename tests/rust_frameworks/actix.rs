//! actix-session over HTTP, on three workers that share nothing but the master.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use actix_session::config::{CookieContentSecurity, PersistentSession, TtlExtensionPolicy};
use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::Key;
use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};
use memstore_cluster::integrations::{ActixSessionStore, Conflicts};
use memstore_cluster::{AsyncStore, Options};

use super::adapters::Scene;
use super::browser::Browser;
use super::common::{PATIENCE, connect, eventually};

const HOUR: time::Duration = time::Duration::hours(1);

/// How the servers of a test are to be.
#[derive(Clone)]
struct Terms {
    security: CookieContentSecurity,
    policy: TtlExtensionPolicy,
    conflicts: Conflicts,
    /// How long a call to the master may take.
    timeout: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            security: CookieContentSecurity::Signed,
            policy: TtlExtensionPolicy::OnStateChanges,
            conflicts: Conflicts::Overwrite,
            timeout: PATIENCE,
        }
    }
}

/// Servers that end with the test.
struct Servers {
    addresses: Vec<SocketAddr>,
    handles: Vec<ServerHandle>,
}

impl Drop for Servers {
    fn drop(&mut self) {
        for handle in &self.handles {
            // It takes effect where it is called.
            drop(handle.stop(false));
        }
    }
}

fn serve(scene: &Scene, terms: &Terms) -> Servers {
    let key = Key::generate();
    let (addresses, handles) = (0..3)
        .map(|_| {
            let (sock, key, terms) = (scene.master.sock(), key.clone(), terms.clone());
            let (told, heard) = mpsc::channel();
            thread::spawn(move || {
                actix_web::rt::System::new().block_on(async move {
                    let options = Options {
                        sock: Some(sock),
                        connect: true,
                        timeout: terms.timeout,
                        ..Options::default()
                    };
                    let store = options.create_async().await.unwrap();
                    let app = move || app(store.clone(), key.clone(), terms.clone());
                    let server = HttpServer::new(app).workers(2).disable_signals();
                    let server = server.bind("127.0.0.1:0").unwrap();
                    let address = server.addrs()[0];
                    let running = server.run();
                    told.send((address, running.handle())).unwrap();
                    running.await.unwrap();
                });
            });
            heard.recv().unwrap()
        })
        .unzip();
    Servers { addresses, handles }
}

fn app(
    store: AsyncStore,
    key: Key,
    terms: Terms,
) -> App<
    impl actix_web::dev::ServiceFactory<
        actix_web::dev::ServiceRequest,
        Config = (),
        Response = actix_web::dev::ServiceResponse<impl actix_web::body::MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    let store = ActixSessionStore::new(store).with_conflicts(terms.conflicts);
    let lifecycle = PersistentSession::default()
        .session_ttl(HOUR)
        .session_ttl_extension_policy(terms.policy);
    let sessions = SessionMiddleware::builder(store, key)
        .cookie_content_security(terms.security)
        .session_lifecycle(lifecycle)
        .build();
    App::new()
        .wrap(sessions)
        .route("/nothing", web::get().to(async || "nothing"))
        .route("/count", web::get().to(count))
        .route(
            "/read",
            web::get().to(async |session: Session| visits(&session).to_string()),
        )
        .route(
            "/renew",
            web::get().to(async |session: Session| {
                session.renew();
                "renewed"
            }),
        )
        .route(
            "/purge",
            web::get().to(async |session: Session| {
                session.purge();
                "purged"
            }),
        )
        .route(
            "/clear",
            web::get().to(async |session: Session| {
                session.clear();
                "cleared"
            }),
        )
        .route(
            "/fail",
            web::get().to(async |session: Session| {
                session.insert("visits", 77).unwrap();
                HttpResponse::InternalServerError().finish()
            }),
        )
}

fn visits(session: &Session) -> u64 {
    session.get("visits").unwrap().unwrap_or(0)
}

async fn count(session: Session) -> String {
    let visits = visits(&session) + 1;
    session.insert("visits", visits).unwrap();
    visits.to_string()
}

/// How long the one session that there is will stay.
fn only_ttl(scene: &Scene) -> time::Duration {
    let store = connect(&scene.master.sock());
    let all: Vec<_> = store.all().map(Result::unwrap).collect();
    let [(_, entry)] = &*all else {
        panic!("not one session: {all:?}")
    };
    entry.ttl.unwrap().try_into().unwrap()
}

#[test]
fn a_session_is_the_same_on_every_worker() {
    let scene = Scene::new();
    for security in [
        CookieContentSecurity::Signed,
        CookieContentSecurity::Private,
    ] {
        let terms = Terms {
            security,
            ..Terms::default()
        };
        let servers = serve(&scene, &terms);
        let mut browser = Browser::new(&servers.addresses);
        assert!(browser.get("/nothing").set_cookies.is_empty());
        for visit in 1..=6 {
            assert_eq!(browser.get("/count").ok(), visit.to_string());
        }
        assert_eq!(Browser::new(&servers.addresses).get("/count").ok(), "1");
    }
}

#[test]
fn a_cookie_that_means_nothing_gets_a_new_session() {
    let scene = Scene::new();
    let servers = serve(&scene, &Terms::default());
    let mut browser = Browser::new(&servers.addresses);
    browser.cookies.insert("id".to_owned(), "forged".to_owned());
    assert_eq!(browser.get("/count").ok(), "1");
    assert_ne!(browser.cookies["id"], "forged");
    // A cookie of ours whose session is gone.
    let old = browser.cookies["id"].clone();
    connect(&scene.master.sock()).clear().unwrap();
    assert_eq!(browser.get("/read").ok(), "0");
    assert_eq!(browser.get("/count").ok(), "1");
    assert_ne!(browser.cookies["id"], old);
}

#[test]
fn renewing_gives_another_key_and_ends_the_old_one() {
    let scene = Scene::new();
    let servers = serve(&scene, &Terms::default());
    let mut browser = Browser::new(&servers.addresses);
    browser.get("/count").ok();
    let mut thief = browser.clone();
    browser.get("/renew").ok();
    assert_ne!(browser.cookies["id"], thief.cookies["id"]);
    assert_eq!(browser.get("/count").ok(), "2");
    assert_eq!(thief.get("/read").ok(), "0");
}

#[test]
fn purging_ends_the_session_and_its_cookie() {
    let scene = Scene::new();
    let servers = serve(&scene, &Terms::default());
    let mut browser = Browser::new(&servers.addresses);
    browser.get("/count").ok();
    let mut other = browser.clone();
    let answer = browser.get("/purge");
    assert_eq!(answer.attribute("max-age"), Some("0"));
    assert!(browser.cookies.is_empty());
    assert_eq!(other.get("/read").ok(), "0");
    assert_eq!(connect(&scene.master.sock()).length().unwrap(), 0);
}

#[test]
fn clearing_keeps_the_session_and_drops_what_it_has() {
    for conflicts in [Conflicts::Overwrite, Conflicts::Refuse] {
        let scene = Scene::new();
        let terms = Terms {
            conflicts,
            ..Terms::default()
        };
        let servers = serve(&scene, &terms);
        let mut browser = Browser::new(&servers.addresses);
        browser.get("/count").ok();
        browser.get("/count").ok();
        browser.get("/clear").ok();
        assert_eq!(browser.get("/count").ok(), "1");
    }
}

#[test]
fn the_deadline_moves_as_the_policy_says() {
    for (policy, moves) in [
        (TtlExtensionPolicy::OnStateChanges, false),
        (TtlExtensionPolicy::OnEveryRequest, true),
    ] {
        let scene = Scene::new();
        let terms = Terms {
            policy,
            ..Terms::default()
        };
        let servers = serve(&scene, &terms);
        let mut browser = Browser::new(&servers.addresses);
        assert_eq!(browser.get("/count").attribute("max-age"), Some("3600"));
        let store = connect(&scene.master.sock());
        let (key, entry) = store.all().next().unwrap().unwrap();
        let minute = Duration::from_secs(60);
        assert!(store.touch(&key, Some(minute)).unwrap());

        let answer = browser.get("/nothing");
        assert_eq!(answer.set_cookies.len(), usize::from(moves));
        assert_eq!(only_ttl(&scene) > time::Duration::minutes(59), moves);
        let after = store.get(&key).unwrap().unwrap();
        assert_eq!(after.seq, entry.seq, "the data were written");

        assert_eq!(browser.get("/count").attribute("max-age"), Some("3600"));
        assert!(only_ttl(&scene) > time::Duration::minutes(59));
    }
}

#[test]
fn of_visits_that_come_at_once_each_is_counted_or_told_to_be_not() {
    let scene = Scene::new();
    let terms = Terms {
        conflicts: Conflicts::Refuse,
        ..Terms::default()
    };
    let servers = serve(&scene, &terms);
    let mut browser = Browser::new(&servers.addresses);
    browser.get("/count").ok();
    let counted: usize = thread::scope(|scope| {
        let tabs: Vec<_> = (0..4)
            .map(|tab| {
                let mut browser = browser.clone();
                (0..tab).for_each(|_| drop(browser.get("/nothing")));
                scope.spawn(move || {
                    let statuses = (0..15).map(|_| browser.get("/count").status);
                    let counted = |status: &u16| match status {
                        200 => true,
                        500 => false,
                        status => panic!("status {status}"),
                    };
                    statuses.filter(counted).count()
                })
            })
            .collect();
        tabs.into_iter().map(|tab| tab.join().unwrap()).sum()
    });
    assert_eq!(browser.get("/read").ok(), (counted + 1).to_string());
}

#[test]
fn without_a_master_a_request_fails_and_says_nothing_of_why() {
    let scene = Scene::new();
    let terms = Terms {
        timeout: Duration::from_millis(200),
        ..Terms::default()
    };
    let servers = serve(&scene, &terms);
    let mut browser = Browser::new(&servers.addresses[..1]);
    browser.get("/count").ok();
    scene
        .master
        .running
        .signal(nix::sys::signal::Signal::SIGSTOP);
    let answer = browser.get("/count");
    assert_eq!((answer.status, &*answer.body), (500, ""));
    scene
        .master
        .running
        .signal(nix::sys::signal::Signal::SIGCONT);
    eventually("the master answers in time", || {
        (browser.get("/count").status == 200).then_some(())
    });
}
