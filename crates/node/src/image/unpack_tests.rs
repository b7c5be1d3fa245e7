//! Layers that a stranger made, and what becomes of them.

use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};

use tempfile::TempDir;

use super::*;

/// A layer in the making: plain tar headers, so that nothing is too hostile to be written.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn entry(mut self, kind: EntryType, name: &str, link: &str, data: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        let bytes = header.as_old_mut();
        bytes.name[..name.len()].copy_from_slice(name.as_bytes());
        bytes.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o4755);
        header.set_mtime(1_000_000_000);
        header.set_size(u64::try_from(data.len()).unwrap());
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, data: &[u8]) -> Self {
        self.entry(EntryType::Regular, name, "", data)
    }

    fn directory(self, name: &str) -> Self {
        self.entry(EntryType::Directory, name, "", b"")
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }

    fn unpack(self) -> Result<(TempDir, Unpacked), LayerError> {
        unpack_within(&self.end(), LayerLimits::DEFAULT)
    }

    fn refused(self) -> String {
        self.unpack().map(|_| ()).unwrap_err().to_string()
    }
}

fn unpack_within(tar: &[u8], limits: LayerLimits) -> Result<(TempDir, Unpacked), LayerError> {
    let dir = tempfile::tempdir().unwrap();
    unpack(tar, dir.path(), &limits, None).map(|unpacked| (dir, unpacked))
}

#[test]
fn a_layer_becomes_files_without_special_rights() {
    let (dir, unpacked) = Tar::default()
        .directory("./")
        .directory("usr/")
        .file("usr/bin/tool", b"#!")
        .entry(EntryType::Symlink, "bin", "usr/bin", b"")
        .entry(EntryType::Symlink, "usr/abs", "/etc/shadow", b"")
        .entry(EntryType::Link, "usr/again", "usr/bin/tool", b"")
        .file("/etc/absolute", b"inside")
        .unpack()
        .unwrap();
    let tool = dir.path().join("usr/bin/tool").metadata().unwrap();
    assert_eq!(tool.permissions().mode() & 0o7777, 0o755, "no set-user-id");
    assert_eq!((tool.nlink(), tool.mtime()), (2, 1_000_000_000));
    assert_eq!(std::fs::read_link(dir.path().join("usr/abs")).unwrap(), Path::new("/etc/shadow"));
    assert_eq!(std::fs::read(dir.path().join("etc/absolute")).unwrap(), b"inside");
    assert!(unpacked.bytes > 8);
}

#[test]
fn the_digest_is_of_the_whole_tar_compressed_or_not() {
    let tar = Tar::default().file("a", b"x").end();
    let plain = unpack_within(&tar, LayerLimits::DEFAULT).unwrap().1;
    assert_eq!(plain.diff[..], Sha256::digest(&tar)[..]);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&tar).unwrap();
    let packed = packed.finish().unwrap();
    assert_eq!(unpack_within(&packed, LayerLimits::DEFAULT).unwrap().1.diff, plain.diff);
    let said = unpack_within(&[0x28, 0xb5, 0x2f, 0xfd, 0], LayerLimits::DEFAULT).unwrap_err();
    assert!(said.to_string().contains("zstd"), "{said}");
}

#[test]
fn what_leaves_the_layer_is_refused() {
    for name in ["../evil", "a/../../evil", "usr/.."] {
        let said = Tar::default().file(name, b"x").refused();
        assert!(said.contains("not a name inside"), "{said}");
    }
    let through_link =
        Tar::default().entry(EntryType::Symlink, "out", "/tmp", b"").file("out/evil", b"x");
    assert!(through_link.refused().contains("no directory"));
    let through_file = Tar::default().file("file", b"x").file("file/evil", b"x");
    assert!(through_file.refused().contains("no directory"));
    let replaced = Tar::default().directory("dir").entry(EntryType::Symlink, "dir", "/tmp", b"");
    assert!(replaced.refused().contains("something else"));
}

#[test]
fn a_file_over_a_link_replaces_the_link() {
    let outside = tempfile::tempdir().unwrap();
    let canary = outside.path().join("canary");
    std::fs::write(&canary, "safe").unwrap();
    let (dir, _) = Tar::default()
        .entry(EntryType::Symlink, "trap", canary.to_str().unwrap(), b"")
        .file("trap", b"written")
        .unpack()
        .unwrap();
    assert_eq!(std::fs::read_to_string(canary).unwrap(), "safe");
    assert!(!dir.path().join("trap").symlink_metadata().unwrap().is_symlink());
}

