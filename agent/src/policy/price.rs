//! What calls cost, by the prices that providers publish (<https://github.com/pydantic/genai-prices>).
//!
//! It is an estimate: discounts and contracts are not on the wire, nor is everything that is paid for besides tokens.
//! Where the table says nothing of a model at its host, nothing is said of its price.

use std::{
    collections::HashSet,
    sync::LazyLock,
    time::{Duration, UNIX_EPOCH},
};

use genai_prices::{Calculator, ModelInfo, PriceCalculation, PriceRequest, Usage as Amounts, UsageKey};

use crate::genai::{Call, OperationName, Part, Usage};

/// The table of prices, and its version.
pub const TABLE: &str = "genai-prices 0.2.1";

/// Longest path that tells whose prices hold, in bytes: one host serves the models of several providers.
const PATH_MAX: usize = 256;

/// What a call cost, in US dollars.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// All of it.
    pub total: f64,
    /// For input tokens.
    pub input: f64,
    /// For output tokens.
    pub output: f64,
    /// Whose price of which model, as the table names them: `openai/gpt-4.1-mini`.
    pub model: String,
}

/// Reads the table now, which takes a while, and not when the first call is over.
pub fn load() {
    let _ = Calculator::bundled();
}

/// Does the table have a model of exactly this name?
pub fn is_known(model: &str) -> bool {
    static NAMES: LazyLock<HashSet<&str>> = LazyLock::new(|| {
        Calculator::bundled().providers().flat_map(|p| p.models().map(ModelInfo::id)).collect()
    });
    NAMES.contains(model)
}

/// The price of a call's tokens; `None` where they are not all known, are not what is paid for, or have no price in the table.
pub fn estimate(call: &Call) -> Option<Cost> {
    // What is lost of an answer may have told of another tier, or of more tokens.
    let whole = !call.damage.response.any() && !call.damage.response_malformed && !call.usage.partial;
    if !whole || !is_paid_by_tokens(call) {
        return None;
    }
    let url = url(call)?;
    let models = [call.response.model.as_deref(), call.request.model.as_deref()];
    models.into_iter().flatten().find_map(|model| price(model, &url, call))
}

/// Texts, and what is read; images, speech and the like are paid by the piece, or by tokens of kinds that are not told apart.
fn is_paid_by_tokens(call: &Call) -> bool {
    let paid = matches!(
        call.operation,
        OperationName::Chat
            | OperationName::TextCompletion
            | OperationName::GenerateContent
            | OperationName::Embeddings
    );
    let made = call.response.generations.iter().flat_map(|generation| &generation.message.parts);
    paid && !made.into_iter().any(|part| {
        matches!(
            part,
            Part::Blob { modality: "image" | "video", .. } | Part::Uri { modality: "image" | "video", .. }
        )
    })
}

/// By whom it was served: the same model has a price at each of its hosts.
fn url(call: &Call) -> Option<String> {
    let address = call.transport.server_address.as_deref()?;
    let path = Some(call.transport.path.as_str()).filter(|path| path.len() <= PATH_MAX).unwrap_or("/");
    Some(format!("https://{address}{path}"))
}

fn price(model: &str, url: &str, call: &Call) -> Option<Cost> {
    let usage = &call.usage;
    let found = look_up(model, url, call, &amounts(usage)?)?;
    let audio = usage.audio_input.unwrap_or(0) + usage.audio_output.unwrap_or(0);
    if audio > 0 {
        // The table may have no price of its own for sound, which costs more than text.
        let as_text = Usage { audio_input: None, audio_output: None, ..*usage };
        let as_text = look_up(model, url, call, &amounts(&as_text)?)?;
        if as_text.total_price.total_cmp(&found.total_price).is_eq() {
            return None;
        }
    }
    Some(Cost {
        total: found.total_price,
        input: found.input_price,
        output: found.output_price,
        model: format!("{}/{}", found.provider_id, found.model_id),
    })
}

fn look_up(model: &str, url: &str, call: &Call, amounts: &Amounts) -> Option<PriceCalculation> {
    let mut request = PriceRequest::new(model, amounts)
        .with_provider_api_url(url)
        .with_timestamp(UNIX_EPOCH + Duration::from_nanos(call.start.0));
    if let Some(tier) = &call.response.service_tier {
        request = request.with_price_context("service_tier", tier);
    }
    Calculator::bundled().calculate(&request).ok()
}

