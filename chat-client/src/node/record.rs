//! What happened to the packets and to the own messages of this process, as far back as memory goes.
//!
//! ```text
//!   the session's trace ─▶ rows of a ladder
//!   what was sealed, stored, delivered ─▶ the life of a message, with the packets that carried it
//! ```
//!
//! Pure: every time is counted from when the record began.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Range,
    time::Duration,
};

use protocol::{
    ids::{AccountId, ConversationId, Counter, Seq},
    lab::strategy::Cause,
    message::session::{Accepted, MemberProgress, ProgressCount},
    transport::datagram::{
        Reason,
        trace::{Frame, Gauges, Packet, What},
    },
};

use crate::{
    lab::ladder::{Fate, Row, Step, Trace, Way, again_words, time},
    net::Carrier,
};

/// Packets that are remembered: some minutes of a lively conversation.
const ROWS_MAX: usize = 1_000;
/// Own messages whose lives are remembered.
const MESSAGES_MAX: usize = 256;
/// Round trips of the curve.
const TRIPS_MAX: usize = 120;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Record {
    rows: VecDeque<Row>,
    /// Rows that were forgotten.
    forgotten: u64,
    /// Where the packets of this session that nobody has answered are, counted with the forgotten.
    under_way: BTreeMap<u64, u64>,
    /// Messages of this session that are sealed and that its trace has not shown, in order.
    sealed: VecDeque<Option<Counter>>,
    messages: VecDeque<Message>,
    gauges: Gauges,
    trips: VecDeque<Duration>,
    lost: u64,
    again: u64,
}

/// An own message.
#[derive(Debug)]
struct Message {
    counter: Counter,
    /// When it was composed.
    queued: Duration,
    /// Where it is in the session that carries it, over datagrams.
    place: Option<(u8, Range<u64>)>,
    /// Packets of that session with parts of it, and those parts.
    packets: BTreeMap<u64, Range<u64>>,
    /// What nobody has acknowledged.
    missing: Vec<Range<u64>>,
    /// Where it is in the log.
    stored: Option<(ConversationId, Seq)>,
    /// Who has it, and who has read it.
    delivered: Reached,
    read: Reached,
    steps: Vec<(Duration, String)>,
}

/// Who has a message, or has read it. A relay names others in small conversations and counts them in
/// large ones; a message keeps to the first that was heard of it.
#[derive(Debug, Default)]
enum Reached {
    #[default]
    Nobody,
    Named(BTreeSet<AccountId>),
    Counted(u32),
}

impl Reached {
    /// Whether this is news of somebody.
    fn by(&mut self, account: AccountId) -> bool {
        match self {
            Self::Nobody => {
                *self = Self::Named(BTreeSet::from([account]));
                true
            }
            Self::Named(who) => who.insert(account),
            Self::Counted(_) => false,
        }
    }

    /// Whether these are the first, or all for the first time. Who is in between is not told: there
    /// are many.
    fn by_many(&mut self, count: u32, of: u32) -> bool {
        match *self {
            Self::Nobody if count == 0 => false,
            Self::Nobody => {
                *self = Self::Counted(count);
                true
            }
            Self::Counted(before) => {
                *self = Self::Counted(count);
                count > before && count == of
            }
            Self::Named(_) => false,
        }
    }
}

impl Record {
    /// Another session begins: its packets are numbered anew.
    pub(super) fn begin_session(&mut self) {
        self.under_way.clear();
        self.sealed.clear();
        for message in &mut self.messages {
            message.place = None;
            message.packets.clear();
        }
    }

    /// A message is given to the session. `own` is its number and how long ago it was composed, if it
    /// is something that somebody says.
    pub(super) fn on_sealed(
        &mut self,
        now: Duration,
        carrier: Carrier,
        own: Option<(Counter, Duration)>,
    ) {
        if carrier == Carrier::Udp {
            self.sealed.push_back(own.map(|(counter, _)| counter));
        }
        let Some((counter, age)) = own else { return };
        if self.message(counter).is_none() {
            if self.messages.len() == MESSAGES_MAX {
                self.messages.pop_front();
            }
            let queued = now.saturating_sub(age);
            self.messages.push_back(Message {
                counter,
                queued,
                place: None,
                packets: BTreeMap::new(),
                missing: Vec::new(),
                stored: None,
                delivered: Reached::default(),
                read: Reached::default(),
                steps: vec![(queued, "queued".to_owned())],
            });
        }
        if let Some(message) = self.message(counter) {
            message.steps.push((
                now,
                match carrier {
                    Carrier::Udp => "sealed".to_owned(),
                    Carrier::Tcp => "sealed, and given to TCP: no trace of its packets".to_owned(),
                },
            ));
        }
    }

