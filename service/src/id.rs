//! Names of jobs.

use std::{fmt, str::FromStr, time::SystemTime};

use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// Names a job: a ULID, 26 letters and digits. In order of acceptance, and says nothing of a patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(Ulid);

impl JobId {
    /// One that no other job has.
    ///
    /// # Errors
    ///
    /// When the system gives no random bytes.
    pub fn new() -> std::io::Result<Self> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(std::io::Error::other)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        Ok(Self(Ulid::from_parts(millis, u128::from_le_bytes(random))))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for JobId {
    type Err = String;

    /// Only as it is shown: one job has one name.
    fn from_str(text: &str) -> Result<Self, String> {
        let id = Ulid::from_string(text).ok().filter(|id| id.to_string() == text);
        id.map(Self).ok_or_else(|| "this is no id of a job: expected 26 letters and digits".to_owned())
    }
}

impl TryFrom<String> for JobId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_one_path_segment_and_have_one_spelling() {
        let id = JobId::new().unwrap();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_ne!(JobId::new().unwrap(), id);
        let low = id.to_string().to_lowercase();
        for bad in ["", "..", "../../etc/passwd", "01KB0F4Q3W8Z1V5N6C7D8E9F0", &low] {
            assert!(bad.parse::<JobId>().is_err(), "{bad:?}");
        }
    }
}
