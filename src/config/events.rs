//! Which changes of keys are told to subscribers, as Redis's `notify-keyspace-events` writes it.

use std::fmt;
use std::str::FromStr;

use super::Invalid;

/// The letters, in the order in which they are shown. The first [`CLASSES`] are what `A` stands
/// for.
const LETTERS: &str = "g$lshzxetdnKEm";
/// How many letters are classes of events.
const CLASSES: u16 = 10;

/// A set of the letters of `notify-keyspace-events`. Empty: nothing is told.
///
/// ```
/// use memstore_cluster::config::KeyspaceEvents;
///
/// let events: KeyspaceEvents = "KExg".parse()?;
/// assert!(events.has('x') && !events.has('e'));
/// assert_eq!(events.to_string(), "gxKE");
/// # Ok::<(), memstore_cluster::config::Invalid>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyspaceEvents(u16);

impl KeyspaceEvents {
    const CLASSES: Self = Self((1 << CLASSES) - 1);

    /// Whether a letter is in it; `A` if all classes are.
    pub fn has(self, letter: char) -> bool {
        let wanted = bits(letter).unwrap_or(u16::MAX);
        self.0 & wanted == wanted
    }

    /// Whether nothing is told.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

fn bits(letter: char) -> Option<u16> {
    if letter == 'A' {
        return Some(KeyspaceEvents::CLASSES.0);
    }
    LETTERS.find(letter).map(|place| 1 << place)
}

impl FromStr for KeyspaceEvents {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut events = Self::default();
        for letter in text.chars() {
            let bits = bits(letter).ok_or_else(|| {
                Invalid::new("must be made of the letters of Ag$lshzxeKEtmdn, as in KEA")
            })?;
            events.0 |= bits;
        }
        Ok(events)
    }
}

impl fmt::Display for KeyspaceEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = *self;
        if self.has('A') {
            f.write_str("A")?;
            // Redis does not show `n` beside `A` either.
            rest.0 &= !(Self::CLASSES.0 | bits('n').unwrap_or(0));
        }
        let mut letters = LETTERS.chars().filter(|letter| rest.has(*letter));
        letters.try_for_each(|letter| write!(f, "{letter}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_as_redis_shows_it() {
        let cases = [
            ("", ""),
            ("KEA", "AKE"),
            ("KEAnm", "AKEm"),
            ("nmg$xetdhlszEK", "AKEm"),
            ("Exe", "xeE"),
            ("nKE", "nKE"),
        ];
        for (text, shown) in cases {
            let events: KeyspaceEvents = text.parse().unwrap();
            assert_eq!(events.to_string(), shown, "{text}");
        }
        assert!("Kq".parse::<KeyspaceEvents>().is_err());
    }
}
