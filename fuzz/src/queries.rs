//! Files of queries: whatever they hold, they are scanned, and no more is found than they have bytes.

use plainspan_registry::consumers::scan;

/// The first byte tells the language.
pub fn queries(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let ending = ["promql", "sql", "traceql", "json", "yaml"][usize::from(*first) % 5];
    if let Ok(found) = scan(&format!("x.{ending}"), text) {
        // An alias in SQL stands for up to 64 names each time.
        assert!(
            found.len() <= 65 * (text.len() + 1),
            "{} names in {} bytes of {ending}",
            found.len(),
            text.len()
        );
    }
}
