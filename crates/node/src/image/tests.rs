//! Images from layouts and archives: resolved, checked, shared, kept, forgotten.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::Sha256;
use stint_model::function::CodePackage;
use stint_model::id::{FunctionId, RevisionId};
use stint_wire::node::RegistryAccess;

use super::*;

#[derive(Default)]
struct Shelf(HashMap<String, Bytes>);

#[async_trait]
impl CodeSource for Shelf {
    async fn get(&self, name: &str) -> Result<Bytes, FetchError> {
        let missing = || FetchError { name: name.to_owned(), reason: "absent".to_owned() };
        self.0.get(name).cloned().ok_or_else(missing)
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(text.len()).unwrap());
        header.set_mode(0o644);
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn configuration(layers: &[Vec<u8>]) -> Vec<u8> {
    let diffs: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    let text = serde_json::json!({
        "os": "linux",
        "config": {"Entrypoint": ["/serve"], "User": "7:8", "WorkingDir": "/srv"},
        "rootfs": {"type": "layers", "diff_ids": diffs},
    });
    text.to_string().into_bytes()
}

/// Writes an OCI layout with one image per tag.
fn layout(dir: &Path, images: &[(&str, &[Vec<u8>])]) {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        fs::write(blobs.join(&digest(bytes)[7..]), bytes).unwrap();
        serde_json::json!({"digest": digest(bytes), "size": bytes.len()})
    };
    let manifests: Vec<_> = images
        .iter()
        .map(|(tag, layers)| {
            let layers_put: Vec<_> = layers.iter().map(|layer| put(layer)).collect();
            let config = put(&configuration(layers));
            let manifest = serde_json::json!({"config": config, "layers": layers_put});
            let mut found = put(manifest.to_string().as_bytes());
            found["annotations"] = serde_json::json!({"org.opencontainers.image.ref.name": tag});
            found
        })
        .collect();
    let index = serde_json::json!({"manifests": manifests});
    fs::write(dir.join("index.json"), index.to_string()).unwrap();
}

struct Lab {
    dir: tempfile::TempDir,
    shelf: Shelf,
    bytes_max: u64,
}

impl Lab {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), shelf: Shelf::default(), bytes_max: 1 << 30 }
    }

    fn layout(&self) -> PathBuf {
        self.dir.path().join("layouts/app")
    }

    fn images(&mut self) -> Images {
        let supervisor = Supervisor::new(Clock::start());
        let settings = ImageSettings {
            registries: Vec::new(),
            loopback_allowed: false,
            layouts: vec![self.dir.path().join("layouts")],
            bytes_max: self.bytes_max,
            layer: LayerLimits::DEFAULT,
        };
        let deps = ImageDeps {
            source: Arc::new(std::mem::take(&mut self.shelf)),
            clock: supervisor.clock().clone(),
            supervisor,
        };
        Images::open(self.dir.path().join("images"), settings, deps).unwrap()
    }

    fn order(&self, tag: &str) -> ImageOrder {
        order(&format!("oci:{}:{tag}", self.layout().display()))
    }
}

fn order(reference: &str) -> ImageOrder {
    ImageOrder {
        account: AccountId::ROOT,
        function: FunctionId::from_number(1),
        revision: RevisionId::from_number(1),
        reference: reference.to_owned(),
        pinned: None,
        access: RegistryAccess::default(),
        code: None,
    }
}

const PATIENCE: Span = Span::from_secs(60);
const OWNER: HostUser = HostUser { uid: 100_000, gid: 100_000 };

