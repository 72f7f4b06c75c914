//! Keys as tests write them, `hello<enter>`, and as a terminal sends them.

/// The bytes a terminal sends for what is typed. Names stand in angle brackets: `<enter>`,
/// `<pageup>`, `<C-c>` with control, `<M-2>` with alt, `<S-up>` with shift, `<lt>` for `<`.
///
/// # Panics
///
/// If a name is not known: that is a mistake in the test.
pub fn bytes(typed: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = typed;
    while let Some((plain, named)) = rest.split_once('<') {
        let (name, behind) = named.split_once('>').expect("every < has its >");
        bytes.extend(plain.bytes());
        bytes.extend(key(name));
        rest = behind;
    }
    bytes.extend(rest.bytes());
    bytes
}

fn key(name: &str) -> Vec<u8> {
    if let Some(letter) = name.strip_prefix("C-") {
        // Control takes the upper bits off.
        return letter.bytes().map(|letter| letter & 0x1f).collect();
    }
    if let Some(behind) = name.strip_prefix("M-") {
        let plain = if behind.len() == 1 { behind.as_bytes().to_vec() } else { key(behind) };
        return [b"\x1b".to_vec(), plain].concat();
    }
    let known: &[u8] = match name {
        "enter" => b"\r",
        "esc" => b"\x1b",
        "tab" => b"\t",
        "backspace" => b"\x7f",
        "lt" => b"<",
        "up" => b"\x1b[A",
        "down" => b"\x1b[B",
        "right" => b"\x1b[C",
        "left" => b"\x1b[D",
        "home" => b"\x1b[H",
        "end" => b"\x1b[F",
        "pageup" => b"\x1b[5~",
        "pagedown" => b"\x1b[6~",
        "S-up" => b"\x1b[1;2A",
        "S-down" => b"\x1b[1;2B",
        "f1" => b"\x1bOP",
        "f3" => b"\x1bOR",
        "f4" => b"\x1bOS",
        "f5" => b"\x1b[15~",
        "f6" => b"\x1b[17~",
        unknown => panic!("no key <{unknown}>"),
    };
    known.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_letters_mix() {
        assert_eq!(bytes("a<lt>b<enter>"), b"a<b\r");
        assert_eq!(bytes("<C-c><C-u>"), [3, 21]);
        assert_eq!(bytes("<M-2><M-up>"), b"\x1b2\x1b\x1b[A");
        assert_eq!(bytes("né<S-up>"), "né\x1b[1;2A".as_bytes());
    }
}
