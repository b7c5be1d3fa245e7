//! The smallest image that serves: this program itself with the libraries it needs, as an archive that
//! is uploaded as code. Inside, it answers every request with what it got.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// The argument that makes this program the server in the image.
pub(crate) const SERVE: &str = "--serve-in-image";
const BLOCK: usize = 512;

/// The archive in the form of `docker save`, in base64.
pub(crate) fn archive() -> Result<String> {
    let own = std::env::current_exe().context("find this program")?;
    let mut layer = Tar::default();
    layer.file("serve", &std::fs::read(&own)?);
    for library in libraries(&own)? {
        let name = library.to_string_lossy();
        layer.file(name.trim_start_matches('/'), &std::fs::read(&library)?);
    }
    let layer = layer.end();
    let diff = format!("sha256:{}", hex::encode(Sha256::digest(&layer)));
    let config = json!({
        "os": "linux",
        "config": {"Entrypoint": ["/serve", SERVE]},
        "rootfs": {"type": "layers", "diff_ids": [diff]},
    });
    let manifest = json!([{"Config": "config.json", "Layers": ["layer.tar"]}]);
    let mut image = Tar::default();
    image.file("layer.tar", &layer);
    image.file("config.json", config.to_string().as_bytes());
    image.file("manifest.json", manifest.to_string().as_bytes());
    use base64::Engine as _;
    Ok(base64::engine::general_purpose::STANDARD.encode(image.end()))
}

/// What the dynamic loader would load for a program, itself included.
fn libraries(program: &Path) -> Result<BTreeSet<PathBuf>> {
    let said = Command::new("ldd").arg(program).output().context("run ldd")?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    Ok(text.split_whitespace().filter(|word| word.starts_with("/lib")).map(PathBuf::from).collect())
}

/// A tar of executable files.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn file(&mut self, name: &str, data: &[u8]) {
        let mut header = [0_u8; BLOCK];
        let mut put =
            |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, "0000755");
        put(124, &format!("{:011o}", data.len()));
        put(136, "00000000000");
        put(148, "        ");
        put(156, "0");
        put(257, "ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&header);
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK, 0);
        self.0
    }
}

/// Serves for ever, one connection after the other.
pub(crate) fn serve() -> Result<()> {
    let port = std::env::var("FC_CUSTOM_LISTEN_PORT").context("the port")?;
    let listener = TcpListener::bind(("0.0.0.0", port.parse()?)).context("listen")?;
    for stream in listener.incoming() {
        // A caller that went away is none of the next one's business.
        drop(stream.map_err(anyhow::Error::from).and_then(answer));
    }
    Ok(())
}

fn answer(stream: TcpStream) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n")?;
        stream.write_all(&body)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tar_is_made_of_whole_blocks_with_right_sums() {
        let mut tar = Tar::default();
        tar.file("a/b", b"hello");
        let bytes = tar.end();
        assert_eq!(bytes.len(), 4 * BLOCK);
        let sum: u32 = bytes[..BLOCK].iter().map(|byte| u32::from(*byte)).sum();
        let said = u32::from_str_radix(std::str::from_utf8(&bytes[148..154]).unwrap(), 8).unwrap();
        let field: u32 = bytes[148..156].iter().map(|byte| u32::from(*byte)).sum();
        assert_eq!(sum - field + 8 * u32::from(b' '), said);
    }
}
