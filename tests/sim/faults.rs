//! What goes wrong: the network, the broker, the operator.

use hopmq::{fsm::Time, proto::Loss, wire::ReplyCode};

use crate::{
    client::Socket,
    world::{ON_PURPOSE, World},
};

impl World {
    /// Something goes wrong.
    pub(crate) fn misfortune(&mut self) {
        let c = self.random.below(self.clients.len());
        let now = self.now;
        let what = self.random.below(18);
        self.note(|| format!("misfortune {what} for client {c}"));
        match what {
            0 | 1 => self.cut(c),
            2 => self.stall(c, 2_000),
            3 => self.stall(c, 120_000),
            4 => self.refuse_until = now + self.random.millis(20_000),
            5 | 6 => self.set_alarm(!self.alarm()),
            7 | 8 => self.set_withheld(!self.withheld()),
            9 => {
                let count = self.random.below(4) as u64;
                self.broker.nack_publishes(count);
            }
            10 => {
                let codes = [ReplyCode::CONNECTION_FORCED, ReplyCode::INTERNAL_ERROR];
                let code = codes[self.random.below(2)];
                if let Some(peer) = self.peer(c) {
                    self.broker.close_connection(peer, code, ON_PURPOSE, now);
                }
            }
            11 | 12 => {
                let channel = 1 + self.random.below(6) as u16;
                if let Some(peer) = self.peer(c) {
                    let code = ReplyCode::PRECONDITION_FAILED;
                    self.broker.close_channel(peer, channel, code, ON_PURPOSE, now);
                }
            }
            13 => {
                let queue = ["q0", "q1", "q2", "lossy"][self.random.below(4)];
                self.broker.cancel_consumers(queue, now);
            }
            14 => {
                self.broker.delete_queue("lossy", now);
            }
            15 => self.jam(c),
            16 if self.random.once_in(4) => {
                let call = self.clients[c].connection.close(now);
                self.clients[c].connection.abandon_call(now, call);
                self.clients[c].closing = true;
                self.drain(c);
            }
            _ => self.crash(c),
        }
    }

    fn link(&self, c: usize) -> Option<usize> {
        match self.clients[c].socket {
            Socket::Up(link) | Socket::Shutting(link, _) => Some(link),
            _ => None,
        }
    }

    fn peer(&self, c: usize) -> Option<hopmq::broker::ConnectionId> {
        self.link(c).map(|link| self.links[link].peer)
    }

    /// The link breaks; each side learns of it after what of its bytes still got through.
    fn cut(&mut self, c: usize) {
        let Some(l) = self.link(c) else { return };
        let keep = self.random.below(self.links[l].up.bytes.len() + 1);
        self.links[l].up.cut(keep);
        let keep = self.random.below(self.links[l].down.bytes.len() + 1);
        self.links[l].down.cut(keep);
        // One of the two may learn of it much later: the close is lost.
        let later = self.now + self.random.millis(90_000);
        self.jammed = true;
        match self.random.below(4) {
            0 => self.links[l].up.stalled_until = later,
            1 => self.links[l].down.stalled_until = later,
            _ => {}
        }
    }

    /// The client's system says that the connection was reset; the broker may not know.
    fn crash(&mut self, c: usize) {
        if let Some(l) = self.link(c) {
            if self.random.once_in(2) {
                let keep = self.random.below(self.links[l].up.bytes.len() + 1);
                self.links[l].up.cut(keep);
            }
            self.lost(c, Loss::Io(std::io::ErrorKind::ConnectionReset));
        }
    }

    /// Nothing gets through for a while, one way or both.
    fn stall(&mut self, c: usize, most: usize) {
        let Some(l) = self.link(c) else { return };
        let until = self.now + self.random.millis(most);
        self.jammed = true;
        let ways = 1 + self.random.below(3);
        if ways & 1 != 0 {
            self.links[l].up.stalled_until = until;
        }
        if ways & 2 != 0 {
            self.links[l].down.stalled_until = until;
        }
    }

    /// Writes do not go out for a while.
    fn jam(&mut self, c: usize) {
        let Some(l) = self.link(c) else { return };
        let until = self.now + self.random.millis(30_000);
        self.jammed = true;
        self.links[l].up.jammed_until = until;
        if self.random.once_in(2) {
            self.links[l].down.jammed_until = until;
        }
    }

    /// Nothing goes wrong any more.
    pub(crate) fn heal(&mut self) {
        self.active = false;
        self.refuse_until = Time::ZERO;
        self.set_alarm(false);
        self.set_withheld(false);
        self.broker.nack_publishes(0);
        for link in &mut self.links {
            link.up.heal(self.now);
            link.down.heal(self.now);
        }
    }
}
