//! What is over a limit, or makes no sense.

use super::*;
use crate::wire::Interest;

#[test]
fn limits() {
    let begin = vec![Out(preface()), Back(settings())];
    let few = Limits { streams: 2, head_bytes: 100, undecided_bytes: 1000, ..Limits::default() };
    let mut steps = begin.clone();
    steps.push(Out(join(&[get(1, "/a"), get(3, "/b"), get(5, "/c")])));
    steps.push(Back(join(&[ok(5), last(5, "c"), ok(1), last(1, "a")])));
    steps.push(Out(get(7, "/d")));
    let (seen, _, account) = converse_within(few, &steps);
    assert_eq!(
        seen, "0 GET /a; 0 >.; 1 GET /b; 1 >.; 0 200; 0 <a; 0 =Complete; 2 GET /d; 2 >.; ",
        "there is no room for /c"
    );
    assert_eq!(account.get(Counter::ExchangesRefused), 1);
    assert_eq!(account.get(Counter::Exchanges), 3);

    let long = block(&[(":method", "GET"), (":path", "/a"), ("x", &"y".repeat(90))]);
    let (one, two) = long.split_at(60);
    for heads in [frame(1, 5, 1, &long), join(&[frame(1, 1, 1, one), frame(9, 4, 1, two)])] {
        let mut steps = begin.clone();
        steps.extend([Out(heads), Out(frame(1, 5, 3, &[&[0xbe][..], &literal(":path", "/b")].concat()))]);
        let (seen, _, account) = converse_within(few, &steps);
        assert_eq!(seen, "0  /b?; 0 >.; ", "a head over the limit is not read");
        assert_eq!(account.get(Counter::HeadsUnknown), 1);
    }

    let noise = Back(vec![0xff; 600]);
    let (_, connection, account) = converse_within(few, &[Back(settings()), noise.clone(), noise, FREED]);
    assert_eq!(connection.interest(), Interest::Unread("no HTTP"));
    assert_eq!(account.get(Counter::ConnectionsUnread), 1);
}

#[test]
fn malformed_frames_lose_the_place_and_then_the_connection() {
    let begin = vec![Out(preface()), Back(settings()), Out(get(1, "/a")), Back(ok(1))];
    let wrong = || Back(join(&[frame(3, 0, 1, b"12345"), b"and more".to_vec()]));
    let mut steps = begin.clone();
    steps.extend([wrong(), Back(last(1, "ok"))]);
    assert_eq!(converse(&steps).0, "0 GET /a; 0 >.; 0 200; 0 <-?; 0 <ok; 0 =Complete; ");
    let mut steps = begin.clone();
    // A frame between those of a block.
    steps.extend([Back(join(&[frame(1, 0, 1, &[0x88]), last(1, "ok")])), FREED]);
    assert_eq!(converse(&steps).0, "0 GET /a; 0 >.; 0 200; 0 <-?; 0 =Unreadable; ");
    let mut steps = begin;
    for _ in 0..=MALFORMED {
        steps.extend([wrong(), Back(data(1, "x"))]);
    }
    let (seen, connection, _) = converse(&steps);
    assert!(seen.ends_with("0 =Unreadable; "), "{seen}");
    assert_eq!(connection.interest(), Interest::Unread("malformed HTTP/2"));
}

#[test]
fn heads_that_make_no_sense() {
    let begin = |more: Vec<Do>| [vec![Out(preface()), Back(settings()), Out(get(1, "/a"))], more].concat();
    check(vec![
        (
            "a block that is no block takes the table with it",
            begin(vec![Back(frame(1, 4, 1, &[0x80])), Back(last(1, "ok"))]),
            "0 GET /a; 0 >.; 0 <-?; 0 =Unreadable; ",
        ),
        ("a response from the client", begin(vec![Out(ok(1)), Back(join(&[ok(1), last(1, "ok")]))]), ONE),
        (
            "trailers of a request that was missed",
            begin(vec![
                Out(frame(1, 5, 3, &block(&[("checksum", "x")]))),
                Back(join(&[ok(3), ok(1), last(1, "ok")])),
            ]),
            ONE,
        ),
        (
            "a stream that is over",
            begin(vec![Back(join(&[ok(1), last(1, "ok")])), Out(get(1, "/b")), Back(data(1, "x"))]),
            ONE,
        ),
    ]);
}
