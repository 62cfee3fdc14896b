//! Paths of Bedrock's runtime: `/model/MODEL/ACTION`, at Bedrock's own hosts or behind a gateway's prefix.

use super::super::{
    call::{Call, Provider},
    dialect::Claim,
    provider, text,
};
use crate::wire::{RequestHead, ResponseHead};

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::genai) struct Asked {
    /// The model: its id, or the ARN of a profile, an endpoint or a prompt.
    pub(in crate::genai) model: String,
    /// The answer is to be a stream.
    pub(in crate::genai) streamed: bool,
}

/// Reads a path that ends in this action, or in that which streams.
pub(in crate::genai) fn asked(path: &str, plain: &str, streaming: &str) -> Option<Asked> {
    let (rest, action) = path.strip_suffix('/').unwrap_or(path).rsplit_once('/')?;
    let streamed = action == streaming;
    // Clients encode the slashes of an ARN; not all gateways do.
    let (_, model) = rest.split_once("/model/").filter(|_| streamed || action == plain)?;
    let model = text::percent_decode(model).filter(|model| !model.is_empty())?;
    Some(Asked { model, streamed })
}

/// What the path says, which stands also where the body was missed.
pub(in crate::genai) fn identify(asked: Option<&Asked>, call: &mut Call) {
    if let Some(asked) = asked {
        call.request.model = Some(asked.model.clone());
        if asked.streamed {
            call.request.stream = Some(true);
        }
    }
}

/// The claim on a request whose path asks for a call: other services have such paths too, and there the body decides.
pub(in crate::genai) fn claim(head: &RequestHead) -> Claim {
    Claim::of_post(head, true, is_to_aws)
}

/// Does the host say that it is Bedrock's, or the headers that an AWS SDK asks?
pub(in crate::genai) fn is_to_aws(head: &RequestHead) -> bool {
    provider::of_authority(head.authority.as_deref()) == Some(Provider::AwsBedrock)
        || ["x-amz-date", "amz-sdk-invocation-id"].iter().any(|name| head.headers.get(name).is_some())
}

/// Is it the answer of an AWS service?
pub(in crate::genai) fn is_of_aws(head: &ResponseHead) -> bool {
    head.headers.get("x-amzn-requestid").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let cases = [
            ("/model/anthropic.claude-v2/converse", Some(("anthropic.claude-v2", false))),
            ("/model/us.amazon.nova-pro-v1%3A0/converse-stream", Some(("us.amazon.nova-pro-v1:0", true))),
            ("/bedrock/model/m/converse/", Some(("m", false))),
            (
                "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.m/converse",
                Some(("arn:aws:bedrock:us-east-1:1:inference-profile/us.m", false)),
            ),
            (
                "/model/arn:aws:bedrock:r:1:prompt/P:1/converse",
                Some(("arn:aws:bedrock:r:1:prompt/P:1", false)),
            ),
            ("/model/m/invoke", None),
            ("/model//converse", None),
            ("/models/m/converse", None),
            ("/converse", None),
            ("", None),
        ];
        for (path, expected) in cases {
            let found = asked(path, "converse", "converse-stream");
            let found = found.as_ref().map(|asked| (asked.model.as_str(), asked.streamed));
            assert_eq!(found, expected, "{path}");
        }
    }
}
