//! How a push stands.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::codes::{code_in_words, failure, warning};
use crate::{clock::secs_now, format::DicomResult};

/// How long a server is waited for, and how often it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushPatience {
    /// Rounds in which what the server does not have is sent.
    pub rounds: u32,
    /// Seconds before the second round; before each further one twice as long, at most an hour.
    pub first_pause_secs: u64,
    /// Time without a byte after which a connection is given up. The server stores an object within it.
    pub silence: Duration,
}

impl PushPatience {
    /// Twelve rounds in two and a half hours, beside the time that each waits for an answer.
    pub const USUAL: Self = Self { rounds: 12, first_pause_secs: 5, silence: Duration::from_secs(300) };

    /// Seconds until the next round, after so many.
    fn pause_secs(self, rounds: u32) -> u64 {
        const LONGEST: u64 = 3600;
        let doubled = rounds.saturating_sub(1).min(20);
        self.first_pause_secs.saturating_mul(1 << doubled).min(LONGEST)
    }
}

/// Results of a job on their way to one target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// How it stands.
    pub state: PushState,
    /// Rounds that have begun.
    pub rounds: u32,
    /// Why it failed, or is to be tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Seconds since 1970 of the next round, while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at_secs: Option<u64>,
    /// What is sent.
    pub objects: BTreeMap<DicomResult, PushedObject>,
}

/// State of a push.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushState {
    /// Something is to be sent.
    Waiting,
    /// The server has all of it.
    Sent,
    /// Something was not taken, and is not sent again unless somebody asks for it.
    #[default]
    Failed,
}

/// An object that is pushed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushedObject {
    /// How it stands.
    pub state: ObjectState,
    /// Its `SOPInstanceUID`, once it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_uid: Option<String>,
    /// Code of the server's warning or failure reason: four hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What the code means, or why the object could not be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// State of an object that is pushed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectState {
    /// It is to be sent, or sent again.
    #[default]
    Waiting,
    /// The server has stored it.
    Stored,
    /// The server had one of its UID before, and kept that.
    Known,
    /// It could not be made, or the server did not take it.
    Failed,
}

/// What became of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is stored, perhaps with a warning.
    Stored { warning: Option<u16> },
    /// It is refused with a failure reason of the standard.
    Refused { code: u16 },
    /// It was not taken for another reason.
    Failed { reason: String },
}

impl Answer {
    /// In one word.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Stored { .. } => "stored",
            Self::Refused { .. } => "refused",
            Self::Failed { .. } => "failed",
        }
    }
}

/// Why a server gave no answer about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: String,
    /// `true` if the same may work later.
    pub(crate) is_passing: bool,
    /// Seconds after which the server wants to be asked again.
    pub(crate) pause_secs: Option<u64>,
}

impl Fault {
    pub(crate) fn passing(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_passing: true, pause_secs: None }
    }

    pub(crate) fn lasting(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_passing: false, pause_secs: None }
    }
}

impl Push {
    /// Asks for objects; those that the server has are not sent again. Whether there is something new to do.
    pub(crate) fn want(&mut self, wanted: &[DicomResult]) -> bool {
        let waited = self.waiting();
        for object in wanted {
            let object = self.objects.entry(*object).or_default();
            if object.state == ObjectState::Failed {
                *object = PushedObject::default();
            }
        }
        let waiting = self.waiting();
        let is_new = !waiting.is_empty() && (self.state != PushState::Waiting || waiting != waited);
        if is_new {
            (self.state, self.rounds, self.reason) = (PushState::Waiting, 0, None);
            self.next_at_secs = Some(secs_now());
        }
        is_new
    }

    /// What the server has not answered for.
    pub(crate) fn waiting(&self) -> Vec<DicomResult> {
        let waiting = self.objects.iter().filter(|(_, object)| object.state == ObjectState::Waiting);
        waiting.map(|(object, _)| *object).collect()
    }

    pub(crate) fn begin_round(&mut self) {
        self.rounds += 1;
    }

    /// Takes note of what became of an object.
    pub(crate) fn take(&mut self, object: DicomResult, instance_uid: Option<String>, answer: Answer) {
        let object = self.objects.entry(object).or_default();
        object.instance_uid = instance_uid.or(object.instance_uid.take());
        (object.code, object.reason) = (None, None);
        match answer {
            Answer::Stored { warning: code } => {
                object.state = ObjectState::Stored;
                object.code = code.map(code_in_words);
                object.reason = code.map(|code| warning(code).to_owned());
            }
            Answer::Refused { code } => {
                object.state = state_of(code);
                object.code = Some(code_in_words(code));
                object.reason = Some(failure(code).to_owned());
            }
            Answer::Failed { reason } => {
                object.state = ObjectState::Failed;
                object.reason = Some(reason);
            }
        }
    }

    /// Takes note of the end of a round, which a fault may have cut short.
    pub(crate) fn end_round(&mut self, fault: Option<Fault>, patience: PushPatience) {
        let is_waiting = !self.waiting().is_empty();
        let is_lasting = fault.as_ref().is_some_and(|fault| !fault.is_passing);
        let pause = fault.as_ref().and_then(|fault| fault.pause_secs).unwrap_or_default();
        let is_last = is_lasting || self.rounds >= patience.rounds;
        let has_failed = self.objects.values().any(|object| object.state == ObjectState::Failed);
        self.state = match is_waiting {
            true if !is_last => PushState::Waiting,
            false if !has_failed => PushState::Sent,
            _ => PushState::Failed,
        };
        self.reason = match (fault, is_waiting || has_failed) {
            (Some(fault), _) if is_last && !is_lasting => {
                Some(format!("{}, at each of {} tries; ask for it again later", fault.reason, self.rounds))
            }
            (Some(fault), _) => Some(fault.reason),
            (None, true) => Some("the server did not take all objects; each says why".to_owned()),
            (None, false) => None,
        };
        let pause = patience.pause_secs(self.rounds).max(pause.min(MOST_ASKED_SECS));
        self.next_at_secs = (self.state == PushState::Waiting).then(|| secs_now() + pause);
    }

