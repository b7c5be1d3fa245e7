//! Archives made to do harm, and honest ones. The archives are written by hand where the writer
//! would refuse to make them.

use std::io::Write as _;

use proptest::prelude::*;
use zip::write::SimpleFileOptions;

use super::*;

fn zipped(entries: &[(&str, &[u8], Option<u32>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, body, mode) in entries {
        let mut options = SimpleFileOptions::default();
        if let Some(mode) = mode {
            options = options.unix_permissions(*mode);
        }
        if name.ends_with('/') {
            zip.add_directory(*name, options).unwrap();
        } else {
            zip.start_file(*name, options).unwrap();
            zip.write_all(body).unwrap();
        }
    }
    zip.finish().unwrap().into_inner()
}

/// Stored entries with any name and mode, as a hostile writer would make them.
fn forged(entries: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut central = Vec::new();
    for (name, body, mode) in entries {
        let offset = u32::try_from(out.len()).unwrap();
        let len = u32::try_from(body.len()).unwrap();
        let name_len = u16::try_from(name.len()).unwrap();
        let mut fields = Vec::new();
        fields.extend_from_slice(&20_u16.to_le_bytes()); // version needed
        fields.extend_from_slice(&0x0800_u16.to_le_bytes()); // UTF-8
        fields.extend_from_slice(&[0; 6]); // stored, no time
        fields.extend_from_slice(&crc32(body).to_le_bytes());
        fields.extend_from_slice(&len.to_le_bytes());
        fields.extend_from_slice(&len.to_le_bytes());
        fields.extend_from_slice(&name_len.to_le_bytes());
        fields.extend_from_slice(&0_u16.to_le_bytes());
        out.extend_from_slice(b"PK\x03\x04");
        out.extend_from_slice(&fields);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(body);
        central.extend_from_slice(b"PK\x01\x02\x14\x03");
        central.extend_from_slice(&fields);
        central.extend_from_slice(&[0; 6]); // comment, disk, internal attributes
        central.extend_from_slice(&(mode << 16).to_le_bytes());
        central.extend_from_slice(&offset.to_le_bytes());
        central.extend_from_slice(name.as_bytes());
    }
    let start = u32::try_from(out.len()).unwrap();
    let count = u16::try_from(entries.len()).unwrap();
    let central_len = u32::try_from(central.len()).unwrap();
    out.extend_from_slice(&central);
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&central_len.to_le_bytes());
    out.extend_from_slice(&start.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| {
            if c & 1 == 1 { (c >> 1) ^ 0xedb8_8320 } else { c >> 1 }
        })
    })
}

fn small() -> UnpackLimits {
    UnpackLimits {
        bytes_max: 1 << 20,
        entries_max: 50,
        depth_max: 8,
        ratio_max: 20,
        ratio_from_bytes: 64 << 10,
    }
}

fn tried(zip: &[u8]) -> (tempfile::TempDir, Result<u64, UnpackError>) {
    let outer = tempfile::tempdir().unwrap();
    let target = outer.path().join("target");
    std::fs::create_dir(&target).unwrap();
    let result = unpack(zip, &target, &small());
    (outer, result)
}

#[test]
fn an_honest_package_is_unpacked_with_its_execute_bits() {
    let zip = zipped(&[
        ("index.py", b"print(1)", Some(0o600)),
        ("bin/", b"", None),
        ("bin/tool", b"#!/bin/sh", Some(0o4755)),
        ("deep/er/x", b"x", None),
    ]);
    let (outer, result) = tried(&zip);
    assert_eq!(result.unwrap(), 8 + 9 + 1);
    let mode = |name: &str| {
        let meta = std::fs::metadata(outer.path().join("target").join(name)).unwrap();
        meta.permissions().mode() & 0o7777
    };
    assert_eq!(mode("index.py"), 0o644, "readable by every instance");
    assert_eq!(mode("bin/tool"), 0o755, "set-user-id dropped");
    assert_eq!(mode("deep/er"), 0o755);
    assert_eq!(std::fs::read(outer.path().join("target/deep/er/x")).unwrap(), b"x");
}

