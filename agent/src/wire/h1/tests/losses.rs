//! What is made of conversations in which something is missing or malformed.

use super::*;

#[test]
fn attached_late() {
    let one = ["0 GET /a", "0 >.", "0 200", "0 <ok", "0 =Complete"];
    let table: Vec<(Vec<Do>, &[&str], u64)> = vec![
        // In the middle of a response, of a request, between a request and its response.
        (vec![back("rest of a body"), back("and more"), out(GET), back(OK)], &one, 22),
        (vec![out("\"}]}"), back(OK), out(GET), back(OK)], &one, 4 + OK.len() as u64),
        (vec![back(OK), out(GET), back(OK)], &one, OK.len() as u64),
        (vec![back(&OK[..20]), back(&OK[20..]), out(GET), back(OK)], &one, OK.len() as u64),
        // A response whose end can't be known ends with the next request.
        (vec![back("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nxy"), out(GET), back(OK)], &one, 41),
        (vec![back(CHUNKED), out(GET), back(OK)], &one, CHUNKED.len() as u64),
        // The server's side.
        (vec![out("xyz"), back("a body"), back(GET), out(OK)], &one, 9),
    ];
    for (steps, expected, unparsed) in table {
        let (shown, _, account) = converse(&steps);
        assert_eq!(shown, lines(expected), "{steps:?}");
        assert_eq!(account.get(Counter::BytesUnparsed), unparsed, "{steps:?}");
    }
    let (_, _, account) = converse(&[back("rest"), out(GET)]);
    assert_eq!(account.get(Counter::ConnectionsLate), 1);
}

