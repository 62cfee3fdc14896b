//! What missing bytes do to a session.

use super::*;

/// A session with a question whose answer has begun.
fn begun(extensions: &str) -> Session {
    let mut session = Session::open(extensions);
    session.sent(&ask(&create("a"))).received(&answer(&created("a")));
    session.shown();
    session
}

#[test]
fn a_gap_within_a_payload_costs_that_message() {
    let mut session = begun("");
    let damaged = answer(&event("delta", "a"));
    session.received(&damaged[..10]).gap(Direction::Received, 4).received(&damaged[14..]);
    session.received(&answer(&event("completed", "a")));
    assert_eq!(session.shown(), lines(&["1 <-4", "1 <completed:a", "1 =Complete"]));
    assert_eq!(session.counts(), [4, 0, 1, 0]);

    // To the end of the payload, and in several places.
    let mut session = begun("");
    session.received(&damaged[..10]).gap(Direction::Received, 2).received(&damaged[12..14]);
    session.gap(Direction::Received, damaged.len() - 14).received(&answer(&event("completed", "a")));
    let missing = format!("1 <-{}", damaged.len() - 12);
    assert_eq!(session.shown(), lines(&[&missing, "1 <completed:a", "1 =Complete"]));

    // The mask goes on where it would.
    let mut session = Session::open("");
    let bytes = ask(&create("a"));
    session.sent(&bytes[..20]).gap(Direction::Sent, 3).sent(&bytes[23..]).sent(&ask(&create("b")));
    assert_eq!(session.shown(), lines(&["1 GET", "1 >create:b", "1 >."]));
    assert_eq!(session.counts(), [2, 1, 1, 0]);
}

#[test]
fn a_question_with_a_hole_is_still_one() {
    let mut session = Session::open("");
    let bytes = ask(&create("a"));
    let at = bytes.len() - 4;
    session.sent(&bytes[..at]).gap(Direction::Sent, 2).sent(&bytes[at + 2..]);
    session.received(&answer(&created("a"))).received(&answer(&event("completed", "a")));
    let expected = ["1 GET", "1 >-2", "1 >.", "1 101", "1 <created:a", "1 <completed:a", "1 =Complete"];
    assert_eq!(session.shown(), lines(&expected));
}

#[test]
fn over_the_end_of_a_frame_reading_goes_on_at_whole_frames() {
    let mut session = begun("");
    let delta = answer(&event("delta", "a"));
    session.received(&delta[..10]).gap(Direction::Received, 500);
    // The rest of something, and the beginning of a frame that is not all there.
    session.received(b"me\":\"x\"}").received(&delta[..20]).received(&delta);
    session.received(&answer(&event("completed", "a")));
    assert_eq!(session.shown(), lines(&["1 <-500", "1 <delta:a", "1 <completed:a", "1 =Complete"]));
    assert_eq!(session.account.get(Counter::BytesUnparsed), 28);

    // Between frames, too.
    let mut session = begun("");
    session.gap(Direction::Received, 30).received(&answer(&event("completed", "a")));
    assert_eq!(session.shown(), lines(&["1 <-30", "1 <completed:a", "1 =Complete"]));
}

#[test]
fn no_answer_is_told_as_that_of_another_question() {
    // The end of the first answer is lost.
    let mut session = begun("");
    session.gap(Direction::Received, 30).sent(&ask(&create("b")));
    session.received(&answer(&event("delta", "a"))).received(&answer(&created("b")));
    session.received(&answer(&event("completed", "b")));
    let expected = [
        "1 <-30",
        "1 =Unreadable",
        "2 GET",
        "2 >create:b",
        "2 >.",
        "2 101",
        "2 <created:b",
        "2 <completed:b",
        "2 =Complete",
    ];
    assert_eq!(session.shown(), lines(&expected));
    assert_eq!(session.counts(), [6, 1, 0, 0]);

    // So much is missing that it may lie in there.
    let mut session = begun("");
    session.gap(Direction::Received, 700).received(&answer(&event("delta", "b")));
    session.received(&answer(&event("completed", "b"))).sent(&ask(&create("c")));
    session.received(&answer(&created("c")));
    let expected = ["1 <-700", "1 =Unreadable", "2 GET", "2 >create:c", "2 >.", "2 101", "2 <created:c"];
    assert_eq!(session.shown(), lines(&expected));

    // It is not lost, but new to us.
    let mut session = begun("");
    session.sent(&ask(&create("b"))).received(&answer(&created("b")));
    let expected = ["2 GET", "2 >create:b", "2 >.", "1 =Unreadable", "2 101", "2 <created:b"];
    assert_eq!(session.shown(), lines(&expected));

    // The first question is lost.
    let mut session = Session::open("");
    session.gap(Direction::Sent, 50).received(&answer(&created("a")));
    session.sent(&ask(&create("b"))).received(&answer(&event("completed", "a")));
    session.received(&answer(&created("b")));
    assert_eq!(session.shown(), lines(&["1 GET", "1 >create:b", "1 >.", "1 101", "1 <created:b"]));
    assert_eq!(session.counts(), [4, 2, 0, 0]);
}

#[test]
fn what_refers_to_a_missed_message_is_unreadable() {
    let mut session = begun("permessage-deflate");
    let mut sender = Deflate::new();
    let mut coded = |kind, mark| frame(12, 1, false, &sender.message(event(kind, mark).as_bytes(), true));
    let (first, second, third) = (coded("delta", "a"), coded("delta", "b"), coded("delta", "c"));
    session
        .received(&first)
        .received(&second[..5])
        .gap(Direction::Received, second.len() - 5)
        .received(&third);
    let missing = format!("1 <-{}", second.len() - 5);
    assert_eq!(session.shown(), lines(&["1 <delta:a", &missing, "1 <-?"]));
    assert_eq!(session.counts(), [5, 0, 2, 0]);

    // With a window of its own, a message needs no other.
    let mut session = begun("permessage-deflate; server_no_context_takeover");
    let mut sender = Deflate::new();
    let mut coded = |kind| frame(12, 1, false, &sender.message(event(kind, "a").as_bytes(), false));
    let (first, second) = (coded("delta"), coded("delta"));
    session.received(&first).received(&second[..5]).gap(Direction::Received, second.len() - 5);
    let missing = format!("1 <-{}", second.len() - 5);
    assert_eq!(session.shown(), lines(&["1 <delta:a", &missing, "1 =Unreadable"]));
    session.sent(&ask(&create("a"))).received(&coded("created")).received(&coded("completed"));
    let again = ["2 GET", "2 >create:a", "2 >.", "2 101", "2 <created:a", "2 <completed:a", "2 =Complete"];
    assert_eq!(session.shown(), lines(&again));
}