#[tokio::test]
async fn an_image_is_unpacked_once_and_runs_without_its_source() {
    let mut lab = Lab::new();
    let (low, high) = (layer(&[("a", "low")]), layer(&[("b", "high")]));
    layout(&lab.layout(), &[("v1", &[low.clone(), high]), ("v2", &[low])]);
    let images = lab.images();
    let mut order = lab.order("v1");
    let pinned = images.resolve(&order, OWNER).await.unwrap();
    assert!(pinned.uri.starts_with("oci:/") && pinned.uri.ends_with(&pinned.digest));
    fs::rename(lab.layout(), lab.dir.path().join("away")).unwrap();
    order.pinned = Some(pinned.clone());
    let held = images.hold(&order, OWNER, PATIENCE).await.unwrap();
    assert_eq!(fs::read_to_string(held.layers[0].join("b")).unwrap(), "high", "the topmost first");
    assert_eq!(held.run().entrypoint, ["/serve"]);
    assert_eq!((held.user().uid, held.user().gid), (7, 8));
    drop((held, images));
    // Another start finds it on the disk.
    let again = lab.images().hold(&order, OWNER, PATIENCE).await.unwrap();
    assert_eq!(again.layers.len(), 2);
    fs::rename(lab.dir.path().join("away"), lab.layout()).unwrap();
    let second = lab.images();
    let pinned = second.resolve(&lab.order("v2"), OWNER).await.unwrap();
    let two = ImageOrder { pinned: Some(pinned), ..lab.order("v2") };
    let shared = second.hold(&two, OWNER, PATIENCE).await.unwrap();
    assert_eq!(shared.layers[0], again.layers[1], "within an account a layer is there once");
    let stranger = ImageOrder { account: AccountId::new(77), ..lab.order("v2") };
    let theirs = second.resolve(&stranger, OWNER).await.unwrap();
    let theirs = ImageOrder { pinned: Some(theirs), ..stranger };
    let apart = second.hold(&theirs, OWNER, PATIENCE).await.unwrap();
    assert_ne!(apart.layers[0], shared.layers[0], "between accounts nothing is shared");
    if rustix::process::geteuid().is_root() {
        assert_eq!(fs::metadata(shared.layers[0].join("a")).unwrap().uid(), OWNER.uid);
    }
}

#[tokio::test]
async fn room_is_made_from_what_nobody_uses_and_a_pin_holds() {
    let mut lab = Lab::new();
    let big = |name: &str| layer(&[(name, &"x".repeat(4_000))]);
    layout(&lab.layout(), &[("v1", &[big("a")]), ("v2", &[big("b")])]);
    lab.bytes_max = 5_000;
    let images = lab.images();
    let pinned = images.resolve(&lab.order("v1"), OWNER).await.unwrap();
    let one = ImageOrder { pinned: Some(pinned), ..lab.order("v1") };
    let held = images.hold(&one, OWNER, PATIENCE).await.unwrap();
    let pinned = images.resolve(&lab.order("v2"), OWNER).await.unwrap();
    let two = ImageOrder { pinned: Some(pinned), ..lab.order("v2") };
    assert!(held.layers[0].join("a").is_file(), "in use");
    drop(held);
    // The tag means another image now, but the node still has the one that is pinned.
    layout(&lab.layout(), &[("v1", &[big("c")]), ("v2", &[big("b")])]);
    let held = images.hold(&one, OWNER, PATIENCE).await.unwrap();
    let path = held.layers[0].clone();
    drop(held);
    let held = images.hold(&two, OWNER, PATIENCE).await.unwrap();
    images.resolve(&lab.order("v2"), OWNER).await.unwrap();
    assert!(!path.exists(), "the least recently used goes");
    assert!(held.layers[0].join("b").is_file());
    // And then the pin cannot be kept.
    let fault = images.hold(&one, OWNER, PATIENCE).await.unwrap_err().fault();
    assert_eq!(fault.kind, ImageFaultKind::Changed, "{}", fault.reason);
    fs::remove_dir_all(lab.layout()).unwrap();
    assert_eq!(
        images.hold(&one, OWNER, PATIENCE).await.unwrap_err().fault().kind,
        ImageFaultKind::NotFound
    );
    assert!(images.hold(&two, OWNER, PATIENCE).await.is_ok());
}

#[tokio::test]
async fn what_was_changed_on_its_way_is_refused() {
    let mut lab = Lab::new();
    let images = lab.images();
    let honest = layer(&[("a", "honest")]);
    layout(&lab.layout(), &[("v1", std::slice::from_ref(&honest))]);
    let blob = lab.layout().join("blobs/sha256").join(&digest(&honest)[7..]);
    fs::write(&blob, layer(&[("a", "forged")])).unwrap();
    let error = images.resolve(&lab.order("v1"), OWNER).await.unwrap_err();
    assert!(matches!(error, ImageError::Digest(_)), "{error}");
    assert_eq!(error.fault().kind, ImageFaultKind::Invalid);
    // A blob as it should be, under a configuration that says something else of it.
    let config = configuration(&[layer(&[("a", "other")])]);
    let blobs = lab.layout().join("blobs/sha256");
    fs::write(&blob, &honest).unwrap();
    fs::write(blobs.join(&digest(&config)[7..]), &config).unwrap();
    let manifest = serde_json::json!({
        "config": {"digest": digest(&config), "size": config.len()},
        "layers": [{"digest": digest(&honest), "size": honest.len()}],
    });
    let manifest = manifest.to_string();
    fs::write(blobs.join(&digest(manifest.as_bytes())[7..]), &manifest).unwrap();
    let index = serde_json::json!({"manifests": [{"digest": digest(manifest.as_bytes())}]});
    fs::write(lab.layout().join("index.json"), index.to_string()).unwrap();
    let plain = order(&format!("oci:{}", lab.layout().display()));
    assert!(matches!(images.resolve(&plain, OWNER).await, Err(ImageError::Digest(_))));
    let drafts = fs::read_dir(lab.dir.path().join("images/drafts")).unwrap().count();
    assert_eq!(drafts, 0, "nothing is left behind");
}

