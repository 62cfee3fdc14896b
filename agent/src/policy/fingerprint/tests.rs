use proptest::prelude::*;

use super::*;
use crate::genai::{Content, Generation, Message, Missed, Part, Request, Response, Stated, ToolDefinition};

fn fingerprinter(secret: u8) -> Fingerprinter {
    Fingerprinter::new(Some(Key::new(&[secret; 32])), vec![Fact::Locale], Arc::default())
}

fn prints(call: &Call) -> Prints {
    fingerprinter(7).prints(call)
}

fn text(text: &str) -> Part {
    Part::Text(Content::from(text))
}

fn called(name: &str) -> Part {
    Part::ToolCall { id: Some(format!("id of {name}")), name: name.into(), arguments: Content::from("{}") }
}

fn message(role: &str, parts: Vec<Part>) -> Message {
    Message { role: role.into(), name: None, parts }
}

fn tool(name: &str, parameters: &str) -> ToolDefinition {
    ToolDefinition {
        kind: "function".into(),
        name: Some(name.into()),
        description: Some(format!("what {name} does")),
        parameters: Some(serde_json::value::RawValue::from_string(parameters.into()).unwrap()),
    }
}

fn call(system: &str, messages: Vec<Message>) -> Call {
    Call {
        request: Request { system: vec![text(system)], messages, ..Request::default() },
        ..Call::default()
    }
}

fn with_tools(tools: Vec<ToolDefinition>) -> Call {
    Call { request: Request { tools, ..Request::default() }, ..Call::default() }
}

#[test]
fn prompts_have_one_hash_if_they_are_the_same() {
    let user = |words: &str| message("user", vec![text(words)]);
    let one = call("Be kind.", vec![user("Hello")]);
    let hash = prints(&one).prompt.unwrap();
    assert!(hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hash}");
    assert_eq!(prints(&one).prompt.as_deref(), Some(hash.as_str()));
    let mut others = [
        call("Be kind", vec![user(".Hello")]),
        call("Be kind.", vec![user("hello")]),
        call("Be kind.", vec![user("Hello"), user("")]),
        call("Be kind.", vec![message("assistant", vec![text("Hello")])]),
        call("Be kind.", vec![message("user", vec![text("Hel"), text("lo")])]),
        call("Be kind.", vec![message("user", vec![Part::Refusal("Hello".into())])]),
        call("", vec![user("Be kind."), user("Hello")]),
    ];
    others[0].request.model = Some("other".into());
    let mut hashes: Vec<String> = others.iter().filter_map(|call| prints(call).prompt).collect();
    hashes.push(hash.clone());
    hashes.push(fingerprinter(8).prints(&one).prompt.unwrap());
    let all = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    assert!(all == others.len() + 2 && hashes.len() == all, "{hashes:?}");

    // What the provider made of it, and ids that it gives, are not in it.
    let ids = |id: &str| {
        let part = Part::ToolCallResponse { id: Some(id.into()), response: "5".into() };
        prints(&call("s", vec![message("tool", vec![part])])).prompt
    };
    assert_eq!(ids("call_1"), ids("call_2"));
}

#[test]
fn what_is_not_known_whole_has_no_hash() {
    type Change = fn(&mut Call);
    let whole = || {
        let mut call = call(
            "Be kind.",
            vec![message("user", vec![text("Hello")]), message("assistant", vec![called("a")])],
        );
        call.request.tools = vec![tool("a", "{}")];
        call
    };
    let have = |call: &Call| {
        let prints = prints(call);
        [
            prints.prompt.is_some(),
            prints.tool_set.is_some(),
            prints.tool_sequence.is_some(),
            !prints.tools_called.is_empty(),
        ]
    };
    assert_eq!(have(&whole()), [true; 4]);
    let rows: [(Change, [bool; 4]); 4] = [
        (|call| call.omitted = 1, [false; 4]),
        (|call| call.damage.request = Missed { lost: 1, ..Missed::default() }, [false; 4]),
        (
            |call| call.damage.response = Missed { unknown: true, ..Missed::default() },
            [true, true, false, false],
        ),
        (
            |call| call.request.system = vec![Part::Text(Content { text: "Be".into(), cut: 6 })],
            [false, true, true, true],
        ),
    ];
    for (at, (change, wanted)) in rows.into_iter().enumerate() {
        let mut call = whole();
        change(&mut call);
        assert_eq!(have(&call), wanted, "{at}");
    }
    assert_eq!(prints(&Call::default()), Prints::default());
}

