//! Keys as names of files: the key itself and `.json`, as session-file-store has it, wherever that is
//! a name that stays in its folder.
//!
//! Where it is not, `%XX` stands for a byte: for `/`, `\`, `%`, control characters, what is no UTF-8,
//! and a dot at the beginning. The empty key is `%`. A name that would be too long is `%-` and the
//! SHA-256 of the key; the file has the key then. Every key has one name, and a file of another name
//! is no entry. Pure.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// What session-file-store puts behind an id.
const ENDING: &str = ".json";
/// Bytes that a name may have (`NAME_MAX`).
const LONGEST: usize = 255;

/// What the name of a file says about its key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    Key(Vec<u8>),
    /// The key is in the file.
    Hashed,
}

/// The name of the file of an entry.
pub(super) fn of(key: &[u8]) -> String {
    let mut name = String::with_capacity(key.len() + ENDING.len());
    for chunk in key.utf8_chunks() {
        for letter in chunk.valid().chars() {
            let is_first_dot = letter == '.' && name.is_empty();
            if is_first_dot || letter.is_ascii_control() || "/\\%".contains(letter) {
                escape(&mut name, u32::from(letter));
            } else {
                name.push(letter);
            }
        }
        for byte in chunk.invalid() {
            escape(&mut name, u32::from(*byte));
        }
    }
    if name.is_empty() {
        name.push('%');
    }
    if name.len() + ENDING.len() > LONGEST {
        name.clear();
        name.push_str("%-");
        name.push_str(&hex(&Sha256::digest(key)));
    }
    name.push_str(ENDING);
    name
}

/// Whether the file of the entry has to have its key.
pub(super) fn is_hashed(name: &str) -> bool {
    name.starts_with("%-")
}

/// What a name says; `None` where no entry has such a name.
pub(super) fn read(name: &str) -> Option<Named> {
    if is_hashed(name) {
        return name.ends_with(ENDING).then_some(Named::Hashed);
    }
    let written = name.strip_suffix(ENDING)?;
    let mut key = Vec::with_capacity(written.len());
    if written != "%" {
        let mut parts = written.split('%');
        key.extend_from_slice(parts.next()?.as_bytes());
        for part in parts {
            let code = part.get(..2)?;
            key.push(u8::from_str_radix(code, 16).ok()?);
            key.extend_from_slice(&part.as_bytes()[2..]);
        }
    }
    (of(&key) == name).then_some(Named::Key(key))
}

fn escape(name: &mut String, byte: u32) {
    write!(name, "%{byte:02X}").expect("a string takes what is written");
}

/// Two digits for each byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    text
}

/// The bytes of such a text.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    if text.len() % 2 != 0 {
        return None;
    }
    let pairs = text.as_bytes().chunks_exact(2);
    let bytes = pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?));
    bytes.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_ids_are_their_own_names() {
        for id in ["9kX-_2", "a.b", "sess:1", "zürich", "a b", "a.json"] {
            assert_eq!(of(id.as_bytes()), format!("{id}.json"));
        }
    }

    #[test]
    fn no_key_leaves_its_folder() {
        for (key, name) in [
            (&b"../x"[..], "%2E.%2Fx.json"),
            (b"/etc/passwd", "%2Fetc%2Fpasswd.json"),
            (b"..", "%2E..json"),
            (b".", "%2E.json"),
            (b"", "%.json"),
            (b"a\\b", "a%5Cb.json"),
            (b"\0\n\x7f", "%00%0A%7F.json"),
            (b"50%", "50%25.json"),
            (b"\xffz\xc3", "%FFz%C3.json"),
        ] {
            assert_eq!(of(key), name);
            assert_eq!(read(name), Some(Named::Key(key.to_vec())));
        }
        let long = of(&[b'a'; 251]);
        assert!(is_hashed(&long) && long.len() < LONGEST, "{long}");
        assert_eq!(read(&long), Some(Named::Hashed));
        assert_eq!(of(&[b'a'; 250]).len(), LONGEST);
    }

    #[test]
    fn a_file_of_another_name_is_no_entry() {
        for name in [
            "a",
            "a.json.123",
            ".json",
            ".a.json",
            "50%.json",
            "%41.json",
            "%2f.json",
            "a/b.json",
            "%zz.json",
            "%+1.json",
            "%C3%BC.json",
        ] {
            assert_eq!(read(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn every_key_has_one_name(key in prop::collection::vec(any::<u8>(), 0..120)) {
            let name = of(&key);
            prop_assert!(!name.contains('/') && !name.starts_with('.') && name.len() <= LONGEST);
            if !is_hashed(&name) {
                prop_assert_eq!(read(&name), Some(Named::Key(key)));
            }
        }

        #[test]
        fn bytes_are_read_as_they_were_written(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            prop_assert_eq!(unhex(&hex(&bytes)), Some(bytes));
        }
    }
}
