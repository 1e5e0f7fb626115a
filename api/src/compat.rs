//! Compatible APIs of other products. Each has the operations that its documentation requires.

pub mod athena;
pub mod livekit;
pub mod oauth;
