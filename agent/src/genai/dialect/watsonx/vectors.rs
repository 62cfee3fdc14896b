//! Embeddings (<https://cloud.ibm.com/apidocs/watsonx-ai#text-embeddings>) and reranking
//! (<https://cloud.ibm.com/apidocs/watsonx-ai#text-rerank>), which count their input alike.

use serde::Deserialize;

use super::{claim, first_error};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, OperationName, Provider},
        dialect::{Claim, Dialect, Fold, Malformed},
        document::Document,
        field::{Field, Kind},
    },
    wire::RequestHead,
};

/// Embeddings.
pub(in crate::genai::dialect) struct WatsonxEmbeddings;

/// Reranking.
pub(in crate::genai::dialect) struct WatsonxRerank;

impl Dialect for WatsonxEmbeddings {
    fn name(&self) -> &'static str {
        "watsonx.embeddings"
    }

    fn operation(&self) -> OperationName {
        OperationName::Embeddings
    }

    fn provider(&self) -> Provider {
        Provider::IbmWatsonxAi
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        claim(head, "/text/embeddings")
    }

    fn open(&self, _: &RequestHead) -> Box<dyn Fold> {
        Box::new(Vectors)
    }
}

impl Dialect for WatsonxRerank {
    fn name(&self) -> &'static str {
        "watsonx.rerank"
    }

    fn operation(&self) -> OperationName {
        OperationName::Rerank
    }

    fn provider(&self) -> Provider {
        Provider::IbmWatsonxAi
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        claim(head, "/text/rerank")
    }

    fn open(&self, _: &RequestHead) -> Box<dyn Fold> {
        Box::new(Vectors)
    }
}

struct Vectors;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    model_id: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer<'a> {
    #[serde(borrow)]
    model_id: Field<'a>,
    #[serde(borrow)]
    results: Field<'a>,
    #[serde(borrow)]
    input_token_count: Field<'a>,
}

impl Fold for Vectors {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        let body: Body<'_> = body.object(budget).ok_or(Malformed)?;
        call.request.model = body.model_id.label(budget);
        Ok(true)
    }

    fn error(&self, body: Field<'_>, budget: &mut Budget) -> Option<CallError> {
        first_error(body, budget)
    }

    fn response(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        let answer: Answer<'_> = body.object(budget).ok_or(Malformed)?;
        if answer.results.kind() != Kind::Array {
            return Err(Malformed);
        }
        call.response.model = answer.model_id.label(budget);
        call.usage.input = answer.input_token_count.count(budget);
        Ok(())
    }
}
