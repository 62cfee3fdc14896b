//! What the targets begin with: programs in which there is something to be found, and bytes that are what they are read as.

use anyhow::{Context as _, Result};
use std::{fs, path::Path};

#[path = "../../../agent/src/probe/synthetic.rs"]
#[allow(dead_code, reason = "the agent's tests use more of it")]
mod synthetic;

#[path = "../../../fuzz/src/script.rs"]
#[allow(dead_code, reason = "targets read, seeds are written")]
mod script;

use script::Script;
use synthetic::{Machine, programs};

/// Writes all seeds, below `corpus` in a directory for each target.
pub fn write(corpus: &Path) -> Result<()> {
    let mut all = bodies();
    all.extend(conversations());
    all.extend(programs_of_all_machines());
    all.extend(queries());
    all.extend(texts());
    all.extend(conditions());
    for (target, name, seed) in all {
        let dir = corpus.join(target);
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let path = dir.join(name);
        fs::write(&path, seed).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The target, a name, and the bytes.
type Seed = (String, String, Vec<u8>);

fn seed(target: &str, name: &str, bytes: impl Into<Vec<u8>>) -> Seed {
    (target.to_owned(), name.to_owned(), bytes.into())
}

/// The first byte tells the language.
fn queries() -> Vec<Seed> {
    #[rustfmt::skip]
    let texts = [
        "sum by (gen_ai_request_model, \"b.c\") (rate(x_total{a=~\"b|c\", \"d.e\"=\"f\"}[5m])) / on(g) label_replace(y, \"h\", \"$1\", \"i\", \"(.*)\")",
        "SELECT attributes['gen_ai.request.model'] AS m, sum(t.x) FILTER (WHERE a ->> '$.\"b.c\"' IN ('d', 'e')) FROM spans t GROUP BY ALL; -- x",
        "{ span.gen_ai.operation.name = \"chat\" && resource.\"a b\" =~ `c|d` } | quantile_over_time(span.e, .5) by (span.f)",
        r#"{"panels":[{"datasource":{"type":"tempo"},"targets":[{"query":"{ span.a = 1 }"}],"transformations":[{"options":{"a.b":1}}]}]}"#,
        "groups:\n- rules:\n  - {record: a, expr: sum(b)}\n  - {alert: c, expr: a > 1, annotations: {d: '{{ $labels.e }}'}}\n",
    ];
    let one = |(n, text): (usize, &str)| {
        let mut bytes = vec![u8::try_from(n).unwrap_or_default()];
        bytes.extend_from_slice(text.as_bytes());
        seed("queries", &n.to_string(), bytes)
    };
    texts.into_iter().enumerate().map(one).collect()
}

fn conditions() -> Vec<Seed> {
    let texts = [
        "finish_reason={length,stop*}",
        "gen_ai.usage.output_tokens>=1.5e3",
        "!error_type",
        "status!=a\\*\\{b",
        "attribute.team=x",
    ];
    let one = |(n, text): (usize, &str)| seed("conditions", &n.to_string(), text.as_bytes());
    texts.into_iter().enumerate().map(one).collect()
}

/// The first byte tells where the text is cut.
fn texts() -> Vec<Seed> {
    let texts = [
        "pay 4111 1111 1111 1111 or DE89 3704 0044 0532 0130 00, call +49 351 463 1234, (0351) 463-12 34",
        "jo@example.com from 203.0.113.9 and 2001:db8::1, https://me:secret99@host/",
        "key sk-proj-A1b2C3d4E5f6G7h8, \\\"password\\\": \\\"hunter2!\\\", Bearer abc123def456",
        "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----",
        r#"{"to":"jo\u0040example.com","card":4111111111111111}"#,
    ];
    let one = |(n, text): (usize, &str)| seed("redact", &n.to_string(), [b"\x80", text.as_bytes()].concat());
    texts.into_iter().enumerate().map(one).collect()
}

fn programs_of_all_machines() -> Vec<Seed> {
    let mut all = Vec::new();
    for (machine, suffix) in [(Machine::X86_64, "x86_64"), (Machine::Aarch64, "aarch64")] {
        for (name, program) in programs(machine) {
            let built = program.build();
            for target in [format!("locate_{}", name.replace('-', "_")), "elf".to_owned()] {
                all.push((target, format!("{name}-{suffix}"), built.clone()));
            }
        }
    }
    all
}

const CHAT: &str = r#"{"model":"m","stream":true,"temperature":0.5,"stop":["x"],"messages":[
{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"u"},{"type":"image_url","image_url":{"url":"data:,"}}]},
{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},
{"role":"tool","tool_call_id":"c","content":"t"}],"tools":[{"type":"function","function":{"name":"f","parameters":{}}}]}"#;
const CHAT_ANSWER: &str = r#"{"id":"i","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#;
const CHAT_EVENTS: [&str; 4] = [
    r#"{"id":"i","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"a"}}]}"#,
    r#"{"id":"i","choices":[{"index":1,"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{"}}]}}]}"#,
    r#"{"id":"i","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
    "[DONE]",
];
const RESPONSES: &str = r#"{"model":"m","input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"u"}]},{"type":"function_call_output","call_id":"c","output":"o"}],"instructions":"s","tools":[{"type":"function","name":"f","parameters":{}}],"previous_response_id":"p"}"#;
const RESPONSES_ANSWER: &str = r#"{"id":"i","object":"response","status":"completed","model":"m","output":[{"type":"reasoning","summary":[{"type":"summary_text","text":"r"}]},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"a"}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}],"usage":{"input_tokens":1,"output_tokens":2,"output_tokens_details":{"reasoning_tokens":1}}}"#;
const RESPONSES_EVENTS: [&str; 5] = [
    r#"{"type":"response.created","response":{"id":"i","object":"response","status":"in_progress","model":"m"}}"#,
    r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"message","id":"x","role":"assistant","content":[]}}"#,
    r#"{"type":"response.output_text.delta","item_id":"x","output_index":0,"content_index":0,"delta":"a"}"#,
    r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"message","id":"x","role":"assistant","content":[{"type":"output_text","text":"a"}]}}"#,
    r#"{"type":"response.completed","response":{"id":"i","object":"response","status":"completed","model":"m","output":[],"usage":{"input_tokens":1,"output_tokens":2}}}"#,
];
const MESSAGES: &str = r#"{"model":"m","max_tokens":9,"system":"s","messages":[{"role":"user","content":"u"},{"role":"assistant","content":[{"type":"tool_use","id":"c","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c","content":"t"}]}],"tools":[{"name":"f","input_schema":{}}],"thinking":{"type":"enabled","budget_tokens":5}}"#;
const MESSAGES_ANSWER: &str = r#"{"id":"i","type":"message","role":"assistant","model":"m","content":[{"type":"thinking","thinking":"r","signature":"s"},{"type":"text","text":"a"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2}}"#;
const MESSAGES_EVENTS: [&str; 6] = [
    r#"{"type":"message_start","message":{"id":"i","type":"message","role":"assistant","model":"m","content":[],"usage":{"input_tokens":1}}}"#,
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"c","name":"f","input":{}}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#,
    r#"{"type":"content_block_stop","index":0}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":2}}"#,
    r#"{"type":"message_stop"}"#,
];
const GEMINI: &str = r#"{"model":"m","systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"role":"user","parts":[{"text":"u"},{"inlineData":{"mimeType":"image/png","data":""}}]},{"role":"model","parts":[{"functionCall":{"name":"f","args":{}}}]},{"role":"user","parts":[{"functionResponse":{"name":"f","response":{}}}]}],"tools":[{"functionDeclarations":[{"name":"f"}]}],"generationConfig":{"temperature":0.5,"maxOutputTokens":9,"stopSequences":["x"]}}"#;
const GEMINI_ANSWER: &str = r#"{"candidates":[{"index":0,"content":{"role":"model","parts":[{"text":"r","thought":true},{"text":"a"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2,"totalTokenCount":3},"modelVersion":"m","responseId":"i"}"#;
const CONVERSE: &str = r#"{"system":[{"text":"s"}],"messages":[{"role":"user","content":[{"text":"u"},{"image":{"format":"png","source":{"bytes":""}}},{"cachePoint":{"type":"default"}}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"c","name":"f","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"c","content":[{"json":{}}]}}]}],"inferenceConfig":{"maxTokens":9,"stopSequences":["x"]},"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}]}}"#;
const CONVERSE_ANSWER: &str = r#"{"output":{"message":{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"r"}}},{"text":"a"}]}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":2,"cacheReadInputTokens":3}}"#;
const CONVERSE_EVENTS: [&str; 6] = [
    "messageStart\t{\"role\":\"assistant\"}",
    "contentBlockStart\t{\"contentBlockIndex\":1,\"start\":{\"toolUse\":{\"toolUseId\":\"c\",\"name\":\"f\"}}}",
    "contentBlockDelta\t{\"contentBlockIndex\":1,\"delta\":{\"toolUse\":{\"input\":\"{}\"}}}",
    "messageStop\t{\"stopReason\":\"tool_use\"}",
    "metadata\t{\"usage\":{\"inputTokens\":1,\"outputTokens\":2}}",
    "throttlingException\t{\"message\":\"m\"}",
];
const REALTIME: [&str; 3] = [
    r#"{"type":"session.update","session":{"type":"realtime","instructions":"s"}}"#,
    r#"{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[{"type":"input_text","text":"u"}]}}"#,
    r#"{"type":"response.create","response":{"output_modalities":["text"]}}"#,
];
const REALTIME_EVENTS: [&str; 4] = [
    r#"{"type":"session.created","session":{"model":"m"}}"#,
    r#"{"type":"response.created","response":{"id":"i","object":"realtime.response","status":"in_progress","output":[]}}"#,
    r#"{"type":"response.output_text.delta","response_id":"i","item_id":"x","output_index":0,"content_index":0,"delta":"a"}"#,
    r#"{"type":"response.done","response":{"id":"i","status":"completed","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"a"}]}],"usage":{"input_tokens":1,"output_tokens":2}}}"#,
];
const LIVE: [&str; 2] = [
    r#"{"setup":{"model":"models/m","generationConfig":{"responseModalities":["TEXT"]}}}"#,
    r#"{"clientContent":{"turns":[{"role":"user","parts":[{"text":"u"}]}],"turnComplete":true}}"#,
];
const LIVE_ANSWERS: [&str; 3] = [
    r#"{"setupComplete":{}}"#,
    r#"{"serverContent":{"modelTurn":{"parts":[{"text":"a"}]}}}"#,
    r#"{"serverContent":{"turnComplete":true},"usageMetadata":{"promptTokenCount":1,"responseTokenCount":2}}"#,
];
const ERROR: &str = r#"{"type":"error","error":{"type":"overloaded_error","message":"m","code":"c"}}"#;

