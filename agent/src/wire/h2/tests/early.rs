//! Responses before their requests.

use super::*;

/// The first exchange, and what comes then.
fn then(steps: Vec<Do>) -> Vec<Do> {
    let first =
        vec![Out(preface()), Back(settings()), Out(get(1, "/a")), Back(join(&[ok(1), last(1, "ok")]))];
    [first, steps].concat()
}

#[test]
fn responses_before_their_requests() {
    let second = "1 GET /b; 1 >.; 1 200; 1 <two; 1 =Complete; ";
    let whole = &format!("{ONE}{second}");
    let answer = join(&[ok(3), data(3, "t"), last(3, "wo")]);
    // It has two fields in the table for later heads.
    let odd = |stream| frame(1, 4, stream, &block(&[(":status", "200"), ("x", "y")]));
    let indexed = |stream| frame(1, 5, stream, &[0xbf]);
    check(vec![
        ("in order", then(vec![Out(get(3, "/b")), Back(answer.clone())]), whole),
        ("whole", then(vec![Back(answer.clone()), Out(get(3, "/b"))]), whole),
        ("its head", then(vec![Back(ok(3)), Out(get(3, "/b")), Back(last(3, "two"))]), whole),
        (
            "two of them",
            then(vec![
                Back(join(&[ok(5), last(5, "three"), answer.clone()])),
                Out(join(&[get(3, "/b"), get(5, "/c")])),
            ]),
            &format!(
                "{ONE}1 GET /b; 1 >.; 2 GET /c; 2 >.; 2 200; 2 <three; 2 =Complete; 1 200; 1 <two; 1 =Complete; "
            ),
        ),
        (
            "heads that refer to it",
            then(vec![Out(get(3, "/b")), Back(odd(5)), Back(indexed(3)), Out(get(5, "/c")), FREED]),
            &format!("{ONE}1 GET /b; 1 >.; 2 GET /c; 2 >.; 2 200; 1 200; 1 =Complete; 2 =ClosedLocally; "),
        ),
        ("that nobody asked for", then(vec![Back(answer.clone()), FREED]), ONE),
        (
            "with a loss before the request",
            then(vec![Back(answer.clone()), SentGap(9), Out(get(3, "/b")), FREED]),
            &format!("{ONE}1 GET /b; 1 >.; 1 =ClosedLocally; "),
        ),
    ]);
}

#[test]
fn what_is_held_of_them_is_bounded() {
    let limits = Limits { head_bytes: 2000, ..Limits::default() };
    let text = "x".repeat(200);
    let parts: Vec<_> = std::iter::once(ok(3)).chain((0..20).map(|_| data(3, &text))).collect();
    let steps = then(vec![Back(join(&parts)), Out(get(3, "/b")), Back(last(3, "end")), FREED]);
    let (seen, connection, _) = converse_within(limits, &steps);
    // Its head was given up before its request came.
    assert_eq!(seen, format!("{ONE}1 GET /b; 1 >.; 1 <-?; 1 =Unreadable; "));
    assert!(connection.held() < 2000);
}
