//! Going to a record wherever it is, and back to where one was.
//!
//! ```text
//!   in the window ──────────────────────▶ scroll there
//!   elsewhere ──▶ Load(Place::Around) ──▶ the window begins anew around it, then as above
//! ```

use protocol::ids::{ConversationId, Seq};

use super::{
    App,
    conversation::Conversation,
    effect::Effect,
    event::Place,
    timeline::{ItemKey, Said, Scroll},
    update,
};
use crate::moment;

/// Places that are remembered to go back to.
pub(super) const TRAIL_MAX: usize = 50;

/// Where somebody was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    conversation: ConversationId,
    scroll: Scroll,
}

/// Goes to a record, and remembers where one was.
pub(super) fn to(app: &mut App, id: ConversationId, seq: Seq) -> Vec<Effect> {
    remember(app);
    land(app, id, seq)
}

/// Goes back to where one was before the last jump.
pub(super) fn back(app: &mut App) -> Vec<Effect> {
    // A conversation that was left meanwhile is no place to go back to.
    while let Some(Spot { conversation, scroll }) = app.trail.pop() {
        if !app.conversations.contains_key(&conversation) {
            continue;
        }
        return match scroll {
            Scroll::At { item: ItemKey::Entry(seq), .. } => {
                let effects = land(app, conversation, seq);
                if let Some(conversation) = app.current_mut() {
                    if effects.iter().any(|effect| matches!(effect, Effect::Load(..))) {
                        conversation.return_to = Some(scroll);
                    } else {
                        conversation.stand_at(scroll);
                    }
                }
                effects
            }
            Scroll::At { item: ItemKey::Pending(_), .. } | Scroll::Live => {
                let mut effects = update::show(app, conversation);
                effects.extend(update::to_live(app));
                effects
            }
        };
    }
    app.say("nowhere to go back to");
    Vec::new()
}

/// Goes to the first message that was not read when the conversation was opened.
pub(super) fn to_unread(app: &mut App) -> Vec<Effect> {
    let Some(conversation) = app.current() else { return Vec::new() };
    let summary = &conversation.summary;
    let waiting = (summary.unread > 0).then(|| summary.read.next());
    let id = summary.id;
    let Some(seq) = conversation.unread_from.or(waiting) else {
        app.say("nothing is unread here");
        return Vec::new();
    };
    to(app, id, seq)
}

/// Goes to the message that the selected one answers.
pub(super) fn to_answered(app: &mut App) -> Vec<Effect> {
    let Some(conversation) = app.current() else { return Vec::new() };
    let selected = conversation.selected.and_then(|seq| conversation.timeline.entry(seq));
    let answered = match selected.map(|entry| &entry.said) {
        Some(Said::Text(_, Some(target))) => Ok(target.seq),
        Some(_) => Err("the selected message answers none"),
        None => Err("select an answer first: Shift-Up"),
    };
    match answered {
        Ok(seq) => to(app, conversation.summary.id, seq),
        Err(why) => {
            app.complain(why);
            Vec::new()
        }
    }
}

/// Goes to a number, or to the first record of a moment.
///
/// # Errors
///
/// What to say instead.
pub(super) fn goto(app: &mut App, place: &str) -> Result<Vec<Effect>, String> {
    let conversation = app.current().ok_or("open a conversation first")?;
    let (id, head) = (conversation.summary.id, conversation.summary.head);
    if let Ok(number) = place.parse() {
        let seq = Seq(number);
        if seq < Seq::FIRST || seq > head {
            return Err(format!("there are records 1 to {head} here"));
        }
        return Ok(to(app, id, seq));
    }
    let moment = moment::parse(place, app.now, &app.zone).map_err(|error| error.to_string())?;
    remember(app);
    Ok(vec![load(app, id, Place::Since(moment))])
}