#[test]
fn hard_links_stay_in_the_layer() {
    let outside = tempfile::NamedTempFile::new().unwrap();
    let outside = outside.path().to_str().unwrap().to_owned();
    for target in
        [outside.as_str(), "../../etc/passwd", "absent", "link/passwd", "link", "dir", "self"]
    {
        let said = Tar::default()
            .entry(EntryType::Symlink, "link", "/etc", b"")
            .directory("dir")
            .entry(EntryType::Link, "self", target, b"")
            .refused();
        assert!(said.contains("no file of its layer"), "{target}: {said}");
    }
}

#[test]
fn devices_and_pipes_are_not_made() {
    let (dir, _) = Tar::default()
        .entry(EntryType::Char, "null", "", b"")
        .entry(EntryType::Block, "disk", "", b"")
        .entry(EntryType::Fifo, "pipe", "", b"")
        .file("file", b"")
        .unpack()
        .unwrap();
    let names: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["file"]);
}

fn is_opaque(path: &Path) -> bool {
    let mut value = [0_u8; 1];
    rustix::fs::getxattr(path, OPAQUE_ATTRIBUTE, &mut value[..]).is_ok_and(|n| n == 1)
}

#[test]
fn deletions_become_what_overlays_read() {
    let (dir, _) = Tar::default()
        .directory("etc")
        .file("etc/.wh.passwd", b"")
        .file("var/.wh..wh..opq", b"")
        .file("var/new", b"")
        .file("kept", b"mine")
        .file(".wh.kept", b"")
        .directory("again")
        .file(".wh.again", b"")
        .file(".wh.later", b"")
        .file("later/file", b"")
        .file(".wh..wh.plnk", b"")
        .unpack()
        .unwrap();
    let gone = dir.path().join("etc/passwd").symlink_metadata().unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    assert!(is_opaque(&dir.path().join("var")) && dir.path().join("var/new").is_file());
    assert_eq!(std::fs::read(dir.path().join("kept")).unwrap(), b"mine");
    assert!(is_opaque(&dir.path().join("again")), "only what lies below is gone");
    assert!(is_opaque(&dir.path().join("later")) && dir.path().join("later/file").is_file());
    assert!(!dir.path().join("plnk").exists());
    assert!(!is_opaque(&dir.path().join("etc")));
}

#[test]
fn whiteouts_outside_are_refused() {
    for name in [".wh.", ".wh..", ".wh...", "a/.wh...", "../.wh.x", ".wh.dir/x"] {
        let said = Tar::default().file(name, b"").refused();
        assert!(said.contains("not a name inside"), "{name}: {said}");
    }
}

#[test]
fn bombs_are_stopped() {
    let tar = Tar::default().file("a", &[0; 600]).file("b", &[0; 600]).end();
    let limits = |bytes_max, entries_max| LayerLimits { bytes_max, entries_max, depth_max: 3 };
    assert!(unpack_within(&tar, limits(1_200, 2)).is_ok());
    let said = unpack_within(&tar, limits(1_199, 2)).unwrap_err().to_string();
    assert!(said.contains("1199 bytes"), "{said}");
    let said = unpack_within(&tar, limits(1_200, 1)).unwrap_err().to_string();
    assert!(said.contains("1 entries"), "{said}");
    let deep = Tar::default().file("a/b/c/d", b"").end();
    assert!(unpack_within(&deep, limits(1, 9)).is_err());
    // Zeros pack a thousand to one.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let mut header = tar::Header::new_gnu();
    header.set_path("zeros").unwrap();
    header.set_size(1 << 26);
    header.set_mode(0o644);
    header.set_cksum();
    bomb.write_all(header.as_bytes()).unwrap();
    bomb.write_all(&vec![0; 1 << 26]).unwrap();
    let said = unpack_within(&bomb.finish().unwrap(), limits(1 << 20, 9)).unwrap_err().to_string();
    assert!(said.contains("bytes"), "{said}");
}

