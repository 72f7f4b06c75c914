//! Colours that go together, for dark and for light backgrounds. Each can be read on every usual
//! background of its kind: a contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3). Words have the
//! terminal's own colour.

use ratatui::style::Color;

/// Colours for one sort of background.
#[derive(Debug)]
pub(super) struct Palette {
    /// What can be overlooked, and lines.
    pub(super) quiet: Color,
    /// The own name.
    pub(super) own: Color,
    /// What is new.
    pub(super) fresh: Color,
    /// What did not work.
    pub(super) error: Color,
    /// What is well.
    pub(super) good: Color,
    /// Words of a language in code.
    pub(super) keyword: Color,
    /// Texts and numbers in code.
    pub(super) literal: Color,
    /// Names of others.
    pub(super) people: [Color; 6],
}

/// The terminal's own sixteen on something dark.
pub(super) const SIXTEEN_DARK: Palette = Palette {
    quiet: Color::DarkGray,
    own: Color::LightCyan,
    fresh: Color::LightYellow,
    error: Color::LightRed,
    good: Color::LightGreen,
    keyword: Color::LightMagenta,
    literal: Color::LightGreen,
    people: [
        Color::LightGreen,
        Color::LightMagenta,
        Color::Cyan,
        Color::Yellow,
        Color::Green,
        Color::LightCyan,
    ],
};

/// The same on something light, where only three can be read; signs and words tell the rest.
pub(super) const SIXTEEN_LIGHT: Palette = Palette {
    quiet: Color::Reset,
    own: Color::Blue,
    fresh: Color::Magenta,
    error: Color::Red,
    good: Color::Reset,
    keyword: Color::Magenta,
    literal: Color::Red,
    people: [Color::Blue, Color::Magenta, Color::Red, Color::Reset, Color::Blue, Color::Magenta],
};

/// From xterm's cube on something dark.
pub(super) const INDEXED_DARK: Palette = Palette {
    quiet: Color::Indexed(248),
    own: Color::Indexed(80),
    fresh: Color::Indexed(222),
    error: Color::Indexed(210),
    good: Color::Indexed(114),
    keyword: Color::Indexed(183),
    literal: Color::Indexed(114),
    people: [
        Color::Indexed(114),
        Color::Indexed(218),
        Color::Indexed(111),
        Color::Indexed(222),
        Color::Indexed(156),
        Color::Indexed(183),
    ],
};

/// From xterm's cube on something light.
pub(super) const INDEXED_LIGHT: Palette = Palette {
    quiet: Color::Indexed(240),
    own: Color::Indexed(23),
    fresh: Color::Indexed(94),
    error: Color::Indexed(124),
    good: Color::Indexed(22),
    keyword: Color::Indexed(54),
    literal: Color::Indexed(22),
    people: [
        Color::Indexed(22),
        Color::Indexed(89),
        Color::Indexed(25),
        Color::Indexed(94),
        Color::Indexed(58),
        Color::Indexed(54),
    ],
};

/// Any colour on something dark.
pub(super) const TRUE_DARK: Palette = Palette {
    quiet: Color::Rgb(0xA2, 0xA8, 0xB0),
    own: Color::Rgb(0x56, 0xD4, 0xDD),
    fresh: Color::Rgb(0xE6, 0xC0, 0x7B),
    error: Color::Rgb(0xFF, 0x8F, 0x8F),
    good: Color::Rgb(0x8F, 0xD1, 0x9E),
    keyword: Color::Rgb(0xCF, 0xA9, 0xF5),
    literal: Color::Rgb(0xA5, 0xD6, 0xA7),
    people: [
        Color::Rgb(0xA5, 0xD6, 0xA7),
        Color::Rgb(0xF0, 0xA6, 0xCA),
        Color::Rgb(0x8A, 0xB4, 0xF8),
        Color::Rgb(0xE6, 0xC0, 0x7B),
        Color::Rgb(0xC5, 0xE1, 0x7A),
        Color::Rgb(0xCF, 0xA9, 0xF5),
    ],
};

