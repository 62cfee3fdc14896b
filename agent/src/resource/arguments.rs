//! Command lines, with what looks like a credential masked.
//!
//! Masking is a matter of looks and errs on the side of hiding: an argument that is named like a secret, or
//! has the form of one, is not shown.

use super::procfs::cut;

/// Most arguments that are kept.
const COUNT_LIMIT: usize = 64;
/// Longest argument that is shown, in bytes.
const LENGTH_LIMIT: usize = 512;
/// What stands in place of a credential.
const MASK: &str = "***";

/// Words that make the name of an option, variable, header or parameter that of a secret.
const SECRET_WORDS: &[&str] = &[
    "key",
    "apikey",
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "pass",
    "pwd",
    "pw",
    "credential",
    "credentials",
    "auth",
    "authorization",
    "bearer",
    "cookie",
    "signature",
    "sig",
    "jwt",
];
/// Ends of names in which such words are run together.
const SECRET_ENDS: &[&str] =
    &["apikey", "accesskey", "secretkey", "privatekey", "token", "secret", "password"];
/// Beginnings of keys that providers hand out.
pub(crate) const KEY_PREFIXES: &[&str] = &[
    "sk-",
    "sk_",
    "pk-",
    "rk_",
    "sess-",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxa-",
    "xoxb-",
    "xoxp-",
    "xapp-",
    "AIza",
    "AKIA",
    "ASIA",
    "ABSK",
    "hf_",
    "gsk_",
    "xai-",
    "pplx-",
    "nvapi-",
    "r8_",
    "eyJ",
    "ya29.",
    "npm_",
    "pypi-",
];
/// Shortest key that is recognised by its beginning alone, in bytes.
const KEY_LENGTH: usize = 12;

/// Splits `/proc/PID/cmdline`; a program that has overwritten it may leave trailing empty arguments.
pub(super) fn split(cmdline: &[u8]) -> Vec<String> {
    let end = cmdline.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
    if end == 0 {
        return Vec::new();
    }
    cmdline[..end]
        .split(|b| *b == 0)
        .take(COUNT_LIMIT)
        .map(|arg| String::from_utf8_lossy(arg).into_owned())
        .collect()
}

/// The arguments as they may be shown.
pub(super) fn shown(args: &[String]) -> Vec<String> {
    let mut shown = Vec::with_capacity(args.len());
    let mut value_of_secret = false;
    let mut value_of_user = false;
    for arg in args {
        let option = arg.starts_with('-') && arg.len() > 1;
        let masked = if value_of_secret && !arg.starts_with("--") {
            MASK.to_owned()
        } else if value_of_user && let Some((user, _)) = arg.split_once(':') {
            format!("{user}:{MASK}")
        } else if let Some((name, _)) = arg.split_once('=').filter(|(name, _)| option && is_secret_name(name))
        {
            format!("{name}={MASK}")
        } else {
            masked(arg)
        };
        value_of_secret = option && !arg.contains(['=', ' ']) && is_secret_name(arg);
        // curl's and wget's way of giving a name and a password.
        value_of_user = matches!(arg.as_str(), "-u" | "--user" | "--proxy-user" | "-U");
        shown.push(cut(&masked, LENGTH_LIMIT));
    }
    shown
}

/// Masks secrets in the midst of a text: headers, assignments, URLs, JSON, program text.
fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let word_end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(word_end);
        if word.is_empty() {
            let width = after.chars().next().map_or(0, char::len_utf8);
            out.push_str(&after[..width]);
            rest = &after[width..];
            continue;
        }
        if looks_like_key(word) {
            out.push_str(MASK);
            rest = after;
            continue;
        }
        out.push_str(word);
        rest = after;
        if let Some(authority) = rest.strip_prefix("://") {
            out.push_str("://");
            let end = authority
                .find(|c: char| "/?#\"'".contains(c) || c.is_whitespace())
                .unwrap_or(authority.len());
            if let Some(at) = authority[..end].rfind('@') {
                out.push_str(MASK);
                rest = &authority[at..];
            } else {
                rest = authority;
            }
        } else if matches!(word, "Bearer" | "bearer" | "Basic" | "basic") && rest.starts_with(' ') {
            out.push(' ');
            rest = hide(&mut out, &rest[1..], |c| !is_word(c) && c != '=');
        } else if is_secret_name(word) {
            let closed = rest.trim_start_matches(['"', '\'', ' ', ']', '\\']);
            let Some(sign) = closed.chars().next().filter(|c| matches!(c, '=' | ':')) else { continue };
            let value = closed[1..].trim_start_matches([' ', '\\']);
            let open = value.chars().next().filter(|c| matches!(c, '"' | '\''));
            let value = if open.is_some() { &value[1..] } else { value };
            out.push_str(&rest[..rest.len() - value.len()]);
            rest = match (open, sign) {
                (Some(quote), _) => hide(&mut out, value, |c| c == quote),
                // A header's value goes on to its end, whatever is in it.
                (None, ':') => hide(&mut out, value, |c| "\"'\r\n}".contains(c)),
                (None, _) => hide(&mut out, value, |c| "&;,\"')".contains(c) || c.is_whitespace()),
            };
        }
    }
    out
}

/// Masks up to where `end` says, and returns what follows; nothing is nothing to hide.
fn hide<'a>(out: &mut String, value: &'a str, end: impl Fn(char) -> bool) -> &'a str {
    let at = value.find(end).unwrap_or(value.len());
    if at > 0 {
        out.push_str(MASK);
    }
    &value[at..]
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | '~' | '%')
}

