//! Java's virtual machine, which can't be probed: its TLS (JSSE) is Java code, compiled at run time to places that only
//! the machine itself knows and moves.

use super::Locator;
use crate::probe::{Elf, Finding};

/// The locator.
pub struct Java;

/// Exported by every Java virtual machine's library (JNI specification, "The Invocation API"; the second is an agreement
/// between it and the class library).
const FUNCTIONS: [&str; 2] = ["JNI_CreateJavaVM", "JVM_DefineClass"];

impl Locator for Java {
    fn name(&self) -> &'static str {
        "java"
    }

    fn by_symbols(&self) -> bool {
        true
    }

    fn locate(&self, elf: &Elf<'_>) -> Result<Option<Finding>, String> {
        if elf.functions(&FUNCTIONS, FUNCTIONS.len()).iter().any(Option::is_none) {
            return Ok(None);
        }
        Err("Java's own TLS (JSSE) is compiled at run time and can't be probed; calls are seen where a program uses \
             OpenSSL or BoringSSL instead (netty-tcnative, Conscrypt), or passes through a gateway that is watched"
            .to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_programs_are_not_it() {
        assert_eq!(Elf::open("/proc/self/exe".as_ref(), |elf| Java.locate(elf)).unwrap(), Ok(None));
    }
}
