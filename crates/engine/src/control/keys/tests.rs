//! Roles, scopes, lives and shapes of keys.

use super::*;

fn caller(role: Role) -> Caller {
    Caller {
        account: AccountId::ROOT,
        role,
        scope: Scope::default(),
        key_id: "k".into(),
        request_id: None,
    }
}

fn draft() -> Draft {
    Draft {
        account: AccountId::ROOT,
        role: Role::Developer,
        scope: Scope::default(),
        description: String::new(),
        issued_by: "k".into(),
        now: Timestamp::from_millis(1),
    }
}

#[test]
fn nobody_makes_a_key_above_their_own() {
    assert_eq!(check_role(&caller(Role::Admin), Role::Admin), Ok(()));
    assert_eq!(check_role(&caller(Role::Developer), Role::Invoker), Ok(()));
    let refusal = check_role(&caller(Role::Developer), Role::Admin).unwrap_err();
    assert_eq!(refusal.code, Code::AccessDenied);
}

#[test]
fn scopes_are_names_and_prefixes() {
    let scope = |names: &[&str]| Scope {
        functions: names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>().into(),
    };
    assert_eq!(check_scope(&scope(&[])), Ok(()));
    assert_eq!(check_scope(&scope(&["f", "img-*", "*"])), Ok(()));
    for bad in ["", "a*b", "**", "1*", "a b"] {
        assert!(check_scope(&scope(&[bad])).is_err(), "{bad}");
    }
    let many: Vec<String> = (0..51).map(|n| format!("f{n}")).collect();
    assert!(check_scope(&Scope { functions: many.into() }).is_err());
}

#[test]
fn temporary_keys_live_a_minute_to_a_day_and_a_half() {
    assert_eq!(check_life(TEMPORARY_MIN), Ok(()));
    assert_eq!(check_life(TEMPORARY_MAX), Ok(()));
    assert!(check_life(Span::from_secs(59)).is_err());
    assert!(check_life(Span::from_secs(36 * 3_600 + 1)).is_err());
}

#[test]
fn each_kind_is_kept_in_its_own_way() {
    let keyring = Keyring::in_memory();
    let made = draft().make(Proof::Permanent, &keyring);
    assert!(made.key.id.starts_with("STINT") && made.session_token.is_none());
    let sealed = made.key.secret().unwrap();
    assert_eq!(keyring.open(sealed, &made.key.id).unwrap(), made.secret);

    let end = Timestamp::from_millis(9);
    let made = draft().make(Proof::Temporary(end), &keyring);
    assert_eq!(made.key.expires_at(), Some(end));
    let KeyKind::Temporary { session_token, .. } = &made.key.kind else { panic!("temporary") };
    assert!(made.session_token.unwrap().is_token(session_token));

    let made = draft().make(Proof::Token(None), &keyring);
    assert_eq!(made.key.secret(), None);
    let (id, token) = made.secret.expose().rsplit_once('.').unwrap();
    assert_eq!(id, &*made.key.id);
    let KeyKind::Token { token: hash, .. } = &made.key.kind else { panic!("token") };
    assert!(SecretText::new(token).is_token(hash));
}
