//! The data sets as files of one folder, as they are or packed with zstd.

use crate::{
    pricebuild::{SET_BYTES_MAX, Set, Sets},
    regular::open_regular,
};
use std::{
    collections::BTreeMap,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The bytes of all data sets.
#[derive(Clone, Debug, Default)]
pub struct Folder(BTreeMap<Set, Vec<u8>>);

/// Why a folder has no data sets.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {source}", path.display())]
pub struct FolderError {
    /// Of which file.
    path: PathBuf,
    source: io::Error,
}

impl Folder {
    /// Reads every set from a folder.
    pub fn read(folder: &Path) -> Result<Folder, FolderError> {
        let read = |set: Set| {
            let plain = folder.join(set.file());
            let packed = folder.join(format!("{}.zst", set.file()));
            let path = if plain.exists() || !packed.exists() { plain } else { packed };
            read_bounded(&path).map(|bytes| (set, bytes)).map_err(|source| FolderError { path, source })
        };
        Ok(Folder(Set::ALL.into_iter().map(read).collect::<Result<_, _>>()?))
    }

    /// Puts a set in.
    pub fn insert(&mut self, set: Set, bytes: Vec<u8>) {
        self.0.insert(set, bytes);
    }

    /// What the sets say.
    pub fn sets(&self) -> Sets<'_> {
        let of = |set| self.0.get(&set).map_or(&[][..], Vec::as_slice);
        Sets { genai: of(Set::GenaiPrices), model_prices: of(Set::ModelPrices), litellm: of(Set::LiteLlm), models_dev: of(Set::ModelsDev) }
    }
}

/// Reads one byte more than is allowed, so that what is too large is seen to be; a packed file may unfold into any size.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let file = open_regular(path)?;
    let mut bytes = Vec::new();
    let limit = SET_BYTES_MAX as u64 + 1;
    match path.extension().is_some_and(|it| it == "zst") {
        true => zstd::Decoder::new(file)?.take(limit).read_to_end(&mut bytes)?,
        false => file.take(limit).read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}
