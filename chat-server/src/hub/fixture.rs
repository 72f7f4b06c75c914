//! A hub on a store that is nothing but a replayed state.
