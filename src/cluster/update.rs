//! To change a value without losing what others change meanwhile.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::entry::{Entry, SetOptions};
use super::store::Store;
use crate::contract::Seq;
use crate::error::{Error, Result};

/// How often a change is tried before it is given up. Of those who change a key at once at least
/// one gets through at each try, so as many can.
const TRIES: u32 = 64;

impl Store {
    /// Changes the value of a live entry: reads it, has `change` make the new value of it, and writes
    /// that if nobody has written the entry meanwhile; otherwise all over again with what is there
    /// now. So nothing is ever overwritten unseen. The deadline stays. The number of the write, or
    /// `None` if there is no entry or it was destroyed meanwhile: it is not brought back.
    ///
    /// `change` may be called several times and should do nothing else. Where it cannot merge what
    /// it finds, use [`get`](Self::get) and [`SetOptions::if_seq`], which gives the conflict back.
    ///
    /// ```
    /// use memstore_cluster::{Options, Standalone};
    ///
    /// let store = Options { standalone: Standalone::Always, ..Options::default() }.create()?;
    /// store.set("cart", "apple")?;
    /// store.update("cart", |cart| [cart, b", pear"].concat())?;
    /// assert_eq!(store.get("cart")?.expect("it is there").value, b"apple, pear");
    /// assert_eq!(store.update("none", |_| "new")?, None);
    /// # Ok::<(), memstore_cluster::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Conflict`] if others were faster sixty-four times.
    pub fn update<V: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        mut change: impl FnMut(&[u8]) -> V,
    ) -> Result<Option<Seq>> {
        let written = self.rewrite(key.as_ref(), |entry| Ok((change(&entry.value), ())))?;
        Ok(written.map(|(seq, ())| seq))
    }

    /// As [`update`](Self::update), of a value in JSON. The value that was written.
    ///
    /// ```
    /// use memstore_cluster::{Options, SetOptions, Standalone};
    ///
    /// let store = Options { standalone: Standalone::Always, ..Options::default() }.create()?;
    /// store.set_json("cart", &["apple"], SetOptions::new())?;
    /// let cart = store.update_json("cart", |cart: &mut Vec<String>| cart.push("pear".to_owned()))?;
    /// assert_eq!(cart.expect("it is there"), ["apple", "pear"]);
    /// # Ok::<(), memstore_cluster::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Json`] if the value is not JSON of this type; [`Error::Conflict`] as above.
    pub fn update_json<T: Serialize + DeserializeOwned>(
        &self,
        key: impl AsRef<[u8]>,
        mut change: impl FnMut(&mut T),
    ) -> Result<Option<T>> {
        let written = self.rewrite(key.as_ref(), |entry| {
            let mut value = entry.json()?;
            change(&mut value);
            Ok((serde_json::to_vec(&value)?, value))
        })?;
        Ok(written.map(|(_, value)| value))
    }

    fn rewrite<V: AsRef<[u8]>, T>(
        &self,
        key: &[u8],
        mut change: impl FnMut(&Entry) -> Result<(V, T)>,
    ) -> Result<Option<(Seq, T)>> {
        let mut found = None;
        for _ in 0..TRIES {
            let Some(entry) = self.get(key)? else {
                return Ok(None);
            };
            let (value, made) = change(&entry)?;
            let options = SetOptions::new().keep_ttl().if_seq(entry.seq);
            match self.set_with(key, value, options) {
                Ok(seq) => return Ok(Some((seq, made))),
                Err(Error::Conflict { found: None }) => return Ok(None),
                Err(Error::Conflict { found: now }) => found = now,
                Err(error) => return Err(error),
            }
        }
        Err(Error::Conflict { found })
    }
}
