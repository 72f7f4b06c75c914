//! What the terminal can do, as far as the environment tells.

use crate::app::{Abilities, Background, Colour, Multiplexer, Way};

/// Programs that are known for all colours without saying so.
const TRUE_COLOUR_PROGRAMS: [&str; 6] =
    ["iTerm.app", "WezTerm", "ghostty", "vscode", "kitty", "rio"];
/// The same by the name of the terminal type.
const TRUE_COLOUR_TYPES: [&str; 6] = ["direct", "kitty", "alacritty", "ghostty", "foot", "wezterm"];

/// A terminal that takes more than a bell, and how it is known. Behind `ssh` only the name of its
/// type is left, and variables whose names begin with `LC_`.
struct Notified {
    way: Way,
    /// A variable that it sets, with this value unless empty.
    variables: &'static [(&'static str, &'static str)],
    /// Part of the name of its type.
    types: &'static [&'static str],
}

const NOTIFIED: &[Notified] = &[
    Notified { way: Way::Osc99, variables: &[("KITTY_WINDOW_ID", "")], types: &["kitty"] },
    Notified {
        way: Way::Osc9,
        variables: &[("TERM_PROGRAM", "iTerm.app"), ("LC_TERMINAL", "iTerm2")],
        types: &[],
    },
    Notified {
        way: Way::Osc777,
        variables: &[
            ("TERM_PROGRAM", "ghostty"),
            ("GHOSTTY_RESOURCES_DIR", ""),
            ("TERM_PROGRAM", "WezTerm"),
            ("WEZTERM_PANE", ""),
            ("TERM_PROGRAM", "WarpTerminal"),
            ("KONSOLE_VERSION", ""),
        ],
        types: &["ghostty", "wezterm", "konsole", "rxvt-unicode", "foot", "contour"],
    },
];

/// The oldest VTE (GNOME Terminal and its kin) and tmux with links that work.
const LINKS_VTE: u32 = 5_000;
const LINKS_TMUX: (u32, u32) = (3, 4);

/// Reads an environment.
pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Abilities {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let term = variable("TERM").unwrap_or_else(|| "dumb".to_owned());
    Abilities {
        colour: colour(&variable, &term),
        background: variable("COLORFGBG").and_then(|pair| background(&pair)),
        is_ascii: !is_utf8(&variable) || matches!(term.as_str(), "linux" | "dumb"),
        // These show what they do not understand, or nothing at all.
        may_be_asked: !matches!(term.as_str(), "linux" | "dumb"),
        has_links: has_links(&variable, &term),
        notifies_by: notifies_by(&variable, &term),
        multiplexer: multiplexer(&variable, &term),
    }
}

fn notifies_by(variable: &impl Fn(&str) -> Option<String>, term: &str) -> Way {
    let sets = |(name, value): &(&str, &str)| {
        variable(name).is_some_and(|set| value.is_empty() || set == *value)
    };
    let known = NOTIFIED.iter().find(|terminal| {
        terminal.variables.iter().any(sets) || terminal.types.iter().any(|part| term.contains(part))
    });
    known.map_or(Way::Bell, |terminal| terminal.way)
}

/// Both programs set a variable. Behind `ssh` the type is left, and if that says `screen`, it may
/// still be tmux, which drops what is wrapped for screen; the other way round, rubbish would show.
fn multiplexer(variable: &impl Fn(&str) -> Option<String>, term: &str) -> Option<Multiplexer> {
    if variable("TMUX").is_some() || term.starts_with("tmux") {
        Some(Multiplexer::Tmux)
    } else if variable("STY").is_some() || term.starts_with("screen") {
        Some(Multiplexer::Screen)
    } else {
        None
    }
}

