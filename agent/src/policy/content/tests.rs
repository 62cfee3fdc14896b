use std::fs;

use super::*;
use crate::{
    genai::{CallError, Content, Generation, Mcp, Message, Part, Party, Request, Response, ToolDefinition},
    policy::redact::Rule,
};

fn policy(rules: Vec<FormRule>, otherwise: Form) -> (Policy, Arc<Account>) {
    let account = Arc::new(Account::default());
    let redactor = Redactor::new(Kind::ALL.iter().map(|kind| Rule::builtin(*kind).unwrap()).collect());
    (Policy::new(rules, otherwise, redactor, Some(Key::new(&[7; 32])), Arc::clone(&account)), account)
}

const SECRET: &str = "jo@example.com";

/// A call that has the secret in every text that is content.
fn call() -> Call {
    let text = || Content::from(SECRET);
    let json = || Content::from(r#"{"to":"jo@example.com"}"#);
    let parts = || {
        vec![
            Part::Text(text()),
            Part::Reasoning(text()),
            Part::Refusal(text()),
            Part::ToolCall { id: Some("id".into()), name: "mail".into(), arguments: json() },
            Part::ToolCallResponse { id: None, response: json() },
            Part::ServerToolCall { id: None, name: "mail".into(), arguments: json() },
            Part::ServerToolCallResponse { id: None, response: json() },
            Part::Uri { modality: "image", mime_type: None, uri: format!("https://host/{SECRET}") },
            Part::Generic { kind: "other".into(), json: json() },
        ]
    };
    let message = || Message { role: "user".into(), name: Some(SECRET.into()), parts: parts() };
    Call {
        request: Request {
            system: parts(),
            messages: vec![message()],
            stop_sequences: vec![SECRET.into()],
            tools: vec![ToolDefinition {
                kind: "function".into(),
                name: Some("mail".into()),
                description: Some(SECRET.into()),
                parameters: Some(serde_json::value::to_raw_value(SECRET).unwrap()),
            }],
            ..Request::default()
        },
        response: Response {
            generations: vec![Generation { message: message(), ..Generation::default() }],
            ..Response::default()
        },
        mcp: Some(Box::new(Mcp {
            sender: Party::Client,
            method: "tools/call".into(),
            request_id: None,
            session_id: None,
            protocol_version: None,
            jsonrpc_version: None,
            tool: Some("mail".into()),
            prompt: None,
            resource_uri: None,
            arguments: Some(json()),
            result: Some(json()),
            error_code: None,
        })),
        error: Some(CallError { message: Some(SECRET.into()), ..CallError::default() }),
        ..Call::default()
    }
}

#[test]
fn no_text_of_a_call_is_forgotten() {
    let (policy, account) = policy(Vec::new(), Form::None);
    let said = |form| {
        let mut call = call();
        let count = policy.bring(&mut call, form);
        (format!("{call:?}"), count)
    };
    let (full, _) = said(Form::Full);
    assert_eq!(full.matches(SECRET).count(), 35);
    let (redacted, count) = said(Form::Redacted);
    assert_eq!((redacted.contains("example"), count), (false, 35));
    assert_eq!(account.get(Counter::RedactedEmails), 35);
    let (hashed, _) = said(Form::Hashed);
    assert!(!hashed.contains("example") && hashed.contains("hmac-sha256:") && hashed.contains("mail"));
}

#[test]
fn equal_texts_have_equal_hashes_under_one_key_only() {
    let (one, other) = (Key::new(&[1; 32]), Key::new(&[2; 32]));
    assert_eq!(one.hash(b"a"), one.hash(b"a"));
    assert!(one.hash(b"a") != one.hash(b"b") && one.hash(b"a") != other.hash(b"a"));
    // RFC 4231, section 4.2, has a shorter key; this is its computation for 32 bytes of 0x0b.
    assert_eq!(
        Key::new(&[0x0b; 32]).hash(b"Hi There"),
        "hmac-sha256:198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7"
    );
}

#[test]
fn the_first_rule_that_fits_counts() {
    let when = |service: &str, model: &str| When::default().service(service).unwrap().model(model).unwrap();
    let rules = vec![
        FormRule { when: When::default().path("/v1/internal/**").unwrap(), form: Form::Full },
        FormRule { when: when("shop-*", "gpt-*"), form: Form::Redacted },
        FormRule { when: When::default().provider("aws.bedrock").unwrap(), form: Form::None },
    ];
    let (policy, _) = policy(rules, Form::Hashed);
    let shop = Subject { service: Some("shop-web"), path: Some("/v1/chat"), ..Subject::default() };
    #[rustfmt::skip]
    let rows = [
        (Subject { model: Some("gpt-9"), ..shop }, Form::Redacted),
        (Subject { model: Some("other"), ..shop }, Form::Hashed),
        (Subject { model: None, ..shop }, Form::Hashed),
        (Subject { model: Some("gpt-9"), path: Some("/v1/internal/a/b"), ..shop }, Form::Full),
        (Subject { provider: Some("aws.bedrock"), ..shop }, Form::None),
        (Subject::default(), Form::Hashed),
    ];
    for (subject, wanted) in rows {
        assert_eq!(policy.form(&subject), wanted, "{subject:?}");
    }
    assert!(When::default().model("a[").is_err());
}

#[test]
fn what_calls_have_in_common_is_kept_as_the_strictest_of_them() {
    let rules = || vec![FormRule { when: When::default().service("bank").unwrap(), form: Form::Redacted }];
    let (policy, _) = policy(rules(), Form::Full);
    assert_eq!(policy.common_form(Some("shop"), None), Form::Full);
    let form = policy.common_form(Some("bank"), None);
    assert_eq!(form, Form::Redacted);
    let arguments = ["ask".to_owned(), format!("who is {SECRET}?")];
    assert_eq!(policy.arguments(&arguments, form), ["ask", "who is [redacted:email]?"]);
    assert_eq!(policy.arguments(&arguments, Form::None), [""; 0]);
    assert!(policy.arguments(&arguments, Form::Hashed)[1].starts_with("hmac-sha256:"));
}

#[test]
fn secrets_that_are_split_over_parts_or_cut_off_do_not_leak() {
    let (policy, _) = policy(Vec::new(), Form::None);
    let redacted = |parts: Vec<Part>| {
        let mut call = Call { request: Request { system: parts, ..Request::default() }, ..Call::default() };
        policy.bring(&mut call, Form::Redacted);
        let texts = call.request.system.into_iter().map(|part| match part {
            Part::Text(Content { text, cut }) | Part::Reasoning(Content { text, cut }) => (text, cut),
            part => panic!("{part:?}"),
        });
        texts.collect::<Vec<_>>()
    };
    let text = |text: &str, cut| Content { text: text.to_owned(), cut };
    let cases = [
        (
            vec![Part::Text(text("a jo@exam", 0)), Part::Text(text("ple.com b", 0))],
            vec![("a [redacted:email]", 0), (" b", 0)],
        ),
        (vec![Part::Text(text("my key: sk-abcd", 90))], vec![("my key:", 98)]),
        (vec![Part::Text(text("pay 4111 1111 11", 5))], vec![("pay", 18)]),
        (vec![Part::Text(text("no secret here", 0))], vec![("no secret here", 0)]),
    ];
    for (parts, wanted) in cases {
        let got = redacted(parts);
        let got: Vec<_> = got.iter().map(|(text, cut)| (text.as_str(), *cut)).collect();
        assert_eq!(got, wanted);
    }
}

#[test]
fn the_secret_of_an_installation_is_made_once_and_is_its_owners() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state/secret");
    let first = Key::of_file(&path).unwrap().hash(b"a");
    assert_eq!(Key::of_file(&path).unwrap().hash(b"a"), first);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
    fs::write(&path, b"short").unwrap();
    assert!(Key::of_file(&path).unwrap_err().to_string().contains("holds no secret of 32 bytes"));
}
