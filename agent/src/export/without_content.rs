//! Spans without what was said in their calls, for where that goes elsewhere.

use std::sync::Arc;

use super::{Batching, BoxFuture, Exporter, Failure};
use crate::contract::Delivery;

/// Takes content off whatever another exporter gets.
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
            let bare: Vec<_> = batch.iter().map(|delivery| Arc::new(delivery.without_content())).collect();
            self.0.export(&bare).await
        })
    }

    fn shutdown(&mut self) -> BoxFuture<'_, ()> {
        self.0.shutdown()
    }
}