    /// Sends no more.
    pub(crate) fn give_up(&mut self, reason: impl Into<String>) {
        (self.state, self.reason, self.next_at_secs) = (PushState::Failed, Some(reason.into()), None);
    }
}

/// Longest pause that a server may ask for.
const MOST_ASKED_SECS: u64 = 6 * 3600;

/// The state of an object that is refused with this code.
fn state_of(code: u16) -> ObjectState {
    match code {
        0x0111 => ObjectState::Known,
        // No room, or a fault while it was at work.
        0x0110 | 0xa700..=0xa7ff => ObjectState::Waiting,
        _ => ObjectState::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: PushPatience = PushPatience { rounds: 3, ..PushPatience::USUAL };

    fn wanted() -> Push {
        let mut push = Push::default();
        assert!(push.want(&[DicomResult::Ann, DicomResult::Sr]));
        push.begin_round();
        push
    }

    fn stored(push: &mut Push, object: DicomResult) {
        push.take(object, Some("1.2".into()), Answer::Stored { warning: None });
    }

    #[test]
    fn what_the_server_has_is_not_sent_again() {
        let mut push = wanted();
        stored(&mut push, DicomResult::Ann);
        push.take(DicomResult::Sr, None, Answer::Refused { code: 0xa700 });
        push.end_round(None, PATIENCE);
        assert_eq!((push.state, push.waiting()), (PushState::Waiting, vec![DicomResult::Sr]));
        assert!(push.next_at_secs.is_some_and(|at| at >= secs_now() + 4));
        assert_eq!(push.objects[&DicomResult::Sr].code.as_deref(), Some("A700"));
        push.begin_round();
        stored(&mut push, DicomResult::Sr);
        push.end_round(None, PATIENCE);
        assert_eq!((push.state, push.next_at_secs, &push.reason), (PushState::Sent, None, &None));
        assert!(!push.want(&[DicomResult::Ann, DicomResult::Sr]), "it has both");
        assert!(push.want(&[DicomResult::Seg]));
        assert_eq!((push.state, push.waiting()), (PushState::Waiting, vec![DicomResult::Seg]));
    }

    #[test]
    fn a_server_that_has_no_room_is_asked_again() {
        assert_eq!(
            [0x0111, 0x0110, 0xa701, 0x0122].map(state_of),
            [ObjectState::Known, ObjectState::Waiting, ObjectState::Waiting, ObjectState::Failed]
        );
    }

    #[test]
    fn warnings_and_refusals_say_what_they_mean() {
        let mut push = wanted();
        push.take(DicomResult::Ann, None, Answer::Stored { warning: Some(0xb000) });
        push.take(DicomResult::Sr, None, Answer::Refused { code: 0x0122 });
        push.end_round(None, PATIENCE);
        assert_eq!((push.state, push.next_at_secs), (PushState::Failed, None));
        let [ann, sr] = [DicomResult::Ann, DicomResult::Sr].map(|object| push.objects[&object].clone());
        assert_eq!((ann.state, ann.code.as_deref()), (ObjectState::Stored, Some("B000")));
        assert!(ann.reason.unwrap().contains("changed"));
        assert_eq!((sr.state, sr.code.as_deref()), (ObjectState::Failed, Some("0122")));
        assert!(push.want(&[DicomResult::Sr]), "somebody asks for it again");
        push.take(DicomResult::Sr, None, Answer::Refused { code: 0x0111 });
        push.end_round(None, PATIENCE);
        assert_eq!(push.objects[&DicomResult::Sr].state, ObjectState::Known);
        assert_eq!(push.state, PushState::Sent);
    }

    #[test]
    fn rounds_come_to_an_end_and_wait_longer_each_time() {
        assert_eq!([1, 2, 3, 11, 40].map(|rounds| PATIENCE.pause_secs(rounds)), [5, 10, 20, 3600, 3600]);
        let mut push = wanted();
        let away = || Some(Fault { pause_secs: Some(1000), ..Fault::passing("the server answers 503") });
        push.end_round(away(), PATIENCE);
        assert!(push.next_at_secs.is_some_and(|at| at >= secs_now() + 999), "as it asked for");
        assert!(!push.want(&[DicomResult::Ann]), "it waits already");
        for _ in 1..PATIENCE.rounds {
            assert_eq!(push.state, PushState::Waiting);
            push.begin_round();
            push.end_round(away(), PATIENCE);
        }
        assert_eq!((push.state, push.next_at_secs), (PushState::Failed, None));
        assert_eq!(
            push.reason.as_deref(),
            Some("the server answers 503, at each of 3 tries; ask for it again later")
        );
        assert!(push.want(&[DicomResult::Ann]));
        assert_eq!((push.rounds, push.waiting().len()), (0, 2), "what was not sent is sent with it");
    }

    #[test]
    fn a_lasting_fault_ends_it_at_once() {
        let mut push = wanted();
        stored(&mut push, DicomResult::Ann);
        push.end_round(Some(Fault::lasting("no")), PATIENCE);
        assert_eq!((push.state, push.reason.as_deref()), (PushState::Failed, Some("no")));
    }
}
