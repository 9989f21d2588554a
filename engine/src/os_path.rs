//! Paths in JSON: as text, or as bytes if a name is not text, which Unix allows.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored<P> {
    Text(P),
    Bytes { bytes: Vec<u8> },
}

/// For `#[serde(with)]`.
///
/// # Errors
///
/// Those of the serializer.
pub(crate) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    match path.to_str() {
        Some(text) => Stored::Text(text),
        None => Stored::Bytes { bytes: path.as_os_str().as_encoded_bytes().to_vec() },
    }
    .serialize(serializer)
}

/// For `#[serde(with)]`.
///
/// # Errors
///
/// Those of the deserializer.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    Ok(match Stored::<PathBuf>::deserialize(deserializer)? {
        Stored::Text(path) => path,
        Stored::Bytes { bytes } => of_bytes(bytes),
    })
}

#[cfg(unix)]
fn of_bytes(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(not(unix))]
fn of_bytes(bytes: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Line(#[serde(with = "super")] PathBuf);

    #[test]
    fn names_come_back_and_texts_stay_texts() {
        assert_eq!(serde_json::to_string(&Line("ü/a.svs".into())).unwrap(), "\"ü/a.svs\"");
        #[cfg(unix)]
        {
            let odd = Line(of_bytes(b"H\xf6he.svs".to_vec()));
            let text = serde_json::to_string(&odd).unwrap();
            assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), odd);
        }
    }
}
