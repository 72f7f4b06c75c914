//! What the node's news do to the model.

use protocol::ids::{AccountId, ConversationId, Seq};

use super::{
    App, Mood, Overlay, Toast,
    conversation::{Conversation, Pending, PendingState, Standing, Summary},
    effect::{Ask, Effect},
    event::{Answer, Data, Page, Place},
    find, inspector, jump, layout,
    link::{Link, LinkState},
    names::Owner,
    notify, purpose,
    timeline::{Entry, Scroll, Timeline},
    update::show,
};

/// Takes one piece of news.
pub(super) fn update(app: &mut App, data: Data) -> Vec<Effect> {
    if app.link.state == LinkState::Live {
        app.heard = Some(app.now);
    }
    match data {
        Data::Conversations(summaries) => {
            app.conversations.retain(|id, _| summaries.iter().any(|summary| summary.id == *id));
            // With nothing on the screen yet, the choice is made when all are known.
            let is_first = app.current.is_none();
            let mut effects = Vec::new();
            for summary in summaries {
                app.note_title(&summary);
                if is_first && app.wanted != Some(summary.id) {
                    let known = app.conversations.entry(summary.id);
                    known.or_insert_with(|| Conversation::new(summary.clone())).update(summary);
                } else {
                    effects.extend(on_summary(app, summary));
                }
            }
            app.counts_mentions = true;
            effects.extend(layout::restore(app));
            leave_gone(app, effects)
        }
        Data::Conversation(summary) => on_summary(app, *summary),
        Data::Gone(id, why) => on_gone(app, id, why),
        Data::Draft(id, draft) => {
            if let Some(conversation) = app.conversations.get_mut(&id)
                && conversation.composer.is_empty()
            {
                conversation.composer.replace(&draft);
            }
            Vec::new()
        }
        Data::Page(page) => {
            let mut effects = on_page(app, page);
            // Behind the first page, so that nothing on the screen waits for it.
            if std::mem::take(&mut app.counts_mentions) {
                effects.extend(find::count_mentions(app));
            }
            effects
        }
        Data::Appended(id, entries) => on_appended(app, id, entries),
        Data::Forked(id) => on_forked(app, id),
        Data::Pending(pending) => on_pending(app, pending),
        Data::Presence(changed) => {
            for (account, is_here) in changed {
                note_presence(app, account, is_here);
            }
            Vec::new()
        }
        Data::PendingGone(local) => {
            app.outbox.remove(&local);
            Vec::new()
        }
        Data::Progress(id, reached) => {
            if let Some(conversation) = app.conversations.get_mut(&id) {
                conversation.note_progress(reached);
            }
            Vec::new()
        }
        Data::Typing(id, name) => {
            let now = app.now;
            if let Some(conversation) = app.conversations.get_mut(&id) {
                conversation.expire_typing(now);
                conversation.note_typing(name, now);
            }
            Vec::new()
        }
        Data::Link(link) => {
            on_link(app, link);
            Vec::new()
        }
        Data::Told(text) => {
            app.complain(text);
            Vec::new()
        }
        Data::Unsaid(id, text, why) => on_unsaid(app, id, &text, why),
        Data::Saved(changes, Ok(file)) => {
            app.preferences.keep(&changes);
            app.say(format!("saved in {file}"));
            Vec::new()
        }
        Data::Saved(_, Err(why)) => {
            app.complain(format!("not saved: {why}"));
            Vec::new()
        }
        Data::Answered(answer) => on_answer(app, answer),
        Data::Found(purpose, found) => find::on_found(app, purpose, found),
    }
}

fn on_link(app: &mut App, link: Link) {
    let was_live = app.link.state == LinkState::Live;
    if !link.name.is_empty() {
        app.names.note(&link.name, Owner::Me);
    }
    app.link = link;
    let is_live = app.link.state == LinkState::Live;
    for conversation in app.conversations.values_mut() {
        if was_live && !is_live {
            conversation.leave_live();
        }
        if is_live && !was_live {
            // What only the relay has of the past can be asked for again.
            let timeline = &mut conversation.timeline;
            timeline.reaches_oldest = timeline.oldest().is_none_or(|seq| seq <= Seq::FIRST);
            conversation.become_live();
        }
    }
}

fn note_presence(app: &mut App, account: AccountId, is_here: bool) {
    if is_here {
        app.online.insert(account);
    } else {
        app.online.remove(&account);
    }
}

/// Gives words back to whoever wrote them, in front of what they write now.
fn on_unsaid(app: &mut App, id: ConversationId, text: &str, why: String) -> Vec<Effect> {
    if let Some(conversation) = app.conversations.get_mut(&id) {
        purpose::give_back(conversation, text);
    }
    app.complain(why);
    Vec::new()
}

