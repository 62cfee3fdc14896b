//! Amazon Titan (<https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan.html>): texts, and embeddings.

use serde::Deserialize;

use super::{
    family::Family,
    words::{self, Said, Words},
};
use crate::genai::{
    budget::Budget,
    call::{Call, OperationName},
    field::Field,
    text,
};

pub(super) static TEXT: Family = Family {
    models: &["amazon.titan-text", "amazon.titan-tg1"],
    members: &["inputText", "textGenerationConfig", "results", "outputText"],
    operation: OperationName::TextCompletion,
    open: words::fold::<Text>,
};

pub(super) static EMBEDDINGS: Family = Family {
    models: &["amazon.titan-embed"],
    members: &["normalize", "inputImage", "embedding", "embeddingsByType"],
    operation: OperationName::Embeddings,
    open: words::fold::<Embeddings>,
};

struct Text;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Asked<'a> {
    #[serde(borrow)]
    input_text: Field<'a>,
    #[serde(borrow)]
    text_generation_config: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Config<'a> {
    #[serde(borrow)]
    max_token_count: Field<'a>,
    #[serde(borrow)]
    temperature: Field<'a>,
    #[serde(borrow)]
    top_p: Field<'a>,
    #[serde(borrow)]
    stop_sequences: Field<'a>,
}

/// A whole answer, which has results, or a chunk.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Answered<'a> {
    #[serde(borrow)]
    input_text_token_count: Field<'a>,
    #[serde(borrow)]
    results: Field<'a>,
    #[serde(borrow)]
    index: Field<'a>,
    #[serde(borrow)]
    output_text: Field<'a>,
    #[serde(borrow)]
    total_output_text_token_count: Field<'a>,
    #[serde(borrow)]
    completion_reason: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Generated<'a> {
    #[serde(borrow)]
    token_count: Field<'a>,
    #[serde(borrow)]
    output_text: Field<'a>,
    #[serde(borrow)]
    completion_reason: Field<'a>,
}

impl Words for Text {
    fn asked(body: Field<'_>, call: &mut Call, budget: &mut Budget) {
        let Some(body) = body.object::<Asked<'_>>(budget) else { return };
        let config: Config<'_> = body.text_generation_config.object(budget).unwrap_or_default();
        let request = &mut call.request;
        request.max_tokens = config.max_token_count.integer(budget);
        request.temperature = config.temperature.number(budget);
        request.top_p = config.top_p.number(budget);
        request.stop_sequences = text::stop_sequences(config.stop_sequences, budget);
        words::prompt(body.input_text, call, budget);
    }

    fn answered(body: Field<'_>, said: &mut Said, _: &mut Call, budget: &mut Budget) -> bool {
        let Some(body) = body.object::<Answered<'_>>(budget) else { return false };
        Said::count(&mut said.input, body.input_text_token_count, budget);
        if body.results.is_some() {
            let mut index = 0;
            body.results.each(budget, |item, budget| {
                let Some(result) = item.object::<Generated<'_>>(budget) else { return };
                if let Some(count) = result.token_count.count(budget) {
                    said.output = said.output.unwrap_or(0).checked_add(count);
                }
                said.text(index, result.output_text, result.completion_reason, budget);
                index += 1;
            });
            return true;
        }
        if body.output_text.is_some() {
            let index = body.index.integer(budget).unwrap_or(0);
            said.text(index, body.output_text, body.completion_reason, budget);
        }
        Said::count(&mut said.output, body.total_output_text_token_count, budget);
        body.output_text.is_some()
    }
}

struct Embeddings;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ToEmbed<'a> {
    #[serde(borrow)]
    dimensions: Field<'a>,
    #[serde(borrow)]
    embedding_types: Field<'a>,
    #[serde(borrow)]
    embedding_config: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct EmbeddingConfig<'a> {
    #[serde(borrow)]
    output_embedding_length: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Embedded<'a> {
    #[serde(borrow)]
    embedding: Field<'a>,
    #[serde(borrow)]
    embeddings_by_type: Field<'a>,
    #[serde(borrow)]
    input_text_token_count: Field<'a>,
}

impl Words for Embeddings {
    fn asked(body: Field<'_>, call: &mut Call, budget: &mut Budget) {
        let Some(body) = body.object::<ToEmbed<'_>>(budget) else { return };
        let config: EmbeddingConfig<'_> = body.embedding_config.object(budget).unwrap_or_default();
        call.request.dimensions = body.dimensions.or(config.output_embedding_length).integer(budget);
        call.request.encoding_formats = text::stop_sequences(body.embedding_types, budget);
    }

    fn answered(body: Field<'_>, said: &mut Said, _: &mut Call, budget: &mut Budget) -> bool {
        let Some(body) = body.object::<Embedded<'_>>(budget) else { return false };
        Said::count(&mut said.input, body.input_text_token_count, budget);
        body.embedding.or(body.embeddings_by_type).is_some()
    }
}
