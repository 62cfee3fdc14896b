//! The settings of `run`, as `plainspan config` checks and shows them: file, environment and command line.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

use std::{
    path::Path,
    process::{Command, Output},
};

/// `plainspan config VERB --config FILE ...`, in an environment with this and nothing else.
fn config(verb: &str, file: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plainspan"))
        .args(["config", verb, "--config"])
        .arg(file)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yaml");
    std::fs::write(&path, text).unwrap();
    (directory, path)
}

/// The line on a setting, without the spaces that are only there to be read.
fn setting(output: &Output, name: &str) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.trim_start().starts_with(&format!("{name}:")));
    line.unwrap_or_else(|| panic!("{name}: {text}")).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn flags_before_environment_before_file_before_defaults() {
    type Row<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str, &'a str);
    let (_directory, path) =
        file("cache: /from/file\nlog: info\nring-size: 4096\nlimits:\n  text-bytes: 100\n");
    let environment =
        [("CACHE_DIRECTORY", "/from/environment"), ("PLAINSPAN_LOG", "debug"), ("PLAINSPAN_SAMPLE", "50/s")];
    let rows: [Row; 8] = [
        (&[], &[], "call-cap", "call-cap: 4194304 # default"),
        (&[], &[], "cache", "cache: /from/file # file"),
        (&[], &environment, "cache", "cache: /from/environment # environment: CACHE_DIRECTORY"),
        (&["--cache", "/given"], &environment, "cache", "cache: /given # command line"),
        (&[], &environment, "log", "log: debug # environment: PLAINSPAN_LOG"),
        (&[], &environment, "sample", "sample: 50/s # environment: PLAINSPAN_SAMPLE"),
        (&["--sample", "10%"], &environment, "sample", "sample: \"10%\" # command line"),
        (&[], &environment, "text-bytes", "text-bytes: 100 # file"),
    ];
    for (arguments, environment, name, expected) in rows {
        let output = config("show", &path, arguments, environment);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(setting(&output, name), expected, "{arguments:?} {environment:?}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let (_directory, path) = file("");
    let environment = [
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer canary-1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://me:canary-2@collector:4318/x?key=canary-3"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "me:canary-4@collector:4317"),
    ];
    let output = config("show", &path, &[], &environment);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("# OTEL_EXPORTER_OTLP_HEADERS=authorization=***\n"), "{text}");
    assert!(text.contains("# OTEL_EXPORTER_OTLP_ENDPOINT=https://collector:4318/x\n"), "{text}");
    assert!(text.contains("# OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=collector:4317\n"), "{text}");
    assert!(!text.contains("canary"), "{text}");
}

#[test]
fn a_check_tells_what_is_wrong_and_what_may_have_been_meant() {
    let rows = [
        ("content: none\n", Some(0), " makes sense\n"),
        ("contents: none\n", Some(2), ": there is no setting `contents`: did you mean `content`?\n"),
        (
            "limits: {text_bytes: 1}\n",
            Some(2),
            ": there is no setting `limits.text_bytes`: did you mean `limits.text-bytes`?\n",
        ),
    ];
    for (text, status, expected) in rows {
        let (_directory, path) = file(text);
        let output = config("check", &path, &[], &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), status, "{said}");
        assert!(said.ends_with(expected) && said.contains(&path.display().to_string()), "{said}");
    }
    let output = config("check", "/nowhere/config.yaml".as_ref(), &[], &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