    /// The session did something.
    pub(super) fn on_event(&mut self, at: Duration, what: &What) {
        match what {
            What::Written { stream, range } => {
                let counter = self.sealed.pop_front().flatten();
                if let Some(message) = counter.and_then(|counter| self.message(counter)) {
                    message.place = Some((*stream, range.clone()));
                    message.missing = vec![range.clone()];
                }
            }
            What::Sent { packet, reason } => self.on_sent(at, packet, *reason),
            What::Received(packet) => {
                let what = self.describe(packet);
                let note = String::new();
                let fate = Fate::Arrived { after: Duration::ZERO, note };
                let (packet, bytes) = (packet.number, packet.bytes);
                self.push(Row { at, way: Way::Back, packet, bytes, what, again: None, fate });
            }
            What::Acked { number } => self.on_acked(at, *number),
            What::Lost { number, reason } => self.on_lost(at, *number, *reason),
            What::Gauges(gauges) => {
                if gauges.latest != self.gauges.latest {
                    self.trips.push_back(gauges.latest);
                    if self.trips.len() > TRIPS_MAX {
                        self.trips.pop_front();
                    }
                }
                self.gauges = *gauges;
            }
            // What is not known is not shown.
            What::Missed(_) => {}
        }
    }

    /// The relay has it on its disk.
    pub(super) fn on_stored(&mut self, now: Duration, accepted: &Accepted) {
        let Accepted { conversation, counter, seq, .. } = *accepted;
        let Some(message) = self.message(counter).filter(|message| message.stored.is_none()) else {
            return;
        };
        message.stored = Some((conversation, seq));
        message.steps.push((now, format!("stored by the relay, as record {}", seq.0)));
    }

    /// Somebody else has everything up to there, and has read up to there.
    pub(super) fn on_reached(
        &mut self,
        now: Duration,
        conversation: ConversationId,
        member: MemberProgress,
        name: &str,
    ) {
        let MemberProgress { account, received, read } = member;
        for message in &mut self.messages {
            let Some((_, seq)) = message.stored.filter(|(at, _)| *at == conversation) else {
                continue;
            };
            if seq <= received && message.delivered.by(account) {
                message.steps.push((now, format!("delivered to {name}")));
            }
            if seq <= read && message.read.by(account) {
                message.steps.push((now, format!("read by {name}")));
            }
        }
    }

    /// So many others have got as far as a message, and read as far.
    pub(super) fn on_counted(&mut self, now: Duration, progress: &ProgressCount) {
        let ProgressCount { conversation, seq, received, read, of } = *progress;
        let is_it = |message: &&mut Message| message.stored == Some((conversation, seq));
        let Some(message) = self.messages.iter_mut().find(is_it) else { return };
        if message.delivered.by_many(received, of) {
            message.steps.push((now, format!("delivered to {received} of {of}")));
        }
        if message.read.by_many(read, of) {
            message.steps.push((now, format!("read by {read} of {of}")));
        }
    }

    /// The newest packets, and what is believed of the path.
    pub(super) fn view(&self, now: Duration, rows: usize) -> Trace {
        let skipped = self.rows.len().saturating_sub(rows);
        Trace {
            now,
            rows: self.rows.iter().skip(skipped).cloned().collect(),
            round_trip: self.gauges.smoothed,
            latest: self.gauges.latest,
            minimum: self.gauges.minimum,
            timer: self.gauges.probe_interval,
            window_bytes: self.gauges.window_bytes,
            in_flight_bytes: self.gauges.in_flight_bytes,
            trips: self.trips.iter().copied().collect(),
            lost: self.lost,
            again: self.again,
        }
    }

    /// What became of an own message, if that is remembered.
    pub(super) fn life(&self, counter: Counter) -> Option<Vec<Step>> {
        let message = self.messages.iter().find(|message| message.counter == counter)?;
        let step = |(at, what): &(Duration, String)| Step {
            after: at.saturating_sub(message.queued),
            what: what.clone(),
        };
        let mut steps: Vec<Step> = message.steps.iter().map(step).collect();
        // What the relay says is known before what its packet acknowledges is asked for.
        steps.sort_by_key(|step| step.after);
        Some(steps)
    }

