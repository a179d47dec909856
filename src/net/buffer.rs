//! The bytes of a connection that wait: input that is no whole frame yet, output not yet written.
//!
//! Knows no frames and no descriptors. Used by the connection. The invariant: what is empty holds
//! no memory, so that ten thousand idle connections cost nothing but their slots.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};

/// Bytes of a recycled chunk of output.
pub(super) const CHUNK: usize = 64 << 10;
/// A chunk with so many bytes takes no further reply, so that most replies fit without growth.
const CHUNK_FULL: usize = CHUNK / 2;
/// The most chunks kept for the next who needs one.
const KEPT: usize = 64;
/// The most slices of one vectored write.
const SLICES: usize = 16;
/// An input buffer larger than this is shrunk when little is left in it.
const INPUT_KEPT: usize = 64 << 10;

/// Chunks that nobody uses now. All connections share one pool.
#[derive(Default)]
pub(super) struct Pool(Vec<Vec<u8>>);

impl Pool {
    fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_else(|| Vec::with_capacity(CHUNK))
    }

    /// Takes a chunk back. One that grew for a large reply is freed.
    fn give(&mut self, mut chunk: Vec<u8>) {
        if self.0.len() < KEPT && (CHUNK..2 * CHUNK).contains(&chunk.capacity()) {
            chunk.clear();
            self.0.push(chunk);
        }
    }
}

/// Input that was read and not taken. It grows by what arrives, never by what is announced.
#[derive(Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    /// How many of `bytes` are taken.
    start: usize,
}

impl Input {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    pub(super) fn push(&mut self, more: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(more);
    }

    /// Puts bytes that were taken off the front there again.
    pub(super) fn unread(&mut self, bytes: &[u8]) {
        self.bytes = [bytes, self.rest()].concat();
        self.start = 0;
    }

    /// Takes `n` bytes off the front.
    pub(super) fn consume(&mut self, n: usize) {
        self.start += n;
        let left = self.bytes.len() - self.start;
        let capacity = self.bytes.capacity();
        if left == 0 {
            *self = Self::default();
        } else if capacity > INPUT_KEPT && left < capacity / 4 {
            self.bytes = self.rest().to_vec();
            self.start = 0;
        }
    }
}

/// What one write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    /// Bytes that the stream took.
    pub(super) taken: usize,
    /// Bytes that it was offered.
    pub(super) offered: usize,
}

/// Replies that are not written yet, in chunks. No chunk in it is empty.
#[derive(Default)]
pub(super) struct Output {
    chunks: VecDeque<Vec<u8>>,
    /// How many bytes of the first chunk are written.
    written: usize,
    /// Bytes in all chunks that are not written.
    pending: usize,
}

