//! A hash as the bytes of one value: reading it where it lies, and making a changed one.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | how many fields there are |
//! | 4 | the length of the first field's name |
//! | 4 | the length of its value |
//! | … | its name |
//! | … | its value |
//! | … | the next field, and so on to the end |
//!
//! All numbers are little endian. Fields are in the order in which they were first set, each name
//! is there once, and nothing follows the last. Pure: knows no command and no backend.
//!
//! A value may come out of a damaged file, so [`Hash::read`] looks at every length before anything
//! else is done with it; after that nothing here can fail. To find a field is to walk: sessions
//! have a few dozen, and a walk touches eight bytes of each.

use std::collections::HashMap;

const LENGTH: usize = size_of::<u32>();
/// Up to so many names are looked for by comparing with each.
const FEW: usize = 8;

/// The bytes are no hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged;

/// A field's name and its value.
pub(super) type Field<'a> = (&'a [u8], &'a [u8]);

/// A hash in the bytes of a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Hash<'a> {
    count: usize,
    /// What follows the count; whole fields.
    fields: &'a [u8],
}

impl<'a> Hash<'a> {
    /// Takes bytes for a hash, if they are one.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Damaged> {
        let (count, fields) = split_length(bytes).ok_or(Damaged)?;
        let (mut rest, mut found) = (fields, 0);
        while !rest.is_empty() {
            (_, rest) = split_field(rest).ok_or(Damaged)?;
            found += 1;
        }
        if found != count {
            return Err(Damaged);
        }
        Ok(Self { count, fields })
    }

    /// How many fields it has.
    pub(super) fn len(self) -> usize {
        self.count
    }

    /// Its fields in order.
    pub(super) fn iter(self) -> impl Iterator<Item = Field<'a>> {
        let mut rest = self.fields;
        std::iter::from_fn(move || {
            let (field, behind) = split_field(rest)?;
            rest = behind;
            Some(field)
        })
    }

    /// The value of the field with this name.
    pub(super) fn get(self, name: &[u8]) -> Option<&'a [u8]> {
        let found = self.iter().find(|(other, _)| *other == name);
        found.map(|(_, value)| value)
    }

    /// The hash with these fields set, the last of each name counting, and how many are new.
    pub(super) fn with(self, set: &[Field<'_>]) -> (Encoded, usize) {
        let names = Names::new(set.iter().map(|(name, _)| *name));
        // The value to be set, for each name at its first place.
        let mut values = vec![None; set.len()];
        for (name, value) in set {
            let first = names.find(name).expect("it is one of them");
            values[first] = Some(*value);
        }
        let size = set.iter().map(|(name, value)| field_size(name, value));
        let mut out = Builder::new(self.fields.len() + size.sum::<usize>());
        for (name, old) in self.iter() {
            let new = names.find(name).and_then(|first| values[first].take());
            out.push(name, new.unwrap_or(old));
        }
        for ((name, _), value) in set.iter().zip(values) {
            if let Some(value) = value {
                out.push(name, value);
            }
        }
        let added = out.count - self.count;
        (out.finish(), added)
    }

    /// The hash without the fields of these names, and how many that are.
    pub(super) fn without<'n>(self, names: impl Iterator<Item = &'n [u8]>) -> (Encoded, usize) {
        let names = Names::new(names);
        let mut out = Builder::new(self.fields.len());
        for (name, value) in self.iter() {
            if names.find(name).is_none() {
                out.push(name, value);
            }
        }
        let removed = self.count - out.count;
        (out.finish(), removed)
    }
}

/// The bytes of a hash; empty if it has no fields, which is no hash.
pub(super) type Encoded = Vec<u8>;

/// Names and where in a list each is first.
enum Names<'n> {
    Few(Vec<&'n [u8]>),
    Many(HashMap<&'n [u8], usize>),
}

impl<'n> Names<'n> {
    fn new(names: impl Iterator<Item = &'n [u8]>) -> Self {
        let names: Vec<_> = names.collect();
        if names.len() <= FEW {
            return Self::Few(names);
        }
        let mut places = HashMap::with_capacity(names.len());
        for (place, name) in names.into_iter().enumerate() {
            places.entry(name).or_insert(place);
        }
        Self::Many(places)
    }

    fn find(&self, name: &[u8]) -> Option<usize> {
        match self {
            Self::Few(names) => names.iter().position(|other| *other == name),
            Self::Many(places) => places.get(name).copied(),
        }
    }
}

struct Builder {
    bytes: Vec<u8>,
    count: usize,
}

impl Builder {
    fn new(fields: usize) -> Self {
        let mut bytes = Vec::with_capacity(LENGTH + fields);
        bytes.extend_from_slice(&[0; LENGTH]);
        Self { bytes, count: 0 }
    }

    fn push(&mut self, name: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(&length(name.len()));
        self.bytes.extend_from_slice(&length(value.len()));
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.count += 1;
    }

    fn finish(mut self) -> Encoded {
        if self.count == 0 {
            return Vec::new();
        }
        self.bytes[..LENGTH].copy_from_slice(&length(self.count));
        self.bytes
    }
}

fn length(of: usize) -> [u8; LENGTH] {
    let of = u32::try_from(of).expect("no argument and no value has 4 GiB");
    of.to_le_bytes()
}

fn field_size(name: &[u8], value: &[u8]) -> usize {
    2 * LENGTH + name.len() + value.len()
}

fn split_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
    Some((usize::try_from(u32::from_le_bytes(*length)).ok()?, rest))
}

