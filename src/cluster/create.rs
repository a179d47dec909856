//! From a plan to a store: [`Options::create`], and its sibling for tasks.

use std::sync::Arc;
use std::time::Instant;

use super::link::{Link, Local};
use super::links::Links;
use super::options::{Options, Plan, Surroundings};
use super::store::Store;
use super::{election, inherited};
use crate::client;
use crate::error::{Error, Result};

impl Options {
    /// Comes by a store: see [`Options`] for what this process becomes.
    ///
    /// # Errors
    /// [`Error::Config`] for what cannot be meant; [`Error::Held`] where there is a master already
    /// and `serve` was asked for; [`Error::Unreachable`] where no master came in time;
    /// [`Error::Authentication`]; [`Error::Io`] for what the system refuses; what the backend's
    /// [`Source`](super::Source) returns.
    pub fn create(self) -> Result<Store> {
        let mut plan = self.plan(&Surroundings::here())?;
        let mut inherited = None;
        if let Plan::Channel(fd) = plan {
            inherited = inherited::connection(fd, &self)?.map(Link::Remote);
            // Tasks have it: threads use the path.
            if inherited.is_none() {
                plan = Plan::Connect;
            }
        }
        let link = inherited.map_or_else(|| plan.link(&self), Ok)?;
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

impl Plan {
    /// The first link of this plan, which is nobody else's.
    pub(super) fn link(self, options: &Options) -> Result<Link> {
        let deadline = client::after(Instant::now(), options.patience);
        match self {
            Self::Standalone => Ok(Link::Local(Local::standalone(options)?)),
            Self::Serve => election::serve(options),
            Self::Channel(_) | Self::Connect | Self::ConnectOrServe => {
                self.relink(options, deadline)
            }
        }
    }

    /// Another link, where one can be had after the first was lost.
    pub(super) fn relink(self, options: &Options, deadline: Instant) -> Result<Link> {
        match self {
            Self::Connect => election::connect(options, deadline),
            Self::ConnectOrServe => election::connect_or_serve(options, deadline),
            Self::Channel(_) | Self::Serve | Self::Standalone => Err(Error::MasterGone),
        }
    }
}
