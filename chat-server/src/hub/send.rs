//! The hot path: a device offers a message, and it gets a place, the place it already has, or a
//! refusal (wire §6.2). Questions are asked in an order that matters:
//!
//! 1. Is it known? A retry is answered however full, muted or draining things are now.
//! 2. Does an earlier one wait? Then this one waits too.
//! 3. May it ever be taken? If not, the refusal is final.
//! 4. May it be taken now? If not, nothing is decided, and what follows waits.

use std::borrow::Cow;

use protocol::{
    ids::{AccountId, ConversationId, Counter, DeviceId, Digest, Seq, sha256},
    limits::{SIGNATURE_BYTES_MAX, UNSETTLED_MAX},
    message::{
        RelayMessage,
        encoding::decode,
        record::{Class, Content, Envelope, Record, envelope_hash},
        refusal::{Refusal, RefusalCode},
        room::{Kind, Role, Standing},
        session::{Accepted, Rejected, Send},
    },
    time::{Timestamp, WallTime},
};

use super::{
    Hub,
    batch::Held,
    config::{ANSWER_RETRY, UNSETTLED_RETRY, WAITING_RETRY},
    dedupe::{self, Known, ShortDigest, shorten},
    io::SessionId,
    op::{Decision, Fate, Membership, Op},
    rights::{self, Verb},
    state::{Conversation, Sender},
};

/// A message on its way through the questions.
struct Offer<'a> {
    session: SessionId,
    device: DeviceId,
    send: Send<'a>,
    envelope: Envelope,
}

/// What came of it.
enum Verdict {
    /// It is new and gets a place.
    Append,
    /// It has this place.
    Known(Accepted),
    /// No, for good.
    Final(Refusal),
    /// Not now.
    Later(Refusal),
}

