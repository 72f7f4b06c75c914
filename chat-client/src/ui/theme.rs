//! Colours and weights. Meaning never hangs on colour alone: every state also has its own sign or
//! word, and without colour the same screen is drawn with bold, dim and reversed.

use ratatui::style::{Color, Modifier, Style};

use super::palette::{self, Palette};
use crate::app::{Background, Colour, Look, code::Token};

/// How things look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Theme {
    /// Words.
    pub(crate) text: Style,
    /// What can be overlooked: hours, marks, notices.
    pub(crate) quiet: Style,
    /// Names of conversations and people, titles.
    pub(crate) strong: Style,
    /// The own name.
    pub(crate) own: Style,
    /// What is chosen.
    pub(crate) chosen: Style,
    /// What is new.
    pub(crate) fresh: Style,
    /// What did not work.
    pub(crate) error: Style,
    /// What is well.
    pub(crate) good: Style,
    /// Lines that divide.
    pub(crate) line: Style,
    /// Code among words.
    pub(crate) code: Style,
    /// Words of a language in code.
    keyword: Style,
    /// Texts and numbers in code.
    literal: Style,
    /// Functions and types in code.
    name: Style,
    /// The own name in what others say; added to the look of the words around it.
    pub(crate) mention: Style,
    /// Names of others, one of these each.
    people: [Style; 6],
}

impl Theme {
    /// The look for a terminal.
    pub(crate) const fn of(look: Look) -> Self {
        match (look.colour, look.background) {
            (Colour::None, _) => Self::plain(),
            (Colour::Sixteen | Colour::Indexed | Colour::True, None) => Self::sixteen(),
            (Colour::Sixteen, Some(Background::Dark)) => Self::painted(&palette::SIXTEEN_DARK),
            (Colour::Sixteen, Some(Background::Light)) => Self::painted(&palette::SIXTEEN_LIGHT),
            (Colour::Indexed, Some(Background::Dark)) => Self::painted(&palette::INDEXED_DARK),
            (Colour::Indexed, Some(Background::Light)) => Self::painted(&palette::INDEXED_LIGHT),
            (Colour::True, Some(Background::Dark)) => Self::painted(&palette::TRUE_DARK),
            (Colour::True, Some(Background::Light)) => Self::painted(&palette::TRUE_LIGHT),
        }
    }

    const fn painted(palette: &Palette) -> Self {
        let plain = Self::plain();
        let bold = plain.strong;
        let mut people = plain.people;
        let mut index = 0;
        while index < people.len() {
            people[index] = bold.fg(palette.people[index]);
            index += 1;
        }
        Self {
            quiet: plain.text.fg(palette.quiet),
            own: bold.fg(palette.own),
            fresh: bold.fg(palette.fresh),
            error: bold.fg(palette.error),
            good: plain.text.fg(palette.good),
            line: plain.text.fg(palette.quiet),
            code: plain.text.fg(palette.own),
            keyword: plain.text.fg(palette.keyword),
            literal: plain.text.fg(palette.literal),
            name: plain.text.fg(palette.own),
            mention: bold.add_modifier(Modifier::REVERSED).fg(palette.fresh),
            people,
            ..plain
        }
    }

    const fn plain() -> Self {
        let text = Style::new();
        let bold = text.add_modifier(Modifier::BOLD);
        let dim = text.add_modifier(Modifier::DIM);
        Self {
            text,
            quiet: dim,
            strong: bold,
            own: bold.add_modifier(Modifier::UNDERLINED),
            chosen: text.add_modifier(Modifier::REVERSED),
            fresh: bold,
            error: bold,
            good: text,
            line: dim,
            code: dim,
            keyword: bold,
            literal: text,
            name: text,
            mention: bold.add_modifier(Modifier::REVERSED),
            people: [bold; 6],
        }
    }

    /// For a background that nobody knows: only the terminal's own colours, so that its palette
    /// decides about dark and light; black and white are never named.
    const fn sixteen() -> Self {
        let plain = Self::plain();
        let bold = plain.strong;
        Self {
            quiet: plain.text.fg(Color::DarkGray),
            own: bold.fg(Color::Cyan),
            fresh: bold.fg(Color::Yellow),
            error: bold.fg(Color::Red),
            good: plain.text.fg(Color::Green),
            line: plain.text.fg(Color::DarkGray),
            code: plain.text.fg(Color::Cyan),
            keyword: plain.text.fg(Color::Magenta),
            literal: plain.text.fg(Color::Green),
            name: plain.text.fg(Color::Cyan),
            mention: bold.add_modifier(Modifier::REVERSED).fg(Color::Yellow),
            people: [
                bold.fg(Color::Green),
                bold.fg(Color::Magenta),
                bold.fg(Color::Blue),
                bold.fg(Color::Yellow),
                bold.fg(Color::LightGreen),
                bold.fg(Color::LightMagenta),
            ],
            ..plain
        }
    }

    /// The look of a word of code.
    pub(super) const fn token(&self, token: Token) -> Style {
        match token {
            Token::Comment => self.quiet,
            Token::Keyword => self.keyword,
            Token::Literal => self.literal,
            Token::Name => self.name,
        }
    }

    /// The look of somebody's name: the same for the same name.
    pub(super) fn person(&self, name: &str) -> Style {
        let sum: usize = name.bytes().map(usize::from).sum();
        self.people[sum % self.people.len()]
    }
}
