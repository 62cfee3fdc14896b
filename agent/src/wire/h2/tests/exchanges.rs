//! What whole connections are read into, and what of it is cut short.

use super::*;

const GRPC: (&str, &str) = ("content-type", "application/grpc");

#[test]
fn whole_exchanges() {
    let begin = || vec![Out(preface()), Back(settings())];
    let with = |steps: Vec<Do>| [begin(), steps].concat();
    check(vec![
        ("one", with(vec![Out(get(1, "/a")), Back(join(&[ok(1), last(1, "ok")]))]), ONE),
        (
            "the server speaks first",
            vec![Back(settings()), Out(preface()), Out(get(1, "/a")), Back(ok(1)), Back(last(1, "ok"))],
            ONE,
        ),
        (
            "the other side's client",
            vec![Back(preface()), Out(settings()), Back(get(1, "/a")), Out(ok(1)), Out(last(1, "ok"))],
            ONE,
        ),
        (
            "interleaved",
            with(vec![
                Out(join(&[post(1, "/a"), post(3, "/b"), data(1, "x"), last(3, "y"), last(1, "z")])),
                Back(join(&[
                    ok(3),
                    ok(1),
                    data(1, "1"),
                    data(3, "2"),
                    data(1, "3"),
                    last(3, ""),
                    last(1, ""),
                ])),
            ]),
            "0 POST /a; 1 POST /b; 0 >x; 1 >y; 1 >.; 0 >z; 0 >.; 1 200; 0 200; 0 <1; 1 <2; 0 <3; \
             1 =Complete; 0 =Complete; ",
        ),
        (
            "interim responses, trailers, an empty end",
            with(vec![
                Out(get(1, "/a")),
                Back(frame(1, 4, 1, &block(&[(":status", "103"), ("link", "x")]))),
                Back(ok(1)),
                Back(data(1, "ok")),
                Back(frame(1, 5, 1, &block(&[("grpc-status", "0")]))),
            ]),
            "0 GET /a; 0 >.; 0 200; 0 <ok; 0 grpc-status=0; 0 =Complete; ",
        ),
        (
            "trailers of a request",
            with(vec![
                Out(post(1, "/a")),
                Out(data(1, "b")),
                Out(frame(1, 5, 1, &block(&[("a", "b")]))),
                Back(frame(1, 5, 1, &block(&[(":status", "204")]))),
            ]),
            "0 POST /a; 0 >b; 0 >.; 0 204; 0 =Complete; ",
        ),
        (
            "the response comes first",
            with(vec![Out(post(1, "/a")), Back(ok(1)), Back(last(1, "no")), Out(last(1, "b"))]),
            "0 POST /a; 0 200; 0 <no; 0 >b; 0 >.; 0 =Complete; ",
        ),
        (
            "a reset behind a whole response is its end",
            with(vec![Out(post(1, "/a")), Back(join(&[ok(1), last(1, "no"), frame(3, 0, 1, &[0; 4])]))]),
            "0 POST /a; 0 200; 0 <no; 0 =Complete; ",
        ),
        (
            "an event stream",
            with(vec![
                Out(get(1, "/a")),
                Back(frame(1, 4, 1, &block(&[(":status", "200"), ("content-type", "text/event-stream")]))),
                Back(data(1, "data: 1\n\ndata")),
                Back(last(1, ": 2\n\n")),
            ]),
            "0 GET /a; 0 >.; 0 200; 0 <:1; 0 <:2; 0 =Complete; ",
        ),
        (
            "other frames, padding, priorities, promises, several frames for a block",
            with(vec![
                Out(join(&[
                    frame(8, 0, 0, &[0, 0, 1, 0]),
                    frame(2, 0, 1, &[0; 5]),
                    frame(0xee, 7, 9, b"who knows"),
                ])),
                Out(frame(
                    1,
                    0x2d,
                    1,
                    &[&[3, 0, 0, 0, 0, 7][..], &block(&[(":method", "GET")]), &[0; 3]].concat(),
                )),
                Out(frame(1, 1, 3, &block(&[(":method", "GET"), (":path", "/")])[..14])),
                Out(frame(9, 0, 3, &block(&[(":method", "GET"), (":path", "/")])[14..20])),
                Out(frame(9, 4, 3, &block(&[(":method", "GET"), (":path", "/")])[20..])),
                Back(frame(5, 4, 3, &[&[0, 0, 0, 2][..], &block(&[(":path", "/pushed")])].concat())),
                // What the promise put into the table is the newest but one.
                Back(frame(1, 4, 2, &block(&[(":status", "200")]))),
                Back(frame(1, 4, 3, &[0xbe])),
                Back(frame(0, 8, 3, b"\x02padded\0\0")),
                Back(last(3, "")),
                FREED,
            ]),
            "0 GET ; 0 >.; 1 GET /; 1 >.; 1 200; 1 <padded; 1 =Complete; 0 =ClosedLocally; ",
        ),
        (
            "messages of gRPC, both ways",
            with(vec![
                Out(frame(1, 4, 1, &block(&[(":method", "POST"), (":path", "/a"), GRPC]))),
                Out(join(&[data(1, "\0\0\0\0\x03on"), last(1, "e\0\0\0\0\x03two")])),
                Back(frame(1, 4, 1, &block(&[(":status", "200"), GRPC]))),
                Back(data(1, "\0\0\0\0\x05three\0\0")),
                Back(data(1, "\0\0\0")),
                Back(frame(1, 5, 1, &block(&[("grpc-status", "7"), ("authorization", "k")]))),
            ]),
            "0 POST /a; 0 >:one; 0 >:two; 0 >.; 0 200; 0 <:three; 0 <:; 0 grpc-status=7; 0 =Complete; ",
        ),
        (
            "a tunnel",
            with(vec![
                Out(frame(1, 4, 1, &block(&[(":method", "CONNECT"), (":authority", "h:1")]))),
                Back(ok(1)),
                Back(data(1, "\0")),
                Out(last(1, "\0")),
                FREED,
            ]),
            "0 CONNECT ; 0 200; 0 =Complete; ",
        ),
    ]);
}

