use std::{fs, os::unix::fs::PermissionsExt as _};

use super::{super::convert::tests::delivery, *};
use crate::{account::Counter, contract::Value};

const MINUTE: u64 = 60_000_000_000;
/// 2026-11-26 13:17 UTC.
const START: u64 = 1_795_699_020_000_000_000;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A call that ended so many minutes after the start, with so many bytes of prompt.
fn call(id: u8, minutes: u64, prompt: usize) -> Arc<Delivery> {
    let reference = Value::String("file:///x".into());
    let prompt = Value::String(format!("[\"{}\"]", "p".repeat(prompt)));
    let mut delivery =
        delivery(1, &[("plainspan.content.reference", reference), ("gen_ai.input.messages", prompt)]);
    delivery.span.span_id = [id; 8];
    delivery.span.end = Timestamp(START + minutes * MINUTE);
    Arc::new(delivery)
}

fn settings(directory: &Path, bytes: u64) -> ContentSettings {
    ContentSettings { directory: directory.to_owned(), bytes, age: DAY }
}

/// The files below the directory, by their paths below it, in their order.
fn found(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for minute in fs::read_dir(directory).unwrap().flatten() {
        for file in fs::read_dir(minute.path()).unwrap().flatten() {
            let span = file.file_name().into_string().unwrap().split_off(33);
            found.push(format!("{}/{}", minute.file_name().display(), &span[..2]));
        }
    }
    found.sort();
    found
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn each_call_has_a_file_for_its_owner_only() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("a/b");
    let account = Arc::new(Account::default());
    let mut files = ContentFiles::open(&settings(&directory, 1 << 20), account).unwrap();
    let bare = Arc::new(delivery(1, &[("gen_ai.request.model", Value::String("m".into()))]));
    files.export(&[call(1, 0, 10), bare, call(2, 1, 10)]).await.unwrap();
    // What is delivered once more is the same.
    files.export(&[call(1, 0, 10)]).await.unwrap();
    assert_eq!(found(&directory), ["20261126T1317Z/01", "20261126T1318Z/02"]);
    let minute = directory.join("20261126T1317Z");
    let file = minute.join(format!("{}-{}.json", "ab".repeat(16), "01".repeat(8)));
    assert_eq!((mode(&directory), mode(&minute), mode(&file)), (0o700, 0o700, 0o600));
    let json: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(json["gen_ai.input.messages"][0], "p".repeat(10));
    assert_eq!(json["span_id"], "01".repeat(8));
    assert!(json.get("plainspan.content.reference").is_none(), "only what was said: {json}");
}

#[tokio::test]
async fn the_oldest_minutes_go_for_the_size() {
    let home = tempfile::tempdir().unwrap();
    let account = Arc::new(Account::default());
    let at = settings(home.path(), 3500);
    let mut files = ContentFiles::open(&at, Arc::clone(&account)).unwrap();
    files.export(&[call(1, 0, 800), call(2, 0, 800), call(3, 1, 800)]).await.unwrap();
    // What was there before is counted at the next start.
    drop(files);
    let mut files = ContentFiles::open(&at, Arc::clone(&account)).unwrap();
    files.export(&[call(4, 2, 800)]).await.unwrap();
    assert_eq!(found(home.path()), ["20261126T1318Z/03", "20261126T1319Z/04"]);
    assert_eq!(account.get(Counter::ContentGoneSize), 2);
    // Of its own minute nothing goes for a call, and of later ones nothing for an earlier call.
    let failure = files.export(&[call(5, 1, 3000), call(6, 2, 200)]).await.unwrap_err();
    assert_eq!((failure.lost, failure.retry), (1, vec![]));
    assert!(failure.error.to_string().contains("is full"), "{}", failure.error);
    assert_eq!(found(home.path()), ["20261126T1318Z/03", "20261126T1319Z/04", "20261126T1319Z/06"]);
}

#[test]
fn what_is_too_old_goes_and_what_is_not_ours_stays() {
    let home = tempfile::tempdir().unwrap();
    let account = Arc::new(Account::default());
    fs::create_dir(home.path().join("notes")).unwrap();
    let mut shelf = Shelf::open(&settings(home.path(), 1 << 20), Arc::clone(&account)).unwrap();
    write(&mut shelf, &[call(1, 0, 1), call(2, 1, 1), call(3, 2, 1)]).unwrap();
    fs::write(home.path().join("20261126T1317Z/mine.txt"), "x").unwrap();
    let day = u64::try_from(DAY.as_nanos()).unwrap();
    shelf.sweep(Timestamp(START + day + 2 * MINUTE));
    let left = ["20261126T1317Z/", "20261126T1319Z/03"];
    assert!(fs::exists(home.path().join("20261126T1317Z/mine.txt")).unwrap());
    fs::remove_file(home.path().join("20261126T1317Z/mine.txt")).unwrap();
    assert_eq!(found(home.path()), left[1..]);
    assert!(fs::exists(home.path().join("notes")).unwrap());
    assert_eq!(account.get(Counter::ContentGoneAge), 2);
}

#[tokio::test]
async fn a_link_is_not_followed() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("content");
    let mut files = ContentFiles::open(&settings(&directory, 1 << 20), Arc::new(Account::default())).unwrap();
    let victim = home.path().join("victim");
    fs::write(&victim, "whole").unwrap();
    let minute = directory.join("20261126T1317Z");
    fs::create_dir(&minute).unwrap();
    for extension in ["json", "part"] {
        let link = minute.join(format!("{}-{}.{extension}", "ab".repeat(16), "01".repeat(8)));
        std::os::unix::fs::symlink(&victim, link).unwrap();
    }
    files.export(&[call(1, 0, 10)]).await.unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "whole");
    assert_eq!(found(&directory), ["20261126T1317Z/01"]);
}

#[tokio::test]
async fn a_directory_that_can_not_be_made_says_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    let error = ContentFiles::open(&settings(&file.join("x"), 1), Arc::new(Account::default())).unwrap_err();
    let error = error.to_string();
    assert!(error.starts_with("cannot write to ") && error.ends_with("with --content-dir"), "{error}");
}
