//! SEND: spans to people, files and collectors. One file per exporter.
