//! Sessions of Gemini Live.

use super::*;

const SETUP: &str = r#"{"setup":{"model":"m"}}"#;
const ASK: &str = r#"{"clientContent":{"turnComplete":true}}"#;
const TEXT: &str = r#"{"serverContent":{"modelTurn":{"parts":[]}}}"#;
const DONE: &str = r#"{"serverContent":{"turnComplete":true},"usageMetadata":{}}"#;

/// With the session set up; the server's messages are binary, as Google sends them.
fn open() -> Session {
    let path = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
    let mut session = Session::open_at(path, Limits::default(), "");
    session.sent(&ask(SETUP));
    served(&mut session, &[r#"{"setupComplete":{}}"#]);
    session
}

fn served(session: &mut Session, list: &[&str]) {
    for text in list {
        session.received(&frame(8, 2, false, text.as_bytes()));
    }
}

/// `<` and `>` before each message of a turn; `T`, `D` and `S` for the usual ones.
fn short(session: &mut Session) -> String {
    let usual = [(SETUP, "S"), (ASK, "A"), (TEXT, "T"), (DONE, "D"), (r#"{"setupComplete":{}}"#, "C")];
    let mut shown = session.shown();
    for (text, letter) in usual {
        let text = serde_json::from_str::<serde_json::Value>(text).unwrap().to_string();
        shown = shown.replace(&text, letter);
    }
    shown
        .lines()
        .filter(|line| !line.ends_with("GET") && !line.ends_with("101"))
        .fold(String::new(), |all, line| all + line + "\n")
}

#[test]
fn answers_asked_for() {
    let mut session = open();
    let before = r#"{"client_content":{"turns":[],"turn_complete":false}}"#;
    session.sent(&ask(before)).sent(&ask(ASK));
    served(&mut session, &["{\"serverContent\":{}}", TEXT, TEXT]);
    // The answer of a tool, which is called in the middle.
    session.sent(&ask(r#"{"toolResponse":{}}"#));
    served(&mut session, &[r#"{"serverContent":{"generationComplete":true}}"#, DONE]);
    // The server goes on by itself.
    served(&mut session, &[TEXT, DONE, r#"{"sessionResumptionUpdate":{}}"#]);
    let expected = [
        "1 >S",
        "1 >C",
        r#"1 >{"client_content":{"turn_complete":false,"turns":[]}}"#,
        "1 >A",
        "1 >.",
        r#"1 <{"serverContent":{}}"#,
        "1 <T",
        "1 <T",
        r#"1 <{"serverContent":{"generationComplete":true}}"#,
        "1 <D",
        "1 =Complete",
        "2 >S",
        "2 >C",
        r#"2 >{"toolResponse":{}}"#,
        "2 >.",
        "2 <T",
        "2 <D",
        "2 =Complete",
    ];
    assert_eq!(short(&mut session), lines(&expected));
}

#[test]
fn answers_to_what_was_heard() {
    let mut session = open();
    let heard = r#"{"serverContent":{"inputTranscription":{"text":"hi"}}}"#;
    session.sent(&ask(r#"{"realtimeInput":{"audio":{}}}"#));
    served(&mut session, &[heard]);
    let at = session.clock;
    served(&mut session, &[TEXT, heard, DONE]);
    let first = session.events.iter().find(|event| event.exchange == ExchangeId(1)).unwrap();
    assert_eq!(first.time, Timestamp(at));
    let said = format!("1 >{heard}");
    let expected = ["1 >S", "1 >C", &said, "1 >.", "1 <T", &said.replace('>', "<"), "1 <D", "1 =Complete"];
    assert_eq!(short(&mut session), lines(&expected));
}

#[test]
fn who_asks_again_interrupts() {
    let mut session = open();
    session.sent(&ask(ASK));
    served(&mut session, &[TEXT]);
    session.sent(&ask(ASK));
    served(&mut session, &[r#"{"serverContent":{"interrupted":true,"turnComplete":true}}"#, TEXT, DONE]);
    let expected = [
        "1 >S",
        "1 >C",
        "1 >A",
        "1 >.",
        "1 <T",
        r#"1 <{"serverContent":{"interrupted":true,"turnComplete":true}}"#,
        "1 =Complete",
        "2 >S",
        "2 >C",
        "2 >A",
        "2 >.",
        "2 <T",
        "2 <D",
        "2 =Complete",
    ];
    assert_eq!(short(&mut session), lines(&expected));
}

#[test]
fn losses() {
    // The end may be in there.
    let mut session = open();
    session.sent(&ask(ASK));
    served(&mut session, &[TEXT]);
    session.gap(Direction::Received, 90);
    served(&mut session, &[TEXT, DONE]);
    let expected = [
        "1 >S",
        "1 >C",
        "1 >A",
        "1 >.",
        "1 <T",
        "1 <-90",
        "1 =Unreadable",
        "2 >S",
        "2 >C",
        "2 >.",
        "2 <-?",
        "2 <T",
        "2 <D",
        "2 =Complete",
    ];
    assert_eq!(short(&mut session), lines(&expected));

    // It is not: that message brought content.
    let mut session = open();
    session.sent(&ask(ASK));
    let text = frame(8, 2, false, TEXT.as_bytes());
    session.received(&text[..40]).gap(Direction::Received, 2).received(&text[42..]);
    served(&mut session, &[DONE]);
    let expected = ["1 >S", "1 >C", "1 >A", "1 >.", "1 <-2", "1 <D", "1 =Complete"];
    assert_eq!(short(&mut session), lines(&expected));

    // Of what is asked.
    let mut session = open();
    session.gap(Direction::Sent, 30);
    served(&mut session, &[TEXT, DONE]);
    let expected = ["1 >S", "1 >C", "1 >-30", "1 >.", "1 <T", "1 <D", "1 =Complete"];
    assert_eq!(short(&mut session), lines(&expected));
}
