//! Two requests with one session at once: the last wins, or the slower is told.

use std::time::Duration;

use memstore_cluster::integrations::Conflicts;

use super::adapters::{Actix, Adapter, Scene, Session, Tower14, Tower15, Trouble};

const HOUR: Duration = Duration::from_secs(3600);

macro_rules! settles {
    ($module:ident, $adapter:ty) => {
        mod $module {
            use super::*;

            #[test]
            fn the_last_to_save_wins_where_nothing_else_is_asked_for() {
                super::the_last_to_save_wins::<$adapter>();
            }

            #[test]
            fn a_save_that_would_undo_another_is_refused_where_asked_for() {
                super::a_stale_save_is_refused::<$adapter>();
            }

            #[test]
            fn no_update_is_lost_where_each_is_repeated() {
                super::no_update_is_lost::<$adapter>();
            }
        }
    };
}

settles!(tower_sessions_0_14, Tower14);
settles!(tower_sessions_0_15, Tower15);
settles!(actix_session, Actix);

async fn created<A: Adapter>(worker: &A) -> String {
    let mut session = Session::of([("count", "0")]);
    worker.create(&mut session, HOUR).await.unwrap();
    session.id
}

async fn loaded<A: Adapter>(worker: &A, id: &str) -> Session {
    worker.load(id).await.unwrap().unwrap()
}

fn the_last_to_save_wins<A: Adapter>() {
    let scene = Scene::new();
    let [one, other]: [A; 2] = scene.workers(Conflicts::Overwrite);
    scene.runtime.block_on(async {
        let id = created(&one).await;
        let (mut first, mut second) = (loaded(&one, &id).await, loaded(&other, &id).await);
        first.put("one", "1");
        second.put("other", "2");
        one.save(&first, HOUR).await.unwrap();
        other.save(&second, HOUR).await.unwrap();
        assert_eq!(loaded(&one, &id).await, second);
    });
}

fn a_stale_save_is_refused<A: Adapter>() {
    let scene = Scene::new();
    let [one, other]: [A; 2] = scene.workers(Conflicts::Refuse);
    scene.runtime.block_on(async {
        let id = created(&one).await;
        let (mut first, mut second) = (loaded(&one, &id).await, loaded(&other, &id).await);
        first.put("one", "1");
        one.save(&first, HOUR).await.unwrap();
        // A request may save again what it has saved, and more.
        one.save(&first, HOUR).await.unwrap();
        first.put("one", "2");
        one.save(&first, HOUR).await.unwrap();

        second.put("other", "2");
        let refused = other.save(&second, HOUR).await;
        let Err(Trouble::Other(text)) = refused else {
            panic!("{refused:?}")
        };
        assert!(text.contains("the key holds version"), "{text}");
        let mut second = loaded(&other, &id).await;
        assert_eq!(second.data["one"], "2");
        second.put("other", "2");
        other.save(&second, HOUR).await.unwrap();
        // The first has nothing new to say, which undoes nothing, and then too late something.
        one.save(&first, HOUR).await.unwrap();
        first.put("one", "3");
        assert!(one.save(&first, HOUR).await.is_err());
        let last = loaded(&one, &id).await.data;
        assert_eq!((&*last["one"], &*last["other"]), ("2", "2"));

        // What was created and not loaded is known as well.
        let mut mine = Session::of([]);
        one.create(&mut mine, HOUR).await.unwrap();
        mine.put("a", "1");
        one.save(&mine, HOUR).await.unwrap();
    });
}

fn no_update_is_lost<A: Adapter>() {
    const EACH: usize = 25;
    let scene = Scene::new();
    let workers: [A; 4] = scene.workers(Conflicts::Refuse);
    let id = scene.runtime.block_on(created(&workers[0]));
    let count = |session: &Session| session.data["count"].parse::<usize>().unwrap();
    scene.runtime.block_on(async {
        let mut counting = tokio::task::JoinSet::new();
        for worker in &workers {
            let (worker, id) = (worker.clone(), id.clone());
            counting.spawn(async move {
                for _ in 0..EACH {
                    loop {
                        let mut session = loaded(&worker, &id).await;
                        session.put("count", &(count(&session) + 1).to_string());
                        if worker.save(&session, HOUR).await.is_ok() {
                            break;
                        }
                    }
                }
            });
        }
        counting.join_all().await;
        let end = loaded(&workers[0], &id).await;
        assert_eq!(count(&end), workers.len() * EACH);
    });
}