#[test]
fn sets_of_tools_are_told_apart_by_names_and_parameters() {
    let set = |tools: Vec<ToolDefinition>| prints(&with_tools(tools)).tool_set.unwrap();
    let (a, b) = (|| tool("a", r#"{"type":"object","required":["x"]}"#), || tool("b", "{}"));
    let one = set(vec![a(), b()]);
    for same in [
        vec![b(), a()],
        vec![tool("a", "{ \"required\" : [\"x\"],\n \"type\": \"object\" }"), b()],
        vec![ToolDefinition { description: None, ..a() }, b()],
    ] {
        assert_eq!(set(same), one);
    }
    for other in [
        vec![a()],
        vec![a(), a(), b()],
        vec![tool("a", r#"{"type":"object","required":["y"]}"#), b()],
        vec![tool("a", r#"{"type":"object","required":["x"],"more":null}"#), b()],
        vec![ToolDefinition { parameters: None, ..a() }, b()],
        vec![ToolDefinition { kind: "custom".into(), ..a() }, b()],
    ] {
        assert_ne!(set(other.clone()), one, "{other:?}");
    }
    // Deeper than it is read.
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    assert_ne!(set(vec![tool("a", &deep)]), set(vec![tool("a", &deep[1..399])]));
}

#[test]
fn called_tools_are_told_in_their_order() {
    let sequence = |asked: &[&str], answered: &[&str]| {
        let parts = |names: &[&str]| names.iter().map(|name| called(name)).collect::<Vec<_>>();
        let mut call = call("s", vec![message("assistant", parts(asked)), message("tool", vec![text("5")])]);
        let generation =
            Generation { message: message("assistant", parts(answered)), ..Generation::default() };
        call.response = Response { generations: vec![generation], ..Response::default() };
        let prints = prints(&call);
        (prints.tool_sequence, prints.tools_called)
    };
    let (hash, names) = sequence(&["search", "search"], &["book"]);
    assert_eq!(names, ["search", "search", "book"]);
    assert_eq!(sequence(&["search"], &["search", "book"]).0, hash);
    assert_ne!(sequence(&["search", "book"], &["search"]).0, hash);
    assert_ne!(sequence(&["search", "search"], &[]).0, hash);
    assert_eq!(sequence(&[], &[]), (None, Vec::new()));
    let many: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let (_, names) = sequence(&many.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
    assert!(names.len() == 32 && names[31] == "99", "{names:?}");
}

#[test]
fn whose_call_it_is_is_hashed_unless_it_may_be_known() {
    let mut call = Call::default();
    let body = r#"{"user":"u1","metadata":{"tenant":"u1","locale":"de","experiment":"b","session_id":"s"},"documents":[{"id":"d1"},{"id":"d2"}],"prompt":{"id":"p","version":"3"}}"#;
    call.stated = Stated::of_body(body);
    let hashed = prints(&call);
    let is_hash = |value: &Option<String>| {
        value.as_ref().is_some_and(|value| value.starts_with("hmac:") && value.len() == 21)
    };
    for value in [&hashed.user, &hashed.tenant, &hashed.session, &hashed.experiment] {
        assert!(is_hash(value), "{hashed:?}");
    }
    assert!(hashed.contexts.len() == 2 && hashed.contexts[0] != hashed.contexts[1]);
    assert_ne!(hashed.user, hashed.tenant, "one value has another hash for each fact");
    assert_eq!(
        (hashed.locale.as_deref(), hashed.prompt_name.as_deref(), hashed.prompt_version.as_deref()),
        (Some("de"), Some("p"), Some("3"))
    );
    let plain = Fingerprinter::new(Some(Key::new(&[7; 32])), vec![Fact::User, Fact::Context], Arc::default())
        .prints(&call);
    assert_eq!(plain.user.as_deref(), Some("u1"));
    assert_eq!(plain.contexts, ["d1", "d2"]);
    assert!(is_hash(&plain.tenant) && is_hash(&plain.locale));
}

#[test]
fn there_are_none_without_a_key() {
    let call = call("Be kind.", vec![message("user", vec![text("Hello")])]);
    let mut off = Fingerprinter::new(None, Vec::new(), Arc::default());
    assert_eq!(off.prints(&call), Prints::default());
    off.configure(Some(Key::new(&[7; 32])), Vec::new());
    assert!(off.prints(&call).prompt.is_some());
}

proptest! {
    #[test]
    fn the_order_of_tools_does_not_matter(names in proptest::collection::vec("[a-c]{0,2}", 1..8), by in 0_usize..8) {
        let mut tools: Vec<_> = names.iter().map(|name| tool(name, &format!("{{\"{name}\":[1,\"x\"]}}"))).collect();
        let one = prints(&with_tools(tools.clone())).tool_set;
        let by = by % tools.len();
        tools.rotate_left(by);
        tools[by..].reverse();
        prop_assert_eq!(prints(&with_tools(tools)).tool_set, one);
    }
}