#[test]
fn cut_short() {
    let begin = |more: Vec<Do>| {
        [
            vec![Out(preface()), Back(settings()), Out(join(&[get(1, "/a"), get(3, "/b")]))],
            vec![Back(ok(1)), Back(data(1, "half"))],
            more,
        ]
        .concat()
    };
    let table = [
        (vec![FREED], "0 =ClosedLocally; 1 =ClosedLocally; "),
        (vec![Do::Close(CloseReason::Shutdown)], ""),
        (vec![Do::Close(CloseReason::FreedAfterFailedRead)], "0 =Closed; 1 =Closed; "),
        (vec![Do::Close(CloseReason::ProcessExit)], "0 =ProcessExit; 1 =ProcessExit; "),
        (vec![Do::Close(CloseReason::CaptureEnd)], "0 =CaptureEnd; 1 =CaptureEnd; "),
        (
            vec![Out(frame(3, 0, 1, &[0, 0, 0, 8])), Back(ok(3)), Back(last(3, "b"))],
            "0 =ClosedLocally; 1 200; 1 <b; 1 =Complete; ",
        ),
        (vec![Back(frame(3, 0, 1, &[0, 0, 0, 2])), Back(data(1, "late"))], "0 =ClosedRemotely; "),
        (
            vec![Back(frame(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0])), Back(last(1, "!"))],
            "1 =ClosedRemotely; 0 <!; 0 =Complete; ",
        ),
        (vec![Out(frame(7, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0])), Back(last(1, "!"))], "0 <!; 0 =Complete; "),
    ];
    for (steps, expected) in table {
        let (seen, ..) = converse(&begin(steps.clone()));
        let before = "0 GET /a; 0 >.; 1 GET /b; 1 >.; 0 200; 0 <half";
        let rest = seen.strip_prefix(before).unwrap_or_else(|| panic!("{seen}"));
        let rest = rest.strip_prefix("; ").map_or_else(|| format!("0 <{rest}"), str::to_owned);
        assert_eq!(rest, expected, "{steps:?}");
    }
}
