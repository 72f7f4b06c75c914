//! What an event does to the model, and what it makes the client want. Keys are here, what the
//! node says is in `data.rs`, what commands mean is in `verb.rs`.

use crossterm::event::{KeyCode, KeyEvent, MouseButton, MouseEvent, MouseEventKind};
use protocol::ids::{ConversationId, Seq};

use super::{
    App, Mood, Overlay, Wheel,
    action::{Action, Edit, Find, Go, Jump, Motion, Step},
    bar, completion,
    composer::Composer,
    conversation::Conversation,
    data, deletion,
    effect::{Ask, Effect, Saying},
    event::{Drawn, Event, Focus, Place},
    find,
    first_run::Setup,
    inspector, jump, keymap, purpose,
    slash::{self, Line, Verb},
    timeline::Scroll,
    verb, vi,
};

/// How long the store may lack what is being written.
const SAVE_MILLIS: u64 = 1_000;
/// Rows that one turn of the mouse wheel moves.
const WHEEL_ROWS: i16 = 3;
/// Rows of the last screen that stay visible when scrolling by screens, so that reading goes on.
const OVERLAP_ROWS: u16 = 2;
/// Rows of one screen before the first draw has told.
pub(super) const ROWS_UNKNOWN: u16 = 20;

/// Takes one event; returns what is to be done about it, in order.
pub fn update(app: &mut App, event: Event) -> Vec<Effect> {
    match event {
        Event::Clock(now) => {
            app.now = app.now.max(now);
            let mut effects = save_late(app);
            effects.extend(deletion::send_due(app));
            effects.extend(inspector::refresh(app));
            effects
        }
        Event::Focus(focus) => {
            app.focus = focus;
            Vec::new()
        }
        Event::Background(background) => {
            app.abilities.background = Some(background);
            Vec::new()
        }
        Event::Highlighted(code, runs) => {
            app.highlights.take(code, runs);
            Vec::new()
        }
        Event::Resized => Vec::new(),
        Event::End => leave(app),
        Event::Key(key) => on_key(app, key),
        Event::Mouse(mouse) => on_mouse(app, mouse),
        Event::Paste(text) => on_paste(app, &text),
        Event::Line(line) => on_line(app, &line),
        Event::Told => {
            on_told(app);
            Vec::new()
        }
        Event::Edited(id, edited) => on_edited(app, id, edited),
        Event::Drawn(drawn) => on_drawn(app, drawn),
        Event::Data(data) => data::update(app, data),
        Event::Setup(Setup::Ready) => {
            app.first_run = None;
            app.toast = app.greeting.clone();
            Vec::new()
        }
        Event::Setup(setup) => app.first_run.get_or_insert_default().on_setup(setup),
    }
}

/// Notes that what is being written on the screen has changed.
pub(super) fn note_written(app: &mut App) {
    if let Some(id) = app.current
        && app.unsaved.is_none_or(|(unsaved, _)| unsaved != id)
    {
        app.unsaved = Some((id, app.now));
    }
}

/// Saves what was written a while ago: a client that is killed forgets only the last words.
fn save_late(app: &mut App) -> Vec<Effect> {
    let Some((id, since)) = app.unsaved else { return Vec::new() };
    if app.now.as_millis() < since.as_millis() + SAVE_MILLIS {
        return Vec::new();
    }
    app.unsaved = None;
    let draft = app.conversation(id).map(|c| Effect::SaveDraft(id, purpose::draft(c)));
    draft.into_iter().collect()
}

