//! Lines and marks of the screen in plain ASCII, for terminals and people that want no others. What
//! people write stays as it is.

use ratatui::buffer::Buffer;

/// What stands for what: one cell for one cell.
const REPLACEMENTS: &[(&str, &str)] = &[
    ("─", "-"),
    ("━", "="),
    ("│", "|"),
    ("┃", "|"),
    ("▌", "|"),
    ("▎", "|"),
    ("┌", "+"),
    ("┐", "+"),
    ("└", "+"),
    ("┘", "+"),
    ("├", "+"),
    ("┤", "+"),
    ("┬", "+"),
    ("┴", "+"),
    ("┼", "+"),
    ("╭", "+"),
    ("╮", "+"),
    ("╰", "+"),
    ("╯", "+"),
    ("…", "~"),
    ("·", "-"),
    ("•", "*"),
    ("–", "-"),
    ("—", "-"),
    ("→", ">"),
    ("←", "<"),
    ("↑", "^"),
    ("↓", "v"),
    ("↪", ">"),
    ("↳", ">"),
    ("✓", "v"),
    ("✔", "v"),
    ("✗", "x"),
    ("✕", "x"),
    ("×", "x"),
    ("▲", "^"),
    ("▼", "v"),
    ("▶", ">"),
    ("◀", "<"),
    ("█", "#"),
    ("▁", "_"),
    ("▂", "."),
    ("▃", "-"),
    ("▄", "="),
    ("▅", "+"),
    ("▆", "*"),
    ("▇", "%"),
    ("░", "."),
    ("▒", ":"),
    ("▓", "#"),
    ("●", "*"),
    ("○", "o"),
    ("◦", "o"),
    ("‹", "<"),
    ("›", ">"),
    ("«", "<"),
    ("»", ">"),
];

/// Replaces them on a screen that is drawn.
pub(crate) fn simplify(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if let Some((_, plain)) = REPLACEMENTS.iter().find(|(mark, _)| *mark == cell.symbol()) {
            cell.set_symbol(plain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_replaced_by_a_cell() {
        for (mark, plain) in REPLACEMENTS {
            assert!(plain.is_ascii() && plain.len() == 1);
            assert_eq!(super::super::text::width(mark), 1, "{mark}");
        }
    }
}
