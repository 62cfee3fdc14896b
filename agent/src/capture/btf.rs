//! Just enough of BTF (Documentation/bpf/btf.rst) to find where a member of a kernel structure is.

/// Byte offset of `member` in `structure`, in BTF data; `None` if it has no such thing or is damaged.
pub(super) fn member_offset(data: &[u8], structure: &str, member: &str) -> Option<u32> {
    let word = |at: usize| Some(u32::from_le_bytes(data.get(at..at.checked_add(4)?)?.try_into().ok()?));
    if word(0)? & 0xffff != 0xeb9f {
        return None;
    }
    let header = word(4)? as usize;
    let mut at = header.checked_add(word(8)? as usize)?;
    let end = at.checked_add(word(12)? as usize)?;
    let strings = header.checked_add(word(16)? as usize)?;
    let is = |offset: u32, name: &str| {
        let from = strings.checked_add(offset as usize)?;
        let bytes = data.get(from..from.checked_add(name.len() + 1)?)?;
        Some(&bytes[..name.len()] == name.as_bytes() && bytes[name.len()] == 0)
    };
    while at < end {
        let (name, info) = (word(at)?, word(at + 4)?);
        let (members, kind, bitfields) = (info as usize & 0xffff, info >> 24 & 0x1f, info >> 31 == 1);
        let body = at + 12;
        if kind == 4 && is(name, structure)? {
            for i in 0..members {
                let entry = body + 12 * i;
                if is(word(entry)?, member)? {
                    let bits = word(entry + 8)?;
                    return Some(if bitfields { bits & 0x00ff_ffff } else { bits } / 8);
                }
            }
        }
        at = body
            + match kind {
                1 | 14 | 17 => 4,                // int, var, decl_tag
                3 => 12,                         // array
                4 | 5 | 15 | 19 => 12 * members, // struct, union, datasec, enum64
                6 | 13 => 8 * members,           // enum, func_proto
                _ => 0,
            };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_member_and_survives_damage() {
        // struct s { <4 bytes> a; <4 bytes> tgid; } after one int type
        let mut data = vec![];
        let strings = b"\0int\0s\0a\0tgid\0";
        let types: &[u32] = &[
            1,
            1 << 24,
            4,
            32, // int "int", 32 bits
            5,
            4 << 24 | 2,
            8, // struct "s"
            7,
            1,
            0, // a
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
        assert_eq!(member_offset(&data, "s", "tgid"), Some(4));
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
