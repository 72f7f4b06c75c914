//! Finding one's way: what the pickers list, and what picking does.

use crossterm::event::KeyEvent;

use super::{
    App, Overlay,
    conversation::{Conversation, Standing},
    effect::Effect,
    picker::{Choice, Outcome, Pick, Picker, Purpose},
    update,
};

/// Opens the quick switcher: what has something unread first, then what was active last.
pub(super) fn switch(app: &mut App) -> Vec<Effect> {
    let mut listed = app.listed();
    listed.retain(|conversation| Some(conversation.summary.id) != app.current);
    // Stable: what nobody has looked at yet stays in the order of the list.
    listed.sort_by_key(|c| (c.summary.unread == 0, std::cmp::Reverse(c.active())));
    let current = app.current().into_iter();
    let choices = listed.into_iter().chain(current).map(conversation_choice).collect();
    app.overlay = Some(Overlay::Pick(Box::new(Picker::new(Purpose::Switch, "go to", choices))));
    Vec::new()
}

fn conversation_choice(conversation: &Conversation) -> Choice {
    let summary = &conversation.summary;
    let note = match (summary.standing, summary.unread) {
        (Standing::Invited, _) => "asks".to_owned(),
        (_, 0) => String::new(),
        (_, unread) => format!("{unread} unread"),
    };
    Choice::new(Pick::Conversation(summary.id), "", &summary.title(), &note)
}

/// Takes a key for the open picker; `None` if there is none.
pub(super) fn on_key(app: &mut App, key: KeyEvent) -> Option<Vec<Effect>> {
    let Some(Overlay::Pick(picker)) = &mut app.overlay else { return None };
    Some(match picker.on_key(key) {
        Outcome::Stay | Outcome::Changed => Vec::new(),
        Outcome::Close => {
            app.overlay = None;
            Vec::new()
        }
        Outcome::Picked(pick) => {
            app.overlay = None;
            go(app, pick)
        }
    })
}

/// Takes pasted text for the open picker; `None` if there is none.
pub(super) fn on_paste(app: &mut App, text: &str) -> Option<Vec<Effect>> {
    let Some(Overlay::Pick(picker)) = &mut app.overlay else { return None };
    picker.write(text);
    Some(Vec::new())
}

fn go(app: &mut App, pick: Pick) -> Vec<Effect> {
    match pick {
        Pick::Conversation(id) | Pick::Record(id, _) => update::show(app, id),
    }
}

#[cfg(test)]
mod tests {
    use protocol::ids::Seq;

    use super::*;
    use crate::app::{
        conversation::Summary,
        event::{Data, Event},
        fixture::{app, at, direct, id, load, press, room, text},
        update,
    };

    fn listed(app: &App) -> Vec<&str> {
        let Some(Overlay::Pick(picker)) = &app.overlay else { panic!("a picker is open") };
        picker.shown(0).map(|shown| shown.text).collect()
    }

    #[test]
    fn the_switcher_shows_unread_then_active_and_the_current_one_last() {
        let unread = Summary { unread: 2, head: Seq(2), ..room(4, "zoo") };
        let mut app = app(vec![room(1, "lobby"), room(2, "a"), direct(3, "bea"), unread]);
        // The first of the list is on the screen.
        press(&mut app, "<M-2>");
        load(&mut app, id(3), vec![text(1, "bea", "hello")]);
        press(&mut app, "<C-g>");
        assert_eq!(listed(&app), ["#zoo", "@bea", "#a", "#lobby"]);
    }

    #[test]
    fn news_make_a_conversation_active_that_nobody_has_looked_at() {
        let mut app = app(vec![room(1, "lobby"), room(2, "a"), room(3, "b")]);
        press(&mut app, "<M-3>");
        update(&mut app, Event::Clock(at(9_000)));
        let summary = Summary { head: Seq(3), ..room(2, "b") };
        let summary = Summary { id: id(3), ..summary };
        update(&mut app, Event::Data(Data::Conversation(Box::new(summary))));
        press(&mut app, "<C-g>");
        assert_eq!(listed(&app), ["#b", "#a", "#lobby"]);
    }

    #[test]
    fn enter_goes_there_and_escape_stays() {
        let mut app = app(vec![room(1, "lobby"), room(2, "ops")]);
        press(&mut app, "draft<C-g>op<enter>");
        assert_eq!(app.current().expect("a conversation").summary.id, id(2));
        assert_eq!(app.overlay, None);
        press(&mut app, "<C-g>lob<esc>");
        assert_eq!(app.current().expect("a conversation").summary.id, id(2));
        press(&mut app, "<C-g>");
        assert_eq!(update(&mut app, Event::Paste("lob\nby".into())), []);
        assert_eq!(listed(&app), ["#lobby"]);
        press(&mut app, "<enter>");
        assert_eq!(app.current().expect("a conversation").composer.text(), "draft");
    }
}