/// As the table counts: like the contract, input includes what a cache held, and output what was spent on reasoning.
fn amounts(usage: &Usage) -> Option<Amounts> {
    usage.input.or(usage.output)?;
    let counts = [
        (UsageKey::INPUT_TOKENS, usage.input),
        (UsageKey::OUTPUT_TOKENS, usage.output),
        (UsageKey::CACHE_READ_TOKENS, usage.cache_read),
        (UsageKey::CACHE_WRITE_TOKENS, usage.cache_write),
        (UsageKey::OUTPUT_REASONING_TOKENS, usage.reasoning),
        (UsageKey::INPUT_AUDIO_TOKENS, usage.audio_input),
        (UsageKey::OUTPUT_AUDIO_TOKENS, usage.audio_output),
    ];
    let mut amounts = Amounts::new();
    for (key, count) in counts {
        if let Some(count) = count {
            amounts.insert(key, count as f64);
        }
    }
    Some(amounts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        genai::{Generation, Message},
        time::Timestamp,
    };

    /// 2026-11-01, and 2026-11-01 18:00.
    const NOVEMBER: u64 = 1_793_491_200;
    const EVENING: u64 = NOVEMBER + 18 * 3600;

    fn call(address: &str, path: &str, model: &str, usage: Usage) -> Call {
        let mut call = Call { usage, start: Timestamp(NOVEMBER * 1_000_000_000), ..Call::default() };
        call.transport.server_address = Some(address.to_owned());
        path.clone_into(&mut call.transport.path);
        call.response.model = Some(model.to_owned());
        call
    }

    fn usage(input: i64, output: i64) -> Usage {
        Usage { input: Some(input), output: Some(output), ..Usage::default() }
    }

    fn micro_dollars(cost: &Cost) -> [i64; 3] {
        [cost.input, cost.output, cost.total].map(|price| (price * 1e6).round() as i64)
    }

    const OPENAI: (&str, &str) = ("api.openai.com", "/v1/chat/completions");
    const ANTHROPIC: (&str, &str) = ("api.anthropic.com", "/v1/messages");

    /// Host and path, model, tokens, the row of the table, and what it comes to.
    type Row<'a> = ((&'a str, &'a str), &'a str, Usage, &'a str, [i64; 3]);

    /// By hand, from the prices of a million tokens; in millionths of a dollar.
    #[test]
    fn prices() {
        let aws = |model| ("bedrock-runtime.us-east-1.amazonaws.com", model);
        let rows: &[Row<'_>] = &[
            // 0.40 and 1.60
            (OPENAI, "gpt-4.1-mini-2025-04-14", usage(1000, 100), "openai/gpt-4.1-mini", [400, 160, 560]),
            // 200 of them for 0.10
            (
                OPENAI,
                "gpt-4.1-mini-2025-04-14",
                Usage { cache_read: Some(200), ..usage(1000, 100) },
                "openai/gpt-4.1-mini",
                [340, 160, 500],
            ),
            // 2 and 8; reasoning is output
            (OPENAI, "o3", Usage { reasoning: Some(64), ..usage(1000, 100) }, "openai/o3", [2000, 800, 2800]),
            // 0.02
            (
                ("api.openai.com", "/v1/embeddings"),
                "text-embedding-3-small",
                Usage { input: Some(1000), ..Usage::default() },
                "openai/text-embedding-3-small",
                [20, 0, 20],
            ),
            // 3 and 15, and 3.75 to write to a cache, 0.30 to read one
            (
                ANTHROPIC,
                "claude-sonnet-4-5-20250929",
                Usage { cache_write: Some(400), cache_read: Some(500), ..usage(1000, 100) },
                "anthropic/claude-sonnet-4-5",
                [300 + 1500 + 150, 1500, 3450],
            ),
            // Twice as much for a long context: 6 and 22.50
            (
                ANTHROPIC,
                "claude-sonnet-4-5-20250929",
                usage(300_000, 100),
                "anthropic/claude-sonnet-4-5",
                [1_800_000, 2250, 1_802_250],
            ),
            // 0.80 and 3.20
            (
                aws("/model/amazon.nova-pro-v1%3A0/converse"),
                "amazon.nova-pro-v1:0",
                usage(1000, 100),
                "aws/amazon.nova-pro-v1:0",
                [800, 320, 1120],
            ),
            // 1.25 and 10
            (
                ("generativelanguage.googleapis.com", "/v1beta/models/gemini-2.5-pro:generateContent"),
                "gemini-2.5-pro",
                usage(1000, 100),
                "google/gemini-2.5-pro",
                [1250, 1000, 2250],
            ),
            // 0.30, of sound 1, and 2.50
            (
                ("generativelanguage.googleapis.com", "/v1beta/models/gemini-2.5-flash:generateContent"),
                "gemini-2.5-flash",
                Usage { audio_input: Some(400), ..usage(1000, 100) },
                "google/gemini-2.5-flash",
                [600 * 3 / 10 + 400, 250, 830],
            ),
            // 0.59 and 0.79
            (
                ("api.groq.com", "/openai/v1/chat/completions"),
                "llama-3.3-70b-versatile",
                usage(1000, 100),
                "groq/llama-3.3-70b-versatile",
                [590, 79, 669],
            ),
        ];
        for ((address, path), model, usage, row, expected) in rows {
            let cost = estimate(&call(address, path, model, *usage)).unwrap_or_else(|| panic!("{model}"));
            assert_eq!((cost.model.as_str(), micro_dollars(&cost)), (*row, *expected), "{model} {usage:?}");
        }
    }

    #[test]
    fn a_price_depends_on_the_tier_and_the_hour() {
        let mut o3 = call(OPENAI.0, OPENAI.1, "o3", usage(1000, 100));
        for (tier, expected) in [("default", 2800), ("flex", 1400), ("priority", 4900), ("unheard of", 2800)]
        {
            o3.response.service_tier = Some(tier.to_owned());
            let cost = estimate(&o3).unwrap();
            assert_eq!(micro_dollars(&cost)[2], expected, "{tier}");
        }
        let mut deepseek = call("api.deepseek.com", "/chat/completions", "deepseek-chat", usage(1000, 100));
        deepseek.start = Timestamp((NOVEMBER + 3600) * 1_000_000_000);
        assert_eq!(micro_dollars(&estimate(&deepseek).unwrap())[2], 380);
        deepseek.start = Timestamp(EVENING * 1_000_000_000);
        assert_eq!(micro_dollars(&estimate(&deepseek).unwrap())[2], 190);
    }

    #[test]
    fn the_model_that_was_asked_for_stands_in_for_one_without_a_name() {
        let mut call = call(OPENAI.0, OPENAI.1, "our-own-alias", usage(1000, 100));
        assert_eq!(estimate(&call), None);
        call.request.model = Some("gpt-4.1-mini".to_owned());
        assert_eq!(estimate(&call).map(|cost| cost.model).as_deref(), Some("openai/gpt-4.1-mini"));
        call.response.model = None;
        assert!(estimate(&call).is_some());
        call.request.model = None;
        assert_eq!(estimate(&call), None);
    }

    #[test]
    fn what_is_not_known_has_no_price() {
        type Change = fn(&mut Call);
        let changes: [(&str, Change); 10] = [
            ("a host of one's own", |call| call.transport.server_address = Some("llm.example".to_owned())),
            ("no host", |call| call.transport.server_address = None),
            ("no tokens", |call| call.usage = Usage::default()),
            ("not all tokens", |call| call.usage.partial = true),
            ("an answer with a gap", |call| call.damage.response.lost = 1),
            ("tokens that make no sense", |call| call.usage.cache_read = Some(5000)),
            ("fewer than none", |call| call.usage.output = Some(-1)),
            ("sound, which has no price there", |call| call.usage.audio_output = Some(50)),
            ("images", |call| call.operation = OperationName::ImageGeneration),
            ("an image in an answer", |call| {
                let image =
                    Part::Uri { modality: "image", mime_type: None, uri: "https://x.example".to_owned() };
                let message = Message { parts: vec![image], ..Message::default() };
                call.response.generations = vec![Generation { message, ..Generation::default() }];
            }),
        ];
        for (what, change) in changes {
            let mut call = call(OPENAI.0, OPENAI.1, "gpt-4.1-mini", usage(1000, 100));
            assert!(estimate(&call).is_some());
            change(&mut call);
            assert_eq!(estimate(&call), None, "{what}");
        }
    }

    #[test]
    fn the_table_says_its_version() {
        let lock = include_str!("../../../Cargo.lock");
        let (name, version) = TABLE.split_once(' ').unwrap();
        assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n")));
    }
}
