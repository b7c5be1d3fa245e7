//! How long one usual request takes to verify: `cargo run --release -p stint-sign --example verify_speed`.
use std::hint::black_box;
use std::time::Instant;

use stint_model::time::Timestamp;
use stint_sign::{Request, SecretKey, acs3};

#[expect(clippy::print_stdout, clippy::disallowed_methods, reason = "it measures and says")]
fn main() {
    let now = Timestamp::from_millis(1_767_323_045_000);
    let hash = acs3::body_hash(b"{\"a\":1}");
    let headers = [
        ("accept", "application/json"),
        ("content-type", "application/octet-stream"),
        ("host", "127.0.0.1:7780"),
        ("user-agent", "AlibabaCloud (Linux; x86_64) Python/3.11 Core/0.3.16 TeaDSL/2"),
        ("x-acs-action", "InvokeFunction"),
        ("x-acs-content-sha256", hash.as_str()),
        ("x-acs-credentials-provider", "static_ak"),
        ("x-acs-date", "2026-01-02T03:04:05Z"),
        ("x-acs-signature-nonce", "0123456789abcdef0123456789abcdef"),
        ("x-acs-version", "2023-03-30"),
        ("x-fc-async-task-id", "job-1"),
        ("x-fc-invocation-type", "Async"),
    ];
    let key = SecretKey::new(b"secret");
    let path = "/2023-03-30/functions/my-func/invocations";
    let request = Request { method: "POST", path, query: "" };
    let made = acs3::sign(request, &headers, "ak", &key).expect("signs");
    let count = 200_000_u32;
    let began = Instant::now();
    for _ in 0..count {
        let claim = acs3::Claim::parse(black_box(&made)).expect("parses");
        let verified = claim.verify(request, &headers, &key, now).expect("verifies");
        black_box(verified);
    }
    println!("{:?} per request", began.elapsed() / count);
}
