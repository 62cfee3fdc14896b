//! W3C trace context of a request.

use super::call::TraceContext;
use crate::wire::Headers;

/// Longest `tracestate` that is passed on, in bytes. The recommendation asks for at least 512.
const STATE_MAX: usize = 8192;

/// The trace that a request belongs to (W3C Trace Context, section 3); `None` if it names none, several, or
/// names it wrongly.
pub(super) fn context(headers: &Headers) -> Option<TraceContext> {
    let mut parents = headers.0.iter().filter(|h| &*h.name == "traceparent");
    let parent = parents.next()?;
    if parents.next().is_some() {
        return None;
    }
    let mut context = parse(parent.value.trim_matches([' ', '\t']))?;
    context.state = state(headers);
    Some(context)
}

/// The same of a message that carries both values in its body.
pub(super) fn of_values(parent: &str, state: Option<&str>) -> Option<TraceContext> {
    Some(TraceContext { state: state.and_then(|state| list(state.to_owned())), ..parse(parent)? })
}

/// `version "-" trace-id "-" parent-id "-" trace-flags`, hexadecimal in lower case.
fn parse(value: &str) -> Option<TraceContext> {
    let bytes = value.as_bytes();
    let (head, rest) = bytes.split_at_checked(55)?;
    if head[2] != b'-' || head[35] != b'-' || head[52] != b'-' {
        return None;
    }
    let [version] = hex(&head[..2])?;
    match version {
        0xff => return None,
        0 if !rest.is_empty() => return None,
        // A later version may append fields, but only behind another dash.
        _ if rest.first().is_some_and(|b| *b != b'-') => return None,
        _ => {}
    }
    let trace_id = hex(&head[3..35])?;
    let parent_id = hex(&head[36..52])?;
    let [flags] = hex(&head[53..55])?;
    (trace_id != [0; 16] && parent_id != [0; 8]).then_some(TraceContext {
        trace_id,
        parent_id,
        flags,
        state: None,
    })
}

fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

/// All `tracestate` headers as one list. One that is not a list of at most 32 pairs is left out.
fn state(headers: &Headers) -> Option<String> {
    let values: Vec<&str> = headers
        .0
        .iter()
        .filter(|h| &*h.name == "tracestate")
        .map(|h| h.value.trim_matches([' ', '\t']))
        .collect();
    list(values.join(","))
}

fn list(state: String) -> Option<String> {
    let mut members = state.split(',').map(str::trim).filter(|member| !member.is_empty());
    let valid = state.len() <= STATE_MAX
        && state.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t'))
        && members.clone().count() <= 32
        && members.all(|member| {
            member.split_once('=').is_some_and(|(key, value)| !key.is_empty() && !value.is_empty())
        });
    (valid && !state.is_empty()).then_some(state)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::Header;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(list: &[(&str, &str)]) -> Headers {
        Headers(list.iter().map(|(n, v)| Header { name: (*n).into(), value: (*v).into() }).collect())
    }

    #[test]
    fn parents() {
        let later = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-more";
        let cases = [
            (GOOD, true),
            (later, true),
            ("", false),
            (&GOOD[..54], false),
            (&format!("{GOOD}-"), false),
            (&format!("{GOOD}0"), false),
            ("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00more", false),
            ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
            ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false),
            ("00-00000000000000000000000000000000-b7ad6b7169203331-01", false),
            ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false),
            ("00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01", false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-zz", false),
        ];
        for (value, valid) in cases {
            assert_eq!(context(&headers(&[("traceparent", value)])).is_some(), valid, "{value}");
        }
        assert!(context(&headers(&[("traceparent", GOOD), ("traceparent", GOOD)])).is_none());
        assert!(context(&headers(&[])).is_none());
        let context = context(&headers(&[("traceparent", GOOD)])).unwrap();
        assert_eq!(context.trace_id[..2], [0x0a, 0xf7]);
        assert_eq!((context.parent_id[7], context.flags), (0x31, 1));
    }

    #[test]
    fn states() {
        let cases = [
            (vec!["a=1"], Some("a=1")),
            (vec!["a=1", "b=2"], Some("a=1,b=2")),
            (vec![""], None),
            (vec!["nonsense"], None),
            (vec!["a=\u{7f}"], None),
        ];
        for (values, expected) in cases {
            let mut list = vec![("traceparent", GOOD)];
            list.extend(values.iter().map(|v| ("tracestate", *v)));
            assert_eq!(context(&headers(&list)).unwrap().state.as_deref(), expected, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in ".{0,80}") {
            let _ = context(&headers(&[("traceparent", &text), ("tracestate", &text)]));
        }
    }
}
