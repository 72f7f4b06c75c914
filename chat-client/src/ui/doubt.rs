//! The mark beside a name that may not be what it looks like.

use super::text;
use crate::app::names::Doubt;

/// It.
pub(super) const MARK: &str = "(!)";

/// The mark, if there is a doubt; the details of a message and the list of members say which.
pub(super) fn mark(doubt: Option<&Doubt>) -> &'static str {
    if doubt.is_some() { MARK } else { "" }
}

/// A harmless name with its mark in `cells`: the name gives way.
pub(super) fn marked(name: &str, mark: &str, cells: usize) -> String {
    let room = cells.saturating_sub(mark.len());
    text::fit(&format!("{}{mark}", text::fit(name, room)), cells)
}

#[cfg(test)]
mod tests {
    use super::{super::tests::screen, *};
    use crate::app::{
        conversation::{Member, Rank, Standing},
        event::{Answer, Data, Event},
        fixture::{app, direct, id, load, press, room, text},
        update,
    };

    #[test]
    fn the_mark_is_never_what_does_not_fit() {
        assert_eq!(marked("somebody", MARK, 8), "some…(!)");
        assert_eq!(marked("bea", MARK, 8), "bea(!)");
        assert_eq!(marked("bea", "", 8), "bea");
    }

    #[test]
    fn a_name_like_another_is_marked_wherever_it_stands() {
        let mut app = app(vec![room(1, "lobby"), direct(2, "pea"), room(3, "lоbby")]);
        let words = "see https://bank.example@evil.example/";
        load(&mut app, id(1), vec![text(1, "ada", "hi"), text(2, "реа", words)]);
        let shown = screen(&mut app, (80, 24));
        for marked in
            ["#lobby(!)", "@pea(!)", "#lоbby(!)", "реа(!)  see", "(!) leads to evil.example,"]
        {
            assert!(shown.contains(marked), "{marked} in\n{shown}");
        }
        assert!(!shown.contains("ada(!)"), "{shown}");
        press(&mut app, "<S-up><enter>i");
        let shown = screen(&mut app, (80, 24));
        assert!(shown.contains("this name looks like pea, but is not"), "{shown}");
    }

    #[test]
    fn members_are_marked_and_the_own_name_is_not() {
        let mut app = app(vec![room(1, "lobby")]);
        press(&mut app, "<f3>");
        let people = ["ada", "аdа", "carl"].map(|name| Member {
            account: protocol::ids::AccountId([name.as_bytes()[0]; 16]),
            name: name.into(),
            rank: Rank::Plain,
            standing: Standing::Joined,
            is_here: true,
        });
        let members = Answer::Members(id(1), people.into());
        update(&mut app, Event::Data(Data::Answered(Ok(members))));
        let shown = screen(&mut app, (120, 24));
        assert!(shown.contains("аdа(!)"), "{shown}");
        assert_eq!(shown.matches("(!)").count(), 1, "{shown}");
    }
}
