//! Writes the generated reference files into a directory:
//! `cargo run -p stint-wire --example reference -- docs/reference`.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let directory = PathBuf::from(std::env::args().nth(1).unwrap_or("docs/reference".to_owned()));
    std::fs::create_dir_all(&directory)?;
    let document = stint_wire::openapi::document_text(env!("CARGO_PKG_VERSION"));
    std::fs::write(directory.join("openapi.json"), document)?;
    std::fs::write(directory.join("api.md"), stint_wire::openapi::reference_page())
}
