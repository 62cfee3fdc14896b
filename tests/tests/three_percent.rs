//! The broken three percent: 10,000 calls of forty prompt templates and two hundred tenants, of which one template's answers are cut.
//! Every answer has status 200, every average stays where it was; sampled to a twentieth, the journal still has all that are cut, and
//! `plainspan explain` names the template. Needs no privileges. docs/finding-the-three-percent.md tells it with the output of these commands.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use plainspan_tests::harness::{Finished, Process, Span, agent, directory, parse_spans};
use serde_json::{Value, json};

const CALLS: u64 = 10_000;
const TEMPLATES: u64 = 40;
const TENANTS: u64 = 200;
/// The template whose answers are cut.
const BROKEN: u64 = 17;
/// The fingerprint that tells templates apart.
const TEMPLATE: &str = "plainspan.fingerprint.template";

/// Numbers that look random and are the same each time (xorshift64*, Vigna, 2016).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % bound
    }
}

/// What the templates say to the model.
const INSTRUCTIONS: [&str; TEMPLATES as usize] = [
    "You summarise support tickets for the engineer on call. Begin with what is broken, then say since when and for whom.",
    "You translate descriptions of products from English into plain German. Keep measures and brand names as they are.",
    "You sort incoming mail into queues. Reply with the name of exactly one queue, and nothing around it.",
    "You read invoices that were scanned. Give number, date, total and currency as JSON; null where the scan is unreadable.",
    "You answer guests of a small hotel by the sea. Be warm, never promise a room, and offer to call back.",
    "You compare two clauses of a contract. Say which is stricter on the tenant, quoting the words that make it so.",
    "You turn the notes of a meeting into tasks. Each has an owner, a due day, and one verb at its beginning.",
    "You explain log lines to people who have never operated a server. Avoid acronyms; end with one thing to try.",
    "You judge whether reviews were written by real buyers. Give a probability between zero and one, then a reason.",
    "You suggest headlines for articles of a local newspaper. Three of them, no puns, none longer than nine words.",
    "You write unit tests for functions in Go. Use tables, name the cases after what they show, import nothing new.",
    "You review SQL before it runs in production. Look for missing indexes, full scans and locks that last.",
    "You plan meals for a week from what is in the fridge. Two vegetarian evenings, nothing twice, allergies first.",
    "You help nurses to find dosages in the hospital's handbook. Cite the page; if it is not there, say so at once.",
    "You draft replies to tenders of the city council. Formal register, numbered paragraphs, prices in a table.",
    "You check timetables for trains that miss their connection. List the station, both times, and the minutes short.",
    "You extract the names of plants from diaries of botanists. Latin names in italics, doubtful readings in brackets.",
    "You write release notes for developers from commit messages. Walk through every change, its motive, its risk and how to undo it.",
    "You moderate comments below videos for children. Remove what insults, keep what is merely silly, explain nothing.",
    "You tutor pupils in fractions. Never give the result; ask for the next step, praise effort, draw pies in text.",
    "You convert recipes between cups and grams. Round to what a kitchen scale can show, and warn about butter.",
    "You find duplicates among addresses of donors. Same person, other spelling: print both identifiers and a score.",
    "You prepare questions for interviews with electricians. Safety first, then experience, then what they would refuse.",
    "You describe paintings to visitors who can't see them. Left to right, colours by what they resemble, no dates.",
    "You calculate freight for pallets to islands. Show zone, weight class, surcharge for ferries, and sum.",
    "You rewrite letters of the tax office so that anybody understands them. Keep deadlines bold and amounts exact.",
    "You watch sensor readings of greenhouses. Report humidity that leaves its band, with bay, hour and trend.",
    "You name colours of yarn for a catalogue. Two words each, one of them from nature, none used last season.",
    "You match songs to scenes of silent films. Tempo, mood and length matter; composer and year do not.",
    "You check medical claims of adverts against guidelines. Supported, unsupported or misleading, with the paragraph.",
    "You pack lorries on paper. Heavy at the bottom, last stop deepest, and mark whatever must stay upright.",
    "You summarise debates of parliament by party. Neutral verbs, no adjectives, votes at the very end.",
    "You identify birds from what walkers have heard. Ask for place and month, then offer at most two species.",
    "You generate passwords that can be spoken on the phone. Four words, a separator, nothing that sounds alike.",
    "You estimate how long repairs of bicycles take. Minutes for labour only, parts on another line, no discounts.",
    "You label photographs of road damage. Crack, pothole, patch or shadow; surface first, confidence afterwards.",
    "You write captions for exhibits about the history of radio. Seventy words, present tense, one surprising detail.",
    "You explain insurance to students who move out for the first time. What is covered, what is not, whom to ask.",
    "You correct the punctuation of transcripts. Leave every word alone, mark pauses, split at changes of speaker.",
    "You propose walks through a city by the hour. Benches, fountains and shade count more than monuments.",
];
/// What requests and answers are made of.
const WORDS: [&str; 48] = [
    "printer",
    "invoice",
    "parcel",
    "login",
    "refund",
    "router",
    "contract",
    "voucher",
    "again",
    "since",
    "Monday",
    "after",
    "update",
    "twice",
    "night",
    "customer",
    "asks",
    "whether",
    "window",
    "blue",
    "cannot",
    "find",
    "old",
    "address",
    "seven",
    "boxes",
    "arrived",
    "without",
    "label",
    "please",
    "check",
    "before",
    "friday",
    "garden",
    "north",
    "station",
    "quiet",
    "letter",
    "manual",
    "says",
    "otherwise",
    "reader",
    "colour",
    "missing",
    "page",
    "shelf",
    "number",
    "tomorrow",
];

