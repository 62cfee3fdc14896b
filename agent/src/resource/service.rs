//! What to call a process when it is looked at as a service.

use super::{environment, procfs::cut};

/// Longest service name that is kept, in bytes.
const NAME_LIMIT: usize = 255;

/// What a process was told to call itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// `service.name`.
    pub(super) name: Option<String>,
    /// `service.namespace`.
    pub(super) namespace: Option<String>,
}

/// `OTEL_SERVICE_NAME`, else `service.name` in `OTEL_RESOURCE_ATTRIBUTES`, and `service.namespace` there (OpenTelemetry
/// specification, "SDK environment variables").
pub(super) fn from_environment(environ: &[u8]) -> Told {
    let attribute = |wanted: &str| {
        environment::attributes(environ).into_iter().find_map(|(key, value)| (key == wanted).then_some(value))
    };
    let name = environment::variable(environ, "OTEL_SERVICE_NAME").filter(|name| !name.trim().is_empty());
    let short = |text: String| Some(cut(text.trim(), NAME_LIMIT)).filter(|text| !text.is_empty());
    Told {
        name: name.or_else(|| attribute("service.name")).and_then(short),
        namespace: attribute("service.namespace").and_then(short),
    }
}

/// What the command line suggests.
///
/// | command | name |
/// |---|---|
/// | `python app.py`, `python -u -X dev /srv/app.py` | `app` |
/// | `python -m pkg` | `pkg` |
/// | `python /srv/shop/__main__.py` | `shop` |
/// | `python /venv/bin/uvicorn app:main` | `uvicorn` |
/// | `node server.js`, `bun run server.ts`, `deno run -A server.ts` | `server` |
/// | `node /srv/shop/index.js` | `shop` |
/// | `ruby job.rb`, `java -jar shop.jar` | `job`, `shop` |
/// | a program run by one of these that has renamed itself (`claude`) | its own name |
/// | anything else | the executable's name |
pub(super) fn from_command(executable: Option<&str>, args: &[String]) -> Option<String> {
    let first = args.first().map(|arg| base(arg)).filter(|name| !name.is_empty());
    let executable = executable.or(first)?;
    let name = interpreter(executable)
        .and_then(|interpreter| {
            script(interpreter, args.get(1..).unwrap_or_default()).or_else(|| renamed(interpreter, args))
        })
        .unwrap_or_else(|| executable.to_owned());
    Some(cut(&name, NAME_LIMIT)).filter(|name| !name.is_empty())
}

/// How an interpreter's command line says what it runs.
struct Interpreter {
    /// Names of the executable start so, followed by nothing but a version.
    names: &'static [&'static str],
    /// Options whose value is the next argument.
    with_value: &'static [&'static str],
    /// Options after which what runs is a module or archive of this name.
    module: &'static [&'static str],
    /// Options after which what runs has no name (program text).
    text: &'static [&'static str],
    /// Words before the script.
    verbs: &'static [&'static str],
    /// A bare argument is a script (it is a class for java).
    scripts: bool,
}

const INTERPRETERS: &[Interpreter] = &[
    Interpreter {
        names: &["python", "pypy"],
        with_value: &["-W", "-X", "--check-hash-based-pycs"],
        module: &["-m"],
        text: &["-c", "-"],
        verbs: &[],
        scripts: true,
    },
    Interpreter {
        names: &["node", "nodejs", "bun", "deno", "tsx"],
        with_value: &[
            "-r",
            "--require",
            "--import",
            "--loader",
            "--experimental-loader",
            "--preload",
            "-C",
            "--conditions",
            "--env-file",
            "--config",
            "-c",
            "--import-map",
        ],
        module: &[],
        text: &["-e", "--eval", "-p", "--print", "-"],
        verbs: &["run"],
        scripts: true,
    },
    Interpreter {
        names: &["ruby", "perl", "php"],
        with_value: &["-r", "-I", "-C", "-d"],
        module: &[],
        text: &["-e", "-E", "-"],
        verbs: &[],
        scripts: true,
    },
    Interpreter {
        names: &["java"],
        with_value: &["-cp", "-classpath", "--class-path", "-p", "--module-path", "--add-modules"],
        module: &["-jar"],
        text: &[],
        verbs: &[],
        scripts: false,
    },
];

fn interpreter(executable: &str) -> Option<&'static Interpreter> {
    INTERPRETERS.iter().find(|interpreter| {
        interpreter.names.iter().any(|name| {
            executable
                .strip_prefix(name)
                .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-')))
        })
    })
}

/// The script, module or archive that an interpreter was told to run.
fn script(interpreter: &Interpreter, args: &[String]) -> Option<String> {
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        if interpreter.text.contains(&arg) {
            return None;
        } else if interpreter.module.contains(&arg) {
            return args.next().map(|module| stem(base(module)).to_owned()).filter(|name| !name.is_empty());
        } else if interpreter.with_value.contains(&arg) {
            args.next();
        } else if !arg.starts_with('-') && !interpreter.verbs.contains(&arg) {
            return (interpreter.scripts).then(|| script_name(arg)).filter(|name| !name.is_empty());
        }
    }
    None
}

