//! One server: the connection to it is made before anybody asks, and anew whenever it is lost.
//!
//! That is done by a task of its own, the keeper. Whoever has something to ask waits for it only
//! while it is not known how the server is; of one that could not be reached, the last time it was
//! tried, everything is refused at once. A `PING` in idle time finds out what TCP does not tell.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::{Cmd, Pipeline, PushKind, RedisError, Value};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::dial::{Dialer, Listener, Place};
use super::fast::Fast;
use super::near::Near;
use crate::backend::{BackendError, Outcome};

/// The first pause after a failure, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How often a server that is not asked anything is.
const PULSE: Duration = Duration::from_secs(1);

/// How a server begins that is a replica now, and is to write.
pub(super) const DEMOTED: &str = "READONLY";
/// What is said of a server that does not answer.
pub(super) const LATE: &str = "no answer in time";

/// Why a server has not done what it was to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It refuses, in its words.
    Said(String),
    /// It was not asked, for this reason.
    Away(String),
    /// It was asked, and the connection was lost, for this reason.
    Lost(String),
    /// It was asked, the connection was lost, and it could not be asked again, for this reason.
    Gone(String),
    /// It was asked, and there was no answer in time.
    Late,
}

/// What a server says to one command.
pub(super) type Reply = Result<Value, Trouble>;

/// Whether commands can be sent again when it is not known whether they were done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    Yes,
    No,
}

/// A server.
pub(super) struct Node {
    shared: Arc<Shared>,
    keeper: AbortHandle,
}

/// What there is around a server.
pub(super) struct Surroundings {
    /// What messages call it.
    pub(super) name: String,
    /// How long it may take for everything that it is asked at once, and to let us in.
    pub(super) timeout: Duration,
    pub(super) near: Option<Arc<Near>>,
    /// The fast path to it, where it has one.
    pub(super) fast: Option<Arc<Fast>>,
    /// Told whenever it is not reached any more.
    pub(super) lost: Arc<Notify>,
}

struct Shared {
    around: Surroundings,
    state: watch::Sender<State>,
}

#[derive(Clone)]
enum State {
    /// It is being connected to, and not known yet how that goes.
    New,
    Up(u64, MultiplexedConnection),
    /// It could not be reached.
    Away(String),
}

impl Node {
    pub(super) fn start(
        runtime: &Handle,
        place: Place,
        dialer: Arc<Dialer>,
        around: Surroundings,
    ) -> Self {
        let shared = Arc::new(Shared {
            around,
            state: watch::Sender::new(State::New),
        });
        let keeper = runtime.spawn(keep(Arc::clone(&shared), place, dialer));
        Self {
            shared,
            keeper: keeper.abort_handle(),
        }
    }

    /// Sends commands at once, and gives what the server says to each, in the same order.
    ///
    /// # Errors
    /// It says nothing: what that means for all of them.
    pub(super) async fn run(
        &self,
        commands: Vec<Cmd>,
        repeat: Repeat,
        deadline: Instant,
    ) -> Result<Vec<Reply>, Trouble> {
        let count = commands.len();
        let mut pipeline = Pipeline::with_capacity(count);
        for command in commands {
            pipeline.add_command(command);
        }
        let mut is_again = false;
        loop {
            let connection = self.connection(deadline).await;
            let (number, mut connection) = connection.map_err(|trouble| match trouble {
                Trouble::Away(why) if is_again => Trouble::Gone(why),
                other => other,
            })?;
            let sent = connection.send_packed_commands(&pipeline, 0, count);
            let error = match timeout_at(deadline, sent).await {
                Ok(Ok(values)) => return Ok(self.replies(number, values)),
                Ok(Err(error)) => error,
                Err(_) => {
                    self.shared.lost(number, State::Away(LATE.to_owned()));
                    return Err(Trouble::Late);
                }
            };
            self.shared.lost(number, State::New);
            if repeat == Repeat::No || is_again {
                return Err(Trouble::Lost(self.because(&describe(&error))));
            }
            is_again = true;
        }
    }

    fn replies(&self, number: u64, values: Vec<Value>) -> Vec<Reply> {
        let replies: Vec<Reply> = values.into_iter().map(said).collect();
        let is_demoted =
            |reply: &Reply| matches!(reply, Err(Trouble::Said(text)) if text.starts_with(DEMOTED));
        if replies.iter().any(is_demoted) {
            // It is a replica now; whoever is dialled next may be the primary.
            self.shared.lost(number, State::New);
        }
        replies
    }

    /// The connection, as soon as it is known whether there is one.
    async fn connection(&self, deadline: Instant) -> Result<(u64, MultiplexedConnection), Trouble> {
        let mut state = self.shared.state.subscribe();
        let known = state.wait_for(|state| !matches!(state, State::New));
        let known = match timeout_at(deadline, known).await {
            Ok(Ok(state)) => state.clone(),
            _ => State::New,
        };
        match known {
            State::Up(number, connection) => Ok((number, connection)),
            State::Away(why) => Err(Trouble::Away(self.because(&why))),
            State::New => Err(Trouble::Away(self.because("no connection in time"))),
        }
    }

    /// Waits until it is known whether it can be reached, and says why not.
    pub(super) async fn reach(&self, deadline: Instant) -> Result<(), Trouble> {
        self.connection(deadline).await.map(drop)
    }

