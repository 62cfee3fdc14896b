//! Texts that are redacted: whatever stands around it, an address is found, and a cut changes nothing.

use std::sync::LazyLock;

use plainspan::policy::redact::{Counts, Kind, Redactor, Rule};

/// Patterns take their time to compile.
static REDACTOR: LazyLock<Redactor> = LazyLock::new(|| {
    let rules: Result<Vec<Rule>, _> = Kind::ALL.iter().map(|kind| Rule::builtin(*kind)).collect();
    Redactor::new(rules.expect("the built-in rules compile"))
});

const PLANTED: &str = "\njo@example.com\n";

/// The first byte tells where the text is cut into two that follow each other, and where the address is.
pub fn redact(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let at = usize::from(*first) * text.len() / 256;
    let at = (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let planted = [&text[..at], PLANTED, &text[at..]].concat();
    let redacted = REDACTOR.text(&planted, &mut Counts::default());
    assert!(!redacted.contains(PLANTED.trim()) || text.contains(PLANTED.trim()), "{redacted}");

    let (mut whole, mut apart) = (Counts::default(), Counts::default());
    let once = REDACTOR.text(text, &mut whole);
    let (mut head, mut tail) = (text[..at].to_owned(), text[at..].to_owned());
    REDACTOR.adjacent(&mut [&mut head, &mut tail], &mut apart);
    assert_eq!((head + &tail, apart), (once.into_owned(), whole));
    let _ = REDACTOR.json(text, &mut Counts::default());
}
