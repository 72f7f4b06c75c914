//! Reports in a real browser: they show what was run, and nothing that a scenario says runs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use harness::{
    browser::{self, Shown},
    chat::Chat,
};
use serde_json::Value;
use tempfile::TempDir;

/// What no part of a scenario may become: a script or an element. Then what turns lines around, ends
/// them in JavaScript, or begins a comment.
const HOSTILE: &str = "</script><script>document.documentElement.dataset.owned=1</script>\
    <img src=http://127.0.0.1:9/x onerror=\"document.documentElement.dataset.owned=1\"> \
    \u{2028}\u{202e}evil <!--<script> ]]> \\u003c '\"`${1} &lt;b&gt;";

fn lab(arguments: &[&str], directory: &Path) -> Output {
    let mut command = Command::new(Chat::binary().expect("the client is built"));
    command.arg("lab").args(arguments).current_dir(directory).env("CHAT_HOME", directory);
    command.output().expect("it can be started")
}

/// A scenario whose words are hostile, in a file whose name is.
fn hostile_scenario(directory: &Path) -> PathBuf {
    let path = directory.join("a\"><img src=x onerror=alert(1)>'.toml");
    let words = toml::Value::String(HOSTILE.to_owned());
    let text = format!(
        "title = {words}\nexplain = {words}\nlasts = '10s'\nstrategies = ['go-back-n', 'tcp']\n\
         expect = ['delivered = 100%', 'tcp: p99 < 1ms']\n\
         traffic = {{ messages = 20, bytes = 100, every = '20ms' }}\n\
         path = {{ delay = '5ms', loss = '20%' }}\n# {HOSTILE}\n"
    );
    fs::write(&path, text).expect("writable");
    path
}

/// Packets of each strategy, from the events of the same run.
fn packets(scenario: &str, directory: &Path) -> Vec<(String, usize)> {
    let output = lab(&["run", scenario, "--json"], directory);
    let mut packets: Vec<(String, usize)> = Vec::new();
    for line in String::from_utf8(output.stdout).expect("UTF-8").lines() {
        let event: Value = serde_json::from_str(line).expect("JSON");
        let strategy = event["strategy"].as_str().expect("named").to_owned();
        if packets.last().is_none_or(|(last, _)| *last != strategy) {
            packets.push((strategy, 0));
        }
        if event["event"] == "sent" {
            packets.last_mut().expect("just pushed").1 += 1;
        }
    }
    packets
}

fn report(scenario: &str, directory: &Path) -> PathBuf {
    let page = directory.join("report.html");
    let output = lab(&["run", scenario, "--report", "report.html", "--force"], directory);
    assert!(output.status.success(), "{output:?}");
    page
}

/// The elements that the page is made of, without the data.
fn elements(shown: &Shown) -> String {
    let (before, rest) = shown.dom.split_once("<script type=\"application/json\"").expect("data");
    let (_, after) = rest.split_once("</script>").expect("the data ends");
    format!("{before}{after}")
}

fn assert_quiet(shown: &Shown) {
    assert!(shown.complaints.is_empty(), "{:#?}", shown.complaints);
    assert!(shown.requests.is_empty(), "{:#?}", shown.requests);
}

#[test]
fn a_report_shows_every_strategy_and_every_packet() {
    let directory = TempDir::new().expect("a directory");
    for scenario in ["burst", "head-of-line", "lost-ack"] {
        let shown = browser::show(&report(scenario, directory.path())).expect("a browser");
        assert_quiet(&shown);
        let packets = packets(scenario, directory.path());
        let counts: Vec<String> = packets.iter().map(|(_, count)| count.to_string()).collect();
        let ready = format!(
            "data-ready=\"run\" data-rows=\"{}\" data-packets=\"{}\"",
            packets.len(),
            counts.join(" ")
        );
        assert!(shown.dom.contains(&ready), "{scenario}: no {ready} in\n{:.400}", shown.dom);
        let elements = elements(&shown);
        for (strategy, _) in packets {
            assert!(elements.contains(&format!("<bdi>{strategy}</bdi>")), "{scenario}: {strategy}");
        }
        let command = format!("chat-client lab run {scenario} --seed ");
        assert!(elements.contains(&command), "{scenario}: no {command}");
    }
}

#[test]
fn hostile_words_are_shown_and_do_nothing() {
    let directory = TempDir::new().expect("a directory");
    let scenario = hostile_scenario(directory.path());
    let page = report(scenario.to_str().expect("UTF-8"), directory.path());
    let shown = browser::show(&page).expect("a browser");
    assert_quiet(&shown);
    assert!(shown.dom.contains("data-ready=\"run\" data-rows=\"2\""), "{:.400}", shown.dom);
    let elements = elements(&shown);
    for absent in ["data-owned", "<img", "<b>", "<!--<", "\u{2028}", "\u{202e}"] {
        assert!(!elements.contains(absent), "{absent}");
    }
    assert_eq!(elements.matches("<script").count(), 1, "its own");
    let title = "&lt;/script&gt;&lt;script&gt;document.documentElement.dataset.owned=1";
    assert!(elements.contains(&format!("<h1 id=\"title\" dir=\"auto\">{title}")), "as text");
    assert!(elements.contains("⟨U+202E⟩evil"), "what turns lines around is named");
    assert!(
        elements.contains("a\"&gt;&lt;img src=x onerror=alert(1)&gt;'\\''.toml"),
        "the command"
    );
    assert!(elements.contains("not met: it is "), "what was not as expected");
}

