use super::*;

struct Place(tempfile::TempDir);

impl Place {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("c.yaml"), text).unwrap();
        Self(dir)
    }

    fn file(&self) -> String {
        self.0.path().join("c.yaml").display().to_string()
    }

    fn parse(&self, arguments: &[&str]) -> Result<run::Args, String> {
        let file = self.file();
        let line = ["plainspan", "run", "--config", &file].into_iter().chain(arguments.iter().copied());
        match parse(line.map(OsString::from).collect()) {
            Ok(Cli { verb: Verb::Run(args), .. }) => Ok(*args),
            Ok(other) => panic!("{other:?}"),
            Err(Refused::CommandLine(error)) => Err(message(&error)),
            Err(Refused::File(error)) => Err(error.to_string().replace(&file, "c.yaml")),
        }
    }
}

fn setting(args: &run::Args, name: &str) -> String {
    let found = args.settings.all.iter().find(|setting| setting.name == name).unwrap();
    format!("{} # {}", found.value, found.source)
}

#[test]
fn the_command_line_counts_before_the_file_and_that_before_the_defaults() {
    let place = Place::new(
        "ring-size: 4096\noutput: [console, 'file:x.jsonl']\nverbose: true\nlog: debug\nlimits: {text-bytes: 5}\n",
    );
    let args = place.parse(&["--ring-size", "8192"]).unwrap();
    for (name, expected) in [
        ("ring-size", "8192 # command line"),
        ("output", "[console, \"file:x.jsonl\"] # file"),
        ("verbose", "true # file"),
        ("log", "debug # file"),
        ("api-rule", "[] # default"),
        ("call-cap", "4194304 # default"),
        ("cgroup", "null # default"),
        ("limits.text-bytes", "5 # file"),
        ("limits.call-choices", "128 # default"),
    ] {
        assert_eq!(setting(&args, name), expected, "{name}");
    }
    assert_eq!((args.output.output.len(), args.output.verbose), (2, true));
    assert_eq!(args.settings.limits().rooms.genai.content, 5);
    // One on the command line stands for all of the file's.
    let args = place.parse(&["-o", "otlp"]).unwrap();
    assert_eq!(setting(&args, "output"), "[otlp] # command line");
}

#[test]
fn whom_the_command_line_names_are_watched_alone() {
    let place = Place::new("exe: ['python3*']\n");
    assert_eq!(setting(&place.parse(&[]).unwrap(), "exe"), "[\"python3*\"] # file");
    for arguments in [&["--cgroup", "/x"][..], &["--pid", "1"], &["--", "true"]] {
        assert_eq!(setting(&place.parse(arguments).unwrap(), "exe"), "[] # default", "{arguments:?}");
    }
}

#[test]
fn a_file_that_makes_no_sense_is_refused() {
    for (text, expected) in [
        ("content: loud", "c.yaml: `content`: invalid value 'loud' for '--content"),
        ("ring-size: -1", "c.yaml: `ring-size`: invalid value '-1'"),
        ("ring-size: [1, 2]", "c.yaml: `ring-size`: takes one value"),
        ("verbose: perhaps", "c.yaml: `verbose`: is either true or false"),
        ("api-rule: ['/x']", "c.yaml: `api-rule`: invalid value '/x'"),
        ("exe: [a]\ncgroup: /b", "c.yaml: "),
        ("pid: [1]", "c.yaml: there is no setting `pid`"),
        ("config: x", "c.yaml: there is no setting `config`"),
    ] {
        let error = Place::new(text).parse(&[]).unwrap_err();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
    assert!(Place::new("verbose: false\nexe: []\ncgroup:\n").parse(&[]).is_ok());
}

#[test]
fn what_is_shown_brings_about_the_same() {
    let place = Place::new("ring-size: 4096\napi-rule: ['/x=openai.responses']\nlimits: {call-items: 9}\n");
    let args = place.parse(&["--kernel-log"]).unwrap();
    let shown = args.settings.shown();
    let again = Place::new(&shown).parse(&[]).unwrap();
    let values = |args: &run::Args| {
        args.settings
            .all
            .iter()
            .map(|setting| (setting.name.clone(), setting.value.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(values(&args), values(&again), "{shown}");
}

#[test]
fn it_is_told_what_has_changed() {
    let place = Place::new("ring-size: 4096\n");
    let args = place.parse(&["--call-cap", "7"]).unwrap();
    assert!(args.settings.again().unwrap().1.is_empty());
    std::fs::write(place.file(), "ring-size: 8192\ncall-cap: 9\nlimits: {call-items: 9}\n").unwrap();
    // The command line still says what it said.
    assert_eq!(args.settings.again().unwrap().1, ["ring-size", "limits.call-items"]);
    std::fs::write(place.file(), "ring-sizes: 1\n").unwrap();
    assert!(args.settings.again().unwrap_err().contains("did you mean `ring-size`?"));
}
