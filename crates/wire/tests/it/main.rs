//! The generated reference files in the repository are the ones the code makes.

use std::path::Path;

#[test]
fn the_reference_is_up_to_date() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    for (name, made) in [
        ("openapi.json", stint_wire::openapi::document_text(env!("CARGO_PKG_VERSION"))),
        ("api.md", stint_wire::openapi::reference_page()),
    ] {
        let kept = std::fs::read_to_string(directory.join(name)).unwrap_or_default();
        assert!(
            kept == made,
            "docs/reference/{name} is stale: cargo run -p stint-wire --example reference -- docs/reference"
        );
    }
}
