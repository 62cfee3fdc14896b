//! Just enough of BTF (Documentation/bpf/btf.rst) to find where members of the kernel's structures are.

/// How deep anonymous structures are followed; the kernel nests two or three.
const MAX_DEPTH: u32 = 8;

/// BTF data, with the place of each type.
pub(super) struct Types<'a> {
    data: &'a [u8],
    strings: usize,
    /// Where the type of id i + 1 begins.
    places: Vec<u32>,
}

impl<'a> Types<'a> {
    /// Reads the table of types; `None` if it is damaged.
    pub(super) fn parse(data: &'a [u8]) -> Option<Self> {
        let mut types = Self { data, strings: 0, places: Vec::new() };
        if types.word(0)? & 0xffff != 0xeb9f {
            return None;
        }
        let header = types.word(4)? as usize;
        let mut at = header.checked_add(types.word(8)? as usize)?;
        let end = at.checked_add(types.word(12)? as usize)?;
        types.strings = header.checked_add(types.word(16)? as usize)?;
        while at < end {
            types.places.push(u32::try_from(at).ok()?);
            let info = types.word(at + 4)?;
            let members = info as usize & 0xffff;
            at += 12
                + match info >> 24 & 0x1f {
                    1 | 14 | 17 => 4,                // int, var, decl_tag
                    3 => 12,                         // array
                    4 | 5 | 15 | 19 => 12 * members, // struct, union, datasec, enum64
                    6 | 13 => 8 * members,           // enum, func_proto
                    _ => 0,
                };
        }
        Some(types)
    }

    /// Byte offset of `member` in `structure`, members of anonymous structures in it included.
    pub(super) fn member_offset(&self, structure: &str, member: &str) -> Option<u32> {
        let place = self.places.iter().copied().find(|place| {
            let at = *place as usize;
            self.is_structure(at) && self.word(at).is_some_and(|name| self.is(name, structure))
        })?;
        self.find(place as usize, member, MAX_DEPTH)
    }

    fn find(&self, at: usize, member: &str, depth: u32) -> Option<u32> {
        let info = self.word(at + 4)?;
        let bitfields = info >> 31 == 1;
        (0..info as usize & 0xffff).find_map(|i| {
            let entry = at + 12 + 12 * i;
            let (name, kind, offset) = (self.word(entry)?, self.word(entry + 4)?, self.word(entry + 8)?);
            let offset = if bitfields { offset & 0x00ff_ffff } else { offset } / 8;
            if self.is(name, member) {
                return Some(offset);
            }
            if depth == 0 || !self.is(name, "") {
                return None;
            }
            let inner = *self.places.get((kind as usize).checked_sub(1)?)? as usize;
            if !self.is_structure(inner) {
                return None;
            }
            self.find(inner, member, depth - 1)?.checked_add(offset)
        })
    }

    /// A structure or a union.
    fn is_structure(&self, at: usize) -> bool {
        self.word(at + 4).is_some_and(|info| matches!(info >> 24 & 0x1f, 4 | 5))
    }

    fn is(&self, name: u32, text: &str) -> bool {
        let from = self.strings.saturating_add(name as usize);
        let Some(bytes) = self.data.get(from..from.saturating_add(text.len() + 1)) else { return false };
        &bytes[..text.len()] == text.as_bytes() && bytes[text.len()] == 0
    }

    fn word(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.data.get(at..at.checked_add(4)?)?.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member_offset(data: &[u8], structure: &str, member: &str) -> Option<u32> {
        Types::parse(data)?.member_offset(structure, member)
    }

    #[test]
    fn finds_members_and_survives_damage() {
        // struct s { int a; struct { int x; int tgid; }; }, an int type, and the anonymous one
        let mut data = vec![];
        let strings = b"\0int\0s\0a\0tgid\0x\0";
        let types: &[u32] = &[
            1,
            1 << 24,
            4,
            32, // int "int", 32 bits
            5,
            4 << 24 | 2,
            12, // struct "s"
            7,
            1,
            0, // a
            0,
            3,
            32, // anonymous
            0,
            4 << 24 | 2,
            8, // struct
            14,
            1,
            0, // x
            9,
            1,
            32, // tgid
        ];
        for word in [0x0001_eb9f, 24, 0, types.len() as u32 * 4, types.len() as u32 * 4, strings.len() as u32]
        {
            data.extend_from_slice(&u32::to_le_bytes(word));
        }
        for word in types {
            data.extend_from_slice(&word.to_le_bytes());
        }
        data.extend_from_slice(strings);
        assert_eq!(member_offset(&data, "s", "a"), Some(0));
        assert_eq!(member_offset(&data, "s", "tgid"), Some(8));
        assert_eq!(member_offset(&data, "s", "b"), None);
        assert_eq!(member_offset(&data, "t", "tgid"), None);
        for cut in 0..data.len() {
            let _ = member_offset(&data[..cut], "s", "tgid");
            let mut damaged = data.clone();
            damaged[cut] ^= 0xff;
            let _ = member_offset(&damaged, "s", "tgid");
        }
    }
}
