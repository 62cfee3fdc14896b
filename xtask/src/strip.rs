//! Takes the DWARF out of a kernel object. What is kept is code, maps, symbols and BTF, a fifth of its size.

use anyhow::{Context, Result};
use object::{
    build::{
        ByteString,
        elf::{Builder, SectionData},
    },
    elf,
};

/// The object without its debug sections and the relocations that belong to them.
pub fn without_dwarf(object: &[u8]) -> Result<Vec<u8>> {
    let mut builder = Builder::read64(object).context("not an ELF object")?;
    for section in &mut builder.sections {
        section.delete = is_debug(section.name.as_slice());
    }
    builder.delete_orphans();
    // LLVM keeps the names of sections and of symbols in one table; what is written here has one for each.
    if !builder.sections.iter().any(|section| matches!(section.data, SectionData::SectionString)) {
        add_section_names(&mut builder);
    }
    let mut stripped = Vec::new();
    builder.write(&mut stripped).context("cannot write the stripped object")?;
    Ok(stripped)
}

fn add_section_names(builder: &mut Builder<'_>) {
    let section = builder.sections.add();
    section.name = ByteString::from(".shstrtab");
    section.sh_type = elf::SHT_STRTAB;
    section.sh_addralign = 1;
    section.data = SectionData::SectionString;
}

fn is_debug(section: &[u8]) -> bool {
    [&b".debug_"[..], b".rel.debug_", b".rela.debug_"].iter().any(|prefix| section.starts_with(prefix))
}

/// Whether the object has the type information that loading and relocation need.
pub fn has_btf(object: &[u8]) -> Result<bool> {
    let builder = Builder::read64(object).context("not an ELF object")?;
    Ok(builder.sections.iter().any(|section| {
        section.name.as_slice() == b".BTF"
            && !matches!(&section.data, SectionData::Data(data) if data.is_empty())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::build::Bytes;

    fn object_with(sections: &[&'static str]) -> Vec<u8> {
        let mut builder = Builder::new(object::Endianness::Little, true);
        builder.header.e_machine = elf::EM_BPF;
        builder.header.e_type = elf::ET_REL;
        for name in sections {
            let section = builder.sections.add();
            section.name = ByteString::from(*name);
            section.sh_type = elf::SHT_PROGBITS;
            section.data = SectionData::Data(Bytes::from(&b"contents"[..]));
        }
        add_section_names(&mut builder);
        builder.set_section_sizes();
        let mut bytes = Vec::new();
        builder.write(&mut bytes).unwrap();
        bytes
    }

    fn names(object: &[u8]) -> Vec<String> {
        let builder = Builder::read64(object).unwrap();
        builder.sections.iter().map(|section| String::from_utf8_lossy(&section.name).into_owned()).collect()
    }

    #[test]
    fn debug_sections_go_and_the_others_stay() {
        let object =
            object_with(&["uprobe/a", ".debug_info", "maps", ".BTF", ".BTF.ext", ".debug_str", "license"]);
        let stripped = without_dwarf(&object).unwrap();
        assert_eq!(names(&stripped), ["uprobe/a", "maps", ".BTF", ".BTF.ext", "license", ".shstrtab"]);
        assert!(has_btf(&stripped).unwrap());
        assert!(!has_btf(&object_with(&["maps"])).unwrap());
    }

    #[test]
    fn what_is_not_an_object_is_an_error() {
        for bytes in [&b""[..], b"\x7fELF", b"#!/bin/sh\n"] {
            assert!(without_dwarf(bytes).is_err());
        }
    }
}
