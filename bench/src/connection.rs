//! HTTP/1.1 over one kept connection, as little of it as a load generator needs: it shares its cores
//! with what it measures.

use std::io;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection on which one request is under way at a time.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("connect")?;
        stream.set_nodelay(true).context("set nodelay")?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Sends a whole request and reads the whole answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Answer> {
        self.stream.write_all(request).await.context("send")?;
        let head = loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            self.fill().await?;
        };
        let (status, length) = read_head(&self.buffer[..head])?;
        let body = match length {
            Length::Known(length) => {
                while self.buffer.len() < head + length {
                    self.fill().await?;
                }
                let body = self.buffer[head..head + length].to_vec();
                self.buffer.drain(..head + length);
                body
            }
            Length::Chunked => {
                self.buffer.drain(..head);
                self.read_chunks().await?
            }
        };
        Ok(Answer { status, body })
    }

    async fn read_chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = loop {
                if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n") {
                    break end;
                }
                self.fill().await?;
            };
            let size = std::str::from_utf8(&self.buffer[..line]).context("chunk size")?;
            let size = usize::from_str_radix(size.trim(), 16).context("chunk size")?;
            let end = line + 2 + size + 2;
            while self.buffer.len() < end {
                self.fill().await?;
            }
            body.extend_from_slice(&self.buffer[line + 2..end - 2]);
            self.buffer.drain(..end);
            if size == 0 {
                return Ok(body);
            }
        }
    }

    async fn fill(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.buffer).await.context("receive")? == 0 {
            let gone = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(gone).context("the server closed the connection");
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Length {
    Known(usize),
    Chunked,
}

fn read_head(head: &[u8]) -> Result<(u16, Length)> {
    let text = std::str::from_utf8(head).context("the head is not text")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("status line")?;
    let status: u16 = status.parse().context("status")?;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            let length = value.trim().parse().context("content-length")?;
            return Ok((status, Length::Known(length)));
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Ok((status, Length::Chunked));
        }
    }
    if status == 204 || status == 202 {
        return Ok((status, Length::Known(0)));
    }
    bail!("an answer without a length: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_say_status_and_length() {
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: x\r\nContent-Length: 12\r\n\r\n";
        assert_eq!(read_head(head).unwrap(), (200, Length::Known(12)));
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(read_head(head).unwrap(), (200, Length::Chunked));
        assert_eq!(read_head(b"HTTP/1.1 202 A\r\n\r\n").unwrap(), (202, Length::Known(0)));
        assert!(read_head(b"nonsense\r\n\r\n").is_err());
    }

    #[tokio::test]
    async fn answers_are_read_whole_and_one_after_the_other() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut got = [0_u8; 1];
            stream.read_exact(&mut got).await.unwrap();
            let two = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\noneHTTP/1.1 404 No\r\n\
                       transfer-encoding: chunked\r\n\r\n3\r\ntwo\r\n1\r\n!\r\n0\r\n\r\n";
            stream.write_all(two.as_bytes()).await.unwrap();
        };
        let call = async {
            let mut connection = Connection::open(&address).await.unwrap();
            let one = connection.exchange(b"x").await.unwrap();
            let two = connection.exchange(b"").await.unwrap();
            (one, two)
        };
        let ((), (one, two)) = tokio::join!(serve, call);
        assert_eq!((one.status, one.body.as_slice()), (200, &b"one"[..]));
        assert_eq!((two.status, two.body.as_slice()), (404, &b"two!"[..]));
    }
}