impl Hub {
    /// Decides one offered message. A message that cannot be decoded, or that speaks for another
    /// device, ends the session: no honest client makes one.
    pub(super) fn on_send(
        &mut self,
        now: Timestamp,
        wall: WallTime,
        session: SessionId,
        bytes: &[u8],
    ) {
        let Some(attached) = self.sessions.get(session) else { return };
        let (account, device) = (attached.account, attached.device);
        let Ok(send) = decode::<Send<'_>>(bytes) else {
            return self.close_malformed(session, "send");
        };
        let envelope = match Envelope::decode(&send.envelope) {
            Ok(envelope) if envelope.device == device => envelope,
            Ok(_) => return self.close_malformed(session, "envelope of another device"),
            Err(_) => return self.close_malformed(session, "envelope"),
        };
        let offer = Offer { session, device, send, envelope };
        let id = offer.send.conversation;
        let Some(conversation) = self.state.conversations.get(&id) else {
            let refusal = Refusal::last(RefusalCode::NO_SUCH_CONVERSATION, "");
            return self.reject(&offer, refusal);
        };
        let body = sha256(&[&offer.send.body]);
        let hash = envelope_hash(id, &offer.send.envelope, &body);
        let digest = shorten(&hash);
        let blank = Sender::default();
        let sender = conversation.senders.get(&device).unwrap_or(&blank);
        let verdict = match self.known(&offer, conversation, sender, digest) {
            Some(verdict) => verdict,
            None => self.judge(now, wall, &offer, account, unsettled(sender, &offer)),
        };
        match verdict {
            Verdict::Append => self.append(wall, &offer, account, &hash),
            Verdict::Known(accepted) => self.hold(Held::Accepted(session, accepted)),
            Verdict::Final(refusal) => {
                self.remember_refusal(&offer, account, digest, refusal.code);
                self.reject(&offer, refusal);
            }
            Verdict::Later(refusal) => {
                self.sticky.refuse(id, device, offer.envelope.counter);
                self.reject(&offer, refusal);
            }
        }
    }

    /// Questions 1: is it known?
    #[expect(clippy::unused_self, reason = "a step of the questions, beside the others")]
    fn known(
        &self,
        offer: &Offer<'_>,
        conversation: &Conversation,
        sender: &Sender,
        digest: ShortDigest,
    ) -> Option<Verdict> {
        let counter = offer.envelope.counter;
        match dedupe::look_up(sender, counter, digest) {
            Known::New => None,
            Known::Placed(seq) => Some(Verdict::Known(Accepted {
                conversation: offer.send.conversation,
                counter,
                seq,
                // The state does not keep every record's time. The record itself brings it.
                time: conversation.time,
            })),
            Known::Refused(code) => Some(Verdict::Final(Refusal::last(code, "as decided before"))),
            Known::Reused => {
                let detail = format!("counter {counter}");
                Some(Verdict::Final(Refusal::last(RefusalCode::COUNTER_REUSED, detail)))
            }
            Known::Forgotten => {
                let detail = format!("counter {counter}, the highest is {}", sender.highest);
                Some(Verdict::Final(Refusal::last(RefusalCode::ALREADY_DECIDED, detail)))
            }
        }
    }

    /// Questions 2 to 4, for a message that is new.
    fn judge(
        &mut self,
        now: Timestamp,
        wall: WallTime,
        offer: &Offer<'_>,
        account: AccountId,
        unsettled: usize,
    ) -> Verdict {
        let Offer { session, device, send, envelope } = offer;
        let (id, counter, floor) = (send.conversation, envelope.counter, floor_of(offer));
        if let Some(earlier) = self.sticky.blocks(id, *device, counter, floor) {
            let detail = format!("counter {earlier}");
            return Verdict::Later(Refusal::for_now(RefusalCode::WAITING, WAITING_RETRY, detail));
        }
        if let Err(refusal) = self.may_send(wall, *session, account, send, envelope) {
            return if refusal.retry_after().is_some() {
                Verdict::Later(refusal)
            } else {
                Verdict::Final(refusal)
            };
        }
        if let Some(refusal) = self.refusal_for_now() {
            return Verdict::Later(refusal);
        }
        if unsettled > UNSETTLED_MAX {
            let detail = format!("{UNSETTLED_MAX} in one conversation");
            let refusal = Refusal::for_now(RefusalCode::UNSETTLED, UNSETTLED_RETRY, detail);
            return Verdict::Later(refusal);
        }
        let bytes = send.envelope.len() + send.body.len();
        match self.quotas.take_message(now, &self.config.limits, account, bytes) {
            Ok(()) => Verdict::Append,
            Err(exceeded) => Verdict::Later(Refusal::for_now(
                RefusalCode::RATE,
                exceeded.retry_after,
                exceeded.detail,
            )),
        }
    }

    /// Question 3, whatever the relay's condition: is the message within the limits, and has the
    /// account the right to it, as the log stands now?
    fn may_send(
        &self,
        wall: WallTime,
        session: SessionId,
        account: AccountId,
        send: &Send<'_>,
        envelope: &Envelope,
    ) -> Result<(), Refusal> {
        if send.body.len() > self.config.limits.body_bytes_max as usize {
            let detail = format!("at most {} bytes", self.config.limits.body_bytes_max);
            return Err(Refusal::last(RefusalCode::TOO_LARGE, detail));
        }
        if let Some(critical) = envelope.ext.unknown_critical() {
            let detail = format!("extension {critical} of the envelope");
            return Err(Refusal::last(RefusalCode::UNSUPPORTED, detail));
        }
        if envelope.epoch != 0 || send.signature.len() > SIGNATURE_BYTES_MAX {
            let detail = "sealed messages come with a later version";
            return Err(Refusal::last(RefusalCode::UNSUPPORTED, detail));
        }
        if !send.signature.is_empty() {
            let detail = "a signature in a conversation that is not sealed";
            return Err(Refusal::last(RefusalCode::MALFORMED, detail));
        }
        if envelope.class == Class::CONTROL {
            let detail = "here the relay writes these";
            return Err(Refusal::last(RefusalCode::NOT_ALLOWED, detail));
        }
        let conversation = &self.state.conversations[&send.conversation];
        let membership = conversation.members.get(&account).map(|member| member.membership);
        let Some(membership) = membership.filter(|m| speaks_here(conversation.kind, m.standing))
        else {
            return Err(Refusal::last(RefusalCode::NOT_A_MEMBER, ""));
        };
        self.not_barred(wall, session, conversation)?;
        rights::check(conversation.kind, membership, Verb::Speak)?;
        if membership.muted_until > wall {
            let detail = format!("until {}", membership.muted_until.as_millis());
            return Err(Refusal::last(RefusalCode::MUTED, detail));
        }
        if conversation.kind == Kind::DIRECT {
            self.may_speak_to_peer(conversation, account)?;
        }
        if envelope.class.is_amend() {
            self.may_amend(conversation, account, membership, envelope)?;
        }
        Ok(())
    }

    /// A direct conversation takes one message from a stranger; the rest waits for an answer.
    fn may_speak_to_peer(
        &self,
        conversation: &Conversation,
        account: AccountId,
    ) -> Result<(), Refusal> {
        let peer = conversation.members.iter().find(|(other, _)| **other != account);
        let Some((peer, member)) = peer else { return Ok(()) };
        if self.state.accounts.get(peer).is_some_and(|peer| peer.blocked.contains(&account)) {
            return Err(Refusal::last(RefusalCode::BLOCKED, ""));
        }
        match member.membership.standing {
            Standing::INVITED if conversation.head > Seq::ZERO => {
                Err(Refusal::for_now(RefusalCode::WAITS_FOR_ANSWER, ANSWER_RETRY, ""))
            }
            Standing::OUTSIDE => {
                let detail = "they left this conversation";
                Err(Refusal::last(RefusalCode::BLOCKED, detail))
            }
            _ => Ok(()),
        }
    }

    /// The hub knows where the log begins and ends and whose a device is, but not what stands at
    /// an old place. So it checks the author by the name in the target; that the named message
    /// stands at the named place is checked by everybody who holds the record, and an amend whose
    /// pair does not match does nothing.
    fn may_amend(
        &self,
        conversation: &Conversation,
        account: AccountId,
        membership: Membership,
        envelope: &Envelope,
    ) -> Result<(), Refusal> {
        let Some(target) = envelope.target else {
            return Err(Refusal::last(RefusalCode::MALFORMED, "an amend without a target"));
        };
        if target.seq < conversation.first || target.seq > conversation.head {
            let detail = format!("{} to {} are kept", conversation.first, conversation.head);
            return Err(Refusal::last(RefusalCode::NO_SUCH_TARGET, detail));
        }
        let author = self.state.devices.get(&target.id.device).map(|device| device.account);
        let is_own = author == Some(account);
        match envelope.class {
            Class::EDIT if !is_own => {
                Err(Refusal::last(RefusalCode::NOT_ALLOWED, "only its author may edit a message"))
            }
            Class::DELETE if !is_own => {
                rights::check(conversation.kind, membership, Verb::DeleteOthers)?;
                let Some(author) = author else {
                    let detail = "the relay's notices stay";
                    return Err(Refusal::last(RefusalCode::NOT_ALLOWED, detail));
                };
                let of_author = conversation.members.get(&author).map(|m| m.membership);
                let role = of_author
                    .filter(|m| m.standing == Standing::JOINED)
                    .map_or(Role::MEMBER, |m| m.role);
                rights::check_rank(membership.role, role)
            }
            _ => Ok(()),
        }
    }

    fn append(&mut self, wall: WallTime, offer: &Offer<'_>, account: AccountId, hash: &Digest) {
        let Offer { session, device, send, envelope } = offer;
        let (id, counter, floor) = (send.conversation, envelope.counter, floor_of(offer));
        self.accept_by_answering(id, account);
        let Some(conversation) = self.state.conversations.get_mut(&id) else { return };
        let record = Record {
            envelope: Cow::Borrowed(&send.envelope),
            signature: Cow::Borrowed(&send.signature),
            content: Content::Body(Cow::Borrowed(&send.body)),
        };
        let digest = shorten(hash);
        let decide = |seq| {
            let fate = Fate::Placed(seq);
            Some(Decision { device: *device, counter, fate, digest, floor })
        };
        let (seq, time) = self.filling.append(id, conversation, wall, &record, hash, decide);
        if let Some(device) = self.state.devices.get_mut(device) {
            device.highest = device.highest.max(counter);
        }
        if envelope.class == Class::DELETE
            && let Some(target) = envelope.target
        {
            self.filling.push_late(Op::Erased { conversation: id, seq: target.seq, id: target.id });
        }
        self.hold(Held::Accepted(*session, Accepted { conversation: id, counter, seq, time }));
        self.trim_by_count(id);
    }

    /// Who was asked into a direct conversation and writes there has accepted it.
    fn accept_by_answering(&mut self, id: ConversationId, account: AccountId) {
        let Some(conversation) = self.state.conversations.get(&id) else { return };
        if conversation.kind != Kind::DIRECT {
            return;
        }
        if let Some(member) = conversation.members.get(&account)
            && member.membership.standing == Standing::INVITED
        {
            self.accept_direct(id, account);
        }
    }

    /// Keeps a final refusal until the device knows of it: if the answer is lost and later
    /// messages are taken, the retry must not be left without one. Who never had to do with the
    /// conversation leaves no trace in it.
    fn remember_refusal(
        &mut self,
        offer: &Offer<'_>,
        account: AccountId,
        digest: ShortDigest,
        code: RefusalCode,
    ) {
        let id = offer.send.conversation;
        let counter = offer.envelope.counter;
        let Some(conversation) = self.state.conversations.get(&id) else { return };
        let highest = conversation.senders.get(&offer.device).map_or(Counter(0), |s| s.highest);
        let is_new = counter > highest;
        if !is_new || !conversation.members.contains_key(&account) || self.takes_writes().is_err() {
            return;
        }
        let fate = Fate::Refused(code);
        let floor = floor_of(offer);
        let decision = Decision { device: offer.device, counter, fate, digest, floor };
        self.apply(Op::Refused { conversation: id, decision });
    }

    fn reject(&mut self, offer: &Offer<'_>, refusal: Refusal) {
        let highest = self.state.devices.get(&offer.device).map_or(Counter(0), |d| d.highest);
        let rejected = Rejected {
            conversation: offer.send.conversation,
            counter: offer.envelope.counter,
            refusal,
            highest,
        };
        self.tell(offer.session, RelayMessage::Rejected(rejected));
    }
}

/// A floor above the message itself would settle what is not decided yet.
fn floor_of(offer: &Offer<'_>) -> Counter {
    offer.send.floor.min(offer.envelope.counter)
}

fn unsettled(sender: &Sender, offer: &Offer<'_>) -> usize {
    // Far from the window there is nothing to count.
    if sender.decided.len() < UNSETTLED_MAX {
        return sender.decided.len() + 1;
    }
    dedupe::unsettled(sender, floor_of(offer))
}

const fn speaks_here(kind: Kind, standing: Standing) -> bool {
    match standing {
        Standing::JOINED => true,
        Standing::INVITED => kind.0 == Kind::DIRECT.0,
        _ => false,
    }
}
