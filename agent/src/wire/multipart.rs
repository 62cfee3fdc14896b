//! `multipart/form-data` (RFC 7578, in the format of RFC 2046, section 5.1): which parts a form has, and what its
//! fields say. Files are measured, and their content is not kept.

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memchr_iter, memmem};

use super::Part;

/// Longest value of a field that is kept, in bytes.
const VALUE_MAX: usize = 64 * 1024;

/// Longest head of a part, in bytes.
const HEAD_MAX: usize = 16 * 1024;

/// RFC 2046, section 5.1.1: no boundary is longer.
const BOUNDARY_MAX: usize = 70;

/// What ends a line, and the head of a part.
const LINE_END: &[u8] = b"\r\n";
const HEAD_END: &[u8] = b"\r\n\r\n";

enum State {
    /// In front of the first part, or somewhere after a loss: the next delimiter is looked for.
    Between,
    /// In the rest of a delimiter's line.
    Delimiter,
    /// In the head of a part.
    Head,
    /// In the content of a part.
    Content(Part, Option<BytesMut>),
    /// After the last part.
    Over,
}

/// An incremental reader of parts.
pub(super) struct Multipart {
    /// With the end of the line in front, which is part of it.
    delimiter: memmem::Finder<'static>,
    state: State,
    /// What may be the beginning of a delimiter, or a line or a head that is not whole.
    held: BytesMut,
}

impl Multipart {
    /// For the value of a `content-type`; `None` if it is another type, or lacks its boundary.
    pub fn of(content_type: &str) -> Option<Self> {
        let (media_type, parameters) = content_type.split_once(';')?;
        if !media_type.trim().eq_ignore_ascii_case("multipart/form-data") {
            return None;
        }
        let boundary = parameter(parameters, "boundary").filter(|b| (1..=BOUNDARY_MAX).contains(&b.len()))?;
        let delimiter = memmem::Finder::new(&format!("\r\n--{boundary}")).into_owned();
        // The first delimiter needs no line in front of it.
        Some(Self { delimiter, state: State::Between, held: LINE_END.into() })
    }

    /// Bytes that are held.
    pub fn held(&self) -> usize {
        let value = match &self.state {
            State::Content(_, Some(value)) => value.len(),
            _ => 0,
        };
        self.held.len() + value
    }

    /// Takes the next bytes.
    pub fn push(&mut self, mut input: Bytes, found: &mut impl FnMut(Part)) {
        while !input.is_empty() {
            match &mut self.state {
                State::Over => return,
                State::Between | State::Content(..) => {
                    input = self.joined(input);
                    let needle = self.delimiter.needle();
                    let Some(at) = self.delimiter.find(&input) else {
                        let rest = input.split_off(input.len() - beginning(&input, needle));
                        self.held.extend_from_slice(&rest);
                        self.content(&input);
                        return;
                    };
                    let len = needle.len();
                    let content = input.split_to(at);
                    self.content(&content);
                    input.advance(len);
                    if let State::Content(part, value) = std::mem::replace(&mut self.state, State::Delimiter)
                    {
                        found(Part { value: value.map(BytesMut::freeze), ..part });
                    }
                }
                State::Delimiter => {
                    input = self.joined(input);
                    if input.starts_with(b"--") {
                        self.state = State::Over;
                    } else if let Some(end) = memchr(b'\n', &input[..input.len().min(BOUNDARY_MAX + 1)]) {
                        // White space may follow. Anything else: the boundary of something longer.
                        let is_delimiter = input[..end].trim_ascii().is_empty();
                        self.state = State::Between;
                        if is_delimiter {
                            // A head may be empty: then only the blank line after it comes.
                            self.held.extend_from_slice(LINE_END);
                            self.state = State::Head;
                            input.advance(end + 1);
                        }
                    } else if input.len() > BOUNDARY_MAX {
                        self.state = State::Between;
                    } else {
                        self.held.extend_from_slice(&input);
                        return;
                    }
                }
                State::Head => {
                    let from = self.held.len().saturating_sub(HEAD_END.len() - 1);
                    self.held.extend_from_slice(&input);
                    let end = memmem::find(&self.held[from..], HEAD_END).map(|at| from + at + HEAD_END.len());
                    if let Some(end) = end.filter(|end| *end <= HEAD_MAX) {
                        let head = self.held.split_to(end);
                        input = self.held.split().freeze();
                        let part = part(&head);
                        // Without a file name it is a field.
                        let value = part.file_name.is_none().then(BytesMut::new);
                        self.state = State::Content(part, value);
                    } else if self.held.len() > HEAD_MAX {
                        input = self.held.split().freeze();
                        self.state = State::Between;
                    } else {
                        return;
                    }
                }
            }
        }
    }