/// Makes a conversation the one on the screen.
pub(super) fn show(app: &mut App, id: ConversationId) -> Vec<Effect> {
    let mut effects = Vec::new();
    if app.current == Some(id) {
        return effects;
    }
    app.unsaved = None;
    if let Some(left) = app.current() {
        effects.push(Effect::SaveDraft(left.summary.id, purpose::draft(left)));
    }
    let Some(conversation) = app.conversations.get_mut(&id) else {
        app.wanted = Some(id);
        return effects;
    };
    conversation.open();
    effects.extend(first_page(conversation));
    if app.beside == Some(id) {
        app.beside = None;
    }
    app.previous = app.current.replace(id);
    app.overlay = None;
    app.completion = None;
    app.bar = None;
    app.toast = app.greeting.take();
    effects.push(shown(app));
    if app.lists_members {
        effects.push(Effect::Ask(Ask::Members(id)));
    }
    effects
}

/// What the relay is told about what is on the screen.
fn shown(app: &App) -> Effect {
    Effect::Show(app.current.into_iter().chain(app.beside).collect())
}

fn first_page(conversation: &mut Conversation) -> Option<Effect> {
    let is_empty = conversation.timeline.entries().is_empty() && !conversation.is_loading;
    conversation.is_loading |= is_empty;
    is_empty.then_some(Effect::Load(conversation.summary.id, Place::Newest))
}

/// Lists the members of the conversation beside it, or no longer.
pub(super) fn list_members(app: &mut App) -> Vec<Effect> {
    app.overlay = None;
    app.lists_members = !app.lists_members;
    let here = app.current.filter(|_| app.lists_members);
    here.map(|id| Effect::Ask(Ask::Members(id))).into_iter().collect()
}

/// Shows the conversation that was here before, or any other one, beside this one; or none.
fn split(app: &mut App) -> Vec<Effect> {
    if app.beside.take().is_some() {
        return vec![shown(app)];
    }
    let others = app.listed();
    let others = others.iter().map(|c| c.summary.id).filter(|id| Some(*id) != app.current);
    let candidates: Vec<_> = app.previous.into_iter().chain(others).collect();
    let Some(beside) = candidates.into_iter().find(|id| Some(*id) != app.current) else {
        app.say("there is no other conversation");
        return Vec::new();
    };
    show_beside(app, beside)
}

/// Shows a conversation beside the one on the screen.
pub(super) fn show_beside(app: &mut App, id: ConversationId) -> Vec<Effect> {
    let Some(conversation) = app.conversations.get_mut(&id) else { return Vec::new() };
    app.beside = Some(id);
    conversation.open();
    first_page(conversation).into_iter().chain([shown(app)]).collect()
}

fn on_key(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    if let Some(first_run) = &mut app.first_run {
        return first_run.on_key(key);
    }
    let action = app.preferences.keys.lookup(key);
    let is_leaving_key = matches!(action, Some(Action::Interrupt | Action::DeleteOrLeave));
    if app.is_leaving && !is_leaving_key {
        app.is_leaving = false;
        app.toast = None;
    }
    if let Some(effects) = find::on_key(app, key) {
        return effects;
    }
    if app.overlay.is_some() && on_overlay_key(app, key, action) {
        return Vec::new();
    }
    if let Some(effects) = bar::on_key(app, key, action) {
        return effects;
    }
    if let Some(effects) = vi::on_key(app, key, action) {
        return effects;
    }
    match action {
        Some(action) => on_action(app, action),
        None => on_written(app, key),
    }
}

/// While something lies over the conversation, the moving keys move it and any other closes it.
fn on_overlay_key(app: &mut App, key: KeyEvent, action: Option<Action>) -> bool {
    let Some(Overlay::Help(from) | Overlay::List { from, .. }) = &mut app.overlay else {
        return false;
    };
    *from = match (action, key.code) {
        (Some(Action::Scroll(Motion::PageUp)), _) => from.saturating_sub(ROWS_UNKNOWN / 2),
        (Some(Action::Scroll(Motion::PageDown)), _) => from.saturating_add(ROWS_UNKNOWN / 2),
        (_, KeyCode::Up) => from.saturating_sub(1),
        (_, KeyCode::Down) => from.saturating_add(1),
        (_, KeyCode::Home) => 0,
        (Some(Action::Close | Action::Help), _) => {
            app.overlay = None;
            return true;
        }
        _ => {
            app.overlay = None;
            return false;
        }
    };
    true
}

