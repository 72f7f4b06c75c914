//! `export`: a whole conversation as text, JSON lines or Markdown, in one piece or by speaker.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use jiff::tz::TimeZone;
use protocol::{ids::Seq, message::event::Body};

use super::{amended::Amended, history, json::MessageJson, render, session::Session};
use crate::{
    cli::{self, Format},
    node::{
        PAGE_RECORDS_MAX,
        call::{At, ConversationView, SaidView},
    },
    output::{Output, tell, to_json},
    report::Failure,
    untrusted::Untrusted,
};

/// Files that are open at one time when a conversation is split: below the usual limit of 1,024
/// descriptors. Speakers beyond that share one file.
const SPEAKERS_MAX: usize = 500;

pub(super) async fn run(
    export: cli::Export,
    session: &Session,
    output: &mut Output,
) -> Result<(), Failure> {
    let offline = session.online_if_possible().await;
    let mut conversation = session.find(&export.target).await?;
    match offline {
        Ok(()) => {
            conversation = session.synced(conversation).await?;
            session.fetch_down_to(&conversation, Seq::FIRST).await?;
            conversation = session.refresh(&conversation).await?;
        }
        Err(why) => {
            let why = Untrusted::new(&why).for_line();
            tell(&format!("note: only what is stored here ({why})"));
        }
    }
    let format =
        if output.style() == crate::output::Style::Json { Format::Json } else { export.format };
    let layout = Layout { format, zone: TimeZone::system() };
    let mut sink = match export.split_by_speaker {
        Some(directory) => Sink::Split(Split::new(directory, export.force, layout.extension())?),
        None => Sink::Whole(output),
    };
    let mut written = 0;
    let mut after = Seq::ZERO;
    loop {
        let page = session.page(conversation.info.id, At::After(after), PAGE_RECORDS_MAX).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        written += page.len();
        let messages = match format {
            Format::Json => page.into_iter().map(Amended::plain).collect(),
            Format::Text | Format::Md => {
                history::amended_page(session, conversation.info.id, page).await?
            }
        };
        for message in &messages {
            sink.write(&layout, &conversation, message)?;
        }
    }
    if written == 0 {
        return Err(Failure::NotFound { what: format!("messages in {}", export.target) });
    }
    sink.finish()
}

/// How a record is laid out.
struct Layout {
    format: Format,
    zone: TimeZone,
}

impl Layout {
    const fn extension(&self) -> &'static str {
        match self.format {
            Format::Text => "txt",
            Format::Json => "jsonl",
            Format::Md => "md",
        }
    }

    fn lines(&self, conversation: &ConversationView, message: &Amended) -> Vec<String> {
        match self.format {
            Format::Text => render::amended_lines(message, &self.zone),
            Format::Json => {
                let line = &message.line;
                vec![to_json(&MessageJson::new(conversation, line, render::words(line)))]
            }
            Format::Md => self.markdown(message),
        }
    }

    fn markdown(&self, message: &Amended) -> Vec<String> {
        let line = &message.line;
        let who = escape_markdown(&Untrusted::new(render::speaker(line)).for_line());
        let time = render::local_time(line.time, &self.zone);
        let words = match line.said {
            SaidView::Erased => "(deleted)".to_owned(),
            SaidView::Body(_) | SaidView::Unreadable => render::words(line),
        };
        let quiet = !matches!(line.said, SaidView::Body(Body::Text(_)));
        let mut lines = vec![format!("**{who}** <small>{time}</small>  ")];
        lines.extend(Untrusted::new(&words).for_lines().map(|text| {
            let text = escape_markdown(&text);
            if quiet && !text.is_empty() { format!("*{text}*  ") } else { format!("{text}  ") }
        }));
        if message.is_edited {
            lines.push(format!("*{}*  ", escape_markdown(render::EDITED)));
        }
        if !message.reactions.is_empty() {
            let reactions = Untrusted::new(&message.reaction_words()).for_line();
            lines.push(format!("{}  ", escape_markdown(&reactions)));
        }
        lines.push(String::new());
        lines
    }
}

