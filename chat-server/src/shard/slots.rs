//! A shard's connections by key. A key is a place and how often it was used before, so that mail
//! for a connection that is gone never reaches its successor.

/// Most connections of one shard: 20 of the 48 bits that a session's number has.
const PLACE_BITS: u32 = 20;
/// How often a place can be used; then it is left empty. At a thousand connections a second over
/// all places that takes millennia.
const USES_MAX: u32 = 1 << 28;

/// The connections.
#[derive(Debug)]
pub(super) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    uses: u32,
    // Boxed: a table that grows by doubling would otherwise double what connections cost.
    content: Option<Box<T>>,
}

impl<T> Slots<T> {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    pub(super) const fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Puts in what `make` makes of its key, unless there is no place.
    pub(super) fn insert_with(&mut self, make: impl FnOnce(u64) -> Option<T>) -> Option<u64> {
        let place = if let Some(place) = self.free.pop() {
            place
        } else {
            let place = u32::try_from(self.slots.len()).ok()?;
            if place >> PLACE_BITS != 0 {
                return None;
            }
            self.slots.push(Slot { uses: 0, content: None });
            place
        };
        let slot = &mut self.slots[place as usize];
        let key = u64::from(slot.uses) << PLACE_BITS | u64::from(place);
        slot.content = make(key).map(Box::new);
        if slot.content.is_none() {
            self.free.push(place);
            return None;
        }
        Some(key)
    }

    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        let (place, uses) = split(key);
        let slot = self.slots.get_mut(place)?;
        (slot.uses == uses).then_some(slot.content.as_deref_mut()).flatten()
    }

    pub(super) fn remove(&mut self, key: u64) -> Option<Box<T>> {
        let (place, uses) = split(key);
        let slot = self.slots.get_mut(place).filter(|slot| slot.uses == uses)?;
        let content = slot.content.take()?;
        slot.uses += 1;
        if slot.uses < USES_MAX {
            self.free.push(u32::try_from(place).expect("places fit 20 bits"));
        }
        Some(content)
    }

    /// Everything with its key, in no particular order.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut T)> {
        self.slots.iter_mut().zip(0u64..).filter_map(|(slot, place)| {
            let key = u64::from(slot.uses) << PLACE_BITS | place;
            slot.content.as_deref_mut().map(|content| (key, content))
        })
    }
}

fn split(key: u64) -> (usize, u32) {
    let place = key & ((1 << PLACE_BITS) - 1);
    let uses = key >> PLACE_BITS;
    (usize::try_from(place).unwrap_or(usize::MAX), u32::try_from(uses).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_reaches_a_successor() {
        let mut slots = Slots::new();
        let first = slots.insert_with(|_| Some('a')).unwrap();
        assert_eq!(slots.remove(first), Some(Box::new('a')));
        let second = slots.insert_with(|_| Some('b')).unwrap();
        assert_ne!(first, second);
        assert_eq!(first & 0xf_ffff, second & 0xf_ffff, "the place is used again");
        assert_eq!(slots.get_mut(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get_mut(second), Some(&mut 'b'));
        assert_eq!(slots.len(), 1);
        let keys: Vec<_> = slots.iter_mut().map(|(key, _)| key).collect();
        assert_eq!(keys, [second]);
    }

    #[test]
    fn what_is_not_made_takes_no_place() {
        let mut slots = Slots::<char>::new();
        assert_eq!(slots.insert_with(|_| None), None);
        assert_eq!(slots.len(), 0);
        assert_eq!(slots.insert_with(|_| Some('c')), Some(0));
    }
}
