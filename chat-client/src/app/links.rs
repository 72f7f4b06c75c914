//! Links in foreign text, as they are: what is shown is what is opened.

use std::{fmt, ops::Range};

use unicode_security::{MixedScript as _, skeleton};

use crate::untrusted::is_deceptive;

/// What a link begins with to be one. Anything else could start a program.
const SCHEMES: [&str; 4] = ["https://", "http://", "mailto:", INVITATION];
/// An invitation to a relay: it can be copied, and no browser opens it.
const INVITATION: &str = "chat://";
/// Most links of one text.
const LINKS_MAX: usize = 20;

/// The links of a text that can be opened, in order, each once.
pub fn find(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for link in places(text).into_iter().map(|place| &text[place]) {
        if !link.starts_with(INVITATION) && found.iter().all(|known| known != link) {
            found.push(link.to_owned());
        }
    }
    found
}

/// Where the links of a text are, in order.
pub fn places(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = SCHEMES.iter().filter_map(|scheme| text[from..].find(scheme)).min() {
        let start = from + start;
        let end = text[start..].find(ends).map_or(text.len(), |length| start + length);
        let link = trimmed(&text[start..end]);
        if has_target(link) {
            found.push(start..start + link.len());
            if found.len() == LINKS_MAX {
                break;
            }
        }
        from = end;
    }
    found
}

/// The host that a link leads to, or the address that it writes to.
pub fn host(link: &str) -> &str {
    let rest = SCHEMES.iter().find_map(|scheme| link.strip_prefix(scheme)).unwrap_or(link);
    if link.starts_with("mailto:") {
        return rest.split('?').next().unwrap_or(rest);
    }
    let authority = authority(link);
    authority.rsplit('@').next().unwrap_or(authority)
}

/// What is between the scheme and the path.
fn authority(link: &str) -> &str {
    let rest = SCHEMES.iter().find_map(|scheme| link.strip_prefix(scheme)).unwrap_or(link);
    // Browsers take a backslash for a slash.
    rest.split(['/', '?', '#', '\\']).next().unwrap_or(rest)
}

/// Why a link may not lead where it seems to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where it leads.
    pub host: String,
    why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Why {
    LooksLike(String),
    MixesScripts,
    HasUser,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, why } = self;
        match why {
            Why::LooksLike(other) => write!(f, "{host} looks like {other}, but is not"),
            Why::MixesScripts => write!(f, "{host} mixes letters of several scripts"),
            Why::HasUser => write!(f, "leads to {host}, not to what stands before the @"),
        }
    }
}

/// What there is to be said of the links of a text.
pub fn warnings(text: &str) -> Vec<Warning> {
    find(text).iter().filter_map(|link| warning(link)).collect()
}

/// What there is to be said of a link.
pub fn warning(link: &str) -> Option<Warning> {
    let host = host(link).to_owned();
    let labels = || host.split(['.', '@']).filter(|label| !label.is_ascii());
    let plain: String = host.chars().map(plainly).collect();
    let is_web = !link.starts_with("mailto:");
    let why = if labels().any(|label| !label.is_single_script()) {
        Why::MixesScripts
    } else if !host.is_ascii() && plain.is_ascii() {
        Why::LooksLike(plain)
    } else if is_web && authority(link).contains('@') {
        Why::HasUser
    } else {
        return None;
    };
    Some(Warning { host, why })
}

/// What a character reads like. What is ASCII stays: its skeleton is made for comparing only.
fn plainly(character: char) -> String {
    match character {
        character if character.is_ascii() => character.to_string(),
        character => skeleton(character.encode_utf8(&mut [0; 4])).collect(),
    }
}

fn ends(character: char) -> bool {
    character.is_whitespace()
        || is_deceptive(character)
        // What stands for such a character on the screen.
        || matches!(character, '\u{27E8}' | '\u{2400}'..='\u{2421}')
        || matches!(character, '<' | '>' | '"' | '`')
}

/// Without what belongs to the sentence around it.
fn trimmed(link: &str) -> &str {
    let mut link = link;
    loop {
        let shorter = link.trim_end_matches(['.', ',', ';', ':', '!', '?', '\'', '*', '_']);
        let shorter = match shorter.strip_suffix(')') {
            Some(open) if open.matches('(').count() <= open.matches(')').count() => open,
            Some(_) | None => shorter,
        };
        if shorter == link {
            return link;
        }
        link = shorter;
    }
}

fn has_target(link: &str) -> bool {
    SCHEMES.iter().any(|scheme| link.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_end_where_the_sentence_goes_on() {
        let text = "see https://a.example/x?y=1, (http://b.example/(c)) or <mailto:d@e.example>.";
        assert_eq!(
            find(text),
            ["https://a.example/x?y=1", "http://b.example/(c)", "mailto:d@e.example"]
        );
        assert_eq!(find("https://a.example https://a.example."), ["https://a.example"]);
        let invitation = "join chat://a.example:4545/#v1.KEY";
        let place = places(invitation).remove(0);
        assert_eq!(
            (&invitation[place], find(invitation).len()),
            ("chat://a.example:4545/#v1.KEY", 0)
        );
    }

    #[test]
    fn nothing_else_is_a_link() {
        for text in ["file:///etc/passwd", "javascript:alert(1)", "https://", "ssh://-oProxy"] {
            assert_eq!(find(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn a_link_has_no_hidden_characters() {
        assert_eq!(find("https://a.example/\u{202e}gpj.exe"), ["https://a.example/"]);
        assert_eq!(find("https://a.example/\u{1b}[2Jx"), ["https://a.example/"]);
        assert_eq!(find("https://a.example/⟨U+202E⟩gpj.exe"), ["https://a.example/"]);
        assert_eq!(find("https://a.example/␛[2Jx"), ["https://a.example/"]);
    }

    #[test]
    fn only_so_many_links_are_found() {
        let many: Vec<_> = (0..=LINKS_MAX).map(|at| format!("http://a{at}.example")).collect();
        assert_eq!(find(&many.join(" ")), many[..LINKS_MAX]);
    }

    #[test]
    fn the_host_is_the_one_that_is_reached() {
        assert_eq!(host("https://bank.example@evil.example/x@y"), "evil.example");
        assert_eq!(host("https://evil.example\\@bank.example"), "evil.example");
        assert_eq!(host("mailto:bea@home.example?subject=x"), "bea@home.example");
    }

    #[test]
    fn a_host_that_is_not_what_it_seems_is_warned_of() {
        let said = |link: &str| warning(link).map(|it| it.to_string()).unwrap_or_default();
        assert_eq!(
            said("https://аррӏе.example/x"),
            "аррӏе.example looks like apple.example, but is not"
        );
        assert_eq!(said("https://bаnk.example"), "bаnk.example mixes letters of several scripts");
        assert_eq!(
            said("https://bank.example@evil.example/"),
            "leads to evil.example, not to what stands before the @"
        );
        for link in [
            "https://müller.example/@x",
            "https://пример.example",
            "https://例え.example",
            "mailto:bea@home.example",
            "http://a.example:80/?q=@",
        ] {
            assert_eq!(said(link), "", "{link}");
        }
    }
}