fn colour(variable: &impl Fn(&str) -> Option<String>, term: &str) -> Colour {
    let is_forced = variable("CLICOLOR_FORCE").is_some_and(|value| value != "0");
    if variable("NO_COLOR").is_some() || (term == "dumb" && !is_forced) {
        return Colour::None;
    }
    // Inside of screen, what the terminal around it can do does not count.
    let is_screen = term.starts_with("screen") && variable("TMUX").is_none();
    let says_true = variable("COLORTERM").is_some_and(|it| it == "truecolor" || it == "24bit");
    let is_program = variable("TERM_PROGRAM")
        .is_some_and(|program| TRUE_COLOUR_PROGRAMS.contains(&program.as_str()));
    let is_type = TRUE_COLOUR_TYPES.iter().any(|part| term.contains(part));
    if (says_true || is_program || is_type) && !is_screen {
        Colour::True
    } else if term.contains("256color") {
        Colour::Indexed
    } else {
        Colour::Sixteen
    }
}

/// Whether text can be a link (OSC 8). What does not know it should show nothing of it, but not all
/// do, so only those that are known count.
fn has_links(variable: &impl Fn(&str) -> Option<String>, term: &str) -> bool {
    let program = variable("TERM_PROGRAM").unwrap_or_default();
    match multiplexer(variable, term) {
        // It hands on what the terminal around it knows.
        Some(Multiplexer::Tmux) => {
            let version = variable("TERM_PROGRAM_VERSION").filter(|_| program == "tmux");
            return version.is_some_and(|version| release(&version) >= Some(LINKS_TMUX));
        }
        Some(Multiplexer::Screen) => return false,
        None => {}
    }
    let vte = variable("VTE_VERSION").and_then(|version| version.parse().ok());
    vte.is_some_and(|version: u32| version >= LINKS_VTE)
        || TRUE_COLOUR_PROGRAMS.contains(&program.as_str())
        || TRUE_COLOUR_TYPES.iter().any(|part| *part != "direct" && term.contains(part))
        || variable("KONSOLE_VERSION").is_some()
}

