//! Which host user stands behind an account: one per account, so that its functions share files and
//! those of two accounts cannot. An account whose `nasConfig` states further ids gets a host id for
//! each, so that owners stay apart and are seen inside as stated. The table is kept on disk, because
//! the files are.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use stint_model::id::AccountId;
use stint_sandbox::{HostUser, Inside};

/// Host ids that one node gives away.
const IDS_MAX: u32 = 65_536;
/// Ids of one kind that one account may state: as many as one instance can know.
const STATED_MAX: usize = 128;

/// Whose host id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Whose {
    /// The account's own, for its user and its group: id 0 of its volumes.
    Account,
    /// A stated user's.
    User(u32),
    /// A stated group's.
    Group(u32),
}

/// The table.
#[derive(Debug)]
pub(crate) struct Identities {
    path: PathBuf,
    from: u32,
    known: Mutex<BTreeMap<(AccountId, Whose), u32>>,
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
            let (account, whose, slot) = parse(line).ok_or_else(|| bad(line))?;
            known.insert((account, whose), slot);
        }
        Ok(Self { path, from, known: Mutex::new(known) })
    }

    /// The account's user; a new one is on disk before it is used.
    pub(crate) fn user(&self, account: AccountId) -> std::io::Result<HostUser> {
        let id = self.id(&mut self.known(), account, Whose::Account)?;
        Ok(HostUser { uid: id, gid: id })
    }

    /// One of a range that owns nothing, beyond that of the accounts: who an instance is that was
    /// started before anybody knew for whom. It keeps it, so it gets no volumes.
    pub(crate) fn nobody(&self, number: u32) -> HostUser {
        let id = self.from + IDS_MAX + number % IDS_MAX;
        HostUser { uid: id, gid: id }
    }

    /// Who a function is whose volumes name an owner: on the host, and inside, where it knows the
    /// other owners of its account so far.
    pub(crate) fn stated(
        &self,
        account: AccountId,
        (uid, gid): (u32, u32),
    ) -> std::io::Result<(HostUser, Inside)> {
        let mut known = self.known();
        let whose =
            |id, stated: fn(u32) -> Whose| if id == 0 { Whose::Account } else { stated(id) };
        // The account's own comes first, whatever is stated: others may own files by it.
        let base = self.id(&mut known, account, Whose::Account)?;
        let host = HostUser {
            uid: self.id(&mut known, account, whose(uid, Whose::User))?,
            gid: self.id(&mut known, account, whose(gid, Whose::Group))?,
        };
        let mut inside = Inside::alone(uid, gid);
        let (mut users, mut groups) = (vec![(0, base)], vec![(0, base)]);
        for ((other, whose), slot) in known.iter() {
            match whose {
                Whose::User(id) if *other == account => users.push((*id, self.from + slot)),
                Whose::Group(id) if *other == account => groups.push((*id, self.from + slot)),
                Whose::User(_) | Whose::Group(_) | Whose::Account => {}
            }
        }
        inside.users = users.into_iter().filter(|(id, _)| *id != uid).collect();
        inside.groups = groups.into_iter().filter(|(id, _)| *id != gid).collect();
        Ok((host, inside))
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<(AccountId, Whose), u32>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn id(
        &self,
        known: &mut BTreeMap<(AccountId, Whose), u32>,
        account: AccountId,
        whose: Whose,
    ) -> std::io::Result<u32> {
        if let Some(slot) = known.get(&(account, whose)) {
            return Ok(self.from + slot);
        }
        let slot = known.values().max().map_or(0, |last| last + 1);
        let stated = known.keys().filter(|(other, _)| *other == account).count();
        if slot >= IDS_MAX || stated > STATED_MAX {
            return Err(std::io::Error::other("no host id is left for another user or group"));
        }
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&self.path)?;
        file.write_all(written(account, whose, slot).as_bytes())?;
        file.sync_data()?;
        known.insert((account, whose), slot);
        Ok(self.from + slot)
    }
}

/// `ACCOUNT SLOT`, or `ACCOUNT SLOT user|group ID`.
fn parse(line: &str) -> Option<(AccountId, Whose, u32)> {
    let mut words = line.split(' ');
    let account = words.next()?.parse().ok()?;
    let slot = words.next()?.parse().ok()?;
    let whose = match (words.next(), words.next(), words.next()) {
        (None, None, None) => Whose::Account,
        (Some("user"), Some(id), None) => Whose::User(id.parse().ok()?),
        (Some("group"), Some(id), None) => Whose::Group(id.parse().ok()?),
        _ => return None,
    };
    Some((account, whose, slot))
}

fn written(account: AccountId, whose: Whose, slot: u32) -> String {
    match whose {
        Whose::Account => format!("{account} {slot}\n"),
        Whose::User(id) => format!("{account} {slot} user {id}\n"),
        Whose::Group(id) => format!("{account} {slot} group {id}\n"),
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
        assert!(Identities::open(path.clone(), 100_000).is_err());
        std::fs::write(&path, "0000000000000007 1 owner 5\n").unwrap();
        assert!(Identities::open(path, 100_000).is_err());
    }

    #[test]
    fn stated_ids_are_the_accounts_own_and_know_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("accounts");
        let one = Identities::open(path.clone(), 100_000).unwrap();
        let (me, other) = (AccountId::new(7), AccountId::new(8));
        let (host, inside) = one.stated(me, (0, 0)).unwrap();
        assert_eq!((host, inside), (one.user(me).unwrap(), Inside::alone(0, 0)));
        let (stated, inside) = one.stated(me, (1234, 55)).unwrap();
        assert_eq!(stated, HostUser { uid: 100_001, gid: 100_002 });
        assert_eq!((inside.uid, inside.gid), (1234, 55));
        assert_eq!((&*inside.users, &*inside.groups), (&[(0, 100_000)][..], &[(0, 100_000)][..]));
        let (theirs, _) = one.stated(other, (1234, 55)).unwrap();
        assert_eq!(theirs, HostUser { uid: 100_004, gid: 100_005 }, "another account's are others");
        let two = Identities::open(path, 100_000).unwrap();
        assert_eq!(two.stated(me, (1234, 55)).unwrap(), (stated, inside));
        let (root, inside) = two.stated(me, (0, 55)).unwrap();
        assert_eq!(root, HostUser { uid: 100_000, gid: 100_002 });
        assert_eq!(inside.users, [(1234, 100_001)]);
    }

    #[test]
    fn an_account_states_no_more_ids_than_an_instance_can_know() {
        let dir = tempfile::tempdir().unwrap();
        let one = Identities::open(dir.path().join("accounts"), 100_000).unwrap();
        let me = AccountId::new(7);
        let stated = (1..200).filter(|id| one.stated(me, (*id, 0)).is_ok()).count();
        assert_eq!(stated, STATED_MAX);
        assert!(one.stated(me, (1, 0)).is_ok(), "what is known stays");
        assert!(one.stated(AccountId::new(8), (500, 0)).is_ok());
    }
}