fn on_written(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    let Some(character) = keymap::written(key) else { return Vec::new() };
    let Some(conversation) = app.current_mut() else {
        return if character == '?' { on_action(app, Action::Help) } else { Vec::new() };
    };
    if character == '?' && conversation.composer.is_empty() {
        return on_action(app, Action::Help);
    }
    if character == 'u' && conversation.composer.is_empty() && deletion::undo(app) {
        return Vec::new();
    }
    app.toast.take_if(|toast| toast.mood == Mood::Info);
    let Some(conversation) = app.current_mut() else { return Vec::new() };
    conversation.composer.write(character);
    if character == ':' {
        completion::close_shortcode(conversation);
    }
    let mut effects = typing(conversation.summary.id, &conversation.composer);
    if !app.preferences.values.ui.typing {
        effects.clear();
    }
    note_written(app);
    completion::offer(app);
    effects
}

/// Commands are nobody's business until they are sent.
fn typing(id: ConversationId, composer: &Composer) -> Vec<Effect> {
    let text = composer.text();
    if text.is_empty() || (text.starts_with('/') && !text.starts_with("//")) {
        return Vec::new();
    }
    vec![Effect::Typing(id)]
}

pub(super) fn on_action(app: &mut App, action: Action) -> Vec<Effect> {
    if !matches!(action, Action::Complete(_)) && app.completion.take().is_some() {
        // What was offered is refused, and nothing else closed.
        if action == Action::Close {
            return Vec::new();
        }
    }
    match action {
        Action::Submit => submit(app),
        Action::Edit(edit) => {
            if let Some(conversation) = app.current_mut() {
                conversation.composer.edit(edit);
            }
            note_written(app);
            if edit == Edit::DeleteBack {
                completion::offer(app);
            }
            Vec::new()
        }
        Action::Editor => {
            let written = app.current().map(|c| (c.summary.id, c.composer.text()));
            written.map(|(id, text)| Effect::OpenEditor(id, text)).into_iter().collect()
        }
        Action::Complete(turn) => {
            completion::turn(app, turn);
            note_written(app);
            Vec::new()
        }
        Action::Scroll(motion) => scroll(app, motion),
        Action::Go(go) => self::go(app, go),
        Action::Find(Find::Conversation) => find::switch(app),
        Action::Find(Find::Words) => find::search(app, ""),
        Action::Find(Find::Mentions) => find::mentions(app),
        Action::Jump(Jump::Unread) => jump::to_unread(app),
        Action::Jump(Jump::Answered) => jump::to_answered(app),
        Action::Jump(Jump::Back) => jump::back(app),
        Action::Select(step) => select(app, step),
        Action::Close => {
            if purpose::leave(app) {
                note_written(app);
            } else if !std::mem::take(&mut app.lists_members)
                && !deletion::undo(app)
                && app.inspector.take().is_none()
            {
                if let Some(conversation) = app.current_mut() {
                    conversation.selected = None;
                }
                app.toast = None;
            }
            Vec::new()
        }
        Action::Members => list_members(app),
        Action::Inspect => inspector::toggle(app),
        Action::Split => split(app),
        Action::Swap => match app.beside {
            Some(beside) => {
                app.beside = app.current;
                show(app, beside)
            }
            None => split(app),
        },
        Action::Help => {
            app.overlay = Some(Overlay::Help(0));
            Vec::new()
        }
        Action::Interrupt => interrupt(app),
        Action::DeleteOrLeave => match app.current_mut() {
            Some(conversation) if !conversation.composer.is_empty() => {
                conversation.composer.edit(Edit::DeleteForward);
                note_written(app);
                Vec::new()
            }
            Some(_) | None => interrupt(app),
        },
        Action::Wheel => {
            let (wheel, what) = match app.wheel {
                Wheel::Scrolls => (Wheel::IsTerminals, "the mouse selects text; F2: it scrolls"),
                Wheel::IsTerminals => (Wheel::Scrolls, "the wheel scrolls; F2: select text"),
            };
            app.wheel = wheel;
            app.say(what);
            vec![Effect::Wheel(wheel)]
        }
        Action::Redraw => vec![Effect::Redraw],
        Action::Suspend => vec![Effect::Suspend],
    }
}

