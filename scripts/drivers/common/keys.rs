//! The entries that are written: keys, values, lifetimes. The same in every run and every driver.

/// Bytes of a key: those of a session id with its prefix.
pub(crate) const KEY: usize = PREFIX.len() + DIGITS;
/// Bytes of a value where nothing else is said.
pub(crate) const VALUE: usize = 256;
/// What an entry has for its user.
pub(crate) const PAYLOAD: u64 = (KEY + VALUE) as u64;

pub(crate) const PREFIX: &[u8; 5] = b"sess:";
pub(crate) const DIGITS: usize = 32;

/// The key with this number.
pub(crate) fn key(n: u64) -> [u8; KEY] {
    let (high, low) = (scramble(n), scramble(!n));
    let mut key = [0; KEY];
    let (prefix, digits) = key.split_at_mut(PREFIX.len());
    prefix.copy_from_slice(PREFIX);
    for (at, digit) in (0..).zip(digits) {
        let half = if at < 16 { high } else { low };
        let nibble = half >> (60 - at % 16 * 4) & 0xf;
        *digit = b"0123456789abcdef"[nibble as usize];
    }
    key
}

/// Milliseconds that the entry with this number has to live: half an hour to one and a half, as
/// sessions that are seen to now and then.
pub(crate) fn ttl_ms(n: u64) -> u64 {
    1_800_000 + scramble(n) % 3_600_000
}

/// A value of so many bytes.
pub(crate) fn value(len: usize) -> Vec<u8> {
    b"The quick brown fox jumps over the lazy dog. "
        .iter()
        .copied()
        .cycle()
        .take(len)
        .collect()
}

/// The output function of splitmix64 (Steele, Lea, Flood 2014): one to one, and looks random.
pub(crate) fn scramble(n: u64) -> u64 {
    let z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
