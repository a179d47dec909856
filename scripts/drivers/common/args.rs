//! The arguments that several drivers know, and how numbers and lists are written in them.

use std::path::PathBuf;

use super::server::Kind;

/// What to do.
pub(crate) enum Asked<O> {
    Help,
    Run(O),
}

/// Whom to measure.
pub(crate) struct Peers {
    pub(crate) kinds: Vec<Kind>,
    /// Whether they were named, so that none of them may be missing.
    pub(crate) is_strict: bool,
}

impl Peers {
    /// Those of `kinds` that are there.
    pub(crate) fn any(kinds: &[Kind]) -> Self {
        Self {
            kinds: kinds.to_vec(),
            is_strict: false,
        }
    }

    /// Exactly those that the value of an option names, all of `known`.
    ///
    /// # Errors
    /// A sentence where a name is none of them.
    pub(crate) fn named(option: &str, value: &str, known: &[Kind]) -> Result<Self, String> {
        let find = |text: &str| known.iter().copied().find(|kind| kind.name() == text);
        Ok(Self {
            kinds: list(option, value, find)?,
            is_strict: true,
        })
    }
}

/// A path as it was meant: cargo starts a benchmark in the folder of the package, and the script
/// tells where it was called.
pub(crate) fn path(text: &str) -> PathBuf {
    let base = std::env::var_os("BENCH_CALLED_IN").unwrap_or_default();
    PathBuf::from(base).join(text)
}

/// A number above zero.
///
/// # Errors
/// A sentence where it is none.
pub(crate) fn number<T: TryFrom<u64>>(option: &str, value: &str) -> Result<T, String> {
    let wrong = || format!("{option} takes a number above zero, not {value:?}");
    count(value)
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(wrong)
}

/// A number above zero; `k` and `M` stand for thousand and million.
pub(crate) fn count(text: &str) -> Option<u64> {
    let (digits, unit) = match text.strip_suffix(['k', 'M']) {
        Some(digits) if text.ends_with('k') => (digits, 1_000),
        Some(digits) => (digits, 1_000_000),
        None => (text, 1),
    };
    let number = digits.parse::<u64>().ok()?.checked_mul(unit)?;
    (number > 0).then_some(number)
}

/// What is between the commas.
///
/// # Errors
/// A sentence where something there is unknown.
pub(crate) fn list<T>(
    option: &str,
    value: &str,
    item: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, String> {
    let items = value.split(',').map(|text| {
        item(text).ok_or_else(|| format!("{option} does not know {text:?}; see --help"))
    });
    items.collect()
}