fn interrupt(app: &mut App) -> Vec<Effect> {
    if app.is_leaving {
        return leave(app);
    }
    if purpose::leave(app) {
        note_written(app);
        return Vec::new();
    }
    match app.current_mut() {
        Some(conversation) if !conversation.composer.is_empty() => {
            conversation.composer.replace("");
            let id = conversation.summary.id;
            app.unsaved = None;
            app.toast = None;
            vec![Effect::SaveDraft(id, String::new())]
        }
        Some(_) | None => {
            app.is_leaving = true;
            app.say("press again to leave");
            Vec::new()
        }
    }
}

/// Leaves, and keeps what is being written. What was to be deleted is not kept until the next time.
pub(super) fn leave(app: &mut App) -> Vec<Effect> {
    let mut effects = deletion::send(app);
    effects.extend(app.current().map(|c| Effect::SaveDraft(c.summary.id, purpose::draft(c))));
    effects.push(Effect::Quit);
    effects
}

fn submit(app: &mut App) -> Vec<Effect> {
    let Some(conversation) = app.current_mut() else { return Vec::new() };
    let id = conversation.summary.id;
    let text = conversation.composer.text();
    if text.trim().is_empty() {
        bar::open(app);
        return Vec::new();
    }
    let effects = match slash::parse(&text) {
        Line::Words(words) => {
            if let Err(error) = Composer::check_size(words) {
                app.complain(error.to_string());
                return Vec::new();
            }
            let saying = purpose::fulfil(conversation, words);
            let is_new = !matches!(saying, Some(Saying::Edit(..)) | None);
            if is_new {
                conversation.unread_from = None;
            }
            app.toast = None;
            let said = saying.map(|saying| Effect::Say(id, saying)).into_iter();
            // What is said stands below everything, and that may not be loaded.
            said.chain(if is_new { to_live(app) } else { Vec::new() }).collect()
        }
        Line::Command(..) if conversation.composer.take_doubt() => {
            let first = text.split_whitespace().next().unwrap_or_default();
            app.complain(format!("pasted: Enter again does {first}; // says it"));
            return Vec::new();
        }
        Line::Command(verb, arguments) => {
            conversation.composer.take();
            match verb::perform(app, verb, arguments) {
                Ok(effects) => {
                    // What was gone to stays chosen for the next command.
                    if verb != Verb::Goto
                        && let Some(conversation) = app.conversations.get_mut(&id)
                    {
                        conversation.selected = None;
                    }
                    effects
                }
                Err(why) => {
                    if let Some(conversation) = app.conversations.get_mut(&id) {
                        conversation.composer.replace(&text);
                    }
                    app.complain(why);
                    return Vec::new();
                }
            }
        }
        Line::Unknown(name, nearest) => {
            let hint = nearest.map(|name| format!(", did you mean /{name}?")).unwrap_or_default();
            app.complain(format!("there is no /{name}{hint} (//{name} sends it as text)"));
            return Vec::new();
        }
    };
    // A command may have left something to be gone on with, as `/edit` does.
    let left = app.conversation(id).map(purpose::draft).unwrap_or_default();
    app.unsaved = None;
    std::iter::once(Effect::SaveDraft(id, left)).chain(effects).collect()
}

pub(super) fn scroll(app: &mut App, motion: Motion) -> Vec<Effect> {
    let rows = i32::from(app.rows.saturating_sub(OVERLAP_ROWS).max(1));
    let Some(conversation) = app.current_mut() else { return Vec::new() };
    match motion {
        Motion::PageUp => conversation.scroll_wish -= rows,
        Motion::PageDown => conversation.scroll_wish += rows,
        Motion::Oldest => conversation.scroll_wish = i32::MIN / 2,
        Motion::Live => return to_live(app),
    }
    Vec::new()
}

