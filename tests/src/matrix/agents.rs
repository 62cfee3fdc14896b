//! Coding agents, each asked one thing without a terminal. They are set up as their documentation says, so that they call
//! nobody but the provider; the namespace that they run in has no way out anyway.

use serde_json::json;

use super::{Client, Install, Link, Place, Registry, Verdict, install::arch};
use crate::{
    harness::{AgentCommand, Command, KEY, Local},
    provider::{HTTP1, HTTP2},
};

const PROMPT: &str = "Say hello.";

const fn npm(name: &'static str, packages: &'static [(&'static str, &'static str)], kept: bool) -> Install {
    Install { name, registry: Registry::Npm, packages, build: &[], kept }
}

// All rights reserved.
static CLAUDE_CODE: Install = npm("claude-code", &[("@anthropic-ai/claude-code", "2.1.332")], false);
static CODEX: Install = npm("codex", &[("@openai/codex", "0.169.0")], true);
static GEMINI_CLI: Install =
    npm("gemini-cli", &[("@google/gemini-cli", "0.61.0"), ("node-linux-@ARCH", "26.10.0")], true);
static OPENCODE: Install = npm("opencode", &[("opencode-ai", "1.18.33")], true);
// A licence to run it, and to pass it on as part of something else only.
static COPILOT: Install = npm("copilot", &[("@github/copilot", "1.0.102")], false);

const AGENT: Client = Client {
    name: "",
    install: &CODEX,
    package: "",
    stack: "BoringSSL",
    link: Link::Static,
    locator: Some("boringssl"),
    protocols: HTTP1,
    full: true,
    floor: Verdict::Calls,
    command: |place| place.command("true"),
};

pub(super) const CLIENTS: &[Client] = &[
    Client {
        name: "claude-code",
        install: &CLAUDE_CODE,
        package: "@anthropic-ai/claude-code",
        command: claude_code,
        ..AGENT
    },
    Client {
        name: "codex",
        package: "@openai/codex",
        stack: "OpenSSL 3",
        locator: Some("openssl-static"),
        command: |place| codex(place, "SSL_CERT_FILE", false),
        ..AGENT
    },
    Client {
        name: "codex-own-ca",
        package: "@openai/codex",
        stack: "rustls, aws-lc",
        locator: Some("aws-lc"),
        protocols: HTTP2,
        command: |place| codex(place, "CODEX_CA_CERTIFICATE", false),
        ..AGENT
    },
    Client {
        name: "codex-websocket",
        package: "@openai/codex",
        stack: "rustls, aws-lc",
        locator: Some("aws-lc"),
        command: |place| codex(place, "CODEX_CA_CERTIFICATE", true),
        ..AGENT
    },
    Client {
        name: "gemini-cli",
        install: &GEMINI_CLI,
        package: "@google/gemini-cli",
        stack: "OpenSSL 3",
        locator: Some("openssl"),
        command: gemini_cli,
        ..AGENT
    },
    Client { name: "opencode", install: &OPENCODE, package: "opencode-ai", command: opencode, ..AGENT },
    Client {
        name: "copilot",
        install: &COPILOT,
        package: "@github/copilot",
        stack: "OpenSSL 3",
        link: Link::Bundled,
        locator: Some("openssl-static"),
        command: copilot,
        ..AGENT
    },
];

fn claude_code(place: &Place<'_>) -> Command {
    let program = format!("node_modules/@anthropic-ai/claude-code-linux-{}/claude", arch());
    place
        .command(place.dir.join(program))
        .args(["-p", PROMPT, "--model", "claude-sonnet-5"])
        .env("ANTHROPIC_BASE_URL", place.provider.url())
        .env("ANTHROPIC_API_KEY", KEY)
        .env("NODE_EXTRA_CA_CERTS", place.provider.ca())
        .env("CLAUDE_CONFIG_DIR", place.home.join("claude"))
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
        .env("DISABLE_TELEMETRY", "1")
        .env("DISABLE_AUTOUPDATER", "1")
}

