//! What the APIs of Amazon Bedrock's runtime have in common
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html>).

pub(super) mod content;
pub(super) mod converse;
pub(super) mod error;
pub(super) mod path;
pub(super) mod request;
pub(super) mod stream;
pub(super) mod usage;
