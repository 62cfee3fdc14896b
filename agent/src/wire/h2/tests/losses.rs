//! What is missing: within a connection, and before it was joined.

use super::*;
use crate::wire::Interest;

#[test]
fn gaps() {
    let begin = |more: Vec<Do>| {
        [vec![Out(preface()), Back(settings()), Out(get(1, "/a")), Back(ok(1))], more].concat()
    };
    let long = data(1, "0123456789");
    check(vec![
        (
            "within a payload",
            begin(vec![
                Back(long[..12].to_vec()),
                ReceivedGap(4),
                Back(long[16..].to_vec()),
                Back(last(1, "ok")),
            ]),
            "0 GET /a; 0 >.; 0 200; 0 <012; 0 <-4; 0 <789ok; 0 =Complete; ",
        ),
        (
            "the rest of a payload",
            begin(vec![Back(long[..12].to_vec()), ReceivedGap(7), Back(last(1, "ok"))]),
            "0 GET /a; 0 >.; 0 200; 0 <012; 0 <-7; 0 <ok; 0 =Complete; ",
        ),
        (
            "the rest of the last payload",
            begin(vec![Back(last(1, "0123456789")[..12].to_vec()), ReceivedGap(7)]),
            "0 GET /a; 0 >.; 0 200; 0 <012; 0 <-7; 0 =Complete; ",
        ),
        (
            "more than that: the other stream's body is in doubt, and goes on",
            begin(vec![
                Out(get(3, "/b")),
                Back(ok(3)),
                Back(data(3, "b")),
                Back(long[..12].to_vec()),
                ReceivedGap(20),
                Back(last(1, "ok")),
                Back(last(3, "ok")),
            ]),
            "0 GET /a; 0 >.; 0 200; 1 GET /b; 1 >.; 1 200; 1 <b; 0 <012; 0 <-7; 0 <-?; 1 <-?; 0 <ok; \
             0 =Complete; 1 <ok; 1 =Complete; ",
        ),
        (
            "an end",
            begin(vec![Back(data(1, "b")), ReceivedGap(20), FREED]),
            "0 GET /a; 0 >.; 0 200; 0 <b; 0 <-?; 0 =Unreadable; ",
        ),
        (
            "a head of a response: what follows can't be read",
            begin(vec![
                Out(get(3, "/b")),
                ReceivedGap(30),
                Back(join(&[data(3, "b"), last(1, "ok")])),
                Back(last(3, "b")),
            ]),
            "0 GET /a; 0 >.; 0 200; 1 GET /b; 1 >.; 0 <-?; 1 <-?; 0 <ok; 0 =Complete; 1 =Unreadable; ",
        ),
        (
            "a part of a head: the stream is known, and later heads that refer to it are partial",
            begin(vec![
                Back(last(1, "ok")),
                Out(get(3, "/b")[..20].to_vec()),
                SentGap(get(3, "/b").len() as u64 - 20),
                Out(frame(1, 5, 5, &[&[0xbe][..], &literal(":path", "/c")].concat())),
                Back(join(&[ok(3), last(3, "b"), ok(5), last(5, "c")])),
            ]),
            "0 GET /a; 0 >.; 0 200; 0 <ok; 0 =Complete; 1  /c?; 1 >.; 1 200; 1 <c; 1 =Complete; ",
        ),
    ]);
}

#[test]
fn an_answer_whose_end_was_missed_does_not_stay_for_ever() {
    let mut steps = vec![Out(preface()), Back(settings()), Out(get(1, "/a")), Back(ok(1)), ReceivedGap(20)];
    for stream in 1..=17 {
        let stream = 2 * stream + 1;
        steps.extend([Out(get(stream, "/b")), Back(join(&[ok(stream), last(stream, "")]))]);
    }
    let (seen, ..) = converse(&steps);
    assert!(seen.contains("; 0 =Unreadable; 17 GET"), "{seen}");
}

