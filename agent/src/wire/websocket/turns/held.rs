//! What the next turn of a session is asked with.

use std::collections::VecDeque;

use bytes::Bytes;

use super::event;
use crate::wire::{Body, Missing};

/// Messages that stand before a turn begins: those that hold for the whole session, and those that are new.
pub(super) struct Held {
    /// By what they are; a newer one replaces the one before.
    standing: Vec<(&'static str, Bytes)>,
    news: VecDeque<Bytes>,
    /// Bytes of all.
    len: usize,
    /// Most of them.
    limit: usize,
    /// What is missing among the news.
    missing: Vec<Missing>,
}

/// Most gaps among the news that are told apart.
const GAPS: usize = 16;

impl Held {
    pub fn new(limit: usize) -> Self {
        Self { standing: Vec::new(), news: VecDeque::new(), len: 0, limit, missing: Vec::new() }
    }

    /// Bytes that are held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// A message that holds for the session.
    pub fn stand(&mut self, what: &'static str, data: Bytes) {
        self.drop_standing(what);
        if self.fits(&data) {
            self.standing.push((what, data));
        }
    }

    /// It doesn't hold any longer.
    pub fn drop_standing(&mut self, what: &'static str) {
        if let Some(at) = self.standing.iter().position(|(slot, _)| *slot == what) {
            self.len -= self.standing.remove(at).1.len();
        }
    }

    /// A message that the next turn is asked with.
    pub fn add(&mut self, data: Bytes) {
        if self.fits(&data) {
            self.news.push_back(data);
        }
    }

    /// One of those is missing.
    pub fn lost(&mut self, missing: Missing) {
        if self.missing.len() < GAPS {
            self.missing.push(missing);
        }
    }

    fn fits(&mut self, data: &Bytes) -> bool {
        let fits = self.len + data.len() <= self.limit;
        if fits {
            self.len += data.len();
        } else {
            self.lost(Missing { len: Some(data.len() as u64), cut: true });
        }
        fits
    }

    /// All of it, for a turn that begins.
    pub fn take(&mut self) -> Vec<Body> {
        let news = std::mem::take(&mut self.news);
        self.len -= news.iter().map(Bytes::len).sum::<usize>();
        let missing = std::mem::take(&mut self.missing).into_iter().map(Body::Missing);
        let standing = self.standing.iter().map(|(_, data)| data.clone());
        standing.chain(news).map(event).chain(missing).collect()
    }
}
