//! From a plan to a store: [`Options::create`].

use std::sync::Arc;
use std::time::Instant;

use super::link::{Link, Local};
use super::links::Links;
use super::options::{Options, Plan, Surroundings};
use super::store::Store;
use super::{election, inherited};
use crate::client;
use crate::error::Result;

impl Options {
    /// Comes by a store: see [`Options`] for what this process becomes.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for what cannot be meant; [`Error::Held`](crate::Error::Held) where there is a master already
    /// and `serve` was asked for; [`Error::Unreachable`](crate::Error::Unreachable) where no master came in time;
    /// [`Error::Authentication`](crate::Error::Authentication); [`Error::Io`](crate::Error::Io) for what the system refuses; what the backend's
    /// [`Source`](super::Source) returns.
    pub fn create(self) -> Result<Store> {
        let plan = self.plan(&Surroundings::here())?;
        let deadline = client::after(Instant::now(), self.patience);
        let link = match plan {
            Plan::Standalone => Link::Local(Local::standalone(&self)?),
            Plan::Serve => election::serve(&self)?,
            Plan::Channel(fd) => Link::Remote(inherited::connection(fd, &self)?),
            Plan::Connect => election::connect(&self, deadline)?,
            Plan::ConnectOrServe => election::connect_or_serve(&self, deadline)?,
        };
        let timeout = self.timeout;
        Ok(Store::new(Arc::new(Links::new(self, plan, link)), timeout))
    }

    /// A client of the master who is there, without waiting for one: who is typing wants to hear
    /// at once that nobody serves.
    #[cfg(feature = "cli")]
    pub(crate) fn connect_now(self) -> Result<Store> {
        let link = election::connect_now(&self)?;
        let timeout = self.timeout;
        let links = Links::new(self, Plan::Connect, link);
        Ok(Store::new(Arc::new(links), timeout))
    }
}
