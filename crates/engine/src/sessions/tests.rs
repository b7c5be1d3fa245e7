//! What a session's life comes to, without nodes.

use proptest::prelude::*;
use stint_model::session::Affinity;

use super::*;

fn rules(per_instance: u32, ttl: u64, idle: u64, reuse: Reuse) -> SessionRules {
    let (ttl, idle) = (Span::from_secs(ttl), Span::from_secs(idle));
    SessionRules { affinity: Affinity::Header("x-mine".into()), per_instance, ttl, idle, reuse }
}

fn coming<'a>(id: &str, rules: &'a SessionRules, max: Option<u32>) -> Coming<'a> {
    let key = (FunctionId::from_number(7), "LATEST".into(), id.into());
    Coming { key, rules, isolation: IsolationMode::Share, instances_max: max, draw: 3 }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + seconds * 1_000)
}

#[test]
fn silence_and_age_end_a_session_and_calls_keep_it() {
    let (sessions, rules) = (Sessions::default(), rules(1, 100, 10, Reuse::Allowed));
    let one = coming("one", &rules, None);
    let seat = sessions.enter(&one, at(0)).unwrap();
    assert_eq!((seat.ends_at, seat.idle, &*seat.key), (at(100), Span::from_secs(10), "LATEST/one"));
    assert!(sessions.draw(&one.key, at(50)).is_some(), "a call runs");
    sessions.leave(&one.key, at(50));
    assert!(sessions.draw(&one.key, at(59)).is_some());
    assert!(sessions.draw(&one.key, at(60)).is_none(), "it was silent");
    sessions.enter(&one, at(60)).unwrap();
    assert_eq!(sessions.known()[&one.key].created_at, at(60), "another one of the same name");
    assert!(sessions.draw(&one.key, at(159)).is_some());
    assert!(sessions.draw(&one.key, at(160)).is_none(), "its time is over whatever runs");
}

#[test]
fn an_id_may_be_good_for_one_session_only() {
    let (sessions, rules) = (Sessions::default(), rules(1, 10, 0, Reuse::Refused));
    let one = coming("one", &rules, None);
    sessions.enter(&one, at(0)).unwrap();
    sessions.enter(&one, at(9)).unwrap();
    let refusal = sessions.enter(&one, at(10)).unwrap_err();
    assert!(refusal.message.contains("may not be used again"));
    // Work that was accepted is done all the same.
    assert_eq!(sessions.visit(&one, at(11), at(12)).ends_at, at(21));
}

#[test]
fn sessions_need_instances_and_a_function_has_so_many() {
    let (sessions, rules) = (Sessions::default(), rules(2, 100, 10, Reuse::Allowed));
    for id in ["a", "b", "c", "d"] {
        sessions.enter(&coming(id, &rules, Some(2)), at(0)).unwrap();
    }
    let refusal = sessions.enter(&coming("e", &rules, Some(2)), at(0)).unwrap_err();
    assert_eq!(refusal.code, Code::ResourceExhausted);
    sessions.enter(&coming("a", &rules, Some(2)), at(0)).unwrap();
    let key = coming("b", &rules, None).key;
    sessions.leave(&key, at(0));
    sessions.enter(&coming("e", &rules, Some(2)), at(11)).unwrap();
    let alone = Coming { isolation: IsolationMode::Session, ..coming("f", &rules, Some(4)) };
    assert_eq!(sessions.enter(&alone, at(11)).unwrap_err().code, Code::ResourceExhausted);
}

#[test]
fn what_is_over_is_shown_for_a_while() {
    let (sessions, rules) = (Sessions::default(), rules(1, 10, 0, Reuse::Allowed));
    sessions.make(&coming("one", &rules, None), at(0)).unwrap();
    let status =
        |now| sessions.of_function(FunctionId::from_number(7), now).first().map(|view| view.status);
    assert_eq!(status(at(9)), Some(SessionStatus::Active));
    assert_eq!(status(at(10)), Some(SessionStatus::Expired));
    assert_eq!(status(at(10 + 3_600)), None);
    assert!(sessions.of_function(FunctionId::from_number(8), at(0)).is_empty());
}

proptest! {
    /// However calls come and go: nobody leaves twice, and never do more sessions live than fit.
    #[test]
    fn sessions_stay_within_their_instances(steps in proptest::collection::vec((0..6_u8, any::<bool>(), 0..20_i64), 0..80)) {
        let (sessions, rules) = (Sessions::default(), rules(2, 60, 15, Reuse::Allowed));
        let mut now = 0;
        for (id, enters, later) in steps {
            now += later;
            let coming = coming(&format!("s{id}"), &rules, Some(2));
            if enters {
                let lived = sessions.draw(&coming.key, at(now)).is_some();
                let entered = sessions.enter(&coming, at(now));
                prop_assert!(!lived || entered.is_ok(), "a session that lives is never refused");
            } else {
                sessions.leave(&coming.key, at(now));
            }
            let living = sessions.known().values().filter(|session| !session.is_over(at(now))).count();
            prop_assert!(living <= 4, "{} sessions in two instances of two", living);
        }
    }
}