    /// Why it cannot be asked now, where that is known.
    pub(super) fn away(&self) -> Option<Trouble> {
        match &*self.shared.state.borrow() {
            State::Away(why) => Some(Trouble::Away(self.because(why))),
            State::New | State::Up(..) => None,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(&*self.shared.state.borrow(), State::Up(..))
    }

    fn because(&self, why: &str) -> String {
        format!("{}: {why}", self.shared.around.name)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Shared {
    fn up(&self, number: u64, connection: MultiplexedConnection) {
        let before = self.state.send_replace(State::Up(number, connection));
        if let Some(near) = &self.around.near {
            near.begin();
        }
        if let State::Away(_) = before {
            tracing::info!(server = self.around.name, "connected again");
        }
    }

    /// It could not be connected to.
    fn away(&self, why: String) {
        let is_known = matches!(&*self.state.borrow(), State::Away(known) if *known == why);
        if !is_known {
            tracing::warn!(
                server = self.around.name,
                why,
                "a server of the store cannot be reached"
            );
        }
        self.state.send_replace(State::Away(why));
        self.around.lost.notify_one();
    }

    /// The connection with this number is not to be used any more.
    fn lost(&self, number: u64, then: State) {
        if let State::Away(why) = &then {
            tracing::warn!(
                server = self.around.name,
                why,
                "a server of the store fails"
            );
        }
        let was_this = self.state.send_if_modified(|state| {
            let is_this = matches!(state, State::Up(up, _) if *up == number);
            if is_this {
                *state = then;
            }
            is_this
        });
        if was_this {
            if let Some(near) = &self.around.near {
                near.forget();
            }
            self.around.lost.notify_one();
        }
    }
}

/// Keeps a server connected.
async fn keep(shared: Arc<Shared>, place: Place, dialer: Arc<Dialer>) {
    let most = shared.around.timeout;
    let (mut number, mut pause) = (0, PAUSES.0);
    loop {
        number += 1;
        let dialled = timeout(most, dial(&shared, number, &place, &dialer)).await;
        match dialled {
            Ok(Ok((connection, is_closed))) => {
                shared.up(number, connection.clone());
                if is_closed.load(Ordering::Relaxed) {
                    shared.lost(number, State::New);
                }
                let began = Instant::now();
                look_after(&shared, number, connection, &dialer).await;
                if began.elapsed() > PAUSES.1 {
                    pause = PAUSES.0;
                    continue;
                }
            }
            Ok(Err(error)) => shared.away(describe(&error)),
            Err(_) => shared.away("it does not let us in in time".to_owned()),
        }
        // Masters that lost the same server do not come back in step.
        sleep(pause.mul_f64(fastrand::f64().mul_add(0.5, 0.5))).await;
        pause = (2 * pause).min(PAUSES.1);
    }
}

/// Connects, and has the server tell of changes where somebody listens to that. Also gives whether
/// the server has closed the connection already.
async fn dial(
    shared: &Arc<Shared>,
    number: u64,
    place: &Place,
    dialer: &Dialer,
) -> Result<(MultiplexedConnection, Arc<AtomicBool>), RedisError> {
    let is_closed = Arc::new(AtomicBool::new(false));
    let closing = Arc::clone(&is_closed);
    // The connection, which has the listener, is part of what is shared.
    let weak = Arc::downgrade(shared);
    let listener: Listener = Arc::new(move |push| {
        let Some(shared) = weak.upgrade() else {
            return;
        };
        if push.kind == PushKind::Disconnection {
            closing.store(true, Ordering::Relaxed);
            shared.lost(number, State::New);
        } else if let Some(near) = &shared.around.near {
            near.told(&push);
        }
    });
    let mut connection = dialer.connect(place, listener).await?;
    if let Some(near) = &shared.around.near {
        near.tracking().exec_async(&mut connection).await?;
    }
    Ok((connection, is_closed))
}

/// Looks after a connection until it is lost, and meanwhile after the fast path.
async fn look_after(
    shared: &Shared,
    number: u64,
    connection: MultiplexedConnection,
    dialer: &Dialer,
) {
    let watched = watch(shared, number, connection);
    let Some(fast) = &shared.around.fast else {
        return watched.await;
    };
    let (watched, kept) = (pin!(watched), pin!(fast.keep(dialer)));
    let is_late = matches!(select(watched, kept).await, Either::Right(_));
    if is_late {
        shared.lost(number, State::Away(LATE.to_owned()));
    }
    fast.withdraw();
}

/// Watches a connection until it is lost.
async fn watch(shared: &Shared, number: u64, mut connection: MultiplexedConnection) {
    let mut state = shared.state.subscribe();
    let ping = redis::cmd("PING");
    loop {
        let lost = state.wait_for(|state| !matches!(state, State::Up(up, _) if *up == number));
        if timeout(PULSE, lost).await.is_ok() {
            return;
        }
        match timeout(shared.around.timeout, connection.req_packed_command(&ping)).await {
            // Also that it does not like to be asked this is an answer.
            Ok(Ok(_)) => {}
            Ok(Err(_)) => shared.lost(number, State::New),
            Err(_) => shared.lost(number, State::Away(LATE.to_owned())),
        }
    }
}

/// What a server's word is.
pub(super) fn said(value: Value) -> Reply {
    match value {
        Value::ServerError(error) => {
            let details = error.details().unwrap_or_default();
            Err(Trouble::Said(format!("{} {details}", error.code())))
        }
        value => Ok(value),
    }
}

/// What went wrong, in one line.
pub(super) fn describe(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (None, Some(detail)) => detail.to_owned(),
        _ => error.to_string(),
    }
}

impl From<Trouble> for BackendError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Said(text) => match text.strip_prefix("OOM ") {
                Some(text) => Self::Full(text.to_owned()),
                None => Self::Failed(text),
            },
            Trouble::Away(why) | Trouble::Gone(why) => Self::Failed(why),
            Trouble::Lost(why) => Self::Failed(format!("{why}; {}", Outcome::Unknown)),
            Trouble::Late => Self::TimedOut {
                outcome: Outcome::Unknown,
            },
        }
    }
}