#[tokio::test]
async fn sources_that_are_not_allowed_say_nothing_else() {
    let mut lab = Lab::new();
    let outside = lab.dir.path().join("outside");
    layout(&outside, &[("v1", &[layer(&[("a", "x")])])]);
    fs::create_dir_all(lab.dir.path().join("layouts")).unwrap();
    std::os::unix::fs::symlink(&outside, lab.dir.path().join("layouts/link")).unwrap();
    let images = lab.images();
    for reference in [
        format!("oci:{}", outside.display()),
        format!("oci:{}", lab.dir.path().join("layouts/link").display()),
        "oci:/etc".to_owned(),
        "oci:/absent".to_owned(),
        "127.0.0.1:1/app".to_owned(),
    ] {
        let fault = images.resolve(&order(&reference), OWNER).await.unwrap_err().fault();
        assert_eq!(fault.kind, ImageFaultKind::NotAllowed, "{reference}: {}", fault.reason);
    }
    let absent = order(&format!("oci:{}", lab.dir.path().join("layouts/absent").display()));
    let fault = images.resolve(&absent, OWNER).await.unwrap_err().fault();
    assert_eq!(fault.kind, ImageFaultKind::NotFound);
}

/// As `docker save` writes it.
fn saved(tag: &str, layers: &[Vec<u8>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(bytes.len()).unwrap());
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    let names: Vec<String> = (0..layers.len()).map(|i| format!("{i}/layer.tar")).collect();
    for (name, layer) in names.iter().zip(layers) {
        add(name, layer);
    }
    add("config.json", &configuration(layers));
    let manifest =
        serde_json::json!([{"Config": "config.json", "RepoTags": [tag], "Layers": names}]);
    add("manifest.json", manifest.to_string().as_bytes());
    tar.into_inner().unwrap()
}

fn package(bytes: &[u8]) -> CodePackage {
    let size = u64::try_from(bytes.len()).unwrap();
    CodePackage { blob: "code/b".into(), size, crc64: 0, sha256: Sha256::digest(bytes).into() }
}

#[tokio::test]
async fn an_archive_that_was_uploaded_is_an_image() {
    let archive = saved("app:v1", &[layer(&[("a", "low")]), layer(&[("b", "high")])]);
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("image.tar", zip::write::SimpleFileOptions::default()).unwrap();
    std::io::Write::write_all(&mut zip, &archive).unwrap();
    let zipped = zip.finish().unwrap().into_inner();
    let mut digests = Vec::new();
    for bytes in [archive, zipped] {
        let mut lab = Lab::new();
        lab.shelf.0.insert("code/b".to_owned(), bytes.clone().into());
        let images = lab.images();
        let asked = ImageOrder { code: Some(package(&bytes)), ..order("code:v1") };
        let pinned = images.resolve(&asked, OWNER).await.unwrap();
        digests.push(pinned.digest.clone());
        let asked = ImageOrder { pinned: Some(pinned), ..asked };
        let held = images.hold(&asked, OWNER, PATIENCE).await.unwrap();
        assert_eq!(fs::read_to_string(held.layers[1].join("a")).unwrap(), "low");
        let other = ImageOrder { reference: "code:v2".to_owned(), ..asked.clone() };
        let fault = images.resolve(&other, OWNER).await.unwrap_err().fault();
        assert_eq!(fault.kind, ImageFaultKind::NotFound, "{}", fault.reason);
        let none = ImageOrder { code: None, ..asked };
        assert!(images.resolve(&none, OWNER).await.is_err());
    }
    assert_eq!(digests[0], digests[1], "it is the image that counts");
}
