//! s2n-tls, by symbols (the AWS Common Runtime, which carries it into Python and Node.js with aws-lc below).

use agent_common::{ACTION_END, ACTION_SHUTDOWN, RECEIVED, SENT};

use super::{
    Locator,
    ssl_api::{Role, points},
};
use crate::probe::{Elf, Finding};

/// The locator.
pub struct S2n;

const SEND: &str = "s2n_send";
const RECEIVE: &str = "s2n_recv";

/// The functions, from api/s2n.h: `ssize_t s2n_send(struct s2n_connection *, const void *, ssize_t, s2n_blocked_status *)`.
/// A connection that is wiped serves for another peer.
const FUNCTIONS: &[(&str, Role)] = &[
    (SEND, Role::Sized { direction: SENT }),
    (RECEIVE, Role::Sized { direction: RECEIVED }),
    ("s2n_shutdown", Role::End { action: ACTION_SHUTDOWN }),
    ("s2n_connection_wipe", Role::End { action: ACTION_END }),
    ("s2n_connection_free", Role::End { action: ACTION_END }),
];

impl Locator for S2n {
    fn name(&self) -> &'static str {
        "s2n"
    }

    fn locate(&self, elf: &Elf<'_>) -> Result<Option<Finding>, String> {
        if !is_in(elf) {
            return Ok(None);
        }
        let names: Vec<&str> = FUNCTIONS.iter().map(|f| f.0).collect();
        let found: Vec<(&'static str, &Role, u64)> = FUNCTIONS
            .iter()
<<<<<<< HEAD
            .zip(elf.functions(&names, 2))
=======
            .zip(elf.functions(&names, names.len()))
>>>>>>> main
            .filter_map(|((symbol, role), offset)| Some((*symbol, role, offset?)))
            .collect();
        let defined: Vec<&str> = found.iter().map(|f| f.0).collect();
        let points =
            found.iter().flat_map(|(symbol, role, offset)| points(elf, symbol, role, *offset)).collect();
        Ok(Some(Finding { stack: self.name(), evidence: format!("symbols {}", defined.join(", ")), points }))
    }
}

/// Whether its functions can be found in the file.
pub(super) fn is_in(elf: &Elf<'_>) -> bool {
    elf.functions(&[SEND, RECEIVE], 2).iter().all(Option::is_some)
}