pub(super) fn to_live(app: &mut App) -> Vec<Effect> {
    let Some(conversation) = app.current_mut() else { return Vec::new() };
    conversation.scroll = Scroll::Live;
    conversation.scroll_wish = 0;
    conversation.selected = None;
    // Below a gap in what is stored the window goes no further, but it does not end there.
    let has_newest = conversation.timeline.newest() >= Some(conversation.summary.head);
    if conversation.timeline.reaches_newest && has_newest {
        return Vec::new();
    }
    conversation.is_loading = true;
    vec![Effect::Load(conversation.summary.id, Place::Newest)]
}

fn go(app: &mut App, go: Go) -> Vec<Effect> {
    let listed: Vec<(ConversationId, u64)> =
        app.listed().iter().map(|c| (c.summary.id, c.summary.unread)).collect();
    let here = listed.iter().position(|(id, _)| Some(*id) == app.current);
    let count = listed.len();
    let at = |index: usize| listed.get(index).map(|(id, _)| *id);
    let target = match go {
        Go::Number(number) => at(usize::from(number).saturating_sub(1)),
        Go::Next => at(here.map_or(0, |here| (here + 1) % count)),
        Go::Previous => at(here.map_or(0, |here| (here + count - 1) % count)),
        Go::NextUnread => {
            let start = here.map_or(0, |here| here + 1);
            let mut order = (start..count).chain(0..start.min(count));
            order.find(|index| listed[*index].1 > 0).and_then(at)
        }
    };
    match target {
        Some(id) => show(app, id),
        None => Vec::new(),
    }
}

fn select(app: &mut App, step: Step) -> Vec<Effect> {
    let Some(conversation) = app.current_mut() else { return Vec::new() };
    let timeline = &conversation.timeline;
    conversation.selected = match (step, conversation.selected) {
        (Step::Older, from) => timeline.speech_before(from).map(|entry| entry.seq).or(from),
        (Step::Newer, Some(from)) => timeline.speech_after(from).map(|entry| entry.seq),
        (Step::Newer, None) => None,
    };
    app.toast = None;
    Vec::new()
}

/// A click selects a message; on the selected one, it offers what can be done with it.
fn click(app: &mut App, column: u16, row: u16) {
    let Some(seq) = app.spots.at(column, row).filter(|_| app.overlay.is_none()) else { return };
    let Some(conversation) = app.current_mut() else { return };
    if conversation.selected == Some(seq) {
        bar::open(app);
    } else {
        conversation.selected = Some(seq);
        app.bar = None;
        app.toast = None;
    }
}

fn on_mouse(app: &mut App, mouse: MouseEvent) -> Vec<Effect> {
    let rows = match mouse.kind {
        MouseEventKind::ScrollUp => -WHEEL_ROWS,
        MouseEventKind::ScrollDown => WHEEL_ROWS,
        MouseEventKind::Down(MouseButton::Left) => {
            click(app, mouse.column, mouse.row);
            return Vec::new();
        }
        _ => return Vec::new(),
    };
    if let Some(Overlay::Help(from) | Overlay::List { from, .. }) = &mut app.overlay {
        *from = from.saturating_add_signed(rows);
    } else if let Some(Overlay::Pick(picker)) = &mut app.overlay {
        picker.turn(rows.signum().into());
    } else if let Some(conversation) = app.current_mut() {
        conversation.scroll_wish += i32::from(rows);
    }
    Vec::new()
}

