//! Projections as bytes, so that opening a log folds only what came since.
//!
//! A checkpoint is one zstd frame with its checksum: [`Head`] as MessagePack, then the bytes of the packs as they are in memory.
//! It is never migrated: one of another version, of another book or with damage is no checkpoint, and the log is folded again.

use super::{
    BudgetFold, ProjectNames, Projections, RecentFold, SpendFold,
    labels::{LabelParts, Labels},
    packed::Pack,
};
use crate::{Entry, PriceBook, Seq, Tariff, Timestamp, wire};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io::{BufReader, Read, Write},
    sync::Arc,
};

const MAGIC: &str = "tollbar-fold";
/// Another number for any change of what is folded, or how it is written here.
const FOLD_VERSION: u32 = 2;
/// As fast as it gets: what is packed hardly shrinks further.
const LEVEL: i32 = 1;
/// Far above what the calls of a lifetime take.
const BYTES_MAX: u64 = 1 << 30;
/// More than nearly every pack has.
const PACK_BYTES_USUAL: usize = 1 << 20;
const READ_BYTES: usize = 1 << 16;

#[derive(Serialize, Deserialize)]
struct Head {
    magic: String,
    version: u32,
    tariff: String,
    /// What the tariff follows from beside the first book: entries as bytes.
    price_facts: Vec<Vec<u8>>,
    up_to: Seq,
    last_call_at: Option<Timestamp>,
    calls: u64,
    recent: Vec<(Timestamp, Seq)>,
    budgets: BudgetFold,
    projects: ProjectNames,
    labels: LabelParts,
    packs: Vec<PackHead>,
}

#[derive(Serialize, Deserialize)]
struct PackHead {
    stretch: i64,
    cells: u32,
    first: u16,
    bytes: u32,
}

impl Projections {
    /// What is folded until now. Settles it.
    pub fn to_checkpoint(&mut self) -> Vec<u8> {
        self.settle();
        let (labels, packs) = self.spend.parts();
        let size = |pack: &Pack| u32::try_from(pack.bytes.len()).expect("a pack of some days is far below four gigabytes");
        let head = Head {
            magic: MAGIC.into(),
            version: FOLD_VERSION,
            tariff: self.tariff.id().into(),
            price_facts: self.tariff.facts().iter().map(|entry| wire::encode(entry)).collect(),
            up_to: self.up_to,
            last_call_at: self.last_call_at,
            calls: self.spend.calls(),
            recent: self.recent.newest(),
            budgets: BudgetFold::clone(&self.budgets),
            projects: ProjectNames::clone(&self.projects),
            labels: labels.to_parts(),
            packs: packs
                .iter()
                .map(|(stretch, pack)| PackHead { stretch: *stretch, cells: pack.cells, first: pack.first, bytes: size(pack) })
                .collect(),
        };
        let head = rmp_serde::to_vec(&head).expect("a head holds only what MessagePack can hold");
        let frame = || {
            let mut frame = zstd::Encoder::new(Vec::new(), LEVEL)?;
            frame.include_checksum(true)?;
            frame.write_all(&head)?;
            packs.values().try_for_each(|pack| frame.write_all(&pack.bytes))?;
            frame.finish()
        };
        frame().expect("memory takes it")
    }

    /// What a checkpoint holds, if it is one of this fold under this first book, and whole.
    pub fn from_checkpoint(book: Arc<PriceBook>, file: impl Read) -> Option<Projections> {
        let frame = zstd::Decoder::new(file).ok()?.single_frame();
        let mut whole = BufReader::with_capacity(READ_BYTES, frame.take(BYTES_MAX));
        let head: Head = rmp_serde::from_read(&mut whole).ok()?;
        if head.magic != MAGIC || head.version != FOLD_VERSION {
            return None;
        }
        let facts: Vec<Arc<Entry>> = head.price_facts.iter().map(|bytes| wire::decode(bytes).ok().map(Arc::new)).collect::<Option<_>>()?;
        let tariff = Tariff::with(book, facts);
        if head.tariff != tariff.id() {
            return None;
        }
        let mut packs = BTreeMap::new();
        for PackHead { stretch, cells, first, bytes } in head.packs {
            // Damage that says a great length shall not take the memory before it is found out.
            let mut own = Vec::with_capacity((bytes as usize).min(PACK_BYTES_USUAL));
            whole.by_ref().take(bytes.into()).read_to_end(&mut own).ok()?;
            if own.len() != bytes as usize {
                return None;
            }
            packs.insert(stretch, Arc::new(Pack { cells, first, bytes: own.into() }));
        }
        // The checksum stands behind the last byte.
        if whole.read(&mut [0]).ok()? != 0 {
            return None;
        }
        let mut recent = RecentFold::default();
        head.recent.into_iter().for_each(|(at, seq)| recent.insert(at, seq));
        Some(Projections {
            up_to: head.up_to,
            last_call_at: head.last_call_at,
            spend: SpendFold::from_parts(Labels::from_parts(head.labels), packs, head.calls),
            recent,
            budgets: Arc::new(head.budgets),
            projects: Arc::new(head.projects),
            ..Projections::under(Arc::new(tariff))
        })
    }
}
