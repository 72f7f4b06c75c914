//! Every setting of the client, once: from this table follow the keys of the file, the environment
//! variables, what `/set` lists and the manual.

use super::{
    save::Written,
    value::{Depth, Editing, Form, Level, QuietHours, Switch, Theme, Value, Via},
};

/// One row of the table.
#[derive(Debug)]
pub struct Setting {
    /// Its section in the file.
    pub section: &'static str,
    /// Its key in the section.
    pub key: &'static str,
    /// What it is about.
    pub help: &'static str,
    /// What can be written.
    pub expected: &'static str,
    /// How it is written in the file.
    pub form: Form,
    pub(super) set: fn(&mut Settings, &[String]) -> Result<(), String>,
    show: fn(&Settings) -> Vec<String>,
}

impl Setting {
    /// The row of this name, `section.key`.
    pub fn named(path: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.path() == path)
    }

    /// Its name in messages and after `/set`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }

    /// The environment variable.
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}__{}", self.section, self.key).to_ascii_uppercase()
    }

    /// The items of a value that was written in one piece, as after `/set`.
    pub fn items(&self, written: &str) -> Vec<String> {
        match self.form {
            Form::Text | Form::Flag => vec![written.trim().to_owned()],
            Form::List => written.split_whitespace().map(str::to_owned).collect(),
        }
    }

    /// Its value in `settings`, as it could be typed.
    pub fn show(&self, settings: &Settings) -> Vec<String> {
        (self.show)(settings)
    }

    /// Its value as the file has it.
    pub(super) fn written(&self, settings: &Settings) -> Written {
        let items = self.show(settings);
        match self.form {
            Form::Text => Written::Text(items.concat()),
            Form::Flag => Written::Flag(items.concat() == "true"),
            Form::List => Written::List(items),
        }
    }
}

/// What our environment variables begin with.
pub(super) const VARIABLE_PREFIX: &str = "CHAT_CLIENT__";

macro_rules! settings {
    ($(
        $(#[doc = $sdoc:literal])*
        $section:ident: $Section:ident {
            $($(#[doc = $doc:literal])+ $key:ident: $type:ty = $default:expr;)*
        }
    )*) => {
        $(
            $(#[doc = $sdoc])*
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub struct $Section { $($(#[doc = $doc])+ pub $key: $type,)* }

            impl Default for $Section {
                fn default() -> Self {
                    Self { $($key: $default,)* }
                }
            }
        )*

        /// The values of all settings.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Settings { $($(#[doc = $sdoc])* pub $section: $Section,)* }

        /// All settings, in the order of the help.
        pub static SETTINGS: &[Setting] = &[$($(Setting {
            section: stringify!($section),
            key: stringify!($key),
            help: concat!($($doc),+),
            expected: <$type as Value>::EXPECTED,
            form: <$type as Value>::FORM,
            set: |settings, items| {
                settings.$section.$key = Value::parse(items)?;
                Ok(())
            },
            show: |settings| Value::show(&settings.$section.$key),
        },)*)*];
    };
}

settings! {
    /// What the screen looks like.
    ui: UiSettings {
        /// Which colours go together.
        theme: Theme = Theme::Auto;
        /// How many colours.
        colour: Depth = Depth::Auto;
        /// Plain ASCII for lines and marks; auto by locale and terminal.
        ascii: Switch = Switch::Auto;
        /// The terminal can open links by a click; auto by terminal.
        hyperlinks: Switch = Switch::Auto;
        /// Lines that are printed once, for screen readers; from the next start on.
        linear: bool = false;
        /// Nothing moves or blinks by itself.
        reduced_motion: bool = false;
        /// Whose keys change what you write.
        editing: Editing = Editing::Emacs;
        /// The wheel scrolls; else the mouse is the terminal's.
        mouse: bool = true;
        /// The window's title says where you are and what is unread.
        title: bool = true;
        /// Others see that you are writing.
        typing: bool = true;
    }
    /// What calls you while you look elsewhere.
    notify: NotifySettings {
        /// What you are notified of, unless /notify says otherwise for a conversation.
        level: Level = Level::Mentions;
        /// How the terminal is asked to notify you; /notify test tries it.
        via: Via = Via::Auto;
        /// When nothing notifies.
        quiet_hours: QuietHours = QuietHours::default();
        /// Whether a notification, and the hook, says what was said.
        show_text: bool = true;
        /// What is run besides, with a line of JSON on its standard input; no shell.
        hook: Vec<String> = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_reads_back_as_itself() {
        let defaults = Settings::default();
        for setting in SETTINGS {
            let mut settings = Settings::default();
            (setting.set)(&mut settings, &setting.show(&defaults)).expect("it can be typed");
            assert_eq!(settings, defaults, "{}", setting.path());
        }
    }

    #[test]
    fn a_setting_has_one_name_in_three_places() {
        let setting = Setting::named("notify.quiet_hours").expect("it exists");
        assert_eq!(setting.variable(), "CHAT_CLIENT__NOTIFY__QUIET_HOURS");
        assert!(!setting.help.is_empty() && Setting::named("quiet_hours").is_none());
    }
}
