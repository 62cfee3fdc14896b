//! Spans without what was said in their calls, where that goes elsewhere.

use std::sync::Arc;

use super::{Batching, BoxFuture, Exporter, Failure};
use crate::contract::{Delivery, Place};

/// Takes content off what another exporter gets, if the span says that it goes elsewhere: what the settings are now says nothing of
/// spans that an earlier run left in the journal.
pub(super) struct WithoutContent(pub Box<dyn Exporter>);

impl Exporter for WithoutContent {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn kept_as(&self) -> Option<String> {
        self.0.kept_as()
    }

    fn batching(&self) -> Batching {
        self.0.batching()
    }

    fn export<'a>(&'a mut self, batch: &'a [Arc<Delivery>]) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let fit = |delivery: &Arc<Delivery>| {
                let whole = delivery.span.goes_to(Place::Spans);
                if whole { Arc::clone(delivery) } else { Arc::new(delivery.without_content()) }
            };
            let fit: Vec<_> = batch.iter().map(fit).collect();
            self.0.export(&fit).await
        })
    }

    fn shutdown(&mut self) -> BoxFuture<'_, ()> {
        self.0.shutdown()
    }
}
