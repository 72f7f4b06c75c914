//! What may not be there: imports that would blur a boundary, files at the top level that nobody
//! asked for, clocks inside the pure parts.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is in the workspace").to_owned()
}

/// Every Rust file below `dir` (or `dir` itself, if it is one), with its text up to its tests.
fn sources(dir: &str) -> Vec<(PathBuf, String)> {
    let mut pending = vec![root().join(dir)];
    let mut found = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a directory of the workspace is readable");
            pending.extend(entries.map(|entry| entry.expect("readable").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file is text");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
            found.push((path, code));
        }
    }
    found
}

/// Lines of code (not comments) below `dir` that contain one of `words`.
fn offending(dir: &str, words: &[&str]) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, code) in sources(dir) {
        for (number, line) in code.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if words.iter().any(|word| code.contains(word)) {
                lines.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    lines
}

fn assert_absent(dir: &str, words: &[&str]) {
    assert!(root().join(dir).exists(), "{dir} has moved: this test has to follow it");
    let lines = offending(dir, words);
    assert!(lines.is_empty(), "{dir} may not name {words:?}:\n{}", lines.join("\n"));
}

const IO: &[&str] = &[
    "std::net::Tcp",
    "std::net::Udp",
    "tokio::",
    "std::fs",
    "std::thread",
    "Instant::now",
    "SystemTime",
    "HashMap",
    "HashSet",
];

#[test]
fn protocol_layers_do_not_import_one_another() {
    assert_absent(
        "protocol/src/message",
        &["crate::channel", "crate::transport", "crate::connection"],
    );
    assert_absent(
        "protocol/src/channel",
        &["crate::message", "crate::transport", "crate::connection"],
    );
    assert_absent(
        "protocol/src/transport",
        &["crate::message", "crate::channel", "crate::connection"],
    );
}

#[test]
fn pure_parts_have_no_io_no_clock_and_no_random_order() {
    for dir in ["protocol/src", "chat-server/src/hub", "chat-client/src/engine"] {
        assert_absent(dir, IO);
    }
}

#[test]
fn views_are_functions_of_the_model() {
    let effects = ["crate::node", "crate::net", "crate::store::sqlite", "std::fs", "Instant::now"];
    assert_absent("chat-client/src/ui", &effects);
    assert_absent("chat-client/src/linear", &effects);
}

#[test]
fn bincode_is_named_in_one_file() {
    let mut files = Vec::new();
    for dir in ["protocol/src", "chat-server/src", "chat-client/src", "tests"] {
        for (path, code) in sources(dir) {
            let named = path.file_name().is_some_and(|name| name == "architecture.rs");
            if code.contains("bincode::") && !named {
                files.push(path);
            }
        }
    }
    assert_eq!(files, [root().join("protocol/src/message/encoding.rs")]);
}

#[test]
fn the_relay_never_uses_the_client() {
    assert_absent("chat-server/src", &["chat_client"]);
}

#[test]
fn only_hosting_names_the_relay() {
    let lines = offending("chat-client/src", &["chat_server"]);
    let elsewhere: Vec<_> = lines.iter().filter(|line| !line.contains("/host.rs:")).collect();
    assert!(elsewhere.is_empty(), "only host.rs may name chat_server:\n{elsewhere:?}");
}

#[test]
fn top_level_is_what_the_readme_says() {
    let allowed = [
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "chat-client",
        "chat-server",
        "protocol",
        "target",
        "tests",
    ];
    let extra: Vec<_> = fs::read_dir(root())
        .expect("the workspace is readable")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && !allowed.contains(&name.as_str()))
        .collect();
    assert!(extra.is_empty(), "unexpected at the top level: {extra:?}");
}
