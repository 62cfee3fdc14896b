//! GnuTLS, by symbols (wget, the libcurl of many distributions' own programs).

use agent_common::{ACTION_END, ACTION_SHUTDOWN, RECEIVED, SENT};

use super::{
    Locator,
    ssl_api::{Role, points},
};
use crate::probe::{Elf, Finding};

/// The locator.
pub struct GnuTls;

/// The functions, from the GnuTLS manual, "Core TLS API". `gnutls_record_send` calls `gnutls_record_send2`; bytes of a call
/// within a call are counted once.
const FUNCTIONS: &[(&str, Role)] = &[
    ("gnutls_record_send", Role::Sized { direction: SENT }),
    ("gnutls_record_recv", Role::Sized { direction: RECEIVED }),
    ("gnutls_record_send2", Role::Sized { direction: SENT }),
    ("gnutls_record_recv_seq", Role::Sized { direction: RECEIVED }),
    ("gnutls_bye", Role::End { action: ACTION_SHUTDOWN }),
    ("gnutls_deinit", Role::End { action: ACTION_END }),
];

/// The first of them, which every version has.
const NEEDED: [&str; 2] = ["gnutls_record_send", "gnutls_record_recv"];

impl Locator for GnuTls {
    fn name(&self) -> &'static str {
        "gnutls"
    }

    fn by_symbols(&self) -> bool {
        true
    }

    fn locate(&self, elf: &Elf<'_>) -> Result<Option<Finding>, String> {
        let names: Vec<&str> = FUNCTIONS.iter().map(|f| f.0).collect();
        let offsets = elf.functions(&names, NEEDED.len());
        let found: Vec<(&'static str, &Role, u64)> = FUNCTIONS
            .iter()
            .zip(offsets)
            .filter_map(|((symbol, role), offset)| Some((*symbol, role, offset?)))
            .collect();
        let defined: Vec<&str> = found.iter().map(|f| f.0).collect();
        if defined.is_empty() {
            return Ok(None);
        }
        for needed in NEEDED {
            if !defined.contains(&needed) {
                return Err(format!("defines {} but not {needed}", defined.join(", ")));
            }
        }
        let points =
            found.iter().flat_map(|(symbol, role, offset)| points(elf, symbol, role, *offset)).collect();
        Ok(Some(Finding { stack: self.name(), evidence: format!("symbols {}", defined.join(", ")), points }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_library_is_not_it() {
        let found = Elf::open("/proc/self/exe".as_ref(), |elf| GnuTls.locate(elf)).unwrap();
        assert_eq!(found, Ok(None));
    }
}
