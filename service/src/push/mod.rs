//! Results that are sent to a PACS (STOW-RS): each object of a job until the server has it or refuses it, a bounded number of
//! times.
//!
//! How it stands is in `pushes.json` of the job, written before each round and after each answer. A kill between an answer
//! and its note has an object sent again: the same bytes under the same UID, which to a PACS is the same object.

mod codes;
mod courier;
mod state;
mod stow;
mod targets;

pub(crate) use self::{
    courier::{Courier, Due},
    state::Answer,
};
pub use self::{
    state::{ObjectState, Push, PushPatience, PushState, PushedObject},
    targets::Targets,
};