#[test]
fn whatever_gets_into_a_page_its_policy_stops_it() {
    let directory = TempDir::new().expect("a directory");
    let page = report("tail-loss", directory.path());
    let text = fs::read_to_string(&page).expect("readable");
    let smuggled = "<body><script>document.documentElement.dataset.owned=1</script>\
        <img src=\"http://127.0.0.1:9/x\" onerror=\"document.documentElement.dataset.owned=1\">\
        <style>h1 { display: none }</style><base href=\"http://127.0.0.1:9/\">";
    fs::write(&page, text.replacen("<body>", smuggled, 1)).expect("writable");
    let shown = browser::show(&page).expect("a browser");
    assert!(shown.dom.contains("data-ready=\"run\""), "the page itself still works");
    assert!(!shown.dom.contains("data-owned"), "{:.400}", shown.dom);
    let violations = shown.complaints.iter().filter(|it| it.contains("Content Security Policy"));
    assert!(violations.count() >= 4, "script, picture, style, base: {:#?}", shown.complaints);
    assert!(shown.requests.is_empty(), "{:?}", shown.requests);

    // That the last line says something: without the policy, it is asked for.
    fs::write(&page, smuggled).expect("writable");
    let shown = browser::show(&page).expect("a browser");
    assert!(shown.dom.contains("data-owned"), "{}", shown.dom);
    assert!(shown.requests.contains(&"http://127.0.0.1:9/x".to_owned()), "{:?}", shown.requests);
}

#[test]
fn the_same_seed_is_the_same_page_and_another_is_not() {
    let directory = TempDir::new().expect("a directory");
    let page = |seed: &str| {
        let arguments = ["run", "burst", "--seed", seed, "--report", "report.html"];
        let output = lab(&arguments, directory.path());
        assert!(output.status.success(), "a report of ours is replaced: {output:?}");
        fs::read(directory.path().join("report.html")).expect("readable")
    };
    let first = page("7");
    assert!(first == page("7"), "byte for byte");
    assert!(first != page("8"));
}

#[test]
fn the_same_seed_is_the_same_events() {
    let directory = TempDir::new().expect("a directory");
    let events = || lab(&["run", "burst", "--json"], directory.path()).stdout;
    let first = events();
    assert!(first.len() > 100_000, "{} bytes of events", first.len());
    assert!(first == events(), "byte for byte");
}

#[test]
fn formulas_and_measurements_are_shown_beside_one_another() {
    let directory = TempDir::new().expect("a directory");
    let output = lab(&["theory", "--report", "theory.html", "--json"], directory.path());
    assert!(output.status.success(), "{output:?}");
    let points = String::from_utf8(output.stdout).expect("UTF-8");
    let points = points.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let points: Vec<Value> = points.collect();
    let shown = browser::show(&directory.path().join("theory.html")).expect("a browser");
    assert_quiet(&shown);
    let ready = format!("data-ready=\"theory\" data-rows=\"{}\"", points.len());
    assert!(shown.dom.contains(&ready), "no {ready} in\n{:.400}", shown.dom);
    let elements = elements(&shown);
    for point in points {
        let measured = format!("<td>{:.4}</td>", point["measured"].as_f64().expect("a number"));
        assert!(elements.contains(&measured), "{measured}");
    }
}

#[test]
fn verdicts_are_xml_whatever_a_scenario_is_called() {
    let directory = TempDir::new().expect("a directory");
    let scenario = hostile_scenario(directory.path());
    let scenario = scenario.to_str().expect("UTF-8");
    let arguments = ["run", "burst", scenario, "--junit", "lab.xml", "--assert"];
    let output = lab(&arguments, directory.path());
    assert_eq!(output.status.code(), Some(1), "one expectation cannot be met: {output:?}");
    let file = directory.path().join("lab.xml");
    let text = fs::read_to_string(&file).expect("readable");
    assert!(text.contains("<testsuites name=\"laboratory\" tests=\"10\" failures=\"1\""), "{text}");
    let shown = browser::show(&file).expect("a browser");
    assert!(!shown.dom.contains("parsererror"), "{}", shown.dom);
    assert_eq!(shown.dom.matches("<testcase ").count(), 10, "{}", shown.dom);
    assert_eq!(shown.dom.matches("<failure ").count(), 1, "{}", shown.dom);
}

#[test]
fn a_file_that_is_no_report_is_kept() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("thesis.html");
    fs::write(&path, "<!doctype html>\nmine").expect("writable");
    let run = |force: &[&str]| {
        let arguments = [&["run", "burst", "--report", "thesis.html"], force].concat();
        lab(&arguments, directory.path()).status.code()
    };
    assert_eq!(run(&[]), Some(1));
    assert_eq!(fs::read_to_string(&path).expect("readable"), "<!doctype html>\nmine");
    assert_eq!(run(&["--force"]), Some(0));
    assert!(fs::read_to_string(&path).expect("readable").contains("laboratory report"));
}
