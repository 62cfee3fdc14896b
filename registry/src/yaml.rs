//! Text as a YAML scalar, where YAML is written for people: as it is if that is safe, else in quotes.

use std::fmt::Write;

/// A scalar that is read as this text, in block and in flow style.
pub fn scalar(text: &str) -> String {
    let mut letters = text.chars();
    let starts = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-' | ' ');
    let safe = starts && letters.all(plain) && !text.ends_with(' ');
    // What YAML 1.1 or 1.2 reads as something else.
    let taken = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"];
    if safe && !taken.contains(&text.to_ascii_lowercase().as_str()) { text.to_owned() } else { quoted(text) }
}

/// In double quotes. YAML allows few characters as they are; what is neither a letter nor a digit nor printable ASCII is escaped.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric() => out.push(c),
            c => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quotes_stand_where_they_are_needed() {
        #[rustfmt::skip]
        let rows = [
            ("gen_ai.request.model", "gen_ai.request.model"), ("two words", "two words"), ("_OTHER", "_OTHER"),
            ("1.0", "\"1.0\""), ("no", "\"no\""), ("", "\"\""), ("a: b", "\"a: b\""), ("{x}", "\"{x}\""), ("a\n", "\"a\\U0000000A\""), ("é", "\"é\""),
        ];
        for (text, wanted) in rows {
            assert_eq!(scalar(text), wanted);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_back(text in "(?s).{0,12}|[a-z:#,' -]{0,6}|[0-9.eE+_x~-]{0,5}") {
            let flow = format!("[{}, x]", scalar(&text));
            prop_assert_eq!(serde_yaml_ng::from_str::<Vec<String>>(&flow).unwrap(), [text.as_str(), "x"]);
            let block = format!("a: {}\n", scalar(&text));
            let read: std::collections::BTreeMap<String, String> = serde_yaml_ng::from_str(&block).unwrap();
            prop_assert_eq!(&read["a"], &text);
        }
    }
}
