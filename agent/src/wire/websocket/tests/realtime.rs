//! Sessions of Realtime.

use super::*;

fn open() -> Session {
    Session::open_at("/v1/realtime", Limits::default(), "")
}

/// An event of a response.
fn of(kind: &str, id: &str, mark: &str) -> Vec<u8> {
    let text = match kind {
        "created" | "done" => {
            format!(r#"{{"type":"response.{kind}","m":"{mark}","response":{{"id":"{id}"}}}}"#)
        }
        _ => format!(r#"{{"type":"response.{kind}","m":"{mark}","response_id":"{id}"}}"#),
    };
    answer(&text)
}

fn other(kind: &str, mark: &str) -> String {
    format!(r#"{{"type":"{kind}","m":"{mark}"}}"#)
}

#[test]
fn responses_asked_for() {
    let mut session = open();
    session.received(&answer(&other("session.created", "s0")));
    session.sent(&ask(&other("session.update", "s1"))).received(&answer(&other("session.updated", "s2")));
    session.sent(&ask(&other("conversation.item.create", "i1"))).sent(&ask(&create("a")));
    session.received(&answer(&other("conversation.item.added", "x")));
    session.received(&of("created", "r1", "a")).received(&of("output_text.delta", "r1", "a"));
    // What is said while a response goes on is what the next one is asked with.
    session.sent(&ask(&other("conversation.item.create", "i2")));
    session.received(&of("done", "r1", "a")).received(&of("late", "r1", "a"));
    session.sent(&ask(&create("b"))).received(&of("created", "r2", "b")).received(&of("done", "r2", "b"));
    let expected = [
        "1 GET",
        "1 >session.updated:s2",
        "1 >conversation.item.create:i1",
        "1 >create:a",
        "1 >.",
        "1 101",
        "1 <created:a",
        "1 <output_text.delta:a",
        "1 <done:a",
        "1 =Complete",
        "2 GET",
        "2 >session.updated:s2",
        "2 >conversation.item.create:i2",
        "2 >create:b",
        "2 >.",
        "2 101",
        "2 <created:b",
        "2 <done:b",
        "2 =Complete",
    ];
    assert_eq!(session.shown(), lines(&expected));
    assert_eq!(session.counts(), [14, 4, 0, 0]);
}

#[test]
fn responses_that_the_server_begins() {
    let mut session = open();
    session.sent(&ask(&other("input_audio_buffer.append", "x"))).sent(&ask(&other("session.update", "s")));
    session.received(&answer(&other("input_audio_buffer.speech_stopped", "x")));
    let stopped = session.clock;
    session.received(&answer(&other("input_audio_buffer.committed", "x")));
    session.received(&of("created", "r1", "a")).received(&of("done", "r1", "a"));
    let first = session.events.iter().find(|event| event.exchange == ExchangeId(1)).unwrap();
    assert_eq!(first.time, Timestamp(stopped));
    let expected =
        ["1 GET", "1 >session.update:s", "1 >.", "1 101", "1 <created:a", "1 <done:a", "1 =Complete"];
    assert_eq!(session.shown(), lines(&expected));
}

#[test]
fn responses_at_once_are_told_apart_by_their_ids() {
    let mut session = open();
    session.sent(&ask(&create("a"))).sent(&ask(&create("b")));
    for (kind, id, mark) in [
        ("created", "r1", "a"),
        ("created", "r2", "b"),
        ("x", "r2", "b"),
        ("x", "r1", "a"),
        ("done", "r2", "b"),
        ("done", "r1", "a"),
    ] {
        session.received(&of(kind, id, mark));
    }
    let shown = session.shown();
    let of_turn = |n: &str| {
        shown.lines().filter(|line| line.starts_with(n)).map(|line| line[2..].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(of_turn("1")[1..], [">create:a", ">.", "101", "<created:a", "<x:a", "<done:a", "=Complete"]);
    assert_eq!(of_turn("2")[1..], [">create:b", ">.", "101", "<created:b", "<x:b", "<done:b", "=Complete"]);
}

#[test]
fn errors_answer_what_was_not_heard() {
    let mut session = open();
    // Of something else.
    session.received(&answer(&other("error", "z")));
    session.sent(&ask(&create("a"))).received(&of("created", "r1", "a"));
    session.received(&answer(&other("error", "z"))).sent(&ask(&create("b")));
    session.received(&answer(&other("error", "b"))).received(&of("done", "r1", "a"));
    let expected = [
        "1 GET",
        "1 >create:a",
        "1 >.",
        "1 101",
        "1 <created:a",
        "2 GET",
        "2 >create:b",
        "2 >.",
        "2 101",
        "2 <error:b",
        "2 =Complete",
        "1 <done:a",
        "1 =Complete",
    ];
    assert_eq!(session.shown(), lines(&expected));
}

#[test]
fn losses() {
    // Within a response: the rest is its own still.
    let mut session = open();
    session.sent(&ask(&create("a"))).received(&of("created", "r1", "a")).gap(Direction::Received, 5000);
    session
        .received(&of("created", "r2", "b"))
        .received(&of("done", "r1", "a"))
        .received(&of("done", "r2", "b"));
    let expected = [
        "1 GET",
        "1 >create:a",
        "1 >.",
        "1 101",
        "1 <created:a",
        "1 <-5000",
        "2 GET",
        "2 >.",
        "2 101",
        "2 <created:b",
        "1 <done:a",
        "1 =Complete",
        "2 <done:b",
        "2 =Complete",
    ];
    assert_eq!(session.shown(), lines(&expected));

    // Before it has begun: which one was asked for isn't known then, but what is read is told.
    let mut session = open();
    session.sent(&ask(&create("a"))).gap(Direction::Received, 5000).received(&of("x", "r1", "a"));
    session.received(&of("done", "r1", "a"));
    let expected = [
        "1 GET",
        "1 >create:a",
        "1 >.",
        "1 =Unreadable",
        "2 GET",
        "2 >.",
        "2 101",
        "2 <-?",
        "2 <x:a",
        "2 <done:a",
        "2 =Complete",
    ];
    assert_eq!(session.shown(), lines(&expected));

    // Of the question.
    let mut session = open();
    session.gap(Direction::Sent, 50).received(&of("created", "r1", "a")).received(&of("done", "r1", "a"));
    let expected = ["1 GET", "1 >-50", "1 >.", "1 101", "1 <created:a", "1 <done:a", "1 =Complete"];
    assert_eq!(session.shown(), lines(&expected));

    // Within a message whose beginning says what it was.
    let mut session = open();
    session.sent(&ask(&create("a"))).received(&of("created", "r1", "a"));
    session.shown();
    let done = of("done", "r1", "a");
    session.received(&done[..26]).gap(Direction::Received, 4).received(&done[30..]);
    assert_eq!(session.shown(), lines(&["1 <-4", "1 =Complete"]));
}

#[test]
fn what_is_held_is_bounded() {
    let limits = Limits { event_bytes: 50, outstanding: 2, ..Limits::default() };
    let mut session = Session::open_at("/v1/realtime", limits, "");
    for _ in 0..9 {
        session.sent(&ask(&other("conversation.item.create", "i")));
    }
    session.sent(&ask(&create("a")));
    let shown = session.shown();
    assert_eq!((shown.matches(">conversation").count(), shown.matches("cut\n").count()), (4, 5), "{shown}");
    // And so are responses that never end.
    for id in ["r1", "r2", "r3", "r4"] {
        session.received(&of("created", id, "m"));
    }
    assert_eq!(session.shown().matches("=Unreadable").count(), 2);
}
