use proptest::prelude::*;

use super::*;

fn all() -> Redactor {
    Redactor::new(Kind::ALL.iter().map(|kind| Rule::builtin(*kind).unwrap()).collect())
}

fn redacted(text: &str) -> String {
    all().text(text, &mut Counts::default()).into_owned()
}

#[test]
fn secrets_and_personal_data_are_taken_out() {
    #[rustfmt::skip]
    let rows = [
        // Credentials.
        ("use sk-proj-abcDEF1234567890 now", "use [redacted:credential] now"),
        ("My key is AKIAIOSFODNN7EXAMPLE.", "My key is [redacted:credential]."),
        ("x-api-key: 9f8e7d6c5b4a", "x-api-key: [redacted:credential]"),
        (r#"{"password":"hunter2!","a":1}"#, r#"{"password":"[redacted:credential]","a":1}"#),
        (r#"{\"api_key\": \"q1w2e3r4\"}"#, r#"{\"api_key\": \"[redacted:credential]\"}"#),
        ("DB_PASSWORD='S3cret/42'", "DB_PASSWORD='[redacted:credential]'"),
        ("the password is Tr0ub4dor&3", "the password is [redacted:credential]&3"),
        ("Authorization: Bearer abc123def456", "Authorization: Bearer [redacted:credential]"),
        ("postgres://app:pa55word@db/x", "postgres://app:[redacted:credential]@db/x"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln-YXQ", "[redacted:credential]"),
        ("a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n+/=\n-----END RSA PRIVATE KEY-----\nb", "a\n[redacted:credential]\nb"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg", "[redacted:credential]"),
        // People.
        ("mail jo.doe+x@mail.example.co.uk, please", "mail [redacted:email], please"),
        ("дмитрий@почта.рф и всё", "[redacted:email] и всё"),
        ("call +1 (555) 123-4567 or 030 12345678", "call [redacted:phone] or [redacted:phone]"),
        ("(0351) 463-12 34, 555-123-4567", "[redacted:phone], [redacted:phone]"),
        // Money: the numbers that card schemes and banks give as examples.
        ("card 4111 1111 1111 1111 12/29", "card [redacted:card] 12/29"),
        ("378282246310005 and 5555-5555-5555-4444", "[redacted:card] and [redacted:card]"),
        ("GB82 WEST 1234 5698 7654 32 IS MINE", "[redacted:iban] IS MINE"),
        ("DE89370400440532013000", "[redacted:iban]"),
        // Machines.
        ("from 203.0.113.9:443", "from [redacted:ip]:443"),
        ("2001:db8::8a2e:370:7334 and ::ffff:192.0.2.1", "[redacted:ip] and [redacted:ip]"),
    ];
    for (text, wanted) in rows {
        assert_eq!(redacted(text), wanted, "{text}");
    }
}

#[test]
fn what_only_looks_alike_stays() {
    for text in [
        "",
        "a basic understanding of bearer certificates",
        r#"{"type":"object","properties":{"token":{"type":"string"}},"max_tokens":1024}"#,
        "password: required",
        "task-oriented sk-learn and hf_models",
        "version 1.2.3.4.5 of std::vec::Vec at 12:34:56",
        "4111 1111 1111 1112",
        "GB83 WEST 1234 5698 7654 32",
        "2024-11-26 05:20:44, 3.14159265358979",
        "1 + 2345678 = 2345679",
        "@mention, a @ b",
        "e = mc²",
    ] {
        assert_eq!(redacted(text), text);
    }
}

#[test]
fn findings_are_counted_by_rule() {
    let redactor = all();
    let mut counts = Counts::default();
    let _ = redactor.text("a@b.cd e@f.gh 192.0.2.1", &mut counts);
    let of: Vec<_> = (0..Kind::ALL.len()).map(|rule| counts.of(rule)).collect();
    assert_eq!((of, counts.total()), (vec![0, 2, 0, 0, 0, 1], 3));
}

#[test]
fn a_secret_that_is_split_over_texts_is_found() {
    let redactor = all();
    let mut counts = Counts::default();
    let mut texts = ["write to jo@ex", "ample.com", " or b@c.de"].map(str::to_owned);
    redactor.adjacent(&mut texts.each_mut(), &mut counts);
    assert_eq!(texts, ["write to [redacted:email]", "", " or [redacted:email]"]);
    assert_eq!(counts.total(), 2);
}

#[test]
fn escapes_in_json_hide_nothing() {
    #[rustfmt::skip]
    let rows = [
        (r#"{"to":"jo\u0040example.com","n":1}"#, r#"{"n":1,"to":"[redacted:email]"}"#),
        (r#"{"jo@example.com":[true,null]}"#, r#"{"[redacted:email]":[true,null]}"#),
        (r#"{"card":4111111111111111}"#, r#"{"card":"[redacted:card]"}"#),
        (r#"{"password":"hunter2!"}"#, r#"{"password":"[redacted:credential]"}"#),
        (r#"{"a":"b\\c", "z": 1.50}"#, r#"{"a":"b\\c", "z": 1.50}"#),
        ("jo@example.com is no JSON", "[redacted:email] is no JSON"),
    ];
    for (text, wanted) in rows {
        assert_eq!(all().json(text, &mut Counts::default()), wanted, "{text}");
    }
}

#[test]
fn users_bring_their_own_rules() {
    let rules = vec![
        Rule::custom("ticket", r"ACME-\d{4}").unwrap(),
        Rule::custom("name", r"patient: (?P<secret>\w+)").unwrap(),
    ];
    let redactor = Redactor::new(rules);
    let mut counts = Counts::default();
    let text = redactor.text("ACME-1234, patient: Doe", &mut counts);
    assert_eq!(text, "[redacted:ticket], patient: [redacted:name]");
    for (name, pattern, wanted) in [
        ("email", "x", "`email` is no name for a rule"),
        ("A b", "x", "`A b` is no name for a rule"),
        ("a", "(", "the pattern of `a` can't be used"),
        ("a", r"\pL{1000}{100}", "the pattern of `a` can't be used"),
        ("a", "x*", "the pattern of `a` matches the empty text"),
    ] {
        let said = Rule::custom(name, pattern).unwrap_err().to_string();
        assert!(said.starts_with(wanted), "{said}");
    }
}

#[test]
fn what_lies_over_the_edge_of_a_window_is_found() {
    let (redactor, mail) = (all(), "jo.doe@mail.example.com");
    for edge in [WINDOW, WINDOW - LONGEST, 2 * WINDOW - LONGEST] {
        for shift in 0..=mail.len() {
            let text = format!("{}é {mail} {}", "x".repeat(edge - shift - 3), "y ".repeat(WINDOW));
            let mut counts = Counts::default();
            assert!(!redactor.text(&text, &mut counts).contains("example"), "{edge} {shift}");
            assert_eq!(counts.total(), 1, "{edge} {shift}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Wherever a text is cut into adjacent ones, no more is left of it than of the whole.
    #[test]
    fn cuts_change_nothing(
        words in prop::collection::vec(prop::sample::select(vec![
            "hello ", "é", "jo@example.com ", "4111111111111111 ", "sk-abcdefgh12345678 ", "192.0.2.7, ", "\n", "+4930123456789 ",
        ]), 0..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let (redactor, whole) = (all(), words.concat());
        let mut at: Vec<usize> = cuts.iter().map(|cut| floor(&whole, cut.index(whole.len() + 1))).collect();
        at.extend([0, whole.len()]);
        at.sort_unstable();
        let mut texts: Vec<String> = at.windows(2).map(|w| whole[w[0]..w[1]].to_owned()).collect();
        let (mut counts, mut apart) = (Counts::default(), Counts::default());
        redactor.adjacent(&mut texts.iter_mut().collect::<Vec<_>>(), &mut apart);
        prop_assert_eq!(texts.concat(), redactor.text(&whole, &mut counts).into_owned());
        prop_assert_eq!(apart, counts);
    }

    /// Whatever stands around it, a secret is found.
    #[test]
    fn any_text_is_taken(text in any::<String>(), at in any::<prop::sample::Index>()) {
        let redactor = all();
        let (before, after) = text.split_at(floor(&text, at.index(text.len() + 1)));
        let planted = [before, "\njo@example.com\n", after].concat();
        prop_assert!(!redactor.text(&planted, &mut Counts::default()).contains("jo@example.com"));
        let _ = redactor.json(&text, &mut Counts::default());
    }
}
