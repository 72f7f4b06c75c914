//! Verdicts as JUnit XML, which continuous integration reads: a test case for every strategy and
//! expectation.

use super::outcome::{Outcome, Verdict};
use crate::untrusted::Untrusted;

/// How such a file begins: by this it is known as one of ours.
pub const MARK: &str =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- chat-client laboratory -->\n";

/// What became of a scenario.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The scenario, as it was asked for.
    pub scenario: String,
    /// Decided what was left to chance.
    pub seed: u64,
    /// Strategies, with what was expected of each.
    pub cases: Vec<(String, Vec<Verdict>)>,
    /// Expectations of strategies that were left out.
    pub skipped: Vec<String>,
}

impl Suite {
    /// The verdicts of a scenario's outcomes.
    pub fn new(scenario: &str, seed: u64, outcomes: &[Outcome], skipped: Vec<String>) -> Self {
        let cases = outcomes.iter().map(|it| (it.strategy.clone(), it.verdicts.clone())).collect();
        Self { scenario: scenario.to_owned(), seed, cases, skipped }
    }

    fn verdicts(&self) -> impl Iterator<Item = (&str, &Verdict)> {
        self.cases.iter().flat_map(|(strategy, verdicts)| {
            verdicts.iter().map(|verdict| (strategy.as_str(), verdict))
        })
    }

    /// Test cases, with those that were skipped, and those that failed.
    fn counts(&self) -> (usize, usize) {
        let failed = self.verdicts().filter(|(_, verdict)| verdict.instead.is_some()).count();
        (self.verdicts().count() + self.skipped.len(), failed)
    }
}

/// The file. It has no time in it: the same seeds are the same bytes.
pub fn document(suites: &[Suite]) -> String {
    let counts = suites.iter().map(Suite::counts);
    let (tests, failures) = counts.fold((0, 0), |(a, b), (tests, failed)| (a + tests, b + failed));
    let mut lines = vec![format!(
        "<testsuites name=\"laboratory\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\">"
    )];
    for suite in suites {
        let name = escaped(&suite.scenario);
        let (tests, failures) = suite.counts();
        lines.push(format!(
            "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" \
             skipped=\"{}\">",
            suite.skipped.len()
        ));
        lines.push("    <properties>".to_owned());
        lines.push(format!("      <property name=\"seed\" value=\"{}\"/>", suite.seed));
        lines.push("    </properties>".to_owned());
        for (strategy, Verdict { expected, instead }) in suite.verdicts() {
            // An expectation of one strategy begins with its name.
            let is_named = expected.trim_start().starts_with(&format!("{strategy}:"));
            let case = if is_named { expected.clone() } else { format!("{strategy}: {expected}") };
            let (case, expected) = (escaped(&case), escaped(expected));
            let case = format!("    <testcase classname=\"{name}\" name=\"{case}\"");
            let Some(is) = instead else {
                lines.push(format!("{case}/>"));
                continue;
            };
            let is = escaped(is);
            lines.push(format!("{case}>"));
            lines.push(format!("      <failure message=\"it is {is}\">expected {expected}, and it is {is}</failure>"));
            lines.push("    </testcase>".to_owned());
        }
        for expected in &suite.skipped {
            let case = escaped(expected);
            let case = format!("    <testcase classname=\"{name}\" name=\"{case}\">");
            lines.push(format!("{case}<skipped/></testcase>"));
        }
        lines.push("  </testsuite>".to_owned());
    }
    lines.push("</testsuites>\n".to_owned());
    format!("{MARK}{}", lines.join("\n"))
}

/// Text for an attribute in double quotes, or between tags. Controls have become marks; what XML 1.0
/// has no way to write at all (§2.2) is left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in Untrusted::new(text).for_line().chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            // Only `]]>` would have to be escaped.
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\0'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}' => {}
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn suite(name: &str, strategy: &str, expected: &str, instead: Option<&str>) -> Suite {
        let verdict = Verdict { expected: expected.into(), instead: instead.map(str::to_owned) };
        Suite {
            scenario: name.into(),
            seed: 7,
            cases: vec![(strategy.into(), vec![verdict])],
            skipped: Vec::new(),
        }
    }

    #[test]
    fn what_was_left_out_is_said() {
        let mut suite = suite("burst", "ours", "delivered = 100%", None);
        suite.skipped = vec!["tcp: p99 < 1s".to_owned()];
        let document = document(&[suite]);
        let case = "<testcase classname=\"burst\" name=\"tcp: p99 &lt; 1s\"><skipped/></testcase>";
        assert!(document.contains("tests=\"2\" failures=\"0\" errors=\"0\" skipped=\"1\""));
        assert!(document.contains(case), "{document}");
    }

    #[test]
    fn a_case_for_every_expectation_and_what_was_measured_if_it_failed() {
        let suites = [
            suite("burst", "ours", "ours: p99 < 250ms", None),
            suite("burst", "tcp", "p99 < 250ms", Some("300.000ms")),
        ];
        assert_eq!(
            document(&suites),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- chat-client laboratory -->\n\
             <testsuites name=\"laboratory\" tests=\"2\" failures=\"1\" errors=\"0\">\n  \
               <testsuite name=\"burst\" tests=\"1\" failures=\"0\" errors=\"0\" skipped=\"0\">\n    \
                 <properties>\n      <property name=\"seed\" value=\"7\"/>\n    </properties>\n    \
                 <testcase classname=\"burst\" name=\"ours: p99 &lt; 250ms\"/>\n  \
               </testsuite>\n  \
               <testsuite name=\"burst\" tests=\"1\" failures=\"1\" errors=\"0\" skipped=\"0\">\n    \
                 <properties>\n      <property name=\"seed\" value=\"7\"/>\n    </properties>\n    \
                 <testcase classname=\"burst\" name=\"tcp: p99 &lt; 250ms\">\n      \
                   <failure message=\"it is 300.000ms\">expected p99 &lt; 250ms, and it is 300.000ms</failure>\n    \
                 </testcase>\n  \
               </testsuite>\n\
             </testsuites>\n"
        );
    }

    #[test]
    fn hostile_names_stay_names() {
        let text = document(&[suite(
            "\"/><x y='",
            "]]><!--",
            "\u{1b}[2J\0\u{fffe}&amp;",
            Some("</failure>"),
        )]);
        for absent in ["<x", "]]>", "<!--<", "\u{1b}", "\0", "\u{fffe}", "</failure></failure>"] {
            assert!(!text.contains(absent), "{absent:?} in {text}");
        }
        assert!(text.contains("classname=\"&quot;/&gt;&lt;x y='\""), "{text}");
        assert!(text.contains("␛[2J␀&amp;amp;"), "{text}");
    }

    proptest! {
        #[test]
        fn no_text_leaves_its_attribute(text in any::<String>()) {
            let escaped = escaped(&text);
            prop_assert!(!escaped.contains(['<', '>', '"']));
            let is_allowed = |c| matches!(c, '\u{20}'..='\u{FFFD}' | '\u{10000}'..);
            prop_assert!(escaped.chars().all(is_allowed));
            let known = ["&amp;", "&lt;", "&gt;", "&quot;"];
            let entities = escaped.match_indices('&').map(|(at, _)| &escaped[at..]);
            for rest in entities {
                prop_assert!(known.iter().any(|entity| rest.starts_with(entity)), "{}", rest);
            }
        }
    }
}