    fn on_sent(&mut self, at: Duration, packet: &Packet, reason: Reason) {
        let what = self.describe(packet);
        let again = Cause::of(reason).and_then(again_words).map(str::to_owned);
        self.again += u64::from(again.is_some());
        let (number, bytes) = (packet.number, packet.bytes);
        let timer = self.gauges.probe_interval;
        for (stream, part) in packet.parts() {
            for message in self.messages.iter_mut().rev() {
                let Some((_, range)) = message.place.as_ref().filter(|(of, _)| *of == stream)
                else {
                    continue;
                };
                let common = part.start.max(range.start)..part.end.min(range.end);
                if common.is_empty() {
                    continue;
                }
                let whole = if common == *range { "" } else { " with a part of it" };
                let why = again_reason(reason, timer);
                message.steps.push((at, format!("packet {number}{whole} sent{why}")));
                message.packets.insert(number, common);
            }
        }
        self.under_way.insert(number, self.forgotten + self.rows.len() as u64);
        let fate = Fate::UnderWay;
        self.push(Row { at, way: Way::Out, packet: number, bytes, what, again, fate });
    }

    fn on_acked(&mut self, at: Duration, number: u64) {
        let note = "acked".to_owned();
        self.decide(number, |row| Fate::Arrived { after: at.saturating_sub(row.at), note });
        for message in &mut self.messages {
            let Some(part) = message.packets.remove(&number) else { continue };
            let was_missing = !message.missing.is_empty();
            message.missing =
                message.missing.iter().flat_map(|range| without(range, &part)).collect();
            let all = if was_missing && message.missing.is_empty() {
                ": the relay has all of it"
            } else {
                ""
            };
            message.steps.push((at, format!("packet {number} acknowledged{all}")));
        }
    }

    fn on_lost(&mut self, at: Duration, number: u64, reason: Reason) {
        self.lost += 1;
        self.decide(number, |row| Fate::Lost {
            after: at.saturating_sub(row.at),
            why: lost_words(reason).to_owned(),
        });
        for message in &mut self.messages {
            if message.packets.contains_key(&number) {
                message.steps.push((at, format!("packet {number} lost: {}", lost_reason(reason))));
            }
        }
    }

    fn decide(&mut self, number: u64, fate: impl FnOnce(&Row) -> Fate) {
        // What was given up may be acknowledged after all.
        let Some(index) = self.under_way.get(&number) else { return };
        let index = index.checked_sub(self.forgotten).and_then(|it| usize::try_from(it).ok());
        if let Some(row) = index.and_then(|index| self.rows.get_mut(index)) {
            row.fate = fate(row);
        }
    }

    fn push(&mut self, row: Row) {
        if self.rows.len() == ROWS_MAX {
            self.rows.pop_front();
            self.forgotten += 1;
            let forgotten = self.forgotten;
            self.under_way.retain(|_, index| *index >= forgotten);
        }
        self.rows.push_back(row);
    }

    fn message(&mut self, counter: Counter) -> Option<&mut Message> {
        self.messages.iter_mut().rev().find(|message| message.counter == counter)
    }

    /// What a packet carries, in few words.
    fn describe(&self, packet: &Packet) -> String {
        let mut words: Vec<String> = Vec::new();
        for frame in packet.frames() {
            let word = match frame {
                Frame::Stream { stream, offset, data } => {
                    let end = offset + data.len() as u64;
                    self.messages
                        .iter()
                        .rev()
                        .find(|message| {
                            message.place.as_ref().is_some_and(|(of, range)| {
                                *of == stream && offset < range.end && range.start < end
                            })
                        })
                        .map_or_else(
                            || format!("stream {stream}"),
                            |message| format!("message {}", message.counter.0),
                        )
                }
                Frame::Ack(ack) => format!("ack {}", ack.largest),
                Frame::Ping | Frame::AckNow => "ping".to_owned(),
                Frame::Credit(_) => "credit".to_owned(),
                Frame::Challenge(_) | Frame::Response(_) => "path".to_owned(),
                Frame::Close => "close".to_owned(),
                Frame::Name(_) => "name".to_owned(),
                Frame::Congested(_) => "congestion".to_owned(),
            };
            if !words.contains(&word) {
                words.push(word);
            }
        }
        words.join(", ")
    }
}