#[test]
fn links_inside_are_kept_and_others_refused() {
    let good = forged(&[("lib/a", b"a", 0o100_644), ("bin/a", b"../lib/a", 0o120_777)]);
    let (outer, result) = tried(&good);
    result.unwrap();
    assert_eq!(std::fs::read(outer.path().join("target/bin/a")).unwrap(), b"a");
    for target in ["/etc/passwd", "../../x", "../lib/../../x"] {
        let (_outer, result) = tried(&forged(&[("bin/a", target.as_bytes(), 0o120_777)]));
        assert!(matches!(result, Err(UnpackError::Name(NameError::Link { .. }))), "{target}");
    }
}

#[test]
fn harm_is_refused_and_leaves_nothing_outside() {
    type Is = fn(&UnpackError) -> bool;
    let name: Is = |e| matches!(e, UnpackError::Name(_));
    let file = 0o100_644;
    let cases: Vec<(Vec<u8>, Is)> = vec![
        (forged(&[("../evil", b"x", file)]), name),
        (forged(&[("/evil", b"x", file)]), name),
        (forged(&[("a/../../evil", b"x", file)]), name),
        (forged(&[("a\\evil", b"x", file)]), name),
        (forged(&[("a", b"1", file), ("a", b"2", file)]), |e| {
            matches!(e, UnpackError::Twice(_) | UnpackError::Zip(_))
        }),
        (forged(&[("a", b"1", file), ("./a", b"2", file)]), |e| matches!(e, UnpackError::Twice(_))),
        (forged(&[("a", b"1", file), ("a/b", b"2", file)]), |e| {
            matches!(e, UnpackError::BelowFile(_))
        }),
        (forged(&[("l", b"sub", 0o120_777), ("l/x", b"2", file)]), |e| {
            matches!(e, UnpackError::BelowFile(_))
        }),
        (forged(&[("dev", b"", 0o020_644)]), |e| matches!(e, UnpackError::Kind(_))),
        (forged(&[("pipe", b"", 0o010_644)]), |e| matches!(e, UnpackError::Kind(_))),
        (b"this is no zip".to_vec(), |e| matches!(e, UnpackError::Zip(_))),
        (Vec::new(), |e| matches!(e, UnpackError::Zip(_))),
    ];
    for (n, (zip, is)) in cases.iter().enumerate() {
        let (outer, result) = tried(zip);
        let refused = result.unwrap_err();
        assert!(is(&refused), "case {n}: {refused:?}");
        assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 1, "case {n} wrote outside");
    }
}

#[test]
fn bombs_are_refused() {
    let zeros = vec![0; 900 << 10];
    let (_outer, result) = tried(&zipped(&[("zeros", &zeros, None)]));
    assert!(matches!(result, Err(UnpackError::Ratio(20))), "{result:?}");
    let mut large = vec![0_u8; 2 << 20];
    for (n, byte) in large.iter_mut().enumerate() {
        *byte = u8::try_from((n * 2_654_435_761) >> 13 & 0xff).unwrap();
    }
    let (_outer, result) = tried(&forged(&[("large", &large, 0o100_644)]));
    assert!(matches!(result, Err(UnpackError::Bytes(_))), "{result:?}");
    let names: Vec<String> = (0..51).map(|n| n.to_string()).collect();
    let many: Vec<_> = names.iter().map(|n| (n.as_str(), &b""[..], None)).collect();
    let (_outer, result) = tried(&zipped(&many));
    assert!(matches!(result, Err(UnpackError::Entries(51, 50))), "{result:?}");
}

#[test]
fn an_entry_that_lies_about_its_size_is_refused() {
    let mut zip = zipped(&[("zeros", &[0; 4096], None)]);
    // The central directory says the file has one byte.
    let at = zip.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    zip[at + 24..at + 28].copy_from_slice(&1_u32.to_le_bytes());
    let (_outer, result) = tried(&zip);
    assert!(result.is_err(), "{result:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_damaged_package_never_panics_or_escapes(
        at in 0_usize..400, with in any::<u8>(), cut in 0_usize..500,
    ) {
        let mut zip = zipped(&[("a/b.txt", b"hello hello hello", Some(0o644)), ("c", b"x", None)]);
        let at = at % zip.len();
        zip[at] = with;
        zip.truncate(zip.len().saturating_sub(cut % 50));
        let (outer, _) = tried(&zip);
        prop_assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 1);
    }
}