fn looks_like_key(word: &str) -> bool {
    word.len() >= KEY_LENGTH
        && KEY_PREFIXES.iter().any(|prefix| word.starts_with(prefix))
        && word.bytes().any(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
}

/// Is one of the words that a name is made of (`--api-key`, `OPENAI_API_KEY`, `x-api-key`, `apiKey`) a secret's?
fn is_secret_name(name: &str) -> bool {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut lower = false;
    for c in name.chars() {
        let boundary = !c.is_ascii_alphanumeric() || (lower && c.is_ascii_uppercase());
        if boundary && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_ascii_alphanumeric() {
            word.push(c.to_ascii_lowercase());
        }
        lower = c.is_ascii_lowercase() || c.is_ascii_digit();
    }
    words.push(word);
    words.iter().any(|word| {
        SECRET_WORDS.contains(&word.as_str()) || SECRET_ENDS.iter().any(|end| word.ends_with(end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn credentials_are_masked() {
        let cases: &[(&[&str], &[&str])] = &[
            (&["app", "--api-key", "hunter2", "x"], &["app", "--api-key", "***", "x"]),
            (&["app", "--api-key=hunter2"], &["app", "--api-key=***"]),
            (&["app", "--apiKey", "-hunter2"], &["app", "--apiKey", "***"]),
            (&["app", "--token", "--verbose"], &["app", "--token", "--verbose"]),
            (&["app", "--token="], &["app", "--token=***"]),
            (&["env", "OPENAI_API_KEY=hunter2", "app"], &["env", "OPENAI_API_KEY=***", "app"]),
            (&["app", "sk-proj-abc123DEF456"], &["app", "***"]),
            (&["app", "say sk-ant-api03-abcDEF now"], &["app", "say *** now"]),
            (&["curl", "-H", "Authorization: Bearer abc.def"], &["curl", "-H", "Authorization: ***"]),
            (&["curl", "-HX-Api-Key:hunter2"], &["curl", "-HX-Api-Key:***"]),
            (&["curl", "-H", "Cookie: a=b; c=d"], &["curl", "-H", "Cookie: ***"]),
            (&["curl", "-H", "X-Auth: Basic dXNlcjpw"], &["curl", "-H", "X-Auth: ***"]),
            (&["app", "Bearer abc.def=="], &["app", "Bearer ***"]),
            (&["curl", "-u", "me:hunter2"], &["curl", "-u", "me:***"]),
            (&["curl", "-u", "me"], &["curl", "-u", "me"]),
            (
                &["curl", "https://me:hunter2@example.com/a@b?key=hunter2&x=1#f"],
                &["curl", "https://***@example.com/a@b?key=***&x=1#f"],
            ),
            (&["curl", "https://example.com:443/v1"], &["curl", "https://example.com:443/v1"]),
            (&["psql", "postgres://u:p@h/d"], &["psql", "postgres://***@h/d"]),
            (&["app", "{\"api_key\": \"hunter2\", \"n\": 1}"], &["app", "{\"api_key\": \"***\", \"n\": 1}"]),
            (
                &["python", "-c", "c = OpenAI(api_key='hunter2', timeout=3)"],
                &["python", "-c", "c = OpenAI(api_key='***', timeout=3)"],
            ),
            (
                &["python", "-c", "os.environ['OPENAI_API_KEY'] = \"hunter2\""],
                &["python", "-c", "os.environ['OPENAI_API_KEY'] = \"***\""],
            ),
        ];
        for (args, expected) in cases {
            let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
            let shown = shown(&args);
            assert_eq!(shown, *expected);
            assert!(!shown.iter().any(|arg| arg.contains("hunter2")), "{shown:?}");
        }
    }

    #[test]
    fn the_harmless_is_shown() {
        for arg in [
            "--max-tokens=100",
            "--tokenizer",
            "--author",
            "--keyboard=de",
            "app.py",
            "sk-learn",
            "-",
            "https://api.openai.com/v1/chat/completions",
            "pk-install",
            "--stop-at=monkey",
            "a:b:c",
            "état=é",
        ] {
            assert_eq!(shown(&[arg.to_owned(), "next".to_owned()]), [arg, "next"], "{arg}");
        }
    }

    #[test]
    fn command_lines_are_split_and_bounded() {
        assert_eq!(split(b""), Vec::<String>::new());
        assert_eq!(split(b"\0\0"), Vec::<String>::new());
        assert_eq!(split(b"a\0\0b\0"), ["a", "", "b"]);
        assert_eq!(split(b"title\0\0\0\0"), ["title"]);
        assert_eq!(split(&b"x\0".repeat(1000)).len(), COUNT_LIMIT);
        let long = shown(&["é".repeat(10_000)]);
        assert!(long[0].len() <= LENGTH_LIMIT + '…'.len_utf8() && long[0].ends_with('…'));
    }

    proptest! {
        #[test]
        fn any_bytes_are_split_and_masked(cmdline in proptest::collection::vec(any::<u8>(), 0..400)) {
            let args = split(&cmdline);
            prop_assert_eq!(shown(&args).len(), args.len());
        }

        #[test]
        fn a_named_secret_never_shows(secret in "[a-zA-Z0-9]{8,40}", name in "(api[-_]?key|token|PASSWORD)", how in 0..4) {
            let secret = format!("Q{secret}Q");
            let args = match how {
                0 => vec![format!("--{name}"), secret.clone()],
                1 => vec![format!("--{name}={secret}")],
                2 => vec![format!("X_{name}={secret}")],
                _ => vec!["-H".to_owned(), format!("x-{name}: {secret}")],
            };
            prop_assert!(!shown(&args).join(" ").contains(&secret));
        }
    }
}
