//! Uploads: to the disk as they come, counted and timed on the way.

use std::{fs::File, io::Write as _, path::Path, time::Duration};

use axum::body::Bytes;
use futures_util::{Stream, StreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, timeout_at};

use crate::problem::{Kind, Problem};

/// Of so many bytes, the next must have come before the patience is over: who sends a byte now and then does not keep a
/// place for days.
pub const PART: u64 = 32 << 10;

/// Bytes read of a body that is too large before it is refused, so that clients read the refusal instead of a
/// closed connection.
const DRAINED: u64 = 8 << 20;

/// Limits of an upload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes.
    pub(crate) bytes: u64,
    /// Time for each [`PART`].
    pub(crate) patience: Duration,
}

/// Size and hash of an upload that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) bytes: u64,
    pub(crate) sha256: [u8; 32],
}

/// A new file that takes an upload, and that only its owner may read.
#[derive(Debug)]
pub(crate) struct Sink {
    file: File,
    hash: Sha256,
    bytes: u64,
}

impl Sink {
    pub(crate) fn create(path: &Path) -> Result<Self, Problem> {
        let file = whole_file::private_options().write(true).create_new(true).open(path);
        Ok(Self { file: file.map_err(|error| unwritten(&error))?, hash: Sha256::new(), bytes: 0 })
    }

