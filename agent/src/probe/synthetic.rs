//! Programs that are made for tests: the smallest ELF files in which each locator finds what it looks for, for both
//! architectures. Also the seeds of fuzzing: `cargo xtask fuzz` includes this file as it is.

use std::collections::BTreeMap;

/// Where the parts are, both in the file and in memory. One page each, the tables two.
const CODE: u64 = 0x1000;
const CONSTANTS: u64 = 0x2000;
const DATA: u64 = 0x3000;
const TABLES: u64 = 0x4000;
const END: u64 = 0x6000;

/// Instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// x86_64
    X86_64,
    /// aarch64
    Aarch64,
}

/// A program in the making.
pub struct Program {
    machine: Machine,
    code: Vec<u8>,
    constants: Vec<u8>,
    data: Vec<u8>,
    /// Place and value of each pointer that is set when the program is loaded.
    relocations: Vec<(u64, u64)>,
    symbols: Vec<(String, u64)>,
    /// Functions, by the names that tests call them.
    functions: BTreeMap<String, u64>,
}

impl Program {
    /// An empty one.
    pub fn new(machine: Machine) -> Self {
        Self {
            machine,
            // No program begins with a function of a library.
            code: vec![0; 64],
            constants: vec![0],
            data: Vec::new(),
            relocations: Vec::new(),
            symbols: Vec::new(),
            functions: BTreeMap::new(),
        }
    }

    /// Where a function is, which is also its offset in the file.
    pub fn address(&self, name: &str) -> u64 {
        self.functions.get(name).copied().unwrap_or(0)
    }

    // ---- constants and data --------------------------------------------------------------------------

    /// A string, ended by a zero byte.
    pub fn text(&mut self, text: &str) -> u64 {
        let at = CONSTANTS + self.constants.len() as u64;
        self.constants.extend_from_slice(text.as_bytes());
        self.constants.push(0);
        at
    }

    /// Bytes among the constants.
    pub fn constant(&mut self, bytes: &[u8]) -> u64 {
        let at = CONSTANTS + self.constants.len() as u64;
        self.constants.extend_from_slice(bytes);
        at
    }

    /// A word of data.
    pub fn word(&mut self, word: u64) -> u64 {
        let at = DATA + self.data.len() as u64;
        self.data.extend_from_slice(&word.to_le_bytes());
        at
    }

    /// A word of data that is a pointer once the program is loaded.
    pub fn pointer(&mut self, to: u64) {
        let at = self.word(0);
        self.relocations.push((at, to));
    }

    /// A symbol of the dynamic symbol table.
    pub fn export(&mut self, name: &str, address: u64) {
        self.symbols.push((name.to_owned(), address));
    }

    // ---- code ----------------------------------------------------------------------------------------

    /// Begins a function, to which data points.
    pub fn function(&mut self, name: &str) -> u64 {
        while !self.code.len().is_multiple_of(16) {
            match self.machine {
                Machine::X86_64 => self.code.push(0xcc),
                Machine::Aarch64 => self.instruction(0xd503_201f), // nop
            }
        }
        let at = self.here();
        self.functions.insert(name.to_owned(), at);
        self.pointer(at);
        match self.machine {
            Machine::X86_64 => self.code.push(0x55),           // push %rbp
            Machine::Aarch64 => self.instruction(0xa9bf_7bfd), // stp x29, x30, [sp, #-16]!
        }
        at
    }

    /// A function that is exported and returns.
    pub fn exported(&mut self, name: &str) -> u64 {
        let at = self.function(name);
        self.ret();
        self.export(name, at);
        at
    }

    /// Returns.
    pub fn ret(&mut self) {
        match self.machine {
            Machine::X86_64 => self.code.extend_from_slice(&[0x5d, 0xc3]), // pop %rbp; ret
            Machine::Aarch64 => {
                self.instruction(0xa8c1_7bfd); // ldp x29, x30, [sp], #16
                self.instruction(0xd65f_03c0);
            }
        }
    }

    /// Jumps to another function.
    pub fn jump(&mut self, to: u64) {
        match self.machine {
            Machine::X86_64 => {
                self.code.push(0xe9);
                let displacement = to.wrapping_sub(self.here() + 4) as u32;
                self.code.extend_from_slice(&displacement.to_le_bytes());
            }
            Machine::Aarch64 => {
                let words = to.wrapping_sub(self.here()) as i64 / 4;
                self.instruction(0x1400_0000 | words as u32 & 0x03ff_ffff);
            }
        }
    }

