//! Deadlines as the commands take them: seconds or milliseconds, from now or since the epoch.

use super::call::is_word;
use super::fault::Fault;
use crate::backend::Deadline;
use crate::protocol::resp::number::parse_i64;
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
    fn of_option(option: &[u8]) -> Option<Self> {
        let units = [
            ("EX", Self::Seconds),
            ("PX", Self::Millis),
            ("EXAT", Self::UnixSeconds),
            ("PXAT", Self::UnixMillis),
        ];
        let unit = units.iter().find(|(name, _)| is_word(option, name));
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

/// What the options of a command say about the deadline of the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifetime<'a> {
    /// This number of this unit (`EX s`).
    Given(Unit, &'a [u8]),
    /// As it is (`KEEPTTL`).
    Keep,
    /// None (`PERSIST`).
    Persist,
}

impl<'a> Lifetime<'a> {
    /// What an option says, the number taken from the arguments behind it; `None` if it is not
    /// about this, or its number is missing.
    pub(super) fn read(option: &[u8], behind: &mut impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        if is_word(option, "KEEPTTL") {
            Some(Self::Keep)
        } else if is_word(option, "PERSIST") {
            Some(Self::Persist)
        } else {
            let unit = Unit::of_option(option)?;
            Some(Self::Given(unit, behind.next()?))
        }
    }

    /// Whether both may stand in one command, where the last one counts: the same option twice.
    pub(super) fn agrees(self, other: Self) -> bool {
        match (self, other) {
            (Self::Given(unit, _), Self::Given(other, _)) => unit == other,
            _ => self == other,
        }
    }

    /// The deadline; `command` names itself in the error.
    pub(super) fn deadline(self, now: Millis, command: &str) -> Result<Deadline, Fault> {
        match self {
            Self::Given(unit, number) => {
                let number = parse_i64(number).ok_or(Fault::NOT_AN_INTEGER)?;
                Ok(Deadline::At(unit.positive(now, number, command)?))
            }
            Self::Keep => Ok(Deadline::Keep),
            Self::Persist => Ok(Deadline::Never),
        }
    }
}

/// The error of a time that cannot be.
pub(super) fn invalid(command: &str) -> Fault {
    Fault::say(format!("ERR invalid expire time in '{command}' command"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis::from_unix(5_000);

    #[test]
    fn a_unit_gives_an_absolute_time_or_says_that_it_overflows() {
        let cases = [
            (Unit::Seconds, 2, Some(7_000)),
            (Unit::Millis, 2, Some(5_002)),
            (Unit::UnixSeconds, 2, Some(2_000)),
            (Unit::UnixMillis, 2, Some(2)),
            (Unit::Seconds, -10, Some(-5_000)),
            (Unit::Seconds, i64::MAX, None),
            (Unit::Millis, i64::MAX - 4_999, None),
            (Unit::Millis, i64::MAX - 5_000, Some(i64::MAX)),
            (Unit::UnixMillis, i64::MIN, Some(i64::MIN)),
        ];
        for (unit, number, at) in cases {
            assert_eq!(unit.absolute(NOW, number), at, "{unit:?} {number}");
        }
    }

    #[test]
    fn a_lifetime_has_to_be_above_zero() {
        let deadline = |option: &[u8], number: &'static [u8]| {
            let lifetime = Lifetime::read(option, &mut std::iter::once(number)).unwrap();
            lifetime.deadline(NOW, "set")
        };
        let at = |ms| Ok(Deadline::At(Millis::from_unix(ms)));
        assert_eq!(deadline(b"ex", b"1"), at(6_000));
        assert_eq!(deadline(b"PXAT", b"1"), at(1), "in the past is no error");
        assert_eq!(deadline(b"KEEPTTL", b"x"), Ok(Deadline::Keep));
        assert_eq!(deadline(b"EX", b"0"), Err(invalid("set")));
        assert_eq!(deadline(b"EX", b"01"), Err(Fault::NOT_AN_INTEGER));
    }

    #[test]
    fn only_the_same_option_may_stand_twice() {
        let read = |option: &[u8]| Lifetime::read(option, &mut std::iter::repeat(&b"1"[..]));
        let options: [&[u8]; 6] = [b"EX", b"PX", b"EXAT", b"PXAT", b"KEEPTTL", b"PERSIST"];
        for one in options {
            for other in options {
                let agree = read(one).unwrap().agrees(read(other).unwrap());
                assert_eq!(agree, one == other);
            }
        }
        assert_eq!(Lifetime::read(b"EX", &mut std::iter::empty()), None);
    }
}