fn codex(place: &Place<'_>, ca: &str, websockets: bool) -> Command {
    let config = place.file(
        "codex/config.toml",
        &format!(
            "model = \"gpt-5\"\nmodel_provider = \"local\"\ncheck_for_update_on_startup = false\n\
             [analytics]\nenabled = false\n\
             [model_providers.local]\nname = \"local\"\nbase_url = \"{}/v1\"\nenv_key = \"LOCAL_KEY\"\n\
             wire_api = \"responses\"\nsupports_websockets = {websockets}\n",
            place.provider.url()
        ),
    );
    let (package, triple) = match arch() {
        "arm64" => ("codex-linux-arm64", "aarch64-unknown-linux-musl"),
        _ => ("codex-linux-x64", "x86_64-unknown-linux-musl"),
    };
    place
        .command(place.dir.join(format!("node_modules/@openai/{package}/vendor/{triple}/bin/codex")))
        .args(["exec", "--skip-git-repo-check", "--sandbox", "read-only", PROMPT])
        .env("CODEX_HOME", config.parent().unwrap_or(&place.home))
        .env("LOCAL_KEY", KEY)
        .env(ca, place.provider.ca())
}

fn gemini_cli(place: &Place<'_>) -> Command {
    let settings = json!({
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "privacy": {"usageStatisticsEnabled": false}, "telemetry": {"enabled": false},
        "general": {"disableAutoUpdate": true, "disableUpdateNag": true},
    });
    place.file(".gemini/settings.json", &settings.to_string());
    place
        .command(super::node::program(place))
        .args([place.dir.join("node_modules/@google/gemini-cli/bundle/gemini.js")])
        .args(["-p", PROMPT, "-m", "gemini-2.5-flash", "--skip-trust"])
        .env("GOOGLE_GEMINI_BASE_URL", place.provider.url())
        .env("GEMINI_API_KEY", KEY)
        .env("NODE_EXTRA_CA_CERTS", place.provider.ca())
}

fn opencode(place: &Place<'_>) -> Command {
    let config = json!({
        "autoupdate": false, "share": "disabled", "model": "local/gpt-5", "small_model": "local/gpt-5",
        "provider": {"local": {
            "npm": "@ai-sdk/openai-compatible", "name": "local", "models": {"gpt-5": {"name": "gpt-5"}},
            "options": {"baseURL": format!("{}/v1", place.provider.url()), "apiKey": KEY},
        }},
    });
    let config = place.file("opencode.json", &config.to_string());
    place
        .command(place.dir.join(format!("node_modules/opencode-linux-{}/bin/opencode", arch())))
        .args(["run", PROMPT])
        .env("OPENCODE_CONFIG", config)
        .env("OPENCODE_DISABLE_AUTOUPDATE", "1")
        .env("OPENCODE_DISABLE_MODELS_FETCH", "1")
        .env("OPENCODE_DISABLE_LSP_DOWNLOAD", "1")
        .env("NODE_EXTRA_CA_CERTS", place.provider.ca())
}

/// Its TLS code is in a library of 145 MB that it unpacks when it is first started, and loads in its first second. plainspan
/// has met it before: a file that is new to it takes it longer than one prompt.
fn copilot(place: &Place<'_>) -> Command {
    let other = Local::new();
    AgentCommand::new().run(prompt_copilot(place, &other, "test-slow-500"));
    prompt_copilot(place, place.provider, "gpt-5")
}

fn prompt_copilot(place: &Place<'_>, provider: &Local, model: &str) -> Command {
    place
        .command(place.dir.join(format!("node_modules/@github/copilot-linux-{}/copilot", arch())))
        .args(["-p", PROMPT, "--no-auto-update"])
        .env("COPILOT_PROVIDER_BASE_URL", format!("{}/v1", provider.url()))
        .env("COPILOT_PROVIDER_API_KEY", KEY)
        .env("COPILOT_MODEL", model)
        .env("COPILOT_OFFLINE", "true")
        .env("NODE_EXTRA_CA_CERTS", provider.ca())
}