    /// Bytes are missing here. How long the part in progress is can't be told any more, nor whether others have begun.
    pub fn gap(&mut self, found: &mut impl FnMut(Part)) {
        self.held.clear();
        match std::mem::replace(&mut self.state, State::Between) {
            State::Content(part, _) => found(Part { len: None, ..part }),
            State::Over => self.state = State::Over,
            State::Between | State::Delimiter | State::Head => {}
        }
    }

    fn joined(&mut self, input: Bytes) -> Bytes {
        if self.held.is_empty() {
            return input;
        }
        self.held.extend_from_slice(&input);
        self.held.split().freeze()
    }

    fn content(&mut self, bytes: &[u8]) {
        if let State::Content(part, value) = &mut self.state {
            part.len = part.len.map(|len| len + bytes.len() as u64);
            match value {
                Some(value) if value.len() + bytes.len() <= VALUE_MAX => value.extend_from_slice(bytes),
                _ => *value = None,
            }
        }
    }
}

/// How many of the last bytes may be the beginning of what is looked for.
fn beginning(bytes: &[u8], needle: &[u8]) -> usize {
    let last = &bytes[bytes.len() - bytes.len().min(needle.len() - 1)..];
    memchr_iter(needle[0], last)
        .map(|at| &last[at..])
        .find(|rest| needle.starts_with(rest))
        .map_or(0, <[u8]>::len)
}

/// A part of which the head is known. RFC 7578, section 4.2: its disposition names the field, and the file.
fn part(head: &[u8]) -> Part {
    let head = String::from_utf8_lossy(head);
    let mut part = Part { len: Some(0), ..Part::default() };
    for line in head.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-disposition") {
            part.name = parameter(value, "name").unwrap_or_default().into();
            part.file_name = parameter(value, "filename").map(Into::into);
        } else if name.eq_ignore_ascii_case("content-type") {
            part.media_type = Some(value.trim().into());
        }
    }
    part
}

