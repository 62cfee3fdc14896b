//! The keyed hash that stands for a text.

use std::{
    fmt,
    fs::{DirBuilder, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use ring::{
    hmac,
    rand::{SecureRandom as _, SystemRandom},
};

use crate::text::hex;

/// Length of the secret in bytes, that of the hash it is for (RFC 2104, section 3).
const LENGTH: usize = 32;

/// The secret of an installation.
///
/// Without it, a hash can't be tried out: prompts are guessable, so a bare hash would tell them.
#[derive(Clone)]
pub struct Key(hmac::Key);

/// A secret that can't be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Its file can be neither read nor made.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: io::Error,
    },
    /// Its file holds something else.
    #[error("{path} holds no secret of {LENGTH} bytes: remove it, and a new one is made")]
    Length {
        /// The file.
        path: PathBuf,
    },
    /// There is no randomness to be had.
    #[error("the system gives no random bytes")]
    Random,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// The one of these bytes.
    pub fn new(secret: &[u8; LENGTH]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// A new one, which nobody else has.
    ///
    /// # Errors
    /// There is no randomness to be had.
    pub fn random() -> Result<Self, KeyError> {
        Ok(Self::new(&secret()?))
    }

    /// The one that a file holds, which is made when it isn't there yet, readable by its owner only.
    ///
    /// # Errors
    /// The file can be neither read nor made, or holds something else.
    pub fn of_file(path: &Path) -> Result<Self, KeyError> {
        let wrong = |why| KeyError::File { path: path.to_owned(), why };
        match Self::read(path) {
            Err(KeyError::File { why, .. }) if why.kind() == io::ErrorKind::NotFound => {}
            read => return read,
        }
        let secret = secret()?;
        if let Some(directory) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(wrong)?;
        }
        // Written whole under another name, so that nobody reads a part of it; the first one to name it wins.
        let own = path.with_extension(format!("{}.new", std::process::id()));
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&own).map_err(wrong)?;
        let made = file.write_all(&secret).and_then(|()| file.sync_all());
        let linked = made.and_then(|()| std::fs::hard_link(&own, path));
        std::fs::remove_file(&own).map_err(wrong)?;
        match linked {
            Err(why) if why.kind() != io::ErrorKind::AlreadyExists => Err(wrong(why)),
            _ => Self::read(path),
        }
    }

    fn read(path: &Path) -> Result<Self, KeyError> {
        let wrong = |why| KeyError::File { path: path.to_owned(), why };
        let mut bytes = Vec::with_capacity(LENGTH + 1);
        let file = std::fs::File::open(path).map_err(wrong)?;
        file.take(LENGTH as u64 + 1).read_to_end(&mut bytes).map_err(wrong)?;
        let secret = bytes.try_into().map_err(|_| KeyError::Length { path: path.to_owned() })?;
        Ok(Self::new(&secret))
    }

    /// Begins a hash of several fields for one purpose: hashes for different ones differ, whatever they are of.
    pub(in crate::policy) fn begin(&self, purpose: &str) -> Keyed {
        let mut keyed = Keyed(hmac::Context::with_key(&self.0));
        keyed.field(purpose.as_bytes());
        keyed
    }

    /// `hmac-sha256:` and 64 hexadecimal digits.
    pub fn hash(&self, bytes: &[u8]) -> String {
        format!("hmac-sha256:{}", hex(hmac::sign(&self.0, bytes).as_ref()))
    }
}

fn secret() -> Result<[u8; LENGTH], KeyError> {
    let mut secret = [0; LENGTH];
    SystemRandom::new().fill(&mut secret).map_err(|_| KeyError::Random)?;
    Ok(secret)
}

/// A hash that is being made.
pub(in crate::policy) struct Keyed(hmac::Context);

impl Keyed {
    /// Adds a field, which none can be mistaken for that is cut elsewhere.
    pub(in crate::policy) fn field(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    /// So many hexadecimal digits of the hash.
    pub(in crate::policy) fn finish(self, digits: usize) -> String {
        let mut text = hex(self.0.sign().as_ref());
        text.truncate(digits);
        text
    }
}
