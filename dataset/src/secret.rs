//! Ids of slides whose content cannot be read: made of their path and a secret that only the private folder
//! holds, so that nobody can test guessed names against them.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use sha2::{Digest as _, Sha256};

use crate::{id::SlideId, paths::Dataset};

const BYTES: usize = 32;

/// The id of the slide at `path` in this dataset, until its content can be read: always the same, and another
/// for each path.
///
/// # Errors
///
/// When the secret cannot be read or made.
pub fn id_of_unreadable(dataset: &Dataset, path: &Path) -> io::Result<SlideId> {
    let secret = match read(dataset)? {
        Some(secret) => secret,
        None => make(dataset)?,
    };
    let hash = Sha256::new_with_prefix(&secret).chain_update(path.as_os_str().as_encoded_bytes());
    Ok(SlideId::from_content(&hash.finalize().into()))
}

fn read(dataset: &Dataset) -> io::Result<Option<Vec<u8>>> {
    match fs::read(dataset.secret()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Ok(secret) if secret.len() != BYTES => {
            Err(io::Error::other(format!("the secret has {} bytes, expected {BYTES}", secret.len())))
        }
        other => other.map(Some),
    }
}

/// Makes the secret. Two jobs that make it at the same time get the same one.
fn make(dataset: &Dataset) -> io::Result<Vec<u8>> {
    let mut secret = vec![0; BYTES];
    getrandom::fill(&mut secret).map_err(io::Error::other)?;
    dataset.make_private()?;
    // Only its owner may read a temporary file.
    let mut file = tempfile::NamedTempFile::with_prefix_in(whole_file::TEMPORARY_PREFIX, dataset.private())?;
    file.write_all(&secret)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(dataset.secret()) {
        Ok(_) => Ok(secret),
        Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => {
            read(dataset)?.ok_or_else(|| io::Error::other("the secret is gone"))
        }
        Err(refused) => Err(refused.error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_one_path_and_one_dataset() {
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let [one, other] = [0, 1].map(|place| Dataset::at(folders[place].path()));
        let id = |dataset: &Dataset, path: &str| id_of_unreadable(dataset, Path::new(path)).unwrap();
        assert_eq!(id(&one, "/a/1.svs"), id(&one, "/a/1.svs"));
        assert_ne!(id(&one, "/a/1.svs"), id(&one, "/b/1.svs"), "two files of one name");
        assert_ne!(id(&one, "/a/1.svs"), id(&other, "/a/1.svs"), "what one can try without the secret");
        fs::write(one.secret(), "short").unwrap();
        assert!(id_of_unreadable(&one, Path::new("x")).is_err());
    }
}
