//! The standard's examples, stories of other encoders, and what is left after a loss.

use std::{
    env,
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

const MOST: Most = Most { fields: 1000, bytes: 1 << 20 };

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// `name: value`, with `?` for what is unknown.
fn shown(fields: &Fields) -> Vec<String> {
    let text = |part: &Option<Bytes>| {
        part.as_ref().map_or_else(|| "?".to_owned(), |b| String::from_utf8_lossy(b).into_owned())
    };
    fields.list.iter().map(|f| format!("{}: {}", text(&f.name), text(&f.value))).collect()
}

fn decode(decoder: &mut Decoder, hex: &str) -> Vec<String> {
    shown(&decoder.decode(&bytes(hex), MOST).unwrap())
}

const FIRST: &str = "828684418cf1e3c2e5f23a6ba0ab90f4ff";
const SECOND: &str = "828684be5886a8eb10649cbf";
const THIRD: &str = "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf";

/// RFC 7541, appendix C.4.
#[test]
fn the_examples_of_the_standard() {
    let mut decoder = Decoder::default();
    let common = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
    assert_eq!(decode(&mut decoder, FIRST), common);
    assert_eq!(decode(&mut decoder, SECOND), [&common[..], &["cache-control: no-cache"]].concat());
    let third = [
        ":method: GET",
        ":scheme: https",
        ":path: /index.html",
        ":authority: www.example.com",
        "custom-key: custom-value",
    ];
    assert_eq!(decode(&mut decoder, THIRD), third);
}

#[test]
fn without_the_first_block_what_it_told_is_unknown_and_the_rest_is_not() {
    let mut decoder = Decoder::default();
    let second = [":method: GET", ":scheme: http", ":path: /", "?: ?", "cache-control: no-cache"];
    assert_eq!(decode(&mut decoder, SECOND), second);
    let third = [":method: GET", ":scheme: https", ":path: /index.html", "?: ?", "custom-key: custom-value"];
    assert_eq!(decode(&mut decoder, THIRD), third);
    // Index 62 is the newest: it was seen.
    assert_eq!(decode(&mut decoder, "be"), ["custom-key: custom-value"]);
    decoder.forget();
    assert_eq!(decode(&mut decoder, "be"), ["?: ?"]);
    // A literal whose name is unknown is inserted all the same, or the places behind it would be wrong.
    assert_eq!(decode(&mut decoder, "4001610162 7f00 0178 bebf"), ["a: b", "?: x", "?: x", "a: b"]);
}

#[test]
fn malformed_blocks() {
    let table = ["80", "40", "4001", "000161", "ff8080808080", "7fffffffff7f", "00 01 61 85 ff"];
    for hex in table {
        let mut decoder = Decoder::default();
        decode(&mut decoder, "40 0161 0162");
        assert_eq!(decoder.decode(&bytes(hex), MOST), Err(Malformed), "{hex}");
        assert_eq!(decode(&mut decoder, "be"), ["?: ?"], "{hex}: nothing is known after an error");
    }
}

#[test]
fn limits_cut_fields_and_leave_the_table_right() {
    let mut decoder = Decoder::default();
    let block = bytes("40 0161 0162 40 0163 0164 40 0165 0166");
    let fields = decoder.decode(&block, Most { fields: 2, bytes: 100 }).unwrap();
    assert_eq!((shown(&fields), fields.cut), (vec!["a: b".to_owned(), "c: d".to_owned()], true));
    assert_eq!(decode(&mut decoder, "be bf c0"), ["e: f", "c: d", "a: b"]);
    let fields = decoder.decode(&[0xbe; 100], Most { fields: 1000, bytes: 9 }).unwrap();
    assert_eq!((fields.list.len(), fields.cut), (4, true));
}

#[test]
fn the_table_is_bounded() {
    let mut decoder = Decoder::default();
    let entry = |name: u8| [&[0x40, 1, name, 0x7f, 0xd1, 0x0e][..], &[b'x'; 2000]].concat();
    for name in [b'a', b'b', b'c'] {
        decoder.decode(&entry(name), MOST).unwrap();
    }
    // Two of them fit into 4096 bytes.
    let names: Vec<_> =
        [0xbe, 0xbf, 0xc0].map(|index| decoder.decode(&[index], MOST).unwrap().list[0].name.clone()).into();
    assert_eq!(names, [Some(Bytes::from("c")), Some(Bytes::from("b")), None]);
    decode(&mut decoder, "20");
    assert_eq!(decode(&mut decoder, "be"), ["?: ?"], "a table of no size holds nothing");
    decoder.table.resize(usize::MAX);
    for _ in 0..1000 {
        decoder.decode(&entry(b'd'), MOST).unwrap();
    }
    let last = (62..1000).take_while(|i| decoder.table.field(*i).unwrap().name.is_some()).count();
    assert!((60..66).contains(&last), "{last}");
}

#[derive(Deserialize)]
struct Story {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    wire: String,
    headers: Vec<std::collections::BTreeMap<String, String>>,
}

/// The stories; a test that can't find them fails and says what to do.
fn stories() -> Vec<(PathBuf, Story)> {
    let folder = env::var_os("PLAINSPAN_HPACK").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/hpack-stories"),
        PathBuf::from,
    );
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap_or_else(|e| {
            panic!("{}: {e}: set PLAINSPAN_HPACK to the folder of header stories", folder.display())
        });
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let mut files: Vec<_> =
        entries(&folder).iter().filter(|path| path.is_dir()).flat_map(|path| entries(path)).collect();
    files.sort();
    assert!(files.len() > 20, "{} stories", files.len());
    let read = |file: PathBuf| {
        let story = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        (file, story)
    };
    files.into_iter().map(read).collect()
}