/// The page around a record has come: the screen goes there, if there is such a record, or to where
/// it was before.
pub(super) fn arrive(conversation: &mut Conversation, seq: Seq, rows: u16) {
    if let Some(scroll) = conversation.return_to.take() {
        conversation.stand_at(scroll);
        return;
    }
    let is_speech = conversation.timeline.entry(seq).is_some_and(super::timeline::Entry::is_speech);
    conversation.scroll = Scroll::At { item: ItemKey::Entry(seq), below: 0 };
    // What is gone to stands in the middle, so that what led to it and what followed can be read.
    conversation.scroll_wish = i32::from(rows / 2);
    conversation.selected = is_speech.then_some(seq);
}

fn land(app: &mut App, id: ConversationId, seq: Seq) -> Vec<Effect> {
    let Some(conversation) = app.conversations.get_mut(&id) else {
        app.complain("that conversation is not here any more");
        return Vec::new();
    };
    let is_loaded = conversation.timeline.position(seq).is_some();
    // Nothing else has to be read first.
    conversation.is_loading |= !is_loaded;
    let mut effects = update::show(app, id);
    app.bar = None;
    let rows = app.rows;
    if !is_loaded {
        effects.push(load(app, id, Place::Around(seq)));
    } else if let Some(conversation) = app.current_mut() {
        arrive(conversation, seq, rows);
    }
    effects
}

fn load(app: &mut App, id: ConversationId, place: Place) -> Effect {
    if let Some(conversation) = app.conversations.get_mut(&id) {
        conversation.is_loading = true;
        conversation.return_to = None;
    }
    Effect::Load(id, place)
}

