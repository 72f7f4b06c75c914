//! Room for what later versions add: (tag, bytes) pairs at the end of the values that grow.
//!
//! bincode can neither add a field nor skip one, so a value that may grow ends in [`Ext`]. An odd
//! tag is critical: whoever does not know it must refuse the value. An even one is ignored.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::limits::{EXT_BYTES_MAX, EXT_PAIRS_MAX};

/// Pairs a newer version added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ext(pub Vec<(u16, ByteBuf)>);

impl Ext {
    /// Nothing added.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// The first critical tag that this version does not know. It knows none yet.
    pub fn unknown_critical(&self) -> Option<u16> {
        self.0.iter().map(|(tag, _)| *tag).find(|tag| tag % 2 == 1)
    }

    /// True if the pairs are within [`EXT_PAIRS_MAX`] and [`EXT_BYTES_MAX`].
    pub fn is_within_limits(&self) -> bool {
        self.0.len() <= EXT_PAIRS_MAX
            && self.0.iter().all(|(_, bytes)| bytes.len() <= EXT_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_tags_are_critical_and_even_ones_are_not() {
        let ext = |tags: &[u16]| Ext(tags.iter().map(|tag| (*tag, ByteBuf::new())).collect());
        assert_eq!(ext(&[2, 4]).unknown_critical(), None);
        assert_eq!(ext(&[2, 7]).unknown_critical(), Some(7));
    }

    #[test]
    fn limits_hold_at_the_edge() {
        let pair = |len| (2, ByteBuf::from(vec![0; len]));
        assert!(Ext(vec![pair(EXT_BYTES_MAX); EXT_PAIRS_MAX]).is_within_limits());
        assert!(!Ext(vec![pair(EXT_BYTES_MAX + 1)]).is_within_limits());
        assert!(!Ext(vec![pair(0); EXT_PAIRS_MAX + 1]).is_within_limits());
    }
}
