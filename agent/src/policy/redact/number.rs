//! Numbers with a check digit, and phone numbers.

use std::ops::Range;

use super::rule::Accept;

/// 13 to 19 digits in any grouping (ISO/IEC 7812-1), with the right check digit.
pub(super) fn card() -> Vec<(String, Accept)> {
    vec![(r"(?-u:\b)[2-6][0-9 -]{10,35}[0-9](?-u:\b)".into(), card_number)]
}

/// Country, two check digits, up to 30 letters and digits, mostly in groups of four (ISO 13616-1).
pub(super) fn iban() -> Vec<(String, Accept)> {
    vec![(r"(?i)(?-u:\b)[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){11,30}(?-u:\b)".into(), account_number)]
}

/// With the country's code (ITU-T E.164: 15 digits at most), or in groups as nations write them.
pub(super) fn phone() -> Vec<(String, Accept)> {
    vec![
        (r"\+[1-9](?:[ ./()-]{0,3}[0-9]){6,14}(?-u:\b)".into(), international),
        (r"\([0-9]{2,5}\)[ ./-]{0,2}[0-9]{2,4}(?:[ ./-]?[0-9]{2,4}){1,3}(?-u:\b)".into(), national),
        (r"(?-u:\b)[2-9][0-9]{2}[ .-][0-9]{3}[ .-][0-9]{4}(?-u:\b)".into(), national),
        (r"(?-u:\b)0[0-9]{1,4}[ /-][0-9]{2,8}(?:[ -][0-9]{2,4}){0,4}(?-u:\b)".into(), national),
    ]
}

/// The longest beginning that is a card's number: a date or a check value may follow it.
fn card_number(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let word = &text[range.clone()];
    let mut digits = Vec::with_capacity(19);
    let mut found = None;
    let mut gap = false;
    for (at, byte) in word.bytes().enumerate() {
        if !byte.is_ascii_digit() {
            // Two separators in a row part two numbers.
            if std::mem::replace(&mut gap, true) {
                break;
            }
            continue;
        }
        gap = false;
        if digits.len() == 19 {
            break;
        }
        digits.push(byte - b'0');
        let ends = !word.as_bytes().get(at + 1).is_some_and(u8::is_ascii_digit);
        if ends && digits.len() >= 13 && luhn(&digits) {
            found = Some(range.start..range.start + at + 1);
        }
    }
    found
}

/// ISO/IEC 7812-1, annex B.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match u32::from(*digit) {
            digit if at % 2 == 0 => digit,
            digit if digit < 5 => 2 * digit,
            digit => 2 * digit - 9,
        })
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != 0)
}

/// The longest beginning that is an account's number: a word in capitals may follow it.
fn account_number(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let word = &text[range.clone()];
    let letter = |at: usize| word.as_bytes().get(at).is_some_and(u8::is_ascii_alphanumeric);
    let ends = (15..=word.len()).rev().filter(|end| letter(end - 1) && !letter(*end));
    ends.map(|end| range.start..range.start + end).find(|found| mod_97(&text[found.clone()]) == Some(1))
}

/// ISO 7064, MOD 97-10, with the first four characters behind the others, as ISO 13616-1 has it; `None` for what has not
/// 15 to 34 characters.
fn mod_97(text: &str) -> Option<u32> {
    let characters: Vec<u8> = text.bytes().filter(u8::is_ascii_alphanumeric).collect();
    if !(15..=34).contains(&characters.len()) {
        return None;
    }
    let (first, rest) = characters.split_at(4);
    let mut value = 0;
    for byte in rest.iter().chain(first) {
        let number = char::from(*byte).to_digit(36)?;
        value = (value * if number > 9 { 100 } else { 10 } + number) % 97;
    }
    Some(value)
}

fn international(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let digits = text[range.clone()].bytes().filter(u8::is_ascii_digit).count();
    // A sum as in `1+2345678` is none.
    let alone = !text[..range.start].ends_with(|c: char| c.is_alphanumeric());
    (alone && (7..=15).contains(&digits)).then_some(range)
}

fn national(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let digits = text[range.clone()].bytes().filter(u8::is_ascii_digit).count();
    let before = text[..range.start].ends_with(|c: char| c.is_alphanumeric() || "-./".contains(c));
    let behind = text[range.end..].starts_with(['-', '/']);
    (!before && !behind && (9..=15).contains(&digits)).then_some(range)
}