fn on_paste(app: &mut App, text: &str) -> Vec<Effect> {
    if let Some(first_run) = &mut app.first_run {
        first_run.on_paste(text);
        return Vec::new();
    }
    if let Some(effects) = find::on_paste(app, text) {
        return effects;
    }
    app.overlay = None;
    app.completion = None;
    app.bar = None;
    let Some(conversation) = app.current_mut() else { return Vec::new() };
    if let Err(error) = conversation.composer.paste(text) {
        app.complain(format!("not pasted: {error}"));
        return Vec::new();
    }
    note_written(app);
    Vec::new()
}

/// Takes a whole line, as if it had been written and sent in one go.
fn on_line(app: &mut App, line: &str) -> Vec<Effect> {
    if let Some(first_run) = &mut app.first_run {
        return first_run.on_line(line);
    }
    if line.trim().is_empty() {
        if !purpose::leave(app) {
            app.say(app.whereabouts());
        }
        return Vec::new();
    }
    let Some(conversation) = app.current_mut() else { return Vec::new() };
    conversation.composer.replace(line);
    let mut effects = submit(app);
    if let Some(conversation) = app.current_mut() {
        if conversation.purpose.is_none() {
            // What could not be done was said, and is written anew.
            conversation.composer.replace("");
        }
        let timeline = &conversation.timeline;
        let goes_back = conversation.scroll_wish < 0;
        let is_away = !timeline.reaches_newest && timeline.newest().is_some() && !goes_back;
        if is_away && conversation.selected.is_none() && !conversation.is_loading {
            effects.extend(to_live(app));
        }
    }
    effects
}

/// Forgets what was to be said once.
fn on_told(app: &mut App) {
    app.toast = None;
    app.overlay = None;
    if app.lists_members
        && let Some(conversation) = app.current_mut().filter(|c| !c.people.is_empty())
    {
        conversation.people.clear();
        app.lists_members = false;
    }
    for conversation in app.conversations.values_mut() {
        conversation.came.clear();
    }
}

/// What comes back from the editor replaces what was written. It is never sent by itself.
fn on_edited(app: &mut App, id: ConversationId, edited: Result<String, String>) -> Vec<Effect> {
    match edited {
        Ok(text) => {
            if let Some(conversation) = app.conversations.get_mut(&id) {
                conversation.composer.replace(&text);
            }
            note_written(app);
        }
        Err(why) => app.complain(why),
    }
    Vec::new()
}

/// Settles the scroll wishes, fetches what the screen nears, and marks what was seen as read.
fn on_drawn(app: &mut App, drawn: Drawn) -> Vec<Effect> {
    if app.current == Some(drawn.conversation) {
        app.rows = drawn.rows;
        app.spots = drawn.spots;
    }
    let mut effects = app.highlights.ask(drawn.code);
    let is_watched = app.focus == Focus::Gained && app.overlay.is_none();
    let Some(conversation) = app.conversations.get_mut(&drawn.conversation) else {
        return effects;
    };
    conversation.scroll = drawn.scroll;
    conversation.scroll_wish = 0;
    let timeline = &conversation.timeline;
    if !conversation.is_loading {
        let place = if drawn.reaches_oldest && !timeline.reaches_oldest {
            timeline.oldest().map(Place::Before)
        } else if drawn.reaches_newest && !timeline.reaches_newest {
            timeline.newest().map(Place::After)
        } else {
            None
        };
        if let Some(place) = place {
            conversation.is_loading = true;
            effects.push(Effect::Load(drawn.conversation, place));
        }
    }
    if is_watched
        && let Some(seq) =
            drawn.seen.and_then(|seen| conversation.see(seen_through(conversation, seen)))
    {
        effects.push(Effect::Read(drawn.conversation, seq));
    }
    effects
}

/// Amends have no rows: those right above the newest visible record were seen with it.
fn seen_through(conversation: &Conversation, seen: Seq) -> Seq {
    let entries = conversation.timeline.entries();
    let Some(index) = conversation.timeline.position(seen) else { return seen };
    let amends = entries.iter().skip(index + 1).take_while(|entry| entry.is_amend());
    amends.last().map_or(seen, |entry| entry.seq)
}
