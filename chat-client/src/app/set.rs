//! `/set`: shows settings, tries them out, and keeps them if asked to.

use super::{App, Overlay, Wheel, effect::Effect};
use crate::settings::{self, table::SETTINGS};

/// What writes the file.
const SAVE: &str = "save";

/// Lists settings, shows one, changes one, or writes the file.
pub(super) fn perform(app: &mut App, name: &str, value: &str) -> Result<Vec<Effect>, String> {
    match (name, value) {
        ("", _) => {
            let title = "settings (/set NAME VALUE tries, /set save keeps)".to_owned();
            app.overlay = Some(Overlay::List { title, lines: list(app), from: 0 });
            Ok(Vec::new())
        }
        (SAVE, "") => match app.preferences.changes() {
            changes if changes.is_empty() => Err("nothing was set that is not saved".to_owned()),
            changes => Ok(vec![Effect::Save(changes)]),
        },
        (name, "") => {
            let setting = settings::find(name)?;
            let value = shown(app, name)?;
            let origin = app.preferences.origin(setting);
            app.say(format!("{name} = {value} ({origin}): {}", setting.expected));
            Ok(Vec::new())
        }
        (name, value) => {
            app.preferences.set(name, value)?;
            let value = shown(app, name)?;
            app.say(format!("{name} = {value}; /set save keeps it"));
            Ok(apply(app))
        }
    }
}

/// What a changed setting does at once, beside the next frame.
fn apply(app: &mut App) -> Vec<Effect> {
    let wheel = if app.preferences.values.ui.mouse { Wheel::Scrolls } else { Wheel::IsTerminals };
    if wheel == app.wheel {
        return Vec::new();
    }
    app.wheel = wheel;
    vec![Effect::Wheel(wheel)]
}

fn shown(app: &App, name: &str) -> Result<String, String> {
    let value = settings::find(name)?.show(&app.preferences.values).join(" ");
    Ok(if value.is_empty() { "nothing".to_owned() } else { value })
}

fn list(app: &App) -> Vec<String> {
    let preferences = &app.preferences;
    let row = |setting: &settings::table::Setting| {
        let value = setting.show(&preferences.values).join(" ");
        let origin = preferences.origin(setting);
        format!("{} = {value} ({origin}) —{}", setting.path(), setting.help)
    };
    SETTINGS.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::{
            Colour,
            event::{Data, Event},
            first_run::Setup,
            fixture::{app, at, id, press, room},
            update,
        },
        settings::{Preferences, Problem},
    };

    #[test]
    fn settings_are_tried_shown_and_kept() {
        let mut app = app(vec![room(1, "lobby")]);
        let said =
            |app: &App| app.toast.as_ref().map(|toast| toast.text.clone()).unwrap_or_default();
        assert_eq!(
            press(&mut app, "/set ui.mouse false<enter>")[1..],
            [Effect::Wheel(Wheel::IsTerminals)]
        );
        assert_eq!(said(&app), "ui.mouse = false; /set save keeps it");
        let effects = press(&mut app, "/set save<enter>");
        let Some(Effect::Save(changes)) = effects.get(1) else { panic!("{effects:?}") };
        assert_eq!((changes.len(), changes[0].key.as_str()), (1, "mouse"));
        update(&mut app, Event::Data(Data::Saved(changes.clone(), Ok("config.toml".into()))));
        assert_eq!(said(&app), "saved in config.toml");
        press(&mut app, "/set save<enter>");
        assert_eq!(said(&app), "nothing was set that is not saved");
        press(&mut app, "<C-u>/set theme<enter>");
        assert_eq!(said(&app), "unknown setting `theme`, did you mean `ui.theme`?");
    }

    #[test]
    fn nobody_learns_of_writing_that_is_not_told() {
        let mut app = app(vec![room(1, "lobby")]);
        assert_eq!(press(&mut app, "a"), [Effect::Typing(id(1))]);
        app.preferences.set("ui.typing", "off").expect("a setting");
        assert_eq!(press(&mut app, "b"), []);
    }

    #[test]
    fn mistakes_in_the_settings_are_said_with_the_first_conversation() {
        let mut app = App::new(at(0), jiff::tz::TimeZone::UTC, Colour::None);
        let problem = |line| Problem { line: Some(line), what: "unknown key `x`".into() };
        app.configure(Preferences::default(), &[problem(3), problem(4)]);
        update(&mut app, Event::Setup(Setup::Ready));
        update(&mut app, Event::Data(Data::Conversations(vec![room(1, "lobby")])));
        let said = "settings: line 3: unknown key `x` (1 of 2: chat-client config check)";
        assert_eq!(app.toast.map(|toast| toast.text).as_deref(), Some(said));
    }
}