impl Output {
    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.pending
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending == 0
    }

    /// Lets `append` append to what waits. It must not take anything away.
    pub(super) fn append<R>(
        &mut self,
        pool: &mut Pool,
        append: impl FnOnce(&mut Vec<u8>) -> R,
    ) -> R {
        let mut tail = match self.chunks.pop_back() {
            Some(chunk) if chunk.len() < CHUNK_FULL => chunk,
            full => {
                self.chunks.extend(full);
                pool.take()
            }
        };
        let before = tail.len();
        let result = append(&mut tail);
        debug_assert!(tail.len() >= before, "a handler took output away");
        self.pending += tail.len() - before;
        if tail.is_empty() {
            pool.give(tail);
        } else {
            self.chunks.push_back(tail);
        }
        self.check();
        result
    }

    /// Offers at most `max` bytes to `stream`, in one write; vectored only where it must be, for
    /// that costs the system more.
    pub(super) fn write_to(
        &mut self,
        stream: &mut impl Write,
        max: usize,
        pool: &mut Pool,
    ) -> io::Result<Written> {
        if let (Some(bytes), 1) = (self.chunks.front(), self.chunks.len()) {
            let bytes = &bytes[self.written..];
            let bytes = &bytes[..bytes.len().min(max)];
            let (offered, taken) = (bytes.len(), stream.write(bytes)?);
            self.consume(taken, pool);
            return Ok(Written { taken, offered });
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let (mut used, mut offered, mut skip) = (0, 0, self.written);
        for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
            let bytes = &chunk[skip..];
            let bytes = &bytes[..bytes.len().min(max - offered)];
            if bytes.is_empty() {
                break;
            }
            *slice = IoSlice::new(bytes);
            offered += bytes.len();
            used += 1;
            skip = 0;
        }
        let taken = stream.write_vectored(&slices[..used])?;
        self.consume(taken, pool);
        Ok(Written { taken, offered })
    }

    /// Drops everything.
    pub(super) fn clear(&mut self, pool: &mut Pool) {
        self.consume(self.pending, pool);
    }

    fn consume(&mut self, n: usize, pool: &mut Pool) {
        self.pending -= n;
        self.written += n;
        while let Some(first) = self.chunks.front() {
            if self.written < first.len() {
                break;
            }
            self.written -= first.len();
            pool.give(self.chunks.pop_front().expect("it was just looked at"));
        }
        self.check();
    }

    fn check(&self) {
        debug_assert!(self.chunks.iter().all(|chunk| !chunk.is_empty()));
        debug_assert_eq!(
            self.chunks.iter().map(Vec::len).sum::<usize>(),
            self.written + self.pending
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Takes at most `n` bytes per write.
    struct Narrow {
        n: usize,
        got: Vec<u8>,
        most_slices: usize,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = bytes.len().min(self.n);
            self.got.extend_from_slice(&bytes[..n]);
            Ok(n)
        }

        fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            self.most_slices = self.most_slices.max(slices.len());
            let mut taken = 0;
            for slice in slices {
                let n = slice.len().min(self.n - taken);
                self.got.extend_from_slice(&slice[..n]);
                taken += n;
            }
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_empty_holds_no_memory() {
        let mut input = Input::default();
        input.push(b"abc");
        input.consume(2);
        assert_eq!(input.rest(), b"c");
        input.push(b"d");
        assert_eq!(input.rest(), b"cd");
        input.consume(2);
        assert!(input.is_empty() && input.bytes.capacity() == 0);

        let mut pool = Pool::default();
        let mut output = Output::default();
        output.append(&mut pool, |_| ());
        assert!(output.is_empty() && output.chunks.is_empty());
        assert_eq!(pool.0.len(), 1, "the chunk went back");
    }

    #[test]
    fn what_is_given_back_stands_before_what_came_later() {
        let mut input = Input::default();
        input.push(b"abcd");
        input.consume(2);
        input.unread(b"b");
        input.push(b"e");
        assert_eq!(input.rest(), b"bcde");
        input.consume(4);
        assert!(input.is_empty());
    }

    #[test]
    fn an_input_that_was_large_once_does_not_stay_large() {
        let mut input = Input::default();
        input.push(&vec![1; 1 << 20]);
        input.push(&[2, 3]);
        input.consume(1 << 20);
        assert_eq!(input.rest(), [2, 3]);
        assert!(input.bytes.capacity() <= INPUT_KEPT);
    }

    #[test]
    fn a_reply_in_a_recycled_chunk_allocates_nothing() {
        let mut pool = Pool::default();
        let mut output = Output::default();
        let mut sink = Narrow {
            n: CHUNK,
            got: Vec::new(),
            most_slices: 0,
        };
        let mut chunk_at = None;
        for _ in 0..3 {
            let at = output.append(&mut pool, |out| {
                out.extend_from_slice(b"reply");
                out.as_ptr()
            });
            assert_eq!(*chunk_at.get_or_insert(at), at);
            output.write_to(&mut sink, CHUNK, &mut pool).unwrap();
        }
        assert_eq!(sink.got, b"replyreplyreply");
    }

    #[test]
    fn a_chunk_that_grew_large_is_not_kept() {
        let mut pool = Pool::default();
        let mut output = Output::default();
        output.append(&mut pool, |out| out.resize(10 * CHUNK, 7));
        output.clear(&mut pool);
        assert!(pool.0.is_empty());
    }

    proptest! {
        #[test]
        fn what_is_appended_is_written_in_order_and_within_bounds(
            replies in prop::collection::vec((0..3 * CHUNK, any::<u8>()), 0..40),
            max in 1..2 * CHUNK,
            narrow in 1..2 * CHUNK,
        ) {
            let (mut pool, mut output) = (Pool::default(), Output::default());
            let mut sink = Narrow { n: narrow, got: Vec::new(), most_slices: 0 };
            let mut expected = Vec::new();
            for (i, (len, byte)) in replies.into_iter().enumerate() {
                let reply = vec![byte; len];
                expected.extend_from_slice(&reply);
                output.append(&mut pool, |out| out.extend_from_slice(&reply));
                if i % 3 == 0 && !output.is_empty() {
                    output.write_to(&mut sink, max, &mut pool).unwrap();
                }
                prop_assert_eq!(output.len(), expected.len() - sink.got.len());
            }
            while !output.is_empty() {
                let written = output.write_to(&mut sink, max, &mut pool).unwrap();
                prop_assert!(written.offered <= max && written.taken <= written.offered);
            }
            prop_assert!(sink.got == expected);
            prop_assert!(sink.most_slices <= SLICES);
            prop_assert!(output.chunks.is_empty() && pool.0.len() <= KEPT);
        }
    }
}
