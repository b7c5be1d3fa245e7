//! A function as a program: it asks the local runtime API for its work and posts what came of it. The
//! standard library is all it takes, and `rustc -O main.rs` builds it; `runtime: go1` runs any executable.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::panic;
use std::sync::{Arc, Mutex};

/// Names are lower case.
type Headers = HashMap<String, String>;

/// The function itself: the payload goes in, the result comes out.
fn handle(call: &Headers, payload: &[u8]) -> Result<String, String> {
    let text = String::from_utf8(payload.to_vec()).map_err(|error| error.to_string())?;
    let id = &call["x-fc-request-id"];
    println!("{id}: {} bytes", text.len());
    match text.as_str() {
        "fail" => return Err("as asked".to_owned()),
        "panic" => panic!("as asked, too"),
        _ => {}
    }
    let (lines, words) = (text.matches('\n').count(), text.split_whitespace().count());
    Ok(format!(
        r#"{{"language":"Rust","lines":{lines},"words":{words},"bytes":{},"requestId":"{id}"}}"#,
        text.len()
    ))
}

/// A failure of the function, as the platform shows it.
struct Failure {
    kind: &'static str,
    message: String,
    /// File and line, when it is a panic: then the program ends, too.
    at: Option<(String, u32)>,
}

impl Failure {
    fn body(&self) -> String {
        let (trace, exits) = match &self.at {
            Some((path, line)) => {
                (format!(r#"{{"path":{},"line":{line},"label":"panic"}}"#, quoted(path)), true)
            }
            None => (String::new(), false),
        };
        let (message, kind) = (quoted(&self.message), quoted(self.kind));
        format!(
            r#"{{"errorMessage":{message},"errorType":{kind},"stackTrace":[{trace}],"shouldExit":{exits}}}"#
        )
    }
}

fn main() -> io::Result<()> {
    let mut api = Api::connect()?;
    let place = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&place);
    panic::set_hook(Box::new(move |panic| {
        eprintln!("{panic}");
        let at = panic.location().map(|at| (at.file().to_owned(), at.line()));
        *seen.lock().expect("nobody panics with it") = at;
    }));
    loop {
        let (call, payload) = api.call("GET", "next", b"")?;
        let id = call["x-fc-request-id"].clone();
        // 1 is the initializer, 2 is PreStop; this function needs neither.
        let is_hook = call["x-fc-function-type"] != "0";
        let work = || if is_hook { Ok(String::new()) } else { handle(&call, &payload) };
        let outcome = match panic::catch_unwind(work) {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(message)) => Err(Failure { kind: "Error", message, at: None }),
            Err(cause) => {
                let message = cause.downcast_ref::<&str>().map_or("a panic", |text| *text).to_owned();
                let at = place.lock().expect("nobody panics with it").take();
                Err(Failure { kind: "panic", message, at })
            }
        };
        match outcome {
            Ok(result) => drop(api.call("POST", &format!("{id}/response"), result.as_bytes())?),
            Err(failure) => {
                api.call("POST", &format!("{id}/error"), failure.body().as_bytes())?;
                if failure.at.is_some() {
                    return Err(io::Error::other("the handler panicked"));
                }
            }
        }
    }
}

/// One kept-alive connection to the runtime API.
struct Api {
    address: String,
    stream: BufReader<TcpStream>,
}

impl Api {
    fn connect() -> io::Result<Self> {
        let address = std::env::var("FC_RUNTIME_API").map_err(io::Error::other)?;
        let stream = TcpStream::connect(&address)?;
        stream.set_nodelay(true)?;
        Ok(Self { address, stream: BufReader::new(stream) })
    }

    fn call(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<(Headers, Vec<u8>)> {
        let mut message = format!(
            "{method} /2020-11-11/runtime/invocation/{path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n",
            self.address,
            body.len()
        )
        .into_bytes();
        message.extend_from_slice(body);
        self.stream.get_mut().write_all(&message)?;
        let status = self.line()?;
        let mut headers = Headers::new();
        loop {
            let line = self.line()?;
            match line.split_once(':') {
                Some((name, value)) => {
                    headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
                }
                None => break,
            }
        }
        let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        if !status.contains(" 200") {
            return Err(io::Error::other(status));
        }
        Ok((headers, body))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