/// So many words.
fn text(dice: &mut Dice, words: u64) -> String {
    (0..words).map(|_| WORDS[dice.below(WORDS.len() as u64) as usize]).collect::<Vec<_>>().join(" ")
}

/// One recorded exchange, as a line. `cuts`: answers of the broken template are cut.
fn exchange(number: u64, dice: &mut Dice, cuts: bool) -> Value {
    // The broken template makes four percent of the calls, of which three quarters are cut.
    let template = match dice.below(100) {
        0..=3 => BROKEN,
        _ => (BROKEN + 1 + dice.below(TEMPLATES - 1)) % TEMPLATES,
    };
    let tenant = dice.below(TENANTS);
    let model = ["gpt-4o-mini", "gpt-4o", "gpt-4.1"][(template % 3) as usize];
    let max_tokens = [256, 512, 1024][dice.below(3) as usize];
    let question = text(dice, 12);
    let (long, rare, tokens) = (dice.below(4) > 0, dice.below(1000) == 0, dice.below(200));
    let cut = rare || (cuts && template == BROKEN && long);
    // Not longer than others: the limit that cuts them is the provider's of this account, not one that the request states.
    let output = if cut { 150 } else { 50 + tokens };
    let limited = dice.below(250) == 0;
    let body = json!({
        "model": model, "max_tokens": max_tokens,
        "messages": [
            {"role": "system", "content": INSTRUCTIONS[template as usize]},
            {"role": "user", "content": question},
        ],
    });
    let input = 90 + dice.below(60);
    let (status, answer) = if limited {
        (429, json!({"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}))
    } else {
        // Of its own words, so that the others stay as they are whatever its length is.
        let content = text(&mut Dice(number + 1), output / 2);
        let choice = json!({"index": 0, "message": {"role": "assistant", "content": content},
            "finish_reason": if cut { "length" } else { "stop" }});
        let usage =
            json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output});
        (
            200,
            json!({"id": format!("chatcmpl-{number:05}"), "object": "chat.completion", "model": format!("{model}-2026-08-06"),
            "choices": [choice], "usage": usage}),
        )
    };
    json!({
        "source": format!("template-{template}/call-{number}"),
        "request": {
            "method": "POST", "url": "https://api.openai.com/v1/chat/completions",
            "headers": [["content-type", "application/json"], ["host", "api.openai.com"], ["x-tenant-id", format!("tenant-{tenant}")]],
            "body_b64": STANDARD.encode(body.to_string()),
        },
        "response": {
            "status": status, "headers": [["content-type", "application/json"]],
            "body_b64": STANDARD.encode(answer.to_string()),
        },
    })
}

/// All of them, in a file.
fn traffic(dir: &Path, name: &str, cuts: bool) -> PathBuf {
    let mut dice = Dice(0x2026_1126_0000_0001);
    let mut lines = String::new();
    for number in 0..CALLS {
        let _ = writeln!(lines, "{}", exchange(number, &mut dice, cuts));
    }
    let path = dir.join(name);
    fs::write(&path, lines).expect("the directory is ours");
    path
}

/// Replays a file of exchanges; the spans that come of it.
fn replayed(exchanges: &Path, options: &[&str]) -> Vec<Span> {
    let to = exchanges.with_extension("spans.jsonl");
    // A file is written on, not anew.
    fs::write(&to, "").expect("the directory is ours");
    let mut process = agent();
    // The same secret gives the same fingerprints.
    process
        .arg("replay")
        .arg("--secret")
        .arg(exchanges.with_file_name("secret"))
        .args(options)
        .arg("-o")
        .arg(format!("file:{}", to.display()))
        .arg(exchanges);
    let ended = Process::start(process).wait();
    assert!(ended.status.success(), "{ended:?}");
    parse_spans(&fs::read_to_string(&to).expect("it was written")).unwrap_or_else(|e| panic!("{e}"))
}

fn explained(args: &[&str]) -> Finished {
    let mut process = agent();
    process.args(["explain", "--bad", "finish_reason=length"]).args(args);
    let ended = Process::start(process).wait();
    assert!(ended.status.success(), "{ended:?}");
    ended
}

fn is_cut(span: &Span) -> bool {
    *span.get("gen_ai.response.finish_reasons") == json!(["length"])
}

fn is_of_broken(span: &Span) -> bool {
    let source = span.get("plainspan.replay.source").as_str().unwrap_or_default();
    source.starts_with(&format!("template-{BROKEN}/"))
}

fn ids(spans: &[Span]) -> BTreeSet<&str> {
    spans.iter().filter(|span| is_cut(span)).filter_map(Span::response_id).collect()
}

/// What a dashboard shows: of all calls the part that failed, tokens in and out, and how long they took.
fn averages(spans: &[Span]) -> BTreeMap<&'static str, f64> {
    let mean = |of: &dyn Fn(&Span) -> f64| spans.iter().map(of).sum::<f64>() / spans.len() as f64;
    let number = |span: &Span, key: &str| span.get(key).as_f64().unwrap_or_default();
    BTreeMap::from([
        ("errors", mean(&|span| f64::from(u8::from(span.status == 2)))),
        ("input tokens", mean(&|span| number(span, "gen_ai.usage.input_tokens"))),
        ("output tokens", mean(&|span| number(span, "gen_ai.usage.output_tokens"))),
        ("duration", mean(&|span| (span.end - span.start) as f64)),
    ])
}

