//! A notification of the desktop, by the sequence that the terminal understands. The text in it is
//! foreign: it is cut short, and nothing in it can end the sequence or begin another.

use super::passthrough;
use crate::{
    app::{Multiplexer, Notification, Way},
    untrusted::Untrusted,
};

/// Longest title.
const TITLE_CHARS_MAX: usize = 60;
/// Longest text: kitty takes 2048 bytes, and nobody reads more at a glance.
const BODY_CHARS_MAX: usize = 200;

/// The bytes that call the person.
pub(super) fn sequence(
    notification: &Notification,
    way: Way,
    multiplexer: Option<Multiplexer>,
) -> String {
    let title = fit(&notification.title, TITLE_CHARS_MAX);
    let body = fit(&notification.body, BODY_CHARS_MAX);
    let sequence = match way {
        Way::Bell => return BELL.to_owned(),
        // Some terminals read a number and `;` at the beginning as a command about progress.
        Way::Osc9 => format!("\x1b]9;{title}: {body}{BELL}"),
        Way::Osc777 => format!("\x1b]777;notify;{title};{body}{BELL}"),
        Way::Osc99 => {
            // A newer one takes the place of the one before it in that conversation.
            let tag = notification.conversation;
            let part = |meta: &str, text: &str| format!("\x1b]99;i={tag}:{meta};{text}{BELL}");
            [part("d=0:p=title", &title), part("d=1:p=body", &body)].concat()
        }
    };
    let wrapped = passthrough::wrap(&sequence, multiplexer);
    // A multiplexer may pass nothing on, and marks the window for which a bell rang.
    if multiplexer.is_some() { wrapped + BELL } else { wrapped }
}

const BELL: &str = "\x07";

/// Without the character that separates the fields of OSC 9 and 777.
fn fit(text: &str, chars_max: usize) -> String {
    Untrusted::new(text).for_notification(chars_max).replace(';', ",")
}

#[cfg(test)]
mod tests {
    use protocol::ids::ConversationId;

    use super::*;

    const TAG: &str = "c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1";

    fn sent(title: &str, body: &str, way: Way, multiplexer: Option<Multiplexer>) -> String {
        let (title, body) = (title.to_owned(), body.to_owned());
        let conversation = ConversationId([0xc1; 16]);
        sequence(&Notification { conversation, title, body }, way, multiplexer)
    }

    #[test]
    fn every_way_has_its_bytes() {
        for (way, bytes) in [
            (Way::Bell, "\x07".to_owned()),
            (Way::Osc9, "\x1b]9;bea in #lobby: hello\x07".to_owned()),
            (Way::Osc777, "\x1b]777;notify;bea in #lobby;hello\x07".to_owned()),
            (
                Way::Osc99,
                format!(
                    "\x1b]99;i={TAG}:d=0:p=title;bea in #lobby\x07\
                     \x1b]99;i={TAG}:d=1:p=body;hello\x07"
                ),
            ),
        ] {
            assert_eq!(sent("bea in #lobby", "hello", way, None), bytes, "{way:?}");
        }
    }

    #[test]
    fn a_multiplexer_passes_it_on_and_rings() {
        let tmux = sent("a", "b", Way::Osc9, Some(Multiplexer::Tmux));
        assert_eq!(tmux, "\x1bPtmux;\x1b\x1b]9;a: b\x07\x1b\\\x07");
        let screen = sent("a", "b", Way::Osc777, Some(Multiplexer::Screen));
        assert_eq!(screen, "\x1bP\x1b]777;notify;a;b\x07\x1b\\\x07");
        assert_eq!(sent("a", "b", Way::Bell, Some(Multiplexer::Tmux)), "\x07");
    }

    #[test]
    fn nothing_in_the_text_can_end_the_sequence_or_is_long() {
        let evil = "4;1\x07\x1b]0;owned\x07\x1b\\\u{9c}\u{202e}\n".repeat(50);
        for way in [Way::Osc9, Way::Osc777, Way::Osc99] {
            let plain = sent("", "", way, None);
            let sent = sent(&evil, &evil, way, None);
            let controls = |text: &str| text.chars().filter(|c| c.is_control()).count();
            assert_eq!(controls(&sent), controls(&plain), "{sent:?}");
            let separators = |text: &str| text.matches(';').count();
            assert_eq!(separators(&sent), separators(&plain), "{sent:?}");
            let long = sent.chars().count() - plain.chars().count();
            // Each with the sign that there was more.
            assert!(long <= TITLE_CHARS_MAX + BODY_CHARS_MAX + 2, "{long}");
        }
    }
}