fn on_summary(app: &mut App, summary: Summary) -> Vec<Effect> {
    app.note_title(&summary);
    let id = summary.id;
    let is_new = !app.conversations.contains_key(&id);
    let is_live = app.link.state == LinkState::Live;
    let known = app.conversations.get(&id);
    let unread_before = known.map_or(summary.unread, |known| known.summary.unread);
    // A stranger's words are shown only when they are answered: that they ask has to be told.
    let wants_attention = summary.standing == Standing::Invited && summary.unread > unread_before;
    let entry = app.conversations.entry(id);
    let conversation = entry.or_insert_with(|| Conversation::new(summary.clone()));
    conversation.update(summary);
    if is_new && is_live {
        conversation.become_live();
    }
    conversation.mark_missed();
    let is_wanted = app.wanted == Some(id) || (is_new && app.current.is_none());
    let mut effects = Vec::new();
    if is_wanted {
        app.wanted = None;
        effects = show(app, id);
    }
    if wants_attention {
        effects.extend(notify::call_for_stranger(app, id));
    }
    effects
}

fn on_gone(app: &mut App, id: ConversationId, why: Option<String>) -> Vec<Effect> {
    let Some(gone) = app.conversations.remove(&id) else { return Vec::new() };
    if let Some(why) = why {
        app.complain(format!("{} is closed to you: {why}", gone.summary.title()));
    }
    leave_gone(app, Vec::new())
}

/// If the conversation on the screen is gone, shows the first there is.
fn leave_gone(app: &mut App, mut effects: Vec<Effect>) -> Vec<Effect> {
    if app.current().is_none() {
        app.current = None;
        let toast = app.toast.take();
        if let Some(first) = app.listed().first().map(|conversation| conversation.summary.id) {
            effects.extend(show(app, first));
        }
        app.toast = toast;
    }
    effects
}

fn on_page(app: &mut App, page: Page) -> Vec<Effect> {
    app.note_senders(&page.entries);
    let Some(conversation) = app.conversations.get_mut(&page.conversation) else {
        return Vec::new();
    };
    conversation.is_loading = false;
    let timeline = &mut conversation.timeline;
    match page.place {
        // Read again while the person reads further up: the place stays, the rest comes later.
        Place::Newest if conversation.scroll != Scroll::Live && timeline.newest().is_some() => {
            let newest = page.entries.last().map(|entry| entry.seq);
            timeline.reaches_newest &= newest <= timeline.newest();
        }
        Place::Newest => timeline.restart(page.entries, page.is_oldest),
        // The window began anew elsewhere meanwhile: they are no neighbours of what is in it.
        Place::Before(seq) if timeline.oldest() != Some(seq) => return Vec::new(),
        Place::After(seq) if timeline.newest() != Some(seq) => return Vec::new(),
        Place::Around(seq) if page.entries.is_empty() => {
            return on_nothing(app, page.conversation, seq);
        }
        Place::Around(seq) => {
            let newest = page.entries.last().map(|entry| entry.seq);
            timeline.restart(page.entries, page.is_oldest);
            timeline.reaches_newest = newest >= Some(conversation.summary.head);
            jump::arrive(conversation, seq, app.rows);
        }
        Place::Since(_) => {
            app.complain("nothing was said here then");
            return Vec::new();
        }
        Place::Before(_) if page.entries.is_empty() => timeline.reaches_oldest = page.is_oldest,
        Place::Before(_) => timeline.prepend(page.entries, page.is_oldest),
        Place::After(_) => {
            timeline.reaches_newest = page.entries.is_empty();
            timeline.extend(page.entries);
        }
    }
    for amend in &page.amends {
        conversation.timeline.note_amend(amend);
    }
    drop_arrived(app, page.conversation);
    Vec::new()
}

/// A record that was to be gone to cannot be had.
fn on_nothing(app: &mut App, id: ConversationId, seq: Seq) -> Vec<Effect> {
    app.complain(format!("record {seq} is not stored here, and the relay did not give it"));
    let Some(conversation) = app.conversations.get_mut(&id) else { return Vec::new() };
    if !conversation.timeline.entries().is_empty() {
        return Vec::new();
    }
    conversation.is_loading = true;
    vec![Effect::Load(id, Place::Newest)]
}

