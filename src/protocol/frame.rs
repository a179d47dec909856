//! The 16-byte header: splitting a stream of bytes into frames and writing frames.
//!
//! Knows nothing of what the bodies mean. A frame is borrowed from the input; nothing is allocated
//! by a length that a peer declares. The bytes are drawn in [the module above](super).

/// Bytes of a header.
pub const HEADER_LEN: usize = 16;
/// The first byte of every frame.
pub const MAGIC: u8 = 0xB5;
/// The version of the protocol that this crate speaks.
pub const VERSION: u8 = 1;

/// A header, as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The operation of a request or the status of a reply.
    pub code: u8,
    /// The request's id, chosen by the client; its reply carries the same.
    pub id: u32,
}

/// A complete frame in somebody's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its header.
    pub header: Header,
    /// Its body, still encoded.
    pub body: &'a [u8],
}

impl Frame<'_> {
    /// Bytes of the whole frame, header included.
    pub fn wire_len(&self) -> usize {
        HEADER_LEN + self.body.len()
    }
}

/// Why a stream of bytes holds no frame. The connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The first byte is not [`MAGIC`].
    #[error("a frame starts with 0xb5, not with {0:#04x}")]
    Magic(u8),
    /// The version is not [`VERSION`].
    #[error("protocol version {0} is not spoken here, only version {VERSION}")]
    Version(u8),
    /// Flags or reserved bytes are not zero.
    #[error("the flags and the reserved bytes of a header must be zero")]
    Reserved,
    /// The declared length is above the limit.
    #[error("a body of {len} bytes was announced, at most {max} are accepted (--max-value)")]
    TooLarge {
        /// The declared length.
        len: u32,
        /// The limit.
        max: usize,
    },
}

/// Splits the first frame off `input`. `Ok(None)` means that more bytes are needed.
///
/// Each byte of a header is judged as soon as it is there, so that a peer that speaks something
/// else is found out by its first byte.
pub fn split(input: &[u8], max_body: usize) -> Result<Option<Frame<'_>>, FrameError> {
    match *input {
        [] => return Ok(None),
        [magic, ..] if magic != MAGIC => return Err(FrameError::Magic(magic)),
        [_, version, ..] if version != VERSION => return Err(FrameError::Version(version)),
        _ => {}
    }
    let Some((header, rest)) = input.split_first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let [
        _,
        _,
        code,
        flags,
        i0,
        i1,
        i2,
        i3,
        l0,
        l1,
        l2,
        l3,
        r0,
        r1,
        r2,
        r3,
    ] = *header;
    if [flags, r0, r1, r2, r3] != [0; 5] {
        return Err(FrameError::Reserved);
    }
    let len = u32::from_le_bytes([l0, l1, l2, l3]);
    let too_large = FrameError::TooLarge { len, max: max_body };
    let body_len = usize::try_from(len).map_err(|_| too_large)?;
    if body_len > max_body {
        return Err(too_large);
    }
    let id = u32::from_le_bytes([i0, i1, i2, i3]);
    Ok(rest.get(..body_len).map(|body| Frame {
        header: Header { code, id },
        body,
    }))
}

/// Appends a frame to `out`; `body` appends the body and whatever it appends is counted.
///
/// # Panics
/// If the body is longer than a `u32` can tell; limits keep every body far below that.
pub fn write<R>(out: &mut Vec<u8>, code: u8, id: u32, body: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let start = out.len();
    let [i0, i1, i2, i3] = id.to_le_bytes();
    out.extend_from_slice(&[
        MAGIC, VERSION, code, 0, i0, i1, i2, i3, 0, 0, 0, 0, 0, 0, 0, 0,
    ]);
    let result = body(out);
    let len = u32::try_from(out.len() - start - HEADER_LEN).expect("limits bound every body");
    out[start + 8..start + 12].copy_from_slice(&len.to_le_bytes());
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 1 << 10;

    #[test]
    fn the_bytes_of_a_header_are_these() {
        let mut out = Vec::new();
        write(&mut out, 0x11, 0x0403_0201, |out| {
            out.extend_from_slice(b"xyz");
        });
        assert_eq!(
            out,
            [
                0xB5, 1, 0x11, 0, 1, 2, 3, 4, 3, 0, 0, 0, 0, 0, 0, 0, b'x', b'y', b'z'
            ]
        );
    }

    #[test]
    fn a_bad_header_is_named() {
        let mut good = Vec::new();
        write(&mut good, 1, 1, |_| ());
        let with = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            bad
        };
        assert_eq!(split(b"GET", MAX), Err(FrameError::Magic(b'G')));
        assert_eq!(split(&[MAGIC, 9], MAX), Err(FrameError::Version(9)));
        assert_eq!(split(&with(3, 1), MAX), Err(FrameError::Reserved));
        assert_eq!(split(&with(15, 1), MAX), Err(FrameError::Reserved));
        let huge = FrameError::TooLarge {
            len: 0xff00_0000,
            max: MAX,
        };
        assert_eq!(split(&with(11, 0xff), MAX), Err(huge));
    }

    proptest! {
        #[test]
        fn every_split_of_a_stream_gives_the_same_frames(
            frames in prop::collection::vec((any::<u8>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..64)), 1..8),
            cuts in prop::collection::vec(1usize..40, 1..60),
        ) {
            let mut stream = Vec::new();
            for (code, id, body) in &frames {
                write(&mut stream, *code, *id, |out| out.extend_from_slice(body));
            }
            let (mut got, mut pending, mut rest) = (Vec::new(), Vec::new(), stream.as_slice());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                pending.extend_from_slice(now);
                rest = later;
                while let Some(frame) = split(&pending, MAX).unwrap() {
                    let used = frame.wire_len();
                    got.push((frame.header.code, frame.header.id, frame.body.to_vec()));
                    pending.drain(..used);
                }
            }
            prop_assert!(pending.is_empty());
            prop_assert_eq!(got, frames);
        }

        #[test]
        fn no_bytes_panic(input in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = split(&input, MAX);
        }
    }
}
