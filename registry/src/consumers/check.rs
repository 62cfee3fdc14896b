//! Declarations against the contract, and against the files that they speak of.

use std::{collections::BTreeSet, fmt};

use super::{
    declaration::{Consumer, Declarations, FILE_FORMAT, Reading, Subject},
    found::Usage,
    names::Names,
};
use crate::Values;

/// What is wrong with a declaration. Speaks of the consumer by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The file of declarations is of another format.
    Format {
        /// The file of declarations.
        file: String,
        /// Its format.
        found: String,
    },
    /// The contract lacks what is declared.
    Lacking {
        /// Who declares it.
        consumer: String,
        /// What is declared.
        subject: Subject,
    },
    /// The contract's closed list lacks a value that is declared.
    LackingValue {
        /// Who declares it.
        consumer: String,
        /// The attribute.
        subject: Subject,
        /// The value.
        value: String,
    },
    /// The consumer's file reads what the declaration does not say.
    Undeclared {
        /// Who should declare it.
        consumer: String,
        /// The file that reads it.
        file: String,
        /// What it reads that is missing.
        reading: Reading,
    },
    /// The consumer's file can't be read.
    Unreadable {
        /// Whose file it is.
        consumer: String,
        /// Why not, with the file's name.
        reason: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format { file, found } => {
                write!(f, "{file}: file_format must be {FILE_FORMAT}, is {found}")
            }
            Self::Lacking { consumer, subject } => {
                write!(f, "{consumer} reads {subject}, which the contract lacks")
            }
            Self::LackingValue { consumer, subject, value } => {
                write!(f, "{consumer} looks for {value:?} in {subject}, which never has this value")
            }
            Self::Undeclared { consumer, file, reading } => {
                let same = if consumer == file { String::new() } else { format!(" ({file})") };
                write!(f, "{consumer}{same} {} {}", reading.verbs(), reading.subject)?;
                if !reading.values.is_empty() {
                    let values: Vec<_> = reading.values.iter().map(|v| format!("{v:?}")).collect();
                    write!(f, ", looking for {}", values.join(", "))?;
                }
                write!(f, ", which its declaration does not say")
            }
            Self::Unreadable { consumer, reason } => write!(f, "{consumer}: {reason}"),
        }
    }
}

/// All that is wrong with the declarations of a file. `read` gives the text of a consumer's file, or why there is none.
pub fn check(
    name: &str,
    declarations: &Declarations,
    names: &Names<'_>,
    read: impl Fn(&str) -> Result<String, String>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    if declarations.file_format != FILE_FORMAT {
        problems.push(Problem::Format { file: name.to_owned(), found: declarations.file_format.clone() });
    }
    for consumer in &declarations.consumers {
        for reading in &consumer.reads {
            check_reading(consumer, reading, names, &mut problems);
        }
        let Some(file) = &consumer.file else { continue };
        let scanned = read(file).and_then(|text| super::scan(file, &text).map_err(|e| e.to_string()));
        match scanned {
            Err(reason) => problems.push(Problem::Unreadable { consumer: consumer.name.clone(), reason }),
            Ok(found) => {
                for reading in names.resolve(&found) {
                    if let Some(reading) = undeclared(consumer, reading) {
                        let (consumer, file) = (consumer.name.clone(), file.clone());
                        problems.push(Problem::Undeclared { consumer, file, reading });
                    }
                }
            }
        }
    }
    problems
}

fn check_reading(consumer: &Consumer, reading: &Reading, names: &Names<'_>, problems: &mut Vec<Problem>) {
    let (consumer, subject) = (consumer.name.clone(), reading.subject.clone());
    if !names.has(&subject) {
        problems.push(Problem::Lacking { consumer, subject });
        return;
    }
    let (Subject::Attribute(key) | Subject::ResourceAttribute(key)) = &subject else { return };
    let Some(attribute) = names.registry().attribute(key) else { return };
    if attribute.values != Some(Values::Closed) {
        return;
    }
    for value in &reading.values {
        if !attribute.members.iter().any(|member| member.value == *value) {
            let (consumer, subject) = (consumer.clone(), subject.clone());
            problems.push(Problem::LackingValue { consumer, subject, value: value.clone() });
        }
    }
}

/// What of a reading the declaration does not say.
fn undeclared(consumer: &Consumer, reading: Reading) -> Option<Reading> {
    let same = consumer.reads.iter().filter(|declared| declared.subject == reading.subject);
    let (mut usages, mut values) = (reading.usages.clone(), reading.values.clone());
    let mut there = false;
    for declared in same {
        there = true;
        usages.retain(|usage| !declared.usages.contains(usage));
        values.retain(|value| !declared.values.contains(value));
        // What is declared as more than shown may be shown, too.
        usages.remove(&Usage::Reads);
    }
    if there && usages.is_empty() && values.is_empty() {
        return None;
    }
    if usages.is_empty() {
        usages = if there { BTreeSet::from([Usage::FiltersOn]) } else { reading.usages };
    }
    Some(Reading { subject: reading.subject, usages, values })
}

/// Who reads something, and how: each with the owner, in the order of the declarations.
pub fn readers<'a>(
    declarations: &'a [(String, Declarations)],
    subject: &'a Subject,
) -> impl Iterator<Item = (&'a str, &'a Consumer, &'a Reading)> {
    declarations.iter().flat_map(move |(_, declared)| {
        declared.consumers.iter().flat_map(move |consumer| {
            let readings = consumer.reads.iter().filter(move |reading| reading.subject == *subject);
            readings.map(move |reading| (declared.owner.as_str(), consumer, reading))
        })
    })
}