/// Any colour on something light.
pub(super) const TRUE_LIGHT: Palette = Palette {
    quiet: Color::Rgb(0x55, 0x5A, 0x62),
    own: Color::Rgb(0x00, 0x5B, 0x66),
    fresh: Color::Rgb(0x7A, 0x4B, 0x00),
    error: Color::Rgb(0xB0, 0x00, 0x1B),
    good: Color::Rgb(0x1B, 0x66, 0x2C),
    keyword: Color::Rgb(0x6A, 0x2F, 0xB5),
    literal: Color::Rgb(0x1B, 0x66, 0x2C),
    people: [
        Color::Rgb(0x1B, 0x66, 0x2C),
        Color::Rgb(0x9C, 0x1F, 0x6E),
        Color::Rgb(0x1A, 0x4F, 0xB0),
        Color::Rgb(0x7A, 0x4B, 0x00),
        Color::Rgb(0x4A, 0x5D, 0x00),
        Color::Rgb(0x6A, 0x2F, 0xB5),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    type Rgb = (u8, u8, u8);

    /// What text of ours is read on: the extremes, and what popular colour schemes have.
    const DARK: [Rgb; 3] = [(0, 0, 0), (0x1E, 0x1E, 0x2E), (0x28, 0x2C, 0x34)];
    const LIGHT: [Rgb; 3] = [(255, 255, 255), (0xFD, 0xF6, 0xE3), (0xEE, 0xEE, 0xEE)];

    /// xterm's colours; `None` for the terminal's own text colour.
    fn rgb(colour: Color) -> Option<Rgb> {
        Some(match colour {
            Color::Reset => return None,
            Color::Rgb(red, green, blue) => (red, green, blue),
            Color::Indexed(index @ 16..=231) => {
                let level = |step| if step == 0 { 0 } else { 55 + 40 * step };
                let index = index - 16;
                (level(index / 36), level(index / 6 % 6), level(index % 6))
            }
            Color::Indexed(index @ 232..) => {
                let grey = 8 + 10 * (index - 232);
                (grey, grey, grey)
            }
            Color::Red => (205, 0, 0),
            Color::Green => (0, 205, 0),
            Color::Yellow => (205, 205, 0),
            Color::Blue => (0, 0, 238),
            Color::Magenta => (205, 0, 205),
            Color::Cyan => (0, 205, 205),
            Color::DarkGray => (127, 127, 127),
            Color::LightRed => (255, 0, 0),
            Color::LightGreen => (0, 255, 0),
            Color::LightYellow => (255, 255, 0),
            Color::LightMagenta => (255, 0, 255),
            Color::LightCyan => (0, 255, 255),
            other => panic!("{other} has no fixed colour"),
        })
    }

    /// WCAG 2.2: relative luminance.
    fn luminance((red, green, blue): Rgb) -> f64 {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
    }

    fn contrast(a: Rgb, b: Rgb) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    fn colours(palette: &Palette) -> Vec<Color> {
        let Palette { quiet, own, fresh, error, good, keyword, literal, people } = palette;
        [quiet, own, fresh, error, good, keyword, literal]
            .into_iter()
            .chain(people)
            .copied()
            .collect()
    }

    #[test]
    fn every_colour_can_be_read_on_its_backgrounds() {
        // With sixteen colours the palette is the terminal's: xterm's, on its own black and white.
        for (palette, backgrounds) in [
            (&SIXTEEN_DARK, &DARK[..1]),
            (&SIXTEEN_LIGHT, &LIGHT[..1]),
            (&INDEXED_DARK, &DARK),
            (&INDEXED_LIGHT, &LIGHT),
            (&TRUE_DARK, &DARK),
            (&TRUE_LIGHT, &LIGHT),
        ] {
            for colour in colours(palette) {
                let Some(text) = rgb(colour) else { continue };
                for background in backgrounds {
                    let contrast = contrast(text, *background);
                    assert!(contrast >= 4.5, "{colour} on {background:?}: {contrast:.2}");
                }
            }
        }
    }

    #[test]
    fn contrast_is_counted_as_the_guidelines_do() {
        assert!((contrast((0, 0, 0), (255, 255, 255)) - 21.0).abs() < 1e-9);
        assert!((contrast((0x76, 0x76, 0x76), (255, 255, 255)) - 4.54).abs() < 0.005);
    }
}
