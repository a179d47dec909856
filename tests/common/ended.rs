//! Programs that end by themselves, and what they left.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Ended {
    /// Standard output, which is text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("it is text")
    }

    /// Asserts the code, and for a failure that its sentence says all of `words`.
    #[track_caller]
    pub fn with(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in {self:#?}");
        }
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        self
    }
}

/// Runs a program to its end, with nothing on its standard input.
pub fn end(command: &mut Command) -> Ended {
    end_with_input(command, b"")
}

/// Runs a program to its end, with these bytes on its standard input.
pub fn end_with_input(command: &mut Command, input: &[u8]) -> Ended {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    let output = thread::scope(|scope| {
        // A program that does not read its input closes the pipe.
        scope.spawn(move || stdin.write_all(input).is_ok());
        child.wait_with_output().expect("it can be waited for")
    });
    Ended {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