/// Bodies as they are, or as their encoding makes them.
fn bodies() -> Vec<Seed> {
    let call = |request: &str, response: &str| format!("{request}\n---\n{response}").into_bytes();
    let deflated: [(&str, &[u8]); 2] = [
        (
            "gzip",
            b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\xabV\xcaLQ\xb2RJT\xd2Q\xcaO\xcaJM.\x01r2Rsr\xf2\x15\x90H\xa5Z\0\xd6Z\x0f\x0b'\0\0\0",
        ),
        ("deflate", b"x\xda\xabV\xcaLQ\xb2RJT\xd2Q\xcaO\xcaJM.\x01r2Rsr\xf2\x15\x90H\xa5Z\0\xf0$\x0c\xca"),
    ];
    let events = [
        message(&[(":event-type", "chunk"), (":content-type", "application/json")], b"{\"bytes\":\"e30=\"}"),
        message(&[(":exception-type", "throttlingException")], b"{}"),
        message(&[], b""),
    ];
    let mut all = vec![
        seed("json", "chat", CHAT),
        seed("json", "responses-answer", RESPONSES_ANSWER),
        seed("json", "converse", CONVERSE),
        seed(
            "json",
            "long",
            format!(
                r#"{{"a" : [{{"b":"{0}","\u00e9":[-1.5e+3,true]}} , "{0}"],"b":{{}}}}"#,
                r#"a\ud83d\" é"#.repeat(9)
            ),
        ),
        seed("genai", "chat", call(CHAT, CHAT_ANSWER)),
        seed("genai", "chat-events", call(CHAT, &CHAT_EVENTS.join("\n"))),
        seed("genai", "responses", call(RESPONSES, RESPONSES_ANSWER)),
        seed("genai", "responses-events", call(RESPONSES, &RESPONSES_EVENTS.join("\n"))),
        seed("genai", "messages", call(MESSAGES, MESSAGES_ANSWER)),
        seed("genai", "messages-events", call(MESSAGES, &MESSAGES_EVENTS.join("\n"))),
        seed("genai", "converse", call(CONVERSE, CONVERSE_ANSWER)),
        seed("genai", "converse-events", call(CONVERSE, &CONVERSE_EVENTS.join("\n"))),
        seed(
            "genai",
            "invoke",
            call(
                r#"{"prompt":"u","max_gen_len":9}"#,
                r#"{"generation":"a","prompt_token_count":1,"generation_token_count":2,"stop_reason":"stop"}"#,
            ),
        ),
        // The chunk is the answer above.
        seed(
            "genai",
            "invoke-events",
            call(
                r#"{"prompt":"u"}"#,
                "chunk\t{\"bytes\":\"eyJnZW5lcmF0aW9uIjoiYSIsInByb21wdF90b2tlbl9jb3VudCI6MSwiZ2VuZXJhdGlvbl90b2tlbl9jb3VudCI6Miwic3RvcF9yZWFzb24iOiJzdG9wIn0=\"}",
            ),
        ),
        seed("genai", "gemini", call(GEMINI, GEMINI_ANSWER)),
        seed("genai", "gemini-array", call(GEMINI, &format!("[{GEMINI_ANSWER},\n{GEMINI_ANSWER}]"))),
        seed(
            "genai",
            "code-assist",
            call(
                &format!(r#"{{"model":"m","project":"p","request":{GEMINI}}}"#),
                &format!(r#"{{"response":{GEMINI_ANSWER}}}"#),
            ),
        ),
        seed(
            "multipart",
            "form",
            "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--b \r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n\r\n--\r\n--bb\r\n--b--\r\nrest",
        ),
        seed("genai", "realtime", call(&REALTIME.join("\n"), &REALTIME_EVENTS.join("\n"))),
        seed("genai", "live", call(&LIVE.join("\n"), &LIVE_ANSWERS.join("\n"))),
        seed(
            "genai",
            "completions",
            call(
                r#"{"model":"m","prompt":["a","b"],"max_tokens":9,"suffix":"s"}"#,
                r#"{"id":"i","object":"text_completion","model":"m","choices":[{"index":0,"text":"a","finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
            ),
        ),
        seed(
            "genai",
            "embeddings",
            call(
                r#"{"model":"m","input":["a","b"],"dimensions":2,"encoding_format":"float"}"#,
                r#"{"object":"list","model":"m","data":[{"object":"embedding","index":0,"embedding":[0.5,1]}],"usage":{"prompt_tokens":1,"total_tokens":1}}"#,
            ),
        ),
        seed(
            "genai",
            "cohere",
            call(
                r#"{"model":"m","messages":[{"role":"user","content":"u"}],"message":"u","chat_history":[],"texts":["a"],"query":"q","documents":["d"]}"#,
                r#"{"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"id":"c","function":{"name":"f","arguments":"{}"}}}}}
{"event_type":"text-generation","text":"a"}
{"type":"message-end","delta":{"finish_reason":"COMPLETE","usage":{"tokens":{"input_tokens":1,"output_tokens":2}}}}"#,
            ),
        ),
        seed(
            "genai",
            "mcp",
            call(
                r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"a":1},"_meta":{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}},{"jsonrpc":"2.0","id":2,"result":{}}]"#,
                r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":true}}
{"jsonrpc":"2.0","id":0,"method":"roots/list"}
{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m"}}"#,
            ),
        ),
        seed(
            "genai",
            "ollama",
            call(
                r#"{"model":"m","messages":[{"role":"user","content":"u","images":["AA"]}],"prompt":"p","inputs":"i","options":{"temperature":0.5}}"#,
                r#"{"model":"m","message":{"role":"assistant","content":"a"},"response":"a","done":true,"done_reason":"stop","eval_count":2}
{"token":{"text":"a"},"details":{"finish_reason":"length","generated_tokens":2}}"#,
            ),
        ),
        seed(
            "genai",
            "images",
            call(
                r#"{"model":"m","prompt":"p","input":"i","n":2}"#,
                r#"{"type":"image_generation.completed","b64_json":"AA","usage":{"input_tokens":1,"output_tokens":2}}
{"type":"transcript.text.delta","delta":"a"}"#,
            ),
        ),
        seed("grpc", "messages", [&b"\0\0\0\0\x03abc\x01\0\0\0\x30"[..], deflated[0].1].concat()),
        seed("genai", "error", call(MESSAGES, ERROR)),
        seed(
            "sse",
            "fields",
            "\u{feff}event: a\ndata: {}\nid: 1\n\n:c\r\ndata:x\r\ndata:y\r\n\r\ndata\rretry: 1\r\rdata",
        ),
        seed("ndjson", "lines", "{\"a\":1}\r\n\n{\"b\":[]}\n \n{\"c\":\"last\"}"),
        seed("eventstream", "messages", events.concat()),
        seed("content_encoding", "br", brotli(b"hello hello")),
        seed("content_encoding", "zstd", zstd(b"hello hello")),
        seed("content_encoding", "zstd-frames", [zstd(b"a"), zstd(b"bb")].concat()),
        seed("content_encoding", "identity", "{\"a\":1}"),
        // RFC 7541, appendices C.2, C.4.1 and C.3.3, and what changes the size of the table.
        seed(
            "hpack",
            "literal",
            b"\x40\x0acustom-key\x0dcustom-header\x04\x0c/sample/path\x10\x08password\x06secret",
        ),
        seed("hpack", "huffman", b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"),
        seed("hpack", "resized", b"\x20\x3f\x11\x82\x87\x85\xbf\x40\x0acustom-key\x0ccustom-value"),
    ];
    all.extend(deflated.map(|(name, bytes)| seed("content_encoding", name, bytes)));
    all
}

/// One uncompressed and one empty meta-block (RFC 7932, section 9.2).
fn brotli(text: &[u8]) -> Vec<u8> {
    let head = ((text.len() as u32 - 1) << 4 | 1 << 20).to_le_bytes();
    [&head[..3], text, &[3]].concat()
}

/// A frame of one raw block (RFC 8878, section 3.1.1).
fn zstd(text: &[u8]) -> Vec<u8> {
    let len = text.len() as u8;
    [&[0x28, 0xb5, 0x2f, 0xfd, 0x20, len, len << 3 | 1, 0, 0], text].concat()
}

/// A message of an AWS event stream, whose headers are texts.
fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let header = |(name, value): &(&str, &str)| {
        let lens = ([name.len() as u8], (value.len() as u16).to_be_bytes());
        [&lens.0, name.as_bytes(), &[7], &lens.1, value.as_bytes()].concat()
    };
    let headers: Vec<u8> = headers.iter().flat_map(header).collect();
    let lens = [16 + headers.len() + payload.len(), headers.len()];
    let mut bytes: Vec<u8> = lens.iter().flat_map(|len| (*len as u32).to_be_bytes()).collect();
    bytes.extend(crc32(&bytes).to_be_bytes());
    bytes.extend([&headers, payload].concat());
    bytes.extend(crc32(&bytes).to_be_bytes());
    bytes
}

