//! Where in the files an element stands, so that a reviewer sees the finding on its line.

use std::collections::BTreeMap;

use crate::{
    diff::{Element, ElementKind},
    read::File,
};

/// The lines of a contract's elements.
#[derive(Clone, Debug, Default)]
pub struct Places {
    manifest: String,
    lines: BTreeMap<(ElementKind, String), (String, usize)>,
}

impl Places {
    /// Looks through the files of a contract.
    pub fn of(files: &[File]) -> Self {
        let mut places = Self::default();
        for file in files {
            if file.name.ends_with("manifest.yaml") {
                places.manifest.clone_from(&file.name);
                continue;
            }
            let mut section = None;
            for (number, line) in file.text.lines().enumerate() {
                if line.starts_with(|c: char| c.is_ascii_lowercase()) {
                    section = match line.trim_end().trim_end_matches(':') {
                        "attributes" => Some((ElementKind::Attribute, "key:")),
                        "spans" => Some((ElementKind::Span, "type:")),
                        "metrics" => Some((ElementKind::Metric, "name:")),
                        "events" => Some((ElementKind::Event, "name:")),
                        "entities" => Some((ElementKind::Entity, "type:")),
                        _ => None,
                    };
                    continue;
                }
                let Some((kind, word)) = section else { continue };
                let named = line.trim_start().strip_prefix("- ").map(|item| item.trim_start_matches('{'));
                if let Some(name) = named.and_then(|item| item.strip_prefix(word)) {
                    let end = name.find([',', '}', '#']).unwrap_or(name.len());
                    let name = name[..end].trim().trim_matches(['"', '\'']);
                    let place = (file.name.clone(), number + 1);
                    places.lines.entry((kind, name.to_owned())).or_insert(place);
                }
            }
        }
        places
    }

    /// File and line of an element; the manifest's first line for what is not there.
    pub fn find(&self, element: &Element) -> (&str, usize) {
        let on_signal = self.lines.get(&(element.kind, element.name.clone()));
        on_signal.map_or((self.manifest.as_str(), 1), |(file, line)| (file, *line))
    }
}
