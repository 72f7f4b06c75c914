//! What was probably meant by a name that does not exist.

/// Most changes between what was typed and what was meant.
const CHANGES_MAX: usize = 2;

/// The known name that was probably meant: one that continues what was typed, or is a few changes
/// away and not wholly different.
pub fn nearest<T: AsRef<str>>(typed: &str, known: impl Iterator<Item = T> + Clone) -> Option<T> {
    let continues = |name: &T| !typed.is_empty() && name.as_ref().starts_with(typed);
    if let Some(longer) = known.clone().find(continues) {
        return Some(longer);
    }
    known
        .map(|name| (distance(typed, name.as_ref()), name))
        .filter(|(changes, name)| {
            *changes <= CHANGES_MAX && *changes < name.as_ref().chars().count()
        })
        .min_by_key(|(changes, _)| *changes)
        .map(|(_, name)| name)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_means_its_end_and_a_slip_its_neighbour() {
        let known = ["theme", "typing", "mouse"];
        assert_eq!(nearest("ty", known.iter()), Some(&"typing"));
        assert_eq!(nearest("thmee", known.iter()), Some(&"theme"));
        assert_eq!(nearest("xyzzy", known.iter()), None);
        assert_eq!(nearest("", known.iter()), None);
    }

    #[test]
    fn distances_are_counted_in_changes() {
        assert_eq!((distance("", "abc"), distance("kitten", "sitting")), (3, 3));
    }
}
