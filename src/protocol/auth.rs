//! The mutual proof of a shared secret. The secret itself never travels.
//!
//! A connection through the path socket starts with a hello. Where the master has a secret, it
//! answers with a challenge, a nonce that is used once. The client answers with a nonce of its own
//! and
//!
//! ```text
//! HMAC-SHA256(secret, "memstore-cluster v1 client" || master's nonce || client's nonce)
//! ```
//!
//! and the master's welcome carries the same over `"memstore-cluster v1 server"`. A client that
//! has a secret talks to nobody who did not prove it, so whoever squats on the path learns
//! nothing. Inherited channels need no secret: having one is the proof.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::message::PROOF_LEN;

/// A nonce or a proof.
pub type Bytes32 = [u8; PROOF_LEN];

/// The fewest bytes a secret may have.
pub const MIN_SECRET: usize = 16;

/// Whose proof it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client's, for the master.
    Client,
    /// The master's, for the client.
    Server,
}

impl Side {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Client => b"memstore-cluster v1 client",
            Self::Server => b"memstore-cluster v1 server",
        }
    }
}

/// A shared secret. It does not show in debug output and is wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// A secret of these bytes.
    ///
    /// # Errors
    /// If there are fewer than [`MIN_SECRET`] bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, SecretTooShort> {
        let bytes = Zeroizing::new(bytes.into());
        if bytes.len() < MIN_SECRET {
            return Err(SecretTooShort { len: bytes.len() });
        }
        Ok(Self(bytes))
    }

    /// The proof of one side for this pair of nonces.
    pub fn prove(&self, side: Side, server_nonce: &Bytes32, client_nonce: &Bytes32) -> Bytes32 {
        self.mac(side, server_nonce, client_nonce)
            .finalize()
            .into_bytes()
            .into()
    }

    /// Whether `proof` is that side's proof for this pair of nonces, in constant time.
    #[must_use]
    pub fn verify(
        &self,
        side: Side,
        server_nonce: &Bytes32,
        client_nonce: &Bytes32,
        proof: &Bytes32,
    ) -> bool {
        self.mac(side, server_nonce, client_nonce)
            .verify_slice(proof)
            .is_ok()
    }

    /// Whether a password is the secret, in a time that does not tell how much of it is right.
    #[must_use]
    pub fn is(&self, password: &[u8]) -> bool {
        let ours = self.keyed().chain_update(&self.0).finalize();
        let theirs = self.keyed().chain_update(password);
        theirs.verify(&ours.into_bytes()).is_ok()
    }

    fn mac(&self, side: Side, server_nonce: &Bytes32, client_nonce: &Bytes32) -> Hmac<Sha256> {
        let mut mac = self.keyed();
        mac.update(side.label());
        mac.update(server_nonce);
        mac.update(client_nonce);
        mac
    }

    fn keyed(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(&self.0).expect("HMAC takes a key of any length (RFC 2104)")
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A secret that could be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret has {len} bytes, at least {MIN_SECRET} are needed (32 random ones are good)")]
pub struct SecretTooShort {
    len: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: Bytes32 = [1; 32];
    const CLIENT: Bytes32 = [2; 32];

    fn secret() -> Secret {
        Secret::new(*b"correct horse battery").unwrap()
    }

    /// Made with Python's hmac module, so that other languages can check theirs.
    #[test]
    fn the_proofs_are_these() {
        let hex = |proof: Bytes32| proof.map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(
            hex(secret().prove(Side::Client, &SERVER, &CLIENT)),
            "1dc48e2fd94c773794620f5703b38368a7598fe056496bf7e4a41be459bf8319"
        );
        assert_eq!(
            hex(secret().prove(Side::Server, &SERVER, &CLIENT)),
            "6808152296debf512c79145f3b48b50bbbe017a5ce96a83a918202ac56675090"
        );
    }

    #[test]
    fn a_proof_holds_for_one_side_one_secret_and_one_pair_of_nonces() {
        let proof = secret().prove(Side::Client, &SERVER, &CLIENT);
        assert!(secret().verify(Side::Client, &SERVER, &CLIENT, &proof));
        assert!(!secret().verify(Side::Server, &SERVER, &CLIENT, &proof));
        assert!(!secret().verify(Side::Client, &CLIENT, &SERVER, &proof));
        let other = Secret::new(*b"correct horse batterz").unwrap();
        assert!(!other.verify(Side::Client, &SERVER, &CLIENT, &proof));
    }

    #[test]
    fn a_password_is_the_secret_or_it_is_not() {
        assert!(secret().is(b"correct horse battery"));
        let wrong: [&[u8]; 4] = [
            b"",
            b"correct horse batter",
            b"correct horse battery\0",
            b"correct horse batterz",
        ];
        for password in wrong {
            assert!(!secret().is(password), "{}", password.escape_ascii());
        }
    }

    #[test]
    fn a_secret_is_long_enough_and_does_not_show() {
        assert!(Secret::new(*b"short").is_err());
        assert!(!format!("{:?}", secret()).contains("horse"));
    }
}