    /// Puts the address of something into an argument register.
    pub fn refer(&mut self, argument: usize, to: u64) {
        match self.machine {
            Machine::X86_64 => {
                // lea displacement(%rip), register
                const OPCODES: [[u8; 3]; 4] =
                    [[0x48, 0x8d, 0x3d], [0x48, 0x8d, 0x35], [0x48, 0x8d, 0x15], [0x48, 0x8d, 0x0d]];
                self.code.extend_from_slice(&OPCODES[argument]);
                let displacement = to.wrapping_sub(self.here() + 4) as u32;
                self.code.extend_from_slice(&displacement.to_le_bytes());
            }
            Machine::Aarch64 => {
                let register = argument as u32;
                let pages = (to >> 12).wrapping_sub(self.here() >> 12) as u32;
                self.instruction(0x9000_0000 | (pages & 3) << 29 | (pages >> 2 & 0x7_ffff) << 5 | register);
                let within = (to & 0xfff) as u32;
                self.instruction(0x9100_0000 | within << 10 | register << 5 | register);
            }
        }
    }

    /// Reports an error as OpenSSL's children do: reason, file and line in the third to fifth argument.
    pub fn report(&mut self, reason: u32, file: u64, line: u32) {
        self.number(2, reason);
        self.refer(3, file);
        self.number(4, line);
        // Apart from the next report, as the call and what follows it are.
        match self.machine {
            Machine::X86_64 => self.code.extend_from_slice(&[0x90; 48]),
            Machine::Aarch64 => (0..16).for_each(|_| self.instruction(0xd503_201f)),
        }
    }

    /// Takes from a number in memory, as who consumes a buffer does.
    pub fn consume(&mut self) {
        match self.machine {
            Machine::X86_64 => self.code.extend_from_slice(&[0x48, 0x29, 0x47, 8]), // sub %rax, 8(%rdi)
            Machine::Aarch64 => {
                self.instruction(0xcb02_0021); // sub x1, x1, x2
                self.instruction(0xf900_0401); // str x1, [x0, #8]
            }
        }
    }

    fn number(&mut self, argument: usize, number: u32) {
        match self.machine {
            Machine::X86_64 => {
                // mov $number, %edx or %r8d
                self.code.extend_from_slice(if argument == 2 { &[0xba] } else { &[0x41, 0xb8] });
                self.code.extend_from_slice(&number.to_le_bytes());
            }
            Machine::Aarch64 => self.instruction(0x5280_0000 | number << 5 | argument as u32), // movz
        }
    }

    fn instruction(&mut self, word: u32) {
        self.code.extend_from_slice(&word.to_le_bytes());
    }

    fn here(&self) -> u64 {
        CODE + self.code.len() as u64
    }

    // ---- the file ------------------------------------------------------------------------------------

    /// The file: a shared library that is stripped of all but its dynamic symbols.
    pub fn build(&self) -> Vec<u8> {
        let mut names = vec![0];
        let mut symbols = vec![0; 24];
        for (name, address) in &self.symbols {
            symbols.extend_from_slice(&(names.len() as u32).to_le_bytes());
            symbols.extend_from_slice(&[0x12, 0, 1, 0]); // a global function of the first section
            words(&mut symbols, &[*address, 16]);
            names.extend_from_slice(name.as_bytes());
            names.push(0);
        }
        let relative = match self.machine {
            Machine::X86_64 => 8,
            Machine::Aarch64 => 1027,
        };
        let mut relocations = Vec::new();
        for (place, value) in &self.relocations {
            words(&mut relocations, &[*place, relative, *value]);
        }
        let mut tables = Vec::new();
        let symbols_at = append(&mut tables, &symbols);
        let names_at = append(&mut tables, &names);
        let relocations_at = append(&mut tables, &relocations);
        let mut dynamic = Vec::new();
        // DT_RELA, DT_RELASZ, DT_RELAENT, DT_NULL
        words(&mut dynamic, &[7, relocations_at, 8, relocations.len() as u64, 9, 24, 0, 0]);
        let dynamic_at = append(&mut tables, &dynamic);
        let section_names = b"\0.text\0.dynsym\0.dynstr\0.shstrtab\0";
        let section_names_at = append(&mut tables, section_names);
        let mut sections = vec![0; 64];
        let mut section = |name: u32, kind: u32, flags: u64, at: u64, size: usize, link: u32, entry: u64| {
            sections.extend_from_slice(&[name.to_le_bytes(), kind.to_le_bytes()].concat());
            words(&mut sections, &[flags, at, at, size as u64]);
            sections.extend_from_slice(&[link.to_le_bytes(), [0; 4]].concat());
            words(&mut sections, &[8, entry]);
        };
        section(1, 1, 6, CODE, self.code.len(), 0, 0);
        section(7, 11, 2, symbols_at, symbols.len(), 3, 24);
        section(15, 3, 2, names_at, names.len(), 0, 0);
        section(23, 3, 0, section_names_at, section_names.len(), 0, 0);
        let sections_at = append(&mut tables, &sections);

        let mut file = self.header(sections_at);
        let mut segment = |kind: u32, flags: u32, at: u64, size: u64| {
            file.extend_from_slice(&[kind.to_le_bytes(), flags.to_le_bytes()].concat());
            words(&mut file, &[at, at, at, size, size, 0x1000]);
        };
        segment(1, 4, 0, CODE);
        segment(1, 5, CODE, CONSTANTS - CODE);
        segment(1, 4, CONSTANTS, DATA - CONSTANTS);
        segment(1, 6, DATA, TABLES - DATA);
        segment(1, 4, TABLES, END - TABLES);
        segment(2, 6, dynamic_at, dynamic.len() as u64);
        for (part, at, end) in [
            (&self.code, CODE, CONSTANTS),
            (&self.constants, CONSTANTS, DATA),
            (&self.data, DATA, TABLES),
            (&tables, TABLES, END),
        ] {
            assert!(part.len() as u64 <= end - at, "a part of the program is too large for its place");
            file.resize(at as usize, 0);
            file.extend_from_slice(part);
        }
        file.resize(END as usize, 0);
        file
    }

