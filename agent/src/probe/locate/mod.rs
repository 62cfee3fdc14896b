//! Which TLS code a file holds, and at which addresses: one file per TLS implementation.

mod awslc;
mod boringssl;
mod gnutls;
mod go;
mod java;
mod nss;
mod openssl;
mod openssl_static;
mod ring;
mod s2n;
mod ssl_api;

use super::{Elf, Finding};

/// Finds one TLS implementation in files.
pub trait Locator: Sync {
    /// Its name, as reports show it.
    fn name(&self) -> &'static str;

    /// Whether it asks the symbol tables only, which takes a millisecond or so whatever the size of the file. Such
    /// locators are asked first, and what they find is probed while the others still search.
    fn by_symbols(&self) -> bool {
        false
    }

    /// Looks for it. `Ok(None)` if the file does not hold it; an error, for a person, if it does and can't
    /// be probed. A guess that could read the wrong memory is never returned.
    fn locate(&self, elf: &Elf<'_>) -> Result<Option<Finding>, String>;
}

/// Every locator there is.
pub const LOCATORS: &[&dyn Locator] = &[
    &openssl::OpenSsl,
    &openssl_static::OpenSslStatic,
    &boringssl::BoringSsl,
    &awslc::AwsLc,
    &ring::Ring,
    &gnutls::GnuTls,
    &nss::Nss,
    &s2n::S2n,
    &go::Go,
    &java::Java,
];