/// What of a range is not in another one.
fn without(range: &Range<u64>, part: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let before = range.start..range.end.min(part.start);
    let after = range.start.max(part.end)..range.end;
    [before, after].into_iter().filter(|rest| !rest.is_empty())
}

fn again_reason(reason: Reason, timer: Duration) -> String {
    match reason {
        Reason::Control | Reason::First => String::new(),
        Reason::Order => ", again: packets sent later have arrived".to_owned(),
        Reason::Time => ", again: one sent later has arrived, and time went by".to_owned(),
        Reason::Overdue => {
            format!(", again: nothing was heard; the timer stood at {}", time(timer))
        }
        Reason::Copy => ", a further copy with the same try".to_owned(),
    }
}

const fn lost_words(reason: Reason) -> &'static str {
    match reason {
        Reason::Order => "lost: overtaken",
        Reason::Time => "lost: overtaken, late",
        Reason::Overdue => "lost: late",
        Reason::Control | Reason::First | Reason::Copy => "lost",
    }
}

const fn lost_reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Order => "packets sent later have arrived",
        Reason::Time => "one sent later has arrived, and more time went by than the path varies",
        Reason::Overdue => "nothing was heard of it for too long",
        Reason::Control | Reason::First | Reason::Copy => "given up",
    }
}

#[cfg(test)]
mod tests {
    use protocol::{
        time::{Timestamp, WallTime},
        transport::datagram::{Algorithm, Codepoint, StreamKey, Transport, Trust, trace::Payloads},
    };

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const ROOM: ConversationId = ConversationId([1; 16]);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    /// A session of ours whose packets are lost or not, and its peer, 10 ms away.
    struct Pair {
        here: Transport,
        there: Transport,
        now: u64,
        record: Record,
    }

    impl Pair {
        fn new() -> Self {
            let end = || {
                let trip = Some(20 * MS);
                Transport::new(at(0), Algorithm::default(), trip, Trust::Known, 30)
            };
            let mut here = end();
            here.record(Some(Payloads::Withheld));
            Self { here, there: end(), now: 0, record: Record::default() }
        }

        fn say(&mut self, counter: u64, bytes: &[u8]) {
            let now = MS * u32::try_from(self.now).expect("small");
            self.record.on_sealed(now, Carrier::Udp, Some((Counter(counter), MS)));
            self.here.write(StreamKey::Live(ROOM.0), bytes);
        }

        /// Lets time go by, a millisecond at a time; loses the packets of ours that are listed.
        fn run(&mut self, millis: u64, lost: &[u64]) {
            for _ in 0..millis {
                let now = at(self.now);
                for end in [&mut self.here, &mut self.there] {
                    if end.poll_timeout().is_some_and(|due| due <= now) {
                        end.handle_timeout(now);
                    }
                }
                let mut content = Vec::new();
                while let Some(number) = self.here.poll_packet(now, &mut content) {
                    if !lost.contains(&number) {
                        self.there
                            .handle_packet(now, number, Codepoint::NotCapable, &content)
                            .expect("frames");
                    }
                    content.clear();
                }
                while let Some(number) = self.there.poll_packet(now, &mut content) {
                    self.here
                        .handle_packet(now, number, Codepoint::NotCapable, &content)
                        .expect("frames");
                    content.clear();
                }
                self.now += 1;
            }
            for event in self.here.take_trace() {
                self.record.on_event(event.at.since(Timestamp::ZERO), &event.what);
            }
        }
    }

    fn words(record: &Record, counter: u64) -> Vec<String> {
        let life = record.life(Counter(counter)).expect("it is remembered");
        assert!(life.is_sorted_by_key(|step| step.after), "{life:?}");
        life.into_iter().map(|step| step.what).collect()
    }

    fn accepted(counter: u64, seq: u64) -> Accepted {
        let time = WallTime::from_millis(0);
        Accepted { conversation: ROOM, counter: Counter(counter), seq: Seq(seq), time }
    }

