//! A running digest over all entries of a log, by which a checkpoint is known to be one of exactly these entries.
//!
//! It is chained by segments: the digest behind a segment follows from the one before it and from the segment's hot bytes, which are what
//! is folded. The store keeps one value per segment, so that neither opening nor appending reads anything twice. Entries behind the last
//! whole segment are digested one by one, as their wire bytes.
//!
//! It finds damage and other histories; it is no protection against somebody who forges files.

use crate::{Entry, wire};
use sha2::{Digest as _, Sha256};

/// The length of a digest.
pub(super) const DIGEST_BYTES: usize = 16;
/// A frame of zstd ends in a checksum of its content.
const CONTENT_CHECKSUM_BYTES: usize = 4;

/// The digest of a log up to an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LogDigest(pub(super) [u8; DIGEST_BYTES]);

impl LogDigest {
    /// The digest that was stored as these bytes.
    pub(super) fn read(bytes: &[u8]) -> Option<LogDigest> {
        Some(LogDigest(bytes.try_into().ok()?))
    }

    /// The digest behind one more segment.
    ///
    /// Two checksums of the segment stand for it, one over its bytes and the one over its content that ends it: a digest of all bytes
    /// would take a tenth of the time in which a segment is made.
    pub(super) fn and_segment(self, hot: &[u8]) -> LogDigest {
        let content = &hot[hot.len().saturating_sub(CONTENT_CHECKSUM_BYTES)..];
        self.and(&[&crc32fast::hash(hot).to_le_bytes(), &(hot.len() as u64).to_le_bytes(), content])
    }

    /// The digest behind some more entries, which fill no segment.
    pub(super) fn and_entries<'e>(self, entries: impl IntoIterator<Item = &'e Entry>) -> LogDigest {
        entries.into_iter().fold(self, |digest, entry| digest.and(&[&wire::encode(entry)]))
    }

    fn and(self, parts: &[&[u8]]) -> LogDigest {
        let mut digest = Sha256::new();
        digest.update(self.0);
        parts.iter().for_each(|part| digest.update(part));
        let mut next = LogDigest::default();
        next.0.copy_from_slice(&digest.finalize()[..DIGEST_BYTES]);
        next
    }
}