fn remember(app: &mut App) {
    let Some(conversation) = app.current() else { return };
    let spot = Spot { conversation: conversation.summary.id, scroll: conversation.scroll };
    if app.trail.last() != Some(&spot) {
        app.trail.push(spot);
    }
    if app.trail.len() > TRAIL_MAX {
        app.trail.remove(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{
        conversation::Summary,
        event::{Data, Event, Page},
        fixture::{app, entry, id, load as load_newest, press, room, target, text},
        update,
    };

    fn lobby() -> App {
        let lobby = Summary { head: Seq(300), read: Seq(290), unread: 10, ..room(1, "lobby") };
        let mut app = app(vec![lobby, room(2, "ops")]);
        let mut newest: Vec<_> = (201..=300).map(|n| text(n, "bea", "words")).collect();
        newest[98] = entry(299, "bea", Said::Text("an answer".into(), Some(target(40))));
        load_newest(&mut app, id(1), newest);
        app
    }

    fn loads(effects: &[Effect]) -> Vec<Place> {
        let place = |effect: &Effect| match effect {
            Effect::Load(_, place) => Some(*place),
            _ => None,
        };
        effects.iter().filter_map(place).collect()
    }

    fn here(app: &App) -> (ConversationId, Scroll, Option<Seq>) {
        let conversation = app.current().expect("a conversation");
        (conversation.summary.id, conversation.scroll, conversation.selected)
    }

    const fn at(seq: u64) -> Scroll {
        Scroll::At { item: ItemKey::Entry(Seq(seq)), below: 0 }
    }

    fn around(app: &mut App, seqs: &[u64], seq: u64) {
        let entries = seqs.iter().map(|n| text(*n, "bea", "words")).collect();
        let place = Place::Around(Seq(seq));
        let page =
            Page { conversation: id(1), place, entries, amends: Vec::new(), is_oldest: false };
        update(app, Event::Data(Data::Page(page)));
    }

    #[test]
    fn what_is_loaded_is_scrolled_to_and_what_is_not_is_fetched() {
        let mut app = lobby();
        assert_eq!(loads(&press(&mut app, "/goto 250<enter>")), []);
        assert_eq!(here(&app).1, at(250));
        assert_eq!(loads(&press(&mut app, "/goto 40<enter>")), [Place::Around(Seq(40))]);
        around(&mut app, &(1..=90).collect::<Vec<_>>(), 40);
        assert_eq!(here(&app), (id(1), at(40), Some(Seq(40))));
        let timeline = &app.current().expect("a conversation").timeline;
        assert_eq!((timeline.oldest(), timeline.newest()), (Some(Seq(1)), Some(Seq(90))));
        assert!(!timeline.reaches_newest);
    }

    #[test]
    fn a_page_for_another_window_is_not_added_to_this_one() {
        let mut app = lobby();
        press(&mut app, "/goto 40<enter>");
        around(&mut app, &(1..=90).collect::<Vec<_>>(), 40);
        for place in [Place::Before(Seq(201)), Place::After(Seq(300))] {
            let entries = (150..=200).map(|n| text(n, "bea", "late")).collect();
            let page =
                Page { conversation: id(1), place, entries, amends: Vec::new(), is_oldest: false };
            update(&mut app, Event::Data(Data::Page(page)));
        }
        let timeline = &app.current().expect("a conversation").timeline;
        assert_eq!((timeline.oldest(), timeline.newest()), (Some(Seq(1)), Some(Seq(90))));
        assert!(!timeline.reaches_newest);
    }

    #[test]
    fn what_cannot_be_had_is_said_and_nothing_moves() {
        let mut app = lobby();
        press(&mut app, "/goto 40<enter>");
        around(&mut app, &[], 40);
        assert_eq!(here(&app).1, Scroll::Live);
        assert!(app.toast.is_some());
        let timeline = &app.current().expect("a conversation").timeline;
        assert_eq!(timeline.newest(), Some(Seq(300)));
    }

    #[test]
    fn back_leads_through_the_places_of_the_jumps() {
        let mut app = lobby();
        press(&mut app, "/goto 250<enter>/goto 220<enter>");
        press(&mut app, "<M-,>");
        assert_eq!(here(&app), (id(1), at(250), None));
        press(&mut app, "/goto 40<enter>");
        around(&mut app, &(1..=90).collect::<Vec<_>>(), 40);
        assert_eq!(loads(&press(&mut app, "<M-,>")), [Place::Around(Seq(250))]);
        around(&mut app, &(200..=300).collect::<Vec<_>>(), 250);
        assert_eq!(here(&app), (id(1), at(250), None), "exactly there, also if it was not loaded");
        press(&mut app, "<M-2><M-,>");
        assert_eq!(here(&app), (id(1), Scroll::Live, None));
        press(&mut app, "<M-,>");
        assert!(app.toast.is_some(), "there is nothing before the first jump");
        for _ in 0..=TRAIL_MAX {
            press(&mut app, "/goto 250<enter>/goto 220<enter>");
        }
        assert_eq!(app.trail.len(), TRAIL_MAX);
    }

    #[test]
    fn the_first_unread_and_the_answered_message_are_a_key_away() {
        let mut app = lobby();
        press(&mut app, "<M-u>");
        assert_eq!(here(&app).2, Some(Seq(291)));
        press(&mut app, "<esc><M-p>");
        assert!(app.toast.as_ref().is_some_and(|toast| toast.text.contains("select")));
        assert_eq!(loads(&press(&mut app, "<S-up><S-up><M-p>")), [Place::Around(Seq(40))]);
    }

    #[test]
    fn dates_are_looked_for_and_nonsense_is_explained() {
        let mut app = lobby();
        let [Place::Since(moment)] = loads(&press(&mut app, "/goto 2026-11-20<enter>"))[..] else {
            panic!("it is looked for")
        };
        assert_eq!(moment.as_millis(), 1_795_132_800_000);
        for (place, why) in [("301", "1 to 300"), ("0", "1 to 300"), ("soon", "is no date")] {
            press(&mut app, &format!("<C-u>/goto {place}<enter>"));
            let toast = app.toast.as_ref().expect("a reason");
            assert!(toast.text.contains(why), "{}", toast.text);
        }
    }
}
