//! Which panes there are, from one run to the next.

use super::{
    App,
    effect::{Ask, Effect},
    update::{show, show_beside},
};
use crate::store::layout::Layout;

impl App {
    /// The panes as they are; `None` while nothing is on the screen.
    pub fn layout(&self) -> Option<Layout> {
        let layout = Layout {
            conversation: Some(self.current()?.summary.id),
            beside: self.beside().map(|beside| beside.summary.id),
            lists_members: self.lists_members,
        };
        Some(layout)
    }

    /// The panes are to become these, as soon as the conversations are known.
    pub fn remember(&mut self, layout: Layout) {
        self.remembered = Some(layout);
    }
}

/// Makes the panes what they were. A conversation that is not there any more is left out.
pub(super) fn restore(app: &mut App) -> Vec<Effect> {
    if app.conversations.is_empty() {
        return Vec::new();
    }
    let Some(layout) = app.remembered.take() else { return Vec::new() };
    let mut effects = Vec::new();
    let is_known = |app: &App, id| app.conversation(id).is_some();
    // What the person asks for now comes first.
    if app.current.is_none()
        && app.wanted.is_none()
        && let Some(id) = layout.conversation.filter(|id| is_known(app, *id))
    {
        effects.extend(show(app, id));
    }
    if let Some(id) = layout.beside.filter(|id| is_known(app, *id) && app.current != Some(*id)) {
        effects.extend(show_beside(app, id));
    }
    app.lists_members = layout.lists_members;
    let here = app.current.filter(|_| app.lists_members);
    effects.extend(here.map(|id| Effect::Ask(Ask::Members(id))));
    effects
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::app::{
        Colour,
        conversation::Summary,
        event::{Data, Event},
        first_run::Setup,
        fixture::{app, at, direct, id, press, room},
        update,
    };

    fn all() -> Vec<Summary> {
        vec![room(1, "lobby"), room(2, "ops"), direct(3, "bea")]
    }

    /// A client that begins with these conversations and this layout, and what it wants done.
    fn begun(layout: Layout, conversations: Vec<Summary>) -> (App, Vec<Effect>) {
        let mut app = App::new(at(0), TimeZone::UTC, Colour::None);
        app.remember(layout);
        update(&mut app, Event::Setup(Setup::Ready));
        let effects = update(&mut app, Event::Data(Data::Conversations(conversations)));
        (app, effects)
    }

    #[test]
    fn the_panes_are_the_same_after_a_restart() {
        let mut before = app(all());
        assert_eq!(App::new(at(0), TimeZone::UTC, Colour::None).layout(), None);
        press(&mut before, "<M-3><M-2><f4><f3>");
        let layout = before.layout().expect("something is on the screen");
        let expected =
            Layout { conversation: Some(id(2)), beside: Some(id(3)), lists_members: true };
        assert_eq!(layout, expected);
        let (after, effects) = begun(layout, all());
        assert_eq!(after.layout(), Some(layout));
        for wanted in [Effect::Show(vec![id(2), id(3)]), Effect::Ask(Ask::Members(id(2)))] {
            assert!(effects.contains(&wanted), "{wanted:?} of {effects:?}");
        }
    }

    #[test]
    fn what_is_gone_is_left_out_quietly() {
        let layout =
            Layout { conversation: Some(id(9)), beside: Some(id(8)), lists_members: false };
        let (mut after, _) = begun(layout, all());
        let first = Layout { conversation: Some(id(1)), ..Layout::default() };
        assert_eq!((after.layout(), after.toast.clone()), (Some(first), None));
        // It is not waited for.
        update(&mut after, Event::Data(Data::Conversation(Box::new(room(9, "late")))));
        assert_eq!(after.layout(), Some(first));
        let layout =
            Layout { conversation: Some(id(9)), beside: Some(id(1)), lists_members: false };
        let (after, _) = begun(layout, all());
        assert_eq!(after.layout(), Some(first), "it is needed elsewhere");
    }

    #[test]
    fn a_later_list_of_conversations_moves_nobody() {
        let (mut after, _) =
            begun(Layout { conversation: Some(id(2)), ..Layout::default() }, all());
        press(&mut after, "<M-3>");
        update(&mut after, Event::Data(Data::Conversations(all())));
        assert_eq!(after.current().map(|here| here.summary.id), Some(id(3)));
    }
}
