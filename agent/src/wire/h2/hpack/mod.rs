//! Header compression (RFC 7541), for a reader that may have missed some of it.
//!
//! Fields are put into the dynamic table in the order in which they are sent, and are counted from the newest. So what
//! was seen since the last loss has a known place, and all that is older is unknown: fields that refer to it are
//! unknown too, and whatever is sent as a literal from then on is known again. When entries leave the table
//! need not be known exactly: no peer refers to one that has left.

mod strings;
mod table;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use self::{strings::Input, table::Table};

/// A field of a header block. What the table does not hold any more, or never held, is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Field {
    pub name: Option<Bytes>,
    pub value: Option<Bytes>,
}

/// The fields of a block.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub list: Vec<Field>,
    /// Some of them are left out, since they were too many or too long.
    pub cut: bool,
}

/// The block is not one of the standard's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Most that is kept of one block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    /// Fields.
    pub fields: usize,
    /// Bytes of names and values, decoded.
    pub bytes: usize,
}

/// Decodes the blocks of one direction.
#[derive(Default)]
pub(super) struct Decoder {
    table: Table,
}

impl Decoder {
    /// A block was missed: nothing is known of the table any more.
    pub fn forget(&mut self) {
        self.table.forget();
    }

    /// About how many bytes the table holds.
    pub fn held(&self) -> usize {
        self.table.held()
    }

    /// Decodes a whole block. After an error the table is unknown.
    pub fn decode(&mut self, block: &[u8], most: Most) -> Result<Fields, Malformed> {
        let result = self.fields(block, most);
        if result.is_err() {
            self.forget();
        }
        result
    }

    fn fields(&mut self, block: &[u8], most: Most) -> Result<Fields, Malformed> {
        let mut input = Input::new(block);
        let mut fields = Fields::default();
        let mut left = most.bytes;
        while let Some(first) = input.peek() {
            let field = match first {
                // RFC 7541, section 6.1: indexed.
                0x80.. => self.table.field(input.integer(7)?)?,
                // Section 6.2.1: literal with incremental indexing.
                0x40..0x80 => {
                    let field = self.literal(&mut input, 6)?;
                    self.table.insert(field.clone());
                    field
                }
                // Section 6.3: the size of the table changes.
                0x20..0x40 => {
                    let size = input.integer(5)?;
                    self.table.resize(size);
                    continue;
                }
                // Sections 6.2.2 and 6.2.3: literal without indexing, literal never indexed.
                0..0x20 => self.literal(&mut input, 4)?,
            };
            let len: usize = [&field.name, &field.value].into_iter().flatten().map(Bytes::len).sum();
            if fields.list.len() < most.fields && len <= left {
                left -= len;
                fields.list.push(field);
            } else {
                fields.cut = true;
            }
        }
        Ok(fields)
    }

    fn literal(&self, input: &mut Input<'_>, prefix: u8) -> Result<Field, Malformed> {
        let name = match input.integer(prefix)? {
            0 => Some(input.string()?),
            index => self.table.field(index)?.name,
        };
        Ok(Field { name, value: Some(input.string()?) })
    }
}
