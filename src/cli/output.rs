//! What the user sees: every diagnostic goes through here, as `memstore-cluster: <sentence>`.
//!
//! A standard error that nobody reads any more is no reason to stop or to panic: what cannot be
//! said is not said.

use std::error::Error as _;
use std::io::{self, BufWriter, StdoutLock, Write};

use super::exit::Failure;
use crate::error::Error;

/// Standard output, collected into few writes: flush it at the end, and turn its errors into
/// [`Failure`]s with `?`, which knows what a closed pipe means.
pub(crate) fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::new(io::stdout().lock())
}

/// Says why something was not done.
pub(crate) fn tell(failure: &Failure) {
    for sentence in sentences(failure) {
        say(&sentence);
    }
}

/// Says something that is not the output that was asked for.
pub(crate) fn say(sentence: &str) {
    // One write, so that the lines of several processes do not mix.
    let line = format!("memstore-cluster: {sentence}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}

fn sentences(failure: &Failure) -> Vec<String> {
    match failure {
        Failure::ReaderGone => Vec::new(),
        Failure::Problems(_, sentences) => sentences.clone(),
        Failure::Error(error) => {
            vec![with_causes(error)]
        }
    }
}

/// What went wrong, and why.
pub(crate) fn with_causes(error: &Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        sentence.push_str(": ");
        sentence.push_str(&error.to_string());
        cause = error.source();
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_with_all_its_causes() {
        let error = Error::io("open x")(io::Error::other("no hands"));
        assert_eq!(sentences(&error.into()), ["cannot open x: no hands"]);
        assert_eq!(sentences(&Failure::ReaderGone), [""; 0]);
    }
}