/// Foreign text stays text: no links, images or raw HTML in the page somebody makes of it.
fn escape_markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(
            character,
            '\\' | '`'
                | '*'
                | '_'
                | '['
                | ']'
                | '('
                | ')'
                | '<'
                | '>'
                | '#'
                | '!'
                | '|'
                | '~'
                | '&'
        ) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Where an export goes.
enum Sink<'a> {
    Whole(&'a mut Output),
    Split(Split),
}

impl Sink<'_> {
    fn write(
        &mut self,
        layout: &Layout,
        conversation: &ConversationView,
        message: &Amended,
    ) -> Result<(), Failure> {
        let lines = layout.lines(conversation, message);
        match self {
            Self::Whole(output) => lines.iter().try_for_each(|line| output.line(line)),
            Self::Split(split) => split.write(render::speaker(&message.line), &lines),
        }
    }

    fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Whole(output) => output.flush(),
            Self::Split(split) => split.finish(),
        }
    }
}

/// One file for each speaker.
struct Split {
    directory: PathBuf,
    force: bool,
    extension: &'static str,
    files: BTreeMap<String, BufWriter<File>>,
}

impl Split {
    fn new(directory: PathBuf, force: bool, extension: &'static str) -> Result<Self, Failure> {
        fs::create_dir_all(&directory).map_err(|error| cannot("make", &directory, error))?;
        Ok(Self { directory, force, extension, files: BTreeMap::new() })
    }

    fn write(&mut self, speaker: &str, lines: &[String]) -> Result<(), Failure> {
        let stem = Untrusted::new(speaker).for_file_name();
        // Two names that only differ in what a file name cannot hold share a file; each line says
        // who spoke.
        let is_full = self.files.len() >= SPEAKERS_MAX && !self.files.contains_key(&stem);
        let stem = if is_full { "_others".to_owned() } else { stem };
        let path = self.directory.join(format!("{stem}.{}", self.extension));
        if !self.files.contains_key(&stem) {
            let file = self.create(&path)?;
            self.files.insert(stem.clone(), BufWriter::new(file));
        }
        let Some(file) = self.files.get_mut(&stem) else { return Ok(()) };
        for line in lines {
            writeln!(file, "{line}").map_err(|error| cannot("write", &path, error))?;
        }
        Ok(())
    }

    fn create(&self, path: &Path) -> Result<File, Failure> {
        let mut options = OpenOptions::new();
        options.write(true);
        // `create_new` also refuses a symbolic link that somebody put there.
        let options =
            if self.force { options.create(true).truncate(true) } else { options.create_new(true) };
        options.open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Failure::Exists { path: path.display().to_string() }
            }
            _ => cannot("create", path, error),
        })
    }

    fn finish(self) -> Result<(), Failure> {
        for (stem, mut file) in self.files {
            file.flush().map_err(|error| cannot("write", Path::new(&stem), error))?;
        }
        Ok(())
    }
}

fn cannot(verb: &str, path: &Path, error: std::io::Error) -> Failure {
    Failure::io(format!("cannot {verb} {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_of_strangers_is_inert() {
        assert_eq!(escape_markdown("[x](http://y)"), r"\[x\]\(http://y\)");
        assert_eq!(escape_markdown("<b>&amp;"), r"\<b\>\&amp;");
    }

    #[test]
    fn files_that_exist_are_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |force| {
            let mut split = Split::new(dir.path().to_owned(), force, "txt")?;
            split.write("../ada", &["hello".to_owned()])?;
            split.finish()
        };
        write(false).expect("new");
        assert!(matches!(write(false), Err(Failure::Exists { .. })));
        write(true).expect("forced");
        let names: Vec<_> = fs::read_dir(dir.path())
            .expect("readable")
            .map(|entry| entry.expect("readable").file_name())
            .collect();
        assert_eq!(names, ["_ada.txt"]);
    }
}
