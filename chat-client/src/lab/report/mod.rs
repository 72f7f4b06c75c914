//! A run as a page: one file that shows itself in any browser, without a network, for good.
//!
//! ```text
//!   words   for people           page/*.js    reads the data, draws        theory   formulas, measured
//!   data    for the drawings     page/*.css   colours and layout, light and dark
//!   thin    fewer points         page/*.html  what stands there before anything is drawn
//! ```
//!
//! A scenario is written by somebody else, and so are its title and its explanation. They reach the
//! page as JSON in an element that no browser runs, with everything escaped that could end it, and the
//! script makes text nodes of them, never HTML. The page's policy allows nothing but the script and the
//! style whose hashes it names, not even a picture, and no string to become HTML or code.

mod data;
mod theory;
mod thin;
mod words;

use std::net::SocketAddr;

use data_encoding::BASE64;
use protocol::{ids::sha256, lab::scenario::Scenario};
use serde::Serialize;

use self::data::{Band, StrategyData, Word};
pub use self::data::{MESSAGES_MAX, PACKETS_MAX, TIMERS_MAX};
use self::theory::TheoryData;
use super::{outcome::Outcome, textbook::Measured};
use crate::{output::to_json, untrusted::Untrusted};

/// How a report begins: by this it is known as one.
pub const MARK: &str =
    "<!doctype html>\n<html lang=\"en\">\n<!-- chat-client laboratory report -->\n";
/// Longest text of a scenario that is put into its report.
pub const SOURCE_BYTES_MAX: usize = 64 << 10;

const CSS: &str = include_str!("page/page.css");
const RUN_HTML: &str = include_str!("page/run.html");
const THEORY_HTML: &str = include_str!("page/theory.html");
/// What both pages draw with.
const SHARED_SCRIPTS: &str = concat!(
    include_str!("page/dom.js"),
    include_str!("page/format.js"),
    include_str!("page/theme.js"),
    include_str!("page/surface.js"),
    include_str!("page/scales.js"),
    include_str!("page/chart.js"),
);
const THEORY_SCRIPT: &str = include_str!("page/theory.js");
const RUN_SCRIPTS: &str = concat!(
    include_str!("page/data.js"),
    include_str!("page/ladder.js"),
    include_str!("page/ladder_paint.js"),
    include_str!("page/minimap.js"),
    include_str!("page/details.js"),
    include_str!("page/run.js"),
);

/// Where a run came from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// What makes the same run.
    pub command: &'a str,
    /// The scenario as written, or nothing if everybody has it.
    pub source: Option<&'a str>,
    /// Where the receiver was, if it was on another host.
    pub live: Option<SocketAddr>,
}

/// The page of a scenario with its outcomes.
pub fn of_run(origin: Origin<'_>, scenario: &Scenario, outcomes: &[Outcome]) -> String {
    let source = origin.source.filter(|text| text.len() <= SOURCE_BYTES_MAX);
    let data = RunData {
        version: env!("CARGO_PKG_VERSION"),
        title: line(&scenario.title),
        explain: paragraphs(&scenario.explain),
        path: words::experiment(&scenario.experiment, origin.live),
        seed: scenario.experiment.seed.to_string(),
        command: line(origin.command),
        again: words::again(origin.live),
        source: source.map(|text| Untrusted::new(text).for_lines().collect::<Vec<_>>().join("\n")),
        kinds: data::kinds(),
        fates: data::fates(),
        bands: data::bands(&scenario.experiment),
        strategies: outcomes.iter().enumerate().map(|(i, it)| StrategyData::new(it, i)).collect(),
    };
    document(RUN_HTML, RUN_SCRIPTS, &data)
}

/// The page of the textbook's strategies beside its formulas, measured with the seeds from `seed` on.
pub fn of_theory(command: &str, seed: u64, points: &[Measured]) -> String {
    document(THEORY_HTML, THEORY_SCRIPT, &TheoryData::new(command, seed, points))
}

#[derive(Serialize)]
struct RunData {
    version: &'static str,
    title: String,
    explain: Vec<String>,
    path: Vec<String>,
    /// As text: JSON's numbers end at 2^53 in a browser.
    seed: String,
    command: String,
    /// What the command does.
    again: &'static str,
    source: Option<String>,
    kinds: Vec<Word>,
    fates: Vec<Word>,
    bands: Vec<Band>,
    strategies: Vec<StrategyData>,
}

fn line(text: &str) -> String {
    Untrusted::new(text).for_line()
}

/// Lines that belong together are one paragraph.
fn paragraphs(text: &str) -> Vec<String> {
    let text = text.replace("\r\n", "\n");
    let whole = text.trim().split("\n\n").map(|paragraph| line(&paragraph.replace('\n', " ")));
    whole.filter(|paragraph| !paragraph.is_empty()).collect()
}

/// A whole page around its data.
fn document(body: &str, script: &str, data: &impl Serialize) -> String {
    let script = [SHARED_SCRIPTS, script].concat();
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        hash(CSS),
        hash(&script)
    );
    format!(
        "{MARK}<head>\n\
         <meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>Laboratory report</title>\n\
         <style>{CSS}</style>\n\
         </head>\n\
         <body>\n\
         {body}\
         <script type=\"application/json\" id=\"data\">{}</script>\n\
         <script type=\"module\">{script}</script>\n\
         </body>\n\
         </html>\n",
        escaped(&to_json(data))
    )
}

/// How a policy names the text of an element.
fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64.encode(&sha256(&[text.as_bytes()])))
}

/// JSON in which nothing can end its element, or begin another one. These characters only stand in
/// strings; [`to_json`] has escaped separators of lines and what is invisible already.
fn escaped(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}