fn on_appended(app: &mut App, id: ConversationId, entries: Vec<Entry>) -> Vec<Effect> {
    app.note_senders(&entries);
    // Their records may have no place in the window.
    app.outbox.retain(|_, pending| !is_among(pending, id, entries.iter().rev()));
    let has_history = app.has_history(id);
    let is_shown = app.is_shown(id);
    let Some(conversation) = app.conversations.get_mut(&id) else { return Vec::new() };
    conversation.note_mentions(&entries, &app.link.name);
    if !is_shown {
        conversation.note_came(&entries);
    }
    let mut effects = notify::call_for(app, id, &entries);
    let Some(conversation) = app.conversations.get_mut(&id) else { return Vec::new() };
    if !has_history {
        // Of a conversation that nobody has looked at, there is nothing to add to.
        return effects;
    }
    for entry in entries.iter().filter(|entry| entry.is_speech()) {
        conversation.end_typing(entry.sender.name());
    }
    let has_moved = entries.iter().any(Entry::is_about_members);
    if has_moved && app.lists_members && app.current == Some(id) {
        effects.push(Effect::Ask(Ask::Members(id)));
    }
    let timeline = &mut conversation.timeline;
    let newest = timeline.newest();
    let adjoins = |newest: Seq| entries.first().is_none_or(|first| first.seq <= newest.next());
    if newest.is_some_and(adjoins) || entries.is_empty() {
        // Away from the end, the window has no place for them: they are read when it gets there.
        if timeline.reaches_newest {
            timeline.extend(entries);
        }
    } else if conversation.scroll == Scroll::Live {
        // A new stretch begins above a gap: the screen follows it, older pages fill the gap.
        let is_oldest = entries.first().is_none_or(|first| first.seq <= Seq::FIRST);
        timeline.restart(entries, is_oldest);
    } else {
        timeline.reaches_newest = false;
    }
    drop_arrived(app, id);
    effects
}

/// Another history begins somewhere below: it is read from its end, as at the first look.
fn on_forked(app: &mut App, id: ConversationId) -> Vec<Effect> {
    let Some(conversation) = app.conversations.get_mut(&id) else { return Vec::new() };
    conversation.timeline = Timeline::default();
    conversation.scroll = Scroll::Live;
    conversation.selected = None;
    purpose::cancel(conversation);
    conversation.is_loading = app.current == Some(id);
    if conversation.is_loading { vec![Effect::Load(id, Place::Newest)] } else { Vec::new() }
}

fn on_pending(app: &mut App, pending: Pending) -> Vec<Effect> {
    let conversation = pending.conversation;
    app.outbox.insert(pending.local, pending);
    if let Some(id) = conversation {
        drop_arrived(app, id);
    }
    Vec::new()
}

/// Own messages whose records are in the history are no longer on their way.
fn drop_arrived(app: &mut App, id: ConversationId) {
    let Some(conversation) = app.conversations.get(&id) else { return };
    let timeline = &conversation.timeline;
    app.outbox.retain(|_, pending| {
        let is_below =
            matches!(pending.state, PendingState::Sent(seq) if Some(seq) <= timeline.newest());
        let is_stored = is_below && pending.conversation == Some(id);
        !is_stored && !is_among(pending, id, timeline.entries().iter().rev())
    });
}

/// Whether the record of an own message is among the newest ones of a conversation: it can be read
/// before the word that it is sent.
fn is_among<'a>(
    pending: &Pending,
    id: ConversationId,
    newest_first: impl Iterator<Item = &'a Entry>,
) -> bool {
    let is_on_its_way = match pending.state {
        PendingState::Queued | PendingState::Slowed(..) | PendingState::Sent(_) => true,
        PendingState::Held { .. } | PendingState::Failed(_) => false,
    };
    let is_own = |entry: &Entry| entry.id == pending.id;
    is_on_its_way
        && pending.conversation == Some(id)
        && pending.id.is_some()
        && newest_first.take(ARRIVED_SEARCH_MAX).any(is_own)
}

/// How far back an own record can be that just arrived: it is among the newest.
const ARRIVED_SEARCH_MAX: usize = 100;

fn on_answer(app: &mut App, answer: Result<Answer, String>) -> Vec<Effect> {
    match answer {
        Ok(Answer::Done(text)) => {
            if !text.is_empty() {
                app.say(text);
            }
            Vec::new()
        }
        Ok(Answer::Open(id)) => show(app, id),
        Ok(Answer::Members(id, mut people)) => {
            for member in &people {
                note_presence(app, member.account, member.is_here);
                // The own account is among them, and only its name tells.
                if member.name != app.link.name {
                    app.names.note(&member.name, Owner::Person(member.account));
                }
            }
            people.sort_by_cached_key(|member| (member.rank, member.name.to_lowercase()));
            if let Some(conversation) = app.conversations.get_mut(&id) {
                conversation.people = people;
            }
            Vec::new()
        }
        Ok(Answer::Trace(trace)) => {
            inspector::on_trace(app, trace.map(|trace| *trace));
            Vec::new()
        }
        Ok(Answer::List(title, lines)) => {
            app.overlay = Some(Overlay::List { title, lines, from: 0 });
            Vec::new()
        }
        Err(why) => {
            app.toast = Some(Toast { text: why, mood: Mood::Error });
            Vec::new()
        }
    }
}
