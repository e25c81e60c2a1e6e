use super::model::Model;
use super::store::{Answer, Holder, Store};

/// Everything at one tick: small, as there are millions of them. The machines are kept once each,
/// in an [`Arena`](super::arena::Arena); a world says which.
#[derive(Clone, Copy, Debug)]
pub(super) struct World {
    pub(super) time: u8,
    pub(super) store: Store,
    pub(super) left: super::Budget,
    pub(super) may_forget: bool,
    /// The highest term that anybody has believed in, and who.
    pub(super) top: Option<(u8, Holder)>,
    pub(super) units: [Unit; Model::UNITS_MAX],
    pub(super) flight: Flight,
}

/// A unit, and what is known of it beside its machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Unit {
    /// Its machine and its books; [`Unit::DOWN`] if it does not run.
    pub(super) machine: u32,
    /// The nonce of its process's first tenure.
    pub(super) first_nonce: u8,
    /// The watch that was told of the lease being free.
    pub(super) told: u8,
    /// The latest yes that it gave.
    pub(super) yes: Option<Yes>,
}

/// A yes that still has to hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Yes {
    pub(super) nonce: u8,
    /// The first tick at which it need not hold any more.
    pub(super) until: u8,
}

impl Unit {
    pub(super) const DOWN: u32 = u32::MAX;

    pub(super) fn is_up(&self) -> bool {
        self.machine != Unit::DOWN
    }

    /// All but the machine, in one number.
    fn code(&self) -> u64 {
        let (nonce, until) = self.yes.map_or((0, 0), |yes| (yes.nonce + 1, yes.until));
        u64::from_le_bytes([self.first_nonce, self.told, nonce, until, 0, 0, 0, 0])
    }
}

/// A message under way. It may arrive at any later time, or never.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Message {
    ClaimRequest { unit: u8, nonce: u8, attempt: u8, sent: u8 },
    ReleaseRequest { unit: u8, nonce: u8 },
    ClaimReply { unit: u8, nonce: u8, attempt: u8, sent: u8, answer: Answer },
    ReleaseReply { unit: u8, tenure: u8 },
    WatchReply { unit: u8, watch: u8 },
}

impl Message {
    fn is_to_unit(self, index: u8) -> bool {
        match self {
            Message::ClaimRequest { .. } | Message::ReleaseRequest { .. } => false,
            Message::ClaimReply { unit, .. }
            | Message::ReleaseReply { unit, .. }
            | Message::WatchReply { unit, .. } => unit == index,
        }
    }

    /// In one number, with the units renamed.
    fn code(self, names: &[u8; Model::UNITS_MAX]) -> u64 {
        let name = |unit: u8| names[usize::from(unit)];
        let bytes = match self {
            Message::ClaimRequest { unit, nonce, attempt, sent } => {
                [1, name(unit), nonce, attempt, sent, 0]
            }
            Message::ReleaseRequest { unit, nonce } => [2, name(unit), nonce, 0, 0, 0],
            Message::ClaimReply { unit, nonce, attempt, sent, answer } => match answer {
                Answer::Granted { term } => [3, name(unit), nonce, attempt, sent, term],
                Answer::Denied { retry_after: None } => [4, name(unit), nonce, attempt, sent, 0],
                Answer::Denied { retry_after: Some(ticks) } => {
                    [5, name(unit), nonce, attempt, sent, ticks]
                }
            },
            Message::ReleaseReply { unit, tenure } => [6, name(unit), tenure, 0, 0, 0],
            Message::WatchReply { unit, watch } => [7, name(unit), watch, 0, 0, 0],
        };
        let [a, b, c, d, e, f] = bytes;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }
}

/// The messages under way, in the order of their values: they have no order of their own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    messages: [Message; Flight::MAX],
    len: u8,
}

impl Flight {
    /// Room for what one step can add.
    const MAX: usize = Model::FLIGHT_MAX + Model::UNITS_MAX + 1;

    pub(super) fn new() -> Flight {
        Flight { messages: [Message::ReleaseRequest { unit: 0, nonce: 0 }; Flight::MAX], len: 0 }
    }

    pub(super) fn messages(&self) -> &[Message] {
        &self.messages[..usize::from(self.len)]
    }

    pub(super) fn add(&mut self, message: Message) {
        let at = self.messages().partition_point(|&other| other < message);
        let end = usize::from(self.len);
        assert!(end < Flight::MAX, "more messages under way than there is room for");
        self.messages.copy_within(at..end, at + 1);
        self.messages[at] = message;
        self.len += 1;
    }

    pub(super) fn take(&mut self, index: usize) {
        let end = usize::from(self.len);
        self.messages.copy_within(index + 1..end, index);
        self.len -= 1;
    }

    /// The connection of a unit is gone: nothing reaches it any more.
    pub(super) fn drop_all_to(&mut self, unit: u8) {
        for index in (0..self.messages().len()).rev() {
            if self.messages[index].is_to_unit(unit) {
                self.take(index);
            }
        }
    }
}

impl World {
    /// Writes down all that this world is, with unit `i` renamed to `names[i]`. `digests` are the
    /// units' machines, in the old order.
    pub(super) fn encode(
        &self,
        names: &[u8; Model::UNITS_MAX],
        digests: &[u128; Model::UNITS_MAX],
        mut write: impl FnMut(u64),
    ) {
        let renamed = |holder: Option<Holder>| match holder {
            Some(Holder { unit, nonce }) => [names[usize::from(unit)] + 1, nonce],
            None => [0, 0],
        };
        let [holder, nonce] = renamed(self.store.holder);
        let [top, top_nonce] = renamed(self.top.map(|(_, holder)| holder));
        let top_term = self.top.map_or(0, |(term, _)| term);
        let Store { term, expires, .. } = self.store;
        write(u64::from_le_bytes([
            self.time, holder, nonce, term, expires, top, top_nonce, top_term,
        ]));
        let super::Budget { asks, crashes, duplicates, failures, resignations } = self.left;
        let forget = u8::from(self.may_forget);
        let len = self.flight.len;
        write(u64::from_le_bytes([
            asks,
            crashes,
            duplicates,
            failures,
            resignations,
            forget,
            len,
            0,
        ]));
        for name in 0..names.len() as u8 {
            for index in (0..names.len()).filter(|&index| names[index] == name) {
                write(digests[index] as u64);
                write((digests[index] >> 64) as u64);
                write(self.units[index].code());
            }
        }
        let mut codes = [0; Flight::MAX];
        let codes = &mut codes[..usize::from(len)];
        for (code, message) in codes.iter_mut().zip(self.flight.messages()) {
            *code = message.code(names);
        }
        codes.sort_unstable();
        codes.iter().for_each(|&code| write(code));
    }
}
