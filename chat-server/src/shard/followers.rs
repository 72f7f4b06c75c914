//! Which of a shard's sessions follow which conversation: whom a publication concerns.

use std::collections::BTreeMap;

use protocol::ids::ConversationId;

use crate::session::Subscription;

/// Sessions by what they follow.
#[derive(Debug, Default)]
pub(super) struct Followers(BTreeMap<ConversationId, Vec<u64>>);

impl Followers {
    /// Notes what a session follows from now on, or no longer; `list` is the session's own.
    pub(super) fn apply(
        &mut self,
        key: u64,
        list: &mut Vec<ConversationId>,
        subscription: Subscription,
    ) {
        match subscription {
            Subscription::Follow(id) => {
                if !list.contains(&id) {
                    list.reserve_exact(1);
                    list.push(id);
                    self.0.entry(id).or_default().push(key);
                }
            }
            Subscription::Unfollow(id) => {
                if let Some(place) = list.iter().position(|followed| *followed == id) {
                    list.swap_remove(place);
                    self.remove(key, id);
                }
            }
        }
    }

    /// Forgets a session that followed these.
    pub(super) fn forget(&mut self, key: u64, list: &[ConversationId]) {
        for id in list {
            self.remove(key, *id);
        }
    }

    /// The keys of those who follow a conversation.
    pub(super) fn of(&self, id: ConversationId) -> &[u64] {
        self.0.get(&id).map_or(&[], Vec::as_slice)
    }

    fn remove(&mut self, key: u64, id: ConversationId) {
        let Some(keys) = self.0.get_mut(&id) else { return };
        if let Some(place) = keys.iter().position(|follower| *follower == key) {
            keys.swap_remove(place);
        }
        if keys.is_empty() {
            self.0.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn following_twice_counts_once_and_nothing_remains() {
        let id = ConversationId([1; 16]);
        let mut followers = Followers::default();
        let mut list = Vec::new();
        followers.apply(7, &mut list, Subscription::Follow(id));
        followers.apply(7, &mut list, Subscription::Follow(id));
        followers.apply(8, &mut Vec::new(), Subscription::Follow(id));
        assert_eq!(followers.of(id), [7, 8]);
        followers.apply(7, &mut list, Subscription::Unfollow(id));
        assert_eq!(followers.of(id), [8]);
        assert!(list.is_empty());
        followers.forget(8, &[id]);
        assert!(followers.0.is_empty());
    }
}
