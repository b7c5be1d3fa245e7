//! The list of a copy's files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use super::{BackupError, Copied, Progress, failed, files, hash};

pub(crate) const MANIFEST: &str = "MANIFEST";
const HEADER: &str = "stint backup 1";

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Manifest {
    /// Name to SHA-256 and length.
    pub(crate) files: BTreeMap<String, (String, u64)>,
}

impl Manifest {
    /// Of every file that is there.
    pub(crate) fn of(
        root: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Self, BackupError> {
        let names = files(root)?;
        let total = u64::try_from(names.len()).unwrap_or(0);
        let mut manifest = Self::default();
        for (done, name) in names.into_iter().enumerate() {
            let done = u64::try_from(done).unwrap_or(0);
            progress(Progress { step: "summing files", done, total });
            if name != MANIFEST {
                let path = root.join(&name);
                let file = File::open(&path).map_err(failed("read", &path))?;
                manifest.files.insert(name, hash(file, &path, |_| Ok(()))?);
            }
        }
        Ok(manifest)
    }

    pub(crate) fn write(&self, root: &Path) -> Result<(), BackupError> {
        let path = root.join(MANIFEST);
        let mut text = format!("{HEADER}\n");
        for (name, (sha, len)) in &self.files {
            writeln!(text, "{sha} {len} {name}").expect("a String takes everything");
        }
        let written = File::create_new(&path).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        written.map_err(failed("write", &path))
    }

    pub(crate) fn read(root: &Path) -> Result<Self, BackupError> {
        let incomplete = || BackupError::Incomplete(root.to_owned());
        let text = fs::read_to_string(root.join(MANIFEST)).map_err(|_| incomplete())?;
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) || !text.ends_with('\n') {
            return Err(incomplete());
        }
        let mut files = BTreeMap::new();
        for line in lines {
            let mut parts = line.splitn(3, ' ');
            let (sha, len, name) = (parts.next(), parts.next(), parts.next());
            let len = len.and_then(|len| len.parse().ok()).ok_or_else(incomplete)?;
            let name = name.filter(|name| is_inside(name)).ok_or_else(incomplete)?;
            let sha = sha.ok_or_else(incomplete)?.to_owned();
            files.insert(name.to_owned(), (sha, len));
        }
        Ok(Self { files })
    }

    pub(crate) fn sum(&self) -> Copied {
        let files = u64::try_from(self.files.len()).unwrap_or(0);
        Copied { files, bytes: self.files.values().map(|(_, len)| len).sum() }
    }
}

/// A restore writes nowhere but below its directory, whatever a list says.
fn is_inside(name: &str) -> bool {
    Path::new(name).components().all(|part| matches!(part, std::path::Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_reads_as_written_and_leads_nowhere_else() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("blobs")).expect("makes");
        fs::write(dir.path().join("blobs/a"), "text").expect("writes");
        let manifest = Manifest::of(dir.path(), &mut |_| ()).expect("sums");
        assert_eq!(manifest.sum(), Copied { files: 1, bytes: 4 });
        manifest.write(dir.path()).expect("writes");
        assert_eq!(Manifest::read(dir.path()).expect("reads"), manifest);
        let path = dir.path().join(MANIFEST);
        let texts = [
            "".to_owned(),
            "other\n".to_owned(),
            format!("{HEADER}\nabc 1 ../a\n"),
            format!("{HEADER}\nabc 1 /etc/passwd\n"),
            format!("{HEADER}\nabc one a\n"),
            format!("{HEADER}\nabc 1 cut"),
        ];
        for text in texts {
            fs::write(&path, &text).expect("writes");
            let refused = Manifest::read(dir.path());
            assert!(matches!(refused, Err(BackupError::Incomplete(_))), "{text:?}: {refused:?}");
        }
    }
}
