//! Metrics of this crate that are incremented where something happens. [`crate::state_collector`] reads states.

pub(crate) mod counters;