fn split_field(bytes: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let (name, rest) = split_length(bytes)?;
    let (value, rest) = split_length(rest)?;
    let (name, rest) = rest.split_at_checked(name)?;
    let (value, rest) = rest.split_at_checked(value)?;
    Some(((name, value), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Hash<'_> {
        if bytes.is_empty() {
            return Hash::default();
        }
        Hash::read(bytes).unwrap()
    }

    #[test]
    fn the_bytes_are_as_documented() {
        let (bytes, added) = Hash::default().with(&[(b"a", b"xyz"), (b"", b"")]);
        assert_eq!(added, 2);
        let mut expected = vec![2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0];
        expected.extend_from_slice(b"axyz\0\0\0\0\0\0\0\0");
        assert_eq!(bytes, expected);
    }

    #[test]
    fn what_is_cut_off_or_too_long_is_damaged() {
        let (bytes, _) = Hash::default().with(&[(b"name", b"value"), (b"k", b"v")]);
        for end in 0..bytes.len() {
            assert_eq!(Hash::read(&bytes[..end]), Err(Damaged), "{end} bytes");
        }
        for (at, byte) in [(0, 3), (0, 1), (4, 5), (7, 255), (8, 4), (11, 128)] {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            assert_eq!(Hash::read(&bytes), Err(Damaged), "{byte} at {at}");
        }
        assert_eq!(Hash::read(&[bytes, vec![0]].concat()), Err(Damaged));
    }

    /// What was done to a hash.
    #[derive(Debug, Clone)]
    enum Step {
        Set(Vec<(Vec<u8>, Vec<u8>)>),
        Remove(Vec<Vec<u8>>),
    }

    fn name() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(b"ab\0".to_vec()), 0..3)
    }

    fn step() -> impl Strategy<Value = Step> {
        let value = prop::collection::vec(any::<u8>(), 0..5);
        prop_oneof![
            prop::collection::vec((name(), value), 1..2 * FEW).prop_map(Step::Set),
            prop::collection::vec(name(), 1..2 * FEW).prop_map(Step::Remove),
        ]
    }

    /// The same, on a list.
    fn apply(model: &mut Vec<(Vec<u8>, Vec<u8>)>, step: &Step) -> usize {
        let before = model.len();
        match step {
            Step::Set(fields) => {
                for (name, value) in fields {
                    match model.iter_mut().find(|(other, _)| other == name) {
                        Some((_, old)) => old.clone_from(value),
                        None => model.push((name.clone(), value.clone())),
                    }
                }
            }
            Step::Remove(names) => model.retain(|(name, _)| !names.contains(name)),
        }
        before.abs_diff(model.len())
    }

    proptest! {
        #[test]
        fn a_hash_is_a_list_of_fields(steps in prop::collection::vec(step(), 0..20)) {
            let (mut bytes, mut model) = (Encoded::new(), Vec::new());
            for step in steps {
                let (next, changed) = match &step {
                    Step::Set(fields) => {
                        let fields: Vec<Field<'_>> =
                            fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
                        read(&bytes).with(&fields)
                    }
                    Step::Remove(names) => read(&bytes).without(names.iter().map(|name| &name[..])),
                };
                prop_assert_eq!(changed, apply(&mut model, &step), "{:?}", step);
                prop_assert_eq!(next.is_empty(), model.is_empty());
                bytes = next;
                let hash = read(&bytes);
                prop_assert_eq!(hash.len(), model.len());
                let fields: Vec<_> =
                    hash.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
                prop_assert_eq!(&fields, &model);
                for (name, value) in &model {
                    prop_assert_eq!(hash.get(name), Some(&value[..]));
                }
                prop_assert_eq!(hash.get(b"absent"), None);
            }
        }

        #[test]
        fn no_bytes_panic(
            mut bytes in prop::collection::vec(prop_oneof![0..6u8, any::<u8>()], 0..60),
            count in 0..4u8,
        ) {
            if let Some(first) = bytes.first_mut() {
                *first = count;
            }
            if let Ok(hash) = Hash::read(&bytes) {
                prop_assert_eq!(hash.iter().count(), hash.len());
                hash.get(b"");
                let (same, added) = hash.with(&[]);
                prop_assert_eq!(added, 0);
                prop_assert!(same == bytes || hash.len() == 0);
            }
        }
    }
}