    fn header(&self, sections_at: u64) -> Vec<u8> {
        let machine: u16 = match self.machine {
            Machine::X86_64 => 62,
            Machine::Aarch64 => 183,
        };
        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        file.extend_from_slice(&[3u16.to_le_bytes(), machine.to_le_bytes()].concat());
        file.extend_from_slice(&1u32.to_le_bytes());
        words(&mut file, &[0, 64, sections_at]);
        // flags; sizes and numbers of the header, of segments and of sections
        file.extend_from_slice(&[0, 0, 0, 0, 64, 0, 56, 0, 6, 0, 64, 0, 5, 0, 4, 0]);
        file
    }
}

fn words(to: &mut Vec<u8>, words: &[u64]) {
    to.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}

/// Puts a table behind the others, and says where it is in the file.
fn append(tables: &mut Vec<u8>, table: &[u8]) -> u64 {
    tables.resize(tables.len().next_multiple_of(8), 0);
    let at = TABLES + tables.len() as u64;
    tables.extend_from_slice(table);
    at
}

// ---- programs with a TLS implementation each -----------------------------------------------------------

/// A program for each locator, under its name.
pub fn programs(machine: Machine) -> Vec<(&'static str, Program)> {
    vec![
        (
            "openssl",
            exporting(machine, &["SSL_write", "SSL_read", "SSL_write_ex", "SSL_read_ex", "SSL_free"]),
        ),
        ("openssl-static", openssl_static(machine)),
        ("boringssl", boringssl(machine)),
        ("aws-lc", aws_lc(machine)),
        ("ring", ring(machine)),
        ("gnutls", exporting(machine, &["gnutls_record_send", "gnutls_record_recv", "gnutls_deinit"])),
        ("nss", nss(machine)),
        ("s2n", exporting(machine, &["s2n_send", "s2n_recv", "s2n_connection_free"])),
        ("go", go(machine)),
        ("java", exporting(machine, &["JNI_CreateJavaVM", "JVM_DefineClass"])),
    ]
}

fn exporting(machine: Machine, names: &[&str]) -> Program {
    let mut program = Program::new(machine);
    for name in names {
        program.exported(name);
    }
    program
}

/// Functions that refer to their own names.
fn openssl_static(machine: Machine) -> Program {
    let mut program = Program::new(machine);
    program.text("OpenSSL 3.0.22 1 Jan 2026");
    for name in ["ssl_write_internal", "ssl_read_internal", "SSL_new"] {
        let text = program.text(name);
        program.function(name);
        program.refer(1, text);
        program.ret();
    }
    program
}

fn boringssl(machine: Machine) -> Program {
    let mut program = Program::new(machine);
    let file = program.text("../boringssl/ssl/ssl_lib.cc");
    let functions: [(&str, &[(u32, u32)]); 6] = [
        ("SSL_new", &[(185, 500)]),
        ("ssl_read_impl", &[(226, 900), (215, 910)]),
        ("SSL_read", &[(66, 950)]),
        ("SSL_peek", &[(66, 990)]),
        ("SSL_write", &[(226, 1010), (215, 1020), (111, 1030)]),
        ("SSL_shutdown", &[(226, 1100), (291, 1150)]),
    ];
    for (name, reports) in functions {
        program.function(name);
        for (reason, line) in reports {
            program.report(*reason, file, *line);
        }
        if name == "SSL_read" {
            program.consume();
        }
        program.ret();
    }
    program
}

