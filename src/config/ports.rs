//! A port of its own for each worker: `--port-base N`.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use super::Invalid;

/// The port of the worker in slot 0. Those of the others follow it.
///
/// ```
/// use memstore_cluster::config::PortBase;
///
/// let base: PortBase = "8000".parse()?;
/// assert_eq!(base.port(3), Some(8003));
/// # Ok::<(), memstore_cluster::config::Invalid>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortBase(NonZeroU16);

impl PortBase {
    /// The port of a slot; `None` above 65535.
    pub fn port(self, slot: u16) -> Option<u16> {
        self.0.get().checked_add(slot)
    }

    /// Whether so many workers all have a port.
    ///
    /// # Errors
    /// Says how high the base can be at most.
    pub fn check(self, workers: u16) -> Result<(), Invalid> {
        let last = workers.saturating_sub(1);
        if self.port(last).is_some() {
            return Ok(());
        }
        Err(Invalid::new(format!(
            "must be at most {} for {workers} workers: there is no port above {}",
            u16::MAX - last,
            u16::MAX
        )))
    }
}

impl FromStr for PortBase {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let port = text.trim().parse().ok().and_then(NonZeroU16::new);
        port.map(Self)
            .ok_or_else(|| Invalid::new("must be a port from 1 to 65535"))
    }
}

impl fmt::Display for PortBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_a_port() {
        for text in ["1", "65535", " 8000 "] {
            assert_eq!(text.parse::<PortBase>().unwrap().to_string(), text.trim());
        }
        for text in ["", "0", "65536", "-1", "http", ":80"] {
            let error = text.parse::<PortBase>().unwrap_err();
            assert_eq!(
                error.to_string(),
                "must be a port from 1 to 65535",
                "{text}"
            );
        }
    }

    #[test]
    fn all_workers_have_a_port_or_the_highest_base_is_told() {
        let base: PortBase = "65533".parse().unwrap();
        assert_eq!(base.port(2), Some(u16::MAX));
        assert_eq!(base.port(3), None);
        assert_eq!(base.check(3), Ok(()));
        let error = base.check(4).unwrap_err().to_string();
        assert_eq!(
            error,
            "must be at most 65532 for 4 workers: there is no port above 65535"
        );
        assert_eq!(base.check(0), Ok(()));
    }
}
