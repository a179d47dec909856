//! Which of the two dialects a connection speaks. Asked once, with its first byte.

use super::frame::MAGIC;

/// How a peer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Our own frames: [`super::frame`].
    Native,
    /// The Redis protocol: [`super::resp`].
    Resp,
}

impl Dialect {
    /// The dialect that a connection's first byte decides. Anything that starts no frame is RESP,
    /// whose inline commands may start with any byte a person can type.
    pub fn of(first_byte: u8) -> Self {
        if first_byte == MAGIC {
            Self::Native
        } else {
            Self::Resp
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_magic_byte_starts_a_native_connection() {
        for byte in 0..=u8::MAX {
            let native = Dialect::of(byte) == Dialect::Native;
            assert_eq!(native, byte == 0xB5, "{byte:#04x}");
        }
    }
}