#[test]
fn long_names_are_read_and_endless_ones_are_not() {
    let long = format!("{}/file", "d".repeat(200));
    let (dir, _) = Tar::default()
        .entry(EntryType::GNULongName, "././@LongLink", "", format!("{long}\0").as_bytes())
        .file("short", b"x")
        .unpack()
        .unwrap();
    assert!(dir.path().join(&long).is_file());
    let record = |text: &str| {
        // A record's length counts itself.
        let length =
            (text.len()..).find(|n| n.to_string().len() + 1 + text.len() + 1 == *n).unwrap();
        format!("{length} {text}\n").into_bytes()
    };
    let (dir, _) = Tar::default()
        .entry(EntryType::XHeader, "pax", "", &record("path=from/pax"))
        .file("short", b"x")
        .unpack()
        .unwrap();
    assert!(dir.path().join("from/pax").is_file());
    let lying =
        Tar::default().entry(EntryType::XHeader, "pax", "", &record("size=99")).file("f", b"x");
    assert!(lying.refused().contains("not supported"));
    let endless = Tar::default().entry(
        EntryType::GNULongName,
        "././@LongLink",
        "",
        &vec![b'x'; usize::try_from(HEADER_BYTES_MAX).unwrap() + 1],
    );
    assert!(endless.refused().contains("one header"));
    let sparse = Tar::default().entry(EntryType::GNUSparse, "s", "", b"");
    assert!(sparse.refused().contains("not supported"));
}

#[test]
fn a_cut_or_foreign_archive_is_refused() {
    let tar = Tar::default().file("a", &[1; 2_000]).end();
    assert!(matches!(unpack_within(&tar[..1_024], LayerLimits::DEFAULT), Err(LayerError::Tar(_))));
    assert!(unpack_within(&[7; 4_096], LayerLimits::DEFAULT).is_err());
}

#[test]
fn as_root_everything_belongs_to_the_account() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let owner = HostUser { uid: 123_456, gid: 123_457 };
    let tar = Tar::default()
        .file("deep/file", b"x")
        .entry(EntryType::Symlink, "link", "/etc/shadow", b"")
        .end();
    unpack(&tar[..], dir.path(), &LayerLimits::DEFAULT, Some(owner)).unwrap();
    for name in ["", "deep", "deep/file", "link"] {
        let meta = dir.path().join(name).symlink_metadata().unwrap();
        assert_eq!((meta.uid(), meta.gid()), (123_456, 123_457), "{name}");
    }
    assert_eq!(std::fs::metadata("/etc/shadow").unwrap().uid(), 0);
}

mod hostile {
    use proptest::prelude::*;

    use super::*;

    /// Names that meet each other, climb, delete, and point next door.
    fn name() -> impl Strategy<Value = String> {
        let part = proptest::sample::select(vec![
            "a",
            "b",
            "..",
            ".",
            "",
            ".wh.a",
            ".wh..wh..opq",
            ".wh...",
            "outside",
            "layer",
        ]);
        prop::collection::vec(part, 1..5).prop_map(|parts| parts.join("/"))
    }

    fn kind() -> impl Strategy<Value = EntryType> {
        proptest::sample::select(vec![
            EntryType::Regular,
            EntryType::Directory,
            EntryType::Symlink,
            EntryType::Link,
            EntryType::Char,
            EntryType::Fifo,
            EntryType::GNULongName,
            EntryType::XHeader,
        ])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn nothing_is_written_outside(entries in prop::collection::vec((kind(), name(), name()), 1..12)) {
            let root = tempfile::tempdir().unwrap();
            let (target, outside) = (root.path().join("layer"), root.path().join("outside"));
            std::fs::create_dir(&target).unwrap();
            std::fs::create_dir(&outside).unwrap();
            let mut tar = Tar::default();
            for (kind, name, link) in &entries {
                let link = link.replace("outside", outside.to_str().unwrap());
                let link = &link[..link.len().min(99)];
                let data: &[u8] = if *kind == EntryType::Regular { b"x" } else { b"" };
                tar = tar.entry(*kind, name, link, data);
            }
            let limits = LayerLimits { bytes_max: 64, entries_max: 64, depth_max: 8 };
            // Refused or taken: either way it stays inside.
            drop(unpack(&tar.end()[..], &target, &limits, None));
            prop_assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
            prop_assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 2);
        }

        #[test]
        fn nonsense_is_refused_and_nothing_worse(bytes in prop::collection::vec(any::<u8>(), 0..2_048), at in 0_usize..512, byte: u8) {
            let limits = LayerLimits { bytes_max: 1 << 16, entries_max: 64, depth_max: 8 };
            drop(unpack_within(&bytes, limits));
            let mut almost = Tar::default().file("a", b"x").end();
            almost[at] = byte;
            drop(unpack_within(&almost, limits));
        }
    }
}
