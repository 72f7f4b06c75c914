//! What the screen looked like when the client was left: a small file beside the histories, which is
//! worth nothing but convenience. Without it, or with one that cannot be read, the client begins as
//! at the first time.

use std::{fs, io, path::Path};

use data_encoding::HEXLOWER;
use protocol::ids::ConversationId;
use serde::{Deserialize, Serialize};

/// Which panes there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The conversation on the screen.
    pub conversation: Option<ConversationId>,
    /// The one beside it.
    pub beside: Option<ConversationId>,
    /// Whether the members were listed.
    pub lists_members: bool,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct File {
    conversation: Option<String>,
    beside: Option<String>,
    members: bool,
}

impl Layout {
    /// Reads it; if that cannot be, none is known.
    pub fn load(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        let File { conversation, beside, members } = toml::from_str(&text).unwrap_or_default();
        let id = |text: String| {
            let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
            bytes.try_into().ok().map(ConversationId)
        };
        Self {
            conversation: conversation.and_then(id),
            beside: beside.and_then(id),
            lists_members: members,
        }
    }

    /// Writes it. It need not outlast the machine, only the process.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let id = |id: ConversationId| id.to_string();
        let file = File {
            conversation: self.conversation.map(id),
            beside: self.beside.map(id),
            members: self.lists_members,
        };
        let text = toml::to_string(&file).map_err(io::Error::other)?;
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        fs::write(&temporary, text)?;
        fs::rename(&temporary, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_cannot_be_read_is_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("layout.toml");
        assert_eq!(Layout::load(&path), Layout::default());
        let layout = Layout {
            conversation: Some(ConversationId([0xAB; 16])),
            beside: None,
            lists_members: true,
        };
        layout.save(&path).expect("it can be written");
        assert_eq!(Layout::load(&path), layout);
        for damaged in ["members = 3", "beside = \"xyz\"", "}", "conversation = \"ab\""] {
            fs::write(&path, damaged).expect("it can be written");
            assert_eq!(Layout::load(&path), Layout::default(), "{damaged}");
        }
    }
}