/// CRC-32 of ISO 3309, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let shift = |crc: u32| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| shift(crc)))
}

/// Scripts of both directions.
fn conversations() -> Vec<Seed> {
    let plain = |target: &str| -> Vec<Seed> {
        vec![
            seed(target, "json", http1_json(Script::default()).close().bytes()),
            seed(target, "events", http1_events(Script::default()).bytes()),
            seed(
                target,
                "gap",
                http1_events(Script::default()).gap(10).received(b"data: x\n\n\r\n0\r\n\r\n").bytes(),
            ),
        ]
    };
    let session = |extension: u8| [vec![extension], websocket(Script::default()).bytes()].concat();
    let deflated = Script::default()
        .sent_frame(
            [0xc1, 0, 0],
            b"\xaaV*\xa9,HU\xb2R*J-.\xc8\xcf+N\xd5K.JM,IU\xd2Q\xca\xcc+(-\x01\xcad*d\x80\x91R-\0",
        )
        .sent_frame([0xc1, 0, 0], b"\xaa&E1\0")
        .received_frame(
            [0xc1, 0, 0],
            b"\xaaV*\xa9,HU\xb2R*J-.\xc8\xcf+N\xd5K.JM,IMQ\xd2\x81\x0b)YU+e\xa6\x80\xd4\x18*\xd5\xd6\x02\0",
        );
    let mut all = vec![
        seed("http1", "interim", http1_interim().bytes()),
        seed("http2", "call", http2(Script::default()).close().bytes()),
        seed(
            "http2",
            "gap",
            http2(Script::default()).gap(20).received_frame([0, 1, 1], b"data: y\n\n").bytes(),
        ),
        seed("websocket", "plain", session(0)),
        seed("websocket", "realtime", [vec![3], messages(&REALTIME, &REALTIME_EVENTS)].concat()),
        seed("websocket", "live", [vec![6], messages(&LIVE, &LIVE_ANSWERS)].concat()),
        seed("websocket", "deflate", [vec![1], deflated.clone().bytes()].concat()),
        seed("websocket", "no-takeover", [vec![2], deflated.bytes()].concat()),
        seed("offline", "all", {
            let script = http1_json(Script::default()).on(1);
            let script = http1_events(script).gap(30).close().on(2);
            let script = script.sent(OPEN.as_bytes()).received(GRANTED.as_bytes());
            let script = websocket(script).on(3).sent(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
            http2(script).close().bytes()
        }),
    ];
    all.extend(plain("http1"));
    all.extend(plain("offline"));
    all
}

fn http1_json(script: Script) -> Script {
    let request = format!(
        "POST /v1/chat/completions?k=v HTTP/1.1\r\nHost: api.openai.com\r\nAuthorization: Bearer x\r\nContent-Length: {}\r\n\r\n",
        CHAT.len()
    );
    let response = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        CHAT_ANSWER.len()
    );
    script
        .sent(request.as_bytes())
        .sent(CHAT.as_bytes())
        .received(response.as_bytes())
        .received(CHAT_ANSWER.as_bytes())
}

