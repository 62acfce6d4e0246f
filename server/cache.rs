//! What was looked up lately: bounded, and never older than the last change that was told.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

const SHARDS: usize = 64;

/// Values by key, of which those used lately are kept.
///
/// A look-up that misses takes a [`Ticket`] *before* it asks the store and hands it in with the answer. A change that was
/// told in between makes the ticket worthless, so that an old answer is never kept over a change.
pub struct Cache<K, V> {
    shards: Vec<RwLock<Shard<K, V>>>,
    hasher: RandomState,
    young_max: usize,
}

/// The moment before a look-up.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    changes: u64,
}

/// Two generations: when the young one is full it becomes the old one, and what the old one held and nobody asked for is
/// forgotten. That costs a hit nothing, where a list by age would have to be written at each.
struct Shard<K, V> {
    changes: u64,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    /// A cache of at most about that many entries.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        let shard = || RwLock::new(Shard { changes: 0, young: HashMap::new(), old: HashMap::new() });
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher: RandomState::new(),
            young_max: (entries_max / SHARDS / 2).max(1),
        }
    }

    /// The value, if it was kept.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        {
            let shard = self.read(key);
            if let Some(value) = shard.young.get(key) {
                return Some(value.clone());
            }
            if !shard.old.contains_key(key) {
                return None;
            }
        }
        let mut shard = self.write(key);
        let (key, value) = shard.old.remove_entry(key)?;
        shard.insert(key, value.clone(), self.young_max);
        Some(value)
    }

    /// To be taken before the store is asked.
    pub fn ticket<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Ticket
    where
        K: Borrow<Q>,
    {
        Ticket { changes: self.read(key).changes }
    }

    /// Keeps what the store answered, unless a change was told since the ticket.
    pub fn keep(&self, key: K, value: V, ticket: Ticket) {
        let mut shard = self.write(&key);
        if shard.changes == ticket.changes {
            shard.insert(key, value, self.young_max);
        }
    }

    /// Tells of a change: the value is looked up anew.
    pub fn forget<Q: Eq + Hash + ?Sized>(&self, key: &Q)
    where
        K: Borrow<Q>,
    {
        let mut shard = self.write(key);
        shard.changes = shard.changes.wrapping_add(1);
        shard.young.remove(key);
        shard.old.remove(key);
    }

    /// Tells of a change of all values that are like that: they are looked up anew. It looks at each value, which is for
    /// changes that are seldom.
    pub fn forget_where(&self, is_changed: impl Fn(&V) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            shard.changes = shard.changes.wrapping_add(1);
            shard.young.retain(|_, value| !is_changed(value));
            shard.old.retain(|_, value| !is_changed(value));
        }
    }

    /// Tells of a change of everything.
    pub fn forget_all(&self) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            shard.changes = shard.changes.wrapping_add(1);
            shard.young.clear();
            shard.old.clear();
        }
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> &RwLock<Shard<K, V>> {
        let place = self.hasher.hash_one(key) % (SHARDS as u64);
        &self.shards[usize::try_from(place).unwrap_or_default()]
    }

    // A panic elsewhere cannot leave half an entry, so a poisoned lock is still good.
    fn read<Q: Hash + ?Sized>(&self, key: &Q) -> RwLockReadGuard<'_, Shard<K, V>> {
        self.shard(key).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<Q: Hash + ?Sized>(&self, key: &Q) -> RwLockWriteGuard<'_, Shard<K, V>> {
        self.shard(key).write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, V> Shard<K, V> {
    fn insert(&mut self, key: K, value: V, young_max: usize) {
        if self.young.len() >= young_max && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("young_max", &self.young_max).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn change_between_question_and_answer_keeps_the_old_answer_out() {
        let cache = Cache::<String, u8>::new(1_000);
        let ticket = cache.ticket("acme");
        cache.forget("acme");
        cache.keep(String::from("acme"), 1, ticket);
        assert_eq!(cache.get("acme"), None);

        let ticket = cache.ticket("acme");
        cache.keep(String::from("acme"), 2, ticket);
        assert_eq!(cache.get("acme"), Some(2));
        cache.forget_all();
        assert_eq!(cache.get("acme"), None);
    }

    #[test]
    fn what_is_like_a_change_is_forgotten_and_nothing_else() {
        let cache = Cache::<u64, u64>::new(10_000);
        for key in 0..100 {
            cache.keep(key, key, cache.ticket(&key));
        }
        let ticket = cache.ticket(&1_000);
        cache.forget_where(|value| value % 2 == 0);
        assert!((0..100).all(|key| cache.get(&key).is_some() == (key % 2 == 1)));
        cache.keep(1_000, 2, ticket);
        assert_eq!(cache.get(&1_000), None, "what was asked before the change is not kept after it");
    }

    #[test]
    fn entries_are_bounded_and_those_in_use_stay() {
        let cache = Cache::<u64, u64>::new(1_280);
        for key in 0..100_000 {
            let ticket = cache.ticket(&key);
            cache.keep(key, key, ticket);
            let ticket = cache.ticket(&u64::MAX);
            if cache.get(&u64::MAX).is_none() {
                assert_eq!(key, 0, "what is asked for all the time is never forgotten");
                cache.keep(u64::MAX, 7, ticket);
            }
        }
        let kept = (0..100_000).filter(|key| cache.get(key).is_some()).count();
        assert!(kept <= 1_280, "kept {kept}");
    }
}
