//! Roles and handles: how a program comes by a store, whatever process holds it.
//!
//! [`Options::create`] gives a [`Store`]; [`Cluster`] starts the calling program again as its
//! workers. From the outside in: `store`, `entry`, `update`, `batch` and `subscription` are the handle, `create` comes by
//! one, [`links`] is what it goes through and how a lost master is replaced, `election` is who
//! becomes the master, [`dumps`] what
//! is kept beyond the process, [`link`] and `serving` are what is behind. `run` and [`launch`] are
//! masters with workers. For programs on tokio `async_store` and `async_links` stand beside `store`
//! and [`links`].

#[cfg(feature = "tokio")]
pub(crate) mod async_links;
#[cfg(feature = "tokio")]
mod async_store;
#[cfg(feature = "tokio")]
mod async_subscription;
mod batch;
mod create;
pub(crate) mod dumps;
mod election;
mod entry;
mod inherited;
pub(crate) mod launch;
pub(crate) mod link;
pub(crate) mod links;
pub(crate) mod options;
mod replies;
mod run;
mod secret;
pub(crate) mod serving;
mod store;
mod subscription;
mod together;
mod update;

#[cfg(feature = "tokio")]
pub use async_store::{AsyncAll, AsyncStore};
#[cfg(feature = "tokio")]
pub use async_subscription::AsyncSubscription;
pub use batch::{Batch, Outcome};
pub use entry::{DestroyOptions, Entry, SetOptions};
pub use inherited::Listener;
pub use options::{Options, Role, Source};
pub use run::{Cluster, Worker};
pub use secret::read_secret;
pub use store::{All, Store};
pub use subscription::{Message, Subscription};
