#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod answer;
mod budget;
mod bundled;
mod collect;
mod desk;
mod engine;
mod error;
mod events;
mod job;
mod made_with;
mod models;
mod options;
mod pictures;
mod pipeline;
mod plan;
mod prepare;
mod regions;
mod remerge;
mod rules;
mod settings;
mod shard;
mod shared;
mod sightings;
mod slides;
mod store;
mod work;

pub use answer::SlideAnswer;
pub use budget::{Machine, MemoryLimit};
pub use bundled::{describe, names as bundled_models};
pub use desk::{Marks, Redo, sweep, try_writing};
pub use engine::{Engine, Model, plan_settings};
pub use error::JobError;
pub use events::{Event, Totals, Watch};
pub use job::{Job, JobEnd};
pub use made_with::{Difference, Differences, MadeWith};
pub use models::{ModelSet, SetModel};
pub use options::{Arity, DetectorOption, KNOBS, Knob, Phase, RunOptions};
pub use plan::{JobPlan, PlannedSlide};
pub use remerge::remerge;
pub use rules::{FuseRule, MergeRules, SlideRules};
pub use settings::{ByteSize, DetectorSpec, Settings};
pub use shard::{Shard, balance};
pub use sightings::Sightings;
pub use slides::{SlideEntry, open, slides_in};
pub use work::Stop;