    #[test]
    fn of_many_others_the_first_and_all_are_told() {
        let mut pair = Pair::new();
        pair.say(7, b"to a large room");
        pair.run(100, &[]);
        pair.record.on_stored(100 * MS, &accepted(7, 3));
        for (seq, received, read) in [(2, 40, 40), (3, 0, 0), (3, 5, 0), (3, 30, 1), (3, 40, 2)] {
            let count = ProgressCount { conversation: ROOM, seq: Seq(seq), received, read, of: 40 };
            pair.record.on_counted(200 * MS, &count);
        }
        let words = words(&pair.record, 7);
        let stored = words.iter().position(|step| step.starts_with("stored")).expect("it is");
        let told = ["delivered to 5 of 40", "read by 1 of 40", "delivered to 40 of 40"];
        assert_eq!(words[stored + 1..], told);
    }

    #[test]
    fn a_message_that_was_lost_tells_why_and_what_came_then() {
        let mut pair = Pair::new();
        pair.say(7, b"lost at first");
        pair.run(400, &[0]);
        pair.record.on_stored(400 * MS, &accepted(7, 3));
        let reached = |received, read| {
            let account = AccountId([7; 16]);
            MemberProgress { account, received: Seq(received), read: Seq(read) }
        };
        pair.record.on_reached(410 * MS, ROOM, reached(3, 2), "bea");
        pair.record.on_reached(420 * MS, ROOM, reached(3, 3), "bea");
        pair.record.on_reached(430 * MS, ROOM, reached(4, 4), "bea");
        let words = words(&pair.record, 7);
        assert_eq!(words[..3], ["queued", "sealed", "packet 0 sent"]);
        let again = words.iter().position(|step| step.contains(", again: ")).expect("it was");
        assert!(words[again].starts_with("packet 1 sent"), "{words:?}");
        assert!(words.iter().any(|step| step.ends_with("acknowledged: the relay has all of it")));
        let [.., stored, delivered, read] = words.as_slice() else { panic!("{words:?}") };
        assert_eq!(stored, "stored by the relay, as record 3");
        assert_eq!([delivered, read], ["delivered to bea", "read by bea"]);
        let view = pair.record.view(440 * MS, 10);
        assert!(view.again > 0 && view.round_trip > Duration::ZERO);
        assert!(view.rows.iter().any(|row| row.what.contains("message 7") && row.again.is_some()));
    }

    #[test]
    fn a_long_message_is_there_when_its_last_part_is() {
        let mut pair = Pair::new();
        pair.say(8, &[0; 4_000]);
        pair.run(400, &[1]);
        let words = words(&pair.record, 8);
        let parts = words.iter().filter(|step| step.contains("with a part of it sent"));
        assert!(parts.count() >= 4, "{words:?}");
        let whole = words.iter().filter(|step| step.contains("all of it"));
        assert_eq!(whole.count(), 1, "{words:?}");
    }

    #[test]
    fn what_tcp_carries_and_what_is_not_remembered_is_said() {
        let mut record = Record::default();
        record.on_sealed(5 * MS, Carrier::Tcp, Some((Counter(1), 2 * MS)));
        record.on_stored(9 * MS, &accepted(1, 1));
        let life = record.life(Counter(1)).expect("it is remembered");
        assert!(life[1].what.contains("TCP") && life[1].after == 2 * MS, "{life:?}");
        assert_eq!(life[2].after, 6 * MS);
        assert_eq!(record.life(Counter(2)), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut record = Record::default();
        for number in 0..MESSAGES_MAX as u64 + 5 {
            record.on_sealed(MS, Carrier::Tcp, Some((Counter(number), MS)));
        }
        assert_eq!(record.messages.len(), MESSAGES_MAX);
        assert_eq!(record.life(Counter(0)), None);
        let mut pair = Pair::new();
        for number in 0..ROWS_MAX as u64 {
            pair.say(number, b"x");
            pair.run(2, &[]);
        }
        assert_eq!(pair.record.rows.len(), ROWS_MAX);
        assert!(pair.record.under_way.len() <= ROWS_MAX);
        pair.run(1, &[]);
        assert_eq!(pair.record.view(MS, 20).rows.len(), 20);
    }

    #[test]
    fn parts_are_taken_out_of_what_is_missing() {
        let rest = |part: Range<u64>| without(&(10..20), &part).collect::<Vec<_>>();
        assert_eq!(rest(12..15), [10..12, 15..20]);
        assert_eq!(rest(0..15), vec![15..20]);
        assert_eq!(rest(10..20), Vec::<Range<u64>>::new());
        assert_eq!(rest(30..40), vec![10..20]);
    }
}
