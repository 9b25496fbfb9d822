//! `tollbar prices build`

use crate::{
    cli::{print, warn},
    pricebuild::{self, Built},
    priceupdate::Folder,
    words,
};
use clap::Args;
use events::{
    PriceBook,
    query::{Fault, FaultCode},
};
use std::{fs, path::PathBuf};

#[derive(Debug, Args)]
pub(in crate::cli) struct Build {
    /// The folder of the data sets: genai-prices.json, model-prices-snapshot.json, litellm.json and models.dev-api.json (or .zst)
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Where to write the book; without it the book goes to the standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// From nothing, without the retired models of the book that the program ships with
    #[arg(long)]
    fresh: bool,
}

impl Build {
    pub(in crate::cli) fn run(self) -> Result<(), Fault> {
        let folder = Folder::read(&self.from)
            .map_err(|cause| Fault::new(FaultCode::NotFound, cause.to_string(), "`tollbar prices build --help` names the files"))?;
        let earlier = (!self.fresh).then(|| PriceBook::bundled().as_ref());
        let built = pricebuild::build(&folder.sets(), earlier)
            .map_err(|cause| Fault::refused(cause.to_string(), "fetch that data set again; no book was written"))?;
        report(&built);
        match &self.out {
            None => print(&built.json),
            Some(path) => fs::write(path, &built.json).map_err(|error| {
                let cause = format!("cannot write the book to {}: {error}", path.display());
                Fault::new(FaultCode::Storage, cause, "check that the folder is there and has room")
            }),
        }
    }
}

/// On the standard error, so that a book on the standard output stays one.
fn report(built: &Built) {
    for disagreement in &built.disagreements {
        warn(disagreement);
    }
    for refused in &built.refused {
        warn(format_args!("left out, because it cannot be: {refused}"));
    }
    let rows = PriceBook::from_json(built.json.as_bytes()).map_or(0, |book| book.rows().count());
    warn(format_args!(
        "{} prices; {} disagreements of more than 1 %; {} left out; {} kept that no set lists any more",
        words::grouped(rows as u128),
        words::grouped(built.disagreements.len() as u128),
        built.refused.len(),
        built.retired
    ));
}