fn http1_events(script: Script) -> Script {
    let request =
        "POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\nTransfer-Encoding: chunked\r\n\r\n";
    let response = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let script = script.sent(request.as_bytes()).sent_frame([0; 3], MESSAGES.as_bytes()).sent(b"0\r\n\r\n");
    MESSAGES_EVENTS.iter().fold(script.received(response.as_bytes()), |script, event| {
        script.received_frame([0; 3], format!("data: {event}\n\n").as_bytes())
    })
}

fn http1_interim() -> Script {
    Script::default()
        .sent(b"PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nokHEAD /b HTTP/1.1\r\n\r\nGET /c HTTP/1.0\r\n\r\n")
        .received(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        .received(b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\nup to the end")
        .close()
}

/// A header block of literals (RFC 7541, section 6.2.1).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let literal = |(name, value): &(&str, &str)| {
        [&[0x40, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
    };
    fields.iter().flat_map(literal).collect()
}

fn http2(script: Script) -> Script {
    let request = block(&[
        (":method", "POST"),
        (":path", "/v1/responses"),
        (":authority", "api.openai.com"),
        ("content-type", "application/json"),
    ]);
    let response = block(&[(":status", "200"), ("content-type", "text/event-stream")]);
    let (first, second) = request.split_at(20);
    let script = script
        .sent_frame([4, 0, 0], &[0, 1, 0, 0, 16, 0])
        .sent_frame([1, 0, 1], first)
        .sent_frame([9, 4, 1], second)
        .sent_frame([0, 9, 1], &[&[2], RESPONSES.as_bytes(), &[0, 0]].concat())
        .received_frame([4, 1, 0], &[])
        .received_frame([1, 4, 1], &response);
    let script = RESPONSES_EVENTS.iter().fold(script, |script, event| {
        script.received_frame([0, 0, 1], format!("data: {event}\n\n").as_bytes())
    });
    script
        .received_frame([6, 0, 0], &[0; 8])
        .received_frame([0, 1, 1], &[])
        .received_frame([3, 0, 1], &[0; 4])
}

const OPEN: &str =
    "GET /v1/responses HTTP/1.1\r\nHost: api.openai.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
const GRANTED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

/// All that is said in a session, each in a frame.
fn messages(asks: &[&str], answers: &[&str]) -> Vec<u8> {
    const TEXT: [u8; 3] = [0x81, 0, 0];
    let script = asks.iter().fold(Script::default(), |script, ask| script.sent_frame(TEXT, ask.as_bytes()));
    let script = answers.iter().fold(script, |script, answer| script.received_frame(TEXT, answer.as_bytes()));
    script.close().bytes()
}

/// Frames of a session that is open.
fn websocket(script: Script) -> Script {
    let asks = format!(r#"{{"type":"response.create",{}"#, &RESPONSES[1..]);
    let (first, second) = asks.split_at(30);
    let script = script
        .sent_frame([0x01, 0, 0], first.as_bytes())
        .sent_frame([0x89, 0, 0], b"ping")
        .sent_frame([0x80, 0, 0], second.as_bytes());
    let script = RESPONSES_EVENTS
        .iter()
        .fold(script, |script, event| script.received_frame([0x81, 0, 0], event.as_bytes()));
    script.received_frame([0x88, 0, 0], &[3, 232])
}
