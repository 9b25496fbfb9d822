//! Makes sure that there is a dashboard to embed, so that the program builds without Node.

use std::{fs, path::Path};

const PLACEHOLDER: &str = "<!doctype html><meta charset=utf-8><title>Tollbar</title>\
<p>This build has no dashboard. Build it with <code>npm ci && npm run build</code> in <code>ui/</code>, or run <code>./dev run</code>.";

#[allow(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]
fn main() {
    println!("cargo:rerun-if-changed=ui/dist");
    let page = Path::new("ui/dist/index.html");
    if !page.exists() {
        // Without the folder the embedding would not compile; a failure here shows there, with the path.
        let _ = fs::create_dir_all("ui/dist").and_then(|()| fs::write(page, PLACEHOLDER));
    }
    #[cfg(feature = "desktop")]
    tauri_build::build();
}