#[test]
fn averages_stay_green() {
    let dir = directory();
    let before = averages(&replayed(&traffic(dir.path(), "before.jsonl", false), &[]));
    let spans = replayed(&traffic(dir.path(), "after.jsonl", true), &[]);
    let after = averages(&spans);
    for (name, value) in &before {
        let change = (after[name] / value - 1.0).abs();
        assert!(change < 0.01, "{name}: {value} before, {} after", after[name]);
    }
    let cut = spans.iter().filter(|span| is_cut(span)).count();
    assert!((280..340).contains(&cut), "{cut} of {CALLS}");
    assert!(
        spans
            .iter()
            .filter(|span| is_cut(span))
            .all(|span| *span.get("http.response.status_code") == json!(200))
    );
}

#[test]
fn the_template_is_found_at_a_twentieth_of_the_spans() {
    let dir = directory();
    let exchanges = traffic(dir.path(), "after.jsonl", true);
    let all = replayed(&exchanges, &[]);
    let journal = dir.path().join("journal.db");
    let journal = journal.to_str().expect("its name is text");
    let kept = replayed(&exchanges, &["--sample", "5%", "--journal", journal]);
    assert!(kept.len() as u64 <= CALLS * 15 / 100, "{} spans were kept", kept.len());
    assert_eq!(ids(&kept), ids(&all), "all that are cut are kept");

    let told = explained(&["--journal", journal, "--json"]);
    let told: Value = serde_json::from_str(&told.stdout[0]).expect("one object");
    assert_eq!(told["bad"]["seen"], json!(ids(&all).len()), "the journal has them, too: {told:#}");
    let calls = told["calls"]["all"].as_f64().expect("a number");
    assert!((calls / CALLS as f64 - 1.0).abs() < 0.1, "an estimate of {CALLS}: {calls}");
    let first = &told["causes"][0];
    assert_eq!(first["what"][0]["attribute"], TEMPLATE, "{told:#}");
    // It is that of the template that is broken, and of no other.
    let value = first["what"][0]["where"].as_str().and_then(|text| text.split_once('=')).expect("a value").1;
    let has = |span: &&Span| *span.get(TEMPLATE) == json!(value);
    let of_broken = all.iter().filter(|span| is_of_broken(span)).count();
    assert_eq!(all.iter().filter(has).filter(|span| is_of_broken(span)).count(), of_broken);
    assert_eq!(all.iter().filter(has).count(), of_broken);

    let number = |key: &str| first[key].as_f64().unwrap_or_else(|| panic!("{key}: {told:#}"));
    assert!(number("bad_share") > 0.95 && number("others_share") < 0.03, "{first:#}");
    assert!((0.65..0.85).contains(&number("failing")) && number("lift") > 20.0, "{first:#}");
    assert!(number("log10_chance") < -50.0, "{first:#}");
    // Whatever else comes out is that again: no tenant, no model.
    let others = told["causes"].as_array().into_iter().flatten().skip(1);
    for other in others {
        assert_eq!(other["no_more_than"], json!(1), "{told:#}");
    }
    assert_eq!(told["together"], json!([]), "{told:#}");

    // From the file that has every call, the same comes out.
    let spans = exchanges.with_extension("spans.jsonl");
    replayed(&exchanges, &[]);
    let of_all = explained(&[spans.to_str().expect("its name is text"), "--json"]);
    let of_all: Value = serde_json::from_str(&of_all.stdout[0]).expect("one object");
    assert_eq!(of_all["causes"][0]["what"][0], first["what"][0], "{of_all:#}");
    assert_eq!(of_all["calls"]["seen"], json!(CALLS));
}

