//! Newer prices: data sets fetched or read from a folder, merged, compared with the book in force, and refused or handed on.

mod folder;

pub use folder::{Folder, FolderError};