fn aws_lc(machine: Machine) -> Program {
    let mut program = Program::new(machine);
    let file = program.text("/aws-lc/crypto/fipsmodule/cipher/aead.c");
    let functions: [(&str, &[u32]); 4] = [
        ("EVP_AEAD_CTX_seal", &[115, 103]),
        ("EVP_AEAD_CTX_seal_scatter", &[115, 112]),
        ("EVP_AEAD_CTX_open", &[115, 101]),
        ("EVP_AEAD_CTX_open_gather", &[115, 104]),
    ];
    for (name, reasons) in functions {
        program.function(name);
        for (n, reason) in reasons.iter().enumerate() {
            program.report(*reason, file, 100 + n as u32);
        }
        program.ret();
    }
    program
}

fn ring(machine: Machine) -> Program {
    let mut program = Program::new(machine);
    let mut function = |name| {
        let at = program.function(name);
        program.ret();
        at
    };
    let [small, large, seal, open] =
        ["aes_gcm_init_128", "aes_gcm_init_256", "aes_gcm_seal", "aes_gcm_open"].map(&mut function);
    let chacha =
        ["chacha20_poly1305_init", "chacha20_poly1305_seal", "chacha20_poly1305_open"].map(&mut function);
    for (functions, key, number) in
        [([small, seal, open], 16, 0), ([large, seal, open], 32, 1), (chacha, 32, 2)]
    {
        for function in functions {
            program.pointer(function);
        }
        program.word(key);
        program.word(number);
    }
    program
}

fn nss(machine: Machine) -> Program {
    const NAMES: [&str; 12] = [
        "Connect",
        "",
        "Bind",
        "Listen",
        "Shutdown",
        "Close",
        "Recv",
        "Send",
        "Read",
        "Write",
        "Getpeername",
        "Getsockname",
    ];
    let mut program = exporting(machine, &["SSL_ImportFD"]);
    let mut tables = [[0; 12]; 2];
    for (table, kind) in ["ssl_Def", "ssl_Secure"].into_iter().enumerate() {
        for (slot, name) in NAMES.into_iter().enumerate().filter(|(slot, _)| *slot != 1) {
            let shared = matches!(slot, 2 | 3 | 10 | 11);
            if shared && table == 1 {
                tables[1][slot] = tables[0][slot];
                continue;
            }
            tables[table][slot] = program.function(&format!("{kind}{name}"));
            match (table, slot) {
                (1, 8 | 9) => program.jump(tables[1][slot - 2]),
                _ => program.ret(),
            }
        }
    }
    // Behind the pointers that each function has, so that neither table goes on in front of the other.
    program.word(0);
    for slot in [tables[1], tables[0]].into_iter().flatten() {
        if slot == 0 {
            program.word(0);
        } else {
            program.pointer(slot);
        }
    }
    program
}

/// The table of functions of Go 1.20 and later, with a `textStart` of zero as the linker leaves it since 1.27.
fn go(machine: Machine) -> Program {
    let mut program = Program::new(machine);
    let names = ["crypto/tls.(*Conn).Close", "crypto/tls.(*Conn).Read", "crypto/tls.(*Conn).Write"];
    let mut functions: Vec<u32> = Vec::new();
    for name in names {
        let at = program.function(name);
        program.ret();
        functions.push((at - CODE) as u32);
    }
    functions.push((program.here() - CODE) as u32);
    let mut texts = vec![0];
    let mut more = Vec::new();
    let mut entries = Vec::new();
    let size = 8 * names.len() + 4;
    for (name, start) in names.iter().zip(&functions) {
        entries
            .extend_from_slice(&[start.to_le_bytes(), ((size + more.len()) as u32).to_le_bytes()].concat());
        more.extend_from_slice(&[start.to_le_bytes(), (texts.len() as u32).to_le_bytes()].concat());
        texts.extend_from_slice(name.as_bytes());
        texts.push(0);
    }
    entries.extend_from_slice(&functions[names.len()].to_le_bytes());
    let minimum = match machine {
        Machine::X86_64 => 1,
        Machine::Aarch64 => 4,
    };
    let mut table = vec![0xf1, 0xff, 0xff, 0xff, 0, 0, minimum, 8];
    words(&mut table, &[names.len() as u64, 0, 0, 72, 0, 0, 0, 72 + texts.len() as u64]);
    table.extend_from_slice(&[texts, entries, more].concat());
    program.constant(&table);
    program
}