#[test]
fn a_person_reads_it_and_goes_on_with_the_command_that_is_shown() {
    let dir = directory();
    let exchanges = traffic(dir.path(), "after.jsonl", true);
    let journal = dir.path().join("journal.db");
    let journal = journal.to_str().expect("its name is text");
    replayed(&exchanges, &["--sample", "5%", "--journal", journal]);
    let told = explained(&["--journal", journal]).stdout;
    let wide = |line: &&String| line.chars().count() > 120 && !line.starts_with("  plainspan calls");
    assert_eq!(told.iter().find(wide), None, "{told:#?}");
    let first = told.iter().find(|line| line.starts_with(" 1 ")).expect("a first cause");
    assert!(first.contains(TEMPLATE), "{told:#?}");

    let command = told.iter().find_map(|line| line.strip_prefix("  plainspan calls ")).expect("a command");
    let mut shell = agent();
    let plainspan = shell.get_program().to_owned();
    shell = {
        let mut sh = std::process::Command::new("sh");
        sh.env("PLAINSPAN_CONFIG", "none")
            .arg("-c")
            .arg(format!("exec \"$0\" calls {command} --json"))
            .arg(plainspan);
        sh
    };
    let shown = Process::start(shell).wait();
    assert!(shown.status.success(), "{shown:?}");
    assert_eq!(shown.stdout.len(), 5, "{shown:?}");
    for line in &shown.stdout {
        let call: Value = serde_json::from_str(line).expect("an object a line");
        assert_eq!(call["attributes"]["gen_ai.response.finish_reasons"], json!(["length"]));
        let source = call["attributes"]["plainspan.replay.source"].as_str().unwrap_or_default();
        assert!(source.starts_with(&format!("template-{BROKEN}/")), "{source}");
    }
}

#[test]
fn what_can_not_be_told_says_why() {
    let dir = directory();
    let exchanges = traffic(dir.path(), "before.jsonl", false);
    let spans = exchanges.with_extension("spans.jsonl");
    replayed(&exchanges, &[]);
    let spans = spans.to_str().expect("its name is text");
    for (args, status, said) in [
        (
            &["--bad", "finish_reason=lenght", spans][..],
            1,
            "none of 10000 calls is bad (finish_reason=lenght); values that there are: length, stop",
        ),
        (&["--bad", "gen_ai.request.modle=x", spans], 1, "none has a value of that at all"),
        (&["--bad", "status=*", spans], 1, "all 10000 calls are bad (status=*): there are no others"),
        (&["--bad", "finish_reasn=length", spans], 2, "did you mean `finish_reason`?"),
        (&["--bad", "status=error", "--model", "gpt*", spans], 2, "cannot be used with"),
        (
            &["--bad", "status=error", "--where", "model=nobody", spans],
            1,
            "no call in the files fits these options",
        ),
        (&["--bad", "status=error", "--journal", "none"], 2, "name one with --journal PATH"),
        (&["--bad", "status=error", "/nowhere.jsonl"], 2, "/nowhere.jsonl can't be read"),
        (&["--bad", "status=error", "Cargo.toml"], 1, "Cargo.toml, line 1: it is no OTLP"),
        (&[], 2, "--bad"),
    ] {
        let mut process = agent();
        process.arg("explain").args(args);
        let ended = Process::start(process).wait();
        assert_eq!(ended.status.code(), Some(status), "{args:?}: {ended:?}");
        assert!(ended.stderr.join("\n").contains(said), "{args:?}: {ended:?}");
    }
}
