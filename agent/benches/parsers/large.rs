//! Calls with much in them: images in requests, and long answers.

use agent_common as abi;

use crate::traffic::{ANSWER, CHAT, RESPONSE, Traffic, question, request};

/// A call that is answered with this text, which has nothing to escape.
pub fn long_answer(conn: u64, text: &str) -> Traffic {
    let answer = ANSWER.replace("Hello! How can I assist you today?", text);
    let head =
        format!("{RESPONSE}content-type: application/json\r\ncontent-length: {}\r\n\r\n", answer.len());
    request(conn, CHAT, &question(false, "Hello!"))
        .call(abi::RECEIVED, head.as_bytes())
        .call(abi::RECEIVED, answer.as_bytes())
        .close()
}

/// Text that says nothing twice.
pub fn varied(len: usize) -> String {
    let mut n = 1u32;
    let mut text = String::new();
    while text.len() < len {
        n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.extend([char::from(b'a' + (n >> 28) as u8), char::from(b'a' + (n >> 24) as u8 % 16)]);
    }
    text
}

/// Text that is all loops, each a byte longer than the one before it, and each broken off when it has just been believed.
pub fn looping(len: usize) -> String {
    let mut text = String::new();
    for period in (8..1000).cycle() {
        if text.len() >= len {
            break;
        }
        let fragment: String = (0..period).map(|n| char::from(b'a' + (n * n % 26) as u8)).collect();
        text.push_str(&fragment.repeat(3));
        text.push('.');
    }
    text
}

/// Where APIs take images, and how: host and path of a request, and what stands before, between and behind the images of its one message.
pub const IMAGES: [(&str, (&str, &str), [&str; 3]); 4] = [
    (
        "openai.chat_completions",
        CHAT,
        [
            r#"{"model":"gpt-4.1-mini","messages":[{"role":"user","content":[{"type":"text","text":"What is this?"}"#,
            r#",{"type":"image_url","image_url":{"detail":"high","url":"data:image/png;base64,"#,
            r#""}}"#,
        ],
    ),
    (
        "anthropic.messages",
        ("api.anthropic.com", "/v1/messages"),
        [
            r#"{"model":"claude-sonnet-4-5","max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"What is this?"}"#,
            r#",{"type":"image","source":{"type":"base64","media_type":"image/png","data":""#,
            r#""}}"#,
        ],
    ),
    (
        "google.generate_content",
        ("generativelanguage.googleapis.com", "/v1beta/models/gemini-3-pro:generateContent"),
        [
            r#"{"contents":[{"role":"user","parts":[{"text":"What is this?"}"#,
            r#",{"inlineData":{"mimeType":"image/png","data":""#,
            r#""}}"#,
        ],
    ),
    (
        "aws.bedrock.converse",
        ("bedrock-runtime.us-east-1.amazonaws.com", "/model/amazon.nova-pro-v1%3A0/converse"),
        [
            r#"{"messages":[{"role":"user","content":[{"text":"What is this?"}"#,
            r#",{"image":{"format":"png","source":{"bytes":""#,
            r#""}}}"#,
        ],
    ),
];

/// The body of a request with four images, so many bytes long together.
pub fn images([before, image, behind]: [&str; 3], len: usize) -> Vec<u8> {
    let data = "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4".repeat(len / 4 / 60);
    let images = [image, &data, behind].concat().repeat(4);
    [before, &images, "]}]}"].concat().into_bytes()
}

/// Where coding agents send their requests.
pub const AGENT: (&str, &str) = ("api.anthropic.com", "/v1/messages");

/// The body of a coding agent's request: tools, and a conversation of so many turns in which it reads files, two kilobytes at a time.
pub fn agent(turns: usize) -> Vec<u8> {
    let line = r#"    println!(\"{}\", name);\t// says \u201chello\u201d\n"#;
    let properties = r#"{"type":"object","properties":{"path":{"type":"string","description":"Where."},"limit":{"type":"integer"}},"required":["path"]}"#;
    let tools: Vec<_> = (0..20)
        .map(|n| {
            format!(
                r#"{{"name":"tool_{n}","description":"{}","input_schema":{properties}}}"#,
                line.repeat(16)
            )
        })
        .collect();
    let messages: Vec<_> = (0..turns)
        .map(|n| {
            let result = line.repeat(2048 / line.len());
            [
                r#"{"role":"assistant","content":[{"type":"text","text":"Let me look.\n"},"#,
                &format!(r#"{{"type":"tool_use","id":"toolu_{n}","name":"tool_1","input":{{"path":"src/file_{n}.rs","limit":50}}}}]}},"#),
                &format!(r#"{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"toolu_{n}","content":[{{"type":"text","text":"{result}"}}]}}]}}"#),
            ]
            .concat()
        })
        .collect();
    let head = r#"{"model":"claude-sonnet-4-5","max_tokens":32000,"stream":true,"tools":["#;
    let asked = r#"],"messages":[{"role":"user","content":"Mend it."},"#;
    [head, &tools.join(","), asked, &messages.join(","), "]}"].concat().into_bytes()
}

/// A call with this body, which is refused: all that there is to read is the request.
pub fn refused(conn: u64, place: (&str, &str), body: &[u8]) -> Traffic {
    let refusal = r#"{"error":{"type":"overloaded_error","message":"later"}}"#;
    let head = format!(
        "HTTP/1.1 529 Overloaded\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        refusal.len()
    );
    request(conn, place, body)
        .call(abi::RECEIVED, head.as_bytes())
        .call(abi::RECEIVED, refusal.as_bytes())
        .close()
}
