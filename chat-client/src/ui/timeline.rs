//! The timeline: finds what is on the screen from the scroll anchor and draws that, however much
//! there is. Only what is walked over is broken into rows.

use std::rc::Rc;

use protocol::ids::Seq;
use ratatui::{buffer::Buffer, layout::Rect, widgets::Widget};

use super::{hyperlinks::Hyperlinks, item::Painter, row::Row, theme::Theme};
use crate::app::{
    App,
    code::Code,
    conversation::Conversation,
    description::{Item, items},
    event::{Drawn, Spots},
    timeline::{ItemKey, Scroll},
};

/// Items above the screen with which it is near the oldest one that is loaded: a screen's worth.
const NEAR_ITEMS: usize = 20;

/// Draws the pane.
pub(super) fn draw(
    app: &App,
    conversation: &Conversation,
    theme: &Theme,
    area: Rect,
    buffer: &mut Buffer,
    links: &mut Hyperlinks,
) -> Drawn {
    let items = items(app, conversation);
    let painter = Painter::new(app, conversation, theme, area.width);
    let walk = Walk { items: &items, painter: &painter, height: area.height.into() };
    let place = walk.settle(conversation);
    let mut rows: Vec<(Row, Option<Seq>)> = Vec::new();
    let mut seen = None;
    let mut top = None;
    let mut reaches_oldest = items.is_empty();
    if let Some(mut place) = place {
        loop {
            let all = walk.rows(place.index);
            let shown = all.len().saturating_sub(place.below);
            if seen.is_none() && place.below == 0 {
                seen = items[place.index].last_record();
            }
            let message = items[place.index].message();
            rows.extend(all.into_iter().take(shown).rev().map(|row| (row, message)));
            top = Some(items[place.index].key());
            if rows.len() >= walk.height || place.index == 0 {
                // Older ones are fetched before the person gets to the last that is there.
                reaches_oldest = place.index < NEAR_ITEMS;
                break;
            }
            place = Place { index: place.index - 1, below: 0 };
        }
    }
    rows.truncate(walk.height);
    let mut code: Vec<Rc<Code>> = Vec::new();
    let mut spots = Spots { left: area.x, right: area.right(), rows: Vec::new() };
    for (place, (row, message)) in area.rows().rev().zip(rows) {
        row.line.render(place, buffer);
        links.note(place, &row.links);
        code.extend(row.code.filter(|block| !code.contains(block)));
        spots.rows.extend(message.map(|seq| (place.y, seq)));
    }
    Drawn {
        conversation: conversation.summary.id,
        rows: area.height,
        scroll: place.map_or(Scroll::Live, |place| walk.scroll(place, conversation)),
        top,
        seen,
        reaches_oldest,
        reaches_newest: place.is_none_or(|place| walk.is_end(place)),
        spots,
        code: code.into_iter().map(Rc::unwrap_or_clone).collect(),
    }
}

/// A place on the timeline: the item at the lower edge and how many of its rows are below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    index: usize,
    below: usize,
}

struct Walk<'a> {
    items: &'a [Item<'a>],
    painter: &'a Painter<'a>,
    height: usize,
}

impl Walk<'_> {
    /// Where the screen stands after what the person wished; `None` if there is nothing to see.
    fn settle(&self, conversation: &Conversation) -> Option<Place> {
        let end = Place { index: self.items.len().checked_sub(1)?, below: 0 };
        let anchor = match conversation.scroll {
            Scroll::Live => end,
            Scroll::At { item, below } => self.find(item, below.into()).unwrap_or(end),
        };
        let wish = conversation.scroll_wish;
        let rows = usize::try_from(wish.unsigned_abs()).unwrap_or(usize::MAX);
        let moved = if wish < 0 { self.up(anchor, rows) } else { self.down(anchor, rows) };
        let selected = conversation
            .selected
            .and_then(|seq| self.items.iter().position(|item| item.key() == ItemKey::Entry(seq)));
        let moved = selected.map_or(moved, |index| self.bring_into_view(moved, index));
        Some(self.fill(moved))
    }

    /// The item of this name, or the one that it is part of now.
    fn find(&self, key: ItemKey, below: usize) -> Option<Place> {
        let index = self.items.iter().position(|item| item.key() >= key)?;
        let is_same = self.items[index].key() == key;
        let below = if is_same { below.min(self.rows(index).len().saturating_sub(1)) } else { 0 };
        Some(Place { index, below })
    }

    fn up(&self, from: Place, rows: usize) -> Place {
        let (mut place, mut left) = (from, rows);
        while left > 0 {
            let visible = self.rows(place.index).len().saturating_sub(place.below);
            if left < visible {
                place.below += left;
                return place;
            }
            if place.index == 0 {
                // Above everything: `fill` comes back down to a full screen.
                return Place { index: 0, below: place.below + visible };
            }
            left -= visible;
            place = Place { index: place.index - 1, below: 0 };
        }
        place
    }

    fn down(&self, from: Place, rows: usize) -> Place {
        let (mut place, mut left) = (from, rows);
        loop {
            let step = left.min(place.below);
            place.below -= step;
            left -= step;
            if left == 0 || place.index + 1 == self.items.len() {
                return place;
            }
            place.index += 1;
            place.below = self.rows(place.index).len();
        }
    }

    /// At the upper end the screen stays full: moves down by as much as it is not.
    fn fill(&self, place: Place) -> Place {
        let mut rows = self.rows(place.index).len().saturating_sub(place.below);
        let mut index = place.index;
        while rows < self.height && index > 0 {
            index -= 1;
            rows += self.rows(index).len();
        }
        if rows < self.height { self.down(place, self.height - rows) } else { place }
    }

    fn bring_into_view(&self, place: Place, selected: usize) -> Place {
        if selected >= place.index {
            return if selected == place.index && place.below == 0 {
                place
            } else {
                Place { index: selected, below: 0 }
            };
        }
        let mut rows = self.rows(place.index).len().saturating_sub(place.below);
        for index in (selected..place.index).rev() {
            rows += self.rows(index).len();
        }
        if rows <= self.height {
            return place;
        }
        let own = self.rows(selected).len();
        self.down(Place { index: selected, below: 0 }, self.height.saturating_sub(own))
    }

    fn rows(&self, index: usize) -> Vec<Row> {
        let previous = index.checked_sub(1).map(|previous| &self.items[previous]);
        self.painter.paint(&self.items[index], previous)
    }

    fn is_end(&self, place: Place) -> bool {
        place.index + 1 == self.items.len() && place.below == 0
    }

    fn scroll(&self, place: Place, conversation: &Conversation) -> Scroll {
        // Who wants to be at the newest message wants it also while it is not loaded yet.
        let stays = conversation.scroll == Scroll::Live
            && conversation.scroll_wish == 0
            && conversation.selected.is_none();
        if self.is_end(place) && (stays || conversation.timeline.reaches_newest) {
            return Scroll::Live;
        }
        let below = u16::try_from(place.below).unwrap_or(u16::MAX);
        Scroll::At { item: self.items[place.index].key(), below }
    }
}