fn told(case: &Case) -> Vec<String> {
    case.headers.iter().flatten().map(|(name, value)| format!("{name}: {value}")).collect()
}

#[test]
fn stories_of_other_encoders() {
    for (file, story) in stories() {
        let mut decoder = Decoder::default();
        for (at, case) in story.cases.iter().enumerate() {
            assert_eq!(decode(&mut decoder, &case.wire), told(case), "{} {at}", file.display());
        }
    }
}

#[test]
fn stories_with_missing_blocks() {
    let (mut known, mut unknown) = (0, 0);
    for (file, story) in stories() {
        let mut decoder = Decoder::default();
        for (at, case) in story.cases.iter().enumerate() {
            if at % 5 == 0 {
                decoder.forget();
                continue;
            }
            let seen = decode(&mut decoder, &case.wire);
            let told = told(case);
            assert_eq!(seen.len(), told.len());
            for (seen, told) in seen.iter().zip(told) {
                if seen.starts_with("?: ") {
                    unknown += 1;
                } else {
                    assert_eq!(*seen, told, "{} {at}", file.display());
                    known += 1;
                }
            }
        }
    }
    assert!(known > 5000 && unknown > 500, "{known} known, {unknown} unknown");
}

proptest! {
    #[test]
    fn any_string_comes_back(text in prop::collection::vec(any::<u8>(), 0..100)) {
        let mut coded = Vec::new();
        httlib_huffman::encode(&text, &mut coded).unwrap();
        let mut block = vec![0, 1, b'n'];
        if coded.len() < 127 {
            block.push(0x80 | coded.len() as u8);
        } else {
            let rest = coded.len() - 127;
            block.push(0xff);
            if rest >= 128 { block.push(0x80 | (rest % 128) as u8); }
            block.push(if rest >= 128 { (rest / 128) as u8 } else { rest as u8 });
        }
        block.extend(coded);
        let fields = Decoder::default().decode(&block, MOST).unwrap();
        prop_assert_eq!(fields.list[0].value.clone(), Some(Bytes::from(text)));
    }

    #[test]
    fn anything_may_come(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..20)) {
        let mut decoder = Decoder::default();
        for block in blocks {
            let _ = decoder.decode(&block, Most { fields: 10, bytes: 300 });
        }
    }
}
