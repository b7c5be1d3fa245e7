//! Which host user stands behind an account: one per account, so that its functions share files and
//! those of two accounts cannot. The table is kept on disk, because the files are.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use stint_model::id::AccountId;
use stint_sandbox::HostUser;

/// Accounts that one node can tell apart.
const ACCOUNTS_MAX: u32 = 65_536;

/// The table.
#[derive(Debug)]
pub(crate) struct Identities {
    path: PathBuf,
    from: u32,
    known: Mutex<BTreeMap<AccountId, u32>>,
}

impl Identities {
    /// Reads the table. A line that cannot be read is an error: a guess would mix up owners.
    pub(crate) fn open(path: PathBuf, from: u32) -> std::io::Result<Self> {
        let mut known = BTreeMap::new();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        for line in text.lines() {
            let (account, slot) = line.split_once(' ').ok_or_else(|| bad(line))?;
            let account: AccountId = account.parse().map_err(|_| bad(line))?;
            let slot: u32 = slot.parse().map_err(|_| bad(line))?;
            known.insert(account, slot);
        }
        Ok(Self { path, from, known: Mutex::new(known) })
    }

    /// The account's user; a new one is on disk before it is used.
    pub(crate) fn user(&self, account: AccountId) -> std::io::Result<HostUser> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = match known.get(&account) {
            Some(slot) => *slot,
            None => {
                let slot = known.values().max().map_or(0, |last| last + 1);
                if slot >= ACCOUNTS_MAX {
                    return Err(std::io::Error::other("no host user is left for another account"));
                }
                let mut file =
                    std::fs::OpenOptions::new().create(true).append(true).open(&self.path)?;
                file.write_all(format!("{account} {slot}\n").as_bytes())?;
                file.sync_data()?;
                known.insert(account, slot);
                slot
            }
        };
        let id = self.from + slot;
        Ok(HostUser { uid: id, gid: id })
    }
}

fn bad(line: &str) -> std::io::Error {
    std::io::Error::other(format!("the table of accounts has a line that cannot be read: {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_keeps_its_user_over_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("accounts");
        let one = Identities::open(path.clone(), 100_000).unwrap();
        let a = one.user(AccountId::new(7)).unwrap();
        let b = one.user(AccountId::new(8)).unwrap();
        assert_eq!((a.uid, b.uid), (100_000, 100_001));
        assert_eq!(one.user(AccountId::new(7)).unwrap(), a);
        let two = Identities::open(path.clone(), 100_000).unwrap();
        assert_eq!(two.user(AccountId::new(8)).unwrap(), b);
        assert_eq!(two.user(AccountId::new(9)).unwrap().uid, 100_002);
        std::fs::write(&path, "nonsense\n").unwrap();
        assert!(Identities::open(path, 100_000).is_err());
    }
}
