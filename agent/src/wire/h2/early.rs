//! Responses that are seen before their requests, as over HTTP/1.x: the thread that writes has not returned from it yet
//! when another one has read the response.

use std::collections::VecDeque;

use super::{
    Http2,
    reader::{Block, Step},
};
use crate::{capture::Direction, time::Timestamp, wire::Event};

/// What came of responses for which no request was seen, and all that came after it: heads refer to those before.
#[derive(Default)]
pub(super) struct Early {
    steps: VecDeque<(Timestamp, Step)>,
    held: usize,
}

impl Early {
    /// Bytes that are held.
    pub fn held(&self) -> usize {
        self.held
    }

    fn push(&mut self, time: Timestamp, step: Step) {
        self.held += size(&step);
        self.steps.push_back((time, step));
    }

    fn pop(&mut self) -> Option<(Timestamp, Step)> {
        let (time, step) = self.steps.pop_front()?;
        self.held -= size(&step);
        Some((time, step))
    }
}

fn size(step: &Step) -> usize {
    let bytes = match step {
        Step::Data { bytes, .. } | Step::Block(Block { bytes: Some(bytes), .. }) => bytes.len(),
        _ => 0,
    };
    size_of::<Step>() + bytes
}

impl Http2 {
    /// Takes a step when it is its turn.
    pub(super) fn step_in_turn(
        &mut self,
        direction: Direction,
        time: Timestamp,
        step: Step,
        cut: bool,
        out: &mut Vec<Event>,
    ) {
        let Some(requests) = self.requests.filter(|requests| *requests != direction) else {
            if matches!(step, Step::Lost | Step::Malformed | Step::Skipped(_)) {
                self.missed = true;
                self.settle_all(time, out);
            }
            self.step(direction, time, step, cut, out);
            self.settle_early(time, out);
            return;
        };
        let about = step.stream().filter(|stream| !stream.is_multiple_of(2));
        let waits = !self.early.steps.is_empty() || about.is_some_and(|stream| stream > self.newest);
        // Where requests were missed, this may be the response to one of them.
        if about.is_some()
            && waits
            && !self.missed
            && self.side(requests).reader.is_whole()
            && self.early.held() + size(&step) <= self.limits.head_bytes
        {
            self.early.push(time, step);
            return;
        }
        self.settle_all(time, out);
        self.step(direction, time, step, cut, out);
    }

    /// Reads what was held, up to what still waits for its request.
    fn settle_early(&mut self, time: Timestamp, out: &mut Vec<Event>) {
        let newest = self.newest;
        let waits = |step: &Step| step.stream().is_some_and(|stream| stream > newest);
        while self.early.steps.front().is_some_and(|(_, step)| !waits(step)) {
            self.settle_one(time, out);
        }
    }

    /// Reads all that was held: what it waits for won't come.
    pub(super) fn settle_all(&mut self, time: Timestamp, out: &mut Vec<Event>) {
        while self.settle_one(time, out) {}
    }

    fn settle_one(&mut self, time: Timestamp, out: &mut Vec<Event>) -> bool {
        let (Some(requests), Some((then, step))) = (self.requests, self.early.pop()) else { return false };
        self.step(requests.opposite(), time.max(then), step, false, out);
        true
    }
}
