//! Deliveries that follow each other in one block, for one consumer: on a busy connection nearly all.
//!
//! What is the same for all of them is looked at once, and what they add up to is noted once. What is
//! unusual about one of them ends the run; it is then taken alone, by [`Channel::delivered`], or frame
//! by frame. Both ways come to the same, which a test in `proto/tests/runs.rs` holds them to.

use super::*;
use crate::wire::Decoder;

/// A run that may begin.
pub(in crate::proto) struct Run<'a> {
    id: u16,
    epoch: u32,
    consumer_tag: &'a [u8],
    consumer: &'a mut Consumer,
    unsettled: &'a mut Unsettled,
    core: &'a mut Core,
    /// The delivery tag that is next.
    next: u64,
}

/// What the deliveries of a run add up to.
#[derive(Default)]
struct Sum {
    messages: usize,
    charged: usize,
    body_bytes: usize,
    redelivered: usize,
}

impl Channel {
    /// A run for this consumer. Nothing where its deliveries are to be taken one by one.
    pub(in crate::proto) fn run<'a>(
        &'a mut self,
        consumer_tag: &'a [u8],
        number: Option<u32>,
        core: &'a mut Core,
    ) -> Option<Run<'a>> {
        let consumer =
            self.consumers.iter_mut().find(|consumer| Some(consumer.number) == number)?;
        let is_usual = !self.reads_streams
            && !consumer.is_unwanted()
            && consumer.spec.queue.as_str() != DIRECT_REPLY_TO;
        let next = self.unsettled.next().filter(|_| is_usual)?;
        let (id, epoch, unsettled) = (self.id, self.epoch, &mut self.unsettled);
        Some(Run { id, epoch, consumer_tag, consumer, unsettled, core, next })
    }
}

impl Run<'_> {
    /// Takes all that there are. False when there is none.
    // Apart, so that all of it stays in registers.
    #[inline(never)]
    pub(in crate::proto) fn take(self, decoder: &Decoder, block: &Bytes, at: &mut usize) -> bool {
        let Run { id, epoch, consumer_tag, consumer, unsettled, core, mut next } = self;
        let automatic = consumer.spec.automatic;
        let mut sum = Sum::default();
        while let Some(found) = decoder.whole_delivery(block, *at)
            && found.delivery_tag == next
            && found.channel == id
            && found.consumer_tag == consumer_tag
            && core.limits.admit(&found)
        {
            *at = found.end;
            next += 1;
            sum.messages += 1;
            sum.body_bytes += found.body.len();
            sum.redelivered += usize::from(found.redelivered);
            sum.charged += consumer.push(Arrival {
                tag: found.delivery_tag,
                epoch,
                marks: Marks::new(found.redelivered, automatic),
                content: Content::whole(block, &found),
            });
        }
        if sum.messages == 0 {
            return false;
        }
        unsettled.delivered_in_turn(sum.messages, !automatic);
        core.traffic.deliver(sum.messages, sum.body_bytes, sum.redelivered);
        consumer.has_more(sum.messages, sum.charged, core);
        true
    }
}
