use super::*;

const FIRST: [&str; 2] =
    ["POST /1 HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"];
const FIRST_SHOWN: [&str; 5] = ["0 POST /1", "0 >.", "0 200", "0 <1", "0 =Complete"];
const REQUEST: &str = "POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n>";
const RESPONSE: &str = "HTTP/1.1 201 OK\r\nContent-Length: 2\r\n\r\n22";

/// The first exchange, and what comes then.
fn then(steps: &[Do]) -> (String, Arc<Account>) {
    let mut all = vec![out(FIRST[0]), back(FIRST[1])];
    all.extend_from_slice(steps);
    let (shown, connection, account) = converse(&all);
    assert_eq!(connection.interest(), Interest::Http);
    let rest = shown.strip_prefix(&lines(&FIRST_SHOWN)).expect("the first exchange is whole");
    (rest.to_owned(), account)
}

#[test]
fn responses_before_their_requests() {
    let whole = ["1 POST /2", "1 >>", "1 >.", "1 201", "1 <22", "1 =Complete"];
    let (head, body) = RESPONSE.split_at(RESPONSE.len() - 2);
    let (request_head, request_body) = REQUEST.split_at(REQUEST.len() - 1);
    let lost = ["1 POST /2", "1 >>", "1 >.", "1 =ClosedLocally"];
    let len = RESPONSE.len() as u64;
    let table: &[(&str, &[Do], &[&str], u64)] = &[
        ("in order", &[out(REQUEST), back(RESPONSE)], &whole, 0),
        ("whole", &[back(RESPONSE), out(REQUEST)], &whole, 0),
        ("its head", &[back(head), out(REQUEST), back(body)], &whole, 0),
        ("in two pieces", &[back(head), back(body), out(REQUEST)], &whole, 0),
        ("part of its head", &[back("HTTP/1."), out(REQUEST), back(&RESPONSE[7..])], &whole, 0),
        (
            "before the end of its request",
            &[back(RESPONSE), out(request_head), out(request_body)],
            &["1 POST /2", "1 201", "1 <22", "1 >>", "1 >.", "1 =Complete"],
            0,
        ),
        ("that nobody asked for", &[back(RESPONSE), FREED], &[], len),
        // The request that it answers may be the one that was lost.
        (
            "with a loss before the request",
            &[back(RESPONSE), Do::SentGap(9), out(REQUEST), FREED],
            &lost,
            len,
        ),
        (
            "with a loss after it",
            &[back(RESPONSE), Do::ReceivedGap(9), out(REQUEST), back(RESPONSE)],
            &whole,
            len,
        ),
    ];
    for (what, steps, expected, unparsed) in table {
        let (shown, account) = then(steps);
        assert_eq!(shown, lines(expected), "{what}");
        assert_eq!(account.get(Counter::BytesUnparsed), *unparsed, "{what}");
    }
}

#[test]
fn what_is_held_of_them_is_bounded() {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000));
    let pieces = answer.as_bytes().chunks(1000).map(|piece| Do::Received(piece.into()));
    let (shown, account) = then(&pieces.chain([out(REQUEST), back(RESPONSE)]).collect::<Vec<_>>());
    assert_eq!(shown, lines(&["1 POST /2", "1 >>", "1 >.", "1 201", "1 <22", "1 =Complete"]));
    assert_eq!(account.get(Counter::BytesUnparsed), answer.len() as u64);
}

/// A response that was read before the request was written answers an earlier one, which wasn't seen.
#[test]
fn the_first_response_of_a_connection() {
    let long = |text: &str| Do::SentLong(text.into());
    let (head, body) = FIRST[1].split_at(FIRST[1].len() - 1);
    let (request_head, request_rest) = FIRST[0].split_at(9);
    let both = [
        "0 POST /1",
        "0 >.",
        "0 200",
        "0 <1",
        "0 =Complete",
        "1 POST /2",
        "1 >>",
        "1 >.",
        "1 201",
        "1 <22",
        "1 =Complete",
    ];
    let table: &[(&str, &[Do], &[&str])] = &[
        ("to an earlier request", &[back(RESPONSE), out(FIRST[0]), back(FIRST[1])], &FIRST_SHOWN),
        ("to this one", &[back(FIRST[1]), long(FIRST[0])], &FIRST_SHOWN),
        ("to this one, in two pieces", &[back(head), back(body), long(FIRST[0])], &FIRST_SHOWN),
        ("to this one, which goes on", &[back(head), long(FIRST[0]), back(body)], &FIRST_SHOWN),
        ("to one in two calls", &[back(FIRST[1]), long(request_head), out(request_rest)], &FIRST_SHOWN),
        ("and another", &[back(FIRST[1]), long(FIRST[0]), out(REQUEST), back(RESPONSE)], &both),
        ("after a loss", &[Do::SentGap(1), back(RESPONSE), out(FIRST[0]), back(FIRST[1])], &FIRST_SHOWN),
        ("to nothing", &[back(RESPONSE), FREED], &[]),
    ];
    for (what, steps, expected) in table {
        assert_eq!(converse(steps).0, lines(expected), "{what}");
    }
}