#[test]
fn joined_late() {
    let known = block(&[(":method", "POST"), (":path", "/c"), ("a", "b")]);
    check(vec![
        (
            "at a request",
            vec![Out(frame(1, 4, 9, &known)), Out(last(9, "b")), Back(join(&[ok(9), last(9, "ok")]))],
            "0 POST /c; 0 >b; 0 >.; 0 200; 0 <ok; 0 =Complete; ",
        ),
        (
            "within a response, whose request was missed",
            vec![
                Back(data(7, "rest")),
                Back(last(7, "!")),
                Out(frame(1, 5, 9, &known)),
                Back(join(&[ok(9), last(9, "ok")])),
            ],
            "0 POST /c; 0 >.; 0 200; 0 <ok; 0 =Complete; ",
        ),
        (
            "within a frame",
            vec![
                Back(b"rest of some frame".to_vec()),
                Back(data(7, "rest")),
                Out(frame(1, 5, 9, &known)),
                Back(join(&[ok(9), last(9, "ok")])),
            ],
            "0 POST /c; 0 >.; 0 200; 0 <ok; 0 =Complete; ",
        ),
        (
            "behind a gap",
            vec![
                SentGap(50),
                Out(frame(1, 5, 9, &known)),
                ReceivedGap(5),
                Back(join(&[ok(9), last(9, "ok")])),
            ],
            "0 POST /c; 0 >.; 0 200; 0 <ok; 0 =Complete; ",
        ),
        (
            "the path is unknown, and then known",
            vec![
                Out(frame(1, 5, 9, &[0x83, 0xbe])),
                Back(join(&[ok(9), last(9, "ok")])),
                Out(frame(1, 5, 11, &[&[0x83][..], &literal(":path", "/c")].concat())),
                Back(join(&[ok(11), last(11, "ok")])),
                Out(frame(1, 5, 13, &[0x83, 0xbe])),
            ],
            "0 POST ?; 0 >.; 0 200; 0 <ok; 0 =Complete; 1 POST /c; 1 >.; 1 200; 1 <ok; 1 =Complete; \
             2 POST /c; 2 >.; ",
        ),
        (
            "gRPC, with another field unknown: no body of it is encoded as a whole",
            vec![
                Out(frame(1, 5, 9, &known)),
                Back(frame(
                    1,
                    4,
                    9,
                    &[&[0x88, 0xc5][..], &literal("content-type", "application/grpc")].concat(),
                )),
                Back(last(9, "\0\0\0\0\x02ok")),
            ],
            "0 POST /c; 0 >.; 0 200?; 0 <:ok; 0 =Complete; ",
        ),
        (
            "the type of a response is unknown: its body tells, or is missing",
            vec![
                Out(join(&[frame(1, 5, 9, &known), frame(1, 5, 11, &known), frame(1, 5, 13, &known)])),
                Back(join(&[frame(1, 4, 9, &[0x88, 0xc5]), last(9, "data: {}\n\n")])),
                Back(join(&[frame(1, 4, 11, &[0x88, 0xc5]), data(11, "{\"a\""), last(11, ": 1}")])),
                Back(join(&[frame(1, 4, 13, &[0x88, 0xc5]), last(13, "\x1b\x03\0\0\0\0\0\0")])),
            ],
            "0 POST /c; 0 >.; 1 POST /c; 1 >.; 2 POST /c; 2 >.; 0 200?; 0 <:{}; 0 =Complete; \
             1 200?; 1 <{\"a\": 1}; 1 =Complete; 2 200?; 2 <-?; 2 =Complete; ",
        ),
    ]);
    let late = [Out(frame(1, 4, 9, &known)), FREED];
    let (_, connection, account) = converse(&late);
    assert_eq!(connection.interest(), Interest::Http);
    assert_eq!(account.get(Counter::ConnectionsLate), 1);
    let (.., account) = converse(&[Out(preface()), Back(settings()), Out(get(1, "/a")), FREED]);
    assert_eq!(account.get(Counter::ConnectionsLate), 0);
}
