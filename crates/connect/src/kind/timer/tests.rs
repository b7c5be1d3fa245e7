//! When timers fire, and what they say.

use super::*;
use crate::conformance::TestHost;
use crate::source::Origin;
use stint_model::id::AccountId;

fn at(text: &str) -> Timestamp {
    let at: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_micros(at.as_microsecond())
}

fn plan(json: &str, since: &str) -> Plan {
    let settings = Settings::read(json).unwrap();
    Plan {
        calendar: Calendar::read(&settings.expression).unwrap(),
        misfire: settings.misfire,
        misfire_max: usize::try_from(settings.misfire_max).unwrap(),
        jitter: settings.jitter,
        seed: seed("a/b/c"),
        since: at(since),
    }
}

fn texts(moments: &[Timestamp]) -> Vec<String> {
    moments.iter().map(|at| rfc3339(*at)).collect()
}

#[test]
fn what_was_missed_goes_by_the_policy() {
    let due = |misfire: &str| {
        let json = format!(r#"{{"cronExpression":"0 0 * * * *","misfire":"{misfire}"}}"#);
        let plan = plan(&json, "2026-01-01T00:00:00Z");
        texts(&plan.due(at("2026-01-01T01:00:00Z"), at("2026-01-01T05:00:20Z")))
    };
    assert_eq!(due("skip"), ["2026-01-01T05:00:00Z"], "that one is only late");
    assert_eq!(due("once"), ["2026-01-01T04:00:00Z", "2026-01-01T05:00:00Z"]);
    let all = ["2026-01-01T02:00:00Z", "2026-01-01T03:00:00Z", "2026-01-01T04:00:00Z"];
    assert_eq!(due("all")[..3], all);
    assert_eq!(due("all").len(), 4);
}

#[test]
fn all_is_bounded_and_keeps_the_newest() {
    let plan = plan(
        r#"{"cronExpression":"0 * * * * *","misfire":"all","misfireMax":3}"#,
        "2026-01-01T00:00:00Z",
    );
    let due = plan.due(at("2026-01-01T00:00:00Z"), at("2026-01-01T10:00:30Z"));
    let wanted = ["09:57:00Z", "09:58:00Z", "09:59:00Z", "10:00:00Z"];
    let wanted: Vec<String> = wanted.iter().map(|time| format!("2026-01-01T{time}")).collect();
    assert_eq!(texts(&due), wanted);
}

#[test]
fn nothing_is_missed_before_it_was_made() {
    let plan = plan(r#"{"cronExpression":"@every 1h"}"#, "2026-01-01T10:30:00Z");
    let since = at("2026-01-01T10:30:00Z");
    assert_eq!(plan.due(since, at("2026-01-01T11:29:59Z")), []);
    assert_eq!(texts(&plan.due(since, at("2026-01-01T11:30:00Z"))), ["2026-01-01T11:30:00Z"]);
    assert_eq!(plan.next(since, since), Some(at("2026-01-01T11:30:00Z")));
}

#[test]
fn jitter_keeps_the_order_and_its_bound() {
    let plan = plan(
        r#"{"cronExpression":"*/10 * * * * *","jitterSeconds":30,"misfire":"all"}"#,
        "2026-01-01T00:00:00Z",
    );
    let (mut done, mut now, end) =
        (at("2026-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"), at("2026-01-01T00:20:00Z"));
    let mut fired = Vec::new();
    while now < end {
        for moment in plan.due(done, now) {
            assert!(now.since(moment) <= Span::from_secs(60), "{moment:?} at {now:?}");
            assert!(now >= moment);
            fired.push(moment);
            done = moment;
        }
        now = plan.next(done, now).unwrap().max(now + Span::from_millis(100));
    }
    let times: Vec<i64> = fired.iter().map(|at| at.seconds() % 86_400).collect();
    let wanted: Vec<i64> = (1..=i64::try_from(times.len()).unwrap()).map(|n| n * 10).collect();
    assert_eq!(times, wanted, "each once, in order");
    assert!(times.len() >= 116);
}

#[test]
fn a_clock_that_is_set_is_followed() {
    // 2026-03-29 has no 02:30 in Berlin and 2026-10-25 has it twice.
    let json = r#"{"cronExpression":"CRON_TZ=Europe/Berlin 0 30 2 * * *","misfire":"all"}"#;
    let plan = plan(json, "2026-01-01T00:00:00Z");
    let spring = plan.due(at("2026-03-27T12:00:00Z"), at("2026-03-30T12:00:00Z"));
    assert_eq!(
        texts(&spring),
        ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
        "the hour that is not there fires when it would begin"
    );
    let autumn = plan.due(at("2026-10-24T12:00:00Z"), at("2026-10-26T12:00:00Z"));
    assert_eq!(texts(&autumn), ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"], "once a day");
}

#[test]
fn bad_settings_say_what_would_be_right() {
    let why = |text: &str| Settings::read(text).unwrap_err().to_string();
    assert!(why("{}").contains("missing field `cronExpression`"));
    assert!(why(r#"{"cronExpression":"* * * * *"}"#).contains("six fields"));
    assert!(why(r#"{"cronExpression":"0 0 0 31 2 *"}"#).contains("no moment"));
    assert!(why(r#"{"cronExpression":"@every 1m","misfire":"never"}"#).starts_with("misfire"));
    assert!(why(r#"{"cronExpression":"@every 1m","misfireMax":0}"#).contains("from 1 to 10000"));
    assert!(why(r#"{"cronExpression":"@every 1m","tz":1}"#).contains("unknown field `tz`"));
}

#[test]
fn the_next_ten_are_known() {
    let settings = Settings::read(r#"{"cronExpression":"CRON_TZ=Asia/Shanghai 0 0 4 1 * *"}"#);
    let now = at("2026-01-15T00:00:00Z");
    let next = settings.unwrap().next_moments(now, now, 10);
    assert_eq!(next.len(), 10);
    assert_eq!(texts(&next)[..2], ["2026-01-31T20:00:00Z", "2026-02-28T20:00:00Z"]);
}

#[tokio::test]
async fn an_event_is_upstreams_byte_for_byte() {
    let text = r#"{"cronExpression":"0 49 7 * * *","enable":true,"payload":"awesome-fc"}"#;
    let settings = Settings::read(text).unwrap();
    let mut timer = Timer::new(settings.clone());
    let origin = Origin {
        account: AccountId::new(1),
        function: "f".into(),
        trigger: "timer-trigger".into(),
    };
    let start = Start { origin, cursor: None, since: at("2023-12-26T00:00:00Z") };
    timer.open(TestHost::new(std::collections::BTreeMap::new()), start).await.unwrap();
    let open = timer.open.as_mut().unwrap();
    let reading = open.reading(&[at("2023-12-26T07:49:00Z")], &settings).unwrap();
    assert_eq!(
        reading.events[0].data.to_json().to_string(),
        r#"{"triggerTime":"2023-12-26T07:49:00Z","triggerName":"timer-trigger","payload":"awesome-fc"}"#
    );
    assert_eq!(reading.cursor.unwrap().as_str(), "1703576940000000");
}