/// The beginning of a version such as `3.4a`.
fn release(version: &str) -> Option<(u32, u32)> {
    let (major, rest) = version.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// `COLORFGBG` is `text;background`, sometimes with something between: 0 to 6 and 8 are dark.
fn background(pair: &str) -> Option<Background> {
    let number: u8 = pair.rsplit(';').next()?.parse().ok()?;
    Some(if number <= 6 || number == 8 { Background::Dark } else { Background::Light })
}

/// Without a word about it, UTF-8 is what terminals speak.
fn is_utf8(variable: &impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| variable(name));
    locale.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn abilities(environment: &[(&str, &str)]) -> Abilities {
        from_environment(|name| {
            let found = environment.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn colours_are_as_many_as_the_terminal_says() {
        for (environment, colour) in [
            (&[("TERM", "xterm")][..], Colour::Sixteen),
            (&[("TERM", "xterm-256color")], Colour::Indexed),
            (&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")], Colour::True),
            (&[("TERM", "xterm-kitty")], Colour::True),
            (&[("TERM", "tmux-256color"), ("TMUX", "x"), ("COLORTERM", "truecolor")], Colour::True),
            (&[("TERM", "screen.xterm-256color"), ("COLORTERM", "truecolor")], Colour::Indexed),
            (&[("TERM", "xterm-kitty"), ("NO_COLOR", "1")], Colour::None),
            (&[("TERM", "xterm"), ("NO_COLOR", "")], Colour::Sixteen),
            (&[("TERM", "dumb")], Colour::None),
            (&[("TERM", "dumb"), ("CLICOLOR_FORCE", "1")], Colour::Sixteen),
            (&[], Colour::None),
        ] {
            assert_eq!(abilities(environment).colour, colour, "{environment:?}");
        }
    }

    #[test]
    fn the_locale_says_which_characters_can_be_shown() {
        for (environment, is_ascii) in [
            (&[("TERM", "xterm"), ("LANG", "de_DE.UTF-8")][..], false),
            (&[("TERM", "xterm"), ("LANG", "C.utf8")], false),
            (&[("TERM", "xterm"), ("LANG", "C.UTF-8"), ("LC_ALL", "C")], true),
            (&[("TERM", "xterm"), ("LANG", "de_DE.ISO-8859-1")], true),
            (&[("TERM", "xterm")], false),
            (&[("TERM", "linux"), ("LANG", "C.UTF-8")], true),
        ] {
            assert_eq!(abilities(environment).is_ascii, is_ascii, "{environment:?}");
        }
    }

    #[test]
    fn links_are_for_terminals_that_are_known_to_have_them() {
        for (environment, has_links) in [
            (&[("TERM", "xterm-kitty")][..], true),
            (&[("TERM", "xterm-256color"), ("VTE_VERSION", "7600")], true),
            (&[("TERM", "xterm-256color"), ("VTE_VERSION", "4800")], false),
            (&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "WezTerm")], true),
            (&[("TERM", "xterm-256color")], false),
            (&[("TERM", "xterm-direct")], false),
            (&[("TERM", "linux")], false),
            (&[("TERM", "dumb")], false),
            (&[("TERM", "screen.xterm-kitty")], false),
            (&[("TERM", "tmux-256color"), ("VTE_VERSION", "7600")], false),
        ] {
            assert_eq!(abilities(environment).has_links, has_links, "{environment:?}");
        }
        for (version, has_links) in [("3.4a", true), ("4.0", true), ("3.3", false), ("x", false)] {
            let program = ("TERM_PROGRAM", "tmux");
            let version = ("TERM_PROGRAM_VERSION", version);
            let environment = [("TERM", "tmux-256color"), ("TMUX", "x"), program, version];
            assert_eq!(abilities(&environment).has_links, has_links, "{version:?}");
        }
    }

    #[test]
    fn old_terminals_tell_their_background_by_a_variable() {
        assert_eq!(background("15;0"), Some(Background::Dark));
        assert_eq!(background("0;default;15"), Some(Background::Light));
        assert_eq!(background("15;default"), None);
    }

    #[test]
    fn a_terminal_is_notified_in_its_own_way() {
        for (environment, way) in [
            (&[("TERM", "xterm-256color")][..], Way::Bell),
            (&[("TERM", "xterm-256color"), ("VTE_VERSION", "7600")], Way::Bell),
            (&[("TERM", "xterm-kitty")], Way::Osc99),
            (&[("TERM", "tmux-256color"), ("TMUX", "x"), ("KITTY_WINDOW_ID", "1")], Way::Osc99),
            (&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "iTerm.app")], Way::Osc9),
            (&[("TERM", "xterm-256color"), ("LC_TERMINAL", "iTerm2")], Way::Osc9),
            (&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "WezTerm")], Way::Osc777),
            (&[("TERM", "xterm-256color"), ("KONSOLE_VERSION", "240800")], Way::Osc777),
            (&[("TERM", "xterm-ghostty")], Way::Osc777),
            (&[("TERM", "rxvt-unicode-256color")], Way::Osc777),
            (&[("TERM", "rxvt")], Way::Bell),
            (&[("TERM", "foot")], Way::Osc777),
        ] {
            assert_eq!(abilities(environment).notifies_by, way, "{environment:?}");
        }
    }

    #[test]
    fn what_stands_before_the_terminal_is_known_behind_ssh_too() {
        for (environment, multiplexer) in [
            (&[("TERM", "xterm")][..], None),
            (&[("TERM", "screen-256color"), ("TMUX", "x")], Some(Multiplexer::Tmux)),
            (&[("TERM", "tmux-256color")], Some(Multiplexer::Tmux)),
            (&[("TERM", "xterm"), ("STY", "1.pts")], Some(Multiplexer::Screen)),
            (&[("TERM", "screen.xterm-256color")], Some(Multiplexer::Screen)),
            (&[("TERM", "xterm"), ("TMUX", "")], None),
        ] {
            assert_eq!(abilities(environment).multiplexer, multiplexer, "{environment:?}");
        }
    }
}
