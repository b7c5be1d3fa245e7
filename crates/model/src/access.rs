//! Who calls, and what a role may do. The decision itself is here, pure; `engine` asks it on
//! every verb.

use alloc::string::String;
use alloc::sync::Arc;

use crate::id::AccountId;

/// What a key may do inside its account. Each role may do all that the ones below it may.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// Invoke functions and submit tasks; see the tasks it names.
    Invoker,
    /// Read everything of the account.
    Viewer,
    /// Change functions, tasks and everything that runs.
    Developer,
    /// Keys, limits, quotas; the root account's admins also manage accounts.
    Admin,
}

impl Role {
    /// All of them, weakest first.
    pub const ALL: [Self; 4] = [Self::Invoker, Self::Viewer, Self::Developer, Self::Admin];

    /// The word used on the wire and in the book.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Invoker => "invoker",
            Self::Viewer => "viewer",
            Self::Developer => "developer",
            Self::Admin => "admin",
        }
    }

    /// From its word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }
}

/// What a verb needs. An `Invoke` is not a `Read`: invokers cannot list, viewers cannot invoke.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Need {
    /// Invoke a function or submit a task, and follow the task by its id.
    Invoke,
    /// See configuration, tasks, logs.
    Read,
    /// Change what runs.
    Write,
    /// Keys, limits and quotas of the own account.
    Administer,
    /// Accounts themselves: an admin of the root account.
    Operate,
}

/// A scope narrows a key to some functions: names, or prefixes that end in `*`. Empty: no bound.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scope {
    /// Function names or `prefix*` patterns; empty means every function.
    pub functions: Arc<[String]>,
}

impl Scope {
    /// Whether the scope lets this function through. `None` is "no particular function", which a
    /// narrowed key may not ask for.
    pub fn allows(&self, function: Option<&str>) -> bool {
        if self.functions.is_empty() {
            return true;
        }
        let Some(function) = function else { return false };
        self.functions.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => function.starts_with(prefix),
            None => pattern == function,
        })
    }
}

/// Somebody whose signature or token was good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The account acted in.
    pub account: AccountId,
    /// What the key may do.
    pub role: Role,
    /// Which functions it may do it to.
    pub scope: Scope,
    /// The access key id, for the audit trail.
    pub key_id: Arc<str>,
    /// The request it calls with, for the audit trail; `None` for the platform itself.
    pub request_id: Option<Arc<str>>,
}

impl Caller {
    /// Whether this caller may do what needs `need` to `function`.
    pub fn may(&self, need: Need, function: Option<&str>) -> bool {
        let by_role = match need {
            Need::Invoke => self.role != Role::Viewer,
            Need::Read => self.role >= Role::Viewer,
            Need::Write => self.role >= Role::Developer,
            Need::Administer => self.role == Role::Admin,
            Need::Operate => self.role == Role::Admin && self.account == AccountId::ROOT,
        };
        by_role && self.scope.allows(function)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn caller(role: Role, functions: &[&str]) -> Caller {
        let functions: vec::Vec<String> = functions.iter().map(|f| String::from(*f)).collect();
        Caller {
            account: AccountId::ROOT,
            role,
            scope: Scope { functions: functions.into() },
            key_id: "k".into(),
            request_id: None,
        }
    }

    #[test]
    fn every_role_against_every_need() {
        use Need::{Administer, Invoke, Operate, Read, Write};
        let table = [
            (Role::Invoker, vec![Invoke]),
            (Role::Viewer, vec![Read]),
            (Role::Developer, vec![Invoke, Read, Write]),
            (Role::Admin, vec![Invoke, Read, Write, Administer, Operate]),
        ];
        for (role, allowed) in table {
            for need in [Invoke, Read, Write, Administer, Operate] {
                let may = caller(role, &[]).may(need, Some("f"));
                assert_eq!(may, allowed.contains(&need), "{role:?} {need:?}");
            }
        }
    }

    #[test]
    fn only_the_root_account_operates() {
        let mut other = caller(Role::Admin, &[]);
        other.account = AccountId::new(5);
        assert!(!other.may(Need::Operate, None));
        assert!(other.may(Need::Administer, None));
    }

    #[test]
    fn a_scope_is_names_and_prefixes() {
        let narrowed = caller(Role::Developer, &["etl", "img-*"]);
        assert!(narrowed.may(Need::Write, Some("etl")));
        assert!(narrowed.may(Need::Write, Some("img-thumb")));
        assert!(!narrowed.may(Need::Write, Some("etl2")));
        assert!(!narrowed.may(Need::Read, None), "a narrowed key asks for a function by name");
    }
}