#[test]
fn gaps() {
    let large = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234";
    let chunk = &format!("{CHUNKED}a\r\n01234");
    let gone = 100_000;
    let table: Vec<(&str, Vec<Do>, Vec<&str>)> = vec![
        (
            "within a known length",
            vec![out(GET), back(large), Do::ReceivedGap(3), back("89"), out(GET_B), back(OK)],
            vec![
                "0 GET /a",
                "0 >.",
                "0 200",
                "0 <01234",
                "0 <-3",
                "0 <89",
                "0 =Complete",
                "1 GET /b",
                "1 >.",
                "1 200",
                "1 <ok",
                "1 =Complete",
            ],
        ),
        (
            "up to the end of a known length",
            vec![out(GET), back(large), Do::ReceivedGap(5), out(GET_B), back(OK)],
            vec![
                "0 GET /a",
                "0 >.",
                "0 200",
                "0 <01234",
                "0 <-5",
                "0 =Complete",
                "1 GET /b",
                "1 >.",
                "1 200",
                "1 <ok",
                "1 =Complete",
            ],
        ),
        (
            "over the end of a known length, noticed at the next response",
            vec![out(GET), back(large), out(GET_B), Do::ReceivedGap(gone), back(OK)],
            vec![
                "0 GET /a",
                "0 >.",
                "0 200",
                "0 <01234",
                "1 GET /b",
                "1 >.",
                "0 <-5",
                "0 =Complete",
                "1 =Unreadable",
            ],
        ),
        (
            "within a chunk",
            vec![out(GET), back(chunk), Do::ReceivedGap(5), back("\r\n1\r\nX\r\n0\r\n\r\n")],
            vec!["0 GET /a", "0 >.", "0 200", "0 <01234", "0 <-5", "0 <X", "0 =Complete"],
        ),
        (
            "over the end of a chunk: the next request ends the exchange",
            vec![out(GET), back(chunk), Do::ReceivedGap(6), back("nonsense"), out(GET_B), back(OK)],
            vec![
                "0 GET /a",
                "0 >.",
                "0 200",
                "0 <01234",
                "0 <-?",
                "0 =Unreadable",
                "1 GET /b",
                "1 >.",
                "1 200",
                "1 <ok",
                "1 =Complete",
            ],
        ),
        (
            "over the end of a chunk, little enough to go on at a whole chunk",
            vec![
                out(GET),
                back(chunk),
                Do::ReceivedGap(6),
                back("nonsense"),
                back("2\r\nYZ\r\n"),
                back("0\r\n\r\n"),
            ],
            vec!["0 GET /a", "0 >.", "0 200", "0 <01234", "0 <-?", "0 <YZ", "0 =Complete"],
        ),
        (
            "so much that another response may have begun in it",
            vec![out(GET), back(chunk), Do::ReceivedGap(gone), back("2\r\nYZ\r\n"), back("0\r\n\r\n"), FREED],
            vec!["0 GET /a", "0 >.", "0 200", "0 <01234", "0 <-?", "0 =Unreadable"],
        ),
        (
            "a response altogether: the next request is answered again",
            vec![out(GET), Do::ReceivedGap(gone), out(GET_B), back(OK)],
            vec!["0 GET /a", "0 >.", "0 =Unreadable", "1 GET /b", "1 >.", "1 200", "1 <ok", "1 =Complete"],
        ),
        (
            "a response altogether, noticed at the next: whose it is can't be known",
            vec![out(GET), out(GET_B), Do::ReceivedGap(gone), back(OK), out(GET), back(OK)],
            vec![
                "0 GET /a",
                "0 >.",
                "1 GET /b",
                "1 >.",
                "0 =Unreadable",
                "1 =Unreadable",
                "2 GET /a",
                "2 >.",
                "2 200",
                "2 <ok",
                "2 =Complete",
            ],
        ),
        (
            "part of a response's head",
            vec![out(GET), back(&OK[..20]), Do::ReceivedGap(9), back("\r\nok"), out(GET_B), back(OK)],
            vec!["0 GET /a", "0 >.", "0 =Unreadable", "1 GET /b", "1 >.", "1 200", "1 <ok", "1 =Complete"],
        ),
        (
            "part of a request's head: its response is nobody's",
            vec![out(&GET[..9]), Do::SentGap(5), out(&GET[14..]), back(OK), out(GET_B), back(OK)],
            vec!["0 GET /b", "0 >.", "0 200", "0 <ok", "0 =Complete"],
        ),
        (
            "part of a request's body",
            vec![out(&POST[..POST.len() - 3]), Do::SentGap(2), out("y"), back(OK)],
            vec!["0 POST /p", "0 >b", "0 >-2", "0 >y", "0 >.", "0 200", "0 <ok", "0 =Complete"],
        ),
        (
            "a chunked request's framing: its response is still its own",
            vec![
                out("POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab"),
                Do::SentGap(9),
                out("x"),
                back(OK),
                out(GET_B),
                back(OK),
            ],
            vec![
                "0 POST /c",
                "0 >ab",
                "0 >-?",
                "0 200",
                "0 <ok",
                "0 =Complete",
                "1 GET /b",
                "1 >.",
                "1 200",
                "1 <ok",
                "1 =Complete",
            ],
        ),
        (
            "a whole exchange, requests and responses both",
            vec![
                out(GET),
                back(OK),
                Do::SentGap(gone),
                out("rest"),
                Do::ReceivedGap(gone),
                back("rest"),
                out(GET_B),
                back(OK),
            ],
            vec![
                "0 GET /a",
                "0 >.",
                "0 200",
                "0 <ok",
                "0 =Complete",
                "1 GET /b",
                "1 >.",
                "1 200",
                "1 <ok",
                "1 =Complete",
            ],
        ),
        (
            "a request altogether, noticed only after its response came",
            vec![out(GET), back(OK), back(OK), Do::SentGap(50), out(GET_B), back(OK)],
            vec![
                "0 GET /a",
                "0 >.",
                "0 200",
                "0 <ok",
                "0 =Complete",
                "1 GET /b",
                "1 >.",
                "1 200",
                "1 <ok",
                "1 =Complete",
            ],
        ),
        (
            "part of an event",
            vec![
                out(GET),
                back(&format!("{STREAM}40\r\ndata: a\n\nda")),
                Do::ReceivedGap(10),
                back("x\n\ndata: c\n\ndata: d\n\n"),
            ],
            vec!["0 GET /a", "0 >.", "0 200", "0 <:a", "0 <-10", "0 <:c", "0 <:d"],
        ),
        (
            "after pipelining was seen, nothing can be known",
            vec![out(GET), out(GET_B), out(GET), back(OK), Do::ReceivedGap(9), back(OK), FREED],
            vec![
                "0 GET /a",
                "0 >.",
                "1 GET /b",
                "1 >.",
                "2 GET /a",
                "2 >.",
                "0 200",
                "0 <ok",
                "0 =Complete",
                "1 =Unreadable",
                "2 =Unreadable",
            ],
        ),
    ];
    for (what, steps, expected) in table {
        assert_eq!(converse(&steps).0, lines(&expected), "{what}");
    }
}

#[test]
fn malformed() {
    let big = format!("GET /a HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(70_000));
    let many = format!("GET /a HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(200));
    for request in [
        &*big,
        &*many,
        "GET /a SIP/2.0\r\n\r\n",
        "POST /a HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST /a HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST /a HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
    ] {
        let (shown, _, account) = converse(&[out(request), back(OK), out(GET), back(OK)]);
        assert_eq!(shown, lines(&["0 GET /a", "0 >.", "0 200", "0 <ok", "0 =Complete"]), "{request:.60}");
        assert_eq!(account.get(Counter::BytesUnparsed), (request.len() + OK.len()) as u64, "{request:.60}");
    }
    for response in
        ["HTTP/1.1 2x0 OK\r\n\r\n", "SSH-2.0-x\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"]
    {
        let (shown, ..) = converse(&[out(GET), back(response), out(GET_B), back(OK)]);
        assert_eq!(
            shown,
            lines(&[
                "0 GET /a",
                "0 >.",
                "0 =Unreadable",
                "1 GET /b",
                "1 >.",
                "1 200",
                "1 <ok",
                "1 =Complete"
            ]),
            "{response}"
        );
    }
    let (shown, ..) = converse(&[out(GET), back(CHUNKED), back("zz\r\n"), back("2\r\nok\r\n")]);
    assert_eq!(shown, lines(&["0 GET /a", "0 >.", "0 200", "0 <-?", "0 =Unreadable"]));
}