/// The name of a script without its extension; of one with a meaningless name, its directory's.
fn script_name(path: &str) -> String {
    let name = stem(base(path));
    if matches!(name, "__main__" | "index") {
        let directory = path.rsplit('/').nth(1).filter(|dir| !matches!(*dir, "" | "." | ".."));
        if let Some(directory) = directory {
            return directory.to_owned();
        }
    }
    name.to_owned()
}

/// A program may overwrite its arguments with a title; then there is no script behind the first.
fn renamed(interpreter: &Interpreter, args: &[String]) -> Option<String> {
    let [title] = args else { return None };
    let name = base(title.split_whitespace().next()?.trim_end_matches(':'));
    let own = interpreter.names.iter().any(|own| name.starts_with(own));
    (!own && !name.is_empty() && !name.starts_with('-')).then(|| name.to_owned())
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn stem(name: &str) -> &str {
    const EXTENSIONS: &[&str] =
        &["py", "pyc", "pyz", "js", "mjs", "cjs", "ts", "mts", "cts", "tsx", "jsx", "rb", "pl", "php", "jar"];
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && EXTENSIONS.contains(&extension) => stem,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_from_commands() {
        let cases = [
            ("python3.12", "python app.py", "app"),
            ("python3", "python3 -u -X dev -W ignore /srv/app.py --port 8", "app"),
            ("python3", "python3 -m pkg --flag", "pkg"),
            ("python3", "python3 -m pkg.sub", "pkg.sub"),
            ("python3", "python3 /srv/shop/__main__.py", "shop"),
            ("python3", "python3 __main__.py", "__main__"),
            ("python3", "/venv/bin/python /venv/bin/uvicorn app:main", "uvicorn"),
            ("python3", "python3 -c import", "python3"),
            ("python3", "python3", "python3"),
            ("python3-config", "python3-config x.py", "python3-config"),
            ("pypy3", "pypy3 job.py", "job"),
            ("node", "node server.js", "server"),
            ("node", "node --require ./trace.js --max-old-space-size=512 dist/server.mjs", "server"),
            ("node", "node /srv/shop/index.js", "shop"),
            ("node", "node -e 1", "node"),
            ("node", "claude", "claude"),
            ("node", "node", "node"),
            ("bun", "bun run server.ts", "server"),
            ("deno", "deno run -A server.ts", "server"),
            ("ruby", "ruby job.rb", "job"),
            ("java", "java -Xmx1g -jar /opt/shop-1.2.jar", "shop-1.2"),
            ("java", "java -cp /opt com.example.Main", "java"),
            ("curl", "curl https://example.com", "curl"),
            ("bash", "bash run.sh", "bash"),
            ("my.py", "./my.py", "my.py"),
        ];
        for (executable, command, expected) in cases {
            let args: Vec<String> = command.split(' ').map(str::to_owned).collect();
            assert_eq!(from_command(Some(executable), &args).as_deref(), Some(expected), "{command}");
        }
        assert_eq!(from_command(None, &["/bin/x".into()]).as_deref(), Some("x"));
        assert_eq!(from_command(None, &[]), None);
    }

    #[test]
    fn names_from_the_environment() {
        let cases: [(&[u8], Option<&str>); 8] = [
            (b"A=1\0OTEL_SERVICE_NAME=checkout\0B=2\0", Some("checkout")),
            (b"OTEL_SERVICE_NAME=a\0OTEL_RESOURCE_ATTRIBUTES=service.name=b", Some("a")),
            (
                b"OTEL_SERVICE_NAME=\0OTEL_RESOURCE_ATTRIBUTES=x=1, service.name = my%20shop ,y=2",
                Some("my shop"),
            ),
            (b"OTEL_RESOURCE_ATTRIBUTES=service.name=50%", Some("50%")),
            (b"OTEL_RESOURCE_ATTRIBUTES=service.name=", None),
            (b"MY_OTEL_SERVICE_NAME=x\0", None),
            (b"OTEL_SERVICE_NAMES=x\0", None),
            (b"", None),
        ];
        for (environ, expected) in cases {
            assert_eq!(
                from_environment(environ).name.as_deref(),
                expected,
                "{}",
                String::from_utf8_lossy(environ)
            );
        }
    }

    #[test]
    fn a_namespace_from_the_environment() {
        let told = from_environment(b"OTEL_RESOURCE_ATTRIBUTES=service.namespace=shop%2Feu,service.name=web");
        assert_eq!(told, Told { name: Some("web".into()), namespace: Some("shop/eu".into()) });
        assert_eq!(
            from_environment(b"OTEL_SERVICE_NAME=a"),
            Told { name: Some("a".into()), namespace: None }
        );
    }

    proptest! {
        #[test]
        fn whatever_a_process_says_is_a_short_name_or_none(
            environ in "(OTEL_SERVICE_NAME=|OTEL_RESOURCE_ATTRIBUTES=service.name=)?\\PC{0,400}(%[0-9a-f]?)?",
            executable in "(python3|node|java|x)",
            args in proptest::collection::vec("(-m|-r|run|--|/|\\PC{0,300})", 0..6),
        ) {
            for name in [from_environment(environ.as_bytes()).name, from_command(Some(&executable), &args)] {
                prop_assert!(name.is_none_or(|name| !name.is_empty() && name.len() <= NAME_LIMIT + '…'.len_utf8()));
            }
        }
    }
}
