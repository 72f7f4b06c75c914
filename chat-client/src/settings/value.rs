//! How the value of a setting is written, the same in the file, in the environment and after
//! `/set`: text in, text out.

use jiff::civil::Time;

/// A type that a setting can have.
pub trait Value: Sized {
    /// What can be written, for help.
    const EXPECTED: &'static str;
    /// How it is written in the file.
    const FORM: Form = Form::Text;

    /// Reads the value from its items: one, unless the form is [`Form::List`].
    ///
    /// # Errors
    ///
    /// What was expected, for people.
    fn parse(items: &[String]) -> Result<Self, String>;

    /// The items [`Self::parse`] would read it from.
    fn show(&self) -> Vec<String>;
}

/// How a value is written in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Text in quotes.
    Text,
    /// `true` or `false`.
    Flag,
    /// A list of texts.
    List,
}

/// An enum whose variants are words.
macro_rules! words {
    ($(#[doc = $doc:literal])+ $name:ident: $expected:literal {
        $($(#[doc = $vdoc:literal])+ $variant:ident = $word:literal,)*
    }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[doc = $vdoc])+ $variant,)* }

        impl $name {
            /// How it is written.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl Value for $name {
            const EXPECTED: &'static str = $expected;

            fn parse(items: &[String]) -> Result<Self, String> {
                match single(items)? {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(concat!($expected, " expected").to_owned()),
                }
            }

            fn show(&self) -> Vec<String> {
                vec![self.word().to_owned()]
            }
        }
    };
}

words! {
    /// Which colours go together.
    Theme: "auto, dark, light or mono" {
        /// What fits the terminal's background.
        Auto = "auto",
        /// For a dark background.
        Dark = "dark",
        /// For a light one.
        Light = "light",
        /// No colours: bold, dim and reversed.
        Mono = "mono",
    }
}

words! {
    /// How many colours.
    Depth: "auto, none, 16, 256 or true" {
        /// As many as the terminal has.
        Auto = "auto",
        /// None.
        None = "none",
        /// The terminal's own palette.
        Sixteen = "16",
        /// The fixed palette of xterm.
        Indexed = "256",
        /// Any.
        True = "true",
    }
}

words! {
    /// Whose keys change what is written.
    Editing: "emacs or vi" {
        /// Those of emacs and of shells.
        Emacs = "emacs",
        /// Those of vi.
        Vi = "vi",
    }
}

words! {
    /// Something that is found out unless it is decided.
    Switch: "auto, on or off" {
        /// As found out.
        Auto = "auto",
        /// Always.
        On = "on",
        /// Never.
        Off = "off",
    }
}

words! {
    /// What is worth a notification.
    Level: "all, mentions or off" {
        /// Every message.
        All = "all",
        /// Messages with the own name, and direct ones.
        Mentions = "mentions",
        /// Nothing.
        Off = "off",
    }
}

words! {
    /// How to notify.
    Via: "auto, osc9, osc777, osc99, bell or off" {
        /// As the terminal takes it.
        Auto = "auto",
        /// A text, as iTerm2 takes it.
        Osc9 = "osc9",
        /// Title and text, as urxvt and many others take them.
        Osc777 = "osc777",
        /// Title and text, as kitty takes them.
        Osc99 = "osc99",
        /// The bell.
        Bell = "bell",
        /// Not by the terminal.
        Off = "off",
    }
}

impl Value for bool {
    const EXPECTED: &'static str = "true or false";
    const FORM: Form = Form::Flag;

    fn parse(items: &[String]) -> Result<Self, String> {
        match single(items)? {
            "true" | "on" | "yes" => Ok(true),
            "false" | "off" | "no" => Ok(false),
            _ => Err(format!("{} expected", Self::EXPECTED)),
        }
    }

    fn show(&self) -> Vec<String> {
        vec![self.to_string()]
    }
}

/// The words of a command; none is no command.
impl Value for Vec<String> {
    const EXPECTED: &'static str = "a program and its arguments";
    const FORM: Form = Form::List;

    fn parse(items: &[String]) -> Result<Self, String> {
        match items.first() {
            Some(program) if program.is_empty() => Err("a program's name expected".to_owned()),
            Some(_) | None => Ok(items.to_vec()),
        }
    }

    fn show(&self) -> Vec<String> {
        self.clone()
    }
}

/// A part of the day, which may go over midnight; or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuietHours(Option<(Time, Time)>);

impl QuietHours {
    /// True at this time of day. The end is outside.
    pub fn contains(self, time: Time) -> bool {
        match self.0 {
            Some((from, to)) if from <= to => from <= time && time < to,
            Some((from, to)) => from <= time || time < to,
            None => false,
        }
    }
}

impl Value for QuietHours {
    const EXPECTED: &'static str = "hours like 22:00-07:00, or off";

    fn parse(items: &[String]) -> Result<Self, String> {
        let expected = || format!("{} expected", Self::EXPECTED);
        let text = single(items)?;
        if matches!(text, "" | "off") {
            return Ok(Self(None));
        }
        let (from, to) = text.split_once('-').ok_or_else(expected)?;
        let time = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
        };
        Ok(Self(Some((time(from).ok_or_else(expected)?, time(to).ok_or_else(expected)?))))
    }

    fn show(&self) -> Vec<String> {
        let time = |time: Time| format!("{:02}:{:02}", time.hour(), time.minute());
        vec![
            self.0.map_or_else(
                || "off".to_owned(),
                |(from, to)| format!("{}-{}", time(from), time(to)),
            ),
        ]
    }
}

fn single(items: &[String]) -> Result<&str, String> {
    match items {
        [item] => Ok(item),
        _ => Err("one value expected".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::time;

    use super::*;

    fn hours(text: &str) -> Result<QuietHours, String> {
        QuietHours::parse(&[text.to_owned()])
    }

    #[test]
    fn quiet_hours_may_go_over_midnight() {
        let night = hours("22:00-07:00").unwrap();
        assert!(night.contains(time(22, 0, 0, 0)) && night.contains(time(6, 59, 59, 0)));
        assert!(!night.contains(time(7, 0, 0, 0)) && !night.contains(time(21, 59, 0, 0)));
        let noon = hours("12:00 - 13:30").unwrap();
        assert!(noon.contains(time(13, 29, 0, 0)) && !noon.contains(time(13, 30, 0, 0)));
        assert!(!hours("off").unwrap().contains(time(0, 0, 0, 0)));
        for wrong in ["22-7", "25:00-07:00", "22:00", "night"] {
            assert!(hours(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_wrong_word_says_which_are_right() {
        let error = Theme::parse(&["blue".to_owned()]).unwrap_err();
        assert_eq!(error, "auto, dark, light or mono expected");
    }
}
