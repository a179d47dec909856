//! Deadlines as the commands take them: seconds or milliseconds, from now or since the epoch.

use super::fault::Fault;
use crate::time::Millis;

/// How a deadline is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Seconds from now (`EX`).
    Seconds,
    /// Milliseconds from now (`PX`).
    Millis,
    /// Seconds since the epoch (`EXAT`).
    UnixSeconds,
    /// Milliseconds since the epoch (`PXAT`).
    UnixMillis,
}

impl Unit {
    /// The unit that an option of `SET` and others names.
    pub(super) fn of_option(option: &[u8]) -> Option<Self> {
        let units = [
            ("EX", Self::Seconds),
            ("PX", Self::Millis),
            ("EXAT", Self::UnixSeconds),
            ("PXAT", Self::UnixMillis),
        ];
        let unit = units
            .iter()
            .find(|(name, _)| super::call::is_word(option, name));
        unit.map(|(_, unit)| *unit)
    }

    /// The absolute time in milliseconds, which may be in the past and before the epoch; `None`
    /// where it is beyond what 64 bits hold.
    pub(super) fn absolute(self, now: Millis, number: i64) -> Option<i64> {
        let ms = match self {
            Self::Seconds | Self::UnixSeconds => number.checked_mul(1_000)?,
            Self::Millis | Self::UnixMillis => number,
        };
        match self {
            Self::Seconds | Self::Millis => i64::try_from(now.as_unix()).ok()?.checked_add(ms),
            Self::UnixSeconds | Self::UnixMillis => Some(ms),
        }
    }

    /// The deadline for a command that refuses numbers below one.
    pub(super) fn positive(self, now: Millis, number: i64, command: &str) -> Result<Millis, Fault> {
        let at = if number > 0 {
            self.absolute(now, number)
        } else {
            None
        };
        let at = at.and_then(|at| u64::try_from(at).ok());
        at.map(Millis::from_unix).ok_or_else(|| invalid(command))
    }
}

/// The error of a time that cannot be.
pub(super) fn invalid(command: &str) -> Fault {
    Fault::say(format!("ERR invalid expire time in '{command}' command"))
}
