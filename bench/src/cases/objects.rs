//! Objects: put and read over S3, small ones and ones of several pieces.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use stint_model::time::Timestamp;
use stint_sign::{Request, SecretKey, acs3, sigv4};

use super::{Meter, drive, row};
use crate::Plan;
use crate::figures::{float, write};
use crate::report::Row;
use crate::server::Server;

/// Connections, one request under way on each.
const LANES: usize = 16;
const SMALL: usize = 4 << 10;
const LARGE: usize = 8 << 20;

/// Makes signed requests to the object service.
struct Signer {
    address: String,
    key_id: String,
    key: SecretKey,
}

impl Signer {
    fn of(server: &Server) -> Result<Self> {
        let (key_id, secret) = server.key()?;
        let key = SecretKey::new(secret.as_bytes());
        Ok(Self { address: server.object_address()?, key_id, key })
    }

    fn sign(&self, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock")?;
        let millis = i64::try_from(now.as_millis()).context("the clock")?;
        // `2026-01-02T03:04:05Z` without its marks.
        let date = stint_sign::format_utc(Timestamp::from_millis(millis)).replace(['-', ':'], "");
        let hash = acs3::body_hash(body);
        let mut sum = [0_u8; 32];
        hex::decode_to_slice(&hash, &mut sum).context("the hash")?;
        let headers =
            [("host", &*self.address), ("x-amz-content-sha256", &*hash), ("x-amz-date", &*date)];
        let line = Request { method, path, query: "" };
        let signed = sigv4::sign(line, &headers, &sum, ("local", "s3"), (&self.key_id, &self.key));
        let signed = signed.map_err(|error| anyhow::anyhow!("sign: {error}"))?;
        let mut text = format!("{method} {path} HTTP/1.1\r\nauthorization: {signed}\r\n");
        for (name, value) in headers {
            text.extend([name, ": ", value, "\r\n"]);
        }
        text.extend(["content-length: ", &body.len().to_string(), "\r\n\r\n"]);
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(body);
        Ok(bytes)
    }

    /// Requests over keys of their own, spread over the lanes.
    fn lanes(&self, method: &str, count: usize, body: &[u8]) -> Result<Vec<Vec<Vec<u8>>>> {
        let lane = |lane| {
            (lane..count)
                .step_by(LANES)
                .map(|n| self.sign(method, &format!("/bench/{count}-{n}"), body))
                .collect()
        };
        (0..LANES.min(count)).map(lane).collect()
    }
}

pub(super) async fn objects(plan: &Plan) -> Result<Vec<Row>> {
    let mut rows = [
        row("objects of 4 KiB put, 16 at a time", "/s", "–"),
        row("… and read", "/s", "–"),
        row("objects of 8 MiB put, 16 at a time", "MB/s", "–"),
        row("… and read", "MB/s", "–"),
    ];
    for _ in 0..plan.repeats {
        let server = Server::start(&plan.bin).await?;
        let signer = Signer::of(&server)?;
        drive(&signer.address, vec![vec![signer.sign("PUT", "/bench", &[])?]], 200).await?;
        let mut rows = rows.iter_mut();
        for (size, count) in [(SMALL, 4_000 / plan.divide), (LARGE, 64 / plan.divide.min(4))] {
            let body = vec![7; size];
            for (method, sent) in [("PUT", body.as_slice()), ("GET", &[])] {
                let lanes = signer.lanes(method, count, sent)?;
                let meter = Meter::start(&server)?;
                let (took, each) = drive(&signer.address, lanes, 200).await?;
                let row = rows.next().context("a row for each")?;
                let rate = float(count) / took.as_secs_f64();
                row.taken.push(if size == SMALL { rate } else { rate * float(size) / 1e6 });
                let note = meter.note(&server, took, count)?;
                row.note = format!("p99 {} ms; {note}", write(each.percentile(99)));
            }
        }
    }
    Ok(rows.into())
}