/// A parameter of a header's value, which may be quoted; RFC 9110, section 5.6.6. The escapes of browsers (`%22`) stay.
fn parameter(mut text: &str, wanted: &str) -> Option<String> {
    loop {
        text = text.trim_start_matches([';', ' ', '\t']);
        if text.is_empty() {
            return None;
        }
        let end = text.find([';', '=']).unwrap_or(text.len());
        let name = text[..end].trim();
        let rest = &text[end..];
        let Some(rest) = rest.strip_prefix('=') else {
            text = rest;
            continue;
        };
        let rest = rest.trim_start();
        let (value, rest) = if let Some(quoted) = rest.strip_prefix('"') {
            let (mut value, mut escaped, mut end) = (String::new(), false, quoted.len());
            for (at, c) in quoted.char_indices() {
                match c {
                    '\\' if !escaped => escaped = true,
                    '"' if !escaped => {
                        end = at + 1;
                        break;
                    }
                    c => {
                        value.push(c);
                        escaped = false;
                    }
                }
            }
            (value, &quoted[end..])
        } else {
            let end = rest.find(';').unwrap_or(rest.len());
            (rest[..end].trim().to_owned(), &rest[end..])
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        text = rest;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=\"a b\"";

    /// Each part as `name[/file name][ (type)]: length[ = value]`.
    fn read(pieces: &[&[u8]]) -> Vec<String> {
        let mut reader = Multipart::of(TYPE).unwrap();
        let mut all = Vec::new();
        let mut take = |part: Part| {
            let file = part.file_name.map(|name| format!("/{name}")).unwrap_or_default();
            let kind = part.media_type.map(|kind| format!(" ({kind})")).unwrap_or_default();
            let len = part.len.map_or_else(|| "?".to_owned(), |len| len.to_string());
            let value = part.value.map(|v| format!(" = {}", String::from_utf8_lossy(&v))).unwrap_or_default();
            all.push(format!("{}{file}{kind}: {len}{value}", part.name));
        };
        for piece in pieces {
            match *piece {
                b"<gap>" => reader.gap(&mut take),
                piece => reader.push(Bytes::copy_from_slice(piece), &mut take),
            }
        }
        assert!(reader.held() <= VALUE_MAX + HEAD_MAX);
        all
    }

    const FORM: &str = "--a b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n\
        --a b \r\ncontent-type: audio/mpeg\r\ncontent-disposition: form-data; name=file; filename=\"a \\\"1\\\".mp3\"\r\n\r\n\
        \r\n--a\r\r\n--a \r\n-\r\n\
        --a b\r\nContent-Disposition: form-data; name=\"empty\"\r\n\r\n\r\n\
        --a b--\r\nrest --a b\r\n";

    const PARTS: [&str; 3] = ["model: 9 = whisper-1", "file/a \"1\".mp3 (audio/mpeg): 15", "empty: 0 = "];

    #[test]
    fn forms() {
        let long = format!(
            "--a b\r\nContent-Disposition: form-data; name=n\r\n\r\n{}\r\n--a b--",
            "x".repeat(70_000)
        );
        let table: &[(&str, &[&str])] = &[
            (FORM, &PARTS),
            (
                "preamble\r\n--a b\r\nContent-Disposition: form-data; name=n\r\n\r\nv\r\n--a b\r\n",
                &["n: 1 = v"],
            ),
            ("x--a b\r\nContent-Disposition: form-data; name=n\r\n\r\nv\r\n--a b--", &[]),
            ("--a bc\r\nContent-Disposition: form-data; name=n\r\n\r\nv\r\n--a b--", &[]),
            ("--a b\r\n\r\n\r\nv\r\n--a b--", &[": 3 = \r\nv"]),
            ("--a b\r\nContent-Disposition: form-data; name=n\r\n\r\nnot whole", &[]),
            (&long, &["n: 70000"]),
            ("", &[]),
        ];
        for (form, parts) in table {
            assert_eq!(read(&[form.as_bytes()]), *parts, "{form}");
        }
    }

    #[test]
    fn types() {
        let table = [
            (TYPE, true),
            ("Multipart/Form-Data; charset=utf-8; boundary=x", true),
            ("multipart/form-data", false),
            ("multipart/form-data; boundary=", false),
            ("multipart/form-data; boundary=\"\"", false),
            ("multipart/mixed; boundary=x", false),
            ("application/json; boundary=x", false),
        ];
        for (content_type, is) in table {
            assert_eq!(Multipart::of(content_type).is_some(), is, "{content_type}");
        }
        assert!(Multipart::of(&format!("multipart/form-data; boundary={}", "x".repeat(71))).is_none());
    }

    #[test]
    fn a_gap_takes_the_rest_of_its_part() {
        let form = FORM.as_bytes();
        let at = |what: &str| FORM.find(what).unwrap();
        let in_value = at("whisper") + 3;
        let after = &form[at("--a b \r\n") - 2..];
        assert_eq!(read(&[&form[..in_value], b"<gap>", after]), ["model: ?", PARTS[1], PARTS[2]]);
        let in_head = at("; name=file");
        assert_eq!(read(&[&form[..in_head], b"<gap>", &form[in_head + 4..]]), [PARTS[0], PARTS[2]]);
        assert_eq!(read(&[form, b"<gap>", form]), PARTS);
    }

    #[test]
    fn a_head_without_end_is_passed_over() {
        let head = format!("--a b\r\n{}", "x".repeat(HEAD_MAX + 1));
        let pieces: Vec<&[u8]> = head.as_bytes().chunks(1000).collect();
        assert_eq!(read(&pieces), Vec::<String>::new());
        assert_eq!(read(&[head.as_bytes(), b"\r\n", FORM.as_bytes()]), PARTS);
    }

    /// However they are cut: what was seen of a delimiter or a head when it became too long is no reason to take it.
    #[test]
    fn limits_are_those_of_what_is_there() {
        let form = |padding: usize, name: usize| {
            let (padding, name) = (" ".repeat(padding), "n".repeat(name));
            format!("--a b{padding}\r\nContent-Disposition: form-data; name={name}\r\n\r\nv\r\n--a b--")
        };
        let most = HEAD_MAX - "\r\nContent-Disposition: form-data; name=\r\n\r\n".len();
        let table = [(69, 1, true), (70, 1, false), (0, most, true), (0, most + 1, false)];
        for (padding, name, is) in table {
            let form = form(padding, name);
            let single: Vec<&[u8]> = form.as_bytes().chunks(1).collect();
            for pieces in [vec![form.as_bytes()], single] {
                assert_eq!(read(&pieces).len(), usize::from(is), "{padding}, {name}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_parts(cuts in prop::collection::vec(0..FORM.len(), 0..20)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let ends = cuts.iter().copied().chain([FORM.len()]);
            let pieces: Vec<&[u8]> =
                [0].into_iter().chain(cuts.iter().copied()).zip(ends).map(|(a, b)| &FORM.as_bytes()[a..b]).collect();
            prop_assert_eq!(read(&pieces), PARTS);
        }

        #[test]
        fn any_bytes_are_survived(
            pieces in prop::collection::vec(
                prop_oneof![
                    "[\r\n -b]{0,30}".prop_map(String::into_bytes),
                    Just(b"\r\n--a b".to_vec()),
                    Just(b"<gap>".to_vec()),
                    Just(b"Content-Disposition: form-data; name=\"".to_vec()),
                    prop::collection::vec(any::<u8>(), 0..30),
                ],
                0..30,
            )
        ) {
            read(&pieces.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
    }
}
