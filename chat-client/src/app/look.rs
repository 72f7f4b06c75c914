//! How the screen is to look: what the person has decided, over what the terminal can do.

use super::App;
use crate::{
    settings::{
        table::UiSettings,
        value::{Depth, Switch, Theme},
    },
    untrusted::Untrusted,
};

/// What the terminal can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// How many colours it has.
    pub colour: Colour,
    /// What it paints text on, if that is known.
    pub background: Option<Background>,
    /// It shows ASCII only.
    pub is_ascii: bool,
    /// It understands questions.
    pub may_be_asked: bool,
    /// It is known to make links of text that it is told to be one (OSC 8).
    pub has_links: bool,
    /// How it notifies the person.
    pub notifies_by: Way,
    /// What stands between it and this program.
    pub multiplexer: Option<Multiplexer>,
}

/// A way to notify a person through the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The bell, of which the terminal makes what it was told to.
    Bell,
    /// A text, as iTerm2 takes it.
    Osc9,
    /// Title and text, as urxvt and many others take them.
    Osc777,
    /// Title and text, as kitty takes them.
    Osc99,
}

/// A program that shows several terminals in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Multiplexer {
    /// tmux.
    Tmux,
    /// GNU screen.
    Screen,
}

/// How colourful the screen may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Not at all (`NO_COLOR`): bold, dim and reversed only.
    None,
    /// The terminal's own sixteen, so that its palette decides.
    Sixteen,
    /// The 256 of xterm, of which all but the first sixteen are the same everywhere.
    Indexed,
    /// Any.
    True,
}

/// What text is painted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Background {
    /// Something dark.
    Dark,
    /// Something light.
    Light,
}

/// How the screen is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// How colourful.
    pub colour: Colour,
    /// On what; if nobody knows, only colours that go with both.
    pub background: Option<Background>,
    /// Lines and marks are plain ASCII.
    pub is_ascii: bool,
}

impl Look {
    /// For a terminal of which nothing is known.
    pub const PLAIN: Self = Self { colour: Colour::None, background: None, is_ascii: false };

    /// As the person wants it, on a terminal that can do this.
    pub fn of(wanted: &UiSettings, abilities: Abilities) -> Self {
        let colour = match (wanted.theme, wanted.colour) {
            (Theme::Mono, _) | (_, Depth::None) => Colour::None,
            (_, Depth::Auto) => abilities.colour,
            (_, Depth::Sixteen) => Colour::Sixteen,
            (_, Depth::Indexed) => Colour::Indexed,
            (_, Depth::True) => Colour::True,
        };
        let background = match wanted.theme {
            Theme::Dark => Some(Background::Dark),
            Theme::Light => Some(Background::Light),
            Theme::Auto | Theme::Mono => abilities.background,
        };
        let is_ascii = match wanted.ascii {
            Switch::Auto => abilities.is_ascii,
            Switch::On => true,
            Switch::Off => false,
        };
        Self { colour, background, is_ascii }
    }
}

impl App {
    /// How the screen is to look.
    pub fn look(&self) -> Look {
        Look::of(&self.preferences.values.ui, self.abilities)
    }

    /// Whether the terminal is told which text is a link.
    pub fn has_links(&self) -> bool {
        let is_wanted = match self.preferences.values.ui.hyperlinks {
            Switch::Auto => self.abilities.has_links,
            Switch::On => true,
            Switch::Off => false,
        };
        is_wanted && self.abilities.may_be_asked
    }

    /// What the window's title says, if it is ours: what is unread, where the person is.
    pub fn title(&self) -> Option<String> {
        if !self.preferences.values.ui.title || !self.abilities.may_be_asked {
            return None;
        }
        let here = self.current().map_or_else(|| "chat".to_owned(), |c| c.summary.title());
        let here = Untrusted::new(&here).for_title();
        let here_unread = self.current().map_or(0, |c| c.summary.unread);
        Some(match self.unread_elsewhere() + here_unread {
            0 => here,
            unread => format!("({unread}) {here}"),
        })
    }
}

impl Default for Abilities {
    /// Those of a terminal nobody knows.
    fn default() -> Self {
        Self {
            colour: Colour::None,
            background: None,
            is_ascii: false,
            may_be_asked: false,
            has_links: false,
            notifies_by: Way::Bell,
            multiplexer: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{
        conversation::Summary,
        event::Event,
        fixture::{app, press, room},
        update,
    };

    #[test]
    fn what_is_decided_wins_over_what_is_found_out() {
        let mut app = app(vec![room(1, "lobby")]);
        let abilities = Abilities { colour: Colour::Indexed, is_ascii: true, ..app.abilities };
        app.abilities = abilities;
        let found = Look { colour: Colour::Indexed, background: None, is_ascii: true };
        assert_eq!(app.look(), found);
        update(&mut app, Event::Background(Background::Light));
        assert_eq!(app.look().background, Some(Background::Light));
        press(
            &mut app,
            "/set ui.theme dark<enter>/set ui.ascii off<enter>/set ui.colour true<enter>",
        );
        let background = Some(Background::Dark);
        assert_eq!(app.look(), Look { colour: Colour::True, background, is_ascii: false });
        press(&mut app, "/set ui.theme mono<enter>");
        assert_eq!(app.look().colour, Colour::None);
    }

    #[test]
    fn the_title_says_where_and_how_much_and_obeys_nobody() {
        let mut app =
            app(vec![room(1, "a\u{1b}]0;x\u{7}"), Summary { unread: 3, ..room(2, "ops") }]);
        assert_eq!(app.title(), None, "the terminal may not know titles");
        app.abilities.may_be_asked = true;
        let title = app.title().expect("a title");
        assert!(title.starts_with("(3) #a") && !title.contains(char::is_control), "{title:?}");
        press(&mut app, "/set ui.title off<enter>");
        assert_eq!(app.title(), None);
    }
}