    pub(crate) fn take(&mut self, piece: &[u8]) -> Result<(), Problem> {
        self.bytes += piece.len() as u64;
        self.hash.update(piece);
        // This waits for memory alone; what a disk that is full says comes here too.
        self.file.write_all(piece).map_err(|error| unwritten(&error))
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn finish(self) -> Result<Received, Problem> {
        if self.bytes == 0 {
            return Err(Problem::new(
                Kind::Malformed,
                "the upload has no bytes, expected a slide or picture",
            ));
        }
        Ok(Received { bytes: self.bytes, sha256: self.hash.finalize().into() })
    }
}

/// Writes a body to a new file.
///
/// # Errors
///
/// A [`Problem`] when it is too large, too slow, broken off, empty, or cannot be written.
pub(crate) async fn receive<E: std::fmt::Display>(
    body: impl Stream<Item = Result<Bytes, E>>,
    path: &Path,
    limits: Limits,
) -> Result<Received, Problem> {
    let mut sink = Sink::create(path)?;
    let mut pieces = Pieces::new(body, limits);
    while let Some(piece) = pieces.next().await? {
        sink.take(&piece)?;
    }
    sink.finish()
}

/// Takes a small body into memory.
///
/// # Errors
///
/// As [`receive`].
pub(crate) async fn receive_small<E: std::fmt::Display>(
    body: impl Stream<Item = Result<Bytes, E>>,
    limits: Limits,
) -> Result<Vec<u8>, Problem> {
    let mut pieces = Pieces::new(body, limits);
    let mut all = Vec::new();
    while let Some(piece) = pieces.next().await? {
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// A body, piece by piece, within its limits.
pub(crate) struct Pieces<S> {
    body: std::pin::Pin<Box<S>>,
    limits: Limits,
    bytes: u64,
    /// When the part that is on its way must be there.
    deadline: Instant,
    /// At how many bytes that is.
    part_ends: u64,
}

impl<E: std::fmt::Display, S: Stream<Item = Result<Bytes, E>>> Pieces<S> {
    pub(crate) fn new(body: S, limits: Limits) -> Self {
        let deadline = Instant::now() + limits.patience;
        Self { body: Box::pin(body), limits, bytes: 0, deadline, part_ends: PART }
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let Some(piece) = self.piece().await? else { return Ok(None) };
        self.bytes += piece.len() as u64;
        if self.bytes > self.limits.bytes {
            self.drain().await;
            return Err(too_large(self.limits.bytes));
        }
        if self.bytes >= self.part_ends {
            self.part_ends = self.bytes + PART;
            self.deadline = Instant::now() + self.limits.patience;
        }
        Ok(Some(piece))
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Problem> {
        match timeout_at(self.deadline, self.body.next()).await {
            Err(_) => Err(Problem::new(
                Kind::TooSlow,
                format!(
                    "no {} kB came within {} s; send it again, over a faster line",
                    PART >> 10,
                    self.limits.patience.as_secs()
                ),
            )),
            Ok(None) => Ok(None),
            Ok(Some(Ok(piece))) => Ok(Some(piece)),
            Ok(Some(Err(error))) => {
                Err(Problem::new(Kind::Malformed, format!("the upload broke off: {error}")))
            }
        }
    }

    /// Lets a client that has only a little more to send read the refusal.
    async fn drain(&mut self) {
        let mut left = DRAINED;
        while let Ok(Some(piece)) = self.piece().await {
            left = left.saturating_sub(piece.len() as u64);
            if left == 0 {
                return;
            }
        }
    }
}

pub(crate) fn too_large(limit: u64) -> Problem {
    Problem::new(
        Kind::TooLarge,
        format!(
            "an upload may have {limit} bytes, this one has more; name larger slides by path (POST /v1/jobs), or ask the \
             operator for a higher --max-upload"
        ),
    )
}

/// A disk that takes no more, or another fault of ours.
pub(crate) fn unwritten(error: &std::io::Error) -> Problem {
    not_written("the upload", error)
}

pub(crate) fn not_written(what: &str, error: &std::io::Error) -> Problem {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Kind::NoRoom,
        _ => Kind::Internal,
    };
    Problem::new(kind, format!("{what} cannot be written: {}", error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { bytes: 100, patience: Duration::from_secs(30) };

    fn stream(pieces: Vec<Result<Bytes, &'static str>>) -> impl Stream<Item = Result<Bytes, &'static str>> {
        futures_util::stream::iter(pieces)
    }

    fn piece(bytes: usize) -> Result<Bytes, &'static str> {
        Ok(vec![7; bytes].into())
    }

    async fn refused(body: Vec<Result<Bytes, &'static str>>) -> u16 {
        let folder = tempfile::tempdir().unwrap();
        receive(stream(body), &folder.path().join("slide"), LIMITS).await.unwrap_err().status()
    }

    #[tokio::test]
    async fn what_comes_is_on_the_disk_with_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slide");
        let received = receive(stream(vec![piece(60), piece(40)]), &path, LIMITS).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [7; 100]);
        let expected: [u8; 32] = Sha256::digest([7; 100]).into();
        assert_eq!(received, Received { bytes: 100, sha256: expected });
        assert_eq!(receive_small(stream(vec![piece(3), piece(4)]), LIMITS).await.unwrap(), [7; 7]);
    }

    #[tokio::test]
    async fn bytes_are_counted_as_they_come() {
        assert_eq!(refused(vec![piece(60), piece(41)]).await, 413);
        assert_eq!(refused(vec![piece(60), Err("the other side is gone")]).await, 400);
        assert_eq!(refused(vec![]).await, 400);
    }

    #[tokio::test]
    async fn an_upload_that_stalls_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let stalls = stream(vec![piece(9)]).chain(futures_util::stream::pending());
        let limits = Limits { patience: Duration::from_millis(1), ..LIMITS };
        let problem = receive(stalls, &folder.path().join("slide"), limits).await.unwrap_err();
        assert_eq!(problem.status(), 408, "{problem:?}");
    }

    #[tokio::test]
    async fn bytes_now_and_then_do_not_move_the_deadline_and_a_part_does() {
        let limits = Limits { bytes: 1 << 30, ..LIMITS };
        let small = stream(vec![piece(1), piece(PART as usize)]);
        let mut pieces = Pieces::new(small, limits);
        let first = pieces.deadline;
        pieces.next().await.unwrap();
        assert_eq!(pieces.deadline, first);
        pieces.next().await.unwrap();
        assert!(pieces.deadline > first && pieces.part_ends > 2 * PART);
    }
}
